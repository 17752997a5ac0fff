"""Twisted's transport over asyncio's: one object each way, and no code of ours between them for data.

``Seam`` is what asyncio sees, ``StreamTransport`` is what the Twisted protocol sees. The seam costs nothing because
the callables themselves are exchanged: asyncio calls the protocol's own bound ``dataReceived``, and the protocol
calls asyncio's own ``write``. Only the rare events (made, lost, end of stream, flow control) run code of this module.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import PeerError, TargetUnavailable
from gateway.model import Address
from gateway.net.certificates import end_point_hash
from gateway.net.tls import ServerContext

WRITE_HIGH = 128 * 1024
"""Bytes that may wait for a slow reader before its producer is paused. Between asyncio's 64 KiB for TCP and 512 KiB
for TLS; 5,000 sessions whose clients all stand still hold at most 0.7 GB, and what was read in one go on top."""

WRITE_LOW = WRITE_HIGH // 4
"""Bytes left when the producer is resumed; asyncio's own share. (uvloop's default low mark is 16 *bytes*.)"""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake. nginx allows 60, haproxy 10: a client that is slower has no use of the session."""

LEFT = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
"""What poll(2) says of a connection that its peer has closed its side of, or reset, or that is no more."""

LINGER = 5.0
"""Seconds that a closed connection may take to flush and say goodbye before it is aborted. A peer that stopped reading
would otherwise keep descriptor and memory for ever. asyncio allows 30 for TLS, and has no limit for TCP."""

UNKNOWN_CA = frozenset({18, 19, 20, 21})
"""OpenSSL's X509_V_ERR codes for a chain that does not end at a CA we have (x509_vfy.h)."""

StreamAddress = IPv4Address | IPv6Address | UNIXAddress


def _discard(_data: object) -> None:
    """Twisted's promise: writing to a connection that is gone does nothing."""


def _nothing() -> None:
    pass


def _refuse_to_write(_data: object) -> None:
    raise RuntimeError("write during a TLS handshake: wait for start_tls, this would go out in plain text")


def twisted_address(family: int, name: Any) -> StreamAddress:
    """A socket's name as Twisted's address. An IPv4 peer of a dual-stack socket (``::ffff:192.0.2.1``) is given
    as the IPv4 address it is, so that address rules can't be missed by it.
    """
    if family == socket.AF_INET:
        return IPv4Address("TCP", name[0], name[1])
    if family == socket.AF_INET6:
        mapped = ipaddress.IPv6Address(name[0].partition("%")[0]).ipv4_mapped
        if mapped is not None:
            return IPv4Address("TCP", str(mapped), name[1])
        return IPv6Address("TCP", *name)
    return UNIXAddress(name or None)


def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()


class Seam(asyncio.Protocol):
    """asyncio's side: makes the Twisted protocol when the connection stands, and tells it when it ends.

    build   gives the protocol for a peer's address, None to turn it away (a factory's ``buildProtocol``)
    made    called with the protocol after its ``makeConnection``, before any data
    """

    __slots__ = ("_build", "_loop", "_made", "_transport", "data_received")

    data_received: Callable[[bytes], None]  # type: ignore[assignment]  # exchanged, see above

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        build: Callable[[StreamAddress], IProtocol | None],
        made: Callable[[IProtocol | None], object] = _discard,
    ) -> None:
        self._loop = loop
        self._build = build
        self._made = made
        self._transport: StreamTransport | None = None
        self.data_received = _discard

    def connection_made(self, stream: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, stream)
        # An exception here would leave the connection open with nobody to read from it.
        try:
            transport = StreamTransport(self._loop, stream, self)
            protocol = self._build(transport.getPeer())
            if protocol is None:
                stream.abort()
            else:
                self._transport = transport
                self.data_received = protocol.dataReceived
                # uvloop looks data_received up when it is given the protocol, which was before it had one.
                stream.set_protocol(self)
                transport.attach(protocol)
            self._made(protocol)
        except BaseException:
            stream.abort()
            raise

    def connection_lost(self, exc: Exception | None) -> None:
        self.data_received = _discard
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.connection_lost(exc)

    def eof_received(self) -> bool:
        return self._transport is not None and self._transport.eof_received()

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_writing()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_writing()


class _Held(asyncio.Protocol):
    """Stands in for the seam during a handshake: what arrives right behind it (decrypted, in the same read) waits
    until the protocol knows that it speaks TLS."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.lost = False
        self.eof = False

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def eof_received(self) -> None:
        self.eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@implementer(IPushProducer)
class _Pulled:
    """A pull producer as a push producer: asked again in each turn of the loop, unless paused."""

    def __init__(self, loop: asyncio.AbstractEventLoop, producer: IPullProducer) -> None:
        self._loop = loop
        self._producer = producer
        self._next: asyncio.Handle | None = None
        self.resumeProducing()

    def _pull(self) -> None:
        self._next = self._loop.call_soon(self._pull)
        try:
            self._producer.resumeProducing()
        except BaseException:
            self.pauseProducing()
            raise

    def pauseProducing(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def resumeProducing(self) -> None:
        if self._next is None:
            self._next = self._loop.call_soon(self._pull)

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()


@implementer(ITCPTransport, IPushProducer, IConsumer)
class StreamTransport:
    """One connection, TCP or unix, in plain text or TLS.

    ``write``, ``writeSequence``, ``pauseProducing`` and ``resumeProducing`` *are* the asyncio transport's own
    methods. What is written must not be changed afterwards: it is not copied.

    A registered push producer is paused when WRITE_HIGH bytes wait and resumed when they have gone down to WRITE_LOW.
    It does not hold a ``loseConnection`` up (as with Twisted's TCP transport); a pull producer does, until it has
    finished.
    """

    write: Callable[[bytes], None]
    writeSequence: Callable[[Iterable[bytes]], None]
    pauseProducing: Callable[[], None]
    resumeProducing: Callable[[], None]

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: asyncio.Transport, seam: Seam) -> None:
        self.disconnecting = False
        self.linger = LINGER
        self._loop = loop
        self._seam = seam
        self._protocol: IProtocol | None = None
        self._producer: IPushProducer | _Pulled | None = None
        self._write_paused = False
        self._aborted = False
        self._upgrade_task: asyncio.Task[None] | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._limits = (WRITE_HIGH, WRITE_LOW)
        sock = stream.get_extra_info("socket")
        self._peer = twisted_address(sock.family, stream.get_extra_info("peername"))
        self._host = twisted_address(sock.family, stream.get_extra_info("sockname"))
        self._bind(stream)

    def attach(self, protocol: IProtocol) -> None:
        """Give the connection to its protocol; the seam calls it once."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def _bind(self, stream: asyncio.Transport) -> None:
        self._stream = stream
        self.write = stream.write
        self.writeSequence = stream.writelines
        self.pauseProducing = stream.pause_reading
        self.resumeProducing = stream.resume_reading
        stream.set_write_buffer_limits(*self._limits)

    def deliver_to(self, received: Callable[[bytes], None]) -> None:
        """From now on data goes to ``received`` instead of the protocol's dataReceived; everything else as before."""
        self._seam.data_received = received
        # uvloop looks data_received up when it is given the protocol.
        self._stream.set_protocol(self._seam)

    # ---- ITransport, ITCPTransport

    def getPeer(self) -> StreamAddress:  # type: ignore[override]  # Twisted's unix sockets do the same
        return self._peer

    def getHost(self) -> StreamAddress:  # type: ignore[override]  # Twisted's unix sockets do the same
        return self._host

    def peer_has_left(self) -> bool:
        """Whether the peer has closed its side, though nobody reads here (poll(2)); of unix sockets, too."""
        sock = self._stream.get_extra_info("socket")
        if sock is None:
            return False
        descriptor = sock.fileno()
        if descriptor < 0:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLRDHUP)
        return any(event & LEFT for _, event in poll.poll(0))

    @property
    def peer_credentials(self) -> tuple[int, int, int] | None:
        """Process, user and group id of a unix socket's peer (SO_PEERCRED), None for TCP."""
        sock = self._stream.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX:
            return None
        return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))

    def loseConnection(self) -> None:
        """Close after everything written has gone out, but within LINGER seconds. During a handshake: at once."""
        if self.disconnecting or self._protocol is None:
            return
        self.disconnecting = True
        if isinstance(self._producer, _Pulled):
            return  # unregisterProducer goes on
        self._close()

    def _close(self) -> None:
        self.write = self.writeSequence = _discard
        if self._upgrade_task is not None:
            self._stream.abort()
            return
        self._linger_timer = self._loop.call_later(self.linger, self._stream.abort)
        self._stream.close()

    def abortConnection(self) -> None:
        """Close at once; what waits to be written is dropped."""
        if self._protocol is None:
            return
        self._aborted = self.disconnecting = True
        self.write = self.writeSequence = _discard
        self._stream.abort()

    def loseWriteConnection(self) -> None:
        """End of our stream, after everything written; reading goes on. TLS has no such thing in asyncio:
        raises NotImplementedError there.
        """
        self._stream.write_eof()
        self.write = self.writeSequence = _discard

    def _option(self, level: int, option: int, value: bool | None = None) -> bool:
        sock = self._stream.get_extra_info("socket")
        if self._protocol is None or sock.family == socket.AF_UNIX:
            return False  # twisted.web sets them on any transport
        if value is not None:
            sock.setsockopt(level, option, value)
        return bool(sock.getsockopt(level, option))

    def getTcpNoDelay(self) -> bool:
        return self._option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._option(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        return self._option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    # ---- IPushProducer (reading), IConsumer (writing)

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Raises RuntimeError when one is registered already."""
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if self._protocol is None:
            producer.stopProducing()
            return
        if streaming:
            self._producer = cast(IPushProducer, producer)
        else:
            self._producer = _Pulled(self._loop, cast(IPullProducer, producer))
        if self._write_paused:
            self._producer.pauseProducing()

    def unregisterProducer(self) -> None:
        producer, self._producer = self._producer, None
        if isinstance(producer, _Pulled):
            producer.pauseProducing()
            if self.disconnecting and self._protocol is not None:
                self._close()

    def set_write_limits(self, high: int, low: int) -> None:
        """Bytes that may wait before the producer is paused, and that are left when it is resumed."""
        self._limits = (high, low)
        self._stream.set_write_buffer_limits(high, low)

    # ---- events, from the seam

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._producer is not None:
            self._producer.resumeProducing()

    def eof_received(self) -> bool:
        """True keeps the other direction open."""
        protocol: Any = self._protocol
        if self._ssl is None and IHalfCloseableProtocol.providedBy(protocol):
            protocol.readConnectionLost()
            return True
        self.loseConnection()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self.disconnecting = True
        self.write = self.writeSequence = _discard
        self.pauseProducing = self.resumeProducing = _nothing
        producer = self._producer
        try:
            if producer is not None:
                self.unregisterProducer()
                producer.stopProducing()
        finally:
            protocol.connectionLost(Failure(self._reason(exc)))  # type: ignore[no-untyped-call]  # Twisted's

    def _reason(self, exc: BaseException | None) -> BaseException:
        if self._aborted:
            return ConnectionAborted()
        if exc is None:
            return ConnectionDone()
        if isinstance(exc, OSError | asyncio.CancelledError):
            return ConnectionLost(str(exc))
        return exc  # the protocol's own mistake, as Twisted's transports give it

    # ---- TLS

    def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        timeout: float = HANDSHAKE_TIMEOUT,
        received: bytes = b"",
    ) -> Deferred[None]:
        """Speak TLS from here on; fires when the handshake is complete, before any data.

        From this call on nothing that arrives is given to the protocol in plain text, and a ``write`` before the
        handshake is complete raises. Bytes that came in one read *before* it, behind the request for TLS, are in the
        protocol's hands already: it must refuse the connection when there are any (CVE-2021-23214, -23222), unless they
        are the handshake itself.

        context           from `gateway.net.tls`
        server_hostname   what the certificate must be for, where the context checks it
        timeout           seconds for the handshake
        received          bytes of the handshake that the protocol has read already (direct TLS, first byte 0x16)

        Fails with TargetUnavailable (as a client) or PeerError (as a server), which say why; the protocol's
        ``connectionLost`` follows.
        """
        if self._upgrade_task is not None or self._ssl is not None or self.disconnecting:
            raise RuntimeError("start_tls on a connection that is closing or speaks TLS already")
        # At once, not when the task gets its turn: until then data would go to the protocol.
        self._stream.pause_reading()
        self.write = self.writeSequence = _refuse_to_write
        done: Deferred[None] = Deferred(lambda _: _cancel(self._upgrade_task))
        self._upgrade_task = self._loop.create_task(self._upgrade(done, context, server_side, server_hostname, timeout))
        if received:
            # The first turn of the task puts the TLS layer in place and schedules its start; this comes after both.
            self._loop.call_soon(self._loop.call_soon, self._feed, received)
        return done

    def _feed(self, received: bytes) -> None:
        layer = self._stream.get_protocol()
        if isinstance(layer, Seam) or self._upgrade_task is None:
            return  # it failed before it began
        layer = cast(asyncio.BufferedProtocol, layer)
        while received and self._upgrade_task is not None:
            buffer = memoryview(layer.get_buffer(len(received)))
            size = min(len(buffer), len(received))
            buffer[:size] = received[:size]
            layer.buffer_updated(size)
            received = received[size:]

    async def _upgrade(
        self,
        done: Deferred[None],
        context: ssl.SSLContext,
        server_side: bool,
        server_hostname: str | None,
        timeout: float,
    ) -> None:
        held = _Held()
        try:
            stream = await self._loop.start_tls(
                self._stream,
                held,
                context,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=timeout,
            )
            # Aborting a connection during the handshake makes start_tls *succeed* (asyncio and uvloop alike).
            if held.lost or stream is None or stream.get_extra_info("ssl_object") is None:
                raise ConnectionResetError("connection closed during the handshake")
        except BaseException as error:  # noqa: BLE001  # whatever it was, this connection has no TLS and must not go on
            self._upgrade_task = None
            self._stream.abort()
            # It is gone already for whoever hears of the failure before connectionLost: last words are dropped.
            self.disconnecting = True
            self.write = self.writeSequence = _discard
            if not done.called:  # cancelled
                done.errback(handshake_error(error, server_side=server_side))
            self._seam.connection_lost(error if isinstance(error, Exception) else ConnectionAbortedError())
            return
        self._upgrade_task = None
        stream.set_protocol(self._seam)
        self._bind(stream)
        done.callback(None)
        try:
            for data in held.data:
                if not self.disconnecting:
                    self._seam.data_received(data)
        except BaseException:
            stream.abort()
            raise
        if held.eof:
            self.loseConnection()

    @property
    def _ssl(self) -> ssl.SSLObject | None:
        return cast("ssl.SSLObject | None", self._stream.get_extra_info("ssl_object"))

    @property
    def tls_version(self) -> str | None:
        """``TLSv1.3``, ``TLSv1.2``; None in plain text."""
        return None if self._ssl is None else self._ssl.version()

    @property
    def cipher(self) -> str | None:
        chosen = None if self._ssl is None else self._ssl.cipher()
        return None if chosen is None else chosen[0]

    @property
    def alpn(self) -> str | None:
        return None if self._ssl is None else self._ssl.selected_alpn_protocol()

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate (DER), if it showed one and it was verified; else None."""
        if self._ssl is None or self._ssl.context.verify_mode == ssl.CERT_NONE:
            return None
        return self._ssl.getpeercert(binary_form=True)

    def channel_binding(self, kind: str) -> bytes:
        """``tls-server-end-point`` (RFC 5929 section 4): the hash of the server's certificate, ours as a server, the
        peer's as a client (verified or not: binding a password exchange to it is what finds a false one).

        Raises ValueError for another kind, without TLS, and for a certificate that has none (Ed25519).
        """
        hashed = None
        if kind == "tls-server-end-point" and self._ssl is not None:
            context = self._ssl.context
            if isinstance(context, ServerContext):
                hashed = context.end_point
            elif certificate := self._ssl.getpeercert(binary_form=True):
                hashed = end_point_hash(certificate)
        if hashed is None:
            raise ValueError(f"this connection has no channel binding {kind}")
        return hashed


def handshake_error(error: BaseException, *, server_side: bool, address: Address | None = None) -> Exception:
    """What went wrong in words: a PeerError when we are the server, TargetUnavailable when we are the client."""
    if isinstance(error, PeerError | TargetUnavailable):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not accepted: {error.verify_message}"
        if error.verify_code in UNKNOWN_CA:
            why += ", so no CA that is trusted here has signed it"
    elif isinstance(error, ssl.SSLError):
        why = (error.reason or str(error)).replace("_", " ").lower()
    else:
        why = str(error) or type(error).__name__
    where = "" if address is None else f"{address}: "
    if server_side:
        return PeerError(f"TLS handshake failed: {where}{why}")
    return TargetUnavailable(f"TLS handshake failed: {where}{why}")
