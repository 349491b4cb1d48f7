"""Filterable metadata by key, in numpy arrays, so that a condition is tested on all vectors at once.

A version is never changed, only followed by the next: who reads one keeps a consistent picture without a lock.
Values of a list count one by one, so a list matches what any of its elements matches.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Slots = NDArray[np.int32]
_NO_SLOTS: Slots = np.empty(0, dtype=np.int32)
_LABEL_TYPES, _NUMBER_TYPES = {str, bool}, {int, float}


def _no_slots() -> Slots:
    return _NO_SLOTS


def _no_numbers() -> NDArray[np.float64]:
    return np.empty(0, dtype=np.float64)


@dataclass
class _Additions:
    """Values to come under one key, the value at each place for the slot at the same place."""

    slots: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def split(self) -> tuple[list[int], list[str | bool], list[int], list[float]]:
        """Slots and labels, slots and numbers."""
        kinds = {*map(type, self.values)}
        if kinds <= _NUMBER_TYPES:
            return [], [], self.slots, self.values
        if kinds <= _LABEL_TYPES:
            return self.slots, self.values, [], []
        pairs = [
            (slot, each)
            for slot, value in zip(self.slots, self.values, strict=True)
            for each in (value if type(value) is list else (value,))
        ]
        labels = [pair for pair in pairs if type(pair[1]) in _LABEL_TYPES]
        numbers = [pair for pair in pairs if type(pair[1]) in _NUMBER_TYPES]
        return *_unzipped(labels), *_unzipped(numbers)


@dataclass(frozen=True, eq=False)
class Column:
    """The values under one key: labels (strings and booleans) by code, numbers as they are."""

    slots: Slots = field(default_factory=_no_slots)
    codes: NDArray[np.int32] = field(default_factory=_no_slots)
    code_of: Mapping[str | bool, int] = field(default_factory=dict)
    number_slots: Slots = field(default_factory=_no_slots)
    numbers: NDArray[np.float64] = field(default_factory=_no_numbers)

    @cached_property
    def _sorted_strings(self) -> tuple[list[str], NDArray[np.int32]]:
        """The strings in order and their codes."""
        strings = sorted(label for label in self.code_of if isinstance(label, str))
        return strings, np.array([self.code_of[each] for each in strings], dtype=np.int32)

    def coded(self, codes: list[int] | NDArray[np.int32]) -> Slots:
        """The slots that hold one of the codes."""
        wanted = np.zeros(len(self.code_of), dtype=np.bool_)
        wanted[codes] = True
        found: Slots = self.slots[wanted[self.codes]]
        return found

    def starting(self, prefix: str) -> Slots:
        strings, codes = self._sorted_strings
        low = bisect_left(strings, prefix)
        high = bisect_right(strings, prefix, lo=low, key=lambda each: each[: len(prefix)])
        return self.coded(codes[low:high])

    def without(self, gone: Mask) -> "Column":
        kept, kept_numbers = ~gone[self.slots], ~gone[self.number_slots]
        if kept.all() and kept_numbers.all():
            return self
        column = Column(
            self.slots[kept],
            self.codes[kept],
            self.code_of,
            self.number_slots[kept_numbers],
            self.numbers[kept_numbers],
        )
        # Labels that nothing holds any more go when they are the larger part, or they would pile up for ever.
        return column._recoded() if len(self.code_of) > 2 * len(column.slots) + 1024 else column

    def with_added(self, added: _Additions) -> "Column":
        slots, labels, number_slots, numbers = added.split()
        code_of = dict(self.code_of)
        for each in dict.fromkeys(labels):
            code_of.setdefault(each, len(code_of))
        codes = np.fromiter(map(code_of.__getitem__, labels), np.int32, len(labels))
        return Column(
            np.concatenate([self.slots, np.array(slots, dtype=np.int32)]),
            np.concatenate([self.codes, codes]),
            code_of,
            np.concatenate([self.number_slots, np.array(number_slots, dtype=np.int32)]),
            np.concatenate([self.numbers, np.array(numbers, dtype=np.float64)]),
        )

    def _recoded(self) -> "Column":
        used, codes = np.unique(self.codes, return_inverse=True)
        labels = list(self.code_of)
        code_of = {labels[old]: new for new, old in enumerate(used.tolist())}
        return Column(self.slots, codes.astype(np.int32), code_of, self.number_slots, self.numbers)


@dataclass(frozen=True, eq=False)
class Columns:
    """All keys of an index at one moment. Masks are as long as `capacity`, one place a slot."""

    capacity: int = 0
    by_key: Mapping[str, Column] = field(default_factory=dict)

    def following(
        self, capacity: int, removed: Collection[int], added: Iterable[tuple[int, Mapping[str, Any]]]
    ) -> "Columns":
        """The next version: first the `removed` slots are emptied, then `added` (slot, metadata) comes in."""
        gone = np.zeros(capacity, dtype=np.bool_)
        gone[list(removed)] = True
        columns = {key: column.without(gone) for key, column in self.by_key.items()} if removed else dict(self.by_key)
        for key, additions in _by_key(added).items():
            columns[key] = columns.get(key, Column()).with_added(additions)
        held = {key: column for key, column in columns.items() if len(column.slots) or len(column.number_slots)}
        return Columns(capacity, held)

    def present(self, key: str) -> Mask:
        column = self._column(key)
        return self._mask(column.slots, column.number_slots)

    def equal(self, key: str, values: Sequence[str | bool | int | float]) -> Mask:
        """Where the key holds one of the values; `true` is not 1, and "1" is not 1."""
        column = self._column(key)
        codes = [column.code_of[each] for each in values if isinstance(each, str | bool) and each in column.code_of]
        numbers = [float(each) for each in values if not isinstance(each, str | bool)]
        found = column.coded(codes) if codes else _NO_SLOTS
        return self._mask(found, column.number_slots[np.isin(column.numbers, numbers)] if numbers else _NO_SLOTS)

    def compared(self, key: str, test: Callable[[NDArray[np.float64], float], Mask], number: float) -> Mask:
        column = self._column(key)
        return self._mask(column.number_slots[test(column.numbers, number)])

    def starting(self, key: str, prefix: str) -> Mask:
        return self._mask(self._column(key).starting(prefix))

    def _column(self, key: str) -> Column:
        return self.by_key.get(key) or Column()

    def _mask(self, *found: Slots) -> Mask:
        mask = np.zeros(self.capacity, dtype=np.bool_)
        for slots in found:
            mask[slots] = True
        return mask


def _unzipped(pairs: list[tuple[int, Any]]) -> tuple[list[int], list[Any]]:
    return [slot for slot, _ in pairs], [value for _, value in pairs]


def _by_key(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[str, _Additions]:
    found: dict[str, _Additions] = defaultdict(_Additions)
    for slot, metadata in rows:
        for key, value in metadata.items():
            additions = found[key]
            additions.slots.append(slot)
            additions.values.append(value)
    return found
