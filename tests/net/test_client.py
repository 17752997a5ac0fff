from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from net.wiring import LoopOnly, Net, Recorder, Recorders
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from gateway.errors import TargetUnavailable
from gateway.model import Address
from gateway.net import StreamClientEndpoint


def resolve_to(net: Net, monkeypatch: pytest.MonkeyPatch, *hosts: tuple[str, int]) -> None:
    real = net.loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **rest: Any) -> list[Any]:
        if host != "db.example":
            return await real(host, port, **rest)  # sock_connect asks for literal addresses, too
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in hosts]

    monkeypatch.setattr(net.loop, "getaddrinfo", getaddrinfo)


def test_interface() -> None:
    assert IStreamClientEndpoint.implementedBy(StreamClientEndpoint)


def test_data_both_ways(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        factory = Recorders()
        port = await net.listen(factory)
        client = await net.connect(Address("localhost", net.number(port)), Recorders())
        assert client.events == ["made"]
        server = await factory.made.get()
        client.transport.write(b"question")
        assert await server.until(8) == b"question"
        server.transport.write(b"answer")
        assert await client.until(6) == b"answer"
        assert client.transport.getTcpNoDelay()
        assert client.transport.getTcpKeepAlive()

    reactor.run(work())


def test_it_fires_before_data(reactor: LoopOnly, net: Net) -> None:
    def greet(protocol: Any) -> None:
        made = protocol.connectionMade

        def connection_made() -> None:
            made()
            protocol.transport.write(b"hello")

        protocol.connectionMade = connection_made

    async def work() -> None:
        port = await net.listen(Recorders(greet))
        seen: list[list[str]] = []

        def fired(protocol: Any) -> Any:
            seen.append(list(protocol.events))
            return protocol

        endpoint = StreamClientEndpoint(reactor, Address("127.0.0.1", net.number(port)), timeout=5)
        client = await reactor.future(endpoint.connect(Recorders()).addCallback(fired))
        await client.until(5)
        assert seen == [["made"]]

    reactor.run(work())


def test_refused(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it; not listening
            address = Address("127.0.0.1", nobody.getsockname()[1])
            with pytest.raises(TargetUnavailable, match=r"127\.0\.0\.1:\d+ can't be reached: 127\.0\.0\.1 refuses"):
                await net.connect(address, Recorders())

    reactor.run(work())


def test_no_such_host(reactor: LoopOnly, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*args: Any, **rest: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def work() -> None:
        monkeypatch.setattr(net.loop, "getaddrinfo", getaddrinfo)
        with pytest.raises(TargetUnavailable, match=r"db\.invalid:5432: no such host .Name or service not known"):
            await net.connect(Address("db.invalid", 5432), Recorders())

    reactor.run(work())


def test_the_next_address_is_tried(reactor: LoopOnly, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        port = await net.listen(Recorders())
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            resolve_to(net, monkeypatch, nobody.getsockname(), ("127.0.0.1", net.number(port)))
            client = await net.connect(Address("db.example", 5432), Recorders())
            assert client.events == ["made"]

    reactor.run(work())


def test_an_address_that_swallows_packets_leaves_time_for_the_next(
    reactor: LoopOnly, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        real = net.loop.sock_connect
        port = await net.listen(Recorders())

        async def swallow(sock: socket.socket, where: Any) -> None:
            if where[0] == "127.0.0.2":
                await asyncio.get_running_loop().create_future()
            await real(sock, where)

        monkeypatch.setattr(net.loop, "sock_connect", swallow)
        resolve_to(net, monkeypatch, ("127.0.0.2", 1), ("127.0.0.1", net.number(port)))
        assert (await net.connect(Address("db.example", 5432), Recorders(), timeout=0.1)).events == ["made"]
        resolve_to(net, monkeypatch, ("127.0.0.2", 1), ("127.0.0.2", 2))
        with pytest.raises(TargetUnavailable, match=r"127\.0\.0\.2 did not answer|did not answer within 0\.04 s"):
            await net.connect(Address("db.example", 5432), Recorders(), timeout=0.04)

    reactor.run(work())


def test_every_address_is_named(reactor: LoopOnly, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(sock: socket.socket, where: Any) -> None:
        raise OSError({"192.0.2.1": errno.ENETUNREACH, "192.0.2.2": errno.EHOSTUNREACH}[where[0]], "no")

    async def work() -> None:
        monkeypatch.setattr(net.loop, "sock_connect", unreachable)
        resolve_to(net, monkeypatch, ("192.0.2.1", 1), ("192.0.2.2", 1))
        with pytest.raises(TargetUnavailable, match=r"192\.0\.2\.1 is on a network.*; 192\.0\.2\.2 can't be reached"):
            await net.connect(Address("db.example", 5432), Recorders())

    reactor.run(work())


def test_giving_up(reactor: LoopOnly, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        started = asyncio.Event()
        ended: list[str] = []

        async def for_ever(*args: Any, **rest: Any) -> list[Any]:
            started.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append("look-up")
            return []

        monkeypatch.setattr(net.loop, "getaddrinfo", for_ever)
        connecting = StreamClientEndpoint(reactor, Address("db.example", 5432), timeout=5).connect(Recorders())
        await started.wait()
        connecting.cancel()
        with pytest.raises(CancelledError):
            await reactor.future(connecting)
        await asyncio.sleep(0)
        assert ended == ["look-up"]

    reactor.run(work())


def test_a_factory_that_gives_no_protocol(reactor: LoopOnly, net: Net) -> None:
    class Nothing(Factory):
        noisy = False

        def buildProtocol(self, addr: IAddress | None) -> None:
            return None

    async def work() -> None:
        factory = Recorders()
        port = await net.listen(factory)
        endpoint = StreamClientEndpoint(reactor, Address("127.0.0.1", net.number(port)), timeout=5)
        with pytest.raises(ConnectionAborted):
            await reactor.future(endpoint.connect(Nothing()))
        await (await factory.made.get()).lost

    reactor.run(work())


def test_a_descriptor_is_closed_once(reactor: LoopOnly, net: Net) -> None:
    """A connection that ends in its own connectionMade: uvloop closes the descriptor before it notes that the socket
    object owns it as well, and that would close it again, when its number is somebody else's.
    """

    class Hasty(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.abortConnection()

    async def work() -> None:
        port = await net.listen(Recorders())
        endpoint = StreamClientEndpoint(reactor, Address("127.0.0.1", net.number(port)), timeout=5)
        client = await reactor.future(endpoint.connect(Factory.forProtocol(Hasty)))
        assert isinstance(client, Hasty)
        await client.lost
        others = [os.dup(0) for _ in range(16)]  # take up the numbers that have become free
        gc.collect()
        for descriptor in others:
            os.close(descriptor)  # OSError, if it has been closed already

    reactor.run(work())


def test_a_unix_socket_that_is_not_there(reactor: LoopOnly, net: Net, tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(TargetUnavailable, match="does not exist"):
            await net.connect(Address(str(tmp_path / "s"), 0), Recorders())

    reactor.run(work())
