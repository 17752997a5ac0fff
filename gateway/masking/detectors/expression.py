"""A pattern as a tree: as much of RE2's syntax as the shipped detectors use, for `automaton`.

Characters are bytes (Latin-1), as `shape.compiled` has them. What isn't known here raises `Unknown`, and RE2 reads such
a pattern alone; tests/masking/detectors/test_automaton.py holds this against RE2.

Syntax: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
r"""What ``\b`` is about; ASCII alone, also in RE2."""

_ALL = frozenset(range(256))
_DIGITS = frozenset(b"0123456789")
_CONTROLS = {ord("t"): 9, ord("n"): 10, ord("r"): 13}
_QUANTIFIERS = {ord("?"): (0, 1), ord("*"): (0, None), ord("+"): (1, None)}
_SPECIAL = b".^$[]{}?*+"


class Unknown(ValueError):
    """Not in the part of the syntax that this module reads."""


@dataclass(frozen=True, slots=True)
class Byte:
    """One of them."""

    among: frozenset[int]


@dataclass(frozen=True, slots=True)
class Boundary:
    r"""``\b``: of the bytes before and behind, exactly one is a letter, digit or underscore."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One after the other."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """``least`` to ``most`` times (None: any number)."""

    part: Tree
    least: int
    most: int | None


Tree: TypeAlias = Byte | Boundary | Chain | Choice | Repeated


def parsed(pattern: bytes) -> Tree:
    """Raises Unknown."""
    reading = _Reading(pattern)
    tree = reading.choice()
    if reading.pos < len(pattern):
        raise Unknown("a bracket too many")
    return tree


def longest(tree: Tree) -> int | None:
    """Bytes of the longest match; None: there is no longest."""
    match tree:
        case Byte():
            return 1
        case Boundary():
            return 0
        case Chain(parts):
            total = 0
            for part in parts:
                size = longest(part)
                if size is None:
                    return None
                total += size
            return total
        case Choice(parts):
            sizes = [longest(part) for part in parts]
            return None if None in sizes else max(size for size in sizes if size is not None)
        case Repeated(part, _, most):
            size = longest(part)
            return None if size is None or most is None else size * most


def without_bounds(tree: Tree) -> Tree:
    """The same without upper bounds of repetitions: matches wherever ``tree`` does, and has few states, because
    nothing needs to be counted."""
    match tree:
        case Chain(parts):
            return Chain(tuple(map(without_bounds, parts)))
        case Choice(parts):
            return Choice(tuple(map(without_bounds, parts)))
        case Repeated(part, least, most):
            return Repeated(without_bounds(part), least, most if most is not None and most - least <= _FEW else None)
        case _:
            return tree


_FEW = 4
"""Repetitions more or less that are counted nevertheless: groups of digits are told by little else."""


class _Reading:
    """Recursive descent: choice, chain, repetition, atom."""

    def __init__(self, pattern: bytes) -> None:
        self.pos = 0
        self._pattern = pattern
        self._folds = False  # (?i)

    def choice(self) -> Tree:
        folds = self._folds
        parts = [self._chain()]
        while self._takes(b"|"):
            parts.append(self._chain())
        self._folds = folds
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _chain(self) -> Tree:
        parts: list[Tree] = []
        while (byte := self._peek()) not in (-1, ord("|"), ord(")")):
            if self._takes(b"(?i)"):
                self._folds = True
            else:
                parts.append(self._repetition(self._atom(byte)))
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def _repetition(self, part: Tree) -> Tree:
        byte = self._peek()
        if byte in _QUANTIFIERS:
            self.pos += 1
            least, most = _QUANTIFIERS[byte]
        elif byte == ord("{"):
            least, most = self._counts()
        else:
            return part
        if self._peek() in (*_QUANTIFIERS, ord("{")):
            raise Unknown("a quantifier behind another one")
        return Repeated(part, least, most)

    def _counts(self) -> tuple[int, int | None]:
        end = self._pattern.find(b"}", self.pos)
        first, comma, second = self._pattern[self.pos + 1 : end].partition(b",")
        if end < 0 or not first.isdigit() or not (second.isdigit() or not second):
            raise Unknown("a curly bracket that is no number of times")
        self.pos = end + 1
        least = int(first)
        return least, least if not comma else int(second) if second else None

    def _atom(self, byte: int) -> Tree:
        if byte == ord("("):
            return self._group()
        if byte == ord("["):
            return self._class()
        if self._takes(rb"\b"):
            return Boundary()
        if byte in _SPECIAL:
            raise Unknown(f"{chr(byte)!r} at byte {self.pos}")
        return self._byte(self._character())

    def _group(self) -> Tree:
        folds = self._folds
        if self._takes(b"(?i:"):
            self._folds = True
        elif not self._takes(b"(?:"):
            raise Unknown("a group of another kind than (?: and (?i:")
        tree = self.choice()
        self._folds = folds
        if not self._takes(b")"):
            raise Unknown("a bracket that isn't closed")
        return tree

    def _class(self) -> Tree:
        self.pos += 1
        inverted = self._takes(b"^")
        if self._peek() == ord("]"):
            raise Unknown("a class that begins with a bracket")
        among: frozenset[int] = frozenset()
        while not self._takes(b"]"):
            if self._peek() in (-1, ord("[")):
                raise Unknown("a class that isn't closed, or has another one in it")
            first = self._character()
            if self._peek() == ord("-") and self._pattern[self.pos + 1 : self.pos + 2] != b"]":
                self.pos += 1
                last = self._character()
                if len(first) != 1 or len(last) != 1:
                    raise Unknown("a range of more than bytes")
                first = frozenset(range(min(first), min(last) + 1))
            among |= first
        byte = self._byte(among)
        return Byte(_ALL - byte.among) if inverted else byte

    def _character(self) -> frozenset[int]:
        """One byte as it stands, or an escape."""
        byte = self._peek()
        if byte < 0:
            raise Unknown("it ends too early")
        self.pos += 1
        if byte != ord("\\"):
            return frozenset({byte})
        escaped = self._peek()
        self.pos += 1
        if escaped == ord("d"):
            return _DIGITS
        if escaped == ord("x"):
            digits = self._pattern[self.pos : self.pos + 2]
            if len(digits) != 2 or not digits.isalnum():
                raise Unknown("an escape that isn't two digits long")
            self.pos += 2
            return frozenset({int(digits, 16)})
        if escaped in _CONTROLS:
            return frozenset({_CONTROLS[escaped]})
        if escaped in WORD or not 0 <= escaped < 0x80:
            raise Unknown("an escape of another kind")
        return frozenset({escaped})

    def _byte(self, among: frozenset[int]) -> Byte:
        return Byte(among.union(*map(_both_cases, among)) if self._folds else among)

    def _peek(self) -> int:
        return self._pattern[self.pos] if self.pos < len(self._pattern) else -1

    def _takes(self, literal: bytes) -> bool:
        if not self._pattern.startswith(literal, self.pos):
            return False
        self.pos += len(literal)
        return True


def _both_cases(byte: int) -> frozenset[int]:
    """Of ASCII's letters alone: so has RE2 it for Latin-1."""
    letter = bytes([byte])
    return frozenset(letter.lower() + letter.upper())
