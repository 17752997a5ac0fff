"""No forbidden statement takes effect, however it is hidden; innocent ones run (design.md, promise 1)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from support.denials import Case, load, placed
from support.ostiary import Ostiary
from support.pki import Pki
from support.postgres import Postgres
from support.rawclient import RawClient, Received

pytestmark = pytest.mark.e2e

DENIALS = load("denials.yaml")
INNOCENT = load("innocent.yaml")
DATABASE = "guarded"
FORBIDDEN = (
    "drop truncate alter create copy_program copy_file do call grant set_role set_unsafe alter_system load large_object"
).split()
POLICY = {
    "allow": [
        {
            "name": "dml",
            "principals": ["mallory"],
            "targets": ["*"],
            "sql": {"verbs": ["select", "insert", "update", "delete"]},
        }
    ],
    "deny": [{"name": "nobody destroys", "principals": ["mallory"], "targets": ["*"], "sql": {"verbs": FORBIDDEN}}],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """The login is a superuser's, so that nothing but the gateway stands in the way."""
    with Postgres() as running:
        running.run(f"create database {DATABASE}")
        yield running


@pytest.fixture(scope="module")
def gateway(pki: Pki, server: Postgres) -> Iterator[Ostiary]:
    target = {
        "name": DATABASE,
        "protocol": "postgres",
        "address": f"{server.directory}/.s.PGSQL.{server.port}",
        "credentials": [{"user": "postgres"}],
    }
    with Ostiary(pki, targets=[target], policy=POLICY) as running:
        yield running


@pytest.fixture(scope="module")
def context(pki: Pki) -> ssl.SSLContext:
    mallory = pki.client("mallory")
    made = ssl.create_default_context(cafile=str(pki.ca))
    made.load_cert_chain(mallory.certificate, mallory.key)
    return made


def through(gateway: Ostiary, context: ssl.SSLContext) -> RawClient:
    return RawClient(host="localhost", port=gateway.port, user="mallory", database=DATABASE, context=context)


def send(client: RawClient, text: str, over: str) -> Received:
    if over == "simple":
        return client.query(text)
    received = client.execute(text)
    assert received is not None
    return received


def got_through(server: Postgres, case: Case) -> bool:
    """Whether the probe says so; an error while probing counts, too."""
    try:
        return server.run(case.probe, DATABASE).strip() != "f"
    except Exception:  # noqa: BLE001  # a victim that is gone makes probes fail
        return True


@pytest.mark.parametrize("case", DENIALS.cases, ids=lambda case: case.name)
def test_nothing_forbidden_takes_effect(
    case: Case, server: Postgres, gateway: Ostiary, context: ssl.SSLContext
) -> None:
    case = placed(case, str(server.directory / "probe"))
    for over in case.over:
        server.run(DENIALS.fixture, DATABASE)
        if case.setup:
            server.run(case.setup, DATABASE)
        assert not got_through(server, case), "the probe says so before the attempt"
        with through(gateway, context) as client:
            for step in case.steps:
                answer = send(client, step, over)
                if not answer.messages or answer.messages[-1][0] != b"Z":
                    break  # the gateway ended the session
            else:
                assert send(client, "select 1", over).rows == [[b"1"]] or client.query("rollback").messages
        assert not got_through(server, case), f"{over}: {case.reason}"


@pytest.fixture(scope="module")
def innocent_data(server: Postgres) -> None:
    server.run(INNOCENT.fixture, DATABASE)


@pytest.mark.parametrize("case", INNOCENT.cases, ids=lambda case: case.name)
@pytest.mark.usefixtures("innocent_data")
def test_innocent_statements_run(case: Case, gateway: Ostiary, context: ssl.SSLContext) -> None:
    for over in case.over:
        with through(gateway, context) as client:
            for step in case.steps:
                answer = send(client, step, over)
                assert answer.error is None, f"{over}: {step[:200]}"
