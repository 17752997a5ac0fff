from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from net.wiring import LoopOnly, Net, Recorder, Recorders
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from zope.interface import directlyProvides, implementer

from gateway.model import Address
from gateway.net.transport import twisted_address


@implementer(IPushProducer)
class Pushed:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.changed = asyncio.Event()

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.changed.set()

    def pauseProducing(self) -> None:
        self._call("pause")

    def resumeProducing(self) -> None:
        self._call("resume")

    def stopProducing(self) -> None:
        self._call("stop")

    async def until(self, *calls: str) -> None:
        while self.calls != list(calls):
            self.changed.clear()
            await self.changed.wait()


def test_the_callables_themselves_are_exchanged(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        stream = pair.transport._stream
        assert pair.transport.write == stream.write
        assert pair.transport.writeSequence == stream.writelines
        assert pair.transport.pauseProducing == stream.pause_reading
        assert pair.transport.resumeProducing == stream.resume_reading
        assert pair.transport._seam.data_received == pair.protocol.dataReceived

    reactor.run(work())


def test_data_both_ways(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        await pair.send(b"to the gateway")
        assert await pair.protocol.until(14) == b"to the gateway"
        pair.transport.write(b"to ")
        pair.transport.writeSequence([b"the ", b"client"])
        assert await pair.receive(13) == b"to the client"

    reactor.run(work())


def test_data_goes_where_it_is_told_to(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        await pair.send(b"before")
        assert await pair.protocol.until(6) == b"before"
        elsewhere: list[bytes] = []
        arrived = asyncio.Event()

        def received(data: bytes) -> None:
            elsewhere.append(data)
            arrived.set()

        pair.transport.deliver_to(received)
        await pair.send(b"after")
        await arrived.wait()
        assert elsewhere == [b"after"]

    reactor.run(work())


def test_provides_what_twisted_asks_for(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        transport = (await net.pair()).transport
        for interface in (ITransport, ITCPTransport, IPushProducer, IConsumer):
            assert interface.providedBy(transport)
        assert transport.getTcpNoDelay()
        assert transport.getTcpKeepAlive()
        transport.setTcpNoDelay(False)
        transport.setTcpKeepAlive(False)
        assert not transport.getTcpNoDelay()
        assert not transport.getTcpKeepAlive()

    reactor.run(work())


def test_a_peer_that_closes_is_done(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        await pair.send(b"last words")
        pair.peer.close()
        assert isinstance(await pair.protocol.lost, ConnectionDone)
        assert pair.protocol.received == b"last words"
        assert pair.transport.disconnecting

    reactor.run(work())


def test_a_peer_that_resets_is_lost(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair.peer.close()
        assert type(await pair.protocol.lost) is ConnectionLost

    reactor.run(work())


@pytest.mark.parametrize("reset", [False, True])
def test_a_peer_that_leaves_is_seen_though_nobody_reads(reactor: LoopOnly, net: Net, reset: bool) -> None:
    async def work() -> None:
        pair = await net.pair()
        pair.transport.pauseProducing()
        await pair.send(b"unread")
        assert not pair.transport.peer_has_left()
        if reset:
            pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair.peer.close()
        assert pair.transport.peer_has_left()

    reactor.run(work())


def test_lose_connection_flushes(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        pair.transport.write(b"x" * 1_000_000)
        pair.transport.loseConnection()
        pair.transport.loseConnection()
        pair.transport.write(b"too late")
        assert len(await pair.receive(2_000_000)) == 1_000_000
        assert isinstance(await pair.protocol.lost, ConnectionDone)

    reactor.run(work())


def test_abort_drops_what_waits(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair(receive_buffer=4096)
        pair.transport.write(b"x" * 10_000_000)
        pair.transport.abortConnection()
        assert isinstance(await pair.protocol.lost, ConnectionAborted)
        assert pair.protocol.events == ["made", "lost"]

    reactor.run(work())


def test_a_connection_that_is_gone_takes_every_call(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        pair.peer.close()
        await pair.protocol.lost
        producer = Pushed()
        pair.transport.write(b"x")
        pair.transport.writeSequence([b"x"])
        pair.transport.pauseProducing()
        pair.transport.resumeProducing()
        pair.transport.loseConnection()
        pair.transport.abortConnection()
        pair.transport.registerProducer(producer, True)
        assert producer.calls == ["stop"]

    reactor.run(work())


def test_an_exception_in_the_protocol_ends_the_connection(reactor: LoopOnly, net: Net) -> None:
    reports: list[dict[str, object]] = []
    reactor.loop.set_exception_handler(lambda loop, context: reports.append(context))

    def fail(data: bytes) -> None:
        raise ArithmeticError("bug")

    def prepare(protocol: Recorder) -> None:
        protocol.on_data = fail

    async def work() -> None:
        pair = await net.pair(prepare)
        await pair.send(b"x")
        assert isinstance(await pair.protocol.lost, ArithmeticError)
        assert await pair.receive(1) == b""

    reactor.run(work())
    assert [type(report["exception"]) for report in reports] == [ArithmeticError]


def test_nothing_arrives_after_lose_connection(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair(receive_buffer=4096)
        pair.transport.write(b"x" * 10_000_000)  # so that closing takes a while
        pair.transport.linger = 0.05
        pair.transport.loseConnection()
        await pair.send(b"more")
        await pair.protocol.lost
        assert pair.protocol.events == ["made", "lost"]

    reactor.run(work())


def test_a_peer_that_stopped_reading_does_not_hold_a_closed_connection(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair(receive_buffer=4096)
        pair.transport.linger = 0.02
        pair.transport.write(b"x" * 10_000_000)
        pair.transport.loseConnection()
        await pair.protocol.lost

    reactor.run(work())


def test_half_close_by_the_peer(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        ended = asyncio.Event()

        def prepare(protocol: Recorder) -> None:
            protocol.readConnectionLost = ended.set  # type: ignore[attr-defined]
            protocol.writeConnectionLost = lambda: None  # type: ignore[attr-defined]
            directlyProvides(protocol, IHalfCloseableProtocol)

        pair = await net.pair(prepare)
        pair.peer.shutdown(socket.SHUT_WR)
        await ended.wait()
        pair.transport.write(b"still here")
        pair.transport.loseConnection()
        assert await pair.receive(100) == b"still here"

    reactor.run(work())


def test_half_close_by_us(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        pair.transport.write(b"bye")
        pair.transport.loseWriteConnection()
        assert await pair.receive(100) == b"bye"
        await pair.send(b"answer")
        assert await pair.protocol.until(6) == b"answer"

    reactor.run(work())


def test_a_slow_reader_pauses_the_producer(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair(receive_buffer=4096)
        producer = Pushed()
        pair.transport.registerProducer(producer, True)
        with pytest.raises(RuntimeError):
            pair.transport.registerProducer(producer, True)
        pair.transport.write(b"x" * 10_000_000)
        assert producer.calls == ["pause"]
        assert len(await pair.receive(10_000_000)) == 10_000_000
        await producer.until("pause", "resume")
        pair.peer.close()
        await producer.until("pause", "resume", "stop")
        assert pair.protocol.events == ["made"] or pair.protocol.events[-1] == "lost"

    reactor.run(work())


def test_a_producer_that_comes_late_is_paused_at_once(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair(receive_buffer=4096)
        pair.transport.write(b"x" * 10_000_000)
        producer = Pushed()
        pair.transport.registerProducer(producer, True)
        assert producer.calls == ["pause"]
        pair.transport.unregisterProducer()
        assert len(await pair.receive(10_000_000)) == 10_000_000
        pair.transport.abortConnection()
        await pair.protocol.lost
        assert producer.calls == ["pause"]

    reactor.run(work())


def test_write_limits(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair(receive_buffer=4096)
        producer = Pushed()
        pair.transport.registerProducer(producer, True)
        pair.transport.set_write_limits(20_000_000, 1)
        pair.transport.write(b"x" * 10_000_000)
        assert producer.calls == []
        pair.transport.set_write_limits(1000, 500)
        assert producer.calls == ["pause"]

    reactor.run(work())


def test_pausing_stops_the_peer_not_the_memory(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()
        pair.transport.pauseProducing()
        sending = reactor.loop.create_task(pair.send(b"x" * 50_000_000))
        for _ in range(50):
            await asyncio.sleep(0)
        assert pair.protocol.received == b""
        assert not sending.done()
        pair.transport.resumeProducing()
        await pair.protocol.until(50_000_000)
        await sending

    reactor.run(work())


def test_a_pull_producer_finishes_before_the_connection_closes(reactor: LoopOnly, net: Net) -> None:
    @implementer(IPullProducer)
    class Pulled:
        left = 3
        calls = 0
        write: Callable[[bytes], None]
        finish: Callable[[], None]

        def resumeProducing(self) -> None:
            self.calls += 1
            if self.left:
                self.left -= 1
                self.write(b"part")
            else:
                self.finish()

        def stopProducing(self) -> None:
            raise AssertionError("it had finished")

    async def work() -> None:
        pair = await net.pair()
        producer = Pulled()
        producer.write = pair.transport.write
        producer.finish = pair.transport.unregisterProducer
        pair.transport.registerProducer(producer, False)
        pair.transport.loseConnection()
        assert await pair.receive(100) == b"part" * 3
        await pair.protocol.lost
        assert producer.calls == 4

    reactor.run(work())


def test_a_pull_producer_that_fails_is_asked_no_more(reactor: LoopOnly, net: Net) -> None:
    reports: list[dict[str, object]] = []
    reactor.loop.set_exception_handler(lambda loop, context: reports.append(context))

    @implementer(IPullProducer)
    class Broken:
        def resumeProducing(self) -> None:
            raise ArithmeticError("bug")

        def stopProducing(self) -> None:
            pass

    async def work() -> None:
        pair = await net.pair()
        pair.transport.registerProducer(Broken(), False)
        for _ in range(10):
            await asyncio.sleep(0)

    reactor.run(work())
    assert len(reports) == 1


def test_unix_socket(reactor: LoopOnly, net: Net, tmp_path: Path) -> None:
    async def work() -> None:
        path = tmp_path / "s"
        factory = Recorders()
        port = await net.listen(factory, str(path))
        client = await net.connect(Address(str(path), 0), Recorders())
        server = await factory.made.get()
        client.transport.write(b"hello")
        assert await server.until(5) == b"hello"
        assert server.transport.peer_credentials == (os.getpid(), os.getuid(), os.getgid())
        assert client.transport.getPeer() == UNIXAddress(os.fsencode(path))
        client.transport.loseConnection()
        await server.lost
        await reactor.future(port.stopListening())

    reactor.run(work())


def test_no_peer_credentials_over_tcp(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        assert (await net.pair()).transport.peer_credentials is None

    reactor.run(work())


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [
        (socket.AF_INET, ("192.0.2.1", 5432), IPv4Address("TCP", "192.0.2.1", 5432)),
        (socket.AF_INET6, ("2001:db8::1", 5432, 0, 0), IPv6Address("TCP", "2001:db8::1", 5432)),
        # an address rule for 192.0.2.1 must hold on a dual-stack listener, too
        (socket.AF_INET6, ("::ffff:192.0.2.1", 5432, 0, 0), IPv4Address("TCP", "192.0.2.1", 5432)),
        (socket.AF_INET6, ("fe80::1%eth0", 5432, 0, 2), IPv6Address("TCP", "fe80::1%eth0", 5432, 0, 2)),
    ],
)
def test_addresses(family: int, name: tuple[object, ...], expected: object) -> None:
    assert twisted_address(family, name) == expected
