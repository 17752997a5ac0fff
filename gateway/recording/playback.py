"""Playing a channel: what is drawn when. Pure: its user waits, draws and reads keys.

playback = Playback(moments(path, channel), size=channel.size, rows=24)
draw(playback.begin())
while (wait := playback.wait()) is not None:
    ... wait so many seconds (`waited` says that some of it passed) ...
    draw(playback.take())
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.errors import RecordingFailed
from gateway.recording.channels import Moment
from gateway.recording.format import RecordingDamaged
from gateway.recording.terminal import TerminalFilter, drawn_text

SPEEDS: Final = (0.05, 1000.0)
"""What speed may be."""
FASTER: Final = 1.5
"""What one key makes of it: three times are about 3x."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What became of a moment: ``text`` goes to the terminal, ``mark`` beside it. ``found``: it shows what was
    searched."""

    text: str = ""
    mark: str = ""
    found: bool = False


class Playback:
    """One channel's moments on the way to a terminal.

    size        columns and rows that the recorded terminal had
    rows        of ours; None, until `fit` says: it isn't told what scrolls
    speed       1: as it was
    idle_limit  seconds that nothing may happen for at most, as recorded; None: as long as it was
    start       seconds from the beginning: what is before is drawn at once
    """

    def __init__(
        self,
        moments: Iterator[Moment],
        *,
        size: tuple[int, int],
        rows: int | None = None,
        speed: float = 1.0,
        idle_limit: float | None = None,
        start: float = 0.0,
    ) -> None:
        self.filter = TerminalFilter()
        self.speed = speed
        self.paused = False
        self.position = 0.0
        """Seconds from the beginning."""
        self._moments = moments
        self._size = size
        self._rows = rows
        self._idle_limit = idle_limit
        self._start = start
        self._next: Moment | None = None
        self._broken: RecordingFailed | RecordingDamaged | None = None
        self._gap = 0.0
        self._wanted = self._needle = self._before = ""
        self._advance()

    @property
    def searches(self) -> str:
        """What is searched and not yet found."""
        return self._wanted if self._needle else ""

    @property
    def spares_rows(self) -> bool:
        """The terminal's last row is none of the recording's."""
        return self._rows is not None and self._size[1] < self._rows

    def begin(self) -> str:
        """What is drawn first: where the terminal scrolls, so that what was the last row there is the last one here."""
        return "" if self._rows is None else self.filter.resized(self._size if self.spares_rows else None)

    def fit(self, rows: int) -> str:
        """Our terminal has another size now; gives what is to be drawn."""
        self._rows = rows
        return self.begin()

    def wait(self) -> float | None:
        """Seconds until the next moment, at this speed; None: there is none. Pauses are the user's to wait.

        Raises RecordingFailed or RecordingDamaged when what follows can't be read.
        """
        if self._broken is not None:
            raise self._broken
        if self._next is None:
            return None
        if self._needle or self._next.time < self._start:
            return 0.0
        return self._gap / self.speed

    def waited(self, seconds: float) -> None:
        """So much time has passed, at this speed."""
        passed = min(seconds * self.speed, self._gap)
        self._gap -= passed
        self.position += passed

    def take(self) -> Drawn:
        """The next moment, whenever it would be."""
        moment = self._next
        if moment is None:
            return Drawn()
        self.position = moment.time
        drawn = self._drawn(moment)
        self._advance()
        return drawn

    def skip(self) -> None:
        """Wait no longer for the next moment."""
        self._gap = 0.0

    def faster(self) -> None:
        self.speed = min(self.speed * FASTER, SPEEDS[1])

    def slower(self) -> None:
        self.speed = max(self.speed / FASTER, SPEEDS[0])

    def search(self, text: str) -> None:
        """Draw all at once until ``text`` is shown, in any case; ``""`` ends that."""
        self._wanted, self._needle, self._before = text, text.casefold(), ""

    def _advance(self) -> None:
        try:
            self._next = next(self._moments, None)
        except (RecordingFailed, RecordingDamaged) as error:
            # Later: what is in front of it is to be drawn.
            self._next, self._broken = None, error
        if self._next is not None:
            gap = max(0.0, self._next.time - self.position)
            self._gap = gap if self._idle_limit is None else min(gap, self._idle_limit)

    def _drawn(self, moment: Moment) -> Drawn:
        match moment.kind:
            case "output":
                text = self.filter.feed(moment.text)
                return Drawn(text, found=self._found(text))
            case "resize":
                self._size = moment.size
                return Drawn(self.begin(), mark=f"resized to {moment.text}")
            case "mark":
                return Drawn(mark=moment.text)
            case "exit":
                return Drawn(mark=f"exit status {moment.text}")
            case _:
                # What was typed is in the output: it was echoed.
                return Drawn()

    def _found(self, text: str) -> bool:
        """Also where it is shown by several outputs. The first time ends the search."""
        if not self._needle:
            return False
        shown = self._before + drawn_text(text).casefold()
        if self._needle in shown:
            self._needle = ""
            return True
        self._before = shown[-(len(self._needle) - 1) :] if len(self._needle) > 1 else ""
        return False
