"""What the log says about recordings: which there must be, and how each one ended.

`verify_log` first: what a changed log says is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.audit.reader import LogReader


@dataclass(frozen=True, slots=True)
class RecordingEvidence:
    """One recording as the log knows it.

    path    below the recordings' directory; empty when the log (which may begin later) has not its opening
    length  bytes, None when the log has not its end: still open, or the gateway crashed
    head    its last chain hash, hex; None as above
    """

    path: str = ""
    length: int | None = None
    head: str | None = None


class _Session(Struct):
    uid: str


class _Unmapped(Struct):
    event: str
    recording: str = ""
    recording_length: int | None = None
    recording_head: str | None = None


class _Line(Struct):
    session: _Session
    unmapped: _Unmapped


_decoder = msgspec.json.Decoder(_Line)
_OPENED = b'"unmapped":{"event":"session_opened"'
_CLOSED = b'"unmapped":{"event":"session_closed"'


def recordings_of(directory: Path) -> dict[str, RecordingEvidence]:
    """Every session that the log names -> its recording. Raises OSError when the log can't be read."""
    found: dict[str, RecordingEvidence] = {}
    reader = LogReader(directory, 0)
    try:
        while not reader.at_end:
            for _, line in reader.read():
                # A statement can't hold these bytes: its quotes are escaped.
                if _OPENED in line or _CLOSED in line:
                    event = _decoder.decode(line)
                    said = event.unmapped
                    before = found.get(event.session.uid, RecordingEvidence())
                    found[event.session.uid] = RecordingEvidence(
                        said.recording or before.path,
                        before.length if said.recording_length is None else said.recording_length,
                        said.recording_head or before.head,
                    )
    finally:
        reader.close()
    return found
