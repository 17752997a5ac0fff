"""Follows paths through a JSON document: all of a policy's at once, as one automaton."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from gateway.json_paths import Path

T = TypeVar("T")

Place: TypeAlias = tuple[tuple[int, int], ...]
"""Which paths lead on from here, and how many of their steps are done."""

NOWHERE: Place = ()


@dataclass(frozen=True, slots=True)
class Paths(Generic[T]):
    """Paths, each with what is meant for the values that it names."""

    paths: tuple[tuple[Path, T], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.paths)

    @property
    def root(self) -> Place:
        return tuple((number, 0) for number in range(len(self.paths)))

    @property
    def children(self) -> frozenset[str | int]:
        """Names and indices that a path has in it; below one place, all others lead to the same one."""
        return frozenset(step.child for path, _ in self.paths for step in path if step.child is not None)

    def below(self, place: Place, child: str | int) -> Place:
        """The place of one child. What is inside a value that a path names is named, too."""
        found: dict[tuple[int, int], None] = {}
        for number, done in place:
            path = self.paths[number][0]
            if done == len(path):
                found[number, done] = None
                continue
            step = path[done]
            if step.child is None or (step.child == child and type(step.child) is type(child)):
                found[number, done + 1] = None
            if step.descends:
                found[number, done] = None
        return tuple(found)

    def at(self, place: Place) -> Sequence[T]:
        """All that is meant for the value at this place."""
        return [self.paths[number][1] for number, done in place if done == len(self.paths[number][0])]
