"""`TextStream`: the same output for every split, no value that gets through, bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.masking.detectors import Match
from gateway.masking.streams import TextStream
from gateway.masking.streams import text as stream_text
from gateway.masking.streams.private_keys import LONGEST
from gateway.masking.streams.sequences import MAX_SEQUENCE
from gateway.masking.streams.text import MAX_RUN, MAX_SPAN

from .finding import KEYRING, METHODS, PatternFinder, UnpleasantFinder, cut, detection

FINDER = PatternFinder()
STEP = 16
"""Short texts have many windows then, and values reach across them."""
KEY = b"-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"
VALUES = [b"123-45-6789", b"alice@example.com", b"4111 1111 1111 1111", b"4111111111111111"]
SEQUENCES = [
    b"\x1b[31m",
    b"\x1b[1;2H",
    b"\x1b]0;title\x07",
    b"\x1bP1$r\x1b\\",
    b"\x1b(B",
    b"\0",
    b"\xc2\x9b7m",
    b"\x1bM",
]


@pytest.fixture(scope="module", autouse=True)
def small_windows() -> Iterator[None]:
    usual = stream_text.STEP
    stream_text.STEP = STEP  # type: ignore[misc]  # a constant everywhere else
    yield
    stream_text.STEP = usual  # type: ignore[misc]  # see above


def mask(*chunks: bytes, terminal: bool = True, finder: object = FINDER) -> bytes:
    stream = TextStream(detection(finder), KEYRING, terminal=terminal)
    return b"".join(map(stream.feed, chunks)) + stream.close()


TRAPS = [
    *(b"\x1b", b"\x1b[", b"\x1b]0;", b"\x07", b"\x1b\\", b"\x18", b"\xc2", b"\xc3\xa9", b"x\b", b"\r\n", b" ", b"\n"),
    *(b"-----", b"-----BEGIN", b" PRIVATE KEY-----", b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"),
    *(b"pin: 1234", b"a" * 90, b"12 " * 40, b"1.2@"),
]
PIECES = (
    st.sampled_from([*VALUES, *SEQUENCES, KEY, *TRAPS])
    | st.binary(max_size=12)
    | st.text("ab@.-0123456789 ", max_size=12).map(str.encode)
)
TEXTS = st.lists(PIECES, max_size=24).map(b"".join)
PLACES = st.lists(st.integers(0, 4000), max_size=12)


@given(TEXTS, PLACES, st.booleans())
@example(b"-----BEGIN PRIVATE KEY-----x", [10, 12], True)
@example(b"\x1b]0;" + b"x" * 5000 + b"\x07", [4000, 4100], True)
def test_any_split_gives_the_same(text: bytes, places: list[int], terminal: bool) -> None:
    assert mask(*cut(text, places), terminal=terminal) == mask(text, terminal=terminal)


@given(TEXTS, PLACES)
def test_any_split_gives_the_same_whatever_the_detectors_are_like(text: bytes, places: list[int]) -> None:
    finder = UnpleasantFinder()
    assert mask(*cut(text, places), finder=finder) == mask(text, finder=finder)


@given(TEXTS)
def test_byte_by_byte_gives_the_same(text: bytes) -> None:
    assert mask(*cut(text, range(len(text)))) == mask(text)


@given(st.binary() | TEXTS)
def test_text_without_values_is_untouched(text: bytes) -> None:
    stream = TextStream(detection(FINDER, {}), KEYRING, terminal=True)
    assert stream.feed(text) + stream.close() == text


@pytest.mark.parametrize("value", [*VALUES, KEY])
def test_no_split_lets_a_value_through(value: bytes) -> None:
    text = b"x" * 130 + b" " + value + b" " + b"y" * 130
    whole = mask(text)
    assert value not in whole
    assert whole.startswith(b"x" * 130 + b" ")
    assert whole.endswith(b" " + b"y" * 130)
    for place in range(len(text)):
        assert mask(text[:place], text[place:]) == whole


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("value", VALUES)
def test_no_sequence_hides_a_value(value: bytes, sequence: bytes) -> None:
    for place in range(len(value) + 1):
        text = b"see " + value[:place] + sequence + value[place:] + b" there"
        for end in range(len(text)):
            shown = mask(text[:end], text[end:])
            assert value[-8:] not in _visible(shown), (place, end)
            assert shown.count(sequence) == 1
            assert _visible(shown).startswith(b"see ")
            assert shown.endswith(b" there")
    everywhere = sequence.join(value[place : place + 1] for place in range(len(value)))
    shown = mask(b"see " + everywhere + b" there")
    assert value[-8:] not in _visible(shown)
    assert shown.count(sequence) == len(value) - 1


def _visible(shown: bytes) -> bytes:
    return re.sub(rb"\x1b\[[0-9;]*.|\x1b[\]P][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\(B|\x1bM|\0|\xc2\x9b7m", b"", shown)


@pytest.mark.parametrize("sequence", [b"\x1b[5;1H", b"\x1b[K", b"\x1b]0;x\x07"])
def test_a_sequence_between_words_joins_nothing(sequence: bytes) -> None:
    assert mask(b"SSN" + sequence + b"123-45-6789") == b"SSN" + sequence + b"****"
    assert mask(b"123-45-6789" + sequence + b"8 left") == b"****" + sequence + b"8 left"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"\x1b]0;mail alice@example.com\x07$ ", b"\x1b]0;****\x07$ "),
        (b"\x1b]8;;mailto:alice@exam\0ple.com\x1b\\link", b"\x1b]8;****\x1b\\link"),
        (b"\x1bP4111111111111111\x1b\\", b"\x1bP****\x1b\\"),
        (b"\x1b[4111111111111111m", b""),
        (b"\x1b[38;2;100;200;300mred", b"\x1b[38;2;100;200;300mred"),
    ],
)
def test_a_value_inside_of_a_sequence(text: bytes, shown: bytes) -> None:
    assert mask(text) == shown


@pytest.mark.parametrize("end", [b"", b"\x07", b"\x1b\\"])
def test_a_sequence_that_is_too_long_is_text(end: bytes) -> None:
    text = b"a \x1b]0;" + b"x" * MAX_SEQUENCE + b" 123-45-6789" + end
    assert mask(text) == text.replace(b"123-45-6789", b"****")
    stream = TextStream(detection(FINDER), KEYRING, terminal=True)
    for place in range(len(text)):
        stream.feed(text[place : place + 1])
    assert stream.pending < FINDER.longest + 2 * STEP


def test_a_sequence_that_never_ends_comes_out_at_the_end() -> None:
    assert mask(b"a\x1b]0;123-45-6789") == b"a\x1b]0;****"


def test_context_words_count_up_to_the_longest() -> None:
    assert mask(b"pin: 1234 1234") == b"pin:  1234"
    assert mask(b"pi", b"n:", b" 12", b"34 1234") == b"pin:  1234"


@pytest.mark.parametrize("place", range(40))
def test_what_stands_before_a_value_counts_wherever_windows_begin(place: int) -> None:
    before = b"-" * place + b" "
    assert mask(before + b"pin: 1234.") == before + b"pin: ."
    assert mask(before + b"7123-45-6789.") == before + b"7123-45-6789."


def test_the_strictest_mask_wins_where_values_overlap() -> None:
    class Overlapping(PatternFinder):
        def find(self, data: bytes, *, hint: str = "") -> list[Match]:
            at = data.find(b"abcdef")
            if at < 0:
                return []
            return [Match(at, at + 4, "email"), Match(at + 2, at + 6, "us_ssn")]

        def may_match(self, data: bytes) -> bool:
            return b"abcdef" in data

    assert mask(b"x abcdef y", finder=Overlapping()) == b"x **** y"


# Private keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label",
    [b"PRIVATE KEY", b"RSA PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"OPENSSH PRIVATE KEY", b"PGP PRIVATE KEY BLOCK"],
)
@pytest.mark.parametrize("size", [0, 1, 100, 100_000])
def test_private_keys_of_any_length(label: bytes, size: int) -> None:
    text = b"a\n-----BEGIN %s-----\n%s\n-----END %s-----\nb" % (label, b"S3cr3t+/" * size, label)
    assert mask(text) == b"a\n****\nb"
    assert mask(*(text[place : place + 777] for place in range(0, len(text), 777))) == b"a\n****\nb"


def test_a_private_key_that_never_ends() -> None:
    assert mask(b"a -----BEGIN PRIVATE KEY-----\nMII", b"x" * 1_000_000, b"----- END") == b"a ****"


def test_keys_of_ssh2() -> None:
    assert (
        mask(b"a ---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2\n---- END SSH2 ENCRYPTED PRIVATE KEY ----!")
        == b"a ****!"
    )


def test_public_keys_and_rules_of_dashes_stay() -> None:
    for text in (
        b"-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----",
        b"-" * 500,
        b"a -----BEGIN",
        b"--More--",
    ):
        assert mask(text) == text


def test_sequences_inside_of_a_key() -> None:
    text = KEY.replace(b"MII", b"M\x1b[1mI\x1b]0;II\x07I").replace(b"BEGIN", b"BE\x1b[2mGIN")
    assert mask(text) == b"****\x1b[2m\x1b[1m"


def test_keys_stay_where_policy_says_clear() -> None:
    methods = {name: method for name, method in METHODS.items() if name != "private_key"}
    stream = TextStream(detection(FINDER, methods), KEYRING)
    assert stream.feed(KEY) + stream.close() == KEY


# Bounds --------------------------------------------------------------------------------------------------------------


def test_no_more_is_held_back_than_the_longest_value_and_a_step() -> None:
    stream = TextStream(detection(FINDER), KEYRING, terminal=True)
    for _ in range(1000):
        stream.feed(b"a word ")
        assert stream.pending <= -(-FINDER.longest // STEP) * STEP + STEP + LONGEST


def test_a_chain_of_values_is_bounded() -> None:
    class Everything(PatternFinder):
        def find(self, data: bytes, *, hint: str = "") -> list[Match]:
            return [Match(at, at + 60, "email") for at in range(0, len(data) - 60, STEP)]

        def may_match(self, data: bytes) -> bool:
            return True

    stream = TextStream(detection(Everything()), KEYRING)
    shown = b""
    for _ in range(100):
        shown += stream.feed(b"x" * 1000)
        assert stream.pending < MAX_SPAN + 2000
    shown += stream.close()
    assert shown.startswith(b"****")
    assert len(shown) < 100


def test_sequences_without_text_are_bounded() -> None:
    stream = TextStream(detection(FINDER), KEYRING, terminal=True)
    text = b"\x1b[1;1H" * 5000
    shown = stream.feed(b"a" + text)
    assert len(text) - len(shown) < MAX_RUN + 500
    assert shown + stream.close() == b"a" + text


# Flush ---------------------------------------------------------------------------------------------------------------


def test_a_flush_shows_what_ends_no_value() -> None:
    stream = TextStream(detection(FINDER), KEYRING, terminal=True)
    assert stream.feed(b"\x1b[32malice\x1b[0m $ ") == b""
    assert stream.flush() == b"\x1b[32malice\x1b[0m $ "
    assert stream.feed(b"l") + stream.flush() == b"l"
    assert stream.feed(b"s") + stream.flush() == b"s"
    assert stream.close() == b""


def test_what_looks_like_a_value_waits_for_a_second_flush() -> None:
    stream = TextStream(detection(FINDER), KEYRING)
    stream.feed(b"no 123-45")
    assert stream.flush() == b"no "
    assert stream.flush() == b"123-45"
    assert stream.flush() == b""


def test_the_second_half_of_a_value_is_hidden() -> None:
    for value in VALUES:
        for place in range(1, len(value)):
            for flushes in (1, 2):
                stream = TextStream(detection(FINDER), KEYRING)
                shown = stream.feed(b"no " + value[:place])
                for _ in range(flushes):
                    shown += stream.flush()
                begun = shown
                shown += stream.feed(value[place:]) + stream.close()
                rest = shown[len(begun) :]
                assert value not in shown
                if begun == b"no " + value[:place]:
                    assert rest in (b"****", mask(value[place:])), (value, place)


def test_a_whole_value_is_masked_at_a_flush_and_its_continuation_hidden() -> None:
    stream = TextStream(detection(FINDER), KEYRING)
    stream.feed(b"to alice@example.co")
    shown = stream.flush() + stream.flush()
    assert b"alice" not in shown
    rest = stream.feed(b"m.") + stream.close()
    assert rest == b"****."


def test_a_key_whose_first_line_was_cut_by_flushes() -> None:
    for place in range(1, 27):
        stream = TextStream(detection(FINDER), KEYRING)
        shown = stream.feed(b"a -----BEGIN PRIVATE KEY-----"[: 2 + place])
        shown += stream.flush() + stream.flush()
        shown += stream.feed(b"-----BEGIN PRIVATE KEY-----"[place:] + b"\nMIIsecret\n-----END PRIVATE KEY----- b")
        shown += stream.close()
        assert b"MII" not in shown
        assert shown.endswith(b"**** b")


@given(TEXTS, st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 2)), max_size=8))
def test_flushes_lose_nothing(text: bytes, cuts: list[tuple[int, int]]) -> None:
    """With nothing to mask, whatever flushes come."""
    stream = TextStream(detection(FINDER, {}), KEYRING, terminal=True)
    shown = b""
    for chunk, (_, flushes) in zip(cut(text, [place for place, _ in cuts]), [*cuts, (0, 0)], strict=True):
        shown += stream.feed(chunk)
        for _ in range(flushes):
            shown += stream.flush()
    assert shown + stream.close() == text


@given(TEXTS, st.lists(st.integers(0, 4000), max_size=8))
def test_flushes_never_raise_and_hide_whole_values(text: bytes, places: list[int]) -> None:
    stream = TextStream(detection(FINDER), KEYRING, terminal=True)
    for chunk in cut(text, places):
        shown = stream.feed(chunk) + stream.flush()
        if b"\x1b" not in text and b"\xc2" not in text and b"PRIVATE" not in text:
            assert b" 123-45-6789 " not in shown
    stream.close()


SLOW_GROUPS = re.compile(
    rb"(?:(?<![0-9A-Za-z])[+(]{0,2}(?:[A-Za-z]{2})?[0-9][0-9()./-]{0,16}"
    rb"(?: (?:[0-9A-Z()./-]{1,16}|[a-z]{0,4}[0-9][0-9a-z]{0,4})){0,12} )\S*\Z"
)
"""What `_last_groups` finds, in one expression, which takes a tenth of a second for 320 bytes of "1 1 1 1 ..."."""


@given(st.text("  12aA+(.-/\nz:", max_size=24).map(str.encode))
@example(b"iban DE89 3704 0044 0532 ")
@example(b"call +41 44 668 18")
@example(b"12 \n")
@example(b"1 " * 20)
def test_groups_at_the_end_of_a_text(tail: bytes) -> None:
    found = SLOW_GROUPS.search(tail)
    assert stream_text._last_groups(tail) == (b"" if found is None else found.group())
