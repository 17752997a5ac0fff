"""Logins: what a caller proves, what it hears, what is recorded; approvals and ends before there is a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from protocols.ssh.linked import Caller, World, play, turns, until

from gateway.errors import NotAdmitted, SessionEnded, TargetUnavailable
from gateway.session import Approver

VISITORS = """
allow:
  - {name: visitors, groups: [engineers], targets: [web1]}
approve:
  - name: let in
    groups: [engineers]
    targets: [web1]
    session: {}
    approvers: {groups: [bosses]}
    wait: 60s
"""
BOSS = Approver("betty", frozenset({"bosses"}), "tls")

Play = Callable[..., Any]


@pytest.fixture(name="play")
def _play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    def run(act: Callable[[World], Coroutine[Any, Any, Any]], *policy: str) -> Any:
        return play(tmp_path, monkeypatch, act, *policy)

    return run


async def refused(world: World, **options: Any) -> asyncssh.Error:
    with pytest.raises(asyncssh.Error) as caught:
        await world.login(**options)
    return caught.value


def test_a_login(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        [session] = world.house.live
        assert session.access.principal.name == "alice"
        assert (session.access.role, session.access.database, session.access.address) == ("deploy", "", "192.0.2.7")
        assert [event["unmapped"]["event"] for event in world.house.events()] == [
            "authentication_succeeded",
            "session_opened",
        ]
        assert (world.service.waiting, world.service.logins, world.service.refused) == (0, 1, 0)
        caller.connection.close()
        await until(lambda: not world.house.live)
        assert world.events()[-1]["event"] == "closed"

    play(act)


def test_a_key_that_nobody_registered(play: Play) -> None:
    async def act(world: World) -> None:
        stranger = asyncssh.generate_private_key("ssh-ed25519")
        assert isinstance(await refused(world, client_keys=[stranger]), asyncssh.PermissionDenied)
        await until(lambda: world.service.waiting == 0)
        [failed] = world.house.events("authentication_failed")
        assert "is not registered" in failed["status_detail"]
        assert failed["user"]["name"] == "deploy@web1"
        assert (world.service.logins, world.service.refused) == (0, 1)
        assert not world.target.links

    play(act)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deploy@web2", "you may not connect to that target, or there is no such target"),
        ("root@web1", "you may not connect to that target, or there is no such target"),
        ("@web1", "neither login nor target"),
        ("bob@deploy@web1", "somebody else"),
    ],
)
def test_names_that_lead_nowhere(play: Play, name: str, words: str) -> None:
    async def act(world: World) -> None:
        error = await refused(world, username=name)
        assert words in str(error)
        assert not world.target.links
        assert not world.house.live
        await until(lambda: world.service.waiting == 0)
        assert world.service.refused == 1

    play(act)


def test_those_that_stand_in_the_door_are_bounded(play: Play) -> None:
    async def act(world: World) -> None:
        waiting = [world.dial() for _ in range(world.service.pending)]
        for _, end in waiting:
            end.stalled = True
        assert world.service.waiting == world.service.pending
        assert isinstance(await refused(world), asyncssh.ConnectionLost)
        waiting[0][1].abort()
        await until(lambda: world.service.waiting < world.service.pending)
        await world.login()
        for connection, _ in waiting:
            connection.abort()
        await until(lambda: world.service.waiting == 0)

    play(act)


def test_a_target_that_is_not_who_it_should_be(play: Play) -> None:
    async def act(world: World) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        world.target = type(world.target)(world.loop, key)
        error = await refused(world)
        assert "the host key that web1 shows is not the one that is configured" in str(error)
        assert not world.house.live
        assert world.events()[-1]["reason"].startswith("not opened: the host key")

    play(act)


def test_a_caller_that_leaves_while_the_target_is_dialled(play: Play) -> None:
    async def act(world: World) -> None:
        dialled: asyncio.Future[Any] = world.loop.create_future()

        async def dial(*_: Any, **__: Any) -> Any:
            return await dialled

        world.service.dialler.dial = dial  # type: ignore[method-assign]  # it takes its time
        _, end = world.dial()
        await until(lambda: len(world.house.live))
        end.abort()
        await until(lambda: not world.house.live)
        assert world.events()[-1]["reason"] == "not opened: the client left during login"
        assert world.service.waiting == 0

    play(act)


def test_a_session_that_is_ended_while_the_target_is_dialled(play: Play) -> None:
    async def act(world: World) -> None:
        dialled: asyncio.Future[Any] = world.loop.create_future()

        async def dial(*_: Any, **__: Any) -> Any:
            return await dialled

        world.service.dialler.dial = dial  # type: ignore[method-assign]  # it takes its time
        connection, _ = world.dial()
        await until(lambda: len(world.house.live))
        world.house.live.end_all(SessionEnded("enough"))
        assert connection._options.waiter is not None
        with pytest.raises(asyncssh.DisconnectError, match="enough"):
            await connection._options.waiter
        await until(lambda: not world.house.live)

    play(act)


def test_its_time_is_over(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        world.house.clock.advance(3601)
        await process.over.wait()
        assert b"your access has expired" in process.err

    play(act, "allow: [{name: all, groups: [engineers], targets: [web1], session: {max: 1h}}]")


def test_whoever_has_to_be_let_in_waits_and_is_told(play: Play) -> None:
    async def act(world: World) -> None:
        banners: list[str] = []

        class Client(asyncssh.SSHClient):
            def auth_banner_received(self, msg: str, lang: str) -> None:
                banners.append(msg)

        connection, end = world.dial(client_factory=Client)
        await until(lambda: world.house.approvals.requests() and banners)
        assert banners[0].startswith("ostiary: waiting for approval")
        assert banners[0].endswith("\r\n")
        assert not world.target.links
        assert world.service.waiting == 0  # people take their time, and it is nobody unknown
        [request] = world.house.approvals.requests()
        world.house.approvals.decide(request.id, BOSS, yes=True)
        assert connection._options.waiter is not None
        await connection._options.waiter
        await (await Caller(connection, end).run("run")).opening

    play(act, VISITORS)


def test_a_no_is_told(play: Play) -> None:
    async def act(world: World) -> None:
        connection, _ = world.dial()
        await until(world.house.approvals.requests)
        [request] = world.house.approvals.requests()
        world.house.approvals.decide(request.id, BOSS, yes=False, reason="not today")
        assert connection._options.waiter is not None
        with pytest.raises(asyncssh.DisconnectError, match="not today"):
            await connection._options.waiter
        assert not world.target.links

    play(act, VISITORS)


def test_whoever_leaves_while_it_waits_asks_no_more(play: Play) -> None:
    async def act(world: World) -> None:
        _, end = world.dial()
        await until(world.house.approvals.requests)
        end.abort()
        await turns()
        [request] = world.house.approvals.requests()
        assert request.state == "withdrawn"
        assert not world.house.live

    play(act, VISITORS)


def test_asking_again_while_it_waits_is_no_second_login(play: Play) -> None:
    async def act(world: World) -> None:
        connection, _ = world.dial()
        await until(world.house.approvals.requests)
        await connection.send_userauth_request(b"none")
        assert connection._options.waiter is not None
        with pytest.raises(asyncssh.ProtocolError, match="login goes on already"):
            await connection._options.waiter

    play(act, VISITORS)


async def _heard(lines: list[str]) -> None:
    raise AssertionError(lines)


def test_from_the_lobby_one_session_begins_at_a_time(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login(username="alice")
        login: Any = caller.gateway.login
        way = ("deploy", "web1")
        results = await asyncio.gather(*(login.enter(way, _heard) for _ in range(2)), return_exceptions=True)
        assert sum(isinstance(one, SessionEnded) for one in results) == 1
        assert len(list(world.house.live)) == 1
        assert len(world.target.links) == 1

    play(act)


def test_each_try_from_the_lobby_is_a_session_of_its_own(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login(username="alice")
        login: Any = caller.gateway.login
        right, world.service.dialler = world.service.dialler, Away()  # type: ignore[assignment]  # a target that is down
        for _ in range(2):
            with pytest.raises(TargetUnavailable):
                await login.enter(("deploy", "web1"), _heard)
        world.service.dialler = right
        await login.enter(("deploy", "web1"), _heard)
        opened = world.house.events("session_opened")
        assert len({json.dumps(each["session"]) for each in opened}) == len(opened) == 3

    play(act)


def test_no_more_wait_without_a_target_than_may_have_sessions(play: Play) -> None:
    async def act(world: World) -> None:
        first, _ = [await world.login(username="alice") for _ in range(2)]
        assert "too many connections without a target" in str(await refused(world, username="alice"))
        first.end.abort()
        await turns()
        await world.login(username="alice")
        assert world.service.lobbies == {"alice": 2}

    play(act)


@pytest.mark.parametrize("expire", ["identity", "session"])
def test_from_the_lobby_nobody_enters_by_a_login_that_has_expired(play: Play, expire: str) -> None:
    async def act(world: World) -> None:
        caller = await world.login(username="alice")
        login: Any = caller.gateway.login
        login._principal = replace(login._principal, expires_at=world.house.clock.seconds())
        with pytest.raises((SessionEnded, NotAdmitted)):
            await login.enter(("deploy", "web1"), _heard)
        assert not world.target.links

    play(act, f"allow: [{{name: all, groups: [engineers], targets: [web1], session: {{max: 1h, expire: {expire}}}}}]")


class Away:
    async def dial(self, *_: object, **__: object) -> None:
        raise TargetUnavailable("it is down")
