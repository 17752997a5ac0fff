"""The terminal of whoever watches a replay: keys, a line for what happens, and everything as before at the end.

What is drawn comes from a `TerminalFilter`, so nothing is ever asked of the terminal. It is restored however this ends:
at the end, by q, by an exception, by SIGINT, SIGTERM, SIGHUP, SIGQUIT, and while it is stopped (SIGTSTP).
"""

from __future__ import annotations

import os
import re
import select
import signal
import termios
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, Self

from gateway.recording.playback import Playback

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

KEYS: Final = "space: pause  + -: speed  . right: step  /: search  q: quit"

READ: Final = 64
"""Bytes of keys that are taken at a time: what is behind a q stays with the terminal, and is thrown away there."""

POLL: Final = 0.5
"""Seconds after which a terminal is looked at that has another size, or is ours again."""

_KEY = re.compile(rb"\x1b(?:\[|O)[0-9;]*[@-~]|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*|[\x80-\xbf]")
_RIGHT = ("\x1b[C", "\x1bOC")


class Stopped(BaseException):
    """A signal ends it; not an Exception, so that nothing takes it for an error to go on from."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Quit(Exception):
    """Whoever watches has seen enough, or is gone."""


class Screen:
    """The terminal, in a ``with``.

    output  its descriptor, keys  where keys come from; None: there are none
    encoding  what it writes; anything but UTF-8 gets ASCII, whose bytes mean the same everywhere
    """

    def __init__(self, output: int, keys: int | None, *, encoding: str) -> None:
        self.columns, self.rows = 80, 24
        self.resized = False
        """Its size has changed since that was last set to False."""
        self.on_stop: Callable[[], str] = str
        """Gives what undoes all that was drawn."""
        self.interrupted = False
        """It was stopped and goes on; what was drawn is gone."""
        self._output = output
        self._keys = keys
        self._encoding = "utf-8" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else "ascii"
        self._waiting: list[str] = []
        self._saved: list[object] | None = None
        self._handlers: dict[int, object] = {}
        self._line = ""
        self._cleared = False
        self.measure()

    @property
    def has_keys(self) -> bool:
        return self._keys is not None

    def __enter__(self) -> Self:
        try:
            for number in ENDING:
                self._handlers[number] = signal.signal(number, self._end)
            self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
            self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._window)
            self._take()
        except BaseException:
            # A signal that came already: nobody else would call it.
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in ENDING:
            # Another one must not come in between.
            signal.signal(number, signal.SIG_IGN)
        self._give_back()
        for restored, handler in self._handlers.items():
            signal.signal(restored, handler)  # type: ignore[arg-type]

    def measure(self) -> None:
        """How large it is now."""
        with suppress(OSError):
            self.columns, self.rows = os.get_terminal_size(self._output)
        # Some say 0 when they don't know.
        self.columns, self.rows = max(self.columns, 20), max(self.rows, 2)

    def clear(self) -> None:
        """An empty screen; what was there moves up, out of sight."""
        self._cleared = True
        self.draw(f"\x1b[{self.rows};1H" + "\n" * self.rows + "\x1b[H\x1b[2J")

    def draw(self, text: str) -> None:
        """Raises Quit when the terminal is gone."""
        data = memoryview(text.encode(self._encoding, "replace"))
        while data:
            try:
                data = data[os.write(self._output, data) :]
            except BlockingIOError:
                select.select([], [self._output], [])
            except OSError as error:
                raise Quit from error

    def say(self, text: str) -> None:
        """On the last row, over what is there. ``""``: nothing is said any more."""
        if not text and not self._line:
            return
        self._line = text
        # ASCII, so that its width is known: a line that wraps would scroll.
        words = text.encode("ascii", "backslashreplace").decode("ascii")[: self.columns - 1]
        shown = f"\x1b[0;7m{words}" if words else ""
        self.draw(f"\x1b7\x1b[{self.rows};1H\x1b(B\x0f{shown}\x1b[0m\x1b[K\x1b8")

    def key(self, seconds: float | None) -> str | None:
        """The next key; None when there was none for so long (None: as long as it takes). Raises Quit at their end."""
        if self._waiting:
            return self._waiting.pop(0)
        if self._keys is None:
            if seconds:
                time.sleep(seconds)
            return None
        ready, _, _ = select.select([self._keys], [], [], seconds)
        if not ready:
            return None
        try:
            data = os.read(self._keys, READ)
        except OSError as error:
            raise Quit from error
        if not data:
            raise Quit
        self._waiting = [one.decode("utf-8", "replace") for one in _KEY.findall(data)]
        return self._waiting.pop(0)

    def ask(self, question: str) -> str:
        """A line that is typed on the last row; ``""``: none, or Escape."""
        answer = ""
        while True:
            self.say(f"{question}{answer}")
            key = self.key(None)
            if key in ("\r", "\n"):
                return answer
            if key in ("\x1b", "\x15"):
                return ""
            if key in ("\x7f", "\b"):
                answer = answer[:-1]
            elif key is not None and key.isprintable():
                answer += key

    def _take(self) -> None:
        if self._keys is not None:
            with suppress(termios.error):
                self._saved = termios.tcgetattr(self._keys)
                tty.setcbreak(self._keys, termios.TCSANOW)

    def _give_back(self) -> None:
        with suppress(Quit):
            undone = self.on_stop()
            if self._cleared:
                # Below everything, for what is printed next.
                undone += f"\x1b[{self.rows};1H" + ("\x1b[K" if self._line else "") + "\r\n"
            self.draw(undone)
        if self._keys is not None and self._saved is not None:
            with suppress(termios.error):
                # What was typed and not read was meant for the replay, not for the shell behind it.
                termios.tcflush(self._keys, termios.TCIFLUSH)
                termios.tcsetattr(self._keys, termios.TCSANOW, self._saved)  # type: ignore[arg-type]

    def _end(self, number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Goes on here, after SIGCONT.
        signal.signal(signal.SIGTSTP, self._stop)
        self._take()
        self.measure()
        self.interrupted = True

    def _window(self, _number: int, _frame: FrameType | None) -> None:
        self.resized = True


def play(playback: Playback, screen: Screen, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Until the end of the recording. Raises Quit, Stopped, and RecordingFailed for what can't be read."""
    screen.on_stop = playback.filter.restored
    screen.clear()
    screen.draw(playback.fit(screen.rows))
    _say(playback, screen, KEYS if screen.has_keys else "")
    while (wait := playback.wait()) is not None:
        _refit(playback, screen)
        stands = playback.paused and not playback.searches
        began = clock()
        key = screen.key(POLL if stands else min(wait, POLL))
        if not stands:
            playback.waited(clock() - began)
        if key is not None:
            _obey(key, playback, screen)
        elif not stands and wait <= POLL:
            _show_next(playback, screen)


def _show_next(playback: Playback, screen: Screen) -> None:
    drawn = playback.take()
    screen.draw(drawn.text)
    if drawn.found and screen.has_keys:
        playback.paused = True
        _say(playback, screen, "found")
    elif drawn.mark or playback.paused:
        _say(playback, screen, drawn.mark)


def _obey(key: str, playback: Playback, screen: Screen) -> None:
    if key == " ":
        playback.paused = not playback.paused
    elif key == "+":
        playback.faster()
    elif key == "-":
        playback.slower()
    elif key == "." or key in _RIGHT:
        if playback.paused:
            _show_next(playback, screen)
            return
        playback.skip()
    elif key == "/":
        playback.search(screen.ask("search: "))
    elif key in ("q", "Q"):
        raise Quit
    else:
        _say(playback, screen, KEYS)
        return
    _say(playback, screen, "searching" if playback.searches else "")


def _refit(playback: Playback, screen: Screen) -> None:
    if screen.interrupted:
        screen.interrupted = False
        playback.paused = screen.has_keys
        screen.clear()
        screen.draw(playback.fit(screen.rows))
        _say(playback, screen, "goes on; what was here is gone")
    if screen.resized:
        screen.resized = False
        screen.measure()
        screen.draw(playback.fit(screen.rows))
        _say(playback, screen, "")


def _say(playback: Playback, screen: Screen, words: str) -> None:
    """On a row of its own, or while it is paused: over what is there."""
    if not (playback.spares_rows or playback.paused or playback.searches):
        screen.say("")
        return
    minutes, seconds = divmod(int(playback.position), 60)
    state = "paused" if playback.paused else f"{playback.speed:.3g}x"
    screen.say(f" {minutes:02}:{seconds:02} {state}  {words}".rstrip() + " ")
