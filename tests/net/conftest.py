"""A loop of its own for each test, and certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from net.wiring import LoopOnly, Net, reference
from support.pki import Issued, Pki

from gateway.net import ServerContext, server_context


@pytest.fixture
def reactor() -> Iterator[LoopOnly]:
    reactor = LoopOnly()
    yield reactor
    reactor.loop.run_until_complete(_settle(reactor.loop))
    reactor.loop.close()


async def _settle(loop: asyncio.AbstractEventLoop) -> None:
    """Nothing outlives its test: sockets are closed, tasks have ended."""
    others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


@pytest.fixture
def net(reactor: LoopOnly) -> Iterator[Net]:
    net = Net(reactor)
    yield net
    reactor.run(net.close())


@pytest.fixture(scope="session")
def server_certificate(pki: Pki) -> Issued:
    return pki.server(file="net-server")


@pytest.fixture(scope="session")
def server_tls(pki: Pki, server_certificate: Issued) -> ServerContext:
    """Asks for client certificates, agrees to ``postgresql``."""
    return server_context(
        reference(server_certificate.certificate),
        reference(server_certificate.key),
        client_ca=[reference(pki.ca)],
        alpn=["postgresql"],
    )
