from __future__ import annotations

from typing import Any

import pytest
from control.made import FakeGateway
from control.talk import FakeTransport, ask, clock, parsed, raw
from twisted.internet.task import Clock

from gateway.control.sites import IDLE, MAX_BODY, QuietSite, metrics_site


@pytest.fixture
def site(gateway: FakeGateway) -> QuietSite:
    return metrics_site(gateway, clock())


def test_metrics(site: QuietSite) -> None:
    answer = ask(site, "GET", "/metrics")
    assert answer.code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"ostiary_sessions_live 0.0" in answer.body


def test_alive_whatever_else(site: QuietSite, gateway: FakeGateway) -> None:
    gateway.stopping = True
    assert ask(site, "GET", "/healthz").code == 200


def test_ready_or_why_not(site: QuietSite, gateway: FakeGateway) -> None:
    assert ask(site, "GET", "/readyz").code == 200
    gateway.stopping = True
    answer = ask(site, "GET", "/readyz")
    assert answer.code == 503
    assert answer.json["ready"] is False
    assert {"name": "accepting", "ok": False, "problem": "the gateway is being stopped"} in answer.json["checks"]


@pytest.mark.parametrize("path", ["/", "/v1/status", "/metrics/x", "/%2e%2e/etc/passwd"])
def test_nothing_else(site: QuietSite, path: str) -> None:
    assert ask(site, "GET", path).code == 404


def test_byte_by_byte(site: QuietSite) -> None:
    assert ask(site, "GET", "/healthz", chunk=1).code == 200


def test_only_reading(site: QuietSite) -> None:
    assert ask(site, "POST", "/metrics").code == 405


def test_bodies_are_short_and_say_how_long_they_are(site: QuietSite) -> None:
    large = raw(site, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert large.disconnecting
    chunked = raw(site, b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert chunked.disconnecting


def test_refusals_before_a_request_are_answered_in_json(site: QuietSite) -> None:
    for head, code in (
        (b"Content-Length: %d" % (MAX_BODY + 1), 413),
        (b"Transfer-Encoding: chunked", 411),
        (b"no header", 400),
    ):
        transport = raw(site, b"POST /metrics HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        answer = parsed(transport.sent)
        assert (answer.code, transport.disconnecting) == (code, True)
        assert answer.json["problem"]
        assert int(answer.headers["content-length"]) == len(answer.body)


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        b"Content-Length: 0\r\nContent-Length: 5",
        b"Content-Length: 0\r\nContent-Length: 0",
        b"Content-Length: 0, 5",
        b"Content-Length: +0",
        b"Content-Length: 0x0",
        b"Content-Length: -1",
        b"Content-Length : 0",
        b"Content_Length: 5\r\nContent-Length: 0\nX: y",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"X: a\x00b",
        b"X: a\rTransfer-Encoding: chunked",
        b"Host: y",
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_read_in_none(site: QuietSite, lengths: bytes) -> None:
    """RFC 9112 sections 6.3 and 11.2. A second request behind it is never answered."""
    transport = raw(site, b"POST /healthz HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\n\r\n" + SMUGGLED)
    assert transport.disconnecting
    assert transport.sent.count(b"HTTP/1.1 ") == 1
    assert transport.sent.startswith((b"HTTP/1.1 400", b"HTTP/1.1 411"))


def test_http_1_1_names_its_host_once(site: QuietSite) -> None:
    assert raw(site, b"GET /healthz HTTP/1.1\r\n\r\n").sent.startswith(b"HTTP/1.1 400")
    assert raw(site, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").sent.startswith(b"HTTP/1.1 200")
    assert raw(site, b"GET /healthz HTTP/1.0\r\n\r\n").sent.startswith(b"HTTP/1.0 200")


def connected(gateway: FakeGateway) -> tuple[Clock, Any, FakeTransport]:
    reactor = clock()
    made = metrics_site(gateway, reactor)
    made.startFactory()
    protocol: Any = made.buildProtocol(None)  # type: ignore[no-untyped-call]  # Twisted has no types here
    transport = FakeTransport(None)
    protocol.makeConnection(transport)
    return reactor, protocol, transport


def test_a_request_that_trickles_in_is_not_waited_for(gateway: FakeGateway) -> None:
    """Slow loris."""
    reactor, protocol, transport = connected(gateway)
    for _ in range(int(IDLE) + 1):
        assert not transport.disconnecting or reactor.seconds() >= IDLE
        protocol.dataReceived(b"G")
        reactor.advance(1)
    assert transport.disconnecting


def test_the_time_begins_anew_with_each_answer(gateway: FakeGateway) -> None:
    reactor, protocol, transport = connected(gateway)
    for _ in range(5):
        reactor.advance(IDLE - 1)
        protocol.dataReceived(SMUGGLED)
        assert not transport.disconnecting
    assert transport.sent.count(b"HTTP/1.1 200") == 5
    reactor.advance(IDLE)
    assert transport.disconnecting


def test_what_is_no_http_is_refused(site: QuietSite) -> None:
    transport = raw(site, b"\x16\x03\x01\x00\xa5\r\n\r\n")
    assert transport.disconnecting
