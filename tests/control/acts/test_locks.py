from __future__ import annotations

import json

import pytest
from control.made import GROUPED, OPERATOR, FakeGateway, names
from control.talk import ask, post

from gateway.control.messages import MAX_LOCK
from gateway.control.sites import QuietSite


def test_a_principal(site: QuietSite, gateway: FakeGateway) -> None:
    _, told = gateway.session()
    _, others = gateway.session(2, "bob")
    answer = post(site, "/v1/locks", {"principal": "alice", "for": 60, "reason": "stolen laptop"}, uid=OPERATOR)
    lock = answer.json["lock"]
    assert (answer.json["ended"], lock["principal"], lock["target"], lock["by"]) == (1, "alice", None, "olga")
    assert lock["until"] == gateway.clock() + 60
    assert told[0].message == "you are locked out: stolen laptop"
    assert not others
    assert gateway.approvals.locked("alice", "orders")
    event = json.loads(gateway.events()[-1])
    assert (event["unmapped"]["event"], event["actor"]["user"]["name"]) == ("access_locked", "olga")
    [listed] = ask(site, "GET", "/v1/locks", uid=OPERATOR).json["locks"]
    assert listed == lock
    gateway.reactor.advance(60)
    assert ask(site, "GET", "/v1/locks", uid=OPERATOR).json["locks"] == []


def test_a_target(site: QuietSite, gateway: FakeGateway) -> None:
    _, alice = gateway.session()
    _, bob = gateway.session(2, "bob")
    answer = post(site, "/v1/locks", {"target": "orders", "for": 60}, uid=OPERATOR)
    assert (answer.json["ended"], answer.json["lock"]["principal"]) == (2, None)
    assert alice
    assert bob
    assert gateway.approvals.locked("anybody", "orders")
    assert not gateway.approvals.locked("anybody", "others")


def test_a_session_is_its_principal_on_its_target(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    _, others = gateway.session(2, "bob")
    lock = post(site, "/v1/locks", {"session": session.id, "for": 60}, uid=OPERATOR).json["lock"]
    assert (lock["principal"], lock["target"], lock["session"]) == ("alice", "orders", session.id)
    assert told
    assert not others
    assert not gateway.approvals.locked("alice", "others")


def test_unlock(site: QuietSite, gateway: FakeGateway) -> None:
    lock = post(site, "/v1/locks", {"principal": "alice", "for": 60}, uid=OPERATOR).json["lock"]
    assert post(site, f"/v1/locks/{lock['id']}/unlock", uid=GROUPED).json["lock"] == lock
    assert not gateway.approvals.locked("alice", "orders")
    event = json.loads(gateway.events()[-1])
    assert (event["unmapped"]["event"], event["actor"]["user"]["name"]) == ("access_unlocked", "gina")
    assert post(site, f"/v1/locks/{lock['id']}/unlock", uid=GROUPED).code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"for": 60}, 400),
        ({"principal": "alice"}, 400),
        ({"principal": "alice", "target": "orders", "for": 60}, 400),
        ({"principal": "", "for": 60}, 400),
        ({"principal": "a" * 257, "for": 60}, 400),
        ({"principal": "a\nb", "for": 60}, 400),
        ({"principal": None, "for": 60}, 400),
        ({"principal": "alice", "for": 0.5}, 400),
        ({"principal": "alice", "for": -60}, 400),
        ({"principal": "alice", "for": MAX_LOCK + 1}, 400),
        ({"principal": "alice", "for": "60"}, 400),
        ({"principal": "alice", "for": True}, 400),
        ({"principal": "alice", "for": 60, "until": 7}, 400),
        ({"principal": "alice", "for": 60, "seconds": 7}, 400),
        ({"target": "order", "for": 60}, 404),
        ({"session": "0193", "for": 60}, 404),
        ({"principal": "olga", "for": 60}, 409),
    ],
)
def test_what_is_no_lock(site: QuietSite, gateway: FakeGateway, body: object, code: int) -> None:
    assert post(site, "/v1/locks", body, uid=OPERATOR).code == code
    assert not gateway.approvals.locks()
    assert "access_locked" not in names(gateway)


def test_the_longest(site: QuietSite, gateway: FakeGateway) -> None:
    assert post(site, "/v1/locks", {"principal": "alice", "for": MAX_LOCK}, uid=OPERATOR).code == 200
