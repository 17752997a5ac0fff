"""No protected value gets through, however it is asked for (design.md, promise 2)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest
from support.leaks import Attempt, Databases, Innocent, Judge, load, run
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.rawclient import RawClient

pytestmark = pytest.mark.e2e

CORPUS = load()
JUDGE = Judge(CORPUS.sentinels)
PASSWORD = "superuser-secret"
TARGET = "vault"

PARTS = 6
"""Of the corpus, for the test of its teeth: a new database for each attempt takes a second."""

TEETH = 0.9
"""Share of attempts that must leak without a gateway; what one version refuses by itself another may not."""


@pytest.fixture(scope="module")
def databases(pki: Pki) -> Iterator[Databases]:
    """A cluster in which everything leaks: the login is a superuser's."""
    settings = {"wal_level": "logical", "max_wal_senders": "4", "shared_preload_libraries": "pg_stat_statements"}
    hba = ["hostssl all all 127.0.0.1/32 scram-sha-256", "hostssl replication all 127.0.0.1/32 scram-sha-256"]
    hba += ["local replication all trust"]
    with Postgres(tls=pki.server(file="target"), hba=hba, settings=settings) as server:
        server.run(f"alter role postgres password '{PASSWORD}'")
        with closing(Databases(server, CORPUS)) as made:
            yield made


@pytest.fixture(scope="module")
def shared_database(databases: Databases) -> Iterator[str]:
    """For attempts that only read."""
    with databases.fresh() as name:
        yield name


@pytest.fixture(scope="module")
def mallory(pki: Pki) -> Issued:
    return pki.client("mallory", groups=["everyone"])


@pytest.fixture(scope="module")
def gateway(pki: Pki, databases: Databases) -> Iterator[Ostiary]:
    """Allows everything and masks the labels, so that nothing but masking stands in the way."""
    target = {
        "name": TARGET,
        "protocol": "postgres",
        "address": f"localhost:{databases.server.port}",
        "tls": {"mode": "verify-full", "ca": f"file:{pki.ca}"},
        "credentials": [{"user": "postgres", "password": "env:SUPERUSER_PASSWORD"}],
    }
    policy = {
        "labels": {label: {"columns": {TARGET: columns}} for label, columns in CORPUS.labels.items()},
        "allow": [{"name": "everything", "groups": ["everyone"], "targets": [TARGET]}],
        "masks": [{"labels": ["*"], "method": "redact"}],
    }
    environment = {"SUPERUSER_PASSWORD": PASSWORD}
    with Ostiary(pki, targets=[target], policy=policy, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def context(pki: Pki, mallory: Issued) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(pki.ca))
    made.load_cert_chain(mallory.certificate, mallory.key)
    return made


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(attempt, marks=[pytest.mark.slow] if attempt.is_slow else [], id=attempt.name)
        for attempt in CORPUS.attempts
    ],
)
def test_nothing_leaks(
    attempt: Attempt, databases: Databases, shared_database: str, gateway: Ostiary, context: ssl.SSLContext
) -> None:
    def connect(database: str, startup: Mapping[str, str]) -> RawClient:
        return RawClient(
            host="localhost", port=gateway.port, user="mallory", database=f"{TARGET}/{database}", context=context,
            parameters=startup,
        )  # fmt: skip

    for mode in attempt.modes:
        if attempt.only_reads:
            outcome = run(attempt, mode, shared_database, databases, connect, JUDGE)
        else:
            with databases.fresh(attempt.setup) as database:
                outcome = run(attempt, mode, database, databases, connect, JUDGE)
        assert not outcome.leaked, f"{mode}: {attempt.reason}: {outcome}"


@pytest.mark.parametrize("innocent", CORPUS.innocent, ids=lambda innocent: innocent.name)
def test_the_rest_is_shown(innocent: Innocent, databases: Databases, gateway: Ostiary, context: ssl.SSLContext) -> None:
    with (
        databases.fresh() as database,
        RawClient(
            host="localhost", port=gateway.port, user="mallory", database=f"{TARGET}/{database}", context=context
        ) as client,
    ):
        for extended in (False, True):
            client.query("begin")
            received = client.execute(innocent.sql) if extended else client.query(innocent.sql)
            assert received is not None
            shown = [[None if cell is None else cell.decode() for cell in row] for row in received.rows]
            assert shown == innocent.shows, received.reports
            client.query("rollback")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_corpus_has_teeth(part: int, databases: Databases, shared_database: str) -> None:
    def connect(database: str, startup: Mapping[str, str]) -> RawClient:
        server = databases.server
        return RawClient(
            host=str(server.directory), port=server.port, user="postgres", database=database, parameters=startup
        )

    toothless = {}
    attempts = CORPUS.attempts[part::PARTS]
    for attempt in attempts:
        mode = attempt.modes[0]
        if attempt.only_reads:
            outcome = run(attempt, mode, shared_database, databases, connect, JUDGE, longest_wait=1)
        else:
            with databases.fresh(attempt.setup) as database:
                outcome = run(attempt, mode, database, databases, connect, JUDGE, longest_wait=1)
        if not outcome.leaked:
            toothless[attempt.name] = outcome.reports
    assert len(toothless) <= (1 - TEETH) * len(attempts), toothless


def test_the_caller_never_sends_what_it_looks_for() -> None:
    for attempt in CORPUS.attempts:
        for text in (text for step in attempt.all_steps for text in step.texts):
            assert not JUDGE.find(text.encode(), []), attempt.name


@pytest.mark.parametrize(
    "command", ["\\d", "\\d customers", "\\d+ contact", "\\dt+", "\\dv", "\\df", "\\dn", "\\du", "\\l"]
)
def test_psql_can_look_around(command: str, shared_database: str, gateway: Ostiary, mallory: Issued) -> None:
    shown = gateway.psql(mallory, command, database=f"{TARGET}/{shared_database}")
    assert shown.status == 0, shown.stderr
    assert "ERROR" not in shown.stderr
    assert "****" not in shown.stdout
    assert shown.stdout
