"""What somebody types, kept only where the target has echoed it: so a password that is asked for is not kept."""

from __future__ import annotations

from typing import Final

MAX_TYPED: Final = 4096
"""Bytes that wait for their echo: a terminal's longest line (N_TTY_BUF_SIZE)."""


class Typed:
    """Keys of one terminal, in order. Its output says which of them were echoed."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def keys(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) > MAX_TYPED:
            # A paste: what stands in front of it is not echoed any more.
            del self._waiting[:-MAX_TYPED]

    def echoed(self, output: bytes) -> bytes:
        """What of the keys begins ``output``; they, and those before them that were not echoed, wait no more.

        What is not echoed at once (a password, a key of an editor) is given up, not kept for later: output that only
        happens to look alike is no echo of it.
        """
        waiting = bytes(self._waiting)
        if not waiting:
            return b""
        self._waiting.clear()
        # Enter is sent as CR and comes back as CR LF.
        found = 0
        position = 0
        while found < len(waiting) and output.startswith(waiting[found : found + 1], position):
            position += 1
            if waiting[found] == 0x0D and output.startswith(b"\n", position):
                position += 1
            found += 1
        if found < len(waiting) and position == len(output):
            # The rest of the echo is in the next piece.
            self._waiting += waiting[found:]
        return waiting[:found]
