"""Login towards the target: the gateway's own credential goes in, the caller never sees it.

`Login` is pure (messages in, bytes out); `Dialler` does the I/O. Authentication methods: SCRAM-SHA-256 and -PLUS
(RFC 5802, 7677, 5929), MD5 and clear text, the last over TLS or a unix socket only. Every surprise is
`TargetUnavailable`: a target that can't prove itself is not reached.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from scramp import ScramClient, ScramException
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from gateway.errors import ConfigError, PeerError, SecretUnavailable, TargetUnavailable
from gateway.model import Credential, Target, TargetTls
from gateway.net import StreamClientEndpoint, StreamTransport, client_context
from gateway.net.reactor import loop_of
from gateway.net.soon import Soon
from gateway.protocols.postgres.errors import TargetRefused
from gateway.protocols.postgres.wire import (
    INT32,
    MAX_SERVER,
    SSL_REQUEST,
    cancel_request,
    cstring,
    message,
    parse_fields,
    parse_parameter_status,
    startup,
    take_message,
)
from gateway.secrets import Secret

MAX_SCRAM_ITERATIONS: Final = 1_000_000
"""PostgreSQL's default is 4,096. A target that asks for more would keep the reactor busy for a second."""


class Login:
    """One login, after TLS, up to the first ReadyForQuery.

    parameters  ParameterStatus messages as they came, in order
    key         (process id, secret) for CancelRequest
    """

    def __init__(self, user: str, password: Secret | None, *, private: bool, binding: bytes | None) -> None:
        self._user = user
        self._password = password
        self._private = private
        self._binding = binding
        self._scram: Any = None
        self._proven = False
        self._authenticated = False
        self.parameters: list[tuple[bytes, bytes]] = []
        self.notices: list[bytes] = []
        self.key: tuple[int, bytes] | None = None
        self.status = b""

    def receive(self, kind: int, body: bytes) -> bytes:
        """One message from the target; what to send back (perhaps nothing). Raises TargetUnavailable."""
        if kind == 69:
            raise _refusal(body)
        if kind == 78:
            self.notices.append(message(b"N", body))
            return b""
        if kind == 82:
            return self._authentication(body)
        if not self._authenticated:
            raise TargetUnavailable("the target answered out of turn during login")
        if kind == 83:
            self.parameters.append(parse_parameter_status(body))
        elif kind == 75 and len(body) >= 8:
            self.key = (INT32.unpack_from(body)[0] & 0xFFFFFFFF, body[4:])
        elif kind == 90 and len(body) == 1:
            self.status = body
        else:
            raise TargetUnavailable("the target answered out of turn during login")
        return b""

    def _authentication(self, body: bytes) -> bytes:
        if len(body) < 4 or self._authenticated:
            raise TargetUnavailable("the target's authentication request is malformed")
        method = INT32.unpack_from(body)[0]
        if method == 0:
            if self._scram is not None and not self._proven:
                raise TargetUnavailable("the target ended SCRAM without proving that it knows the password")
            self._authenticated = True
            return b""
        if method == 3:
            if not self._private:
                raise TargetUnavailable(
                    "the target asks for the password in clear text over a connection without TLS",
                    hint="Give the target tls: {mode: verify-full}, or scram-sha-256 in its pg_hba.conf.",
                )
            return message(b"p", cstring(self._secret()))
        if method == 5:
            return message(b"p", cstring(b"md5" + _md5(_md5(self._secret() + self._user.encode()) + body[4:8])))
        if method in (10, 11, 12):
            try:
                return self._sasl(method, body[4:])
            except (ScramException, UnicodeDecodeError, ValueError) as error:
                raise TargetUnavailable(f"SCRAM with the target failed: {error}") from error
        raise TargetUnavailable(
            f"the target asks for authentication method {method}, which the gateway does not speak",
            hint="Use scram-sha-256, md5 or cert for the gateway's address in the target's pg_hba.conf.",
        )

    def _sasl(self, method: int, body: bytes) -> bytes:
        if method == 10:
            offered = [name.decode() for name in body.split(b"\0") if name]
            wanted = [name for name in offered if name in ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")]
            if self._binding is None:
                wanted = [name for name in wanted if not name.endswith("-PLUS")]
            if not wanted:
                raise TargetUnavailable(f"the target offers no SASL mechanism that the gateway speaks: {offered}")
            binding = ("tls-server-end-point", self._binding) if self._binding is not None else None
            self._scram = ScramClient(wanted, self._user, self._secret().decode(), channel_binding=binding)
            first = self._scram.get_client_first().encode()
            return message(b"p", cstring(self._scram.mechanism_name) + INT32.pack(len(first)) + first)
        if self._scram is None:
            raise TargetUnavailable("the target's SCRAM exchange is out of turn")
        if method == 11:
            iterations = [part[2:] for part in body.decode().split(",") if part.startswith("i=")]
            if not iterations or not iterations[0].isdigit() or int(iterations[0]) > MAX_SCRAM_ITERATIONS:
                raise TargetUnavailable("the target asks for an unreasonable number of SCRAM iterations")
            self._scram.set_server_first(body.decode())
            return message(b"p", self._scram.get_client_final().encode())
        self._scram.set_server_final(body.decode())
        self._proven = True
        return b""

    def _secret(self) -> bytes:
        if self._password is None:
            raise TargetUnavailable(
                f"the target asks for a password and its credential for {self._user!r} has none",
                hint="Add password: credential:NAME to the credential in targets.d.",
            )
        return self._password.reveal()


def _md5(data: bytes) -> bytes:
    """Hex. The protocol's choice, not ours; the connection's TLS is what protects it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()


def _refusal(body: bytes) -> TargetUnavailable:
    """What the target said; its text may name the role, never a secret."""
    try:
        fields = dict(parse_fields(body))
    except PeerError:
        return TargetUnavailable("the target refused the gateway's login with a malformed error")
    text = fields.get("M", b"").decode("utf-8", "replace")
    return TargetRefused(f"the target refused the gateway's login: {text}", fields.get("C", b""))


class MessageStream(Protocol):
    """Messages of one connection, awaited one by one; afterwards its bytes go to ``receiver``.

    Used while logging in, where order matters and speed does not.
    """

    transport: StreamTransport

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted: Deferred[None] | None = None
        self._lost: Failure | None = None
        self.receiver: Any = None
        """Has ``upstream_received(data)`` and ``upstream_lost(reason)``."""

    def dataReceived(self, data: bytes) -> None:
        if self.receiver is not None:
            self.receiver.upstream_received(data)
            return
        self._buffer += data
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        if self.receiver is not None:
            self.receiver.upstream_lost(reason)
            return
        self._wake()

    def _wake(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)

    async def _more(self) -> None:
        if self._lost is not None:
            raise TargetUnavailable(f"the target closed the connection: {self._lost.getErrorMessage()}")
        self._wanted = Deferred()
        await self._wanted

    async def byte(self) -> bytes:
        """Exactly one byte, the answer to SSLRequest. Surplus bytes were sent before TLS: refused (CVE-2021-23222)."""
        while not self._buffer:
            await self._more()
        if len(self._buffer) != 1:
            raise TargetUnavailable("the target sent data before TLS was set up")
        byte = bytes(self._buffer)
        self._buffer.clear()
        return byte

    async def message(self) -> tuple[int, bytes]:
        while True:
            try:
                taken = take_message(self._buffer, MAX_SERVER)
            except PeerError as error:
                raise TargetUnavailable(f"the target does not speak PostgreSQL's protocol: {error}") from error
            if taken is not None:
                return taken
            await self._more()

    @property
    def lost(self) -> bool:
        return self._lost is not None or self.transport.disconnecting

    async def closed(self) -> None:
        """Wait until the peer has closed; what it still says is dropped."""
        while self._lost is None:
            self._buffer.clear()
            self._wanted = Deferred()
            await self._wanted

    def leftover(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data


def end_point_of(transport: StreamTransport) -> bytes | None:
    """tls-server-end-point (RFC 5929), None for a certificate that it is not defined for (Ed25519): no -PLUS then."""
    try:
        return transport.channel_binding("tls-server-end-point")
    except ValueError:
        return None


@dataclass(slots=True)
class Upstream:
    """A connection to the target, logged in."""

    stream: MessageStream
    parameters: list[tuple[bytes, bytes]]
    notices: list[bytes]
    key: tuple[int, bytes] | None
    status: bytes

    def close(self) -> None:
        """Terminate, as a client that leaves does (53.2.9)."""
        self.stream.transport.write(message(b"X"))
        self.stream.transport.loseConnection()


class Dialler:
    """Reaches targets; keeps a TLS context for each way to speak to one, since building one reads all CAs.

    clock  unix seconds, for the dates of certificates
    """

    def __init__(self, reactor: Any, clock: Callable[[], float]) -> None:
        self.reactor = reactor
        loop = loop_of(reactor)
        self.later: Callable[[float, Callable[[], None]], object] = reactor.callLater
        self.soon = Soon(loop.call_soon if loop is not None else partial(reactor.callLater, 0))
        self.in_thread: Callable[[Callable[[bytes], bytes], bytes], Deferred[bytes]] = partial(
            deferToThreadPool, reactor, reactor.getThreadPool()
        )
        """Runs a function where it holds up nobody."""
        self._clock = clock
        self._cancelling = 0
        self._none_is_cancelled: list[Deferred[None]] = []
        self._contexts: dict[TargetTls, ssl.SSLContext | None] = {}

    def forget(self) -> None:
        """Read certificates and CAs anew (a reload)."""
        self._contexts.clear()

    async def dial(
        self,
        target: Target,
        credential: Credential,
        *,
        database: str,
        parameters: Iterable[tuple[str, str]],
        timeout: float,
    ) -> Upstream:
        """Connect, set up TLS and log in, within ``timeout`` seconds. Raises TargetUnavailable."""
        stream, binding, deadline = await self._open(target, timeout)
        try:
            try:
                password = credential.password.resolve() if credential.password is not None else None
            except SecretUnavailable as error:
                raise TargetUnavailable(f"the target's credential can't be read: {error.message}") from error
            private = target.address.is_unix or stream.transport.tls_version is not None
            login = Login(credential.user, password, private=private, binding=binding)
            stream.transport.write(startup([("user", credential.user), ("database", database), *parameters]))
            while not login.status:
                answer = login.receive(*await stream.message())
                if answer:
                    stream.transport.write(answer)
        except BaseException:
            stream.transport.abortConnection()
            raise
        finally:
            if deadline.active():
                deadline.cancel()
        return Upstream(stream, login.parameters, login.notices, login.key, login.status)

    async def cancel(self, target: Target, key: tuple[int, bytes], timeout: float) -> None:
        """Send the target its own key, over TLS where its sessions have TLS, and wait until it has taken it.

        Raises TargetUnavailable.
        """
        self._cancelling += 1
        try:
            stream, _binding, deadline = await self._open(target, timeout)
            try:
                stream.transport.write(cancel_request(*key))
                # The target answers by closing: only then has it signalled the backend.
                await stream.closed()
            finally:
                if deadline.active():
                    deadline.cancel()
        finally:
            self._cancelling -= 1
            if not self._cancelling:
                waiting, self._none_is_cancelled = self._none_is_cancelled, []
                for waiter in waiting:
                    waiter.callback(None)

    def settled(self) -> Deferred[None]:
        """Fires when no cancel request is under way: a gateway that stops doesn't leave the target at work."""
        settled: Deferred[None] = Deferred()
        if self._cancelling:
            self._none_is_cancelled.append(settled)
        else:
            settled.callback(None)
        return settled

    async def _open(self, target: Target, timeout: float) -> tuple[MessageStream, bytes | None, Any]:
        """A connection, with TLS as the target's configuration asks; its channel binding; the deadline's call."""
        endpoint = StreamClientEndpoint(self.reactor, target.address, timeout=timeout)
        stream = cast(MessageStream, await endpoint.connect(Factory.forProtocol(MessageStream)))
        deadline = self.reactor.callLater(timeout, stream.transport.abortConnection)
        try:
            context = None if target.address.is_unix else self._context(target.tls)
            if context is None:
                return stream, None, deadline
            stream.transport.write(INT32.pack(8) + INT32.pack(SSL_REQUEST))
            if await stream.byte() != b"S":
                raise TargetUnavailable(
                    "the target does not offer TLS",
                    hint="Set ssl = on at the target; tls: {mode: disable} is for loopback and unix sockets.",
                )
            await stream.transport.start_tls(
                context, server_side=False, server_hostname=target.address.host, timeout=timeout
            )
            return stream, end_point_of(stream.transport), deadline
        except BaseException:
            if deadline.active():
                deadline.cancel()
            stream.transport.abortConnection()
            raise

    def _context(self, tls: TargetTls) -> ssl.SSLContext | None:
        if tls not in self._contexts:
            try:
                self._contexts[tls] = client_context(tls, now=self._clock())
            except ConfigError as error:
                raise TargetUnavailable(f"TLS with the target can't be set up: {error.message}") from error
        return self._contexts[tls]
