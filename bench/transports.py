"""An empty relay on each kind of transport, beside pgbouncer: ``python -m bench.transports``.

What it answers: what TLS and sockets alone cost under each, before any decision is taken (docs/decisions/0001). The
relay answers SSLRequest, upgrades, and passes bytes on; pgbench -S -M prepared -c 8 goes through it, TLS towards the
client for all, plain TCP behind. Rounds are interleaved, figures are medians, ratios are medians of each round's.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.pgbouncer import Pgbouncer  # noqa: E402  # all of it stands on the tests' lifecycle classes
from support.pki import Issued, Pki  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.process import Process, accepts, free_port, scratch_directory  # noqa: E402
from twisted.internet.protocol import Factory, Protocol, connectionDone  # noqa: E402
from twisted.python.failure import Failure  # noqa: E402

from bench import measures  # noqa: E402
from bench.systems import HBA, OWNER, PASSWORD, System, fill  # noqa: E402
from gateway.model import Address  # noqa: E402

KINDS = {
    "net on uvloop": "as Ostiary uses it",
    "net on asyncio": "the same code on the standard library's loop",
    "twisted": "Twisted's own TCP and TLS (pyOpenSSL), epoll reactor",
}
SSL_REQUEST = 8


class Upstream(Protocol):
    """Towards PostgreSQL; made when the client's TLS stands."""

    def __init__(self, client: Any) -> None:
        # The seam's way, for all kinds alike: no code of ours between the two transports.
        self.dataReceived = client.write  # type: ignore[method-assign]
        self.client = client

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.client.loseConnection()


class Relay(Protocol):
    """Towards the client. ``secure`` gives a Deferred or None, ``dial`` connects an Upstream."""

    factory: RelayFactory
    upstream: Any = None

    def __init__(self) -> None:
        self.early = b""
        self.secured = False

    def dataReceived(self, data: bytes) -> None:
        if self.upstream is not None:
            self.upstream.write(data)
        elif self.secured:
            self.early += data
        else:
            assert len(data) == SSL_REQUEST, "only clients that ask for TLS"
            self.transport.write(b"S")  # type: ignore[union-attr]
            self.secured = True
            secured = self.factory.secure(self.transport)
            if secured is None:
                self.go_on(None)
            else:
                secured.addCallbacks(self.go_on, lambda failure: None)

    def go_on(self, _: object) -> None:
        self.factory.dial(Upstream(self.transport)).addCallbacks(
            self.reached, lambda failure: self.transport.loseConnection() if self.transport else None
        )

    def reached(self, protocol: Upstream) -> None:
        self.upstream = protocol.transport
        self.upstream.write(self.early)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.upstream is not None:
            self.upstream.loseConnection()


class RelayFactory(Factory):
    noisy = False

    def __init__(self, secure: Any, dial: Any) -> None:
        self.secure = secure
        self.dial = dial

    def buildProtocol(self, addr: object) -> Protocol:
        relay = Relay()
        relay.factory = self
        return relay


class Only(Factory):
    """Gives the one protocol it was made with."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        return self._protocol


def serve_net(loop: str, port: int, upstream: int, tls: Issued) -> None:
    from gateway.net import StreamClientEndpoint, StreamServerEndpoint, install_reactor, server_context
    from gateway.secrets import SecretReference

    reactor: Any
    if loop == "net on uvloop":
        reactor = install_reactor()
    else:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(asyncio.new_event_loop())  # type: ignore[no-untyped-call]
        from twisted.internet import reactor
    context = server_context(*(SecretReference("file", str(path)) for path in (tls.certificate, tls.key)))
    target = StreamClientEndpoint(reactor, Address("127.0.0.1", upstream), timeout=10)
    factory = RelayFactory(
        lambda transport: transport.start_tls(context, server_side=True),
        lambda protocol: target.connect(Only(protocol)),
    )
    reactor.callWhenRunning(lambda: StreamServerEndpoint(reactor, Address("127.0.0.1", port)).listen(factory))
    reactor.run()


def serve_twisted(port: int, upstream: int, tls: Issued) -> None:
    from OpenSSL import SSL
    from twisted.internet import epollreactor

    epollreactor.install()  # type: ignore[no-untyped-call]  # Twisted's, without annotations
    from twisted.internet import reactor as imported
    from twisted.internet import ssl
    from twisted.internet.endpoints import TCP4ClientEndpoint

    reactor: Any = imported
    files = str(tls.key), str(tls.certificate)
    factory = ssl.DefaultOpenSSLContextFactory(*files, sslmethod=SSL.TLS_METHOD)  # type: ignore[no-untyped-call]
    target = TCP4ClientEndpoint(reactor, "127.0.0.1", upstream)

    def secure(transport: Any) -> None:
        transport.setTcpNoDelay(True)
        transport.startTLS(factory)

    def dial(protocol: Protocol) -> Any:
        def no_delay(connected: Any) -> Any:
            connected.transport.setTcpNoDelay(True)
            return connected

        return target.connect(Only(protocol)).addCallback(no_delay)

    reactor.listenTCP(port, RelayFactory(secure, dial), interface="127.0.0.1")
    reactor.run()


def relay(kind: str, upstream: int, tls: Issued) -> Process:
    port = free_port()
    words = [sys.executable, "-m", "bench.transports", "--serve", kind, str(port), str(upstream)]
    process = Process(
        kind.replace(" ", "-"),
        [*words, str(tls.certificate), str(tls.key)],
        directory=REPOSITORY,
        ready=lambda: accepts(port),
    )
    process.log = scratch_directory("relay") / "log"
    process.port = port  # type: ignore[attr-defined]
    return process


def compare(rounds: int, seconds: float) -> None:
    pki = Pki(scratch_directory("pki"))
    tls = pki.server(file="relay")
    settings = {"max_connections": "300", "shared_buffers": "512MB", "log_statement": "none", "autovacuum": "off"}
    with Postgres(tls=pki.server(file="target"), hba=HBA, settings=settings) as postgres:
        fill(postgres, 1)
        relays = [relay(kind, postgres.port, tls) for kind in KINDS]
        bouncer = Pgbouncer(postgres, tls, passwords={OWNER: PASSWORD}, settings={"server_tls_sslmode": "disable"})
        try:
            compared = [System("direct", postgres, postgres.port, pki.ca)]
            for process in (bouncer, *relays):
                process.start()
                compared.append(System(process.name, process, process.port, pki.ca))  # type: ignore[attr-defined]
            found: dict[str, list[float]] = {system.name: [] for system in compared}
            for round_number in range(rounds + 1):
                for system in compared:
                    rate = measures.pgbench(system, "-S", "-M", "prepared", clients=8, seconds=seconds)
                    if round_number:  # the first one warms up
                        found[system.name].append(rate.tps)
        finally:
            for process in (bouncer, *relays):
                process.stop()
    print(f"pgbench -S -M prepared -c 8 -T {seconds:g}, TLS towards the client, {rounds} interleaved rounds")
    print(f"{'':16}{'tps':>8}{'lowest':>8}{'highest':>8}{'of pgbouncer':>14}{'of direct':>11}")
    for name, rates in found.items():
        of_pgbouncer, of_direct = (
            statistics.median(rate / base for rate, base in zip(rates, found[other], strict=True))
            for other in ("pgbouncer", "direct")
        )
        figures = f"{statistics.median(rates):8.0f}{min(rates):8.0f}{max(rates):8.0f}"
        print(f"{name:16}{figures}{of_pgbouncer:14.2f}{of_direct:11.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--serve", nargs=5, metavar=("KIND", "PORT", "UPSTREAM", "CERTIFICATE", "KEY"))
    arguments = parser.parse_args()
    if arguments.serve is None:
        compare(arguments.rounds, arguments.seconds)
        return
    kind, port, upstream, certificate, key = arguments.serve
    tls = Issued(Path(certificate), Path(key))
    if kind == "twisted":
        serve_twisted(int(port), int(upstream), tls)
    else:
        serve_net(kind, int(port), int(upstream), tls)


if __name__ == "__main__":
    main()
