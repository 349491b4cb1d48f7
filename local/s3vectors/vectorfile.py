"""The vectors of one index on disk: rows of little-endian float32, one a slot, mapped into memory for reading.

Writing goes through the file descriptor, not through the map, so that a full disk is an error and not a signal.
What is written survives the end of the process: the pages belong to the kernel from then on.
"""

import os
import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
_FLOAT = np.dtype("<f4")
_CHUNK_BYTES, _CHUNK_SLOTS = 4 * 2**20, 8192


class VectorFile:
    """Slots 0…capacity. Maps handed out before the file grew stay valid."""

    def __init__(self, path: Path, dimension: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._dimension = dimension
        self._row_bytes = dimension * _FLOAT.itemsize
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, self._descriptor)  # readers may outlive the index
        self.capacity = os.fstat(self._descriptor).st_size // self._row_bytes
        self.rows = self._map()

    def grow(self, slots: int) -> None:
        """Make room for at least `slots`, in chunks; the room takes no disk until it is written."""
        chunk = min(_CHUNK_BYTES // self._row_bytes, _CHUNK_SLOTS)  # every write costs a little for every slot
        step = max(chunk, self.capacity // 2, 1)
        self.capacity = max(slots, self.capacity + step)
        os.ftruncate(self._descriptor, self.capacity * self._row_bytes)
        self.rows = self._map()

    def write(self, slots: Sequence[int], rows: Rows) -> None:
        """Write one row a slot; `slots` ascending, so that neighbours go in one call."""
        raw = np.ascontiguousarray(rows, dtype=_FLOAT)
        for start, end in _runs(slots):
            block = memoryview(raw[start:end].tobytes())
            offset = slots[start] * self._row_bytes
            while block:
                written = os.pwrite(self._descriptor, block, offset)
                block, offset = block[written:], offset + written

    def read(self, slot: int) -> Rows:
        raw = os.pread(self._descriptor, self._row_bytes, slot * self._row_bytes)
        return np.frombuffer(raw, dtype=_FLOAT)

    def _map(self) -> Rows:
        if not self.capacity:
            return np.empty((0, self._dimension), dtype=_FLOAT)
        return np.asarray(np.memmap(self._path, dtype=_FLOAT, mode="r", shape=(self.capacity, self._dimension)))


def _runs(slots: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where runs of neighbouring slots start and end."""
    breaks = [n for n, (left, right) in enumerate(pairwise(slots), 1) if right != left + 1]
    yield from pairwise([0, *breaks, len(slots)])
