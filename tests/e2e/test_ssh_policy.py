"""What policy says about SSH, as OpenSSH's clients see it: denials, approvals, files, what an allow leaves out."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.approving import Approver
from support.pki import Pki
from support.process import free_port, wait_until
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What files rules are about."""
    home = tmp_path_factory.mktemp("home")
    for name in ("open", "secret"):
        (home / name).mkdir()
        (home / name / "file").write_text(name)
    (home / "open" / "link").symlink_to(home / "secret" / "file")
    return home


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd, home: Path) -> Iterator[SshOstiary]:
    policy = {
        "allow": [
            {
                "name": "commands",
                "groups": ["staff"],
                "targets": ["web*"],
                "ssh": {"logins": ["*"], "exec": ["echo **", "sleep *", "cat"]},
            },
            {
                "name": "files",
                "groups": ["staff"],
                "targets": ["web*"],
                "ssh": {"logins": ["*"], "files": {"read": [f"{home}/open/**"], "write": [f"{home}/open/**"]}},
            },
            {"name": "a shell", "groups": ["admins"], "targets": ["web*"], "ssh": {"logins": ["*"]}},
            {"name": "only as backup", "groups": ["backup"], "targets": ["web*"], "ssh": {"logins": ["backup"]}},
        ],
        "deny": [
            {
                "name": "no secrets",
                "targets": ["web*"],
                "ssh": {"matches": ["secret"]},
                "message": "ask the keeper",
            }
        ],
        "approve": [
            {
                "name": "sleeping is watched",
                "targets": ["web*"],
                "ssh": {"exec": ["sleep **"]},
                "approvers": {"groups": ["approvers"]},
                "wait": "20s",
            },
            {
                "name": "writing is watched",
                "targets": ["web*"],
                "ssh": {"files": {"write": [f"{home}/open/watched"]}},
                "approvers": {"groups": ["approvers"]},
                "wait": "20s",
            },
        ],
    }
    control = {"listeners": {"control": {"address": f"127.0.0.1:{free_port()}"}}}
    people = {"stan": ["staff"], "adam": ["admins"], "bill": ["backup"]}
    with SshOstiary(pki, sshd, people=people, policy=policy, settings=control) as running:
        yield running


@pytest.fixture
def approver(gateway: SshOstiary, pki: Pki, request: pytest.FixtureRequest) -> Iterator[Approver]:
    name = re.sub("[^a-z]", "-", request.node.name)[:40]
    with Approver(gateway, pki.client(name, groups=["approvers"])) as asked:
        yield asked


def test_commands_that_are_allowed(gateway: SshOstiary) -> None:
    assert gateway.ssh("echo", "a 'b  c'", who="stan").stdout == b"a b  c\n"
    assert gateway.ssh("cat", who="stan", stdin=b"data").stdout == b"data"


@pytest.mark.parametrize("command", ["id", "echo a; id", "echo $(id)", "/bin/echo a", "cat /etc/passwd", "'id'"])
def test_commands_that_are_not(gateway: SshOstiary, command: str) -> None:
    result = gateway.ssh(command, who="stan")
    assert result.returncode == 126
    assert result.stdout == b""
    assert b"ostiary: permission denied by policy" in result.stderr
    assert re.search(rb"Request [0-9a-f-]+/1\.", result.stderr)


def test_a_denial_has_its_rule_and_its_message(gateway: SshOstiary) -> None:
    result = gateway.ssh("echo secret", who="stan")
    assert result.returncode == 126
    assert b'ostiary: permission denied by policy: "no secrets"\n' in result.stderr
    assert b"ostiary: ask the keeper\n" in result.stderr
    [denied] = gateway.events("operation")
    assert (denied["outcome"], denied["rules"], denied["text"]) == ("deny", ["no secrets"], "echo secret")


def test_a_denied_command_leaves_the_connection_as_it_is(gateway: SshOstiary, tmp_path: Path) -> None:
    control = [f"-oControlPath={tmp_path}/c", "-oControlMaster=auto", "-oControlPersist=20"]
    try:
        assert gateway.ssh("id", who="stan", options=control).returncode == 126
        assert gateway.ssh("echo", "yes", who="stan", options=control).stdout == b"yes\n"
    finally:
        gateway.ssh(who="stan", options=[*control, "-O", "exit"])


def test_no_shell(gateway: SshOstiary) -> None:
    for options in ([], ["-tt"]):
        result = gateway.ssh(who="stan", options=options)
        assert result.returncode == 126
        assert b"permission denied by policy" in result.stderr
    assert gateway.ssh(who="adam", stdin=b"echo hello; exit 3\n").returncode == 3


def test_what_an_allow_does_not_name(gateway: SshOstiary) -> None:
    for options, words in (
        (["-W", "127.0.0.1:22"], b"administratively prohibited"),
        (["-oExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22"], b"remote port forwarding failed"),
    ):
        assert words in gateway.ssh(who="adam", options=options).stderr
    shown = gateway.ssh("env", who="adam", options=["-oSetEnv=LC_A=ok LC_PATH=/etc/passwd LC_X-Y=1"]).stdout
    assert b"LC_A=ok" in shown
    assert b"LC_PATH" not in shown
    assert b"LC_X" not in shown


def test_a_login_that_policy_does_not_name(gateway: SshOstiary) -> None:
    result = gateway.ssh("true", who="bill")
    assert result.returncode == 255
    assert b"you may not connect to that target" in result.stderr


@pytest.mark.parametrize("options", [[], ["-O"]])
def test_files(gateway: SshOstiary, home: Path, tmp_path: Path, options: list[str]) -> None:
    def copy(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return gateway.transfer("scp", *options, *arguments, who="stan")

    assert copy(gateway.there(home / "open" / "file"), str(tmp_path / "got")).returncode == 0
    assert (tmp_path / "got").read_text() == "open"
    for path in (home / "secret" / "file", home / "open" / "link", f"{home}/open/../secret/file", "/etc/passwd"):
        result = copy(gateway.there(path), str(tmp_path / "stolen"))
        assert result.returncode != 0
        # scp looks before it asks, and takes what it may not look at for what is not there
        assert b"ermission denied" in result.stderr or b"No such file" in result.stderr, result.stderr
        assert not (tmp_path / "stolen").exists() or not (tmp_path / "stolen").read_bytes()
    (tmp_path / "mine").write_text("mine")
    assert copy(str(tmp_path / "mine"), gateway.there(home / "open" / "put")).returncode == 0
    assert (home / "open" / "put").read_text() == "mine"
    for path in (home / "secret" / "file", home / "open" / "link"):
        assert copy(str(tmp_path / "mine"), gateway.there(path)).returncode != 0
    assert (home / "secret" / "file").read_text() == "secret"


# --- approvals ---


def decide(approver: Approver, act: str, said: list[dict[str, Any]]) -> threading.Thread:
    """As soon as there is a request: says ``act`` to it, and keeps what it was about in ``said``."""

    def look() -> None:
        wait_until(lambda: bool(approver.requests()), what="a request", seconds=15)
        [request] = approver.requests()
        said.append(request)
        approver.must("POST", f"approvals/{request['id']}/{act}", {"reason": "because"})

    thread = threading.Thread(target=look)
    thread.start()
    return thread


@pytest.mark.parametrize(("act", "status"), [("approve", 0), ("deny", 126)])
def test_a_command_waits_for_approvers(gateway: SshOstiary, approver: Approver, act: str, status: int) -> None:
    said: list[dict[str, Any]] = []
    thread = decide(approver, act, said)
    result = gateway.ssh("sleep 0", who="stan")
    thread.join()
    assert b"ostiary: waiting for approval" in result.stderr
    assert result.returncode == status
    assert said[0]["statement"] == "sleep 0"
    if status:
        assert b"permission denied by" in result.stderr
        assert b"because" in result.stderr


def test_a_file_waits_for_approvers(gateway: SshOstiary, approver: Approver, home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    said: list[dict[str, Any]] = []
    thread = decide(approver, "approve", said)
    result = gateway.transfer("scp", str(tmp_path / "mine"), gateway.there(home / "open" / "watched"), who="stan")
    thread.join()
    assert result.returncode == 0, result.stderr
    assert b"waiting for approval" in result.stderr
    assert (home / "open" / "watched").read_text() == "mine"


def test_whoever_leaves_withdraws(gateway: SshOstiary, approver: Approver) -> None:
    with subprocess.Popen(
        gateway.client(gateway.host, "sleep 0", who="stan"), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as client:
        assert client.stderr is not None
        assert b"waiting for approval" in client.stderr.readline()
        assert len(approver.requests()) == 1
        client.terminate()
    wait_until(lambda: not approver.requests(), what="the withdrawal")
