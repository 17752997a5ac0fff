"""The seam to asyncssh, where channels carry connections (RFC 4254 section 7; OpenSSH's PROTOCOL, section 2.4).

asyncssh answers such requests at once, opens sockets of its own for them, and ends the connection for a listener that
it doesn't know; here whoever owns the connection answers, in its own time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, cast

import asyncssh
from asyncssh.channel import SSHForwardChannel
from asyncssh.constants import MSG_CHANNEL_REQUEST, MSG_GLOBAL_REQUEST, MSG_REQUEST_SUCCESS
from asyncssh.packet import SSHPacket, String, UInt32

from gateway.protocols.ssh.transport import (
    MAX_CHANNELS,
    MAX_PACKET,
    MAX_REQUESTS,
    WINDOW,
    CallerConnection,
    TargetConnection,
    _Paced,
    _PacedChannel,
)

Opening = tuple["TunnelChannel", Awaitable[asyncssh.SSHTCPSession[bytes]]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a connection leads, or is listened for: ``host`` and ``port``, or ``host`` alone, the path of a socket."""

    host: bytes
    port: int | None

    def packed(self) -> tuple[bytes, ...]:
        return (String(self.host),) if self.port is None else (String(self.host), UInt32(self.port))


@dataclass(frozen=True, slots=True)
class Asked:
    """A channel that somebody opens for a connection.

    kind     its type
    place    ``direct-*``: where to; ``forwarded-*``: what was listened on; None: the agent, the display
    origin   whence, as whoever opens it says
    """

    kind: bytes
    place: Place | None = None
    origin: Place | None = None


class TunnelOwner(Protocol):
    """Who answers for one of the two connections of a session."""

    def tunnel(self, asked: Asked) -> Opening:
        """A channel for a connection is opened. Raises ChannelOpenError."""

    async def listen(self, place: Place) -> bool | bytes:
        """A port or socket is to be listened on; whether it is, and on which port where that was open (packed)."""

    async def unlisten(self, place: Place) -> bool:
        """No more."""


class TunnelChannel(_PacedChannel, SSHForwardChannel[bytes]):
    """A channel that carries a connection; either side may open it."""

    def __init__(self, connection: _Paced) -> None:
        """Raises ChannelOpenError when there are too many."""
        if len(connection._channels) >= MAX_CHANNELS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "no more channels on this connection")
        super().__init__(connection, connection._loop, None, "strict", WINDOW, MAX_PACKET)

    async def open(self, asked: Asked, factory: Callable[[], asyncssh.SSHTCPSession[bytes]]) -> None:
        """Raises ChannelOpenError."""
        fields: list[bytes] = []
        if asked.place is not None:
            fields += asked.place.packed()
        if asked.kind in (b"direct-streamlocal@openssh.com", b"forwarded-streamlocal@openssh.com"):
            # Reserved in the document; OpenSSH sends, and wants to read, an originator, for direct ones with its port.
            fields += [String(b""), *([UInt32(0)] if asked.kind.startswith(b"direct") else [])]
        elif asked.origin is not None:
            fields += asked.origin.packed()
        await self._open_forward(factory, asked.kind, *fields)

    _packet_handlers = SSHForwardChannel._packet_handlers | {MSG_CHANNEL_REQUEST: _PacedChannel._process_request}


class CallerTunnels(CallerConnection):
    """A caller's connection, of which the owner of its login answers for tunnels."""

    @property
    def tunnels(self) -> TunnelOwner:
        return cast(TunnelOwner, self._owner)

    def _process_direct_tcpip_open(self, packet: SSHPacket) -> Any:
        place, origin = _place(packet), _place(packet)
        packet.check_end()
        return self.tunnels.tunnel(Asked(b"direct-tcpip", place, origin))

    def _process_direct_streamlocal_at_openssh_dot_com_open(self, packet: SSHPacket) -> Any:
        path = Place(packet.get_string(), None)
        origin = _place(packet)
        packet.check_end()
        return self.tunnels.tunnel(Asked(b"direct-streamlocal@openssh.com", path, origin))

    def _process_tcpip_forward_global_request(self, packet: SSHPacket) -> None:
        place = _place(packet)
        packet.check_end()
        self._answer_later(self.tunnels.listen(place))

    def _process_cancel_tcpip_forward_global_request(self, packet: SSHPacket) -> None:
        place = _place(packet)
        packet.check_end()
        self._answer_later(self.tunnels.unlisten(place))

    def _process_streamlocal_forward_at_openssh_dot_com_global_request(self, packet: SSHPacket) -> None:
        path = Place(packet.get_string(), None)
        packet.check_end()
        self._answer_later(self.tunnels.listen(path))

    def _process_cancel_streamlocal_forward_at_openssh_dot_com_global_request(self, packet: SSHPacket) -> None:
        path = Place(packet.get_string(), None)
        packet.check_end()
        self._answer_later(self.tunnels.unlisten(path))

    def _answer_later(self, answer: Coroutine[Any, Any, bool | bytes]) -> None:
        async def wait() -> None:
            result = await answer
            if self._transport is not None:
                self._report_global_response(result)

        self.create_task(wait())

    def _process_global_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if len(self._global_request_queue) >= MAX_REQUESTS:
            raise asyncssh.ProtocolError("too many global requests at once")
        super()._process_global_request(pkttype, pktid, packet)

    _packet_handlers = CallerConnection._packet_handlers | {MSG_GLOBAL_REQUEST: _process_global_request}


class TargetTunnels(TargetConnection):
    """Our connection to a target; ``owner`` answers for what the target opens, None: nobody does."""

    owner: TunnelOwner | None = None

    async def listen(self, place: Place) -> int | None:
        """Have the target listen there: the port (0 for a socket), None when it refuses."""
        kind = b"streamlocal-forward@openssh.com" if place.port is None else b"tcpip-forward"
        answer, packet = await self._make_global_request(kind, *place.packed())
        if answer != MSG_REQUEST_SUCCESS:
            return None
        # RFC 4254 section 7.1: the port is said where 0 was asked for.
        return packet.get_uint32() if place.port == 0 else place.port or 0

    async def unlisten(self, place: Place) -> bool:
        kind = b"cancel-streamlocal-forward@openssh.com" if place.port is None else b"cancel-tcpip-forward"
        answer, _ = await self._make_global_request(kind, *place.packed())
        return answer == MSG_REQUEST_SUCCESS

    def _opened(self, asked: Asked) -> Any:
        if self.owner is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "nobody asked for this")
        return self.owner.tunnel(asked)

    def _process_forwarded_tcpip_open(self, packet: SSHPacket) -> Any:
        place, origin = _place(packet), _place(packet)
        packet.check_end()
        return self._opened(Asked(b"forwarded-tcpip", place, origin))

    def _process_forwarded_streamlocal_at_openssh_dot_com_open(self, packet: SSHPacket) -> Any:
        path = Place(packet.get_string(), None)
        packet.get_string()
        packet.check_end()
        return self._opened(Asked(b"forwarded-streamlocal@openssh.com", path))

    def _process_x11_open(self, packet: SSHPacket) -> Any:
        origin = _place(packet)
        packet.check_end()
        return self._opened(Asked(b"x11", None, origin))

    def _process_auth_agent_at_openssh_dot_com_open(self, packet: SSHPacket) -> Any:
        packet.check_end()
        return self._opened(Asked(b"auth-agent@openssh.com"))


def _place(packet: SSHPacket) -> Place:
    return Place(packet.get_string(), packet.get_uint32())
