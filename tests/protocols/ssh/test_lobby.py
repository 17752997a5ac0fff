"""Callers who name no target: how long they may stay, and how often they may try."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from protocols.ssh.linked import Caller, Process, World, play, turns, until
from twisted.internet.task import Clock

from gateway.protocols.ssh import lobby
from gateway.protocols.ssh.lobby import ANSWER, IDLE, MAX_JUMPS, TRIES, Lobby
from gateway.protocols.ssh.tunnels import Asked, Place

Play = Callable[..., Any]


@pytest.fixture(name="play")
def _play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    def run(act: Callable[[World], Coroutine[Any, Any, Any]], *policy: str) -> Any:
        return play(tmp_path, monkeypatch, act, *policy)

    return run


async def menu(world: World) -> tuple[Caller, Process]:
    caller = await world.login(username="alice")
    process = Process()
    await caller.connection.create_session(lambda: process, term_type="vt100", encoding=None)
    await until(lambda: b"> " in process.out or b": " in process.out)
    return caller, process


def test_whoever_asks_for_nothing_is_sent_away(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login(username="alice")
        world.house.clock.advance(IDLE - 1)
        await turns()
        assert not caller.gateway.has_left
        world.house.clock.advance(1)
        await until(lambda: not world.service.lobbies)
        assert caller.gateway.has_left

    play(act)


def test_a_menu_waits_for_its_answer_so_long(play: Play) -> None:
    async def act(world: World) -> None:
        caller, process = await menu(world)
        for _ in range(int((ANSWER - 1) // IDLE)):
            world.house.clock.advance(IDLE)
        await turns()
        assert not caller.gateway.has_left
        assert not process.over.is_set()
        world.house.clock.advance(IDLE)
        await process.over.wait()
        assert process.status == 0
        world.house.clock.advance(IDLE)
        await until(lambda: caller.gateway.has_left)

    play(act)


def test_a_menu_is_asked_so_often(play: Play) -> None:
    async def act(world: World) -> None:
        _, process = await menu(world)
        for tries in range(TRIES):
            assert not process.over.is_set(), tries
            process.channel.write(b"nowhere\r")
            await turns()
        await process.over.wait()
        assert not world.target.links

    play(act)


def test_connections_within_one_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Channel:
        def __init__(self, connection: object) -> None:
            self._conn: object = connection

    monkeypatch.setattr(lobby, "TunnelChannel", Channel)
    named: list[str] = []
    guest: Any = SimpleNamespace(jump=named.append)
    connection: Any = SimpleNamespace(_channels={})
    room = Lobby(connection, guest, Clock().callLater)
    asked = Asked(b"direct-tcpip", Place(b"WEB1", 22), None)

    def tunnel(asked: Asked) -> Any:
        channel, opening = room.tunnel(asked)
        opening.close()  # type: ignore[attr-defined]  # a coroutine
        return channel

    opened = [tunnel(asked) for _ in range(MAX_JUMPS)]
    with pytest.raises(asyncssh.ChannelOpenError, match="too many connections within this one"):
        tunnel(asked)
    opened[0]._conn = None
    tunnel(asked)
    assert named == ["web1"] * (MAX_JUMPS + 1)
    for place in (Place(b"web1", 23), Place(b"/run/app.sock", None)):
        with pytest.raises(asyncssh.ChannelOpenError):
            tunnel(Asked(b"direct-tcpip", place))
