from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LimitReached
from gateway.masking import NO_KEYS, Field, Keyring, text_maker
from gateway.masking.methods import SEPARATORS, TEXT_TYPES, cell_for, keep_ends
from gateway.masking.rows import Cell, framed
from gateway.model import STRICTEST_FIRST, Method, MethodName

NULL = framed(None)

OTHER_TYPES = {
    "bool": 16,
    "bytea": 17,
    "char": 18,
    "int8": 20,
    "int2": 21,
    "int4": 23,
    "regproc": 24,
    "oid": 26,
    "json": 114,
    "xml": 142,
    "float4": 700,
    "float8": 701,
    "money": 790,
    "macaddr": 829,
    "inet": 869,
    "text[]": 1009,
    "varchar[]": 1015,
    "date": 1082,
    "timestamptz": 1184,
    "numeric": 1700,
    "record": 2249,
    "cstring": 2275,
    "uuid": 2950,
    "jsonb": 3802,
    "int4range": 3904,
    "an enum, a composite or citext of the database": 16_999,
}


MAPPED_TYPES = {20, 21, 23, 2950}
"""Those that hmac maps into."""


class Tokens:
    """A vault of short values, that forgets them."""

    def token(self, value: bytes) -> bytes:
        if len(value) > 100:
            raise LimitReached("too long")
        return b"tok_%d" % len(value)


KEYRING = Keyring({"k1": b"a secret of thirty-two bytes ...", "k3": b"another secret, as long as that."}, Tokens())


def of_type(type_oid: int, typmod: int, format_code: int = 0) -> Field:
    return Field(b"value", 20_000, 1, type_oid, typmod, format_code)


def shown(cell: Cell, value: bytes) -> bytes:
    """What stands in the row, framed."""
    assert cell is not None
    return cell if isinstance(cell, bytes) else framed(cell(value))


@pytest.mark.parametrize("type_oid", sorted(TEXT_TYPES))
def test_redact_shows_stars_in_text(type_oid: int) -> None:
    assert cell_for(Method("redact"), of_type(type_oid, -1)) == framed(b"****")


@pytest.mark.parametrize("method", ["null", "redact", "partial", "token", "hmac"])
@pytest.mark.parametrize("format_code", [0, 1])
@pytest.mark.parametrize("type_oid", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_what_cannot_hold_it_is_null(method: MethodName, type_oid: int, format_code: int) -> None:
    if method == "hmac" and type_oid in MAPPED_TYPES:
        return
    assert cell_for(Method(method, keep_last=4, key="k1"), of_type(type_oid, -1, format_code), KEYRING) == NULL


@pytest.mark.parametrize("type_oid", [25, 1043, 23])
def test_null_is_null_everywhere(type_oid: int) -> None:
    assert cell_for(Method("null"), of_type(type_oid, -1)) == NULL


@pytest.mark.parametrize("method", [Method("token"), Method("hmac", key="k1")])
@pytest.mark.parametrize("type_oid", [25, 20, 2950])
def test_without_key_or_vault_all_is_null(method: Method, type_oid: int) -> None:
    assert cell_for(method, of_type(type_oid, -1)) == NULL
    assert text_maker(method, NO_KEYS)(b"value") is None


def test_another_key_than_policy_names_is_not_used() -> None:
    assert cell_for(Method("hmac", key="k2"), of_type(25, -1), KEYRING) == NULL


def test_a_keyring_shows_no_secret() -> None:
    assert "secret" not in repr(KEYRING) + str(KEYRING)


@pytest.mark.parametrize("type_oid", [25, 23, 16_999])
def test_clear_keeps(type_oid: int) -> None:
    assert cell_for(Method("clear"), of_type(type_oid, -1)) is None


@pytest.mark.parametrize("name", [name for name in STRICTEST_FIRST if name != "clear"])
def test_only_clear_keeps(name: MethodName) -> None:
    assert cell_for(Method(name), of_type(25, -1)) is not None


@pytest.mark.parametrize(
    ("type_oid", "typmod", "expected"),
    [
        (1043, 4 + 2, b"**"),
        (1043, 4 + 4, b"****"),
        (1043, 4 + 40, b"****"),
        (1043, -1, b"****"),
        (1042, 4 + 1, b"*"),
        (1042, 4 + 4, b"****"),
        (1042, 4 + 11, b"****       "),
        (1042, -1, b"****"),
        (25, 5, b"****"),  # no such thing as text(1): the typmod says nothing about a text
    ],
)
def test_stars_fit_the_declared_length(type_oid: int, typmod: int, expected: bytes) -> None:
    assert cell_for(Method("redact"), of_type(type_oid, typmod)) == framed(expected)


@pytest.mark.parametrize(
    ("value", "first", "last", "expected"),
    [
        ("123-45-6789", 0, 4, "***-**-6789"),
        ("4111 1111 1111 1234", 6, 4, "4111 11** **** 1234"),
        ("alice@example.com", 1, 0, "a****@*******.***"),
        ("Grüße", 1, 1, "G***e"),
        ("日本語テキスト", 1, 1, "日*****ト"),
        ("1234", 0, 4, "****"),
        ("1-2-3-4", 0, 4, "****"),
        ("12345", 0, 4, "*2345"),
        ("", 0, 0, "****"),
        ("---", 0, 0, "****"),
        ("abc", 0, 0, "***"),
    ],
)
def test_partial_keeps_ends_and_separators(value: str, first: int, last: int, expected: str) -> None:
    cell = cell_for(Method("partial", keep_first=first, keep_last=last), of_type(25, -1))
    assert shown(cell, value.encode()) == framed(expected.encode())


def test_partial_of_what_is_no_utf8_is_redacted() -> None:
    assert shown(cell_for(Method("partial", keep_last=4), of_type(25, -1)), b"caf\xe9 12345") == framed(b"****")


def test_partial_of_a_short_char_fits_it() -> None:
    assert shown(cell_for(Method("partial", keep_last=4), of_type(1042, 4 + 6)), b"1234  ") == framed(b"****  ")


@given(value=st.text(max_size=40), first=st.integers(0, 5), last=st.integers(0, 5))
def test_partial_shows_no_more_than_it_says(value: str, first: int, last: int) -> None:
    masked = keep_ends(value.encode(), keep_first=first, keep_last=last, instead=b"****").decode()
    if masked == "****":
        return
    assert len(masked) == len(value)
    same = [index for index, (was, now) in enumerate(zip(value, masked, strict=True)) if was == now != "*"]
    assert sum(value[index] not in SEPARATORS for index in same) <= first + last


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Method("clear"), b"value"),
        (Method("null"), None),
        (Method("redact"), b"****"),
        (Method("partial", keep_last=2), b"***ue"),
        (Method("token"), b"tok_5"),
    ],
)
def test_texts_anywhere(method: Method, expected: bytes | None) -> None:
    assert text_maker(method, KEYRING)(b"value") == expected


def test_a_value_that_the_vault_does_not_keep_is_null() -> None:
    assert text_maker(Method("token"), KEYRING)(bytes(101)) is None


@pytest.mark.parametrize(
    ("type_oid", "typmod", "expected"),
    [
        (25, -1, b"tok_5"),
        (1043, 4 + 5, b"tok_5"),
        (1043, 4 + 4, None),
        (1042, 4 + 9, b"tok_5    "),
        (1042, 4 + 4, None),
        (1042, -1, b"tok_5"),
        (19, -1, b"tok_5"),
    ],
)
def test_a_token_is_never_cut(type_oid: int, typmod: int, expected: bytes | None) -> None:
    value = b"value    " if type_oid == 1042 else b"value"
    assert shown(cell_for(Method("token"), of_type(type_oid, typmod), KEYRING), value) == framed(expected)
