"""`make bench`: direct, pgbouncer and Ostiary side by side in one run, on this machine alone.

Rounds are interleaved (direct, pgbouncer, Ostiary, direct, ...), so that what else the machine does hits all three;
figures are medians over rounds, ratios are medians of each round's ratio. A full run (`make bench`) rewrites
bench/RESULTS.md; `make bench ARGS=--quick` (about a minute) and `make soak` only print.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from bench import measures, report  # noqa: E402  # both stand on the tests' lifecycle classes
from bench.systems import CONNECTIONS, System, Systems, systems  # noqa: E402
from gateway.masking import COMPILED  # noqa: E402

RESULTS = REPOSITORY / "bench" / "RESULTS.md"
MODES = ("simple", "extended", "prepared")
CLIENTS = (1, 8, 32)
ROWS = 500_000

Measured = TypeVar("Measured")


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def interleaved(
    rounds: int, compared: Sequence[System], measure: Callable[[System], Measured]
) -> dict[str, list[Measured]]:
    """Each system's figure of each round."""
    found: dict[str, list[Measured]] = {system.name: [] for system in compared}
    for _ in range(rounds):
        for system in compared:
            found[system.name].append(measure(system))
    return found


def compare(running: Systems, *, rounds: int, seconds: float) -> report.Results:
    """Everything but the soak."""
    results = report.Results(rounds=rounds, seconds=seconds, rows=running.rows, connections=CONNECTIONS)

    def memory(system: System) -> None:
        results.memory[system.name] = measures.idle_memory(system, CONNECTIONS)
        say(f"{CONNECTIONS:,} idle sessions, {system.name}: {results.memory[system.name]:.0f} MiB more")

    memory(running.ostiary)  # first: later it would fill what other measures freed
    for system in running.all:  # caches, pools and the catalogue are warm for all
        measures.pgbench(system, "-S", "-M", "prepared", seconds=1, clients=8)
    for mode in MODES:
        for clients in CLIENTS:

            def rate(system: System, mode: str = mode, clients: int = clients) -> measures.Rate:
                arguments = ("-S", "-M", mode)
                return measures.pgbench(system, *arguments, seconds=seconds, clients=clients, latencies=clients == 1)

            rates = interleaved(rounds, running.all, rate)
            results.rates[mode, clients] = rates
            tps = {name: statistics.median(one.tps for one in found) for name, found in rates.items()}
            figures = ", ".join(f"{name} {value:,.0f}" for name, value in tps.items())
            say(f"pgbench -S {mode}, {clients} clients: {figures} tps ({results.tps_ratio(mode, clients):.2f})")
            if clients == 1:
                added = {name: results.added_p50(mode, name) for name in ("pgbouncer", "ostiary")}
                say("  added p50: " + ", ".join(f"{name} {value:.3f} ms" for name, value in added.items()))
    reading = (*running.all, running.masked)
    measures.select_seconds(running.masked, running.rows)
    results.selects = interleaved(max(rounds, 3), reading, lambda system: measures.select_seconds(system, running.rows))
    for name, found in results.selects.items():
        say(f"{running.rows:,} rows, {name}: {statistics.median(found):.2f} s ({results.select_ratio(name):.2f})")
    results.logins = interleaved(rounds, running.all, lambda system: measures.logins(system, seconds=seconds))
    for name, rates_of in results.logins.items():
        say(f"logins, {name}: {statistics.median(rates_of):,.0f} a second")
    memory(running.pgbouncer)  # last: it keeps its server connections
    return results


def soak(running: Systems, minutes: float) -> int:
    """The exit code: 1 when the evidence of the soak is not whole."""
    say(f"soak: {minutes:g} minutes")
    soaked = measures.soak(running, minutes * 60)
    for sample in soaked.samples[:: max(1, len(soaked.samples) // 20)]:
        say(f"  {sample.seconds:5.0f} s  {sample.memory:6.1f} MiB  {sample.files} descriptors")
    say(
        f"{soaked.transactions:,.0f} transactions, {soaked.logins:,.0f} short sessions, {soaked.selects} masked "
        f"selects of {running.rows:,} rows; memory grew by {soaked.growth:.1f} MiB"
    )
    bad = report.evidence(running.gateway)
    say(bad or "audit log and every recording verify")
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short runs, one round; RESULTS.md stays as it is")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each pgbench run")
    parser.add_argument("--soak", type=float, nargs="?", const=10.0, metavar="MINUTES", help="only a steady load")
    asked = parser.parse_args()
    if not COMPILED:
        print("gateway.masking.rows is not compiled: run `make build`", file=sys.stderr)
        return 2
    measures.allow_many_files()
    machine = report.machine()
    before = os.getloadavg()
    say(f"load average {before[0]:.2f}; setting up")
    with systems(ROWS) as running:
        if asked.soak is not None:
            return soak(running, asked.soak)
        rounds, seconds = (1, 1.0) if asked.quick else (asked.rounds, asked.seconds)
        results = compare(running, rounds=rounds, seconds=seconds)
    for bar in results.bars():
        say(str(bar))
    if not asked.quick:
        RESULTS.write_text(report.markdown(results, machine, (before, os.getloadavg())))
        say(f"wrote {RESULTS.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
