"""OpenSSH's client through the gateway to OpenSSH's server: what goes through is what would go through without us."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from functools import partial
from pathlib import Path
from struct import pack

import pytest
from support.pki import Pki
from support.process import wait_until
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd) as running:
        yield running


def shown(gateway: SshOstiary, recording: Path) -> str:
    listed = gateway.cli("recordings", "show", "--config", str(gateway.configuration), str(recording))
    assert listed.returncode == 0, listed.stderr
    return listed.stdout


def last_recording(gateway: SshOstiary) -> str:
    return shown(gateway, gateway.recordings()[-1])


# --- exec ---


def test_output_errors_and_status_apart(gateway: SshOstiary) -> None:
    result = gateway.ssh("echo out; echo err >&2; exit 7")
    assert (result.stdout, result.stderr, result.returncode) == (b"out\n", b"err\n", 7)
    wait_until(lambda: "closed" in last_recording(gateway), what="the end of the recording")
    said = last_recording(gateway)
    assert 'factors":["ssh_key"]' in said
    assert "echo out; echo err >&2; exit 7" in said
    assert "stream=stdout  data=out\\n" in said
    assert "stream=stderr  data=err\\n" in said
    assert "status=exit 7" in said


@pytest.mark.parametrize("status", [0, 1, 126, 255])
def test_exit_statuses(gateway: SshOstiary, status: int) -> None:
    assert gateway.ssh(f"exit {status}").returncode == status


def test_a_signal_that_ends_the_command(gateway: SshOstiary) -> None:
    result = gateway.ssh("kill -TERM $$", options=["-v"])
    assert result.returncode == 255
    assert b"exit-signal" in result.stderr
    assert "signal TERM" in last_recording(gateway)


def test_the_environment(gateway: SshOstiary) -> None:
    options = ["-oSetEnv=LC_TEST=ok LD_PRELOAD=/x.so GIT_SSH=/x"]
    result = gateway.ssh("env", options=options)
    assert b"LC_TEST=ok" in result.stdout
    for name in (b"LD_PRELOAD", b"GIT_SSH"):
        assert name not in result.stdout


SIZE = 20_000_000


def test_twenty_megabytes_from_the_target(gateway: SshOstiary, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    (tmp_path / "data").write_bytes(data)
    result = gateway.ssh(f"cat {tmp_path}/data; exit 5")
    assert result.returncode == 5
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()


def test_twenty_megabytes_to_the_target(gateway: SshOstiary, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    result = gateway.ssh(f"cat > {tmp_path}/data; echo done", stdin=data)
    assert (result.stdout, result.returncode) == (b"done\n", 0)
    assert (tmp_path / "data").read_bytes() == data
    digest = hashlib.sha256(data).hexdigest()
    assert f"input={SIZE}" in last_recording(gateway)
    assert digest in last_recording(gateway)


def test_a_slow_reader_loses_nothing(gateway: SshOstiary) -> None:
    """Exit status and close are there long before the data was read (measured without care: 49,664 of 200,000,000)."""
    command = gateway.client(gateway.host, "head -c 30000000 /dev/zero; echo the end >&2; exit 9")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        time.sleep(1.0)
        read = 0
        while piece := client.stdout.read(1_000_000):
            read += len(piece)
        assert read == 30_000_000
        assert client.stderr.read() == b"the end\n"
        assert client.wait(30) == 9


def test_a_reader_that_stalls_takes_bounded_memory(gateway: SshOstiary) -> None:
    def memory() -> int:
        status = Path(f"/proc/{gateway.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    before = memory()
    command = gateway.client(gateway.host, "cat /dev/zero")
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(4)]
    try:
        time.sleep(3.0)
        assert memory() - before < 100_000_000
    finally:
        for client in clients:
            client.kill()
            client.communicate()


def test_input_that_nobody_reads_takes_bounded_memory(gateway: SshOstiary) -> None:
    def memory() -> int:
        status = Path(f"/proc/{gateway.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    before = memory()
    with Path("/dev/zero").open("rb") as zero:
        client = subprocess.Popen(gateway.client(gateway.host, "sleep 60"), stdin=zero, stdout=subprocess.DEVNULL)
    try:
        time.sleep(3.0)
        assert memory() - before < 50_000_000
    finally:
        client.kill()
        client.wait()


# --- terminals ---


class Terminal:
    """A client in a terminal of its own."""

    def __init__(self, command: list[str], rows: int = 30, columns: int = 100) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        self.resize(rows, columns)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self.fd, termios.TIOCSWINSZ, pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def expect(self, text: str, seconds: float = 15.0) -> str:
        """Everything up to ``text``, which is taken."""
        wanted = text.encode()

        def there() -> bool:
            if wanted not in self.seen:
                os.set_blocking(self.fd, False)
                try:
                    self.seen += os.read(self.fd, 65536)
                except BlockingIOError:
                    pass
                except OSError:
                    return wanted in self.seen
            return wanted in self.seen

        try:
            wait_until(there, seconds=seconds, what=repr(text))
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(wanted)
        return before.decode("utf-8", "replace")

    def wait(self) -> int:
        # What is still in the terminal must be read, or the client waits to write it.
        os.set_blocking(self.fd, True)
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def terminal(gateway: SshOstiary, *command: str, options: tuple[str, ...] = ("-tt",)) -> Iterator[Terminal]:
    client = Terminal(gateway.client(*options, gateway.host, *command))
    try:
        yield client
    finally:
        os.close(client.fd)
        try:
            os.kill(client.pid, signal.SIGKILL)
            os.waitpid(client.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def test_a_shell(gateway: SshOstiary) -> None:
    with terminal(gateway, options=()) as client:
        client.type("PS1='ready''> '\n")
        client.expect("ready> ")
        client.type("stty size; echo $TERM\n")
        assert "30 100" in client.expect("ready> ")
        client.resize(41, 132)
        client.type("while [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; stty size\n")
        client.expect("41 132")
        client.expect("ready> ")
        client.type("exit 4\n")
        assert client.wait() == 4
    said = last_recording(gateway)
    assert "request=shell" in said
    assert "columns=100  rows=30" in said
    assert "columns=132  rows=41" in said


def test_ctrl_c(gateway: SshOstiary) -> None:
    with terminal(gateway, "trap 'echo got it; exit 8' INT; echo ready; while :; do sleep 1; done") as client:
        client.expect("ready")
        client.type("\x03")
        client.expect("got it")
        assert client.wait() == 8


def test_what_is_typed_without_echo_is_not_kept(gateway: SshOstiary) -> None:
    with terminal(gateway, "read -p 'name: ' name; read -s -p 'password: ' word; echo; echo \"<${#word}>\"") as client:
        client.expect("name: ")
        client.type("visible\r")
        client.expect("password: ")
        client.type("hunter2\r")
        client.expect("<7>")
        client.wait()
    said = last_recording(gateway)
    assert "input  channel=1  data=" in said
    assert "hunter2" not in said


def test_signals_of_the_client(gateway: SshOstiary) -> None:
    import asyncio

    import asyncssh

    async def ask() -> None:
        async with asyncssh.connect(
            gateway.host,
            gateway.ssh_port,
            username=f"{gateway.sshd.user}@web1",
            client_keys=[str(gateway.keys["alice"])],
            known_hosts=str(gateway.known_hosts),
            config=None,
            agent_path=None,
        ) as connection:
            process = await connection.create_process("echo ready; exec sleep 60")
            assert await process.stdout.readline() == "ready\n"
            process.send_signal("TERM")
            # sshd sends a root's processes none (session_signal_req), so its log is what shows that it was asked to.
            asked = partial(wait_until, lambda: "signal" in gateway.sshd.log_text().lower(), what="sshd's word")
            await asyncio.to_thread(asked)

    asyncio.run(asyncio.wait_for(ask(), 30))
    wait_until(lambda: "signal=TERM" in last_recording(gateway), what="the signal in the recording")


# --- several channels ---


def test_many_channels_on_one_connection(gateway: SshOstiary, tmp_path: Path) -> None:
    before = len(gateway.recordings())
    control = [f"-oControlPath={tmp_path}/c", "-oControlMaster=auto", "-oControlPersist=20"]
    assert gateway.ssh("true", options=control).returncode == 0
    command = gateway.client(*control, gateway.host)
    clients = [
        subprocess.Popen([*command, f"sleep 0.5; echo {n}; exit {n}"], stdout=subprocess.PIPE) for n in range(10)
    ]
    try:
        for number, client in enumerate(clients):
            assert client.communicate(timeout=30)[0] == b"%d\n" % number
            assert client.returncode == number
    finally:
        subprocess.run([*command, "-O", "exit"], capture_output=True)
    assert len(gateway.recordings()) == before + 1
    said = last_recording(gateway)
    assert "exit  channel=11" in said


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-W", "127.0.0.1:22"], b"administratively prohibited"),
        (["-oExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22"], b"remote port forwarding failed"),
    ],
)
def test_forwards_are_refused(gateway: SshOstiary, options: list[str], words: bytes) -> None:
    result = gateway.ssh(options=options)
    assert result.returncode == 255
    assert words in result.stderr
    assert "forward_" in last_recording(gateway)


def test_an_agent_is_not_lent(gateway: SshOstiary) -> None:
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    pid = int(re.findall(r"SSH_AGENT_PID=(\d+)", agent)[0])
    socket = re.findall(r"SSH_AUTH_SOCK=([^;]+)", agent)[0]
    try:
        result = gateway.ssh("echo sock=$SSH_AUTH_SOCK", options=["-A", f"-oIdentityAgent={socket}"])
    finally:
        os.kill(pid, signal.SIGTERM)
    assert result.stdout == b"sock=\n"
    assert "request=agent" in last_recording(gateway)


def test_a_subsystem_that_the_target_does_not_have(gateway: SshOstiary) -> None:
    result = gateway.ssh("netconf", options=["-s"])
    assert result.returncode == 126
    assert b"ostiary: the target refuses this" in result.stderr


# --- who comes in ---


def test_a_key_that_is_not_registered(gateway: SshOstiary, tmp_path: Path) -> None:
    from support.sshd import make_key

    result = gateway.ssh("id", who=make_key(tmp_path / "stranger"))
    assert result.returncode == 255
    assert b"Permission denied" in result.stderr
    wait_until(
        lambda: any("is not registered" in str(event) for event in gateway.audit_events()), what="its audit event"
    )


@pytest.mark.parametrize("login", ["nobody@web1", "root@nowhere", "root@orders"])
def test_no_target_and_no_right_are_told_alike(gateway: SshOstiary, login: str) -> None:
    result = gateway.ssh("id", login=login)
    assert result.returncode == 255
    assert b"you may not connect to that target, or there is no such target" in result.stderr


def test_a_name_without_a_login(gateway: SshOstiary) -> None:
    result = gateway.ssh("id", login="@web1")
    assert result.returncode == 255
    assert b"LOGIN@TARGET" in result.stderr


def test_a_principal_that_is_claimed(gateway: SshOstiary) -> None:
    login = f"{gateway.sshd.user}@web1"
    assert gateway.ssh("true", login=f"alice@{login}").returncode == 0
    result = gateway.ssh("true", login=f"bob@{login}")
    assert result.returncode == 255
    assert b"names somebody else" in result.stderr


def test_every_recording_of_these_tests_verifies(gateway: SshOstiary) -> None:
    """The last of the file: sessions of every kind, some cut off."""
    said = gateway.cli("recordings", "verify", "--config", str(gateway.configuration))
    assert said.returncode == 0, said.stdout
