"""The report of the last pass that held bucket, catalog and index against each other: one item of the catalog."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lambdas.shared.table import Item, Table

ASSET, RECORD = "reconcile", "report"  # no asset has such an id


@dataclass(frozen=True)
class Report:
    """`step` counts its pages, `part` and `after` say where the next one begins; times are epoch seconds.

    `read` counts what was looked at, `differences` what was found, by kind; `deleted` derived files.
    """

    id: str
    started: int
    moved: int
    ended: int = 0
    step: int = 0
    part: str = "retired"  # before anything is rung for, which retires more
    after: Any = None
    read: Mapping[str, int] = field(default_factory=dict)
    differences: Mapping[str, int] = field(default_factory=dict)
    rung: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Reports:
    table: Table

    def last(self) -> Report | None:
        item = self.table.get(ASSET, RECORD)
        return _read(item) if item else None

    def begin(self, report: Report, former: Report | None) -> None:
        """ConflictError when somebody else began one."""
        condition = "id = :id AND step = :step" if former else "attribute_not_exists(asset_id)"
        values = {"id": former.id, "step": former.step} if former else {}
        self.table.transact(self.table.putting(_item(report), condition, **values))

    def advance(self, before: Report, **changes: Any) -> None:
        """A page was worked, and is counted once however often it was; ConflictError when it was counted already."""
        after = replace(before, step=before.step + 1, **changes)
        write = self.table.putting(_item(after), "id = :id AND step = :step", id=before.id, step=before.step)
        self.table.transact(write)


def _item(report: Report) -> Item:
    return {"asset_id": ASSET, "record": RECORD, **asdict(report)}


def _read(item: Mapping[str, Any]) -> Report:
    fields = {name: item[name] for name in Report.__dataclass_fields__}
    for name in ("started", "moved", "ended", "step", "rung", "deleted"):
        fields[name] = int(fields[name])
    for name in ("read", "differences"):
        fields[name] = {kind: int(count) for kind, count in fields[name].items()}
    return Report(**fields)
