"""A relay between two pipes: run as a program it stands where a client expects its server, `Piped` calls it so.

    sftp -D 'a script that runs: python -m support.piped REPORT RULES sftp SERVER...'
    scp -O -S 'a script that runs: python -m support.piped REPORT RULES scp "$@"' ...

What the client says comes from standard input, what it gets goes to standard output; the server is a child process.
REPORT is a file that gets a line of JSON for each question and for each thing that was done; RULES a file of JSON:
{"deny": {"read": [prefix, ...], "write": [...], "list": [...]}, "resolve": true}.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TextIO

from gateway.errors import PeerError
from gateway.protocols.ssh.commands import scp
from gateway.protocols.ssh.files import Ask, Done, Flow
from gateway.protocols.ssh.locating import Locator
from gateway.protocols.ssh.scp import ScpRelay, at_target
from gateway.protocols.ssh.sftp import SftpRelay
from gateway.protocols.ssh.sftp_asking import Probe, Reply

CHUNK = 32 * 1024
ENOUGH = 1024 * 1024
"""Bytes for one side that aren't written yet; above that the other side is not read."""


SECONDS = 120.0
"""More than any transfer takes, also beside a build."""


class Relay(Protocol):
    ask: Ask | None
    to_server: list[bytes]
    to_client: list[bytes]
    done: list[Done]

    @property
    def holding(self) -> bool: ...
    def receive_client(self, data: bytes) -> None: ...
    def receive_server(self, data: bytes) -> None: ...
    def decided(self, allowed: bool, message: str = "", reference: object = None) -> None: ...
    def finish(self) -> None: ...


class Rules:
    """Allows everything but what is below (or is) one of some directories."""

    def __init__(self, deny: dict[str, list[str]]) -> None:
        self.deny = deny

    def allows(self, ask: Ask) -> bool:
        return not any(self._denied(use.action, use.path) for use in ask.files)

    def _denied(self, action: str, path: str) -> bool:
        return any((path.rstrip("/") + "/").startswith(one.rstrip("/") + "/") for one in self.deny.get(action, []))


class Beside:
    """A channel of the gateway's own with the target's sftp-server."""

    def __init__(self, home: Path | None = None) -> None:
        self.locator = Locator()
        self.server = subprocess.Popen(
            [Piped.SERVER], cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._talk(lambda: self.locator.ready)

    def ask(self, probe: Probe) -> Reply:
        self.locator.ask(probe)
        self._talk(lambda: self.locator.reply is not None)
        reply, self.locator.reply = self.locator.reply, None
        assert reply is not None
        return reply

    def _talk(self, done: Callable[[], bool]) -> None:
        assert self.server.stdin
        assert self.server.stdout
        while not done():
            self.server.stdin.write(b"".join(self.locator.to_server))
            self.locator.to_server.clear()
            self.locator.receive_server(self.server.stdout.read(CHUNK))

    def close(self) -> None:
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


def settle(relay: Relay, rules: Rules, report: TextIO, beside: Beside | None = None) -> None:
    while beside is not None and isinstance(relay, ScpRelay) and relay.probe is not None:
        relay.told(beside.ask(relay.probe))
    while relay.ask is not None:
        ask = relay.ask
        allowed = rules.allows(ask)
        files = [[use.action, use.path] for use in ask.files]
        print(json.dumps({"ask": ask.text, "files": files, "allowed": allowed}), file=report, flush=True)
        relay.decided(allowed, f"{ask.action}: not with these rules")
        while beside is not None and isinstance(relay, ScpRelay) and relay.probe is not None:
            relay.told(beside.ask(relay.probe))
    for done in relay.done:
        line = {"done": done.ask.text, "status": done.status, "closed": done.closed, "entries": done.entries}
        line |= {"read": flow(done.read), "written": flow(done.written), "changed": done.changed}
        print(json.dumps(line), file=report, flush=True)
    relay.done.clear()


def flow(one: Flow | None) -> dict[str, object] | None:
    return None if one is None else {"size": one.size, "start": one.start, "digest": one.digest, "to_end": one.to_end}


def pump(relay: Relay, rules: Rules, report: TextIO, command: list[str], beside: Beside | None = None) -> int:
    """Until the server ends; its exit status."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin
    assert server.stdout
    client_in, client_out = sys.stdin.fileno(), sys.stdout.fileno()
    server_in, server_out = server.stdin.fileno(), server.stdout.fileno()
    for one in (client_out, server_in):
        os.set_blocking(one, False)
    waiting = {client_out: bytearray(), server_in: bytearray()}
    client_open = server_open = True
    try:
        while server_open or waiting[client_out]:
            if not client_open and not waiting[server_in] and server_in in waiting and not server.stdin.closed:
                server.stdin.close()
            calm = all(len(one) < ENOUGH for one in waiting.values())
            reads = [server_out] if server_open and calm else []
            if client_open and calm and not relay.holding:
                reads.append(client_in)
            readable, writable, _ = select.select(reads, [one for one, data in waiting.items() if data], [])
            if server_out in readable:
                data = os.read(server_out, CHUNK)
                server_open = bool(data)
                relay.receive_server(data)
            if client_in in readable:
                data = os.read(client_in, CHUNK)
                client_open = bool(data)
                relay.receive_client(data)
            settle(relay, rules, report, beside)
            waiting[client_out] += b"".join(relay.to_client)
            waiting[server_in] += b"".join(relay.to_server)
            relay.to_client.clear()
            relay.to_server.clear()
            for one in writable:
                del waiting[one][: os.write(one, waiting[one][:65536])]
    except PeerError as error:
        print(json.dumps({"broken": str(error)}), file=report, flush=True)
        server.kill()
    except BrokenPipeError:
        server.kill()
    relay.finish()
    settle(relay, rules, report, beside)
    return server.wait()


class Piped:
    """Calls OpenSSH's clients for a target whose home is ``home``; ``report`` is what the relay was asked and did."""

    SERVER = "/usr/lib/openssh/sftp-server"

    def __init__(self, folder: Path, *, deny: dict[str, list[str]] | None = None, resolve: bool = True) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.lines = folder / "report"
        rules = folder / "rules"
        rules.write_text(json.dumps({"deny": deny or {}, "resolve": resolve}))
        tests = Path(__file__).parents[1]
        begin = (
            f"#!/bin/sh\ncd {self.home}\nPYTHONPATH={tests.parent}:{tests} exec {sys.executable} "
            f"-m support.piped {self.lines} {rules} "
        )
        self._sftp, self._scp = folder / "sftp.sh", folder / "ssh.sh"
        self._sftp.write_text(f"{begin}sftp {self.SERVER}\n")
        self._scp.write_text(f'{begin}scp "$@"\n')
        for script in (self._sftp, self._scp):
            script.chmod(0o755)

    def sftp(self, batch: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return self._run(["sftp", "-b", "-", "-D", str(self._sftp)], cwd, batch)

    def scp(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return self._run(["scp", "-O", "-S", str(self._scp), *arguments], cwd)

    def _run(self, command: list[str], cwd: Path, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, input=said, capture_output=True, text=True, timeout=SECONDS)

    def report(self, kind: str) -> list[dict[str, Any]]:
        """Its lines about ``ask`` or ``done``."""
        lines = [json.loads(line) for line in self.lines.read_text().splitlines()]
        assert not [line for line in lines if "broken" in line], lines[-1]
        return [line for line in lines if kind in line]


def main() -> int:
    report, rules, which, *command = sys.argv[1:]
    said = json.loads(Path(rules).read_text())
    beside = None
    with Path(report).open("a") as lines:
        relay: Relay = SftpRelay(resolve=said.get("resolve", True))
        if which == "scp":  # what ssh would be called with: the command is its last argument
            parsed = scp(tuple(shlex.split(command[-1])))
            assert parsed is not None, command
            beside = Beside()
            home = beside.locator.home
            relay = ScpRelay(parsed, home, resolve=said.get("resolve", True))
            command = ["/bin/sh", "-c", at_target(parsed, home).command()]
        try:
            return pump(relay, Rules(said["deny"]), lines, command, beside)
        finally:
            if beside is not None:
                beside.close()


if __name__ == "__main__":
    sys.exit(main())
