from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import sftp as said

from gateway.errors import PeerError
from gateway.protocols.ssh import sftp_wire as wire
from gateway.protocols.ssh.sftp_wire import (
    Attributes,
    CopyData,
    OnHandle,
    OnPath,
    OnPaths,
    Open,
    Plain,
    Request,
    Unsupported,
)

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
paths = st.binary(max_size=40)
handles = st.binary(max_size=256)
attributes = st.builds(
    Attributes,
    size=st.none() | u64,
    owner=st.none() | st.tuples(u32, u32),
    mode=st.none() | u32,
    times=st.none() | st.tuples(u32, u32),
)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(Open, u32, paths, st.integers(0, 63), attributes),
    st.builds(OnPath, st.sampled_from(sorted(wire.WITH_PATH)), u32, paths),
    st.builds(OnPath, st.sampled_from(sorted(wire.WITH_PATH_AND_ATTRIBUTES)), u32, paths, attributes),
    st.builds(OnPaths, st.sampled_from(sorted(wire.WITH_PATHS)), u32, paths, paths),
    st.builds(OnHandle, st.sampled_from(sorted(wire.WITH_HANDLE)), u32, handles),
    st.builds(OnHandle, st.just("fsetstat"), u32, handles, attributes),
    st.builds(CopyData, u32, handles, u64, u64, handles, u64),
    st.builds(Plain, st.just("limits"), u32),
    st.builds(
        Plain,
        st.just("users-groups-by-id"),
        u32,
        st.tuples(*[st.lists(u32, max_size=5).map(lambda ids: b"".join(map(said.u32, ids)))] * 2),
    ),
)


def parsed(packet: bytes) -> Request | Unsupported:
    return wire.parse_request(packet[4], packet[5:])


@given(requests)
def test_requests_round_trip(request: Request) -> None:
    packet = wire.encode(request)
    assert int.from_bytes(packet[:4]) == len(packet) - 4
    assert parsed(packet) == request


@given(requests, st.data())
def test_a_request_that_is_cut_off_or_goes_on_is_malformed(request: Request, data: st.DataObject) -> None:
    packet = wire.encode(request)
    with pytest.raises(PeerError):
        parsed(packet + b"x")
    cut = packet[: data.draw(st.integers(5, len(packet) - 1))]
    with suppress(PeerError):
        # only an extension's name can be cut into another one, and then it is none that we know
        assert isinstance(parsed(cut), Unsupported)


@given(st.integers(0, 255), st.binary(max_size=60))
def test_any_bytes_are_a_request_or_malformed(kind: int, body: bytes) -> None:
    try:
        found = wire.parse_request(kind, body)
    except PeerError:
        return
    if not isinstance(found, Unsupported):
        assert wire.encode(found)[5:] == body


def test_requests_as_they_stand_in_the_draft() -> None:
    assert parsed(said.opening(7, b"/a", said.READ | said.WRITE)) == Open(7, b"/a", 3, Attributes())
    assert parsed(said.on_path(16, 1, b".")) == OnPath("realpath", 1, b".")
    assert parsed(said.request(18, 2, said.text(b"a"), said.text(b"b"))) == OnPaths("rename", 2, b"a", b"b")
    assert parsed(said.closing(3, b"h")) == OnHandle("close", 3, b"h")
    setting = said.request(9, 4, said.text(b"a"), said.u32(15), said.u64(1), *map(said.u32, (2, 3, 4, 5, 6)))
    assert parsed(setting) == OnPath("setstat", 4, b"a", Attributes(1, (2, 3), 4, (5, 6)))
    assert parsed(said.extended(5, b"posix-rename@openssh.com", said.text(b"a"), said.text(b"b"))) == OnPaths(
        "posix-rename", 5, b"a", b"b"
    )


@pytest.mark.parametrize(
    "packet",
    [
        said.extended(1, b"vendor@example.com", b"whatever"),
        said.extended(1, b"posix-rename"),
        said.opening(1, b"/a", 0x40),
        said.opening(1, b"/a", 0x80000001),
        said.opening(1, b"/a", 1, said.u32(0x80000000) + said.u32(0)),
        said.request(9, 1, said.text(b"/a"), said.u32(0x10) + said.u32(0)),
        said.request(21, 1, said.text(b"/a"), said.text(b"/b"), b"\0"),
        said.request(99, 1),
        said.status(1),
    ],
)
def test_what_is_not_understood(packet: bytes) -> None:
    found = parsed(packet)
    assert isinstance(found, Unsupported)
    assert found.id == 1


def test_lengths_that_lie() -> None:
    for packet in (
        said.request(3, 1, said.u32(2**32 - 1) + b"/a", said.u32(1), said.u32(0)),
        said.request(4, 1, said.text(b"h" * 257)),
        said.request(4, 1),
        said.request(16, 1, said.u32(5) + b"/a"),
        said.extended(1, b"users-groups-by-id@openssh.com", said.text(b"123"), said.text(b"")),
        said.packet(16, b"\0\0"),
    ):
        with pytest.raises(PeerError):
            parsed(packet)


# --- answers --------------------------------------------------------------------------------------------------


def test_a_version_keeps_what_is_understood_in_the_version_that_is() -> None:
    offered = [(b"posix-rename@openssh.com", b"1"), (b"statvfs@openssh.com", b"1"), (b"newline", b"\n")]
    number, extensions = wire.parse_version(said.version(offered)[5:])
    assert (number, extensions) == (3, offered)
    assert wire.version(wire.understood(extensions)) == said.version(offered[:1])
    with pytest.raises(PeerError):
        wire.parse_version(said.version(offered)[5:-1])


@given(st.text(max_size=30))
def test_a_status_says_its_language(words: str) -> None:
    code, raw = wire.parse_status(wire.status(9, 3, words)[9:])
    assert code == 3
    assert raw == words.encode("utf-8", "replace")
    assert wire.status(9, 3, words).endswith(said.text(b"en"))


def test_a_status_of_old_has_no_words() -> None:
    assert wire.parse_status(said.u32(4)) == (4, b"")
    with pytest.raises(PeerError):
        wire.parse_status(b"\0\0")


def test_a_name() -> None:
    assert wire.parse_name(said.name(1, b"/a")[9:]) == b"/a"
    assert wire.name(1, b"/a") == said.name(1, b"/a")
    assert wire.count(said.name(1, b"a", b"b")[9:]) == 2
    for bad in (said.name(1), said.name(1, b"/a", b"/b"), said.packet(104, said.u32(1), said.u32(1), said.u32(9))):
        with pytest.raises(PeerError):
            wire.parse_name(bad[9:])


def test_a_handle() -> None:
    assert wire.parse_handle(said.handle(1, b"h")[9:]) == b"h"
    for bad in (said.handle(1, b"h" * 257), said.handle(1, b"h") + b"x", said.handle(1, b"h")[:-1]):
        with pytest.raises(PeerError):
            wire.parse_handle(bad[9:])


def test_what_attributes_say() -> None:
    assert wire.file_type(said.attributes(1, 0o040755)[9:]) == wire.MODE_DIRECTORY
    assert wire.file_type(said.attributes(1, 0o100644)[9:]) == 0o100000
    assert wire.file_type(said.attributes(1, 0o120777)[9:]) == wire.MODE_LINK
    assert wire.file_type(said.u32(0)) is None
    full = said.u32(7) + said.u64(5) + said.u32(1) + said.u32(1) + said.u32(0o040700)
    assert wire.file_type(full) == wire.MODE_DIRECTORY
    with pytest.raises(PeerError):
        wire.file_type(said.u32(4))


def test_limits_are_ours_where_the_target_allows_more() -> None:
    def limits(*numbers: int) -> bytes:
        return said.packet(201, said.u32(1), *map(said.u64, numbers))

    generous = limits(4 * 2**20, 4 * 2**20, 4 * 2**20, 0)
    assert wire.capped_limits(1, generous[9:], 10) == limits(wire.MAX_PACKET, wire.MAX_READ, wire.MAX_READ, 10)
    modest = limits(34000, 32768, 32768, 5)
    assert wire.capped_limits(1, modest[9:], 10) == modest
    with pytest.raises(PeerError):
        wire.capped_limits(1, modest[9:-1], 10)
