"""Whether a recording is as its writer left it: by the file and a public key, and by what only the audit log knows.

The file alone can't tell a crash from a cut at its end: both leave a valid beginning. The audit event
``session closed`` (length and head) can.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.recording.format import (
    END,
    SUFFIX,
    ClosingHead,
    Finding,
    RecordingDamaged,
    parse_session,
    signed_message,
)
from gateway.recording.keys import key_id
from gateway.recording.reader import Event, Head, Recording, open_recording

State = Literal["complete", "never closed", "cut", "changed", "missing"]

MAX_UNSIGNED = 60.0
"""Seconds of events behind the last signed head. The writer signs within 0.1 s of anything written; a reactor
that is blocked by a 1 GB operation takes some seconds. More means that signatures were taken out."""


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found.

    state           complete: signed end, nothing behind it, what the audit log says if it says anything;
                    never closed: right as far as it goes, without an end (a crash, or a session that still lives);
                    cut: as before, but the audit log knows that more was there; changed: see ``findings``
    findings        the first damage, and where the clock first ran backwards
    events          that are right, from the first; of these ``signed_events`` lie before a good signature
    length          bytes that hold them, head  the chain value behind them (hex)
    torn            bytes of a cut frame at the end
    """

    path: Path
    state: State
    findings: tuple[Finding, ...]
    session: str | None = None
    events: int = 0
    signed_events: int = 0
    length: int = 0
    head: str = ""
    torn: int = 0
    audited: bool = False

    @property
    def ok(self) -> bool:
        """Complete, and nothing is wrong with it."""
        return self.state == "complete" and not self.findings

    @property
    def intact(self) -> bool:
        """Nothing is wrong with what is there, though it may have no end."""
        return self.state in ("complete", "never closed") and not self.findings

    def __str__(self) -> str:
        """For people: the verdict on one line, what is wrong below it."""
        verdict = f"{self.path}: {self.state}: {self.events} events, {self.length} bytes"
        lines = [verdict if self.state != "complete" else f"{verdict}, head {self.head}"]
        lines.extend(f"  {finding}" for finding in self.findings)
        if self.state == "never closed":
            if self.torn:
                lines.append(f"  the last {self.torn} bytes are a frame that was not written to its end (a crash?)")
            if unsigned := self.events - self.signed_events:
                lines.append(f"  {unsigned} events behind the last signed head are only chained")
            lines.append(
                "  the audit log has no end of this session either: a crash, or it is still open"
                if self.audited
                else "  a crash, a session that is still open, or a cut: only the audit log can tell"
            )
        return "\n".join(lines)


def verify(
    path: Path, public_key: Ed25519PublicKey, *, closed: ClosingHead | None = None, audited: bool = False
) -> Report:
    """Reads the file once, in bounded memory, whatever it holds.

    public_key  of the node that wrote it (`keys.load_public`)
    closed      what the audit log says about its end, None when it says nothing
    audited     an audit log was looked at

    Raises RecordingFailed when the file can't be read; a file that isn't there is a report, too.
    """
    audited = audited or closed is not None
    try:
        file, size = open_recording(path)
    except FileNotFoundError:
        finding = Finding("missing", 0, 0, "there is no such recording")
        return Report(path, "missing", (finding,), audited=audited)
    with file:
        recording = Recording(file, size)
        check = _Pass(recording, path, public_key)
        findings = []
        try:
            check.run()
            ending = _ending(recording, closed)
        except RecordingDamaged as error:
            findings.append(error.finding)
            state: State = "changed"
        else:
            if ending is not None:
                findings.append(ending)
            if recording.closed:
                state = "complete" if ending is None else "changed"
            else:
                state = "never closed" if ending is None else "cut"
    if recording.clock is not None:
        findings.append(recording.clock)
    return Report(
        path,
        state,
        tuple(findings),
        session=check.session,
        events=recording.events,
        signed_events=check.signed_events,
        length=recording.offset,
        head=recording.chain.hex(),
        torn=recording.torn,
        audited=audited,
    )


class _Pass:
    """The pass with the signatures and the name checked."""

    def __init__(self, recording: Recording, path: Path, public_key: Ed25519PublicKey) -> None:
        self.session: str | None = None
        self.signed_events = 0
        self._recording = recording
        self._path = path
        self._public_key = public_key
        self._signed_offset = 0
        self._first_unsigned: float | None = None

    def run(self) -> None:
        for part in self._recording.parts():
            if isinstance(part, Head):
                self._check_signature(part)
            elif part.kind == "opened":
                self._check_header(part)
            elif part.kind != "closed":
                self._check_unsigned(part)

    def _check_header(self, event: Event) -> None:
        session, key = event.fields.get("session"), event.fields.get("key")
        try:
            if event.fields.get("format") != 1 or not isinstance(session, str):
                raise ValueError("the header names no session, or another format than 1")
            self._uuid = parse_session(session)
        except ValueError as error:
            raise RecordingDamaged(Finding("malformed", event.offset, 0, str(error))) from None
        self.session = session
        if key != key_id(self._public_key):
            problem = f"was signed with the key {str(key)[:64]!r}, not with {key_id(self._public_key)!r}"
            raise RecordingDamaged(Finding("signature", event.offset, 0, problem))
        if self._path.name != session + SUFFIX:
            problem = f"is the recording of session {session}, under another name"
            raise RecordingDamaged(Finding("renamed", event.offset, 0, problem))

    def _check_signature(self, head: Head) -> None:
        frame = head.frame
        message = signed_message(self._uuid, frame.chain, frame.prefix, head.signed)
        try:
            self._public_key.verify(head.signature, message)
        except InvalidSignature:
            problem = (
                f"the signature at byte {frame.offset} is wrong: it, or something "
                f"from here on up to it, was changed and chained anew"
            )
            raise RecordingDamaged(Finding("signature", self._signed_offset, self.signed_events, problem)) from None
        self._signed_offset = frame.offset
        self.signed_events = frame.number + (frame.kind == END)
        self._first_unsigned = None

    def _check_unsigned(self, event: Event) -> None:
        if self._first_unsigned is None:
            self._first_unsigned = event.time
        if event.time - self._first_unsigned > MAX_UNSIGNED:
            problem = f"no signed head since byte {self._signed_offset}, for more than {MAX_UNSIGNED:.0f} s"
            raise RecordingDamaged(Finding("unsigned", event.offset, event.number, problem))


def _ending(recording: Recording, closed: ClosingHead | None) -> Finding | None:
    """What the audit log says about the end, against the end that is there."""
    if closed is None:
        return None
    if not recording.closed:
        missing = closed.length - recording.size
        problem = f"the audit log says that it was closed at {closed.length} bytes: {missing} are missing"
        if missing <= 0:
            problem = f"the audit log says that it was closed at {closed.length} bytes: its end was replaced"
        return Finding("cut", recording.size, recording.events, problem)
    if (closed.length, closed.head) != (recording.offset, recording.chain.hex()):
        problem = f"the audit log says that it ended at {closed.length} bytes with head {closed.head[:64]}"
        return Finding("replaced", recording.offset, recording.events, problem)
    return None
