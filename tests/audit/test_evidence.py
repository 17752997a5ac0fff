from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.audit import AuditLog, SessionContext
from gateway.audit.events import AuthenticationFailed, SessionClosed, SessionOpened
from gateway.audit.evidence import RecordingEvidence, recordings_of


def test_each_session_has_its_recording_and_its_end(open_log: Callable[..., AuditLog], context: SessionContext) -> None:
    crashed = SessionContext("crashed", context.access)
    older = SessionContext("older", context.access)
    log = open_log()
    log.append(SessionClosed(older, "client left", 1, 1, 70, "aa" * 32))
    log.append(SessionOpened(context, (), "2026/11/24/one.ostrec"))
    log.append(SessionOpened(crashed, (), "2026/11/24/two.ostrec"))
    log.append(SessionClosed(context, "client left", 1, 1, 80, "bb" * 32))
    log.close()
    assert recordings_of(log.directory) == {
        "older": RecordingEvidence("", 70, "aa" * 32),
        context.session: RecordingEvidence("2026/11/24/one.ostrec", 80, "bb" * 32),
        "crashed": RecordingEvidence("2026/11/24/two.ostrec", None, None),
    }


def test_a_caller_can_not_forge_an_end(open_log: Callable[..., AuditLog]) -> None:
    log = open_log()
    forged = '"unmapped":{"event":"session_closed","recording_length":1'
    log.append(AuthenticationFailed("victim", forged, "192.0.2.9", None, forged))
    log.close()
    assert recordings_of(log.directory) == {}


def test_no_log_knows_nothing(tmp_path: Path) -> None:
    assert recordings_of(tmp_path) == {}
