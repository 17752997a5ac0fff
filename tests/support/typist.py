"""Somebody at a terminal: OpenSSH's client in a pty, keys and what it shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from types import TracebackType

from support.ssh import SshOstiary

BASH = "exec env PS1='ready> ' TERM=xterm HISTFILE= bash --norc --noprofile -i"


class Typist:
    """One session. ``shown``: all that the terminal got so far."""

    def __init__(self, gateway: SshOstiary, who: str, command: str = BASH, *, columns: int = 100) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._terminal = ours
        self._client = subprocess.Popen(
            gateway.client("-tt", gateway.host, command, who=who),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = b""
        self._read = 0

    def __enter__(self) -> Typist:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.kill()
        self._client.wait()
        os.close(self._terminal)

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def sees(self, *patterns: bytes, seconds: float = 15) -> bytes:
        """Waits for what matches behind all that was waited for before; gives all up to the last one's end.

        Several come in any order: the client writes stdout and stderr each for itself.
        """
        end = time.monotonic() + seconds
        while not all(found := [re.search(pattern, self.shown[self._read :]) for pattern in patterns]):
            assert time.monotonic() < end, (patterns, self.shown[self._read :])
            self._take(min(0.2, max(end - time.monotonic(), 0)))
        size = max(one.end() for one in found if one is not None)
        passed = self.shown[self._read : self._read + size]
        self._read += size
        return passed

    def sees_no_more(self, pattern: bytes, *, seconds: float) -> bool:
        """Nothing that matches comes within ``seconds``."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._take(min(0.1, left))
        return re.search(pattern, self.shown[self._read :]) is None

    def _take(self, seconds: float) -> None:
        if select.select([self._terminal], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
                self.shown += os.read(self._terminal, 65536)

    def ends(self, *, seconds: float = 15) -> int:
        """Waits for the client's end."""
        end = time.monotonic() + seconds
        while self._client.poll() is None:
            assert time.monotonic() < end, self.shown[self._read :]
            self._take(0.1)
        self._take(0)
        return self._client.returncode
