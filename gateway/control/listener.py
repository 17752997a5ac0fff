"""Mutual TLS in front of the control API: a connection that proves no client certificate never becomes HTTP.

One address, or one certificate, must not take up all the room that there is; where the network is flooded all the same,
the unix socket is there for whoever runs the gateway. Addresses are the connection's own; what a header says of another
one (X-Forwarded-For, Forwarded) counts for nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import structlog
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.control.sites import QuietSite
from gateway.net import ServerContext, StreamTransport

log = structlog.get_logger()

HANDSHAKE = 10.0
"""Seconds for the TLS handshake, from the connection's beginning."""

UNPROVEN = 512
"""Connections that are in their handshake: twice what a fleet of operators would open in one moment."""

UNPROVEN_OF_ADDRESS = 32
"""Those of one address. An office behind one address logs in at the same moment, but is done within milliseconds."""

PROVEN = 2048
"""Connections with a certificate, of all callers. An approver who watches takes one for as long as that lasts."""

PROVEN_OF_CERTIFICATE = 32
"""Those of one certificate: a person's terminals, and a script or two."""


class MutualTls(Factory):
    """Gives connections to ``site`` once their handshake has proven a client certificate.

    tls  requires a certificate (`server_context` with ``client_required``)
    """

    noisy = False

    def __init__(self, site: QuietSite, tls: ServerContext, reactor: Any) -> None:
        self.site = site
        self.tls = tls
        self.refused = 0
        """Connections that did not become HTTP."""
        self.reactor = reactor
        self._unproven: Counter[str] = Counter()
        self._proven: Counter[bytes] = Counter()
        self._connections: set[_Connection] = set()

    def doStart(self) -> None:
        super().doStart()  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.site.doStart()  # type: ignore[no-untyped-call]  # as above

    def doStop(self) -> None:
        super().doStop()  # type: ignore[no-untyped-call]  # as above
        self.site.doStop()  # type: ignore[no-untyped-call]  # as above

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        host = getattr(addr, "host", "")
        if self._unproven.total() >= UNPROVEN or self._unproven[host] >= UNPROVEN_OF_ADDRESS:
            self.refused += 1
            return None
        return _Connection(self, host)

    def renew(self, tls: ServerContext) -> None:
        """New connections use ``tls`` (a reload). When other CAs or lists verify them, those that are there are closed
        after the answer that is under way: their certificates were verified by what is no longer in force."""
        renewed = tls.trust != self.tls.trust
        self.tls = tls
        if renewed:
            for connection in self._connections:
                self.reactor.callLater(0, connection.close)

    # --- for its connections ----------------------------------------------------------------------------------

    def entered(self, connection: _Connection) -> None:
        self._connections.add(connection)
        self._unproven[connection.host] += 1

    def proven(self, connection: _Connection, certificate: bytes) -> bool:
        """Whether there is room for one more of that certificate."""
        _take(self._unproven, connection.host)
        self._proven[certificate] += 1
        return self._proven.total() <= PROVEN and self._proven[certificate] <= PROVEN_OF_CERTIFICATE

    def left(self, connection: _Connection, certificate: bytes | None) -> None:
        self._connections.discard(connection)
        if certificate is None:
            _take(self._unproven, connection.host)
        else:
            _take(self._proven, certificate)


def _take(counter: Counter[Any], key: object) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


class _Connection(Protocol):
    """One connection: its handshake, then whatever HTTP does with it."""

    transport: StreamTransport

    def __init__(self, listener: MutualTls, host: str) -> None:
        self.host = host
        self._listener = listener
        self._certificate: bytes | None = None
        """Digest of the one that was proven."""
        self._channel: IProtocol | None = None
        self._deadline: IDelayedCall | None = None
        self._refused = False

    def connectionMade(self) -> None:
        self._listener.entered(self)
        self._deadline = self._listener.reactor.callLater(HANDSHAKE, self._refuse, "the handshake took too long")

    def dataReceived(self, data: bytes) -> None:
        """The first bytes, which have to be a handshake's; from here on nothing comes that TLS has not read."""
        done = self.transport.start_tls(self._listener.tls, server_side=True, timeout=HANDSHAKE, received=data)
        done.addCallbacks(self._speak, lambda failure: self._refuse(failure.getErrorMessage()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over()
        self._listener.left(self, self._certificate)
        if self._channel is not None:
            self._channel.connectionLost(reason)

    def close(self) -> None:
        self.transport.loseConnection()

    def _over(self) -> None:
        """The handshake is, in whatever way."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _speak(self, _: None) -> None:
        self._over()
        certificate = self.transport.peer_certificate()
        if certificate is None:
            self._refuse("no certificate was shown")
            return
        self._certificate = hashlib.sha256(certificate).digest()
        if not self._listener.proven(self, self._certificate):
            self._refuse("there are too many connections")
            return
        channel: Any = self._listener.site.buildProtocol(self.transport.getPeer())  # type: ignore[no-untyped-call]  # as above
        self._channel = channel
        channel.makeConnection(self.transport)
        self.transport.deliver_to(channel.dataReceived)

    def _refuse(self, problem: str) -> None:
        if self._refused:
            return  # by its deadline, which broke the handshake off
        self._refused = True
        self._over()
        self._listener.refused += 1
        log.info("control connection refused", address=self.host, problem=problem)
        self.transport.abortConnection()
