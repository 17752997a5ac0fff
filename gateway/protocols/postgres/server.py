"""The client's side: from the first byte to the end of its login, then bytes to `Traffic`.

The order of a login (PostgreSQL 17, 53.2): encryption request, StartupMessage, authentication; then the gate admits,
the recording begins, the target is dialled, and only when it has let us in does the client hear AuthenticationOk.
One deadline covers all of it. Every error ends the connection with one ErrorResponse, and says no more than the
caller may know.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.audit import AuditLog
from gateway.audit.events import AuthenticationFailed, AuthenticationSucceeded
from gateway.errors import (
    Denied,
    GatewayError,
    LoginFailed,
    NotAdmitted,
    PeerError,
    SessionEnded,
    Unapproved,
)
from gateway.identity import Identity
from gateway.model import Factor, Principal, uuid7
from gateway.net import StreamTransport
from gateway.protocols.postgres import errors
from gateway.protocols.postgres.cancel import CancelKeys
from gateway.protocols.postgres.reading import Readings
from gateway.protocols.postgres.startup import Requested, requested
from gateway.protocols.postgres.traffic import Traffic
from gateway.protocols.postgres.upstream import Dialler, Upstream, end_point_of
from gateway.protocols.postgres.wire import (
    INT32,
    MAX_PASSWORD,
    CancelRequest,
    EncryptionRequest,
    Startup,
    cstring,
    initial_length,
    message,
    negotiate_version,
    parse_initial,
    take_message,
)
from gateway.secrets import Secret
from gateway.session import Admitted, ApprovalNeeded, Corridor, Gate, open_corridor
from gateway.session.asking import refused, words
from gateway.store.requests import Request

log = structlog.get_logger()

MINOR: Final = 2
"""Newest minor version of protocol 3 that we speak: 3.2 (PostgreSQL 18)."""

DIAL_TIMEOUT: Final = 10.0
"""Seconds to reach the target and log in there; libpq's users wait about as long before they ask somebody."""

TLS_HANDSHAKE: Final = 0x16


@dataclass(slots=True)
class Service:
    """What all connections of the listener share. ``identity`` and ``tls`` are replaced by a reload.

    password  which dialogue a client without a certificate gets
    pending   most connections that have not logged in
    """

    reactor: Any
    dialler: Dialler
    gate: Gate
    identity: Identity
    tls: ssl.SSLContext
    audit: AuditLog
    readings: Readings
    cancels: CancelKeys
    clock: Callable[[], float]
    random: Callable[[int], bytes]
    has_passwords: bool
    password: str
    login: float
    pending: int
    results: bool
    waiting: int = 0
    logins: int = 0
    refused: int = 0


class PostgresFactory(Factory):
    """Makes a `ClientConnection` for each caller, unless too many are still logging in."""

    noisy = False

    def __init__(self, service: Service) -> None:
        self.service = service

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if self.service.waiting >= self.service.pending:
            return None
        return ClientConnection(self.service)


class _ClientLeft(Exception):
    """It closed the connection before login was complete."""


class ClientConnection(Protocol):
    """One caller's connection."""

    transport: StreamTransport

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = bytearray()
        self._wanted: Any = None
        self._gone = False
        self._traffic: Traffic | None = None
        self._deadline: Any = None
        self._address = ""
        self._logging_in = False
        self._authenticated = False
        self._approving: Deferred[Request] | None = None

    # --- Twisted's side ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        service = self._service
        service.waiting += 1
        self._logging_in = True
        self._address = getattr(self.transport.getPeer(), "host", "unix")
        self._deadline = service.reactor.callLater(service.login, self._too_slow)
        ensureDeferred(self._serve()).addErrback(self._failed)

    def dataReceived(self, data: bytes) -> None:
        if self._traffic is not None:
            self._traffic.client_received(data)
            return
        self._buffer += data
        if len(self._buffer) > MAX_PASSWORD + 1024:
            # Nothing that a login needs is larger: whoever sends on is not logging in.
            self.transport.abortConnection()
            return
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        self._login_over()
        if self._traffic is not None:
            self._traffic.client_lost(reason)
            return
        if self._approving is not None:
            self._approving.cancel()
        self._wake()

    def _wake(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)

    def _too_slow(self) -> None:
        self._service.refused += 1
        self.transport.abortConnection()

    def _login_over(self) -> None:
        if self._logging_in:
            self._logging_in = False
            self._service.waiting -= 1
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _failed(self, failure: Failure) -> None:
        """Every way out of a login that is not a session."""
        self._login_over()
        error = failure.value
        if isinstance(error, _ClientLeft):
            return
        self._service.refused += 1
        if not isinstance(error, GatewayError | PeerError):
            log.error("login failed unexpectedly", address=self._address, exc_info=error)
        if not self._gone and not self.transport.disconnecting:
            self.transport.write(errors.fatal(error if isinstance(error, Exception) else SessionEnded("login failed")))
            self.transport.loseConnection()

    async def _more(self) -> None:
        if self._gone:
            raise _ClientLeft
        self._wanted = Deferred()
        await self._wanted
        if self._gone:
            raise _ClientLeft

    # --- login ------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        first = await self._first_packet()
        if isinstance(first, CancelRequest):
            await self._cancel(first)
            return
        wanted = requested(first)
        if self.transport.tls_version is None:
            raise NotAdmitted(
                "this gateway speaks PostgreSQL over TLS only", reason="no TLS", hint="Use sslmode=verify-full."
            )
        if first.minor > MINOR or wanted.unknown:
            self.transport.write(negotiate_version(min(first.minor, MINOR), wanted.unknown))
        service = self._service
        session = uuid7(service.clock(), service.random(10))
        principal = await self._authenticate(session, wanted.user)
        service.audit.append(AuthenticationSucceeded(session, principal, self._address))
        service.audit.flush()
        admitted = await self._admitted(session, principal, wanted)
        if wanted.replication:
            raise Denied("replication connections are not carried", hint="Connect without replication=.")
        await self._open(admitted, wanted, long_secret=min(first.minor, MINOR) >= 2)

    async def _admitted(self, session: str, principal: Principal, wanted: Requested) -> Admitted:
        """Through the gate; where that takes an approval, the caller waits for it, as long as policy says."""
        gate = self._service.gate
        while True:
            try:
                return gate.admit(
                    session,
                    principal,
                    protocol="postgres",
                    target=wanted.target,
                    database=wanted.database,
                    address=self._address,
                )
            except ApprovalNeeded as needed:
                await self._approval(needed)

    async def _approval(self, needed: ApprovalNeeded) -> None:
        """Wait until approvers said yes. Raises Unapproved when they don't, LimitReached when nobody can be asked."""
        approvals = self._service.gate.approvals
        request = approvals.request(needed.subject, needed.terms)
        settled = approvals.wait(request)
        # It has proven who it is, so the deadline and the bound on strangers are not for it any more.
        self._login_over()
        # A client reads notices from AuthenticationOk on (53.2.1); before, it takes them for a broken server.
        self._say_authenticated()
        self.transport.write(errors.notice(*words(request)))
        self._approving = settled
        try:
            request = await settled
        except CancelledError:
            approvals.withdraw(request, "the client left")
            raise _ClientLeft from None
        finally:
            self._approving = None
        if request.state in ("denied", "expired"):
            denial = refused(request)
            raise Unapproved(denial.message, hint=denial.detail)

    def _say_authenticated(self) -> None:
        if not self._authenticated:
            self._authenticated = True
            self.transport.write(message(b"R", INT32.pack(0)))

    async def _open(self, admitted: Admitted, wanted: Requested, *, long_secret: bool) -> None:
        service = self._service
        ending: list[GatewayError] = []

        def end(error: GatewayError) -> None:
            if self._traffic is not None:
                self._traffic.end(error)
            else:
                ending.append(error)
                self.transport.abortConnection()

        corridor = open_corridor(service.gate, admitted, end, service.random)
        upstream: Upstream | None = None
        try:
            upstream = await self._reach(admitted, corridor, wanted)
            if self._gone or ending:
                raise _ClientLeft
            self._begin(corridor, upstream, wanted, long_secret=long_secret)
        except BaseException as error:
            if upstream is not None:
                upstream.close()
            why = str(error) if isinstance(error, GatewayError) else "the client left during login"
            corridor.close(f"not opened: {why}")
            raise

    async def _reach(self, admitted: Admitted, corridor: Corridor, wanted: Requested) -> Upstream:
        """Decide what the startup packet would set, then dial the target."""
        service = self._service
        reading = await service.readings.open(corridor)
        self._reading = reading
        for text in wanted.statements():
            verdict = corridor.ask(reading.setting(text), "query")
            if verdict.denial is not None:
                raise Denied(verdict.denial.message, hint=verdict.denial.hint)
        recorded = corridor.commit()
        if isinstance(recorded, Deferred):
            await recorded
        name = application_name(admitted)
        return await service.dialler.dial(
            admitted.access.target,
            admitted.credential,
            database=admitted.access.database,
            parameters=[*wanted.parameters(), ("application_name", name)],
            timeout=DIAL_TIMEOUT,
        )

    def _begin(self, corridor: Corridor, upstream: Upstream, wanted: Requested, *, long_secret: bool) -> None:
        service = self._service
        pid = upstream.key[0] if upstream.key is not None else 0
        expiry: list[Any] = []

        def over() -> None:
            if upstream.key is not None:
                service.cancels.take_back(pid, secret)
            for call in expiry:
                if call.active():
                    call.cancel()

        traffic = Traffic(
            service.dialler,
            self.transport,
            upstream,
            corridor,
            self._reading,
            application_name=application_name(corridor.admitted).encode(),
            results=service.results,
            on_end=over,
        )
        secret = service.cancels.give(pid, traffic, long=long_secret)
        self._login_over()
        service.logins += 1
        self._say_authenticated()
        greeting = [message(b"S", cstring(name) + cstring(value)) for name, value in upstream.parameters]
        if upstream.key is not None:
            greeting.append(message(b"K", INT32.pack(pid) + secret))
        greeting += upstream.notices
        greeting.append(message(b"Z", upstream.status))
        self.transport.write(b"".join(greeting))
        self._traffic = traffic
        self.transport.deliver_to(traffic.client_received)
        expires = corridor.live.expires
        if expires is not None:
            left = max(0.0, expires - service.clock())
            expiry.append(service.reactor.callLater(left, lambda: traffic.end(corridor.expired())))
        leftover = upstream.stream.leftover()
        if leftover:
            traffic.upstream_received(leftover)
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            traffic.client_received(data)

    async def _first_packet(self) -> Startup | CancelRequest:
        """SSLRequest and GSSENCRequest at most once each, in either order, nothing behind them (CVE-2021-23214)."""
        seen: set[bool] = set()
        while not self._buffer:
            await self._more()
        if self._buffer[0] == TLS_HANDSHAKE:
            received = bytes(self._buffer)
            self._buffer.clear()
            await self.transport.start_tls(self._service.tls, server_side=True, received=received)
            if self.transport.alpn != "postgresql":
                raise PeerError("received direct SSL connection request without ALPN protocol negotiation extension")
            seen = {True, False}
        while True:
            while (length := initial_length(bytes(self._buffer[:4]))) is None or len(self._buffer) < length:
                await self._more()
            packet = bytes(self._buffer[:length])
            del self._buffer[:length]
            parsed = parse_initial(packet)
            if not isinstance(parsed, EncryptionRequest):
                return parsed
            if parsed.gss in seen:
                raise PeerError("unsupported frontend protocol: encryption was asked for already")
            if self._buffer:
                raise PeerError(
                    "received unencrypted data after SSL request"
                    if not parsed.gss
                    else "received unencrypted data after GSSAPI encryption request"
                )
            seen.add(parsed.gss)
            if parsed.gss:
                self.transport.write(b"N")
                continue
            seen.add(True)
            self.transport.write(b"S")
            await self.transport.start_tls(self._service.tls, server_side=True)

    # --- who it is --------------------------------------------------------------------------------------------

    async def _authenticate(self, session: str, name: str) -> Principal:
        """The principal, or LoginFailed; either way the audit log knows."""
        factor: Factor | None = None
        try:
            certificate = self.transport.peer_certificate()
            if certificate is not None:
                factor = "certificate"
                return self._service.identity.by_certificate(certificate, self._service.clock())
            if not self._service.has_passwords:
                raise LoginFailed(
                    "connection requires a valid client certificate",
                    reason="no client certificate, and no passwords are configured",
                    hint="Set sslcert and sslkey.",
                )
            if self._service.password == "scram":  # the name of a dialogue
                factor = "scram"
                return await self._scram(name)
            factor = "password"
            return await self._cleartext(name)
        except LoginFailed as error:
            self._service.audit.append(AuthenticationFailed(session, name, self._address, factor, error.reason))
            self._service.audit.flush()
            raise

    async def _cleartext(self, name: str) -> Principal:
        self.transport.write(message(b"R", INT32.pack(3)))
        body = await self._password_message()
        if not body.endswith(b"\0") or body.find(b"\0") != len(body) - 1:
            raise PeerError("invalid password packet")
        return await self._service.identity.by_password(name, Secret(body[:-1]), self._address, self._service.clock)

    async def _scram(self, name: str) -> Principal:
        """SASL (53.3.1): mechanisms, client-first, server-first, client-final, server-final."""
        service = self._service
        exchange = service.identity.scram(name, self._address, end_point_of(self.transport))
        offered = b"".join(cstring(mechanism) for mechanism in exchange.mechanisms())
        self.transport.write(message(b"R", INT32.pack(10) + offered + b"\0"))
        body = await self._password_message()
        mechanism, _, rest = body.partition(b"\0")
        if len(rest) < 4 or INT32.unpack_from(rest)[0] != len(rest) - 4:
            raise PeerError("malformed SASL message")
        answer = exchange.first(mechanism.decode("ascii", "replace"), rest[4:], service.clock())
        self.transport.write(message(b"R", INT32.pack(11) + answer))
        last, principal = exchange.final(await self._password_message(), service.clock())
        self.transport.write(message(b"R", INT32.pack(12) + last))
        return principal

    async def _password_message(self) -> bytes:
        while (taken := take_message(self._buffer, MAX_PASSWORD)) is None:
            await self._more()
        kind, body = taken
        if kind != ord("p"):
            raise PeerError(f"expected password response, got message type {kind}")
        return body

    # --- cancel -----------------------------------------------------------------------------------------------

    async def _cancel(self, request: CancelRequest) -> None:
        """Answered by closing, whether the secret was right or not. A client takes that for "it is cancelled" and sends
        its next statement, so the target comes first: else that one would be hit.
        """
        service = self._service
        owner = service.cancels.request(request.pid, request.secret, self._address, service.clock())
        if owner is not None:
            await owner.cancel(self._address)
        self._login_over()
        self.transport.loseConnection()


MAX_APPLICATION_NAME: Final = 63
"""Bytes: NAMEDATALEN - 1; the target cuts off what is longer."""


def application_name(admitted: Admitted) -> str:
    """``ostiary/<principal>/<session>``, so that the target's log can be joined with ours; a long name is shortened."""
    room = MAX_APPLICATION_NAME - len("ostiary//") - len(admitted.session)
    name = "".join(character if " " < character < "\x7f" else "?" for character in admitted.access.principal.name)
    return f"ostiary/{name[:room]}/{admitted.session}"
