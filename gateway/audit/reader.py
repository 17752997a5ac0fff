"""Reads on from a sequence number, over segments, without ever waiting: the log is the sinks' spool."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from gateway.audit.segments import MAX_LINE, first_sequence, segments_of, sequence_of

CHUNK = 64 * 1024
"""Bytes read at once: about 70 events, below 1 ms of the reactor's time together with what is made of them, so that
a sink that catches up does not hold up the sessions."""


class LogReader:
    """Lines after ``after``, in order; each once.

    position  sequence number of the last line given (at first, ``after``)
    gaps      (first, last) of numbers that are not in the log: a file is gone, or damaged; the owner takes them out
    at_end    the last `read` found no more
    """

    def __init__(self, directory: Path, after: int) -> None:
        self.position = after
        self.gaps: list[tuple[int, int]] = []
        self.at_end = False
        self._directory = directory
        self._file: BinaryIO | None = None
        self._segment = ""
        self._rest = b""

    def read(self) -> list[tuple[int, bytes]]:
        """What one chunk of the log holds: (sequence, line without newline). May be empty and not `at_end`.

        Raises OSError when the log can't be read.
        """
        self.at_end = False
        if self._file is None and not self._open_next():
            self.at_end = True
            return []
        assert self._file is not None
        data = self._file.read(CHUNK)
        if not data:
            self.at_end = not self._open_next()
            return []
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_LINE:
            self._rest = b""  # no line of ours: what follows it shows as a gap
        return [found for line in lines if (found := self._accept(line)) is not None]

    def _accept(self, line: bytes) -> tuple[int, bytes] | None:
        sequence = sequence_of(line)
        if sequence is None or sequence <= self.position:
            return None
        if sequence > self.position + 1:
            self.gaps.append((self.position + 1, sequence - 1))
        self.position = sequence
        return sequence, line

    def _open_next(self) -> bool:
        """Goes on to the file after the present one; at first, to the one that holds the line after `position`."""
        segments = segments_of(self._directory)
        if self._segment:
            following = [segment for segment in segments if segment.name > self._segment]
        else:
            held = [segment for segment in segments if first_sequence(segment) <= self.position + 1]
            following = held[-1:] or segments
        if not following:
            return False
        opened = following[0].open("rb")
        self.close()
        self._file, self._segment, self._rest = opened, following[0].name, b""
        return True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
