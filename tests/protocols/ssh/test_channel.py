"""One channel between a caller and a target: what is asked, recorded, refused and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from protocols.ssh.linked import Shell, World, play, turns, until

from gateway.errors import RecordingFailed, SessionEnded
from gateway.session import Approver

NARROW = """
allow:
  - {name: some, groups: [engineers], targets: [web1], ssh: {logins: [deploy], exec: [run, "wait"]}}
approve:
  - {name: waits, targets: [web1], ssh: {exec: [wait]}, approvers: {groups: [bosses]}, wait: 60s}
"""

Play = Callable[..., Any]


@pytest.fixture(name="play")
def _play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    def run(act: Callable[[World], Coroutine[Any, Any, Any]], *policy: str) -> Any:
        return play(tmp_path, monkeypatch, act, *policy)

    return run


def test_the_recording_has_it_before_the_target_hears_of_it(play: Play) -> None:
    async def act(world: World) -> None:
        seen: list[str] = []
        world.target.before = lambda shell: seen.extend(str(each["text"]) for each in world.events("operation"))
        caller = await world.login()
        await (await caller.run("run")).opening
        assert seen == ["run"]

    play(act)


class Instead:
    """``of`` with some of its methods replaced; itself it may be compiled, and then takes none."""

    def __init__(self, of: object, **methods: Callable[..., object]) -> None:
        self._of = of
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


def test_what_cannot_be_recorded_does_not_happen(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        traffic = caller.gateway.login._traffic  # type: ignore[attr-defined]  # the session's

        def fails(*_: object, **__: object) -> None:
            raise RecordingFailed("the disk is full")

        traffic.corridor = Instead(traffic.corridor, commit=fails)
        process = await caller.run("run")
        await process.opening
        await process.over.wait()
        assert world.house.events("session_closed")[-1]["status_detail"] == "the disk is full"
        assert not world.target.shells
        assert caller.gateway.has_left

    play(act)


def test_output_that_cannot_be_recorded_is_not_shown(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        traffic = caller.gateway.login._traffic  # type: ignore[attr-defined]  # the session's

        def fails(*_: object, **__: object) -> None:
            raise RecordingFailed("the disk is full")

        traffic.corridor = Instead(traffic.corridor, output=fails)
        world.target.shells[0].channel.write(b"secret")
        await process.over.wait()
        assert bytes(process.out) == b""
        assert caller.gateway.has_left
        assert not world.house.live

    play(act)


def test_a_denial(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("other")
        await process.opening
        await process.over.wait()
        assert process.status == 126
        assert process.err.startswith(b"ostiary: permission denied by policy: no rule allows this command there\n")
        assert not world.target.shells
        assert not caller.gateway.has_left
        another = await caller.run("run")
        await another.opening
        assert world.target.shells[0].asked == ("exec", "run")
        assert [each["outcome"] for each in world.events("operation")] == ["deny", "allow"]

    play(act, NARROW)


def test_what_the_target_refuses(play: Play) -> None:
    async def act(world: World) -> None:
        world.target.refuses = True
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        await process.over.wait()
        assert process.status == 126
        assert b"the target refuses this" in process.err
        world.target.refuses, world.target.gives_terminals = False, False
        process = await caller.run("run", term_type="vt100")
        await process.opening
        await process.over.wait()
        assert process.err == b"ostiary: the target refuses this: PTY request failed\r\n"

    play(act)


def test_a_command_that_waits_for_people(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("wait")
        # asyncssh hands on what is said only when its request was answered; OpenSSH shows it at once
        await until(world.house.approvals.requests)
        assert not world.target.shells
        assert not process.opening.done()
        # another channel doesn't wait
        await (await caller.run("run")).opening
        process.channel.close()
        await turns()
        [request] = world.house.approvals.requests()
        assert request.state == "withdrawn"
        assert len(world.target.shells) == 1

    play(act, NARROW)


def test_a_gateway_that_stops_keeps_what_was_asked(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        await caller.run("wait")
        await until(world.house.approvals.requests)
        world.house.gate.accepting = False
        world.house.live.end_all(SessionEnded("the gateway is being stopped"))
        await until(lambda: not world.house.live)
        [request] = world.house.approvals.requests()
        assert request.state == "pending"

    play(act, NARROW)


@pytest.mark.parametrize("how", ["signal", "key"])
def test_interrupting_while_it_waits(play: Play, how: str) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("wait", **({"term_type": "vt100"} if how == "key" else {}))
        # asyncssh hands on what is said only when its request was answered; OpenSSH shows it at once
        await until(world.house.approvals.requests)
        if how == "key":
            process.channel.write(b"\x03")
        else:
            process.channel.send_signal("INT")
        await process.over.wait()
        assert process.status == 126
        assert b"canceling" in process.err
        assert not world.target.shells

    play(act, NARROW)


def test_input_that_comes_early_is_kept(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await until(lambda: hasattr(process, "channel"))
        process.channel.write(b"early")
        await process.opening
        await until(lambda: world.target.shells and bytes(world.target.shells[0].received) == b"early")

    play(act)


def test_what_a_session_says_in_its_recording(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run", term_type="vt100", term_size=(80, 24))
        await process.opening
        [shell] = world.target.shells
        process.channel.write(b"ls\r")
        await until(lambda: bytes(shell.received) == b"ls\r")
        shell.channel.write(b"ls\r\nfile\r\n")
        process.channel.change_terminal_size(100, 30)
        await until(lambda: shell.said)
        shell.channel.exit(0)
        await process.over.wait()
        plain = await caller.run("run")
        await plain.opening
        plain.channel.write(b"data")
        await until(lambda: bytes(world.target.shells[1].received) == b"data")
        world.target.shells[1].channel.write_stderr(b"\xff")
        world.target.shells[1].channel.exit(1)
        await plain.over.wait()
        caller.connection.close()
        await until(lambda: not world.house.live)
        events = [each for each in world.events() if "channel" in each and each["event"] != "operation"]
        for each in events:
            del each["time"]
        data = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
        assert events == [
            {"event": "channel", "channel": 1, "operation": 1, "terminal": "vt100", "columns": 80, "rows": 24},
            {"event": "input", "channel": 1, "data": "ls\r"},
            {"event": "output", "channel": 1, "stream": "stdout", "data": "ls\r\nfile\r\n"},
            {"event": "resize", "channel": 1, "columns": 100, "rows": 30},
            {"event": "exit", "channel": 1, "status": "exit 0", "input": 3, "stdout": 10, "stderr": 0},
            {"event": "channel", "channel": 2, "operation": 2},
            {"event": "output", "channel": 2, "stream": "stderr", "data": {"base64": "/w=="}},
            {
                "event": "exit",
                "channel": 2,
                "status": "exit 1",
                "input": 4,
                "stdout": 0,
                "stderr": 1,
                "input_sha256": data,
            },
        ]
        assert world.events()[-1]["reason"] == "the client left"

    play(act)


def test_the_environment(play: Play) -> None:
    async def act(world: World) -> None:
        seen: list[dict[str, str]] = []

        def before(shell: Shell) -> None:
            seen.append(dict(shell.channel.get_environment()))

        world.target.before = before
        caller = await world.login()
        given = {
            "LANG": "C.UTF-8",
            "LC_ALL": "C",
            "LD_PRELOAD": "/x",
            "LC_PATH": "/etc/passwd",
            "PATH": "/x",
            "FOO": "1",
        }
        await (await caller.run("run", env=given)).opening
        assert seen == [{"LANG": "C.UTF-8", "LC_ALL": "C"}]
        # what says no more than a language is nobody's to decide, the others are recorded
        assert len(world.events("operation")) == 5

    play(act)


@pytest.mark.parametrize("reason", [SessionEnded("enough"), ValueError("a mistake of ours")])
def test_a_session_that_has_to_end(play: Play, reason: Exception) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        [live] = world.house.live
        live.end(reason)  # type: ignore[arg-type]  # whatever it is
        await process.over.wait()
        said = b"enough" if isinstance(reason, SessionEnded) else b"the gateway failed"
        assert said in process.err
        assert b"a mistake" not in process.err
        assert not world.house.live
        await until(lambda: world.target.shells[0].over)

    play(act)


def test_a_target_that_leaves(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        world.target.links[0].abort()
        await process.over.wait()
        assert b"the target closed the connection" in process.err
        assert process.status is None
        assert not world.house.live

    play(act)


def test_idle_is_who_waits_for_keys(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        [live] = world.house.live
        assert live.waits()
        plain = await caller.run("run")
        await plain.opening
        assert not live.waits()
        world.target.shells[0].channel.exit(0)
        await plain.over.wait()
        await until(live.waits)
        await (await caller.run("run", term_type="vt100")).opening
        assert live.waits()

    play(act)


def test_a_caller_that_leaves_while_the_target_is_asked(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        world.target.links[0].stalled = True
        process = await caller.run("run")
        await until(lambda: world.target.links[0]._waiting)
        caller.end.abort()
        await until(lambda: not world.house.live)
        with pytest.raises((asyncssh.Error, asyncio.CancelledError)):
            await process.opening
        world.target.links[0].go_on()
        await turns()
        assert all(shell.over for shell in world.target.shells)

    play(act)


def test_idle_is_a_channel_for_files_and_what_only_shows(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        [live] = world.house.live
        files = asyncio.ensure_future(
            caller.connection.create_session(asyncssh.SSHClientSession, subsystem="sftp", encoding=None)
        )
        await files
        assert live.waits()
        screen = await caller.run("run", term_type="vt100")
        await screen.opening
        before = live.last_active
        world.house.clock.advance(60)
        world.target.shells[1].channel.write(b"12:00:00")
        await until(lambda: screen.out)
        assert live.last_active == before
        screen.channel.write(b"q")
        await until(lambda: live.last_active == before + 60)

    play(act)


def test_a_grant_is_for_one_environment(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()

        async def asks(language: str) -> asyncio.Future[Any]:
            process = await caller.run("wait", env={"LANG": language})
            await turns()
            return process.opening

        first = await asks("C.UTF-8")
        [request] = world.house.approvals.requests()
        world.house.approvals.decide(request.id, Approver("betty", frozenset({"bosses"}), "tls"), yes=True)
        await first
        await (await asks("C.UTF-8"))
        other = await asks("de_CH.UTF-8")
        assert not other.done()
        assert [each.state for each in world.house.approvals.requests()].count("pending") == 1
        other.cancel()

    play(act, NARROW.replace("wait: 60s", "wait: 60s, grant: {uses: 9, within: 1h}"))


def test_of_a_signal_the_targets_words_are_not_told(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("run")
        await process.opening
        world.target.shells[0].channel.exit_with_signal("TERM", False, "900-12-3456")
        await process.over.wait()
        assert (process.signal, process.words) == ("TERM", "")

    play(act)


def forcing(command: str) -> str:
    return f"{{name: held, groups: [engineers], targets: [web1], ssh: {{logins: [deploy], force_command: {command}}}}}"


@pytest.mark.parametrize(("command", "runs"), [("run", False), ("wait", True)])
def test_a_command_that_policy_forces_meanwhile(play: Play, command: str, runs: bool) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        process = await caller.run("wait")
        await until(world.house.approvals.requests)
        rules = world.house.gate.rules
        [target] = rules.targets.values()
        policy = NARROW.replace("approve:", f"  - {forcing(command)}\napprove:")
        world.house.gate.rules = world.house.rules(policy, targets=(target,))
        [request] = world.house.approvals.requests()
        world.house.approvals.decide(request.id, Approver("betty", frozenset({"bosses"}), "tls"), yes=True)
        await process.opening
        if runs:
            assert world.target.shells[0].asked == ("exec", "wait"), "it is what was approved"
            return
        await process.over.wait()
        assert process.status == 126
        assert b"policy forces another command by now" in process.err
        assert not world.target.shells, "neither what was approved nor what is forced"

    play(act, NARROW)


def test_a_forced_command_gets_what_was_asked_for(play: Play) -> None:
    async def act(world: World) -> None:
        caller = await world.login()
        await (await caller.run("id; reboot", env={"SSH_ORIGINAL_COMMAND": "a lie", "LANG": "C"})).opening
        [shell] = world.target.shells
        assert shell.asked == ("exec", "run")
        assert shell.channel.get_environment() == {"LANG": "C", "SSH_ORIGINAL_COMMAND": "id; reboot"}
        [*_, event] = world.events("operation")
        assert (event["text"], event["original"]) == ("run", "exec id; reboot")

    lie = "{name: lie, groups: [engineers], targets: [web1], ssh: {logins: [deploy], env: [SSH_ORIGINAL_COMMAND]}}"
    play(act, f"allow: [{forcing('run')}, {lie}]")
