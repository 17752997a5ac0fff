"""A receiver of webhooks without a network: each attempt is let succeed, fail or hang by the test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer


@dataclass(frozen=True, slots=True)
class Posted:
    """One POST, taken apart."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One accepted connection, from the receiver's side."""

    def __init__(self, protocol: IProtocol) -> None:
        self.protocol = protocol
        self.transport = StringTransport()  # type: ignore[no-untyped-call]  # Twisted's
        protocol.makeConnection(self.transport)

    @property
    def posted(self) -> Posted:
        data: bytes = self.transport.value()  # type: ignore[no-untyped-call]  # Twisted's
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
        assert (method, version) == ("POST", "HTTP/1.1")
        headers = dict(line.split(": ", 1) for line in lines)
        assert int(headers["content-length"]) == len(body)
        return Posted(path, headers, body)

    def answer(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def status(self, code: int) -> None:
        self.answer(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % code)

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]  # Twisted's


@implementer(IStreamClientEndpoint)
class Network:
    """An endpoint whose attempts wait for `accept` or `refuse`, oldest first."""

    def __init__(self) -> None:
        self.attempts: list[tuple[IProtocolFactory, Deferred[IProtocol]]] = []
        self.made = 0

    def __call__(self) -> IStreamClientEndpoint:
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # the interface's
        waiting: Deferred[IProtocol] = Deferred()
        self.attempts.append((protocolFactory, waiting))
        self.made += 1
        return waiting

    def accept(self) -> Connection:
        factory, waiting = self.attempts.pop(0)
        protocol = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 443))
        assert protocol is not None
        connection = Connection(protocol)
        waiting.callback(protocol)
        return connection

    def refuse(self, error: Exception) -> None:
        self.attempts.pop(0)[1].errback(Failure(error))  # type: ignore[no-untyped-call]  # Twisted's
