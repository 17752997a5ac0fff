"""`python -m bench.ssh`: SSH through Ostiary and through OpenSSH's own jump host (`ssh -J`), side by side in one run.

Rounds are interleaved (direct, jump host, Ostiary, Ostiary with detectors, a client's own -J through Ostiary, direct,
...); figures are medians over rounds, ratios medians of each round's. It prints; with --write it also appends to
bench/RESULTS.md, which `make bench` rewrites.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

import asyncssh  # noqa: E402  # the path comes first
from support.pki import Pki  # noqa: E402
from support.process import Process, scratch_directory  # noqa: E402
from support.ssh import ENGINEERS, SshOstiary  # noqa: E402
from support.sshd import Sshd, make_key, public_line  # noqa: E402

RESULTS = REPOSITORY / "bench" / "RESULTS.md"
MASKS = {
    **ENGINEERS,
    "labels": {"pii.ssn": {"detector": "us_ssn"}, "pci.pan": {"detector": "payment_card"}},
    "masks": [{"labels": ["pii.*", "pci.*"], "method": "redact"}],
}
LIMITS = {"limits": {"per_principal": 10_000}}
EXCHANGE = "-oKexAlgorithms=curve25519-sha256"
"""The same for all: what OpenSSH 9.2 would use with its own kind costs more than all the rest of a login."""

MB = 1_000_000
PIECE = 10 * MB
PAUSE = 0.3
"""Seconds between the mark and what is measured: masks hold the mark back for 30 ms, and while the client's side is
full for longer."""
KEYS = 1_000
"""One-byte echoes of one measure."""


@dataclass(frozen=True, slots=True)
class System:
    """One way to the target; ``command`` starts OpenSSH's client, without what it runs there."""

    name: str
    command: Sequence[str]


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _marked(command: Sequence[str], stdin: Path | None) -> float:
    """Seconds from the first byte of stderr to the end."""
    with ExitStack() as stack:
        source = subprocess.DEVNULL if stdin is None else stack.enter_context(stdin.open("rb"))
        client = subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert client.stderr is not None
        marks = client.stderr.read(1)
        began = time.perf_counter()
        marks += client.stderr.read()
        status = client.wait()
        if status or not marks.startswith(b"\n"):
            raise RuntimeError(f"{shlex.join(command)}: status {status}, {marks!r}")
        return time.perf_counter() - began


def down(data: Path, system: System) -> float:
    """MB a second of what the target shows."""
    seconds = _marked([*system.command, f"echo >&2; sleep {PAUSE}; cat {data}"], None) - PAUSE
    if seconds <= 0.05:
        raise RuntimeError(f"{system.name}: the mark came with the data, nothing was measured")
    return data.stat().st_size / MB / seconds


def up(data: Path, system: System) -> float:
    """MB a second of what it is sent."""
    seconds = _marked([*system.command, "echo >&2; exec cat > /dev/null"], data)
    return data.stat().st_size / MB / seconds


def echo(system: System) -> float:
    """Milliseconds (median) until a byte that was typed is shown; the target's terminal echoes it."""
    *ssh, host = system.command
    command = [*ssh, "-tt", host, "stty -icanon; echo ready; exec sleep 600"]
    times = []
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert client.stdin is not None
        assert client.stdout is not None
        to, out = client.stdin.fileno(), client.stdout.fileno()
        seen = b""
        while not seen.endswith(b"ready\r\n"):
            seen += os.read(out, 1000)
        for _ in range(KEYS):
            began = time.perf_counter()
            os.write(to, b"x")
            os.read(out, 10)
            times.append(time.perf_counter() - began)
    finally:
        client.kill()
        client.communicate()
    return statistics.median(times) * 1000


def login(system: System) -> float:
    """Milliseconds of a whole `ssh host true`."""
    began = time.perf_counter()
    subprocess.run([*system.command, "true"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def memory(process: Process) -> float:
    """MB that are resident."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024 / MB


def stalled(gateway: SshOstiary, system: System, clients: int = 4) -> float:
    """MB more while ``clients`` don't read what never ends."""
    before = memory(gateway)
    command = [*system.command, "cat /dev/zero"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(clients)]
    try:
        time.sleep(4)
        return memory(gateway) - before
    finally:
        for client in running:
            client.kill()
            client.communicate()


async def idle(gateway: SshOstiary, sessions: int) -> float:
    """MB more while so many sessions do nothing."""
    before = memory(gateway)
    key = asyncssh.read_private_key(str(gateway.keys["alice"]))
    turns = asyncio.Semaphore(4)

    async def one() -> asyncssh.SSHClientConnection:
        async with turns:
            return await asyncssh.connect(
                gateway.host,
                gateway.ssh_port,
                username=f"{gateway.sshd.user}@web1",
                client_keys=[key],
                known_hosts=None,
                config=None,
                agent_path=None,
                login_timeout=120,
            )

    connections = await asyncio.gather(*(one() for _ in range(sessions)))
    more = memory(gateway) - before
    for connection in connections:
        connection.abort()
    return more


def text(path: Path, size: int) -> Path:
    """``size`` bytes as logs are: words, times, addresses, numbers; no value that is masked."""
    seeded = random.Random(1)
    words = "session opened for user closed by error timeout while reading response from upstream client".split()
    piece = bytearray()
    while len(piece) < PIECE:
        said = " ".join(seeded.choices(words, k=9))
        address = ".".join(str(seeded.randrange(256)) for _ in range(4))
        piece += f"2026-11-27T10:{seeded.randrange(60):02}:07Z host{seeded.randrange(99)} {address} {said}\n".encode()
    with path.open("wb") as file:
        for _ in range(size // PIECE):
            file.write(piece[:PIECE])
    return path


@contextmanager
def systems() -> Iterator[tuple[dict[str, System], SshOstiary]]:
    """All ways to one target, which is up while they are used."""
    pki = Pki(scratch_directory("pki"))
    authority = make_key(scratch_directory("authority") / "host_ca")
    with (
        Sshd(settings={"MaxStartups": "1000"}) as target,
        Sshd() as jump,
        SshOstiary(pki, target, settings={**LIMITS, "listeners": {"ssh": {"host_ca": f"file:{authority}"}}}) as plain,
        SshOstiary(pki, target, settings=LIMITS, policy=MASKS) as masked,
    ):
        known = target.directory / "known_hosts"
        known.write_text(
            f"[{target.host}]:{target.port} {public_line(target.host_key)}\n"
            f"[{jump.host}]:{jump.port} {public_line(jump.host_key)}\n"
        )

        def ssh(server: Sshd, *options: str) -> list[str]:
            trust = ["-F", "none", EXCHANGE, "-oBatchMode=yes", "-oIdentitiesOnly=yes", f"-oUserKnownHostsFile={known}"]
            return ["ssh", *trust, f"-i{server.key}", f"-p{server.port}", f"-l{server.user}", *options, server.host]

        # What -J does, with options of its own for the jump host.
        through = f"-oProxyCommand={shlex.join(ssh(jump, '-W', '%h:%p'))}"
        # The same through Ostiary, which shows a certificate for the target's name: both of the client's encryptions.
        trusted = plain.cli("ca", "ssh-host", "--config", str(plain.configuration))
        if trusted.returncode:
            raise RuntimeError(trusted.stderr)
        with plain.known_hosts.open("a") as file:
            file.write(trusted.stdout)
        outer = plain.client(EXCHANGE, "-W", "%h:%p", plain.host, login="anybody")
        jumped = plain.client(EXCHANGE, f"-oProxyCommand={shlex.join(outer)}", "web1", login=target.user)
        jumped[jumped.index("-p") + 1] = "22"  # of the target, which the gateway is asked for
        found = [
            System("direct", ssh(target)),
            System("ssh -J", ssh(target, through)),
            System("ostiary", plain.client(EXCHANGE, plain.host)),
            System("ostiary, detectors", masked.client(EXCHANGE, masked.host)),
            System("ostiary -J", jumped),
        ]
        yield {each.name: each for each in found}, plain


def compared(
    rounds: int, ways: Sequence[System], measure: Callable[[System], float], *, over: str
) -> dict[str, tuple[float, float, float]]:
    """Each system's median, and the medians of its ratio to and its difference from ``over``."""
    found: dict[str, list[float]] = {system.name: [] for system in ways}
    for _ in range(rounds):
        for system in ways:
            found[system.name].append(measure(system))
    base = found[over]
    return {
        name: (
            statistics.median(values),
            statistics.median(value / other for value, other in zip(values, base, strict=True)),
            statistics.median(value - other for value, other in zip(values, base, strict=True)),
        )
        for name, values in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--idle", type=int, default=500, help="sessions that do nothing; 0: not measured")
    parser.add_argument("--write", action="store_true", help="append to bench/RESULTS.md")
    given = parser.parse_args()
    rows: list[tuple[str, str, str, bool]] = []

    def bar(what: str, value: float, unit: str, least: float | None = None, most: float | None = None) -> None:
        met = value >= least if least is not None else most is not None and value < most
        promised = f"at least {least:g} {unit}" if least is not None else f"less than {most:g} {unit}"
        rows.append((what, f"{value:.2f} {unit}", promised, met))
        say(f"{'  ' if met else '! '}{what}: {value:.2f} {unit} ({promised})")

    with systems() as (ways, gateway):
        every = list(ways.values())
        unmasked = every[:3]
        login(ways["ostiary"])
        if given.idle:  # first: later it would fill what other measures freed
            bar(f"memory of {given.idle} idle sessions", asyncio.run(idle(gateway, given.idle)), "MB", most=300)
        data = text(scratch_directory("bench") / "data", given.megabytes * MB)
        for name, measure in (("down", down), ("up", up)):
            rates = compared(given.rounds, every, partial(measure, data), over="ssh -J")
            for system, (rate, ratio, _) in rates.items():
                say(f"  {name}, {system}: {rate:.0f} MB/s ({ratio:.2f}x ssh -J)")
            bar(f"bulk {name}, over ssh -J's", rates["ostiary"][1], "x", least=0.9)
            bar(f"bulk {name}, a client's -J through Ostiary, over ssh -J's", rates["ostiary -J"][1], "x", least=0.6)
            bar(f"bulk {name}, with detectors", rates["ostiary, detectors"][0], "MB/s", least=30)
        for name, measure_one, rounds, most in (("echo p50", echo, 1, 0.3), ("login", login, 7, 60.0)):
            taken = compared(given.rounds * rounds, unmasked, measure_one, over="direct")
            for system, (value, _, added) in taken.items():
                say(f"  {name}, {system}: {value:.2f} ms (added: {added:.2f})")
            bar(f"{name} added", taken["ostiary"][2], "ms", most=most)
        bar("memory of 4 stalled readers", stalled(gateway, ways["ostiary"]), "MB", most=100)
    load = " ".join(f"{part:.2f}" for part in os.getloadavg())
    if given.write:
        table = "".join(
            f"| {what} | {value} | {bar} | {'yes' if met else '**no**'} |\n" for what, value, bar, met in rows
        )
        title = (
            f"\n## SSH: {time.strftime('%Y-%m-%d')}, {given.rounds} rounds, {given.megabytes} MB, load average {load}\n"
        )
        with RESULTS.open("a") as results:
            results.write(f"{title}\n|  | measured | promised | met |\n| --- | ---: | ---: | ---: |\n{table}")


if __name__ == "__main__":
    main()
