from __future__ import annotations

import pytest
from cli.talk import Command
from control.made import FakeGateway
from session.asked import DAN, subject, terms

from gateway.store.requests import Request

STATEMENT = "delete from orders\n-- \x1b[2Jselect harmless\nwhere ssn = $1"


@pytest.fixture
def request_(gateway: FakeGateway) -> Request:
    asked = subject(
        "alice\u202e",
        text=STATEMENT,
        normalised="delete from orders where ssn = $1 " + "x" * 60,
        parameters=("900-12-3456\n| $2 NULL", None),
        relations=("public.orders", "attic.orders"),
        labels=("pii.ssn",),
    )
    return gateway.approvals.request(asked, (terms(), terms("two of them", needed=2, uses=None, principals=("dan",))))


@pytest.fixture
def dora(command: Command) -> Command:
    command.become("dora", "dba-oncall")
    return command


def test_list(dora: Command, gateway: FakeGateway, request_: Request) -> None:
    gateway.reactor.advance(90)
    [head, line] = dora.run("approvals", "list").output.splitlines()
    assert head.split() == "request state principal target age left yeses yours what".split()
    assert line.startswith(f"{request_.id}  pending  alice\\u202e  orders")
    assert "1m 30s  8m 30s  0 of 1, 0 of 2  yes    delete from orders where ssn = $1" in line
    assert line.endswith("...")
    [one] = dora.json("approvals", "list")
    assert one["id"] == request_.id
    assert dora.json("approvals", "list", "--state", "approved") == []
    assert len(dora.json("approvals", "list", "--state", "all")) == 1


def test_show_tells_all_that_an_approver_must_see(dora: Command, request_: Request) -> None:
    shown = dora.run("approvals", "show", request_.id).output
    for said in (
        f"{request_.id}, asked 0s ago, 10m left",
        "alice\\u202e (human)",
        "engineers",
        "192.0.2.7, session 0193",
        "orders, database orders, as rw",
        "statement  | delete from orders\n",
        "           | -- \\x1b[2Jselect harmless\n",
        "           | where ssn = $1\n",
        "  $1       | 900-12-3456\\n| $2 NULL\n",
        "  $2       NULL\n",
        "delete\n",
        "public.orders, attic.orders",
        "pii.ssn",
        "bulk changes: 0 of 1 needed from groups dba-*",
        "1 use within 15m",
        "two of them: 0 of 2 needed from principals dan or groups dba-*",
        "any number of uses within 15m",
        "you        may decide",
    ):
        assert said in shown, shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    answer = dora.json("approvals", "show", request_.id)
    assert (answer["text"], answer["parameters"]) == (STATEMENT, ["900-12-3456\n| $2 NULL", None])


def test_a_session_is_asked_for_as_such(dora: Command, gateway: FakeGateway) -> None:
    asked = subject("alice", kind="session", text="", normalised="", verbs=())
    request = gateway.approvals.request(asked, (terms(),))
    assert "wants      a session there" in dora.run("approvals", "show", request.id).output
    assert dora.run("approvals", "list").output.splitlines()[1].endswith("a session")


def test_approve(dora: Command, gateway: FakeGateway, request_: Request) -> None:
    first = dora.run("approvals", "approve", request_.id, "--reason", "ticket 12")
    assert first.exit_code == 0
    assert "not settled yet: two of them: 1 of 2 needed from principals dan or groups dba-*" in first.output
    again = dora.run("approvals", "approve", request_.id)
    assert (again.exit_code, "dora has voted already" in again.output) == (1, True)
    dora.become("dan")
    shown = dora.run("approvals", "show", request_.id).output
    assert "yes by dora" in shown
    assert ": ticket 12" in shown
    # Dan is none of the first entry's approvers, but that has its yes.
    second = dora.run("approvals", "approve", request_.id)
    assert f"{request_.id}, approved" in second.output
    assert "delete from orders where ssn" in second.output
    assert gateway.approvals.grants()[0].approvers == ("dora", "dan")


def test_deny(dora: Command, gateway: FakeGateway, request_: Request) -> None:
    answer = dora.json("approvals", "deny", request_.id, "--reason", "not on a friday")
    assert (answer["approval"]["state"], answer["approval"]["reason"]) == ("denied", "not on a friday")
    assert "reason     not on a friday" in dora.run("approvals", "show", request_.id).output
    late = dora.run("approvals", "approve", request_.id)
    assert (late.exit_code, "is not open any more: denied" in late.output) == (1, True)


def test_whose_it_is_not(command: Command, gateway: FakeGateway, request_: Request) -> None:
    for verb in ("show", "approve", "deny"):
        command.become("ben", "dba")
        for id in (request_.id, request_.id[:4], "zzzz-zzzz"):
            result = command.run("approvals", verb, id)
            assert result.exit_code == 1
            assert "no request" in result.output or "no such request" in result.output
    assert gateway.approvals.find(request_.id) == request_


@pytest.mark.parametrize("typed", ["0101-0abc", "0101-0ABC", "01010abc", "OIol-oabc", "0101", "olol0"])
def test_an_id_may_be_typed(dora: Command, gateway: FakeGateway, typed: str) -> None:
    asked(gateway, "0101-0abc")
    assert "request    0101-0abc" in dora.run("approvals", "show", typed).output


def asked(gateway: FakeGateway, id: str, **others: str) -> Request:
    """A request with that id."""
    value = 0
    for letter in id.replace("-", ""):
        value = value << 5 | "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    gateway.approvals._random = value.to_bytes
    return gateway.approvals.request(subject(**others), (terms(),))


def test_half_an_id_stands_for_one_request_only(dora: Command, gateway: FakeGateway) -> None:
    first, second = asked(gateway, "k7q2-m9xd"), asked(gateway, "k7q2-zzzz", binding="c" * 64)
    short = dora.run("approvals", "approve", "k7q")
    assert (short.exit_code, "k7q is too short" in short.output) == (1, True)
    both = dora.run("approvals", "approve", "k7q2")
    assert (both.exit_code, "2 requests begin with k7q2" in both.output) == (1, True)
    gateway.approvals.decide(first.id, DAN, yes=False)
    assert dora.run("approvals", "approve", "k7q2").exit_code == 1, "it never meant the second one"
    assert dora.run("approvals", "approve", "k7q2z").exit_code == 0
    assert [grant.id for grant in gateway.approvals.grants()] == [second.id]
