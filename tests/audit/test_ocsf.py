from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.ocsf import bounded, bounded_names, encode, endpoint


@given(st.recursive(st.text() | st.integers(-(2**53), 2**53) | st.none(), st.lists))
def test_json_gives_back_what_went_in(value: object) -> None:
    assert json.loads(encode(value)) == value


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    assert json.loads(encode({"a": ["\ud800", 1, {"\udfff": ("x",)}]})) == {"a": ["\\ud800", 1, {"\\udfff": ["x"]}]}


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u200b", "\ufeff"])
def test_what_a_terminal_obeys_is_escaped(character: str) -> None:
    encoded = encode(f"é{character}")
    assert character.encode() not in encoded
    assert json.loads(encoded) == f"é{character}"


@given(st.text(max_size=500), st.integers(40, 400))
def test_bounded_text_fits_and_is_whole_or_marked(text: str, limit: int) -> None:
    kept = bounded(text, limit)
    assert len(encode(kept)) <= limit
    assert kept == text or kept.endswith(f"...[cut, {len(text)} characters]")


def test_text_that_fits_is_left_alone() -> None:
    assert bounded("x" * 254, 256) == "x" * 254
    assert bounded("x" * 255, 256) != "x" * 255


def test_names_are_sorted_and_the_rest_is_counted() -> None:
    assert bounded_names({"b", "a"}) == ["a", "b"]
    assert bounded_names({"c", "b", "a"}, 1) == ["a", "...[2 more]"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.7", {"ip": "192.0.2.7"}),
        ("2001:DB8::1", {"ip": "2001:db8::1"}),
        ("", {"name": "local"}),
        ("/run/x", {"name": "/run/x"}),
    ],
)
def test_an_endpoint_is_an_address_or_a_name(address: str, shown: dict[str, str]) -> None:
    assert endpoint(address) == shown
