"""Connecting to targets and sinks."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import uvloop
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from gateway.errors import TargetUnavailable
from gateway.model import Address
from gateway.net.keepalive import keep_alive
from gateway.net.reactor import require_loop
from gateway.net.transport import Seam, handshake_error


@implementer(IStreamClientEndpoint)
class StreamClientEndpoint:
    """Where to connect to: TCP (every address of the name is tried in the resolver's order) or a unix socket.

    timeout   seconds for everything: look-up, connection and, with ``tls``, the handshake
    tls       TLS from the first byte, checked against ``address.host`` as the context says; without it a
              protocol may call ``start_tls``
    """

    def __init__(self, reactor: object, address: Address, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        self._loop = require_loop(reactor)
        self._address = address
        self._timeout = timeout
        self._tls = tls

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # the interface's
        """Fires with the protocol after its ``connectionMade``, before any data; cancel it to give up.

        Fails with TargetUnavailable, which says why, address by address.
        """

        def give_up(_done: Deferred[IProtocol]) -> None:
            task.cancel()

        done: Deferred[IProtocol] = Deferred(give_up)
        task = self._loop.create_task(self._connect(protocolFactory, done))
        return done

    async def open(self, protocol: asyncio.Protocol) -> None:
        """Connect ``protocol``, which is asyncio's own. To be awaited in asyncio's tasks.

        Raises TargetUnavailable, which says why, address by address.
        """
        try:
            async with asyncio.timeout(self._timeout):
                sock = await self._dial()
                try:
                    await self._wrap(sock, protocol)
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            raise TargetUnavailable(f"{self._address} did not answer within {self._timeout:g} s") from None
        except OSError as error:
            raise handshake_error(error, server_side=False, address=self._address) from error

    async def _connect(self, factory: IProtocolFactory, done: Deferred[IProtocol]) -> None:
        def made(protocol: IProtocol | None) -> None:
            if done.called:
                raise ConnectionAborted("given up")
            if protocol is None:
                done.errback(ConnectionAborted("the factory gave no protocol"))
            else:
                done.callback(protocol)

        try:
            async with asyncio.timeout(self._timeout):
                sock = await self._dial()
                try:
                    await self._wrap(sock, Seam(self._loop, factory.buildProtocol, made))
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            self._fail(done, TargetUnavailable(f"{self._address} did not answer within {self._timeout:g} s"))
        except OSError as error:
            self._fail(done, handshake_error(error, server_side=False, address=self._address))
        except BaseException as error:  # noqa: BLE001  # handed to whoever asked
            self._fail(done, error)

    @staticmethod
    def _fail(done: Deferred[IProtocol], error: BaseException) -> None:
        if not done.called:
            done.errback(error)

    async def _wrap(self, sock: socket.socket, seam: asyncio.Protocol) -> None:
        hostname = None if self._tls is None else self._address.host
        if self._address.is_unix:
            await self._loop.create_unix_connection(lambda: seam, sock=sock, ssl=self._tls, server_hostname=hostname)
        else:
            await self._loop.create_connection(lambda: seam, sock=sock, ssl=self._tls, server_hostname=hostname)
        # uvloop owns the descriptor now. For a connection that ended in its own connectionMade it forgets to say so,
        # and the socket object would close the number again, when it is somebody else's (as in uvloop's issue 645).
        if isinstance(self._loop, uvloop.Loop):
            sock.detach()

    async def _dial(self) -> socket.socket:
        """A connected socket. Raises TargetUnavailable; TimeoutError comes from the caller's limit."""
        if self._address.is_unix:
            return await self._dial_one(socket.AF_UNIX, self._address.host)
        try:
            found = await self._loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise TargetUnavailable(f"{self._address}: no such host ({error.strerror or error})") from error
        started = self._loop.time()
        problems: list[str] = []
        for position, (family, _kind, _proto, _name, where) in enumerate(found):
            # An address that swallows packets must not use up the time of those behind it.
            share = (self._timeout - (self._loop.time() - started)) / (len(found) - position)
            try:
                async with asyncio.timeout(share):
                    return await self._dial_one(family, where)
            except TargetUnavailable as error:
                problems.append(error.message)
            except TimeoutError:
                problems.append(f"{where[0]} did not answer within {share:.3g} s")
        raise TargetUnavailable(f"{self._address} can't be reached: " + "; ".join(dict.fromkeys(problems)))

    async def _dial_one(self, family: int, where: str | tuple[object, ...]) -> socket.socket:
        shown = where if isinstance(where, str) else str(where[0])
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            keep_alive(sock)
            await self._loop.sock_connect(sock, where)
        except OSError as error:
            sock.close()
            why = {
                errno.ECONNREFUSED: "refuses the connection",
                errno.ENOENT: "does not exist",
                errno.EACCES: "may not be connected to by the gateway's user",
                errno.ENETUNREACH: "is on a network without a route",
                errno.EHOSTUNREACH: "can't be reached by the network",
                errno.ETIMEDOUT: "did not answer",
            }.get(error.errno or 0, error.strerror or str(error))
            raise TargetUnavailable(f"{shown} {why}") from error
        except BaseException:
            sock.close()
            raise
        return sock
