from __future__ import annotations

from collections.abc import Callable

from gateway.protocols.postgres.cancel import FORGET, MAX_ADDRESSES, WRONG, CancelKeys


def dealt(*values: bytes) -> Callable[[int], bytes]:
    """Randomness as a test wants it."""
    left = list(values)

    def random(size: int) -> bytes:
        value = left.pop(0)
        assert len(value) == size
        return value

    return random


def test_a_session_is_found_by_pid_and_secret() -> None:
    keys = CancelKeys(dealt(b"aaaa", b"b" * 32))
    assert keys.give(7, "one", long=False) == b"aaaa"
    assert keys.give(8, "two", long=True) == b"b" * 32
    assert keys.owner(7, b"aaaa") == "one"
    assert keys.owner(8, b"b" * 32) == "two"


def test_a_wrong_pid_or_secret_finds_nobody() -> None:
    keys = CancelKeys(dealt(b"aaaa"))
    keys.give(7, "one", long=False)
    assert keys.owner(8, b"aaaa") is None
    assert keys.owner(7, b"aaab") is None
    assert keys.owner(7, b"") is None
    assert keys.owner(7, b"aaaa" * 8) is None


def test_two_targets_may_give_the_same_pid() -> None:
    keys = CancelKeys(dealt(b"aaaa", b"bbbb"))
    keys.give(7, "one", long=False)
    keys.give(7, "two", long=False)
    assert keys.owner(7, b"aaaa") == "one"
    assert keys.owner(7, b"bbbb") == "two"


def test_secrets_never_collide() -> None:
    keys = CancelKeys(dealt(b"aaaa", b"aaaa", b"aaaa", b"bbbb"))
    keys.give(7, "one", long=False)
    assert keys.give(7, "two", long=False) == b"bbbb"
    assert keys.owner(7, b"aaaa") == "one"


def test_a_session_that_is_gone_is_not_found() -> None:
    keys = CancelKeys(dealt(b"aaaa", b"bbbb"))
    one, two = keys.give(7, "one", long=False), keys.give(7, "two", long=False)
    keys.take_back(7, one)
    assert keys.owner(7, one) is None
    assert keys.owner(7, two) == "two"
    keys.take_back(7, two)
    keys.take_back(7, two)
    keys.take_back(9, two)
    assert keys.owner(7, two) is None


def test_who_guesses_is_not_looked_up_for_a_while() -> None:
    keys = CancelKeys(dealt(b"aaaa"))
    keys.give(7, "one", long=False)
    for _ in range(WRONG):
        assert keys.request(7, b"xxxx", "192.0.2.1", 100.0) is None
    assert keys.request(7, b"aaaa", "192.0.2.1", 100.0) is None, "the right one comes too late"
    assert keys.request(7, b"aaaa", "192.0.2.2", 100.0) == "one", "others are not concerned"
    assert keys.request(7, b"aaaa", "192.0.2.1", 101.0 + FORGET) == "one"


def test_right_secrets_are_not_counted() -> None:
    keys = CancelKeys(dealt(b"aaaa"))
    keys.give(7, "one", long=False)
    assert {keys.request(7, b"aaaa", "192.0.2.1", 100.0) for _ in range(3 * WRONG)} == {"one"}


def test_addresses_are_remembered_within_bounds() -> None:
    keys = CancelKeys(dealt())
    for number in range(MAX_ADDRESSES + 10):
        keys.request(7, b"xxxx", str(number), 100.0)
    assert len(keys._wrong) == MAX_ADDRESSES
