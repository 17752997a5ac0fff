"""Webhooks against receivers that a test plays: no network, no waiting."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from control.asked import SUBJECT, asked, settled
from control.made import NOON, FakeGateway
from control.receiving import Connection, Network, Posted
from structlog.testing import capture_logs
from support.pki import Pki
from twisted.internet.defer import Deferred

from gateway.config.schema import Approvals, Webhook
from gateway.config.urls import parse_url
from gateway.control import webhooks as module
from gateway.control.notices import Form
from gateway.control.webhooks import (
    ANSWER,
    AT_ONCE,
    FAREWELL,
    LONGEST_DELAY,
    MAX_ANSWER,
    MAX_WAITING,
    SETTLED_FOR,
    Receiver,
    Webhooks,
    receivers,
)
from gateway.errors import ConfigError, TargetUnavailable
from gateway.secrets import Secret, SecretReference
from gateway.store.requests import Request, Vote

KEY = bytes(range(32))
URL = parse_url("https://chat.example.com:8443/hook?token=hunter2")


class House:
    """Webhooks of a gateway that is not there, and a network for each receiver."""

    def __init__(self, gateway: FakeGateway, *names: str, form: Form = "json") -> None:
        self.gateway = gateway
        self.networks = {name: Network() for name in names or ("oncall",)}
        self.webhooks = Webhooks(
            [self.receiver(name, form) for name in self.networks],
            node="gw1",
            url="https://gw.example.com:8444",
            audit=gateway.audit,
            reactor=gateway.reactor,
            clock=gateway.clock,
            jitter=lambda: 0.99999,
        )

    def receiver(self, name: str, form: Form = "json") -> Receiver:
        return Receiver(name, URL, form, Secret(KEY), self.networks[name])

    @property
    def network(self) -> Network:
        return self.networks["oncall"]

    def tell(self, request: Request) -> None:
        self.webhooks.request_changed(request)

    def accept(self) -> Connection:
        return self.network.accept()

    def wait(self, seconds: float) -> None:
        self.gateway.reactor.pump([0.5] * round(seconds / 0.5))

    def failures(self) -> list[tuple[str, str, int, str]]:
        """Webhook, occasion, attempts and problem of each event."""
        found = [json.loads(line) for line in self.gateway.events()]
        return [
            (event["unmapped"]["webhook"], event["unmapped"]["occasion"], event["unmapped"]["attempts"],
             event["status_detail"])
            for event in found
            if event["unmapped"]["event"] == "notification_failed"
        ]  # fmt: skip

    def counts(self, name: str = "oncall") -> tuple[int, int, int]:
        [state] = [state for state in self.webhooks.status() if state.name == name]
        return state.delivered, state.failed, state.waiting


@pytest.fixture
def build(gateway: FakeGateway) -> Iterator[Callable[..., House]]:
    """Makes houses, and leaves nothing under way."""
    made: list[House] = []

    def house(*names: str, form: Form = "json") -> House:
        made.append(House(gateway, *names, form=form))
        return made[-1]

    yield house
    for each in made:
        each.webhooks.reload([], None)


@pytest.fixture
def house(build: Callable[..., House]) -> House:
    return build()


def verify(posted: Posted, key: bytes = KEY) -> None:
    """As Standard Webhooks 1.0.0 tell a receiver to, in words of its own."""
    signed = posted.headers["webhook-id"] + "." + posted.headers["webhook-timestamp"] + "."
    expected = base64.b64encode(hmac.new(key, signed.encode() + posted.body, hashlib.sha256).digest()).decode()
    versions = [each.split(",", 1) for each in posted.headers["webhook-signature"].split(" ")]
    assert ["v1", expected] in versions
    assert "." not in posted.headers["webhook-id"]


DOCUMENTED = re.search(
    r"^def verify.*?(?=^```)",
    (Path(__file__).parents[2] / "docs" / "approvals.md").read_text(),
    re.MULTILINE | re.DOTALL,
)


def test_what_the_docs_tell_receivers_to_do(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DOCUMENTED
    names: dict[str, Any] = {"base64": base64, "hmac": hmac, "time": time}
    exec(DOCUMENTED[0], names)
    monkeypatch.setattr(time, "time", lambda: NOON + 20)
    house.tell(asked())
    posted = house.accept().posted
    secret = "whsec_" + base64.b64encode(KEY).decode()
    assert names["verify"](secret, posted.headers, posted.body)
    assert not names["verify"](secret, posted.headers, posted.body + b" ")
    assert not names["verify"](secret, posted.headers | {"webhook-id": "another"}, posted.body)
    assert not names["verify"]("whsec_" + base64.b64encode(bytes(32)).decode(), posted.headers, posted.body)
    monkeypatch.setattr(time, "time", lambda: NOON + 301)
    assert not names["verify"](secret, posted.headers, posted.body)


# --- what is posted ---


def test_a_request_is_posted_when_it_is_made(house: House) -> None:
    house.tell(asked())
    # At once: the clock did not move.
    posted = house.accept().posted
    assert posted.path == "/hook?token=hunter2"
    assert posted.headers["host"] == "chat.example.com:8443"
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["webhook-timestamp"] == str(int(NOON))
    assert posted.json["data"]["link"] == "https://gw.example.com:8444/approvals/k7q2-m9xd"
    verify(posted)


def test_a_chat_gets_its_own_form(build: Callable[..., House]) -> None:
    house = build(form="slack")
    house.tell(asked())
    assert house.accept().posted.json["text"].startswith("Approval k7q2-m9xd is asked for")


def test_a_receiver_without_a_key_gets_no_signature(house: House) -> None:
    house.webhooks.reload([replace(house.receiver("oncall"), key=None)], None)
    house.tell(asked())
    assert "webhook-signature" not in house.accept().posted.headers


def test_what_is_delivered_is_counted_and_forgotten(house: House) -> None:
    house.tell(asked())
    connection = house.accept()
    assert house.counts() == (0, 0, 1)
    connection.status(204)
    assert house.counts() == (1, 0, 0)
    assert connection.transport.disconnecting
    assert house.failures() == []


def test_a_vote_is_not_posted_and_the_end_is(house: House) -> None:
    house.tell(asked())
    house.accept().status(200)
    house.tell(replace(asked(), votes=(Vote("olga", True, NOON),)))
    assert house.network.made == 1
    house.tell(settled(asked()))
    assert house.accept().posted.json["type"] == "approval.settled"


def test_grants_are_not_told(house: House) -> None:
    house.webhooks.grant_changed(None)  # type: ignore[arg-type]  # it is not looked at
    assert house.network.made == 0


# --- answers ---


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_delivered(house: House, code: int) -> None:
    house.tell(asked())
    house.accept().status(code)
    assert house.counts() == (1, 0, 0)


@pytest.mark.parametrize("code", [300, 301, 302, 307, 400, 401, 404, 410, 429, 500, 503, 599])
def test_not_delivered(house: House, code: int) -> None:
    house.tell(asked())
    house.accept().status(code)
    assert house.counts() == (0, 0, 1)
    house.wait(1)
    assert house.network.made == 2


def test_a_redirect_is_not_followed(house: House) -> None:
    house.tell(asked(deadline=NOON + 1))
    house.accept().answer(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://evil.example/\r\n\r\n")
    house.wait(5)
    assert house.network.made == 1
    [(_, _, _, problem)] = house.failures()
    assert "307 Temporary Redirect" in problem
    assert "not followed" in problem


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\n", b"HTTP/1.1 200 \r\n"])
def test_a_status_line_is_enough(house: House, answer: bytes) -> None:
    house.tell(asked())
    connection = house.accept()
    for byte in answer:
        assert house.counts() == (0, 0, 1)
        connection.answer(bytes([byte]))
    assert house.counts() == (1, 0, 0)
    connection.answer(b"Content-Length: 99999999\r\n\r\n" + b"x" * 100_000)
    connection.lose()
    assert house.counts() == (1, 0, 0)


def test_interim_responses_are_passed_over(house: House) -> None:
    house.tell(asked())
    connection = house.accept()
    for byte in b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n":
        connection.answer(bytes([byte]))
    assert house.counts() == (1, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x15\x03\x01\x00\x02",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 99999 OK\r\n" + b"x" * MAX_ANSWER,
        b"HTTP/1.1 100 Continue\r\n" + b"X: y\r\n" * MAX_ANSWER,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"<html>",
    ],
)
def test_what_is_no_answer(house: House, answer: bytes) -> None:
    house.tell(asked(deadline=NOON + 1))
    connection = house.accept()
    connection.answer(answer)
    assert connection.transport.disconnected
    house.wait(2)
    assert house.failures() == [("oncall", "requested", 1, "what it answered is no HTTP")]


def test_no_answer(house: House) -> None:
    house.tell(asked(deadline=NOON + 1))
    house.accept().lose()
    house.wait(2)
    assert house.failures() == [("oncall", "requested", 1, "it closed the connection without an answer")]


def test_an_answer_that_comes_too_slowly(house: House) -> None:
    house.tell(asked())
    connection = house.accept()
    for _ in range(int(ANSWER) + 1):
        connection.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
        house.wait(1)
    assert connection.transport.disconnected
    house.wait(1)
    assert house.network.made == 2


def test_a_receiver_that_can_not_be_connected_to(house: House) -> None:
    house.tell(asked(deadline=NOON + 1))
    house.network.refuse(TargetUnavailable("chat.example.com:8443 can't be reached: 192.0.2.1 refuses the connection"))
    house.wait(2)
    [(_, _, _, problem)] = house.failures()
    assert "refuses the connection" in problem
    assert "hunter2" not in problem


# --- again ---


def fail_until(house: House, seconds: float, *, start: float = NOON) -> list[float]:
    """Answers 503 to whatever comes; when each attempt came."""
    times = []
    while house.gateway.clock() < start + seconds:
        while house.network.attempts:
            times.append(house.gateway.clock() - start)
            house.accept().status(503)
        house.gateway.reactor.advance(0.25)
    return times


def test_attempts_come_apart_and_end_with_the_deadline(house: House) -> None:
    house.tell(asked(deadline=NOON + 300))
    times = fail_until(house, 400)
    delays = [after - before for before, after in pairwise(times)]
    assert times[0] == 0
    assert times[-1] < 300
    assert delays[:5] == [1, 2, 4, 8, 16]
    assert set(delays[5:]) == {LONGEST_DELAY}
    assert house.failures() == [("oncall", "requested", len(times), "it answered 503 Service Unavailable")]
    assert house.counts() == (0, 1, 0)


def test_delays_have_jitter(build: Callable[..., House]) -> None:
    house = build()
    house.webhooks._outboxes["oncall"]._jitter = lambda: 0.0
    house.tell(asked())
    assert fail_until(house, 4)[:4] == [0, 0.5, 1.5, 3.5]


def test_each_attempt_has_the_same_id_and_its_own_signature(house: House) -> None:
    house.tell(asked())
    first = house.accept()
    first.status(503)
    house.wait(1)
    second = house.accept()
    assert first.posted.body == second.posted.body
    assert first.posted.headers["webhook-id"] == second.posted.headers["webhook-id"]
    assert first.posted.headers["webhook-timestamp"] != second.posted.headers["webhook-timestamp"]
    verify(first.posted)
    verify(second.posted)
    second.status(200)
    assert house.counts() == (1, 0, 0)


def test_a_question_that_is_settled_is_not_asked_again(house: House) -> None:
    house.tell(asked())
    house.accept().status(503)
    house.tell(settled(asked(), "withdrawn"))
    assert house.failures() == [("oncall", "requested", 1, "it answered 503 Service Unavailable")]
    last = house.accept()
    assert last.posted.json["data"]["state"] == "withdrawn"
    last.status(200)
    house.wait(60)
    assert house.network.made == 2


def test_that_it_is_settled_comes_behind_the_question(house: House) -> None:
    house.tell(asked())
    first = house.accept()
    house.tell(settled(asked()))
    assert house.network.made == 1
    first.status(200)
    assert house.accept().posted.json["type"] == "approval.settled"


def test_how_long_it_is_tried_to_tell_the_end(house: House) -> None:
    house.gateway.reactor.advance(590)
    house.tell(settled(asked(), "expired", after=600))
    times = fail_until(house, 200, start=NOON + 590)
    assert SETTLED_FOR / 2 < times[-1] < SETTLED_FOR


# --- nobody holds up another ---


def test_a_receiver_that_hangs_holds_up_no_other(build: Callable[..., House]) -> None:
    house = build("slow", "oncall")
    for number in range(20):
        house.tell(asked(id=f"AAAAAA{number:02}"))
        house.accept().status(200)
    assert house.counts("oncall") == (20, 0, 0)
    assert house.counts("slow") == (0, 0, 20)
    assert house.networks["slow"].made == AT_ONCE


def test_one_notice_that_is_refused_holds_up_no_other(house: House) -> None:
    house.tell(asked(id="AAAAAAAA"))
    house.accept().status(400)
    house.tell(asked(id="BBBBBBBB"))
    assert house.accept().posted.json["data"]["id"] == "BBBBBBBB"


def test_what_waits_is_bounded(house: House) -> None:
    for number in range(MAX_WAITING + 3):
        house.tell(asked(id=f"AAAAA{number:03}"))
    assert house.counts() == (0, 3, MAX_WAITING)
    assert len(house.failures()) == 3
    assert "100 notices wait" in house.failures()[0][3]


def test_what_got_no_connection_in_time(house: House) -> None:
    for number in range(AT_ONCE):
        house.tell(asked(id=f"AAAAAAA{number}"))
    house.tell(asked(id="BBBBBBBB", deadline=NOON + 5))
    connections = [house.accept() for _ in range(AT_ONCE)]
    house.wait(6)
    connections[0].status(200)
    assert house.failures() == [("oncall", "requested", 0, "all connections to this receiver were taken by others")]


def test_told_twice_it_is_posted_once(house: House) -> None:
    house.tell(asked())
    house.tell(asked())
    assert house.network.made == 1


def test_nothing_is_raised_whatever_happens(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "notice", broken)
    house.tell(asked())
    monkeypatch.undo()

    def no_endpoint() -> Any:
        raise ZeroDivisionError

    house.webhooks.reload([replace(house.receiver("oncall"), endpoint=no_endpoint)], None)
    house.tell(asked(deadline=NOON + 1))
    house.wait(1)
    assert house.counts() == (0, 1, 0)


def test_an_audit_log_that_fails_is_no_reason_to_fail(house: House) -> None:
    house.gateway.audit.failed = "no space left on device"
    house.tell(asked(deadline=NOON + 1))
    house.accept().status(500)
    with capture_logs() as logged:
        house.wait(1)
    assert house.counts() == (0, 1, 0)
    assert [entry["event"] for entry in logged] == ["notice given up", "audit log failed"]


def test_a_fault_of_ours_is_told_like_any_other(house: House) -> None:
    def broken() -> float:
        raise ZeroDivisionError

    house.webhooks._outboxes["oncall"]._jitter = broken
    house.tell(asked())
    house.accept().status(500)
    assert house.failures() == [("oncall", "requested", 1, "the gateway failed at it: ZeroDivisionError")]
    assert house.counts() == (0, 1, 0)


# --- reload and stop ---


def test_a_reload_changes_where_the_next_attempt_goes(house: House) -> None:
    house.tell(asked())
    house.accept().status(503)
    moved = replace(house.receiver("oncall"), url=parse_url("https://other.example.com/new"), key=Secret(bytes(24)))
    house.webhooks.reload([moved], None)
    house.wait(1)
    posted = house.accept().posted
    assert (posted.headers["host"], posted.path) == ("other.example.com", "/new")
    verify(posted, bytes(24))


def test_what_waits_for_a_receiver_that_is_gone_is_given_up(house: House) -> None:
    house.tell(asked())
    connection = house.accept()
    house.networks["new"] = Network()
    house.webhooks.reload([house.receiver("new")], "https://gw2.example.com")
    assert connection.transport.disconnected
    assert house.failures() == [("oncall", "requested", 1, "its receiver was taken out of the configuration")]
    assert [state.name for state in house.webhooks.status()] == ["new"]
    house.tell(asked())
    assert house.networks["new"].accept().posted.json["data"]["link"].startswith("https://gw2.example.com/")


def test_stopping_lets_what_is_under_way_end(house: House) -> None:
    house.tell(settled(asked(), "withdrawn"))
    stopped: list[None] = []
    Deferred.fromCoroutine(house.webhooks.stop()).addCallback(stopped.append)
    assert stopped == []
    house.accept().status(200)
    assert stopped == [None]
    assert house.counts() == (1, 0, 0)


def test_stopping_waits_for_a_moment_only(house: House) -> None:
    house.tell(asked(id="AAAAAAAA"))
    connection = house.accept()
    house.tell(asked(id="BBBBBBBB"))
    house.tell(asked(id="CCCCCCCC"))
    house.accept().status(503)
    stopped = Deferred.fromCoroutine(house.webhooks.stop())
    house.wait(FAREWELL)
    assert stopped.called
    assert connection.transport.disconnected
    assert len(house.failures()) == 3
    assert {problem for _, _, _, problem in house.failures()} == {"the gateway was stopped"}
    assert house.counts() == (0, 3, 0)
    assert not house.gateway.reactor.getDelayedCalls()


def test_what_is_open_after_a_restart_is_asked_again(house: House) -> None:
    house.tell(asked())
    before = house.accept().posted.headers["webhook-id"]
    house.webhooks.reload([], None)
    house.webhooks.reload([house.receiver("oncall")], None)
    voted = replace(asked(), votes=(Vote("olga", True, NOON),))
    house.webhooks.start([voted, settled(asked(id="bbbb-bbbb"))])
    posted = house.accept().posted
    assert (posted.headers["webhook-id"], posted.json["type"]) == (before, "approval.requested")
    assert not house.network.attempts


def test_stopping_with_nothing_under_way(house: House) -> None:
    assert Deferred.fromCoroutine(house.webhooks.stop()).called


# --- from the configuration ---


def reference(path: Path, content: str) -> SecretReference:
    path.write_text(content)
    return SecretReference.parse(f"file:{path}")


def test_receivers_of_a_configuration(tmp_path: Path, pki: Pki) -> None:
    key = reference(tmp_path / "key", "whsec_" + base64.b64encode(KEY).decode())
    approvals = Approvals(
        notify=(
            Webhook(webhook=parse_url("https://h/x"), secret=key, ca=SecretReference.parse(f"file:{pki.ca}")),
            Webhook(webhook=reference(tmp_path / "url", "https://s/secret\n"), name="slack", form="slack"),
        )
    )
    first, second = receivers(approvals, "ostiary.yaml", reactor=None, now=NOON)
    assert (first.name, first.form, first.key) == ("h", "json", Secret(KEY))
    assert (second.name, second.form, second.key, second.url.path) == ("slack", "slack", None, "/secret")
    assert "secret" not in repr(second.key) + str(second.url)


def test_every_problem_of_a_configuration_is_told(tmp_path: Path) -> None:
    approvals = Approvals(
        notify=(
            Webhook(webhook=parse_url("https://h/x"), secret=SecretReference.parse("env:NO_SUCH_KEY")),
            Webhook(webhook=SecretReference.parse("env:NO_SUCH_URL"), name="slack", form="slack"),
            Webhook(webhook=parse_url("https://h/z"), form="slack", ca=SecretReference.parse("file:/nowhere/ca.pem")),
        )
    )
    with pytest.raises(ConfigError) as raised:
        receivers(approvals, "ostiary.yaml", reactor=None, now=NOON)
    assert [problem.path for problem in raised.value.problems][:2] == [
        ("approvals", "notify", 0, "secret"),
        ("approvals", "notify", 1, "webhook"),
    ]
    assert "/nowhere/ca.pem" in str(raised.value)


def test_statements_are_not_in_any_problem(house: House) -> None:
    house.tell(asked(replace(SUBJECT, normalised="select hunter3"), deadline=NOON + 1))
    house.accept().status(500)
    assert b"hunter3" not in b"".join(house.gateway.events())
