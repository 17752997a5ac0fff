"""Reads recordings, whoever made them: one pass, bounded memory, every structural claim checked on the way.

The chain is checked by everything that reads; signatures, names and the audit log's word are verify.py's.
A frame that is cut off by the file's end is no damage here: that is how a crash leaves a recording.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import orjson
from zstandard import ZstdDecompressor, ZstdError, frame_content_size

from gateway.errors import RecordingFailed
from gateway.recording.format import (
    BLOB,
    BLOB_CHUNK,
    BLOB_INDEX,
    CHAIN_SIZE,
    CHAIN_START,
    END,
    GATHERED,
    HEADER,
    KINDS,
    MAGIC,
    MAX_BLOBS,
    MAX_PAYLOAD,
    OPERATION,
    PREFIX_SIZE,
    SIGNATURE_SIZE,
    SIGNED_HEAD,
    ZSTD,
    Finding,
    FindingKind,
    RecordingDamaged,
    prefix_is_whole,
)
from gateway.rendering import PREFIX

YEAR_10000 = 253_402_300_800
"""Unix seconds from where on a time can't be shown as a date."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; ``chain`` is the value before it."""

    offset: int
    kind: int
    flags: int
    count: int
    number: int
    prefix: bytes
    payload: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a value lies that is too large for its event: see `read_blob`."""

    offset: int
    event: int
    index: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event: the first is ``opened``, the last of a closed recording ``closed``.

    offset  of its frame, line  its JSON (with newline) as stored, fields  the same decoded
    blobs   the values that were too large for it; a field that refers to one holds its index as ``blob``
    """

    number: int
    offset: int
    time: float
    kind: str
    line: bytes
    fields: Mapping[str, object]
    blobs: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """A signed head or an end, not yet verified: ``signed`` is its body, ``signature`` what stands behind it."""

    frame: Frame
    time: float
    signed: bytes
    signature: bytes


def open_recording(path: Path) -> tuple[BinaryIO, int]:
    """The file and its size now (a live one grows). Raises RecordingFailed; FileNotFoundError when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecordingFailed(f"{path}: {error.strerror or error}") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise RecordingFailed(f"{path}: is no file")
    return os.fdopen(fd, "rb"), status.st_size


class Recording:
    """One pass over a recording: iterate it for its `Event`s (and `Head`s, with `parts`).

    Raises RecordingDamaged at the first thing that is wrong. Afterwards ``torn`` says how many bytes of a cut
    frame stand at the end, ``closed`` whether there is an end, ``clock`` where time first ran backwards.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self.offset = 0
        self.events = 0
        self.chain = CHAIN_START
        self.torn = 0
        self.closed = False
        self.clock: Finding | None = None
        self._file = file
        self._decompressor = ZstdDecompressor(max_window_size=MAX_PAYLOAD)
        self._direct_time = 0.0
        self._gathered_time = 0.0
        self._blobs: list[_GrowingBlob] = []

    def __iter__(self) -> Iterator[Event]:
        for part in self.parts():
            if isinstance(part, Event):
                yield part

    def parts(self) -> Iterator[Event | Head]:
        """Events and signed heads in the file's order; an end is a Head and then the event ``closed``."""
        self._read_magic()
        previous = None
        for frame in self._frames():
            self._check_order(frame, previous)
            previous = frame.kind
            if frame.kind == BLOB:
                self._collect_blob(frame)
                continue
            if frame.kind in (SIGNED_HEAD, END):
                yield (head := self._head(frame))
                if frame.kind == SIGNED_HEAD:
                    continue
                self.closed = True
                lines = head.signed
            else:
                lines = self._plain(frame)
            yield from self._decode(frame, lines)

    def _read_magic(self) -> None:
        magic = self._file.read(min(len(MAGIC), self.size))
        if not MAGIC.startswith(magic):
            self._damaged("foreign", "is no recording of this format")
        if magic != MAGIC:
            self.torn = len(magic)
        self.offset = len(magic)

    def _frames(self) -> Iterator[Frame]:
        while self.torn == 0 and (remaining := self.size - self.offset):
            if self.closed:
                self._damaged("trailing", f"{remaining} bytes behind the end of the recording")
            prefix = self._file.read(min(PREFIX_SIZE, remaining))
            if len(prefix) < PREFIX_SIZE:
                self.torn = remaining
                return
            length, kind, flags, count, number = PREFIX.unpack_from(prefix)
            if not prefix_is_whole(prefix):
                self._damaged("edited", "the first 20 bytes of a frame were changed")
            if number != self.events:
                self._damaged(
                    "misplaced", f"event {number} stands where {self.events} belongs: reordered, inserted or removed"
                )
            if kind not in KINDS or flags & ~ZSTD or length > MAX_PAYLOAD:
                self._damaged("malformed", f"a frame of kind {kind}, flags {flags}, {length} bytes: not of this format")
            if remaining < PREFIX_SIZE + length + CHAIN_SIZE:
                self.torn = remaining
                return
            payload = self._file.read(length)
            stored = self._file.read(CHAIN_SIZE)
            chain = hashlib.sha256(self.chain + prefix + payload).digest()
            if chain != stored:
                self._damaged("edited", "the chain doesn't fit: the frame was changed, moved or put in")
            frame = Frame(self.offset, kind, flags, count, number, prefix, payload, self.chain)
            yield frame
            self.offset += PREFIX_SIZE + length + CHAIN_SIZE
            self.events += count
            self.chain = chain

    def _check_order(self, frame: Frame, previous: int | None) -> None:
        if (frame.kind == HEADER) != (previous is None):
            self._damaged("malformed", "the header is not the first frame")
        if (previous == HEADER) and frame.kind != SIGNED_HEAD:
            self._damaged("unsigned", "no signed head follows the header")
        if self._blobs and frame.kind not in (BLOB, OPERATION, GATHERED):
            self._damaged("malformed", "a blob without its event")
        if frame.kind in (BLOB, SIGNED_HEAD):
            fits = frame.count == 0
        elif frame.kind == GATHERED:
            fits = frame.count > 0
        else:
            fits = frame.count == 1
        if not fits:
            self._damaged("malformed", f"a frame of kind {chr(frame.kind)} with {frame.count} events")

    def _plain(self, frame: Frame) -> bytes:
        if not frame.flags & ZSTD:
            return frame.payload
        try:
            return decompress(self._decompressor, frame.payload)
        except ValueError as error:
            self._damaged("malformed", f"a frame that can't be decompressed: {error}")

    def _head(self, frame: Frame) -> Head:
        if frame.flags or len(frame.payload) <= SIGNATURE_SIZE:
            self._damaged("malformed", "a signed frame without a signature")
        body = frame.payload[:-SIGNATURE_SIZE]
        time = self._time(self._json(body, frame.number), frame.number)
        self._note_time(frame.number, time, max(self._direct_time, self._gathered_time))
        self._direct_time = self._gathered_time = time
        return Head(frame, time, body, frame.payload[-SIGNATURE_SIZE:])

    def _decode(self, frame: Frame, plain: bytes) -> Iterator[Event]:
        lines = plain.split(b"\n")
        if lines.pop() or len(lines) != frame.count:
            self._damaged("malformed", f"{len(lines)} lines where {frame.count} events were announced")
        for index, line in enumerate(lines):
            number = frame.number + index
            fields = self._json(line, number)
            time = self._time(fields, number)
            kind = fields.get("event")
            if not isinstance(kind, str):
                self._damaged("malformed", "an event without a kind", number)
            if (kind == "opened") != (frame.kind == HEADER) or (kind == "closed") != (frame.kind == END):
                self._damaged("malformed", f"an event {kind[:40]!r} in a frame of kind {chr(frame.kind)}", number)
            if frame.kind == GATHERED:
                self._note_time(number, time, self._gathered_time)
                self._gathered_time = time
            elif frame.kind == OPERATION:
                self._note_time(number, time, self._direct_time)
                self._direct_time = time
            elif frame.kind == HEADER:
                self._direct_time = self._gathered_time = time
            yield Event(number, frame.offset, time, kind, line + b"\n", fields, self._match_blobs(number, fields))

    def _collect_blob(self, frame: Frame) -> None:
        plain = self._plain(frame)
        if len(plain) < BLOB_INDEX.size:
            self._damaged("malformed", "a blob without its index")
        index = BLOB_INDEX.unpack_from(plain)[0]
        data = plain[BLOB_INDEX.size :]
        last = len(self._blobs) - 1
        if index == last + 1 < MAX_BLOBS:
            self._blobs.append(_GrowingBlob(frame.offset))
        elif index != last or self._blobs[-1].size % BLOB_CHUNK or not self._blobs[-1].size:
            self._damaged("malformed", f"a chunk of blob {index} where it doesn't belong")
        self._blobs[-1].add(data)

    def _match_blobs(self, number: int, fields: Mapping[str, object]) -> tuple[Blob, ...]:
        """The event's references must be to the blobs before its frame."""
        collected, self._blobs = self._blobs, []
        blobs = tuple(
            Blob(blob.offset, number, index, blob.size, blob.digest.hexdigest()) for index, blob in enumerate(collected)
        )
        referred = set()
        for key, value in fields.items():
            if not isinstance(value, dict) or "blob" not in value:
                continue
            index = value["blob"]
            if not isinstance(index, int) or not 0 <= index < len(blobs):
                self._damaged("malformed", f"{key[:40]!r} refers to a blob that isn't there", number)
            digest = value.get("sha256")
            if digest is None and fields.get("event") == "output":
                # The chain is over what is stored, and a second hash would be a tenth of what bulk over SSH costs.
                digest = blobs[index].sha256
            if value.get("size") != blobs[index].size or digest != blobs[index].sha256:
                self._damaged("malformed", f"{key[:40]!r} refers to another blob than {index}", number)
            referred.add(index)
        # An event whose line is in its "detail" refers to its other blobs in there.
        if len(referred) != len(blobs) and "detail" not in fields:
            self._damaged("malformed", "a blob that its event doesn't refer to", number)
        return blobs

    def _json(self, line: bytes, number: int) -> dict[str, object]:
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            self._damaged("malformed", f"an event that is no JSON: {error}", number)
        if not isinstance(fields, dict):
            self._damaged("malformed", "an event that is no JSON object", number)
        return fields

    def _time(self, fields: Mapping[str, object], number: int) -> float:
        time = fields.get("time")
        if not isinstance(time, int | float) or isinstance(time, bool) or not 0 <= time < YEAR_10000:
            self._damaged("malformed", "an event without a time", number)
        return float(time)

    def _note_time(self, number: int, time: float, before: float) -> None:
        """Only noted: what follows may be edited, too, and that is worse."""
        if time < before and self.clock is None:
            problem = f"is {before - time:.6f} s older than what stands before it: the clock ran backwards"
            self.clock = Finding("clock", self.offset, number, problem)

    def _damaged(self, kind: FindingKind, problem: str, event: int | None = None) -> NoReturn:
        raise RecordingDamaged(Finding(kind, self.offset, self.events if event is None else event, problem))


class _GrowingBlob:
    """A blob whose chunks are being read."""

    __slots__ = ("digest", "offset", "size")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.size = 0
        self.digest = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)


def read_blob(file: BinaryIO, blob: Blob) -> Iterator[bytes]:
    """The bytes of a blob, in chunks of at most 1 MiB; ``file`` needs a descriptor of its own, not the pass's.

    Raises RecordingDamaged when the file is no longer what it was when its event was read.
    """
    decompressor = ZstdDecompressor(max_window_size=MAX_PAYLOAD)
    changed = RecordingDamaged(Finding("edited", blob.offset, blob.event, "the file changed while it was read"))
    file.seek(blob.offset)
    left = blob.size
    digest = hashlib.sha256()
    while left:
        prefix = file.read(PREFIX_SIZE)
        if len(prefix) != PREFIX_SIZE or not prefix_is_whole(prefix):
            raise changed
        length, kind, flags, _, _ = PREFIX.unpack_from(prefix)
        if kind != BLOB or length > MAX_PAYLOAD:
            raise changed
        try:
            data = decompress(decompressor, file.read(length)) if flags & ZSTD else file.read(length)
        except ValueError:
            raise changed from None
        file.seek(CHAIN_SIZE, os.SEEK_CUR)
        data = data[BLOB_INDEX.size :]
        left -= len(data)
        if not data or left < 0:
            raise changed
        digest.update(data)
        yield data
    if digest.hexdigest() != blob.sha256:
        raise changed


def decompress(decompressor: ZstdDecompressor, stored: bytes) -> bytes:
    """One zstd frame of at most `MAX_PAYLOAD` bytes: it must say its size, which is checked before memory is taken.

    Raises ValueError.
    """
    try:
        size = frame_content_size(stored)
        if not 0 <= size <= MAX_PAYLOAD:
            raise ValueError(f"would be {size} bytes, at most {MAX_PAYLOAD} are allowed")
        return decompressor.decompress(stored, allow_extra_data=False)
    except ZstdError as error:
        raise ValueError(str(error)) from None
