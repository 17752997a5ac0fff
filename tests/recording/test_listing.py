from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording.made import NOON, Node, conversation

from gateway.recording import Listed, listing
from gateway.recording.format import MAGIC, MAX_REASON


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "recordings")


def test_a_closed_and_an_open_recording(node: Node) -> None:
    recorder = node.begin()
    node.clock.advance(90)
    live = node.begin()
    closed = recorder.close("client left")
    first, second = listing(node.directory)
    assert first == Listed(
        node.path(recorder),
        recorder.session,
        closed.length,
        "closed",
        protocol="postgres",
        principal="alice",
        target="orders",
        database="orders",
        role="orders_rw",
        address="192.0.2.7",
        started=NOON,
        ended=NOON + 90,
        reason="client left",
        events=2,
    )
    assert (second.session, second.state, second.ended, second.events) == (live.session, "open", None, None)


@pytest.mark.parametrize("reason", ["", "\x00" * 1000, "\U0001f600" * MAX_REASON, "\ud800" * 400, "Z" * MAX_REASON])
def test_every_end_is_found(node: Node, reason: str) -> None:
    recorder = node.begin()
    recorder.close(reason)
    assert node.verify(recorder).ok
    assert [listed.state for listed in listing(node.directory)] == ["closed"]


def test_what_cannot_be_read_is_listed_as_damaged(node: Node) -> None:
    path = conversation(node)
    contents: list[bytes] = [b"", b"junk", MAGIC, path.read_bytes()[:100]]
    for content in contents:
        path.write_bytes(content)
        assert [(listed.state, listed.size) for listed in listing(node.directory)] == [("damaged", len(content))]
    path.unlink()
    path.mkdir()
    assert [listed.state for listed in listing(node.directory)] == ["damaged"]


def test_a_recording_removed_meanwhile_is_left_out(node: Node) -> None:
    path = conversation(node)
    path.unlink()
    path.symlink_to("nowhere")
    assert list(listing(node.directory)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_hostile_file_never_stops_the_listing(node: Node, data: st.DataObject) -> None:
    path = (
        conversation(Node(node.directory))
        if not list(node.directory.rglob("*.ostrec"))
        else next(iter(node.directory.rglob("*.ostrec")))
    )
    content = bytearray(path.read_bytes())
    try:
        for _ in range(3):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        original = path.read_bytes()
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        assert len(list(listing(node.directory))) == 1
    finally:
        path.write_bytes(original)
