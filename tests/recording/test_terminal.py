from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.recording import terminal
from gateway.recording.terminal import MAX_SEQUENCE, MAX_STRING, TerminalFilter, drawn_text

CORPUS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "corpora" / "terminal_attacks.yaml").read_text()
)

DRAWS = re.compile(
    r"""(?:
      [\x20-\x7e]
    | [\x08-\x0f]
    | [^\x00-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f\ud800-\udfff]
    | \x1b [78DEM]
    | \x1b [()] [0B]
    | \x1b \[ (?:[0-9]{1,4}(?:;[0-9]{0,4})?|;[0-9]{0,4}|) [@ABCDEFGHIJKLMPSTXZ`abdfr]
    | \x1b \[ [su]
    | \x1b \[ [0-9;:]* m
    | \x1b \[ 4 [hl]
    | \x1b \[ \? (?:7|25|47|1047|1048|1049) (?:;(?:7|25|47|1047|1048|1049))* [hl]
    )*""",
    re.VERBOSE,
)
"""All that may come out, written down anew."""

BEGINNINGS = "\x1b|\x1b[|\x1b]|\x1bP|\x1bk|\x1b]P|\x9b|\x9d|\x05|\x0e|\n|\u0300|\u202e"
BETWEEN = "?|>|:|;| |$q|52;c;|99999|38;5;|0;1049;2004"
ENDS = "\x1b\\|\x07|\x18|\x9c|!p|8m|h|l|m|J|3J|r|t|n|c|b|a|é|(0|(U|7|R"
PIECES = st.one_of(
    st.sampled_from(f"{BEGINNINGS}|{BETWEEN}|{ENDS}".split("|")),
    st.text(max_size=4),
    st.integers(0, 300).map(str),
)
OUTPUTS = st.lists(PIECES, max_size=30).map("".join)
SIZES = st.none() | st.tuples(st.integers(1, 300), st.integers(1, 100))


def drawn(text: str) -> str:
    return TerminalFilter().feed(text)


def test_the_corpus_has_reasons_and_no_attack_twice() -> None:
    assert len(CORPUS) >= 150
    assert all(attack["reason"] for attack in CORPUS)
    assert len({attack["sent"] for attack in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: str(attack["reason"]))
def test_attacks_come_to_nothing(attack: dict[str, Any]) -> None:
    expected = attack.get("drawn", "")
    assert drawn(attack["sent"]) == expected
    assert DRAWS.fullmatch(expected)
    one_by_one = TerminalFilter()
    assert "".join(map(one_by_one.feed, attack["sent"])) == expected
    # Nothing of it waits for what comes next, but for what has no end of its own.
    if attack["sent"][-1] not in "\x0c\x1b":
        assert drawn(attack["sent"] + "\x18" + "plain") == expected + "plain"


@given(OUTPUTS, SIZES)
def test_what_comes_out_only_draws(text: str, size: tuple[int, int] | None) -> None:
    safe = TerminalFilter(size)
    assert DRAWS.fullmatch(safe.feed(text))
    assert DRAWS.fullmatch(safe.resized(size))
    assert DRAWS.fullmatch(safe.restored())


@given(OUTPUTS, st.data())
@example("\x1b]\x07a", None)
def test_any_split_gives_the_same(text: str, data: st.DataObject | None) -> None:
    whole = drawn(text)
    pieces = TerminalFilter()
    got = ""
    rest = text
    while rest:
        length = 1 if data is None else data.draw(st.integers(1, len(rest)))
        piece = pieces.feed(rest[:length])
        assert DRAWS.fullmatch(piece)
        got += piece
        rest = rest[length:]
    assert got == whole


@given(OUTPUTS)
def test_what_came_out_comes_out_again(text: str) -> None:
    once = drawn(text)
    assert drawn(once) == once


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_stays(text: str) -> None:
    assert drawn(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3;48;5;250mcolours\x1b[m",
        "\x1b[4:3;58:2::255:0:0mwavy",
        "\x1b[?1049h\x1b[22;0H\x1b[K\x1b[?25l\x1b[1;24r\x1b[?25h\x1b[?1049l",
        "\x1b(0lqqk\x1b(B\x1b)0\x0ex\x0f",
        "\x1b7\x1b[10;5Hthere\x1b8",
        "\x1b[2P\x1b[3@\x1b[4X\x1b[L\x1b[M\x1b[2S\x1b[T",
        "50%\r\x1b[K100%\r\n\tdone\b",
        "\x1bM\x1bD\x1bE\x1b[4habc\x1b[4l\x1b[s\x1b[u",
        "naïve 日本 ñ e\u0301 👩\u200d💻",
    ],
)
def test_what_programs_draw_stays(text: str) -> None:
    assert drawn(text) == text


def test_a_reset_draws_what_it_does_but_no_more() -> None:
    assert drawn("\x1bc").endswith("\x1b[r\x1b[H\x1b[2J")
    assert "\x1bc" not in drawn("\x1bc")
    assert "\x1b[m" in drawn("\x1b[!p")


@pytest.mark.parametrize("begin", ["\x1b]", "\x1bP", "\x1bk", "\x1b_"])
def test_a_string_without_an_end_hides_no_more_than_its_limit(begin: str) -> None:
    safe = TerminalFilter()
    assert safe.feed(begin + "x" * MAX_STRING) == ""
    assert safe.feed("shown") == "shown"
    for _ in range(3):
        assert safe.feed(begin + "x" * (MAX_STRING // 2)) == ""
    assert safe.feed("x" * MAX_STRING).count("x") == MAX_STRING // 2


def test_a_sequence_without_an_end_is_not_held() -> None:
    safe = TerminalFilter()
    assert safe.feed("\x1b[" + "1;" * MAX_SEQUENCE) == ""
    assert len(safe._sequence) <= MAX_SEQUENCE
    assert safe.feed("1;" * MAX_SEQUENCE + "Hshown") == "shown"


def test_the_title_of_screen_ends_with_the_line() -> None:
    assert drawn("\x1bktitle\r\nshown") == "\r\nshown"


def test_rows_below_the_recording_are_left_alone() -> None:
    safe = TerminalFilter((80, 24))
    assert safe.feed("\x1b[r") == "\x1b[1;24r"
    assert safe.feed("\x1b[5;r\x1b[5;99r\x1b[;0r") == "\x1b[5;24r\x1b[5;24r\x1b[1;24r"
    assert safe.feed("\x1b[24;24r\x1b[30;40r") == ""
    assert safe.feed("\x1b[999;999H\x1b[999d\x1b[999G\x1b[3;4f") == "\x1b[24;80H\x1b[24d\x1b[80G\x1b[3;4f"
    assert safe.feed("\x1b[5e") == "\x1b[5B"
    assert "\x1b[1;24r" in safe.feed("\x1bc")
    assert safe.resized((100, 30)) == "\x1b7\x1b[1;30r\x1b8"
    assert safe.resized(None) == "\x1b7\x1b[r\x1b8"


def test_what_was_changed_is_restored() -> None:
    safe = TerminalFilter()
    safe.feed("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[4h\x1b[1;5r\x1b[7m\x1b(0\x0e\x1b]never ends")
    restored = safe.restored()
    assert restored.startswith("\x1b[?1049l")
    for undone in ("\x1b[r", "\x1b[?25h", "\x1b[?7h", "\x1b[4l", "\x1b[m", "\x1b(B", "\x1b)B", "\x0f"):
        assert undone in restored
    assert safe.feed("plain") == "plain"
    # Leaving an alternate screen that isn't shown would move the cursor.
    assert "1049" not in safe.restored()


def test_the_alternate_screen_is_left_where_the_recording_left_it() -> None:
    safe = TerminalFilter()
    for text, shown in (("\x1b[?1049h", True), ("\x1b[?25l", True), ("\x1b[?47l", False), ("\x1b[?1047h", True)):
        safe.feed(text)
        assert safe.alternate is shown
    safe.feed("\x1bc")
    assert not safe.alternate


@given(OUTPUTS)
def test_text_to_search_has_no_sequences(text: str) -> None:
    assert not re.search(r"[\x00-\x1f]", drawn_text(drawn(text)))


def test_text_to_search() -> None:
    assert drawn_text("\x1b[1mpass\x1b[0mword:\r\n\x1b(0x\x1b7") == "password:  x"


def test_every_table_is_of_the_grammar() -> None:
    for final, most in terminal.SEQUENCES.items():
        assert DRAWS.fullmatch(drawn("\x1b[" + ";".join("1" * most) + final))
    for escape in terminal.ESCAPES:
        assert DRAWS.fullmatch("\x1b" + escape)
