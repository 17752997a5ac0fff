"""COPY ... TO STDOUT of masked tables, by stock clients: values masked, all else as the server writes it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.psql import clean_environment

pytestmark = pytest.mark.e2e

SECRET = "900-00-0001"
DATASET = f"""
    create role app login password 'app-secret';
    create table people (
        id integer primary key, name text, gone text, ssn varchar(11), note text,
        twice integer generated always as (id * 2) stored
    );
    alter table people drop column gone;
    insert into people values
        (1, 'Ann, "A"', '{SECRET}', e'tab\\there\\\\n'), (2, null, null, ''), (3, 'x;y', '900-00-0002', e'two\\nlines');
    create table plain (id integer, word text);
    insert into plain values (1, 'a,b'), (2, null);
    create schema other;
    create table other.twin (a text, ssn text);
    create table twin (ssn text, a text);
    insert into twin values ('{SECRET}', 'a');
    create view seen as select ssn from people;
    grant select on all tables in schema public, other to app;
    grant usage on schema other to app;
"""  # fmt: skip


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[Postgres]:
    hba = ["hostssl all all 127.0.0.1/32 scram-sha-256"]
    with Postgres(tls=pki.server(file="target"), hba=hba) as running:
        running.run(DATASET)
        yield running


@pytest.fixture(scope="module")
def gateway(pki: Pki, server: Postgres) -> Iterator[Ostiary]:
    target = {
        "name": "orders",
        "protocol": "postgres",
        "address": f"localhost:{server.port}",
        "tls": {"mode": "verify-full", "ca": f"file:{pki.ca}"},
        "credentials": [{"user": "app", "password": "env:APP_PASSWORD"}],
    }
    columns = ["public.people.ssn", "*.twin.ssn"]
    policy = {
        "labels": {"pii.ssn": {"columns": {"orders": columns}}},
        "allow": [{"name": "everything", "groups": ["everyone"], "targets": ["orders"]}],
        "masks": [{"labels": ["*"], "method": "redact"}],
    }
    with Ostiary(pki, targets=[target], policy=policy, environment={"APP_PASSWORD": "app-secret"}) as running:
        yield running


@pytest.fixture(scope="module")
def caller(pki: Pki) -> Issued:
    return pki.client("mallory", groups=["everyone"])


def copied(gateway: Ostiary, caller: Issued, sql: str) -> str:
    result = gateway.psql(caller, f"{sql};\n", database="orders/postgres")
    assert not result.stderr, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", '1\tAnn, "A"\t****\ttab\\there\\\\n\n2\t\\N\t\\N\t\n3\tx;y\t****\ttwo\\nlines\n'),
        ("(delimiter ';', null '')", '1;Ann, "A";****;tab\\there\\\\n\n2;;;\n3;x\\;y;****;two\\nlines\n'),
        ("(format csv)", '1,"Ann, ""A""",****,tab\there\\n\n2,,,""\n3,x;y,****,"two\nlines"\n'),
        (
            "(format csv, header, delimiter ';', quote '''', escape '#', null 'x')",
            "id;name;ssn;note\n1;Ann, \"A\";****;tab\there\\n\n2;x;x;\n3;'x;y';****;'two\nlines'\n",
        ),
        ("csv force quote *", '"1","Ann, ""A""",****,"tab\there\\n"\n"2",,,""\n"3","x;y",****,"two\nlines"\n'),
        ("(encoding 'UTF8')", '1\tAnn, "A"\t****\ttab\\there\\\\n\n2\t\\N\t\\N\t\n3\tx;y\t****\ttwo\\nlines\n'),
    ],
)
def test_each_format(gateway: Ostiary, caller: Issued, options: str, expected: str) -> None:
    assert copied(gateway, caller, f"copy people to stdout {options}") == expected
    assert copied(gateway, caller, f"copy (select id, name from people) to stdout {options}").count("\n") >= 3


def test_columns_are_found_by_their_names(gateway: Ostiary, caller: Issued) -> None:
    assert copied(gateway, caller, "copy public.people (ssn, id) to stdout (format csv)") == "****,1\n,2\n****,3\n"
    assert copied(gateway, caller, "copy public.twin to stdout") == "****\ta\n"


def test_what_holds_no_label_is_untouched(gateway: Ostiary, server: Postgres, caller: Issued) -> None:
    assert copied(gateway, caller, "copy plain to stdout") == "1\ta,b\n2\t\\N\n"
    assert copied(gateway, caller, "copy (select count(*) from plain) to stdout csv header") == "count\n2\n"


def test_psql_copies_to_a_file(gateway: Ostiary, caller: Issued, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    copied(gateway, caller, f"\\copy people to '{file}' csv header")
    assert file.read_text().startswith('id,name,ssn,note\n1,"Ann, ""A""",****,')
    copied(gateway, caller, f"\\copy people (id, note) to '{file}' binary")
    assert file.read_bytes().startswith(b"PGCOPY")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("copy people to stdout (format binary)", "binary format"),
        ("copy (select ssn from people) to stdout", "COPY of a query"),
        ("copy (select * from people) to stdout", "COPY of a query"),
        ("copy (select 'x' || ssn from people) to stdout", "COPY of a query"),
        ("copy (select * from seen) to stdout", "COPY of a query"),
        ("copy twin to stdout", "not plainly understood"),
        ("copy people to stdout (null '900')", "not plainly understood"),
        ("copy people to stdout (encoding 'sjis')", "not plainly understood"),
    ],
)
def test_what_can_not_be_masked_is_refused_and_the_session_lives(
    gateway: Ostiary, caller: Issued, sql: str, reason: str
) -> None:
    result = gateway.psql(caller, f"{sql};\nselect 'alive';\n", database="orders/postgres")
    assert reason in result.stderr
    assert result.stdout == "alive\n"


def test_several_in_one_message_are_refused(gateway: Ostiary, caller: Issued) -> None:
    sql = "copy people to stdout \\; copy people to stdout"
    result = gateway.psql(caller, f"{sql};\n", database="orders/postgres")
    assert "not plainly understood" in result.stderr
    assert not result.stdout


def test_after_ddl_the_columns_are_known_anew(gateway: Ostiary, server: Postgres, caller: Issued) -> None:
    server.run("create table changing (a text, ssn text); grant select on changing to app")
    server.run("insert into changing values ('a', 'b')")
    assert copied(gateway, caller, "copy changing to stdout") == "a\tb\n"
    server.run("alter table changing add c text default 'c'")
    assert copied(gateway, caller, "copy changing to stdout") == "a\tb\tc\n"


def test_pg_dump_is_refused_clearly(gateway: Ostiary, caller: Issued) -> None:
    connection = gateway.connection(caller, database="orders/postgres")
    done = subprocess.run(
        ["pg_dump", "--data-only", "--table=public.people", "-d", connection],
        capture_output=True, text=True, env=clean_environment(), timeout=60,
    )  # fmt: skip
    assert SECRET not in done.stdout
    assert "permission denied: values are masked for you here" in done.stderr, done.stderr


def test_the_recording_has_the_rows_as_the_client_got_them(gateway: Ostiary, caller: Issued) -> None:
    copied(gateway, caller, "copy people to stdout")
    for recording in gateway.recordings():
        assert SECRET.encode() not in recording.read_bytes()
