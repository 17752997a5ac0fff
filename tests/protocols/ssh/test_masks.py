from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from gateway.masking.methods import NO_KEYS
from gateway.model import Method
from gateway.protocols.ssh.masks import PIPED, TYPED, Output, OutputMasks

if TYPE_CHECKING:
    from gateway.session import Corridor

SSN = b"900-12-3456"
SEARCHED = SimpleNamespace(detected={"us_ssn": Method("redact"), "payment_card": Method("redact")}, own_detectors=())
NOTHING = SimpleNamespace(detected={}, own_detectors=())


class House:
    """One output whose corridor, clock and caller are the test's."""

    def __init__(self, policy: Any = SEARCHED, *, typed: bool = False) -> None:
        self.clock = Clock()
        self.policy = policy
        corridor: Any = SimpleNamespace(newest_policy=lambda: self.policy)
        self.shown: list[bytes] = []
        self.failures: list[BaseException] = []
        self.vault_breaks = False
        self.output = Output(
            OutputMasks(cast("Corridor", corridor), lambda: NO_KEYS, self._keep),
            show=self.shown.append,
            later=self.clock.callLater,
            now=self.clock.seconds,
            failed=self.failures.append,
            typed=typed,
        )

    def _keep(self) -> None:
        if self.vault_breaks:
            raise OSError("the vault is gone")

    def all(self) -> bytes:
        return b"".join(self.shown)


TEXT = b"ssn 900-12-3456 of card 4111 1111 1111 1111\n\x1b[31m900-\x1b[0m12-3456 end\n"
HIDDEN = b"ssn **** of card ****\n"


@given(st.lists(st.integers(0, len(TEXT)), max_size=20), st.floats(0, PIPED * 0.99))
def test_any_split_and_any_pause_below_the_longer_timer_shows_no_value(cuts: list[int], pause: float) -> None:
    house = House()
    for start, end in pairwise(sorted({0, len(TEXT), *cuts})):
        house.output.feed(TEXT[start:end])
        house.clock.pump([TYPED, max(0, pause - TYPED)])
    house.output.close()
    assert house.all().startswith(HIDDEN)
    assert b"3456" not in house.all()


@given(st.lists(st.integers(0, len(TEXT)), max_size=20))
def test_of_a_value_on_a_terminal_a_split_shows_no_more_than_its_first_character(cuts: list[int]) -> None:
    house = House(typed=True)
    for start, end in pairwise(sorted({0, len(TEXT), *cuts})):
        house.output.feed(TEXT[start:end])
        house.clock.advance(TYPED)
    house.output.close()
    for part in (b"900", b"3456", b"411"):
        assert part not in house.all()


def test_every_byte_by_itself_with_a_flush_behind_each() -> None:
    house = House()
    for at in range(len(TEXT)):
        house.output.feed(TEXT[at : at + 1])
        house.clock.advance(TYPED)
    house.output.close()
    assert house.all().startswith(HIDDEN)
    assert b"3456" not in house.all()


def test_without_masks_it_passes_at_once() -> None:
    house = House(NOTHING)
    house.output.feed(TEXT)
    assert house.shown == [TEXT]
    house.output.close()
    assert house.all() == TEXT


def test_a_prompt_is_shown_though_nothing_follows() -> None:
    house = House(typed=True)
    house.output.feed(b"$ ")
    assert house.all() == b""
    house.clock.advance(TYPED)
    assert house.all() == b"$ "


@pytest.mark.parametrize(("typed", "pause"), [(True, TYPED), (False, PIPED)])
def test_what_looks_like_a_beginning_waits_longer(typed: bool, pause: float) -> None:
    house = House(typed=typed)
    house.output.feed(b"count: 900-12")
    house.clock.advance(TYPED)
    assert b"900" not in house.all()
    house.clock.advance(pause)
    assert house.all() == b"count: 900-12"
    house.output.feed(b"-3456 done\n")
    house.output.close()
    assert b"3456" not in house.all(), "the rest of a value whose beginning is out"


def test_what_comes_meanwhile_need_not_wait_for_the_longer_timer() -> None:
    house = House()
    house.output.feed(b"count: 900-12")
    house.clock.advance(TYPED)
    house.output.feed(b" and more. ")
    house.clock.advance(TYPED)
    assert house.all() == b"count: 900-12 and more. "


def test_new_masks_hold_from_the_next_piece_on() -> None:
    house = House(NOTHING)
    house.output.feed(SSN + b"\n")
    house.policy = SEARCHED
    house.output.feed(SSN + b"\n")
    house.policy = NOTHING
    house.output.feed(SSN + b"\n")
    assert house.all() == SSN + b"\n****\n" + SSN + b"\n"


def test_nothing_is_shown_whose_tokens_can_not_be_kept() -> None:
    house = House()
    house.output.feed(b"$ ")
    house.vault_breaks = True
    house.clock.advance(TYPED)
    assert house.all() == b""
    assert [type(error) for error in house.failures] == [OSError]
    with pytest.raises(OSError, match="vault"):
        house.output.feed(b"a line\n" * 2000)
    assert house.all() == b""


def test_the_end_takes_its_timer_with_it() -> None:
    house = House()
    house.output.feed(b"$ ")
    house.output.close()
    house.output.close()
    assert house.shown == [b"$ "]
    assert not house.clock.getDelayedCalls()


@pytest.mark.parametrize("typed", [True, False])
def test_a_caller_that_stops_reading_is_no_pause_of_the_target(typed: bool) -> None:
    house = House(typed=typed)
    house.output.feed(b"ssn 900-12-")
    house.output.hold(True)
    house.clock.advance(3600)
    house.output.hold(False)
    house.output.feed(b"3456 is secret.\n")
    house.output.close()
    assert house.all() == b"ssn **** is secret.\n"


def test_what_is_held_back_goes_out_when_the_caller_reads_again() -> None:
    house = House()
    house.output.hold(True)
    house.output.feed(b"name? ")
    house.clock.advance(3600)
    assert house.all() == b""
    house.output.hold(False)
    house.clock.advance(TYPED)
    assert house.all() == b"name? "


def test_a_silent_output_does_not_wait_for_one_that_fills_the_caller_again_and_again() -> None:
    house = House()
    house.output.feed(b"name? ")
    for _ in range(31):
        assert house.all() == b""
        house.clock.advance(0.001)
        house.output.hold(True)
        house.clock.advance(0.1)
        house.output.hold(False)
    assert house.all() == b"name? "


def test_a_new_policy_with_the_same_masks_cuts_no_value() -> None:
    house = House()
    house.output.feed(b"ssn 900-12-")
    house.policy = SimpleNamespace(detected=dict(SEARCHED.detected), own_detectors=())
    house.output.feed(b"3456 is secret.\n")
    house.output.close()
    assert house.all() == b"ssn **** is secret.\n"


def test_a_text_of_which_no_more_comes() -> None:
    for policy, shown in ((SEARCHED, b"no such file: ****"), (NOTHING, b"no such file: " + SSN)):
        corridor: Any = SimpleNamespace(newest_policy=lambda policy=policy: policy)
        kept: list[int] = []
        masks = OutputMasks(cast("Corridor", corridor), lambda: NO_KEYS, lambda kept=kept: kept.append(1))  # type: ignore[misc]  # mypy has no types for a lambda's defaults
        assert masks.whole(b"no such file: " + SSN) == shown
        assert bool(kept) is (policy is SEARCHED)
