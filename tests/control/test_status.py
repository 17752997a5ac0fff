from __future__ import annotations

import msgspec
from control.made import NOON, FakeGateway, sink
from session.asked import DORA, subject, terms

from gateway.control.messages import Status
from gateway.control.status import sessions_of, status_of
from gateway.store.requests import Lock


def test_everything_is_told(gateway: FakeGateway) -> None:
    session, _ = gateway.session()
    session.operations, session.denied = 4, 1
    gateway.sinks = [sink(connected=False, lag=9)]
    found = status_of(gateway)
    assert (found.node, found.snapshot, found.targets) == ("gw1", 7, 1)
    assert (found.sessions, found.operations, found.denied) == (1, 4, 1)
    assert found.listeners == ("postgres [::]:5432",)
    assert found.sinks[0].problem == "nobody there"
    assert found.readiness.ready
    assert found.warnings == ("an unsafe switch",)


def test_approvals_are_counted_as_they_are_now(gateway: FakeGateway) -> None:
    approvals = gateway.approvals
    approvals.request(subject("alice"), (terms(wait=60),))
    for number in (1, 2):
        granted = approvals.request(subject(f"carl {number}", f"{number:064}"), (terms(within=30),))
        approvals.decide(granted.id, DORA, yes=True)
    approvals.revoke(granted.id, "olga")
    approvals.lock(Lock("", "mallory", None, 0, NOON + 30, "olga"))
    found = status_of(gateway)
    assert (found.approvals_open, found.grants_live, found.locks) == (1, 1, 1)
    gateway.reactor.advance(30)  # nobody has swept yet
    found = status_of(gateway)
    assert (found.approvals_open, found.grants_live, found.locks) == (1, 0, 0)


def test_it_travels_as_json(gateway: FakeGateway) -> None:
    found = status_of(gateway)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Status) == found


def test_a_disk_that_can_not_be_asked(gateway: FakeGateway) -> None:
    def ask(_: object) -> int:
        raise OSError(5, "Input/output error")

    gateway.recordings._space = ask
    found = status_of(gateway)
    assert found.recordings_free is None
    assert not found.readiness.ready


def test_sessions_come_oldest_first(gateway: FakeGateway) -> None:
    gateway.session(2, "bob")
    gateway.session(1, "alice")
    found = sessions_of(gateway)
    assert [session.principal for session in found.sessions] == ["alice", "bob"]
    assert found.now == NOON
    assert found.sessions[0].groups == ("analysts",)
