"""What the target shows over SSH comes masked, and the recording holds what the caller saw."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pki import Pki
from support.process import wait_until
from support.ssh import ENGINEERS, SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e

POLICY = {
    **ENGINEERS,
    "labels": {"pii.ssn": {"detector": "us_ssn"}, "pci.pan": {"detector": "payment_card"}},
    "masks": [
        {"labels": ["pii.*", "pci.*"], "method": "redact"},
        {"labels": ["pii.*", "pci.*"], "groups": ["owners"], "method": "clear"},
    ],
}
PEOPLE = {"alice": ["engineers"], "olivia": ["engineers", "owners"]}
VALUES = b"ssn 900-12-3456 and card 4111 1111 1111 1111."
HIDDEN = b"ssn **** and card ****."

DRIBBLE = """
import os, sys, time
text, at = sys.argv[1].encode(), int(sys.argv[2])
for piece in (text[:at], text[at:]) if at else (text[i:i + 1] for i in range(len(text))):
    os.write(1, piece)
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd, people=PEOPLE, policy=POLICY) as running:
        yield running


def test_output_and_errors(gateway: SshOstiary) -> None:
    result = gateway.ssh(f"echo '{VALUES.decode()}'; echo '{VALUES.decode()}' >&2; exit 3")
    assert (result.stdout, result.stderr, result.returncode) == (HIDDEN + b"\n", HIDDEN + b"\n", 3)
    shown = gateway.cli("recordings", "show", "--config", str(gateway.configuration), str(gateway.recordings()[-1]))
    # the command is evidence, and the caller's own words; what came of it is masked there, too
    outputs = [line for line in shown.stdout.splitlines() if "stream=" in line]
    assert len(outputs) == 2
    assert all("ssn **** and card ****." in line for line in outputs)


def test_who_may_see_them_does(gateway: SshOstiary) -> None:
    assert gateway.ssh(f"echo '{VALUES.decode()}'", who="olivia").stdout == VALUES + b"\n"


@pytest.mark.parametrize("at", [0, 5, 9, 14, 15, 26, 30, 44])
def test_values_in_pieces(gateway: SshOstiary, tmp_path: Path, at: int) -> None:
    (tmp_path / "dribble.py").write_text(DRIBBLE)
    result = gateway.ssh(f"{sys.executable} {tmp_path}/dribble.py '{VALUES.decode()}' {at}")
    assert result.stdout == HIDDEN


def test_a_terminal(gateway: SshOstiary) -> None:
    ours, theirs = pty.openpty()
    colours = VALUES.replace(b"12-", rb"\033[1m12\033[0m-").decode()
    command = gateway.client("-tt", gateway.host, f"printf '{colours}\\n'")
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdout is not None
        shown = client.stdout.read()
    os.close(ours)
    os.close(theirs)
    assert b"ssn ****" in shown
    assert b"and card ****." in shown
    assert b"3456" not in shown


def test_what_is_no_value_is_unchanged(gateway: SshOstiary, tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000 + b"\n" + b"plain words, 12 of them\n" * 20000
    (tmp_path / "data").write_bytes(data)
    assert gateway.ssh(f"cat {tmp_path}/data").stdout == data


def test_a_prompt_and_an_answer(gateway: SshOstiary) -> None:
    command = gateway.client(gateway.host, "printf 'name? '; read name; echo hello $name")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.read(6) == b"name? "
        client.stdin.write(b"you\n")
        client.stdin.close()
        assert client.stdout.read() == b"hello you\n"


@pytest.mark.parametrize("old", [True, False])
def test_files_can_not_be_masked_so_they_are_not_read(gateway: SshOstiary, tmp_path: Path, old: bool) -> None:
    (tmp_path / "secret").write_bytes(VALUES)
    for who, copied in (("alice", False), ("olivia", True)):
        to = tmp_path / f"copy-{who}"
        command = gateway.client(who=who, program="scp", login=f"{gateway.sshd.user}@web1")
        command = [*(part if part != "-p" else "-P" for part in command[:-2])]
        source = f"scp://{gateway.sshd.user}%40web1@{gateway.host}:{gateway.ssh_port}/{tmp_path}/secret"
        result = subprocess.run(
            [*command, *(["-O"] if old else []), source, str(to)], capture_output=True, timeout=60, text=True
        )
        assert (result.returncode == 0) is copied, result.stderr
        assert to.exists() is copied
        if not copied:
            assert "can't be masked" in result.stderr or "ermission denied" in result.stderr


def test_new_masks_hold_for_what_runs(gateway: SshOstiary) -> None:
    script = f"echo '{VALUES.decode()}'; read again; echo '{VALUES.decode()}'"
    command = gateway.client(gateway.host, script, who="olivia")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == VALUES + b"\n"
        try:
            gateway.write(policy={**POLICY, "masks": [{"labels": ["pii.*", "pci.*"], "method": "redact"}]})
            gateway.reload()
            wait_until(lambda: "ready" in gateway.cli("status", "--config", str(gateway.configuration)).stdout)
            client.stdin.write(b"\n")
            client.stdin.close()
            assert client.stdout.read() == HIDDEN + b"\n"
        finally:
            gateway.write(policy=POLICY)
            gateway.reload()
