"""200 MB each way, by all that moves files over SSH: the same bytes, the right status, and no memory for them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from hashlib import file_digest
from pathlib import Path

import pytest
from support.pki import Pki
from support.process import scratch_directory
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SIZE = 200_000_000
ROOM = 100_000_000
"""Bytes that the gateway may take more, while a reader stalls beside it (ssh.md, Bars)."""


@pytest.fixture(scope="module")
def gateway(pki: Pki) -> Iterator[SshOstiary]:
    with Sshd() as sshd, SshOstiary(pki, sshd) as running:
        yield running


@pytest.fixture(scope="module")
def data() -> Path:
    path = scratch_directory("bulk") / "data"
    with path.open("wb") as file:
        for _ in range(SIZE // 1_000_000):
            file.write(os.urandom(1_000_000))
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def memory(gateway: SshOstiary) -> int:
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def copy(program: str, *options: str) -> Callable[[SshOstiary, Path, Path, bool], list[str]]:
    def command(gateway: SshOstiary, source: Path, to: Path, up: bool) -> list[str]:
        words = gateway.client(program=program)
        words[words.index("-p")] = "-P"
        at = words.index("-l")
        login = words[at + 1].replace("@", "%40")
        there = f"{program}://{login}@{gateway.host}:{gateway.ssh_port}/"
        ends = (str(source), f"{there}{to}") if up else (f"{there}{source}", str(to))
        return [*words[:at], *options, *ends]

    return command


def rsync(gateway: SshOstiary, source: Path, to: Path, up: bool) -> list[str]:
    there = f"{gateway.host}:"
    ends = (str(source), f"{there}{to}") if up else (f"{there}{source}", str(to))
    return ["rsync", "--whole-file", "-e", shlex.join(gateway.client()), *ends]


def cat(gateway: SshOstiary, source: Path, to: Path, up: bool) -> list[str]:
    command = shlex.join(gateway.client(gateway.host, f"cat > {to}" if up else f"cat {source}"))
    return ["sh", "-c", f"{command} < {source}" if up else f"{command} > {to}"]


def sftp(gateway: SshOstiary, source: Path, to: Path, up: bool) -> list[str]:
    words = gateway.client(program="sftp")
    words[words.index("-p")] = "-P"
    at = words.index("-l")
    login = f"-oUser={words[at + 1]}"
    command = shlex.join([*words[:at], login, "-b", "-", gateway.host])
    return ["sh", "-c", f"echo {'put' if up else 'get'} {source} {to} | {command}"]


WAYS = {"ssh": cat, "scp": copy("scp"), "scp -O": copy("scp", "-O"), "sftp": sftp, "rsync": rsync}


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("way", WAYS)
def test_200_mb(gateway: SshOstiary, data: Path, tmp_path: Path, way: str, up: bool) -> None:
    stalled = gateway.client(gateway.host, "cat /dev/zero")
    before = memory(gateway)
    with subprocess.Popen(stalled, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as beside:
        try:
            done = subprocess.run(WAYS[way](gateway, data, tmp_path / "copy", up), capture_output=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert memory(gateway) - before < ROOM
        finally:
            beside.kill()
    assert digest(tmp_path / "copy") == digest(data)
