from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording.made import NOON, Node
from recording.ssh_made import SshRecorded

from gateway.recording.asciicast import Version, asciicast
from gateway.recording.channels import overview


@pytest.fixture
def ssh(tmp_path: Path) -> SshRecorded:
    return SshRecorded(Node(tmp_path / "recordings"))


def cast(path: Path, version: Version, *, filtered: bool = True) -> tuple[dict[str, Any], list[list[Any]], list[str]]:
    """Header, events and comments, as a reader of the format finds them."""
    found = overview(path)
    data = b"".join(asciicast(path, found, found.channels[0], version, filtered=filtered))
    assert data.isascii()
    assert b"\x1b" not in data
    header, *lines = data.decode().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    return json.loads(header), [json.loads(line) for line in lines if not line.startswith("#")], comments


def conversation(ssh: SshRecorded) -> Path:
    ssh.passes(2.5)
    ssh.shell(size=(120, 40))
    ssh.passes(0.25)
    ssh.shows("\x1b]0;title\x07\x1b[1m$ \x1b[m")
    ssh.passes(0.5)
    ssh.happens("input", channel=1, data="é\r")
    ssh.shows("é\r\n")
    ssh.happens("resize", channel=1, columns=80, rows=24)
    ssh.passes(1)
    ssh.exits("exit 3")
    return ssh.close()


def test_version_2(ssh: SshRecorded) -> None:
    header, events, comments = cast(conversation(ssh), 2)
    assert header == {
        "version": 2,
        "width": 120,
        "height": 40,
        "env": {"TERM": "xterm-256color"},
        "timestamp": int(NOON + 2.5),
        "title": "alice as deploy on web1",
    }
    assert comments == []
    assert events == [
        [0.0, "m", "allow: shell"],
        [0.25, "o", "\x1b[1m$ \x1b[m"],
        [0.75, "i", "é\r"],
        [0.75, "o", "é\r\n"],
        [0.75, "r", "80x24"],
    ]


def test_version_3(ssh: SshRecorded) -> None:
    path = conversation(ssh)
    header, events, comments = cast(path, 3)
    assert header == {
        "version": 3,
        "term": {"cols": 120, "rows": 40, "type": "xterm-256color"},
        "timestamp": int(NOON + 2.5),
        "title": "alice as deploy on web1",
    }
    assert comments == [f"# session {path.stem}, channel 1: shell"]
    assert events == [
        [0.0, "m", "allow: shell"],
        [0.25, "o", "\x1b[1m$ \x1b[m"],
        [0.5, "i", "é\r"],
        [0.0, "o", "é\r\n"],
        [0.0, "r", "80x24"],
        [1.0, "x", "3"],
    ]


def test_a_command_without_a_terminal(ssh: SshRecorded) -> None:
    ssh.command("uptime\x1b[c")
    ssh.gives(b"one\n")
    path = ssh.close()
    header, events, comments = cast(path, 3)
    assert header["term"] == {"cols": 80, "rows": 24}
    assert header["command"] == "uptime\\x1b[c"
    assert events[-1] == [0.0, "o", "one\r\n"]
    assert len(comments) == 2
    assert "env" not in cast(path, 2)[0]


def test_unfiltered_has_what_was_sent(ssh: SshRecorded) -> None:
    _, events, _ = cast(conversation(ssh), 2, filtered=False)
    assert events[1] == [0.25, "o", "\x1b]0;title\x07\x1b[1m$ \x1b[m"]


def test_a_sequence_that_is_cut_is_filtered_whole(ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.shows("a\x1b]52;c;", "ZXZpbA==", "\x07b\x1b[3", "1mc", b"\xc3", b"\xa9")
    _, events, _ = cast(ssh.close(), 2)
    assert [event[2] for event in events if event[1] == "o"] == ["a", "b", "\x1b[31mc", "é"]


@pytest.mark.parametrize("size", [(0, 0), (2**31, 2**31)])
def test_sizes_that_nobody_has(ssh: SshRecorded, size: tuple[int, int]) -> None:
    ssh.shell(size=size)
    ssh.shows("x")
    ssh.happens("resize", channel=1, columns=size[0], rows=size[1])
    header, events, _ = cast(ssh.close(), 2)
    assert 0 < header["width"] <= 2000
    assert 0 < header["height"] <= 2000
    assert all(0 < int(side) <= 2000 for side in events[-1][2].split("x"))


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1000), max_size=20))
def test_intervals_add_up(tmp_path_factory: pytest.TempPathFactory, waits: list[float]) -> None:
    ssh = SshRecorded(Node(tmp_path_factory.mktemp("r")))
    ssh.shell()
    for wait in waits:
        ssh.passes(wait)
        ssh.shows("x")
    path = ssh.close()
    absolute = [event[0] for event in cast(path, 2)[1]]
    intervals = [event[0] for event in cast(path, 3)[1]]
    assert absolute == sorted(absolute)
    assert all(interval >= 0 for interval in intervals)
    assert abs(sum(intervals) - absolute[-1]) < 0.00001
