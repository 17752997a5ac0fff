"""Tries to get out of a directory by SFTP, on OpenSSH's sftp-server: nothing may get through."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import sftp_attempts
from support.sftp_attempts import Attempt

CASES = sftp_attempts.load("cases")
INNOCENT = sftp_attempts.load("innocent")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_gets_through(case: Attempt, tmp_path: Path) -> None:
    assert case.reason
    found, _ = sftp_attempts.attempt(tmp_path / "root", case)
    assert found == []


@pytest.mark.parametrize("case", [case for case in CASES if not case.inert], ids=lambda case: case.name)
def test_without_a_gateway_it_would(case: Attempt, tmp_path: Path) -> None:
    found, _ = sftp_attempts.attempt(tmp_path / "root", case, direct=True)
    assert found != []


@pytest.mark.parametrize("case", INNOCENT, ids=lambda case: case.name)
@pytest.mark.parametrize("resolve", [True, False])
def test_what_is_allowed_works(case: Attempt, resolve: bool, tmp_path: Path) -> None:
    found, answers = sftp_attempts.attempt(tmp_path / "root", case, resolve=resolve)
    assert found == []
    assert set(answers) == {0}
