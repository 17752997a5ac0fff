from __future__ import annotations

from twisted.internet.task import Clock

from gateway.control import pace
from gateway.control.pace import Pace, Rate

RATE = Rate(3, 0.5)


def test_a_burst_and_then_one_at_a_time() -> None:
    clock = Clock()
    made = Pace(RATE, clock.seconds)
    for _ in range(RATE.burst):
        assert not made.exhausted("mallory")
        made.spend("mallory")
    assert made.exhausted("mallory")
    clock.advance(RATE.every)
    assert not made.exhausted("mallory")
    made.spend("mallory")
    assert made.exhausted("mallory")


def test_others_do_not_pay_for_it() -> None:
    made = Pace(RATE, Clock().seconds)
    for _ in range(RATE.burst):
        made.spend("mallory")
    assert not made.exhausted("alice")


def test_who_was_quiet_long_enough_is_forgotten() -> None:
    clock = Clock()
    made = Pace(RATE, clock.seconds)
    for number in range(pace.FORGET):
        made.spend(str(number))
    for _ in range(RATE.burst):
        made.spend("mallory")
    clock.advance(2 * RATE.every)
    made.spend("alice")
    assert set(made._until) == {"mallory", "alice"}
    assert not made.exhausted("0")
