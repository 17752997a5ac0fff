from __future__ import annotations

from typing import Any

import pytest
from session.house import House, principal

from gateway.errors import SessionEnded, TooManySessions
from gateway.session import LiveSessions


def test_sessions_come_and_go(house: House) -> None:
    one, two = house.open(), house.open(house.admit(principal("bob")))
    assert len(house.live) == 2
    assert {session.id for session in house.live} == {one.live.id, two.live.id}
    assert house.live.get(one.live.id) is one.live
    house.live.leave(one.live)
    house.live.leave(one.live)
    assert len(house.live) == 1
    assert house.live.get(one.live.id) is None
    assert house.live.get("nobody") is None


def test_limits_count_who_is_here_now() -> None:
    LiveSessions().room_for("alice", sessions=1, per_principal=1)
    for limits in ({"sessions": 0, "per_principal": 1}, {"sessions": 1, "per_principal": 0}):
        with pytest.raises(TooManySessions):
            LiveSessions().room_for("alice", **limits)


def test_leaving_twice_makes_no_room_twice(house: House) -> None:
    one, _two = house.open(), house.open()
    house.live.leave(one.live)
    house.live.leave(one.live)
    house.open()
    with pytest.raises(TooManySessions):
        house.admit()


def test_all_can_be_ended(house: House) -> None:
    house.open()
    house.open(house.admit(principal("bob")))
    reason = SessionEnded("maintenance")
    assert house.live.end_all(reason) == 2
    assert house.ended == [reason, reason]


def test_ending_may_change_the_list(house: House) -> None:
    corridors = [house.open(), house.open()]
    for corridor in corridors:
        corridor.live.end = lambda error, corridor=corridor: corridor.close(str(error))  # type: ignore[misc]
    assert house.live.end_all(SessionEnded("maintenance")) == 2
    assert len(house.live) == 0


def test_a_sweep_ends_whose_time_is_over(house: House) -> None:
    told: list[SessionEnded] = []
    one, two = house.open(), house.open()
    two.live.gone = lambda now: SessionEnded("over") if now > 10 else None
    two.live.end = told.append  # type: ignore[assignment]
    assert house.live.sweep(10.0) == 0
    assert house.live.sweep(11.0) == 1
    assert [error.message for error in told] == ["over"]
    assert house.live.get(one.live.id) is one.live


def test_a_session_that_cannot_be_judged_is_ended_and_keeps_none_from_its_end(house: House) -> None:
    told: list[tuple[str, str]] = []
    for name in ("unclear", "stuck", "over"):
        live = house.open(house.admit(principal(name))).live
        live.gone = lambda now: SessionEnded("over")
        live.end = lambda error, name=name: told.append((name, error.message))  # type: ignore[misc]
    unclear, stuck, _ = house.live

    def breaks(*_: object) -> Any:
        raise OSError("no descriptor left")

    unclear.gone = breaks
    stuck.end = breaks
    assert house.live.sweep(10.0) == 3
    assert told == [("unclear", "whether this session may go on can't be told"), ("over", "over")]
    told.clear()
    assert house.live.end_all(SessionEnded("maintenance")) == 3
    assert [name for name, _ in told] == ["unclear", "over"]
    told.clear()
    assert house.live.end_all(SessionEnded("locked"), lambda live: live is stuck or breaks() is None) == 3
    assert [name for name, _ in told] == ["unclear", "over"]
