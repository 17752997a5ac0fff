"""Lines at the Enter: what is held, and what goes on behind it. tests/e2e/test_ssh_typed.py has a real bash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from protocols.ssh.linked import Caller, Process, Shell, World, play, turns, until

from gateway.errors import RecordingFailed
from gateway.protocols.ssh import advice
from gateway.session import Approver

POLICY = """
allow: [{name: all, groups: [engineers], targets: [web1]}]
deny:
  - {name: refused, targets: [web1], ssh: {typed: [wipe]}}
  - {name: warned, targets: [web1], ssh: {typed: [mkfs], then: warn}, message: mind the disks}
  - {name: ended, targets: [web1], ssh: {typed: [shutdown], then: end}}
approve:
  - {name: asked, targets: [web1], ssh: {typed: [reboot]}, approvers: {groups: [bosses]}, wait: 60s}
"""

Play = Callable[..., Any]


@pytest.fixture(name="play")
def _play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    def run(act: Callable[[World], Coroutine[Any, Any, Any]], *policy: str) -> Any:
        return play(tmp_path, monkeypatch, act, *(policy or (POLICY,)))

    return run


async def terminal(world: World, caller: Caller | None = None) -> tuple[Process, Shell]:
    """A caller's terminal, and the target's side of it, which has shown its prompt."""
    caller = caller or await world.login()
    process = await caller.run("sh", term_type="xterm", term_size=(80, 24))
    await process.opening
    shell = world.target.shells[-1]
    shell.channel.write(b"$ ")
    await until(lambda: process.out == b"$ ")
    return process, shell


async def types(process: Process, shell: Shell, keys: bytes, *, echo: bytes | None = None) -> None:
    """Keys that the target shows."""
    before = len(shell.received)
    process.channel.write(keys)
    await until(lambda: len(shell.received) >= before + len(keys))
    shell.channel.write(keys if echo is None else echo)
    shown = len(process.out)
    await until(lambda: len(process.out) > shown)


def lines(world: World) -> list[dict[str, Any]]:
    return [event for event in world.events("operation") if event["request"] == "typed"]


def test_a_line_that_is_refused(play: Play) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"wipe")
        process.channel.write(b"\rbehind\r")
        await until(lambda: b"not sent" in process.err)
        await turns()
        assert shell.received == b"wipe\x03", "and nothing of what was typed behind it"
        assert b"best effort" in process.err
        assert [event["outcome"] for event in lines(world)] == ["deny"]
        await types(process, shell, b"next")
        process.channel.write(b"\r")
        await until(lambda: shell.received.endswith(b"next\r"))

    play(act)


def test_a_warning_is_told_before_the_line_goes(play: Play) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"mkfs")
        process.channel.write(b"\rmore\r")
        await until(lambda: b"warning: warned: mind the disks" in process.err)
        await until(lambda: shell.received.endswith(b"mkfs\rmore\r"))
        assert [(event["outcome"], event["observed"]) for event in lines(world)] == [("allow", ["warned"])]

    play(act)


def test_keys_in_one_packet_wait_for_their_echo(play: Play) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        process.channel.write(b"echo a\rwipe\recho b\r")
        await until(lambda: shell.received == b"echo a\rwipe")
        await turns()
        assert not process.err
        shell.channel.write(b"echo a\r\na\r\n$ wi")
        await turns()
        assert not process.err, "not shown yet"
        shell.channel.write(b"pe")
        await until(lambda: b"not sent" in process.err)
        await turns()
        assert shell.received == b"echo a\rwipe\x03"

    play(act)


def test_what_is_not_shown_passes_and_is_not_kept(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "ECHO", 0.01)

    async def act(world: World) -> None:
        process, shell = await terminal(world)
        shell.channel.write(b"\r\nPassword: ")
        process.channel.write(b"wipe my secret\rnext")
        await until(lambda: shell.received == b"wipe my secret\rnext")
        assert not lines(world)
        assert not process.err
        assert not any(b"my secret" in str(event).encode() for event in world.events())

    play(act)


def test_a_key_that_is_not_understood_is_read_from_the_terminal(play: Play) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        process.channel.write(b"\x1b[A\r")
        await until(lambda: shell.received == b"\x1b[A")
        shell.channel.write(b"wipe /srv")
        await until(lambda: b"not sent" in process.err)
        assert [event["text"] for event in lines(world)] == ["wipe /srv"]

    play(act)


def test_nothing_is_waited_for_in_vain(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "SETTLED", 0.01)

    async def act(world: World) -> None:
        process, shell = await terminal(world)
        process.channel.write(b"\t\r")
        await until(lambda: shell.received == b"\t\r")
        assert not lines(world)

    play(act)


@pytest.mark.parametrize("yes", [True, False])
def test_approvers_are_waited_for(play: Play, yes: bool) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"reboot")
        process.channel.write(b"\rbehind")
        await until(lambda: b"waiting for approval" in process.err)
        assert b"Ctrl-C takes it back" in process.err
        await turns()
        assert shell.received == b"reboot"
        [request] = world.house.approvals.requests()
        world.house.approvals.decide(request.id, Approver("betty", frozenset({"bosses"}), "tls"), yes=yes)
        await until(lambda: len(shell.received) > len(b"reboot"))
        await turns()
        assert bytes(shell.received) == (b"reboot\rbehind" if yes else b"reboot\x03")

    play(act)


@pytest.mark.parametrize("yes", [True, False])
def test_a_caller_who_sends_no_more(play: Play, yes: bool) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"reboot")
        process.channel.write(b"\rwipe\rbehind")
        process.channel.write_eof()
        await until(lambda: b"waiting for approval" in process.err)
        await turns()
        assert not shell.ended
        [request] = world.house.approvals.requests()
        world.house.approvals.decide(request.id, Approver("betty", frozenset({"bosses"}), "tls"), yes=yes)
        if yes:
            await until(lambda: shell.received == b"reboot\rwipe")
            assert not shell.ended
            shell.channel.write(b"\r\n$ wipe")
        await until(lambda: shell.ended)
        assert bytes(shell.received) == (b"reboot\rwipe\x03" if yes else b"reboot\x03")

    play(act)


def test_taking_it_back(play: Play) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"reboot")
        process.channel.write(b"\rlost")
        await until(lambda: b"waiting for approval" in process.err)
        process.channel.write(b"lost\x03kept")
        await until(lambda: shell.received == b"reboot\x03kept")
        assert b"taken back" in process.err
        assert [request.state for request in world.house.approvals.requests()] == ["withdrawn"]

    play(act)


def test_a_caller_who_types_much_behind_it_is_not_read(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "MAX_HELD", 100)

    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"reboot")
        process.channel.write(b"\r")
        await until(lambda: b"waiting for approval" in process.err)
        for _ in range(1000):
            process.channel.write(b"x" * 10_000)
        await turns(500)
        [request] = world.house.approvals.requests()
        assert process.channel.get_write_buffer_size() > 1_000_000
        world.house.approvals.decide(request.id, Approver("betty", frozenset({"bosses"}), "tls"), yes=True)
        await until(lambda: len(shell.received) == len(b"reboot\r") + 10_000_000)

    play(act)


def test_the_session_ends(play: Play) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"shutdown")
        process.channel.write(b"\r")
        await process.over.wait()
        assert b'policy ends this session for what was typed: "ended"' in process.err
        assert b"best effort" in process.err
        assert shell.received == b"shutdown"

    play(act)


def test_what_cannot_be_recorded_does_not_go(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process, shell = await terminal(world, caller)
        await types(process, shell, b"mkfs")
        [channel] = caller.gateway.login._traffic._channels.values()  # type: ignore[attr-defined]  # the session's

        def fail() -> None:
            raise RecordingFailed("the disk is full")

        channel._advice._committed = fail
        process.channel.write(b"\r")
        await process.over.wait()
        assert b"the disk is full" in process.err
        assert shell.received == b"mkfs"

    play(act)


def test_a_caller_that_leaves_while_it_waits(play: Play) -> None:
    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"reboot")
        process.channel.write(b"\r")
        await until(lambda: b"waiting for approval" in process.err)
        process.channel.close()
        await until(lambda: shell.over)
        assert shell.received == b"reboot"
        assert [request.state for request in world.house.approvals.requests()] == ["withdrawn"]

    play(act)


def test_who_is_not_watched_pays_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("nobody asked for advice")

    monkeypatch.setattr("gateway.protocols.ssh.channel.Advice", never)

    async def act(world: World) -> None:
        process, shell = await terminal(world)
        await types(process, shell, b"wipe")
        process.channel.write(b"\r")
        await until(lambda: shell.received == b"wipe\r")

    play(act, "allow: [{name: all, groups: [engineers], targets: [web1]}]")


def test_commands_without_a_terminal_are_not_read(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("sh")
        await process.opening
        process.channel.write(b"wipe\r\n")
        await until(lambda: world.target.shells[-1].received == b"wipe\r\n")
        assert not lines(world)
        await asyncio.sleep(0)

    play(act)
