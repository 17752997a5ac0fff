from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.masking.cells import json_text
from gateway.masking.cells.json_paths import NOWHERE, Place
from gateway.masking.cells.parsing import Malformed


@dataclass
class Stars:
    """Masks ``hush``, and numbers below 0."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    root: Place = NOWHERE

    def below(self, place: Place, child: str | int) -> Place:
        return NOWHERE

    def string(self, place: Place, value: str, key: str) -> str | None:
        self.seen.append((key, value))
        return None if value == "hush" else value.replace("hush", "****") if "hush" in value else value

    def key(self, value: str) -> str:
        return value.replace("hush", "****") if "hush" in value else value

    def keeps(self, place: Place, scalar: bytes, key: str) -> bool:
        return not scalar.startswith(b"-")


def masked(value: object) -> object:
    """The plain meaning, on what the json module reads."""
    if isinstance(value, str):
        return None if value == "hush" else value.replace("hush", "****")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None if json.dumps(value).startswith("-") else value
    if isinstance(value, Pairs):
        return Pairs([(key.replace("hush", "****"), masked(inner)) for key, inner in value.pairs])
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


@dataclass(frozen=True)
class Pairs:
    """An object with its order and its duplicate keys."""

    pairs: list[tuple[str, object]]


def read(document: bytes) -> object:
    return json.loads(document, object_pairs_hook=Pairs)


strings = st.lists(st.sampled_from(["hush", "a", "é", "\\", '"', "\n", "\U0001f600", "{", ",", ""]), max_size=4).map(
    "".join
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strings,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=20,
)


@given(document=documents, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 2))
def test_means_the_same_document_with_values_masked(document: object, ascii_only: bool, indent: int | None) -> None:
    written = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    shown = json_text.rewrite(written, Stars())
    assert read(shown) == masked(read(written))
    if b"hush" not in written and b"-" not in written:
        assert shown is written


def test_what_stays_keeps_its_spelling() -> None:
    written = b' { "b" : 1.500e+03 , "a":"\\u0068\\u0075sh!", "a" : [ true,null , "\\u0041" ] }\n'
    assert json_text.rewrite(written, Stars()) == (
        b' { "b" : 1.500e+03 , "a":"****!", "a" : [ true,null , "\\u0041" ] }\n'
    )


def test_escapes_are_decoded_and_written_anew() -> None:
    written = rb'["\ud83d\ude00 h\u0075sh \" \\ \/ \u0000"]'
    shown = json_text.rewrite(written, Stars())
    assert json.loads(shown) == ['\U0001f600 **** " \\ / \0']
    assert shown == '["\U0001f600 **** \\" \\\\ / \\u0000"]'.encode()


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    assert json_text.rewrite(rb'["\ud83d hush"]', Stars()) == rb'["\ud83d ****"]'


def test_keys_are_hints_and_are_masked_themselves() -> None:
    stars = Stars()
    assert json_text.rewrite(b'{"a":["x",{"hush":"y"},"z"]}', stars) == b'{"a":["x",{"****":"y"},"z"]}'
    assert stars.seen == [("a", "x"), ("hush", "y"), ("a", "z")]


@pytest.mark.parametrize("scalar", [b'"hush"', b"-1", b" -0.5e-7 "])
def test_a_scalar_is_a_document(scalar: bytes) -> None:
    assert json_text.rewrite(scalar, Stars()).strip() == b"null"


@pytest.mark.parametrize(
    "damaged",
    [b"", b" ", b"{", b"[", b"]", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1 2]", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{1:2}",
     b'{"a":1]', b'[1}', b'"a', b'"\\x"', b'"\\u12"', b'"\n"', b"01", b"1.", b"+1", b"nul", b"nulls", b"1 1", b"{} x",
     b"'a'", b"NaN", b'"\xff"', b"\xef\xbb\xbf1", b'[1]]', b"[[1]", b'{"a" 1}', b'{"a":1 "b":2}'],
)  # fmt: skip
def test_what_is_no_json(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        json_text.rewrite(damaged, Stars())


def test_depth_is_bounded() -> None:
    deepest = json_text.MAX_DEPTH
    assert (
        json_text.rewrite(b"[" * deepest + b"-1" + b"]" * deepest, Stars()) == b"[" * deepest + b"null" + b"]" * deepest
    )
    with pytest.raises(Malformed, match="inside each other"):
        json_text.rewrite(b"[" * (deepest + 1) + b"]" * (deepest + 1), Stars())


@given(noise=st.binary(max_size=60) | st.text('{}[]",:\\u0hus1-e.tnl ', max_size=30).map(str.encode))
@example(noise=b'"' * 3)
def test_noise_is_malformed_or_json(noise: bytes) -> None:
    try:
        shown = json_text.rewrite(noise, Stars())
    except Malformed:
        return
    assert read(shown) == masked(read(noise))
