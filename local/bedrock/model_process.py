"""The process the stand-in model runs in: `python -m local.bedrock.model_process MODULE`.

A decoder that crashes takes this process with it and nothing else. Vectors of a job go to a file, line by line, in the
form of Nova's asynchronous output, so a long job needs no more memory than a short one.
"""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol, cast

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
    """`vector` is None where the content is damaged; `damage` then says how, in a sentence."""

    start: float
    end: float
    vector: Vector | None
    damage: str


class FilmSegment(Protocol):
    """`audio` is None for a film without sound; `combined` is then what is seen."""

    video: Segment
    audio: Segment | None
    combined: Segment


class Film(Protocol):
    length: float

    def count(self, segment_seconds: float) -> int: ...
    def segments(self, segment_seconds: float | None) -> Iterator[FilmSegment]: ...


class StandIn(Protocol):
    """The module that stands in for the model."""

    UnreadableError: type[Exception]

    def shorten(self, vector: Vector, dimension: int) -> Vector: ...
    def embed_text(self, text: str) -> Vector: ...
    def embed_image(self, content: bytes) -> Vector: ...
    def embed_audio(self, path: Path, segment_seconds: float | None) -> Iterator[Segment]: ...
    def audio_length(self, path: Path) -> float: ...
    def Film(self, path: Path) -> Film: ...


class RefusedError(Exception):
    """The model does not take the input: it is too long, or nothing of it can be read."""


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
        except (self._model.UnreadableError, RefusedError) as error:
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

    def load(self) -> Line:
        self._model.embed_text("warm")
        return {}

    def embed_text(self, dimension: int, text: str) -> Line:
        return {"embedding": self._text(text, dimension)}

    def embed_image(self, dimension: int, path: str) -> Line:
        return {"embedding": self._short(self._model.embed_image(Path(path).read_bytes()), dimension)}

    def embed_audio(self, dimension: int, path: str) -> Line:
        _check_length("audio", self._model.audio_length(Path(path)), MAX_SYNC_SECONDS)
        (segment,) = self._model.embed_audio(Path(path), None)
        return {"embedding": self._whole(segment, dimension)}

    def embed_video(self, dimension: int, path: str, mode: str) -> Line:
        film = self._model.Film(Path(path))
        _check_length("video", film.length, MAX_SYNC_SECONDS)
        (segment,) = film.segments(None)
        parts = _parts(segment, mode)
        return {"embeddings": {kind: self._whole(part, dimension) for kind, part in parts.items()}}

    def write_text(self, dimension: int, path: str, output: str, longest: int, truncation: TruncationMode) -> Line:
        count = sum(1 for _ in islice(_read(path, longest), MAX_TEXT_SEGMENTS + 1))
        if count == 0:
            raise RefusedError("The text is empty")
        if count > MAX_TEXT_SEGMENTS:
            raise RefusedError(f"The text has more than {MAX_TEXT_SEGMENTS} segments of {longest} characters")
        return _write(
            output, (("TEXT", line) for line in self._text_lines(_read(path, longest), dimension, truncation))
        )

    def write_image(self, dimension: int, path: str, output: str) -> Line:
        vector = self.embed_image(dimension, path)["embedding"]
        return _write(output, iter([("IMAGE", _success(vector, {"segmentIndex": 0}))]))

    def write_audio(self, dimension: int, path: str, output: str, seconds: float) -> Line:
        length = self._model.audio_length(Path(path))
        _check_length("audio", length, MAX_ASYNC_SECONDS)
        _check_count("audio", math.ceil(length / seconds), seconds)
        lines = self._audio_lines(path, dimension, seconds, length)
        return _readable(_write(output, (("AUDIO", line) for line in lines)))

    def write_video(self, dimension: int, path: str, output: str, seconds: float, mode: str) -> Line:
        film = self._model.Film(Path(path))
        _check_length("video", film.length, MAX_ASYNC_SECONDS)
        _check_count("video", film.count(seconds), seconds)
        return _readable(_write(output, self._video_lines(film, dimension, seconds, mode)))

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
                yield self._segment_line(segment, index, dimension)
                index += 1
        except self._model.UnreadableError as error:
            if index == 0:
                raise
            for rest in range(index, math.ceil(length / seconds)):
                yield _failure(_times(rest, rest * seconds, min((rest + 1) * seconds, length)), str(error))

    def _video_lines(self, film: Film, dimension: int, seconds: float, mode: str) -> Iterator[tuple[str, Line]]:
        for index, segment in enumerate(film.segments(seconds)):
            for kind, part in _parts(segment, mode).items():
                yield kind, self._segment_line(part, index, dimension)

    def _segment_line(self, segment: Segment, index: int, dimension: int) -> Line:
        place = _times(index, segment.start, segment.end)
        if segment.vector is None:
            return _failure(place, segment.damage)
        return _success(self._short(segment.vector, dimension), place)

    def _whole(self, segment: Segment, dimension: int) -> Vector:
        if segment.vector is None:
            raise RefusedError(segment.damage)
        return self._short(segment.vector, dimension)

    def _text(self, text: str, dimension: int) -> Vector:
        return self._short(self._model.embed_text(text), dimension)

    def _short(self, vector: Vector, dimension: int) -> Vector:
        return np.ascontiguousarray(self._model.shorten(vector, dimension), dtype=np.float32)


def _parts(segment: FilmSegment, mode: str) -> dict[str, Segment]:
    """The embeddings of a film's segment, by their types.

    Whether Nova answers AUDIO_VIDEO_SEPARATE for a film without sound with a failure or with VIDEO alone is not
    documented. Here it is VIDEO alone: nothing failed, and there is no such thing as an embedding of no sound.
    """
    if mode == "AUDIO_VIDEO_COMBINED":
        return {mode: segment.combined}
    return {"VIDEO": segment.video, **({"AUDIO": segment.audio} if segment.audio else {})}


def _check_length(kind: str, length: float, longest: float) -> None:
    if length > longest + _PADDING_SECONDS:
        raise RefusedError(f"The {kind} is longer than {longest:.0f} seconds")


def _check_count(kind: str, count: int, seconds: float) -> None:
    if count > MAX_MEDIA_SEGMENTS:
        raise RefusedError(f"The {kind} has more than {MAX_MEDIA_SEGMENTS} segments of {seconds:g} seconds")


def _read(path: str, longest: int) -> Iterator[str]:
    with open(path, encoding="utf-8", newline="") as source:  # noqa: PTH123 (positions count every character)
        yield from pieces(source, longest)


def _times(index: int, start: float, end: float) -> Line:
    return {"segmentIndex": index, "segmentStartSeconds": round(start, 3), "segmentEndSeconds": round(end, 3)}


def _success(vector: Vector, place: Line) -> Line:
    return {"embedding": vector, "segmentMetadata": place, "status": "SUCCESS"}


def _failure(place: Line, message: str) -> Line:
    return {"segmentMetadata": place, "status": "FAILURE", "failureReason": "INVALID_CONTENT", "message": message}


def _write(output: str, lines: Iterator[tuple[str, Line]]) -> Line:
    """Write the lines, each to the file of its embedding type in the folder `output`.

    For each type: how many there are, how many of them are failures, and the message of the first of these.
    """
    written: dict[str, Line] = {}
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for kind, line in lines:
            if kind not in files:
                files[kind] = stack.enter_context(Path(output, kind).open("wb"))
                written[kind] = {"segments": 0, "failed": 0, "message": None}
            files[kind].write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
            tally = written[kind]
            tally["segments"] += 1
            tally["failed"] += line["status"] != "SUCCESS"
            tally["message"] = tally["message"] or line.get("message")
    return written


def _readable(written: Line) -> Line:
    """A sound or film of which every segment failed is refused as a whole."""
    if all(tally["failed"] == tally["segments"] for tally in written.values()):
        raise RefusedError(next(tally["message"] for tally in written.values()))
    return written


def main() -> NoReturn:
    serve(Orders(lambda: cast(StandIn, importlib.import_module(sys.argv[1]))).answer)


if __name__ == "__main__":
    main()
