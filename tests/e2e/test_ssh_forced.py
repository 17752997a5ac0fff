"""A forced command, as OpenSSH's clients and a real sshd have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pki import Pki
from support.ssh import SshOstiary
from support.sshd import SETTINGS, Sshd

pytestmark = pytest.mark.e2e

COMMAND = 'echo "forced: $SSH_ORIGINAL_COMMAND" `tty`'


def forced(name: str, group: str, command: str) -> dict[str, Any]:
    ssh = {"logins": ["*"], "force_command": command}
    return {"name": name, "groups": [group], "targets": ["web*"], "ssh": ssh}


ALLOW = [
    forced("held", "held", COMMAND),
    forced("held otherwise", "twice", "echo another"),
    {"name": "all", "groups": ["held", "free"], "targets": ["web*"]},
]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd(settings={"AcceptEnv": f"{SETTINGS['AcceptEnv']} SSH_ORIGINAL_COMMAND"}) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    people = {"hana": ["held"], "tom": ["held", "twice"], "fred": ["free"]}
    with SshOstiary(pki, sshd, people=people, policy={"allow": ALLOW}) as running:
        yield running


@pytest.mark.parametrize(
    ("command", "original"), [("id; echo 'a  b'", "exec id; echo 'a  b'"), ("", "shell"), ("scp -f /etc/passwd", None)]
)
def test_whatever_is_asked_for_it_runs(gateway: SshOstiary, command: str, original: str | None) -> None:
    result = gateway.ssh(*([command] if command else []), who="hana", stdin=b"echo from the shell\n")
    assert result.stdout == f"forced: {command} not a tty\n".encode()
    assert result.returncode == 0
    [run] = gateway.events("operation")
    assert (run["request"], run["text"], run["outcome"]) == ("exec", COMMAND, "allow")
    assert run["rules"] == ["all", "held"]
    assert run["original"] == (original or f"exec {command}")


def test_with_a_terminal(gateway: SshOstiary) -> None:
    assert b"forced:  /dev/pts/" in gateway.ssh(who="hana", options=["-tt"]).stdout


def test_no_files(gateway: SshOstiary, tmp_path: Path) -> None:
    for options in ([], ["-O"]):
        assert gateway.transfer("scp", *options, gateway.there("/etc/passwd"), str(tmp_path), who="hana").returncode
    assert gateway.transfer("sftp", f"{gateway.sshd.user}@web1@{gateway.host}", stdin="ls /\n", who="hana").returncode
    assert not list(tmp_path.iterdir())
    [run] = gateway.events("operation")
    assert (run["text"], run["original"]) == (COMMAND, "subsystem sftp")


def test_nobody_knows_which(gateway: SshOstiary) -> None:
    result = gateway.ssh("id", who="tom")
    assert (result.returncode, result.stdout) == (126, b"")
    assert b'policy forces several commands: "held", "held otherwise"' in result.stderr
    [exit_] = gateway.events("exit")
    assert exit_["status"] == "denied"


def test_others_run_what_they_like(gateway: SshOstiary) -> None:
    assert gateway.ssh("echo", "free", who="fred").stdout == b"free\n"
    [run] = gateway.events("operation")
    assert "original" not in run


def test_what_explain_says(gateway: SshOstiary) -> None:
    def explained(*arguments: str) -> str:
        who = ("--principal", "hana", "--groups", "held", "--target", "web1", "--login", gateway.sshd.user)
        return gateway.cli("explain", "--config", str(gateway.configuration), *who, *arguments).stdout

    told = explained("--ssh", "exec id")
    assert f": {COMMAND}\n" in told
    assert "forced by policy; asked for: exec id\n" in told
    assert "allow by all, held\n" in told
    assert "\ndeny: no allow entry matches\n" in explained("--ssh", "agent")


def test_a_reload_forces_another_one(gateway: SshOstiary, tmp_path: Path) -> None:
    control = [f"-oControlPath={tmp_path}/c", "-oControlMaster=auto", "-oControlPersist=20"]
    try:
        assert gateway.ssh("echo", "free", who="fred", options=control).stdout == b"free\n"
        gateway.takes_up({"allow": [*ALLOW, forced("now", "free", "echo now forced")]})
        assert gateway.ssh("echo", "free", who="fred", options=control).stdout == b"now forced\n"
    finally:
        gateway.ssh(who="fred", options=[*control, "-O", "exit"])
