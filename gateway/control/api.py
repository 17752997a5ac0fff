"""The control API: its table of routes, and the way from a request to the act that answers it.

    caller -> what it may -> body and query -> act -> answer

Fail closed: a caller who proves nothing is refused, and an act that can't be written to the audit log does not happen.
File permissions decide who reaches the socket, TLS who reaches the listener; neither grants anything.
"""

from __future__ import annotations

import functools
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from gateway.audit.event import Event
from gateway.audit.events import AdministrativeAct, AuthenticationFailed
from gateway.control.acts import approvals, locks, pages, sessions, tokens, watching
from gateway.control.acts import gateway as whole
from gateway.control.callers import Caller, on_socket, over_tls
from gateway.control.messages import Refusal
from gateway.control.openapi import describe
from gateway.control.pace import REFUSALS, REQUESTS, Pace
from gateway.control.reading import read_body, read_query
from gateway.control.route import Asked, Refused, Route, Stream
from gateway.control.running import Running
from gateway.control.sites import QuietSite, answer
from gateway.errors import LoginFailed, RecordingFailed, StoreFailed

log = structlog.get_logger()

HTTP_ALPN = "http/1.1"
"""Needed on a TLS connection: a client that was led here while it speaks another protocol names another one, or none
(ALPACA)."""


@functools.cache
def _description() -> dict[str, Any]:
    return describe(ROUTES)


ROUTES: tuple[Route, ...] = (
    *whole.ROUTES,
    *sessions.ROUTES,
    *approvals.ROUTES,
    *watching.ROUTES,
    *pages.ROUTES,
    *locks.ROUTES,
    *tokens.ROUTES,
    Route(
        "GET",
        "/v1/openapi.json",
        "description",
        "known",
        "This description.",
        dict,
        lambda _: _description(),
    ),
)
"""All that can be asked for."""


def control_site(gateway: Running, reactor: Any, *, own: int) -> QuietSite:
    """The API, to be served on a unix socket and over mutual TLS; ``own`` is the uid that the gateway runs as."""
    door = _Door(gateway, own)
    app = Klein()

    def serve(route: Route) -> None:
        def handle(request: Any, subject: str = "") -> bytes | Deferred[None]:
            return door.handle(route, request, subject)

        # Klein tells endpoints apart by their functions' names.
        path = route.path.replace("{id}", "<subject>")
        app.route(path, methods=[route.method], endpoint=route.act)(handle)

    for route in ROUTES:
        serve(route)

    @app.handle_errors(HTTPException)
    def unrouted(request: Any, failure: Failure) -> bytes:
        """Also for a path that klein would redirect to another one: a path is what it is."""
        if isinstance(failure.value, MethodNotAllowed):
            allowed = sorted(failure.value.valid_methods or ())
            request.setHeader(b"allow", ", ".join(allowed).encode())
            return _refusal(request, HTTPStatus.METHOD_NOT_ALLOWED, f"only {' and '.join(allowed)} can be asked here")
        return _nothing_here(request)

    return QuietSite(_Readable(app.resource()), reactor)


class _Readable(Resource):
    """Turns away paths that are no text, before klein answers them in words of its own, and those that begin with two
    slashes, which it would read as one."""

    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, routed: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted.web has no types
        self._routed = routed

    def render(self, request: Any) -> Any:
        try:
            path = b"/".join(request.postpath).decode()
        except UnicodeDecodeError:
            return _nothing_here(request)
        if not path or path.startswith("/"):
            return _nothing_here(request)
        return self._routed.render(request)  # type: ignore[no-untyped-call]  # as above


def _nothing_here(request: Any) -> bytes:
    return _refusal(request, HTTPStatus.NOT_FOUND, "there is nothing here", "GET /v1/openapi.json says what there is")


def _refusal(request: Any, status: HTTPStatus, problem: str, mend: str | None = None) -> bytes:
    return answer(request, status, Refusal(problem, mend))


class _Door:
    """Every request comes through `handle`."""

    def __init__(self, gateway: Running, own: int) -> None:
        self._gateway = gateway
        self._own = own
        self._requests = Pace(REQUESTS, gateway.clock)
        self._refusals = Pace(REFUSALS, gateway.clock)

    def handle(self, route: Route, request: Any, subject: str) -> bytes | Deferred[None]:
        try:
            try:
                return self._serve(route, request, subject)
            except Refused as refused:
                return answer(request, refused.status, refused.refusal)
        except (RecordingFailed, StoreFailed) as error:
            return _refusal(request, HTTPStatus.SERVICE_UNAVAILABLE, f"nothing was done: {error.message}", error.hint)
        except Exception as error:  # whatever it was, it is told and logged, not guessed at
            log.error("control request failed", act=route.act, exc_info=error)
            said = "the gateway failed at this request; its log says how"
            return _refusal(request, HTTPStatus.INTERNAL_SERVER_ERROR, said)

    def _serve(self, route: Route, request: Any, subject: str) -> bytes | Deferred[None]:
        caller = self._caller(request.channel.transport)
        self._hear(caller.name)
        self._requests.spend(caller.name)
        try:
            refusal = self._refusal(caller, route)
            if refusal is not None:
                mend = "see identity.socket and roles in ostiary.yaml, and what `ostiary locks list` shows an operator"
                raise Refused(HTTPStatus.FORBIDDEN, refusal, mend, audited=True)
            query, body = read_query(request, route), read_body(request, route)
            again = partial(self._admit, route, request.channel.transport)
            asked = Asked(self._gateway, caller, route, subject, body, query, again)
            given = route.serve(asked)
        except Refused as refused:
            if refused.audited:
                self._refused(caller, route, subject, refused.refusal.problem)
            raise
        if route.streams is None:
            return answer(request, HTTPStatus.OK, given)
        return _stream(request, route.streams, given)

    def _caller(self, transport: Any) -> Caller:
        """Raises Refused when nobody is proven."""
        credentials = transport.peer_credentials
        if credentials is not None:
            return on_socket(credentials[1], self._gateway.config, own=self._own)
        certificate = transport.peer_certificate()
        if certificate is None:
            raise Refused(HTTPStatus.FORBIDDEN, "nobody is proven here: a client certificate is needed")
        if transport.alpn != HTTP_ALPN:
            mend = f"offer {HTTP_ALPN} by ALPN"
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this connection was not opened for HTTP", mend)
        address = transport.getPeer().host
        try:
            principal = self._gateway.identity.by_certificate(certificate, self._gateway.clock())
        except LoginFailed as error:
            self._hear(address)
            self._refusals.spend(address)
            self._say(AuthenticationFailed("", "", address, "certificate", error.reason))
            raise Refused(HTTPStatus.FORBIDDEN, error.message, error.hint) from None
        return over_tls(principal, address, self._gateway.config)

    def _refusal(self, caller: Caller, route: Route) -> str | None:
        """Why the caller may not use the route now, None when it may. A lock is one here, too: what was stolen must
        neither approve nor unlock."""
        lock = self._gateway.approvals.locked(caller.name, "") if caller.known else None
        return caller.refusal(route.right) if lock is None else lock.message

    def _admit(self, route: Route, transport: Any) -> Caller:
        """Whoever is proven on the connection by now, and may use the route. Raises Refused."""
        caller = self._caller(transport)
        refusal = self._refusal(caller, route)
        if refusal is not None:
            raise Refused(HTTPStatus.FORBIDDEN, refusal)
        return caller

    def _hear(self, who: str) -> None:
        """Raises Refused when too much was heard of, or refused to, this one lately."""
        said = "you ask too often" if self._requests.exhausted(who) else None
        if self._refusals.exhausted(who):
            said = "too much was refused to you lately"
        if said is not None:
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, said, "wait a few seconds")

    def _refused(self, caller: Caller, route: Route, subject: str, why: str) -> None:
        self._refusals.spend(caller.name)
        self._say(AdministrativeAct(caller.name, route.act, subject, allowed=False, reason=why, address=caller.address))
        log.warning("control request refused", act=route.act, caller=caller.name, problem=why)

    def _say(self, event: Event) -> None:
        self._gateway.audit.append(event)
        self._gateway.audit.flush()


def _stream(request: Any, media: str, stream: Any) -> Deferred[None]:
    """Fires when the answer is over, whoever ended it."""
    request.setResponseCode(HTTPStatus.OK)
    request.setHeader(b"content-type", media.encode())
    request.setHeader(b"cache-control", b"no-store")
    over: Deferred[None] = request.notifyFinish().addBoth(lambda _: None)
    begun: Stream = stream
    begun.begin(request)
    return over
