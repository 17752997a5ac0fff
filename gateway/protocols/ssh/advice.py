"""What policy says of lines typed in a terminal (`ssh.typed`): warn, hold at Enter, refuse, end. Best effort.

Keys pass at once, but for Enter: where the line that it ends could match, Enter waits until the target has shown the
line. What is not shown (a password) is not kept, and passes.

    open    keys go to the target as they come
    held    an Enter waits: for its echo, the recording, approvers. What is typed meanwhile waits behind it

Anything raised here ends the session, as everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from gateway.errors import SessionEnded
from gateway.model import Denial
from gateway.policy import CompiledEntry
from gateway.protocols.ssh import operation as operations
from gateway.protocols.ssh.consent import Consent
from gateway.protocols.ssh.line import Keys, Shown
from gateway.recording import Recorded
from gateway.session import Corridor
from gateway.ssh_requests import BEST_EFFORT

ECHO: Final = 1.0
"""Seconds that a line which matches waits to be shown. Only a matching line that isn't shown takes so long: a password,
or a target a second away."""

SETTLED: Final = 0.3
"""Seconds that Enter waits for output behind a key that isn't understood (a completion, history), when it comes in the
same packet. People take longer."""

MAX_HELD: Final = 65536
"""Bytes typed while an Enter is held; beyond, the caller is not read."""

INTERRUPT: Final = b"\x03"
"""Ctrl-C. It clears a line, too: with what stands behind the cursor, and in vi's mode, as Ctrl-U does not. With both,
bash now and then shows no new prompt."""

HELD: Final = f"The line is held at Enter, Ctrl-C takes it back; {BEST_EFFORT}."


class Terminal(Protocol):
    """What advice does with its channel."""

    def type(self, data: bytes) -> None:
        """Sends keys to the target."""

    def advise(self, lines: list[str]) -> None:
        """Shows lines to the caller, below what is being typed."""

    def end_of_input(self) -> None:
        """The caller sends no more."""

    def wait(self, waits: bool) -> None:
        """Whether the caller is not to be read."""


class Advice:
    """One terminal's.

    committed  gives the proof that what was asked is in the recording
    spawn      runs what waits, and ends the session by what it raises
    end        ends the session
    """

    def __init__(
        self,
        terminal: Terminal,
        channel: int,
        columns: int,
        corridor: Corridor,
        consent: Consent,
        *,
        committed: Callable[[], Coroutine[Any, Any, Recorded]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        end: Callable[[BaseException], None],
    ) -> None:
        self._terminal = terminal
        self._channel = channel
        self._corridor = corridor
        self._consent = consent
        self._committed = committed
        self._spawn = spawn
        self._end = end
        self._keys = Keys()
        self._shown = Shown(columns)
        self._answered = True
        """The target showed something since the last key."""
        self._behind: bytearray | None = None
        self._ended = False
        self._taken_back = False
        self._changed: asyncio.Event = asyncio.Event()
        self._closed = False

    @property
    def holding(self) -> bool:
        return self._behind is not None

    def resize(self, columns: int) -> None:
        self._shown.resize(columns)

    def shown(self, data: bytes) -> None:
        """What the caller is shown."""
        self._shown.feed(data, edited=self._keys.begun)
        self._answered = True
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    def keys(self, data: bytes) -> None:
        """What the caller typed. Raises SessionEnded, RecordingFailed."""
        if self._behind is not None:
            self._type_behind(data)
            return
        position = 0
        while position < len(data):
            if self._shown.alternate:
                # A program that has the screen: its Enter ends no line.
                self._keys.restart()
                self._terminal.type(data[position:])
                return
            if not self._keys.begun:
                self._shown.begin()
                self._keys.brackets = self._shown.brackets
            enter = self._keys.until_enter(data, position)
            if enter > position:
                self._answered = False
                self._terminal.type(data[position:enter])
            if enter == len(data):
                return
            position = enter + 1
            if self._waits():
                self._behind = bytearray(data[position:])
                self._taken_back = False
                self._spawn(self._judge(data[enter:position]))
                return
            self._keys.restart()
            self._terminal.type(data[enter:position])

    def end_of_input(self) -> None:
        """The caller sends no more: the target hears it behind all that is held."""
        self._ended = True
        if not self.holding:
            self._terminal.end_of_input()

    def _type_behind(self, data: bytes) -> None:
        assert self._behind is not None, "an Enter is held"
        last = data.rfind(INTERRUPT)
        if last >= 0:
            self._behind.clear()
            self._taken_back = True
            self._consent.cancel()
            self._changed.set()
        self._behind += data[last + 1 :]
        if len(self._behind) > MAX_HELD:
            self._terminal.wait(True)

    def _waits(self) -> bool:
        """Whether the line could match, as far as it is known now."""
        if not self._keys.begun:
            return False
        if self._keys.known:
            return bool(self._advice(self._keys.text))
        return not self._answered or bool(self._advice(self._shown.text))

    def _advice(self, line: str) -> Sequence[CompiledEntry]:
        policy = self._corridor.newest_policy()
        return policy.advice(operations.typed(line, self._channel), self._corridor.clock()) if line else ()

    async def _judge(self, enter: bytes) -> None:
        line = await self._line()
        goes = not self._taken_back and (line is None or await self._may_go(line)) and not self._taken_back
        if self._closed:
            return
        behind, self._behind = self._behind or b"", None
        self._terminal.wait(False)
        self._keys.restart()
        if goes:
            self._terminal.type(enter)
        else:
            # What was typed behind the line took it for granted; but not what was typed behind a Ctrl-C.
            self._terminal.type(INTERRUPT)
            behind = behind if self._taken_back else b""
        self.keys(bytes(behind))
        if self._ended and not self.holding:
            self._terminal.end_of_input()

    async def _line(self) -> str | None:
        """The line, as the target has shown it; None: it does not show it."""
        if self._keys.known:
            text = self._keys.text
            return text if await self._until(lambda: self._shown.has(text), ECHO) else None
        await self._until(lambda: self._answered, SETTLED)
        return self._shown.text or None

    async def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Waits for output after which it ``holds``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not holds():
            self._changed.clear()
            left = end - loop.time()
            if left <= 0 or self._closed or self._taken_back:
                return False
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return holds()
        return True

    async def _may_go(self, line: str) -> bool:
        """Policy's word on a line that matches. Raises RecordingFailed, SessionEnded, StoreFailed: end the session."""
        if not self._advice(line):
            return True
        asked = operations.typed(line, self._channel)
        verdict = await self._consent.verdict(asked, b"typed " + line.encode("utf-8", "surrogateescape"))
        await self._committed()
        if self._closed:
            return False
        self._corridor.result(verdict.number, "sent" if verdict.denial is None else "cleared", 0, 0)
        found = self._advice(line)
        if verdict.denial is None:
            warnings = [entry for entry in found if entry.typed == "warn"]
            if warnings:
                self._terminal.advise(_warning(warnings))
            return True
        ending = [entry for entry in found if entry.typed == "end"]
        if ending and not verdict.denial.cancelled:
            self._end(_end(ending))
            return False
        self._terminal.advise(_refusal(verdict.denial))
        return False


def _warning(entries: Sequence[CompiledEntry]) -> list[str]:
    said = [f"{entry.name}: {entry.message}" if entry.message else entry.name for entry in entries]
    return [*(f"warning: {words}" for words in sorted(said)), f"This is no more than advice: {BEST_EFFORT}."]


def _refusal(denial: Denial) -> list[str]:
    if denial.cancelled:
        return ["the line was taken back, and not sent"]
    words = [f"the line was not sent: {denial.message}", denial.detail, denial.hint or ""]
    return [*filter(None, words), f"Note: {BEST_EFFORT}."]


def _end(entries: Sequence[CompiledEntry]) -> SessionEnded:
    rules = ", ".join(sorted(f'"{entry.name}"' for entry in entries))
    message = next((entry.message for entry in entries if entry.message), "")
    hint = f"{message}. {BEST_EFFORT}" if message else BEST_EFFORT
    return SessionEnded(f"policy ends this session for what was typed: {rules}", hint=f"{hint[:1].upper()}{hint[1:]}.")
