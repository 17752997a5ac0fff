"""The finder: sets of detectors, hints, blocks, and time that grows with the input only."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detectors import OwnDetector
from gateway.masking.detectors import DETECTORS, Match, finder
from gateway.masking.detectors.search import LARGEST_BLOCK as BLOCK

ALL = finder(DETECTORS)
MEGABYTE = 1 << 20

HOSTILE = {
    "at signs": b"@",
    "local parts": b"a" * 63 + b"@",
    "no domain's end": b"a@b.",
    "addresses": b"a@b.co ",
    "pictures": b"a" * 60 + b"@2x.png ",
    "one": b"1",
    "cards but for the check digit": b"4111 1111 1111 1112 ",
    "card after card": b"4111-",
    "bare cards": b"4111111111111112 ",
    "social": b"123-45-",
    "bare social": b"ssn 123456789 ",
    "accounts": b"DE89",
    "accounts in groups": b"DE89 3704 0044 0532 0130 01 ",
    "phones": b"+1",
    "long phones": b"+1 4 1 5 5 5 5 2 6 7 0 0 0 0 ",
    "national": b"tel 0123 4567890 ",
    "dots": b"1.",
    "octets": b"1.2.3.4.",
    "colons": b":",
    "groups": b"a:1::",
    "headers": b"eyJ",
    "tokens": b"eyJaaaaaaaaaa.",
    "no end": b"-----BEGIN PRIVATE KEY-----",
    "secrets": b"aws " + b"A" * 40 + b" ",
    "hex": b"secret da39a3ee5e6b4b0d3255bfef95601890afd80709 ",
    "words": b"sk_live_",
    "signatures": b"?sig=aaaa",
    "no-break spaces": "1\u00a0".encode(),
    "broken": b"\xc2\xe2\x80",
    "backslash": b"\\",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_with_the_input_only(unit: bytes) -> None:
    """16 times as much takes about 16 times as long; what is quadratic would take 256 times. The bound lies far from
    both: a busy machine must not fail it."""
    short = unit * (MEGABYTE // 128 // len(unit))
    long = unit * (MEGABYTE // 8 // len(unit))
    ALL.find(short)
    assert _seconds(long) < 64 * max(_seconds(short), 0.001)


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_ten_megabytes(unit: bytes) -> None:
    begun = time.process_time()
    ALL.find(unit * (10 * MEGABYTE // len(unit)))
    assert time.process_time() - begun < 120


def _seconds(data: bytes) -> float:
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        ALL.find(data)
        best = min(best, time.process_time() - begun)
    return best


@pytest.mark.parametrize("before", [*range(BLOCK - 140, BLOCK + 20), 2 * BLOCK - 30])
def test_values_across_the_border_of_blocks(before: int) -> None:
    value = b"alice@example.com 4111 1111 1111 1111 visa 4222222222222 "
    data = b"x" * 5 + b"@b.co" + b"." * (before - 10) + b" " + value + b"." * BLOCK
    own = [(match.start + before + 1, match.end + before + 1, match.detector) for match in ALL.find(value)]
    assert len(own) == 3
    assert [match for match in ALL.find(data) if match.start > 20] == own


def test_a_jwt_that_is_longer_than_a_block() -> None:
    token = b"eyJhbGciOiJIUzI1NiJ9." + b"eyJ" + b"a" * 20_000 + b".c2ln"
    assert ALL.find(b"x " + token + b" y") == [Match(2, 2 + len(token), "jwt")]


def test_finders_are_made_once() -> None:
    assert finder(["email", "iban"]) is finder(("iban", "email"))
    with pytest.raises(KeyError):
        finder(["emial"])


def test_a_finder_without_detectors_finds_nothing() -> None:
    assert finder([]).find(b"alice@example.com") == []
    assert not finder([]).may_match(b"alice@example.com")
    assert finder([]).longest == 0


def test_what_is_longer_than_a_phrase_is_one_word() -> None:
    longer = [shape for info in DETECTORS.values() for shape in info.shapes if shape.longest + 1 > ALL.longest_phrase]
    assert longer
    for shape in longer:
        assert not any(space in shape.pattern for space in (b" ", b"\\s", b"[^")), shape
    assert finder([], [OwnDetector("own", "[a-z ]+x", 2000)]).longest_phrase >= 2000


def test_longest_is_what_a_stream_holds_back() -> None:
    assert finder(["us_ssn"]).longest >= 12 + 128
    assert finder(["email"]).longest >= 64 + 1 + 255
    assert ALL.longest >= 8 * 1024


@given(st.binary(max_size=3000))
@settings(max_examples=300)
def test_the_gate_never_says_no_to_a_value(data: bytes) -> None:
    if ALL.find(data):
        assert ALL.may_match(data)


def test_threads_share_it() -> None:
    text = b"alice@example.com 4111111111111111 " * 500
    expected = ALL.find(text)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(ALL.find, [text] * 16))


def test_an_own_detector() -> None:
    own = OwnDetector("staff_id", r"\bE\d{6}\b", 7)
    found = finder(["email"], [own]).find(b"E123456 alice@example.com E1234567")
    assert found == [Match(0, 7, "staff_id"), Match(8, 25, "email")]


def test_an_own_detector_with_context_and_check_digits() -> None:
    own = OwnDetector("member", r"\d{8}", 8, ("member no", "Mitglied"), "luhn")
    search = finder([], [own])
    assert search.find(b"member no: 12345674") == [Match(11, 19, "member")]
    assert search.find(b"mitglied 12345674") == [Match(9, 17, "member")]
    assert not search.find(b"member no: 12345675")
    assert not search.find(b"number: 12345674")
    assert search.find(b"12345674", hint="mitglied_nr") == [Match(0, 8, "member")]


def test_an_own_detector_beyond_ascii() -> None:
    own = OwnDetector("grade", "Größe [A-ZÄÖÜ]", 10)
    text = "die Größe Ü \N{EN DASH} Größe Z".encode()
    assert [text[match.start : match.end].decode() for match in finder([], [own]).find(text)] == ["Größe Ü", "Größe Z"]
    assert finder([], [own]).find(b"\xff" + text)


def test_an_own_detector_stops_at_a_separator() -> None:
    search = finder([], [OwnDetector("rest", r"(?s)id:.{1,20}", 83)])
    assert search.find(b"id:abc\0id:def") == [Match(0, 6, "rest"), Match(7, 13, "rest")]
    assert not finder([], [OwnDetector("any", r"(?s)\x00.", 5)]).find(b"a\0b")


def test_a_pattern_with_very_many_states_misses_nothing() -> None:
    """`re2.Set` says no where its memory isn't enough for two states; far from that it only becomes slower."""
    own = OwnDetector("greedy", "(?:[ab]*a[ab]{300}c|zz)".replace("*", "{0,300}"), 2408)
    text = b"abbabaaab" * 3000
    assert finder(DETECTORS, [own]).find(text + b" zz " + text) == [Match(len(text) + 1, len(text) + 3, "greedy")]
