from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking.cells.written import REWRITES, Seen, array_binary, array_text, null, stars, values

from gateway.masking.cells import arrays
from gateway.masking.cells.parsing import Malformed, Rewrite

TEXT = 25

lists = st.lists(values, max_size=6)
nested = st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(values, min_size=width, max_size=width), min_size=1))
rewrites = st.sampled_from(REWRITES)


def each(elements: list[object], rewrite: Rewrite) -> list[object]:
    return [
        each(element, rewrite)
        if isinstance(element, list)
        else rewrite(element)
        if isinstance(element, bytes)
        else None
        for element in elements
    ]


@given(elements=lists | nested, rewrite=rewrites, bounds=st.sampled_from(["", "[2:3]=", "[-1:0][0:4]="]))
def test_text_means_its_elements(elements: list[object], rewrite: Rewrite, bounds: str) -> None:
    written = array_text(elements, bounds)
    wanted = each(elements, rewrite)
    shown = arrays.rewrite_text(written, rewrite)
    assert (shown is written) == (wanted == elements)
    # What was written anew is quoted, whether it has to be or not: read both.
    seen = Seen()
    arrays.rewrite_text(shown, seen)
    assert seen == [element for element in flat(wanted) if element is not None]
    assert shown.count(b"NULL") >= [*flat(wanted)].count(None)


def flat(elements: list[object]) -> list[object]:
    return [leaf for each in elements for leaf in (flat(each) if isinstance(each, list) else [each])]


def test_what_stays_keeps_its_spelling() -> None:
    assert arrays.rewrite_text(b'[0:2]={a,"hush",NULL}', stars) == b'[0:2]={a,"****",NULL}'
    assert arrays.rewrite_text(b"{{a,hush},{null,b}}", null) == b"{{a,NULL},{null,b}}"


@given(elements=lists, rewrite=rewrites)
def test_binary_means_its_elements(elements: list[bytes | None], rewrite: Rewrite) -> None:
    written = array_binary(elements)
    wanted = [None if element is None else rewrite(element) for element in elements]
    shown = arrays.rewrite_binary(written, lambda _: rewrite)
    assert shown == array_binary(wanted)
    assert (shown is written) == (wanted == elements)


def test_dimensions_stay() -> None:
    written = array_binary([b"a", b"hush", b"c", b"d"], dimensions=[2, 2])
    assert arrays.rewrite_binary(written, lambda _: null) == array_binary([b"a", None, b"c", b"d"], dimensions=[2, 2])


def test_elements_of_a_type_that_holds_nothing_stay() -> None:
    written = array_binary([b"hush"], 23)
    assert arrays.rewrite_binary(written, lambda oid: None if oid == 23 else null) is written


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"{a", b"{a,", b"{a,}", b"{,a}", b"{}}", b"{}x", b"x", b"[1:2]", b"[1:2]=", b'{"a}', b'{"a"b}',
     b"{a b}", b"{{a}", b"{a}{b}", b"{{},}", b"{" * 7 + b"}" * 7, b"{a\\b}", b"[1:2]=[1:2]={}"],
)  # fmt: skip
def test_what_is_no_array(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        arrays.rewrite_text(damaged, stars)


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(array_binary([b"a"])[:-1], id="cut"),
        pytest.param(array_binary([b"a"]) + b"x", id="bytes behind"),
        pytest.param(array_binary([b"a"], dimensions=[2]), id="an element missing"),
        pytest.param(array_binary([b"a"], dimensions=[2**31 - 1] * 6), id="more than memory"),
        pytest.param(array_binary([b"a"], dimensions=[1] * 7), id="too many dimensions"),
        pytest.param(b"\xff\xff\xff\xff" + array_binary([])[4:], id="dimensions below 0"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_binary_array(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        arrays.rewrite_binary(damaged, lambda _: stars)


@pytest.mark.parametrize("read", [
    lambda noise: arrays.rewrite_text(noise, stars), lambda noise: arrays.rewrite_binary(noise, lambda _: stars)
])  # fmt: skip
@given(noise=st.binary(max_size=60) | st.text('{}",\\ahus=[]:0', max_size=30).map(str.encode))
def test_noise_is_malformed_or_an_array(read: Callable[[bytes], bytes], noise: bytes) -> None:
    with suppress(Malformed):
        assert b"hush" not in read(noise)
