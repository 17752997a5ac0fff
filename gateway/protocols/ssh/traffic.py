"""One session after login: its channels, between the caller's connection and the target's, until either side leaves.

Every exception here ends the session: nothing that failed half-way is let through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import asyncssh
import structlog
from twisted.internet.defer import Deferred

from gateway.errors import GatewayError, PeerError, SessionEnded, Unapproved
from gateway.identity import Restrictions
from gateway.model import Denial, SshOperation
from gateway.protocols.ssh import errors
from gateway.protocols.ssh.channel import Channel
from gateway.protocols.ssh.forwards import Forwards
from gateway.protocols.ssh.masks import OutputMasks
from gateway.protocols.ssh.transport import CallerChannel, CallerConnection
from gateway.protocols.ssh.upstream import Upstream
from gateway.recording import Recorded
from gateway.session import Corridor

log = structlog.get_logger()

MAX_UNSAID: Final = 8
"""Lines that wait for a channel on which the caller can be told."""

NO_TIME: Final = Denial("permission denied by policy: it takes an approval, and the request for it can't wait", "")


class Traffic:
    """One session's.

    restrictions  what the caller's certificate lets it do at most
    on_end        called once when it is over
    """

    def __init__(
        self,
        connection: CallerConnection,
        upstream: Upstream,
        corridor: Corridor,
        restrictions: Restrictions,
        masks: OutputMasks,
        *,
        on_end: Callable[[], None],
    ) -> None:
        self.corridor = corridor
        self.upstream = upstream
        self.restrictions = restrictions
        self.masks = masks
        self._connection = connection
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._channels: dict[int, Channel] = {}
        self._opened = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self._unsaid: list[str] = []
        self.forwards = Forwards(self, connection, upstream.connection)
        corridor.live.waits = self._waits
        corridor.live.runs_by = self._runs_by
        upstream.when_lost(self._target_lost)

    def _waits(self) -> bool:
        return not self.forwards.waits_for_people and not any(one.is_busy for one in self._channels.values())

    def _runs_by(self, grant: str) -> bool:
        return self.forwards.runs_by(grant) or any(channel.runs_by(grant) for channel in self._channels.values())

    # --- channels ---------------------------------------------------------------------------------------------

    def open(self) -> tuple[CallerChannel, Channel]:
        """A session channel for the caller. Raises ChannelOpenError when there are too many."""
        if self._over:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "the session is over")
        made = self._connection.create_channel()
        number = self.next_number()
        channel = self._channels[number] = Channel(self, number)
        return made, channel

    def adopt(self, made: CallerChannel) -> Channel:
        """The session's side of a channel that was open before the session began."""
        assert made.is_open, "somebody has chosen on it"
        number = self.next_number()
        channel = self._channels[number] = Channel(self, number)
        return channel

    def next_number(self) -> int:
        """Of a channel, from either side."""
        self._opened += 1
        return self._opened

    def say(self, lines: list[str]) -> None:
        """Tell the caller something that belongs to no channel of its own: on those that there are, or the next."""
        told = False
        for channel in tuple(self._channels.values()):
            told = channel.tell(lines) or told
        if not told:
            self._unsaid = [*self._unsaid, *lines][-MAX_UNSAID:]

    def unsaid(self) -> list[str]:
        """What could not be told yet; it is forgotten here."""
        lines, self._unsaid = self._unsaid, []
        return lines

    def left(self, channel: Channel) -> None:
        self._channels.pop(channel.number, None)

    def allows(self, operation: SshOperation) -> bool:
        """Whether policy lets something go at once, that can't wait for people. It is recorded."""
        try:
            try:
                denial = self.corridor.ask(operation, "request").denial
            except Unapproved:
                denial = self.corridor.settle(operation, "request", None, (), None, refusal=NO_TIME).denial
            recorded = self.corridor.commit()
            if isinstance(recorded, Deferred):
                recorded.addErrback(lambda failure: self.end(failure.value))
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self.end(error)
            return False
        return denial is None

    async def committed(self) -> Recorded:
        """All that was asked is recorded. Raises RecordingFailed."""
        recorded = self.corridor.commit()
        if isinstance(recorded, Deferred):
            return await recorded.asFuture(self._loop)
        return recorded

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; what it raises ends the session."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.end(error)

    # --- the end ----------------------------------------------------------------------------------------------

    def caller_lost(self, error: Exception | None) -> None:
        if self._over:
            return
        clean = error is None or isinstance(error, asyncssh.ConnectionLost)
        self._finish("the client left" if clean else f"the client's connection broke: {type(error).__name__}")

    def _target_lost(self, error: Exception | None) -> None:
        self.end(SessionEnded("the target closed the connection"))

    def end(self, error: BaseException | None) -> None:
        """End the session and tell the caller why. May be called more than once."""
        if self._over:
            return
        error = error or SessionEnded("the session ended")
        session = self.corridor.admitted.session
        if isinstance(error, GatewayError | PeerError):
            log.info("session ended", session=session, reason=str(error))
        else:
            log.error("session failed", session=session, exc_info=error)
        self._over = True
        for channel in tuple(self._channels.values()):
            channel.say_goodbye(error)
        self.forwards.end("ended")
        self._connection.disconnect(*errors.disconnect(error))
        self._finish(str(error) if isinstance(error, GatewayError | PeerError) else "the gateway failed")

    def _finish(self, reason: str) -> None:
        self._over = True
        for channel in tuple(self._channels.values()):
            channel.connection_lost(None)
        self.forwards.end("closed")
        for task in tuple(self._tasks):
            task.cancel()
        self.upstream.close()
        self.corridor.close(reason)
        self._on_end()
