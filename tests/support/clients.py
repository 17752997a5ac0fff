"""What stock clients ask a database about itself: each function asks one way and returns what it was told.

The statements that are sent as they are stand in tests/corpora/clients.yaml.
"""

from __future__ import annotations

import os
import re
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import sqlalchemy
import yaml
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from support.psql import clean_environment, psql
from support.rawclient import Received
from support.ways import Way

DATA = Path(__file__).resolve().parents[1] / "corpora" / "clients.yaml"
JDBC = Path(os.environ.get("PGJDBC_JAR", "/usr/share/java/postgresql.jar"))
"""Debian's libpostgresql-jdbc-java, or another."""


class Command(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    reason: str


class Query(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    reason: str
    sql: str
    params: list[str] = []


class Data(msgspec.Struct, forbid_unknown_fields=True):
    fixture: str
    labels: dict[str, list[str]]
    psql: list[Command]
    queries: list[Query]


def load(path: Path = DATA) -> Data:
    return msgspec.convert(yaml.safe_load(path.read_bytes()), Data)


def of_psql(way: Way, command: str) -> tuple[str, str, int]:
    shown = psql(way.conninfo(), command + "\n", arguments=("-E",))
    return shown.stdout, shown.stderr, shown.status


def of_query(way: Way, query: Query, mode: str) -> list[tuple[bytes, bytes]]:
    """Messages, in a transaction that is rolled back."""
    with way.raw() as client:
        client.query("begin")
        answer: Received | None
        if mode == "simple":
            answer = client.query(query.sql)
        else:
            answer = client.execute(query.sql, query.params, binary=mode == "binary")
        assert answer is not None
        client.query("rollback")
        return answer.messages


def of_sqlalchemy(way: Way) -> dict[str, Any]:
    """All that its Inspector knows, and a whole schema reflected."""
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(way.conninfo()))
    try:
        inspector = sqlalchemy.inspect(engine)
        told: dict[str, Any] = {
            name: getattr(inspector, name)()
            for name in (
                "get_schema_names", "get_table_names", "get_view_names", "get_materialized_view_names",
                "get_sequence_names", "get_foreign_table_names", "get_temp_table_names", "get_temp_view_names",
                "get_enums", "get_domains", "get_sorted_table_and_fkc_names",
            )
        }  # fmt: skip
        kinds = sqlalchemy.engine.reflection.ObjectKind.ANY
        for name in (
            "get_multi_columns", "get_multi_pk_constraint", "get_multi_foreign_keys", "get_multi_indexes",
            "get_multi_unique_constraints", "get_multi_check_constraints", "get_multi_table_comment",
            "get_multi_table_options",
        ):  # fmt: skip
            told[name] = getattr(inspector, name)(kind=kinds)
        told["get_columns"] = inspector.get_columns("customers")
        told["get_view_definition"] = inspector.get_view_definition("contacts")
        told["has_table"] = inspector.has_table("customers"), inspector.has_table("nothing")
        told["has_index"] = inspector.has_index("customers", "customers_city")
        told["has_sequence"] = inspector.has_sequence("tickets")
        metadata = sqlalchemy.MetaData()
        metadata.reflect(engine, views=True)
        told["reflected"] = {name: repr(table) for name, table in metadata.tables.items()}
        return {name: re.sub(r" at 0x[0-9a-f]+", "", repr(value)) for name, value in told.items()}
    finally:
        engine.dispose()


def of_django(ways: tuple[Way, Way]) -> list[str]:
    """What `inspectdb` writes, for each way: Django's settings are made once in a process."""
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    databases = {
        alias: {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": way.own,
            "USER": way.user,
            "HOST": "localhost",
            "PORT": way.port,
            "OPTIONS": {
                "sslmode": "verify-full",
                "sslrootcert": str(way.ca),
                "sslcert": str(way.caller.certificate),
                "sslkey": str(way.caller.key),
            },
        }
        for alias, way in zip(("default", "other"), ways, strict=True)
    }
    if not settings.configured:
        settings.configure(DATABASES=databases, INSTALLED_APPS=[], USE_TZ=True)
        django.setup()
    told = []
    for alias in databases:
        written = StringIO()
        call_command("inspectdb", database=alias, include_views=True, include_partitions=True, stdout=written)
        with connections[alias].cursor() as cursor:
            introspection = connections[alias].introspection
            for table in introspection.get_table_list(cursor):
                written.write(f"{table}\n")
                for ask in ("get_relations", "get_constraints", "get_primary_key_column", "get_sequences"):
                    written.write(f"{ask}: {getattr(introspection, ask)(cursor, table.name)}\n")
        connections[alias].close()
        told.append(written.getvalue())
    return told


def of_pgjdbc(way: Way, scratch: Path) -> str:
    """What its DatabaseMetaData tells."""
    key = scratch / f"{way.name}.pk8"
    private = load_pem_private_key(way.caller.key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    settings = {
        "user": way.user, "ssl": "true", "sslmode": "verify-full", "sslrootcert": way.ca,
        "sslcert": way.caller.certificate, "sslkey": key,
    }  # fmt: skip
    program = Path(__file__).with_name("Metadata.java")
    done = subprocess.run(
        ["java", "-cp", str(JDBC), str(program), f"jdbc:postgresql://localhost:{way.port}/{way.own}",
         *(f"{name}={value}" for name, value in settings.items())],
        capture_output=True, text=True, env=clean_environment(), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_pgbench(way: Way, mode: str) -> list[str]:
    """The lines of its report that don't tell times."""
    told = way.run("pgbench", "-c", "1", "-t", "30", "-M", mode, "--random-seed=7", "-n")
    return [line for line in told.splitlines() if not re.match(r"latency|initial|tps", line)]
