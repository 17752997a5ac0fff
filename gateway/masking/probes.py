"""How many hidden values an operation is compared with, and how many may be.

`where ssn = $1` is what applications need, and answers a guess. So guesses are counted, by session and by principal:
who tries a list of values is stopped long before a list of people is through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.model import LabelUse, SqlOperation

PROBES_AT_ONCE: Final = 100
"""Values that may be compared at once: a page of a list that is looked up by IN. An INSERT from a query counts as many,
since its text doesn't tell how many rows it has (`gateway.sql.lineage.changes.BULK`)."""

PROBES_A_MINUTE: Final = 20
"""Values that come back a minute: somebody at a desk looks up fewer; 28,800 a day are 0.003% of all social security
numbers. An application that looks up more needs the label in the clear, or a column without one to look up by."""


class ProbeLimit:
    """A bucket of comparisons: full at first, refilled with time."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left = float(PROBES_AT_ONCE)
        self._at = now

    def left(self, now: float) -> float:
        """How many may be compared now."""
        gained = max(now - self._at, 0.0) * PROBES_A_MINUTE / 60
        return min(self._left + gained, float(PROBES_AT_ONCE))

    def take(self, count: int, now: float) -> None:
        self._left = self.left(now) - count
        self._at = now


def probes(
    operation: SqlOperation,
    hidden: frozenset[str],
    parameters: Sequence[bytes | None] | None = None,
    formats: Sequence[int] = (),
) -> tuple[frozenset[str], int]:
    """Hidden labels whose values this compares for equality, and with how many values.

    ``parameters`` as Bind has them, in ``formats`` (none: text; one: of all of them): arrays among them are counted by
    their elements.
    """
    labels: set[str] = set()
    count = 0
    for use in operation.uses or ():
        if use.kind == "probe" and use.labels & hidden:
            labels |= use.labels & hidden
            count += _compared(use, parameters, formats)
    return frozenset(labels), count


def _compared(use: LabelUse, parameters: Sequence[bytes | None] | None, formats: Sequence[int]) -> int:
    count = use.count
    for number in use.arrays:
        if parameters is None or not 0 < number <= len(parameters):
            # Nobody knows what is in it.
            return PROBES_AT_ONCE
        value = parameters[number - 1]
        if value is not None:
            code = formats[number - 1] if len(formats) > 1 else (formats[0] if formats else 0)
            count += _elements(value, binary=code == 1) - 1
    return max(count, 1)


def _elements(value: bytes, *, binary: bool) -> int:
    """At least as many elements as an array has; 1 for what is none (array_recv and array_in of arrayfuncs.c)."""
    if not binary:
        return value.count(b",") + 1
    dimensions = int.from_bytes(value[:4])
    if not 0 < dimensions <= 6:
        return 1
    total = 1
    for index in range(dimensions):
        total *= int.from_bytes(value[12 + 8 * index : 16 + 8 * index])
    # Each element has a length of 4 bytes: what claims to hold more than fits is no array, and compares nothing.
    return min(total, len(value) // 4)
