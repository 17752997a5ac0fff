from __future__ import annotations

import asyncssh
import pytest

from gateway.errors import LoginFailed, NotAdmitted, PeerError, RecordingFailed, SessionEnded, TooManySessions
from gateway.model import Denial
from gateway.protocols.ssh import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotAdmitted("no", reason="secret"), asyncssh.DISC_HOST_NOT_ALLOWED_TO_CONNECT),
        (LoginFailed("no", reason="secret"), asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE),
        (TooManySessions("no"), asyncssh.DISC_TOO_MANY_CONNECTIONS),
        (SessionEnded("no"), asyncssh.DISC_BY_APPLICATION),
        (RecordingFailed("no"), asyncssh.DISC_BY_APPLICATION),
        (PeerError("no"), asyncssh.DISC_PROTOCOL_ERROR),
    ],
)
def test_codes(error: Exception, code: int) -> None:
    assert errors.disconnect(error) == (code, "no")


def test_what_was_not_raised_on_purpose_is_not_shown() -> None:
    assert "hunter2" not in errors.disconnect(ValueError("hunter2"))[1]
    assert b"hunter2" not in errors.lines(ValueError("hunter2"), terminal=False)


def test_a_reason_fits_what_openssh_prints() -> None:
    _, reason = errors.disconnect(SessionEnded("é" * 500, hint="x"))
    assert len(reason.encode()) <= errors.MAX_REASON
    assert set(reason) == {"é"}


def test_a_denial_is_lines() -> None:
    denial = Denial("permission denied", "Request 1.", "ask the DBA")
    assert errors.denied(denial, terminal=False) == (
        b"ostiary: permission denied\nostiary: Request 1.\nostiary: ask the DBA\n"
    )
    assert errors.denied(Denial("no", ""), terminal=True) == b"ostiary: no\r\n"


def test_nothing_that_a_terminal_obeys() -> None:
    said = errors.stderr(["rule \x1b[2J\x9b \u202e\n"], terminal=True)
    assert said == b"ostiary: rule ?[2J? ??\r\n"
