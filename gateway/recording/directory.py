"""Where recordings lie: ``<directory>/YYYY/MM/DD/<session-id>.ostrec``, the rights of it, the space left."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.errors import RecordingFailed
from gateway.recording.format import SUFFIX, parse_session

Opener = Callable[[Path], int]
"""Creates the file, which must not exist yet, and its day's directories; gives a descriptor that can only append.
`open_plain` here, `gateway.recording.sealed.Sealed.open` with a sealer."""

NOT_SEALED = (
    "recordings are not append-only in the file system (recording.sealer is not set): who has the gateway's "
    "rights can remove or cut them; the audit log and its sinks are the evidence of that"
)


def path_of(directory: Path, session: str) -> Path:
    """Where the recording of a session lies: the day is the UTC day of the UUIDv7's own time stamp.

    Raises ValueError when ``session`` is no session id (it may come from a command line).
    """
    milliseconds = parse_session(session).int >> 80
    try:
        day = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{session} is no session id: its time lies after the year 9999") from error
    return directory / day.strftime("%Y/%m/%d") / (session + SUFFIX)


def walk(directory: Path) -> Iterator[Path]:
    """Every recording below ``directory``, oldest first; nothing else that may lie there."""
    yield from sorted(directory.glob(f"[0-9]*/[0-9]*/[0-9]*/*{SUFFIX}"))


def prepare(directory: Path, *, sealed: bool = False) -> tuple[str, ...]:
    """Makes the directory (0700) if need be and checks its rights; gives warnings to be shown at start.

    sealed  it is the sealer's: there already, closed to our writing, open to our reading

    Raises RecordingFailed, with the mend: nobody else may add, remove or rename recordings.
    """
    if sealed:
        return _prepare_sealed(directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except FileExistsError:
        raise RecordingFailed(
            f"{directory}: is not a directory", hint="name another recording.directory, or move that file away"
        ) from None
    except OSError as error:
        raise RecordingFailed(
            f"{directory}: {error.strerror or error}",
            hint=f"make it: install -d -m 0700 -o {os.geteuid()} {directory}",
        ) from error
    _check_rights(directory, status)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise RecordingFailed(
            f"{directory}: we can't write there",
            hint=f"chmod 0700 {directory}, and see that it is not mounted read-only",
        )
    return (NOT_SEALED,)


def _prepare_sealed(directory: Path) -> tuple[str, ...]:
    mend = f"make it the sealer's: install -d -m 0750 -o ostiary-sealer -g ostiary {directory}"
    try:
        status = directory.lstat()
    except OSError as error:
        raise RecordingFailed(f"{directory}: {error.strerror or error}", hint=mend) from error
    _check_closed(directory, status)
    if status.st_uid == os.geteuid() != 0:
        raise RecordingFailed(f"{directory}: belongs to the gateway's own user, not to the sealer's", hint=mend)
    if not os.access(directory, os.R_OK | os.X_OK):
        raise RecordingFailed(f"{directory}: we can't read there", hint=mend)
    return ()


def open_plain(path: Path) -> int:
    """Opens a new recording without a sealer (development, tests): append only by our own discipline.

    Raises OSError; RecordingFailed when a day's directory has rights that let others in.
    """
    missing = []
    day = path.parent
    for level in (day, day.parent, day.parent.parent):
        if level.is_dir():
            break
        missing.append(level)
    for level in reversed(missing):
        level.mkdir(mode=0o700, exist_ok=True)
    _check_rights(day, day.lstat())
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def obstacle(directory: Path) -> str | None:
    """Why `open_plain` would fail there, None when nothing is known to stand in the way."""
    return None if os.access(directory, os.W_OK | os.X_OK) else f"{directory} can't be written to"


def free_space(directory: Path) -> int:
    """Bytes that we may still write there. Raises OSError."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _check_rights(directory: Path, status: os.stat_result) -> None:
    _check_closed(directory, status)
    if status.st_uid != os.geteuid():
        raise RecordingFailed(
            f"{directory}: belongs to user {status.st_uid}, the gateway runs as {os.geteuid()}",
            hint=f"chown {os.geteuid()} {directory}",
        )


def _check_closed(directory: Path, status: os.stat_result) -> None:
    """To everybody but its owner."""
    if not stat.S_ISDIR(status.st_mode):
        raise RecordingFailed(f"{directory}: is not a directory of its own (a link?)", hint="name the directory itself")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RecordingFailed(
            f"{directory}: others can write there (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod g-w,o-w {directory}",
        )
