"""The process the stand-in model runs in: `python -m local.bedrock.model_process MODULE`.

A decoder that crashes takes this process with it and nothing else. Vectors of a job go to a file, line by line, in the
form of Nova's asynchronous output, so a long job needs no more memory than a short one.
"""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from local.bedrock.text import CONTEXT_CHARS, TruncationMode, pieces, truncate
from local.worker_child import serve

Vector = NDArray[np.float32]
Line = dict[str, Any]

MAX_TEXT_SEGMENTS = 1_900
MAX_MEDIA_SEGMENTS = 1_434
MAX_SYNC_SECONDS = 30.0
MAX_ASYNC_SECONDS = 2 * 3600.0
_PADDING_SECONDS = 0.1  # what an encoder may add to a sound cut at the limit


class Segment(Protocol):
    start: float
    end: float
    vector: Vector


class StandIn(Protocol):
    """The module that stands in for the model."""

    UnreadableError: type[Exception]

    def shorten(self, vector: Vector, dimension: int) -> Vector: ...
    def embed_text(self, text: str) -> Vector: ...
    def embed_image(self, content: bytes) -> Vector: ...
    def embed_audio(self, path: Path, segment_seconds: float | None) -> Iterator[Segment]: ...
    def audio_length(self, path: Path) -> float: ...


class LimitError(Exception):
    """The input is longer than the model takes."""


class Orders:
    """What the service may ask for. A dictionary with `error`, a sentence, says that the input is at fault."""

    def __init__(self, load: Callable[[], StandIn]) -> None:
        self._load = load
        self._loaded: StandIn | None = None

    def answer(self, request: bytes) -> bytes:
        order = orjson.loads(request)
        work: Callable[..., Line] = getattr(self, order.pop("do"))
        try:
            answer = work(**order)
        except (self._model.UnreadableError, LimitError) as error:
            answer = {"error": str(error)}
        except UnicodeDecodeError as error:
            answer = {"error": f"The text is not UTF-8 (byte {error.start}: {error.reason})"}
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

    @property
    def _model(self) -> StandIn:
        # Loaded within a request: what an import prints is then past `serve`, in the log.
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def embed_text(self, dimension: int, text: str) -> Line:
        return {"embedding": self._text(text, dimension)}

    def embed_image(self, dimension: int, path: str) -> Line:
        return {"embedding": self._short(self._model.embed_image(Path(path).read_bytes()), dimension)}

    def embed_audio(self, dimension: int, path: str) -> Line:
        if self._model.audio_length(Path(path)) > MAX_SYNC_SECONDS + _PADDING_SECONDS:
            raise LimitError(f"The audio is longer than {MAX_SYNC_SECONDS:.0f} seconds")
        (segment,) = self._model.embed_audio(Path(path), None)
        return {"embedding": self._short(segment.vector, dimension)}

    def write_text(self, dimension: int, path: str, output: str, longest: int, truncation: TruncationMode) -> Line:
        count = sum(1 for _ in islice(_read(path, longest), MAX_TEXT_SEGMENTS + 1))
        if count == 0:
            raise LimitError("The text is empty")
        if count > MAX_TEXT_SEGMENTS:
            raise LimitError(f"The text has more than {MAX_TEXT_SEGMENTS} segments of {longest} characters")
        return _write(output, self._text_lines(_read(path, longest), dimension, truncation))

    def write_image(self, dimension: int, path: str, output: str) -> Line:
        vector = self.embed_image(dimension, path)["embedding"]
        return _write(output, iter([_success(vector, {"segmentIndex": 0})]))

    def write_audio(self, dimension: int, path: str, output: str, seconds: float) -> Line:
        length = self._model.audio_length(Path(path))
        if length > MAX_ASYNC_SECONDS + _PADDING_SECONDS:
            raise LimitError(f"The audio is longer than {MAX_ASYNC_SECONDS:.0f} seconds")
        if math.ceil(length / seconds) > MAX_MEDIA_SEGMENTS:
            raise LimitError(f"The audio has more than {MAX_MEDIA_SEGMENTS} segments of {seconds:g} seconds")
        return _write(output, self._audio_lines(path, dimension, seconds, length))

    def _text_lines(self, texts: Iterator[str], dimension: int, truncation: TruncationMode) -> Iterator[Line]:
        start = 0
        for index, text in enumerate(texts):
            kept = truncate(text, CONTEXT_CHARS, truncation)
            place = {
                "segmentIndex": index,
                "truncatedCharLength": len(kept) if kept != text else 0,
                "segmentStartCharPosition": start,
                "segmentEndCharPosition": start + len(text),
            }
            start += len(text)
            yield self._text_line(kept, dimension, place)

    def _text_line(self, text: str, dimension: int, place: Line) -> Line:
        if len(text) > CONTEXT_CHARS:
            return _failure(place, "The text is longer than the model's context and truncationMode is NONE")
        try:
            return _success(self._text(text, dimension), place)
        except self._model.UnreadableError as error:
            return _failure(place, str(error))

    def _audio_lines(self, path: str, dimension: int, seconds: float, length: float) -> Iterator[Line]:
        """Where the decoder gives up in the middle, the segments from there on are failures, each of them."""
        index = 0
        try:
            for segment in self._model.embed_audio(Path(path), seconds):
                yield _success(self._short(segment.vector, dimension), _times(index, segment.start, segment.end))
                index += 1
        except self._model.UnreadableError as error:
            if index == 0:
                raise
            for rest in range(index, math.ceil(length / seconds)):
                yield _failure(_times(rest, rest * seconds, min((rest + 1) * seconds, length)), str(error))

    def _text(self, text: str, dimension: int) -> Vector:
        return self._short(self._model.embed_text(text), dimension)

    def _short(self, vector: Vector, dimension: int) -> Vector:
        return np.ascontiguousarray(self._model.shorten(vector, dimension), dtype=np.float32)


def _read(path: str, longest: int) -> Iterator[str]:
    with open(path, encoding="utf-8", newline="") as source:  # noqa: PTH123 (positions count every character)
        yield from pieces(source, longest)


def _times(index: int, start: float, end: float) -> Line:
    return {"segmentIndex": index, "segmentStartSeconds": round(start, 3), "segmentEndSeconds": round(end, 3)}


def _success(vector: Vector, place: Line) -> Line:
    return {"embedding": vector, "segmentMetadata": place, "status": "SUCCESS"}


def _failure(place: Line, message: str) -> Line:
    return {"segmentMetadata": place, "status": "FAILURE", "failureReason": "INVALID_CONTENT", "message": message}


def _write(output: str, lines: Iterator[Line]) -> Line:
    """Write the lines; say how many there are and what the first failure among them was."""
    count = failed = 0
    message = None
    with Path(output).open("wb") as target:
        for line in lines:
            target.write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
            count += 1
            failed += line["status"] != "SUCCESS"
            message = message or line.get("message")
    return {"segments": count, "failed": failed, "message": message}


def main() -> NoReturn:
    serve(Orders(lambda: cast(StandIn, importlib.import_module(sys.argv[1]))).answer)


if __name__ == "__main__":
    main()
