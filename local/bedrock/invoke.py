"""One embedding at once: the work of InvokeModel."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.bedrock import nova, objects, titan
from local.bedrock.inputs import store
from local.bedrock.model import Asks, ModelFailedError, UnreadableInputError
from local.bedrock.text import CONTEXT_CHARS, truncate
from local.wire import AwsError

TIMEOUT_SECONDS = 60.0


def invoke(model_id: str, body: Any, model: Asks, s3: Any, scratch: Path) -> Mapping[str, Any]:
    """What InvokeModel answers to a body, or the `AwsError` it answers instead."""
    try:
        if model_id in titan.MODELS:
            return titan.embed(model_id, body, model, TIMEOUT_SECONDS)
        return {"embeddings": embed_single(nova.read_single(body), model, s3, scratch)}
    except objects.ObjectRefusedError as error:
        raise error.as_aws() from error
    except UnreadableInputError as error:
        raise AwsError("ValidationException", f"Malformed input request: {error}") from error
    except ModelFailedError as error:
        if error.slow:
            raise AwsError("ModelTimeoutException", str(error), 408) from error
        raise AwsError("InternalServerException", str(error), 500) from error


def embed_single(params: nova.SingleParams, model: Asks, s3: Any, scratch: Path) -> list[dict[str, Any]]:
    """The `embeddings`: one, or two of a film with sound that is embedded AUDIO_VIDEO_SEPARATE.

    Raises `ObjectRefusedError`, `UnreadableInputError`, `ModelFailedError`.
    """
    medium = params.medium
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder, "input")
        if medium.source:
            store(medium, medium.source, s3, nova.MAX_SYNC_BYTES, path)
        if isinstance(medium, nova.SingleText):
            return [_embed_text(medium, medium.value or _read(path), params.embedding_dimension, model)]
        order = {"do": f"embed_{medium.kind}", "path": str(path), "dimension": params.embedding_dimension}
        if isinstance(medium, nova.Video):
            found = model.ask({**order, "mode": medium.embedding_mode}, TIMEOUT_SECONDS)["embeddings"]
            return [{"embeddingType": kind, "embedding": vector} for kind, vector in found.items()]
        return [{"embeddingType": medium.kind.upper(), **model.ask(order, TIMEOUT_SECONDS)}]


def _embed_text(medium: nova.SingleText, text: str, dimension: int, model: Asks) -> dict[str, Any]:
    longest = nova.MAX_INLINE_CHARS if medium.source is None else CONTEXT_CHARS
    kept = truncate(text, longest, medium.truncation_mode)
    if len(kept) > longest:
        raise UnreadableInputError("text/truncationMode: the text is longer than the model takes, and this is NONE")
    answer = model.ask({"do": "embed_text", "text": kept, "dimension": dimension}, TIMEOUT_SECONDS)
    cut = {"truncatedCharLength": len(kept)} if kept != text else {}
    return {"embeddingType": "TEXT", **answer, **cut}


def _read(path: Path) -> str:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UnreadableInputError("text/source: the content is not UTF-8") from error
    if not 1 <= len(text) <= nova.MAX_TEXT_CHARS:
        raise UnreadableInputError(f"text/source: expected 1 to {nova.MAX_TEXT_CHARS} characters, actual: {len(text)}")
    return text
