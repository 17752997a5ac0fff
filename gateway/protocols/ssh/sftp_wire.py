"""Packets to types and back: SFTP version 3 (draft-ietf-secsh-filexfer-02), as OpenSSH speaks it.

Pure functions over ``bytes``. Every length that a peer sends is checked before it is used, up to the last byte of the
packet: a wrong one raises `PeerError`, and whoever called ends that one channel. What is well formed but not
understood (an extension, a flag, an attribute that version 3 doesn't have) becomes `Unsupported`, which the relay
answers itself. Section numbers are those of draft 02; the extensions are those of OpenSSH's PROTOCOL, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from gateway.errors import PeerError

HEAD: Final = Struct(">IBI")
"""What each packet begins with (section 3): length of what follows, type, request id (in INIT and VERSION: version)."""

BULK_HEAD: Final = Struct(">IBII")
"""As `HEAD`, and the length of the string that follows: the handle of READ and WRITE, the content of DATA."""

RANGE: Final = Struct(">QI")
"""Behind the handle of READ and WRITE: offset, and how many bytes."""

U32: Final = Struct(">I")
U64: Final = Struct(">Q")
_TWO_U32: Final = Struct(">II")

VERSION_3: Final = 3

MAX_PACKET: Final = 256 * 1024 + 1024
"""Bytes behind a packet's length: OpenSSH's SFTP_MAX_MSG_LENGTH, which it applies to what comes in, and a margin for
servers that answer a READ of 256 KiB in full, with a head in front."""

MAX_REQUEST: Final = 34_000
"""Bytes of a request that is no WRITE: the least that a server must take (section 3); the longest real ones are two
paths, or OpenSSH's users-groups-by-id with some hundred numbers."""

MAX_READ: Final = 256 * 1024
"""Bytes that one READ asks for at most; what asks for more gets less, as from every server (section 6.4)."""

MAX_HANDLE: Final = 256
"""Bytes of a handle (section 6.2)."""

INIT, VERSION, OPEN, CLOSE, READ, WRITE = 1, 2, 3, 4, 5, 6
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, OP_UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
"""Section 7: codes of a STATUS; 6 and 7 are a client's own."""

FOR_READ, FOR_WRITE, APPEND, CREATE, TRUNCATE, EXCLUSIVE = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
FLAGS: Final = {
    FOR_READ: "read",
    FOR_WRITE: "write",
    APPEND: "append",
    CREATE: "create",
    TRUNCATE: "truncate",
    EXCLUSIVE: "exclusive",
}
"""Section 6.3: what OPEN may want, in words."""

HAS_SIZE, HAS_OWNER, HAS_MODE, HAS_TIMES = 0x01, 0x02, 0x04, 0x08

TYPES: Final = {
    "open": 3,
    "close": 4,
    "read": 5,
    "write": 6,
    "lstat": 7,
    "fstat": 8,
    "setstat": 9,
    "fsetstat": 10,
    "opendir": 11,
    "readdir": 12,
    "remove": 13,
    "mkdir": 14,
    "rmdir": 15,
    "realpath": 16,
    "stat": 17,
    "rename": 18,
    "readlink": 19,
    "symlink": 20,
}
"""Section 3: our name of a request, and its type."""

EXTENSIONS: Final[dict[str, tuple[bytes, bytes]]] = {
    "posix-rename": (b"posix-rename@openssh.com", b"1"),
    "statvfs": (b"statvfs@openssh.com", b"2"),
    "fstatvfs": (b"fstatvfs@openssh.com", b"2"),
    "hardlink": (b"hardlink@openssh.com", b"1"),
    "fsync": (b"fsync@openssh.com", b"1"),
    "lsetstat": (b"lsetstat@openssh.com", b"1"),
    "limits": (b"limits@openssh.com", b"1"),
    "expand-path": (b"expand-path@openssh.com", b"1"),
    "copy-data": (b"copy-data", b"1"),
    "home-directory": (b"home-directory", b"1"),
    "users-groups-by-id": (b"users-groups-by-id@openssh.com", b"1"),
}
"""Our name of an extension that is understood, the one on the wire, and the version of it that is."""

NAMES: Final = {kind: name for name, kind in TYPES.items()}
_EXTENSION_NAMES: Final = {wire: name for name, (wire, _) in EXTENSIONS.items()}

WITH_PATH: Final = frozenset(
    "lstat opendir remove rmdir realpath stat readlink statvfs expand-path home-directory".split()
)
WITH_PATH_AND_ATTRIBUTES: Final = frozenset({"setstat", "mkdir", "lsetstat"})
WITH_PATHS: Final = frozenset({"rename", "symlink", "posix-rename", "hardlink"})
WITH_HANDLE: Final = frozenset({"close", "fstat", "readdir", "fstatvfs", "fsync"})


@dataclass(frozen=True, slots=True)
class Attributes:
    """Section 5: what a client wants a file to have; None: as it is. Times are unix seconds (accessed, modified)."""

    size: int | None = None
    owner: tuple[int, int] | None = None
    mode: int | None = None
    times: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """6.3 OPEN."""

    id: int
    path: bytes
    flags: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class OnPath:
    """A request about one path; ``attributes`` in those that set some. ``home-directory`` has a user's name there."""

    kind: str
    id: int
    path: bytes
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class OnPaths:
    """A request about two paths, in the order of the wire; of symlink see `sftp`."""

    kind: str
    id: int
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class OnHandle:
    """A request about what is open; ``attributes`` in fsetstat."""

    kind: str
    id: int
    handle: bytes
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class CopyData:
    """copy-data (draft-ietf-secsh-filexfer-extensions-00, section 7); no ``length``: up to the end."""

    id: int
    source: bytes
    source_offset: int
    length: int
    destination: bytes
    destination_offset: int


@dataclass(frozen=True, slots=True)
class Plain:
    """limits, and users-groups-by-id with its two lists of numbers."""

    kind: str
    id: int
    lists: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsupported:
    """What is well formed as far as it was looked at, and not understood; ``words`` say what."""

    id: int
    words: str


Request = Open | OnPath | OnPaths | OnHandle | CopyData | Plain


class _NotUnderstood(Exception):
    """Its text says what."""


class _Body:
    """Reads one packet's fields in order."""

    __slots__ = ("_data", "_pos")

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self._data = data
        self._pos = pos

    def u32(self) -> int:
        return self._number(U32)

    def u64(self) -> int:
        return self._number(U64)

    def _number(self, layout: Struct) -> int:
        end = self._pos + layout.size
        if end > len(self._data):
            raise PeerError("a packet is shorter than its fields")
        (value,) = layout.unpack_from(self._data, self._pos)
        self._pos = end
        number: int = value
        return number

    def string(self) -> bytes:
        length = self.u32()
        if length > len(self._data) - self._pos:
            raise PeerError("a string in a packet is longer than the packet")
        self._pos += length
        return self._data[self._pos - length : self._pos]

    def handle(self) -> bytes:
        handle = self.string()
        if len(handle) > MAX_HANDLE:
            raise PeerError(f"a handle has more than {MAX_HANDLE} bytes")
        return handle

    def attributes(self) -> Attributes:
        flags = self.u32()
        if flags & ~(HAS_SIZE | HAS_OWNER | HAS_MODE | HAS_TIMES):
            raise _NotUnderstood(f"attributes {flags:#x}")
        return Attributes(
            size=self.u64() if flags & HAS_SIZE else None,
            owner=(self.u32(), self.u32()) if flags & HAS_OWNER else None,
            mode=self.u32() if flags & HAS_MODE else None,
            times=(self.u32(), self.u32()) if flags & HAS_TIMES else None,
        )

    @property
    def at_end(self) -> bool:
        return self._pos == len(self._data)

    def end(self) -> None:
        if not self.at_end:
            raise PeerError("a packet is longer than its fields")


def packet(kind: int, *parts: bytes) -> bytes:
    """One packet: length, type, and what follows."""
    body = b"".join(parts)
    return U32.pack(len(body) + 1) + bytes((kind,)) + body


def string(raw: bytes) -> bytes:
    return U32.pack(len(raw)) + raw


# --- requests -------------------------------------------------------------------------------------------------


def parse_request(kind: int, body: bytes) -> Request | Unsupported:
    """Sections 4 and 6, and the extensions: a request of type ``kind`` but INIT, READ and WRITE.

    body  the packet from its request id on
    """
    fields = _Body(body)
    number = fields.u32()
    try:
        request = _request(kind, number, fields)
    except _NotUnderstood as what:
        return Unsupported(number, str(what))
    fields.end()
    return request


def _request(kind: int, number: int, fields: _Body) -> Request:
    if kind == OPEN:
        path, flags = fields.string(), fields.u32()
        if flags & ~0x3F:
            raise _NotUnderstood(f"open with flags {flags:#x}")
        return Open(number, path, flags, fields.attributes())
    if kind == EXTENDED:
        extension = fields.string()
        name = _EXTENSION_NAMES.get(extension)
        if name is None:
            raise _NotUnderstood(f"the extension {extension[:64].decode('ascii', 'backslashreplace')}")
    elif kind in NAMES:
        name = NAMES[kind]
    else:
        raise _NotUnderstood(f"a request of type {kind}")
    if name in WITH_PATH:
        return OnPath(name, number, fields.string())
    if name in WITH_PATH_AND_ATTRIBUTES:
        return OnPath(name, number, fields.string(), fields.attributes())
    if name in WITH_PATHS:
        return OnPaths(name, number, fields.string(), fields.string())
    if name in WITH_HANDLE:
        return OnHandle(name, number, fields.handle())
    if name == "fsetstat":
        return OnHandle(name, number, fields.handle(), fields.attributes())
    if name == "copy-data":
        return CopyData(number, fields.handle(), fields.u64(), fields.u64(), fields.handle(), fields.u64())
    if name == "users-groups-by-id":
        lists = (fields.string(), fields.string())
        if any(len(one) % 4 for one in lists):
            raise PeerError("invalid users-groups-by-id")
        return Plain(name, number, lists)
    if name == "limits":
        return Plain(name, number)
    raise PeerError(f"an unexpected {name}")


def encode(request: Request) -> bytes:
    """The packet of ``request``: what `parse_request` gives, and nothing beside it."""
    number = U32.pack(request.id)
    if isinstance(request, Open):
        return packet(
            OPEN, number, string(request.path), U32.pack(request.flags), encode_attributes(request.attributes)
        )
    if isinstance(request, CopyData):
        parts = [
            string(request.source),
            U64.pack(request.source_offset),
            U64.pack(request.length),
            string(request.destination),
            U64.pack(request.destination_offset),
        ]
        return _named("copy-data", number, parts)
    if isinstance(request, OnPaths):
        return _named(request.kind, number, [string(request.first), string(request.second)])
    if isinstance(request, Plain):
        return _named(request.kind, number, [string(one) for one in request.lists])
    subject = request.path if isinstance(request, OnPath) else request.handle
    parts = [string(subject)]
    if request.attributes is not None:
        parts.append(encode_attributes(request.attributes))
    return _named(request.kind, number, parts)


def _named(name: str, number: bytes, parts: Iterable[bytes]) -> bytes:
    kind = TYPES.get(name)
    if kind is not None:
        return packet(kind, number, *parts)
    return packet(EXTENDED, number, string(EXTENSIONS[name][0]), *parts)


def encode_attributes(attributes: Attributes) -> bytes:
    flags, parts = 0, []
    if attributes.size is not None:
        flags |= HAS_SIZE
        parts.append(U64.pack(attributes.size))
    if attributes.owner is not None:
        flags |= HAS_OWNER
        parts.append(_TWO_U32.pack(*attributes.owner))
    if attributes.mode is not None:
        flags |= HAS_MODE
        parts.append(U32.pack(attributes.mode))
    if attributes.times is not None:
        flags |= HAS_TIMES
        parts.append(_TWO_U32.pack(*attributes.times))
    return U32.pack(flags) + b"".join(parts)


def init(version: int = VERSION_3) -> bytes:
    """Section 4: what a client begins with."""
    return packet(INIT, U32.pack(version))


# --- answers --------------------------------------------------------------------------------------------------


def version(extensions: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Section 4: VERSION, with the extensions that are offered."""
    return packet(VERSION, U32.pack(VERSION_3), *(string(name) + string(data) for name, data in extensions))


def parse_version(body: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Section 4: the target's version, and its extensions. Also an INIT's. Raises PeerError."""
    fields = _Body(body)
    number = fields.u32()
    extensions = []
    while not fields.at_end:
        extensions.append((fields.string(), fields.string()))
    return number, extensions


def understood(extensions: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those that are understood, in the version that is."""
    known = set(EXTENSIONS.values())
    return [one for one in extensions if one in known]


def status(number: int, code: int, words: str = "") -> bytes:
    """Section 7: STATUS. The words are ours and in English, and say so (RFC 1766)."""
    return packet(STATUS, U32.pack(number), U32.pack(code), string(words.encode("utf-8", "replace")), string(b"en"))


def parse_status(body: bytes) -> tuple[int, bytes]:
    """Section 7: code and words of a STATUS, ``body`` from behind its id. Servers of old send no words."""
    if len(body) == U32.size:
        return U32.unpack(body)[0], b""
    if len(body) < _TWO_U32.size:
        raise PeerError("a packet is shorter than its fields")
    code, size = _TWO_U32.unpack_from(body)
    if size > len(body) - _TWO_U32.size:
        raise PeerError("a string in a packet is longer than the packet")
    return code, body[_TWO_U32.size : _TWO_U32.size + size]


def parse_handle(body: bytes) -> bytes:
    """Section 7: the handle of a HANDLE, ``body`` from behind its id."""
    fields = _Body(body)
    handle = fields.handle()
    fields.end()
    return handle


def name(number: int, path: bytes) -> bytes:
    """Section 7: a NAME that holds one path and, as REALPATH's answers, no attributes."""
    return packet(NAME, U32.pack(number), U32.pack(1), string(path), string(path), U32.pack(0))


def parse_name(body: bytes) -> bytes:
    """Section 6.11: the path of a REALPATH's NAME, ``body`` from behind its id; what follows the path is of no use."""
    fields = _Body(body)
    if fields.u32() != 1:
        raise PeerError("the target's answer is not one path")
    return fields.string()


def count(body: bytes) -> int:
    """Section 7: how many names a NAME has, ``body`` from behind its id."""
    return _Body(body).u32()


MODE_TYPE, MODE_DIRECTORY, MODE_LINK = 0o170000, 0o040000, 0o120000
"""POSIX's, which ``permissions`` has beside the mode (section 5)."""


def file_type(body: bytes) -> int | None:
    """Section 5: what kind of file an ATTRS is about, ``body`` from behind its id; None where it doesn't say."""
    fields = _Body(body)
    flags = fields.u32()
    if flags & HAS_SIZE:
        fields.u64()
    if flags & HAS_OWNER:
        fields.u64()
    return fields.u32() & MODE_TYPE if flags & HAS_MODE else None


def capped_limits(number: int, body: bytes, handles: int) -> bytes:
    """limits@openssh.com's answer, ``body`` from behind its id, where no number is above what we take ourselves.

    handles  the most that we let be open; the target's 0 says that it doesn't know its own limit
    """
    fields = _Body(body)
    largest, read, write, most = fields.u64(), fields.u64(), fields.u64(), fields.u64()
    capped = (
        min(largest or MAX_PACKET, MAX_PACKET),
        min(read or MAX_READ, MAX_READ),
        min(write or MAX_READ, MAX_READ),
        min(most or handles, handles),
    )
    return packet(EXTENDED_REPLY, U32.pack(number), *(U64.pack(one) for one in capped))
