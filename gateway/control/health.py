"""Could the gateway serve a new session right now? Asked anew each time, and every no has its reason."""

from __future__ import annotations

from gateway.control.messages import Check, Readiness
from gateway.control.running import Running
from gateway.errors import RecordingFailed


def readiness(gateway: Running) -> Readiness:
    """What a new session needs: somebody who listens, a certificate, an audit log, a place for its recording."""
    checks = (
        _check("listening", None if gateway.opened else "the listeners are not open"),
        _check("accepting", "the gateway is being stopped" if gateway.stopping else None),
        _check("audit log", gateway.audit.failed),
        _check("recordings", _recordings(gateway)),
        _check("certificate", _certificate(gateway)),
    )
    return Readiness(all(check.ok for check in checks), checks)


def _check(name: str, problem: str | None) -> Check:
    return Check(name, problem is None, problem or "")


def _recordings(gateway: Running) -> str | None:
    recordings = gateway.recordings
    try:
        free = recordings.free_space()
    except RecordingFailed as error:
        return error.message
    obstacle = recordings.obstacle()
    if obstacle is not None:
        return obstacle
    if free < recordings.low_water:
        return f"{free} bytes are free, below recording.low_water ({recordings.low_water})"
    return None


def _certificate(gateway: Running) -> str | None:
    if gateway.clock() < gateway.certificate_ends:
        return None
    return "the gateway's certificate has expired; clients that verify it are gone"
