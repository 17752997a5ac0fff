"""The clients that people have, each through the gateway to OpenSSH's server: none of them notices us."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest
import yaml
from support.pki import Pki
from support.process import scratch_directory
from support.ssh import SshOstiary
from support.sshd import Sshd

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
ANSIBLE = REPOSITORY / ".cache" / "ansible" / "bin" / "ansible"
"""`make ansible` makes it; `.ci/run` does so before the tests."""

SIZE = 20_000_000
THREE = "cat; echo out; echo err >&2; exit 7"
ANSWERS = (b"in\nout\n", b"err\n", 7)


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    with SshOstiary(pki, sshd) as running:
        yield running


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(SIZE)


def run(
    *command: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None, seconds: float = 90
) -> tuple[bytes, bytes, int]:
    """Output, errors and exit status."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=seconds, env={**os.environ, **(environment or {})}
    )
    return done.stdout, done.stderr, done.returncode


def right(result: tuple[bytes, bytes, int]) -> bytes:
    assert result[2] == 0, result[1]
    return result[0]


def login(gateway: SshOstiary) -> str:
    return f"{gateway.sshd.user}@web1"


def shell_words(gateway: SshOstiary) -> str:
    """What programs that start ssh are given as the way to start it."""
    command = gateway.client()
    assert not any(" " in word for word in command)
    return " ".join(command)


# --- what starts ssh ---


def test_rsync(gateway: SshOstiary, data: bytes, tmp_path: Path) -> None:
    here = tmp_path / "here"
    for number in range(40):
        file = here / f"d{number % 4}" / f"f {number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data[number * 1000 : number * 2500])
    (here / "large").write_bytes(data)
    (here / "link").symlink_to("d0")
    there, back = tmp_path / "there", tmp_path / "back"

    def copy(source: str, destination: str) -> list[str]:
        """The names of what was transferred."""
        command = ["rsync", "-a", "--checksum", "--out-format=%i %n", "-e", shell_words(gateway)]
        return right(run(*command, source, destination)).decode().splitlines()

    def same(one: Path, other: Path) -> bool:
        return run("diff", "-r", "--no-dereference", str(one), str(other)) == (b"", b"", 0)

    assert len(copy(f"{here}/", f"{gateway.host}:{there}/")) >= 42
    assert same(here, there)
    assert copy(f"{here}/", f"{gateway.host}:{there}/") == []
    assert len(copy(f"{gateway.host}:{there}/", f"{back}/")) >= 42
    assert same(here, back)
    assert copy(f"{gateway.host}:{there}/", f"{back}/") == []


def test_git(gateway: SshOstiary, data: bytes, tmp_path: Path) -> None:
    environment = {
        "GIT_SSH_COMMAND": shell_words(gateway),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{who}_{what}": "tester@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def git(*words: str, at: Path = tmp_path) -> bytes:
        return right(run("git", "-C", str(at), *words, environment=environment))

    git("init", "--quiet", "--bare", "--initial-branch=main", "there.git")
    url = f"{gateway.host}:{tmp_path}/there.git"
    for name in ("one", "other"):
        git("clone", "--quiet", url, name)
    (tmp_path / "one" / "file").write_bytes(data[:5_000_000])
    git("add", "file", at=tmp_path / "one")
    git("commit", "--quiet", "--message=first", at=tmp_path / "one")
    git("push", "--quiet", "origin", "HEAD:main", at=tmp_path / "one")
    git("pull", "--quiet", "origin", "main", at=tmp_path / "other")
    assert (tmp_path / "other" / "file").read_bytes() == data[:5_000_000]
    lacking, errors, status = run("git", "ls-remote", f"{url}-not", environment=environment)
    assert status == 128
    assert lacking == b""
    assert b"does not appear to be a git repository" in errors


@pytest.mark.skipif(not ANSIBLE.exists(), reason="needs `make ansible`")
def test_ansible(gateway: SshOstiary, tmp_path: Path) -> None:
    # A ControlMaster's socket has a short path.
    home = scratch_directory("ansible")
    host = {
        "ansible_host": gateway.host,
        "ansible_port": gateway.ssh_port,
        "ansible_user": login(gateway),
        "ansible_ssh_private_key_file": str(gateway.keys["alice"]),
        "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={gateway.known_hosts} -o IdentitiesOnly=yes",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_remote_tmp": str(home / "remote"),
    }
    (home / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"web1": host}}}))
    environment = {
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=5s",
    }

    def ansible(module: str, arguments: str = "", *, pipelining: bool = False) -> str:
        words = ["web1", "--inventory", str(home / "hosts.yml"), "--module-name", module, "--args", arguments]
        over = {**environment, "ANSIBLE_PIPELINING": str(pipelining)}
        return right(run(str(ANSIBLE), *words, environment=over)).decode()

    assert '"ping": "pong"' in ansible("ping", pipelining=True)
    (tmp_path / "source").write_bytes(os.urandom(300_000))
    copy = f"src={tmp_path}/source dest={tmp_path}/copied mode=0640"
    assert "CHANGED" in ansible("copy", copy)
    assert (tmp_path / "copied").read_bytes() == (tmp_path / "source").read_bytes()
    assert "SUCCESS" in ansible("copy", copy)


def test_a_reader_that_left_ends_the_command(gateway: SshOstiary) -> None:
    """`eow@openssh.com`: as `ssh host yes | head -1`."""
    command = ["timeout", "30", *gateway.client(gateway.host, "yes; exit 9")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"y\n"
        client.stdout.close()
        assert client.wait(40) == 9


# --- PuTTY's ---


@pytest.fixture(scope="module")
def putty(gateway: SshOstiary) -> list[str]:
    """The options that plink and psftp share."""
    key = gateway.directory / "alice.ppk"
    right(run("puttygen", str(gateway.keys["alice"]), "-O", "private", "-o", str(key)))
    fingerprint = right(run("ssh-keygen", "-l", "-f", f"{gateway.host_key}.pub")).decode().split()[1]
    to = ["-P", str(gateway.ssh_port), "-l", login(gateway)]
    return ["-batch", "-noagent", "-hostkey", fingerprint, "-i", str(key), *to]


@pytest.fixture(scope="module")
def home() -> dict[str, str]:
    return {"HOME": str(scratch_directory("home"))}


def test_plink(gateway: SshOstiary, putty: list[str], home: dict[str, str], data: bytes) -> None:
    plink = ["plink", "-ssh", "-T", *putty, gateway.host]
    assert run(*plink, THREE, stdin=b"in\n", environment=home) == ANSWERS
    output, _, status = run(*plink, "cat; exit 3", stdin=data, environment=home)
    assert (output == data, status) == (True, 3)


def test_psftp(gateway: SshOstiary, putty: list[str], home: dict[str, str], data: bytes, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(data)
    for number in range(20):
        path = tmp_path / "tree" / f"d{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[number * 1000 :][:100_000])
    acts = [
        f"put -r {tmp_path}/tree {tmp_path}/tree-there",
        f"get -r {tmp_path}/tree-there {tmp_path}/tree-back",
        f"mkdir {tmp_path}/there",
        f"cd {tmp_path}/there",
        f"lcd {tmp_path}",
        "put here large",
        "mv large larger",
        "chmod 600 larger",
        "get larger back",
        "ls",
        "rm larger",
    ]
    (tmp_path / "acts").write_text("\n".join(acts) + "\n")
    listing = right(run("psftp", *putty, "-b", str(tmp_path / "acts"), gateway.host, environment=home))
    assert (tmp_path / "back").read_bytes() == data
    assert b"-rw-------" in listing
    assert run("diff", "-r", str(tmp_path / "tree"), str(tmp_path / "tree-back")) == (b"", b"", 0)
    assert [*(tmp_path / "there").iterdir()] == []


@pytest.mark.parametrize("protocol", ["-sftp", "-scp"])
def test_pscp(
    gateway: SshOstiary, putty: list[str], home: dict[str, str], data: bytes, tmp_path: Path, protocol: str
) -> None:
    (tmp_path / "here").write_bytes(data)
    pscp = ["pscp", protocol, *putty]
    there = f"{gateway.host}:{tmp_path}/there"
    right(run(*pscp, str(tmp_path / "here"), there, environment=home))
    assert (tmp_path / "there").read_bytes() == data
    right(run(*pscp, there, str(tmp_path / "back"), environment=home))
    assert (tmp_path / "back").read_bytes() == data


# --- dropbear's ---


def test_dbclient(gateway: SshOstiary, home: dict[str, str], data: bytes) -> None:
    key = gateway.directory / "alice.dropbear"
    right(run("dropbearconvert", "openssh", "dropbear", str(gateway.keys["alice"]), str(key)))
    # It reads known hosts at the user's home, wherever HOME leads.
    to = ["-p", str(gateway.ssh_port), "-l", login(gateway), gateway.host]
    client = ["dbclient", "-y", "-y", "-T", "-i", str(key), *to]
    output, errors, status = run(*client, THREE, stdin=b"in\n", environment=home)
    assert (output, errors.splitlines()[-1], status) == (b"in\nout\n", b"err", 7)
    output, _, status = run(*client, "cat; exit 3", stdin=data, environment=home)
    assert (output == data, status) == (True, 3)


# --- paramiko ---


@pytest.fixture
def parami(gateway: SshOstiary) -> Iterator[Any]:
    client = paramiko.SSHClient()
    client.load_host_keys(str(gateway.known_hosts))
    client.connect(
        gateway.host,
        gateway.ssh_port,
        login(gateway),
        key_filename=str(gateway.keys["alice"]),
        allow_agent=False,
        look_for_keys=False,
    )
    with client:
        yield client


def test_paramiko_runs_commands(parami: Any) -> None:
    stdin, stdout, stderr = parami.exec_command(THREE)
    stdin.write("in\n")
    stdin.channel.shutdown_write()
    assert (stdout.read(), stderr.read(), stdout.channel.recv_exit_status()) == ANSWERS


def test_paramiko_has_a_terminal(parami: Any) -> None:
    channel = parami.get_transport().open_session()
    channel.settimeout(20)
    channel.get_pty("xterm", 90, 20)
    script = "stty size; while [ \"$(stty size)\" = '20 90' ]; do sleep 0.1; done; stty size; exit 4"
    channel.exec_command(script)
    shown = b""
    while b"20 90" not in shown:
        shown += channel.recv(1000)
    channel.resize_pty(132, 41)
    while piece := channel.recv(1000):
        shown += piece
    assert b"41 132" in shown
    assert channel.recv_exit_status() == 4


def test_paramiko_moves_files(parami: Any, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(data)
    with parami.open_sftp() as sftp:
        sftp.put(str(tmp_path / "here"), str(tmp_path / "there"))
        sftp.get(str(tmp_path / "there"), str(tmp_path / "back"))
        sftp.symlink("there", str(tmp_path / "link"))
        assert sftp.readlink(str(tmp_path / "link")) == "there"
    assert (tmp_path / "back").read_bytes() == data
    assert (tmp_path / "link").is_symlink()


# --- asyncssh ---


def connected(gateway: SshOstiary) -> Any:
    return asyncssh.connect(
        gateway.host,
        gateway.ssh_port,
        username=login(gateway),
        client_keys=[str(gateway.keys["alice"])],
        known_hosts=str(gateway.known_hosts),
        config=None,
        agent_path=None,
    )


def test_asyncssh_runs_commands(gateway: SshOstiary) -> None:
    async def ask() -> None:
        async with asyncio.timeout(60), connected(gateway) as connection:
            done = await connection.run(THREE, input=b"in\n", encoding=None)
            assert (done.stdout, done.stderr, done.exit_status) == ANSWERS
            killed = await connection.run("kill -KILL $$")
            assert killed.exit_signal[0] == "KILL"
            script = "stty size; while [ \"$(stty size)\" = '20 90' ]; do sleep 0.1; done; stty size"
            process = await connection.create_process(script, term_type="xterm", term_size=(90, 20))
            assert await process.stdout.readline() == "20 90\r\n"
            process.change_terminal_size(132, 41)
            assert await process.stdout.readline() == "41 132\r\n"
            assert (await process.wait()).exit_status == 0

    asyncio.run(ask())


def test_asyncssh_moves_files(gateway: SshOstiary, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(data)

    async def ask() -> None:
        async with asyncio.timeout(60), connected(gateway) as connection:
            async with connection.start_sftp_client() as sftp:
                await sftp.put(tmp_path / "here", tmp_path / "there")
                await sftp.get(tmp_path / "there", tmp_path / "back")
            await asyncssh.scp((connection, tmp_path / "there"), tmp_path / "again")

    asyncio.run(ask())
    assert (tmp_path / "back").read_bytes() == data
    assert (tmp_path / "again").read_bytes() == data


def test_the_order_of_a_symlinks_arguments(gateway: SshOstiary, tmp_path: Path) -> None:
    """asyncssh, like libssh and WinSCP, has the order of the specification unless the server says that it is OpenSSH,
    whose order is the other one; paramiko and OpenSSH's client always have that."""

    async def ask() -> None:
        async with asyncio.timeout(20), connected(gateway) as connection, connection.start_sftp_client() as sftp:
            await sftp.symlink("what it says", tmp_path / "link")
            assert await sftp.readlink(tmp_path / "link") == "what it says"

    asyncio.run(ask())
    assert (tmp_path / "link").readlink() == Path("what it says")


# --- many, and much ---


def test_twenty_at_once(gateway: SshOstiary, data: bytes) -> None:
    def one(number: int) -> None:
        sent = data[number * 100_000 :][:1_000_000]
        result = gateway.ssh(f"cat; exit {number}", stdin=sent)
        assert (result.stdout == sent, result.returncode) == (True, number), result.stderr

    before = len(gateway.recordings())
    with ThreadPoolExecutor(20) as pool:
        for each in [pool.submit(one, number) for number in range(20)]:
            each.result()
    assert len(gateway.recordings()) == before + 20


@pytest.mark.slow
def test_two_hundred_megabytes_each_way(gateway: SshOstiary, tmp_path: Path) -> None:
    piece = os.urandom(1_000_000)
    with (tmp_path / "here").open("wb") as file:
        for number in range(200):
            file.write(bytes([number]) + piece[1:])
    there = tmp_path / "there"

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with (tmp_path / "here").open("rb") as source:
        command = gateway.client(gateway.host, f"cat > {there}; exit 5")
        assert subprocess.run(command, stdin=source, timeout=120).returncode == 5
    assert digest(there) == digest(tmp_path / "here")
    with (tmp_path / "back").open("wb") as back:
        command = gateway.client(gateway.host, f"cat {there}; exit 6")
        assert subprocess.run(command, stdin=subprocess.DEVNULL, stdout=back, timeout=120).returncode == 6
    assert digest(tmp_path / "back") == digest(there)
