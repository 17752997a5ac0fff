"""A node that records, with a clock and threads that the test turns by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gateway.errors import RecordingFailed
from gateway.model import Access, Address, Decision, Outcome, Principal, SqlOperation, Target, TargetTls, uuid7
from gateway.recording import Recorder, Recordings, Report, SessionHeader, verify
from gateway.recording.directory import path_of
from gateway.recording.format import CHAIN_SIZE, MAGIC, PREFIX_SIZE
from gateway.rendering import PREFIX

NOON = 1_795_003_200.0
"""2026-11-18 12:00 UTC."""
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
ALLOW = Decision(Outcome.ALLOW, ("engineers-read",))
ACCESS = Access(
    Principal("alice", "human", frozenset({"engineers"}), frozenset({"certificate"}), NOON),
    Target("orders", "postgres", Address("db1", 5432), TargetTls(), ()),
    "orders",
    "orders_rw",
    "192.0.2.7",
)

SSH_ACCESS = Access(
    ACCESS.principal,
    Target("web1", "ssh", Address("web1", 22), TargetTls(), ()),
    "",
    "deploy",
    "192.0.2.7",
)

Job = Callable[[], Sequence[OSError | None]]


def operation(text: str = "SELECT 1", **others: Any) -> SqlOperation:
    return SqlOperation(text, text.lower(), "a" * 64, frozenset({"select"}), **others)


class Threads:
    """Jobs wait until the test runs them, as if the disk were slow; with ``patient=False`` they run at once."""

    def __init__(self) -> None:
        self.patient = False
        self.broken: Exception | None = None
        self.waiting: list[tuple[Job, Deferred[Sequence[OSError | None]]]] = []

    def __call__(self, job: Job) -> Deferred[Sequence[OSError | None]]:
        done: Deferred[Sequence[OSError | None]] = Deferred()
        if self.broken is not None:
            done.errback(self.broken)
            return done
        self.waiting.append((job, done))
        if not self.patient:
            self.run()
        return done

    def run(self) -> None:
        while self.waiting:
            job, done = self.waiting.pop(0)
            done.callback(job())


class Node:
    """Recordings below ``directory``; ``clock`` is the reactor's and the wall's. Failures of sessions are kept."""

    def __init__(self, directory: Path, **others: Any) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOON
        self.threads = Threads()
        self.failures: list[RecordingFailed] = []
        self.directory = directory
        self._sessions = 0
        settings: dict[str, Any] = {
            "key": KEY,
            "node": "gw1",
            "clock": self.clock.seconds,
            "reactor": self.clock,
            "in_thread": self.threads,
            "low_water": 0,
        }
        self.recordings = Recordings(directory, **{**settings, **others})

    def begin(self, access: Access = ACCESS, *, break_glass: bool = False) -> Recorder:
        self._sessions += 1
        session = uuid7(self.clock.seconds(), self._sessions.to_bytes(10, "big"))
        return self.recordings.begin(
            SessionHeader(session, access, self.clock.seconds(), "5" * 64),
            on_failure=self.failures.append,
            break_glass=break_glass,
        )

    def path(self, recorder: Recorder) -> Path:
        return path_of(self.directory, recorder.session)

    def verify(self, recorder: Recorder, **others: Any) -> Report:
        return verify(self.path(recorder), PUBLIC, **others)


def conversation(node: Node, *, end: bool = True) -> Path:
    """A small recording with a frame of every kind."""
    recorder = node.begin()
    for number in range(1, 4):
        recorder.operation(number, operation(f"SELECT {number}"), ALLOW, parameters=[b"x", None])
        recorder.commit()
        recorder.result(number, status="SELECT 1", columns=["a", "b"], masked=["b"], rows=1, size=20)
        node.clock.advance(0.05)
    recorder.operation(4, operation("SELECT '" + "x" * 70_000 + "'"), ALLOW)
    recorder.commit()
    recorder.rows(4, b"D\x00\x00\x00\x0a\x00\x01\x00\x00\x00\x00")
    recorder.event("error", status="42501", text="permission denied")
    node.clock.advance(0.2)
    if end:
        recorder.close("client left")
    return node.path(recorder)


def frames(data: bytes) -> list[tuple[int, int]]:
    """Start and end of every frame of a whole recording."""
    offset = len(MAGIC)
    found = []
    while offset < len(data):
        end = offset + PREFIX_SIZE + int(PREFIX.unpack_from(data, offset)[0]) + CHAIN_SIZE
        found.append((offset, end))
        offset = end
    return found
