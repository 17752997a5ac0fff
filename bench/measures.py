"""What is measured, each on one system; rounds and comparison are run.py's."""

from __future__ import annotations

import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.psql import clean_environment

from bench.systems import Reader, System, Systems

SELECT = "select id, name, ssn, email, placed from people"
LOGIN_SCRIPT = "select 1;\n"
MIB = 1024 * 1024


class MeasureFailed(Exception):
    """A client of the measure failed: its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Rate:
    """tps: transactions a second; p50: median latency in milliseconds, None where it was not asked for."""

    tps: float
    p50: float | None = None


def pgbench(system: System, *arguments: str, seconds: float, clients: int = 1, latencies: bool = False) -> Rate:
    """One run. With ``latencies`` each transaction's is looked at, which costs pgbench a little."""
    with tempfile.TemporaryDirectory(prefix="ost-pgbench-", dir="/tmp") as directory:
        logged = ["--log", f"--log-prefix={directory}/log"] if latencies else []
        command = ["pgbench", "-n", *arguments, "-c", str(clients), "-j", "1", "-T", f"{seconds:g}", *logged]
        done = subprocess.run(
            [*command, system.connection],
            check=False,
            capture_output=True,
            text=True,
            env=clean_environment(),
            cwd=directory,
            timeout=seconds + 120,
        )
        found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
        if done.returncode != 0 or found is None:
            raise MeasureFailed(f"{' '.join(command)} with {system.name}: {done.stderr[-2000:]}")
        p50 = None
        if latencies:
            times = [int(line.split()[2]) for path in Path(directory).glob("log*") for line in path.open()]
            p50 = statistics.median(times) / 1000
        return Rate(float(found[1]), p50)


def logins(system: System, *, seconds: float) -> float:
    """Sessions a second with one statement each, four clients at once."""
    with tempfile.NamedTemporaryFile("w", prefix="ost-login-", suffix=".sql") as script:
        script.write(LOGIN_SCRIPT)
        script.flush()
        return pgbench(system, "-C", "-f", script.name, seconds=seconds, clients=4).tps


def select_seconds(system: System, rows: int) -> float:
    """Seconds until a client that only reads has every row of `people`."""
    client = system.connect(system.context())
    with client:
        begun = time.perf_counter()
        received = client.drain(SELECT)
        seconds = time.perf_counter() - begun
    if received < rows * 40:
        raise MeasureFailed(f"{system.name} gave {received} bytes for {rows} rows")
    return seconds


@contextmanager
def idle(system: System, count: int) -> Iterator[None]:
    """``count`` sessions that have done one statement each, and now nothing."""
    context = system.context()

    def one(_: int) -> Reader:
        client = system.connect(context)
        client.drain("select 1")
        return client

    clients: list[Reader] = []
    try:
        with ThreadPoolExecutor(8) as pool:
            clients.extend(pool.map(one, range(count)))
        yield
    finally:
        for client in clients:
            client.close()


def resident(pid: int) -> float:
    """MiB of memory that the process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def idle_memory(system: System, count: int) -> float:
    """MiB that ``count`` idle sessions add."""
    with idle(system, 20):  # what the first ones bring with them stays
        pass
    time.sleep(1)
    before = resident(system.process.pid)
    with idle(system, count):
        time.sleep(1)
        return resident(system.process.pid) - before


def allow_many_files() -> None:
    """Servers inherit it: pgbouncer doesn't ask by itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass(frozen=True, slots=True)
class Sample:
    """seconds since the start; MiB; open descriptors."""

    seconds: float
    memory: float
    files: int


@dataclass(frozen=True, slots=True)
class Soaked:
    """transactions, logins: how many; selects: masked ones of every row."""

    samples: list[Sample]
    transactions: float
    logins: float
    selects: int

    @property
    def growth(self) -> float:
        """MiB between the medians of the second and the last fifth: in the first, caches fill."""
        fifth = max(1, len(self.samples) // 5)
        memory = [sample.memory for sample in self.samples]
        return statistics.median(memory[-fifth:]) - statistics.median(memory[fifth : 2 * fifth])


def soak(running: Systems, seconds: float) -> Soaked:
    """A steady mixed load on Ostiary below its limit: reads, writes, sessions that come and go, masked results."""
    gateway, ostiary = running.gateway, running.ostiary
    deadline = time.monotonic() + seconds

    def masked() -> int:
        done = 0
        while time.monotonic() < deadline - 5:
            select_seconds(running.masked, running.rows)
            done += 1
            time.sleep(2)
        return done

    with ThreadPoolExecutor(4) as pool, tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(LOGIN_SCRIPT)
        script.flush()
        reads = pool.submit(pgbench, ostiary, "-S", "-M", "prepared", "-R", "1000", seconds=seconds, clients=8)
        writes = pool.submit(pgbench, ostiary, "-M", "simple", "-R", "40", seconds=seconds, clients=4)
        short = pool.submit(pgbench, ostiary, "-C", "-R", "10", "-f", script.name, seconds=seconds, clients=2)
        selects = pool.submit(masked)
        samples = []
        begun = time.monotonic()
        while time.monotonic() < deadline:
            samples.append(Sample(time.monotonic() - begun, resident(gateway.pid), descriptors(gateway.pid)))
            time.sleep(max(0.5, seconds / 120))
        transactions = (reads.result().tps + writes.result().tps) * seconds
        return Soaked(samples, transactions, short.result().tps * seconds, selects.result())
