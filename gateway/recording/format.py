"""The bytes of a recording: frames, the chain over them, what a signature covers. docs/recording-format.md is the text.

Writer and readers share this module and nothing else, so that a reader can be trusted with a file
that no writer of ours has made.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import rendering
from gateway.errors import GatewayError
from gateway.rendering import CHECK, PREFIX

MAGIC = b"OSTREC1\n"
SUFFIX = ".ostrec"

HEADER, OPERATION, GATHERED, BLOB, SIGNED_HEAD, END = b"HORBSZ"
KINDS = frozenset(b"HORBSZ")

ZSTD = 0x01
"""The payload is one zstd frame. 0x02 is kept for encryption; a reader refuses every flag it doesn't know."""

PREFIX_SIZE = PREFIX.size + CHECK.size
CHAIN_SIZE = 32
SIGNATURE_SIZE = 64
BLOB_INDEX = Struct(">I")

MAX_PAYLOAD = 1024 * 1024
"""Bytes of a payload, as stored and after decompression: what a reader must be able to hold, twice.
PostgreSQL allows values of 1 GiB; they are cut into blob frames. Teleport's players crashed on giant events."""
BLOB_CHUNK = MAX_PAYLOAD - BLOB_INDEX.size
INLINE = 64 * 1024
"""A text (characters) or the parameters (bytes) up to this size stand in the event itself. Escaped as JSON
both together stay below MAX_PAYLOAD."""
GATHER = 64 * 1024
"""Bytes of JSON in one zstd block: 6.0x at this size, and a larger one gains little (shared/recording.md)."""
MAX_BLOBS = 16
"""Blobs of one event; the writer uses three at most (text, parameters, detail)."""
MAX_END = 2048
"""Bytes of an end frame's payload, so that it can be found from the end of the file."""
MAX_REASON = 300
"""Characters of the reason in the end frame; each takes at most 6 bytes in JSON, see MAX_END."""

CHAIN_START = hashlib.sha256(MAGIC).digest()
SIGNATURE_CONTEXT = b"ostiary recording signature 1\n"
"""Domain separation: the key's signature here is never one of something else."""


FindingKind = Literal[
    "foreign",  # no recording at all
    "malformed",  # a frame that no writer makes, with a chain that is right
    "edited",  # bytes that were changed
    "misplaced",  # a frame that was moved, inserted, or behind one that was removed
    "signature",  # what a signature covers is not what is there, or another key's
    "unsigned",  # signatures are missing where the writer makes them
    "renamed",  # the recording of another session
    "clock",  # the clock ran backwards
    "trailing",  # something behind the end
    "cut",  # the audit log knows of more
    "replaced",  # the audit log knows another end
    "missing",  # no file
]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a recording.

    offset  first byte of the frame that is wrong (the file's size when something is missing behind it)
    event   number of the first event that is wrong
    """

    kind: FindingKind
    offset: int
    event: int
    problem: str

    def __str__(self) -> str:
        return f"byte {self.offset}, event {self.event}: {self.problem} ({self.kind})"


class RecordingDamaged(GatewayError):
    """A recording is not as its writer left it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True, slots=True)
class ClosingHead:
    """Where a recording ended; the audit event ``session closed`` carries it.

    length  bytes of the file, head  the last chain value in hex (64 digits)
    """

    length: int
    head: str


def pack_prefix(size: int, kind: int, flags: int, count: int, number: int) -> bytes:
    """The 20 bytes before a payload; their own CRC tells a damaged length from a frame that was cut."""
    fields = PREFIX.pack(size, kind, flags, count, number)
    return fields + CHECK.pack(zlib.crc32(fields))


def prefix_is_whole(prefix: bytes) -> bool:
    """Whether a prefix's CRC fits."""
    return prefix[PREFIX.size :] == CHECK.pack(zlib.crc32(prefix[: PREFIX.size]))


def pack_signed_frame(
    chain: bytes, kind: int, count: int, number: int, body: bytes, session: UUID, key: Ed25519PrivateKey
) -> tuple[bytes, bytes]:
    """A signed head or an end frame: ``body``, then the signature over it and all before it."""
    prefix = pack_prefix(len(body) + SIGNATURE_SIZE, kind, 0, count, number)
    return rendering.frame(chain, kind, 0, count, number, body + key.sign(signed_message(session, chain, prefix, body)))


def signed_message(session: UUID, chain: bytes, prefix: bytes, body: bytes) -> bytes:
    """What a signed head or an end frame signs: itself, and through the chain all that lies before it.

    prefix  the frame's 20 bytes, body  its payload without the 64 bytes of signature
    """
    return SIGNATURE_CONTEXT + session.bytes + chain + prefix + body


_SESSION = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def parse_session(text: str) -> UUID:
    """A session id: a UUIDv7 in its one canonical spelling (RFC 9562 section 5.7), so that it can be a file name.

    Raises ValueError.
    """
    if not _SESSION.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not a session id (a UUIDv7 in lower case)")
    return UUID(text)
