"""The policies of roles and of resources, by where they come from, ready to be asked."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from local.iam.statements import Statement


@dataclass(frozen=True)
class Speaking:
    """The statements that speak of one action, each with the element of its Action that covers it."""

    denials: tuple[tuple[Statement, str], ...]
    allowances: tuple[tuple[Statement, str], ...]


@dataclass
class Holder:
    """A role or a resource: its statements by source, and what was found out about actions."""

    sources: dict[str, tuple[Statement, ...]] = field(default_factory=dict)
    _speaking: dict[str, Speaking] = field(default_factory=dict)

    @property
    def statements(self) -> list[Statement]:
        return [statement for some in self.sources.values() for statement in some]

    def put(self, source: str, statements: Iterable[Statement]) -> None:
        self.sources = {**self.sources, source: tuple(statements)}
        self._speaking = {}

    def drop(self, source: str) -> None:
        self.sources = {name: some for name, some in self.sources.items() if not f"{name}/".startswith(f"{source}/")}
        self._speaking = {}

    def speaking(self, action: str) -> Speaking:
        known = self._speaking
        if action not in known:
            found = [(one, covers) for one in self.statements if (covers := one.action(action)) is not None]
            known[action] = Speaking(
                tuple(each for each in found if not each[0].allows),
                tuple(each for each in found if each[0].allows),
            )
        return known[action]


class Holders:
    """By ARN."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[str, Holder] = {}

    def put(self, arn: str, source: str, statements: Iterable[Statement]) -> None:
        """What `source` says of it from now on."""
        with self._lock:
            self._holders.setdefault(arn, Holder()).put(source, statements)

    def drop(self, arn: str, source: str | None = None) -> None:
        """Forget what a source, and those below it (`source/…`), says of it; without one forget it altogether."""
        with self._lock:
            if source is None:
                self._holders.pop(arn, None)
            elif holder := self._holders.get(arn):
                holder.drop(source)
                if not holder.sources:
                    del self._holders[arn]

    def get(self, arn: str) -> Holder | None:
        return self._holders.get(arn)

    def all(self) -> Mapping[str, Holder]:
        with self._lock:
            return dict(self._holders)
