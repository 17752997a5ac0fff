"""`JsonStream`: documents keep their shape, values are seen as their reader sees them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import PeerError
from gateway.json_paths import parse_path
from gateway.masking.cells.json_paths import Paths
from gateway.masking.detectors import Match
from gateway.masking.streams import JsonStream, json_stream
from gateway.masking.streams.json_stream import MAX_STRING, escape, unescape
from gateway.model import Method

from .finding import KEYRING, PATTERNS, PatternFinder, cut, detection

FINDER = PatternFinder()
DETECTION = detection(FINDER)
PATHS: Paths[Method] = Paths(((parse_path("$..secret"), Method("redact")), (parse_path("$.open"), Method("clear"))))


def mask_text(value: bytes) -> bytes | None:
    return DETECTION.mask_text(value, KEYRING)


def mask(*chunks: bytes, labels: bool = False) -> bytes:
    stream = JsonStream(DETECTION, KEYRING, PATHS if labels else None)
    return b"".join(map(stream.feed, chunks)) + stream.close()


WORDS = st.text(max_size=12) | st.sampled_from(
    ["123-45-6789", "mail alice@example.com!", "4111 1111 1111 1111", "pin: 1234", "secret", "open", 'é"\\\n/\0', "😀"]
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
    | st.just(4111111111111111),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
PLACES = st.lists(st.integers(0, 3000), max_size=10)


@given(DOCUMENTS, PLACES, st.booleans(), st.booleans(), st.sampled_from([None, 2]))
def test_any_split_gives_the_same(
    document: Any, places: list[int], ascii_: bool, labels: bool, indent: int | None
) -> None:
    text = json.dumps(document, ensure_ascii=ascii_, indent=indent).encode("utf-8", "surrogatepass")
    whole = mask(text, labels=labels)
    assert mask(*cut(text, places), labels=labels) == whole
    assert mask(*cut(text, range(len(text))), labels=labels) == whole


@given(DOCUMENTS, st.booleans())
def test_values_are_what_their_reader_would_see(document: Any, ascii_: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_).encode()
    assert json.loads(mask(text)) == _expected(document)


@given(DOCUMENTS, st.booleans())
def test_labels_replace_whole_values_below_their_path(document: Any, ascii_: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_).encode()
    assert json.loads(mask(text, labels=True)) == _labelled(document, (), hidden=False)


@given(DOCUMENTS)
def test_places_that_are_not_remembered_are_found_again(document: Any) -> None:
    text = json.dumps(document).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_stream, "MAX_KNOWN", 1)
        shown = mask(text, labels=True)
    assert shown == mask(text, labels=True)


def test_names_and_indices_that_no_path_has_are_alike() -> None:
    paths: Paths[Method] = Paths(((parse_path("$.a[1].b"), Method("redact")), (parse_path("$[*].c"), Method("redact"))))
    document = {
        "a": [{"b": 1}, {"b": 2, "x": {"b": 3}}, {"b": 4}],
        "1": {"c": 5, "b": 6},
        "": {"c": 7},
        "z": [8, {"c": 9}],
    }
    stream = JsonStream(DETECTION, KEYRING, paths)
    shown = json.loads(stream.feed(json.dumps(document).encode()) + stream.close())
    document["a"][1]["b"] = document["1"]["c"] = document[""]["c"] = None  # type: ignore[index]
    assert shown == document


def _expected(value: Any) -> Any:
    if isinstance(value, str):
        shown = mask_text(value.encode())
        return None if shown is None else shown.decode()
    if isinstance(value, dict):
        return {_key(key): _expected(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expected(inner) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        raw = json.dumps(value).encode()
        return value if mask_text(raw) is raw else None
    return value


def _key(key: str) -> str:
    shown = mask_text(key.encode())
    return "****" if shown is None else shown.decode()


def _labelled(value: Any, path: tuple[str | int, ...], hidden: bool) -> Any:
    hidden = hidden or path[-1:] == ("secret",)
    if isinstance(value, dict):
        return {_key(key): _labelled(inner, (*path, key), hidden) for key, inner in value.items()}
    if isinstance(value, list):
        return [_labelled(inner, (*path, index), hidden) for index, inner in enumerate(value)]
    if hidden:
        return None if value is None else "****" if isinstance(value, str) else None
    return value if path[:1] == ("open",) else _expected(value)


@pytest.mark.parametrize("value", ["123-45-6789", "alice@example.com", "4111111111111111"])
def test_no_escape_hides_a_value_wherever_it_is_cut(value: str) -> None:
    forms = [value, "".join(f"\\u{ord(char):04x}" for char in value), value[:3] + f"\\u{ord(value[3]):04X}" + value[4:]]
    for form in forms:
        for text in (f'{{"a": "see {form} there"}}', f'["{form}"]', f'{{"{form}": 1}}', f'"{form}"'):
            raw = text.encode()
            whole = mask(raw)
            assert value not in json.dumps(json.loads(whole))
            for place in range(len(raw)):
                assert mask(raw[:place], raw[place:]) == whole


def test_what_holds_nothing_keeps_its_bytes() -> None:
    text = b' {"a\\u0062": "\\/\\u00e9 \xff", "n": -1.50E+3,\r\n "x": [true, false, null, {}, [ ]]}\n"second" 3 '
    assert mask(text) == text
    assert mask(text, labels=True) == text


def test_numbers_become_null() -> None:
    assert mask(b'{"card": 4111111111111111, "n": 17}') == b'{"card": null, "n": 17}'


def test_a_null_method_makes_a_value_null_and_hides_a_key() -> None:
    assert mask(b'{"a": "pin: 1234", "pin: 1234": 2}') == b'{"a": null, "****": 2}'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'{"open": "123-45-6789"}', b'{"open": "123-45-6789"}'),
        (b'{"open": {"a": ["123-45-6789", 4111111111111111]}}', b'{"open": {"a": ["123-45-6789", 4111111111111111]}}'),
        (b'{"open": {"secret": "x"}}', b'{"open": {"secret": "****"}}'),
        (b'[{"open": "123-45-6789"}]', b'[{"open": "****"}]'),
        (b'{"a": {}, "secret": [1, true, null, "x", {"y": ["z"]}], "b": "x"}',
         b'{"a": {}, "secret": [null, null, null, "****", {"y": ["****"]}], "b": "x"}'),
        (b'{"s\\u0065cret": "x"} {"a": 1} {"secret": 2}', b'{"s\\u0065cret": "****"} {"a": 1} {"secret": null}'),
        (b'"secret" 1', b'"secret" 1'),
        (b'[[[{"secret": "x"}, "y"], {"secret": "z"}]]', b'[[[{"secret": "****"}, "y"], {"secret": "****"}]]'),
    ],
)  # fmt: skip
def test_labelled_paths(text: bytes, shown: bytes) -> None:
    assert mask(text, labels=True) == shown
    assert mask(*cut(text, range(len(text))), labels=True) == shown


def test_the_key_before_a_value_is_its_hint() -> None:
    class Hinted(PatternFinder):
        def find(self, data: bytes, *, hint: str = "") -> list[Match]:
            return [Match(0, len(data), "us_ssn")] if hint == "ssn" and data.isdigit() else []

        def may_match(self, data: bytes) -> bool:
            return re.search(rb"[0-9]{9}", data) is not None

    text = b'{"a": 123456789, "ssn": [123456789, "x", "y", "123456789"], "b\\n": "123456789", "s\\u0073n": "123456789"}'
    shown = b'{"a": 123456789, "ssn": [null, "x", "y", "****"], "b\\n": "123456789", "s\\u0073n": "****"}'
    for place in range(len(text)):
        stream = JsonStream(detection(Hinted()), KEYRING)
        assert stream.feed(text[:place]) + stream.feed(text[place:]) + stream.close() == shown


# Long strings --------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(['é"', "123-45-6789 ", "\\\\", "😀", "word ", "\n", "x" * 3000, "\\u123"]), min_size=4),
       PLACES, st.booleans(), st.integers(0, 12))  # fmt: skip
@example(["x" * 3000] * 5 + ["x" * 1375, "😀", "é"], [16384, 16386, 16389, 16392, 16395], True, 0)
def test_long_strings_flow(parts: list[str], places: list[int], ascii_: bool, more: int) -> None:
    value = "".join(parts) + "y" * 3000 * more
    text = json.dumps({"a": [value, 1], "b": value}, ensure_ascii=ascii_).encode()
    whole = mask(text)
    expected = PATTERNS["us_ssn"].sub(b"****", value.encode()).decode()
    assert json.loads(whole) == {"a": [expected, 1], "b": expected}
    assert mask(*cut(text, [place * 7 for place in places])) == whole
    assert mask(*cut(text, range(0, len(text), 1000))) == whole


def test_a_long_string_is_not_held() -> None:
    stream = JsonStream(DETECTION, KEYRING)
    shown = stream.feed(b'{"a": "')
    for _ in range(100):
        shown += stream.feed(b"word " * 1000)
    assert len(shown) > 500_000 - MAX_STRING - 1000
    shown += stream.feed(b'123-45-6789"}') + stream.close()
    assert json.loads(shown) == {"a": "word " * 100_000 + "****"}


def test_a_long_string_at_a_labelled_path_is_hidden() -> None:
    text = b'{"secret": "%s", "open": "%s 123-45-6789"}' % (b"x" * 50_000, b"y" * 50_000)
    shown = b'{"secret": "****", "open": "%s 123-45-6789"}' % (b"y" * 50_000)
    assert mask(text, labels=True) == shown
    assert mask(*cut(text, range(0, len(text), 999)), labels=True) == shown


# What isn't JSON -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"'a'",
            b"{a: 1}",
            b"[1,]",
            b"[,1]",
            b"{,}",
            b"[1 2]",
            b'{"a" 1}',
            b'{"a": }',
            b'{"a": 1,}',
            b'{"a": "b" "c"}',
        ),
        *(b"]", b"{]", b"[}", b"[1", b'{"a"', b'"a', b"[: 1]", b'{"a": 1 "b": 2}', b":", b"[" * 2000),
        *(b"tru", b"nulL", b"NaN", b"// x", b"1" * 2000, b"\xef\xbb\xbf1", b"\0", b'"a\n"', b'"\\x41"', b'"\\u12"'),
    ],
)
@pytest.mark.parametrize("labels", [False, True])
def test_what_is_not_json_is_refused(text: bytes, labels: bool) -> None:
    with pytest.raises(PeerError, match="JSON"):
        mask(text, labels=labels)
    with pytest.raises(PeerError, match="JSON"):
        mask(*cut(text, range(len(text))), labels=labels)


@pytest.mark.parametrize("text", [b"NaN", b"[nope, ", b'{"a": nulL', b"tru ", b"falsehood", b"[ 1, undefined"])
def test_what_is_no_value_is_refused_at_once(text: bytes) -> None:
    """Not held until the end: what comes behind it would pile up."""
    with pytest.raises(PeerError, match="no value"):
        JsonStream(DETECTION, KEYRING).feed(text)
    stream = JsonStream(DETECTION, KEYRING)
    with pytest.raises(PeerError, match="no value"):
        list(map(stream.feed, cut(text, range(len(text)))))


@given(st.binary(max_size=60) | st.text('{}[]",:\\u0aent1 \n', max_size=60).map(str.encode))
def test_no_bytes_do_anything_else(text: bytes) -> None:
    try:
        shown = mask(text)
    except PeerError:
        return
    if text.strip() and text.isascii():
        assert text == shown or FINDER.may_match(text)


@given(st.text())
def test_escapes_are_undone(value: str) -> None:
    assert unescape(json.dumps(value)[1:-1].encode()) == value.encode()
    assert json.loads(b'"' + escape(value.encode()) + b'"') == value


def test_half_a_surrogate_pair_is_a_replacement_character() -> None:
    assert unescape(b"\\ud83d\\ud83d\\ude00\\ude00x\\u0041\\ude00") == "\ufffd😀\ufffdxA\ufffd".encode()
