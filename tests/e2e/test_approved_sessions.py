"""Access that has to be approved: asked for at connect, for so long and so often as approvers' yes is worth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import approving, calling
from support.approving import Approver, Ledger
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import wait_until
from support.rawclient import LoginRefused, RawClient

pytestmark = pytest.mark.e2e

WITHIN = 4
"""Seconds that the shortest yes is worth."""

GROUPS = ("visitors", "twice", "briefly", "impatient")


def access(group: str, **others: Any) -> dict[str, Any]:
    """An entry that asks about the group's access."""
    values = {"name": f"access of {group}", "groups": [group], "targets": [approving.DATABASE], "session": {}}
    return {**values, "approvers": {"groups": ["dba"]}, "wait": "1m", **others}


POLICY = {
    "allow": [{"name": "anything", "groups": list(GROUPS), "targets": [approving.DATABASE]}],
    "approve": [
        access("visitors"),
        access("twice", grant={"uses": 2, "within": "1h"}),
        access("briefly", grant={"within": f"{WITHIN}s"}),
        access("impatient", wait="1s"),
    ],
}


@pytest.fixture(scope="module")
def truth(target_server: Postgres) -> Iterator[Ledger]:
    with approving.ledger(target_server) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres, truth: Ledger) -> Iterator[Ostiary]:
    with approving.gateway(pki, target_server, POLICY) as running:
        yield running


@pytest.fixture
def approver(gateway: Ostiary, truth: Ledger) -> Iterator[Approver]:
    truth.refill()
    with approving.an_approver(gateway) as made:
        yield made
        made.settle_all()
        wait_until(lambda: not made.sessions(), what="no session is left")


@pytest.fixture(scope="module")
def people(pki: Pki) -> dict[str, Issued]:
    """One of each group."""
    return {group: pki.client(f"one-of-{group}", groups=[group]) for group in GROUPS}


def connect(gateway: Ostiary, who: Issued, approver: Approver) -> RawClient:
    """A session that is approved as soon as that is asked for."""
    with approver.says_yes():
        return approving.raw(gateway, who)


def fatal(client: RawClient) -> dict[str, str]:
    """What the session was ended with, once it is."""
    return client.receive().reports[-1]


@pytest.mark.parametrize("name", calling.NAMES)
def test_clients_wait_within_their_login(
    name: str, gateway: Ostiary, people: dict[str, Issued], approver: Approver, truth: Ledger
) -> None:
    who = people["visitors"]
    with calling.caller(name, gateway, who, database=approving.DATABASE) as client:
        request = approver.asked(kind="session", principal="one-of-visitors", database=approving.DATABASE)
        assert truth.sessions() == 0, "nothing is dialled before"
        if name == "psql":
            assert client.next("notice").startswith(f"waiting for approval {request}: ")
        approver.approve(request)
        client.next("ready")
        client.run("select 1")
        assert client.ended()[0] == "00000"


def test_within_its_time_a_yes_is_worth_any_number_of_connections(
    gateway: Ostiary, people: dict[str, Issued], approver: Approver, truth: Ledger
) -> None:
    who = people["visitors"]
    with connect(gateway, who, approver) as first, approving.raw(gateway, who) as second:
        grant = approver.granted("one-of-visitors")
        assert (grant["state"], grant["left"]) == ("live", None)
        assert (truth.sessions(), len(approver.sessions())) == (2, 2)
        approver.must("POST", f"grants/{grant['id']}/revoke", {"reason": "incident 12"})
        for client in (first, second):
            assert fatal(client)["M"] == "the approval of your access was revoked: incident 12"
    wait_until(lambda: truth.sessions() == 0, what="both are gone at the target")
    with (
        pytest.raises(LoginRefused, match=f"permission denied by {approver.name}") as refused,
        approver.says_yes(but_not=""),
    ):
        approving.raw(gateway, who)
    assert refused.value.received.sqlstate == "42501"


def test_nobody_decides_in_time(gateway: Ostiary, people: dict[str, Issued], approver: Approver) -> None:
    with pytest.raises(LoginRefused, match="nobody decided in time") as refused:
        approving.raw(gateway, people["impatient"])
    assert refused.value.received.sqlstate == "42501"


def test_a_client_that_leaves_while_it_waits(
    gateway: Ostiary, people: dict[str, Issued], approver: Approver, truth: Ledger
) -> None:
    with calling.caller("psycopg", gateway, people["visitors"], database=approving.DATABASE) as client:
        request = approver.asked()
        client.kill()
        approver.settled(request, "withdrawn")
    assert truth.sessions() == 0


def test_the_approved_time_ends_in_the_middle_of_a_result(
    gateway: Ostiary, people: dict[str, Issued], approver: Approver, truth: Ledger
) -> None:
    with connect(gateway, people["briefly"], approver) as client:
        grant = approver.granted("one-of-briefly")
        received = client.query(approving.LONG)
        late = time.time() - grant["ends"]
        assert received.reports[-1]["M"] == "the approved time of your access is over"
        assert received.reports[-1]["C"] == "57P01"
        assert len(received.rows) > 10
        print(f"ended {late:+.2f} s after its time, with {len(received.rows)} rows")  # noqa: T201  # measured
        assert -0.1 < late < 3
    wait_until(lambda: truth.sessions() == 0, what="the target has stopped, too")
    with pytest.raises(LoginRefused), approver.says_yes(but_not=""):
        approving.raw(gateway, people["briefly"])


def test_revoking_ends_it_in_the_middle_of_a_result(
    gateway: Ostiary, people: dict[str, Issued], approver: Approver, truth: Ledger
) -> None:
    with connect(gateway, people["visitors"], approver) as client:
        grant = approver.granted("one-of-visitors")
        client.send(b"Q", approving.LONG.encode() + b"\0")
        wait_until(lambda: truth.sessions(busy=True) == 1, what="it runs")
        approver.must("POST", f"grants/{grant['id']}/revoke", {"reason": "incident 12"})
        assert fatal(client)["M"] == "the approval of your access was revoked: incident 12"
    wait_until(lambda: truth.sessions() == 0, what="the target has stopped, too")


def test_as_many_connections_as_granted(gateway: Ostiary, people: dict[str, Issued], approver: Approver) -> None:
    with ExitStack() as stack:
        stack.enter_context(connect(gateway, people["twice"], approver))
        second = stack.enter_context(approving.raw(gateway, people["twice"]))
        with pytest.raises(LoginRefused), approver.says_yes(but_not="") as asked:
            approving.raw(gateway, people["twice"])
        assert len(asked) == 1
        assert second.query("select 1").rows == [[b"1"]], "those that are in stay in"


def test_a_grant_for_one_database_opens_no_other(
    gateway: Ostiary, people: dict[str, Issued], approver: Approver
) -> None:
    with connect(gateway, people["visitors"], approver):
        with pytest.raises(LoginRefused), approver.says_yes(but_not="") as asked:
            approving.raw(gateway, people["visitors"], database=f"{approving.DATABASE}/orders")
        assert [one["approval"]["database"] for one in asked] == ["orders"]


@pytest.mark.parametrize("change", ["closed", "asks no more"])
def test_the_policy_of_the_answer_decides(
    change: str, gateway: Ostiary, people: dict[str, Issued], approver: Approver
) -> None:
    closed = {**POLICY, "allow": [{"name": "others", "groups": ["briefly"], "targets": [approving.DATABASE]}]}
    asks_no_more = {**POLICY, "approve": POLICY["approve"][1:]}
    with calling.caller("psycopg", gateway, people["visitors"], database=approving.DATABASE) as client:
        request = approver.asked()
        gateway.write(policy=closed if change == "closed" else asks_no_more)
        try:
            approver.must("POST", "reload")
            if change == "closed":
                assert approver.state(request) == "pending", "its entry is as it was"
                approver.approve(request)
                assert "you may not connect to that target" in client.next("ended")
            else:
                approver.settled(request, "withdrawn")
                client.next("ready")
        finally:
            gateway.write(policy=POLICY)
            approver.must("POST", "reload")


def test_a_lock_goes_before_a_yes(gateway: Ostiary, people: dict[str, Issued], approver: Approver) -> None:
    with calling.caller("psycopg", gateway, people["visitors"], database=approving.DATABASE) as client:
        request = approver.asked()
        lock = approver.must("POST", "locks", {"principal": "one-of-visitors", "for": 600, "reason": "stolen"})["lock"]
        approver.approve(request)
        assert "you are locked out: stolen" in client.next("ended")
        approver.must("POST", f"locks/{lock['id']}/unlock")
        assert approver.grant(request)["left"] is None
        approving.raw(gateway, people["visitors"]).close()


def test_a_gateway_that_stops_leaves_the_question_open(
    gateway: Ostiary, people: dict[str, Issued], approver: Approver
) -> None:
    with calling.caller("psycopg", gateway, people["visitors"], database=approving.DATABASE) as client:
        request = approver.asked()
        gateway.stop()
        client.next("ended")
    gateway.start()
    assert approver.state(request) == "pending"
    approver.approve(request)
    approving.raw(gateway, people["visitors"]).close()
