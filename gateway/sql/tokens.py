"""PostgreSQL's lexical structure, as far as it takes to find constants: what is shown to others never holds one.

Source: PostgreSQL 17 documentation, 4.1 (lexical structure), with standard_conforming_strings on. Only used on text
that the real parser accepted; what anything is allowed to do is never decided here.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<space>[ \t\n\r\f\v]+)
    | (?P<line>--[^\n\r]*)
    | (?P<open>/\*)
    | (?P<string>(?:[eE]'(?:[^'\\]|\\.|'')*'|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'))
    | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*")
    | (?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
    | (?P<param>\$[0-9]+)
    | (?P<dollar>\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$)
    | (?P<number>(?:[0-9]|\.[0-9])(?:[eE][+-](?=[0-9])|[0-9A-Za-z_.])*)
    | (?P<other>::|:=|=>|<=|>=|<>|!=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_PLAIN_QUOTED: Final = re.compile(r'"([a-z_][a-z0-9_$]*)"')
_GLUED_BEFORE: Final = frozenset({",", ")", ";", ".", "::", "]", "["})
_GLUED_AFTER: Final = frozenset({"(", ".", "::", "["})
_BEFORE_BRACKET: Final = frozenset("+-*/<>=~!@#%^&|`?:,") | {"<=", ">=", "<>", "!=", ":=", "=>"}
_CREDENTIAL: Final = re.compile(
    r"passw(?:or)?d\s*(?:=\s*\S|(?:E|U&)?['$])|://[^\s/:@]*:[^\s@]+@",
    re.IGNORECASE,
)
_NAMES: Final = frozenset({"word", "quoted"})
_ASSIGNS: Final = frozenset({"=", "to"})
"""``SET my.token = abc`` needs no quotes."""

BLANK: Final = "'<redacted>'"


def scan(text: str) -> list[tuple[str, int, int]]:
    """(kind, start, end) of every token: ``space``, ``comment``, ``string``, ``quoted``, ``word``, ``param``,
    ``number`` or ``other``; a dollar-quoted string is a ``string``."""
    tokens: list[tuple[str, int, int]] = []
    position = 0
    length = len(text)
    match = _TOKEN.match
    while position < length:
        found = match(text, position)
        if found is None:
            raise AssertionError("every character is a token")
        kind = found.lastgroup or "other"
        end = found.end()
        if kind == "open":
            kind, end = "comment", _comment_end(text, end)
        elif kind == "line":
            kind = "comment"
        elif kind == "dollar":
            close = text.find(found.group(), end)
            kind, end = "string", length if close < 0 else close + end - position
        tokens.append((kind, position, end))
        position = end
    return tokens


def _comment_end(text: str, position: int) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def normalise(text: str, *, secret: bool = False) -> str:
    """One line with constants as ``$n``, counted on from the highest parameter; without comments.

    Unquoted words in lower case and spaces in the same places, so that a pattern on it can't be evaded by writing
    the same statement differently. ``text`` must be what the parser accepted; ``secret`` as in `redact`.
    """
    tokens = scan(text)
    number = max((int(text[start + 1 : end][:9]) for kind, start, end in tokens if kind == "param"), default=0)
    parts: list[str] = []
    last = ""
    for kind, start, end in tokens:
        if kind == "space" or kind == "comment":
            continue
        if kind == "string" or kind == "number" or (secret and kind in _NAMES and last in _ASSIGNS):
            number += 1
            token = f"${number}"
        else:
            token = text[start:end]
            if kind == "word":
                token = token.lower()
            elif kind == "quoted":
                plain = _PLAIN_QUOTED.fullmatch(token)
                token = plain.group(1) if plain is not None else token
        apart = last in _BEFORE_BRACKET if token == "(" else token not in _GLUED_BEFORE and last not in _GLUED_AFTER
        if parts and apart:
            parts.append(" ")
        parts.append(token)
        last = token
    return "".join(parts).rstrip("; ")


def redact(text: str, *, secret: bool, understood: bool) -> str:
    """The text with credentials blanked.

    secret      one of its statements has a password clause, or options that hold one: all its strings go, since
                telling them apart is worth less than being sure
    understood  the parser accepted it. If it didn't, a text that speaks of credentials goes as a whole
    """
    if not secret and "passw" not in (low := text.lower()) and "://" not in low:
        return text
    if not understood:
        return "<redacted: not understood, and speaks of credentials>"
    parts: list[str] = []
    last = ""
    for kind, start, end in scan(text):
        token = text[start:end]
        if kind != "space" and kind != "comment":
            assigned, last = last in _ASSIGNS, token.lower()
        else:
            assigned = False
        if (kind == "string" and (secret or _CREDENTIAL.search(token))) or (secret and assigned):
            token = BLANK
        elif kind == "comment" and (secret or _CREDENTIAL.search(token)):
            token = "/* <redacted> */"
            if text[start : start + 2] == "--":
                token = "-- <redacted>"
        parts.append(token)
    return "".join(parts)
