"""Text with its values masked."""

from __future__ import annotations

import pytest

from gateway.detectors import OwnDetector
from gateway.masking.detection import Detection, detection
from gateway.masking.methods import NO_KEYS, Keyring
from gateway.model import Method

REDACT = Method("redact")


def detected(**methods: Method) -> Detection:
    made = detection(methods, ())
    assert made is not None
    return made


def test_nothing_to_look_for() -> None:
    assert detection({}, ()) is None


def test_text_without_values_is_the_same_object() -> None:
    text = b"nothing to see here"
    assert detected(email=REDACT).mask_text(text, NO_KEYS) is text


def test_values_are_masked_each_by_its_method() -> None:
    shown = detected(email=REDACT, payment_card=Method("partial", keep_last=4)).mask_text(
        b"alice@example.com paid with 4111 1111 1111 1111, to bob@example.com.", NO_KEYS
    )
    assert shown == b"**** paid with **** **** **** 1111, to ****."


def test_what_is_clear_is_not_looked_for() -> None:
    text = b"alice@example.com 123-45-6789"
    assert detected(us_ssn=REDACT).mask_text(text, NO_KEYS) == b"alice@example.com ****"


def test_null_makes_the_whole_text_null() -> None:
    assert detected(email=Method("null")).mask_text(b"write to alice@example.com", NO_KEYS) is None


def test_a_hint_is_passed_on() -> None:
    search = detected(us_ssn=REDACT)
    assert search.mask_text(b"123456789", NO_KEYS, "ssn") == b"****"
    assert search.mask_text(b"123456789", NO_KEYS) == b"123456789"


def test_bytes_around_are_kept() -> None:
    assert detected(email=REDACT).mask_text(b"\xff\xfe alice@example.com \xc3", NO_KEYS) == b"\xff\xfe **** \xc3"


def test_a_key_is_used_and_a_missing_one_is_null() -> None:
    search = detected(email=Method("hmac", key="k"))
    text = b"alice@example.com, alice@example.com"
    shown = search.mask_text(text, Keyring({"k": b"secret" * 6}))
    assert shown is not None
    first, second = shown.split(b", ")
    assert first == second != b"alice@example.com"
    assert search.mask_text(text, NO_KEYS) is None


def test_a_vault_that_fails_is_heard_of() -> None:
    class Broken:
        def token(self, value: bytes) -> bytes:
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        detected(email=Method("token")).mask_text(b"alice@example.com", Keyring({}, Broken()))


def test_own_detectors_are_used_where_they_have_a_method() -> None:
    own = (OwnDetector("staff", r"E\d{6}", 7), OwnDetector("other", r"F\d{6}", 7))
    made = detection({"staff": REDACT, "email": REDACT}, own)
    assert made is not None
    assert made.mask_text(b"E123456 F123456 a@example.com", NO_KEYS) == b"**** F123456 ****"


@pytest.mark.parametrize(
    ("email", "name", "shown"),
    [
        (Method("redact"), Method("null"), None),
        (Method("redact"), Method("partial"), b"x ****, ****"),
        (Method("partial", keep_last=4), Method("redact"), b"x ****, ****"),
    ],
)
def test_values_that_share_bytes_are_one_under_the_strictest(email: Method, name: Method, shown: bytes | None) -> None:
    made = detection({"email": email, "name": name}, (OwnDetector("name", r"[a-z]+@[a-z]+", 64),))
    assert made is not None
    assert made.mask_text(b"x alice@example.com, bob@example.org", NO_KEYS) == shown


def test_more_values_than_a_row_has() -> None:
    texts = b"\0".join(b"a%d@example.com, b" % number for number in range(1000))
    assert detected(email=REDACT).mask_text(texts, NO_KEYS) == b"\0".join([b"****, b"] * 1000)
