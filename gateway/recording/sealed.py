"""The gateway's side of the sealer: recordings that come as descriptors, append-only in the file system.

`Sealed.open` fails closed: a sealer that is away, slow, says no, or hands over anything but a fresh append-only file of
that name is a RecordingFailed, and then there is no session.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from gateway.errors import RecordingFailed
from gateway.recording.sealer import MAX_ANSWER, OK, REFUSED, is_sealed

PATIENCE = 1.0
"""Seconds for an answer, which takes 0.1 ms; the reactor waits with us, so not more."""
MAX_DESCRIPTORS = 4
"""Of one answer: one is right, and of more each must be closed."""
RESPITE = 5.0
"""Seconds in which a sealer that let us wait isn't asked again: a stuck one must not hold up everybody's sessions."""

HINT = "tell an administrator: systemctl status ostiary-sealer"


class Sealed:
    """Asks the sealer at ``path`` for each recording; ``clock`` is monotonic seconds."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._not_before = clock()

    def open(self, recording: Path) -> int:
        """The descriptor of ``recording``, which the sealer creates. Raises RecordingFailed or FileExistsError."""
        if self._clock() < self._not_before:
            raise RecordingFailed("the recordings' sealer doesn't answer", hint=HINT)
        try:
            said, fds = self._ask(recording.name.partition(".")[0].encode())
        except TimeoutError:
            self._not_before = self._clock() + RESPITE
            raise RecordingFailed("the recordings' sealer doesn't answer", hint=HINT) from None
        except OSError as error:
            raise RecordingFailed(
                f"the recordings' sealer can't be reached at {self.path}: {error.strerror or error}", hint=HINT
            ) from error
        try:
            if said != OK or len(fds) != 1:
                why = said.removeprefix(REFUSED).decode(errors="backslashreplace")
                if why.startswith(FileExistsError.__name__):
                    raise FileExistsError(recording)
                raise RecordingFailed(f"the recordings' sealer refuses: {why or 'no answer'}", hint=HINT)
            _check(fds[0], recording)
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        return fds[0]

    def obstacle(self) -> str | None:
        """Why `open` would fail, None when nothing is known to stand in the way; asks for no recording."""
        try:
            with self._connect():
                return None
        except OSError as error:
            return f"the recordings' sealer can't be reached at {self.path}: {error.strerror or error}"

    def _connect(self) -> socket.socket:
        """Raises OSError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _ask(self, session: bytes) -> tuple[bytes, list[int]]:
        with self._connect() as connection:
            connection.send(session)
            # Not socket.recv_fds: it leaves its flags out, and no child may inherit these.
            space = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
            said, sent, _flags, _address = connection.recvmsg(MAX_ANSWER, space, socket.MSG_CMSG_CLOEXEC)
        fds = array("i")
        for level, kind, data in sent:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) // 4 * 4])
        return said, fds.tolist()


def _check(fd: int, recording: Path) -> None:
    """It is what it is taken for: that file, ours to append to and nothing else. Raises RecordingFailed."""
    status = os.fstat(fd)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        there = recording.lstat()
        same = (status.st_dev, status.st_ino) == (there.st_dev, there.st_ino)
        sealed = is_sealed(fd)
    except OSError as error:
        raise RecordingFailed(
            f"{recording}: the sealer's recording is not there: {error.strerror or error}",
            hint="give the sealer the same directory as recording.directory",
        ) from error
    if not (same and sealed and stat.S_ISREG(status.st_mode) and status.st_size == 0 and flags & os.O_APPEND):
        raise RecordingFailed(f"{recording}: what the sealer handed over is not a new append-only file", hint=HINT)
