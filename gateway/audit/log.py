"""The audit log: append-only JSON lines in segments, each line chained to the one before.

A line is ``BODY + ',"chain":"' + HASH + '"}}' + newline``, where HASH is the hex of
SHA-256(previous line's 32 hash bytes + BODY); before the first line they are 32 zeros. The hash is the last member of
``unmapped``, so that every line is OCSF as it stands, and whoever holds lines in order (a SIEM, too) can check them.
Sequence numbers begin at 1 for each node and go on over segments and restarts, as the chain does.

Fail closed: after one failed write or sync every `append` and `flush` raises RecordingFailed, and nothing that needs an
audit line goes on. A failed write (a full disk) is over when there is space again: `retry` takes up the chain where it
ends in the file, as a restart does, so that a full disk doesn't lock out the administrators who could make space.
Whether bytes reached the disk after a failed fdatasync can't be known (the kernel may have dropped the pages), so that
is never tried again but by a restart.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import gateway.rendering as rendering
from gateway.audit.event import Event
from gateway.audit.events import LogRecovered, LogSegmentStarted, SegmentReason
from gateway.audit.ocsf import OCSF_VERSION, encode
from gateway.audit.segments import GENESIS, Tail, chain_end, first_sequence, segment_name, segments_of
from gateway.errors import RecordingFailed
from gateway.rendering import NO_NUMBER

SEGMENT_SIZE = 64 * 1024 * 1024
"""Bytes. Recovery at start reads one segment: 64 MiB take about 0.2 s."""

MAX_BUFFER = 256 * 1024
"""Bytes that wait for `flush` at most; more than one burst of a busy moment means that nobody flushes."""

DAY = 86400


class AuditLog:
    """The one writer of a log directory; holds its lock until `close`.

    directory  where the segments are; made if it is missing
    node       this gateway's name, written in every line
    clock      unix seconds
    version    the gateway's version
    Raises RecordingFailed when the directory can't be used, or another process writes there.
    """

    def __init__(
        self,
        directory: Path,
        *,
        node: str,
        clock: Callable[[], float],
        version: str = "",
        segment_size: int = SEGMENT_SIZE,
    ) -> None:
        self.directory = directory
        self.failed: str | None = None
        self.lasting = False
        """The failure stays until a restart."""
        self._clock = clock
        self._segment_size = segment_size
        # What stands between the numbers of a line, see `rendering.audit_line`.
        self._uid = b',"uid":"%b/' % encode(node)[1:-1]
        product = {"name": "Ostiary", "vendor_name": "Ostiary", "version": version}
        constant = encode(
            {"version": OCSF_VERSION, "product": product, "log_name": "audit", "profiles": ["security_control", "host"]}
        )[1:-1]
        self._constant = b'",%b},"time":' % constant
        self._device = b",%b," % encode({"device": {"hostname": node, "type_id": 1}})[1:-1]
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._untold: list[Event] = []
        """What recovery found, until that is in the log: one that fails half-way goes on in the next."""
        self._fd = -1
        self._descriptor = threading.Lock()  # `sync` may run in a thread while the reactor's thread changes segments
        try:
            self._open()
        except OSError as error:
            raise RecordingFailed(
                f"the audit log in {directory} can't be opened: {error.strerror or error}",
                hint="see to it that the gateway's user may read and write that directory",
            ) from error

    def _open(self) -> None:
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise RecordingFailed(
                f"the audit log in {self.directory} is in use by another process",
                hint="one gateway writes a log; stop the other one, or give this one its own directory",
            ) from None
        try:
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    # --- what is there already ---

    def _recover(self) -> None:
        """Takes up the chain where it ends, in the newest segment that has a good line.

        A torn end is cut off once it is kept beside the segment. Damage (whole lines that don't fit the chain) is
        evidence: that file stays as it is and the chain goes on in a new one; numbers that the damaged lines may have
        had are not given again, as a receiver may hold them.
        """
        found = segments_of(self.directory)
        newest = found[-1].name if found else ""
        tail = Tail(0, GENESIS, 0, b"", False, 0)
        lost = 0
        damaged = False
        while found:
            segment = found[-1]
            tail = chain_end(segment)
            if tail.damaged:
                damaged = True
                lost += tail.rest.count(b"\n")
                self._untold.append(_recovered(segment, tail, segment.name, "lines that don't fit the chain: damage"))
            elif tail.rest:
                kept = _keep(segment, tail)
                os.truncate(segment, tail.offset)
                self._untold.append(_recovered(segment, tail, kept, "the last line was torn by a crash"))
            if tail.sequence:
                break
            if not tail.damaged:
                segment.unlink()
            found.pop()
        self.sequence = self.flushed = tail.sequence + lost
        self._chain = tail.chain
        if damaged:
            # Damage may have swallowed newlines: the new file comes after the newest in any case.
            self.sequence = self.flushed = max(self.sequence, first_sequence(self.directory / newest))
            self._start_segment("damage", newest)
        elif found:
            self._continue(found[-1], tail)
        else:
            self._start_segment("first", "")
        for event in self._untold:
            self.append(event)
        self.flush()
        self._untold.clear()

    def _continue(self, segment: Path, tail: Tail) -> None:
        self._fd = os.open(segment, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._segment = segment.name
        self._size = tail.offset
        self._day_ends = _day_end(tail.started)

    # --- writing ---

    @property
    def head(self) -> str:
        """Chain hash of the last appended line, hex."""
        return self._chain.hex()

    def append(self, event: Event) -> int:
        """Chains one event and buffers its line; `flush` hands it to the kernel. Returns its sequence number.

        Raises RecordingFailed once the log has failed.
        """
        now: float = self._clock()
        self._prepare(now)
        return self._append(event.body(), NO_NUMBER, b"", now)

    def append_operation(self, before: bytes, number: int, after: bytes, now: float) -> None:
        """As `append` of an `OperationDecided`, the one event that comes with every operation: without the object.

        before, after  what its ``halves_of`` gave, number  the operation's in its session, now  unix seconds
        """
        self._prepare(now)
        self._append(before, number, after, now)

    def _prepare(self, now: float) -> None:
        if self.failed is not None:
            raise RecordingFailed(self.failed)
        if now >= self._day_ends or self._size >= self._segment_size:
            self._change_segment("day" if now >= self._day_ends else "size")

    def _append(self, before: bytes, number: int, after: bytes, now: float) -> int:
        """``before``, ``number`` (an operation's, else `NO_NUMBER`) and ``after`` are what `Event.body` gives."""
        sequence = self.sequence + 1
        line, self._chain = rendering.audit_line(
            self._chain,
            sequence,
            self._uid,
            self._constant,
            int(now * 1000),
            self._device,
            before,
            number,
            after,
        )
        self.sequence = sequence
        self._buffer.append(line)
        size = len(line)
        self._buffered += size
        self._size += size
        if self._buffered >= MAX_BUFFER:
            self.flush()
        return sequence

    def flush(self) -> None:
        """Hands every buffered line to the kernel. Raises RecordingFailed; the log then stays failed."""
        if self.failed is not None:
            raise RecordingFailed(self.failed)
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self._fail("written", error)
        self.flushed = self.sequence

    def sync(self) -> None:
        """What was flushed is on the disk when this returns (fdatasync). May be called in any thread.

        Raises RecordingFailed; the log then stays failed.
        """
        if self.failed is not None:
            raise RecordingFailed(self.failed)
        with self._descriptor:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self.lasting = True
                self._fail("synced", error)

    def retry(self) -> None:
        """After a failed write: take up the chain again. What was not in the kernel's hands was refused to whoever
        asked, so nothing that happened is missing.

        Raises RecordingFailed: it failed again, or for good.
        """
        if self.failed is None:
            return
        if self.lasting:
            raise RecordingFailed(self.failed)
        problem, self.failed = self.failed, None
        self._buffer.clear()
        self._buffered = 0
        try:
            with self._descriptor:
                if self._fd >= 0:
                    os.close(self._fd)
                self._fd = -1
            self._recover()
        except (OSError, RecordingFailed) as error:
            self.failed = problem
            raise RecordingFailed(problem) from error

    def close(self) -> None:
        """Flushes, syncs, and gives up the lock; a failed log only gives up the lock."""
        try:
            if self.failed is None:
                self.flush()
                self.sync()
        finally:
            self.failed = "the audit log is closed"
            self.lasting = True
            if self._fd >= 0:
                os.close(self._fd)
            os.close(self._lock)

    def _fail(self, what: str, error: OSError) -> None:
        self.failed = f"the audit log can't be {what}: {error.strerror or error}"
        mend = ", then restart the gateway" if self.lasting else "; the gateway goes on by itself then"
        raise RecordingFailed(
            self.failed, hint=f"free space on or repair the file system of {self.directory}{mend}"
        ) from error

    # --- segments ---

    def _change_segment(self, reason: SegmentReason) -> None:
        previous = self._segment
        self.flush()
        self.sync()
        with self._descriptor:
            os.close(self._fd)
            self._fd = -1
            try:
                self._start_segment(reason, previous)
            except OSError as error:
                self._fail("continued in a new file", error)

    def _start_segment(self, reason: SegmentReason, previous: str) -> None:
        name = segment_name(self.sequence + 1)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self.directory / name, flags, 0o640)
        _sync_directory(self.directory)
        self._segment = name
        self._size = 0
        now = self._clock()
        self._day_ends = _day_end(now)
        self._append(LogSegmentStarted(previous, self.head, reason).body(), NO_NUMBER, b"", now)


def _day_end(now: float) -> int:
    """Unix seconds at which the UTC day of ``now`` is over."""
    return (int(now) // DAY + 1) * DAY


def _recovered(segment: Path, tail: Tail, kept_in: str, problem: str) -> LogRecovered:
    return LogRecovered(segment.name, tail.offset, len(tail.rest), kept_in, problem)


def _keep(segment: Path, tail: Tail) -> str:
    """Writes the torn bytes beside the segment, durably and before they are cut off. Returns the file's name."""
    for attempt in range(1000):
        name = f"{segment.name}.torn-{tail.offset}" + (f"-{attempt}" if attempt else "")
        path = segment.with_name(name)
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        except FileExistsError:
            if path.read_bytes() == tail.rest:  # killed between keeping and cutting: it is kept already
                return name
            continue
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(tail.rest)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink()  # on a full disk each try would leave an empty one
            raise
        _sync_directory(segment.parent)
        return name
    raise OSError(f"a thousand torn lines at one place of {segment.name}")


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
