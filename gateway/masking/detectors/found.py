# distutils: extra_compile_args = -O3
# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""What is found in one text, as numbers in one array: objects for each value took longer than finding it."""

from __future__ import annotations

from array import array
from typing import Any

_ROOM = 128
"""Values, before the array grows: a column of a hundred rows seldom has more."""


class Found:
    """Values, each three numbers in ``items``: where it begins, where it ends, which detector's it is.

    count    how many
    apart    each begins where the one before ends, or behind: they are sorted, and no byte is in two
    start, end  the match that is being judged
    """

    def __init__(self) -> None:
        self.count = 0
        self.apart = True
        self.start = self.end = 0
        self._behind = 0  # where the last value ends
        self._size = 0
        self._room: array[int] | None = None
        self.items: Any = None  # compiled, a view of the array

    def add(self, start: int, end: int, detector: int) -> None:
        at = 3 * self.count
        if at == self._size:
            self._grow()
        self.items[at] = start
        self.items[at + 1] = end
        self.items[at + 2] = detector
        if start < self._behind or end <= start:
            self.apart = False
        self._behind = end
        self.count += 1

    def _grow(self) -> None:
        self._size = 4 * self._size or 3 * _ROOM
        larger = array("q", bytes(8 * self._size))
        if self._room is not None:
            larger[: len(self._room)] = self._room
        self._room = larger
        self.items = larger

    def values(self) -> list[tuple[int, int, int]]:
        """As tuples, by start, each once."""
        items = self.items
        found = [(items[at], items[at + 1], items[at + 2]) for at in range(0, 3 * self.count, 3)]
        return found if self.apart else sorted(set(found))
