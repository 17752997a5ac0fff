"""What OpenSSH's server showed through the gateway, replayed and exported."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pki import Pki
from support.process import wait_until
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e

ATTACK = r"\033]52;c;eA==\007\033[21t\033[?1003h"


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd) as running:
        yield running


def recorded(gateway: SshOstiary, command: str, *options: str) -> Path:
    """The recording of a session that ran ``command``."""
    before = set(gateway.recordings())
    assert gateway.ssh(command, options=list(options)).returncode == 3
    wait_until(lambda: len(set(gateway.recordings()) - before) == 1, what="a recording")
    (path,) = set(gateway.recordings()) - before
    wait_until(lambda: "closed" in said(gateway, "show", path).stdout, what="its end")
    return path


def said(gateway: SshOstiary, command: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return gateway.cli("recordings", command, "--config", str(gateway.configuration), str(path), *arguments)


def test_a_terminal(gateway: SshOstiary) -> None:
    path = recorded(gateway, f"printf '{ATTACK}\\033[31mr\\303'; sleep 0.3; printf '\\244d\\n'; exit 3", "-tt")
    replayed = said(gateway, "replay", path, "--no-wait")
    assert (replayed.returncode, replayed.stdout) == (0, "\x1b[31mräd\n")  # the pipe is read as text: \r\n is \n
    cast = [json.loads(line) for line in said(gateway, "export", path, "--format", "asciicast-v2").stdout.splitlines()]
    assert (cast[0]["version"], cast[0]["title"].split()[-1]) == (2, "web1")
    assert "".join(data for _, code, data in cast[1:] if code == "o") == "\x1b[31mräd\r\n"
    assert cast[-1][0] - cast[1][0] >= 0.3


def test_a_command(gateway: SshOstiary) -> None:
    path = recorded(gateway, f"echo out; echo err >&2; printf '{ATTACK}'; exit 3")
    lines = said(gateway, "export", path, "--format", "asciicast-v3").stdout.splitlines()
    header, *events = (json.loads(line) for line in lines if not line.startswith("#"))
    assert header["term"] == {"cols": 80, "rows": 24}
    assert sorted("".join(data for _, code, data in events if code == "o").splitlines()) == ["err", "out"]
    assert events[-1][1:] == ["x", "3"]
