from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from control.made import ANYBODY, AUDITOR, GROUPED, NOBODY, OPERATOR, OWN, FakeGateway, names
from control.talk import Answer, FakeTransport, ask, clock, raw
from cryptography.hazmat.primitives.serialization import Encoding
from support.pki import Pki
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from gateway.control import api
from gateway.control.api import control_site
from gateway.control.pace import REFUSALS, REQUESTS
from gateway.control.route import Asked, Refused, Route
from gateway.control.sites import QuietSite
from gateway.store.requests import Lock

PATHS = [
    ("GET", "/v1/status"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/abc"),
    ("POST", "/v1/sessions/abc/kill"),
    ("POST", "/v1/reload"),
    ("POST", "/v1/tokens/resolve"),
    ("GET", "/v1/sessions/abc/watch"),
]
ACTS = PATHS[3:5]


def kill(site: QuietSite, session: str, body: object = None, uid: int = OPERATOR) -> Answer:
    data = b"" if body is None else json.dumps(body).encode()
    return ask(site, "POST", f"/v1/sessions/{session}/kill", uid=uid, body=data)


@pytest.mark.parametrize("uid", [OPERATOR, AUDITOR])
def test_operator_and_auditor_may_look(site: QuietSite, gateway: FakeGateway, uid: int) -> None:
    session, _ = gateway.session()
    assert ask(site, "GET", "/v1/status", uid=uid).json["sessions"] == 1
    assert ask(site, "GET", "/v1/sessions", uid=uid).json["sessions"][0]["id"] == session.id
    assert ask(site, "GET", f"/v1/sessions/{session.id}", uid=uid).json["session"]["principal"] == "alice"
    assert names(gateway) == ["log_segment_started"]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("uid", [ANYBODY, NOBODY])
def test_nobody_else_may_anything_and_it_is_said(
    site: QuietSite, gateway: FakeGateway, uid: int, method: str, path: str
) -> None:
    answer = ask(site, method, path, uid=uid)
    assert answer.code == 403
    assert "identity.socket" in answer.json["mend"]
    event = json.loads(gateway.events()[-1])
    assert event["unmapped"]["event"] == "administrative_act"
    assert event["status_id"] == 2
    assert event["actor"]["user"]["name"] == ("ben" if uid == ANYBODY else "uid 0")
    assert not gateway.reloaded_by


@pytest.mark.parametrize(("method", "path"), ACTS)
def test_an_auditor_may_not_act(site: QuietSite, gateway: FakeGateway, method: str, path: str) -> None:
    assert ask(site, method, path, uid=AUDITOR).code == 403
    assert names(gateway)[-1] == "administrative_act"


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_without_a_uid_there_is_no_answer(site: QuietSite, method: str, path: str) -> None:
    assert ask(site, method, path, uid=None).code == 403


@pytest.mark.parametrize("host", [b"", b"Host: \xff[\r\n", b"Host: a b:c\r\n"])
def test_no_host_header_is_needed(site: QuietSite, gateway: FakeGateway, host: bytes) -> None:
    answer = raw(site, b"POST /v1/reload HTTP/1.0\r\n" + host + b"Content-Length: 0\r\n\r\n", uid=NOBODY)
    assert answer.sent.startswith(b"HTTP/1.0 403 ")
    assert names(gateway)[-1] == "administrative_act"


def test_what_is_not_audited_is_not_done(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    gateway.audit.failed = "the audit log can't be written: No space left on device"
    answer = kill(site, session.id)
    assert answer.code == 503
    assert "nothing was done" in answer.json["problem"]
    assert not told


def test_a_refusal_that_can_not_be_audited_is_a_refusal(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    gateway.audit.failed = "broken"
    assert kill(site, session.id, uid=NOBODY).code == 503
    assert not told


def test_a_mistake_of_ours_is_told_without_its_text(
    site: QuietSite, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_by: str) -> tuple[str, ...]:
        raise ValueError("secret")

    monkeypatch.setattr(gateway, "reload", fail)
    answer = ask(site, "POST", "/v1/reload", uid=OPERATOR)
    assert answer.code == 500
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/status"), ("GET", "/v1/reload"), ("DELETE", "/v1/sessions")]
)
def test_other_methods(site: QuietSite, gateway: FakeGateway, method: str, path: str) -> None:
    assert ask(site, method, path, uid=OPERATOR).code == 405
    assert not gateway.reloaded_by


def test_roles_are_those_in_force(site: QuietSite, gateway: FakeGateway) -> None:
    assert ask(site, "GET", "/v1/status", uid=OPERATOR).code == 200
    gateway.config = msgspec.structs.replace(gateway.config, roles={"operator": ()})
    assert ask(site, "GET", "/v1/status", uid=OPERATOR).code == 403


# --- who asks over TLS ---


@pytest.fixture(scope="module")
def certificates(pki: Pki) -> dict[str, bytes]:
    """DER, by whom they name."""

    def der(name: str, *groups: str) -> bytes:
        return pki.client(name, groups=groups, file=f"api-{name}").load().public_bytes(Encoding.DER)

    return {"olga": der("olga"), "aude": der("aude"), "gina": der("gina", "ops"), "ben": der("ben", "operator")}


def test_a_certificate_is_a_principal_with_its_roles(
    site: QuietSite, gateway: FakeGateway, certificates: dict[str, bytes]
) -> None:
    gateway.reactor.rightNow = time.time()
    codes = {name: ask(site, "GET", "/v1/status", uid=der).code for name, der in certificates.items()}
    assert codes == {"olga": 200, "aude": 200, "gina": 200, "ben": 403}
    event = json.loads(gateway.events()[-1])
    assert (event["actor"]["user"]["name"], event["src_endpoint"]) == ("ben", {"ip": "192.0.2.7"})


def test_what_an_act_over_tls_says_of_itself(
    site: QuietSite, gateway: FakeGateway, certificates: dict[str, bytes]
) -> None:
    gateway.reactor.rightNow = time.time()
    session, _ = gateway.session()
    forged = "Content-Type: application/json\r\nX-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n"
    path = f"/v1/sessions/{session.id}/kill"
    assert ask(site, "POST", path, uid=certificates["olga"], headers=forged).code == 200
    assert json.loads(gateway.events()[-1])["src_endpoint"] == {"ip": "192.0.2.7"}
    assert b"203.0.113.9" not in b"".join(gateway.events())


def test_a_certificate_that_names_nobody(site: QuietSite, gateway: FakeGateway, pki: Pki) -> None:
    gateway.reactor.rightNow = time.time()
    server = pki.server(file="api-server").load().public_bytes(Encoding.DER)
    answer = ask(site, "GET", "/v1/status", uid=server)
    assert (answer.code, "clientAuth" in answer.json["problem"]) == (403, True)
    event = json.loads(gateway.events()[-1])
    assert event["unmapped"]["event"] == "authentication_failed"
    assert (event["src_endpoint"], event["status_id"]) == ({"ip": "192.0.2.7"}, 2)


def test_another_protocols_connection(site: QuietSite, gateway: FakeGateway, certificates: dict[str, bytes]) -> None:
    gateway.reactor.rightNow = time.time()
    request = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
    for alpn in (None, "postgresql"):
        assert raw(site, request, uid=certificates["olga"], alpn=alpn).sent.startswith(b"HTTP/1.1 421 ")


def test_too_many_refusals_are_heard_no_more(site: QuietSite, gateway: FakeGateway) -> None:
    """Each is an event: they must not fill the disk. No header makes another caller of one."""
    for number in range(REFUSALS.burst):
        assert ask(site, "GET", "/v1/status", uid=ANYBODY, headers=f"X-Forwarded-For: {number}\r\n").code == 403
    events = len(gateway.events())
    answer = ask(site, "GET", "/v1/status", uid=ANYBODY, headers="X-Forwarded-For: 203.0.113.9\r\n")
    assert (answer.code, len(gateway.events())) == (429, events)
    assert ask(site, "GET", "/v1/status", uid=OPERATOR).code == 200
    gateway.reactor.advance(REFUSALS.every)
    assert ask(site, "GET", "/v1/status", uid=ANYBODY).code == 403


def test_who_asks_too_often_is_slowed_down(site: QuietSite, gateway: FakeGateway) -> None:
    for number in range(REQUESTS.burst):
        assert ask(site, "GET", "/v1/locks", uid=OPERATOR, headers=f"X-Forwarded-For: {number}\r\n").code == 200
    assert ask(site, "GET", "/v1/locks", uid=OPERATOR).code == 429
    assert ask(site, "GET", "/v1/locks", uid=AUDITOR).code == 200
    gateway.reactor.advance(REQUESTS.every)
    assert ask(site, "GET", "/v1/locks", uid=OPERATOR).code == 200


def test_who_is_locked_out_is_locked_out_here_too(
    site: QuietSite, gateway: FakeGateway, certificates: dict[str, bytes]
) -> None:
    """A stolen laptop's certificate must not unlock itself."""
    gateway.reactor.rightNow = time.time()
    for target, code in (("orders", 200), (None, 403)):
        gateway.approvals.lock(Lock("", "olga", target, 0, time.time() + 60, "gina", "stolen laptop"))
        for uid in (OPERATOR, certificates["olga"]):
            assert ask(site, "GET", "/v1/status", uid=uid).code == code
        assert ask(site, "GET", "/v1/status", uid=GROUPED).code == 200
    assert b"you are locked out: stolen laptop" in gateway.events()[-1]
    gateway.reactor.advance(61)
    assert ask(site, "GET", "/v1/status", uid=OPERATOR).code == 200


# --- what is no line of the table ---


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/status/",
        "//v1/status",
        "/v1//status",
        "/V1/status",
        "/v1/sessions/",
        "/v1/sessions//kill",
        "/v1/sessions/a/b/kill",
        "/v1/status%2f",
        "/v1/./status",
        "/v1/x/../status",
        "/%ff",
        "/v1/sessions/%ff",
        "/v1/%00",
        "http://other.example/v1/status",
        "/v1/status;x",
    ],
)
def test_a_path_is_what_it_is(site: QuietSite, path: str) -> None:
    answer = ask(site, "GET", path, uid=OPERATOR)
    assert answer.code == 404
    assert answer.json["problem"]
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "POST", "X"])
def test_which_methods_there_are_is_told(site: QuietSite, method: str) -> None:
    answer = ask(site, method, "/v1/status", uid=OPERATOR)
    assert (answer.code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json["problem"]


def test_head(site: QuietSite, gateway: FakeGateway) -> None:
    assert ask(site, "HEAD", "/v1/status", uid=OPERATOR).code == 200
    assert ask(site, "HEAD", "/v1/status", uid=NOBODY).code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "[::1]", "a b"])
def test_the_host_header_decides_nothing(site: QuietSite, gateway: FakeGateway, host: str) -> None:
    request = f"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    answer = raw(site, request, uid=OPERATOR)
    assert answer.sent.startswith(b"HTTP/1.1 200 ")
    assert host.encode() not in answer.sent


# --- answers that go on ---


class Counting:
    """Lines, for as long as whoever reads may."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.left: list[object] = []

    def begin(self, request: Any) -> None:
        self.request = request
        request.notifyFinish().addBoth(self.left.append)
        self.line()

    def line(self) -> None:
        refusal = None
        try:
            assert self.asked.again().caller == self.asked.caller
        except Refused as refused:
            refusal = refused.refusal.problem
        self.request.write(b'{"refusal":%b}\n' % json.dumps(refusal).encode())
        if refusal is not None:
            self.request.finish()


def test_a_streaming_route(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[Counting] = []

    def serve(asked: Asked) -> Counting:
        streams.append(Counting(asked))
        return streams[-1]

    route = Route("GET", "/v1/count/{id}", "count", "watch", "", dict, serve, streams="application/x-ndjson")
    monkeypatch.setattr(api, "ROUTES", (*api.ROUTES, route))
    site = control_site(gateway, clock(), own=OWN)
    request = b"GET /v1/count/x HTTP/1.1\r\nHost: x\r\n\r\n"
    assert raw(site, request, uid=OPERATOR).sent.startswith(b"HTTP/1.1 403 ")
    assert not streams
    transport = raw(site, request, uid=AUDITOR)
    assert b"\r\nContent-Type: application/x-ndjson\r\n" in transport.sent
    assert b'{"refusal":null}\n' in transport.sent
    [stream] = streams
    assert stream.asked.subject == "x"
    assert not stream.left
    gateway.config = msgspec.structs.replace(gateway.config, roles={"auditor": ()})
    stream.line()
    assert b"aude has none of the roles" in transport.sent
    assert len(stream.left) == 1


def test_a_stream_learns_that_its_reader_left(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[Counting] = []

    def serve(asked: Asked) -> Counting:
        streams.append(Counting(asked))
        return streams[-1]

    route = Route("GET", "/v1/count", "count", "watch", "", dict, serve, streams="application/x-ndjson")
    monkeypatch.setattr(api, "ROUTES", (route,))
    site = control_site(gateway, clock(), own=OWN)
    site.startFactory()
    protocol: Any = site.buildProtocol(None)  # type: ignore[no-untyped-call]  # Twisted has no types here
    protocol.makeConnection(FakeTransport(AUDITOR))
    protocol.dataReceived(b"GET /v1/count HTTP/1.1\r\nHost: x\r\n\r\n")
    protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]  # as above
    assert isinstance(streams[0].left[0], Failure)
    site.stopFactory()
