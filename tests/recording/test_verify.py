"""Tampering is detected, whatever kind it is (the-bastion CVE-2025-59339 signed nothing, silently)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording.made import ALLOW, KEY, NOON, PUBLIC, Node, conversation, frames, operation

from gateway.errors import RecordingFailed
from gateway.recording import ClosingHead, Report, verify
from gateway.recording.format import (
    CHAIN_SIZE,
    CHAIN_START,
    END,
    MAGIC,
    OPERATION,
    PREFIX_SIZE,
    SIGNED_HEAD,
    pack_signed_frame,
)
from gateway.rendering import PREFIX
from gateway.rendering import frame as pack_frame


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conversation(Node(tmp_path_factory.mktemp("whole") / "recordings"))


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conversation(Node(tmp_path_factory.mktemp("crashed") / "recordings"), end=False)


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory, whole: Path) -> Callable[..., Report]:
    """Verifies other bytes under the name of ``whole``."""
    path = tmp_path_factory.mktemp("attempt") / whole.name

    def attempt(data: bytes, closed: ClosingHead | None = None) -> Report:
        path.write_bytes(data)
        return verify(path, PUBLIC, closed=closed)

    return attempt


def split(data: bytes) -> list[bytes]:
    return [data[start:end] for start, end in frames(data)]


def kinds(data: bytes) -> str:
    return "".join(chr(frame[4]) for frame in split(data))


def chained_anew(parts: list[bytes]) -> bytes:
    """What an attacker without the key does: the same payloads, numbers and chain made right."""
    chain, number, data = CHAIN_START, 0, MAGIC
    for part in parts:
        length, kind, flags, count, _ = PREFIX.unpack_from(part)
        frame, chain = pack_frame(chain, kind, flags, count, number, part[PREFIX_SIZE : PREFIX_SIZE + length])
        number += count
        data += frame
    return data


def closing(path: Path) -> ClosingHead:
    data = path.read_bytes()
    return ClosingHead(len(data), data[-CHAIN_SIZE:].hex())


# What is right


def test_a_whole_recording_is_complete(whole: Path) -> None:
    assert kinds(whole.read_bytes()) == "HSOORSOBORBRRSZ"
    report = verify(whole, PUBLIC, closed=closing(whole))
    assert report.ok
    assert report.intact
    assert report.findings == ()
    assert report.session == whole.stem
    assert report.signed_events == report.events == 11
    assert str(report) == f"{whole}: complete: 11 events, {report.length} bytes, head {report.head}"


def test_a_crash_is_told_from_a_cut_by_the_audit_log(crashed: Path, whole: Path) -> None:
    report = verify(crashed, PUBLIC)
    assert (report.state, report.ok, report.intact) == ("never closed", False, True)
    assert "only the audit log can tell" in str(report)
    assert "a crash, or it is still open" in str(verify(crashed, PUBLIC, audited=True))
    cut = verify(crashed, PUBLIC, closed=closing(whole))
    assert (cut.state, cut.ok, cut.intact) == ("cut", False, False)
    size = crashed.stat().st_size
    assert f"byte {size}, event 10: the audit log says" in str(cut)


def test_what_is_behind_the_last_signature_is_said(attempt: Callable[..., Report], whole: Path) -> None:
    data = whole.read_bytes()
    operations = [end for start, end in frames(data) if data[start + 4] == OPERATION]
    report = attempt(data[: operations[0]])
    assert (report.state, report.events, report.signed_events) == ("never closed", 2, 1)
    assert "1 events behind the last signed head are only chained" in str(report)


def test_a_torn_last_frame_is_a_crash(attempt: Callable[..., Report], whole: Path) -> None:
    data = whole.read_bytes()
    start, end = frames(data)[-1]
    for size in range(start + 1, end):
        report = attempt(data[:size])
        assert (report.state, report.torn, report.length) == ("never closed", size - start, start)
        assert attempt(data[:size], closing(whole)).state == "cut"


# What is not


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_changed_byte_is_found_in_its_frame(
    attempt: Callable[..., Report], whole: Path, data: st.DataObject
) -> None:
    content = bytearray(whole.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    report = attempt(bytes(content))
    assert not report.ok
    assert report.state == "changed"
    (finding,) = report.findings
    if position < len(MAGIC):
        assert finding.kind == "foreign"
    else:
        start = next(start for start, end in frames(whole.read_bytes()) if start <= position < end)
        assert (finding.offset, finding.kind) == (start, "edited")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_changed_byte_of_a_crashed_recording_is_found(crashed: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(crashed.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / crashed.name
    path.write_bytes(content)
    report = verify(path, PUBLIC)
    assert not report.intact


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_recording_cut_anywhere_is_never_complete(
    attempt: Callable[..., Report], whole: Path, data: st.DataObject
) -> None:
    content = whole.read_bytes()
    size = data.draw(st.integers(0, len(content) - 1))
    report = attempt(content[:size])
    assert (report.state, report.ok) == ("never closed", False)
    assert attempt(content[:size], closing(whole)).state == "cut"


@given(content=st.binary(max_size=2000), magic=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_random_bytes_are_no_recording(attempt: Callable[..., Report], content: bytes, magic: bool) -> None:
    report = attempt(MAGIC + content if magic else content)
    assert not report.ok
    if not MAGIC.startswith(content) and not magic:
        assert report.findings[0].kind == "foreign"


def test_frames_that_change_places_are_named(attempt: Callable[..., Report], whole: Path) -> None:
    parts = split(whole.read_bytes())
    first, second = (index for index, part in enumerate(parts) if part[4] == OPERATION and index < 5)
    parts[first], parts[second] = parts[second], parts[first]
    (finding,) = attempt(MAGIC + b"".join(parts)).findings
    assert (finding.kind, finding.event) == ("misplaced", 1)
    assert finding.offset == frames(whole.read_bytes())[first][0]


def test_a_frame_that_was_taken_out_is_named(attempt: Callable[..., Report], whole: Path) -> None:
    data = whole.read_bytes()
    start, end = next(span for span in frames(data) if data[span[0] + 4] == OPERATION)
    (finding,) = attempt(data[:start] + data[end:]).findings
    assert (finding.kind, finding.offset, finding.event) == ("misplaced", start, 1)


def test_a_frame_that_was_put_in_is_named(attempt: Callable[..., Report], whole: Path) -> None:
    data = whole.read_bytes()
    start, end = next(span for span in frames(data) if data[span[0] + 4] == OPERATION)
    (finding,) = attempt(data[:end] + data[start:end] + data[end:]).findings
    assert (finding.kind, finding.offset, finding.event) == ("misplaced", end, 2)


@pytest.mark.parametrize("tamper", ["edit", "remove", "swap", "insert", "unsigned"])
def test_what_is_chained_anew_breaks_the_next_signature(
    attempt: Callable[..., Report], whole: Path, tamper: str
) -> None:
    data = whole.read_bytes()
    parts = split(data)
    first, second = (index for index, part in enumerate(parts) if part[4] == OPERATION and index < 5)
    if tamper == "edit":
        parts[first] = parts[first].replace(b"SELECT 1", b"SELECT 9")
    elif tamper == "remove":
        del parts[first]
    elif tamper == "swap":
        parts[first], parts[second] = parts[second], parts[first]
    elif tamper == "insert":
        parts.insert(first, parts[second])
    else:
        parts = [part for index, part in enumerate(parts) if part[4] != SIGNED_HEAD or index == 1]
    finding, *others = attempt(chained_anew(parts)).findings
    assert finding.kind == "signature"
    assert {other.kind for other in others} <= {"clock"}
    assert (finding.offset, finding.event) == (frames(data)[1][0], 1)


def test_a_removed_first_signature_is_named(attempt: Callable[..., Report], whole: Path) -> None:
    parts = split(whole.read_bytes())
    del parts[1]
    (finding,) = attempt(chained_anew(parts)).findings
    assert finding.kind == "unsigned"


def test_a_crashed_recording_without_its_signatures_is_named(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings")
    recorder = node.begin()
    for _ in range(100):
        recorder.event("note")
        node.clock.advance(1)
    data = node.path(recorder).read_bytes()
    parts = split(data)
    node.path(recorder).write_bytes(
        chained_anew([part for index, part in enumerate(parts) if part[4] != SIGNED_HEAD or index == 1])
    )
    (finding,) = node.verify(recorder).findings
    assert (finding.kind, finding.event) == ("unsigned", 62)


def test_bytes_behind_the_end_are_named(attempt: Callable[..., Report], whole: Path) -> None:
    data = whole.read_bytes()
    (finding,) = attempt(data + b"\0").findings
    assert (finding.kind, finding.offset, finding.event) == ("trailing", len(data), 11)


def test_another_sessions_recording_under_this_name_is_named(attempt: Callable[..., Report], tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings")
    node.begin()
    recorder = node.begin()
    recorder.close("client left")
    (finding,) = attempt(node.path(recorder).read_bytes()).findings
    assert finding.kind == "renamed"
    assert recorder.session in str(finding)


def test_another_sessions_signature_is_wrong(whole: Path, attempt: Callable[..., Report]) -> None:
    """Signatures name the session: a frame can't be signed by way of another recording."""
    parts = split(whole.read_bytes())
    chain = parts[0][-CHAIN_SIZE:]
    frame, _ = pack_signed_frame(chain, SIGNED_HEAD, 0, 1, orjson.dumps({"time": NOON}) + b"\n", UUID(int=7), KEY)
    (finding,) = attempt(MAGIC + parts[0] + frame).findings
    assert finding.kind == "signature"


def test_another_key_is_named(whole: Path) -> None:
    (finding,) = verify(whole, Ed25519PrivateKey.generate().public_key()).findings
    assert (finding.kind, finding.offset) == ("signature", len(MAGIC))
    assert "was signed with the key '56475aa75463474c" in str(finding)


def test_an_end_that_the_audit_log_does_not_know_is_named(whole: Path) -> None:
    """Whoever stole the key can write another recording, but not another audit log at the SIEM."""
    good = closing(whole)
    for closed in (ClosingHead(good.length, "0" * 64), ClosingHead(good.length + 1, good.head)):
        report = verify(whole, PUBLIC, closed=closed)
        assert (report.state, report.findings[0].kind) == ("changed", "replaced")


def test_a_crashed_recording_longer_than_the_audit_log_says_was_cut(crashed: Path) -> None:
    report = verify(crashed, PUBLIC, closed=ClosingHead(10, "0" * 64))
    assert report.state == "cut"
    assert "its end was replaced" in str(report)


@pytest.mark.parametrize("kind", ["operation", "result", "head", "end"])
def test_a_clock_that_ran_backwards_is_named(tmp_path: Path, kind: str) -> None:
    node = Node(tmp_path / "recordings")
    recorder = node.begin()
    node.clock.rightNow -= 0.25
    if kind == "operation":
        recorder.operation(1, operation(), ALLOW)
    elif kind == "result":
        recorder.result(1, status="X")
    elif kind == "head":
        recorder.flush()
    recorder.close("client left")
    report = node.verify(recorder)
    assert not report.ok
    assert report.state == "complete"
    (finding,) = report.findings
    assert (finding.kind, finding.event) == ("clock", 1)
    assert "0.250000 s older" in str(finding)


def test_a_result_behind_a_later_operation_is_no_clock_that_ran_backwards(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings")
    recorder = node.begin()
    recorder.result(1, status="X")
    node.clock.advance(0.01)
    recorder.operation(2, operation(), ALLOW)
    recorder.commit()
    recorder.close("client left")
    assert node.verify(recorder).ok


def test_a_missing_recording_is_a_report(tmp_path: Path) -> None:
    report = verify(tmp_path / "a.ostrec", PUBLIC)
    assert (report.state, report.ok, report.findings[0].kind) == ("missing", False, "missing")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "a.ostrec"
    make(path)
    with pytest.raises(RecordingFailed, match="is no file"):
        verify(path, PUBLIC)


# A writer with the key that is not ours


def hostile(header: dict[str, object], *more: tuple[int, bytes]) -> Iterator[bytes]:
    chain, number = CHAIN_START, 1
    frame, chain = pack_frame(chain, ord("H"), 0, 1, 0, orjson.dumps(header) + b"\n")
    yield MAGIC + frame
    frame, chain = pack_signed_frame(chain, SIGNED_HEAD, 0, 1, b'{"time":1}\n', UUID(int=0), KEY)
    yield frame
    for kind, payload in more:
        frame, chain = pack_frame(chain, kind, 0, 1, number, payload)
        number += 1
        yield frame


@pytest.mark.parametrize(
    "header",
    [
        {"event": "opened", "time": 1, "format": 2, "session": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"},
        {"event": "opened", "time": 1, "format": 1},
        {"event": "opened", "time": 1, "format": 1, "session": "../../../etc/passwd"},
        {"event": "opened", "time": 1, "format": 1, "session": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "key": 5},
        {"event": "closed", "time": 1},
        {"event": "opened", "time": "now"},
        {"event": "opened", "time": 1e300},
        {"event": 5, "time": 1},
    ],
)
def test_a_hostile_header_is_named(attempt: Callable[..., Report], header: dict[str, object]) -> None:
    report = attempt(b"".join(hostile(header)))
    assert report.state == "changed"
    assert report.findings[0].kind in ("malformed", "signature")
    assert report.findings[0].event == 0


def test_the_end_has_a_good_signature_too(attempt: Callable[..., Report], whole: Path) -> None:
    data = whole.read_bytes()
    start, end = frames(data)[-1]
    chain = data[start - CHAIN_SIZE : start]
    body = data[start + PREFIX_SIZE : end - CHAIN_SIZE - 64].replace(b"client left", b"time is up!")
    forged, _ = pack_signed_frame(chain, END, 1, 10, body, UUID(whole.stem), Ed25519PrivateKey.generate())
    (finding,) = attempt(data[:start] + forged).findings
    assert finding.kind == "signature"
    real, _ = pack_signed_frame(chain, END, 1, 10, body, UUID(whole.stem), KEY)
    assert attempt(data[:start] + real).ok
