"""The writer: chain, sequence, segments, failure, and what a crash leaves."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import AuditLog
from gateway.audit.event import Event
from gateway.audit.events import GatewayStopping
from gateway.audit.events import RecordingFailed as RecordingFailedEvent
from gateway.audit.verify import verify_log
from gateway.errors import RecordingFailed

OpenLog = Callable[..., AuditLog]
EVENT = GatewayStopping("0.1", "a test")


def crash(log: AuditLog) -> None:
    """What the kernel does to a killed process: descriptors are closed, buffers are gone."""
    os.close(log._fd)
    os.close(log._lock)


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(directory.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def names(directory: Path) -> list[str]:
    return [line["unmapped"]["event"] for line in lines(directory)]


def test_a_line_is_ocsf_with_its_number_time_and_node(open_log: OpenLog) -> None:
    log = open_log()
    assert log.append(EVENT) == 2
    log.flush()
    first, second = lines(log.directory)
    assert first["unmapped"]["event"] == "log_segment_started"
    assert second["metadata"]["sequence"] == 2
    assert second["metadata"]["uid"] == "gw1.example.com/2"
    assert second["metadata"]["version"] == "1.4.0"
    assert second["time"] == 1_795_521_600_000
    assert second["device"] == {"hostname": "gw1.example.com", "type_id": 1}
    assert second["unmapped"]["chain"] == log.head
    log.close()


def test_the_chain_is_as_documented(open_log: OpenLog, one_of_each: list[Event]) -> None:
    log = open_log()
    for event in one_of_each:
        log.append(event)
    log.close()
    chain = bytes(32)
    for line in (log.directory / "audit-00000000000000000001.jsonl").read_bytes().splitlines():
        body, separator, rest = line.rpartition(b',"chain":"')
        assert separator
        chain = sha256(chain + body).digest()
        assert rest == chain.hex().encode() + b'"}}'
    assert verify_log(log.directory).ok


def test_nothing_is_written_before_flush(open_log: OpenLog) -> None:
    log = open_log()
    log.append(EVENT)
    assert (log.sequence, log.flushed) == (2, 1)
    assert len(lines(log.directory)) == 1
    log.flush()
    assert log.flushed == 2
    assert len(lines(log.directory)) == 2
    log.close()


def test_a_forgotten_flush_does_not_fill_memory(open_log: OpenLog) -> None:
    log = open_log()
    for _ in range(2000):
        log.append(EVENT)
    assert log.flushed > 0
    assert log._buffered < 256 * 1024
    log.close()


def test_number_and_chain_go_on_after_a_restart(open_log: OpenLog) -> None:
    log = open_log()
    log.append(EVENT)
    log.close()
    again = open_log()
    assert (again.sequence, again.head) == (2, log.head)
    again.append(EVENT)
    again.close()
    assert names(log.directory) == ["log_segment_started", "gateway_stopping", "gateway_stopping"]
    assert verify_log(log.directory).ok


def test_a_second_writer_is_refused(open_log: OpenLog) -> None:
    log = open_log()
    with pytest.raises(RecordingFailed, match="in use by another process"):
        open_log()
    log.close()
    open_log().close()


def test_an_unusable_directory_is_a_clear_error(tmp_path: Path, clock: Callable[[], float]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordingFailed, match="can't be opened: Not a directory") as caught:
        AuditLog(tmp_path / "file" / "audit", node="n", clock=clock)
    assert caught.value.hint


def test_a_failed_write_holds_until_a_retry(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log()
    log.append(EVENT)

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(RecordingFailed, match="No space left on device") as caught:
            log.flush()
        assert "free space" in (caught.value.hint or "")
    for attempt in (log.flush, log.sync, lambda: log.append(EVENT)):
        with pytest.raises(RecordingFailed):
            attempt()
    assert log.flushed == 1
    log.close()
    open_log().close()
    assert verify_log(log.directory).ok


def test_a_retry_takes_up_the_chain_behind_what_was_written(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log()
    log.append(EVENT)
    log.flush()
    log.append(EVENT)
    write = os.write
    room = [40]

    def filling(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, data[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", filling)
        with pytest.raises(RecordingFailed):
            log.flush()
        with pytest.raises(RecordingFailed, match="No space left"):
            log.retry()
        with pytest.raises(RecordingFailed, match="No space left"):
            log.append(EVENT)
    log.retry()
    assert log.append(EVENT) == log.sequence
    log.flush()
    log.sync()
    found = names(log.directory)
    assert found.count("gateway_stopping") == 2, "what was not written was refused, and is not said later"
    assert "log_recovered" in found
    log.close()
    assert verify_log(log.directory).ok
    with pytest.raises(RecordingFailed):
        log.retry()


def test_retries_on_a_full_disk_leave_nothing_behind(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of no bytes can be made on a full disk: one for each retry would be a thousand in half an hour."""
    log = open_log()
    log.append(EVENT)
    write, room = os.write, [40]

    def filling(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, data[: room[0]])
        room[0] -= written
        return written

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", filling)
        patched.setattr(os, "fsync", full)
        with pytest.raises(RecordingFailed):
            log.flush()
        for _ in range(5):
            with pytest.raises(RecordingFailed):
                log.retry()
        assert not list(log.directory.glob("*.torn-*"))
    log.retry()
    assert len(list(log.directory.glob("*.torn-*"))) == 1
    log.close()
    assert verify_log(log.directory).ok


def test_half_a_write_is_carried_on(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log()
    write = os.write
    log.append(EVENT)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
        log.flush()
    log.close()
    assert verify_log(log.directory).events == 2


def test_a_failed_sync_is_final(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log()

    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        with pytest.raises(RecordingFailed, match="can't be synced"):
            log.sync()
    with pytest.raises(RecordingFailed):
        log.append(EVENT)
    with pytest.raises(RecordingFailed, match="can't be synced"):
        log.retry()
    log.close()


def test_a_full_disk_when_a_segment_begins_holds_until_a_retry(
    open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(segment_size=2000)

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    while log._size < 2000:
        log.append(EVENT)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        with pytest.raises(RecordingFailed, match="continued in a new file"):
            log.append(EVENT)
    with pytest.raises(RecordingFailed):
        log.append(EVENT)
    log.retry()
    log.append(EVENT)
    log.close()
    assert verify_log(log.directory).ok


def test_segments_change_with_size_and_the_chain_goes_on(open_log: OpenLog) -> None:
    log = open_log(segment_size=4000)
    for _ in range(30):
        log.append(EVENT)
    log.close()
    segments = sorted(log.directory.glob("*.jsonl"))
    assert len(segments) > 3
    assert max(segment.stat().st_size for segment in segments) < 5000
    before = None
    for segment in segments:
        first, *_, last = [json.loads(line) for line in segment.read_bytes().splitlines()]
        assert first["unmapped"]["event"] == "log_segment_started"
        assert segment.name == f"audit-{first['metadata']['sequence']:020d}.jsonl"
        if before is not None:
            assert first["unmapped"]["reason"] == "size"
            assert first["unmapped"]["previous_head"] == before
        before = last["unmapped"]["chain"]
    assert verify_log(log.directory).ok


def test_a_new_day_begins_a_new_segment(open_log: OpenLog, clock: Any) -> None:
    log = open_log()
    log.append(EVENT)
    clock.now += 86_400
    log.append(EVENT)
    log.close()
    assert names(log.directory) == ["log_segment_started", "gateway_stopping"] * 2
    assert lines(log.directory)[2]["unmapped"]["reason"] == "day"


def test_a_restart_on_the_next_day_begins_a_new_segment(open_log: OpenLog, clock: Any) -> None:
    open_log().close()
    clock.now += 86_400
    log = open_log()
    log.append(EVENT)
    log.close()
    assert [line["unmapped"].get("reason") for line in lines(log.directory)] == ["first", "day", None]


# --- what a crash leaves ---


@pytest.mark.parametrize("keep", [1, 100, -1])
def test_a_torn_last_line_is_set_aside_and_told(open_log: OpenLog, keep: int) -> None:
    log = open_log()
    log.append(EVENT)
    log.flush()
    crash(log)
    segment = log.directory / "audit-00000000000000000001.jsonl"
    whole = segment.read_bytes()
    start = whole.index(b"\n") + 1
    torn = whole[start:][:keep]
    segment.write_bytes(whole[:start] + torn)

    again = open_log()
    again.close()
    assert names(log.directory) == ["log_segment_started", "log_recovered"]
    told = lines(log.directory)[1]
    kept = log.directory / told["unmapped"]["kept_in"]
    assert kept.read_bytes() == torn
    assert told["unmapped"]["offset"] == start
    assert told["unmapped"]["length"] == len(torn)
    assert told["is_alert"] is True
    report = verify_log(log.directory)
    assert report.ok
    assert report.set_aside == (kept.name,)


def test_two_torn_lines_at_one_place_are_both_kept(open_log: OpenLog) -> None:
    for torn in (b"one", b"two", b"two"):
        log = open_log()
        crash(log)
        segment = log.directory / "audit-00000000000000000001.jsonl"
        segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0] + torn)
    open_log().close()
    assert sorted(path.read_bytes() for path in log.directory.glob("*.torn-*")) == [b"one", b"two"]


def test_an_empty_newest_segment_holds_nothing(open_log: OpenLog) -> None:
    log = open_log()
    log.append(EVENT)
    log.close()
    (log.directory / "audit-00000000000000000003.jsonl").touch()
    again = open_log()
    assert (again.sequence, again.head) == (2, log.head)
    again.append(EVENT)
    again.close()
    assert verify_log(log.directory).ok


def test_a_newest_segment_with_a_torn_first_line_goes_back_to_the_one_before(open_log: OpenLog) -> None:
    log = open_log()
    log.append(EVENT)
    log.close()
    (log.directory / "audit-00000000000000000003.jsonl").write_bytes(b'{"metadata":{"seq')
    open_log().close()
    assert names(log.directory) == ["log_segment_started", "gateway_stopping", "log_recovered"]
    assert verify_log(log.directory).ok
    assert (log.directory / "audit-00000000000000000003.jsonl.torn-0").read_bytes() == b'{"metadata":{"seq'


def test_damage_is_left_as_evidence_and_its_numbers_are_not_given_again(open_log: OpenLog) -> None:
    log = open_log()
    for _ in range(4):
        log.append(EVENT)
    log.close()
    segment = log.directory / "audit-00000000000000000001.jsonl"
    damaged = segment.read_bytes().replace(b'"sequence":3', b'"sequence":8')
    segment.write_bytes(damaged)

    again = open_log()
    again.close()
    assert segment.read_bytes() == damaged
    newest = log.directory / "audit-00000000000000000006.jsonl"
    first, second = [json.loads(line) for line in newest.read_bytes().splitlines()]
    assert first["unmapped"]["reason"] == "damage"
    assert second["unmapped"]["event"] == "log_recovered"
    report = verify_log(log.directory)
    assert report.wrong is not None
    assert (report.wrong.file, report.wrong.line) == (segment.name, 3)


def test_a_log_that_is_all_damage_goes_on_above_it(open_log: OpenLog) -> None:
    log = open_log()
    log.close()
    segment = log.directory / "audit-00000000000000000001.jsonl"
    segment.write_bytes(b"no log\nat all\n")
    again = open_log()
    again.close()
    assert segment.read_bytes() == b"no log\nat all\n"
    first, second = [json.loads(line) for line in (log.directory / f"audit-{3:020d}.jsonl").read_bytes().splitlines()]
    assert (first["metadata"]["sequence"], first["unmapped"]["reason"]) == (3, "damage")
    assert second["unmapped"]["event"] == "log_recovered"


def test_the_file_after_damage_is_the_last(open_log: OpenLog) -> None:
    log = open_log()
    log.close()
    for first in (5, 9):
        (log.directory / f"audit-{first:020d}.jsonl").write_bytes(b"one\n")
    again = open_log()
    again.close()
    assert max(path.name for path in log.directory.glob("*.jsonl")) == f"audit-{10:020d}.jsonl"
    lines = (log.directory / f"audit-{10:020d}.jsonl").read_bytes().splitlines()
    told = [json.loads(line)["unmapped"]["event"] for line in lines]
    assert told == ["log_segment_started", "log_recovered", "log_recovered"]


def test_kill_minus_nine_loses_nothing_that_was_flushed(tmp_path: Path) -> None:
    """The child tells each number after its flush, and is killed in the middle of it."""
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from gateway.audit import AuditLog
        from gateway.audit.events import GatewayStopping
        log = AuditLog(Path(sys.argv[1]), node="n", clock=time.time, segment_size=20_000)
        while True:
            number = log.append(GatewayStopping("0.1", "x" * 500))
            log.flush()
            print(number, flush=True)
    """)
    told = 0
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(100):
            told = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
        told = max([told, *(int(number) for number in rest[:-1])])
        child.wait()
        child.stdout.close()
        report = verify_log(tmp_path)
        assert report.ok
        assert report.last >= told


def test_a_recording_that_failed_can_still_be_told(open_log: OpenLog) -> None:
    log = open_log()
    log.append(RecordingFailedEvent("s", "no space"))
    log.close()
    assert names(log.directory)[-1] == "recording_failed"
