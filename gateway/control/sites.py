"""HTTP over `gateway.net`: what the control API and the metrics listener have in common, and the latter.

twisted.web parses, strictly: a request with two lengths, with a length and a transfer encoding, or with a header that
is none is refused (RFC 9112 section 6.3), and its connection closed. Here is what makes that bounded.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from klein import Klein
from twisted.protocols.basic import LineReceiver
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from gateway.control.health import readiness
from gateway.control.messages import Refusal
from gateway.control.metrics import CONTENT_TYPE, exposition, registry
from gateway.control.running import Running

IDLE = 30.0
"""Seconds from a connection's beginning, or the end of an answer, until the next request is there as a whole.
Prometheus keeps its connections and asks every 15 to 60."""

MAX_BODY = 16 * 1024
"""Bytes of a request's body; the longest that means anything are 100 tokens and a reason."""

JSON = b"application/json"


class _BoundedRequest(Request):
    """A body is short and says how long it is: nothing is gathered in memory or in temporary files."""

    channel: _BoundedChannel

    def gotLength(self, length: int | None) -> None:  # noqa: N802  # Twisted's name
        if length is None:
            self.channel.refuse(HTTPStatus.LENGTH_REQUIRED, "the body does not say how long it is")
        elif length > MAX_BODY:
            self.channel.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {MAX_BODY} bytes")
        refused = length is None or length > MAX_BODY
        super().gotLength(0 if refused else length)  # type: ignore[no-untyped-call]  # twisted.web has no types

    def getRequestHostname(self) -> bytes:  # noqa: N802  # Twisted's name
        """Klein routes by it. One answer for all: a unix socket has no name to fall back on, and a Host header that
        makes no sense must not keep a request from being refused by us."""
        return b"ostiary"


class _BoundedChannel(HTTPChannel):
    """Twisted's, without what it answers in its own words, and without its patience."""

    _refused = False

    def dataReceived(self, data: bytes) -> None:
        """As Twisted's, but for the timer: there each byte starts it again, so that a request that trickles in holds
        its connection for hours (slow loris)."""
        if self._refused:
            return
        LineReceiver.dataReceived(self, data)  # type: ignore[no-untyped-call]  # twisted.web has no types

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        """RFC 9112 section 3.2: exactly one Host in HTTP/1.1. Nothing here goes by what it says."""
        hosts = self.requests[-1].requestHeaders.getRawHeaders(b"host", [])
        if len(hosts) > 1 or (not hosts and self._version == b"HTTP/1.1"):
            self.refuse(HTTPStatus.BAD_REQUEST, "one Host header is needed")
            return
        super().allHeadersReceived()  # type: ignore[no-untyped-call]  # as above

    def allContentReceived(self) -> None:  # noqa: N802  # Twisted's name
        """Twisted goes on to here with a request whose head was refused, when it has no body."""
        if not self._refused:
            super().allContentReceived()  # type: ignore[no-untyped-call]  # as above

    def refuse(self, status: HTTPStatus, problem: str) -> None:
        """Answer before there is a request that could be answered, and hear nothing more."""
        body = msgspec.json.encode(Refusal(problem)) + b"\n"
        head = f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._refused = True
        self.write(head.encode() + b"Connection: close\r\n\r\n" + body)  # type: ignore[no-untyped-call]  # as above
        self.loseConnection()  # type: ignore[no-untyped-call]  # as above

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802  # Twisted's name
        self.refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP request that could be read in one way only")


class QuietSite(Site):
    """No access log: acts are in the audit log, and scrapes tell nothing."""

    requestFactory = _BoundedRequest  # noqa: N815  # Twisted's name
    protocol = _BoundedChannel  # type: ignore[assignment]  # never HTTP/2, which Twisted's default would choose

    def __init__(self, resource: IResource, reactor: Any) -> None:
        super().__init__(resource, timeout=IDLE, reactor=reactor)  # type: ignore[no-untyped-call]  # as above
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

    return QuietSite(app.resource(), reactor)
