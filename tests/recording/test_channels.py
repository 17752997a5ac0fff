from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording.made import NOON, Node, conversation
from recording.ssh_made import SshRecorded

from gateway.errors import RecordingFailed
from gateway.recording import RecordingDamaged, channels
from gateway.recording.channels import Channel, Moment, moments, overview


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "recordings")


@pytest.fixture
def ssh(node: Node) -> SshRecorded:
    return SshRecorded(node)


def played(path: Path, number: int = 1) -> list[Moment]:
    (channel,) = (one for one in overview(path).channels if one.number == number)
    return list(moments(path, channel))


def shown(path: Path, number: int = 1) -> str:
    return "".join(moment.text for moment in played(path, number) if moment.kind == "output")


def test_a_session_and_its_channels(ssh: SshRecorded) -> None:
    ssh.passes(1)
    ssh.shell(size=(120, 40))
    ssh.shows("$ ")
    ssh.command("uptime", channel=2)
    ssh.gives(b"up\n", channel=2)
    ssh.command("true \x1b]0;x\x07" + "y" * 500, channel=3)
    found = overview(ssh.close())
    assert (found.protocol, found.principal, found.target, found.login) == ("ssh", "alice", "web1", "deploy")
    assert found.started == NOON
    one, two, three = found.channels
    assert one == Channel(1, "shell", "shell", NOON + 1, "xterm-256color", (120, 40), True)
    assert two == Channel(2, "exec", "uptime", NOON + 1, shown=True)
    assert not three.shown
    assert found.shown == (one, two)
    assert three.text.startswith("true \\x1b]0;x\\x07")
    assert len(three.text) == 200


def test_what_is_asked_beside_a_command_is_not_what_runs(ssh: SshRecorded) -> None:
    ssh.command("uptime")
    ssh.lends_its_agent()
    ssh.gives(b"up")
    path = ssh.close()
    assert (overview(path).channels[0].request, overview(path).channels[0].text) == ("exec", "uptime")
    assert [moment.text for moment in played(path) if moment.kind == "mark"] == ["allow: uptime", "allow: agent"]


def test_moments_have_the_channels_time(ssh: SshRecorded) -> None:
    ssh.passes(5)
    ssh.shell()
    ssh.passes(0.5)
    ssh.shows("$ ")
    ssh.passes(0.25)
    ssh.happens("input", channel=1, data="ls\r")
    ssh.shows("ls\r\n")
    ssh.shell(channel=2)
    ssh.passes(1)
    ssh.shows("elsewhere", channel=2)
    ssh.happens("resize", channel=1, columns=100, rows=30)
    ssh.happens("signal", channel=1, signal="INT")
    ssh.happens("approval", request="r", state="approved", rules=["x"], votes=["dora: yes"])
    ssh.passes(1)
    ssh.exits("exit 3")
    assert played(ssh.close()) == [
        Moment(0, "mark", "allow: shell"),
        Moment(0.5, "output", "$ "),
        Moment(0.75, "input", "ls\r"),
        Moment(0.75, "output", "ls\r\n"),
        Moment(1.75, "resize", "100x30", (100, 30)),
        Moment(1.75, "mark", "signal INT"),
        Moment(1.75, "mark", "approval approved, dora: yes"),
        Moment(2.75, "exit", "3"),
    ]


def test_what_policy_refuses(ssh: SshRecorded) -> None:
    ssh.denied("rm -rf /")
    ssh.gives(b"ostiary: no\n", stream="stderr")
    ssh.exits("denied")
    assert played(ssh.close()) == [
        Moment(0, "mark", "deny: rm -rf / (not \\x1b[2J here)"),
        Moment(0, "output", "ostiary: no\r\n"),
        Moment(0, "mark", "denied"),
    ]


def test_the_end_by_a_signal(ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.exits("signal TERM")
    assert played(ssh.close())[-1] == Moment(0, "mark", "signal TERM")


@pytest.mark.parametrize("interactive", [True, False])
def test_characters_that_are_cut_are_joined(ssh: SshRecorded, interactive: bool) -> None:
    text = "naïve 日本 👩‍💻 ñ"
    if interactive:
        ssh.shell()
        ssh.shows(*(bytes([byte]) for byte in text.encode()))
    else:
        ssh.command("x")
        for byte in text.encode():
            ssh.gives(bytes([byte]))
            ssh.recorder.flush()
    assert shown(ssh.close()) == text


def test_outputs_are_joined_each_for_itself(ssh: SshRecorded) -> None:
    ssh.command("x")
    ssh.gives(b"\xe6\x97")
    ssh.gives(b"err \xc3", stream="stderr")
    ssh.gives(b"\xa5")
    ssh.gives(b"\xb1", stream="stderr")
    assert shown(ssh.close()) == "err 日ñ"


def test_what_is_no_utf_8_is_replaced_and_nothing_is_lost(ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.shows(b"a\xffb", b"\xe6", b"c", b"\xf0\x9f")
    ssh.exits()
    path = ssh.close()
    assert shown(path) == "a\ufffdb\ufffdc\ufffd"
    assert [moment.kind for moment in played(path)][-2:] == ["output", "exit"]


@settings(max_examples=50)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_any_bytes_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int]) -> None:
    ssh = SshRecorded(Node(tmp_path_factory.mktemp("r")))
    ssh.shell()
    places = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    ssh.shows(*(data[start:end] for start, end in pairwise(places)))
    assert shown(ssh.close()) == data.decode("utf-8", "replace")


def test_without_a_terminal_lines_end_as_on_one(ssh: SshRecorded) -> None:
    ssh.command("x")
    ssh.gives(b"one\ntwo\n")
    assert shown(ssh.close()) == "one\r\ntwo\r\n"


@pytest.mark.parametrize(
    ("columns", "rows", "size"),
    [(0, 0, (80, 24)), (2**31, 2**31, (2000, 2000)), (2**32 - 1, 1, (2000, 1)), (132, 0, (132, 24))],
)
def test_sizes_that_nobody_has(ssh: SshRecorded, columns: int, rows: int, size: tuple[int, int]) -> None:
    ssh.shell(size=(columns, rows))
    ssh.shows("x")
    ssh.happens("resize", channel=1, columns=columns, rows=rows)
    path = ssh.close()
    assert overview(path).channels[0].size == size
    assert played(path)[-1] == Moment(0, "resize", f"{size[0]}x{size[1]}", size)


def test_large_output_comes_in_pieces(ssh: SshRecorded) -> None:
    ssh.command("x")
    for _ in range(64):
        ssh.gives(b"0123456789abcde\n" * 65536)
    path = ssh.close()
    tracemalloc.start()
    size = sum(len(moment.text) for moment in moments(path, overview(path).channels[0]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 64 * 17 * 65536 + len("allow: x")
    assert peak < 24 * 1024 * 1024


def test_an_event_in_a_blob(ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.shows("\x01" * 1_000_000)  # each six characters in JSON
    ssh.happens("input", channel=1, data="y" * 2_000_000)
    path = ssh.close()
    assert shown(path) == "\x01" * 1_000_000
    assert [len(one.text) for one in played(path) if one.kind == "input"] == [2_000_000]


def test_a_giant_event_is_left_out_and_said(ssh: SshRecorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_DETAIL", 2 * 1024 * 1024)
    ssh.shell()
    ssh.shows("before", "\x01" * 1_000_000, "behind")
    path = ssh.close()
    assert [moment.text for moment in played(path)] == [
        "allow: shell",
        "before",
        "an event of output is too large to be played",
        "behind",
    ]


def test_time_never_runs_backwards(ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.passes(10)
    ssh.shows("late")
    ssh.passes(-5)
    ssh.shows("early")
    assert [moment.time for moment in played(ssh.close())] == [0, 10, 10]


def test_fields_of_other_kinds_are_no_trouble(ssh: SshRecorded) -> None:
    ssh.shell()
    for fields in (
        {"channel": 1, "data": 5},
        {"channel": 1, "data": {"base64": "!"}},
        {"channel": 1, "data": {"base64": 7}},
        {"channel": 1, "data": None},
        {"channel": "1", "data": "x"},
        {"channel": True, "data": "x"},
        {"channel": -(2**31), "data": "x"},
    ):
        ssh.happens("output", stream="elsewhere", **fields)
    ssh.happens("resize", channel=1, columns="x", rows=True)
    ssh.happens("exit", channel=1, status=7)
    ssh.happens("approval", votes="x", state=[])
    ssh.happens("file", channel=1)
    assert shown(ssh.close()) == ""


def test_damage_ends_it_behind_what_is_good(ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.shows("good")
    ssh.recorder.flush()
    ssh.passes(1)
    ssh.shows("bad")
    path = ssh.close()
    data = bytearray(path.read_bytes())
    data[-400] ^= 1
    path.write_bytes(data)
    seen = overview(path)
    assert seen.damage is not None
    (channel,) = seen.channels
    found = moments(path, channel)
    assert [next(found).text for _ in range(2)] == ["allow: shell", "good"]
    with pytest.raises(RecordingDamaged):
        next(found)


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="no such recording"):
        overview(tmp_path / "x.ostrec")
    (tmp_path / "empty.ostrec").touch()
    with pytest.raises(RecordingFailed, match="ends before"):
        overview(tmp_path / "empty.ostrec")


def test_a_session_without_channels(node: Node) -> None:
    found = overview(conversation(node))
    assert (found.protocol, found.channels) == ("postgres", ())
