"""The log's files and lines: names, order, the chain over them. Reading only; `AuditLog` is the one writer.

Lines are never parsed as JSON here: a line's sequence number and hash lie at fixed places, and a look at bytes can't be
misled by what a caller wrote into a statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

GENESIS = bytes(32)
"""What the first line is chained to."""

_NAME = re.compile(r"audit-(\d{20})\.jsonl\Z")
_TIME = re.compile(rb'},"time":(\d{1,15}),')
_START = b'{"metadata":{"sequence":'
_CHAIN = b',"chain":"'
_END = b'"}}'
_HASH = re.compile(rb"[0-9a-f]{64}\Z")
_SUFFIX = len(_CHAIN) + 64 + len(_END)

MAX_LINE = 64 * 1024
"""Bytes; ours are below 8 KiB. A longer one is not ours, and is not read into memory."""


def segment_name(first: int) -> str:
    """The file whose first line has sequence number ``first``."""
    return f"audit-{first:020d}.jsonl"


def segments_of(directory: Path) -> list[Path]:
    """The log's files in order."""
    return sorted(path for path in directory.iterdir() if _NAME.match(path.name))


def first_sequence(segment: Path) -> int:
    match = _NAME.match(segment.name)
    if match is None:
        raise ValueError(f"{segment.name} is no segment of an audit log")
    return int(match.group(1))


def sequence_of(line: bytes) -> int | None:
    """A line's sequence number, None when it is no line of ours."""
    if not line.startswith(_START):
        return None
    number = line[len(_START) : line.find(b",", len(_START), len(_START) + 21)]
    return int(number) if number.isdigit() else None


def time_of(line: bytes) -> float:
    """When a line was written, unix seconds; 0 when it doesn't say."""
    found = _TIME.search(line)
    return int(found.group(1)) / 1000 if found else 0.0


def split_line(line: bytes) -> tuple[bytes, bytes] | None:
    """A line without its newline -> what is hashed, and the 32 hash bytes; None when it doesn't end as ours do."""
    if len(line) < _SUFFIX or not line.endswith(_END) or line[-_SUFFIX : -_SUFFIX + len(_CHAIN)] != _CHAIN:
        return None
    written = line[-len(_END) - 64 : -len(_END)]
    if not _HASH.match(written):  # stricter than bytes.fromhex, which lets capitals and spaces pass
        return None
    return line[:-_SUFFIX], bytes.fromhex(written.decode("ascii"))


def lines_of(segment: Path) -> Iterator[bytes]:
    """The file's lines with their newline; the last may lack it. One longer than `MAX_LINE` comes in pieces."""
    with segment.open("rb") as file:
        while line := file.readline(MAX_LINE):
            yield line


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a segment's chain ends.

    sequence  of the last good line, 0 when there is none
    chain     its hash
    offset    where it ends in the file, bytes
    rest      what lies behind it
    damaged   the rest has whole lines: no crash leaves that
    started   when its first line was written, unix seconds; 0 when there is none
    """

    sequence: int
    chain: bytes
    offset: int
    rest: bytes
    damaged: bool
    started: float


def chain_end(segment: Path) -> Tail:
    """Follows the chain through one segment. Its first line is taken at its word; `verify` checks the seam."""
    sequence, chain, offset, started = 0, GENESIS, 0, 0.0
    for line in lines_of(segment):
        split = split_line(line[:-1]) if line.endswith(b"\n") else None
        number = sequence_of(line)
        if split is None or number is None or (sequence and number != sequence + 1):
            break
        body, hashed = split
        if sequence and sha256(chain + body).digest() != hashed:
            break
        if not sequence:
            started = time_of(line)
        sequence, chain, offset = number, hashed, offset + len(line)
    with segment.open("rb") as file:
        file.seek(offset)
        rest = file.read()
    return Tail(sequence, chain, offset, rest, b"\n" in rest, started)
