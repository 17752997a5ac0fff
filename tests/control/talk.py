"""HTTP with a site, without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from gateway.control.sites import QuietSite


class FakeTransport(StringTransport):
    """As `gateway.net`'s: of a unix socket's peer when ``by`` is a uid, else of TLS: a certificate (DER), or none."""

    def __init__(self, by: int | bytes | None, *, alpn: str | None = "http/1.1") -> None:
        uid = by if isinstance(by, int) else None
        host = IPv4Address("TCP", "192.0.2.1", 8444) if uid is None else UNIXAddress("/run/ostiary/control.sock")
        peer = IPv4Address("TCP", "192.0.2.7", 40000) if uid is None else UNIXAddress(None)
        super().__init__(hostAddress=host, peerAddress=peer)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.peer_credentials = None if uid is None else (4711, uid, uid)
        self.alpn = alpn
        self.aborted = False
        self._certificate = by if isinstance(by, bytes) else None

    def peer_certificate(self) -> bytes | None:
        return self._certificate

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


def raw(
    site: QuietSite,
    data: bytes,
    *,
    uid: int | bytes | None = None,
    chunk: int | None = None,
    alpn: str | None = "http/1.1",
) -> FakeTransport:
    """Everything that is answered to ``data``, which comes whole or in chunks of that many bytes.

    uid  who asks, see `FakeTransport`
    """
    site.startFactory()
    protocol = site.buildProtocol(None)  # type: ignore[no-untyped-call]  # Twisted has no types here
    assert protocol is not None
    transport = FakeTransport(uid, alpn=alpn)
    protocol.makeConnection(transport)
    for start in range(0, len(data), chunk or len(data)):
        protocol.dataReceived(data[start : start + (chunk or len(data))])
    site.stopFactory()
    return transport


def ask(
    site: QuietSite,
    method: str,
    path: str,
    *,
    uid: int | bytes | None = None,
    body: bytes = b"",
    chunk: int | None = None,
    headers: str = "Content-Type: application/json\r\n",
) -> Answer:
    head = f"{method} {path} HTTP/1.0\r\nHost: gw\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return parsed(raw(site, head.encode() + body, uid=uid, chunk=chunk).sent)


def parsed(answer: bytes) -> Answer:
    """One answer, and nothing behind it."""
    status, _, rest = answer.partition(b"\r\n")
    head, _, content = rest.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
    return Answer(int(status.split()[1]), {key.lower(): value for key, value in fields.items()}, content)


def post(site: QuietSite, path: str, body: object = None, *, uid: int | bytes | None) -> Answer:
    """``body`` as JSON."""
    return ask(site, "POST", path, uid=uid, body=b"" if body is None else json.dumps(body).encode())


def clock() -> Clock:
    return Clock()
