"""Other stock clients than OpenSSH's, and what people run over ssh."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pki import Pki
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e

SECONDS = 90
Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd) as running:
        yield running


def run(*command: str | Path, **environment: str) -> Ended:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )


def worked(ended: Ended) -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for number in range(20):
        path = tmp_path / "here" / f"d{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(100_000))
    return tmp_path / "here"


def test_rsync(gateway: SshOstiary, here: Path, tmp_path: Path) -> None:
    shell = shlex.join(gateway.client())
    worked(run("rsync", "-a", "-e", shell, f"{here}/", f"{gateway.host}:{tmp_path}/there/"))
    worked(run("rsync", "-a", "-e", shell, f"{gateway.host}:{tmp_path}/there/", f"{tmp_path}/back/"))
    assert tree(tmp_path / "back") == tree(here)


def test_git(gateway: SshOstiary, here: Path, tmp_path: Path) -> None:
    who = {f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    shell = {"GIT_SSH_COMMAND": shlex.join(gateway.client()), **who}
    worked(run("git", "init", "-q", "--bare", tmp_path / "there.git"))
    worked(run("git", "init", "-q", here))
    worked(run("git", "-C", here, "add", "."))
    worked(run("git", "-C", here, "commit", "-q", "-m", "all", **shell))
    url = f"ssh://{gateway.host}{tmp_path}/there.git"
    worked(run("git", "-C", here, "push", "-q", url, "HEAD:refs/heads/main", **shell))
    worked(run("git", "clone", "-q", "-b", "main", url, tmp_path / "back", **shell))
    assert (tmp_path / "back" / "d1" / "f1").read_bytes() == (here / "d1" / "f1").read_bytes()


def test_dropbear(gateway: SshOstiary, tmp_path: Path) -> None:
    """Its first packets are a guess at the key exchange, which may be wrong."""
    key = tmp_path / "key"
    worked(run("dropbearconvert", "openssh", "dropbear", gateway.keys["alice"], key))
    login = f"{gateway.sshd.user}@web1"
    command = ["dbclient", "-y", "-y", "-i", str(key), "-p", str(gateway.ssh_port), "-l", login, gateway.host]
    ended = run(*command, "echo out; echo err >&2; exit 4")
    assert (ended.stdout, ended.returncode) == ("out\n", 4)
    assert "err\n" in ended.stderr


class Putty:
    def __init__(self, gateway: SshOstiary, directory: Path) -> None:
        self.gateway = gateway
        self.key = directory / "key.ppk"
        worked(run("puttygen", gateway.keys["alice"], "-o", self.key))
        self.fingerprint = worked(run("ssh-keygen", "-lf", f"{gateway.host_key}.pub")).split()[1]

    def __call__(self, program: str, *arguments: str) -> Ended:
        gateway = self.gateway
        options = ["-batch", "-hostkey", self.fingerprint, "-i", str(self.key), "-P", str(gateway.ssh_port)]
        return run(program, *options, "-l", f"{gateway.sshd.user}@web1", *arguments)


@pytest.fixture
def putty(gateway: SshOstiary, tmp_path: Path) -> Putty:
    return Putty(gateway, tmp_path)


def test_plink(putty: Putty) -> None:
    ended = putty("plink", putty.gateway.host, "echo out; echo err >&2; exit 4")
    assert (ended.stdout, ended.stderr, ended.returncode) == ("out\n", "err\n", 4)


def test_psftp(putty: Putty, here: Path, tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    batch.write_text(f"cd {tmp_path}\nmkdir there\nput -r {here} there/tree\nget -r there/tree {tmp_path}/back\nquit\n")
    worked(putty("psftp", "-b", str(batch), putty.gateway.host))
    assert tree(tmp_path / "back") == tree(here)


@pytest.mark.parametrize("protocol", ["-sftp", "-scp"])
def test_pscp(putty: Putty, here: Path, tmp_path: Path, protocol: str) -> None:
    host = putty.gateway.host
    for name in ("there", "back"):
        (tmp_path / name).mkdir()
    worked(putty("pscp", protocol, "-r", str(here), f"{host}:{tmp_path}/there"))
    worked(putty("pscp", protocol, "-r", f"{host}:{tmp_path}/there/here", f"{tmp_path}/back"))
    assert tree(tmp_path / "back" / "here") == tree(here)


def test_twenty_sessions_at_once(gateway: SshOstiary) -> None:
    command = gateway.client(gateway.host, "cat; exit 2")
    clients = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(20)]
    data = os.urandom(500_000)
    for client in clients:
        assert client.communicate(data, timeout=SECONDS)[0] == data
        assert client.returncode == 2
