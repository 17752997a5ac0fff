"""The sealer: makes recordings append-only and hands over the descriptor (docs/appliance.md, ostiary-sealer.service).

Its process is the only one with CAP_LINUX_IMMUTABLE, so it is run as a file, with the standard library alone
(``python3 -I -S sealer.py``): no third party's code, not even the rest of the gateway, is in it.

One connection, one recording (SOCK_SEQPACKET: a message is a whole message):

    request  a session id, 36 bytes; the recording's place follows from it, so no path ever crosses the socket
    answer   ``ok`` with the descriptor (SCM_RIGHTS), or ``no `` and why

What is open then is a new file (O_EXCL) that its holder can only append to: the attribute is on the file before the
descriptor leaves, and on each directory above it, so that nothing below ``--directory`` can be changed, cut, renamed or
removed without the capability. Every failure is a ``no``, and then there is no session.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pwd
import re
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

REQUEST_SIZE = 36
"""Bytes: a UUID's canonical spelling."""
MAX_ANSWER = 512
OK = b"ok"
REFUSED = b"no "
SUFFIX = ".ostrec"

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_APPEND_FL = 0x20
"""linux/fs.h, the numbers of x86_64 and aarch64; chattr(1) calls it a."""

SKEW = 86400
"""Seconds that an id's time may lie beside our clock: sessions are named when they begin. A gateway in other hands
can't fill the years with directories that nobody may remove."""
RATE = 500.0
"""Recordings a second, and as many at once: a gateway admits fewer (each needs TLS and a login at the target)."""
PATIENCE = 1.0
"""Seconds for a caller to say its 36 bytes; it is our own gateway, and the next one waits."""

_SESSION = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Refused(Exception):
    """Why there is no recording."""


def seal(fd: int) -> None:
    """Set the append-only attribute. Raises OSError where the file system has none or we lack the capability."""
    flags = bytearray(8)
    fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
    (value,) = struct.unpack_from("=I", flags)
    if not value & FS_APPEND_FL:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("=Q", value | FS_APPEND_FL))


def is_sealed(fd: int) -> bool:
    """Whether the attribute is set. Raises OSError where the file system has none."""
    flags = bytearray(8)
    fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
    return bool(struct.unpack_from("=I", flags)[0] & FS_APPEND_FL)


class Sealer:
    """Creates recordings below one directory, which is ours alone.

    directory  must exist and belong to us; clock  unix seconds

    Raises OSError, or Refused when the directory's rights let others in.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._root = os.open(directory, _DIRECTORY)
        status = os.fstat(self._root)
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Refused(f"{directory}: must belong to user {os.geteuid()}, and nobody else may write there")
        seal(self._root)
        self._tokens = RATE
        self._counted_at = clock()

    def create(self, request: bytes) -> int:
        """The descriptor of a new recording for that session id. Raises Refused or OSError."""
        if not _SESSION.fullmatch(request):
            raise Refused("that is no session id (a UUIDv7 in lower case)")
        self._count()
        session = request.decode()
        # RFC 9562 section 5.7: the first 48 bits are the unix time in milliseconds.
        seconds = int(session.replace("-", "")[:12], 16) / 1000
        if abs(seconds - self._clock()) > SKEW:
            raise Refused("that session id is not of now")
        above = os.dup(self._root)
        try:
            for part in datetime.fromtimestamp(seconds, UTC).strftime("%Y/%m/%d").split("/"):
                below = self._step(above, part)
                os.close(above)
                above = below
            fd = os.open(session + SUFFIX, _NEW, 0o440, dir_fd=above)
        finally:
            os.close(above)
        try:
            seal(fd)
        except OSError:
            os.close(fd)  # it stays, empty: its name is used up, as if the session had crashed at once
            raise
        return fd

    def _step(self, above: int, part: str) -> int:
        """The directory ``part``, made if need be, and sealed either way: a crash may have come in between."""
        with suppress(FileExistsError):
            os.mkdir(part, 0o750, dir_fd=above)
        fd = os.open(part, _DIRECTORY, dir_fd=above)
        try:
            seal(fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _count(self) -> None:
        now = self._clock()
        self._tokens = min(RATE, self._tokens + max(0.0, now - self._counted_at) * RATE)
        self._counted_at = now
        if self._tokens < 1:
            raise Refused(f"more than {RATE:.0f} recordings a second")
        self._tokens -= 1


def answer(connection: socket.socket, sealer: Sealer, uid: int) -> None:
    """One caller: who is it, what does it want. Raises nothing but OSError of the connection itself."""
    _pid, caller, _gid = struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    connection.settimeout(PATIENCE)
    try:
        if caller != uid:  # nothing of it is read: it can't make the gateway wait
            raise Refused(f"user {caller} may not ask")
        request = connection.recv(REQUEST_SIZE + 1)
        if not request:
            return  # it only wanted to know whether we are there
        fd = sealer.create(request)
    except (Refused, OSError) as error:
        said = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error.strerror or error}"
        warn(f"refused: {said}")
        connection.send((REFUSED + said.encode(errors="backslashreplace"))[:MAX_ANSWER])
        return
    try:
        socket.send_fds(connection, [OK], [fd])
    finally:
        os.close(fd)


def listen(path: Path) -> socket.socket:
    """The socket, in the place of one that a killed sealer left. Its mode lets the group in: `answer` looks closer."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(1024)
    return listener


def warn(text: str) -> None:
    """To the journal, with sd-daemon(3)'s priority in front."""
    sys.stderr.write(f"<4>{text}\n")
    sys.stderr.flush()


def tell_systemd(state: bytes) -> None:
    """sd_notify(3); does nothing outside of systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(state, "\0" + address[1:] if address.startswith("@") else address)


def main() -> None:
    parser = argparse.ArgumentParser(description="Creates append-only recordings and hands over their descriptors.")
    parser.add_argument("--directory", type=Path, required=True, help="recording.directory of ostiary.yaml")
    parser.add_argument("--socket", type=Path, required=True, help="recording.sealer of ostiary.yaml")
    parser.add_argument("--user", required=True, help="the gateway's user, the only one that may ask")
    given = parser.parse_args()
    os.umask(0o027)
    try:
        uid = pwd.getpwnam(given.user).pw_uid
        sealer = Sealer(given.directory)
        listener = listen(given.socket)
    except (Refused, OSError, KeyError) as error:
        sys.exit(f"<3>the sealer can't start: {error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tell_systemd(b"READY=1")
    while True:
        connection, _address = listener.accept()
        with connection:
            try:
                answer(connection, sealer, uid)
            except OSError as error:  # the caller is gone; its session is refused, its file stays empty
                warn(f"unanswered: {error.strerror or error}")


if __name__ == "__main__":
    main()
