"""What methods make of values: valid for the real server, and the same wherever a value is seen."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import ExecStatus
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import scratch_directory

from gateway.masking import Field, Keyring
from gateway.masking.methods import cell_for
from gateway.model import Method
from gateway.secrets import Secret
from gateway.store import TokenVault

pytestmark = pytest.mark.e2e

SECRET = "a secret of thirty-two bytes ..."

VALUES = {
    "text": "'secret-value'::text",
    "an empty text": "''::text",
    "beyond ASCII": "'sécrèt-välue 日本'::text",
    "varchar": "'secret-value'::varchar",
    "varchar(60)": "'secret-value'::varchar(60)",
    "varchar(40)": "'secret-value'::varchar(40)",
    "varchar(30)": "'secret-value'::varchar(30)",
    "varchar(3)": "'sec'::varchar(3)",
    "char(50)": "'secret-value'::char(50)",
    "char(14)": "'secret-value'::char(14)",
    "bpchar": "'secret-value'::bpchar",
    "name": "'secret-value'::name",
    "one char": "'s'::\"char\"",
    "citext": "'secret-value'::citext",
    "bool": "true",
    "int2": "(-31234)::int2",
    "int4": "2012345678::int4",
    "int8": "(-9012345678901234567)::int8",
    "oid": "12345::oid",
    "float4": "1.25::float4",
    "float8": "1.25::float8",
    "numeric": "123456.789::numeric",
    "numeric(10, 2)": "12345678.25::numeric(10, 2)",
    "money": "123.45::money",
    "uuid": "'0123abcd-4567-4abc-8def-0123456789ab'::uuid",
    "date": "'1970-05-17'::date",
    "time": "'11:12:13'::time",
    "timestamptz": "'1970-05-17 11:12:13+00'::timestamptz",
    "interval": "'3 days'::interval",
    "inet": "'192.0.2.7'::inet",
    "macaddr": "'08:00:2b:01:02:03'::macaddr",
    "bit": "b'1011'::bit(4)",
    "bytea": "'\\xdeadbeef'::bytea",
    "json": "'{\"a\": 1}'::json",
    "jsonb": "'{\"a\": 1}'::jsonb",
    "xml": "'<a>secret</a>'::xml",
    "text[]": "array['secret']",
    "int4[]": "array[1234567]",
    "range": "int4range(1, 10)",
    "point": "point(1, 2)",
    "tsvector": "'secret value'::tsvector",
    "enum": "'gold'::tier",
    "composite": "row(1, 'secret')::pair",
    "domain": "'secret-value'::secret_text",
    "domain of int4": "1234567::secret_number",
}

METHODS = [
    Method("null"),
    Method("redact"),
    Method("token"),
    Method("hmac", key="k1"),
    Method("partial", keep_first=1, keep_last=2),
]


@pytest.fixture(scope="module")
def connection(target_server: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """Straight to the server, with every type above."""
    target_server.run("create database method_types")
    target_server.run(
        "create extension citext; create type tier as enum ('basic', 'gold'); create type pair as (a int, b text);"
        "create domain secret_text as text; create domain secret_number as int4;",
        "method_types",
    )
    with psycopg.connect(target_server.connection("method_types")) as made:
        yield made
    target_server.run("drop database method_types with (force)")


@pytest.fixture(scope="module")
def keyring() -> Iterator[Keyring]:
    vault = TokenVault(scratch_directory("vault") / "tokens.db", Secret(SECRET.encode()), clock=time.time)
    yield Keyring({"k1": SECRET.encode()}, vault)
    vault.close()


def fetched(connection: psycopg.Connection[Any], expression: str, format_code: int) -> tuple[Field, bytes]:
    """A value as the server sends it, and how it describes it."""
    result = connection.pgconn.exec_params(f"select {expression}".encode(), None, result_format=format_code)
    assert result.status == ExecStatus.TUPLES_OK, result.error_message
    value = result.get_value(0, 0)
    assert value is not None
    return Field(b"v", 20_000, 1, result.ftype(0), result.fmod(0), result.fformat(0)), value


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("format_code", [0, 1], ids=["text", "binary"])
@pytest.mark.parametrize("expression", VALUES.values(), ids=VALUES)
def test_the_server_takes_back_what_the_client_gets(
    connection: psycopg.Connection[Any], keyring: Keyring, expression: str, format_code: int, method: Method
) -> None:
    field, value = fetched(connection, expression, format_code)
    cell = cell_for(method, field, keyring)
    assert cell is not None
    if isinstance(cell, bytes):
        masked = None if cell == b"\xff\xff\xff\xff" else cell[4:]
    else:
        masked = cell(value)
        assert cell(value) == masked
    if masked is None:
        return  # NULL is a value of every type
    assert masked != value
    assert b"secret-value" not in masked
    pgconn = connection.pgconn
    back = pgconn.exec_params(b"select $1", [masked], [field.type_oid], [field.format], result_format=field.format)
    assert back.status == ExecStatus.TUPLES_OK, back.error_message
    assert back.get_value(0, 0) == masked, "in the server's own canonical form"
    if field.typmod >= 4:
        assert len(masked.decode()) <= field.typmod - 4, "it fits the column"


@pytest.mark.parametrize("expression", ["'x'::text", "42::int2", "42::int4", "42::int8", VALUES["uuid"]])
def test_both_formats_show_the_same(connection: psycopg.Connection[Any], keyring: Keyring, expression: str) -> None:
    shown = []
    for format_code in (0, 1):
        field, value = fetched(connection, expression, format_code)
        cell = cell_for(Method("hmac", key="k1"), field, keyring)
        assert callable(cell)
        masked = cell(value)
        result = connection.pgconn.exec_params(b"select $1", [masked], [field.type_oid], [field.format])
        shown.append(result.get_value(0, 0))
    assert shown[0] == shown[1]


# --- through the gateway ---


def policy(key: str) -> dict[str, Any]:
    columns = {
        "pii.email": ["public.customers.email"],
        "pii.ssn": ["public.customers.ssn"],
        "pii.id": ["public.customers.id", "public.orders.customer_id"],
    }
    return {
        "labels": {label: {"columns": {"orders": bound}} for label, bound in columns.items()},
        "allow": [{"name": "all", "groups": ["analysts"], "targets": ["orders"]}],
        "masks": [
            {"labels": ["pii.email"], "method": "token"},
            {"labels": ["pii.ssn", "pii.id"], "method": {"hmac": {"key": key}}},
        ],
    }


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    with Ostiary(
        pki,
        targets=[guarded.target(target_server, pki.ca)],
        policy=policy("k1"),
        settings={"masking": {"keys": {"k1": "env:MASK_KEY_1"}}},
        environment=guarded.ENVIRONMENT | {"MASK_KEY_1": SECRET, "MASK_KEY_2": SECRET[::-1]},
    ) as running:
        yield running


def ostiary(gateway: Ostiary, *arguments: str) -> Any:
    result = gateway.cli(*arguments, "--json", "--config", str(gateway.configuration))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_joins_in_the_client_still_work(gateway: Ostiary, alice: Issued) -> None:
    customers: dict[bool, list[Any]] = {}
    for binary in (False, True):
        with psycopg.connect(gateway.connection(alice)) as session, session.cursor(binary=binary) as cursor:
            customers[binary] = cursor.execute("select id, ssn from customers order by name").fetchall()
            of_orders = {one for (one,) in cursor.execute("select customer_id from orders").fetchall()}
        ids = [one for one, _ in customers[binary]]
        assert len(set(ids)) == guarded.CUSTOMERS + 1
        assert of_orders < set(ids)
        assert not set(ids) & set(range(1, guarded.CUSTOMERS + 1))
    assert customers[False] == customers[True]
    assert all(ssn.startswith("hmac:k1:") for _, ssn in customers[True])


def test_tokens_come_back_and_each_use_is_told(gateway: Ostiary, alice: Issued) -> None:
    with psycopg.connect(gateway.connection(alice)) as session:
        emails = [email for (email,) in session.execute("select email from customers order by name").fetchall()]
        again = [email for (email,) in session.execute("select email from customers order by name").fetchall()]
    assert emails == again
    assert len(set(emails)) == guarded.CUSTOMERS + 1
    assert all(email.startswith("tok_") for email in emails)
    found = ostiary(gateway, "tokens", "resolve", emails[0], emails[6], "--reason", "ticket 7")
    assert {one["value"] for one in found} < {f"person{n}@private.example" for n in range(1, guarded.CUSTOMERS + 1)}
    event = next(event for event in gateway.audit_events() if event["unmapped"]["event"] == "tokens_resolved")
    assert event["unmapped"]["tokens"] == sorted([emails[0], emails[6]])
    assert event["status_detail"] == "ticket 7"
    assert "private.example" not in json.dumps(gateway.audit_events())


def test_the_vault_is_closed_to_others_and_survives_a_kill(gateway: Ostiary, alice: Issued, pki: Pki) -> None:
    with psycopg.connect(gateway.connection(alice)) as session:
        (token,) = session.execute("select email from customers where id = 7").fetchone() or ("",)
    vault = gateway.data / "store" / "tokens.db"
    assert {path.stat().st_mode & 0o777 for path in vault.parent.iterdir()} == {0o600}
    assert (gateway.data / "keys" / "vault.key").stat().st_mode & 0o777 == 0o600
    assert not any(guarded.is_protected(path.read_bytes().decode("latin-1")) for path in vault.parent.iterdir())
    gateway.kill()
    gateway.start()
    assert ostiary(gateway, "tokens", "resolve", token)[0]["value"] == "person7@private.example"


def test_a_vault_that_cannot_write_ends_the_session(gateway: Ostiary, alice: Issued) -> None:
    vault = gateway.data / "store" / "tokens.db"
    with psycopg.connect(gateway.connection(alice), autocommit=True) as session:
        locking = sqlite3.connect(vault, isolation_level=None)
        try:
            locking.execute("begin immediate")
            with pytest.raises(psycopg.OperationalError, match="locked"):
                session.execute("select email from vip_customers where id = 9001").fetchall()
        finally:
            locking.close()
        assert session.closed
    with psycopg.connect(gateway.connection(alice)) as session:
        assert session.execute("select email from vip_customers").fetchone()


def test_a_reload_takes_a_new_key_in_living_sessions(gateway: Ostiary, alice: Issued) -> None:
    ask = "select ssn from customers order by name limit 1"
    with psycopg.connect(gateway.connection(alice), autocommit=True) as session:
        (before,) = session.execute(ask).fetchone() or ("",)
        gateway.write(policy=policy("k2"))
        refused = gateway.cli("reload", "--config", str(gateway.configuration))
        assert refused.returncode == 1
        for said in ("policy.yaml", "masks", "key", "`k2` is no key", "masking.keys"):
            assert said in refused.stderr
        assert session.execute(ask).fetchone() == (before,)
        keys = {"k1": "env:MASK_KEY_1", "k2": "env:MASK_KEY_2"}
        gateway.write(settings=gateway.settings | {"masking": {"keys": keys}})
        ostiary(gateway, "reload")
        (after,) = session.execute(ask).fetchone() or ("",)
    assert before.startswith("hmac:k1:")
    assert after.startswith("hmac:k2:")
    assert after[8:] != before[8:]


def test_secrets_are_in_no_log(gateway: Ostiary) -> None:
    key = (gateway.data / "keys" / "vault.key").read_text()
    said = gateway.log_text() + json.dumps(gateway.audit_events())
    assert SECRET not in said
    assert key not in said
