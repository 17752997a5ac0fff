from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.cursor import Cursor


def test_a_new_cursor_is_at_the_beginning(tmp_path: Path) -> None:
    assert Cursor(tmp_path / "sinks" / "siem.json").sequence == 0


def test_a_moved_cursor_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "sinks" / "siem.json"
    Cursor(path).move(42)
    assert Cursor(path).sequence == 42
    assert [found.name for found in path.parent.iterdir()] == ["siem.json"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"sequence":"x"}', b'{"sequence":1,"more":2}', b'{"sequence":-5}'])
def test_what_is_no_cursor_sends_everything_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "siem.json").write_bytes(content)
    assert Cursor(tmp_path / "siem.json").sequence == 0


def test_a_move_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path / "sinks" / "siem.json")
    cursor.move(1)
    (tmp_path / "sinks" / "siem.json.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        cursor.move(2)
    assert cursor.sequence == Cursor(tmp_path / "sinks" / "siem.json").sequence == 1
