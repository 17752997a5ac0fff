"""What recording costs: `.venv/bin/python bench/recording.py [directory]`.

The hot path is operation() + commit() of one small operation; the directory should lie on the disk that
recordings will lie on.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from gateway.model import Access, Address, Decision, Outcome, Principal, SqlOperation, Target, TargetTls, uuid7
from gateway.recording import Recorder, Recordings, SessionHeader
from gateway.recording.verify import verify

COUNT = 50_000


def at_once(job: Callable[[], Sequence[OSError | None]]) -> Deferred[Sequence[OSError | None]]:
    return succeed(job())


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch:
        reactor = Clock()
        key = Ed25519PrivateKey.generate()
        recordings = Recordings(
            Path(scratch) / "recordings",
            key=key,
            node="bench",
            clock=time.time,
            reactor=reactor,
            in_thread=at_once,
            low_water=0,
        )
        principal = Principal("alice", "human", frozenset({"engineers"}), frozenset({"certificate"}), time.time())
        target = Target("orders", "postgres", Address("db1", 5432), TargetTls(), ())
        access = Access(principal, target, "orders", "orders_rw", "192.0.2.7")
        session = uuid7(time.time(), os.urandom(10))
        recorder = recordings.begin(
            SessionHeader(session, access, time.time(), "0" * 64), on_failure=lambda error: None
        )
        text = "SELECT abalance FROM pgbench_accounts WHERE aid = $1;"
        operation = SqlOperation(text, text, "a" * 64, frozenset({"select"}), frozenset({"public.pgbench_accounts"}))
        decision = Decision(Outcome.ALLOW, ("engineers-read",))

        def small(number: int) -> None:
            recorder.operation(number, operation, decision, parameters=[b"12345"], source="execute")
            recorder.commit()

        def result(number: int) -> None:
            recorder.result(number, status="SELECT 1", columns=["abalance"], rows=1, size=38)

        def head(number: int) -> None:
            recorder.operation(number, operation, decision)
            recorder.commit()
            recorder.flush()

        def begin(number: int) -> None:
            other = uuid7(time.time(), os.urandom(10))
            recordings.begin(SessionHeader(other, access, time.time(), "0" * 64), on_failure=lambda error: None).close(
                "bench"
            )

        measure("operation() + commit()", small)
        measure("result(), gathered", result)
        measure("operation() + commit() + signed head", head, 2_000)
        measure("begin() + close()", begin, 500)
        closed = recorder.close("bench")
        started = time.perf_counter()
        report = verify(next(Path(scratch).rglob(f"{session}.ostrec")), key.public_key(), closed=closed)
        seconds = time.perf_counter() - started
        assert report.ok, report
        print(f"{'verify':42} {closed.length / seconds / 1e6:10.1f} MB/s, {report.events / seconds:,.0f} events/s")
        large(recordings, access)


def large(recordings: Recordings, access: Access) -> None:
    session = uuid7(time.time(), os.urandom(10))
    recorder: Recorder = recordings.begin(
        SessionHeader(session, access, time.time(), "0" * 64), on_failure=lambda error: None
    )
    value = os.urandom(1024 * 1024) * 100
    operation = SqlOperation("INSERT INTO files VALUES ($1)", "", "a" * 64, frozenset({"insert"}))
    started = time.perf_counter()
    recorder.operation(1, operation, Decision(Outcome.ALLOW), parameters=[value], formats=[1])
    recorder.commit()
    print(f"{'100 MB parameter':42} {100 * 1.048576 / (time.perf_counter() - started):10.1f} MB/s")


def measure(name: str, call: Callable[[int], None], count: int = COUNT) -> None:
    """The best of three runs: the machine is shared."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for number in range(count):
            call(number)
        best = min(best, (time.perf_counter() - started) / count)
    print(f"{name:42} {best * 1e6:10.2f} us")


if __name__ == "__main__":
    main()
