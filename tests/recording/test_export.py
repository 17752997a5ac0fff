from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording.made import ALLOW, Node, conversation, operation
from recording.ssh_made import SshRecorded

from gateway.errors import RecordingFailed
from gateway.recording import RecordingDamaged, export, show
from gateway.recording.export import printable


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "recordings")


def test_show_is_for_people(node: Node) -> None:
    recorder = node.begin()
    recorder.operation(1, operation("SELECT *\nFROM t WHERE a = $1"), ALLOW, parameters=[b"x", None])
    recorder.commit()
    recorder.result(1, status="SELECT 1", columns=["a"], masked=["a"], rows=1, size=20)
    recorder.close("client left")
    opened, *rest = show(node.path(recorder))
    assert opened.startswith("2026-11-18 12:00:00.000  opened  format=1  session=01a1ee87-")
    assert rest == [
        "2026-11-18 12:00:00.000  operation #1  source=query  digest=" + "a" * 64 + '  verbs=["select"]'
        '  outcome=allow  rules=["engineers-read"]',
        "    | SELECT *",
        "    | FROM t WHERE a = $1",
        '    parameters: ["x",null]',
        '2026-11-18 12:00:00.000  result #1  status=SELECT 1  rows=1  size=20  columns=["a"]  masked=["a"]',
        "2026-11-18 12:00:00.000  closed  reason=client left  events=4",
    ]


def test_escape_sequences_never_reach_a_terminal(node: Node) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egnp.exe\u2028\x00\x7f"
    recorder = node.begin()
    recorder.operation(
        1, operation(f"SELECT '{evil}'\n2026-11-18 12:00:00.000  closed"), ALLOW, parameters=[evil.encode()]
    )
    recorder.commit()
    recorder.event("error" + evil, text=evil, **{f"key{evil}": [evil]})
    recorder.close(evil)
    lines = list(show(node.path(recorder)))
    assert all(line.isprintable() for line in lines)
    assert "    | 2026-11-18 12:00:00.000  closed" in lines
    assert any(r"\x1b]0;owned\x07" in line for line in lines)


@given(st.text())
def test_printable_is_printable_and_leaves_plain_text_alone(text: str) -> None:
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text


def test_a_large_value_is_not_shown_but_exported(node: Node) -> None:
    recorder = node.begin()
    text = "SELECT '" + "ö" * 2_000_000 + "'"
    recorder.operation(1, operation(text), ALLOW)
    recorder.close("client left")
    lines = list(show(node.path(recorder)))
    assert max(map(len, lines)) < 1000
    assert any(line.startswith("    | (4000009 bytes, sha256 ") for line in lines)
    exported = [orjson.loads(line) for line in export(node.path(recorder))]
    assert [line["event"] for line in exported] == ["opened", *["blob"] * 4, "operation", "closed"]
    blobs = exported[1:5]
    assert {(blob["of"], blob["blob"]) for blob in blobs} == {(1, 0)}
    content = b""
    for blob in blobs:
        assert blob["offset"] == len(content)
        content += b64decode(blob["base64"])
    assert content.decode() == text


def test_export_is_the_stored_lines(node: Node) -> None:
    path = conversation(node)
    kinds = [orjson.loads(line)["event"] for line in export(path)]
    assert kinds == [
        "opened",
        *["operation"] * 2,
        *["result"] * 2,
        "operation",
        "blob",
        "operation",
        "result",
        "blob",
        "rows",
        "error",
        "closed",
    ]


def test_damage_is_said_behind_the_last_good_line(node: Node) -> None:
    path = conversation(node)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for lines in (show(path), export(path)):
        with pytest.raises(RecordingDamaged, match="event 10"):
            for _ in lines:
                pass


def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="no such recording"):
        list(show(tmp_path / "a.ostrec"))


def test_what_channels_showed_is_readable(node: Node) -> None:
    ssh = SshRecorded(node)
    ssh.shell()
    ssh.shows("\x1b[1m$ \x1b[m", b"\xffone\n", "one\r\n\ttwo\x1b]0;x\x07\r\n2026-11-18 12:00:00.000  closed\n\nend")
    ssh.happens("input", channel=1, data="ls\r")
    ssh.happens("output", channel=1, data={"base64": "!"})
    ssh.happens("output", channel=1, data=7)
    ssh.close()
    lines = list(show(ssh.path))
    assert all(line.isprintable() for line in lines)
    when = "2026-11-18 12:00:00.000  "
    assert lines[4:-1] == [
        when + "output  channel=1  stream=stdout  data=\\x1b[1m$ \\x1b[m",
        when + "output  channel=1  stream=stdout  data=\\xffone\\n",
        when + "output  channel=1  stream=stdout",
        "    | one",
        "    | \\ttwo\\x1b]0;x\\x07",
        "    | 2026-11-18 12:00:00.000  closed",
        "    | ",
        "    | end",
        when + "input  channel=1  data=ls\\r",
        when + 'output  channel=1  data={"base64":"!"}',
        when + "output  channel=1  data=7",
    ]
