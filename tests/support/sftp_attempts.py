"""Tries tests/corpora/sftp_paths.yaml on OpenSSH's sftp-server, through the relay or directly. Its format: there."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.errors import PeerError
from gateway.protocols.ssh.files import Ask, Done
from gateway.protocols.ssh.sftp import SftpRelay
from support import sftp as said

CORPUS = Path(__file__).parents[1] / "corpora" / "sftp_paths.yaml"
SERVER = "/usr/lib/openssh/sftp-server"
SECRET = b"S3CRET-CONTENT"
MARK = 0x4D4D4D4D
"""The time of everything in the vault: its bytes in an answer are attributes that were told."""
NAMES = {SECRET, b"hidden-name", b"MMMM"}
SECONDS = 10.0

KINDS = {
    "stat": 17,
    "lstat": 7,
    "readlink": 19,
    "realpath": 16,
    "remove": 13,
    "rmdir": 15,
    "mkdir": 14,
    "rename": 18,
    "symlink": 20,
    "setstat": 9,
}
FLAGS = {"r": 1, "w": 2, "a": 4, "c": 8, "t": 16, "x": 32, "n": 0}


class Unanswered(Exception):
    """The server, or the relay, ended the channel."""


@dataclass
class Attempt:
    name: str
    steps: list[dict[str, Any]]
    reason: str = ""
    inert: str = ""


def load(which: str) -> list[Attempt]:
    found = [Attempt(**one) for one in yaml.safe_load(CORPUS.read_text())[which]]
    assert len({one.name for one in found}) == len(found), "two cases of one name"
    return found


class Tree:
    """The files that the corpus speaks of."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.box, self.vault, boxer = root / "box", root / "vault", root / "boxer"
        for directory in (self.box, self.vault, boxer, self.box / "sub", self.vault / "dir", self.vault / "empty"):
            directory.mkdir(parents=True)
        (self.box / "file").write_text("harmless")
        (self.box / "sub" / "inner").write_text("harmless, too")
        for secret in (self.vault / "key", self.vault / "dir" / "deep", boxer / "key", self.vault / "hidden-name"):
            secret.write_bytes(SECRET)
        for name, where in {
            "out": "../vault",
            "outfile": "../vault/key",
            "absolute": str(self.vault),
            "dangling": "../vault/new",
            "chain": "out",
            "up": "..",
            "slash": "/",
            "sub/back": "../../vault",
        }.items():
            (self.box / name).symlink_to(where)
        for path in self.outside():
            os.utime(path, (MARK, MARK), follow_symlinks=False)

    def outside(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if self.box not in [path, *path.parents])

    def state(self) -> list[object]:
        """Everything outside of the box, as far as it can be changed."""
        found: list[object] = []
        for path in self.outside():
            info = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found.append((path, oct(info.st_mode), info.st_size, info.st_nlink, int(info.st_mtime), content))
        return found


@dataclass
class Channel:
    """One sftp-server; ``relay`` None: nothing stands before it."""

    home: Path
    relay: SftpRelay | None
    allows: Any = None
    to_client: bytes = b""
    asked: list[Ask] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    everything: bytes = b""

    def __enter__(self) -> Channel:
        self.process = subprocess.Popen(
            [SERVER], cwd=self.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.talk(said.INIT)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(SECONDS)
        self.process.stdout.close()

    def talk(self, packet: bytes) -> bytes:
        """Say ``packet``, and give the one that answers it. Raises Unanswered."""
        try:
            if self.relay is None:
                self._to_server(packet)
            else:
                self.relay.receive_client(packet)
                self._settle()
            while True:
                if len(self.to_client) >= 4 and len(self.to_client) >= 4 + int.from_bytes(self.to_client[:4]):
                    end = 4 + int.from_bytes(self.to_client[:4])
                    answer, self.to_client = self.to_client[:end], self.to_client[end:]
                    return answer
                self._from_server()
        except PeerError as error:
            raise Unanswered(str(error)) from None

    def _from_server(self) -> None:
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], SECONDS)[0]:
            raise TimeoutError("no answer")
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            raise Unanswered("the server ended")
        if self.relay is None:
            self._heard(data)
        else:
            self.relay.receive_server(data)
            self._settle()

    def _settle(self) -> None:
        relay = self.relay
        assert relay is not None
        while relay.ask is not None:
            self.asked.append(relay.ask)
            relay.decided(self.allows(relay.ask), "no")
        self.done += relay.done
        relay.done.clear()
        self._to_server(b"".join(relay.to_server))
        self._heard(b"".join(relay.to_client))
        relay.to_server.clear()
        relay.to_client.clear()

    def _heard(self, data: bytes) -> None:
        self.to_client += data
        self.everything += data

    def _to_server(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            while data:
                data = data[os.write(self.process.stdin.fileno(), data) :]
        except BrokenPipeError:
            raise Unanswered("the server ended") from None


@dataclass
class Trier:
    """Does the steps of one attempt; ``answers`` are the codes of what was answered by a STATUS, else 0."""

    channel: Channel
    root: Path
    handles: dict[str, bytes] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    number: int = 100

    def path(self, text: str) -> bytes:
        text = text.replace("ROOTBASE", self.root.name).replace("ROOT", str(self.root))
        return text.replace("LONG", "sub/../" * 800).encode("latin-1")

    def ask(self, kind: int, *parts: bytes) -> bytes:
        self.number += 1
        answer = self.channel.talk(said.request(kind, self.number, *parts))
        code = struct.unpack_from(">I", answer, 9)[0] if answer[4] == 101 else 0
        self.answers.append(code)
        return answer

    def extended(self, name: bytes, *parts: bytes) -> bytes:
        return self.ask(200, said.text(name), *parts)

    def steps(self, steps: list[dict[str, Any]]) -> None:
        for step in steps:
            ((what, about),) = step.items()
            self.step(what, about)

    def step(self, what: str, about: Any) -> None:
        if what in ("open", "keep"):
            self.open(*about)
        elif what == "read":
            if about in self.handles:
                self.ask(5, said.text(self.handles[about]), said.u64(0), said.u32(4096))
        elif what == "chmod":
            if about in self.handles:
                self.ask(10, said.text(self.handles[about]), said.u32(4), said.u32(0o600))
        elif what == "copy":
            if set(about) <= self.handles.keys():
                one, two = (said.text(self.handles[name]) for name in about)
                self.extended(b"copy-data", one, said.u64(0), said.u64(0), two, said.u64(0))
        elif what == "list":
            answer = self.ask(11, said.text(self.path(about)))
            if answer[4] == 102:
                raw = said.text(said.string_at(answer, 9))
                while self.ask(12, raw)[4] == 104:
                    pass
                self.answers.pop()  # the end is an EOF
                self.ask(4, raw)
        elif what in ("rename", "symlink"):
            self.ask(KINDS[what], *(said.text(self.path(one)) for one in about))
        elif what in ("posix-rename", "hardlink"):
            self.extended(what.encode() + b"@openssh.com", *(said.text(self.path(one)) for one in about))
        elif what in ("setstat", "mkdir"):
            self.ask(KINDS[what], said.text(self.path(about)), said.u32(4), said.u32(0o700))
        elif what == "truncate":
            self.ask(9, said.text(self.path(about)), said.u32(1), said.u64(1))
        elif what == "lsetstat":
            times = said.u32(8) + said.u32(5) + said.u32(5)
            self.extended(b"lsetstat@openssh.com", said.text(self.path(about)), times)
        elif what == "statvfs":
            self.extended(b"statvfs@openssh.com", said.text(self.path(about)))
        elif what == "expand":
            self.extended(b"expand-path@openssh.com", said.text(self.path(about)))
        elif what == "raw":
            packet = bytes.fromhex(about)
            self.channel.talk(said.u32(len(packet)) + packet)
        else:
            self.ask(KINDS[what], said.text(self.path(about)))

    def open(self, path: str, letters: str, keep: str = "") -> None:
        flags = sum(FLAGS[letter] for letter in letters)
        answer = self.ask(3, said.text(self.path(path)), said.u32(flags), said.u32(0))
        if answer[4] != 102:
            return
        raw = said.string_at(answer, 9)
        if keep:
            self.handles[keep] = raw
            return
        if "r" in letters or letters == "n":
            self.ask(5, said.text(raw), said.u64(0), said.u32(4096))
            if self.answers[-1] == 1:
                self.answers.pop()  # an empty file
        if "w" in letters:
            self.ask(6, said.text(raw), said.u64(0), said.text(b"changed"))
        self.ask(4, said.text(raw))


def within(box: Path) -> Any:
    """Allows what is in the box."""

    def allows(ask: Ask) -> bool:
        return all(use.path == str(box) or use.path.startswith(f"{box}/") for use in ask.files)

    return allows


def attempt(root: Path, case: Attempt, *, direct: bool = False, resolve: bool = True) -> tuple[list[str], list[int]]:
    """What got through, in words, and the answers' codes."""
    tree = Tree(root)
    before = tree.state()
    relay = None if direct else SftpRelay(resolve=resolve)
    with Channel(tree.box, relay, within(tree.box)) as channel:
        trier = Trier(channel, root)
        with contextlib.suppress(Unanswered):
            trier.steps(case.steps)
        heard = channel.everything
    found = [f"told {secret!r}" for secret in NAMES if secret in heard]
    found += [f"told {name}" for name in ("vault", "boxer") if f"{root}/{name}".encode() in heard]
    if tree.state() != before:
        found.append("changed something")
    return found, trier.answers
