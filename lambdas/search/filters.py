"""The filter language: S3 Vectors' own with our names.

`modality`, `type`, `start`, `end`, `page`, `created`, `size`, `duration`, `prefix` and `asset_id` stand for the
underscored keys of the index, `prefix` means *starts with*, and `created` takes ISO dates as well as epoch seconds. Any
other name is a user's attribute.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lambdas.search.errors import RequestError
from lambdas.shared.metadata import DATE, LARGEST, TAKEN, epoch

NUMERIC = ("start", "end", "page", "created", "size", "duration")
OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$startsWith")
MAX_DEPTH = 10
MAX_CONSTRAINTS = 100  # S3 Vectors counts one per evaluated value

Filter = dict[str, Any]


def index_filter(
    asked: Mapping[str, Any] | None,
    modalities: Sequence[str] | None = None,
    without: Sequence[str] = (),
    forced: Filter | None = None,
) -> Filter | None:
    """The filter for the index, which every search goes through; RequestError names what is wrong.

    It is the caller's, narrowed to the modalities, without the assets that ask, and within what is `forced`, which is
    in the index's own names and which no caller can widen: all must be true.
    """
    parts = [forced] if forced else []
    if modalities:
        parts.append({"_modality": {"$in": sorted(set(modalities))}})
    parts += [{"_asset_id": {"$ne": asset_id}} for asset_id in without]
    if asked:
        parts.append(_translated(asked, "filter"))
    if sum(_constraints(part) for part in parts) > MAX_CONSTRAINTS:
        raise RequestError(f"the filter has more than {MAX_CONSTRAINTS} constraints", "filter")
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"$and": parts}


def only_modality(asked: Mapping[str, Any] | None, modalities: Sequence[str] | None) -> str | None:
    """The one that a search is narrowed to, by `modalities` or by a plain condition of the filter."""
    named = set(modalities or ())
    condition = (asked or {}).get("modality")
    if not named and isinstance(condition, Mapping):
        one = condition.get("$eq", condition.get("$in"))
        condition = one[0] if isinstance(one, list) and len(one) == 1 else one
    if not named and isinstance(condition, str):
        named = {condition}
    return named.pop() if len(named) == 1 else None


def _translated(node: Any, path: str, depth: int = 0) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise RequestError(f"the filter is nested more than {MAX_DEPTH} deep", path)
    if not isinstance(node, Mapping) or not node:
        raise RequestError("a filter is an object with at least one field", path)
    parts: list[dict[str, Any]] = []
    for name, value in node.items():
        here = f"{path}.{name}"
        if name in ("$and", "$or"):
            if not isinstance(value, list) or not value:
                raise RequestError(f"{name} takes a list of filters", here)
            parts.append(
                {name: [_translated(part, f"{here}[{number}]", depth + 1) for number, part in enumerate(value)]}
            )
        elif name.startswith("$"):
            raise RequestError(f"{name} is no operator that stands here; those are $and and $or", here)
        elif name.startswith("_"):
            raise RequestError("names do not start with an underscore here", here)
        else:
            parts += _conditions(name, value, here)
    return parts[0] if len(parts) == 1 else {"$and": parts}  # S3 Vectors takes one name in an object


def _conditions(name: str, value: Any, path: str) -> list[dict[str, Any]]:
    """One for each operator. A user's attribute that looks like a date may be a text or a date: both are meant."""
    tests = value if isinstance(value, Mapping) else {"$startsWith" if name == "prefix" else "$eq": value}
    if not tests:
        raise RequestError("this condition is empty", path)
    ours = f"_{name}" if name in TAKEN else name
    found: list[dict[str, Any]] = []
    for operator, operand in tests.items():
        wanted = _operand(name, operator, operand, f"{path}.{operator}")
        either = [{ours: {operator: wanted}}]
        if name not in TAKEN and (moments := _moments(operand)) is not None:
            either.append({ours: {operator: moments}})
        if len(either) == 1:
            found += either
        else:
            found.append({"$and" if operator in ("$ne", "$nin") else "$or": either})
    return found


def _moments(operand: Any) -> float | list[float] | None:
    """Epoch seconds of ISO dates; None where something else is among them."""
    if isinstance(operand, list):
        moments = [epoch(one) if isinstance(one, str) and DATE.fullmatch(one) else None for one in operand]
        return [one for one in moments if one is not None] if None not in moments else None
    return epoch(operand) if isinstance(operand, str) and DATE.fullmatch(operand) else None


def _operand(name: str, operator: str, operand: Any, path: str) -> Any:
    if operator not in OPERATORS:
        raise RequestError(f"{operator} is no operator; those are {', '.join(OPERATORS)}", path)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise RequestError("$exists takes true or false", path)
        return operand
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list) or not operand:
            raise RequestError(f"{operator} takes a list of values", path)
        return [_value(name, one, f"{path}[{number}]") for number, one in enumerate(operand)]
    value = _value(name, operand, path)
    if operator in ("$gt", "$gte", "$lt", "$lte") and isinstance(value, (bool, str)):
        moment = epoch(value) if isinstance(value, str) else None
        if moment is None:
            raise RequestError(f"{operator} compares numbers and ISO dates", path)
        return moment
    if operator == "$startsWith" and not isinstance(value, str):
        raise RequestError("$startsWith takes a text", path)
    return value


def _value(name: str, value: Any, path: str) -> str | float | bool:
    if not isinstance(value, (str, int, float, bool)):
        raise RequestError("a value is a text, a number, true or false", path)
    if name == "created" and isinstance(value, str):
        return _epoch(value, path)
    if name in NUMERIC and (isinstance(value, (bool, str))):
        raise RequestError(f"{name} is a number", path)
    if isinstance(value, (int, float)) and abs(value) >= LARGEST:
        raise RequestError(f"a number is smaller than {LARGEST:g}", path)
    return value


def _epoch(text: str, path: str) -> float:
    moment = epoch(text)
    if moment is None:
        raise RequestError(f"{text!r} is no ISO date", path)
    return moment


def _constraints(node: Any) -> int:
    """One per evaluated value: `$in` with three values counts three."""
    if isinstance(node, Mapping):
        return sum(_constraints(value) for value in node.values())
    if isinstance(node, list):
        return sum(_constraints(value) for value in node)
    return 1
