"""How far a sink is, kept over restarts."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

_log = structlog.get_logger(__name__)


class _Kept(Struct, forbid_unknown_fields=True):
    sequence: int


class Cursor:
    """A sequence number in a file: everything up to it need never be sent again.

    Replaced by renaming, so that kill -9 leaves the old or the new one. It is not fsynced (that would stop the reactor
    once a second): after a power failure an old or unreadable cursor means events sent twice, never one not sent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sequence = self._read()

    def _read(self) -> int:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return 0
        except (OSError, msgspec.MsgspecError) as error:
            _log.error("cursor unreadable, the whole log is sent again", file=str(self._path), problem=str(error))
            return 0
        return max(0, kept.sequence)

    def move(self, sequence: int) -> None:
        """Keeps a new position. Raises OSError; the old one then stays in force."""
        if sequence == self.sequence:
            return
        self._path.parent.mkdir(mode=0o750, exist_ok=True)
        written = self._path.with_name(self._path.name + ".new")
        fd = os.open(written, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(_Kept(sequence)))
        written.replace(self._path)
        self.sequence = sequence
