"""TLS in the middle of a connection, as PostgreSQL asks for it, against real sockets and OpenSSL's own client."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path

import pytest
from net.wiring import LoopOnly, Net, Pair, Recorder, Recorders, reference
from support.pki import Issued, Pki
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from gateway.errors import PeerError, TargetUnavailable
from gateway.model import Address, TargetTls, TlsMode
from gateway.net import ServerContext, client_context, server_context
from gateway.net.certificates import end_point_hash

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class RawTls:
    """The TLS client by hand, over a `Pair`'s peer: flights can be held back, cut up, or sent with more behind."""

    def __init__(
        self, pair: Pair, ca: Path, client: Issued | None = None, version: ssl.TLSVersion | None = None
    ) -> None:
        self.pair = pair
        context = ssl.create_default_context(cafile=str(ca))
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["postgresql"])
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def hello(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    async def finish(self) -> bytes:
        """Reads the server's flight; gives the last one of ours, unsent."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                if flight := self.outgoing.read():
                    await self.pair.send(flight)
                await self._more()
            else:
                return self.outgoing.read()

    async def _more(self) -> None:
        data = await self.pair.loop.sock_recv(self.pair.peer, 65536)
        if not data:
            self.incoming.write_eof()
        self.incoming.write(data)

    async def handshake(self) -> None:
        await self.pair.send(self.hello())
        await self.pair.send(await self.finish())

    def encrypt(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.outgoing.read()

    async def receive(self, size: int) -> bytes:
        """Fewer bytes than ``size`` when the server says goodbye."""
        data = b""
        while len(data) < size:
            try:
                more = self.tls.read(size - len(data))
                if not more:  # close_notify
                    break
                data += more
            except ssl.SSLWantReadError:
                await self._more()
        return data


def as_postgres(protocol: Recorder, tls: ssl.SSLContext, timeout: float = 5.0) -> None:
    """What PostgreSQL does with SSLRequest: the protocol says S and goes on in TLS."""

    def asked(data: bytes) -> None:
        protocol.on_data = lambda data: None
        protocol.transport.write(b"S")
        protocol.upgraded = protocol.transport.start_tls(tls, server_side=True, timeout=timeout)  # type: ignore[attr-defined]
        protocol.upgraded.addCallback(lambda _: protocol.events.append("tls"))  # type: ignore[attr-defined]

    protocol.on_data = asked


async def ask(net: Net, tls: ssl.SSLContext, behind: bytes = b"", timeout: float = 5.0) -> Pair:
    """A pair at the point where S has been answered; ``behind`` came in the same packet as the request."""
    pair = await net.pair(lambda protocol: as_postgres(protocol, tls, timeout))
    await pair.send(SSL_REQUEST + behind)
    assert await pair.receive(1) == b"S"
    return pair


def test_upgrade(reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        client = RawTls(pair, pki.ca)
        await client.handshake()
        await pair.send(client.encrypt(b"startup"))
        await pair.protocol.until(15)
        assert pair.protocol.events == ["made", "data", "tls", "data"]
        assert pair.protocol.received == SSL_REQUEST + b"startup"
        transport = pair.transport
        assert transport.tls_version == "TLSv1.3"
        assert transport.cipher == client.tls.cipher()[0]  # type: ignore[index]
        assert transport.alpn == "postgresql"
        assert transport.peer_certificate() is None
        assert transport.write == transport._stream.write
        transport.write(b"answer")
        assert await client.receive(6) == b"answer"
        with pytest.raises(RuntimeError):
            transport.start_tls(server_tls, server_side=True)
        with pytest.raises(NotImplementedError):
            transport.loseWriteConnection()

    reactor.run(work())


def test_in_plain_text_there_is_nothing_to_tell(reactor: LoopOnly, net: Net) -> None:
    async def work() -> None:
        transport = (await net.pair()).transport
        assert (transport.tls_version, transport.cipher, transport.alpn) == (None, None, None)
        assert transport.peer_certificate() is None
        with pytest.raises(ValueError, match="tls-server-end-point"):
            transport.channel_binding("tls-server-end-point")

    reactor.run(work())


def test_plain_text_in_the_packet_of_the_request_is_the_protocols_to_see(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki
) -> None:
    """CVE-2021-23214: it comes with the request, once, and never again as if it had been encrypted."""

    async def work() -> None:
        pair = await ask(net, server_tls, behind=b"injected")
        assert pair.protocol.chunks == [SSL_REQUEST + b"injected"]
        client = RawTls(pair, pki.ca)
        await client.handshake()
        await pair.send(client.encrypt(b"genuine"))
        await pair.protocol.until(len(SSL_REQUEST) + 8 + 7)
        assert pair.protocol.chunks == [SSL_REQUEST + b"injected", b"genuine"]

    reactor.run(work())


def test_plain_text_after_the_request_fails_the_handshake(
    reactor: LoopOnly, net: Net, server_tls: ServerContext
) -> None:
    """It lies in the socket before the TLS layer is put in place, and must go there and nowhere else."""

    async def work() -> None:
        pair = await net.pair()

        def asked(data: bytes) -> None:
            pair.protocol.upgraded = pair.transport.start_tls(server_tls, server_side=True)  # type: ignore[attr-defined]
            pair.peer.send(b"Q\x00\x00\x00\x0dselect 1\x00")

        pair.protocol.on_data = asked
        await pair.send(SSL_REQUEST)
        await pair.protocol.until(1)
        with pytest.raises(PeerError, match="wrong version number"):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        await pair.protocol.lost
        assert pair.protocol.events == ["made", "data", "lost"]
        assert pair.protocol.received == SSL_REQUEST

    reactor.run(work())


def test_plain_text_before_the_handshake_fails_it(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki
) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        await pair.send(b"Q\x00\x00\x00\x0dselect 1\x00" + RawTls(pair, pki.ca).hello())
        with pytest.raises(PeerError):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        await pair.protocol.lost
        assert pair.protocol.events == ["made", "data", "lost"]

    reactor.run(work())


@pytest.mark.parametrize("surplus", [1, 1000, 3_000_000])
def test_data_right_behind_the_handshake_comes_after_the_deferred(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki, surplus: int
) -> None:
    """Else the protocol would answer a decrypted message in plain text. The large one fills several reads."""

    async def work() -> None:
        pair = await ask(net, server_tls)
        pair.protocol.on_data = lambda data: pair.transport.write(b"seen")
        client = RawTls(pair, pki.ca)
        await pair.send(client.hello())
        flight = await client.finish()
        # The loop stands still while the kernel takes all it can: handshake and data are there at once.
        message = flight + client.encrypt(b"d" * surplus)
        sent = pair.peer.send(message)
        await pair.send(message[sent:])
        await pair.protocol.until(len(SSL_REQUEST) + surplus)
        assert pair.protocol.events[:4] == ["made", "data", "tls", "data"]
        assert pair.protocol.received == SSL_REQUEST + b"d" * surplus
        assert await client.receive(4) == b"seen"

    reactor.run(work())


@pytest.mark.parametrize("cut", [1, 5, 100, None])
def test_direct_tls_takes_back_what_the_protocol_has_read(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki, cut: int | None
) -> None:
    async def work() -> None:
        pair = await net.pair()
        client = RawTls(pair, pki.ca)
        hello = client.hello()
        await pair.send(hello[:cut])
        received = await pair.protocol.until(1)
        upgraded = pair.transport.start_tls(server_tls, server_side=True, received=received)
        await pair.send(hello[len(received) :])
        await pair.send(await client.finish())
        await reactor.future(upgraded)
        await pair.send(client.encrypt(b"startup"))
        assert (await pair.protocol.until(len(received) + 7))[len(received) :] == b"startup"
        assert pair.transport.alpn == "postgresql"

    reactor.run(work())


def test_no_write_in_plain_text_during_the_handshake(reactor: LoopOnly, net: Net, server_tls: ServerContext) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        with pytest.raises(RuntimeError, match="plain text"):
            pair.transport.write(b"secret")
        with pytest.raises(RuntimeError, match="plain text"):
            pair.transport.writeSequence([b"secret"])
        pair.transport.abortConnection()
        with pytest.raises(PeerError):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        assert await pair.receive(100) == b""

    reactor.run(work())


def test_a_silent_client_is_given_up(reactor: LoopOnly, net: Net, server_tls: ServerContext) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls, timeout=0.02)
        with pytest.raises(PeerError, match=r"longer than 0\.02"):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        assert isinstance(await pair.protocol.lost, ConnectionLost)
        assert await pair.receive(1) == b""
        assert pair.protocol.events == ["made", "data", "lost"]

    reactor.run(work())


@pytest.mark.parametrize("way", ["abortConnection", "loseConnection"])
def test_closing_during_the_handshake(reactor: LoopOnly, net: Net, server_tls: ServerContext, way: str) -> None:
    """asyncio's start_tls *succeeds* then."""

    async def work() -> None:
        pair = await ask(net, server_tls)
        getattr(pair.transport, way)()
        with pytest.raises(PeerError, match="closed during the handshake"):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        await pair.protocol.lost
        assert pair.protocol.events == ["made", "data", "lost"]
        assert await pair.receive(1) == b""

    reactor.run(work())


def test_closing_before_the_handshake_began(reactor: LoopOnly, net: Net, server_tls: ServerContext) -> None:
    async def work() -> None:
        pair = await net.pair()
        upgraded = pair.transport.start_tls(server_tls, server_side=True, received=b"\x16")
        pair.transport.abortConnection()
        with pytest.raises(PeerError):
            await reactor.future(upgraded)
        assert isinstance(await pair.protocol.lost, ConnectionAborted)
        with pytest.raises(RuntimeError):
            pair.transport.start_tls(server_tls, server_side=True)

    reactor.run(work())


def test_a_client_that_leaves_during_the_handshake(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki
) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        await pair.send(RawTls(pair, pki.ca).hello()[:50])
        pair.peer.close()
        with pytest.raises(PeerError):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        assert isinstance(await pair.protocol.lost, ConnectionLost)
        assert pair.protocol.events == ["made", "data", "lost"]

    reactor.run(work())


def test_last_words_after_a_failed_handshake_are_dropped(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki
) -> None:
    """Whoever hears of the failure may write as to any connection that is gone."""

    async def work() -> None:
        pair = await ask(net, server_tls)
        await pair.send(RawTls(pair, pki.ca).hello()[:50])
        pair.peer.close()
        told = pair.protocol.upgraded  # type: ignore[attr-defined]
        told.addErrback(lambda failure: pair.transport.write(b"the reason"))
        await reactor.future(told)
        assert pair.transport.disconnecting

    reactor.run(work())


def test_cancelling_the_handshake_closes(reactor: LoopOnly, net: Net, server_tls: ServerContext) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        upgraded = pair.protocol.upgraded  # type: ignore[attr-defined]
        upgraded.cancel()
        with pytest.raises(CancelledError):
            await reactor.future(upgraded)
        await pair.protocol.lost
        assert await pair.receive(1) == b""

    reactor.run(work())


def test_a_protocol_that_fails_on_held_data_loses_its_connection(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki
) -> None:
    reports: list[dict[str, object]] = []
    reactor.loop.set_exception_handler(lambda loop, context: reports.append(context))

    def fail(data: bytes) -> None:
        raise ArithmeticError("bug")

    async def work() -> None:
        pair = await ask(net, server_tls)
        pair.protocol.on_data = fail
        client = RawTls(pair, pki.ca)
        await pair.send(client.hello())
        flight = await client.finish()
        await pair.send(flight + client.encrypt(b"x" * 1_000_000))
        await pair.protocol.lost

    reactor.run(work())


def test_closing_says_goodbye_in_tls(reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        client = RawTls(pair, pki.ca)
        await client.handshake()
        await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        pair.transport.write(b"x" * 1_000_000)
        pair.transport.loseConnection()
        assert await client.receive(1_000_000) == b"x" * 1_000_000
        assert await client.receive(1) == b""
        pair.peer.close()
        assert isinstance(await pair.protocol.lost, ConnectionDone)

    reactor.run(work())


def test_a_tls_client_that_stopped_reading_does_not_hold_a_closed_connection(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki
) -> None:
    @implementer(IPushProducer)
    class Pushed:
        calls: list[str] = []  # noqa: RUF012  # one test, one producer

        def pauseProducing(self) -> None:
            self.calls.append("pause")

        def resumeProducing(self) -> None:
            self.calls.append("resume")

        def stopProducing(self) -> None:
            self.calls.append("stop")

    async def work() -> None:
        pair = await ask(net, server_tls)
        client = RawTls(pair, pki.ca)
        await client.handshake()
        await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        producer = Pushed()
        pair.transport.registerProducer(producer, True)
        written = 0
        while not producer.calls:
            pair.transport.write(b"x" * 65536)
            written += 65536
            await asyncio.sleep(0)
        assert producer.calls == ["pause"]
        assert written < 20_000_000  # what the kernel takes, the marks of both layers, and a chunk
        pair.transport.linger = 0.02
        pair.transport.loseConnection()
        await pair.protocol.lost
        assert producer.calls == ["pause", "stop"]

    reactor.run(work())


def test_pausing_over_tls(reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        client = RawTls(pair, pki.ca)
        await client.handshake()
        await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        pair.transport.pauseProducing()
        sending = reactor.loop.create_task(pair.send(client.encrypt(b"x" * 20_000_000)))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(pair.protocol.received) == len(SSL_REQUEST)
        assert not sending.done()
        pair.transport.resumeProducing()
        await pair.protocol.until(20_000_000)
        await sending

    reactor.run(work())


# ---- who the client is


def test_a_client_certificate(reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki, alice: Issued) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        client = RawTls(pair, pki.ca, alice)
        await client.handshake()
        await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        assert pair.transport.peer_certificate() == ssl.PEM_cert_to_DER_cert(alice.certificate.read_text())

    reactor.run(work())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("whose", "why"),
    [
        ("stranger", "no CA that is trusted here"),
        ("expired", "expired"),
        ("revoked", "revoked"),
        ("server", "purpose"),
    ],
)
def test_client_certificates_that_fail(
    reactor: LoopOnly,
    net: Net,
    server_certificate: Issued,
    pki: Pki,
    stranger_pki: Pki,
    whose: str,
    why: str,
    version: ssl.TLSVersion,
) -> None:
    mallory = pki.client("mallory")
    issued = {
        "stranger": stranger_pki.client("alice"),
        "expired": pki.client("alice", expired=True, file="expired-alice"),
        "revoked": mallory,
        "server": server_certificate,
    }[whose]
    context = server_context(
        reference(server_certificate.certificate),
        reference(server_certificate.key),
        client_ca=[reference(pki.ca)],
        crl=[reference(pki.revoke([mallory], file="net.crl"))],
    )

    async def work() -> None:
        pair = await ask(net, context)
        client = RawTls(pair, pki.ca, issued, version)
        try:
            await client.handshake()
        except ssl.SSLError:
            assert version is ssl.TLSVersion.TLSv1_2  # 1.3 tells the client after its handshake
        with pytest.raises(PeerError, match=why):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        await pair.protocol.lost
        assert pair.protocol.received == SSL_REQUEST

    reactor.run(work())


def test_a_certificate_that_is_not_revoked_passes_the_list(
    reactor: LoopOnly, net: Net, server_certificate: Issued, pki: Pki, alice: Issued
) -> None:
    context = server_context(
        reference(server_certificate.certificate),
        reference(server_certificate.key),
        client_ca=[reference(pki.ca)],
        crl=[reference(pki.revoke([], file="net-empty.crl"))],
        crl_chain=True,
    )

    async def work() -> None:
        pair = await ask(net, context)
        await RawTls(pair, pki.ca, alice).handshake()
        await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        assert pair.transport.peer_certificate() is not None

    reactor.run(work())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_tickets(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki, alice: Issued, version: ssl.TLSVersion
) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        client = RawTls(pair, pki.ca, alice, version)
        await client.handshake()
        await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]
        pair.transport.write(b"x")
        await client.receive(1)  # tickets of 1.3 would come with it
        session = client.tls.session
        assert session is not None
        assert not session.has_ticket

    reactor.run(work())


def test_tls_1_1_is_refused(reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki) -> None:
    async def work() -> None:
        pair = await ask(net, server_tls)
        # A ClientHello of TLS 1.1 with one suite; the local OpenSSL would not make one.
        body = b"\x03\x02" + bytes(32) + b"\x00" + b"\x00\x02\xc0\x13" + b"\x01\x00"
        hello = b"\x01" + len(body).to_bytes(3, "big") + body
        await pair.send(b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello)
        with pytest.raises(PeerError, match="unsupported protocol"):
            await reactor.future(pair.protocol.upgraded)  # type: ignore[attr-defined]

    reactor.run(work())


# ---- as a client


async def target(net: Net, tls: ssl.SSLContext, surplus: bytes = b"") -> Address:
    """A server that answers SSLRequest; gives its address."""

    def prepare(protocol: Recorder) -> None:
        def asked(data: bytes) -> None:
            protocol.on_data = lambda data: None
            if surplus:
                protocol.transport.write(b"S" + surplus)
                return
            protocol.transport.write(b"S")
            protocol.transport.start_tls(tls, server_side=True).addErrback(lambda failure: None)

        protocol.on_data = asked

    port = await net.listen(Recorders(prepare))
    return Address("localhost", net.number(port))


async def dial(net: Net, address: Address) -> Recorder:
    client = await net.connect(address, Recorders())
    client.transport.write(SSL_REQUEST)
    await client.until(1)
    return client


def client_tls(mode: TlsMode, ca: Path | None, issued: Issued | None = None) -> ssl.SSLContext:
    context = client_context(
        TargetTls(
            mode,
            None if ca is None else f"file:{ca}",
            None if issued is None else f"file:{issued.certificate}",
            None if issued is None else reference(issued.key),
        ),
        alpn=["postgresql"],
    )
    assert context is not None
    return context


def test_to_a_target_with_our_certificate(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, server_certificate: Issued, pki: Pki, alice: Issued
) -> None:
    async def work() -> None:
        factory = Recorders(lambda protocol: as_postgres(protocol, server_tls))
        port = await net.listen(factory)
        client = await dial(net, Address("localhost", net.number(port)))
        server = await factory.made.get()
        context = client_tls("verify-full", pki.ca, alice)
        await reactor.future(client.transport.start_tls(context, server_side=False, server_hostname="localhost"))
        await reactor.future(server.upgraded)  # type: ignore[attr-defined]
        certificate = ssl.PEM_cert_to_DER_cert(server_certificate.certificate.read_text())
        assert client.transport.peer_certificate() == certificate
        assert server.transport.peer_certificate() == ssl.PEM_cert_to_DER_cert(alice.certificate.read_text())
        kind = "tls-server-end-point"
        assert client.transport.channel_binding(kind) == server.transport.channel_binding(kind)
        assert client.transport.channel_binding(kind) == end_point_hash(certificate)
        with pytest.raises(ValueError, match="tls-unique"):
            client.transport.channel_binding("tls-unique")
        assert client.transport.alpn == "postgresql"
        client.transport.write(b"both ways")
        await server.until(len(SSL_REQUEST) + 9)

    reactor.run(work())


def test_require_verifies_nothing_and_says_so(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, stranger_pki: Pki
) -> None:
    async def work() -> None:
        client = await dial(net, await target(net, server_tls))
        context = client_tls("require", stranger_pki.ca)
        await reactor.future(client.transport.start_tls(context, server_side=False, server_hostname="wrong.example"))
        assert client.transport.peer_certificate() is None
        assert client.transport.channel_binding("tls-server-end-point") == server_tls.end_point

    reactor.run(work())


@pytest.mark.parametrize(
    ("mode", "ours", "hostname", "why"),
    [
        ("verify-full", True, "wrong.example", "Hostname mismatch.*wrong.example"),
        ("verify-full", False, "localhost", "no CA that is trusted here"),
        ("verify-ca", False, "localhost", "no CA that is trusted here"),
        ("verify-ca", True, "wrong.example", None),
        ("verify-full", True, "127.0.0.1", None),
    ],
)
def test_how_a_targets_certificate_is_checked(
    reactor: LoopOnly,
    net: Net,
    server_tls: ServerContext,
    pki: Pki,
    stranger_pki: Pki,
    mode: TlsMode,
    ours: bool,
    hostname: str,
    why: str | None,
) -> None:
    async def work() -> None:
        client = await dial(net, await target(net, server_tls))
        context = client_tls(mode, pki.ca if ours else stranger_pki.ca)
        upgraded = reactor.future(client.transport.start_tls(context, server_side=False, server_hostname=hostname))
        if why is None:
            await upgraded
            assert client.transport.peer_certificate() is not None
            return
        with pytest.raises(TargetUnavailable, match=why):
            await upgraded
        await client.lost

    reactor.run(work())


def test_an_expired_target(reactor: LoopOnly, net: Net, pki: Pki) -> None:
    issued = pki.server(expired=True, file="net-expired")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # ours would not load it
    context.load_cert_chain(issued.certificate, issued.key)

    async def work() -> None:
        client = await dial(net, await target(net, context))
        with pytest.raises(TargetUnavailable, match="certificate has expired"):
            await reactor.future(
                client.transport.start_tls(
                    client_tls("verify-full", pki.ca), server_side=False, server_hostname="localhost"
                )
            )

    reactor.run(work())


def test_surplus_behind_the_targets_answer(reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki) -> None:
    """CVE-2021-23222: in the same packet the protocol sees it, in another the handshake fails on it."""

    async def work() -> None:
        client = await dial(net, await target(net, server_tls, surplus=b"E\x00\x00\x00\x10injected"))
        assert client.received.startswith(b"S")
        seen = bytes(client.received)
        upgraded = client.transport.start_tls(
            client_tls("verify-full", pki.ca), server_side=False, server_hostname="localhost", timeout=0.05
        )
        with pytest.raises(TargetUnavailable):
            await reactor.future(upgraded)
        assert bytes(client.received) == seen

    reactor.run(work())


# ---- from the first byte


def test_endpoints_with_tls_from_the_first_byte(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki
) -> None:
    async def work() -> None:
        factory = Recorders()
        port = await net.listen(factory, tls=server_tls)
        address = Address("localhost", net.number(port))
        client = await net.connect(address, Recorders(), tls=client_tls("verify-full", pki.ca))
        client.transport.write(b"hello")
        server = await factory.made.get()
        assert await server.until(5) == b"hello"
        assert server.transport.tls_version == "TLSv1.3"
        server.transport.write(b"answer")
        assert await client.until(6) == b"answer"

    reactor.run(work())


def test_what_goes_wrong_with_tls_from_the_first_byte(
    reactor: LoopOnly, net: Net, server_tls: ServerContext, pki: Pki, stranger_pki: Pki
) -> None:
    """None of it gets a protocol, and the listener goes on."""

    async def work() -> None:
        factory = Recorders()
        port = await net.listen(factory, tls=server_tls, handshake_timeout=0.02)
        number = net.number(port)
        silent = await net.socket(number)
        assert await reactor.loop.sock_recv(silent, 1) == b""
        plain = await net.socket(number)
        await reactor.loop.sock_sendall(plain, b"GET / HTTP/1.1\r\n\r\n")
        while await reactor.loop.sock_recv(plain, 100):
            pass
        gone = await net.socket(number)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        with pytest.raises(TargetUnavailable, match=r"localhost:\d+: its certificate is not accepted"):
            await net.connect(Address("localhost", number), Recorders(), tls=client_tls("verify-full", stranger_pki.ca))
        assert factory.made.empty()
        port.use_tls(server_tls)
        await net.connect(Address("localhost", number), Recorders(), tls=client_tls("verify-full", pki.ca))
        assert (await factory.made.get()).events == ["made"]

    reactor.run(work())
