"""A caller who has logged in and named no target: there is a menu, or a jump to a target, and nothing else.

No session has begun, and nothing is recorded, until one of the two leads to `Gate.admit`, as if the login had named the
target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol

import asyncssh
import structlog
from asyncssh.constants import EXTENDED_DATA_STDERR

from gateway.errors import GatewayError
from gateway.model import SshOperation
from gateway.protocols.ssh import errors, menu
from gateway.protocols.ssh.jump import Within
from gateway.protocols.ssh.operation import destination
from gateway.protocols.ssh.traffic import Traffic
from gateway.protocols.ssh.transport import CallerChannel, CallerConnection
from gateway.protocols.ssh.tunnels import Asked, Opening, TunnelChannel
from gateway.ssh_requests import is_harmless

log = structlog.get_logger()

IDLE: Final = 60.0
"""Seconds that a connection may be here with no channel at all."""

ANSWER: Final = 300.0
"""Seconds to answer the menu."""

TRIES: Final = 5
"""Answers to one menu that lead nowhere."""

MAX_JUMPS: Final = 16
"""Connections within one, at a time. Each is a login of its own."""

HOW: Final = (
    "no target is named: ssh LOGIN@TARGET@GATEWAY, or ssh -J GATEWAY LOGIN@TARGET",
    "With a terminal (ssh -t GATEWAY) there is a menu.",
)

Way = tuple[str, str]
"""Login and target."""


class Guest(Protocol):
    """Whose lobby it is: the caller's side of the connection."""

    def ways(self) -> tuple[Way, ...]:
        """All that policy lets it reach."""

    async def enter(self, way: Way, tell: Callable[[list[str]], None]) -> Traffic:
        """Begin the session. Raises GatewayError."""

    def jump(self, target: str) -> Callable[[], CallerConnection]:
        """Makes the connection within a channel to ``target``. Raises ChannelOpenError."""


class Delayed(Protocol):
    """What a reactor's ``callLater`` gives."""

    def active(self) -> object: ...

    def cancel(self) -> object: ...


class Lobby:
    """One connection's. ``later`` calls a function after so many seconds."""

    def __init__(
        self, connection: CallerConnection, guest: Guest, later: Callable[[float, Callable[[], None]], Delayed]
    ) -> None:
        self.later = later
        self._connection = connection
        self._guest = guest
        self._jumps: set[TunnelChannel] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer = later(IDLE, self._look)

    def _look(self) -> None:
        if self._connection._channels:
            self._timer = self.later(IDLE, self._look)
        else:
            self._connection.disconnect(asyncssh.DISC_BY_APPLICATION, "nothing was asked for")

    def close(self) -> None:
        """The caller left, or a session has begun."""
        if self._timer.active():
            self._timer.cancel()
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()

    def session_requested(self) -> tuple[CallerChannel, Menu]:
        """A session channel: the menu's."""
        return self._connection.create_channel(), Menu(self, self._guest)

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a caller without a target failed", exc_info=error)
            self._connection.disconnect(*errors.disconnect(error))

    def tunnel(self, asked: Asked) -> Opening:
        """A connection to a target, by its name. Raises ChannelOpenError."""
        if asked.kind != b"direct-tcpip" or asked.place is None or asked.place.port is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, HOW[0])
        place = destination(asked.place.host.decode("utf-8", "replace"), asked.place.port)
        name, _, port = (place or "").rpartition(":")
        if port != "22":
            why = "only targets can be reached, by their names, on port 22"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, why)
        self._jumps = {channel for channel in self._jumps if channel._conn is not None}
        if len(self._jumps) >= MAX_JUMPS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many connections within this one")
        begin = self._guest.jump(name)
        channel = TunnelChannel(self._connection)
        self._jumps.add(channel)
        return channel, _at_once(Within(begin, self._connection))


async def _at_once(session: asyncssh.SSHTCPSession[bytes]) -> asyncssh.SSHTCPSession[bytes]:
    return session


class Menu(asyncssh.SSHServerSession[bytes]):
    """A session channel of the lobby: the menu on a terminal, or a word on how to name a target."""

    def __init__(self, lobby: Lobby, guest: Guest) -> None:
        self._lobby = lobby
        self._guest = guest
        self._channel: CallerChannel | None = None
        self._terminal: tuple[str, tuple[int, int, int, int], dict[int, int]] | None = None
        self._line: menu.Line | None = None
        self._answered: asyncio.Future[str] | None = None
        self._ahead = b""

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        assert isinstance(chan, CallerChannel)
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: tuple[int, int, int, int], term_modes: object) -> bool:
        assert isinstance(term_modes, dict)
        self._terminal = (term_type, term_size, term_modes)
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._terminal is not None:
            self._terminal = (self._terminal[0], (width, height, pixwidth, pixheight), self._terminal[2])

    # What `gateway.protocols.ssh.transport.ChannelOwner` asks.

    def asked(self, request: str, argument: bytes) -> None:
        channel = self._channel
        assert channel is not None, "an open channel's"
        channel.answer(True)
        if request == "shell" and self._terminal is not None:
            self._lobby.spawn(self._choose(channel))
        else:
            self._leave(list(HOW), errors.DENIED)

    def lends(self, operation: SshOperation, request: bytes, fields: tuple[bytes, ...]) -> None:
        if self._channel is not None:
            self._channel.answer_lent(False)

    def may_set(self, name: str, value: str) -> bool:
        return is_harmless(name, value)

    def wants_out(self) -> None:
        pass

    def wants_no_output(self) -> None:
        pass

    def awaits_end(self) -> bool:
        return False

    def data_received(self, data: bytes, datatype: object) -> None:
        line, channel = self._line, self._channel
        if line is None or channel is None or not channel.is_open:
            return
        channel.write(line.keys(data))
        if line.ended is not None:
            # What is typed ahead is for the shell, or the next answer.
            self._ahead = line.ahead
            channel.pause_reading()
            self._settle(line.ended)

    def eof_received(self) -> bool:
        self._settle("")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        self._settle("")

    def _settle(self, answer: str) -> None:
        self._line = None
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(answer)

    async def _choose(self, channel: CallerChannel) -> None:
        ways = self._guest.ways()
        if not ways:
            self._leave(["there is no target that you may connect to"], errors.DENIED)
            return
        self._say(menu.listing(ways))
        for _ in range(TRIES):
            self._say(menu.PROMPT)
            timer = self._lobby.later(ANSWER, partial(self._settle, ""))
            try:
                answer = await self._answer()
            finally:
                if timer.active():
                    timer.cancel()
            if not answer or self._is_gone():
                break
            try:
                way = menu.chosen(answer, ways)
                traffic = await self._guest.enter(way, self._tell)
            except ValueError as error:
                self._tell([str(error)])
            except GatewayError as error:
                self._tell([error.message, *([error.hint] if error.hint else [])])
            else:
                if self._is_gone():
                    traffic.end(None)
                else:
                    self._go_on(traffic, channel)
                return
        self._leave([], 0)

    def _is_gone(self) -> bool:
        """Asked again after each wait."""
        return self._channel is None

    async def _answer(self) -> str:
        self._line = menu.Line()
        self._answered = asyncio.get_running_loop().create_future()
        ahead, self._ahead = self._ahead, b""
        if ahead:
            self.data_received(ahead, None)
        if self._channel is not None and self._line is not None:
            self._channel.resume_reading()
        return await self._answered

    def _go_on(self, traffic: Traffic, channel: CallerChannel) -> None:
        """The channel is the session's from here on, as if it had just been opened, and a shell asked for."""
        assert self._terminal is not None, "there is no menu without one"
        taken = traffic.adopt(channel)
        self._channel = None
        taken.connection_made(channel)
        if not taken.pty_requested(*self._terminal):
            traffic.end(None)
            return
        channel.hand_over(taken, self._ahead)
        taken.asked("shell", b"")

    def _tell(self, lines: list[str]) -> None:
        self._say(errors.stderr(lines, terminal=True).decode())

    def _say(self, text: str) -> None:
        if self._channel is not None and self._channel.is_open:
            self._channel.write(text.encode())

    def _leave(self, lines: list[str], status: int) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        if lines:
            text: Any = errors.stderr(lines, terminal=self._terminal is not None)
            channel.write(text, EXTENDED_DATA_STDERR)
        channel.write_eof()
        channel.behind_data(lambda: channel.send_exit_status(status))
        channel.behind_data(channel.close)
