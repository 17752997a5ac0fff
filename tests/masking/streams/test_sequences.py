"""`Splitter`: its shortcuts for what is frequent find what the grammar finds."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.masking.streams import sequences
from gateway.masking.streams.sequences import MAX_KNOWN, MAX_SEQUENCE, Splitter

from .finding import cut

BEGIN = re.compile(rb"[\x00-\x07\x0e-\x1f\x7f]|\xc2(?:[\x80-\x9f]|\Z)")
Split = tuple[bytes, list[tuple[int, bytes, bytes, bool]]]


def expected(data: bytes) -> Split:
    """By the grammar alone: text, and the offset, bytes, string or numbers of each sequence, and whether it is text."""
    text = b""
    found = []
    pos = search = 0
    while (begin := BEGIN.search(data, search)) is not None:
        start = begin.start()
        match = sequences._WHOLE.match(data, start, start + MAX_SEQUENCE)
        if match is None:
            search = start + 1
            continue
        text += data[pos:start]
        pos = search = match.end()
        inner = b"" if match.lastgroup is None else match.group(match.lastgroup)
        found.append((len(text), match.group(), inner, match.lastgroup not in (None, "numbers")))
    return text + data[pos:], found


def split(*chunks: bytes) -> Split:
    splitter = Splitter()
    text = b""
    found = []
    for part, marks in [*map(splitter.feed, chunks), splitter.close()]:
        for offset, one in marks:
            found.append((len(text) + offset, one.data, one.data[one.begin : one.end], one.holds_text))
        text += part
    return text, found


def by_place(found: list[tuple[int, bytes, bytes, bool]]) -> dict[int, bytes]:
    joined: dict[int, bytes] = {}
    for offset, data, _, _ in found:
        joined[offset] = joined.get(offset, b"") + data
    return joined


PIECES = st.sampled_from(
    [b"\x1b", b"[", b"\x1b[", b"m", b"1;31", b"0", b"?25h", b"\x1b[0m", b"\x1b[01;34m", b"\x1b]", b"0;title", b"\x07",
     b"\x1b\\", b"\x1bP", b"\x1b(B", b"\xc2\x9b", b"\xc2", b"\xc3\xa9", b"\x18", b"\x7f", b"\n", b"a word", b"\0"]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=4), max_size=30).map(b"".join), st.lists(st.integers(0, 99), max_size=5))
def test_the_grammar_says_the_same(data: bytes, places: list[int]) -> None:
    text, found = expected(data)
    assert split(data) == (text, found)
    cut_text, pieces = split(*cut(data, places))
    assert cut_text == text
    assert by_place(pieces) == by_place(found)  # a run of control characters is as many as its chunks


def test_numbers_up_to_the_limit_and_beyond() -> None:
    for size in range(MAX_SEQUENCE - 5, MAX_SEQUENCE + 3):
        data = b"a\x1b[" + b"1" * size + b"mb"
        assert split(data) == expected(data)


def test_more_sequences_than_are_remembered() -> None:
    data = b"".join(b"\x1b[%dmx" % number for number in range(MAX_KNOWN + 50)) * 2
    assert split(data) == expected(data)
