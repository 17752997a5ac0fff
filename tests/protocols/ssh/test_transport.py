"""What the seam adds to asyncssh. All of it leans on asyncssh's inner names: here one sees when they change."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from hashlib import sha256
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.packet import String, UInt32
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from protocols.ssh.linked import World, play, turns, until
from structlog.testing import capture_logs

from gateway.protocols.ssh.transport import (
    FREE_REKEYS,
    MAX_CHANNELS,
    MAX_REQUESTS,
    WINDOW,
    WRITE_HIGH,
    _Intake,
    guessed_wrong,
    is_signed,
)

Play = Callable[[Callable[[World], Coroutine[Any, Any, Any]]], Any]

ROOM = WRITE_HIGH + 512 * 1024
"""Bytes that may wait for somebody who doesn't read: the mark, what was read in one go, packets around it."""


@pytest.fixture(name="play")
def _play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    return lambda act: play(tmp_path, monkeypatch, act)


def test_data_status_and_end_in_their_order(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        [shell] = world.target.shells
        assert shell.asked == ("exec", "run")
        process.channel.write(b"input")
        process.channel.write_eof()
        await until(lambda: shell.ended)
        assert bytes(shell.received) == b"input"
        shell.channel.write(b"out" * 100_000)
        shell.channel.write_stderr(b"err")
        shell.channel.exit(3)
        await process.over.wait()
        assert bytes(process.out) == b"out" * 100_000
        assert bytes(process.err) == b"err"
        assert process.status == 3
        assert process.order == ["status after 300000"]

    play(act)


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"])
def test_data_of_many_packets_and_key_exchanges(play: Play, cipher: str) -> None:
    async def act(world: World) -> None:
        caller = await world.login(encryption_algs=[cipher])
        caller.gateway._rekey_bytes = 500_000
        process = await caller.run("run")
        await process.opening
        [shell] = world.target.shells
        session = caller.gateway._send_encryption
        data = random.Random(1).randbytes(3_000_000)
        for start, end in pairwise((0, 1, 3, 40_000, 100_000, 1_000_000, len(data))):
            shell.channel.write(data[start:end])
            await turns(5)
        shell.channel.exit(0)
        await process.over.wait()
        assert bytes(process.out) == data
        assert caller.gateway._send_encryption is not session

    play(act)


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 30)))
def test_what_came_reads_as_bytes_would(pieces: list[bytes], sizes: list[int]) -> None:
    intake, like = _Intake(), b""
    for piece, size in zip_longest(pieces, sizes):
        if piece is not None:
            intake += piece
            like += piece
        if size is not None and len(like) >= size:
            assert (intake[:size], intake[size // 2 : size]) == (like[:size], like[size // 2 : size])
            assert intake.find(b"\n", 0, size) == like.find(b"\n", 0, size)
            intake, like = intake[size:], like[size:]
        assert (len(intake), bool(intake)) == (len(like), bool(like))
        assert intake[: len(like) + 1] == like


def test_a_status_waits_behind_data_that_the_caller_does_not_take(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        [shell] = world.target.shells
        caller.end.other.stalled = True
        shell.channel.write(b"x" * 2_000_000)
        shell.channel.exit(9)
        await turns(2000)
        assert process.status is None
        caller.end.other.go_on()
        await process.over.wait()
        assert len(process.out) == 2_000_000
        assert process.order == ["status after 2000000"]

    play(act)


def test_a_caller_that_does_not_read_fills_no_memory_whatever_window_it_gives(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run", window=2**31)
        await process.opening
        [shell] = world.target.shells
        caller.end.other.stalled = True
        for _ in range(300):
            if not shell.paused:
                shell.channel.write(b"x" * 100_000)
            await turns(5)
        assert shell.paused
        assert caller.end.other.most < ROOM
        [channel] = caller.gateway._channels.values()
        assert channel.get_write_buffer_size() < ROOM
        [held] = world.target.links[0].protocol._channels.values()  # type: ignore[attr-defined]  # asyncssh's
        assert sum(len(data) for data, _ in held._recv_buf) <= WINDOW
        caller.end.other.go_on()
        shell.channel.exit(0)
        await process.over.wait()
        assert process.status == 0

    play(act)


def test_a_key_exchange_that_is_not_ended_fills_no_memory(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run", window=2**31)
        await process.opening
        [shell] = world.target.shells
        caller.gateway._kex_complete = False
        for _ in range(300):
            if not shell.paused:
                shell.channel.write(b"x" * 100_000)
            await turns(5)
        assert shell.paused
        assert sum(sum(map(len, parts)) for _, parts in caller.gateway._deferred_packets) < ROOM
        caller.gateway._kex_complete = True
        caller.gateway._send_deferred_packets()
        shell.channel.exit(0)
        await process.over.wait()
        assert process.status == 0

    play(act)


def test_a_target_that_does_not_read_fills_no_memory(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        [shell] = world.target.shells
        shell.channel.pause_reading()
        process.channel.write(b"x" * 20_000_000)
        await turns(2000)
        assert world.target.links[0].most < ROOM
        [channel] = caller.gateway._channels.values()
        assert sum(len(data) for data, _ in channel._recv_buf) <= WINDOW
        shell.channel.resume_reading()
        await until(lambda: len(shell.received) == 20_000_000)
        process.channel.write_eof()
        await until(lambda: shell.ended)

    play(act)


def test_a_status_that_comes_behind_the_callers_close(play: Play) -> None:
    """OpenSSH's client closes a channel on which both sides have said EOF."""

    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        [shell] = world.target.shells
        process.channel.write_eof()
        shell.channel.write_eof()
        await until(lambda: process.ended and shell.ended)
        process.channel._send_state = "closed"
        process.channel.send_packet(97)  # CLOSE, and still listening
        await turns()
        assert not shell.over
        shell.channel.exit(5)
        await process.over.wait()
        assert process.status == 5
        await until(lambda: shell.over)

    play(act)


def test_a_channel_that_the_caller_closes_is_closed_at_the_target(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        [shell] = world.target.shells
        process.channel.close()
        await until(lambda: shell.over)
        assert not caller.gateway._channels

    play(act)


def test_requests_that_wait_are_bounded(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        caller.gateway.login._traffic.committed = lambda: never  # type: ignore[attr-defined]  # it waits for ever
        process = await caller.run("run")
        await until(lambda: any(channel.pending for channel in caller.gateway._channels.values()))  # type: ignore[attr-defined]
        for _ in range(MAX_REQUESTS + 10):
            process.channel.change_terminal_size(80, 24)
        with pytest.raises(asyncssh.ProtocolError, match="too many channel requests"):
            await process.opening

    play(act)


def test_channels_are_bounded(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        processes = [await caller.run("run") for _ in range(MAX_CHANNELS)]
        await asyncio.gather(*(process.opening for process in processes))
        another = await caller.run("run")
        with pytest.raises(asyncssh.ChannelOpenError, match="no more channels"):
            await another.opening
        processes[0].channel.close()
        await processes[0].over.wait()
        await (await caller.run("run")).opening

    play(act)


def test_no_more_sessions_means_it(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        await (await caller.run("run")).opening
        caller.connection._send_global_request(b"no-more-sessions@openssh.com")
        with pytest.raises(asyncssh.ChannelOpenError, match="no more channels"):
            await (await caller.run("run")).opening

    play(act)


def test_an_empty_command_is_no_shell(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        answered = await process.channel._make_request(b"exec", String(b"again"))
        assert answered is False  # one channel, one request
        other = await caller.connection._open_bare(caller)  # type: ignore[attr-defined]  # see below
        assert await other._make_request(b"exec", String(b"")) is False
        assert await other._make_request(b"subsystem", String(b"")) is False
        assert len(world.target.shells) == 1

    def bare(self: asyncssh.SSHClientConnection, caller: Any) -> Any:
        from asyncssh.channel import SSHClientChannel

        async def opened() -> Any:
            channel: SSHClientChannel[bytes] = SSHClientChannel(
                self, self._loop, "strict", None, "strict", WINDOW, 32768
            )
            await channel._open(b"session")
            channel._session = asyncssh.SSHClientSession()
            return channel

        return opened()

    asyncssh.SSHClientConnection._open_bare = bare  # type: ignore[attr-defined]  # for this test
    try:
        play(act)
    finally:
        del asyncssh.SSHClientConnection._open_bare  # type: ignore[attr-defined]  # as above


def test_key_exchanges_are_not_for_free(play: Play) -> None:
    async def act(world: World) -> int:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        connection = caller.connection
        done = 0
        for _ in range(10):
            # asyncssh's is true from the end of the last exchange on.
            connection._kex_complete = False
            connection._send_kexinit()
            connection._kexinit_sent = True
            await until(lambda: connection._kex_complete or process.over.is_set())
            if process.over.is_set():
                break
            done += 1
        await process.over.wait()
        return done

    with capture_logs() as logged:
        assert play(act) == FREE_REKEYS
    assert [entry["reason"] for entry in logged if "reason" in entry] == ["too many key exchanges"]


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize(
    ("exchange", "host_key", "right"),
    [
        ("mlkem768x25519-sha256,curve25519-sha256", "ssh-ed25519,rsa-sha2-256", True),
        ("curve25519-sha256,mlkem768x25519-sha256", "ssh-ed25519", False),  # what would be chosen, but not our first
        ("mlkem768x25519-sha256", "rsa-sha2-256,ssh-ed25519", False),
    ],
)
def test_guesses_at_a_key_exchange(exchange: str, host_key: str, right: bool, follows: bool) -> None:
    def kexinit(exchanges: str, host_keys: str, *, follows: bool) -> bytes:
        names = b"".join(String(names) for names in (exchanges, host_keys, *8 * ("x",)))
        return bytes(17) + names + bytes([follows]) + bytes(4)

    ours = kexinit("mlkem768x25519-sha256,curve25519-sha256", "ssh-ed25519", follows=False)
    assert guessed_wrong(kexinit(exchange, host_key, follows=follows), ours) is (follows and not right)


def test_signatures_with_sha1_are_refused(play: Play) -> None:
    async def act(world: World) -> None:
        rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        entry = world.service.identity._ssh._entries
        [alice] = set(entry.values())
        world.service.identity._ssh._entries = {rsa.public_data: alice}
        for algorithms, allowed in ((["rsa-sha2-256"], True), (["ssh-rsa"], False)):
            try:
                await world.login(client_keys=[rsa], signature_algs=algorithms)
            except asyncssh.PermissionDenied:
                assert not allowed
            else:
                assert allowed

    play(act)


@pytest.mark.parametrize(("flags", "right"), [(1, True), (5, True), (0, False), (4, False)])
def test_a_security_key_has_to_be_touched(flags: int, right: bool) -> None:
    """OpenSSH's PROTOCOL.u2f: flags (1: somebody was there) and a counter are signed, too."""
    key = Ed25519PrivateKey.generate()
    kind, application, data = b"sk-ssh-ed25519@openssh.com", b"ssh:", b"what is signed"
    blob = String(kind) + String(key.public_key().public_bytes_raw()) + String(application)
    said = sha256(application).digest() + bytes([flags]) + UInt32(7) + sha256(data).digest()
    signature = String(kind) + String(key.sign(said)) + bytes([flags]) + UInt32(7)
    assert is_signed(blob, data, signature) is right
    assert not is_signed(blob, data + b".", signature)


def test_terminals_signals_and_breaks(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run", term_type="vt100", term_size=(80, 24), term_modes={53: 0})
        await process.opening
        [shell] = world.target.shells
        assert shell.terminal == ("vt100", (80, 24, 0, 0), {53: 0})
        process.channel.change_terminal_size(0, 2**31, 1, 2)
        process.channel.send_signal("USR1")
        process.channel.send_break(7)
        await until(lambda: len(shell.said) == 3)
        assert shell.said == [("size", 0, 2**31, 1, 2), ("signal", "USR1"), ("break", 7)]
        shell.channel.exit_with_signal("SEGV", True, "core", "en")
        await process.over.wait()
        assert process.signal == "SEGV"

    play(act)


def test_packets_that_are_too_long(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        caller.end.write(UInt32(2**31) + b"x" * 100)
        await until(lambda: caller.gateway.has_left)

    play(act)
