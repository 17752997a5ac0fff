"""A subset of JSONPath (RFC 9535) that names values of a document: `$`, `.name`, `['name']`, `[*]`, `[n]`, `..name`.

All paths of a policy walk down a document together, as one automaton: a `Place` says how far each of them is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

MAX_PATH = 64
"""Steps. PostgreSQL's own documents are rarely 20 deep where somebody names a place in them."""

_STEP = re.compile(
    r"""
      \.(?P<descends>\.)?(?P<name>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)
    | (?:\.\.(?=\[['"]))?\[(?P<quote>['"])(?P<quoted>[^'"\\]+)(?P=quote)\]
    | \[(?P<index>0|[1-9][0-9]{0,8})\]
    | (?P<any>\[\*\])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One child of a value: an object's by its name, an array's by its index, or (None) any.

    ``descends``: of the value, or of anything inside it.
    """

    child: str | int | None
    descends: bool = False


Path: TypeAlias = tuple[Step, ...]


def parse_path(text: str) -> Path:
    """The steps behind ``$``. Raises ValueError: what is wrong; the mend."""
    if not text.startswith("$"):
        raise ValueError("is not a JSON path; write one that begins with $, such as $..email or $.contact['e-mail']")
    steps = []
    pos = 1
    while pos < len(text):
        found = _STEP.match(text, pos)
        if found is None:
            raise ValueError("is not a JSON path of the kind known here; write $ and .name, ['name'], [*], [0], ..name")
        if found["any"] is not None:
            steps.append(Step(None))
        elif found["index"] is not None:
            steps.append(Step(int(found["index"])))
        else:
            steps.append(Step(found["name"] or found["quoted"], found[0].startswith("..")))
        pos = found.end()
    if len(steps) > MAX_PATH:
        raise ValueError(f"has more than {MAX_PATH} steps; name a place further up, or use ..name")
    return tuple(steps)


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
