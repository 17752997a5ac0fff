from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking.cells.written import null, stars

from gateway.masking.cells import bytea
from gateway.masking.cells.parsing import Malformed


def escape(data: bytes) -> bytes:
    """byteaout with ``bytea_output = escape``."""
    return b"".join(
        b"\\\\" if code == 0x5C else bytes([code]) if 0x20 <= code <= 0x7E else b"\\%03o" % code for code in data
    )


def hexadecimal(data: bytes) -> bytes:
    return b"\\x" + data.hex().encode()


@given(data=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_both_outputs_are_read(data: bytes) -> None:
    assert bytea.decode(hexadecimal(data)) == data
    if not escape(data).startswith(b"\\x"):
        assert bytea.decode(escape(data)) == data


@pytest.mark.parametrize("write", [escape, hexadecimal])
def test_text_is_searched(write: object) -> None:
    assert callable(write)
    assert bytea.rewrite_text(write("grüß hush".encode()), stars) == hexadecimal("grüß ****".encode())
    assert bytea.rewrite_text(write(b"hush"), null) is None
    clean = write(b"nothing")
    assert bytea.rewrite_text(clean, stars) is clean


@pytest.mark.parametrize("data", [b"hush\0", b"\x89PNG hush", b"hush\xff"])
def test_what_is_no_text_is_not(data: bytes) -> None:
    assert bytea.rewrite_binary(data, null) is data
    written = hexadecimal(data)
    assert bytea.rewrite_text(written, null) is written


@pytest.mark.parametrize("damaged", [b"\\x0", b"\\xgg", b"\\", b"a\\9", b"\\400", b"\\12", b"\\x\xc3\xa9"])
def test_what_is_no_bytea(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        bytea.rewrite_text(damaged, stars)


@given(noise=st.binary(max_size=40) | st.text("\\x01237a", max_size=20).map(str.encode))
def test_noise_is_malformed_or_bytes(noise: bytes) -> None:
    with suppress(Malformed):
        bytea.rewrite_text(noise, stars)
