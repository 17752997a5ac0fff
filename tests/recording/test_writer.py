from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from recording.made import ACCESS, ALLOW, NOON, PUBLIC, Node, operation
from zstandard import ZstdCompressor

from gateway.errors import RecordingFailed
from gateway.model import Decision, Outcome, uuid7
from gateway.recording import Recorded, SessionHeader, verify
from gateway.recording.format import GATHER, MAX_PAYLOAD
from gateway.recording.packing import Packed, Packer, pack
from gateway.recording.reader import Event, Recording, open_recording, read_blob
from gateway.recording.sync import Files
from gateway.recording.writer import COMPRESSED_BEHIND, MAX_PACKING, PIPED


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "recordings")


def events(path: Path) -> list[Event]:
    file, size = open_recording(path)
    with file:
        return list(Recording(file, size))


def blob(path: Path, event: Event, index: int = 0) -> bytes:
    file, _ = open_recording(path)
    with file:
        return b"".join(read_blob(file, event.blobs[index]))


class FailingWrite:
    """os.write that at call ``at`` writes only ``keep`` bytes, and then raises ``error`` if there is one."""

    def __init__(self, at: int, keep: int, error: int | None) -> None:
        self.left = at
        self.keep = keep
        self.error = error

    def __call__(self, fd: int, data: bytes) -> int:
        self.left -= 1
        if self.left != 0:
            return os.write(fd, data)
        written = os.write(fd, data[: self.keep])
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        return written


def failing_sync(fd: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


# Order: an operation is in the kernel's hands when commit returns


def test_a_committed_operation_is_in_the_file(node: Node) -> None:
    recorder = node.begin()
    decision = Decision(Outcome.DENY, ("no-drop",), message="ask an owner")
    recorder.operation(1, operation("DROP TABLE t", labels=frozenset({"pii"})), decision, source="parse")
    recorded = recorder.commit()
    opened, asked = events(node.path(recorder))
    assert (recorded.session, recorded.number) == (recorder.session, 1)
    assert opened.fields["principal"] == {
        "name": "alice",
        "kind": "human",
        "groups": ["engineers"],
        "factors": ["certificate"],
    }
    assert opened.fields["role"] == "orders_rw"
    assert asked.fields == {
        "event": "operation",
        "time": NOON,
        "operation": 1,
        "source": "parse",
        "text": "DROP TABLE t",
        "digest": "a" * 64,
        "verbs": ["select"],
        "labels": ["pii"],
        "outcome": "deny",
        "rules": ["no-drop"],
        "message": "ask an owner",
    }


def test_an_operation_that_was_not_committed_is_not_in_the_file(node: Node) -> None:
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW)
    assert len(events(node.path(recorder))) == 1


def test_only_the_recorder_makes_the_proof() -> None:
    with pytest.raises(TypeError, match="only a recorder"):
        Recorded(object(), "session", 1)


def test_a_recording_lies_under_its_day_readable_by_its_owner_alone(node: Node) -> None:
    recorder = node.begin()
    path = node.path(recorder)
    assert path.parent == node.directory / "2026" / "11" / "18"
    assert path.stat().st_mode & 0o777 == 0o600
    assert {level.stat().st_mode & 0o777 for level in (path.parent, *path.parent.parents[:3])} == {0o700}


def test_the_file_is_opened_to_append_only(node: Node) -> None:
    recorder = node.begin()
    os.lseek(recorder.descriptor.fd, 0, os.SEEK_SET)
    recorder.operation(1, operation(), ALLOW)
    recorder.commit()
    assert node.verify(recorder).intact


def test_close_gives_the_length_and_the_head_that_verify_finds(node: Node) -> None:
    recorder = node.begin()
    recorder.result(1, status="SELECT 0")
    closed = recorder.close("client left")
    assert closed.length == node.path(recorder).stat().st_size
    report = node.verify(recorder, closed=closed)
    assert report.ok
    assert report.head == closed.head
    assert [event.kind for event in events(node.path(recorder))] == ["opened", "result", "closed"]


def test_a_closed_recorder_takes_nothing_more_and_its_descriptor_is_closed(node: Node) -> None:
    recorder = node.begin()
    recorder.close("client left")
    for call in calls(recorder):
        with pytest.raises(RecordingFailed, match="closed"):
            call()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(recorder.descriptor.fd)


@pytest.mark.parametrize(
    ("kind", "fields"), [("opened", {}), ("closed", {}), ("note", {"time": 1}), ("note", {"event": "x"})]
)
def test_nobody_else_opens_closes_or_dates(node: Node, kind: str, fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="the recorder's to write"):
        node.begin().event(kind, **fields)


def calls(recorder: Any) -> list[Callable[[], object]]:
    return [
        lambda: recorder.operation(9, operation(), ALLOW),
        lambda: recorder.result(9, status="X"),
        lambda: recorder.rows(9, b"D"),
        lambda: recorder.event("error"),
        recorder.commit,
        lambda: recorder.close("again"),
    ]


# Group flush


def test_results_are_gathered_and_signed_within_100_ms(node: Node) -> None:
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW)
    recorder.commit()
    recorder.result(1, status="SELECT 1", rows=1)
    assert node.verify(recorder).signed_events == 1
    node.clock.advance(0.1)
    report = node.verify(recorder)
    assert (report.events, report.signed_events) == (3, 3)


def test_an_idle_session_is_not_signed_again(node: Node) -> None:
    recorder = node.begin()
    recorder.event("error")
    node.clock.advance(0.1)
    size = node.path(recorder).stat().st_size
    node.clock.advance(60)
    assert node.path(recorder).stat().st_size == size
    assert node.clock.getDelayedCalls() == []


def test_gathered_results_are_compressed_blocks_of_at_most_64_kib(node: Node) -> None:
    recorder = node.begin()
    for number in range(2000):
        recorder.result(number, status="SELECT 1", columns=["id", "name"], rows=1, size=64)
    recorder.close("client left")
    found = events(node.path(recorder))
    assert [event.fields["operation"] for event in found[1:-1]] == list(range(2000))
    plain: dict[int, int] = {}
    for event in found[1:-1]:
        plain[event.offset] = plain.get(event.offset, 0) + len(event.line)
    assert len(plain) > 2
    assert max(plain.values()) <= GATHER
    assert node.path(recorder).stat().st_size < sum(plain.values()) / 4


def test_a_clock_that_never_stands_still_does_not_run_backwards(tmp_path: Path) -> None:
    ticks = count()

    def now() -> float:
        return NOON + next(ticks) * 1e-5

    node = Node(tmp_path / "recordings", clock=now)
    recorder = node.begin()
    recorder.rows(1, b"D")
    recorder.ended(now(), 1, "SELECT 1", None, (), 1, 1)
    recorder.output(2, "stdout", b"out")
    recorder.happened("exit", channel=2)
    recorder.output(2, "stdout", b"out")
    recorder.shown(now(), 3, "stdout", b"on a terminal")
    recorder.event("approval")
    recorder.rows(3, b"D")
    recorder.close("client left")
    assert node.verify(recorder).ok


def test_masked_rows_stand_before_their_result(node: Node) -> None:
    recorder = node.begin()
    recorder.rows(1, b"D" * 40_000)
    recorder.rows(1, b"E" * 40_000)
    recorder.rows(1, b"F")
    recorder.rows(2, b"G")
    recorder.result(2, status="SELECT 1")
    recorder.close("client left")
    path = node.path(recorder)
    found = events(path)
    assert [(event.kind, event.fields.get("operation")) for event in found[1:-1]] == [
        ("rows", 1),
        ("rows", 1),
        ("rows", 2),
        ("result", 2),
    ]
    assert [blob(path, event) for event in found[1:4]] == [b"D" * 40_000 + b"E" * 40_000, b"F", b"G"]
    assert node.verify(recorder).ok


# Large and strange values


def test_values_of_many_megabytes_go_into_blobs(node: Node) -> None:
    recorder = node.begin()
    text = "INSERT INTO t VALUES ('" + "ä" * 2_000_000 + "')"
    value = os.urandom(3 * 1024 * 1024)
    recorder.operation(1, operation(text), ALLOW, parameters=[b"x", None, value], formats=[0, 0, 1])
    recorder.commit()
    recorder.operation(2, operation("SELECT 2"), ALLOW)
    closed = recorder.close("client left")
    path = node.path(recorder)
    _, first, second, _ = events(path)
    assert blob(path, first, 0).decode() == text
    assert blob(path, first, 1) == b"\x00\x00\x00\x01x" + b"\xff" * 4 + len(value).to_bytes(4, "big") + value
    parameters = first.fields["parameters"]
    assert isinstance(parameters, dict)
    assert (parameters["count"], parameters["formats"]) == (3, [0, 0, 1])
    assert second.fields["text"] == "SELECT 2"
    assert node.verify(recorder, closed=closed).ok


def test_nothing_waits_in_memory_for_a_commit_that_is_large(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    def write(fd: int, data: bytes) -> int:
        nonlocal largest
        largest = max(largest, len(data))
        return os.write(fd, data)

    other = Node(node.directory, files=Files(write=write))
    recorder = other.begin()
    recorder.operation(1, operation("INSERT"), ALLOW, parameters=[os.urandom(8 * 1024 * 1024)])
    recorder.commit()
    assert largest < 3 * MAX_PAYLOAD
    assert other.verify(recorder).intact


def test_an_event_larger_than_a_reader_may_hold_goes_into_a_blob(node: Node) -> None:
    recorder = node.begin()
    relations = frozenset(f"public.{index:060}" for index in range(20_000))
    recorder.result(1, status="SELECT 1")
    recorder.operation(2, operation("x" * 70_000, relations=relations), ALLOW)
    recorder.commit()
    recorder.event("note", words=["w" * 100] * 12_000)
    recorder.close("client left")
    path = node.path(recorder)
    found = {event.kind: event for event in events(path)}
    assert set(found["operation"].fields) == {"event", "time", "operation", "detail"}
    assert blob(path, found["operation"], 0) == b"x" * 70_000
    assert len(blob(path, found["operation"], 1)) > MAX_PAYLOAD
    assert len(blob(path, found["note"])) > MAX_PAYLOAD
    assert node.verify(recorder).ok


def test_65535_empty_parameters_do_not_stand_inline(node: Node) -> None:
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW, parameters=[None] * 65_535)
    recorder.close("client left")
    asked = events(node.path(recorder))[1]
    assert asked.blobs[0].size == 4 * 65_535


def test_text_that_is_no_unicode_is_kept(node: Node) -> None:
    recorder = node.begin()
    recorder.operation(1, operation(b"SELECT '\xff'".decode("utf-8", "surrogateescape")), ALLOW)
    recorder.event("error", text="\ud800", number=2**70)
    recorder.close("client left")
    _, asked, error, _ = events(node.path(recorder))
    assert asked.fields["text"] == {"base64": "U0VMRUNUICf/Jw=="}
    assert error.fields["text"] == {"base64": "7aCA"}
    assert error.fields["number"] == str(2**70)
    assert node.verify(recorder).ok


def test_parameters_are_text_or_base64(node: Node) -> None:
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW, parameters=[b"1", b"\xff", None], formats=[])
    recorder.operation(2, operation(), ALLOW, parameters=[b"1", b"2"], formats=[1])
    recorder.operation(3, operation(), ALLOW, parameters=[b"1", b"2"], formats=[0, 1])
    recorder.close("client left")
    _, first, second, third, _ = events(node.path(recorder))
    assert first.fields["parameters"] == ["1", {"base64": "/w=="}, None]
    assert second.fields["parameters"] == [{"base64": "MQ=="}, {"base64": "Mg=="}]
    assert third.fields["parameters"] == ["1", {"base64": "Mg=="}]


# It can't record, so it refuses


@pytest.mark.parametrize(
    ("keep", "error"), [(0, errno.ENOSPC), (0, errno.EIO), (7, None), (30, None), (0, None), (30, errno.ENOSPC)]
)
def test_a_write_that_fails_kills_the_recorder_and_leaves_a_crash(tmp_path: Path, keep: int, error: int | None) -> None:
    node = Node(tmp_path / "recordings", files=Files(write=FailingWrite(3, keep, error)))
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW)
    recorder.commit()
    recorder.operation(2, operation(), ALLOW)
    with pytest.raises(RecordingFailed, match="could not be written"):
        recorder.commit()
    for call in calls(recorder):
        with pytest.raises(RecordingFailed, match="could not be written"):
            call()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(recorder.descriptor.fd)
    report = node.verify(recorder)
    assert (report.state, report.events, report.torn, report.findings) == ("never closed", 2, keep, ())
    node.clock.advance(1)
    assert node.failures == []  # it was raised


def test_a_write_that_fails_in_the_background_ends_the_session(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings", files=Files(write=FailingWrite(3, 0, errno.ENOSPC)))
    other = node.begin()
    recorder = node.begin()
    recorder.result(1, status="SELECT 1")
    other.result(1, status="SELECT 1")
    node.clock.pump([0.1, 0.0])
    assert [str(failure) for failure in node.failures] == [
        "the recording could not be written: No space left on device"
    ]
    assert recorder.failed is not None
    assert other.failed is None
    with pytest.raises(RecordingFailed):
        recorder.commit()
    other.commit()


def test_no_session_without_its_header(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings", files=Files(write=FailingWrite(1, 5, None)))
    with pytest.raises(RecordingFailed, match="could not be written"):
        node.begin()
    (path,) = node.directory.rglob("*.ostrec")
    report = verify(path, PUBLIC)
    assert (report.state, report.events, report.torn) == ("never closed", 0, 5)


def test_an_operation_that_cannot_be_described_kills_the_recorder(node: Node) -> None:
    recorder = node.begin()
    with pytest.raises(RecordingFailed, match=r"the recording failed: (Attribute|Type)Error"):
        recorder.operation(1, operation("x" * 70_000), ALLOW, parameters=["text"])  # type: ignore[list-item]
    with pytest.raises(RecordingFailed):
        recorder.commit()


def test_a_recording_is_never_written_twice(node: Node) -> None:
    header = SessionHeader(uuid7(NOON, bytes(10)), ACCESS, NOON, "")
    node.recordings.begin(header, on_failure=node.failures.append)
    with pytest.raises(RecordingFailed, match="never written twice"):
        node.recordings.begin(header, on_failure=node.failures.append)


@pytest.mark.parametrize("session", ["", "../../etc/passwd", "A" * 36, "017f22e2-79b0-4cc3-98c4-dc0c0c07398f"])
def test_a_session_id_is_a_uuid7(node: Node, session: str) -> None:
    with pytest.raises(ValueError, match="is not a session id"):
        node.recordings.begin(SessionHeader(session, ACCESS, NOON, ""), on_failure=node.failures.append)


def test_the_opener_makes_the_files_and_its_errors_refuse_the_session(tmp_path: Path) -> None:
    def refuse(path: Path) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    node = Node(tmp_path / "recordings", open_recording=refuse)
    with pytest.raises(RecordingFailed, match="can't be created: Permission denied"):
        node.begin()


# Space


def test_below_the_low_water_mark_only_break_glass_sessions_begin(tmp_path: Path) -> None:
    space = 5000
    node = Node(tmp_path / "recordings", low_water=5000, reserve=1000, space=lambda path: space)
    node.begin()
    space = 4999
    with pytest.raises(RecordingFailed, match="nearly full"):
        node.begin()
    node.begin(break_glass=True)
    space = 3999
    with pytest.raises(RecordingFailed, match="nearly full"):
        node.begin(break_glass=True)


def test_the_reserve_is_left_to_break_glass_sessions(tmp_path: Path) -> None:
    space = 5000
    node = Node(tmp_path / "recordings", low_water=2000, reserve=1000, space=lambda path: space)
    ordinary, administrator = node.begin(), node.begin(break_glass=True)
    ordinary.event("note")
    administrator.event("note")
    space = 999
    node.clock.pump([0.1, 0.0])
    assert ["reserved for administrators" in str(failure) for failure in node.failures] == [True]
    with pytest.raises(RecordingFailed, match="reserved"):
        ordinary.commit()
    administrator.commit()


def test_a_disk_that_cannot_be_asked_has_no_space(tmp_path: Path) -> None:
    def gone(path: Path) -> int:
        raise OSError(errno.ENOENT, "No such file or directory")

    node = Node(tmp_path / "recordings", space=gone)
    with pytest.raises(RecordingFailed, match="No such file"):
        node.begin()


# fdatasync


def test_synced_means_on_the_disk(node: Node) -> None:
    node.threads.patient = True
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW)
    fired: list[Recorded] = []
    recorder.commit_synced().addCallback(fired.append)
    assert fired == []
    node.threads.run()
    assert [recorded.number for recorded in fired] == [1]


def test_a_failed_sync_is_the_end_of_the_session_and_not_retried(tmp_path: Path) -> None:
    synced: list[int] = []

    def fails_once(fd: int) -> None:
        synced.append(fd)
        if len(synced) == 1:
            failing_sync(fd)

    node = Node(tmp_path / "recordings", files=Files(fdatasync=fails_once))
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW)
    recorder.commit()
    node.clock.pump([0.1, 0.0])
    assert len(node.failures) == 1
    assert "could not be synced" in str(node.failures[0])
    for call in calls(recorder):
        with pytest.raises(RecordingFailed, match="could not be synced"):
            call()
    node.clock.advance(10)
    assert len(synced) == 1
    assert len(node.failures) == 1


def test_commit_synced_fails_when_the_sync_does(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings", files=Files(fdatasync=failing_sync))
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW)
    results: list[Any] = []
    recorder.commit_synced().addBoth(results.append)
    assert results[0].check(RecordingFailed)
    node.clock.advance(0)
    assert len(node.failures) == 1


def test_commit_synced_fails_when_an_earlier_sync_failed_in_the_meantime(node: Node) -> None:
    node.threads.patient = True
    recorder = node.begin()
    results: list[Any] = []
    recorder.operation(1, operation(), ALLOW)
    recorder.commit_synced().addBoth(results.append)
    recorder.sync_failed(OSError(errno.EIO, "Input/output error"))
    node.threads.run()
    assert results[0].check(RecordingFailed)


def test_commit_synced_fails_when_the_write_does(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings", files=Files(write=FailingWrite(2, 0, errno.ENOSPC)))
    recorder = node.begin()
    recorder.operation(1, operation(), ALLOW)
    results: list[Any] = []
    recorder.commit_synced().addBoth(results.append)
    assert results[0].check(RecordingFailed)


def test_threads_that_cannot_be_had_are_a_failed_sync(node: Node) -> None:
    recorder = node.begin()
    node.threads.broken = RuntimeError("the pool was stopped")
    recorder.event("note")
    node.clock.pump([0.1, 0.0])
    assert "the pool was stopped" in str(node.failures[0])


def test_a_failed_last_sync_is_told_behind_the_close(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings", files=Files(fdatasync=failing_sync))
    recorder = node.begin()
    recorder.close("client left")
    node.clock.advance(0)
    assert "could not be synced" in str(node.failures[0])


def test_output_of_channels_is_gathered_by_channel_and_stream(node: Node) -> None:
    recorder = node.begin()
    recorder.output(1, "stdout", b"a")
    recorder.output(1, "stdout", b"b")
    recorder.output(1, "stderr", b"c")
    recorder.output(2, "stderr", b"\xff")
    recorder.happened("exit", channel=2, status="exit 0")
    recorder.output(1, "stdout", b"D" * 40_000)
    recorder.output(1, "stdout", b"E" * 40_000)
    recorder.shown(node.clock.seconds(), 3, "stdout", "é".encode()[:1])
    recorder.close("done")
    path = node.path(recorder)
    found = [event.fields for event in events(path)[1:-1]]
    assert [(event["channel"], event.get("stream")) for event in found] == [
        *((1, "stdout"), (1, "stderr"), (2, "stderr"), (2, None), (1, "stdout"), (3, "stdout"))
    ]
    assert [event["data"] for event in found[:3]] == ["ab", "c", {"base64": "/w=="}]
    assert blob(path, events(path)[5]) == b"D" * 40_000 + b"E" * 40_000
    assert found[5]["data"] == {"base64": "ww=="}
    assert node.verify(recorder).ok


# Output that a thread packs


class HeldPacker(Packer):
    """Does what it was given when the test says so; ``broken`` is what the thread would raise."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Future[Packed], bytearray, bool]] = []
        self.broken: Exception | None = None

    def submit(self, data: bytearray, *, compress: bool) -> Future[Packed]:
        future: Future[Packed] = Future()
        self.given.append((future, data, compress))
        return future

    def run(self, pieces: int = 100) -> None:
        for future, data, compress in self.given[:pieces]:
            if self.broken is not None:
                future.set_exception(self.broken)
            else:
                future.set_result(pack(ZstdCompressor() if compress else None, data))
        del self.given[:pieces]


def test_packed_output_keeps_its_place_among_all_else(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings", packer=Packer())
    recorder = node.begin()
    shown = [bytes([65 + number]) * 100_000 for number in range(20)]
    recorder.happened("channel", channel=1)
    for piece in shown[:10]:
        recorder.output(1, "stdout", piece)
        node.clock.advance(0.001)
    recorder.happened("signal", channel=1, signal="INT")
    for piece in shown[10:]:
        recorder.output(1, "stderr", piece)
    recorder.close("client left")
    path = node.path(recorder)
    assert node.verify(recorder).intact
    found = [event for event in events(path) if event.kind != "opened"]
    said = "".join(str(event.fields.get("stream", event.kind))[-1] for event in found)
    assert re.fullmatch("l(t+)l(r+)d", said), said
    for stream, part in (("stdout", shown[:10]), ("stderr", shown[10:])):
        parts = [blob(path, event) for event in found if event.fields.get("stream") == stream]
        assert b"".join(parts) == b"".join(part)
        assert len(parts) > 1, "gathered in more than one piece"


def test_what_comes_faster_than_it_is_packed_is_stored_as_it_is_and_in_order(tmp_path: Path) -> None:
    packer = HeldPacker()
    node = Node(tmp_path / "recordings", packer=packer)
    recorder = node.begin()
    for number in range(MAX_PACKING):
        recorder.output(1, "stdout", bytes([number]) * PIPED)
    assert [compress for _, _, compress in packer.given] == [
        number < COMPRESSED_BEHIND for number in range(MAX_PACKING)
    ]
    packer.run()
    recorder.close("client left")
    shown = [event for event in events(node.path(recorder)) if event.kind == "output"]
    assert [blob(node.path(recorder), event) for event in shown] == [bytes([n]) * PIPED for n in range(MAX_PACKING)]
    assert node.verify(recorder).intact
    assert node.path(recorder).stat().st_size > (MAX_PACKING - COMPRESSED_BEHIND) * PIPED


@pytest.mark.parametrize("last", ["output", "commit", "close", "flush"])
def test_what_could_not_be_packed_ends_the_recording(tmp_path: Path, last: str) -> None:
    packer = HeldPacker()
    packer.broken = MemoryError("secret")
    node = Node(tmp_path / "recordings", packer=packer)
    recorder = node.begin()
    recorder.output(1, "stdout", b"x" * PIPED)
    packer.run()
    if last == "flush":
        node.clock.advance(0.2)
        node.clock.advance(0)
        assert [failure.message for failure in node.failures] == ["the recording failed: MemoryError"]
    else:
        calls: dict[str, Callable[[], object]] = {
            "output": lambda: recorder.output(1, "stdout", b"x" * PIPED),
            "commit": recorder.commit,
            "close": lambda: recorder.close("client left"),
        }
        with pytest.raises(RecordingFailed, match="MemoryError"):
            calls[last]()
    with pytest.raises(RecordingFailed, match="MemoryError"):
        recorder.close("client left")
    assert node.verify(recorder).state == "never closed"


def test_a_packer_that_takes_nothing_ends_the_recording(tmp_path: Path) -> None:
    packer = Packer()
    packer.close()
    recorder = Node(tmp_path / "recordings", packer=packer).begin()
    with pytest.raises(RecordingFailed, match="RuntimeError"):
        recorder.output(1, "stdout", b"x" * PIPED)
    with pytest.raises(RecordingFailed):
        recorder.close("client left")


def test_what_the_packer_has_is_in_the_kernel_within_a_group_flush(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings", packer=Packer())
    recorder = node.begin()
    recorder.output(1, "stdout", b"x" * PIPED)
    node.clock.advance(0.1)
    (_, shown) = events(node.path(recorder))
    assert blob(node.path(recorder), shown) == b"x" * PIPED
