"""A thousand operations that wait at once cost nothing to the others, and little memory."""

from __future__ import annotations

import re
import resource
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import wait_until
from support.rawclient import RawClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WAITING = 1000
OF_EACH = 50
"""Sessions of one principal: each may have as many open requests."""
QUESTIONS = 1000
MOST_BYTES = 20_000
"""Per operation that waits, beyond its idle session."""

POLICY = {
    **guarded.POLICY,
    "approve": [
        {
            "name": "second person",
            "groups": ["engineers"],
            "targets": ["orders"],
            "sql": {"verbs": ["delete"]},
            "approvers": {"groups": ["owners"]},
            "wait": "10m",
        }
    ],
}


def connect(gateway: Ostiary, caller: Issued) -> RawClient:
    context = ssl.create_default_context(cafile=str(gateway.pki.ca))
    context.load_cert_chain(caller.certificate, caller.key)
    return RawClient(
        host="localhost",
        port=gateway.port,
        user=caller.certificate.stem,
        database="orders",
        context=context,
        seconds=120,
    )


def slowest(client: RawClient) -> float:
    """The 99th percentile, in ms."""
    took = []
    for _ in range(QUESTIONS):
        began = time.perf_counter()
        assert client.query("select 1").error is None
        took.append(time.perf_counter() - began)
    return sorted(took)[QUESTIONS * 99 // 100] * 1000


def resident(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_they_cost_the_others_nothing(pki: Pki, alice: Issued) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        settings = {"max_connections": str(WAITING + 100)}
        server = stack.enter_context(Postgres(tls=pki.server(file="target-of-many"), settings=settings))
        guarded.fill(server)
        gateway = stack.enter_context(
            Ostiary(
                pki,
                targets=[guarded.target(server, pki.ca)],
                policy=POLICY,
                environment=guarded.ENVIRONMENT,
                settings={"limits": {"per_principal": 2000}},
            )
        )
        callers = [pki.client(f"engineer{number}", groups=["engineers"]) for number in range(WAITING // OF_EACH)]
        with ThreadPoolExecutor(16) as pool:
            many = list(pool.map(lambda caller: connect(gateway, caller), callers * OF_EACH))
        for client in many:
            stack.callback(client.close)
        for client in many[::OF_EACH]:  # what the first question of a session brings with it stays
            assert client.query("select 1").error is None
        other = connect(gateway, alice)
        stack.callback(other.close)
        slowest(other)
        idle, before = slowest(other), resident(gateway.pid)

        for number, client in enumerate(many):
            client.send(b"Q", f"delete from orders where id = {number} and false\0".encode())
        wait_until(lambda: metric(gateway, "ostiary_approvals_open") == WAITING, seconds=120, what="all of them wait")
        at_once = slowest(other)  # meanwhile the recordings of all of them get their signed heads
        waiting, after = slowest(other), resident(gateway.pid)
        each = (after - before) / WAITING
        p99 = (
            f"p99 beside {WAITING} sessions: idle {idle:.2f} ms, just asking {at_once:.2f} ms, waiting {waiting:.2f} ms"
        )
        print(f"{p99}; {each:.0f} bytes each")  # noqa: T201  # the figures
        assert each < MOST_BYTES
        assert waiting < 5 * idle + 5, "a stall would be far more; the machine is noisy"
        assert server.run("select count(*) from orders", "orders") == "500"

        # All get their answer: here the one that policy gives when its entry is gone.
        gateway.write(policy={**POLICY, "approve": []})
        gateway.reload()
        for client in many:
            assert client.receive().error is None


def metric(gateway: Ostiary, name: str) -> float:
    _, text = gateway.http("/metrics")
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else -1
