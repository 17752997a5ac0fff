"""Writes recordings: one append-only file per session, handed to the kernel before anything is forwarded.

A recorder fails closed and for good: after a write error, a short write or a failed fdatasync every further
call raises `RecordingFailed`, so its session can forward nothing more. What was written before stays verifiable.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zstandard import ZstdCompressor

import gateway.recording.events as lines
import gateway.rendering as rendering
from gateway.errors import RecordingFailed
from gateway.model import Decision, Operation
from gateway.recording import directory as directories
from gateway.recording.events import SessionHeader, Source, Stream, opened, operation_constant, output_event
from gateway.recording.format import (
    BLOB,
    BLOB_CHUNK,
    BLOB_INDEX,
    CHAIN_START,
    END,
    GATHER,
    GATHERED,
    HEADER,
    MAGIC,
    MAX_PAYLOAD,
    MAX_REASON,
    OPERATION,
    SIGNED_HEAD,
    ZSTD,
    ClosingHead,
    pack_signed_frame,
    parse_session,
)
from gateway.recording.keys import key_id
from gateway.recording.packing import QUICK_LEVEL, Packed, Packer
from gateway.recording.sealed import Sealed
from gateway.recording.sync import Descriptor, Files, InThread, SyncGroup

COMPRESS_FROM = 4096
"""Bytes of an operation's event: below, zstd costs more time than the few bytes are worth."""
INLINE_OUTPUT = 4096
"""Bytes of output that stand in their event, where people can read them."""
WRITE_AT = 1024 * 1024
"""Bytes that may wait in memory for `commit`: a 1 GB operation is written on the way."""
ZSTD_LEVEL = 3
"""645 MB/s and 6.0x on results (shared/recording.md)."""

PIPED = 256 * 1024
"""Bytes of a channel's output in one event: what a thread is handed has to be worth it."""
COMPRESSED_BEHIND = 1
"""So many pieces of `PIPED` bytes of one session that wait for the packer, and what comes is stored as it is. Who sends
faster than it compresses would wait for it, and who wants to fill a disk sends what can't be compressed."""
MAX_PACKING = 8
"""The same; who brings more waits for the first of them."""

_PROOF: Final = object()


class Recorded:
    """Proof that the operations of ``session`` up to ``number`` were recorded; only `Recorder` makes one."""

    __slots__ = ("number", "session")

    def __init__(self, proof: object, session: str, number: int) -> None:
        if proof is not _PROOF:
            raise TypeError("only a recorder says that something was recorded")
        self.session = session
        self.number = number

    def __repr__(self) -> str:
        return f"Recorded(session={self.session!r}, number={self.number})"


class Recordings:
    """All recordings of this node.

    directory       ``recording.directory``; made with mode 0700 if need be
    key             signs every recording (`keys.load_or_create`)
    clock           unix seconds
    reactor         its ``callLater`` times the group flush
    in_thread       runs the system calls that block, e.g. ``partial(deferToThreadPool, reactor, pool)``
    low_water       below so many free bytes no new session begins
    reserve         of these, the last so many are for break-glass sessions: the others end when it is reached
    sealer          the socket of the one that creates the files append-only; None: we create them ourselves
    open_recording  in the place of either, for tests
    packer          compresses what channels show beside us; None: we do

    Raises RecordingFailed when the directory can't be used. ``warnings`` is to be shown at start, in
    ``ostiary check`` and in the metrics.
    """

    def __init__(
        self,
        directory: Path,
        *,
        key: Ed25519PrivateKey,
        node: str,
        clock: Callable[[], float],
        reactor: IReactorTime,
        in_thread: InThread,
        low_water: int,
        reserve: int = 0,
        sealer: Path | None = None,
        open_recording: directories.Opener | None = None,
        space: Callable[[Path], int] = directories.free_space,
        files: Files | None = None,
        packer: Packer | None = None,
    ) -> None:
        self.warnings = directories.prepare(directory, sealed=sealer is not None)
        self.directory = directory
        self.key = key
        self.key_id = key_id(key.public_key())
        self.node = node
        self.clock = clock
        self.reactor = reactor
        self.files = files if files is not None else Files()
        self.group = SyncGroup(reactor, in_thread, self.files)
        self.compressor = ZstdCompressor(level=ZSTD_LEVEL)
        self.quick = ZstdCompressor(level=QUICK_LEVEL)
        self.packer = packer
        self.low_water = low_water
        self.reserve = reserve
        self._sealed = None if sealer is None else Sealed(sealer)
        if open_recording is None:
            open_recording = directories.open_plain if self._sealed is None else self._sealed.open
        self._open = open_recording
        self._space = space

    def free_space(self) -> int:
        """Bytes left for recordings. Raises RecordingFailed: a disk that can't be asked has none."""
        try:
            return self._space(self.directory)
        except OSError as error:
            raise RecordingFailed(f"{self.directory}: {error.strerror or error}") from error

    def obstacle(self) -> str | None:
        """Why no recording could be created now, None when nothing is known to stand in the way; creates nothing."""
        if self._sealed is not None:
            return self._sealed.obstacle()
        return directories.obstacle(self.directory)

    def begin(
        self, session: SessionHeader, *, on_failure: Callable[[RecordingFailed], None], break_glass: bool = False
    ) -> Recorder:
        """Creates the file and hands its signed header to the kernel.

        on_failure   called at most once, from the reactor, when the recording fails while no call of the
                     session's is there to raise: the session must end
        break_glass  may use the reserve

        Raises RecordingFailed: no session without a recording. ValueError when the session id is no UUIDv7.
        """
        floor = self.low_water - self.reserve if break_glass else self.low_water
        free = self.free_space()
        if free < floor:
            raise RecordingFailed(
                f"the disk for recordings is nearly full ({free} bytes free, {floor} needed for a new session)",
                hint="tell an administrator: space must be made in recording.directory",
            )
        path = directories.path_of(self.directory, session.session)
        header = opened(session, node=self.node, key=self.key_id)
        if len(header) > MAX_PAYLOAD:
            raise RecordingFailed("the session can't be described in a recording's header: its names are too long")
        try:
            fd = self._open(path)
        except FileExistsError:
            raise RecordingFailed(f"{path}: is there already; a recording is never written twice") from None
        except OSError as error:
            raise RecordingFailed(f"{path}: can't be created: {error.strerror or error}") from error
        # The day's directory and those above it may be new.
        above = (path.parent, *path.parent.parents[:3])
        return Recorder(self, session.session, header, Descriptor(fd, above), on_failure, break_glass=break_glass)

    def settled(self) -> Deferred[None]:
        """Flushes now; fires when everything is on the disk and closed recordings' files are closed (shutdown)."""
        return self.group.settled()


class Recorder:
    """Writes one session's recording; `Recordings.begin` makes it."""

    def __init__(
        self,
        recordings: Recordings,
        session: str,
        header: bytes,
        descriptor: Descriptor,
        on_failure: Callable[[RecordingFailed], None],
        *,
        break_glass: bool,
    ) -> None:
        self.session = session
        self.descriptor = descriptor
        self.failed: RecordingFailed | None = None
        self.size = 0
        self._recordings = recordings
        self._group = recordings.group
        self._clock = recordings.clock
        self._write_bytes = recordings.files.write
        self._fd = descriptor.fd
        self._uuid = parse_session(session)
        self._on_failure = on_failure
        self._break_glass = break_glass
        self._closed = False
        self._touched = False
        self._last_operation = 0
        self._chain = CHAIN_START
        self._events = 0
        self._pending: list[bytes] = [MAGIC]
        self._pending_size = len(MAGIC)
        self._gathered: list[bytes] = []
        self._gathered_size = 0
        self._rows = bytearray()
        self._rows_of: int | tuple[int, Stream] = 0
        self._rows_time = 0.0
        self._packing: deque[tuple[Future[Packed], tuple[int, Stream], float]] = deque()
        """Output that stands behind all that is pending, and before all that is gathered."""
        self._blobs = 0
        # Of the last result: an application that runs the same again gets the same line but for numbers.
        self._columns: Sequence[str] | None = None
        self._masked: Sequence[str] = ()
        self._shown = b""
        self._status = ""
        self._status_line = b'""'
        self._append(HEADER, header, 1, 0)
        self._sign(SIGNED_HEAD, {"time": self._clock()}, 0)
        self._write()

    # What the session says

    def operation(
        self,
        number: int,
        operation: Operation,
        decision: Decision,
        *,
        parameters: Sequence[bytes | None] | None = None,
        formats: Sequence[int] = (),
        source: Source = "query",
    ) -> None:
        """An operation that was decided; nothing of it may be forwarded before `commit`.

        number      counts the session's operations, upwards
        operation   its ``text`` is kept as it is: password clauses must be blanked already
        parameters  values as in Bind (None: NULL), formats  their codes as in Bind

        Raises RecordingFailed.
        """
        self._usable()
        try:
            constant = operation_constant(operation, decision, source, self._store_blob)
        except Exception as error:
            # Half an operation may be in the file; nothing may follow it.
            raise self._fail(error) from error
        self.rendered_operation(self._clock(), number, constant, parameters, formats)

    def rendered_operation(
        self,
        time: float,
        number: int,
        constant: bytes,
        parameters: Sequence[bytes | None] | None,
        formats: Sequence[int],
    ) -> None:
        """As `operation`, where ``constant`` is what `operation_constant` gave before for the same operation, decision
        and source: what an application runs again and again is not rendered again.

        time  unix seconds

        Raises RecordingFailed.
        """
        self._usable()
        try:
            line = lines.operation_line(time, number, constant, parameters, formats, self._store_blob)
            if len(line) > MAX_PAYLOAD:
                line = self._outsourced({"event": "operation", "time": time, "operation": number}, line)
            if len(line) < COMPRESS_FROM:
                self._append(OPERATION, line, 1, 0)
            else:
                self._append_compressed(OPERATION, line, 1)
        except Exception as error:
            # Half an operation may be in the file; nothing may follow it.
            raise self._fail(error) from error
        self._last_operation = number

    def result(
        self,
        number: int,
        *,
        status: str,
        columns: Sequence[str] | None = None,
        masked: Sequence[str] = (),
        rows: int = 0,
        size: int = 0,
    ) -> None:
        """How operation ``number`` ended: its command tag or SQLSTATE, columns, which of them were masked, rows, bytes.

        Gathered with others; in the kernel within 100 ms. Raises RecordingFailed.
        """
        self.ended(self._clock(), number, status, columns, masked, rows, size)

    def ended(
        self,
        time: float,
        number: int,
        status: str,
        columns: Sequence[str] | None,
        masked: Sequence[str],
        rows: int,
        size: int,
    ) -> None:
        """As `result`, at ``time`` (unix seconds). Raises RecordingFailed."""
        if columns is not self._columns or masked is not self._masked:
            self._shown = lines.result_columns(columns, masked)
            self._columns, self._masked = columns, masked
        if status != self._status:
            self._status, self._status_line = status, lines.dumps(status)[:-1]
        line = lines.result_line(time, number, self._status_line, rows, size, self._shown)
        kept: dict[str, object] | None = None
        if len(line) > MAX_PAYLOAD:
            kept = {"event": "result", "time": time, "operation": number}
        self._gather(line, kept)

    def rows(self, number: int, data: bytes) -> None:
        """Rows of operation ``number`` as the client got them, masked: whole messages. Raises RecordingFailed."""
        self._usable()
        if self._rows and number != self._rows_of:
            self._write_gathered()
        self._rows_of = number
        self._rows += data
        self._rows_time = self._clock()
        if len(self._rows) >= GATHER:
            self._write_gathered()
        self._touch()

    def output(self, channel: int, stream: Stream, data: bytes) -> None:
        """What a channel's client got; gathered, so that many small pieces become one event. Raises RecordingFailed."""
        self._usable()
        source = (channel, stream)
        if self._rows and source != self._rows_of:
            self._write_gathered()
        self._rows_of = source
        self._rows += data
        self._rows_time = self._clock()
        if len(self._rows) >= PIPED:
            if self._recordings.packer is None or len(self._rows) > BLOB_CHUNK:
                self._write_gathered()
            else:
                self._pack(self._recordings.packer)
        self._touch()

    def shown(self, time: float, channel: int, stream: Stream, data: bytes) -> None:
        """As `output`, with its own ``time`` (unix seconds): what is shown on a terminal is replayed as it came."""
        self._gather_event(output_event(time, channel, stream, data))

    def happened(self, kind: str, /, **fields: object) -> None:
        """As `event`, gathered with others: in the kernel within 100 ms. Raises RecordingFailed."""
        self._gather_event({"event": kind, "time": self._clock(), **fields})

    def event(self, kind: str, /, **fields: object) -> None:
        """Anything else that happened (an approval, ...); fields are text, numbers or lists of them.

        It stands before what comes after it: written with the next `commit`.

        Raises RecordingFailed; ValueError for what would read as something that only the recorder says.
        """
        if kind in ("opened", "closed") or fields.keys() & {"event", "time"}:
            raise ValueError(f"an event {kind!r} with {sorted(fields)} is the recorder's to write")
        self._gather_event({"event": kind, "time": self._clock(), **fields})
        self._write_gathered()

    def commit(self) -> Recorded:
        """Hands everything so far to the kernel, in order: `durability` written.

        Raises RecordingFailed, and then the recorder is dead: what was to be forwarded must not be.
        """
        self._usable()
        if self._packing:
            # A recording that has failed already proves nothing.
            self._settle(MAX_PACKING)
        self._write()
        self._touch()
        return Recorded(_PROOF, self.session, self._last_operation)

    def commit_synced(self) -> Deferred[Recorded]:
        """As `commit`, and on the disk: `durability` synced. Fails with RecordingFailed; ``on_failure`` comes, too."""
        try:
            recorded = self.commit()
        except RecordingFailed as error:
            return fail(error)

        def failed(failure: Failure) -> Recorded:
            assert failure.value is not None  # a fired Failure has one; Twisted types it as optional
            self.sync_failed(failure.value)
            self._usable()
            return recorded

        def synced(_: None) -> Recorded:
            # An earlier group's failure is not undone by a later success of the same file.
            self._usable()
            return recorded

        return self._group.sync_now(self).addCallbacks(synced, failed)

    def close(self, reason: str) -> ClosingHead:
        """Writes the signed end; the file is synced and closed behind it.

        reason  for people, at most `MAX_REASON` characters

        Raises RecordingFailed; then the recording has no end and verifies as never closed.
        """
        self._usable()
        self._write_gathered()
        end = {"event": "closed", "time": self._clock(), "reason": reason[:MAX_REASON], "events": self._events + 1}
        self._sign(END, end, 1)
        self._write()
        self._closed = True
        self._group.finish(self, sync=True)
        return ClosingHead(self.size, self._chain.hex())

    # What the sync group calls

    def flush(self) -> bool:
        """A group flush: gathered events and a signed head. False when it failed, or there is nothing to sync."""
        self._touched = False
        if self._closed or self.failed is not None:
            return False
        try:
            if self._recordings.reserve and not self._break_glass:
                self._spare_the_reserve()
            self._write_gathered()
            self._sign(SIGNED_HEAD, {"time": self._clock()}, 0)
            self._write()
        except Exception as error:  # noqa: BLE001 - whatever it is: this one session ends, the group goes on
            self._tell(self._fail(error))
            return False
        return True

    def sync_failed(self, error: BaseException) -> None:
        """fdatasync failed: this recording may have lost what it acknowledged; its session ends."""
        if self.failed is None:
            self._tell(self._fail(RecordingFailed(f"the recording could not be synced to the disk: {error}")))

    # Frames

    def _gather(self, line: bytes, kept: dict[str, object] | None) -> None:
        """kept  None; or what stays of the event when its line, which no reader could be asked to hold, goes to a
        blob of its own"""
        self._usable()
        if self._rows:
            self._write_gathered()
        if kept is not None:
            line = self._outsourced(kept, line)
        if self._blobs:
            # A blob belongs to the event that follows it, so that one can't wait.
            self._append_compressed(GATHERED, line, 1)
        else:
            if self._gathered_size + len(line) > GATHER:
                self._write_gathered()
            self._gathered.append(line)
            self._gathered_size += len(line)
        self._touch()

    def _gather_event(self, event: dict[str, object]) -> None:
        line = lines.dumps(event)
        kept: dict[str, object] = {key: event[key] for key in ("event", "time", "operation") if key in event}
        self._gather(line, kept if len(line) > MAX_PAYLOAD else None)

    def _write_gathered(self) -> None:
        """Writes what is gathered in the order it came; rows always came last (see `_gather`)."""
        if self._packing:
            self._settle(0)
        if self._gathered:
            gathered, self._gathered, self._gathered_size = self._gathered, [], 0
            self._append_compressed(GATHERED, b"".join(gathered), len(gathered))
        if self._rows:
            rows, self._rows = self._rows, bytearray()
            # Not now: what makes them be written may have its own time, which is a little earlier, and stands behind
            # them.
            if isinstance(self._rows_of, tuple):
                self._write_output(self._rows_of, self._rows_time, rows)
            else:
                event = {"event": "rows", "time": self._rows_time, "operation": self._rows_of}
                blob = self._store_blob([bytes(rows)])
                self._append_compressed(GATHERED, lines.dumps({**event, "data": blob}), 1)

    def _write_output(self, source: tuple[int, Stream], time: float, data: bytearray) -> None:
        if len(data) <= INLINE_OUTPUT:
            line = lines.dumps(output_event(time, *source, bytes(data)))
            self._append_compressed(GATHERED, line, 1, self._recordings.quick)
            return
        blob = self._store_blob([bytes(data)], self._recordings.quick)
        self._append(GATHERED, lines.dumps(_output_elsewhere(source, time, blob)), 1, 0)

    def _pack(self, packer: Packer) -> None:
        """Hand the rows to the packer. They keep their place: whatever is written in between waits for them.

        Raises RecordingFailed.
        """
        if self._gathered:
            # It came before the rows, which stay.
            rows, self._rows = self._rows, bytearray()
            self._write_gathered()
            self._rows = rows
        self._settle(MAX_PACKING - 1)
        rows, self._rows = self._rows, bytearray()
        assert isinstance(self._rows_of, tuple), "only output is packed"
        try:
            compress = len(self._packing) < COMPRESSED_BEHIND
            self._packing.append((packer.submit(rows, compress=compress), self._rows_of, self._rows_time))
        except Exception as error:
            raise self._fail(error) from error

    def _settle(self, most: int) -> None:
        """Write what the packer has done, in order; wait for it until at most ``most`` pieces are with it.

        Raises RecordingFailed.
        """
        while self._packing and (len(self._packing) > most or self._packing[0][0].done()):
            packing, source, time = self._packing.popleft()
            try:
                packed = packing.result()
            except Exception as error:
                # A piece of what was shown is missing: nothing may follow it.
                raise self._fail(error) from error
            self._append(BLOB, packed.payload, 0, packed.flags)
            blob: dict[str, object] = {"blob": 0, "size": packed.size}
            self._append(GATHERED, lines.dumps(_output_elsewhere(source, time, blob)), 1, 0)

    def _outsourced(self, kept: dict[str, object], line: bytes) -> bytes:
        if not self._blobs:
            # Not between gathered events and their time: see _gather.
            self._write_gathered()
        return lines.dumps({**kept, "detail": self._store_blob([line])})

    def _store_blob(self, parts: Iterable[bytes], compressor: ZstdCompressor | None = None) -> dict[str, object]:
        """Writes ``parts`` as one blob of the event that comes next, cut into chunks, and gives its reference."""
        digest = hashlib.sha256()
        size = 0
        index = BLOB_INDEX.pack(self._blobs)
        waiting = bytearray()
        for part in parts:
            digest.update(part)
            size += len(part)
            for start in range(0, len(part), BLOB_CHUNK):
                waiting += part[start : start + BLOB_CHUNK]
                if len(waiting) >= BLOB_CHUNK:
                    self._append_compressed(BLOB, index + waiting[:BLOB_CHUNK], 0, compressor)
                    del waiting[:BLOB_CHUNK]
        if waiting or not size:
            self._append_compressed(BLOB, index + bytes(waiting), 0, compressor)
        reference: dict[str, object] = {"blob": self._blobs, "size": size, "sha256": digest.hexdigest()}
        self._blobs += 1
        return reference

    def _append_compressed(
        self, kind: int, payload: bytes, events: int, compressor: ZstdCompressor | None = None
    ) -> None:
        compressed = (compressor or self._recordings.compressor).compress(payload)
        if len(compressed) < len(payload):
            self._append(kind, compressed, events, ZSTD)
        else:
            self._append(kind, payload, events, 0)

    def _append(self, kind: int, payload: bytes, events: int, flags: int) -> None:
        frame, self._chain = rendering.frame(self._chain, kind, flags, events, self._events, payload)
        self._queue(frame, events)

    def _sign(self, kind: int, body: dict[str, object], events: int) -> None:
        frame, self._chain = pack_signed_frame(
            self._chain, kind, events, self._events, lines.dumps(body), self._uuid, self._recordings.key
        )
        self._queue(frame, events)

    def _queue(self, frame: bytes, events: int) -> None:
        if events:
            self._events += events
            self._blobs = 0
        self._pending.append(frame)
        self._pending_size += len(frame)
        if self._pending_size > WRITE_AT:
            self._write()

    def _write(self) -> None:
        """One write of all that is pending. A short one is not completed: the tail stays a frame that was cut."""
        if not self._pending:
            return
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        try:
            written = self._write_bytes(self._fd, data)
        except OSError as error:
            raise self._fail(
                RecordingFailed(f"the recording could not be written: {error.strerror or error}")
            ) from error
        self.size += written
        if written != len(data):
            raise self._fail(
                RecordingFailed(f"the recording could not be written: {written} of {len(data)} bytes were (disk full?)")
            )

    # Life and death

    def _usable(self) -> None:
        if self.failed is not None:
            raise RecordingFailed(self.failed.message, hint=self.failed.hint)
        if self._closed:
            raise RecordingFailed("the recording is closed")

    def _touch(self) -> None:
        if not self._touched:
            self._touched = True
            self._group.touch(self)

    def _fail(self, error: Exception) -> RecordingFailed:
        """Dead from here on; the file is closed behind the threads that use it. Gives the first failure."""
        if self.failed is None:
            if not isinstance(error, RecordingFailed):
                # Only the class of somebody else's error: its text may hold what was to be recorded.
                error = RecordingFailed(f"the recording failed: {type(error).__name__}")
            self.failed = error
            if not self._closed:
                self._pending.clear()
                self._gathered.clear()
                self._rows = bytearray()
                self._packing.clear()
                self._group.finish(self, sync=False)
        return self.failed

    def _tell(self, error: RecordingFailed) -> None:
        # Later and on its own: an exception there must not disturb the other members of the group.
        self._recordings.reactor.callLater(0, self._on_failure, error)

    def _spare_the_reserve(self) -> None:
        free = self._recordings.free_space()
        if free < self._recordings.reserve:
            raise RecordingFailed(
                "the disk for recordings is full; what is left is reserved for administrators",
                hint="tell an administrator: space must be made in recording.directory",
            )


def _output_elsewhere(source: tuple[int, Stream], time: float, blob: dict[str, object]) -> dict[str, object]:
    channel, stream = source
    return {"event": "output", "time": time, "channel": channel, "stream": stream, "data": blob}
