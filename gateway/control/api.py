"""The control API on the unix socket.

GET  /v1/status               operator, auditor
GET  /v1/sessions             operator, auditor
GET  /v1/sessions/ID          operator, auditor
POST /v1/sessions/ID/kill     operator
POST /v1/reload               operator, the gateway's own user
POST /v1/tokens/resolve       auditor

Fail closed: a caller whose uid the kernel doesn't tell is refused, and an act that can't be written to the audit log
does not happen. File permissions decide who reaches the socket at all; they grant nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from klein import Klein

from gateway.audit import SessionContext
from gateway.audit.event import Event
from gateway.audit.events import AdministrativeAct, SessionKilled, TokensResolved
from gateway.control.callers import Caller, Right, caller
from gateway.control.messages import (
    Killed,
    KillRequest,
    Refusal,
    Reloaded,
    Resolved,
    ResolveRequest,
    SessionAnswer,
    Token,
)
from gateway.control.running import Running
from gateway.control.sites import QuietSite, answer
from gateway.control.status import session_of, sessions_of, status_of
from gateway.errors import GatewayError, RecordingFailed, SessionEnded, StoreFailed
from gateway.session import LiveSession
from gateway.store import parse_token

log = structlog.get_logger()

MAX_REASON = 500
"""Characters of a reason: a sentence for the caller's terminal (of a kill) and the audit log."""

MAX_TOKENS = 100
"""Tokens that are resolved at once: so many fit the one event that names them all."""


class _Refused(Exception):
    """Ends a request with a `Refusal`."""

    def __init__(self, code: int, problem: str, mend: str | None = None) -> None:
        super().__init__(problem)
        self.code = code
        self.refusal = Refusal(problem, mend)


def control_site(gateway: Running, reactor: Any, *, own: int) -> QuietSite:
    """The API, to be served on a unix socket; ``own`` is the uid that the gateway runs as."""
    api = _Api(gateway, own)
    app = Klein()

    def route(path: str, method: str, right: Right, act: str, serve: Callable[..., object]) -> None:
        def handle(request: Any, **named: str) -> bytes:
            return api.handle(request, right, act, serve, named)

        # Klein tells endpoints apart by their functions' names.
        app.route(path, methods=[method], endpoint=act)(handle)

    route("/v1/status", "GET", "look", "status", api.status)
    route("/v1/sessions", "GET", "look", "sessions.list", api.sessions)
    route("/v1/sessions/<session>", "GET", "look", "sessions.show", api.show)
    route("/v1/sessions/<session>/kill", "POST", "act", "sessions.kill", api.kill)
    route("/v1/reload", "POST", "reload", "configuration.reload", api.reload)
    route("/v1/tokens/resolve", "POST", "reveal", "tokens.resolve", api.resolve)
    return QuietSite(app, reactor)


class _Api:
    """The acts; each gets who asks, the request's body and what its path names."""

    def __init__(self, gateway: Running, own: int) -> None:
        self._gateway = gateway
        self._own = own

    def handle(
        self, request: Any, right: Right, act: str, serve: Callable[..., object], named: dict[str, str]
    ) -> bytes:
        try:
            who = self._admit(request, right, act, named.get("session", ""))
            return answer(request, 200, serve(who, request, **named))
        except _Refused as refused:
            return answer(request, refused.code, refused.refusal)
        except (RecordingFailed, StoreFailed) as error:
            return answer(request, 503, Refusal(f"nothing was done: {error.message}", error.hint))
        except Exception as error:  # whatever it was, it is told and logged, not guessed at
            log.error("control request failed", act=act, exc_info=error)
            return answer(request, 500, Refusal("the gateway failed at this request; its log says how"))

    def _admit(self, request: Any, right: Right, act: str, subject: str) -> Caller:
        credentials = request.channel.transport.peer_credentials
        if credentials is None:
            raise _Refused(403, "the control API is for the local socket only")
        who = caller(credentials[1], self._gateway.config, own=self._own)
        refusal = who.refusal(right)
        if refusal is not None:
            self._say(AdministrativeAct(who.name, act, subject, allowed=False, reason=refusal))
            log.warning("control request refused", act=act, caller=who.name, problem=refusal)
            mend = "list the uid under identity.socket, and principal:NAME under roles, in ostiary.yaml"
            raise _Refused(403, refusal, mend)
        return who

    def status(self, _who: Caller, _request: Any) -> object:
        return status_of(self._gateway)

    def sessions(self, _who: Caller, _request: Any) -> object:
        return sessions_of(self._gateway)

    def show(self, _who: Caller, _request: Any, session: str) -> object:
        return SessionAnswer(self._gateway.clock(), session_of(self._find(session)))

    def kill(self, who: Caller, request: Any, session: str) -> object:
        try:
            reason = msgspec.json.decode(request.content.read() or b"{}", type=KillRequest).reason
        except msgspec.DecodeError as error:
            raise _Refused(400, f"the body is wrong: {error}", 'send {"reason": "..."}') from None
        _check_reason(reason)
        live = self._find(session)
        self._say(SessionKilled(SessionContext(live.id, live.access), who.name, reason))
        log.warning("session killed", session=live.id, by=who.name, reason=reason)
        live.end(SessionEnded("an operator ended this session" + (f": {reason}" if reason else "")))
        return Killed(live.id)

    def reload(self, who: Caller, _request: Any) -> object:
        gateway = self._gateway
        # What came of it is an event of the reload's own, but that comes when it is done.
        self._say(AdministrativeAct(who.name, "configuration.reload"))
        try:
            restart = gateway.reload(who.name)
        except RecordingFailed:
            raise
        except GatewayError as error:
            raise _Refused(422, error.message, error.hint) from None
        rules = gateway.gate.rules
        return Reloaded(rules.snapshot.number, len(rules.targets), restart, tuple(gateway.warnings))

    def resolve(self, who: Caller, request: Any) -> object:
        try:
            asked = msgspec.json.decode(request.content.read(), type=ResolveRequest)
        except msgspec.DecodeError as error:
            raise _Refused(400, f"the body is wrong: {error}", 'send {"tokens": ["tok_..."]}') from None
        _check_reason(asked.reason)
        if not 0 < len(asked.tokens) <= MAX_TOKENS:
            raise _Refused(400, f"{len(asked.tokens)} tokens are asked for", f"send 1 to {MAX_TOKENS}")
        for position, token in enumerate(asked.tokens, 1):
            if parse_token(token) is None:
                raise _Refused(400, f"number {position} is no token", "a token is tok_ and 32 hex digits, and whole")
        vault = self._gateway.vault
        if vault is None:
            raise _Refused(404, "this gateway has no token vault", "ask the gateway that made the tokens")
        values = vault.resolve(asked.tokens)
        self._say(TokensResolved(who.name, asked.tokens, len(values), asked.reason))
        log.warning("tokens resolved", tokens=len(asked.tokens), found=len(values), by=who.name, reason=asked.reason)
        return Resolved(tuple(Token(token, values.get(token)) for token in asked.tokens))

    def _find(self, session: str) -> LiveSession:
        live = self._gateway.live.get(session)
        if live is None:
            raise _Refused(404, "there is no such live session", "`ostiary sessions list` shows them")
        return live

    def _say(self, event: Event) -> None:
        """In the kernel before anything is done. Raises RecordingFailed."""
        self._gateway.audit.append(event)
        self._gateway.audit.flush()


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON:
        raise _Refused(400, f"the reason is longer than {MAX_REASON} characters", "say it in a sentence")
    if not reason.isprintable():
        raise _Refused(400, "the reason has control characters", "write one line of text")
