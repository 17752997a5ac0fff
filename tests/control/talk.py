"""HTTP with a site, without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from gateway.control.sites import QuietSite


class FakeTransport(StringTransport):
    """As `gateway.net`'s, of a unix socket's peer with that uid; None: of TCP."""

    def __init__(self, uid: int | None) -> None:
        host = None if uid is None else UNIXAddress("/run/ostiary/control.sock")
        super().__init__(hostAddress=host, peerAddress=None if uid is None else UNIXAddress(None))  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.peer_credentials = None if uid is None else (4711, uid, uid)
        self.aborted = False

    @property
    def sent(self) -> bytes:
        data: bytes = self.value()  # type: ignore[no-untyped-call]  # Twisted has no types here
        return data

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()  # type: ignore[no-untyped-call]  # Twisted has no types here


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def raw(site: QuietSite, data: bytes, *, uid: int | None = None, chunk: int | None = None) -> FakeTransport:
    """Everything that is answered to ``data``, which comes whole or in chunks of that many bytes."""
    site.startFactory()
    protocol = site.buildProtocol(None)  # type: ignore[no-untyped-call]  # Twisted has no types here
    assert protocol is not None
    transport = FakeTransport(uid)
    protocol.makeConnection(transport)
    for start in range(0, len(data), chunk or len(data)):
        protocol.dataReceived(data[start : start + (chunk or len(data))])
    site.stopFactory()
    return transport


def ask(
    site: QuietSite, method: str, path: str, *, uid: int | None = None, body: bytes = b"", chunk: int | None = None
) -> Answer:
    head = f"{method} {path} HTTP/1.0\r\nHost: gw\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = raw(site, head.encode() + body, uid=uid, chunk=chunk).sent
    status, _, rest = answer.partition(b"\r\n")
    headers, _, content = rest.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in headers.decode().split("\r\n") if line)
    return Answer(int(status.split()[1]), {key.lower(): value for key, value in fields.items()}, content)


def clock() -> Clock:
    return Clock()
