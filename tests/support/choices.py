"""Random choices that can be played again, and made smaller: what a failing random test is boiled down with.

As in hypothesis' internal test-case reduction: whatever a generator makes follows from a list of numbers, so a shorter
list with smaller numbers makes a smaller thing of the same kind. Hypothesis itself stops at the first failure and
spends milliseconds on each example; statements are made here by the ten thousand, and all failures are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """New ones from ``seed``, or ``recorded`` ones again; beyond the end of a recording every choice is 0.

    A generator keeps the simplest possibility at 0.
    """

    def __init__(self, seed: str | None = None, recorded: Sequence[int] = ()) -> None:
        self._random = None if seed is None else Random(seed)
        self._recorded = recorded
        self.made: list[int] = []

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        if self._random is not None:
            chosen = self._random.randrange(limit)
        else:
            place = len(self.made)
            chosen = min(self._recorded[place], limit - 1) if place < len(self._recorded) else 0
        self.made.append(chosen)
        return chosen

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def happens(self, percent: int) -> bool:
        """True for about so many in a hundred; what doesn't happen is simpler."""
        return self.below(100) >= 100 - percent


def shrink(made: Sequence[int], fails: Callable[[Sequence[int]], bool], *, tries: int = 300) -> list[int]:
    """The smallest list found of which ``fails`` still says yes; it is asked ``tries`` times at most."""
    best = list(made)
    left = tries

    def better(candidate: list[int]) -> bool:
        nonlocal best, left
        if left <= 0 or candidate == best:
            return False
        left -= 1
        if not fails(candidate):
            return False
        best = candidate
        return True

    improved = True
    while improved and left > 0:
        improved = False
        size = max(len(best) // 2, 1)
        while size:
            start = 0
            while start < len(best):
                if better(best[:start] + best[start + size :]):
                    improved = True
                else:
                    start += size
            size //= 2
        for place in range(len(best)):
            if place < len(best) and best[place]:
                simpler = (0, best[place] // 2)
                improved |= any(better([*best[:place], value, *best[place + 1 :]]) for value in simpler)
    return best
