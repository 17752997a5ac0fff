"""The line that is being typed, by the keys and by what a terminal shows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.ssh.line import MAX_FED, MAX_LINE, MAX_PROMPT, Keys, Shown


def typed(data: bytes, *, brackets: bool = True) -> Keys:
    keys = Keys()
    keys.brackets = brackets
    assert keys.until_enter(data) == len(data), "no Enter"
    return keys


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"ls -l", "ls -l"),
        (b"rx\x7fm -rf /", "rm -rf /"),
        (b"rx\x08m", "rm"),
        (b"\x7f\x7fa", "a"),
        (b"nothing\x15rm", "rm"),
        (b"-rf /\x01rm ", "rm -rf /"),
        (b"-rf /\x1b[Hrm ", "rm -rf /"),
        (b"-rf /\x1bOHrm ", "rm -rf /"),
        (b"-rf /\x1b[1~rm \x1b[4~tmp", "rm -rf /tmp"),
        (b"rm tmp\x17-rf /", "rm -rf /"),
        (b"rm a  \x17\x17mv", "mv"),
        (b"rmm\x1b[D\x04 -r", "rm -r"),
        (b"rmm\x1b[D\x1b[3~ -r", "rm -r"),
        (b"rm\x02\x02a \x06\x06!", "a rm!"),
        (b"rm -rf / # x\x02\x02\x02\x02\x0b", "rm -rf /"),
        (b"cat x\x03rm", "rm"),
        (b"a\x0cb", "ab"),
        ("é\u4e2d\x7fx".encode(), "éx"),
        (b"\x1b[200~rm -rf /\rid\x1b[201~ x", "rm -rf /\nid x"),
        (b"\x1b[200~a\tb\x03c\x1b[201~", "a\tb\x03c"),
        (b"\x1b[D\x1b[C\x1b[Cx", "x"),
    ],
)
def test_keys_that_are_known(data: bytes, line: str) -> None:
    keys = typed(data)
    assert (keys.text, keys.known) == (line, True)


@pytest.mark.parametrize(
    "data",
    [b"\x1b[A", b"\x1bOA", b"\t", b"\x12rm", b"\x10", b"\x19", b"\x14", b"\x16a", b"\x1bb", b"\x1b[1;5D", b"\x1b[15~",
     b"\x00", b"\x18\x05", b"\x1b[200~x\x1b[Ay\x1b[201~", b"a" * (MAX_LINE + 1)],
)  # fmt: skip
def test_keys_that_are_not(data: bytes) -> None:
    keys = typed(data)
    assert not keys.known
    keys.until_enter(b"more")
    assert not keys.known, "until the line is over"
    keys.restart()
    assert keys.known


def test_a_paste_is_one_only_where_the_program_asked_for_it() -> None:
    keys = Keys()
    assert keys.until_enter(b"\x1b[200~rm\rid") == 8, "Enter"
    assert not keys.known


@pytest.mark.parametrize(
    ("data", "at", "known"),
    [
        (b"rm\rid", 2, True),
        (b"rm\nid", 2, True),
        (b"rm\x0fid", 2, True),
        (b"\r", 0, True),
        (b"rm\x1b\r", 3, False),
        (b"rm\x1b[1\r", 5, False),
        (b"rm\x16\rid\r", 6, False),
        (b"rm\xc3\r", 3, True),
    ],
)
def test_where_enter_is(data: bytes, at: int, known: bool) -> None:
    keys = Keys()
    assert (keys.until_enter(data), keys.known) == (at, known)


KEYS = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\x1b[A", b"\x1b[D", b"\x1b[C", b"\x1b[3~", b"\x1b[H", b"\x1bOF", b"\x1b[200~", b"\x1b[201~", b"\x1b",
             b"\r", b"\n", b"\x16", b"\x15", b"\x17", b"\x7f", b"\x03", b"\t", b"rm -rf /", "é\u4e2d".encode(), b"\xc3"]
        ),
        st.binary(max_size=4),
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


def lines(pieces: Sequence[bytes], *, brackets: bool) -> list[tuple[str, bool]]:
    """Every line that the keys end, and the one that is left."""
    keys = Keys()
    found = []
    for piece in pieces:
        position = 0
        while position < len(piece):
            if not keys.begun:
                keys.brackets = brackets
            enter = keys.until_enter(piece, position)
            position = enter + 1
            if enter < len(piece):
                found.append((keys.text, keys.known))
                keys.restart()
    return [*found, (keys.text, keys.known)]


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(index % (len(data) + 1) for index in at)})
    return [data[begin:end] for begin, end in pairwise(bounds)]


@given(KEYS, st.lists(st.integers(0, 200)), st.booleans())
def test_packets_make_no_difference_to_keys(data: bytes, at: list[int], brackets: bool) -> None:
    assert lines(cut(data, at), brackets=brackets) == lines([data], brackets=brackets)


# --- what is shown ---


def after(*output: bytes, columns: int = 80, prompt: bytes = b"$ ") -> Shown:
    shown = Shown(columns)
    shown.feed(prompt, edited=False)
    shown.begin()
    for data in output:
        shown.feed(data, edited=True)
    return shown


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (b"rm -rf /", "rm -rf /"),
        (b"\x1b[32mrm\x1b[0m -rf /", "rm -rf /"),
        (b"rx\b \bm -rf", "rm -rf"),
        (b"rx\b\x1b[Km -rf", "rm -rf"),
        (b"ls\r\x1b[C\x1b[Crm\x1b[K", "rm"),
        (b"ls\r$ rm -rf /", "rm -rf /"),
        (b"-rf /\b\b\b\b\b\x1b[3@rm ", "rm -rf /"),
        (b"rrm\b\b\b\x1b[1P", "rm"),
        (b"/etc\r\n/a /b\r\n$ rm /", "rm /"),
        (b"\r\n(reverse-i-search)`rm': rm -rf /", "(reverse-i-search)`rm': rm -rf /"),
        (b"\x1b]0;rm -rf /\x07ls", "ls"),
        (b"\x1bP1$r0m\x1b\\ls", "ls"),
        (b"\x1b[H\x1b[2J$ rm", "rm"),
        (b"a\tb", "a     b"),
        (b"rm -rf\x1b[G$ ls\x1b[K", "ls"),
        (b"rmxx\x1b[2D\x1b[X\x1b[X", "rm x"),
        (b"\x1b(Bls", "ls"),
        ("é\u4e2d".encode(), "é\u4e2d"),
    ],
)
def test_what_the_line_shows(output: bytes, line: str) -> None:
    assert after(output).text == line
    assert after(*(output[index : index + 1] for index in range(len(output)))).text == line


def test_a_line_that_is_wrapped() -> None:
    # As readline writes it: behind the last column a blank that begins the row, and is overwritten.
    assert after(b"rm -rf /", b" \rsrv", columns=10).text == "rm -rf /srv"
    long = after(b"x" * 8 + b"y" * 10 + b"z\x1b[A\r", columns=10)
    assert long.text == "x" * 8 + "y" * 10 + "z"
    long.feed(b"\n\x1b[K", edited=True)
    assert long.text == "x" * 8 + "y" * 10


@given(KEYS, st.lists(st.integers(0, 200)))
def test_packets_make_no_difference_to_what_is_shown(data: bytes, at: list[int]) -> None:
    one, many = after(data, columns=9), after(*cut(data, at), columns=9)
    assert (one.text, one.alternate, one.brackets) == (many.text, many.alternate, many.brackets)


def test_what_counts_as_shown() -> None:
    assert after(b"rm -rf /").has("rm -rf /")
    assert after(b"rm -rf /").has("echo a\nrm -rf /"), "the last line of a paste"
    assert not after(b"").has("secret")
    assert not after(b"\r\nPassword: ").has("rm -rf /")
    assert not after(b"", prompt=b"Really wipe it? Password: ").has("wipe"), "the prompt is no echo"


def test_modes() -> None:
    shown = Shown(80)
    for piece in (b"\x1b[?", b"2004", b"h", b"x\x1b[?1;10", b"49h"):
        shown.feed(piece, edited=False)
    assert (shown.brackets, shown.alternate) == (True, True)
    shown.feed(b"wipe", edited=True)
    assert shown.text == "", "a program's screen is no line"
    shown.feed(b"\x1b[?1049l\x1b[?2004l", edited=False)
    assert (shown.brackets, shown.alternate) == (False, False)


def test_much_output_costs_little() -> None:
    shown = Shown(80)
    shown.feed(b"x" * 50_000 + b"\n" + b"y" * 50_000 + b"\x1b[?2004h" + b"z" * 50_000, edited=True)
    assert shown.brackets
    assert shown.text == "z" * MAX_PROMPT
    shown.begin()
    for _ in range(MAX_FED // 1000 + 1):
        shown.feed(b"y" * 1000, edited=True)
    shown.feed(b"y" * 1000, edited=True)
    assert len(shown.text) == MAX_PROMPT, "behind the bound only ends are followed, in small pieces, too"
    shown.feed(b"a\nb\n$ ", edited=False)
    shown.begin()
    shown.feed(b"ls", edited=True)
    assert shown.text == "ls"
