"""How long a match of an RE2 pattern can be.

RE2 doesn't say, and a stream must know how much it has to hold back. One walk over the pattern, whose syntax RE2 has
accepted before (https://github.com/google/re2/wiki/Syntax).
"""

from __future__ import annotations

import re
from typing import TypeAlias

Width: TypeAlias = tuple[int, int | None]
"""Bytes of UTF-8 of the shortest and of the longest match; None: it has no end."""

_CHARACTER: Width = (1, 4)
_ASCII: Width = (1, 1)
_NOTHING: Width = (0, 0)

_TIMES: dict[str, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}
_QUANTIFIER = re.compile(r"[*+?]|\{([0-9]+)(,?)([0-9]*)\}")
_GROUP = re.compile(r"\?(?:P?<[^>]*>|[a-zA-Z-]*:)")
_FLAGS = re.compile(r"\?[a-zA-Z-]*\)")
_IGNORES_CASE = re.compile(r"\(\?[a-zA-Z]*i")
_QUOTED = re.compile(r"(\\[^Q])|\\Q(.*?)(?:\\E|$)", re.DOTALL)
_ESCAPE = re.compile(
    r"(?P<nothing>[bBAzZ])|(?P<ascii>[dswafnrtvC]|[0-7]{1,3}|x[0-7][0-9a-fA-F])"
    r"|(?P<any>[DSW]|[pP](?:\{[^}]*\}|.)|x\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2})|(?P<itself>.)",
    re.DOTALL,
)


def width(pattern: str) -> Width:
    """``pattern`` is one that RE2 accepts; bounds may be wider than true, never narrower."""
    walk = _Walk(pattern)
    found = walk.alternatives()
    assert walk.at == len(walk.pattern), "RE2 accepts no closing parenthesis that nothing opened"
    return found


def is_anchored(pattern: str) -> bool:
    """Whether a match depends on where the searched text begins or ends; ``pattern`` is one that RE2 accepts."""
    walk = _Walk(pattern)
    walk.alternatives()
    return walk.anchored


class _Walk:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern = _QUOTED.sub(lambda quoted: quoted[1] or re.escape(quoted[2]), pattern)
        self.at = 0
        self.anchored = False
        # K is also the Kelvin sign, three bytes: where case doesn't matter, ASCII isn't one byte.
        self._ascii = _CHARACTER if _IGNORES_CASE.search(pattern) else _ASCII

    def alternatives(self) -> Width:
        shortest, longest = self._sequence()
        while self._takes("|"):
            other = self._sequence()
            shortest = min(shortest, other[0])
            longest = None if longest is None or other[1] is None else max(longest, other[1])
        return shortest, longest

    def _sequence(self) -> Width:
        shortest = 0
        longest: int | None = 0
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            one = self._repeated(self._atom())
            shortest += one[0]
            longest = None if longest is None or one[1] is None else longest + one[1]
        return shortest, longest

    def _repeated(self, one: Width) -> Width:
        while (quantifier := _QUANTIFIER.match(self.pattern, self.at)) is not None:
            self.at = quantifier.end()
            self._takes("?")
            low, comma, high = quantifier.groups()
            fewest, most = _TIMES.get(quantifier[0]) or (int(low), int(high) if high else None if comma else int(low))
            longest = 0 if one[1] == 0 else None if one[1] is None or most is None else one[1] * most
            one = one[0] * fewest, longest
        return one

    def _atom(self) -> Width:
        character = self.pattern[self.at]
        self.at += 1
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case ".":
                return _CHARACTER
            case "^" | "$":
                self.anchored = True
                return _NOTHING
            case _:
                return self._ascii if character.isascii() else _CHARACTER

    def _group(self) -> Width:
        flags = _FLAGS.match(self.pattern, self.at)
        if flags is not None:
            self.at = flags.end()
            return _NOTHING
        opening = _GROUP.match(self.pattern, self.at)
        if opening is not None:
            self.at = opening.end()
        found = self.alternatives()
        self._takes(")")
        return found

    def _class(self) -> Width:
        found = _CHARACTER if self._takes("^") else self._ascii
        first = True
        while first or self.pattern[self.at] != "]":
            first = False
            if self.pattern.startswith("[:", self.at):
                name = self.pattern.index(":]", self.at)
                found = _CHARACTER if self.pattern[self.at + 2] == "^" else found
                self.at = name + 2
            elif self._takes("\\"):
                found = max(found, self._escape())
            else:
                found = found if self.pattern[self.at].isascii() else _CHARACTER
                self.at += 1
        self.at += 1
        return found

    def _escape(self) -> Width:
        escape = _ESCAPE.match(self.pattern, self.at)
        assert escape is not None, "RE2 accepts no backslash at the end"
        self.at = escape.end()
        match escape.lastgroup:
            case "nothing":
                self.anchored = self.anchored or escape.group() in "AzZ"
                return _NOTHING
            case "ascii":
                return self._ascii
            case "any":
                return _CHARACTER
            case _:
                return self._ascii if escape.group().isascii() else _CHARACTER

    def _takes(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True
