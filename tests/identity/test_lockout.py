from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.schema import Lockout as LockoutSection
from gateway.identity import lockout as module
from gateway.identity.lockout import Lockout

SECTION = LockoutSection(free=3, first=1.0, longest=100.0)


def failing(lockout: Lockout, times: int, name: str = "alice", address: str = "10.0.0.1", now: float = 0.0) -> None:
    for _ in range(times):
        lockout.failed(name, address, now)


def test_waits_double_up_to_the_longest() -> None:
    lockout = Lockout(SECTION)
    waits = []
    for _ in range(12):
        waits.append(lockout.wait("alice", "10.0.0.1", 0.0))
        lockout.failed("alice", "10.0.0.1", 0.0)
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 100, 100]


def test_a_wait_passes() -> None:
    lockout = Lockout(SECTION)
    failing(lockout, 5, now=1000.0)
    assert lockout.wait("alice", "10.0.0.1", 1001.0) == 3.0
    assert lockout.wait("alice", "10.0.0.1", 1004.0) == 0.0


def test_a_clock_set_back_makes_no_wait_longer() -> None:
    lockout = Lockout(SECTION)
    failing(lockout, 5, now=1e9)
    assert lockout.wait("alice", "10.0.0.1", 0.0) == 4.0


def test_success_forgets_the_pair() -> None:
    lockout = Lockout(SECTION)
    failing(lockout, 10)
    lockout.succeeded("alice", "10.0.0.1")
    assert lockout.wait("alice", "10.0.0.1", 0.0) == 0.0


def test_old_failures_are_forgotten() -> None:
    lockout = Lockout(SECTION)
    failing(lockout, 10)
    lockout.failed("alice", "10.0.0.1", 201.0)
    assert lockout.wait("alice", "10.0.0.1", 201.0) == 0.0


def test_others_at_the_same_address_and_the_same_name_elsewhere_are_not_touched() -> None:
    lockout = Lockout(SECTION)
    failing(lockout, 30)
    assert lockout.wait("bob", "10.0.0.1", 0.0) == 0.0
    assert lockout.wait("alice", "10.0.0.2", 0.0) == 0.0


def test_guessing_many_names_from_one_address_is_slowed_down() -> None:
    lockout = Lockout(SECTION)
    for number in range(1000):
        lockout.failed(f"name{number}", "10.0.0.1", 0.0)
    assert lockout.wait("fresh", "10.0.0.1", 0.0) == module.SHARED_LONGEST
    assert lockout.wait("fresh", "10.0.0.2", 0.0) == 0.0


def test_guessing_one_name_from_many_addresses_is_slowed_down() -> None:
    lockout = Lockout(SECTION)
    for number in range(1000):
        lockout.failed("alice", f"10.0.{number // 250}.{number % 250}", 0.0)
    assert lockout.wait("alice", "192.0.2.1", 0.0) == module.SHARED_LONGEST


def test_nobody_can_lock_out_those_who_work_there() -> None:
    """Neither a colleague's machine behind the same NAT nor a botnet keeps alice out of where she logs in."""
    lockout = Lockout(SECTION)
    lockout.succeeded("alice", "10.0.0.1")
    for number in range(1000):
        lockout.failed(f"name{number}", "10.0.0.1", 0.0)
        lockout.failed("alice", f"10.1.{number // 250}.{number % 250}", 0.0)
    assert lockout.wait("alice", "10.0.0.1", 0.0) == 0.0
    failing(lockout, 10)
    assert lockout.wait("alice", "10.0.0.1", 0.0) > 0.0


def test_success_does_not_buy_tries_at_other_names() -> None:
    lockout = Lockout(SECTION)
    for number in range(100):
        lockout.failed(f"name{number}", "10.0.0.1", 0.0)
        lockout.succeeded("mallory", "10.0.0.1")
    assert lockout.wait("alice", "10.0.0.1", 0.0) == module.SHARED_LONGEST


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "", True),
    ],
)
def test_sites(one: str, other: str, same: bool) -> None:
    lockout = Lockout(SECTION)
    failing(lockout, 5, address=one)
    assert (lockout.wait("alice", other, 0.0) > 0) is same


def test_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 10)
    lockout = Lockout(SECTION)
    for number in range(100):
        lockout.failed(f"name{number}", f"10.0.0.{number}", 0.0)
        lockout.succeeded(f"name{number}", f"10.0.1.{number}")
    for table in (lockout._pairs, lockout._names, lockout._addresses):
        assert len(table._counts) == 10
    assert len(lockout._welcome) == 10


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=5), st.floats(0, 1e6), st.booleans()), max_size=50))
def test_no_wait_is_longer_than_the_longest(attempts: list[tuple[str, str, float, bool]]) -> None:
    lockout = Lockout(SECTION)
    for name, address, now, right in attempts:
        assert 0 <= lockout.wait(name, address, now) <= SECTION.longest
        if right:
            lockout.succeeded(name, address)
        else:
            lockout.failed(name, address, now)


def test_thousands_of_failures_overflow_nothing() -> None:
    lockout = Lockout(SECTION)
    failing(lockout, 3000)
    assert lockout.wait("alice", "10.0.0.1", 0.0) == SECTION.longest
