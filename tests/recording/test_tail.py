from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording.made import ALLOW, Node, conversation, operation

from gateway.errors import RecordingFailed
from gateway.recording import Recorder, RecordingDamaged, Tail, export
from gateway.recording.format import CHAIN_SIZE, MAGIC, PREFIX_SIZE, pack_prefix
from gateway.recording.tail import AT_ONCE


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "recordings")


@pytest.fixture
def recorder(node: Node) -> Recorder:
    return node.begin()


def told(tail: Tail) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in tail.read()]


def follow(node: Node, recorder: Recorder) -> Tail:
    """From now on."""
    return Tail(node.path(recorder), recorder.size)


def test_nothing_of_what_was_before(node: Node, recorder: Recorder) -> None:
    recorder.operation(1, operation("SELECT 'before'"), ALLOW)
    recorder.commit()
    tail = follow(node, recorder)
    assert told(tail) == []
    recorder.operation(2, operation("SELECT 'behind'"), ALLOW)
    assert told(tail) == []
    recorder.commit()
    [event] = told(tail)
    assert (event["event"], event["text"]) == ("operation", "SELECT 'behind'")
    assert told(tail) == []
    tail.close()


def test_results_come_with_their_group(node: Node, recorder: Recorder) -> None:
    tail = follow(node, recorder)
    for number in range(3):
        recorder.result(number, status="SELECT 1", rows=number)
    assert told(tail) == []
    node.clock.advance(0.1)
    assert [event["rows"] for event in told(tail)] == [0, 1, 2]
    tail.close()


def test_the_end(node: Node, recorder: Recorder) -> None:
    tail = follow(node, recorder)
    recorder.close("client left")
    [event] = told(tail)
    assert (event["event"], event["reason"]) == ("closed", "client left")
    assert tail.ended
    assert told(tail) == []
    tail.close()


def test_large_values_are_passed_over(node: Node, recorder: Recorder) -> None:
    tail = follow(node, recorder)
    recorder.operation(1, operation("SELECT '" + os.urandom(2_000_000).hex() + "'"), ALLOW)
    recorder.commit()
    recorder.rows(1, os.urandom(1_500_000))
    recorder.result(1, status="SELECT 1")
    node.clock.advance(0.1)
    first, *others = told(tail)
    assert first["text"]["size"] == 4_000_009
    assert [event["event"] for event in others] == ["rows", "result"]
    tail.close()


def test_a_point_within_a_large_value(node: Node, recorder: Recorder) -> None:
    """Its writer hands a large one to the kernel on the way."""
    sizes: list[int] = []
    write = recorder._write_bytes

    def noted(fd: int, data: bytes) -> int:
        written = write(fd, data)
        sizes.append(node.path(recorder).stat().st_size)
        return written

    recorder._write_bytes = noted
    recorder.operation(1, operation("SELECT '" + os.urandom(3_000_000).hex() + "'"), ALLOW)
    recorder.commit()
    assert len(sizes) > 2
    tail = Tail(node.path(recorder), sizes[0])
    assert [event["operation"] for event in told(tail)] == [1]
    tail.close()


def test_much_comes_in_pieces(node: Node, recorder: Recorder) -> None:
    tail = follow(node, recorder)
    for number in range(1, 31):
        recorder.operation(number, operation("SELECT '" + "x" * 40_000 + "'"), ALLOW)
        recorder.commit()
    pieces = []
    while piece := told(tail):
        pieces.append([event["operation"] for event in piece])
    assert len(pieces) > 2
    assert all(len(piece) <= AT_ONCE // 40_000 + 1 for piece in pieces)
    assert list(chain(*pieces)) == list(range(1, 31))
    tail.close()


def whole(path: Path) -> list[bytes]:
    return [line.rstrip(b"\n") for line in export(path) if not line.startswith(b'{"event":"blob"')]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 200_000), max_size=8), data=st.data())
def test_however_the_file_grows_it_is_what_a_reader_reads(
    node: Node, tmp_path: Path, cuts: list[int], data: st.DataObject
) -> None:
    content = conversation(node).read_bytes()
    path = tmp_path / "growing"
    path.write_bytes(content[: len(MAGIC)])
    tail = Tail(path, len(MAGIC))
    found = []
    for cut in [*sorted(each % len(content) for each in cuts), len(content)]:
        if cut > path.stat().st_size:
            path.write_bytes(content[:cut])  # the same file: not replaced
        found += tail.read()
    assert found == whole(path)
    assert tail.ended
    tail.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda frame: b"x" * 20 + frame[20:],
        lambda frame: frame[:6] + b"\x09" + frame[7:],
        lambda frame: pack_prefix(len(frame) - PREFIX_SIZE - CHAIN_SIZE, ord("Q"), 0, 1, 1) + frame[PREFIX_SIZE:],
        lambda frame: bytes(len(frame)),
    ],
)
def test_what_is_no_frame(node: Node, recorder: Recorder, damage: Callable[[bytes], bytes]) -> None:
    tail = follow(node, recorder)
    path, begin = node.path(recorder), recorder.size
    recorder.operation(1, operation(), ALLOW)
    recorder.commit()
    content = path.read_bytes()
    path.write_bytes(content[:begin] + damage(content[begin:]))
    with pytest.raises(RecordingDamaged, match=f"byte {begin}"):
        tail.read()
    tail.close()


def test_a_point_where_no_frame_begins(node: Node, recorder: Recorder) -> None:
    tail = Tail(node.path(recorder), recorder.size - 40)
    with pytest.raises(RecordingDamaged):
        tail.read()
    tail.close()


def test_what_can_not_be_opened(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="No such file"):
        Tail(tmp_path / "x", 0)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(RecordingFailed):
        Tail(tmp_path / "link", 0)


def test_what_can_not_be_read(node: Node, recorder: Recorder) -> None:
    tail = Tail(node.path(recorder).parent, 0)
    with pytest.raises(RecordingFailed, match="directory"):
        tail.read()
    tail.close()
