"""Globs: ``*`` stands for any run of characters, ``?`` for one; everything else for itself.

Not fnmatch: a ``[`` is an ordinary character, so that a name with a bracket can't turn into a class. A ``*`` also
crosses dots and slashes, so that in a deny it covers more, never less, than it seems to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


def is_glob(pattern: str) -> bool:
    """Whether ``pattern`` can stand for more than one name."""
    return "*" in pattern or "?" in pattern


def names_nobody(pattern: str) -> bool:
    """Whether ``pattern`` consists of wildcards only, so that it is as good as no condition."""
    return not pattern.strip("*?")


@dataclass(frozen=True, slots=True)
class Globs:
    """Some globs, compiled; a name matches when one of them does. No glob at all matches nothing."""

    patterns: tuple[str, ...]
    exact: frozenset[str]
    wild: re.Pattern[str] | None

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Globs:
        """Compile ``patterns``; their order and repetitions are forgotten."""
        unique = tuple(sorted(set(patterns)))
        wild = [expression(pattern) for pattern in unique if is_glob(pattern)]
        return cls(
            patterns=unique,
            exact=frozenset(pattern for pattern in unique if not is_glob(pattern)),
            wild=re.compile("|".join(wild), re.DOTALL) if wild else None,
        )

    def match(self, name: str) -> bool:
        """Whether one of the globs stands for the whole of ``name``."""
        return name in self.exact or (self.wild is not None and self.wild.fullmatch(name) is not None)

    def any(self, names: Iterable[str]) -> bool:
        """Whether one of ``names`` matches."""
        return any(map(self.match, names))

    def __str__(self) -> str:
        return ", ".join(self.patterns)


def expression(pattern: str, star: str = "*", one: str = "?") -> str:
    """A regular expression for one glob, of which ``star`` and ``one`` are the wildcards.

    Atomic groups, because a plain ``.*`` for each star would try every split of a long name: names come from callers,
    and a caller who can choose one must not be able to stall us.
    """
    first, *others = [
        "".join("." if character == one else re.escape(character) for character in piece)
        for piece in pattern.split(star)
    ]
    if not others:
        return first
    middle = "".join(f"(?>.*?{piece})" for piece in others[:-1] if piece)
    return f"{first}{middle}.*{others[-1]}"
