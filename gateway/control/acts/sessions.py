"""Live sessions."""

from __future__ import annotations

from http import HTTPStatus

import structlog

from gateway.audit import SessionContext
from gateway.audit.events import SessionKilled
from gateway.control.messages import Killed, KillRequest, SessionAnswer, Sessions
from gateway.control.route import Asked, Refused, Route
from gateway.control.status import session_of, sessions_of
from gateway.errors import SessionEnded
from gateway.session import LiveSession

log = structlog.get_logger()


def list_(asked: Asked) -> Sessions:
    return sessions_of(asked.gateway)


def show(asked: Asked) -> SessionAnswer:
    return SessionAnswer(asked.gateway.clock(), session_of(find(asked, asked.subject)))


def kill(asked: Asked) -> Killed:
    body: KillRequest = asked.body
    reason, caller = body.reason, asked.caller
    live = find(asked, asked.subject)
    asked.say(SessionKilled(SessionContext(live.id, live.access), caller.name, reason, caller.address))
    log.warning("session killed", session=live.id, by=caller.name, reason=reason)
    live.end(SessionEnded("an operator ended this session" + (f": {reason}" if reason else "")))
    return Killed(live.id)


def find(asked: Asked, session: str) -> LiveSession:
    """Raises Refused."""
    live = asked.gateway.live.get(session)
    if live is None:
        mend = "`ostiary sessions list` shows them"
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such live session", mend)
    return live


ROUTES = (
    Route("GET", "/v1/sessions", "sessions.list", "look", "Live sessions, oldest first.", Sessions, list_),
    Route("GET", "/v1/sessions/{id}", "sessions.show", "look", "One live session.", SessionAnswer, show),
    Route(
        "POST",
        "/v1/sessions/{id}/kill",
        "sessions.kill",
        "act",
        "End a live session at once; its caller reads the reason.",
        Killed,
        kill,
        body=KillRequest,
    ),
)
