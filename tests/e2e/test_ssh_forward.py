"""What leads on from a host, back from it, and what is lent to it: OpenSSH's client, a real sshd, real servers."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.approving import Approver
from support.pki import Pki
from support.process import accepts, free_port, wait_until
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e

BIG = 20_000_000


class Web:
    """An HTTP server that has one file."""

    def __init__(self, directory: Path) -> None:
        self.content = os.urandom(BIG)
        (directory / "file").write_bytes(self.content)
        handler = partial(_Quiet, directory=str(directory))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    web = Web(tmp_path_factory.mktemp("web"))
    yield web
    web.server.shutdown()
    web.server.server_close()


@pytest.fixture(scope="module")
def watched() -> int:
    """A port whose forwards are approved first."""
    return free_port()


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd(
        settings={
            "AllowTcpForwarding": "yes",
            "AllowStreamLocalForwarding": "yes",
            "X11Forwarding": "yes",
            "LogLevel": "DEBUG1",
        }
    ) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd, web: Web, watched: int) -> Iterator[SshOstiary]:
    policy = {
        "allow": [
            {"name": "a shell", "groups": ["staff"], "targets": ["web*"], "ssh": {"logins": ["*"]}},
            {
                "name": "the web server",
                "groups": ["staff"],
                "targets": ["web*"],
                "ssh": {"logins": ["*"], "destinations": [f"localhost:{web.port}", "127.0.0.1:*", "/tmp/ostiary-*"]},
            },
            {
                "name": "back",
                "groups": ["staff"],
                "targets": ["web*"],
                "ssh": {
                    "logins": ["*"],
                    "requests": ["forward_remote"],
                    "destinations": ["localhost:*", "/tmp/ostiary-*"],
                },
            },
            {
                "name": "an agent",
                "groups": ["staff"],
                "targets": ["web*"],
                "ssh": {"logins": ["*"], "requests": ["agent", "x11"]},
            },
            {
                "name": "home",
                "groups": ["admins"],
                "targets": ["web*"],
                "ssh": {"logins": ["*"], "destinations": ["*:*", f"localhost:{sshd.port}"]},
            },
        ],
        "deny": [{"name": "not there", "targets": ["web*"], "ssh": {"destinations": ["127.0.0.1:9"]}}],
        "approve": [
            {
                "name": "watched",
                "targets": ["web*"],
                "ssh": {"requests": ["forward_local", "forward_remote"], "destinations": [f"*:{watched}"]},
                "approvers": {"groups": ["approvers"]},
                "wait": "20s",
            }
        ],
    }
    control = {"listeners": {"control": {"address": f"127.0.0.1:{free_port()}"}}}
    people = {"stan": ["staff"], "adam": ["admins"], "nora": ["nobody"]}
    with SshOstiary(pki, sshd, people=people, policy=policy, settings=control) as running:
        yield running


@contextmanager
def forwarding(
    gateway: SshOstiary, *options: str, who: str = "stan", command: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A client that forwards, until the end of the block."""
    arguments = [*options, gateway.host, command] if command else ["-N", *options, gateway.host]
    client = subprocess.Popen(
        gateway.client("-oExitOnForwardFailure=yes", *arguments, who=who),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield client
    finally:
        client.send_signal(signal.SIGTERM)
        try:
            client.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            # One that comes right before OpenSSH's client waits is not seen until something else happens.
            client.kill()
            client.communicate()


def fetched(port: int, path: str = "file") -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
        data: bytes = answer.read()
        return data


def test_on_to_a_web_server(gateway: SshOstiary, web: Web) -> None:
    port = free_port()
    with forwarding(gateway, "-L", f"{port}:localhost:{web.port}"):
        wait_until(lambda: accepts(port), what="the client's port")
        assert fetched(port) == web.content
        # Several at once.
        with pytest.raises(urllib.error.HTTPError):
            fetched(port, "nothing")
        threads = [threading.Thread(target=fetched, args=(port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    asked = gateway.events("operation")
    assert {(one["request"], one["destination"], one["outcome"]) for one in asked} == {
        ("forward_local", f"localhost:{web.port}", "allow")
    }
    ended = gateway.events("forwarded")
    begun = gateway.events("forward")
    assert len(ended) == len(begun) == len(asked)
    assert sum(one["from_target"] > BIG for one in ended) == 5
    assert all(one["origin"].startswith("127.0.0.1:") for one in begun)
    assert {one["channel"] for one in begun} == {one["channel"] for one in ended} == {one["channel"] for one in asked}
    sizes = {one["operation"]: one["size"] for one in gateway.events("result")}
    assert sum(size > BIG for size in sizes.values()) == 5


def test_stdin_and_stdout(gateway: SshOstiary, web: Web) -> None:
    request = b"GET /file HTTP/1.0\r\n\r\n"
    result = gateway.ssh(who="stan", options=["-W", f"127.0.0.1:{web.port}"], stdin=request)
    assert result.returncode == 0, result.stderr
    assert result.stdout.partition(b"\r\n\r\n")[2] == web.content
    [ended] = gateway.events("forwarded")
    assert (ended["from_caller"], ended["from_target"]) == (len(request), len(result.stdout))


@contextmanager
def listening(family: int = socket.AF_INET, at: Any = ("127.0.0.1", 0)) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(at)
        server.listen()
        server.settimeout(20)
        yield server


def test_much_data_both_ways_and_half_closed(gateway: SshOstiary) -> None:
    """The whole upload arrives before the download begins, and each side's end is told by itself."""
    data = os.urandom(BIG)
    seen: list[str] = []
    with listening() as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                digest = hashlib.sha256()
                while piece := connection.recv(65536):
                    digest.update(piece)
                    if not seen:
                        time.sleep(0.3)  # a slow reader
                        seen.append("slow")
                seen.append(digest.hexdigest())
                connection.sendall(data[::-1])

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        result = gateway.ssh(who="stan", options=["-W", f"127.0.0.1:{port}"], stdin=data)
        thread.join()
    assert seen[1] == hashlib.sha256(data).hexdigest()
    assert result.stdout == data[::-1]
    [ended] = gateway.events("forwarded")
    assert (ended["from_caller"], ended["from_target"], ended["status"]) == (BIG, BIG, "closed")


def test_nobody_is_held_in_memory_for_a_slow_reader(gateway: SshOstiary) -> None:
    def memory() -> int:
        status = Path(f"/proc/{gateway.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    with listening() as server:
        before = memory()
        port = server.getsockname()[1]
        with Path("/dev/zero").open("rb") as zero:
            client = subprocess.Popen(
                gateway.client("-W", f"127.0.0.1:{port}", gateway.host, who="stan"),
                stdin=zero,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            connection, _ = server.accept()
            with connection:
                time.sleep(2.0)
                assert memory() - before < 50_000_000
        finally:
            client.kill()
            client.wait()


def test_a_socket(gateway: SshOstiary, tmp_path: Path) -> None:
    path = f"/tmp/ostiary-{os.getpid()}.sock"
    local = tmp_path / "l"
    try:
        with listening(socket.AF_UNIX, path) as server, forwarding(gateway, "-L", f"{local}:/tmp/../{path}"):
            wait_until(local.exists, what="the client's socket")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(local))
                client.sendall(b"there")
                connection, _ = server.accept()
                with connection:
                    assert connection.recv(100) == b"there"
                    connection.sendall(b"back")
                    assert client.recv(100) == b"back"
    finally:
        Path(path).unlink()
    [asked] = gateway.events("operation")
    assert (asked["destination"], asked["outcome"]) == (path, "allow")


@pytest.mark.parametrize("spelled", ["0x7f000001", "127.1", "[::ffff:127.0.0.1]", "127.0.0.1."])
def test_the_target_gets_what_was_decided_on(gateway: SshOstiary, web: Web, spelled: str) -> None:
    before = gateway.sshd.log_text().count(f"target 127.0.0.1 port {web.port}")
    result = gateway.ssh(who="stan", options=["-W", f"{spelled}:{web.port}"], stdin=b"GET /nothing HTTP/1.0\r\n\r\n")
    assert result.stdout.startswith(b"HTTP/1.0 404")
    assert gateway.sshd.log_text().count(f"target 127.0.0.1 port {web.port}") == before + 1


# --- back ---


@pytest.mark.parametrize("chosen", [True, False])
def test_back_to_the_caller(gateway: SshOstiary, web: Web, chosen: bool) -> None:
    """A port of the caller's choice, or the target's."""
    port = free_port() if chosen else 0
    with forwarding(gateway, "-v", "-R", f"{port}:127.0.0.1:{web.port}") as client:
        if not chosen:
            assert client.stderr is not None
            for line in client.stderr:
                if found := re.search(rb"Allocated port (\d+) ", line):
                    port = int(found[1])
                    break
        wait_until(lambda: accepts(port), what="the target's port")
        assert fetched(port) == web.content
    listener = gateway.events("operation")[0]
    assert (listener["request"], listener["destination"]) == ("forward_remote", f"localhost:{port if chosen else 0}")
    assert gateway.events("listening")[0]["on"] == (f"localhost:{port}" if chosen else f"port {port}")
    assert any(one["from_caller"] > BIG for one in gateway.events("forwarded"))
    assert not accepts(port), "it ended with the session"


def test_back_from_a_socket(gateway: SshOstiary, web: Web) -> None:
    path = Path(f"/tmp/ostiary-back-{os.getpid()}.sock")
    try:
        with forwarding(gateway, "-R", f"{path}:127.0.0.1:{web.port}"):
            wait_until(path.exists, what="the target's socket")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /nothing HTTP/1.0\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.0 404"
    finally:
        path.unlink(missing_ok=True)


def test_a_listener_that_is_taken_back(gateway: SshOstiary, web: Web, tmp_path: Path) -> None:
    port = free_port()
    control = [f"-oControlPath={tmp_path}/c"]
    with forwarding(gateway, *control, "-M"):
        wait_until((tmp_path / "c").exists, what="the master")
        command = gateway.client(*control, who="stan")
        for act in ("forward", "cancel"):
            listen = [*command, "-O", act, "-R", f"{port}:127.0.0.1:{web.port}", gateway.host]
            assert subprocess.run(listen, capture_output=True).returncode == 0
            wait_until(lambda act=act: accepts(port) is (act == "forward"), what=act)  # type: ignore[misc]
        assert gateway.ssh("echo", "on", who="stan", options=control).stdout == b"on\n"
    statuses = [one["status"] for one in gateway.events("result")]
    assert "cancelled" in statuses


# --- lent ---


@contextmanager
def agent(*keys: Path) -> Iterator[str]:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    pid = int(re.findall(r"SSH_AGENT_PID=(\d+)", started)[0])
    path = re.findall(r"SSH_AUTH_SOCK=([^;]+)", started)[0]
    try:
        for key in keys:
            added = {**os.environ, "SSH_AUTH_SOCK": path}
            subprocess.run(["ssh-add", "-q", str(key)], env=added, check=True, capture_output=True)
        yield path
    finally:
        os.kill(pid, signal.SIGTERM)


def test_an_agent(gateway: SshOstiary) -> None:
    with agent(gateway.keys["adam"]) as path:
        options = ["-A", f"-oIdentityAgent={path}"]
        assert b"adam_ed25519" in gateway.ssh("ssh-add -l", who="stan", options=options).stdout
        assert [(one["request"], one["outcome"]) for one in gateway.events("operation")] == [
            ("agent", "allow"),
            ("exec", "allow"),
            ("agent", "allow"),
        ]
        assert gateway.events("forwarded")[0]["from_caller"] > 0
        result = gateway.ssh("echo sock=$SSH_AUTH_SOCK", who="adam", options=options)
        assert b"sock=\n" in result.stdout or result.returncode == 126


def test_an_agent_that_nobody_asked_to_lend(gateway: SshOstiary) -> None:
    with agent(gateway.keys["adam"]) as path:
        result = gateway.ssh("echo sock=$SSH_AUTH_SOCK", who="stan", options=["-a", f"-oIdentityAgent={path}"])
    assert result.stdout == b"sock=\n"


X_CLIENT = """
import os, socket, subprocess
display = os.environ["DISPLAY"]
cookie = bytes.fromhex(subprocess.check_output(["xauth", "list", display]).split()[2].decode())
server = socket.create_connection(("localhost", 6000 + int(display.split(":")[1].split(".")[0])))
name = b"MIT-MAGIC-COOKIE-1"
server.sendall(b"l\\0" + bytes([11, 0, 0, 0, len(name), 0, len(cookie), 0, 0, 0]) + name + b"\\0\\0" + cookie)
print(server.recv(100).decode())
"""


@pytest.mark.skipif(shutil.which("xauth") is None, reason="sshd needs xauth")
def test_a_display(gateway: SshOstiary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client makes a cookie for the target, knows it again, and puts the display's own in its place."""
    with listening() as display:
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{display.getsockname()[1] - 6000}")
        command = gateway.client("-Y", gateway.host, f"python3 -c '{X_CLIENT}'", who="stan")
        client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            connection, _ = display.accept()
            with connection:
                assert connection.recv(100).startswith(b"l\0\x0b")
                connection.sendall(b"windows")
                said, problems = client.communicate(timeout=20)
        finally:
            client.kill()
            client.communicate()
    assert said == b"windows\n", problems
    asked = [one["request"] for one in gateway.events("operation")]
    assert asked == ["x11", "exec", "x11"]


# --- no ---


def refused(gateway: SshOstiary, destination: str, who: str = "stan") -> str:
    """The reason why a destination is not reached."""
    result = gateway.ssh(who=who, options=["-W", destination])
    assert result.returncode == 255, result
    assert result.stdout == b""
    said = result.stderr.decode()
    assert "administratively prohibited" in said, said
    return said


@pytest.mark.parametrize(
    "destination",
    ["10.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1%eth0]:80", "example.org:80", "localhost.:22", "/etc/x:1"],
)
def test_other_destinations(gateway: SshOstiary, destination: str) -> None:
    assert "permission denied by policy" in refused(gateway, destination)
    [asked] = gateway.events("operation")
    assert asked["outcome"] == "deny"
    assert not gateway.events("forward")


@pytest.mark.parametrize("spelled", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "127.0.1"])
def test_a_denied_destination_in_any_spelling(gateway: SshOstiary, spelled: str) -> None:
    assert '"not there"' in refused(gateway, f"{spelled}:9")


def test_who_may_nothing(gateway: SshOstiary, web: Web) -> None:
    assert gateway.ssh(who="nora", options=["-W", f"localhost:{web.port}"]).returncode == 255
    for port in (str(free_port()), "0"):
        result = gateway.ssh(who="adam", options=["-N", "-oExitOnForwardFailure=yes", "-R", f"{port}:127.0.0.1:1"])
        assert result.returncode == 255
        assert b"remote port forwarding failed" in result.stderr


def test_a_listener_that_is_refused_says_why_where_it_can(gateway: SshOstiary) -> None:
    # -R with an address of its own: the policy lets listen on localhost only.
    result = gateway.ssh("true", who="stan", options=["-R", "*:0:127.0.0.1:1"])
    assert b"ostiary: forward_remote *:0: permission denied by policy" in result.stderr


def test_nobody_listens_there(gateway: SshOstiary) -> None:
    result = gateway.ssh(who="stan", options=["-W", f"127.0.0.1:{free_port()}"])
    assert result.returncode == 255
    assert b"open failed: connect failed" in result.stderr
    assert any(one["status"].startswith("refused") for one in gateway.events("result"))


# --- approvals, and the end ---


def test_an_approved_forward(gateway: SshOstiary, pki: Pki, watched: int) -> None:
    with Approver(gateway, pki.client("approver", groups=["approvers"])) as approver:
        for answer in ("approve", "deny"):
            with listening(at=("127.0.0.1", watched)) as server:
                command = gateway.client("-W", f"127.0.0.1:{watched}", gateway.host, who="stan")
                client = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
                request = approver.asked()
                getattr(approver, answer)(request)
                if answer == "approve":
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"hello")
                    assert client.communicate(timeout=20)[0] == b"hello"
                else:
                    assert b"permission denied by approver" in client.communicate(timeout=20)[1]


def test_a_session_that_is_killed(gateway: SshOstiary, web: Web) -> None:
    port, back = free_port(), free_port()
    with forwarding(gateway, "-L", f"{port}:127.0.0.1:{web.port}", "-R", f"{back}:127.0.0.1:{web.port}") as client:
        wait_until(lambda: accepts(back), what="the target's port")
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(8) == b"HTTP/1.0"
            session = gateway.recordings()[-1].stem
            assert gateway.cli("sessions", "kill", "--config", str(gateway.configuration), session).returncode == 0
            idle.settimeout(10)
            while idle.recv(65536):
                pass
        assert client.wait(10) == 255
    assert not accepts(back)
