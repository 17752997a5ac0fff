# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""JSON (RFC 8259) into tokens, as bytes come; compiled with the C types in json_tokens.pxd, it also runs as it is.

Only what means the same in both may be written here, see rows.py. Strict: what isn't JSON raises PeerError, because a
reader that is more lenient than we are would see values where we see none. Several documents may follow each other
(NDJSON). Whether strings are UTF-8 isn't looked at.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from gateway.errors import PeerError

Token: TypeAlias = tuple[int, int, int]
"""Kind, and where it begins and ends in the data; strings with their quotes."""

STRING: Final = 34
KEY: Final = 58
NUMBER: Final = 48
LITERAL: Final = 116
"""Kinds are characters: a quote, a colon, a zero; with ``structure`` also brackets, a comma, and t for a literal."""

ESCAPED: Final = 256
"""Added to STRING and KEY when there are backslashes in it."""

BEGINNING: Final = 0
"""What `scan` expects at the beginning."""

MAX_DEPTH: Final = 1000
"""Open brackets. Python's own parser ends at its recursion limit, about 1000."""

MAX_NUMBER: Final = 1024
"""Bytes of one number; a 64 bit float has at most 25, arbitrary precision some hundred."""

# What may come next: a document or the end; a value; a value or ]; a key; a key or }; a colon; a comma or the end.
_DOCUMENT = 0
_VALUE = 1
_FIRST_VALUE = 2
_NEXT_KEY = 3
_FIRST_KEY = 4
_COLON = 5
_AFTER = 6

_IN_NUMBER = bytes(byte in b"+-.0123456789eE" for byte in range(256))


ESCAPED_ONLY: Final = 0
VALUES: Final = 1
STRUCTURE: Final = 2
"""What tokens are wanted: strings with backslashes, the key before each, and the last key; strings, keys and numbers;
these, literals, brackets and commas."""


def scan(data: bytes, expected: int, stack: bytearray, wanted: int, ended: bool) -> tuple[list[Token], int, int]:
    """The tokens of ``data``: ``(tokens, end, expected)``.

    expected   what may come next; at first `BEGINNING`
    stack      the brackets that are open, changed in place
    wanted     `ESCAPED_ONLY`, `VALUES` or `STRUCTURE`
    ended      nothing comes behind ``data``
    end        where the first token begins that isn't whole; len(data) when all are

    Raises PeerError when it isn't JSON, or goes beyond a limit.
    """
    view = data
    table = _IN_NUMBER  # held here: a pointer into what a module's name means now is no better than that name
    numeric = table
    size = len(data)
    pos = 0
    key_start = key_end = 0
    tokens: list[Token] = []
    while pos < size:
        byte = view[pos]
        if byte == 32 or byte == 10 or byte == 13 or byte == 9:
            pos += 1
            continue
        start = pos
        if byte == 34:  # "
            kind = 34
            if expected >= _NEXT_KEY:
                if expected > _FIRST_KEY:
                    raise PeerError("JSON: a string where none may be")
                kind = 58
            pos += 1
            while pos < size:
                byte = view[pos]
                if byte == 34:
                    break
                if byte == 92:
                    kind |= 256
                    pos += 1
                elif byte < 32:
                    raise PeerError("JSON: a control character in a string")
                pos += 1
            if pos >= size:
                pos = start
                break
            pos += 1
            if wanted or kind & 256:
                if key_end:
                    tokens.append((58, key_start, key_end))
                    key_end = 0
                tokens.append((kind, start, pos))
            elif kind == 58:
                key_start = start
                key_end = pos
            if kind & 255 == 58:
                expected = _COLON
            else:
                expected = _AFTER if stack else _DOCUMENT
        elif byte == 44:  # comma
            if expected != _AFTER:
                raise PeerError("JSON: a comma where none may be")
            expected = _NEXT_KEY if stack[len(stack) - 1] == 123 else _VALUE
            pos += 1
            if wanted == 2:
                tokens.append((byte, start, pos))
        elif byte == 58:  # :
            if expected != _COLON:
                raise PeerError("JSON: a colon where none may be")
            expected = _VALUE
            pos += 1
        elif byte == 123 or byte == 91:  # { [
            if expected > _FIRST_VALUE:
                raise PeerError("JSON: a bracket where none may be")
            if len(stack) >= MAX_DEPTH:
                raise PeerError(f"JSON: more than {MAX_DEPTH} open brackets")
            stack.append(byte)
            expected = _FIRST_KEY if byte == 123 else _FIRST_VALUE
            pos += 1
            if wanted == 2:
                tokens.append((byte, start, pos))
        elif byte == 125 or byte == 93:  # } ]
            if not stack or stack[len(stack) - 1] != byte - 2:
                raise PeerError("JSON: a closing bracket where none may be")
            if expected != _AFTER and expected != (_FIRST_KEY if byte == 125 else _FIRST_VALUE):
                raise PeerError("JSON: a closing bracket where none may be")
            stack.pop()
            expected = _AFTER if stack else _DOCUMENT
            pos += 1
            if wanted == 2:
                tokens.append((byte, start, pos))
        else:
            if expected > _FIRST_VALUE:
                raise PeerError("JSON: a value where none may be")
            if byte == 45 or 48 <= byte <= 57:
                while pos < size and numeric[view[pos]]:
                    pos += 1
                if pos - start > MAX_NUMBER:
                    raise PeerError(f"JSON: a number of more than {MAX_NUMBER} bytes")
                if pos >= size and not ended:
                    pos = start
                    break
                if wanted:
                    tokens.append((48, start, pos))
            else:
                word = b"true" if byte == 116 else b"null" if byte == 110 else b"false"
                part = data[start : start + len(word)]
                if part != word:
                    if not ended and word.startswith(part):
                        break
                    raise PeerError("JSON: no value")
                pos += len(word)
                if wanted == 2:
                    tokens.append((116, start, pos))
            expected = _AFTER if stack else _DOCUMENT
    if key_end:
        tokens.append((58, key_start, key_end))
    return tokens, pos, expected
