"""Answers that go on: what the command makes of their lines, and of their end."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cli.answering import answering, http
from cli.made import Site
from cli.talk import Command
from cli.test_cmd_sessions import NOON, SESSION
from click.testing import Result
from control.asked import SUBJECT, TERMS
from control.made import FakeGateway

import gateway.cli.control as client
from gateway.cli.output import when
from gateway.control.messages import Refusal, Watched
from gateway.session.approvals import Observer

OPERATION = {
    "event": "operation",
    "time": NOON + 1,
    "operation": 7,
    "text": "select 1\n2026-11-18 12:00:01.000  closed\x1b[2J",
    "outcome": "deny",
    "rules": ["nobody destroys"],
}


def stream(*lines: Watched | bytes) -> bytes:
    body = b""
    for line in lines:
        data = line if isinstance(line, bytes) else msgspec.json.encode(line) + b"\n"
        body += b"%x\r\n%b\r\n" % (len(data), data)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" + body


ENDED = Watched("ended", NOON + 3, reason="the session ended")
SESSION_LINES = (
    Watched("watching", NOON, session=SESSION),
    Watched("heartbeat", NOON),
    Watched("recorded", NOON + 1, recorded=OPERATION),
)


def watch(site: Site, answer: bytes, *arguments: str) -> tuple[Result, bytes]:
    with answering(site.directory / "control.sock", answer) as asked:
        result = site.run(*(arguments or ("sessions", "watch", SESSION.id)))
    return result, asked[0]


def test_a_session_until_it_ends(site: Site) -> None:
    result, asked = watch(site, stream(*SESSION_LINES, ENDED))
    assert result.exit_code == 0
    assert asked.startswith(f"GET /v1/sessions/{SESSION.id}/watch HTTP/1.1\r\n".encode())
    assert result.output.splitlines() == [
        f"watching {SESSION.id}: alice\\x1b[2J from 192.0.2.7 on orders as orders_ro",
        '2026-11-18 12:00:01.000  operation #7  outcome=deny  rules=["nobody destroys"]',
        "    | select 1",
        "    | 2026-11-18 12:00:01.000  closed\\x1b[2J",
        "the session ended",
    ]


def test_a_session_as_json_lines(site: Site) -> None:
    result, _ = watch(site, stream(*SESSION_LINES, ENDED), "sessions", "watch", SESSION.id, "--json")
    assert [json.loads(line) for line in result.output.splitlines()] == [OPERATION]
    assert result.output.isascii()
    assert "\x1b" not in result.output


def test_whoever_is_sent_away_is_told(site: Site) -> None:
    dropped = Watched("dropped", NOON, reason="you read nothing for 30 seconds")
    result, _ = watch(site, stream(*SESSION_LINES, dropped))
    assert result.exit_code == 1
    assert "the gateway watches no more: you read nothing for 30 seconds" in result.output
    assert "select 1" in result.output


def test_a_gateway_that_goes_away(site: Site) -> None:
    whole = stream(*SESSION_LINES)
    for answer in (whole, whole + b"0\r\n\r\n", whole[:-5], whole + b"5\r\n"):
        (site.directory / "control.sock").unlink(missing_ok=True)
        result, _ = watch(site, answer)
        assert result.exit_code == 1, answer
        assert "select 1" in result.output or answer == whole[:-5]
        assert "gone" in result.output or "no gateway answers" in result.output


def test_a_gateway_that_falls_silent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.2)
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.directory / "control.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(stream(*SESSION_LINES))
                over.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        result = site.run("sessions", "watch", SESSION.id)
        over.set()
        thread.join()
    assert result.exit_code == 1
    assert "fell silent" in result.output


def test_what_is_refused_is_told(site: Site) -> None:
    refusal = msgspec.json.encode(Refusal("aude has none of the roles auditor", "ask"))
    result, _ = watch(site, http(403, refusal))
    assert (result.exit_code, "none of the roles" in result.output) == (1, True)


@pytest.mark.parametrize("line", [b"<html>\n", b'{"event":"heard"}\n', b"{}\n"])
def test_lines_of_another_version(site: Site, line: bytes) -> None:
    result, _ = watch(site, stream(line))
    assert result.exit_code == 1
    assert "does not understand" in result.output


@pytest.mark.parametrize("command", [("sessions", "watch", SESSION.id), ("approvals", "watch")])
def test_an_interrupt_is_how_it_ends(site: Site, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    def interrupted(*_: object) -> Iterator[Watched]:
        yield Watched("watching", NOON)
        raise KeyboardInterrupt

    monkeypatch.setattr(client.Control, "watch", interrupted)
    result = site.run(*command)
    assert result.exit_code == 0
    assert "Traceback" not in result.output
    assert "Aborted" not in result.output


# --- requests for approval ---


def told(command: Command, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """What `approvals watch` says while there are two requests, until the gateway stops."""
    approvals = gateway.approvals
    asked = approvals.request(replace(SUBJECT, principal="alice\u202e"), (TERMS,))
    approvals.request(replace(SUBJECT, kind="session", binding="c" * 64), (TERMS,))
    begin = approvals.watch

    def go_on() -> None:
        approvals.withdraw(asked, "the caller left")
        gateway.watching.stop()

    def begun(observer: Observer) -> Callable[[], None]:
        command.served._loop.call_soon(go_on)
        return begin(observer)

    monkeypatch.setattr(approvals, "watch", begun)
    result = command.run("approvals", "watch", *arguments)
    assert result.exit_code == 1
    *lines, last = result.output.splitlines()
    assert "the gateway is being stopped" in last
    return lines


def test_requests_as_they_come(command: Command, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = told(command, gateway, monkeypatch)
    [asked, other] = gateway.approvals.requests()
    assert first == (
        f"{when(gateway.clock())}  {asked.id}  pending  alice\\u202e  orders  0 of 1  until {when(asked.deadline)}"
        "  update customers set email = $1 where id > $2"
    )
    assert other.id in second
    assert second.endswith("  a session")
    assert f"{asked.id}  withdrawn  alice\\u202e  orders  0 of 1  the caller left" in third


def test_an_approver_sees_what_is_theirs(
    command: Command, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.become("dora", "dba-oncall")
    assert "yours to decide" in told(command, gateway, monkeypatch)[0]


def test_requests_as_json_lines(command: Command, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in told(command, gateway, monkeypatch, "--json")]
    assert [line["state"] for line in lines] == ["pending", "pending", "withdrawn"]
