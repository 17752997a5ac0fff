"""The menu's words: what an answer means, and what is typed on a raw terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.ssh.menu import MAX_LINE, MAX_SHOWN, Line, chosen, listing

WAYS = (("deploy", "web1"), ("deploy", "web2"), ("root", "web2"), ("app", "3"))


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("1", ("deploy", "web1")),
        ("3", ("root", "web2")),
        ("web1", ("deploy", "web1")),
        ("root@web2", ("root", "web2")),
        ("app@3", ("app", "3")),
    ],
)
def test_answers(text: str, way: tuple[str, str]) -> None:
    assert chosen(text, WAYS) == way


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "none of these"),
        ("5", "none of these"),
        ("-1", "none of these"),
        ("²", "none of these"),
        ("99999999999999999999", "none of these"),
        ("web2", "several logins lead there: deploy@web2, root@web2"),
        ("root@web1", "none of these"),
        ("@web1", "none of these"),
        ("web", "none of these"),
    ],
)
def test_answers_that_lead_nowhere(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        chosen(text, WAYS)


def test_what_is_listed() -> None:
    assert listing(WAYS).splitlines()[2] == "   3  root@web2"
    many = listing(tuple(("deploy", f"web{n}") for n in range(1000))).splitlines()
    assert len(many) == MAX_SHOWN + 1
    assert many[-1].endswith("and 800 more, by name")


@pytest.mark.parametrize(
    ("typed", "ended", "echo", "ahead"),
    [
        (b"web1\r", "web1", b"web1\r\n", b""),
        (b" web1 \nid\n", "web1", b" web1 \r\n", b"id\n"),
        (b"webx\x7f1\r", "web1", b"webx\b \b1\r\n", b""),
        (b"\x7f\x08a\r", "a", b"a\r\n", b""),
        (b"nonsense\x15b\r", "b", b"nonsense" + b"\b \b" * 8 + b"b\r\n", b""),
        (b"web1\x03\xff", "", b"web1\r\n", b"\xff"),
        (b"\x04", "", b"\r\n", b""),
        (b"\x1b[Aa\xc3\xa9\x00\r", "[Aa", b"[Aa\r\n", b""),
        (b"abc", None, b"abc", b""),
    ],
)
def test_a_line(typed: bytes, ended: str | None, echo: bytes, ahead: bytes) -> None:
    whole = Line()
    assert (whole.keys(typed), whole.ended, whole.ahead) == (echo, ended, ahead)
    single, said = Line(), b""
    for byte in typed:
        if single.ended is None:
            said += single.keys(bytes([byte]))
    assert (said, single.ended) == (echo, ended)


@given(st.binary(max_size=1000))
def test_nothing_that_a_terminal_obeys_is_echoed(data: bytes) -> None:
    line = Line()
    echo = line.keys(data)
    assert set(echo) <= {8, 10, 13, *range(0x20, 0x7F)}
    assert line.ended is None or len(line.ended) <= MAX_LINE
