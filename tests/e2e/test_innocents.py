"""Masks leave alone what shows nothing protected: stock clients and dashboards get the same bytes as without them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import clients
from support.clients import JDBC, Command, Query
from support.ostiary import Ostiary, target_by_certificate
from support.pki import Pki
from support.postgres import Postgres
from support.psql import binaries
from support.ways import Both, Way, same

pytestmark = pytest.mark.e2e

DATA = clients.load()
USER, DATABASE = "postgres", "shop"
LEAST = 80
"""Innocent queries that the corpus must have; each of psql's commands is several."""


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[Postgres]:
    hba = ["hostssl all all 127.0.0.1/32 cert"]
    settings = {"log_statement": "none", "autovacuum": "off"}  # relation sizes and statistics stay as they are
    with Postgres(tls=pki.server(file="target"), ca=pki.ca, hba=hba, settings=settings) as running:
        running.run(f"create database {DATABASE}")
        running.run(DATA.fixture, DATABASE)
        subprocess.run(
            [binaries() / "pgbench", "-i", "-q", "-n", running.connection(DATABASE)], check=True, capture_output=True
        )
        yield running


@pytest.fixture(scope="module")
def both(pki: Pki, server: Postgres) -> Iterator[Both]:
    """The caller may do anything, nothing that is labelled is shown to anybody."""
    target = target_by_certificate(DATABASE, server.port, pki, USER)
    policy = {
        "labels": {label: {"columns": {DATABASE: columns}} for label, columns in DATA.labels.items()},
        "allow": [{"name": "anything", "principals": [USER], "targets": ["*"]}],
        "masks": [{"labels": ["*"], "method": "redact"}],
    }
    caller = pki.client(USER)
    with Ostiary(pki, targets=[target], policy=policy) as gateway:
        yield (
            Way("direct", server.port, "", caller, pki.ca, USER, DATABASE),
            Way("gateway", gateway.port, f"{DATABASE}/", caller, pki.ca, USER, DATABASE),
        )


def test_the_masks_are_on(both: Both) -> None:
    with both[1].connect() as connection:
        row = connection.execute("select email, ssn, name from customers where id = 1").fetchone()
    assert row == ("****", "****", "Customer 1")


def test_there_are_enough() -> None:
    assert len(DATA.queries) >= LEAST
    names = [query.name for query in DATA.queries] + [command.command for command in DATA.psql]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("query", DATA.queries, ids=lambda query: query.name)
def test_queries(both: Both, query: Query) -> None:
    for mode in ("text", "binary") if query.params else ("simple", "text", "binary"):
        shown = same(both, lambda way, mode=mode: clients.of_query(way, query, mode))  # type: ignore[misc]
        # some of the catalogue's types have no binary output: without a gateway, too
        assert mode == "binary" or all(kind != b"E" for kind, _ in shown), shown


@pytest.mark.parametrize("command", DATA.psql, ids=lambda command: command.command)
def test_psql(both: Both, command: Command) -> None:
    shown, _, status = same(both, lambda way: clients.of_psql(way, command.command))
    assert status == 0
    assert shown


@pytest.mark.filterwarnings("ignore:Did not recognize type")  # composite types: SQLAlchemy has none
def test_sqlalchemy(both: Both) -> None:
    told = same(both, clients.of_sqlalchemy)
    assert "ssn" in told["reflected"]


def test_django(both: Both) -> None:
    direct, through = clients.of_django(both)
    assert through == direct
    assert "ssn = models.CharField" in direct


@pytest.mark.skipif(shutil.which("java") is None or not JDBC.exists(), reason="needs java and libpostgresql-jdbc-java")
def test_pgjdbc(both: Both, tmp_path: Path) -> None:
    told = same(both, lambda way: clients.of_pgjdbc(way, tmp_path))
    assert "|customers|ssn|" in told


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(both: Both, server: Postgres, mode: str) -> None:
    """Its tables carry no label, and are the same afterwards."""

    def bench(way: Way) -> tuple[list[str], str]:
        server.run("update pgbench_accounts set abalance = 0 where abalance <> 0; truncate pgbench_history", DATABASE)
        told = clients.of_pgbench(way, mode)
        return told, server.run(
            "select sum(abalance), sum(aid * abalance::bigint) from pgbench_accounts"
            " union all select sum(delta), sum(aid) from pgbench_history",
            DATABASE,
        )

    same(both, bench)
