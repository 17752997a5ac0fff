"""Compresses what channels show, in a thread of its own: that releases the GIL, and costs half as much as carrying the
same bytes over SSH.
"""

from __future__ import annotations

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

    payload, flags  of its frame; size  bytes of what is in it
    """

    payload: bytes
    flags: int
    size: int


def pack(compressor: ZstdCompressor | None, data: bytes | bytearray) -> Packed:
    """``data``: at most `BLOB_CHUNK` bytes; compressor  None: it is stored as it is. Raises ZstdError, MemoryError."""
    plain = FIRST + data
    if compressor is not None and len(compressed := compressor.compress(plain)) < len(plain):
        return Packed(compressed, ZSTD, len(data))
    return Packed(plain, 0, len(data))


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
