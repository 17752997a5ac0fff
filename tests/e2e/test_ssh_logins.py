"""Who comes in over SSH, how, and until when; and what a client without rights, or without manners, can't do."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml
from asyncssh.connection import SSHClientConnection
from asyncssh.packet import Boolean, String, UInt32
from support.pki import Pki
from support.process import scratch_directory, wait_until
from support.ssh import ENGINEERS, SshOstiary
from support.sshd import Sshd, make_key, public_line

from gateway.identity import hash_password
from gateway.secrets import Secret

pytestmark = pytest.mark.e2e

PASSWORD = "correct horse"

PROMISED = 3.0
"""Seconds within which a session is over that has to end; on a machine with room it is one."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


class Ca:
    def __init__(self, directory: Path) -> None:
        self.key = make_key(directory / "users_ca")
        self.revoked = directory / "revoked"
        self.revoked.write_text("")

    def sign(self, key: Path, *arguments: str, principals: str = "carol", serial: int = 1) -> Path:
        command = ["ssh-keygen", "-q", "-s", str(self.key), "-I", "carol's", "-n", principals, "-z", str(serial)]
        subprocess.run([*command, "-V", "-1h:+1h", *arguments, f"{key}.pub"], check=True, capture_output=True)
        return key.with_name(f"{key.name}-cert.pub")


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca(scratch_directory("ca"))


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd, ca: Ca) -> Iterator[SshOstiary]:
    passwords = scratch_directory("pw") / "passwords.yaml"
    passwords.touch(mode=0o600)
    hashed = hash_password(Secret(PASSWORD.encode()))
    passwords.write_text(yaml.safe_dump([{"name": "paul", "groups": ["engineers"], "password": hashed}]))
    settings = {
        "identity": {
            "passwords": f"file:{passwords}",
            "ssh_certificates": {
                "ca": [f"file:{ca.key}.pub"],
                "groups_from": "extension",
                "revoked": [f"file:{ca.revoked}"],
            },
        }
    }
    policy: dict[str, Any] = {
        "allow": [
            *ENGINEERS["allow"],
            {"name": "hourly", "groups": ["hourly"], "targets": ["web*"], "session": {"max": "4s"}},
            {
                "name": "held",
                "groups": ["held"],
                "targets": ["web*"],
                "ssh": {"logins": ["*"], "force_command": "echo forced"},
            },
            {"name": "sleepy", "groups": ["sleepy"], "targets": ["web*"], "session": {"idle": "2s"}},
        ],
        "approve": [
            {
                "name": "visitors are let in",
                "groups": ["visitors"],
                "targets": ["web*"],
                "session": {},
                "approvers": {"groups": ["doorkeepers"]},
            }
        ],
    }
    policy["allow"].append({"name": "visitors", "groups": ["visitors"], "targets": ["web*"]})
    people = {
        "alice": ["engineers"],
        "harry": ["hourly"],
        "sid": ["sleepy"],
        "vera": ["visitors"],
        "nobody": [],
        "gone": ["engineers"],
    }
    with SshOstiary(pki, sshd, people=people, policy=policy, settings=settings) as running:
        yield running


def last(gateway: SshOstiary, event: str) -> dict[str, Any]:
    """Empty while there is none."""
    events = reversed(gateway.audit_events())
    return next((each for each in events if each.get("unmapped", {}).get("event") == event), {})


# --- certificates ---


def certified(gateway: SshOstiary, ca: Ca, tmp_path: Path, *arguments: str, **over: Any) -> tuple[Path, list[str]]:
    key = make_key(tmp_path / "carol")
    certificate = ca.sign(key, "-O", "extension:groups@ostiary=engineers", *arguments, **over)
    return key, [f"-oCertificateFile={certificate}"]


def test_a_certificate_that_permits_no_forwards(gateway: SshOstiary, ca: Ca, tmp_path: Path) -> None:
    key, options = certified(gateway, ca, tmp_path, "-O", "no-port-forwarding")
    result = gateway.ssh(who=key, options=[*options, "-W", "web1:22"])
    assert result.returncode == 255
    assert b"your certificate does not permit this" in result.stderr
    assert gateway.ssh("echo in", who=key, options=options).stdout == b"in\n"


def test_a_certificate(gateway: SshOstiary, ca: Ca, tmp_path: Path) -> None:
    key, options = certified(gateway, ca, tmp_path)
    assert gateway.ssh("echo in", who=key, options=options).stdout == b"in\n"
    opened = last(gateway, "session_opened")
    assert opened["unmapped"]["factors"] == ["ssh_certificate"]
    assert opened["user"]["name"] == "carol"
    assert opened["unmapped"]["expires_at"] is not None


def test_a_certificate_of_two_principals(gateway: SshOstiary, ca: Ca, tmp_path: Path) -> None:
    key, options = certified(gateway, ca, tmp_path, principals="carol,alice")
    assert gateway.ssh("id", who=key, options=options).returncode == 255
    wait_until(lambda: "2 principals" in str(last(gateway, "authentication_failed")), what="the reason")


def test_a_forced_command(gateway: SshOstiary, ca: Ca, tmp_path: Path) -> None:
    key, options = certified(gateway, ca, tmp_path, "-O", "force-command=echo forced")
    assert gateway.ssh("echo mine", who=key, options=options).stdout == b"forced\n"
    assert gateway.ssh(who=key, options=options).stdout == b"forced\n"
    assert gateway.ssh("sftp", who=key, options=[*options, "-s"]).stdout == b"forced\n"


@pytest.mark.parametrize(("command", "agrees"), [("echo forced", True), ("echo forced; id", False), (None, True)])
def test_a_command_that_policy_forces_too(
    gateway: SshOstiary, ca: Ca, tmp_path: Path, command: str | None, agrees: bool
) -> None:
    key = make_key(tmp_path / "carol")
    forced = () if command is None else ("-O", f"force-command={command}")
    certificate = ca.sign(key, "-O", "extension:groups@ostiary=held", *forced)
    result = gateway.ssh("echo mine", who=key, options=[f"-oCertificateFile={certificate}"])
    assert result.stdout == (b"forced\n" if agrees else b"")
    assert result.returncode == (0 if agrees else 126)
    assert (b'your certificate forces another command than policy does: "held"' in result.stderr) is not agrees


def test_no_terminal_without_permission(gateway: SshOstiary, ca: Ca, tmp_path: Path) -> None:
    key, options = certified(gateway, ca, tmp_path, "-O", "no-pty")
    result = gateway.ssh("tty", who=key, options=[*options, "-tt"])
    assert b"PTY allocation request failed" in result.stderr


def test_revoking_a_certificate_ends_its_session(gateway: SshOstiary, ca: Ca, tmp_path: Path) -> None:
    key, options = certified(gateway, ca, tmp_path, serial=77)
    with busy(gateway, who=key, options=options) as client:
        (tmp_path / "spec").write_text("serial: 77\n")
        make = ["ssh-keygen", "-q", "-k", "-f", str(ca.revoked), "-s", f"{ca.key}.pub", str(tmp_path / "spec")]
        subprocess.run(make, check=True)
        gateway.reload()
        ended(client, b"your login has been taken back")
    assert gateway.ssh("true", who=key, options=options).returncode == 255
    other, options = certified(gateway, ca, scratch_directory("other"), serial=78)
    assert gateway.ssh("true", who=other, options=options).returncode == 0


# --- passwords ---


def connect(gateway: SshOstiary, **options: Any) -> Any:
    given: dict[str, Any] = {
        "username": f"{gateway.sshd.user}@web1",
        "known_hosts": str(gateway.known_hosts),
        "client_keys": None,
        "config": None,
        "agent_path": None,
    }
    return asyncssh.connect(gateway.host, gateway.ssh_port, **(given | options))


@pytest.mark.parametrize("way", ["password", "keyboard-interactive"])
def test_a_password(gateway: SshOstiary, way: str) -> None:
    async def ask(password: str) -> str:
        login = f"paul@{gateway.sshd.user}@web1"
        async with connect(gateway, username=login, password=password, preferred_auth=[way]) as connection:
            return str((await connection.run("echo in")).stdout)

    assert asyncio.run(ask(PASSWORD)) == "in\n"
    assert last(gateway, "session_opened")["unmapped"]["factors"] == ["password"]
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(ask("wrong"))
    failed = last(gateway, "authentication_failed")
    assert failed["user"]["name"] == "paul"
    assert failed["status_detail"] == "wrong password"
    assert 'wrong"' not in json.dumps(gateway.audit_events())


def test_guessing_is_slowed_down(gateway: SshOstiary) -> None:
    async def guess() -> None:
        # guessed: a name of its own, which others don't wait for
        async with connect(gateway, username="ghost@root@web1", password="x"):
            raise AssertionError("let in")

    for _ in range(8):
        with pytest.raises(asyncssh.PermissionDenied):
            asyncio.run(guess())
    assert "locked out" in last(gateway, "authentication_failed")["status_detail"]


# --- the target ---


def test_a_target_that_shows_another_key(gateway: SshOstiary) -> None:
    target = gateway.sshd.target
    other = make_key(scratch_directory("hk") / "other")
    gateway.write(targets=[target(), target("web2", host_keys=[public_line(other)]), target("web3", host_keys=[])])
    gateway.reload()
    wait_until(lambda: gateway.ssh("true", login="root@web3").stderr.count(b"host_keys") > 0, what="the reload")
    result = gateway.ssh("true", login=f"{gateway.sshd.user}@web2")
    assert result.returncode == 255
    assert b"the host key that web2 shows is not the one that is configured" in result.stderr
    assert public_line(gateway.sshd.host_key).split()[1] in gateway.log_text()
    assert b"targets trust" in gateway.ssh("true", login=f"{gateway.sshd.user}@web3").stderr


def test_what_a_target_shows(gateway: SshOstiary) -> None:
    target = gateway.sshd.target
    other = make_key(scratch_directory("hk") / "other")
    dead = target("web5", address="127.0.0.1:1")
    gateway.write(
        targets=[target(), target("web2", host_keys=[public_line(other)]), target("web3", host_keys=[]), dead]
    )
    line = " ".join(public_line(gateway.sshd.host_key).split()[:2])

    def trust(name: str, *options: str) -> subprocess.CompletedProcess[str]:
        return gateway.cli("targets", "trust", name, "--config", str(gateway.configuration), *options)

    known = trust("web1")
    assert known.returncode == 0, known.stderr
    assert "shows the key that is configured" in known.stdout
    unknown = trust("web3")
    assert unknown.returncode == 0
    assert f'host_keys: ["{line}"]' in unknown.stdout
    wrong = trust("web2", "--json")
    assert wrong.returncode == 1
    assert json.loads(wrong.stdout)["key"] == line
    assert not json.loads(wrong.stdout)["known"]
    assert "there is no SSH target" in trust("web9").stderr
    for away in (trust("web5"), trust("web5", "--json")):
        assert away.returncode != 0
        assert "host_keys" not in away.stdout
        assert "refuse" in away.stderr, (away.stdout, away.stderr)
        assert "Traceback" not in away.stderr


def test_a_target_with_a_certificate_of_its_host_ca(gateway: SshOstiary, pki: Pki) -> None:
    directory = scratch_directory("hca")
    host_ca = make_key(directory / "hosts_ca")
    with ExitStack() as stack:
        server = stack.enter_context(Sshd(settings={"HostCertificate": str(directory / "host-cert.pub")}))
        for name, code in ((server.host, 0), ("elsewhere", 255)):
            sign = ["ssh-keygen", "-q", "-h", "-s", str(host_ca), "-I", "web4", "-n", name, f"{server.host_key}.pub"]
            subprocess.run(sign, check=True)
            server.host_key.with_name(f"{server.host_key.name}-cert.pub").replace(directory / "host-cert.pub")
            server.stop()
            server.start()
            trusted = [f"@cert-authority * {public_line(host_ca)}"]
            gateway.write(targets=[gateway.sshd.target(), server.target("web4", host_keys=trusted)])
            gateway.reload()
            wait_until(
                lambda code=code: gateway.ssh("true", login=f"{server.user}@web4").returncode == code,  # type: ignore[misc]  # mypy has no types for a lambda's defaults
                what=f"a host certificate for {name}",
            )


def test_a_target_that_is_away(gateway: SshOstiary) -> None:
    gateway.write(targets=[gateway.sshd.target(), gateway.sshd.target("web5", address="127.0.0.1:1")])
    gateway.reload()
    login = f"{gateway.sshd.user}@web5"
    wait_until(lambda: b"refuses the connection" in gateway.ssh("true", login=login).stderr, what="the reload")


# --- until when ---


@contextmanager
def busy(gateway: SshOstiary, **over: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A client whose command writes all the time."""
    options = over.pop("options", [])
    command = gateway.client(*options, gateway.host, "while :; do echo x; sleep 0.2; done", **over)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == b"x\n"
            yield client
        finally:
            client.kill()


def ended(client: subprocess.Popen[bytes], words: bytes, seconds: float = PROMISED) -> None:
    began = time.monotonic()
    _, errors = client.communicate(timeout=20)
    assert words in errors
    assert client.returncode == 255
    assert time.monotonic() - began < seconds


def live(gateway: SshOstiary) -> list[dict[str, Any]]:
    listed = gateway.cli("sessions", "list", "--json", "--socket", str(gateway.socket))
    found: list[dict[str, Any]] = json.loads(listed.stdout)
    return found


def test_killing_a_session(gateway: SshOstiary) -> None:
    with busy(gateway) as client:
        [session] = [each for each in live(gateway) if each["protocol"] == "ssh"]
        killed = gateway.cli("sessions", "kill", session["id"], "--reason", "enough", "--socket", str(gateway.socket))
        assert killed.returncode == 0, killed.stderr
        ended(client, b"enough")
    wait_until(lambda: not live(gateway), what="the end of the session")


def test_locking_somebody_out(gateway: SshOstiary) -> None:
    with busy(gateway) as client:
        locked = gateway.cli("lock", "principal", "alice", "--for", "1m", "--socket", str(gateway.socket))
        assert locked.returncode == 0, locked.stderr
        ended(client, b"ocked")
    try:
        assert b"ocked" in gateway.ssh("true").stderr
    finally:
        locks = json.loads(gateway.cli("locks", "list", "--json", "--socket", str(gateway.socket)).stdout)
        for lock in locks:
            assert gateway.cli("unlock", lock["id"], "--socket", str(gateway.socket)).returncode == 0
    assert gateway.ssh("true").returncode == 0


def test_a_session_ends_with_its_time(gateway: SshOstiary) -> None:
    with busy(gateway, who="harry") as client:
        ended(client, b"your access has expired", seconds=4 + PROMISED)


def test_an_idle_shell_ends_and_a_busy_command_does_not(gateway: SshOstiary) -> None:
    quiet = subprocess.run(
        gateway.client("-tt", gateway.host, who="sid"), capture_output=True, stdin=subprocess.DEVNULL, timeout=20
    )
    assert b"nothing was asked for" in quiet.stderr + quiet.stdout
    assert gateway.ssh("sleep 5; echo done", who="sid").stdout == b"done\n"


def test_taking_a_key_back_ends_its_session(gateway: SshOstiary) -> None:
    with busy(gateway, who="gone") as client:
        before = yaml.safe_load(gateway.registered.read_text())
        gateway.register([entry for entry in before if entry["principal"] != "gone"])
        gateway.reload()
        ended(client, b"your login has been taken back")
    assert gateway.ssh("true", who="gone").returncode == 255


def test_the_target_goes_away(pki: Pki) -> None:
    with Sshd() as server, SshOstiary(pki, server) as gateway, busy(gateway) as client:
        for pid in subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True).stdout.split():
            subprocess.run(["kill", pid], check=False)
        ended(client, b"the target closed the connection")


def test_stopping_the_gateway(pki: Pki, sshd: Sshd) -> None:
    with SshOstiary(pki, sshd) as gateway, busy(gateway) as client:
        gateway.send(signal.SIGTERM)
        ended(client, b"the gateway is being stopped")
        assert gateway.wait() == 0


# --- approvals ---


def test_somebody_who_has_to_be_let_in(gateway: SshOstiary) -> None:
    command = gateway.client(gateway.host, "echo in", who="vera")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stderr is not None
        assert b"waiting for approval" in client.stderr.readline()
        client.terminate()
        client.wait(10)
    wait_until(
        lambda: any("the client left" in str(each) for each in gateway.audit_events()[-10:]), what="the withdrawal"
    )
    assert not live(gateway)


# --- without manners ---


def talk(gateway: SshOstiary, act: Any) -> Exception | None:
    """What ended a connection on which ``act(connection)`` was called right behind the key exchange."""

    class Client(asyncssh.SSHClient):
        def begin_auth(self, username: str) -> None:
            act(self.connection)

        def connection_made(self, conn: SSHClientConnection) -> None:
            self.connection = conn

        async def public_key_auth_requested(self) -> None:
            # Refused once, it would leave before it hears what its manners led to.
            await asyncio.sleep(3)

    async def ask() -> Exception | None:
        try:
            async with asyncio.timeout(10):
                connection = await connect(gateway, client_factory=Client)
                connection.abort()
        except (asyncssh.Error, OSError) as error:
            return error
        return None

    return asyncio.run(ask())


def packet(connection: SSHClientConnection, kind: int, *parts: bytes) -> None:
    """Sent whatever asyncssh thinks of its order."""
    connection._auth_complete = True
    connection.send_packet(kind, *parts)
    connection._auth_complete = False


REQUEST, OPEN, GLOBAL, CHANNEL_REQUEST = 50, 90, 80, 98


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (OPEN, (String("session"), UInt32(0), UInt32(2**20), UInt32(2**15))),
        (OPEN, (String("direct-tcpip"), UInt32(0), UInt32(1), UInt32(1), String("x"), UInt32(22), String("y"))),
        (GLOBAL, (String("tcpip-forward"), Boolean(True), String(""), UInt32(0))),
        (CHANNEL_REQUEST, (UInt32(0), String("exec"), Boolean(True), String("id"))),
        (52, ()),  # USERAUTH_SUCCESS, CVE-2018-10933
    ],
)
def test_nothing_before_the_login_is_over(gateway: SshOstiary, kind: int, parts: tuple[bytes, ...]) -> None:
    before = len(gateway.recordings())
    error = talk(gateway, lambda connection: packet(connection, kind, *parts))
    assert isinstance(error, asyncssh.Error | OSError), error
    assert not isinstance(error, TimeoutError)
    assert len(gateway.recordings()) == before


def request(connection: SSHClientConnection, user: str, method: str, *parts: bytes) -> None:
    packet(connection, REQUEST, String(user), String("ssh-connection"), String(method), *parts)


def test_an_offer_is_no_proof(gateway: SshOstiary) -> None:
    key = asyncssh.read_public_key(str(gateway.keys["alice"]) + ".pub")
    user = f"{gateway.sshd.user}@web1"
    before = len(gateway.recordings())

    def act(connection: SSHClientConnection) -> None:
        parts = (Boolean(False), String("ssh-ed25519"), String(key.public_data))
        request(connection, user, "publickey", *parts)
        packet(connection, OPEN, String("session"), UInt32(0), UInt32(2**20), UInt32(2**15))

    error = talk(gateway, act)
    assert isinstance(error, asyncssh.Error | OSError), error
    assert not isinstance(error, TimeoutError)
    assert len(gateway.recordings()) == before


def test_a_signature_over_something_else(gateway: SshOstiary) -> None:
    key = asyncssh.read_private_key(str(gateway.keys["alice"]))
    user = f"{gateway.sshd.user}@web1"

    def act(connection: SSHClientConnection) -> None:
        signature = key.sign(b"another session", b"ssh-ed25519")
        parts = (Boolean(True), String("ssh-ed25519"), String(key.public_data), String(signature))
        request(connection, user, "publickey", *parts)

    assert isinstance(talk(gateway, act), asyncssh.PermissionDenied)
    assert last(gateway, "authentication_failed")["status_detail"] == "wrong signature"


def test_the_user_name_may_not_change(gateway: SshOstiary) -> None:
    def act(connection: SSHClientConnection) -> None:
        request(connection, "nobody@web1", "none")
        request(connection, f"{gateway.sshd.user}@web1", "none")

    before = len(gateway.log_text())
    assert talk(gateway, act) is not None, "it was let go on"
    # The client may still have been sending when the gateway closed, and then it didn't hear why.
    wait_until(lambda: '"reason":"the user name may not change' in gateway.log_text()[before:], what="the reason")


def test_attempts_are_bounded(gateway: SshOstiary, tmp_path: Path) -> None:
    keys = [make_key(tmp_path / f"key{number}") for number in range(14)]
    # the first few of an agent's keys are no reason to turn somebody away
    options = [f"-oIdentityFile={key}" for key in keys]
    assert gateway.ssh("true", who=keys[0], options=[*options[:8], f"-i{gateway.keys['alice']}"]).returncode == 0
    result = gateway.ssh("true", who=keys[0], options=options)
    assert b"too many authentication failures" in result.stderr


def test_a_login_while_many_stand_in_the_door(gateway: SshOstiary) -> None:
    with ExitStack() as stack:
        for number in range(400):
            half_open = stack.enter_context(socket.create_connection((gateway.host, gateway.ssh_port)))
            if number % 2:
                half_open.sendall(b"SSH-2.0-slow\r\n")
        began = time.monotonic()
        assert gateway.ssh("true").returncode == 0
        assert time.monotonic() - began < PROMISED


def test_the_target_side_by_a_certificate_of_our_own_ca(pki: Pki, tmp_path: Path) -> None:
    ours = make_key(tmp_path / "targets_ca")
    trusted = {"TrustedUserCAKeys": f"{ours}.pub", "AuthorizedKeysFile": "none"}
    with Sshd(settings=trusted) as host:
        target = host.target(credentials=[{"user": host.user, "signed_by": f"file:{ours}"}])
        with SshOstiary(pki, host, targets=[target]) as running:
            result = running.ssh("echo in")
            assert (result.stdout, result.returncode) == (b"in\n", 0), result.stderr
            session = running.recordings()[-1].stem
            assert f'ID "ostiary/alice/{session}"' in host.log.read_text(), "the target's own log names who it was"
