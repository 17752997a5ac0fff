"""What one transaction costs between two sockets: `.venv/bin/python -m bench.corridor`.

Relay, decision, recording and audit log as they are, with pgbench's own messages; transports, kernel and disk are
left out (writes go to /dev/null). Best of many short runs: the machine is shared. No server is needed.

`cold` is the same with eight sessions in turn, and with the caches filled by something else before each transaction, as
the target, the clients and the kernel do on a busy host: the first tenth of all.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from policy.made import policy_file  # noqa: E402

from bench.systems import POLICY  # noqa: E402
from gateway.audit import AuditLog  # noqa: E402
from gateway.model import Address, Credential, Principal, Target, TargetTls, uuid7  # noqa: E402
from gateway.policy import compile_snapshot  # noqa: E402
from gateway.protocols.postgres.reading import Readings  # noqa: E402
from gateway.protocols.postgres.traffic import Traffic  # noqa: E402
from gateway.recording import Recordings  # noqa: E402
from gateway.recording.sync import Files  # noqa: E402
from gateway.session import Approvals, Gate, LiveSessions, Rules, open_corridor  # noqa: E402
from gateway.sql import Catalogue  # noqa: E402
from gateway.store import ApprovalStore  # noqa: E402

SQL = b"SELECT abalance FROM pgbench_accounts WHERE aid = %b;"
BATCH = 200
"""Transactions of one run: about 5 ms, so that many a run is not disturbed."""


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def to_parse(name: bytes) -> bytes:
    return message(b"P", name + b"\0" + SQL % b"$1" + b"\0\0\0")


def to_run(name: bytes, number: int) -> bytes:
    value = b"%d" % number
    bind = b"\0" + name + b"\0\0\0\0\1" + struct.pack("!i", len(value)) + value + b"\0\1\0\0"
    return message(b"B", bind) + message(b"D", b"P\0") + message(b"E", b"\0\0\0\0\0") + message(b"S")


READY = message(b"Z", b"I")
ROWS = (
    message(b"T", b"\0\1abalance\0" + struct.pack("!ihihih", 16400, 3, 23, 4, -1, 0))
    + message(b"D", b"\0\1" + struct.pack("!i", 1) + b"0")
    + message(b"C", b"SELECT 1\0")
    + READY
)
BOUND, PARSED = message(b"2"), message(b"1")


class Written:
    """Stands for either transport: counts what it is given."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, data: bytes) -> None:
        self.count += 1

    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def deliver_to(self, receive: object) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def loseConnection(self) -> None:
        raise SystemExit("the session ended; the figures would mean nothing")


class Database:
    """A catalogue that is never stale."""

    generation = 1
    stale = False

    def __init__(self) -> None:
        self._catalogue = Catalogue.from_rows(
            **dict.fromkeys(
                (
                    *("relations", "columns", "inheritance", "definitions", "dependencies", "functions"),
                    *(
                        "operators",
                        "types",
                        "type_functions",
                        "domain_checks",
                        "casts",
                        "implicit",
                        "generated",
                        "schemas",
                    ),
                ),
                (),
            ),
            view_columns={},
        )

    def bind(self, labels: Any, json_labels: Any) -> object:
        return self._catalogue.bind(labels, json_labels)

    def changed(self) -> None: ...
    def refresh_for_unknown(self) -> bool:
        return False

    async def confirm(self, credential: object) -> None: ...


def at_once(job: Callable[[], Sequence[OSError | None]]) -> Deferred[Sequence[OSError | None]]:
    return succeed(job())


def nowhere(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(os.devnull, os.O_WRONLY)


class Session:
    """One session between two transports that are not there."""

    def __init__(self, directory: Path) -> None:
        self.reactor = Clock()
        self.soon: list[Callable[[], object]] = []
        recordings = Recordings(
            directory / "recordings",
            key=Ed25519PrivateKey.generate(),
            node="bench",
            clock=time.time,
            reactor=self.reactor,
            in_thread=at_once,
            low_water=0,
            open_recording=nowhere,
            files=Files(fdatasync=lambda fd: None),
        )
        self.audit = AuditLog(directory / "audit", node="bench", clock=time.time, segment_size=1 << 60)
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.audit._fd)
        target = Target("bench", "postgres", Address("db1", 5432), TargetTls(), (Credential("owner"),))
        policy = policy_file(repr(POLICY), "bench.yaml")
        rules = Rules(compile_snapshot([policy], (target,), 1), {"bench": target}, "0" * 64, 10, 10)
        live = LiveSessions()
        store = ApprovalStore(directory / "store" / "approvals.db")
        approvals = Approvals(store, self.audit, live, clock=time.time, random=os.urandom)
        gate = Gate(rules, live=live, recordings=recordings, audit=self.audit, approvals=approvals, clock=time.time)
        who = Principal("erin", "human", frozenset({"engineers"}), frozenset({"certificate"}), time.time())
        session = uuid7(time.time(), os.urandom(10))
        admitted = gate.admit(session, who, protocol="postgres", target="bench", database="", address="192.0.2.7")
        corridor = open_corridor(gate, admitted, self.failed, os.urandom)
        database = Database()
        catalogues: Any = SimpleNamespace(database=lambda target, name: database)
        readings = Readings(self.reactor, catalogues, statement=65536)
        opened: list[Any] = []
        ensureDeferred(readings.open(corridor)).addCallback(opened.append)
        self.client, self.server = Written(), Written()
        dialler: Any = SimpleNamespace(soon=self.soon.append)
        upstream: Any = SimpleNamespace(
            stream=SimpleNamespace(transport=self.server, receiver=None), parameters=[], key=None
        )
        transport: Any = self.client
        self.traffic = Traffic(
            dialler,
            transport,
            upstream,
            corridor,
            opened[0],
            application_name=b"bench",
            results=False,
            on_end=lambda: None,
        )

    def failed(self, error: BaseException) -> None:
        raise SystemExit(f"the session failed: {error}")

    def exchange(self, request: bytes, answer: bytes) -> None:
        self.traffic.client_received(request)
        for work in self.soon:
            work()
        self.soon.clear()
        self.traffic.upstream_received(answer)


def best(request: Callable[[int], bytes], run: Callable[[bytes], None], seconds: float) -> float:
    """Microseconds a transaction, of the best batch."""
    found = float("inf")
    number, deadline = 0, time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        requests = [request(number + index) for index in range(BATCH)]
        number += BATCH
        started = time.perf_counter()
        for one in requests:
            run(one)
        found = min(found, (time.perf_counter() - started) / BATCH)
    return found * 1e6


def cold(sessions: Sequence[Session], request: Callable[[int], bytes], answer: bytes, seconds: float) -> float:
    """Microseconds of a transaction that finds little of its own in the caches."""
    others = bytearray(4 << 20)
    taken = []
    number, deadline = 0, time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        one, text = sessions[number % len(sessions)], request(number)
        bytes(others)
        started = time.perf_counter()
        one.exchange(text, answer)
        taken.append(time.perf_counter() - started)
        number += 1
    return sorted(taken)[len(taken) // 10] * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3, help="of each mode")
    parser.add_argument("--modes", nargs="+", default=["prepared", "extended", "simple"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ost-corridor-") as scratch:
        sessions = [Session(Path(scratch) / str(index)) for index in range(8)]
        for session in sessions:
            session.exchange(to_parse(b"P0_0") + message(b"S"), PARSED + READY)
        session = sessions[0]
        modes: dict[str, tuple[Callable[[int], bytes], bytes]] = {
            "prepared": (lambda number: to_run(b"P0_0", number), BOUND + ROWS),
            "extended": (lambda number: to_parse(b"") + to_run(b"", number), PARSED + BOUND + ROWS),
            "simple": (lambda number: message(b"Q", SQL % b"%d" % number + b"\0"), ROWS),
        }
        for mode in asked.modes:
            request, answer = modes[mode]
            before = session.server.count
            figure = best(request, partial(session.exchange, answer=answer), asked.seconds)
            figure_cold = cold(sessions, request, answer, asked.seconds)
            for one in sessions:
                one.reactor.advance(1)  # the group flush that all this has asked for
            assert session.server.count > before, "nothing was forwarded"
            print(f"{mode:10}{figure:8.2f} us a transaction, {figure_cold:6.2f} cold", flush=True)


if __name__ == "__main__":
    main()
