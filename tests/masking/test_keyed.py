from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PeerError
from gateway.masking import Field, Keyring, keyed, text_maker
from gateway.masking.methods import cell_for
from gateway.model import Method

SECRET = b"a secret of thirty-two bytes ..."
KEYRING = Keyring({"k1": SECRET, "k2": SECRET[::-1]})
SIZES = {21: 2, 23: 4, 20: 8}

integers = st.sampled_from(sorted(SIZES)).flatmap(
    lambda oid: st.tuples(st.just(oid), st.integers(-(2 ** (8 * SIZES[oid] - 1)), 2 ** (8 * SIZES[oid] - 1) - 1))
)


def masked(type_oid: int, value: bytes, *, typmod: int = -1, format_code: int = 0, key: str = "k1") -> bytes | None:
    cell = cell_for(Method("hmac", key=key), Field(b"v", 20_000, 1, type_oid, typmod, format_code), KEYRING)
    assert callable(cell)
    return cell(value)


def test_known_answers() -> None:
    """What is in somebody's exports must not change with a version. Made once with openssl:
    printf 'text\\0alice@example.com' | openssl dgst -sha256 -hmac "$SECRET"."""
    assert masked(25, b"alice@example.com") == b"hmac:k1:96f2690ea18c458cc49079b23a3daebb"
    assert masked(23, b"42") == b"-1075802705"
    assert masked(20, b"42") == b"-4620537431650775541"
    assert masked(2950, b"00000000-0000-0000-0000-000000000001") == b"830aa0ef-ee47-8761-8ab0-940c2be10386"


@given(value=st.binary(max_size=60))
def test_text_says_its_key_and_nothing_of_the_value(value: bytes) -> None:
    shown = masked(25, value)
    assert shown is not None
    assert re.fullmatch(rb"hmac:k1:[0-9a-f]{32}", shown)
    assert shown == masked(25, value, format_code=1) == text_maker(Method("hmac", key="k1"), KEYRING)(value)
    assert shown[8:] != (masked(25, value, key="k2") or b"")[8:]


def test_letter_case_is_kept() -> None:
    assert masked(25, b"Alice") != masked(25, b"alice")


@given(value=st.text(max_size=30).map(str.encode), room=st.integers(1, 60))
def test_a_short_column_gets_a_prefix_or_null(value: bytes, room: int) -> None:
    whole = masked(25, value)
    shown = masked(1043, value, typmod=4 + room)
    assert whole is not None
    assert (shown is None) == (room < 8 + keyed.LEAST_CHARACTERS)
    assert shown is None or (whole.startswith(shown) and len(shown) == min(room, len(whole)))


def test_blanks_at_the_end_of_a_char_mean_nothing() -> None:
    assert masked(1042, b"abc  ", typmod=-1) == masked(25, b"abc")
    assert masked(1042, b"abc  ", typmod=4 + 45) == (masked(25, b"abc") or b"").ljust(45)
    assert masked(25, b"abc  ") != masked(25, b"abc")


def test_a_name_holds_63_bytes() -> None:
    keyring = Keyring({"k" * 40: SECRET})
    cell = cell_for(Method("hmac", key="k" * 40), Field(b"v", 20_000, 1, 19, -1, 0), keyring)
    assert cell is None or not isinstance(cell, bytes)
    assert cell is not None
    assert cell(b"alice") is None
    assert len(masked(19, b"alice") or b"") == 40


@given(drawn=integers)
def test_integers_stay_integers_in_both_formats(drawn: tuple[int, int]) -> None:
    type_oid, number = drawn
    size = SIZES[type_oid]
    text = masked(type_oid, b"%d" % number)
    binary = masked(type_oid, number.to_bytes(size, "big", signed=True), format_code=1)
    assert text is not None
    assert binary is not None
    assert len(binary) == size
    assert int(text) == int.from_bytes(binary, "big", signed=True)
    assert b"%d" % int(text) == text


def test_integers_spread_over_the_whole_range() -> None:
    shown = [int(masked(21, b"%d" % number) or b"0") for number in range(2000)]
    assert min(shown) < -32000
    assert max(shown) > 32000
    assert len(set(shown)) > 1900


@given(value=st.uuids())
def test_uuids_are_version_8_in_both_formats(value: UUID) -> None:
    text = masked(2950, str(value).encode())
    binary = masked(2950, value.bytes, format_code=1)
    assert text is not None
    assert binary is not None
    made = UUID(text.decode())
    assert made.bytes == binary
    assert made.version == 8
    assert made.variant == "specified in RFC 4122"
    assert made != value


@pytest.mark.parametrize("type_oid", [20, 21, 23, 2950])
@pytest.mark.parametrize("format_code", [0, 1])
@pytest.mark.parametrize("value", [b"", b"x", b"\xff\xfe\xfd", bytes(9), bytes(17)])
def test_what_is_none_of_its_type_ends_the_session(type_oid: int, format_code: int, value: bytes) -> None:
    with pytest.raises(PeerError):
        masked(type_oid, value, format_code=format_code)
