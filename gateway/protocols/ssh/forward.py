"""One forwarded connection: two channels, each paused while the other can't keep up.

Whoever opens it (the caller for ``-L`` and ``-W``, the target for ``-R``, an agent, a display) hears that it stands
when the other side does. What goes through is not looked into: the recording has who, where to, how much, and how it
ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncssh

from gateway.errors import GatewayError
from gateway.protocols.ssh import errors
from gateway.protocols.ssh.transport import LINGER
from gateway.protocols.ssh.tunnels import Asked, TunnelChannel

if TYPE_CHECKING:
    from gateway.protocols.ssh.traffic import Traffic

STALL: Final = 60.0
"""Seconds without a byte taken, until what is left for a side is given up because the other has closed."""


class _End(asyncssh.SSHTCPSession[bytes]):
    """One of the two channels.

    taken  bytes that came from it
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self.other: _End = self
        self.channel: TunnelChannel | None = None
        self.taken = 0
        self.gone = False
        self._no_more = False

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        assert isinstance(chan, TunnelChannel)
        self.channel = chan
        # Not before both stand.
        chan.pause_reading()

    def session_started(self) -> None:
        self._forward.stands()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self.taken += len(data)
        self._forward.carry(self.other, data)

    def eof_received(self) -> bool:
        self._no_more = True
        self.other.end_of_data()
        return True

    def pause_writing(self) -> None:
        if self.other.channel is not None:
            self.other.channel.pause_reading()

    def resume_writing(self) -> None:
        if self.other.channel is not None:
            self.other.channel.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, and all that came from it was handed on."""
        self.gone = True
        self.channel = None
        self._forward.side_gone(self)

    def write(self, data: bytes) -> None:
        if self.channel is not None and self.channel.is_open:
            self.channel.write(data)

    def catch_up(self) -> None:
        """What the other side did before this one stood."""
        if self.other._no_more:
            self.end_of_data()
        if self.other.gone:
            self.close_behind_data()

    def end_of_data(self) -> None:
        if self.channel is not None and self.channel.is_open:
            self.channel.write_eof()

    def close_behind_data(self) -> None:
        channel = self.channel
        if channel is not None:
            channel.behind_data(channel.close)
            self._see_off(-1)

    def _see_off(self, before: int) -> None:
        """Close in any case, when what is left is not taken any more."""
        channel = self.channel
        if channel is None:
            return
        left = channel.get_write_buffer_size()
        if left == before:
            channel.abort()
            return
        asyncio.get_running_loop().call_later(STALL if left else LINGER, self._see_off, left)

    def abort(self) -> None:
        if self.channel is not None:
            self.channel.abort()


class Forward:
    """One of a session's.

    number     of its channel in the session
    operation  the number of the one that let it go
    grant      the approval by which it goes on, empty: it needed none
    """

    def __init__(self, traffic: Traffic, number: int, operation: int, grant: str, asked: Asked) -> None:
        self.number = number
        self.operation = operation
        self.grant = grant
        self._traffic = traffic
        self.opener, self.far = _End(self), _End(self)
        self.opener.other, self.far.other = self.far, self.opener
        self._from_caller = asked.kind.startswith(b"direct-")
        self._origin = _shown(asked)
        self._over = False

    async def open(self, channel: TunnelChannel, asked: Asked) -> _End:
        """Have the far side open it; the session of whoever asked. Raises ChannelOpenError, RecordingFailed."""
        try:
            await channel.open(asked, lambda: self.far)
        except asyncssh.ChannelOpenError as error:
            self._over = True
            self._traffic.corridor.result(
                self.operation, f"refused: {errors.plain(error.reason)[: errors.MAX_WHY]}", 0, 0
            )
            raise asyncssh.ChannelOpenError(error.code, errors.plain(error.reason)[: errors.MAX_WHY]) from None
        fields: dict[str, object] = {"channel": self.number, "operation": self.operation}
        if self._origin:
            fields["origin"] = self._origin
        self._traffic.corridor.note("forward", **fields)
        return self.opener

    def stands(self) -> None:
        """One side does. Nothing is read from either before both do."""
        if self.opener.channel is None:
            return
        for side in (self.opener, self.far):
            if side.channel is not None:
                side.channel.resume_reading()
        self.opener.catch_up()

    def carry(self, to: _End, data: bytes) -> None:
        if self._over:
            return
        try:
            self._traffic.corridor.active()
            to.write(data)
        except Exception as error:  # noqa: BLE001  # whatever it was, nothing more may be let through
            self._traffic.end(error)

    def side_gone(self, side: _End) -> None:
        if side.other.gone:
            self.ended("closed")
        else:
            side.other.close_behind_data()

    def end(self, status: str) -> None:
        """At once, whatever is under way."""
        self.ended(status)
        self.opener.abort()
        self.far.abort()

    def ended(self, status: str) -> None:
        if self._over:
            return
        self._over = True
        self._traffic.forwards.left(self)
        caller, target = (self.opener, self.far) if self._from_caller else (self.far, self.opener)
        sizes = {"from_caller": caller.taken, "from_target": target.taken}
        try:
            self._traffic.corridor.happened("forwarded", channel=self.number, status=status, **sizes)
            self._traffic.corridor.result(self.operation, status, 0, caller.taken + target.taken)
        except GatewayError as error:
            self._traffic.end(error)


def _shown(asked: Asked) -> str:
    """Whence a connection comes, as whoever opens it says."""
    if asked.origin is None:
        return ""
    return errors.plain(f"{asked.origin.host.decode('utf-8', 'replace')}:{asked.origin.port}")[: errors.MAX_WHY]
