"""Checks a log offline: every line's hash, every sequence number, every seam between files.

The chain shows what was changed, reordered or removed inside the log. What was cut off at the end it can't show: for
that, give the newest line that somebody else holds (a SIEM has the sequence number and chain hash of each event).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.audit.segments import GENESIS, first_sequence, lines_of, segments_of, sequence_of, split_line


@dataclass(frozen=True, slots=True)
class Anchor:
    """A line that somebody else holds: its sequence number and chain hash (hex)."""

    sequence: int
    head: str


@dataclass(frozen=True, slots=True)
class WrongLine:
    """The first line that is wrong; ``line`` counts from 1, ``offset`` is its first byte in the file."""

    file: str
    line: int
    offset: int
    problem: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What `verify_log` found.

    wrong       the first wrong line, None when all fit
    segments    files read
    events      good lines
    first       sequence number of the first line; above 1 when older files are not there
    last        sequence number of the last good line
    head        its hash, hex
    unfinished  bytes of a last line without its end: being written right now, or torn by a crash
    set_aside   files that hold torn ends of earlier crashes
    """

    wrong: WrongLine | None
    segments: int
    events: int
    first: int
    last: int
    head: str
    unfinished: int
    set_aside: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.wrong is None


def verify_log(directory: Path, anchor: Anchor | None = None) -> LogReport:
    """Reads the whole log. Raises OSError when it can't be read.

    anchor  a line known from elsewhere: the log must hold just that
    """
    walk = _Walk(anchor)
    segments = segments_of(directory)
    wrong: WrongLine | None = None
    for segment in segments:
        wrong = walk.segment(segment, last=segment is segments[-1])
        if wrong is not None:
            break
    if wrong is None and anchor is not None and not walk.anchored:
        name = segments[-1].name if segments else str(directory)
        wrong = WrongLine(name, 0, 0, f"event {anchor.sequence} is not in the log: it was cut at an end")
    return LogReport(
        wrong=wrong,
        segments=len(segments),
        events=walk.events,
        first=walk.first,
        last=walk.sequence,
        head=walk.chain.hex(),
        unfinished=walk.unfinished,
        set_aside=tuple(sorted(path.name for path in directory.glob("audit-*.jsonl.torn-*"))),
    )


class _Walk:
    """Where the check is in the chain."""

    def __init__(self, anchor: Anchor | None) -> None:
        self.anchor = anchor
        self.anchored = False
        self.events = self.first = self.sequence = self.unfinished = 0
        self.chain = GENESIS

    def segment(self, segment: Path, *, last: bool) -> WrongLine | None:
        offset = 0
        size = segment.stat().st_size if last else 0
        for number, line in enumerate(lines_of(segment), 1):
            if last and not line.endswith(b"\n") and offset + len(line) >= size:
                self.unfinished = len(line)
                return None
            problem = self.line(line, first_sequence(segment) if number == 1 else None)
            if problem is not None:
                return WrongLine(segment.name, number, offset, problem)
            offset += len(line)
        return None

    def line(self, line: bytes, named: int | None) -> str | None:
        """Takes one line in, or says what is wrong with it. ``named``: the number that the file's name promises."""
        split = split_line(line[:-1]) if line.endswith(b"\n") else None
        sequence = sequence_of(line)
        if split is None or sequence is None:
            return "is no line of an audit log"
        body, hashed = split
        if not self.sequence:
            if named is not None and sequence != named:
                return f"is event {sequence}, but its file's name says {named}"
            if sequence > 1:
                # Older files were removed: that their last line had this hash is the first line's own word.
                self.chain = _named_previous(body)
            self.first = sequence
        elif sequence != self.sequence + 1:
            return f"is event {sequence}, but event {self.sequence + 1} should follow"
        if sha256(self.chain + body).digest() != hashed:
            return f"event {sequence} does not fit its chain hash: it, or the line before it, was changed"
        self.sequence, self.chain = sequence, hashed
        self.events += 1
        if self.anchor is not None and sequence == self.anchor.sequence:
            self.anchored = True
            if hashed.hex() != self.anchor.head:
                return f"event {sequence} has another chain hash than the anchor: the log was rewritten up to here"
        return None


_PREVIOUS = b'"previous_head":"'


def _named_previous(body: bytes) -> bytes:
    """The hash that a segment's first line says the line before it had."""
    start = body.rfind(_PREVIOUS) + len(_PREVIOUS)
    try:
        return bytes.fromhex(body[start : start + 64].decode("ascii"))
    except ValueError:
        return GENESIS
