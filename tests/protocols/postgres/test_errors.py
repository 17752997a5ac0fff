from __future__ import annotations

import inspect

import pytest
from protocols.postgres.talk import fields

from gateway import errors as ours
from gateway.errors import Denied, GatewayError, LoginFailed, NotAdmitted, PeerError, RecordingFailed, SessionEnded
from gateway.model import Denial
from gateway.protocols.postgres import errors


def test_a_denial_keeps_the_session() -> None:
    error = fields(errors.denied(Denial("permission denied", "Request 1.", "ask")))
    assert error == {
        "S": b"ERROR",
        "V": b"ERROR",
        "C": b"42501",
        "M": b"permission denied",
        "D": b"Request 1.",
        "H": b"ask",
    }
    assert "H" not in fields(errors.denied(Denial("permission denied", "Request 1.")))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LoginFailed("no", reason="wrong password"), b"28P01"),
        (NotAdmitted("no", reason="no such target"), b"28000"),
        (Denied("no"), b"42501"),
        (ours.LimitReached("no"), b"54000"),
        (ours.TooManySessions("no"), b"53300"),
        (RecordingFailed("no"), b"58030"),
        (ours.TargetUnavailable("no"), b"08001"),
        (errors.TargetRefused('database "x" does not exist', b"3D000"), b"3D000"),
        (errors.TargetRefused("sorry, too many clients already", b"53300"), b"53300"),
        (errors.TargetRefused("our own password is wrong", b"28P01"), b"08001"),
        (errors.TargetRefused("no SQLSTATE", b""), b"08001"),
        (SessionEnded("no"), b"57P01"),
        (PeerError("no"), b"08P01"),
        (ours.SecretUnavailable("no"), b"XX000"),
        (RuntimeError("no"), b"XX000"),
    ],
)
def test_each_error_has_its_sqlstate(error: Exception, code: bytes) -> None:
    shown = fields(errors.fatal(error))
    assert (shown["S"], shown["V"], shown["C"]) == (b"FATAL", b"FATAL", code)


def test_a_denial_is_never_a_code_that_pools_evict_or_retry_on() -> None:
    code = errors.sqlstate(Denied("no"))
    assert code not in (b"0A000", b"40001", b"40P01")
    assert not code.startswith((b"57P0", b"08"))


def test_reasons_are_for_the_audit_log_only() -> None:
    for kind in (LoginFailed, NotAdmitted):
        assert b"secret reason" not in errors.fatal(kind("no", reason="secret reason"))


def test_what_was_not_raised_on_purpose_is_not_shown() -> None:
    assert b"hunter2" not in errors.fatal(KeyError("hunter2"))


def test_every_class_of_ours_has_a_code() -> None:
    classes = [kind for _, kind in inspect.getmembers(ours, inspect.isclass) if issubclass(kind, GatewayError)]
    named = {kind for kind, _ in errors.SQLSTATES}
    never_told = {ours.SecretUnavailable, ours.ConfigError, ours.NoSuchThing, ours.NotPending, ours.NotYours}
    assert set(classes) - named == {GatewayError, *never_told}


def test_untrusted_text_stays_in_its_field() -> None:
    shown = fields(errors.denied(Denial("a\0Cxx", "b\0", "\ud800")))
    assert shown["M"] == b"aCxx"
    assert shown["C"] == b"42501"
