"""CPU time that each proxy spends on a transaction: `.venv/bin/python -m bench.cpu`.

Where cores are shared, transactions a second say as much about the neighbours as about the proxy; the time that the
proxy's process itself ran says far less about them. Beside pgbouncer and Ostiary runs bench.transports' empty relay:
what it spends is the price of the transports, what Ostiary spends beyond it is the price of its duties. Rounds are
interleaved, figures are medians (lowest in brackets); `turns` are transactions for each time the process slept.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.pki import Pki  # noqa: E402  # all of it stands on the tests' lifecycle classes
from support.process import scratch_directory  # noqa: E402

from bench import measures  # noqa: E402
from bench.systems import System, systems  # noqa: E402
from bench.transports import relay  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds a transaction in the process and in the kernel on its behalf; transactions for each sleep."""

    user: float
    system: float
    turns: float
    tps: float

    @property
    def total(self) -> float:
        return self.user + self.system


def times(pid: int) -> tuple[float, float, float]:
    """Seconds of CPU, in user and in system mode, and how often it slept; all threads (the syncs run in some)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    slept = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS, slept


def spent(system: System, pid: int, mode: str, *, clients: int, seconds: float) -> Spent:
    before = times(pid)
    rate = measures.pgbench(system, "-S", "-M", mode, clients=clients, seconds=seconds)
    user, kernel, slept = (after - at for after, at in zip(times(pid), before, strict=True))
    transactions = rate.tps * seconds
    return Spent(user / transactions * 1e6, kernel / transactions * 1e6, transactions / max(1, slept), rate.tps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each pgbench run; a tick of CPU time is 10 ms")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--modes", nargs="+", default=["prepared"], choices=["simple", "extended", "prepared"])
    asked = parser.parse_args()
    with systems(1) as running:
        pki = Pki(scratch_directory("pki"))
        empty = relay("net on uvloop", running.direct.port, pki.server(file="relay"))
        empty.start()
        try:
            compared = {
                "pgbouncer": running.pgbouncer,
                "empty relay": System("relay", empty, empty.port, pki.ca),  # type: ignore[attr-defined]  # relay's
                "ostiary": running.ostiary,
            }
            for mode in asked.modes:
                compare(compared, mode, asked)
        finally:
            empty.stop()


def compare(compared: dict[str, System], mode: str, asked: argparse.Namespace) -> None:
    found: dict[str, list[Spent]] = {name: [] for name in compared}
    for system in compared.values():
        measures.pgbench(system, "-S", "-M", mode, clients=asked.clients, seconds=asked.seconds)
    for _ in range(asked.rounds):
        for name, system in compared.items():
            one = spent(system, system.process.pid, mode, clients=asked.clients, seconds=asked.seconds)
            found[name].append(one)
    print(f"pgbench -S -M {mode} -c {asked.clients} -T {asked.seconds:g}, {asked.rounds} rounds; us a transaction")
    print(f"{'':14}{'user':>14}{'system':>14}{'both':>16}{'turns':>7}{'tps':>9}{'of pgbouncer':>14}")
    for name, rounds in found.items():
        columns = [[getattr(one, part) for one in rounds] for part in ("user", "system", "total")]
        figures = "".join(f"{statistics.median(values):8.1f} ({min(values):4.1f})" for values in columns)
        ratio = statistics.median(one.tps / base.tps for one, base in zip(rounds, found["pgbouncer"], strict=True))
        turns, tps = (statistics.median(getattr(one, part) for one in rounds) for part in ("turns", "tps"))
        print(f"{name:14}{figures}{turns:7.2f}{tps:9.0f}{ratio:14.2f}", flush=True)


if __name__ == "__main__":
    main()
