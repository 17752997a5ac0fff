"""HTTP over `gateway.net`: what the control socket and the metrics listener have in common, and the latter."""

from __future__ import annotations

from typing import Any

import msgspec
from klein import Klein
from twisted.web.http import Request as HttpRequest
from twisted.web.server import Request, Site

from gateway.control.health import readiness
from gateway.control.metrics import CONTENT_TYPE, exposition, registry
from gateway.control.running import Running

IDLE = 30.0
"""Seconds that a connection may say nothing; Prometheus keeps its connections and asks every 15 to 60."""

MAX_BODY = 16 * 1024
"""Bytes of a request's body; the longest that means anything is a reason for a kill."""

JSON = b"application/json"


class _BoundedRequest(Request):
    """A body is short and says how long it is: nothing is gathered in memory or in temporary files."""

    def gotLength(self, length: int | None) -> None:  # noqa: N802  # Twisted's name
        if length is None or length > MAX_BODY:
            self.channel.loseConnection()  # type: ignore[no-untyped-call]  # twisted.web has no types
            length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]  # as above

    def getRequestHostname(self) -> bytes:  # noqa: N802  # Twisted's name
        """Klein routes by it. One answer for all: a unix socket has no name to fall back on, and a Host header that
        makes no sense must not keep a request from being refused by us."""
        return b"ostiary"


class QuietSite(Site):
    """No access log: acts are in the audit log, and scrapes tell nothing."""

    requestFactory = _BoundedRequest  # noqa: N815  # Twisted's name

    def __init__(self, app: Klein, reactor: Any) -> None:
        super().__init__(app.resource(), timeout=IDLE, reactor=reactor)  # type: ignore[no-untyped-call]  # as above
        self.displayTracebacks = False

    def log(self, request: HttpRequest) -> None:
        """See above."""


def answer(request: Any, code: int, body: object) -> bytes:
    """``body`` (a message) as JSON."""
    request.setResponseCode(code)
    request.setHeader(b"content-type", JSON)
    request.setHeader(b"cache-control", b"no-store")
    return msgspec.json.encode(body) + b"\n"


def metrics_site(gateway: Running, reactor: Any) -> QuietSite:
    """``/metrics``, ``/healthz`` and ``/readyz``, for anybody who reaches them; nothing there names a caller."""
    app = Klein()
    made = registry(gateway)

    @app.route("/metrics", methods=["GET"])
    def metrics(request: Any) -> bytes:
        request.setHeader(b"content-type", CONTENT_TYPE)
        return exposition(made)

    @app.route("/healthz", methods=["GET"])
    def healthz(request: Any) -> bytes:
        """Alive: the reactor turns, else nobody would answer."""
        return answer(request, 200, {"alive": True})

    @app.route("/readyz", methods=["GET"])
    def readyz(request: Any) -> bytes:
        found = readiness(gateway)
        return answer(request, 200 if found.ready else 503, found)

    return QuietSite(app, reactor)
