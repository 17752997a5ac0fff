"""json and jsonb as text (RFC 8259), value by value; everything else keeps its spelling.

A document isn't read and written anew: that would lose key order, duplicate keys and how numbers are spelled. Tokens
are matched one after the other; strings are decoded for whoever looks at them, and written anew only when replaced.
"""

from __future__ import annotations

import json
import re
from typing import Protocol, TypeAlias

from gateway.masking.cells.json_paths import NOWHERE, Place
from gateway.masking.cells.parsing import Malformed, Pieces, TooDeep

MAX_DEPTH = 1000
"""Arrays and objects inside each other. PostgreSQL itself gives up (max_stack_depth, 2 MB) at some 6,000."""

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F])*+"')
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null")

_NULL = b"null"
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY, _COLON, _COMMA, _QUOTE = b'{}[]:,"'

Masked: TypeAlias = str | None
"""None: the value becomes null."""


class Visitor(Protocol):
    """Looks at each value of one document. ``key`` is the nearest one above the value, "" when there is none."""

    @property
    def root(self) -> Place: ...

    def below(self, place: Place, child: str | int) -> Place: ...

    def string(self, place: Place, value: str, key: str) -> Masked:
        """Another string, or the same object."""

    def key(self, value: str) -> str: ...

    def keeps(self, place: Place, scalar: bytes, key: str) -> bool:
        """Whether a number, true or false stays; else it becomes null."""


class _Container:
    """An object or array that is open. ``key`` and ``place`` are those of its next value."""

    __slots__ = ("around", "index", "key", "place")

    def __init__(self, around: Place, key: str, index: int) -> None:
        self.around = around
        self.place = NOWHERE
        self.key = key
        self.index = index  # of an array; -1 is an object


def rewrite(document: bytes, visitor: Visitor) -> bytes:
    """The document with values replaced. Raises Malformed: it isn't JSON in UTF-8, or too deep."""
    try:
        document.decode()
    except UnicodeDecodeError:
        raise Malformed("not JSON: not UTF-8") from None
    return _Rewriting(document, visitor).run()


class _Rewriting:
    __slots__ = ("_document", "_pieces", "_pos", "_stack", "_visitor")

    def __init__(self, document: bytes, visitor: Visitor) -> None:
        self._document = document
        self._visitor = visitor
        self._pieces = Pieces(document)
        self._stack: list[_Container] = []
        self._pos = 0

    def run(self) -> bytes:
        visitor, stack = self._visitor, self._stack
        place, key = visitor.root, ""
        while True:
            opened = self._value(place, key)
            while not opened and stack and self._closes():  # a value ended, and with it perhaps what is around it
                stack.pop()
            if not stack:
                break
            container = stack[-1]
            if container.index < 0:
                container.key = self._key()
                child: str | int = container.key
            else:
                child = container.index
                container.index += 1
            place, key = visitor.below(container.around, child) if container.around else NOWHERE, container.key
        if self._peek() != -1:
            raise Malformed("not JSON: bytes behind the document")
        return self._pieces.whole()

    def _peek(self) -> int:
        space = _SPACE.match(self._document, self._pos)
        assert space is not None
        self._pos = space.end()
        return self._document[self._pos] if self._pos < len(self._document) else -1

    def _value(self, place: Place, key: str) -> bool:
        """One scalar, or the beginning of a container; whether a container is open now that isn't empty."""
        byte = self._peek()
        if byte == _QUOTE:
            start, text = self._string()
            masked = self._visitor.string(place, text, key)
            if masked is not text:
                self._pieces.replace(start, self._pos, _NULL if masked is None else encode(masked))
            return False
        if byte in (_OPEN_OBJECT, _OPEN_ARRAY):
            if len(self._stack) == MAX_DEPTH:
                raise TooDeep(f"more than {MAX_DEPTH} arrays and objects inside each other")
            self._pos += 1
            if self._peek() == (_CLOSE_OBJECT if byte == _OPEN_OBJECT else _CLOSE_ARRAY):
                self._pos += 1
                return False
            self._stack.append(_Container(place, key, -1 if byte == _OPEN_OBJECT else 0))
            return True
        scalar = _SCALAR.match(self._document, self._pos)
        if scalar is None:
            raise Malformed("not JSON: no value where one belongs")
        if scalar[0] != _NULL and not self._visitor.keeps(place, scalar[0], key):
            self._pieces.replace(*scalar.span(), _NULL)
        self._pos = scalar.end()
        return False

    def _closes(self) -> bool:
        """Behind a value: whether its container ends here; else there was a comma."""
        byte = self._peek()
        self._pos += 1
        if byte == _COMMA:
            return False
        if byte != (_CLOSE_OBJECT if self._stack[-1].index < 0 else _CLOSE_ARRAY):
            raise Malformed("not JSON: a value is not followed by a comma or an end")
        return True

    def _key(self) -> str:
        if self._peek() != _QUOTE:
            raise Malformed("not JSON: no key where one belongs")
        start, key = self._string()
        masked = self._visitor.key(key)
        if masked is not key:
            self._pieces.replace(start, self._pos, encode(masked))
        if self._peek() != _COLON:
            raise Malformed("not JSON: a key is not followed by a colon")
        self._pos += 1
        return key

    def _string(self) -> tuple[int, str]:
        start = self._pos
        found = _STRING.match(self._document, start)
        if found is None:
            raise Malformed("not JSON: a string that has no end, or an unknown escape")
        self._pos = found.end()
        content = found[0]
        if b"\\" not in content:
            return start, content[1:-1].decode()
        text: str = json.loads(content)
        return start, text


def encode(text: str) -> bytes:
    """As a JSON string in UTF-8; halves of surrogate pairs, which json (not jsonb) can hold, as escapes."""
    try:
        return json.dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(text).encode()
