"""One child process with a log, from start to its certain end."""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

START_SECONDS = 30.0
"""Generous: two cores may be shared with a build."""

POLL_SECONDS = 0.02

LOWEST_PORT = 15_000
"""Services that a machine may have are below."""


class StartFailed(Exception):
    """The server ended, or wasn't ready in time; the message holds the end of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has right now. It is below those that the kernel gives to clients: one of
    these would be a connection's of somebody else's before it is listened on."""
    clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    above = max(clients, LOWEST_PORT + 10_000)
    while True:
        port = secrets.choice(range(LOWEST_PORT, above))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float = 10.0, what: str = "condition") -> None:
    """Waits for ``condition``; raises TimeoutError that names ``what``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def scratch_directory(name: str, *, owner: str | None = None) -> Path:
    """A new directory below /tmp that ``owner`` may write and others may pass through; gone at exit.

    Short on purpose: the path of a unix socket has at most 107 bytes.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"ost-{name}-", dir="/tmp"))
    directory.chmod(0o711)
    if owner is not None and os.geteuid() == 0:
        shutil.chown(directory, owner, owner)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def unprivileged(user: str, command: Sequence[str]) -> list[str]:
    """``command`` as ``user`` when we are root, otherwise as we are."""
    if os.geteuid() != 0:
        return list(command)
    group = str(pwd.getpwnam(user).pw_gid)
    return ["setpriv", "--reuid", user, "--regid", group, "--init-groups", "--", *command]


class Process:
    """A server that runs as a child.

    command      with its arguments; taken again at each start
    directory    its working directory, which also holds ``log``
    user         who it runs as when we are root, None: as ourselves
    ready        asked until it says yes
    stop_signal  what makes it end soon, whatever its clients do
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        ready: Callable[[], bool],
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._command = command
        self._directory = directory
        self._ready = ready
        self._user = user
        self._environment = environment
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, *, seconds: float = START_SECONDS) -> Self:
        """Returns when it is ready. Raises StartFailed, and then nothing is left running."""
        assert self._child is None or self._child.poll() is not None, f"{self.name} runs already"
        # The kernel ends the child with us, even if we are killed. setpriv sets that after it changed the user,
        # because a change of user clears it.
        command = ["setpriv", f"--pdeathsig={self._stop_signal.name.removeprefix('SIG')}"]
        if self._user is not None and os.geteuid() == 0:
            command += unprivileged(self._user, [])[1:-1]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*command, "--", *self._command],
                cwd=self._directory,
                env=None if self._environment is None else dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.stop)
        try:
            wait_until(lambda: not self.running or self._ready(), seconds=seconds, what=f"{self.name} is ready")
        except BaseException as error:
            self.kill()
            if isinstance(error, TimeoutError):
                raise StartFailed(f"{error}\n{self.log_tail()}") from None
            raise
        if not self.running:
            raise StartFailed(f"{self.name} ended with status {self.returncode}\n{self.log_tail()}")
        return self

    @property
    def returncode(self) -> int | None:
        return None if self._child is None else self._child.returncode

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, *, seconds: float = 10.0) -> int | None:
        """Ends it, by force after ``seconds``. Returns its exit status, None when it never ran."""
        if self._child is None:
            return None
        atexit.unregister(self.stop)
        if self.running:
            self._child.send_signal(self._stop_signal)
            try:
                self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                print(f"{self.name}: did not end within {seconds:g} s, killed", file=sys.stderr)  # noqa: T201
                self.kill()
        return self._child.wait()

    def kill(self) -> None:
        """``kill -9``, and waits for the end."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def wait(self, *, seconds: float = 10.0) -> int:
        """Waits until it ends by itself; returns its exit status."""
        assert self._child is not None
        return self._child.wait(seconds)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()
