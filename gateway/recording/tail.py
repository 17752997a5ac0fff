"""A recording as it is being written: what stands behind a point in it, event by event, as soon as the kernel has it.

For those who watch a live session, beside its writer, who never notices: a descriptor of its own, no locks, and of each
frame only what is shown. Large values are passed over unread, and nothing is verified: that is for `reader` and
`verify`, when the recording is looked at as evidence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zstandard import ZstdDecompressor

from gateway.errors import RecordingFailed
from gateway.recording.format import (
    BLOB,
    CHAIN_SIZE,
    END,
    KINDS,
    MAX_PAYLOAD,
    PREFIX_SIZE,
    SIGNATURE_SIZE,
    SIGNED_HEAD,
    ZSTD,
    Finding,
    RecordingDamaged,
    prefix_is_whole,
)
from gateway.recording.reader import decompress
from gateway.rendering import PREFIX

AT_ONCE: Final = 256 * 1024
"""Bytes of events that `Tail.read` gives at a time, and one event more."""

READ: Final = 64 * 1024
"""Bytes of the file that are looked at together: most frames are smaller by far."""


class Tail:
    """What is appended to the recording at ``path`` behind byte ``offset``, where a frame begins.

    Raises RecordingFailed; `read` RecordingDamaged, too, when it is no recording's frame that stands there.
    """

    def __init__(self, path: Path, offset: int) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise RecordingFailed(f"{path}: {error.strerror or error}") from error
        self.offset = offset
        self.ended = False
        """The recording's end was given."""
        self._decompressor = ZstdDecompressor(max_window_size=MAX_PAYLOAD)
        self._window = b""
        self._window_at = offset

    def read(self) -> list[bytes]:
        """The events that were written since, as their lines of JSON; at most about AT_ONCE bytes, call it again for
        more. Empty: nothing new. For a thread."""
        found: list[bytes] = []
        size = 0
        try:
            for lines in self._frames():
                found += lines
                size += sum(map(len, lines))
                if size >= AT_ONCE:
                    break
        except OSError as error:
            raise RecordingFailed(f"the recording can't be read: {error.strerror or error}") from error
        return found

    def close(self) -> None:
        os.close(self._fd)

    def _frames(self) -> Iterator[list[bytes]]:
        """Events of each whole frame; ``offset`` is behind it when they are given."""
        while not self.ended:
            prefix = self._bytes(self.offset, PREFIX_SIZE)
            if len(prefix) < PREFIX_SIZE:
                return
            length, kind, flags, _count, number = PREFIX.unpack_from(prefix)
            if not prefix_is_whole(prefix) or kind not in KINDS or flags & ~ZSTD or length > MAX_PAYLOAD:
                raise RecordingDamaged(Finding("malformed", self.offset, number, "no frame stands here"))
            behind = self.offset + PREFIX_SIZE + length + CHAIN_SIZE
            lines: list[bytes] = []
            if kind not in (BLOB, SIGNED_HEAD):
                rest = self._bytes(self.offset + PREFIX_SIZE, length + CHAIN_SIZE)
                if len(rest) < length + CHAIN_SIZE:
                    return  # its writer is at it
                lines = self._lines(rest[:length], kind, flags, number)
            self.offset = behind
            self.ended = kind == END
            yield lines

    def _lines(self, payload: bytes, kind: int, flags: int, number: int) -> list[bytes]:
        if kind == END:
            payload = payload[:-SIGNATURE_SIZE]
        if flags & ZSTD:
            try:
                payload = decompress(self._decompressor, payload)
            except ValueError as error:
                raise RecordingDamaged(Finding("malformed", self.offset, number, str(error))) from None
        return payload.removesuffix(b"\n").split(b"\n")

    def _bytes(self, offset: int, length: int) -> bytes:
        """Less than ``length`` where the file ends."""
        start = offset - self._window_at
        if start < 0 or start + length > len(self._window):
            self._window = os.pread(self._fd, max(length, READ), offset)
            self._window_at, start = offset, 0
        return self._window[start : start + length]
