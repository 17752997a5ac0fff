"""Lookalikes are read as what they look like, and every offset leads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.masking.detectors.folding import fold

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


@pytest.mark.parametrize(("character", "read"), LOOKALIKES.items())
def test_character(character: str, read: str) -> None:
    folded = fold(f"a{character}b".encode())
    assert folded is not None
    assert folded.text == f"a{read}b".encode()
    end = 1 + len(character.encode())
    assert folded.span(0, 1) == (0, 1)
    assert folded.span(len(folded.text) - 1, len(folded.text)) == (end, end + 1)
    if read:
        assert folded.span(1, 2) == (1, end)


def test_text_without_them_is_not_touched() -> None:
    assert fold(b"plain") is None
    assert fold("größer als 日本".encode()) is None
    assert fold(b"\xff\xc2 \xe2\x80") is None


def test_nothing_but_what_has_no_width() -> None:
    folded = fold("\u200b\u200b".encode())
    assert folded is not None
    assert folded.text == b""


@given(
    st.lists(st.one_of(st.sampled_from(sorted(LOOKALIKES)), st.sampled_from("aé1\n")), max_size=30),
    st.binary(max_size=4),
)
def test_every_span_leads_back(characters: list[str], broken: bytes) -> None:
    data = b"".join(character.encode() for character in characters) + broken
    folded = fold(data)
    if folded is None:
        assert not set(characters) & set(LOOKALIKES)
        return
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
