from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.net.soon import Soon


class Loop:
    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.asked.append(call)

    def turn(self) -> None:
        asked, self.asked = self.asked, []
        for call in asked:
            call()


def test_one_call_serves_all_of_a_turn() -> None:
    loop = Loop()
    done: list[str] = []
    soon = Soon(loop.call_soon)
    soon(lambda: done.append("first"))
    soon(lambda: done.append("second"))
    assert len(loop.asked) == 1
    assert not done
    loop.turn()
    assert done == ["first", "second"]


def test_what_is_asked_meanwhile_waits_for_the_next_turn() -> None:
    loop = Loop()
    done: list[str] = []
    soon = Soon(loop.call_soon)

    def first() -> None:
        done.append("first")
        soon(lambda: done.append("second"))

    soon(first)
    loop.turn()
    assert done == ["first"]
    loop.turn()
    assert done == ["first", "second"]
    loop.turn()
    assert done == ["first", "second"]


def test_one_that_fails_does_not_hold_up_the_others() -> None:
    loop = Loop()
    done: list[str] = []
    soon = Soon(loop.call_soon)
    soon(lambda: done.append("before"))
    soon(lambda: 1 // 0)
    soon(lambda: done.append("behind"))
    with pytest.raises(ZeroDivisionError):
        loop.turn()
    loop.turn()
    assert done == ["before", "behind"]
