from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.ssh.typed import MAX_TYPED, Typed


def test_what_is_echoed_is_kept() -> None:
    typed = Typed()
    typed.keys(b"l")
    assert typed.echoed(b"l") == b"l"
    typed.keys(b"s\r")
    assert typed.echoed(b"s\r\nfile\r\n$ ") == b"s\r"
    assert typed.echoed(b"more") == b""


def test_a_password_is_not() -> None:
    typed = Typed()
    typed.keys(b"hunter2\r")
    assert typed.echoed(b"\r\nwelcome hunter2") == b""
    # Nor is it later, when output happens to look like it.
    assert typed.echoed(b"hunter2") == b""


def test_an_echo_in_pieces() -> None:
    typed = Typed()
    typed.keys(b"uptime")
    assert typed.echoed(b"up") == b"up"
    assert typed.echoed(b"time\r\n") == b"time"


def test_only_what_stands_first() -> None:
    typed = Typed()
    typed.keys(b"abc")
    assert typed.echoed(b"abX") == b"ab"
    assert typed.echoed(b"c") == b""


def test_a_paste_is_bounded() -> None:
    typed = Typed()
    typed.keys(b"x" * (MAX_TYPED * 3))
    assert len(typed.echoed(b"x" * (MAX_TYPED * 3))) == MAX_TYPED


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=20)), max_size=20))
def test_nothing_is_kept_that_was_not_shown(steps: list[tuple[bool, bytes]]) -> None:
    typed = Typed()
    for is_key, data in steps:
        if is_key:
            typed.keys(data)
        else:
            kept = typed.echoed(data)
            assert data.replace(b"\r\n", b"\r").startswith(kept.replace(b"\r\n", b"\r")[:1])
            assert len(kept) <= len(data)
