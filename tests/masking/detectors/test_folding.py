"""Lookalikes are read as what they look like, and every offset leads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.masking.detectors.folding import AROUND, Folded, fold
from gateway.masking.detectors.shape import CONTEXT

LOOKALIKES = {
    "\uff11": "1",
    "\u0663": "3",
    "\U0001d7d8": "0",
    "\u2013": "-",
    "\u2011": "-",
    "\u2212": "-",
    "\u00a0": " ",
    "\u202f": " ",
    "\uff20": "@",
    "\u200b": "",
    "\u00ad": "",
}


def only(data: bytes) -> Folded:
    (folded,) = fold(data)
    return folded


@pytest.mark.parametrize(("character", "read"), LOOKALIKES.items())
def test_character(character: str, read: str) -> None:
    folded = only(f"a{character}b".encode())
    assert folded.text == f"a{read}b".encode()
    end = 1 + len(character.encode())
    assert folded.span(0, 1) == (0, 1)
    assert folded.span(len(folded.text) - 1, len(folded.text)) == (end, end + 1)
    if read:
        assert folded.span(1, 2) == (1, end)


def test_text_without_them_is_not_touched() -> None:
    assert not list(fold(b"plain"))
    assert not list(fold("größer als 日本".encode()))
    assert not list(fold(b"\xff\xc2 \xe2\x80"))


def test_nothing_but_what_has_no_width() -> None:
    assert only("\u200b\u200b".encode()).text == b""


@given(
    st.lists(st.one_of(st.sampled_from(sorted(LOOKALIKES)), st.sampled_from("aé1\n")), max_size=30),
    st.binary(max_size=4),
)
def test_every_span_leads_back(characters: list[str], broken: bytes) -> None:
    data = b"".join(character.encode() for character in characters) + broken
    pieces = list(fold(data))
    if not set(characters) & set(LOOKALIKES):
        assert not pieces
        return
    (folded,) = pieces
    expected = b""
    for character in characters:
        expected += LOOKALIKES.get(character, character).encode()
    assert folded.text.startswith(expected)
    at = 0
    original = 0
    for character in characters:
        size = len(LOOKALIKES.get(character, character).encode())
        if size:
            assert folded.span(at, at + size) == (original, original + len(character.encode()))
        at += size
        original += len(character.encode())


def test_pieces_around_lookalikes_only() -> None:
    gap = b"." * 3 * (AROUND + CONTEXT)
    data = gap + "1\u20132".encode() + gap + "3\u20144\u20145".encode() + gap
    first, second = fold(data)
    assert first.text == b"." * (AROUND + CONTEXT - 1) + b"1-2" + b"." * (AROUND + CONTEXT - 1)
    at = first.text.index(b"1")
    assert first.span(at, at + 3) == (len(gap), len(gap) + 5)
    assert second.text.strip(b".") == b"3-4-5"


def test_what_is_near_the_border_is_not_sure() -> None:
    gap = b"." * 3 * (AROUND + CONTEXT)
    folded = only(gap + "\u2013".encode() + gap)
    assert folded.span(CONTEXT - 1, CONTEXT + 1) is None
    assert folded.span(CONTEXT, CONTEXT + 1) is not None
    length = len(folded.text)
    assert folded.span(length - CONTEXT, length - CONTEXT + 1) is None
    assert folded.span(length - CONTEXT - 1, length - CONTEXT) is not None
