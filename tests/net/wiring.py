"""A loop without the global reactor, and a Twisted protocol that writes everything down."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

import uvloop
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.model import Address
from gateway.net import StreamClientEndpoint, StreamPort, StreamServerEndpoint, StreamTransport
from gateway.secrets import SecretReference

T = TypeVar("T")

BOUND = 10.0
"""Seconds that any test of this room may take; all of them need milliseconds."""


def reference(path: object) -> SecretReference:
    return SecretReference.parse(f"file:{path}")


class LoopOnly:
    """The part of an asyncioreactor that the endpoints use. (The global reactor belongs to no test.)"""

    def __init__(self) -> None:
        self._asyncioEventloop = uvloop.new_event_loop()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._asyncioEventloop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, BOUND))

    def future(self, deferred: Deferred[T]) -> asyncio.Future[T]:
        return deferred.asFuture(self.loop)


class Recorder(Protocol):
    """Writes down what happens; ``on_data`` may act on it."""

    transport: StreamTransport
    live: ClassVar[set[Recorder]] = set()

    def __init__(self) -> None:
        self.received = bytearray()
        self.chunks: list[bytes] = []
        self.events: list[str] = []
        self.lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.made: asyncio.Event = asyncio.Event()
        self.on_data: Callable[[bytes], object] = lambda data: None
        self._arrived: asyncio.Event = asyncio.Event()

    def connectionMade(self) -> None:
        self.events.append("made")
        self.live.add(self)
        self.made.set()

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.events.append("data")
        self.received += data
        self.chunks.append(data)
        self._arrived.set()
        self.on_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append("lost")
        self.live.discard(self)
        assert reason.value is not None
        self.lost.set_result(reason.value)

    async def until(self, size: int) -> bytes:
        """All that was received, when it is at least ``size`` bytes."""
        while len(self.received) < size:
            self._arrived.clear()
            await self._arrived.wait()
        return bytes(self.received)


class Recorders(Factory):
    """Makes ``Recorder`` for each connection; ``prepare`` sees each before it is connected."""

    noisy = False

    def __init__(self, prepare: Callable[[Recorder], object] = lambda protocol: None) -> None:
        self._prepare = prepare
        self.made: asyncio.Queue[Recorder] = asyncio.Queue()

    def buildProtocol(self, addr: IAddress | None) -> Recorder:
        protocol = Recorder()
        self._prepare(protocol)
        self.made.put_nowait(protocol)
        return protocol


class Pair:
    """A protocol on our transport, and a plain non-blocking socket as its peer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Recorder, peer: socket.socket) -> None:
        self.loop = loop
        self.protocol = protocol
        self.transport = protocol.transport
        self.peer = peer

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.peer, data)

    async def receive(self, size: int) -> bytes:
        """Exactly ``size`` bytes, or fewer when the stream ends before."""
        data = b""
        while len(data) < size and (more := await self.loop.sock_recv(self.peer, size - len(data))):
            data += more
        return data


class Net:
    """Opens listeners, clients and pairs on loopback, and closes them."""

    def __init__(self, reactor: LoopOnly) -> None:
        self.reactor = reactor
        self.loop = reactor.loop
        self._sockets: list[socket.socket] = []
        self._ports: list[StreamPort] = []

    async def listen(self, factory: Factory, host: str = "127.0.0.1", **options: Any) -> StreamPort:
        endpoint = StreamServerEndpoint(self.reactor, Address(host, 0), **options)
        port = await self.reactor.future(endpoint.listen(factory))
        assert isinstance(port, StreamPort)
        self._ports.append(port)
        return port

    async def connect(self, address: Address, factory: Factory, timeout: float = BOUND, **options: Any) -> Recorder:
        endpoint = StreamClientEndpoint(self.reactor, address, timeout=timeout, **options)
        protocol = await self.reactor.future(endpoint.connect(factory))
        assert isinstance(protocol, Recorder)
        return protocol

    @staticmethod
    def number(port: StreamPort) -> int:
        """The TCP port it listens on."""
        host = port.getHost()
        assert not isinstance(host, UNIXAddress)
        return host.port

    async def socket(self, port: int, *, receive_buffer: int | None = None) -> socket.socket:
        sock = socket.socket()
        self._sockets.append(sock)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await self.loop.sock_connect(sock, ("127.0.0.1", port))
        return sock

    async def pair(
        self, prepare: Callable[[Recorder], object] = lambda protocol: None, *, receive_buffer: int | None = None
    ) -> Pair:
        factory = Recorders(prepare)
        port = await self.listen(factory)
        peer = await self.socket(self.number(port), receive_buffer=receive_buffer)
        protocol = await factory.made.get()
        await protocol.made.wait()
        await self.reactor.future(port.stopListening())
        return Pair(self.loop, protocol, peer)

    async def close(self) -> None:
        for port in self._ports:
            await self.reactor.future(port.stopListening())
        for sock in self._sockets:
            sock.close()
        for protocol in list(Recorder.live):
            protocol.transport.abortConnection()
            await protocol.lost
