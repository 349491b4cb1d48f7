"""The vectors of a PutVectors request, checked whole before anything is written.

The rules and words are the user guide's limits, made exact by what clients measured on the live service: numbers are
judged after conversion to float32, a list of metadata is not empty and holds strings or numbers, not both, and sizes
are counted by a model of the service's own rather than over JSON text.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from local.s3vectors.errors import invalid, unreadable
from local.wire import AwsError

MAX_KEY_BYTES = 1024
MAX_METADATA_KEYS = 50
MAX_METADATA_BYTES = 40 * 1024
MAX_FILTERABLE_BYTES = 2 * 1024
_SPECIAL_NUMBERS = {"NaN", "Infinity", "-Infinity"}  # JSON has no form for them: SDKs send these strings

Metadata = Mapping[str, Any]


class InvalidVectorError(Exception):
    """Numbers that are no vector of this index; the text says why, the caller says where."""


@dataclass(frozen=True)
class Record:
    """One vector as it is stored."""

    key: str
    vector: NDArray[np.float32]
    norm: float
    filterable: Metadata
    filterable_json: bytes
    other_json: bytes | None


def read_records(
    vectors: Sequence[Mapping[str, Any]], dimension: int, metric: str, non_filterable: Collection[str]
) -> list[Record]:
    """The records to write; where a key is named twice the last one counts, as in two requests."""
    records = {}
    for position, each in enumerate(vectors):
        check_key(each["key"])
        try:
            vector, norm = read_vector(each["data"]["float32"], dimension, metric)
        except InvalidVectorError as error:
            raise _refused(each["key"], f"vectors[{position}]", str(error)) from error
        metadata = each.get("metadata")
        filterable, other = _split_metadata(
            {} if metadata is None else metadata, non_filterable, each["key"], f"vectors[{position}].metadata"
        )
        records[each["key"]] = Record(
            each["key"], vector, norm, filterable, orjson.dumps(filterable), orjson.dumps(other) if other else None
        )
    return list(records.values())


def check_key(key: str) -> None:
    """The model bounds a key in characters, the service in UTF-8 bytes too."""
    if len(key.encode()) > MAX_KEY_BYTES:
        raise invalid("Record key length exceeds the maximum allowed", "key")


def read_vector(numbers: list[Any], dimension: int, metric: str) -> tuple[NDArray[np.float32], float]:
    """The float32 values and their length; raises InvalidVectorError."""
    if len(numbers) != dimension:
        raise InvalidVectorError(f"vector must have length {dimension}, but has length {len(numbers)}")
    if not {*map(type, numbers)} <= {float, int}:
        numbers = [_number(each) for each in numbers]
    with np.errstate(over="ignore"):
        vector = np.array(numbers, dtype=np.float64).astype(np.float32)
    if not np.isfinite(vector).all():
        raise InvalidVectorError("vector contains NaNs or Infs")
    norm = float(lengths(vector[np.newaxis])[0])
    if metric == "cosine" and norm == 0:
        raise InvalidVectorError("cosine distance does not support vectors with zero norm")
    return vector, norm


def lengths(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The euclidean length of each row, summed in float64 so that equal rows have equal lengths wherever they lie."""
    wide = rows.astype(np.float64)
    return np.asarray(np.sqrt((wide * wide).sum(axis=1)))


def _number(value: Any) -> float:
    special = isinstance(value, str) and value in _SPECIAL_NUMBERS
    if not special and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise unreadable("A vector holds something that is not a number")
    return float(value)


def _split_metadata(metadata: Any, non_filterable: Collection[str], key: str, path: str) -> tuple[Metadata, Metadata]:
    """The filterable and the other entries of valid metadata."""
    if not isinstance(metadata, Mapping):
        raise _refused(key, path, "Metadata must be an object")
    for value in metadata.values():
        if problem := _value_problem(value):
            raise _refused(key, path, problem)
    if len(metadata) > MAX_METADATA_KEYS:
        raise _refused(key, path, f"Metadata object must have at most {MAX_METADATA_KEYS} keys")
    filterable = {name: value for name, value in metadata.items() if name not in non_filterable}
    if _metadata_bytes(metadata) > MAX_METADATA_BYTES:
        raise _refused(key, path, f"Metadata object must have at most {MAX_METADATA_BYTES} bytes")
    if _metadata_bytes(filterable) > MAX_FILTERABLE_BYTES:
        raise _refused(key, path, f"Filterable metadata must have at most {MAX_FILTERABLE_BYTES} bytes")
    return filterable, {name: value for name, value in metadata.items() if name in non_filterable}


def _value_problem(value: Any) -> str | None:
    if isinstance(value, str | bool | int | float):
        return None
    if not isinstance(value, list):
        return "Metadata values must be strings, numbers, booleans, or arrays"
    if not value:
        return "Empty arrays are not allowed in metadata"
    kinds = {*map(type, value)}
    return None if kinds == {str} or kinds <= {int, float} else "Metadata array values must be strings or numbers"


def _metadata_bytes(metadata: Metadata) -> int:
    return 4 + sum(8 + len(name.encode()) + _value_bytes(value) for name, value in metadata.items())


def _value_bytes(value: Any) -> int:
    if isinstance(value, list):
        return sum(4 + _value_bytes(each) for each in value)
    if isinstance(value, str):
        return len(value.encode())
    return 0 if isinstance(value, bool) else 4


def _refused(key: str, path: str, problem: str) -> AwsError:
    return invalid(f"Invalid record for key '{key}': {problem}", path, problem)
