"""Statements that differ in nothing but plain numbers, and whether that makes any difference to their analysis.

An application that writes its numbers into the text sends a new text with each statement; to analyse each anew takes
ten times as long as all the rest. Two texts have the same *shape* when they are the same but for plain numbers
(one to nine digits, not beginning with 0) outside of everything that has a lexical structure of its own. To lexer
and grammar such numbers are one and the same token, so the two parse trees are the same but for those numbers and
the places in the text (which no analysis looks at).

Whether the analysis looks at the numbers is not assumed, it is tried. For the first text of a shape each number has to
be found in the parse tree as a constant of its own, at its place (``FLOAT(24)``, array bounds and ``FETCH 5`` keep
theirs elsewhere, and are refused); then the tree is analysed again with numbers that refuse every question about their
value. ``LIMIT 5`` asks, so does an argument that decides whether a function is harmless: their shapes are not free. A
shape that is free has one analysis for all its texts. No fingerprint is involved: libpg_query's is the same for
statements that do differ (shared/postgres.md).
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

import pgparse

from gateway.sql.analysis import _statement
from gateway.sql.facts import Analysis

MAX_SHAPED: Final = 4 * 1024
"""Bytes of a text that is looked at: what people write into programs, not what is generated for bulk loads."""

_STRUCTURED: Final = re.compile(rb"""['"$\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]|--|/\*""")
"""Where a number might not be one: strings, quoted names, parameters, dollar quotes, comments, other characters."""

_NUMBER: Final = re.compile(rb"(?<![0-9A-Za-z_.])[1-9][0-9]{0,8}(?![0-9A-Za-z_.])")
"""Nine digits always fit the grammar's ICONST; what it takes for a float, or for junk, is left as it stands."""

_ANY: Final = b"$"
"""Stands for a number in a shape. No text with one has a shape."""

_KINDS: Final = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"})


_NOBODYS: Final = -1
"""No plain number has a sign."""


class _Asked(BaseException):
    """The analysis wanted to know a number's value. No Exception: who catches those must not take it for his own."""


class _Untold(int):
    """A number that tells nobody what it is. ``isinstance`` is true of it, so that who asks first for the type goes on
    to ask for the value. (C code that takes an index asks no method; it gets `_NOBODYS`, and what comes of it differs
    from what came of the number itself.)"""

    def _refuse(self, *_: object) -> NoReturn:
        raise _Asked

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = __bool__ = __int__ = __index__ = __float__ = __repr__ = __str__ = __format__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __pos__ = __abs__ = _refuse
    __floordiv__ = __rfloordiv__ = __truediv__ = __rtruediv__ = __mod__ = __rmod__ = __divmod__ = _refuse
    __and__ = __or__ = __xor__ = __invert__ = __lshift__ = __rshift__ = __pow__ = __rpow__ = _refuse


def shape_of(text: bytes) -> bytes | None:
    """What ``text`` has in common with those that differ from it in numbers; None: it has none, or more than plain text
    around them."""
    if len(text) > MAX_SHAPED or _STRUCTURED.search(text) is not None:
        return None
    shape, numbers = _NUMBER.subn(_ANY, text)
    return shape if numbers else None


def is_free(text: bytes, analysis: Analysis) -> bool:
    """Whether ``analysis``, of ``text``, has the same ``statements`` as that of every text of the same shape.

    ``text`` must have a shape. Its ``normalised`` and ``digest`` are then the same, too; ``text_digest`` isn't.
    """
    if len(analysis.statements) != 1 or analysis.opaque is not None or analysis.redacted != analysis.text:
        return False
    tree: list[dict[str, Any]] = pgparse.parse(text.decode("ascii"))
    [item] = tree
    body = item["stmt"]
    numbers = {found.start(): int(found.group()) for found in _NUMBER.finditer(text)}
    if _KINDS.isdisjoint(body) or not _hide(body, numbers):
        return False
    try:
        return _statement(body) == analysis.statements[0]
    except _Asked:
        return False
    except Exception:  # noqa: BLE001  # whatever it is, these numbers were not passed by
        return False


def _hide(tree: Any, numbers: dict[int, int]) -> bool:
    """Replaces constants by such that tell nothing; True when these are all of ``numbers`` (by place), once each."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            constant = node.get("A_Const")
            if constant is not None:
                place, held = constant.get("location"), constant.get("ival", {}).get("ival")
                if place in numbers and held == numbers[place]:
                    del numbers[place]
                    constant["ival"]["ival"] = _Untold(_NOBODYS)
            waiting += node.values()
    return not numbers
