"""Amazon Titan Text Embeddings, version 1 (1,536 numbers) and 2 (256, 512 or 1,024): request, limits and answer.

Source: Amazon Bedrock user guide, "Amazon Titan Embeddings Text" and "Amazon Titan Text Embeddings models".
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from local.bedrock.model import Asks
from local.bedrock.violations import integer, malformed
from local.wire import AwsError

V1 = "amazon.titan-embed-text-v1"
V2 = "amazon.titan-embed-text-v2:0"
MODELS = (V1, V2)
MAX_CHARS = 50_000
MAX_TOKENS = 8_192

_WHOLE = 3_072  # all numbers of the stand-in model, of which Titan's are the first ones
_WORD_CHARS_PER_TOKEN = 6  # of a word: with the spaces, the 4.7 characters a token that the guide gives for English
_UNSPACED = r"\u2e80-\U0010ffff"  # Chinese, Japanese, …, and symbols: each character counts
_TOKEN = re.compile(rf"[^\W{_UNSPACED}]+|[^\w\s]|[{_UNSPACED}]")


def _of_length(text: str) -> str:
    if not text:
        raise ValueError("expected minLength: 1, actual: 0")
    if len(text) > MAX_CHARS:
        raise ValueError(f"expected maxLength: {MAX_CHARS}, actual: {len(text)}")
    return text


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)

    input_text: Annotated[str, AfterValidator(_of_length)]


class _RequestV2(_Request):
    dimensions: Annotated[Literal[256, 512, 1024], BeforeValidator(integer)] = 1024
    normalize: bool = True
    embedding_types: Annotated[list[Literal["float", "binary"]], Field(min_length=1)] = ["float"]


def embed(model_id: str, body: Any, model: Asks, timeout: float) -> Mapping[str, Any]:
    """The answer to a body of InvokeModel. Version 1 and `normalize: false` give vectors whose length is not 1.

    Raises `ValidationException`, `UnreadableInputError`, `ModelFailedError`.
    """
    try:
        request = (_RequestV2 if model_id == V2 else _Request).model_validate(body)
    except ValidationError as error:
        raise malformed(error) from error
    tokens = _count_tokens(request.input_text)
    whole = model.ask({"do": "embed_text", "text": request.input_text, "dimension": _WHOLE}, timeout)["embedding"]
    own = np.asarray(whole, np.float32) * _signs(model_id)
    if not isinstance(request, _RequestV2):
        return {"embedding": _numbers(own[:1536]), "inputTextTokenCount": tokens}
    vector = own[: request.dimensions]
    if request.normalize:
        vector = vector / np.linalg.norm(vector)
    by_type = {"float": _numbers(vector), "binary": (vector > 0).astype(int).tolist()}
    return {
        "embedding": by_type["float"],
        "embeddingsByType": {kind: by_type[kind] for kind in request.embedding_types},
        "inputTextTokenCount": tokens,
    }


def _numbers(vector: NDArray[np.float32]) -> list[float]:
    """Each with the shortest text that is the same float32."""
    numbers: list[float] = orjson.loads(orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY))
    return numbers


def _count_tokens(text: str) -> int:
    """Titan's own tokens are not published; this many there are about."""
    count = sum(-(-len(found) // _WORD_CHARS_PER_TOKEN) for found in _TOKEN.findall(text))
    if count > MAX_TOKENS:
        message = f"Too many input tokens. Max input tokens: {MAX_TOKENS}, request input token count: {count} "
        raise AwsError("ValidationException", f"400 Bad Request: {message}")
    return count


@cache
def _signs(model_id: str) -> NDArray[np.float32]:
    """+1 or -1 for each number, so that vectors of two models do not compare, as they do not on AWS."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_128(model_id.encode()).digest(_WHOLE // 8), np.uint8))
    return np.asarray(2.0 * bits - 1.0, np.float32)
