"""Logins that name no target: `ssh -J gateway web1`, the menu, and a word on how to name one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from e2e.test_ssh import Terminal
from support.approving import Approver
from support.pki import Pki
from support.process import free_port, scratch_directory, wait_until
from support.ssh import SshOstiary, SshResult
from support.sshd import Sshd, make_key

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    ca = make_key(scratch_directory("ca") / "host_ca")
    credentials = [{"user": sshd.user, "key": f"file:{sshd.key}"}, {"user": "other", "key": f"file:{sshd.key}"}]
    targets = [
        sshd.target(),
        sshd.target("web2", credentials=credentials),
        sshd.target("secret1"),
        sshd.target("watched1"),
    ]
    policy: dict[str, Any] = {
        "allow": [
            {"name": "engineers", "groups": ["engineers"], "targets": ["web*", "watched*"]},
            {"name": "clerks", "groups": ["clerks"], "targets": ["web1"], "ssh": {"logins": ["*"], "exec": ["echo *"]}},
        ],
        "approve": [
            {
                "name": "watched",
                "targets": ["watched*"],
                "session": {},
                "approvers": {"groups": ["approvers"]},
                "wait": "20s",
            }
        ],
    }
    settings = {
        "listeners": {
            "ssh": {"host_ca": f"file:{ca}"},
            "control": {"address": f"127.0.0.1:{free_port()}"},
        }
    }
    people = {"alice": ["engineers"], "carl": ["clerks"], "nora": ["nobody"]}
    with SshOstiary(pki, sshd, people=people, targets=targets, policy=policy, settings=settings) as running:
        yield running


@pytest.fixture
def jump(gateway: SshOstiary, tmp_path: Path) -> Jump:
    return Jump(gateway, tmp_path)


class Jump:
    """What docs/ssh.md has people paste into ssh_config and known_hosts."""

    def __init__(self, gateway: SshOstiary, directory: Path) -> None:
        self.gateway = gateway
        self.directory = directory
        printed = gateway.cli("ca", "ssh-host", "--config", str(gateway.configuration))
        assert printed.returncode == 0, printed.stderr
        self.line = printed.stdout
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(gateway.known_hosts.read_text() + self.line)

    def config(self, who: str, outer: str = "") -> Path:
        path = self.directory / f"config-{who}"
        path.write_text(
            f"Host gateway\n HostName {self.gateway.host}\n Port {self.gateway.ssh_port}\n User anything\n"
            f" IdentityFile {self.gateway.keys[outer or who]}\n"
            f"Host *\n User {self.gateway.sshd.user}\n UserKnownHostsFile {self.known_hosts}\n"
            f" GlobalKnownHostsFile none\n IdentitiesOnly yes\n IdentityFile {self.gateway.keys[who]}\n BatchMode yes\n"
        )
        return path

    def ssh(self, *arguments: str, who: str = "alice", outer: str = "", stdin: bytes = b"") -> SshResult:
        command = ["ssh", "-F", str(self.config(who, outer)), "-J", "gateway", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60)


def test_the_line_for_other_names_and_for_programs(gateway: SshOstiary) -> None:
    def line(*options: str) -> str:
        printed = gateway.cli("ca", "ssh-host", "--config", str(gateway.configuration), *options)
        assert printed.returncode == 0, printed.stderr
        return printed.stdout

    key = " ".join(line().split()[2:4])
    assert line("--hosts", "web*,db1").startswith(f"@cert-authority web*,db1 {key}")
    told = json.loads(line("--hosts", "web*", "--json"))
    assert told["hosts"] == "web*"
    assert key in told["key"]


def test_jump(jump: Jump, gateway: SshOstiary) -> None:
    assert jump.line.startswith("@cert-authority web1,web2,secret1,watched1 ssh-ed25519 ")
    result = jump.ssh("web1", "cat; echo err >&2; exit 7", stdin=b"x" * 3_000_000)
    assert (result.returncode, result.stderr) == (7, b"err\n"), result.stderr
    assert result.stdout == b"x" * 3_000_000
    [opened] = gateway.events("opened")
    assert (opened["target"], opened["role"], opened["principal"]["name"]) == ("web1", gateway.sshd.user, "alice")
    assert opened["address"] == "127.0.0.1"
    assert gateway.events("operation")[0]["request"] == "exec"


def test_policy_is_the_same(jump: Jump) -> None:
    assert jump.ssh("web1", "echo yes", who="carl").stdout == b"yes\n"
    denied = jump.ssh("web1", "id", who="carl")
    assert denied.returncode == 126
    assert b"permission denied by policy" in denied.stderr


def test_who_logs_in_within_counts(jump: Jump, gateway: SshOstiary) -> None:
    """The outer login opens nothing that the inner one may not have."""
    denied = jump.ssh("web1", "id", who="carl", outer="alice")
    assert denied.returncode == 126
    assert gateway.events("opened")[0]["principal"]["name"] == "carl"
    assert b"you may not connect" in jump.ssh("web2", "id", who="carl", outer="alice").stderr


@pytest.mark.parametrize("target", ["secret1", "nowhere", "127.0.0.1", "web1.", "localhost"])
def test_hosts_that_are_no_targets_or_not_for_them(jump: Jump, target: str, gateway: SshOstiary) -> None:
    before = len(gateway.recordings())
    result = jump.ssh(target, "id", who="carl")
    if target == "web1.":
        # Spelled like that it is the same host, for whom the client has no key.
        assert b"Host key verification failed" in result.stderr
    else:
        assert result.returncode == 255
        assert b"you may not connect to that target, or there is no such target" in result.stderr
    assert len(gateway.recordings()) == before


@pytest.mark.parametrize("port", ["80", "2222"])
def test_other_ports(jump: Jump, port: str) -> None:
    result = jump.ssh("-p", port, "web1", "id")
    assert b"only targets can be reached" in result.stderr


def test_a_host_that_is_not_trusted(jump: Jump, gateway: SshOstiary) -> None:
    jump.known_hosts.write_text(gateway.known_hosts.read_text())
    result = jump.ssh("web1", "id")
    assert result.returncode == 255
    assert b"Host key verification failed" in result.stderr


def test_an_inner_key_that_is_not_registered(jump: Jump, gateway: SshOstiary, tmp_path: Path) -> None:
    gateway.keys["stranger"] = make_key(tmp_path / "stranger")
    result = jump.ssh("web1", "id", who="stranger", outer="alice")
    assert b"Permission denied" in result.stderr


def test_scp_and_forwards_through_a_jump(jump: Jump, tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"content")
    command = ["scp", "-F", str(jump.config("alice")), "-J", "gateway", str(tmp_path / "from"), f"web1:{tmp_path}/to"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "to").read_bytes() == b"content"
    result = jump.ssh("-W", "127.0.0.1:9", "web1")
    assert b"permission denied by policy: no rule allows a forward" in result.stderr


def test_a_jump_that_is_killed(jump: Jump, gateway: SshOstiary) -> None:
    before = len(gateway.recordings())
    command = ["ssh", "-F", str(jump.config("alice")), "-J", "gateway", "web1", "echo ready; sleep 60"]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    assert len(gateway.recordings()) == before + 1
    session = gateway.recordings()[-1].stem
    assert gateway.cli("sessions", "kill", "--config", str(gateway.configuration), session).returncode == 0
    assert b"an operator ended this session" in client.communicate(timeout=20)[1]
    assert client.returncode == 255


# --- without a target ---


@contextmanager
def menu(gateway: SshOstiary, who: str = "alice", *arguments: str) -> Iterator[Terminal]:
    client = Terminal(gateway.client(*arguments, gateway.host, who=who, login="me"))
    try:
        yield client
    finally:
        os.close(client.fd)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(client.pid, signal.SIGKILL)
            os.waitpid(client.pid, 0)


def test_a_menu(gateway: SshOstiary) -> None:
    user = gateway.sshd.user
    with menu(gateway) as client:
        listed = client.expect("Where to?")
        assert re.findall(r"\d  (\S+@\S+)", listed) == [
            f"{user}@watched1",
            f"{user}@web1",
            "other@web2",
            f"{user}@web2",
        ]
        assert "secret1" not in listed
        client.type("nowhere\r")
        client.expect("is none of these")
        client.expect("Where to?")
        client.type("web2\r")
        client.expect("several logins lead there")
        client.expect("Where to?")
        client.type("webx\x7f1\r")
        client.type("PS1='ready''> '\n")
        client.expect("ready> ")
        client.type("stty size; echo $TERM\n")
        assert "30 100" in client.expect("ready> ")
        client.type("exit 4\n")
        assert client.wait() == 4
    [opened] = gateway.events("opened")
    assert (opened["target"], opened["role"]) == ("web1", user)
    assert gateway.events("operation")[0]["request"] == "shell"
    assert gateway.events("channel")[0]["rows"] == 30


def test_a_menu_by_number_and_a_denial(gateway: SshOstiary) -> None:
    """A clerk may have no shell: it is told as if it had been asked for by name."""
    with menu(gateway, "carl") as client:
        client.expect("Where to?")
        client.type("1\r")
        client.expect("permission denied by policy")
        assert client.wait() == 126


@pytest.mark.parametrize("keys", ["\r", "\x03", "\x04"])
def test_leaving_the_menu(gateway: SshOstiary, keys: str) -> None:
    before = len(gateway.recordings())
    with menu(gateway) as client:
        client.expect("Where to?")
        client.type(keys)
        assert client.wait() == 0
    assert len(gateway.recordings()) == before


def test_a_menu_for_nobody(gateway: SshOstiary) -> None:
    with menu(gateway, "nora") as client:
        client.expect("there is no target that you may connect to")
        assert client.wait() == 126


def test_an_approval_from_the_menu(gateway: SshOstiary, pki: Pki) -> None:
    with Approver(gateway, pki.client("doris", groups=["approvers"])) as approver, menu(gateway) as client:
        client.expect("Where to?")
        client.type("watched1\r")
        client.expect("waiting for approval")
        approver.approve(approver.asked())
        client.type("echo in''side\n")
        client.expect("inside")


@pytest.mark.parametrize("command", [["id"], []])
def test_no_target_and_no_terminal(gateway: SshOstiary, command: list[str]) -> None:
    result = gateway.ssh(*command, login="me")
    assert result.returncode == 126
    assert b"ostiary: no target is named: ssh LOGIN@TARGET@GATEWAY, or ssh -J GATEWAY LOGIN@TARGET" in result.stderr


def test_forwards_without_a_target(gateway: SshOstiary) -> None:
    listen = ["-N", "-oExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"]
    assert b"remote port forwarding failed" in gateway.ssh(login="me", options=listen).stderr
    assert b"only targets can be reached" in gateway.ssh(login="me", options=["-W", "127.0.0.1:1"]).stderr


def test_those_without_a_target_are_counted(gateway: SshOstiary) -> None:
    """They leave no trace when they are gone: many, one after the other, are no hindrance."""
    for _ in range(3):
        gateway.ssh(login="me")
    wait_until(lambda: gateway.ssh("echo", "on").stdout == b"on\n", what="a session")


def test_no_host_ca_no_jump(pki: Pki, sshd: Sshd, tmp_path: Path) -> None:
    with SshOstiary(pki, sshd) as gateway:
        result = gateway.ssh(login="me", options=["-W", "web1:22"])
        assert b"ProxyJump is not set up here" in result.stderr
        printed = gateway.cli("ca", "ssh-host", "--config", str(gateway.configuration))
        assert printed.returncode == 1
        assert "listeners.ssh.host_ca" in printed.stderr
