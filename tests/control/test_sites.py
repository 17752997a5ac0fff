from __future__ import annotations

import pytest
from control.made import FakeGateway
from control.talk import ask, clock, raw

from gateway.control.sites import MAX_BODY, QuietSite, metrics_site


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


def test_what_is_no_http_is_refused(site: QuietSite) -> None:
    transport = raw(site, b"\x16\x03\x01\x00\xa5\r\n\r\n")
    assert transport.disconnecting
