from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking.cells.written import REWRITES, Seen, composite_binary, composite_text, null, stars, values

from gateway.masking.cells import composites
from gateway.masking.cells.parsing import Malformed, Rewrite

fields = st.lists(values, min_size=1, max_size=6)
rewrites = st.sampled_from(REWRITES)


@given(fields=fields, rewrite=rewrites)
def test_text_means_its_fields(fields: list[bytes | None], rewrite: Rewrite) -> None:
    written = composite_text(fields)
    wanted = [None if field is None else rewrite(field) for field in fields]
    shown = composites.rewrite_text(written, rewrite)
    assert (shown is written) == (wanted == fields)
    seen = Seen()
    composites.rewrite_text(shown, seen)
    assert seen == [field for field in wanted if field is not None]


def test_what_stays_keeps_its_spelling() -> None:
    assert composites.rewrite_text(b'(a,"b ""c""",,"","x hush")', stars) == b'(a,"b ""c""",,"","x ****")'
    assert composites.rewrite_text(b'(1,"x hush",2)', null) == b"(1,,2)"


@given(fields=fields, rewrite=rewrites)
def test_binary_means_its_fields(fields: list[bytes | None], rewrite: Rewrite) -> None:
    typed = [(25, field) for field in fields]
    written = composite_binary(typed)
    wanted = [(25, None if field is None else rewrite(field)) for field in fields]
    shown = composites.rewrite_binary(written, lambda _: rewrite)
    assert shown == composite_binary(wanted)
    assert (shown is written) == (wanted == typed)


def test_each_field_by_its_type() -> None:
    written = composite_binary([(23, b"hush"), (25, b"hush")])
    shown = composites.rewrite_binary(written, lambda oid: None if oid == 23 else stars)
    assert shown == composite_binary([(23, b"hush"), (25, b"****")])


@pytest.mark.parametrize("damaged", [b"", b"(", b"()x", b"(a", b"(a,", b"a,b", b"(a b)", b'("a)', b'("a"b)', b"((a))"])
def test_what_is_no_composite(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        composites.rewrite_text(damaged, stars)


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(composite_binary([(25, b"a")])[:-1], id="cut"),
        pytest.param(composite_binary([(25, b"a")]) + b"x", id="bytes behind"),
        pytest.param(b"\0\0\0\2" + composite_binary([(25, b"a")])[4:], id="a field missing"),
        pytest.param(b"\x7f\xff\xff\xff", id="more than memory"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_binary_composite(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        composites.rewrite_binary(damaged, lambda _: stars)


@given(noise=st.binary(max_size=60) | st.text('()",\\ahus', max_size=30).map(str.encode))
def test_noise_is_malformed_or_a_composite(noise: bytes) -> None:
    with suppress(Malformed):
        composites.rewrite_text(noise, null)
    with suppress(Malformed):
        composites.rewrite_binary(noise, lambda _: null)
