from __future__ import annotations

import errno
import os
import resource
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from net.wiring import LoopOnly, Net, Recorder, Recorders
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory

from gateway.errors import GatewayError
from gateway.model import Address
from gateway.net import StreamServerEndpoint
from gateway.net import server as server_module


def test_interfaces(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        assert IStreamServerEndpoint.implementedBy(StreamServerEndpoint)
        assert IListeningPort.providedBy(await net.listen(Recorders()))

    reactor.run(work())


def test_the_factory_is_told(reactor: LoopOnly, net: Net) -> None:
    calls: list[str] = []

    class Told(Recorders):
        def startFactory(self) -> None:
            calls.append("start")

        def stopFactory(self) -> None:
            calls.append("stop")

    async def work() -> None:
        port = await net.listen(Told())
        await reactor.future(port.stopListening())
        await reactor.future(port.stopListening())

    reactor.run(work())
    assert calls == ["start", "stop"]


def test_live_connections_outlive_the_listener(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        pair = await net.pair()  # stops listening
        await pair.send(b"still here")
        assert await pair.protocol.until(10) == b"still here"

    reactor.run(work())


def test_both_families(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        factory = Recorders()
        port = await net.listen(factory, "::")
        peer = await net.socket(net.number(port))
        server = await factory.made.get()
        await server.made.wait()
        assert server.transport.getPeer() == IPv4Address("TCP", *peer.getsockname())

    reactor.run(work())


def test_without_ipv6_everywhere_means_ipv4(reactor: LoopOnly, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without(family: int = -1, *rest: Any, **named: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest, **named)

    async def work() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", without)
            port = await net.listen(Recorders(), "::")
        host = port.getHost()
        assert isinstance(host, IPv4Address)
        assert host.host == "0.0.0.0"

    reactor.run(work())


def test_an_address_that_is_taken(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        port = await net.listen(Recorders())
        again = StreamServerEndpoint(reactor, Address("127.0.0.1", net.number(port)))
        with pytest.raises(GatewayError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already in use") as caught:
            await reactor.future(again.listen(Recorders()))
        assert caught.value.hint is not None
        assert "another process" in caught.value.hint

    reactor.run(work())


def test_it_needs_an_asyncioreactor() -> None:
    with pytest.raises(RuntimeError, match="install_reactor"):
        StreamServerEndpoint(object(), Address("127.0.0.1", 0))


def test_a_factory_may_turn_connections_away(reactor: LoopOnly, net: Net) -> None:
    class Full(Factory):
        noisy = False

        def buildProtocol(self, addr: IAddress | None) -> None:
            return None

    async def work() -> None:
        peer = await net.socket(net.number(await net.listen(Full())))
        assert await reactor.loop.sock_recv(peer, 1) == b""

    reactor.run(work())


@pytest.mark.parametrize("where", ["buildProtocol", "connectionMade"])
def test_a_factory_or_protocol_that_fails_keeps_no_connection(reactor: LoopOnly, net: Net, where: str) -> None:
    reports: list[dict[str, object]] = []
    reactor.loop.set_exception_handler(lambda loop, context: reports.append(context))

    class Broken(Recorders):
        def buildProtocol(self, addr: IAddress | None) -> Recorder:
            if where == "buildProtocol":
                raise ArithmeticError("bug")
            protocol = super().buildProtocol(addr)

            def fail() -> None:
                raise ArithmeticError("bug")

            protocol.connectionMade = fail  # type: ignore[method-assign]
            return protocol

    async def work() -> None:
        factory = Broken()
        peer = await net.socket(net.number(await net.listen(factory)))
        assert await reactor.loop.sock_recv(peer, 1) == b""
        if where == "connectionMade":
            await (await factory.made.get()).lost

    reactor.run(work())
    assert [type(report["exception"]) for report in reports] == [ArithmeticError]


def test_a_shortage_of_descriptors_is_survived(reactor: LoopOnly, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait in the kernel's queue are served when it is over; uvloop's own listener would drop them."""
    monkeypatch.setattr(server_module, "REST", 0.01)

    async def work() -> None:
        factory = Recorders()
        port = await net.listen(factory)
        before = await net.socket(net.number(port))
        server = await factory.made.get()
        await server.made.wait()
        waiting = socket.socket()
        waiting.setblocking(False)
        spare = os.dup(0)
        os.close(spare)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
        try:
            waiting.connect_ex(("127.0.0.1", net.number(port)))
            while port.shortages < 3:
                # A live connection goes on meanwhile.
                await reactor.loop.sock_sendall(before, b"x")
                await server.until(len(server.received) + 1)
            assert factory.made.empty()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        late = await factory.made.get()
        await reactor.loop.sock_sendall(waiting, b"served")
        assert await late.until(6) == b"served"
        waiting.close()
        await late.lost

    reactor.run(work())


def test_stopping_while_at_rest(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        port = await net.listen(Recorders())
        port._rest(OSError(errno.EMFILE, "Too many open files"))
        await reactor.future(port.stopListening())
        assert port._resting is not None
        assert port._resting.cancelled()

    reactor.run(work())


def test_a_flood_is_taken_in_portions(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        factory = Recorders()
        number = net.number(await net.listen(factory))
        for _ in range(3 * server_module.ACCEPT_BATCH):
            await net.socket(number)
        for _ in range(3 * server_module.ACCEPT_BATCH):
            await (await factory.made.get()).made.wait()

    reactor.run(work())


def test_errors_of_one_connection_do_not_stop_the_others(reactor: LoopOnly, net: Net) -> None:
    class Gone:
        """A listening socket whose first connection is gone before it is taken."""

        def __init__(self, real: socket.socket) -> None:
            self._real = real
            self._failed = False

        def accept(self) -> Any:
            if not self._failed:
                self._failed = True
                raise OSError(errno.ECONNABORTED, "Software caused connection abort")
            return self._real.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    async def work() -> None:
        factory = Recorders()
        port = await net.listen(factory)
        port._socket = Gone(port._socket)  # type: ignore[assignment]
        await net.socket(net.number(port))
        await (await factory.made.get()).made.wait()
        assert port.shortages == 0

    reactor.run(work())


def test_a_unix_socket_comes_and_goes(reactor: LoopOnly, net: Net, tmp_path: Path) -> None:
    async def work() -> None:
        path = tmp_path / "s"
        port = await net.listen(Recorders(), str(path), mode=0o660)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert port.getHost() == UNIXAddress(os.fsencode(path))
        with pytest.raises(GatewayError, match="already in use"):
            await net.listen(Recorders(), str(path))
        await reactor.future(port.stopListening())
        assert not path.exists()

    reactor.run(work())


def test_a_stale_unix_socket_is_replaced_and_nothing_else(reactor: LoopOnly, net: Net, tmp_path: Path) -> None:
    async def work() -> None:
        stale, other = tmp_path / "stale", tmp_path / "other"
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(stale))
        await net.listen(Recorders(), str(stale))
        other.write_text("somebody's work")
        with pytest.raises(GatewayError, match="no socket"):
            await net.listen(Recorders(), str(other))
        assert other.read_text() == "somebody's work"
        with pytest.raises(GatewayError, match="No such file"):
            await net.listen(Recorders(), str(tmp_path / "missing" / "s"))

    reactor.run(work())
