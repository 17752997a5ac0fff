from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.recording import Finding, RecordingDamaged
from gateway.recording.channels import Moment
from gateway.recording.playback import SPEEDS, Playback

SIZE = (80, 24)


def playback(*moments: Moment, **others: object) -> Playback:
    return Playback(iter(moments), **{"size": SIZE, **others})  # type: ignore[arg-type]


def out(time: float, text: str) -> Moment:
    return Moment(time, "output", text)


def plan(playing: Playback) -> list[tuple[float, str, str]]:
    """Waits, texts and marks, if everything is waited for."""
    found = []
    while (wait := playing.wait()) is not None:
        playing.waited(wait)
        drawn = playing.take()
        found.append((round(wait, 6), drawn.text, drawn.mark))
    return found


TALK = (out(1, "a"), out(1, "b"), out(11, "c"), Moment(12, "input", "typed"), Moment(13, "mark", "deny"))


def test_as_it_was() -> None:
    assert plan(playback(*TALK)) == [(1, "a", ""), (0, "b", ""), (10, "c", ""), (1, "", ""), (1, "", "deny")]


def test_faster_and_with_no_long_silence() -> None:
    waits = [wait for wait, _, _ in plan(playback(*TALK, speed=2.0, idle_limit=4.0))]
    assert waits == [0.5, 0, 2, 0.5, 0.5]


def test_from_a_time_on() -> None:
    waits = [wait for wait, _, _ in plan(playback(*TALK, start=11.0))]
    assert waits == [0, 0, 10, 1, 1]
    assert [wait for wait, _, _ in plan(playback(*TALK, start=11.5))] == [0, 0, 0, 1, 1]


def test_speed_changes_while_it_waits() -> None:
    playing = playback(out(10, "a"))
    playing.waited(4)
    assert playing.position == 4
    playing.faster()
    assert playing.wait() == pytest.approx(4)
    playing.slower()
    assert playing.wait() == pytest.approx(6)
    playing.waited(100)
    assert (playing.position, playing.wait()) == (10, 0)


def test_speed_has_bounds() -> None:
    playing = playback(out(10, "a"))
    for _ in range(100):
        playing.faster()
    assert playing.speed == SPEEDS[1]
    for _ in range(100):
        playing.slower()
    assert playing.speed == SPEEDS[0]


def test_a_wait_is_skipped() -> None:
    playing = playback(out(10, "a"), out(20, "b"))
    playing.skip()
    assert plan(playing) == [(0, "a", ""), (10, "b", "")]


@pytest.mark.parametrize(
    "shown",
    [
        ("no pass", "word here"),
        ("PassWord",),
        ("p", "a", "s", "s", "w", "o", "r", "d"),
        ("pass\x1b[1mwo", "\x1b[0", "mrd"),
        ("xpasspass", "word"),
    ],
)
def test_what_is_searched_is_found(shown: tuple[str, ...]) -> None:
    playing = playback(*(out(time, text) for time, text in enumerate((*shown, "behind"))))
    playing.search("password")
    drawn = []
    while playing.searches:
        assert playing.wait() == 0
        drawn.append(playing.take())
    assert [one.found for one in drawn] == [False] * (len(shown) - 1) + [True]
    playing.waited(playing.wait() or 0)
    assert playing.take().text == "behind"


def test_what_is_not_shown_is_not_found() -> None:
    playing = playback(
        out(1, "pass"), Moment(2, "input", "word"), Moment(3, "mark", "password"), out(4, "\x1b]0;password\x07")
    )
    playing.search("passWord")
    assert [wait for wait, _, _ in plan(playing)] == [0, 0, 0, 0]
    assert playing.searches == "passWord"


def test_one_character_is_found() -> None:
    playing = playback(out(1, "a"), out(2, "b"))
    playing.search("b")
    assert [playing.take().found for _ in range(2)] == [False, True]


def test_only_what_draws() -> None:
    playing = playback(out(1, "a\x1b]52;c;"), out(2, "ZXZpbA==\x07b"))
    assert [text for _, text, _ in plan(playing)] == ["a", "b"]


def test_rows_that_are_spare_stay_so() -> None:
    playing = playback(out(0, "\x1b[r"), Moment(1, "resize", "80x50", (80, 50)), Moment(2, "resize", "80x10", (80, 10)))
    assert playing.begin() == ""
    assert playing.fit(24) == "\x1b7\x1b[r\x1b8"
    assert playing.fit(40) == "\x1b7\x1b[1;24r\x1b8"
    assert playing.spares_rows
    assert playing.take().text == "\x1b[1;24r"
    assert playing.take().text == "\x1b7\x1b[r\x1b8"
    assert playing.take().text == "\x1b7\x1b[1;10r\x1b8"
    assert playing.fit(24) == "\x1b7\x1b[1;10r\x1b8"


def test_marks() -> None:
    moments = (Moment(0, "resize", "90x30", (90, 30)), Moment(0, "exit", "3"), Moment(0, "mark", "deny: x"))
    assert [mark for _, _, mark in plan(playback(*moments))] == ["resized to 90x30", "exit status 3", "deny: x"]


def test_damage_is_raised_behind_what_is_good() -> None:
    def damaged() -> Iterator[Moment]:
        yield out(1, "good")
        raise RecordingDamaged(Finding("edited", 7, 3, "changed"))

    playing = Playback(damaged(), size=SIZE)
    assert playing.take().text == "good"
    with pytest.raises(RecordingDamaged):
        playing.wait()


def test_nothing_to_play() -> None:
    playing = playback()
    assert playing.wait() is None
    assert playing.take().text == ""
