"""JSON that is masked while it flows: documents keep their shape, values are looked at as their reader will see them.

Strings are searched with escapes undone, keys as well; what is found is replaced inside the string, and the string
written anew. A number in which something is found becomes null. At labelled paths every string, number and literal is
replaced whole. A string that holds nothing goes out with the bytes that it came with.

A string is held until it is whole; longer ones (`MAX_STRING`) flow through a `TextStream` of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from gateway.errors import PeerError
from gateway.masking.methods import STARS, Keyring, Maker, text_maker
from gateway.masking.streams.json_tokens import (
    BEGINNING,
    ESCAPED,
    ESCAPED_ONLY,
    KEY,
    LITERAL,
    NUMBER,
    STRING,
    STRUCTURE,
    VALUES,
    Token,
    scan,
)
from gateway.masking.streams.text import TextStream
from gateway.model import Method

if TYPE_CHECKING:
    from gateway.masking.detection import Detection

Place: TypeAlias = tuple[tuple[int, int], ...]

MAX_STRING: Final = 16 * 1024
"""Bytes of a string, quotes and escapes included, that is held until it is whole. Longer ones are texts and files."""

NULL: Final = b"null"

_STRUCTURE: Final = b"[]{},"
_OPEN_ARRAY, _OPEN_OBJECT, _COMMA = b"[{,"
_BACKSLASH: Final = ord("\\")  # as a number, because bytes in bytes first fails as a number, which takes 0.2 us

_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(.?))", re.DOTALL)
_SHORT: Final = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_SPECIAL: Final = re.compile(rb'[\x00-\x1f"\\]')
_BODY: Final = re.compile(
    rb'(?:[^"\\\x00-\x1f]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    rb'|(?P<high>\\u[dD][89abAB][0-9a-fA-F]{2})|\\u[0-9a-fA-F]{4}|\\["\\/bfnrt])*'
)
"""What may stand in a string (RFC 8259, section 7). ``high`` is half of a character; the other half may be to come."""

_LONGEST_ESCAPE: Final = 6
_BATCH: Final = 8
"""Tokens that are looked at one by one, when a gate says that there is something among them."""


def unescape(raw: bytes) -> bytes:
    """What stands between a string's quotes, as UTF-8; half a surrogate pair becomes U+FFFD.

    Raises PeerError when an escape isn't one of JSON's.
    """
    return _ESCAPE.sub(_character, raw) if _BACKSLASH in raw else raw


def _character(found: re.Match[bytes]) -> bytes:
    first, second, short = found.groups()
    if first is None:
        if short not in _SHORT:
            raise PeerError("JSON: an unknown escape")
        return _SHORT[short]
    code = int(first, 16)
    if second is None:
        return _utf8(code)
    low = int(second, 16)
    if 0xD800 <= code < 0xDC00:
        return _utf8(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00)
    return _utf8(code) + _utf8(low)


def _utf8(code: int) -> bytes:
    return "\ufffd".encode() if 0xD800 <= code < 0xE000 else chr(code).encode()


def escape(value: bytes) -> bytes:
    """``value`` as it stands between a string's quotes."""
    return _SPECIAL.sub(lambda found: b"\\u%04x" % found.group()[0], value)


class Labels(Protocol):
    """Labelled paths (`cells.json_paths.Paths`): a place is how far each of them is at some value."""

    @property
    def root(self) -> Place: ...
    @property
    def children(self) -> Collection[str | int]: ...
    def below(self, place: Place, child: str | int) -> Place: ...
    def at(self, place: Place) -> Sequence[Method]: ...


class JsonStream:
    """One body of JSON documents.

    labels  methods of labelled paths; None: there are none

    Every method raises PeerError when it isn't JSON, or what the keyring's vault raises: nothing more of it may be sent
    then.
    """

    def __init__(self, detection: Detection, keyring: Keyring, labels: Labels | None = None) -> None:
        self._detection = detection
        self._keyring = keyring
        self._may_match = detection.finder.may_match
        self._at = None if labels is None else _Position(labels)
        self._makers: dict[Method, Maker] = {}
        self._rest = b""  # of a token that isn't whole
        self._expected = BEGINNING
        self._stack = bytearray()
        self._hint = ""
        self._long: _Long | None = None  # a string that is too long to be held

    def feed(self, data: bytes) -> bytes:
        """More of the body; returns what can be sent now."""
        return self._run(self._rest + data, False)

    def flush(self) -> bytes:
        """A timer fired; returns what is held back of a long string, by the rule of `TextStream.flush`."""
        return b"" if self._long is None else escape(self._long.flush())

    def close(self) -> bytes:
        """The body is over."""
        shown = self._run(self._rest, True)
        if self._rest or self._stack or self._expected != BEGINNING or self._long is not None:
            raise PeerError("JSON: it ends too early")
        return shown

    def _run(self, data: bytes, ended: bool) -> bytes:
        out: list[bytes] = []
        while True:
            if self._long is not None:
                data = data[self._flow(out, data, self._long) :]
                if self._long is not None:
                    self._rest = data
                    break
            wanted = STRUCTURE if self._at is not None else VALUES if self._may_match(data) else ESCAPED_ONLY
            tokens, end, self._expected = scan(data, self._expected, self._stack, wanted, ended)
            if self._at is not None:
                self._replace(out, data[:end], tokens, self._at)
            else:
                self._detect(out, data[:end], tokens if wanted == ESCAPED_ONLY else self._suspects(data, tokens))
            data = data[end:]
            if len(data) <= MAX_STRING or data[0] != STRING:
                self._rest = data
                break
            self._begin_long(out)
            data = data[1:]
        return b"".join(out)

    # --- values that are whole --------------------------------------------------------------------------------

    def _detect(self, out: list[bytes], data: bytes, tokens: list[Token]) -> None:
        """Without labels: what detectors find in ``tokens``; nothing can be found in what is between them."""
        pos = 0
        for kind, start, end in tokens:
            out += (data[pos:start], self._detected(data[start:end], kind))
            pos = end
        out.append(data[pos:] if pos else data)

    def _suspects(self, data: bytes, tokens: list[Token]) -> list[Token]:
        """Tokens in which something could be found, the last key before each, and the last of all."""
        found: list[Token] = []
        seen = 0
        for index in [*(self._suspected(data, tokens, 0, len(tokens)) if tokens else ()), len(tokens)]:
            key = index - 1
            while key >= seen and tokens[key][0] & 255 != KEY:
                key -= 1
            if key >= seen:
                found.append(tokens[key])
            found += tokens[index : index + 1]
            seen = index + 1
        return found

    def _suspected(self, data: bytes, tokens: list[Token], low: int, high: int) -> list[int]:
        """Indices of tokens in which something could be found. What has escapes looks different to a gate."""
        part = data[tokens[low][1] : tokens[high - 1][2]]
        if not self._may_match(part):
            if b"\\" not in part:
                return []
            return [index for index in range(low, high) if tokens[index][0] & ESCAPED]
        if high - low <= _BATCH:
            return list(range(low, high))
        middle = (low + high) // 2
        return self._suspected(data, tokens, low, middle) + self._suspected(data, tokens, middle, high)

    def _detected(self, raw: bytes, kind: int) -> bytes:
        """A token as it goes out, by what detectors find in it."""
        if kind == NUMBER:
            return raw if self._mask_text(raw) is raw else NULL
        value = unescape(raw[1:-1])
        if kind & 255 == KEY:
            self._hint = ""
        if len(raw) > MAX_STRING:
            return _whole(TextStream(self._detection, self._keyring), value)
        if kind & 255 == KEY:
            masked = self._mask_text(value)
            self._hint = _text(value)
            masked = STARS if masked is None else masked
        else:
            masked = self._mask_text(value)
        if masked is value:
            return raw
        return NULL if masked is None else b'"' + escape(masked) + b'"'

    def _mask_text(self, value: bytes) -> bytes | None:
        return self._detection.mask_text(value, self._keyring, self._hint)

    def _replace(self, out: list[bytes], data: bytes, tokens: list[Token], at: _Position) -> None:
        """With labels: each token, at its path; where there is none, what detectors find in it."""
        suspects = iter([*(self._suspected(data, tokens, 0, len(tokens)) if tokens else ()), len(tokens)])
        suspect = next(suspects)
        view = data
        pos = 0
        for index in range(len(tokens)):
            token, start, end = tokens[index]
            kind = token & 255
            suspected = index == suspect
            if suspected:
                suspect = next(suspects)
            if kind in _STRUCTURE:
                at.step(kind)
                continue
            raw = view[start:end]
            method: Method | None = None
            if kind == KEY:
                value = view[start + 1 : end - 1]
                name = _text(unescape(value) if token & ESCAPED else value)
                at.key(name)
                self._hint = "" if len(raw) > MAX_STRING else name
            else:
                method = at.method()
            if method is None:
                if not suspected or kind == LITERAL:
                    continue
                shown = self._detected(raw, token)
            elif kind == STRING:
                shown = self._labelled(raw, method)
            else:
                shown = raw if method.name == "clear" else NULL
            if shown is not raw:
                out.append(view[pos:start])
                out.append(shown)
                pos = end
        out.append(data[pos:] if pos else data)

    def _labelled(self, raw: bytes, method: Method) -> bytes:
        if len(raw) > MAX_STRING:
            return _whole(_long(method), unescape(raw[1:-1]))
        if method.name == "clear":
            return raw
        make = self._makers.get(method)
        if make is None:
            make = self._makers[method] = text_maker(method, self._keyring)
        made = make(unescape(raw[1:-1]))
        return NULL if made is None else b'"' + escape(made) + b'"'

    # --- strings that are longer than what is held --------------------------------------------------------------

    def _begin_long(self, out: list[bytes]) -> None:
        """The string's opening quote is next."""
        [(kind, _, _)], _, self._expected = scan(b'""', self._expected, self._stack, STRUCTURE, False)
        method = None
        if kind == KEY:
            self._hint = ""
            if self._at is not None:
                self._at.key("")
        elif self._at is not None:
            method = self._at.method()
        self._long = TextStream(self._detection, self._keyring) if method is None else _long(method)
        out.append(b'"')

    def _flow(self, out: list[bytes], data: bytes, long: _Long) -> int:
        """More of a long string; returns how much of ``data`` was it."""
        body = _BODY.match(data)
        assert body is not None, "it matches the empty string"
        end = body.end()
        over = data[end : end + 1] == b'"'
        if not over:
            if len(data) - end >= _LONGEST_ESCAPE or data[end : end + 1] not in (b"", b"\\"):
                raise PeerError("JSON: a control character or an unknown escape in a string")
            if body.end("high") == end:
                end = body.start("high")
        shown = long.feed(unescape(data[:end]))
        if not over:
            out.append(escape(shown))
            return end
        out += (escape(shown + long.close()), b'"')
        self._long = None
        return end + 1


class _Long(Protocol):
    """What becomes of a string that is too long to be held."""

    def feed(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...
    def close(self) -> bytes: ...


class _Shown:
    def feed(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""

    def close(self) -> bytes:
        return b""


class _Starred:
    def feed(self, data: bytes) -> bytes:
        return b""

    def flush(self) -> bytes:
        return b""

    def close(self) -> bytes:
        return STARS


def _long(method: Method) -> _Long:
    """At a labelled path; what isn't held can't be made into anything but stars."""
    return _Shown() if method.name == "clear" else _Starred()


def _whole(long: _Long, value: bytes) -> bytes:
    return b'"' + escape(long.feed(value) + long.close()) + b'"'


MAX_KNOWN: Final = 4096
"""Children whose place and method are remembered. A policy's paths lead to fewer, if a document isn't made for it."""

_Known: TypeAlias = dict[str | int | None, tuple[Place, Method | None]]


class _Position:
    """Where in a document we are, and what labels say about it.

    Of one place's children those that no path names are all alike (None), so that few are ever asked about.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._named = frozenset(labels.children)
        self._root = (labels.root, self._method(labels.root))
        self._place = labels.root  # of the value that is next, or of an array's or object's next one
        self._child: str | int = ""
        self._above: list[tuple[Place, str | int, _Known]] = []
        self._places: dict[Place, _Known] = {}
        self._known: _Known = {}  # of self._place
        self._count = 0

    def key(self, name: str) -> None:
        self._child = name

    def step(self, bracket: int) -> None:
        if bracket in (_OPEN_ARRAY, _OPEN_OBJECT):
            place = self._here()[0]
            self._above.append((self._place, self._child, self._known))
            self._place = place
            self._child = 0 if bracket == _OPEN_ARRAY else ""
            known = self._places.get(place)
            if known is None:
                known = {}
                if len(self._places) < MAX_KNOWN:
                    self._places[place] = known
            self._known = known
        elif bracket != _COMMA:
            self._place, self._child, self._known = self._above.pop()
        elif isinstance(self._child, int):
            self._child += 1

    def method(self) -> Method | None:
        """For the value that is next: the strictest of all labels there."""
        return self._here()[1]

    def _here(self) -> tuple[Place, Method | None]:
        if not self._above:
            return self._root
        child = self._child if self._child in self._named else None
        known = self._known.get(child)
        if known is None:
            place = self._labels.below(self._place, self._child)
            known = place, self._method(place)
            if self._count < MAX_KNOWN:
                self._count += 1
                self._known[child] = known
        return known

    def _method(self, place: Place) -> Method | None:
        methods = self._labels.at(place)
        return min(methods, key=lambda method: (method.strictness, method.keep_first)) if methods else None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
