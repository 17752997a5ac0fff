"""Which recordings there are, quickly: their first frame and their last bytes, not verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from gateway.errors import RecordingFailed
from gateway.recording.directory import walk
from gateway.recording.format import (
    CHAIN_SIZE,
    END,
    MAX_END,
    PREFIX_SIZE,
    SIGNATURE_SIZE,
    RecordingDamaged,
    prefix_is_whole,
)
from gateway.recording.reader import Recording, open_recording
from gateway.rendering import PREFIX


@dataclass(frozen=True, slots=True)
class Listed:
    """One recording as its file claims it is; only `verify` proves it, and `export.printable` makes it safe to show.

    state  closed; open (the session lives, or its gateway crashed); damaged (its beginning can't be read)
    role   the user at the target; SSH: the login
    ended, reason, events  only when closed
    """

    path: Path
    session: str
    size: int
    state: Literal["closed", "open", "damaged"]
    protocol: str = ""
    principal: str = ""
    target: str = ""
    database: str = ""
    role: str = ""
    address: str = ""
    started: float | None = None
    ended: float | None = None
    reason: str = ""
    events: int | None = None


def listing(directory: Path) -> Iterator[Listed]:
    """Every recording below ``directory``, oldest first. A file that can't be read is listed as damaged."""
    for path in walk(directory):
        try:
            yield _list(path)
        except FileNotFoundError:
            continue  # removed by retention in between
        except RecordingFailed:
            yield Listed(path, path.stem, 0, "damaged")


def _list(path: Path) -> Listed:
    file, size = open_recording(path)
    with file:
        try:
            opened = next(iter(Recording(file, size)), None)
        except RecordingDamaged:
            opened = None
        if opened is None:
            return Listed(path, path.stem, size, "damaged")
        end = _end(file, size)
        principal = opened.fields.get("principal")
        return Listed(
            path,
            path.stem,
            size,
            "open" if end is None else "closed",
            protocol=_text(opened.fields, "protocol"),
            principal=_text(principal, "name") if isinstance(principal, dict) else "",
            target=_text(opened.fields, "target"),
            database=_text(opened.fields, "database"),
            role=_text(opened.fields, "role"),
            address=_text(opened.fields, "address"),
            started=opened.time,
            ended=None if end is None else _number(end, "time"),
            reason="" if end is None else _text(end, "reason"),
            events=None if end is None else int(_number(end, "events")),
        )


def _end(file: BinaryIO, size: int) -> dict[str, object] | None:
    """The end frame's fields: it stands where a prefix with a right CRC reaches exactly to the end of the file."""
    start = max(0, size - PREFIX_SIZE - MAX_END - CHAIN_SIZE)
    file.seek(start)
    tail = file.read(size - start)
    for offset in range(len(tail) - PREFIX_SIZE - SIGNATURE_SIZE - CHAIN_SIZE, -1, -1):
        if tail[offset + 4] != END or not prefix_is_whole(tail[offset : offset + PREFIX_SIZE]):
            continue
        length = PREFIX.unpack_from(tail, offset)[0]
        if offset + PREFIX_SIZE + length + CHAIN_SIZE == len(tail):
            body = tail[offset + PREFIX_SIZE : offset + PREFIX_SIZE + length - SIGNATURE_SIZE]
            try:
                fields = orjson.loads(body)
            except orjson.JSONDecodeError:
                return None
            return fields if isinstance(fields, dict) else None
    return None


def _text(fields: Mapping[str, object], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _number(fields: Mapping[str, object], key: str) -> float:
    value = fields.get(key)
    return value if isinstance(value, int | float) else 0
