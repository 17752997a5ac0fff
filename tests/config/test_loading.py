from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config import load_yaml, parse_yaml
from gateway.config.loading import MAX_FILE, MAX_PROBLEMS
from gateway.config.schema import Limits
from gateway.errors import ConfigError


def problem(path: Path, *, secrets: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        load_yaml(path, Limits, secrets=secrets)
    (only,) = caught.value.problems
    assert only.file == str(path)
    assert only.mend
    return only.problem


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_bytes(b"\xef\xbb\xbflogin: 10s\r\nsessions: 5\r\n")
    assert load_yaml(path, Limits) == Limits(login=10.0, sessions=5)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert problem(tmp_path / "none.yaml") == "can't be opened: No such file or directory"
    assert problem(tmp_path) == "can't be opened: Is a directory"
    assert problem(tmp_path / ("x" * 300)) == "can't be opened: File name too long"
    assert problem(Path("\0")) == "can't be opened: no path can look like this"
    os.mkfifo(tmp_path / "fifo")
    assert problem(tmp_path / "fifo") == "is not a regular file"
    assert problem(Path("/dev/zero")) == "is not a regular file"
    (tmp_path / "loop").symlink_to("loop")
    assert problem(tmp_path / "loop").startswith("can't be opened: Too many levels")


def test_a_file_without_rights(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("login: 1s")
    path.chmod(0)
    before = os.geteuid()
    os.seteuid(before or 65534)  # root may read everything
    try:
        assert problem(path) == "can't be opened: Permission denied"
    finally:
        os.seteuid(before)


def test_files_that_are_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"#" * (MAX_FILE + 1))
    assert problem(path) == f"is larger than {MAX_FILE} bytes"
    with pytest.raises(ConfigError, match="larger"):
        parse_yaml(path.read_bytes(), Limits, file="f")


def test_files_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"login: 1s\n# \xff\n")
    with pytest.raises(ConfigError, match=r"a.yaml:2:\n  is not UTF-8"):
        load_yaml(path, Limits)
    path.write_bytes("login: 1s".encode("utf-16"))
    assert problem(path) == "is not UTF-8"


def test_secrets_are_closed_to_everybody(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("login: 1s")
    path.chmod(0o644)
    assert problem(path, secrets=True) == "holds secrets and is open to everybody"
    path.chmod(0o640)
    assert load_yaml(path, Limits, secrets=True).login == 1.0


def test_problems_come_in_order_of_lines_and_not_without_end() -> None:
    text = "".join(f"x{number}: 1\n" for number in range(1000)) + "login: 1s\nlogin: 2s\n"
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text.encode(), Limits, file="f")
    lines = [each.line or 0 for each in caught.value.problems]
    assert len(lines) == MAX_PROBLEMS
    assert lines == sorted(lines)
