"""Bytes to messages and back: the PostgreSQL frontend/backend protocol 3.0 and 3.2.

Pure functions over ``bytes``. Every length that a peer sends is checked before it is used: a wrong one raises
`PeerError`, and whoever called ends that one connection. Section numbers are those of PostgreSQL 17's manual,
chapter 53.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from gateway.errors import PeerError

INT32: Final = Struct("!i")
_HEADER: Final = Struct("!cI")
_TWO_INT32: Final = Struct("!II")

MAX_STARTUP: Final = 10_000
"""Bytes of a startup packet: PostgreSQL's own MAX_STARTUP_PACKET_LENGTH."""

MAX_LARGE: Final = 0x3FFFFFFF - 1
"""Bytes of a message that carries data: PostgreSQL's PQ_LARGE_MESSAGE_LIMIT (MaxAllocSize - 1)."""

MAX_SMALL: Final = 10_000
"""Bytes of a message that carries a name only: PostgreSQL's PQ_SMALL_MESSAGE_LIMIT."""

MAX_PASSWORD: Final = 65_535
"""Bytes of a password or SASL message: PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH; identity asks for 16 kB."""

SSL_REQUEST: Final = 80877103
GSSENC_REQUEST: Final = 80877104
CANCEL_REQUEST: Final = 80877102

CLIENT_LIMITS: Final[dict[int, int]] = {
    **dict.fromkeys(b"QPBFdf", MAX_LARGE),
    **dict.fromkeys(b"CDEHScX", MAX_SMALL),
}
"""Message types a client may send once it is logged in, and the most bytes of each (53.7; SocketBackend)."""

MAX_SERVER: Final = 256 * 1024 * 1024
"""Bytes of a message from the target that has to be held whole: errors that quote a statement are the largest."""

FEW: Final = 32
"""Bytes of a string that are looked at one by one, see `_end_of_cstring`."""

READY: Final = {status: b"Z\0\0\0\5" + status for status in (b"I", b"T", b"E")}


@dataclass(frozen=True, slots=True)
class Startup:
    """53.7 StartupMessage. ``parameters`` in the order sent; a name given twice is refused."""

    minor: int
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """53.7 CancelRequest: 4 bytes of secret at 3.0, up to 256 at 3.2."""

    pid: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class EncryptionRequest:
    """SSLRequest or GSSENCRequest."""

    gss: bool


def message(kind: bytes, body: bytes = b"") -> bytes:
    """One message: type, length (itself included), body."""
    return _HEADER.pack(kind, len(body) + 4) + body


def cstring(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    if b"\0" in raw:
        raise ValueError("a string on the wire can't hold a NUL")
    return raw + b"\0"


def read_cstring(data: bytes, pos: int) -> tuple[bytes, int]:
    """The string at ``pos`` and where what follows begins. Raises PeerError when it doesn't end."""
    end = _end_of_cstring(data, pos)
    return data[pos:end], end + 1


def _end_of_cstring(data: bytes, pos: int) -> int:
    """Where the NUL stands. Names of portals and statements have few bytes: those are looked at here, in C when
    compiled, before ``find`` is called, which takes longer to call than to do that."""
    view = data
    end = min(len(data), pos + FEW)
    at = pos
    while at < end:
        if not view[at]:
            return at
        at += 1
    at = data.find(b"\0", at)
    if at < 0:
        raise PeerError("a string in the message has no end")
    return at


def _int16(view: bytes, pos: int) -> int:
    """The signed number at ``pos``, which the caller knows to be inside; compiled it is C."""
    value = view[pos] * 256 + view[pos + 1]
    return value - 65536 if value >= 32768 else value


def _int32(view: bytes, pos: int) -> int:
    """As `_int16`, of four bytes."""
    value = view[pos]
    if value >= 128:
        value -= 256
    value = value * 256 + view[pos + 1]
    value = value * 256 + view[pos + 2]
    return value * 256 + view[pos + 3]


# --- before login ---------------------------------------------------------------------------------------------


def initial_length(data: bytes) -> int | None:
    """Whole length of the packet without a type that starts ``data``; None while unknown."""
    if len(data) < 4:
        return None
    length: int = INT32.unpack_from(data)[0]
    if not 8 <= length <= MAX_STARTUP:
        raise PeerError("invalid length of startup packet")
    return length


def parse_initial(packet: bytes) -> Startup | CancelRequest | EncryptionRequest:
    """53.2.1, 53.2.10: the first packet of a connection, whole."""
    length, code = _TWO_INT32.unpack_from(packet)
    if length != len(packet):
        raise PeerError("invalid length of startup packet")
    if code in (SSL_REQUEST, GSSENC_REQUEST):
        if length != 8:
            raise PeerError("an encryption request has 8 bytes")
        return EncryptionRequest(gss=code == GSSENC_REQUEST)
    if code == CANCEL_REQUEST:
        if not 16 <= length <= 12 + 256:
            raise PeerError("a cancel request has 4 to 256 bytes of secret")
        return CancelRequest(_TWO_INT32.unpack_from(packet, 4)[1], packet[12:])
    major, minor = code >> 16, code & 0xFFFF
    if major != 3:
        raise PeerError(f"unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")
    return Startup(minor, _parameters(packet, 8))


def _parameters(packet: bytes, pos: int) -> dict[str, str]:
    parameters: dict[str, str] = {}
    while True:
        name, pos = read_cstring(packet, pos)
        if not name:
            break
        value, pos = read_cstring(packet, pos)
        try:
            key, text = name.decode(), value.decode()
        except UnicodeDecodeError:
            raise PeerError("a startup parameter is not UTF-8") from None
        if key in parameters:
            raise PeerError("a startup parameter is given twice")
        parameters[key] = text
    if pos != len(packet):
        raise PeerError("invalid startup packet layout: expected terminator as last byte")
    return parameters


def startup(parameters: Iterable[tuple[str, str]]) -> bytes:
    """A StartupMessage of protocol 3.0, which every supported target speaks."""
    body = INT32.pack(3 << 16) + b"".join(cstring(k) + cstring(v) for k, v in parameters) + b"\0"
    return INT32.pack(len(body) + 4) + body


def cancel_request(pid: int, secret: bytes) -> bytes:
    body = _TWO_INT32.pack(CANCEL_REQUEST, pid) + secret
    return INT32.pack(len(body) + 4) + body


def negotiate_version(minor: int, unknown: Iterable[str]) -> bytes:
    """53.7 NegotiateProtocolVersion: the newest minor that we speak, and the options that we don't know."""
    names = [cstring(name) for name in unknown]
    return message(b"v", _TWO_INT32.pack(minor, len(names)) + b"".join(names))


def take_message(buffer: bytearray, limit: int) -> tuple[int, bytes] | None:
    """Cut one typed message off ``buffer``; None while it isn't whole. For login, where speed does not count."""
    if len(buffer) < 5:
        return None
    length: int = INT32.unpack_from(buffer, 1)[0]
    if not 4 <= length <= limit + 4:
        raise PeerError("invalid message length")
    if len(buffer) < length + 1:
        return None
    kind, body = buffer[0], bytes(buffer[5 : length + 1])
    del buffer[: length + 1]
    return kind, body


# --- messages of a session ------------------------------------------------------------------------------------


class Parse(NamedTuple):
    """53.7 Parse; ``rest`` are the parameter types as they came."""

    name: bytes
    text: bytes
    rest: bytes


Bind = tuple[bytes, bytes, tuple[int, ...], tuple[bytes | None, ...]]
"""53.7 Bind, but for the result formats: portal, statement, format codes of the parameters, their values (None: NULL).
Plain: a named tuple takes longer to make than all of the message to read."""


def parse_query(body: bytes) -> bytes:
    """53.7 Query: the text, without its NUL."""
    if body.find(b"\0") != len(body) - 1 or not body:
        raise PeerError("invalid string in message")
    return body[:-1]


def parse_parse(body: bytes) -> Parse:
    name, pos = read_cstring(body, 0)
    text, pos = read_cstring(body, pos)
    rest = body[pos:]
    if len(rest) < 2 or len(rest) != 2 + 4 * (int.from_bytes(rest[:2])):
        raise PeerError("invalid message format: Parse")
    return Parse(name, text, rest)


def parse_bind(body: bytes) -> Bind:
    """53.7 Bind. Checks every count and length, up to the last byte."""
    view = body
    size = len(body)
    pos = _end_of_cstring(body, 0)
    portal = view[:pos]
    start = pos + 1
    pos = _end_of_cstring(body, start)
    statement = view[start:pos]
    pos += 1
    stop = _end_of_int16s(body, pos)
    formats: list[int] = []
    pos += 2
    while pos < stop:
        formats.append(_int16(view, pos))
        pos += 2
    if pos + 2 > size:
        raise PeerError("invalid message format: Bind")
    count = _int16(view, pos) & 0xFFFF
    pos += 2
    parameters: list[bytes | None] = []
    while count:
        count -= 1
        if pos + 4 > size:
            raise PeerError("invalid message format: Bind")
        length = _int32(view, pos)
        pos += 4
        if length == -1:
            parameters.append(None)
            continue
        if length < 0 or length > size - pos:
            raise PeerError("invalid message format: Bind")
        parameters.append(view[pos : pos + length])
        pos += length
    if _end_of_int16s(body, pos) != size:
        raise PeerError("invalid message format: Bind")
    return portal, statement, tuple(formats), tuple(parameters)


def _end_of_int16s(body: bytes, pos: int) -> int:
    """Where the array of Int16 ends whose count stands at ``pos``."""
    view = body
    size = len(body)
    if pos + 2 > size:
        raise PeerError("invalid message format: Bind")
    end = pos + 2 + 2 * (_int16(view, pos) & 0xFFFF)
    if end > size:
        raise PeerError("invalid message format: Bind")
    return end


def parse_target_of(body: bytes) -> tuple[int, bytes]:
    """53.7 Describe and Close: ``S`` or ``P`` and the name."""
    view = body
    size = len(body)
    if size < 2 or (view[0] != 83 and view[0] != 80) or _end_of_cstring(body, 1) != size - 1:
        raise PeerError("invalid message format: Describe or Close")
    return view[0], view[1 : size - 1]


def parse_execute(body: bytes) -> bytes:
    """53.7 Execute: the portal. (What follows, the most rows to return, is the target's business.)"""
    end = _end_of_cstring(body, 0)
    if len(body) != end + 5:
        raise PeerError("invalid message format: Execute")
    view = body
    return view[:end]


Fields = list[tuple[str, bytes]]
"""(field code, value) of an ErrorResponse or NoticeResponse, in order (53.8)."""


def parse_fields(body: bytes) -> Fields:
    """53.8 ErrorResponse and NoticeResponse: (field code, value) in order."""
    fields: Fields = []
    pos = 0
    while pos < len(body) and body[pos]:
        value, after = read_cstring(body, pos + 1)
        fields.append((chr(body[pos]), value))
        pos = after
    if pos != len(body) - 1:
        raise PeerError("invalid ErrorResponse")
    return fields


def fields_message(kind: bytes, fields: Iterable[tuple[str, bytes]]) -> bytes:
    """An ErrorResponse (``E``) or NoticeResponse (``N``)."""
    body = b"".join(code.encode("latin-1") + value.replace(b"\0", b"") + b"\0" for code, value in fields)
    return message(kind, body + b"\0")


def parse_copy_response(body: bytes) -> tuple[bool, int]:
    """53.7 CopyOutResponse: whether rows are in binary format, and how many columns they have. Raises PeerError."""
    columns = int.from_bytes(body[1:3])
    if len(body) != 3 + 2 * columns or body[0] > 1:
        raise PeerError("invalid CopyOutResponse")
    return body[0] == 1, columns


def parse_parameter_status(body: bytes) -> tuple[bytes, bytes]:
    name, pos = read_cstring(body, 0)
    value, pos = read_cstring(body, pos)
    if pos != len(body):
        raise PeerError("invalid ParameterStatus")
    return name, value
