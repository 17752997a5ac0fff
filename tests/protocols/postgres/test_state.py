from __future__ import annotations

from protocols.postgres.talk import FakePlanner, operation

from gateway.model import Verdict
from gateway.protocols.postgres.state import Portal, Prepared, drop

VERDICT = Verdict(operation(b"select 1"), 1)


def prepared(text: bytes, previous: Prepared | None = None) -> Prepared:
    return Prepared(b"s", text, b"\0\0", VERDICT, 0, previous)


def test_dropping_the_newest_gives_back_what_was_before() -> None:
    old = prepared(b"1")
    new = prepared(b"2", old)
    names = {b"s": new}
    drop(names, new)
    assert names == {b"s": old}
    drop(names, old)
    assert names == {}


def test_dropping_an_older_one_keeps_the_newest() -> None:
    old = prepared(b"1")
    middle = prepared(b"2", old)
    new = prepared(b"3", middle)
    names = {b"s": new}
    drop(names, middle)
    assert names == {b"s": new}
    assert new.previous is old
    drop(names, new)
    assert names == {b"s": old}


def test_dropping_what_is_not_there_does_nothing() -> None:
    names = {b"s": prepared(b"1")}
    before = dict(names)
    drop(names, prepared(b"2"))
    assert names == before
    drop(names, Prepared(b"other", b"", b"", VERDICT, 0, None))
    assert names == before


def test_a_plan_belongs_to_a_planner_and_an_operation() -> None:
    portal = Portal(b"p", None, b"", (), (), 0, None)
    planner = FakePlanner()
    verdict = Verdict(operation(b"execute foo"), 1, planner)
    assert not portal.expects(verdict)
    portal.expect(verdict)
    portal.planned = True
    portal.expect(Verdict(operation(b"execute foo"), 2, planner))
    assert [portal.planned] == [True], "the same again: nothing to plan"
    labelled = Verdict(operation(b"execute foo", frozenset({"pii.ssn"})), 3, planner)
    assert not portal.expects(labelled)
    portal.expect(labelled)
    assert not portal.expects(Verdict(labelled.operation, 4, FakePlanner()))
    assert not portal.planned
