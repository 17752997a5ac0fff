"""The life of a request for approval, as stock clients live it; what was done is judged in the database itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support import approving, calling
from support.approving import Approver, Ledger, asks
from support.calling import Caller
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import wait_until

pytestmark = pytest.mark.e2e

SOON = 1.5
"""Seconds that an UPDATE waits."""

POLICY = {
    "allow": [
        {
            "name": "engineers change",
            "groups": ["engineers"],
            "targets": [approving.DATABASE],
            "sql": {"verbs": ["read", "dml", "truncate"]},
        }
    ],
    "approve": [asks("a second person", ["delete"]), asks("soon", ["update"], wait=f"{SOON}s")],
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


@pytest.fixture(params=calling.NAMES)
def client(request: pytest.FixtureRequest, gateway: Ostiary, approver: Approver, bob: Issued) -> Iterator[Caller]:
    # It leaves before the approver looks whether anything was left behind.
    with calling.caller(request.param, gateway, bob, database=approving.DATABASE) as made:
        made.next("ready")
        yield made


def test_a_life_with_approvers(client: Caller, approver: Approver, truth: Ledger) -> None:
    """Approved, denied, forgotten, cancelled; then the client is killed while it waits."""
    statement = "delete from entries where id = 1"
    client.run(statement)
    request = approver.asked(principal="bob")
    shown = approver.show(request)
    assert (shown["text"].rstrip(";"), shown["approval"]["relations"]) == (
        statement,
        ["aside.entries", "public.entries"],
    )
    if client.tells_at_once:
        assert client.next("notice").startswith(f'waiting for approval {request}: "a second person", until ')
    assert 1 in truth.ids()
    approver.approve(request)
    assert client.ended()[0] == "00000"
    assert truth.ids() == set(range(2, 11))

    client.run("delete from entries where id = 2")
    request = approver.asked()
    approver.deny(request, "not on a friday")
    state, text = client.ended()
    assert (state, f"permission denied by {approver.name}" in text) == ("42501", True), text
    assert truth.ids() == set(range(2, 11))

    asked_at = time.monotonic()
    client.run("update entries set amount = 1 where id = 3")
    state, text = client.ended()
    assert (state, "nobody decided in time" in text) == ("42501", True), text
    assert time.monotonic() - asked_at >= SOON
    assert truth.one("select count(*) from entries where amount <> 0") == 0

    client.run("insert into entries values (11)")
    assert client.ended()[0] == "00000", "the session lives on"
    assert 11 in truth.ids()

    client.run("delete from entries where id = 4")
    request = approver.asked()
    client.cancel()
    approver.settled(request, "withdrawn")
    status, answer = approver.ask("POST", f"approvals/{request}/approve")
    assert (status, "withdrawn" in answer["problem"]) == (409, True)
    assert 4 in truth.ids()
    if client.cancel_ends_it:
        return
    assert client.ended()[0] == "57014"
    client.run("insert into entries values (12)")
    assert client.ended()[0] == "00000", "the session lives on"
    is_killed_while_it_waits(client, approver, truth)


def is_killed_while_it_waits(client: Caller, approver: Approver, truth: Ledger) -> None:
    before = truth.ids()
    client.run("delete from entries")
    request = approver.asked()
    client.kill()
    killed = time.monotonic()
    approver.settled(request, "withdrawn")
    assert time.monotonic() - killed < 5, "about a second, on a quiet machine"
    wait_until(lambda: not approver.sessions(principal="bob"), what="the session is gone")
    assert approver.ask("POST", f"approvals/{request}/approve")[0] == 409
    assert truth.ids() == before


def test_psql_is_killed_while_it_waits(gateway: Ostiary, approver: Approver, bob: Issued, truth: Ledger) -> None:
    with calling.psql(gateway, bob, database=approving.DATABASE) as client:
        is_killed_while_it_waits(client, approver, truth)


def test_an_equal_question_is_asked_once_and_answered_for_one(
    gateway: Ostiary, approver: Approver, bob: Issued, truth: Ledger
) -> None:
    statement = "delete from entries where id = 1"
    with ExitStack() as stack:
        clients = [
            stack.enter_context(calling.caller("psycopg", gateway, bob, database=approving.DATABASE)) for _ in range(2)
        ]
        for client in clients:
            client.next("ready")
            client.run(statement)
            client.next("notice")
        request = approver.asked()
        clients[0].kill()
        wait_until(lambda: len(approver.sessions(principal="bob")) == 1, what="one session")
        assert approver.asked() == request, "the other one still waits for it"
        approver.approve(request)
        assert clients[1].ended() == ("00000", "1")
        truth.refill()
        clients[1].run(statement)
        assert approver.asked() != request
        assert 1 in truth.ids()


@pytest.mark.parametrize("ends", [Ostiary.stop, Ostiary.kill])
def test_a_gateway_that_is_restarted_meanwhile(
    ends: Callable[[Ostiary], object], gateway: Ostiary, approver: Approver, bob: Issued, truth: Ledger
) -> None:
    """The question survives, and so does the answer, for one use."""
    statement = "delete from entries where id = 1"
    with calling.caller("psycopg", gateway, bob, database=approving.DATABASE) as first:
        first.next("ready")
        first.run(statement)
        request = approver.asked()
        ends(gateway)
        assert first.ended()[0] in ("57P01", "08006")
    gateway.start()
    approver.approve(request)
    ends(gateway)
    gateway.start()
    assert 1 in truth.ids()
    with calling.caller("psycopg", gateway, bob, database=approving.DATABASE) as second:
        second.next("ready")
        second.run(statement)
        assert second.ended() == ("00000", "1")
        assert 1 not in truth.ids()
        second.run(statement)
        approver.deny(approver.asked())
        assert second.ended()[0] == "42501"
