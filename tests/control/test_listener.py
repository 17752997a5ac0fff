from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from control.made import FakeGateway
from control.served import BOUND, Served, ask
from structlog.testing import capture_logs
from support.pki import Issued, Pki
from support.process import wait_until

from gateway.control import listener as listening
from gateway.control.listener import HANDSHAKE, MutualTls

pytestmark = pytest.mark.usefixtures("clock_of_the_wall")


@pytest.fixture
def clock_of_the_wall(gateway: FakeGateway) -> None:
    """Certificates are valid now, and for the gateway, too."""
    gateway.reactor.rightNow = time.time()


@pytest.fixture
def served(gateway: FakeGateway, pki: Pki) -> Iterator[Served]:
    made = Served(gateway, pki).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def olga(pki: Pki) -> Issued:
    """An operator."""
    return pki.client("olga", file="control-olga")


def test_a_certificate_says_who_asks(served: Served, olga: Issued, pki: Pki) -> None:
    connection = served.connection(olga)
    assert ask(connection, "GET", "/v1/status").json["node"] == "gw1"
    assert ask(connection, "GET", "/v1/sessions").code == 200
    connection.close()
    by_group = served.connection(pki.client("somebody", groups=["ops"], file="control-ops"))
    assert ask(by_group, "GET", "/v1/status").code == 200
    by_group.close()
    other = served.connection(pki.client("mallory", groups=["operator"], file="control-mallory"))
    answer = ask(other, "GET", "/v1/status", **{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-User": "olga"})
    assert answer.code == 403
    assert b'"ip":"127.0.0.1"' in served.gateway.events()[-1]
    assert b"mallory has none of the roles" in served.gateway.events()[-1]
    other.close()


def refused(served: Served, caller: Issued | None) -> str:
    """Why the handshake failed, as the log has it. (asyncio closes before OpenSSL's alert goes out.)"""
    before = served.listener.refused
    connection = served.connection(caller)
    with capture_logs() as logged:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(connection, "GET", "/v1/status")
        connection.close()
        wait_until(lambda: served.listener.refused == before + 1, what="it is counted")
        wait_until(lambda: not served.listener._connections, what="it is gone")
    [event] = logged
    assert (event["event"], event["address"]) == ("control connection refused", "127.0.0.1")
    return str(event["problem"])


def test_without_a_certificate_there_is_no_connection(served: Served, pki: Pki, stranger_pki: Pki) -> None:
    assert "did not return a certificate" in refused(served, None)
    assert "no CA that is trusted here" in refused(served, stranger_pki.client("olga", file="control-stranger"))
    assert "expired" in refused(served, pki.client("olga", expired=True, file="control-expired"))
    # OpenSSL takes a server's certificate for no client's, too
    assert "unsuitable certificate purpose" in refused(served, pki.server(file="control-server"))
    assert "log_segment_started" in str(served.gateway.events())
    assert len(served.gateway.events()) == 1


def test_a_name_that_is_none_is_refused_and_said(served: Served, pki: Pki) -> None:
    connection = served.connection(pki.client("olga,root", file="control-comma"))
    answer = ask(connection, "GET", "/v1/status")
    assert answer.code == 403
    assert "client certificate refused" in answer.json["problem"]
    assert b'"event":"authentication_failed"' in served.gateway.events()[-1]
    connection.close()


def test_another_protocols_client_is_turned_away(served: Served, olga: Issued) -> None:
    for alpn in (None, "postgresql", "h2"):
        connection = served.connection(olga, alpn=alpn)
        assert ask(connection, "GET", "/v1/status").code == 421
        connection.close()


def test_plain_http_is_no_tls(served: Served) -> None:
    with served.plain() as plain:
        plain.sendall(b"GET /v1/status HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert b"HTTP" not in plain.recv(4096)


def test_plain_text_before_tls_is_not_heard(served: Served, olga: Issued) -> None:
    with served.plain() as plain:
        plain.sendall(b"POST /v1/reload HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            served.context(olga).wrap_socket(plain, server_hostname="localhost")
    assert not served.gateway.reloaded_by


def test_a_stalled_handshake_ends(gateway: FakeGateway, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HANDSHAKE", 0.2)
    served = Served(gateway, pki).start()
    try:
        with served.plain() as silent, served.plain() as talking:
            talking.sendall(b"\x16\x03\x01")
            for each in (silent, talking):
                assert ended(each)
        wait_until(lambda: served.listener.refused == 2, what="both are counted")
    finally:
        served.stop()


def ended(sock: socket.socket, *, within: float = BOUND) -> bool:
    sock.settimeout(within)
    try:
        return sock.recv(4096) == b""
    except ConnectionError:
        return True


def test_one_address_does_not_take_all_the_room(served: Served, olga: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "UNPROVEN_OF_ADDRESS", 3)
    held = [served.plain() for _ in range(3)]
    wait_until(lambda: served.listener._unproven.total() == 3, what="all are there")
    with served.plain() as fourth:
        assert ended(fourth, within=HANDSHAKE / 3)
    for each in held:
        each.close()
    wait_until(lambda: not served.listener._unproven, what="room again")
    connection = served.connection(olga)
    assert ask(connection, "GET", "/v1/status").code == 200
    connection.close()


def test_all_addresses_do_not_either(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "UNPROVEN", 1)
    with served.plain():
        wait_until(lambda: served.listener._unproven.total() == 1, what="it is there")
        with served.plain() as second:
            assert ended(second, within=HANDSHAKE / 3)


@pytest.mark.parametrize("limit", ["PROVEN", "PROVEN_OF_CERTIFICATE"])
def test_one_certificate_does_not_take_all_the_room(
    served: Served, olga: Issued, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(listening, limit, 1)
    first, second = served.connection(olga), served.connection(olga)
    assert ask(first, "GET", "/v1/status").code == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(second, "GET", "/v1/status")
    first.close()
    wait_until(lambda: not served.listener._proven, what="room again")
    assert ask(second, "GET", "/v1/status").code == 200
    second.close()


# --- reload ---


def gone(connection: HTTPConnection) -> bool:
    assert connection.sock is not None
    return ended(connection.sock)


def test_a_revoked_certificate_is_shut_out_by_a_reload(gateway: FakeGateway, pki: Pki, olga: Issued) -> None:
    stolen = pki.client("olga", file="control-stolen")
    served = Served(gateway, pki, crl=pki.revoke([], file="control.crl")).start()
    try:
        mine, theirs = served.connection(olga), served.connection(stolen)
        for each in (mine, theirs):
            assert ask(each, "GET", "/v1/status").code == 200
        served.call(served.listener.renew, served.tls(pki.revoke([stolen], file="control.crl")))
        for each in (mine, theirs):
            assert gone(each)
            each.close()
        assert ask(mine, "GET", "/v1/status").code == 200
        mine.close()
        assert "revoked" in refused(served, stolen)
    finally:
        served.stop()


def test_a_reload_that_changes_no_trust_ends_no_connection(served: Served, olga: Issued) -> None:
    connection = served.connection(olga)
    assert ask(connection, "GET", "/v1/status").code == 200
    before = connection.sock
    served.call(served.listener.renew, served.tls())
    assert ask(connection, "GET", "/v1/status").code == 200
    assert connection.sock is before
    connection.close()


def test_who_asks_for_a_reload_is_answered_before_the_connection_ends(
    served: Served, olga: Issued, stranger_pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = served.tls(None, served.pki, stranger_pki)

    def reload(by: str) -> tuple[str, ...]:
        served.listener.renew(renewed)
        return ()

    monkeypatch.setattr(served.gateway, "reload", reload)
    connection = served.connection(olga)
    assert ask(connection, "POST", "/v1/reload").code == 200
    assert gone(connection)
    connection.close()


def test_a_certificate_that_ends_ends_what_it_allows(served: Served, olga: Issued) -> None:
    connection = served.connection(olga)
    assert ask(connection, "GET", "/v1/status").code == 200
    served.gateway.reactor.rightNow = time.time() + 90 * 86400
    answer = ask(connection, "GET", "/v1/status")
    assert (answer.code, "expired" in answer.json["problem"]) == (403, True)
    connection.close()


def test_it_is_one_listener_for_twisted(served: Served) -> None:
    assert isinstance(served.listener, MutualTls)
    assert served.listener.numPorts == 1
    assert served.listener.site.numPorts == 2
