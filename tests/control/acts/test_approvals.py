from __future__ import annotations

import json

import pytest
from control.made import APPROVER, ASKER, AUDITOR, OPERATOR, FakeGateway, names
from control.talk import ask, post
from session.asked import DAN, subject, terms

from gateway.control.acts import approvals as acts
from gateway.control.acts.approvals import MAX_STATEMENT
from gateway.control.sites import QuietSite
from gateway.store.requests import Request


@pytest.fixture
def request_(gateway: FakeGateway) -> Request:
    """Alice asks; Dora is one of those who may say yes."""
    asked = subject(
        "alice",
        text="delete from orders where ssn = $1",
        normalised="delete from orders where ssn = $1",
        parameters=("900-12-3456", None),
        relations=("public.orders",),
        labels=("pii.ssn",),
    )
    return gateway.approvals.request(asked, (terms(), terms("two of them", needed=2, uses=None, groups=("*oncall",))))


def test_a_list_shows_no_values(site: QuietSite, gateway: FakeGateway, request_: Request) -> None:
    answer = ask(site, "GET", "/v1/approvals", uid=APPROVER)
    [one] = answer.json["approvals"]
    assert (one["id"], one["state"], one["statement"]) == (request_.id, "pending", "delete from orders where ssn = $1")
    assert (one["labels"], one["relations"], one["may_decide"]) == (["pii.ssn"], ["public.orders"], True)
    assert [(term["rule"], term["needed"], term["counted"]) for term in one["terms"]] == [
        ("bulk changes", 1, 0),
        ("two of them", 2, 0),
    ]
    assert b"900-12-3456" not in answer.body
    assert names(gateway)[-1] == "approval_requested"


def test_a_list_is_cut_and_filtered(site: QuietSite, gateway: FakeGateway, request_: Request) -> None:
    long = subject("alice", "c" * 64, normalised="select " + "x" * 60_000)
    gateway.approvals.decide(gateway.approvals.request(long, (terms(),)).id, DAN, yes=True)
    [one] = ask(site, "GET", "/v1/approvals?state=approved", uid=ASKER).json["approvals"]
    assert len(one["statement"]) < MAX_STATEMENT + 40
    assert one["statement"].endswith("[cut, 60007 characters]")
    [one] = ask(site, "GET", "/v1/approvals?state=pending", uid=ASKER).json["approvals"]
    assert one["id"] == request_.id
    assert len(ask(site, "GET", "/v1/approvals", uid=ASKER).json["approvals"]) == 2
    assert ask(site, "GET", "/v1/approvals?state=open", uid=ASKER).code == 400
    [grant] = ask(site, "GET", "/v1/grants", uid=ASKER).json["grants"]
    assert grant["statement"].endswith("[cut, 60007 characters]")


def test_a_list_has_an_end(site: QuietSite, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "MAX_LISTED", 2)
    ids = []
    for number in range(5):
        request = gateway.approvals.request(subject("alice", f"{number:064}"), (terms(),))
        gateway.approvals.decide(request.id, DAN, yes=True)
        ids.append(request.id)
    for path, key in (("/v1/approvals", "approvals"), ("/v1/grants", "grants")):
        answer = ask(site, "GET", path, uid=OPERATOR).json
        assert ([one["id"] for one in answer[key]], answer["left_out"]) == (ids[-2:], 3)


@pytest.mark.parametrize("uid", [OPERATOR, AUDITOR, APPROVER, ASKER])
def test_a_statement_in_full_is_shown_after_it_is_said(
    site: QuietSite, gateway: FakeGateway, request_: Request, uid: int
) -> None:
    answer = ask(site, "GET", f"/v1/approvals/{request_.id}", uid=uid).json
    assert answer["text"] == "delete from orders where ssn = $1"
    assert answer["parameters"] == ["900-12-3456", None]
    event = json.loads(gateway.events()[-1])
    assert event["api"]["operation"] == "approvals.show"
    assert (event["resources"], event["status_id"]) == ([{"name": request_.id}], 1)
    gateway.audit.failed = "broken"
    answer2 = ask(site, "GET", f"/v1/approvals/{request_.id}", uid=uid)
    assert answer2.code == 503
    assert b"900-12-3456" not in answer2.body


def test_votes(site: QuietSite, gateway: FakeGateway, request_: Request) -> None:
    path = f"/v1/approvals/{request_.id}"
    first = post(site, f"{path}/approve", {"reason": "ticket 12"}, uid=APPROVER).json["approval"]
    assert (first["state"], first["may_decide"]) == ("pending", False)
    assert [term["counted"] for term in first["terms"]] == [1, 1]
    [vote] = first["votes"]
    assert (vote["approver"], vote["yes"], vote["reason"], vote["via"]) == ("dora", True, "ticket 12", "socket")
    assert names(gateway)[-1] == "approval_voted"
    again = post(site, f"{path}/approve", uid=APPROVER)
    assert (again.code, "voted already" in again.json["problem"]) == (403, True)
    gateway.approvals.decide(request_.id, DAN, yes=True)
    shown = ask(site, "GET", path, uid=APPROVER).json["approval"]
    assert (shown["state"], shown["settled"]) == ("approved", gateway.clock())
    [grant] = ask(site, "GET", "/v1/grants", uid=APPROVER).json["grants"]
    assert (grant["id"], grant["approvers"], grant["left"]) == (request_.id, ["dora", "dan"], 1)
    assert grant["rules"] == ["bulk changes", "two of them"]


def test_one_no_settles_it(site: QuietSite, gateway: FakeGateway, request_: Request) -> None:
    path = f"/v1/approvals/{request_.id}"
    denied = post(site, f"{path}/deny", {"reason": "not on a friday"}, uid=APPROVER).json["approval"]
    assert (denied["state"], denied["reason"]) == ("denied", "not on a friday")
    late = post(site, f"{path}/approve", uid=APPROVER)
    assert (late.code, "not open any more: denied" in late.json["problem"]) == (409, True)
    assert not gateway.approvals.grants()


def test_a_deadline_is_kept_to_the_second(site: QuietSite, gateway: FakeGateway, request_: Request) -> None:
    gateway.reactor.advance(600)  # nobody has swept yet
    late = post(site, f"/v1/approvals/{request_.id}/approve", uid=APPROVER)
    assert (late.code, "expired" in late.json["problem"]) == (409, True)
    assert gateway.approvals.find(request_.id) == request_


def test_a_revoked_grant_is_worth_nothing(site: QuietSite, gateway: FakeGateway) -> None:
    asked = subject("alice", kind="session", text="", normalised="", verbs=())
    request = gateway.approvals.request(asked, (terms(uses=None),))
    gateway.approvals.decide(request.id, DAN, yes=True)
    session, told = gateway.session()
    session.grant = request.id
    answer = post(site, f"/v1/grants/{request.id}/revoke", {"reason": "over"}, uid=OPERATOR)
    assert (answer.json["grant"]["state"], answer.json["grant"]["reason"]) == ("revoked", "over")
    assert "revoked: over" in told[0].message
    event = json.loads(gateway.events()[-1])
    assert (event["unmapped"]["event"], event["unmapped"]["by"]) == ("grant_ended", "olga")
    assert post(site, f"/v1/grants/{request.id}/revoke", uid=OPERATOR).code == 404
    assert gateway.approvals.use(asked, (terms(uses=None),)) is None


@pytest.mark.parametrize("id", ["x", "zzzz-zzzz", "%00", "a" * 3000])
@pytest.mark.parametrize("path", ["/v1/approvals/{}/approve", "/v1/grants/{}/revoke"])
def test_ids_that_are_none(site: QuietSite, path: str, id: str) -> None:
    assert post(site, path.format(id), uid=OPERATOR).code == 404


def test_a_store_that_fails_is_told(
    site: QuietSite, gateway: FakeGateway, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.errors import StoreFailed

    def fail(**_: object) -> None:
        raise StoreFailed("approvals.db: disk I/O error")

    monkeypatch.setattr(gateway.approvals._store, "save", fail)
    for verb in ("approve", "deny"):
        answer = post(site, f"/v1/approvals/{request_.id}/{verb}", uid=APPROVER)
        assert (answer.code, answer.json["problem"]) == (503, "nothing was done: approvals.db: disk I/O error")
    assert gateway.approvals.find(request_.id) == request_
