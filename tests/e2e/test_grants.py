"""What `ostiary grants` prints, run on a real server: the role can do what policy allows, and reads nothing hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres

pytestmark = pytest.mark.e2e

READER, WRITER = "least_ro", "least_rw"
DATABASE = "grants_odd"

SCHEMA = '"odd ""schema"'
TABLE = f'{SCHEMA}."line\nbreak"'
ODD = f"""
create schema {SCHEMA};
create table {TABLE} (id serial, "ssn" text, "Größe; drop" text);
insert into {TABLE} (ssn, "Größe; drop") values ('900-00-0001', 'M');
create view {SCHEMA}.shown as select ssn as "a\\b", id from {TABLE};
create table public.only_secret (ssn text);
create table public.nothing ();
"""

POLICY: dict[str, Any] = {
    **guarded.POLICY,
    "labels": {
        "pii.email": {"columns": {"orders": ["public.customers.email"]}},
        "pii.ssn": {"columns": {"orders": ["*.*.ssn"]}},
        "pci.pan": {"columns": {"orders": ["public.payments.pan"]}},
    },
}


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    """Its callers log in at the target as the roles that the printed SQL made."""
    for role in (READER, WRITER):
        target_server.run(f"create role {role} login password '{role}-secret'")
    target_server.run(f"create database {DATABASE}")
    target_server.run(ODD, DATABASE)
    target = guarded.target(target_server, pki.ca)
    target["credentials"] = [
        {"groups": ["engineers"], "user": WRITER, "password": "env:WRITER_PASSWORD"},
        {"groups": ["owners"], "user": guarded.OWNER, "password": "env:OWNER_PASSWORD"},
        {"groups": ["analysts"], "user": READER, "password": "env:READER_PASSWORD"},
    ]
    environment = guarded.ENVIRONMENT | {
        "WRITER_PASSWORD": f"{WRITER}-secret",
        "READER_PASSWORD": f"{READER}-secret",
    }
    with Ostiary(pki, targets=[target], policy=POLICY, environment=environment) as running:
        yield running
    target_server.run(f"drop database {DATABASE} with (force)")
    target_server.run(f"drop owned by {READER}, {WRITER}; drop role {READER}, {WRITER}", guarded.DATABASE)


def printed(gateway: Ostiary, *arguments: str) -> str:
    result = gateway.cli("grants", "--target", "orders", *arguments, "--config", str(gateway.configuration))
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def granted(gateway: Ostiary, target_server: Postgres) -> None:
    """Both databases, both roles; twice, since it is made anew when policy changes."""
    target_server.run(f"grant select on all tables in schema public to {READER}", guarded.DATABASE)
    for _ in range(2):
        for database in (guarded.DATABASE, DATABASE):
            for groups in ("analysts", "engineers"):
                target_server.run(printed(gateway, "--groups", groups, "--database", database), database)


def readable(server: Postgres, role: str, database: str) -> dict[str, bool]:
    """Every user column -> whether the role may read it, as the server itself says."""
    rows = server.run(
        f"""select json_object_agg(n.nspname || '.' || c.relname || '.' || a.attname,
              has_schema_privilege('{role}', n.oid, 'USAGE')
              and has_column_privilege('{role}', c.oid, a.attnum, 'SELECT'))
            from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
            where c.oid >= 16384 and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f')
              and n.nspname !~ '^pg_'""",
        database,
    )
    found: dict[str, bool] = json.loads(rows)
    return found


@pytest.mark.usefixtures("granted")
@pytest.mark.parametrize("database", [guarded.DATABASE, DATABASE])
@pytest.mark.parametrize("groups", ["analysts", "engineers"])
def test_the_server_agrees_column_by_column(
    gateway: Ostiary, target_server: Postgres, groups: str, database: str
) -> None:
    said = json.loads(printed(gateway, "--groups", groups, "--database", database, "--json"))
    assert said["warnings"] == []
    hidden = {f"{one['relation']}.{one['column']}" for one in said["hidden"] if not one["granted"]}
    assert hidden
    may_read = readable(target_server, said["role"], database)
    assert {column for column, may in may_read.items() if not may} == hidden | {
        # a view that runs a function that nobody knows to be harmless: policy denies it
        column
        for column in may_read
        if column.startswith("public.innocent.")
    }


@pytest.mark.usefixtures("granted")
@pytest.mark.parametrize(
    ("sql", "allowed"),
    [
        ("select name from customers where id = 1", True),
        ("select count(*) from customers", True),
        ("select ssn from customers", False),
        ("select * from customers", False),
        ("select customers from customers", False),
        ("select name from customers where ssn = '900-00-7001'", False),
        ("select name from customers order by email", False),
        ("copy customers to stdout", False),
        ("copy customers (name) to stdout", True),
        ("select number from customer_contacts", False),
        ("select full_name from customer_contacts", True),
        ("select title from customer_cards", True),
        ("select line from customer_cards", False),
        ("select ssn from customer_digest", False),
        ("select ssn from vip_customers", False),
        ("select pan from payments_2025", False),
        ("select amount from payments", True),
        ("select * from orders limit 1", True),
        ("update customers set name = 'x'", False),
        ("truncate scratch", False),
        ("select histogram_bounds from pg_stats where attname = 'ssn'", True),
    ],
)
def test_directly_the_role_reads_nothing_hidden(target_server: Postgres, sql: str, allowed: bool) -> None:
    result = target_server.psql(sql, guarded.DATABASE, READER)
    assert (("permission denied" not in result.stderr) and not result.stderr) is allowed, result.stderr
    assert not guarded.is_protected(result.stdout)


@pytest.mark.usefixtures("granted")
def test_what_policy_allows_works_through_the_gateway(gateway: Ostiary, alice: Issued, bob: Issued) -> None:
    shown = gateway.psql(alice, "select name from customers where id = 1; select ssn from customers where id = 1")
    assert "Customer 1" in shown.stdout
    assert "insufficient privilege" in shown.stderr, "its text is withheld, since a masked relation is in play"
    written = gateway.psql(bob, "insert into scratch values (7) returning id; delete from scratch where id = 7")
    assert written.stdout.split()[0] == "7", written.stderr
    assert written.stderr == ""
    masked = gateway.psql(bob, "select pan from payments where id = 1")
    assert masked.stdout.strip().endswith("0001"), masked.stderr
    assert "****" in masked.stdout


@pytest.mark.usefixtures("granted")
def test_odd_names_and_sequences(gateway: Ostiary, bob: Issued) -> None:
    script = f'insert into {TABLE} ("Größe; drop") values (1) returning id'
    done = gateway.psql(bob, script, database=f"orders/{DATABASE}")
    assert done.stdout.split()[0] == "2", done.stderr


def test_an_owner_is_not_bound_by_grants(gateway: Ostiary) -> None:
    result = gateway.cli("grants", "--target", "orders", "--groups", "owners", "--config", str(gateway.configuration))
    assert result.returncode == 1
    assert "no GRANT binds it" in result.stderr
    assert "--role" in result.stderr
    assert "GRANT SELECT" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "elsewhere", "--groups", "analysts"), "targets are: orders"),
        (("--target", "orders", "--groups", "strangers"), "no credential of orders fits"),
        (("--target", "orders"), "for whom?"),
        (("--target", "orders", "--groups", "analysts", "--database", "nowhere"), "does not exist"),
    ],
)
def test_clear_errors(gateway: Ostiary, arguments: tuple[str, ...], said: str) -> None:
    result = gateway.cli("grants", *arguments, "--config", str(gateway.configuration))
    assert result.returncode in (1, 2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_target_that_is_away(gateway: Ostiary, pki: Pki, target_server: Postgres) -> None:
    before = (gateway.configuration.parent / "targets.d" / "targets.yaml").read_text()
    gateway.write(targets=[{**guarded.target(target_server, pki.ca), "address": "127.0.0.1:1"}])
    try:
        result = gateway.cli(
            "grants", "--target", "orders", "--groups", "analysts", "--config", str(gateway.configuration)
        )
    finally:
        (gateway.configuration.parent / "targets.d" / "targets.yaml").write_text(before)
    assert result.returncode == 1
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_credential_that_only_the_unit_has(gateway: Ostiary) -> None:
    """The secrets of a service are not in an operator's shell."""
    kept = gateway.environment.pop("READER_PASSWORD")
    try:
        done = gateway.cli(
            "grants", "--target", "orders", "--groups", "analysts", "--config", str(gateway.configuration)
        )
    finally:
        gateway.environment["READER_PASSWORD"] = kept
    assert done.returncode == 1
    assert f"{READER} can't be read here: env:READER_PASSWORD" in done.stderr
    assert "systemd-run" in done.stderr
