"""What people and programs read: a recording as text, and as JSON lines.

Recorded text is the caller's: control characters, escape sequences and direction marks are shown as what they
are and never reach a terminal (Warpgate 2457).
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson

from gateway.errors import RecordingFailed
from gateway.recording.reader import Event, Recording, open_recording, read_blob

OWN_LINES = frozenset({"event", "time", "operation", "text", "parameters"})
"""Fields of an event that `show` doesn't put into its list of the other ones."""


def show(path: Path) -> Iterator[str]:
    """Lines of text, without newlines. Raises RecordingFailed, and RecordingDamaged behind the last good line."""
    file, size = open_existing(path)
    with file:
        for event in Recording(file, size):
            yield from show_event(event.time, event.fields)


def export(path: Path) -> Iterator[bytes]:
    """JSON lines: every event as it was stored; before an event that has blobs, these, cut into lines.

    Such a line is ``{"event": "blob", "of": event number, "blob": index, "offset": bytes before, "base64": ...}``.
    Raises RecordingFailed, and RecordingDamaged behind the last good line.
    """
    file, size = open_existing(path)
    with file:
        for event in Recording(file, size):
            if event.blobs:
                yield from _export_blobs(path, event)
            yield event.line


def read_events(path: Path) -> Iterator[Mapping[str, object]]:
    """Every event's fields. Raises RecordingFailed, and RecordingDamaged behind the last good one."""
    file, size = open_existing(path)
    with file:
        for event in Recording(file, size):
            yield event.fields


def printable(text: str) -> str:
    """``text`` with everything that isn't plainly visible escaped as Python would: one line, safe on a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def open_existing(path: Path) -> tuple[BinaryIO, int]:
    """As `open_recording`, with a RecordingFailed for people when there is none."""
    try:
        return open_recording(path)
    except FileNotFoundError:
        raise RecordingFailed(
            f"{path}: there is no such recording", hint="ostiary recordings list shows those that are there"
        ) from None


def _export_blobs(path: Path, event: Event) -> Iterator[bytes]:
    file, _ = open_existing(path)
    with file:
        for blob in event.blobs:
            offset = 0
            for chunk in read_blob(file, blob):
                line = {
                    "event": "blob",
                    "of": event.number,
                    "blob": blob.index,
                    "offset": offset,
                    "base64": b64encode(chunk).decode("ascii"),
                }
                yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
                offset += len(chunk)


def show_event(time: float, fields: Mapping[str, object]) -> Iterator[str]:
    """One event as lines of text, without newlines."""
    when = datetime.fromtimestamp(time, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    operation = fields.get("operation")
    which = "" if operation is None else f" #{_value(operation)}"
    data = _data(fields)
    others = "  ".join(
        f"{printable(key)}={_value(value)}"
        for key, value in fields.items()
        if key not in OWN_LINES and not (key == "data" and data is not None)
    )
    if data is not None and "\n" not in data[:-1]:
        others += f"  data={printable(data)}"
        data = None
    yield f"{when}  {_value(fields['event'])}{which}  {others}".rstrip()
    text = fields.get("text")
    if isinstance(text, str):
        # The bar in front of every line: no text can pass for a line of ours.
        for line in text.split("\n"):
            yield f"    | {printable(line)}"
    elif text is not None:
        yield f"    | {_value(text)}"
    if data is not None:
        for line in data.removesuffix("\n").split("\n"):
            yield "    | " + printable(line.removesuffix("\r"))
    if "parameters" in fields:
        yield f"    parameters: {_value(fields['parameters'])}"


def _data(fields: Mapping[str, object]) -> str | None:
    """What a channel showed or was typed; bytes that are no UTF-8 as Python would write them. None: not in there."""
    data = fields.get("data")
    if isinstance(data, str):
        return data
    if isinstance(data, Mapping) and isinstance(coded := data.get("base64"), str):
        try:
            return b64decode(coded, validate=True).decode("utf-8", "backslashreplace")
        except (binascii.Error, ValueError):
            return None
    return None


def _value(value: object) -> str:
    if isinstance(value, Mapping) and "blob" in value:
        digest = f", sha256 {_value(value['sha256'])}" if "sha256" in value else ""
        return f"({_value(value.get('size'))} bytes{digest}: see the export)"
    if isinstance(value, str):
        return printable(value)
    return printable(orjson.dumps(value).decode())
