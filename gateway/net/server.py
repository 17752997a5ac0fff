"""Listening: our own accept loop, because a listener must outlive a shortage of descriptors, and its clients, too.

Under uvloop's, libuv answers EMFILE by accepting whoever waits and closing the connection at once, with nothing in any
log (tried); other errors of accept (ENFILE, ENOBUFS, ENOMEM) close the listening socket, also without a word
(``UVStreamServer._fatal_error``, read in its code). Here the listener rests for a second and says so in the log,
clients wait in the kernel's queue, and live sessions go on.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from gateway.errors import GatewayError
from gateway.model import Address
from gateway.net.keepalive import keep_alive
from gateway.net.reactor import require_loop
from gateway.net.transport import HANDSHAKE_TIMEOUT, Seam, StreamAddress, twisted_address

log = structlog.get_logger(__name__)

BACKLOG = 1024
"""Connections the kernel queues before accept. nginx takes 511, PostgreSQL twice max_connections; a fleet that
reconnects at once must not see a refusal. The kernel caps it at net.core.somaxconn."""

ACCEPT_BATCH = 64
"""Connections accepted in one turn of the loop, so that a flood of new ones can't hold up live sessions."""

REST = 1.0
"""Seconds without accept after a shortage; asyncio's own ACCEPT_RETRY_DELAY."""

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@implementer(IStreamServerEndpoint)
class StreamServerEndpoint:
    """Where to listen: TCP (``[::]`` is both IPv6 and IPv4) or a unix socket.

    backlog             connections
    tls                 TLS from the first byte; without it a protocol may call ``start_tls``
    handshake_timeout   seconds, with ``tls``
    mode                permissions of a unix socket's file
    """

    def __init__(
        self,
        reactor: object,
        address: Address,
        *,
        backlog: int = BACKLOG,
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        mode: int = 0o600,
    ) -> None:
        self._loop = require_loop(reactor)
        self._address = address
        self._backlog = backlog
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._mode = mode

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803  # the interface's
        """Fails with GatewayError, which names the address, when it can't be listened on."""
        return self._listen(lambda: Seam(self._loop, protocolFactory.buildProtocol), protocolFactory)

    def serve(self, make: Callable[[], asyncio.Protocol]) -> Deferred[IListeningPort]:
        """As `listen`, for protocols that are asyncio's own: ``make`` gives one for each connection."""
        return self._listen(make, None)

    def _listen(
        self, make: Callable[[], asyncio.Protocol], factory: IProtocolFactory | None
    ) -> Deferred[IListeningPort]:
        try:
            sock = _bind_unix(self._address.host, self._mode) if self._address.is_unix else _bind_tcp(self._address)
            try:
                sock.setblocking(False)
                sock.listen(self._backlog)
            except OSError:
                sock.close()
                raise
        except OSError as error:
            return defer.fail(_cannot_listen(self._address, error))
        port = StreamPort(self._loop, sock, make, factory, self._tls, self._handshake_timeout)
        port.startListening()
        return defer.succeed(port)


def _cannot_listen(address: Address, error: OSError) -> GatewayError:
    hint = {
        errno.EADDRINUSE: "another process listens there; stop it or choose another address",
        errno.EACCES: "a port below 1024 needs CAP_NET_BIND_SERVICE, a unix socket a directory that may be written to",
        errno.EADDRNOTAVAIL: "this host does not have that address",
        errno.ENOENT: "the directory does not exist",
    }.get(error.errno or 0)
    return GatewayError(f"cannot listen on {address}: {error.strerror or error}", hint=hint)


def _bind_tcp(address: Address) -> socket.socket:
    # Blocks for a name that has to be looked up; listeners are opened at start and have literal addresses.
    family, kind, proto, _name, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    both = address.host == "::"
    try:
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        if not both or error.errno != errno.EAFNOSUPPORT:
            raise
        # A kernel without IPv6: "everywhere" means IPv4 then.
        return _bind_tcp(Address("0.0.0.0", address.port))  # noqa: S104  # what the operator asked for
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(path: str, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                # Left behind by a process that is gone. (A file that is no socket refuses, too.)
                if not Path(path).is_socket():
                    raise FileExistsError(errno.EEXIST, "there is a file that is no socket") from None
                Path(path).unlink()
            except FileNotFoundError:
                pass
            else:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        # Between bind and chmod nobody can connect: the socket does not listen yet.
        sock.bind(path)
        Path(path).chmod(mode)
    except BaseException:
        sock.close()
        raise
    return sock


@implementer(IListeningPort)
class StreamPort:
    """A listening socket. ``shortages`` counts how often it had to rest for want of descriptors or memory.

    make     gives asyncio's protocol for a connection
    factory  is told when listening begins and ends
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        make: Callable[[], asyncio.Protocol],
        factory: IProtocolFactory | None,
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
    ) -> None:
        self.shortages = 0
        self._loop = loop
        self._socket = sock
        self._make = make
        self._factory = factory
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._host = twisted_address(sock.family, sock.getsockname())
        self._path: str = sock.getsockname() if sock.family == socket.AF_UNIX else ""
        self._opening: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._listening = False

    def getHost(self) -> StreamAddress:
        return self._host

    def startListening(self) -> None:
        if self._factory is not None:
            self._factory.doStart()
        self._listening = True
        self._loop.add_reader(self._socket, self._accept)

    def stopListening(self) -> Deferred[None]:
        """Closes the listening socket (and removes a unix socket's file); live connections stay."""
        if self._listening:
            self._listening = False
            if self._resting is not None:
                self._resting.cancel()
            self._loop.remove_reader(self._socket)
            self._socket.close()
            if self._path:
                Path(self._path).unlink(missing_ok=True)
            if self._factory is not None:
                self._factory.doStop()
        return defer.succeed(None)

    def use_tls(self, context: ssl.SSLContext) -> None:
        """New connections use ``context`` from now on (a reload); live ones keep theirs."""
        self._tls = context

    def _accept(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, _address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SHORTAGES:
                    self._rest(error)
                    return
                # accept(2): errors of that one connection, which was gone before we took it
                continue
            sock.setblocking(False)
            keep_alive(sock)
            task = self._loop.create_task(self._open(sock))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _rest(self, error: OSError) -> None:
        self.shortages += 1
        log.error("accept rests", address=str(self._host), seconds=REST, problem=error.strerror)
        self._loop.remove_reader(self._socket)
        self._resting = self._loop.call_later(REST, self._wake)

    def _wake(self) -> None:
        self._resting = None
        self._loop.add_reader(self._socket, self._accept)

    async def _open(self, sock: socket.socket) -> None:
        tls = self._tls
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                sock,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else self._handshake_timeout,
            )
        except OSError as error:  # ssl.SSLError is one
            sock.close()
            log.info("connection not opened", address=str(self._host), problem=str(error))
