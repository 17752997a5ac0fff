"""What one audit event costs: ``python bench/audit.py``.

Best of several rounds, microseconds of CPU time each; the log lies in /tmp (or where TMPDIR says).
"""

from __future__ import annotations

import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path

from gateway.audit import AuditLog, SessionContext
from gateway.audit.events import OperationDecided, SessionClosed
from gateway.audit.reader import LogReader
from gateway.audit.rfc5424 import frame, message_of_line
from gateway.audit.verify import verify_log
from gateway.model import Access, Address, Decision, Outcome, Principal, SqlOperation, Target, TargetTls

EVENTS = 20_000
ROUNDS = 7


def best(call: Callable[[], object]) -> float:
    """Microseconds of one call."""
    return min(timeit.repeat(call, timer=time.process_time, number=EVENTS, repeat=ROUNDS)) / EVENTS * 1e6


def main() -> None:
    principal = Principal("alice", "human", frozenset({"analysts"}), frozenset({"certificate"}), time.time())
    target = Target("orders", "postgres", Address("db1.internal", 5432), TargetTls(), ())
    context = SessionContext("01935f8e-0000-7000-8000-000000000001", Access(principal, target, "shop", "ro", "::1"))
    decision = Decision(Outcome.ALLOW, ("analysts read orders",))

    def operation(columns: int) -> SqlOperation:
        text = "select " + ", ".join(f"column_{number}" for number in range(columns)) + " from orders where id = $1"
        return SqlOperation(text, text, "ab" * 32, frozenset({"select"}), frozenset({"public.orders"}))

    small, large = operation(3), operation(200)
    with tempfile.TemporaryDirectory() as directory:
        log = AuditLog(Path(directory), node="gw1.example.com", clock=time.time, version="0.1.0")

        def append(asked: SqlOperation) -> Callable[[], object]:
            return lambda: log.append(OperationDecided(context, 1, asked, decision, "query"))

        def append_and_flush() -> None:
            log.append(OperationDecided(context, 1, small, decision, "query"))
            log.flush()

        closed = SessionClosed(context, "client left", 12, 3400, 88_123, "ef" * 32)
        print(f"operation, {len(small.text)} characters, chained and buffered   {best(append(small)):6.2f} us")
        print(f"operation, {len(large.text)} characters, chained and buffered {best(append(large)):6.2f} us")
        print(f"operation with its own write to the kernel            {best(append_and_flush):6.2f} us")
        print(f"session closed, chained and buffered                  {best(lambda: log.append(closed)):6.2f} us")
        log.close()

        started = time.perf_counter()
        reader, sent = LogReader(Path(directory), 0), 0
        while not reader.at_end and sent < 100_000:
            for _, line in reader.read():
                frame(message_of_line(line))
                sent += 1
        reader.close()
        each = (time.perf_counter() - started) / sent * 1e6
        print(f"read and made a syslog message of                     {each:6.2f} us")
        started = time.perf_counter()
        report = verify_log(Path(directory))
        assert report.ok
        each = (time.perf_counter() - started) / report.events * 1e6
        print(f"verified                                              {each:6.2f} us")


if __name__ == "__main__":
    main()
