from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking.cells.written import REWRITES, hstore_binary, hstore_text, null, stars, texts, values

from gateway.masking.cells import hstore
from gateway.masking.cells.parsing import Malformed, Rewrite

pairs = st.lists(st.tuples(texts, values), min_size=1, max_size=5)
rewrites = st.sampled_from(REWRITES)


def shown_as(pairs: list[tuple[bytes, bytes | None]], rewrite: Rewrite) -> list[tuple[bytes, bytes | None]]:
    masked = [(rewrite(key), None if value is None else rewrite(value)) for key, value in pairs]
    return [(b"****" if key is None else key, value) for key, value in masked]


@given(pairs=pairs, rewrite=rewrites)
def test_means_its_pairs(pairs: list[tuple[bytes, bytes | None]], rewrite: Rewrite) -> None:
    wanted = shown_as(pairs, rewrite)
    for write, read in ((hstore_text, hstore.rewrite_text), (hstore_binary, hstore.rewrite_binary)):
        written = write(pairs)
        shown = read(written, rewrite)
        assert shown == write(wanted)
        assert (shown is written) == (wanted == pairs)


def test_a_key_that_would_be_null_has_stars() -> None:
    assert hstore.rewrite_text(b'"hush"=>"1", "a"=>"hush"', null) == b'"****"=>"1", "a"=>NULL'


@pytest.mark.parametrize("damaged", [
    b"", b'"a"', b'"a"=>', b'"a"=>"b', b'"a"=>"b",', b'"a"=>"b","c"=>"d"', b'"a"=>"b", ', b'NULL=>"a"', b"a=>b"
])  # fmt: skip
def test_what_is_no_hstore(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        hstore.rewrite_text(damaged, stars)


@given(noise=st.binary(max_size=60) | st.text('",=>\\ahusNL ', max_size=30).map(str.encode))
def test_noise_is_malformed_or_an_hstore(noise: bytes) -> None:
    for read in (hstore.rewrite_text, hstore.rewrite_binary):
        with suppress(Malformed):
            read(noise, null)
