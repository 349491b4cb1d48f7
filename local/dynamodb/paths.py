"""Document paths such as `a.b[2]`: read, project, set and remove what they point at."""

from collections.abc import Iterable, Sequence
from typing import Any

from local.dynamodb.errors import UnfitItem, invalid
from local.dynamodb.values import Item, Value

Path = tuple[str | int, ...]
Tree = dict[str | int, Any]  # step -> Tree; a path ends where a Tree is empty


def find(item: Item, path: Path) -> Value | None:
    value: Value = {"M": item}
    for step in path:
        members = value.get("M" if isinstance(step, str) else "L", ())
        if not (step in members if isinstance(step, str) else step < len(members)):
            return None
        value = members[step]
    return value


def tree(paths: Iterable[Path], kind: str) -> Tree:
    """The paths as one tree. Two that overlap or conflict are refused in the name of `kind`."""
    root: Tree = {}
    seen: list[Path] = []
    for path in paths:
        _grow(root, path, seen, kind)
        seen.append(path)
    return root


def _grow(root: Tree, path: Path, seen: Sequence[Path], kind: str) -> None:
    node = root
    for depth, step in enumerate(path):
        if depth and not node and path[:depth] in seen:
            raise _clash("overlap", path, path[:depth], seen, kind)
        if node and type(next(iter(node))) is not type(step):
            raise _clash("conflict", path, path[:depth], seen, kind)
        last = depth == len(path) - 1
        if last and step in node:
            raise _clash("overlap", path, path, seen, kind)
        node = node.setdefault(step, {})


def _clash(how: str, path: Path, start: Path, seen: Sequence[Path], kind: str) -> Exception:
    other = next(known for known in seen if known[: len(start)] == start)
    return invalid(
        f"Invalid {kind}: Two document paths {how} with each other; must remove or rewrite one of these paths; "
        f"path one: {shown(other)}, path two: {shown(path)}"
    )


def shown(path: Path) -> str:
    return "[" + ", ".join(step if isinstance(step, str) else f"[{step}]" for step in path) + "]"


def project(item: Item, wanted: Tree) -> Item:
    """What of the item the paths point at; members of a list move together."""
    picked = _pick({"M": item}, wanted)
    return picked["M"] if picked else {}


def _pick(value: Value, wanted: Tree) -> Value | None:
    if not wanted:
        return value
    if "M" in value:
        found = {step: _pick(value["M"][step], wanted[step]) for step in wanted if step in value["M"]}
        kept = {step: part for step, part in found.items() if part is not None}
        return {"M": kept} if kept else None
    members = value.get("L", [])
    parts = [_pick(members[at], wanted[at]) for at in sorted(wanted) if isinstance(at, int) and at < len(members)]
    present = [part for part in parts if part is not None]
    return {"L": present} if present else None


def put(item: Item, path: Path, value: Value) -> None:
    """Set what is at the path; a list index past the end appends."""
    holder, last = _holder(item, path), path[-1]
    if isinstance(last, str) or last < len(holder):
        holder[last] = value
    else:
        holder.append(value)


def remove(item: Item, path: Path) -> None:
    holder, last = _holder(item, path), path[-1]
    if isinstance(last, str):
        holder.pop(last, None)
    elif last < len(holder):
        del holder[last]


def _holder(item: Item, path: Path) -> Any:
    """The map or list that the path's last step is in."""
    parent = find(item, path[:-1])
    wanted = "M" if isinstance(path[-1], str) else "L"
    if parent is None or wanted not in parent:
        raise UnfitItem("The document path provided in the update expression is invalid for update")
    return parent[wanted]
