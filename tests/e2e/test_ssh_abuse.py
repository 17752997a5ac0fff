"""What auditors and crowds do to the SSH listener."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.packet import String, UInt32
from support.pki import Pki
from support.process import wait_until
from support.ssh import SshOstiary
from support.sshd import Sshd, make_key

pytestmark = pytest.mark.e2e

LOGIN = 3
"""Seconds that a login may take here."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd) as running:
        rsa = make_key(running.directory / "ssh_host_rsa", kind="rsa", arguments=["-b", "3072"])
        running.settings["listeners"]["ssh"]["host_keys"].append(f"file:{rsa}")
        running.stop()
        running.write(settings=running.settings)
        running.start()
        yield running


@pytest.fixture(scope="module")
def hasty(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd, settings={"limits": {"login": f"{LOGIN}s"}}) as running:
        yield running


def memory(gateway: SshOstiary) -> int:
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def reached(gateway: SshOstiary) -> socket.socket:
    return socket.create_connection((gateway.host, gateway.ssh_port), timeout=20)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    came = b""
    try:
        while piece := connection.recv(65536):
            came += piece
    except ConnectionError:
        pass
    return came


# --- what an audit of algorithms says ---


def test_ssh_audit(gateway: SshOstiary) -> None:
    """No fail, and no warning but that curve25519 is not post-quantum, which OpenSSH before 9.9 needs."""
    command = [sys.executable, "-m", "ssh_audit", "--json", "--skip-rate-test", "-p", str(gateway.ssh_port)]
    done = subprocess.run([*command, gateway.host], capture_output=True, text=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    said: list[tuple[str, str, str]] = []
    for kind in ("kex", "key", "enc", "mac"):
        assert found[kind], f"no {kind} was looked at"
        for each in found[kind]:
            notes = each.get("notes", {})
            said += [(each["algorithm"], level, word) for level in ("fail", "warn") for word in notes.get(level, [])]
    post_quantum = [each for each in said if each[0].startswith("curve25519-") and "post-quantum" in each[2]]
    assert said == post_quantum
    assert not found["cves"]
    # strict key exchange, against Terrapin (CVE-2023-48795) with peers that have it as well
    assert "kex-strict-s-v00@openssh.com" in {each["algorithm"] for each in found["kex"]}


# --- crowds ---


@pytest.mark.slow
def test_two_thousand_in_the_door(hasty: SshOstiary) -> None:
    assert hasty.ssh("true").returncode == 0
    before = memory(hasty)
    with ExitStack() as stack:
        for number in range(2000):
            connection = stack.enter_context(reached(hasty))
            if number % 2:
                connection.sendall(b"SSH-2.0-slow\r\n")
        began = time.monotonic()
        assert hasty.ssh("true").returncode == 0
        assert time.monotonic() - began < 2.0
    wait_until(lambda: memory(hasty) - before < 30_000_000, seconds=20, what="memory back")
    assert hasty.ssh("true").returncode == 0


@pytest.mark.parametrize("sent", [b"", b"SSH-2.0-slow", b"SSH-2.0-slow\r\n", b"SSH-2.0-slow\r\n\0\0\1\0"])
def test_a_stalled_key_exchange_ends(hasty: SshOstiary, sent: bytes) -> None:
    with reached(hasty) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        rest(connection)
        assert time.monotonic() - began < LOGIN + 3


# --- what is too long ---


@pytest.mark.parametrize("line", [b"SSH-2.0-" + b"x" * 100_000, b"x" * 100_000, b"line\r\n" * 100_000])
def test_a_version_without_end(gateway: SshOstiary, line: bytes) -> None:
    """CVE-2022-21716."""
    before = memory(gateway)
    with reached(gateway) as connection:
        began = time.monotonic()
        try:
            for _ in range(200):
                connection.sendall(line)
        except OSError:
            pass
        rest(connection)
        assert time.monotonic() - began < 10
    assert memory(gateway) - before < 30_000_000
    assert gateway.ssh("true").returncode == 0


@pytest.mark.parametrize("length", [0, 1, 4, 2**20, 2**31 - 1, 2**32 - 1])
def test_a_giant_packet(gateway: SshOstiary, length: int) -> None:
    """GHSA-vgvv-x7xg-6cqg: its length alone must be enough to refuse it."""
    before = memory(gateway)
    with reached(gateway) as connection:
        connection.sendall(b"SSH-2.0-big\r\n" + length.to_bytes(4) + b"\x04" + bytes(40))
        began = time.monotonic()
        rest(connection)
        assert time.monotonic() - began < 5
    assert memory(gateway) - before < 30_000_000
    assert gateway.ssh("true").returncode == 0


@pytest.mark.parametrize(
    ("kind", "parts", "reason"),
    [
        (2, (b"\0\0\0\0",), "Strict key exchange violation"),  # IGNORE
        (5, (String("ssh-userauth"),), "Service request received before kex complete"),  # SERVICE_REQUEST
        (7, (UInt32(1), String("server-sig-algs"), String("ssh-rsa")), "Unexpected ext_info"),  # EXT_INFO
        (50, (String("mallory@web1"), String("ssh-connection"), String("none")), "Invalid request before key exchange"),
    ],
)
def test_a_packet_before_the_keys_of_a_strict_exchange(
    gateway: SshOstiary, kind: int, parts: tuple[bytes, ...], reason: str
) -> None:
    """Terrapin (CVE-2023-48795), rogue extensions (CVE-2023-46445) and sessions (CVE-2023-46446): nothing may be
    slipped in before NEWKEYS."""
    sent: list[int] = []
    before = len(gateway.log_text())

    class Client(asyncssh.connection.SSHClientConnection):
        def send_newkeys(self, *arguments: Any) -> None:
            # whatever asyncssh thinks of its order
            done, self._kex_complete = self._kex_complete, True
            self.send_packet(kind, *parts)
            self._kex_complete = done
            sent.append(kind)
            super().send_newkeys(*arguments)

    import asyncio

    async def ask() -> None:
        options = asyncssh.SSHClientConnectionOptions(
            username=f"{gateway.sshd.user}@web1",
            client_keys=[str(gateway.keys["alice"])],
            known_hosts=str(gateway.known_hosts),
            config=None,
            agent_path=None,
            host=gateway.host,
            port=gateway.ssh_port,
        )
        loop = asyncio.get_running_loop()
        options.waiter = loop.create_future()
        await loop.create_connection(lambda: Client(loop, options, wait="auth"), gateway.host, gateway.ssh_port)
        await options.waiter

    with pytest.raises((asyncssh.Error, OSError)):
        asyncio.run(asyncio.wait_for(ask(), 20))
    told = gateway.log_text()[before:]
    assert f'"reason":"{reason}' in told, told
    assert sent == [kind]
    assert gateway.ssh("true").returncode == 0
