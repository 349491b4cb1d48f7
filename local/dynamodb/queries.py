"""Query and Scan: a page of a table or an index, filtered and projected."""

from dataclasses import replace
from typing import Any

from local.dynamodb.conditions import Condition, attributes, holds
from local.dynamodb.errors import invalid
from local.dynamodb.items import Request, parse_condition, table_of
from local.dynamodb.keyconditions import KIND, parse_span
from local.dynamodb.paths import Path, Tree, project, tree
from local.dynamodb.schema import Index, Keys, Table, fits
from local.dynamodb.store import Page, Span, Store
from local.dynamodb.syntax import Placeholders, parse_projection
from local.dynamodb.values import Item, canonical_item

_BAD = "One or more parameter values were invalid:"


def query(store: Store, request: Request) -> Request:
    if request.get(KIND) is None:
        raise invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
    with store.state.transaction():
        table, index = _source(store, request)
        keys = index.keys if index else table.keys
        placeholders = Placeholders(request, ("FilterExpression", KIND, "ProjectionExpression"))
        span = parse_span(request[KIND], placeholders, keys)
        kept = parse_condition(request, placeholders, "FilterExpression")
        _refuse_keys(kept, keys)
        wanted = _wanted(request, table, index, placeholders)
        span = replace(span, after=_after(request, table, index, span), forward=request.get("ScanIndexForward", True))
        page = store.page(table, index, span, request.get("Limit"))
    return _answer(request, table, index, page, kept, wanted)


def scan(store: Store, request: Request) -> Request:
    with store.state.transaction():
        table, index = _source(store, request)
        placeholders = Placeholders(request, ("FilterExpression", "ProjectionExpression"))
        kept = parse_condition(request, placeholders, "FilterExpression")
        wanted = _wanted(request, table, index, placeholders)
        span = Span(segment=request.get("Segment", 0), segments=_segments(request))
        span = replace(span, after=_after(request, table, index, span))
        page = store.page(table, index, span, request.get("Limit"))
    return _answer(request, table, index, page, kept, wanted)


def _source(store: Store, request: Request) -> tuple[Table, Index | None]:
    table = table_of(store, request)
    index = table.index(request["IndexName"]) if "IndexName" in request else None
    if index and index.is_global and request.get("ConsistentRead"):
        raise invalid("Consistent reads are not supported on global secondary indexes")
    return table, index


def _refuse_keys(condition: Condition | None, keys: Keys) -> None:
    for path in attributes(condition) if condition else ():
        if path[0] in keys.names:
            raise invalid(
                f"Filter Expression can only contain non-primary key attributes: Primary key attribute: {path[0]}"
            )


def _segments(request: Request) -> int:
    segment, total = request.get("Segment"), request.get("TotalSegments")
    if segment is not None and total is None:
        raise invalid(
            "The TotalSegments parameter is required but was not present in the request "
            "when Segment parameter is present"
        )
    if total is None:
        return 1
    if segment is None:
        raise invalid(
            "The Segment parameter is required but was not present in the request "
            "when parameter TotalSegments is present"
        )
    if segment >= total:
        raise invalid(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return int(total)


def _wanted(request: Request, table: Table, index: Index | None, placeholders: Placeholders) -> Tree:
    """What to answer of each item; all of it where this is empty. The last of the request's expressions is read."""
    paths = parse_projection(request, placeholders)
    placeholders.refuse_unused()
    wanted = tree(paths, "ProjectionExpression")
    select = request.get("Select")
    _check_select(select, paths, index)
    held = table.projected(index) if index else None
    if index is None or held is None:
        return wanted
    if index.is_global:
        missed = sorted(str(path[0]) for path in paths if path[0] not in held)
        if missed:
            raise invalid(f"{_BAD} Global secondary index {index.name} does not project [{', '.join(missed)}]")
    whole = paths or select == "ALL_ATTRIBUTES"
    return wanted if whole else {name: {} for name in held}


def _check_select(select: str | None, paths: list[Path], index: Index | None) -> None:
    if select == "SPECIFIC_ATTRIBUTES" and not paths:
        raise invalid(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
        )
    if select not in (None, "SPECIFIC_ATTRIBUTES") and paths:
        what = "only the Count" if select == "COUNT" else select
        raise invalid(f"Cannot specify the ProjectionExpression when choosing to get {what}")
    if select == "ALL_PROJECTED_ATTRIBUTES" and index is None:
        raise invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
    if select == "ALL_ATTRIBUTES" and index and index.is_global and index.projection != "ALL":
        raise invalid(
            f"{_BAD} Select type ALL_ATTRIBUTES is not supported for global secondary index {index.name} "
            "because its projection type is not ALL"
        )


def _after(request: Request, table: Table, index: Index | None, span: Span) -> tuple[bytes, ...] | None:
    """The position ExclusiveStartKey stands for."""
    if request.get("ExclusiveStartKey") is None:
        return None
    start = canonical_item(request["ExclusiveStartKey"])
    keys = [*table.keys, *(index.keys if index else ())]
    if set(start) != {key.name for key in keys} or not all(fits(key, start[key.name]) for key in keys):
        raise invalid("The provided starting key is invalid")
    first = (index.keys if index else table.keys).position(start)
    if not span.holds(*first):
        raise invalid("The provided starting key is outside query boundaries based on provided conditions")
    if not span.in_segment(first[0]):
        raise invalid(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with "
            f"correct Segment. TotalSegments: {span.segments} Segment: {span.segment}"
        )
    return first + table.keys.position(start) if index else first


def _answer(
    request: Request, table: Table, index: Index | None, page: Page, kept: Condition | None, wanted: Tree
) -> Request:
    found = [item for item in page.items if kept is None or holds(kept, _visible(table, index, item))]
    answer: dict[str, Any] = {"Count": len(found), "ScannedCount": len(page.items)}
    if request.get("Select") != "COUNT":
        answer["Items"] = [project(item, wanted) for item in found]
    if page.more:
        names = {*table.keys.names, *(index.keys.names if index else ())}
        answer["LastEvaluatedKey"] = {name: page.items[-1][name] for name in names}
    return answer


def _visible(table: Table, index: Index | None, item: Item) -> Item:
    """What a filter sees: a global index knows nothing but what it projects."""
    held = table.projected(index) if index and index.is_global else None
    return item if held is None else {name: item[name] for name in held if name in item}
