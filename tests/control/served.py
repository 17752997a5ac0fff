"""The control API over a `FakeGateway`, on loopback with mutual TLS and on a unix socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from control.made import OWN, FakeGateway
from control.talk import Answer
from support.pki import Issued, Pki
from twisted.internet.address import UNIXAddress
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IListeningPort

from gateway.control.api import HTTP_ALPN, control_site
from gateway.control.listener import MutualTls
from gateway.model import Address
from gateway.net import ServerContext, StreamServerEndpoint, server_context
from gateway.secrets import SecretReference

T = TypeVar("T")

BOUND = 10.0
"""Seconds that anything asked of the thread may take; all of it takes milliseconds."""


def reference(path: Path) -> SecretReference:
    return SecretReference.parse(f"file:{path}")


class Served:
    """Listens between `start` and `stop`.

    gateway  is looked at by the thread: change it between requests only
    """

    def __init__(self, gateway: FakeGateway, pki: Pki, *, crl: Path | None = None) -> None:
        self.gateway = gateway
        self.pki = pki
        self.socket = gateway.directory / "control.sock"
        self._certificate = pki.server(file="control")
        self._loop = uvloop.new_event_loop()
        self._reactor = AsyncioSelectorReactor(self._loop)
        self._thread = threading.Thread(target=self._loop.run_forever, name="control")
        site = control_site(gateway, self._reactor, own=OWN)
        self.listener = MutualTls(site, self.tls(crl), self._reactor)
        self._site = site
        self._ports: list[IListeningPort] = []
        self.port = 0

    def tls(self, crl: Path | None = None, *authorities: Pki) -> ServerContext:
        """What the listener meets callers with."""
        return server_context(
            reference(self._certificate.certificate),
            reference(self._certificate.key),
            client_ca=[reference(each.ca) for each in authorities or (self.pki,)],
            client_required=True,
            crl=[] if crl is None else [reference(crl)],
            alpn=(HTTP_ALPN,),
        )

    def start(self) -> Served:
        self._thread.start()
        self.run(self._listen())
        return self

    def stop(self) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND)
        self._reactor.removeAll()  # type: ignore[no-untyped-call]  # Twisted's
        os.close(self._reactor.waker.i)
        os.close(self._reactor.waker.o)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its outcome, from the thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(BOUND)

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """As `run`, of a plain function."""

        async def work() -> T:
            return function(*arguments)

        return self.run(work())

    async def _listen(self) -> None:
        tls = StreamServerEndpoint(self._reactor, Address("127.0.0.1", 0)).listen(self.listener)
        local = StreamServerEndpoint(self._reactor, Address(str(self.socket), 0)).listen(self._site)
        self._ports = [await tls.asFuture(self._loop), await local.asFuture(self._loop)]
        host = self._ports[0].getHost()
        assert not isinstance(host, UNIXAddress)
        self.port = host.port  # type: ignore[attr-defined]  # of an IPv4Address

    async def _close(self) -> None:
        for port in self._ports:
            await port.stopListening().asFuture(self._loop)  # type: ignore[union-attr]  # ours gives a Deferred
        for connection in tuple(self.listener._connections):
            connection.transport.abortConnection()
        for _ in range(3):
            await asyncio.sleep(0)

    # --- callers ----------------------------------------------------------------------------------------------

    def context(self, caller: Issued | None, *, alpn: str | None = HTTP_ALPN) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        if caller is not None:
            context.load_cert_chain(caller.certificate, caller.key)
        if alpn is not None:
            context.set_alpn_protocols([alpn])
        return context

    def connection(self, caller: Issued | None, **options: Any) -> HTTPConnection:
        return HTTPSConnection("localhost", self.port, context=self.context(caller, **options), timeout=BOUND)

    def plain(self) -> socket.socket:
        """A connection without any TLS so far."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=BOUND)


def ask(connection: HTTPConnection, method: str, path: str, body: object = None, **headers: str) -> Answer:
    """One request of an open connection, which stays open."""
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())


def uid() -> int:
    """Who the tests are on a unix socket."""
    return os.geteuid()
