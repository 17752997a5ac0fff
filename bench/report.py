"""What came out: figures of all rounds, ratios, the bars, and bench/RESULTS.md."""

from __future__ import annotations

import os
import platform
import re
import ssl
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from support.ostiary import Ostiary
from support.psql import binaries

import gateway
from bench.measures import Rate
from gateway import __version__
from gateway.audit.evidence import recordings_of
from gateway.audit.verify import verify_log
from gateway.recording import ClosingHead, verify
from gateway.recording.keys import load_or_create

BASE = "pgbouncer"
MEMORY = 100_000_000 / 2**20


@dataclass(frozen=True, slots=True)
class Bar:
    """What the project promises; ``least`` or ``most`` is set."""

    what: str
    measured: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        if self.least is not None:
            return self.measured >= self.least
        assert self.most is not None
        return self.measured <= self.most

    @property
    def promise(self) -> str:
        return f"at least {self.least:g}{self.unit}" if self.least is not None else f"at most {self.most:g}{self.unit}"

    def __str__(self) -> str:
        return f"{'met    ' if self.met else 'NOT MET'} {self.what}: {self.measured:.2f}{self.unit}, {self.promise}"


@dataclass(slots=True)
class Results:
    """By system, and where it was measured more than once, one a round.

    rates    of (mode, clients)
    selects  seconds; logins a second; memory MiB
    """

    rounds: int
    seconds: float
    rows: int
    connections: int
    rates: dict[tuple[str, int], dict[str, list[Rate]]] = field(default_factory=dict)
    selects: dict[str, list[float]] = field(default_factory=dict)
    logins: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    def tps_ratio(self, mode: str, clients: int, base: str = BASE) -> float:
        """Ostiary's tps over ``base``'s, the median of each round's."""
        rates = self.rates[mode, clients]
        return statistics.median(one.tps / other.tps for one, other in zip(rates["ostiary"], rates[base], strict=True))

    def added_p50(self, mode: str, name: str) -> float:
        """Milliseconds that a system adds to the direct median latency at one client."""
        rates = self.rates[mode, 1]
        return statistics.median(
            (one.p50 or 0.0) - (direct.p50 or 0.0) for one, direct in zip(rates[name], rates["direct"], strict=True)
        )

    def select_ratio(self, name: str) -> float:
        return statistics.median(one / other for one, other in zip(self.selects[name], self.selects[BASE], strict=True))

    def bars(self) -> list[Bar]:
        return [
            Bar("tps, prepared, 8 clients, over pgbouncer's", self.tps_ratio("prepared", 8), "x", least=0.6),
            Bar("added p50, prepared, 1 client", self.added_p50("prepared", "ostiary"), " ms", most=0.15),
            Bar(
                f"{self.rows:,} rows with two masks, time over pgbouncer's unmasked",
                self.select_ratio("ostiary, masked"),
                "x",
                most=1.4,
            ),
            Bar(
                f"memory of {self.connections:,} idle sessions",
                self.memory["ostiary"],
                " MiB",
                most=100_000_000 / 2**20,
            ),
        ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def markdown(results: Results, machine: Sequence[tuple[str, str]], load: Sequence[Sequence[float]]) -> str:
    """bench/RESULTS.md."""
    before, after = (" ".join(f"{one:.2f}" for one in at) for at in load)
    medians = {
        key: {name: statistics.median(one.tps for one in found) for name, found in rates.items()}
        for key, rates in results.rates.items()
    }
    rates = [
        [
            f"{mode}, {clients}",
            *(f"{value:,.0f}" for value in medians[mode, clients].values()),
            f"{results.tps_ratio(mode, clients):.2f}",
            f"{results.tps_ratio(mode, clients, 'direct'):.2f}",
        ]
        for mode, clients in results.rates
    ]
    latencies = [
        [mode, *(f"{results.added_p50(mode, name):.3f}" for name in ("pgbouncer", "ostiary"))]
        for mode, clients in results.rates
        if clients == 1
    ]
    selects = [
        [name, f"{statistics.median(found):.2f}", f"{results.select_ratio(name):.2f}"]
        for name, found in results.selects.items()
    ]
    logins = [[name, f"{statistics.median(found):,.0f}"] for name, found in results.logins.items()]
    memory = [[name, f"{value:.0f}"] for name, value in results.memory.items()]
    bars = [
        [bar.what, f"{bar.measured:.2f}{bar.unit}", bar.promise, "yes" if bar.met else "**no**"]
        for bar in results.bars()
    ]
    return "\n".join(
        [
            "# Bench\n",
            f"Written by `make bench` on {time.strftime('%Y-%m-%d')}: {results.rounds} interleaved rounds, "
            f"{results.seconds:g} s each; medians. Absolute figures are this machine's, ratios travel better.\n",
            "TLS 1.3 towards the client for all three; behind pgbouncer and Ostiary plain TCP on loopback. Ostiary is "
            "one process; before it forwards a statement it decides it, by a policy with SQL conditions, and records "
            "it. Client, server and proxy share the machine's cores.\n",
            table(["machine", ""], [*machine, ("load average", f"{before} before, {after} after")]),
            "## Bars\n",
            table(["", "measured", "promised", "met"], bars),
            "## pgbench -S, transactions a second\n",
            table(["protocol, clients", "direct", "pgbouncer", "Ostiary", "over pgbouncer", "over direct"], rates),
            "## Median latency added at one client, ms\n",
            table(["protocol", "pgbouncer", "Ostiary"], latencies),
            f"## {results.rows:,} rows to a client that only reads\n",
            table(["", "seconds", "over pgbouncer"], selects),
            "## Logins with one statement each, a second, 4 clients\n",
            "pgbouncer keeps its server connections; Ostiary opens one for each session, checks a client certificate, "
            "and begins and ends a signed recording.\n",
            table(["", "logins"], logins),
            f"## {results.connections:,} idle sessions, MiB added\n",
            table(["", "MiB"], memory),
        ]
    )


def machine() -> list[tuple[str, str]]:
    """What RESULTS.md says about where it was measured."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    system = platform.freedesktop_os_release()
    compiled = len(list(Path(gateway.__file__).parent.rglob("*.so")))
    return [
        ("CPU", f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores"),
        ("memory", f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown"),
        ("kernel", platform.release()),
        ("system", system["PRETTY_NAME"]),
        ("Ostiary", f"{__version__}, {compiled} modules compiled"),
        ("Python", f"{platform.python_version()}, uvloop {version('uvloop')}, Twisted {version('twisted')}"),
        ("TLS", ssl.OPENSSL_VERSION),
        ("PostgreSQL", _output(str(binaries() / "postgres"), "--version")),
        ("pgbench", _output("pgbench", "--version")),
        ("pgbouncer", _output("/usr/sbin/pgbouncer", "--version").splitlines()[0]),
    ]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def evidence(gateway: Ostiary) -> str | None:
    """What is wrong with a stopped gateway's audit log or recordings; None when all of it verifies."""
    gateway.stop(seconds=30)
    log = verify_log(gateway.data / "audit")
    if not log.ok:
        return f"audit log: {log.wrong}"
    public = load_or_create(gateway.data / "keys" / "recording.key").public_key()
    known = recordings_of(gateway.data / "audit")
    for path in gateway.recordings():
        said = known[path.stem]
        closed = ClosingHead(said.length, said.head) if said.length is not None and said.head is not None else None
        found = verify(path, public, closed=closed, audited=True)
        if found.state != "complete":
            return str(found)
    return None
