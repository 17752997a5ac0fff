from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PeerError
from gateway.protocols.postgres import wire
from gateway.protocols.postgres.wire import CancelRequest, EncryptionRequest, Startup

names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
raw = st.binary(max_size=30).map(lambda data: data.replace(b"\0", b""))
HOSTILE = (-(2**31), -1, 0, 1, 3, 2**31 - 1)


def bind_body(
    portal: bytes, statement: bytes, formats: list[int], values: list[bytes | None], results: list[int]
) -> bytes:
    body = portal + b"\0" + statement + b"\0" + struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return body + struct.pack(f"!h{len(results)}h", len(results), *results)


# --- before login ---------------------------------------------------------------------------------------------


@given(st.dictionaries(names.filter(bool), names, max_size=8))
def test_startup_round_trip(parameters: dict[str, str]) -> None:
    packet = wire.startup(parameters.items())
    for size in range(4):
        assert wire.initial_length(packet[:size]) is None
    assert wire.initial_length(packet) == len(packet)
    assert wire.parse_initial(packet) == Startup(0, parameters)
    for damaged in (packet + b"x", packet[:-1]):
        with pytest.raises(PeerError):
            wire.parse_initial(damaged)
        with pytest.raises(PeerError):
            wire.parse_initial(struct.pack("!i", len(damaged)) + damaged[4:])


@pytest.mark.parametrize("length", [*HOSTILE, 4, 7, 10_001])
def test_a_startup_packet_of_a_wrong_length(length: int) -> None:
    # hoop died of one with 4 bytes
    with pytest.raises(PeerError, match="length of startup packet"):
        wire.initial_length(struct.pack("!i", length))


def test_a_startup_packet_of_the_largest_length() -> None:
    assert wire.initial_length(struct.pack("!i", 10_000)) == 10_000


def test_a_startup_packet_with_nothing_in_it() -> None:
    with pytest.raises(PeerError):
        wire.parse_initial(struct.pack("!ii", 8, 3 << 16))
    assert wire.parse_initial(struct.pack("!ii", 9, 3 << 16) + b"\0") == Startup(0, {})


def test_startup_parameters_that_could_mean_two_things() -> None:
    for body in (b"user\0a\0user\0b\0\0", b"user\0a\0\0more\0x\0\0", b"user\0\xff\0\0", b"user\0a", b"user\0"):
        with pytest.raises(PeerError):
            wire.parse_initial(struct.pack("!ii", len(body) + 8, 3 << 16) + body)


@pytest.mark.parametrize(("major", "minor"), [(2, 0), (4, 0), (0, 0), (1234, 5681)])
def test_other_protocols(major: int, minor: int) -> None:
    with pytest.raises(PeerError, match="unsupported frontend protocol"):
        wire.parse_initial(struct.pack("!ihh", 9, major, minor) + b"\0")


def test_newer_minor_versions_are_read() -> None:
    assert wire.parse_initial(struct.pack("!ihh", 9, 3, 9999) + b"\0") == Startup(9999, {})


def test_encryption_requests() -> None:
    assert wire.parse_initial(struct.pack("!ii", 8, 80877103)) == EncryptionRequest(gss=False)
    assert wire.parse_initial(struct.pack("!ii", 8, 80877104)) == EncryptionRequest(gss=True)
    for code in (80877103, 80877104):
        with pytest.raises(PeerError):
            wire.parse_initial(struct.pack("!ii", 9, code) + b"\0")


@given(st.integers(0, 2**32 - 1), st.binary(min_size=4, max_size=256))
def test_cancel_request_round_trip(pid: int, secret: bytes) -> None:
    assert wire.parse_initial(wire.cancel_request(pid, secret)) == CancelRequest(pid, secret)


@pytest.mark.parametrize("size", [0, 3, 257])
def test_a_cancel_request_with_a_wrong_secret(size: int) -> None:
    with pytest.raises(PeerError):
        wire.parse_initial(wire.cancel_request(1, b"x" * size))


def test_negotiation_says_what_is_spoken() -> None:
    assert wire.negotiate_version(2, ["_pq_.new"]) == wire.message(b"v", struct.pack("!ii", 2, 1) + b"_pq_.new\0")


# --- messages of login ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=50)), max_size=5), st.data())
def test_messages_are_cut_off_whatever_the_chunks(messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(wire.message(bytes([kind]), body) for kind, body in messages)
    buffer, found = bytearray(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        while (taken := wire.take_message(buffer, 50)) is not None:
            found.append(taken)
    assert found == messages
    assert not buffer


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 3, 55, 2**31 - 1])
def test_a_message_of_a_wrong_length(length: int) -> None:
    with pytest.raises(PeerError, match="length"):
        wire.take_message(bytearray(b"p" + struct.pack("!i", length)), 50)


# --- messages of a session ------------------------------------------------------------------------------------


@given(raw, raw, st.lists(st.integers(0, 2**31 - 1), max_size=5))
def test_parse_round_trip(name: bytes, text: bytes, types: list[int]) -> None:
    rest = struct.pack(f"!h{len(types)}i", len(types), *types)
    body = name + b"\0" + text + b"\0" + rest
    assert wire.parse_parse(body) == wire.Parse(name, text, rest)
    for damaged in (body + b"\0", body[:-1]):
        with pytest.raises(PeerError):
            wire.parse_parse(damaged)


@given(
    raw,
    raw,
    st.lists(st.sampled_from([0, 1]), max_size=4),
    st.lists(st.none() | st.binary(max_size=20), max_size=5),
    st.lists(st.sampled_from([0, 1]), max_size=4),
)
def test_bind_round_trip(
    portal: bytes, statement: bytes, formats: list[int], values: list[bytes | None], results: list[int]
) -> None:
    body = bind_body(portal, statement, formats, values, results)
    assert wire.parse_bind(body) == (portal, statement, tuple(formats), tuple(values))
    for damaged in [body + b"\0", *(body[:size] for size in range(len(body)))]:
        with pytest.raises(PeerError):
            wire.parse_bind(damaged)


@pytest.mark.parametrize("length", [-(2**31), -2, 5, 2**31 - 1])
def test_a_parameter_of_a_wrong_length(length: int) -> None:
    with pytest.raises(PeerError, match="Bind"):
        wire.parse_bind(b"\0\0\0\0\0\1" + struct.pack("!i", length) + b"abcd" + b"\0\0")


def test_counts_are_unsigned() -> None:
    many = b"\0\0\0\0\xff\xff" + struct.pack("!i", -1) * 65_535 + b"\0\0"
    assert len(wire.parse_bind(many)[3]) == 65_535


@given(raw)
def test_query_round_trip(text: bytes) -> None:
    assert wire.parse_query(text + b"\0") == text
    for damaged in (text, text + b"\0\0", text + b"\0x", b""):
        with pytest.raises(PeerError):
            wire.parse_query(damaged)


@given(raw, st.integers(-(2**31), 2**31 - 1))
def test_execute_round_trip(name: bytes, rows: int) -> None:
    body = name + b"\0" + struct.pack("!i", rows)
    assert wire.parse_execute(body) == name
    for damaged in (body + b"x", body[:-1], b""):
        with pytest.raises(PeerError):
            wire.parse_execute(damaged)


@given(raw, st.sampled_from(b"SP"))
def test_describe_and_close_round_trip(name: bytes, kind: int) -> None:
    body = bytes([kind]) + name + b"\0"
    assert wire.parse_target_of(body) == (kind, name)
    for damaged in (body + b"\0", body[:-1], b"", b"X" + body[1:], body + b"x"):
        with pytest.raises(PeerError):
            wire.parse_target_of(damaged)


@given(st.lists(st.tuples(st.sampled_from("SVCMDHPpqWstcdnFLR"), raw), max_size=8))
def test_error_fields_round_trip(fields: list[tuple[str, bytes]]) -> None:
    made = wire.fields_message(b"E", fields)
    assert wire.parse_fields(made[5:]) == fields
    for damaged in (made[5:-1], made[5:] + b"x", b""):
        with pytest.raises(PeerError):
            wire.parse_fields(damaged)


@given(raw, raw)
def test_parameter_status_round_trip(name: bytes, value: bytes) -> None:
    body = wire.cstring(name) + wire.cstring(value)
    assert wire.parse_parameter_status(body) == (name, value)
    for damaged in (body + b"x", body[:-1]):
        with pytest.raises(PeerError):
            wire.parse_parameter_status(damaged)


def test_a_string_never_carries_another_one() -> None:
    with pytest.raises(ValueError, match="NUL"):
        wire.cstring("orders\0user\0postgres")


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_the_peers_error(data: bytes) -> None:
    for parse in (
        lambda: wire.initial_length(data),
        lambda: wire.parse_initial(struct.pack("!i", len(data) + 8) + data.ljust(4, b"\0")),
        lambda: wire.parse_parse(data),
        lambda: wire.parse_bind(data),
        lambda: wire.parse_query(data),
        lambda: wire.parse_execute(data),
        lambda: wire.parse_target_of(data),
        lambda: wire.parse_fields(data),
        lambda: wire.parse_parameter_status(data),
        lambda: wire.take_message(bytearray(data), 100),
    ):
        try:
            parse()
        except PeerError:
            continue
