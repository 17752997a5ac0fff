"""OpenSSH's scp and sftp through the gateway to OpenSSH's server."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pki import Pki
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e

SIZE = 20_000_000


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd) as running:
        yield running


@pytest.fixture(params=["sftp", "old"])
def scp(request: pytest.FixtureRequest) -> list[str]:
    """scp's options for the protocol that it uses by default, and for the old one."""
    return [] if request.param == "sftp" else ["-O"]


def test_files_there_and_back(gateway: SshOstiary, scp: list[str], tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "here").write_bytes(data)
    there_path = tmp_path / "there"
    put = gateway.transfer("scp", *scp, str(tmp_path / "here"), gateway.there(there_path))
    assert put.returncode == 0, put.stderr
    assert there_path.read_bytes() == data
    [file] = [event for event in gateway.events("file") if "written" in event]
    assert file["status"] == "done"
    assert file["written"] == {"start": 0, "size": SIZE, "whole": bool(scp), "sha256": digest}
    got = gateway.transfer("scp", *scp, gateway.there(there_path), str(tmp_path / "back"))
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "back").read_bytes() == data
    [file] = [event for event in gateway.events("file") if "read" in event]
    assert file["read"] == {"start": 0, "size": SIZE, "whole": True, "sha256": digest}


def test_trees(gateway: SshOstiary, scp: list[str], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(30):
        path = tree / f"d{number % 3}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number) * number)
    (tmp_path / "there").mkdir()
    put = gateway.transfer("scp", *scp, "-r", "-p", str(tree), gateway.there(tmp_path / "there"))
    assert put.returncode == 0, put.stderr
    got = gateway.transfer("scp", *scp, "-r", gateway.there(tmp_path / "there" / "tree"), str(tmp_path / "back"))
    assert got.returncode == 0, got.stderr
    for path in tree.rglob("file*"):
        for copy in (tmp_path / "there" / "tree", tmp_path / "back"):
            assert (copy / path.relative_to(tree)).read_text() == path.read_text()


def test_a_session_of_sftp(gateway: SshOstiary, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    batch = f"""
        cd {tmp_path}
        mkdir made
        put {tmp_path}/file made/file
        rename made/file made/other
        ls -l made
        chmod 600 made/other
        get made/other {tmp_path}/back
        rm made/other
        rmdir made
    """
    result = gateway.transfer("sftp", "-b", "-", f"{gateway.sshd.user}@web1@{gateway.host}", stdin=batch)
    assert result.returncode == 0, result.stderr
    assert b"other" in result.stdout
    assert (tmp_path / "back").read_text() == "content"
    operations = [str(event["text"]) for event in gateway.events("operation")]
    assert operations[0] == "sftp"
    for action in ("mkdir", "open", "rename", "setstat", "remove", "rmdir"):
        assert any(text.startswith(action) or f"{action} " in text for text in operations), (action, operations)


def test_files_that_are_not_there(gateway: SshOstiary, scp: list[str], tmp_path: Path) -> None:
    result = gateway.transfer("scp", *scp, gateway.there(tmp_path / "none"), str(tmp_path / "back"))
    assert result.returncode == 1
    assert b"No such file" in result.stderr


def test_ten_transfers_at_once(gateway: SshOstiary, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(2_000_000))
    clients = [
        subprocess.Popen(gateway.mover("scp", gateway.there(tmp_path / "data"), str(tmp_path / f"back{number}")))
        for number in range(10)
    ]
    assert [client.wait(90) for client in clients] == [0] * 10
    for number in range(10):
        assert (tmp_path / f"back{number}").read_bytes() == (tmp_path / "data").read_bytes()
