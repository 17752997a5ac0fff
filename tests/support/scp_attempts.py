"""Tries tests/corpora/scp_paths.yaml on OpenSSH's scp, through the relay or directly; its format stands there."""

from __future__ import annotations

import os
import select
import shlex
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateway.errors import PeerError
from gateway.protocols.ssh.commands import scp
from gateway.protocols.ssh.scp import ScpRelay, at_target
from support.piped import Beside
from support.sftp_attempts import NAMES, SECONDS, Tree, within

CORPUS = Path(__file__).parents[1] / "corpora" / "scp_paths.yaml"


@dataclass(frozen=True)
class Attempt:
    name: str
    command: str
    says: list[str]
    reason: str = ""
    inert: str = ""


def load(which: str) -> list[Attempt]:
    found = [Attempt(**one) for one in yaml.safe_load(CORPUS.read_text())[which]]
    assert len({one.name for one in found}) == len(found), "two cases of one name"
    return found


class Far:
    """The scp that a command starts; ``relay`` None: nothing stands before it."""

    def __init__(self, command: str, home: Path, relay: ScpRelay | None, tree: Tree, beside: Beside | None) -> None:
        self.relay = relay
        self.beside = beside
        self.allows = within(tree.box)
        self.heard = b""
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def say(self, data: bytes) -> None:
        if self.relay is None:
            self._write(data)
        else:
            self.relay.receive_client(data)
            self._settle()

    def listen(self, quiet: float = 0.02) -> None:
        """Until the other side has been quiet for so long, and the relay waits for no answer of it; or it is gone."""
        assert self.process.stdout
        while select.select([self.process.stdout], [], [], SECONDS if self._owed() else quiet)[0]:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return
            self._hear(data)

    def _owed(self) -> bool:
        return self.relay is not None and self.relay.holding and not self.relay.over

    def _hear(self, data: bytes) -> None:
        if self.relay is None:
            self.heard += data
        else:
            self.relay.receive_server(data)
            self._settle()

    def end(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        with suppress(PeerError):
            self.listen(0.2)
        self.process.stdin.close()
        with suppress(PeerError):
            while data := self.process.stdout.read():
                self._hear(data)
        self.process.stdout.close()
        self.process.wait(SECONDS)

    def _settle(self) -> None:
        relay = self.relay
        assert relay is not None
        while relay.ask is not None or relay.probe is not None:
            if relay.probe is not None:
                assert self.beside is not None
                relay.told(self.beside.ask(relay.probe))
            else:
                assert relay.ask is not None
                relay.decided(self.allows(relay.ask), "no")
        self._write(b"".join(relay.to_server))
        self.heard += b"".join(relay.to_client)
        relay.to_server.clear()
        relay.to_client.clear()

    def _write(self, data: bytes) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError, ValueError):  # it has ended, or was told to
            self.process.stdin.write(data)


def attempt(root: Path, case: Attempt, *, direct: bool = False) -> tuple[list[str], bytes, Tree]:
    """What got through, in words; what the client heard; and the files."""
    tree = Tree(root)
    before = tree.state()
    command = case.command.replace("ROOT", str(root))
    parsed = scp(tuple(shlex.split(command)))
    assert parsed is not None
    relay = beside = None
    if not direct:
        beside = Beside(tree.box)
        relay = ScpRelay(parsed, beside.locator.home, resolve=True)
        command = at_target(parsed, beside.locator.home).command()
    far = Far(command, tree.box, relay, tree, beside)
    try:
        far.listen()
        for said in case.says:
            far.say(said.replace("LONG", "a" * 2047).encode("latin-1"))
            far.listen()
    except PeerError:
        far.process.kill()
    far.end()
    if beside is not None:
        beside.close()
    found = [f"told {secret!r}" for secret in NAMES if secret in far.heard]
    if tree.state() != before:
        found.append("changed something")
    return found, far.heard, tree
