from __future__ import annotations

import json

import msgspec
from cli.answering import answering, http
from cli.made import Site

from gateway.control.messages import Killed, Session, SessionAnswer, Sessions

NOON = 1_795_003_200.0
SESSION = Session(
    id="01a20d9c-0ca6-728d-a4fb-38a6861e4da6",
    principal="alice\x1b[2J",
    kind="human",
    groups=("analysts", "staff"),
    factors=("certificate",),
    address="192.0.2.7",
    target="orders",
    protocol="postgres",
    database="orders",
    role="orders_ro",
    started=NOON,
    last_active=NOON + 60,
    expires=None,
    operations=12,
    denied=3,
    rows=400,
)


def test_list(site: Site) -> None:
    answer = msgspec.json.encode(Sessions(NOON + 3600, (SESSION,)))
    with answering(site.directory / "control.sock", http(200, answer)):
        result = site.run("sessions", "list")
    assert result.exit_code == 0
    [_, line] = result.output.splitlines()
    assert line.split() == [
        SESSION.id, "alice\\x1b[2J", "orders", "orders", "orders_ro", "192.0.2.7", "1h", "59m", "12", "3", "400"
    ]  # fmt: skip


def test_list_as_json(site: Site) -> None:
    answer = msgspec.json.encode(Sessions(NOON, (SESSION,)))
    with answering(site.directory / "control.sock", http(200, answer)):
        found = json.loads(site.run("sessions", "list", "--json").output)
    assert [msgspec.convert(one, Session) for one in found] == [SESSION]


def test_show(site: Site) -> None:
    answer = msgspec.json.encode(SessionAnswer(NOON + 90, SESSION))
    with answering(site.directory / "control.sock", http(200, answer)) as asked:
        result = site.run("sessions", "show", "a/../b c")
    assert asked[0].startswith(b"GET /v1/sessions/a%2F..%2Fb%20c HTTP/1.1\r\n")
    for said in ("(human, by certificate)", "analysts, staff", "1m 30s ago", "12, 3 of them denied"):
        assert said in result.output


def test_kill(site: Site) -> None:
    with answering(site.directory / "control.sock", http(200, msgspec.json.encode(Killed(SESSION.id)))) as asked:
        result = site.run("sessions", "kill", SESSION.id, "--reason", "over")
    assert result.output == f"{SESSION.id} was told to end\n"
    assert asked[0].startswith(f"POST /v1/sessions/{SESSION.id}/kill ".encode())
