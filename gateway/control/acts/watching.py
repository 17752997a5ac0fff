"""Watching: requests for approval, and what a live session asks and gets, as it happens."""

from __future__ import annotations

from http import HTTPStatus

import structlog

from gateway.audit import SessionContext
from gateway.audit.events import SessionWatched, SessionWatchEnded
from gateway.control.acts.approvals import approval, concerns
from gateway.control.acts.sessions import find
from gateway.control.messages import Watched
from gateway.control.route import Asked, Refused, Route
from gateway.control.sources import ApprovalSource, SessionSource
from gateway.control.status import session_of
from gateway.control.watching import JSON_LINES, Lines
from gateway.errors import LimitReached, RecordingFailed
from gateway.recording import Tail
from gateway.recording.directory import path_of
from gateway.store.requests import Request

log = structlog.get_logger()


def session(asked: Asked) -> Lines:
    gateway, caller = asked.gateway, asked.caller
    live = find(asked, asked.subject)
    _room(asked)
    offset = live.written()
    tail = Tail(path_of(gateway.recordings.directory, live.id), offset)
    context = SessionContext(live.id, live.access)
    try:
        asked.say(SessionWatched(context, caller.name, offset, caller.address))
    except BaseException:
        tail.close()
        raise
    log.info("session watched", session=live.id, by=caller.name)

    def ended(events: int) -> None:
        try:
            asked.say(SessionWatchEnded(context, caller.name, events, caller.address))
        except RecordingFailed as error:
            log.error("audit log failed", problem=error.message)

    source = SessionSource(
        asked,
        tail,
        first=Watched("watching", gateway.clock(), session=session_of(live)),
        alive=lambda: gateway.live.get(live.id) is live,
        ended=ended,
    )
    return Lines(gateway.watching, source, caller=caller.name)


def approvals(asked: Asked) -> Lines:
    _room(asked)
    return Lines(asked.gateway.watching, ApprovalSource(asked, _line), caller=asked.caller.name)


def _line(asked: Asked, request: Request) -> Watched | None:
    if not concerns(asked, request):
        return None
    return Watched("request", asked.gateway.clock(), approval=approval(asked, request))


def _room(asked: Asked) -> None:
    """Raises Refused."""
    try:
        asked.gateway.watching.room_for(asked.caller.name)
    except LimitReached as error:
        raise Refused(HTTPStatus.TOO_MANY_REQUESTS, error.message, error.hint) from None


ROUTES = (
    Route(
        "GET",
        "/v1/approvals/watch",
        "approvals.watch",
        "known",
        "Requests to approvers that concern the caller: open ones, then each that is made, voted on or settled.",
        Watched,
        approvals,
        streams=JSON_LINES,
    ),
    Route(
        "GET",
        "/v1/sessions/{id}/watch",
        "sessions.watch",
        "watch",
        "What a live session asks and gets from now on, as its recording has it. Who watched it is an audit event.",
        Watched,
        session,
        streams=JSON_LINES,
    ),
)
