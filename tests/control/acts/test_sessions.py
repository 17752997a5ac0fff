from __future__ import annotations

import json

import pytest
from control.made import OPERATOR, FakeGateway
from control.talk import Answer, ask

from gateway.control.messages import MAX_REASON
from gateway.control.sites import QuietSite
from gateway.errors import SessionEnded


def kill(site: QuietSite, session: str, body: object = None, uid: int = OPERATOR) -> Answer:
    data = b"" if body is None else json.dumps(body).encode()
    return ask(site, "POST", f"/v1/sessions/{session}/kill", uid=uid, body=data)


def test_kill(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    answer = kill(site, session.id, {"reason": "stolen laptop"})
    assert (answer.code, answer.json) == (200, {"killed": session.id})
    [error] = told
    assert isinstance(error, SessionEnded)
    assert "stolen laptop" in error.message
    event = json.loads(gateway.events()[-1])
    assert event["unmapped"] | {"chain": ""} == {
        "event": "session_killed",
        "principal": "alice",
        "target": "orders",
        "chain": "",
    }
    assert event["actor"]["user"]["name"] == "olga"
    assert event["status_detail"] == "stolen laptop"


def test_kill_needs_no_reason(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    assert kill(site, session.id).code == 200
    assert told[0].message == "an operator ended this session"


@pytest.mark.parametrize("session", ["abc", "..%2f..", "%00", "a" * 2000])
def test_no_such_session(site: QuietSite, session: str) -> None:
    assert kill(site, session).code == 404


@pytest.mark.parametrize(
    "body",
    ["x", ["reason"], {"reason": 1}, {"reasons": "x"}, {"reason": "x" * (MAX_REASON + 1)}, {"reason": "a\x1b[2Jb"}],
)
def test_a_wrong_body(site: QuietSite, gateway: FakeGateway, body: object) -> None:
    session, told = gateway.session()
    assert kill(site, session.id, body).code == 400
    assert not told
