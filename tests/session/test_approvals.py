from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from session.asked import DAN, DORA, EVE, Onlooker, subject, terms
from session.house import House

from gateway.errors import LimitReached, NoSuchThing, NotPending, NotYours, RecordingFailed
from gateway.session import Approver
from gateway.session.approvals import MAX_OPEN, MAX_SHOWN, MAX_WAITING, new_id
from gateway.store.requests import Lock, Request

ASKED = (terms(),)


def settled(house: House, request: Request) -> list[Request]:
    answers: list[Request] = []
    house.approvals.wait(request).addCallback(answers.append)
    return answers


def lock(**places: Any) -> Lock:
    values = {"id": "", "principal": None, "target": None, "made": 0.0, "until": 2e9, "by": "olivia", **places}
    return Lock(**values)


def test_a_yes_is_worth_a_grant_that_is_used_once(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    answers = settled(house, request)
    assert house.approvals.use(subject(), ASKED) is None
    house.approvals.decide(request.id, DORA, yes=True, reason="ticket 12")
    assert [answer.state for answer in answers] == ["approved"]
    used = house.approvals.use(subject(), ASKED)
    assert used is not None
    assert (used.state, used.left, used.approvers) == ("used", 0, ("dora",))
    assert house.approvals.use(subject(), ASKED) is None


def test_each_step_is_in_the_audit_log_before_anybody_hears_of_it(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    assert house.events("approval_requested")[0]["unmapped"]["request"] == request.id
    heard: list[int] = []
    house.approvals.wait(request).addCallback(lambda _: heard.append(len(house.events("approval_settled"))))
    house.approvals.decide(request.id, DORA, yes=True)
    assert heard == [1]
    assert house.events("approval_voted")[0]["actor"]["user"]["name"] == "dora"
    house.approvals.use(subject(session="0194"), ASKED)
    assert house.events("grant_used")[0]["session"]["uid"] == "0194"


def test_one_no_settles_it(house: House) -> None:
    request = house.approvals.request(subject(), (terms(needed=3),))
    answers = settled(house, request)
    house.approvals.decide(request.id, DORA, yes=True)
    house.approvals.decide(request.id, DAN, yes=False, reason="not on a Friday")
    assert [(answer.state, answer.reason) for answer in answers] == [("denied", "not on a Friday")]
    assert house.approvals.use(subject(), (terms(needed=3),)) is None
    with pytest.raises(NotPending):
        house.approvals.decide(request.id, DAN, yes=True)


def test_it_takes_as_many_distinct_approvers_as_the_entry_says(house: House) -> None:
    two = (terms(needed=2),)
    request = house.approvals.request(subject(), two)
    house.approvals.decide(request.id, DORA, yes=True)
    with pytest.raises(NotYours, match="has voted already"):
        house.approvals.decide(request.id, replace(DORA, via="socket"), yes=True)
    assert house.approvals.use(subject(), two) is None
    house.approvals.decide(request.id, DAN, yes=True)
    assert house.approvals.use(subject(), two) is not None


def test_every_entry_that_asks_needs_its_own_approvers(house: House) -> None:
    both = (terms(), terms("touches salaries", groups=("hr",)))
    request = house.approvals.request(subject(), both)
    house.approvals.decide(request.id, DORA, yes=True)
    house.approvals.decide(request.id, DAN, yes=True)
    found = house.approvals.find(request.id)
    assert found is not None
    assert found.state == "pending"
    house.approvals.decide(request.id, Approver("hannah", frozenset({"hr"}), "tls"), yes=True)
    found = house.approvals.find(request.id)
    assert found is not None
    assert found.state == "approved"


def test_nobody_approves_their_own(house: House) -> None:
    request = house.approvals.request(subject("dora"), ASKED)
    with pytest.raises(NotYours, match="their own"):
        house.approvals.decide(request.id, DORA, yes=True)
    assert not house.approvals.may_decide(request, DORA)
    assert house.approvals.may_decide(request, DAN)


def test_whom_no_entry_names_decides_nothing(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    for yes in (True, False):
        with pytest.raises(NotYours, match="no entry"):
            house.approvals.decide(request.id, EVE, yes=yes)
    with pytest.raises(NoSuchThing):
        house.approvals.decide("0000-0000", DORA, yes=True)
    assert house.events("approval_voted") == []


@pytest.mark.parametrize(
    "other",
    [
        subject("mallory"),
        subject(binding="c" * 64),
    ],
)
def test_a_grant_is_for_that_principal_and_that_operation_alone(house: House, other: Any) -> None:
    request = house.approvals.request(subject(), ASKED)
    house.approvals.decide(request.id, DORA, yes=True)
    assert house.approvals.use(other, ASKED) is None
    assert house.approvals.use(subject(), ASKED) is not None


def test_a_grant_of_one_entry_does_not_do_for_another(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    house.approvals.decide(request.id, DORA, yes=True)
    assert house.approvals.use(subject(), (*ASKED, terms("a new entry"))) is None
    assert house.approvals.use(subject(), (terms(digest="the entry says something else now"),)) is None


def test_a_grant_ends_to_the_second(house: House) -> None:
    request = house.approvals.request(subject(), (terms(uses=5),))
    house.approvals.decide(request.id, DORA, yes=True)
    house.clock.advance(899.9)
    assert house.approvals.use(subject(), (terms(uses=5),)) is not None
    house.clock.advance(0.1)
    assert house.approvals.use(subject(), (terms(uses=5),)) is None, "before any sweep"
    house.approvals.sweep(house.clock.seconds())
    assert [grant.state for grant in house.approvals.grants()] == ["ended"]


def test_nobody_decides_after_the_deadline(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    answers = settled(house, request)
    house.clock.advance(600)
    with pytest.raises(NotPending, match="expired"):
        house.approvals.decide(request.id, DORA, yes=True)
    assert not answers
    house.approvals.sweep(house.clock.seconds())
    assert [answer.state for answer in answers] == ["expired"]


def test_neither_question_nor_grant_outlives_its_entry(house: House) -> None:
    ends = house.clock.seconds() + 100
    request = house.approvals.request(subject(), (terms(ends=ends),))
    assert request.deadline == ends
    house.approvals.decide(request.id, DORA, yes=True)
    assert house.approvals.grants()[0].ends == ends


def test_an_entry_that_is_gone_takes_its_questions_and_grants_with_it(house: House) -> None:
    approved = house.approvals.request(subject(), ASKED)
    house.approvals.decide(approved.id, DORA, yes=True)
    asked = house.approvals.request(subject(binding="c" * 64), ASKED)
    answers = settled(house, asked)
    house.approvals.keep_only(["digest of bulk changes"])
    assert not answers
    house.approvals.keep_only([])
    assert [answer.state for answer in answers] == ["withdrawn"]
    assert house.approvals.use(subject(), ASKED) is None
    house.approvals.keep_only(["digest of bulk changes"])
    assert house.approvals.use(subject(), ASKED) is None, "an entry that comes back doesn't bring it back"


def test_requests_votes_and_grants_survive_a_restart(house: House) -> None:
    two = (terms(needed=2),)
    request = house.approvals.request(subject(), two)
    house.approvals.decide(request.id, DORA, yes=True)
    granted = house.approvals.request(subject(binding="c" * 64), (terms(uses=2),))
    house.approvals.decide(granted.id, DORA, yes=True)
    house.approvals.use(subject(binding="c" * 64), (terms(uses=2),))
    house.approvals.close()
    house.approvals = again = house.reopened()
    with pytest.raises(NotYours):
        again.decide(request.id, DORA, yes=True)
    assert again.decide(request.id, DAN, yes=True).state == "approved"
    assert again.use(subject(binding="c" * 64), (terms(uses=2),)) is not None
    assert again.use(subject(binding="c" * 64), (terms(uses=2),)) is None


def test_an_open_question_is_not_asked_twice(house: House) -> None:
    first = house.approvals.request(subject(session="1"), ASKED)
    assert house.approvals.request(subject(session="2"), ASKED).id == first.id
    assert len(house.events("approval_requested")) == 1
    assert house.approvals.request(subject("bob"), ASKED).id != first.id


def test_who_leaves_withdraws_unless_another_waits(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    other = house.approvals.wait(request)
    house.approvals.withdraw(request, "the client left")
    assert house.approvals.open_requests() == 1
    other.addErrback(lambda _: None)
    other.cancel()
    house.approvals.withdraw(request, "the client left")
    assert house.approvals.open_requests() == 0
    with pytest.raises(NotPending, match="withdrawn"):
        house.approvals.decide(request.id, DORA, yes=True)


def test_there_are_bounds(house: House) -> None:
    with pytest.raises(LimitReached, match="nobody could read it all"):
        house.approvals.request(subject(text="x" * MAX_SHOWN, parameters=("y",)), ASKED)
    for number in range(MAX_OPEN):
        request = house.approvals.request(subject(binding=f"{number:064}"), ASKED)
    with pytest.raises(LimitReached, match="100 open requests"):
        house.approvals.request(subject(), ASKED)
    house.approvals.request(subject("bob"), ASKED)
    for _ in range(MAX_WAITING):
        house.approvals.wait(request)
    with pytest.raises(LimitReached, match="100 connections of alice wait"):
        house.approvals.wait(request)


def test_connections_that_wait_to_become_sessions_are_counted_over_all_databases(house: House) -> None:
    requests = [
        house.approvals.request(subject(who, who + database, kind="session", database=database), ASKED)
        for who in ("alice", "bob")
        for database in ("a", "b")
    ]
    for number in range(MAX_WAITING):
        house.approvals.wait(requests[number % 2])
    with pytest.raises(LimitReached, match="100 connections of alice wait"):
        house.approvals.wait(requests[0])
    house.approvals.wait(requests[2])


def test_what_cannot_be_audited_did_not_happen(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    house.audit.failed = "the disk is full"
    with pytest.raises(RecordingFailed):
        house.approvals.decide(request.id, DORA, yes=True)
    with pytest.raises(RecordingFailed):
        house.approvals.request(subject("bob"), ASKED)
    house.audit.failed = None
    assert house.approvals.use(subject(), ASKED) is None
    assert house.approvals.open_requests() == 1
    assert house.approvals.may_decide(request, DORA)


def test_revoking_ends_what_a_grant_let_in(house: House) -> None:
    request = house.approvals.request(subject(kind="session"), (terms(uses=None),))
    house.approvals.decide(request.id, DORA, yes=True)
    corridor = house.open()
    corridor.live.grant = request.id
    house.approvals.revoke(request.id, "olivia", "incident 12")
    assert [str(end) for end in house.ended] == ["the approval of your access was revoked: incident 12"]
    assert house.approvals.use(subject(), (terms(uses=None),)) is None
    assert house.approvals.gone(corridor.live, house.clock.seconds()) is not None
    with pytest.raises(NoSuchThing):
        house.approvals.revoke(request.id, "olivia")
    assert house.events("grant_ended")[0]["unmapped"]["by"] == "olivia"


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"principal": "alice"}, "you are locked out: incident 12"),
        ({"target": "orders"}, "this target is locked: incident 12"),
        ({"principal": "alice", "target": "orders"}, "your access to this target is locked: incident 12"),
    ],
)
def test_a_lock_ends_sessions_and_keeps_out(house: House, places: dict[str, str], words: str) -> None:
    house.open()
    made = house.approvals.lock(lock(reason="incident 12", **places))
    assert [str(end) for end in house.ended] == [words]
    locked = house.approvals.locked("alice", "orders")
    assert locked is not None
    assert locked.message == words
    house.approvals.unlock(made.id, "olivia")
    assert house.approvals.locked("alice", "orders") is None
    assert len(house.events("access_locked")) == len(house.events("access_unlocked")) == 1
    with pytest.raises(NoSuchThing):
        house.approvals.unlock(made.id, "olivia")


@pytest.mark.parametrize("places", [{"principal": "bob"}, {"target": "nobodys"}, {"principal": "bob", "target": "x"}])
def test_a_lock_leaves_others_alone(house: House, places: dict[str, str]) -> None:
    house.open()
    house.approvals.lock(lock(**places))
    assert not house.ended
    assert house.approvals.locked("alice", "orders") is None


def test_a_lock_ends_by_itself_and_survives_a_restart(house: House) -> None:
    house.approvals.lock(lock(principal="alice", until=house.clock.seconds() + 60))
    house.approvals.close()
    house.approvals = house.reopened()
    assert house.approvals.locked("alice", "orders") is not None
    house.clock.advance(60)
    assert house.approvals.locked("alice", "orders") is None
    house.approvals.sweep(house.clock.seconds())
    assert house.approvals.locks() == ()


def test_onlookers_hear_of_everything_and_undo_nothing(house: House) -> None:
    class Broken(Onlooker):
        def request_changed(self, request: Request) -> None:
            raise ValueError

    seen, broken = Onlooker(), Broken()
    house.approvals.watch(broken)
    stop = house.approvals.watch(seen)
    request = house.approvals.request(subject(), ASKED)
    house.approvals.decide(request.id, DORA, yes=True)
    house.approvals.use(subject(), ASKED)
    assert [one.state for one in seen.requests] == ["pending", "approved"]
    assert [one.state for one in seen.grants] == ["live", "used"]
    stop()
    house.approvals.request(subject(binding="c" * 64), ASKED)
    assert len(seen.requests) == 2


def test_old_ones_are_forgotten(house: House) -> None:
    request = house.approvals.request(subject(), ASKED)
    house.approvals.decide(request.id, DORA, yes=True)
    house.clock.advance(86_400 + 899)
    house.approvals.sweep(house.clock.seconds())
    assert len(house.approvals.grants()) == 1
    house.clock.advance(3601)
    house.approvals.sweep(house.clock.seconds())
    assert not house.approvals.grants()
    assert not house.approvals.requests()
    house.approvals.close()
    house.approvals = house.reopened()
    assert house.approvals.requests() == ()


def test_ids_are_easily_read() -> None:
    assert new_id(bytes) == "0000-0000"
    assert new_id(lambda size: b"\xff" * size) == "zzzz-zzzz"
