from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from recording.made import Node, Threads
from twisted.internet.task import Clock

from gateway.recording.sync import FLUSHED_AT_ONCE, INTERVAL, Descriptor, Files, SyncGroup


class Session:
    """A member of a group that only counts."""

    def __init__(self, fd: int, *, alive: bool = True) -> None:
        self.descriptor = Descriptor(fd, ())
        self.alive = alive
        self.flushed = 0
        self.failed: list[OSError] = []

    def flush(self) -> bool:
        self.flushed += 1
        return self.alive

    def sync_failed(self, error: OSError) -> None:
        self.failed.append(error)


class Disk:
    """Writes down what was asked of it; descriptors in ``bad`` can't be synced, in ``unclosable`` not closed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.bad: set[int] = set()
        self.unclosable: set[int] = set()
        self.files = Files(fdatasync=self.sync, close=self.close)

    def sync(self, fd: int) -> None:
        self.asked.append(("sync", fd))
        if fd in self.bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def close(self, fd: int) -> None:
        self.asked.append(("close", fd))
        if fd in self.unclosable:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class House:
    def __init__(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.disk = Disk()
        self.group = SyncGroup(self.clock, self.threads, self.disk.files)


@pytest.fixture
def house() -> House:
    return House()


def test_a_group_is_one_job_for_everybody_who_wrote(house: House) -> None:
    one, two, idle = Session(1), Session(2), Session(3)
    house.threads.patient = True
    house.group.touch(one)
    house.clock.advance(INTERVAL / 2)
    house.group.touch(two)
    assert house.threads.waiting == []
    house.clock.advance(INTERVAL / 2)
    assert len(house.threads.waiting) == 1
    house.threads.run()
    assert house.disk.asked == [("sync", 1), ("sync", 2)]
    assert idle.flushed == 0


def test_many_are_flushed_in_turns_between_which_others_work(house: House) -> None:
    sessions = [Session(fd) for fd in range(2 * FLUSHED_AT_ONCE + 1)]
    for session in sessions:
        house.group.touch(session)
    again, gone = sessions[0], sessions[-1]
    seen: list[int] = []

    def others_work() -> None:
        seen.append(sum(session.flushed for session in sessions))
        assert house.disk.asked == []
        house.group.touch(again)
        house.group.finish(gone, sync=False)

    house.clock.callLater(INTERVAL, others_work)
    house.clock.advance(INTERVAL)
    assert seen == [FLUSHED_AT_ONCE]
    assert [session.flushed for session in sessions] == [1] * (2 * FLUSHED_AT_ONCE) + [0], "again is of the next group"
    assert len(house.disk.asked) == 2 * FLUSHED_AT_ONCE + 1
    house.clock.advance(INTERVAL)
    assert again.flushed == 2


def test_settled_flushes_the_rest_of_a_group_that_is_being_flushed(house: House) -> None:
    sessions = [Session(fd) for fd in range(3 * FLUSHED_AT_ONCE)]
    for session in sessions:
        house.group.touch(session)

    def stops() -> None:
        house.group.touch(sessions[0])
        house.group.settled()
        assert [session.flushed for session in sessions] == [2] + [1] * (3 * FLUSHED_AT_ONCE - 1)

    house.clock.callLater(INTERVAL, stops)
    house.clock.advance(INTERVAL)
    assert sessions[-1].flushed == 1


def test_who_is_dead_after_the_flush_is_not_synced(house: House) -> None:
    house.group.touch(Session(1, alive=False))
    house.clock.advance(INTERVAL)
    assert house.disk.asked == []


def test_a_slow_disk_has_one_group_under_way_and_the_next_is_larger(house: House) -> None:
    house.threads.patient = True
    sessions = [Session(fd) for fd in range(3)]
    for session in sessions:
        house.group.touch(session)
        house.clock.advance(INTERVAL)
    assert len(house.threads.waiting) == 1
    assert [session.flushed for session in sessions] == [1, 1, 1]
    house.threads.run()
    assert house.disk.asked == [("sync", 0), ("sync", 1), ("sync", 2)]


def test_a_failed_sync_is_told_to_whom_it_covered_only(house: House) -> None:
    good, bad = Session(1), Session(2)
    house.disk.bad = {2}
    house.group.touch(good)
    house.group.touch(bad)
    house.clock.advance(INTERVAL)
    assert good.failed == []
    assert [error.errno for error in bad.failed] == [errno.EIO]


def test_sync_now_does_not_wait_for_the_group(house: House) -> None:
    house.threads.patient = True
    slow, urgent = Session(1), Session(2)
    house.group.touch(slow)
    house.clock.advance(INTERVAL)
    fired: list[None] = []
    house.group.sync_now(urgent).addCallback(fired.append)
    assert len(house.threads.waiting) == 2
    house.threads.run()
    assert fired == [None]


def test_a_file_is_closed_behind_the_last_thread_that_uses_it(house: House) -> None:
    house.threads.patient = True
    session = Session(1)
    house.group.sync_now(session).addCallback(lambda _: None)
    house.group.touch(session)
    house.group.finish(session, sync=True)
    assert len(house.threads.waiting) == 1
    house.clock.advance(INTERVAL)
    assert session.flushed == 0
    house.threads.run()
    assert house.disk.asked == [("sync", 1), ("sync", 1), ("close", 1)]


def test_what_failed_is_closed_without_another_sync(house: House) -> None:
    house.group.finish(Session(1), sync=False)
    assert house.disk.asked == [("close", 1)]


def test_an_error_at_close_is_a_failed_sync(house: House) -> None:
    session = Session(1)
    house.disk.unclosable = {1}
    house.group.finish(session, sync=True)
    assert len(session.failed) == 1


def test_settled_flushes_at_once_and_waits_for_every_thread(house: House) -> None:
    house.threads.patient = True
    session, closing = Session(1), Session(2)
    house.group.touch(session)
    house.group.finish(closing, sync=True)
    fired: list[None] = []
    house.group.settled().addCallback(fired.append)
    assert session.flushed == 1
    assert fired == []
    house.threads.run()
    assert fired == [None]
    house.group.settled().addCallback(fired.append)
    assert fired == [None, None]


def test_a_new_file_is_synced_with_its_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    node = Node(tmp_path / "recordings")
    recorder = node.begin()
    for _ in range(2):
        recorder.event("note")
        node.clock.advance(INTERVAL)
    day = node.path(recorder).parent
    assert synced == [day, day.parent, day.parent.parent, node.directory]


def test_a_directory_that_cannot_be_synced_is_a_failed_sync(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings")
    recorder = node.begin()
    recorder.event("note")
    node.directory.rename(tmp_path / "elsewhere")
    node.clock.pump([INTERVAL, 0])
    assert "could not be synced" in str(node.failures[0])
