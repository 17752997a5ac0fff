"""Digests and compresses what channels show, in a thread of its own: both release the GIL, and together they cost as
much as carrying the same bytes over SSH.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

from zstandard import ZstdCompressor

from gateway.recording.format import BLOB_INDEX, ZSTD

QUICK_LEVEL: Final = 1
"""For what channels show, which can be all that a link carries: a log's text takes three quarters of level 3's time,
and 2 % more space."""

FIRST: Final = BLOB_INDEX.pack(0)


class Packed(NamedTuple):
    """A blob, the first of its event and in one piece.

    payload, flags  of its frame, sha256  of what is in it, 64 hex digits; size  bytes of that
    """

    payload: bytes
    flags: int
    sha256: str
    size: int


def pack(compressor: ZstdCompressor | None, data: bytes | bytearray) -> Packed:
    """``data``: at most `BLOB_CHUNK` bytes; compressor  None: it is stored as it is. Raises ZstdError, MemoryError."""
    digest = hashlib.sha256(data).hexdigest()
    plain = FIRST + data
    if compressor is not None and len(compressed := compressor.compress(plain)) < len(plain):
        return Packed(compressed, ZSTD, digest, len(data))
    return Packed(plain, 0, digest, len(data))


class Packer:
    """One per node. Its thread starts with the first blob, and ends with the process."""

    def __init__(self) -> None:
        self._compressor = ZstdCompressor(level=QUICK_LEVEL)
        """The thread's alone."""
        self._thread = ThreadPoolExecutor(1, "packing")

    def submit(self, data: bytearray, *, compress: bool) -> Future[Packed]:
        """As `pack`, in turn; nobody may change ``data`` any more. Raises RuntimeError: no thread."""
        return self._thread.submit(pack, self._compressor if compress else None, data)

    def close(self) -> None:
        """What was submitted is still done."""
        self._thread.shutdown(wait=False)
