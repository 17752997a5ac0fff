"""fdatasync, in groups and in threads: what was handed to the kernel reaches the disk within about 100 ms.

A failed fdatasync is never retried: the kernel may have dropped the pages and would report success the
second time (PostgreSQL's fsyncgate, 2018). Whoever it covered is told, once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

INTERVAL = 0.1
"""Seconds between something written and its group flush (shared/recording.md: groups every <= 100 ms)."""

FLUSHED_AT_ONCE = 8
"""Members that are flushed before others get their turn: a signature and a write each, about 0.4 ms for all. A thousand
sessions that have just written would hold up everybody for 50 ms."""


class InThread(Protocol):
    """Runs a function in a thread, e.g. ``partial(deferToThreadPool, reactor, pool)``."""

    def __call__(self, function: Callable[[], Sequence[OSError | None]], /) -> Deferred[Sequence[OSError | None]]: ...


@dataclass(frozen=True, slots=True)
class Files:
    """The system calls a recording needs, so that tests can make each of them fail."""

    write: Callable[[int, bytes], int] = os.write
    fdatasync: Callable[[int], None] = os.fdatasync
    close: Callable[[int], None] = os.close


class Descriptor:
    """An open recording, and how many threads are busy with it: it is closed behind the last of them."""

    __slots__ = ("busy", "fd", "finishing", "sync_last", "unsynced_directories")

    def __init__(self, fd: int, unsynced_directories: tuple[Path, ...]) -> None:
        self.fd = fd
        self.unsynced_directories = unsynced_directories
        self.busy = 0
        self.finishing = False
        self.sync_last = False


class Member(Protocol):
    """A recorder, as the group sees it."""

    descriptor: Descriptor

    def flush(self) -> bool:
        """Writes what is gathered and a signed head; False when there is nothing to sync any more."""

    def sync_failed(self, error: OSError) -> None: ...


class SyncGroup:
    """One per node. Everything but the system calls runs in the reactor's thread."""

    def __init__(self, reactor: IReactorTime, in_thread: InThread, files: Files) -> None:
        self._reactor = reactor
        self._in_thread = in_thread
        self._files = files
        self._touched: dict[Member, None] = {}
        self._flushing: dict[Member, None] = {}
        self._timer: object | None = None
        self._waiting_for_disk: dict[Member, None] = {}
        self._group_running = False
        self._jobs = 0
        self._settled: list[Deferred[None]] = []

    def touch(self, member: Member) -> None:
        """``member`` has written: it is flushed and synced within `INTERVAL`, or behind the group that runs now."""
        self._touched[member] = None
        if self._timer is None:
            self._timer = self._reactor.callLater(INTERVAL, self._flush)

    def forget(self, member: Member) -> None:
        self._touched.pop(member, None)
        self._flushing.pop(member, None)
        self._waiting_for_disk.pop(member, None)

    def sync_now(self, member: Member) -> Deferred[None]:
        """fires when everything ``member`` wrote is on the disk; fails with the OSError, which only it is told."""
        done: Deferred[None] = Deferred()

        def finished(errors: Sequence[OSError | None]) -> None:
            if errors[0] is None:
                done.callback(None)
            else:
                done.errback(errors[0])

        self._start([member], finished)
        return done

    def finish(self, member: Member, *, sync: bool) -> None:
        """The last call for ``member``: its file is closed, synced before if ``sync``, when no thread uses it."""
        self.forget(member)
        member.descriptor.finishing = True
        member.descriptor.sync_last = sync
        if member.descriptor.busy == 0:
            self._close(member)

    def settled(self) -> Deferred[None]:
        """Flushes now; fires when nothing waits for the disk and no thread is busy."""
        if self._timer is not None:
            self._timer.cancel()  # type: ignore[attr-defined]  # IDelayedCall: zope interfaces have no static type here
            self._flushing |= self._touched
            self._touched = {}
            self._flush_some(len(self._flushing))
        if self._jobs == 0:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._settled.append(waiter)
        return waiter

    def _flush(self) -> None:
        self._flushing, self._touched = self._touched, {}
        self._flush_some(FLUSHED_AT_ONCE)

    def _flush_some(self, most: int) -> None:
        """The next ``most`` of `_flushing`; the rest in the next turns of the loop. Who writes meanwhile is of the next
        group."""
        flushing = self._flushing
        for member in tuple(islice(flushing, most)):
            flushing.pop(member, None)
            if member.flush():
                self._waiting_for_disk[member] = None
        if flushing:
            self._timer = self._reactor.callLater(0, self._flush_some, FLUSHED_AT_ONCE)
            return
        self._timer = self._reactor.callLater(INTERVAL, self._flush) if self._touched else None
        self._start_group()

    def _start_group(self) -> None:
        """At most one group is under way: a slow disk makes the next group larger, not the queue longer."""
        if self._group_running or not self._waiting_for_disk:
            return
        members = list(self._waiting_for_disk)
        self._waiting_for_disk = {}
        self._group_running = True

        def finished(errors: Sequence[OSError | None]) -> None:
            self._group_running = False
            for member, error in zip(members, errors, strict=True):
                if error is not None:
                    member.sync_failed(error)
            self._start_group()

        self._start(members, finished)

    def _start(self, members: list[Member], finished: Callable[[Sequence[OSError | None]], None]) -> None:
        descriptors = [member.descriptor for member in members]
        for descriptor in descriptors:
            descriptor.busy += 1

        def over(errors: Sequence[OSError | None]) -> None:
            for descriptor in descriptors:
                descriptor.busy -= 1
            finished(errors)
            for member in members:
                if member.descriptor.finishing and member.descriptor.busy == 0:
                    self._close(member)

        self._run(partial(self._sync, descriptors), len(members), over)

    def _close(self, member: Member) -> None:
        descriptor = member.descriptor
        descriptor.busy += 1  # never closed twice

        def close() -> Sequence[OSError | None]:
            errors = self._sync([descriptor]) if descriptor.sync_last else [None]
            try:
                self._files.close(descriptor.fd)
            except OSError as error:
                return [errors[0] or error]
            return errors

        def over(errors: Sequence[OSError | None]) -> None:
            if errors[0] is not None:
                member.sync_failed(errors[0])

        self._run(close, 1, over)

    def _run(
        self,
        job: Callable[[], Sequence[OSError | None]],
        size: int,
        over: Callable[[Sequence[OSError | None]], None],
    ) -> None:
        """A thread that can't be had, or that dies, is a failed sync of everything it should have synced."""

        def failed(failure: Failure) -> Sequence[OSError | None]:
            return [OSError(f"no thread could sync: {failure.getErrorMessage()}")] * size

        def ended(errors: Sequence[OSError | None]) -> None:
            self._jobs -= 1
            over(errors)
            if self._jobs == 0:
                settled, self._settled = self._settled, []
                for waiter in settled:
                    waiter.callback(None)

        self._jobs += 1
        _ = self._in_thread(job).addErrback(failed).addCallback(ended)

    def _sync(self, descriptors: Sequence[Descriptor]) -> Sequence[OSError | None]:
        """In the thread. A new file's directories are synced with it, or a power cut could lose the whole file."""
        errors: list[OSError | None] = []
        for descriptor in descriptors:
            try:
                self._files.fdatasync(descriptor.fd)
                if descriptor.unsynced_directories:
                    _sync_directories(descriptor.unsynced_directories)
                    descriptor.unsynced_directories = ()
                errors.append(None)
            except OSError as error:
                errors.append(error)
        return errors


def _sync_directories(directories: Sequence[Path]) -> None:
    for directory in directories:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
