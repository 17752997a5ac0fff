from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.units import (
    MAX_DURATION,
    MAX_SIZE,
    is_local,
    parse_address,
    parse_duration,
    parse_listen_address,
    parse_size,
    written_duration,
)
from gateway.model import Address


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("10m", 600), ("8h", 28800), ("1.5h", 5400), ("400d", 34560000), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "+1s", "1 s", "1S", "1w", "1h30m", "٣s", "1e3s", "nans", "infs", "1s\n"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s"):
        parse_duration(text)


def test_too_long_durations() -> None:
    with pytest.raises(ValueError, match="hundred years"):
        parse_duration("999999999999d")


@pytest.mark.parametrize("text", ["0s", "0.5s", "45s", "90s", "15m", "90m", "8h", "25h", "1d", "31d"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    assert written_duration(parse_duration(text)) == text


@given(st.integers(0, 10**12).map(lambda micro: micro / 10**6))
def test_a_written_duration_means_the_same(seconds: float) -> None:
    assert parse_duration(written_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(("text", "size"), [("0B", 0), ("64KiB", 65536), ("5GiB", 5 * 2**30), ("1TiB", 2**40)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5", "5GB", "5gib", "-1B", "1.5GiB", "1_0B", "٣B", "5 GiB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="such as 64KiB"):
        parse_size(text)


def test_too_large_sizes() -> None:
    with pytest.raises(ValueError, match="file system"):
        parse_size("999999999999999TiB")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("db1.internal:5432", Address("db1.internal", 5432)),
        ("db_1:1", Address("db_1", 1)),
        ("10.0.0.1:65535", Address("10.0.0.1", 65535)),
        ("[2001:db8::1]:5432", Address("2001:db8::1", 5432)),
        ("[fe80::1%eth0]:5432", Address("fe80::1%eth0", 5432)),
        ("/run/postgresql/.s.PGSQL.5432", Address("/run/postgresql/.s.PGSQL.5432", 0)),
        ("unix:/run/x", Address("/run/x", 0)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("db1", "no port"),
        ("db1:", "no port"),
        ("db1:x", "no port"),
        (":5432", "host name"),
        ("db1:0", "port 0"),
        ("db1:65536", "65535"),
        ("2001:db8::1:5432", "brackets"),
        ("[db1]:5432", "no IPv6"),
        ("[10.0.0.1]:5432", "no IPv6"),
        ("[fe80::1%eth0\n]:5432", "no IPv6"),
        ("-x:5432", "host name"),
        ("a b:5432", "host name"),
        ("a..b:5432", "host name"),
        ("a/b:5432", "host name"),
        ("x" * 64 + ":5432", "host name"),
        ("a.b.c." * 50 + "d:5432", "host name"),
        ("/var/run/postgresql:5432", "full path"),
        ("/" + "x" * 107, "107 bytes"),
        ("/run/\0x", "characters"),
        ("unix:run/x", "no port"),
    ],
)
def test_no_addresses(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_address(text)


def test_listen_addresses() -> None:
    assert parse_listen_address("[::]:5432") == Address("::", 5432)
    assert parse_listen_address("127.0.0.1:0") == Address("127.0.0.1", 0)
    for text in ("localhost:5432", "*:5432", "/run/x", "5432", ":5432"):
        with pytest.raises(ValueError, match=r"\[|host:port"):
            parse_listen_address(text)


def test_local_is_what_cannot_leave_the_host() -> None:
    assert is_local(Address("/run/x", 0))
    assert is_local(Address("127.0.0.1", 1))
    assert is_local(Address("::1", 1))
    assert not is_local(Address("localhost", 1))
    assert not is_local(Address("0.0.0.0", 1))
    assert not is_local(Address("10.0.0.1", 1))


@pytest.mark.parametrize("parse", [parse_duration, parse_size, parse_address, parse_listen_address])
@given(text=st.text(max_size=40) | st.from_regex(r"[0-9.]{0,20}[a-zA-Z:\[\]/%]{0,6}[0-9]{0,6}"))
def test_nothing_but_valueerror(parse: Callable[[str], object], text: str) -> None:
    value: object = None
    with contextlib.suppress(ValueError):
        value = parse(text)
    if isinstance(value, float):
        assert 0 <= value <= MAX_DURATION
    elif isinstance(value, int):
        assert 0 <= value <= MAX_SIZE
    elif value is not None:
        assert isinstance(value, Address)
        assert 0 <= value.port <= 65535


@given(st.ip_addresses(), st.integers(1, 65535))
def test_addresses_print_as_they_are_written(ip: object, port: int) -> None:
    address = Address(str(ip), port)
    assert parse_address(str(address)) == address
