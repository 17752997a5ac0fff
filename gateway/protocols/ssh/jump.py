"""ProxyJump: SSH within a channel, which the gateway ends itself, as the host that was jumped to.

`ssh -J gateway web1` asks the gateway for a connection to ``web1:22`` and logs in through that. What it reaches is the
gateway again, which shows a host certificate for that name, signed on the spot by the gateway's own host CA; who logs
in there proves it anew. Nothing of the outer login counts within.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncssh
from asyncssh.public_key import SSHKey

from gateway.protocols.ssh.transport import CallerConnection
from gateway.protocols.ssh.tunnels import TunnelChannel

BEFORE: Final = 300
"""Seconds before now from which a host certificate is valid: clocks differ."""

VALID: Final = 24 * 3600
"""Seconds that it is: a connection looks at it once, when it begins."""

TOGETHER: Final = 128 * 1024
"""Bytes of the inner connection that wait for the end of the loop's turn at most."""


class Hosts:
    """Host keys for names that the gateway answers to in place of the hosts.

    ca  signs the certificates; None: there is no ProxyJump
    """

    def __init__(self, keys: list[SSHKey], ca: SSHKey | None, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._ca = ca
        self._clock = clock

    @property
    def can_jump(self) -> bool:
        return self._ca is not None

    def identity_of(self, name: str) -> list[tuple[SSHKey, Any]]:
        """The gateway's keys, each with a certificate for ``name``."""
        ca = self._ca
        assert ca is not None, "asked first whether there is one"
        now = int(self._clock())
        return [
            (
                key,
                ca.generate_host_certificate(
                    key.convert_to_public(),
                    f"ostiary for {name}",
                    principals=[name],
                    valid_after=now - BEFORE,
                    valid_before=now + VALID,
                ),
            )
            for key in self._keys
        ]


class Within(asyncssh.SSHTCPSession[bytes]):
    """The channel's side: what comes by it is a connection's bytes.

    begin  makes the connection within
    outer  the one around it: its address is the caller's
    """

    def __init__(self, begin: Callable[[], CallerConnection], outer: CallerConnection) -> None:
        self._begin = begin
        self._outer = outer
        self._transport: _ChannelTransport | None = None
        self._inner: CallerConnection | None = None

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        assert isinstance(chan, TunnelChannel)
        self._transport = _ChannelTransport(chan, self._outer)

    def session_started(self) -> None:
        assert self._transport is not None, "the channel stands"
        self._inner = self._begin()
        self._inner.connection_made(self._transport)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._inner is not None and not self._inner.has_left:
            self._inner.data_received(data)

    def eof_received(self) -> bool:
        if self._inner is not None:
            self._inner.eof_received()
        return False

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)


class _ChannelTransport(asyncio.Transport):
    """A channel, as asyncio's transport.

    What is written in one turn of the loop goes out together: each write by itself would be a packet of the outer
    connection, or two, and one of the inner's is two writes.
    """

    def __init__(self, channel: TunnelChannel, outer: CallerConnection) -> None:
        super().__init__()
        self._channel = channel
        self._outer = outer
        self._waiting: list[bytes] = []
        self._size = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._outer.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(bytes(data))
        self._size += len(data)
        if self._size >= TOGETHER:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting and self._channel.is_open:
            self._channel.write(b"".join(waiting))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The channel has its own."""

    def pause_reading(self) -> None:
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        self._channel.resume_reading()

    def is_closing(self) -> bool:
        return not self._channel.is_open

    def close(self) -> None:
        self._flush()
        self._channel.behind_data(self._channel.close)

    def abort(self) -> None:
        self._channel.abort()
