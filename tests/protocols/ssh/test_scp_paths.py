"""Tries to get out of a directory by scp's old protocol, with OpenSSH's scp at the target: nothing may get through."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import scp_attempts
from support.scp_attempts import Attempt

CASES = scp_attempts.load("cases")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_gets_through(case: Attempt, tmp_path: Path) -> None:
    assert case.reason
    found, _, _ = scp_attempts.attempt(tmp_path / "root", case)
    assert found == []


@pytest.mark.parametrize("case", [case for case in CASES if not case.inert], ids=lambda case: case.name)
def test_without_a_gateway_it_would(case: Attempt, tmp_path: Path) -> None:
    found, _, _ = scp_attempts.attempt(tmp_path / "root", case, direct=True)
    assert found != []


@pytest.mark.parametrize("case", scp_attempts.load("innocent"), ids=lambda case: case.name)
def test_what_is_allowed_works(case: Attempt, tmp_path: Path) -> None:
    found, heard, tree = scp_attempts.attempt(tmp_path / "root", case)
    assert found == []
    assert b"\1" not in heard
    if case.command.endswith("-f file"):
        assert heard == b"C0644 8 file\nharmless\0"
    else:
        assert [path for path in tree.box.rglob("*") if path.is_file() and path.read_bytes() == b"good"]
