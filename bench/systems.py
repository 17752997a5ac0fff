"""What is compared: PostgreSQL itself, pgbouncer and Ostiary in front of it; TLS towards the client for all.

Behind both proxies the connection to PostgreSQL is plain TCP on loopback, and a server connection belongs to one
client (session pooling). Clients of Ostiary log in with a certificate, the others with a password.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.ostiary import Ostiary
from support.pgbouncer import Pgbouncer
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import Process, scratch_directory
from support.psql import conninfo
from support.rawclient import RawClient

DATABASE = "bench"
OWNER = "bench_owner"
PASSWORD = "bench-secret"
HBA = ("hostssl all all 127.0.0.1/32 password", "hostnossl all all 127.0.0.1/32 scram-sha-256")
"""The same simple login for clients of PostgreSQL as of pgbouncer; for what stands in between, what is usual."""

CONNECTIONS = 1_000
"""Idle sessions at most; the servers allow a few more."""

POLICY: dict[str, Any] = {
    "labels": {
        "pii.email": {"columns": {DATABASE: ["public.people.email"]}},
        "pii.ssn": {"columns": {DATABASE: ["public.people.ssn"]}},
    },
    "allow": [
        {
            "name": "all work",
            "groups": ["engineers", "analysts"],
            "targets": [DATABASE],
            "sql": {"verbs": ["select", "insert", "update", "delete"]},
        },
    ],
    "deny": [
        {"name": "nobody destroys", "targets": ["*"], "sql": {"verbs": ["drop", "truncate", "copy_program"]}},
    ],
    "masks": [
        {"labels": ["pii.*"], "method": "redact"},
        {"labels": ["pii.*"], "groups": ["engineers"], "method": "clear"},
    ],
}
"""Statements are parsed and decided for everybody; analysts see two columns of `people` masked, engineers all."""


@dataclass(frozen=True, slots=True)
class System:
    """One of the three, as clients reach it.

    process      what holds its memory
    user         who `caller` is there; with ``password`` or ``certificate``
    """

    name: str
    process: Process
    port: int
    ca: Path
    user: str = OWNER
    password: str | None = PASSWORD
    certificate: Issued | None = None

    @property
    def connection(self) -> str:
        """For libpq; the server's certificate is checked."""
        none = "/nonexistent"  # libpq would look below the home directory
        return conninfo(
            host="localhost",
            hostaddr="127.0.0.1",
            port=self.port,
            dbname=DATABASE,
            user=self.user,
            password=self.password,
            sslmode="verify-full",
            sslrootcert=self.ca,
            sslcert=self.certificate.certificate if self.certificate else none,
            sslkey=self.certificate.key if self.certificate else none,
        )

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        return context

    def connect(self, context: ssl.SSLContext) -> Reader:
        return Reader(
            host="localhost",
            port=self.port,
            user=self.user,
            database=DATABASE,
            password=self.password,
            context=context,
            seconds=60,
        )


class Reader(RawClient):
    """A session whose client reads as fast as it can and looks at nothing."""

    END = b"Z\0\0\0\5I"

    def drain(self, sql: str) -> int:
        """Bytes that came back for ``sql``, up to ReadyForQuery."""
        self.send(b"Q", sql.encode() + b"\0")
        buffer = bytearray(1 << 18)
        count, tail = 0, b""
        while not tail.endswith(self.END):
            size = self._socket.recv_into(buffer)
            if not size:
                raise ConnectionError("the server closed the connection")
            count += size
            tail = (tail + buffer[max(0, size - len(self.END)) : size])[-len(self.END) :]
        return count


@dataclass(frozen=True, slots=True)
class Systems:
    """``all`` in the order of each round; ``masked`` is Ostiary with a caller for whom two labels are masked."""

    direct: System
    pgbouncer: System
    ostiary: System
    masked: System
    gateway: Ostiary
    rows: int

    @property
    def all(self) -> tuple[System, ...]:
        return self.direct, self.pgbouncer, self.ostiary


@contextmanager
def systems(rows: int) -> Iterator[Systems]:
    """All three running, with pgbench's tables and ``rows`` rows of `people`; gone afterwards."""
    pki = Pki(scratch_directory("pki"))
    settings = {
        "max_connections": str(2 * CONNECTIONS + 100),
        "shared_buffers": "512MB",
        "log_statement": "none",
        "autovacuum": "off",
        "max_wal_size": "4GB",
    }
    target = {
        "name": DATABASE,
        "protocol": "postgres",
        "tls": {"mode": "disable"},
        "credentials": [{"user": OWNER, "password": "env:OWNER_PASSWORD"}],
    }
    limits = {"limits": {"sessions": CONNECTIONS + 200, "per_principal": CONNECTIONS + 200}}
    pool = {
        "server_tls_sslmode": "disable",
        "default_pool_size": str(CONNECTIONS + 50),
        "max_client_conn": str(CONNECTIONS + 200),
    }
    with Postgres(tls=pki.server(file="target"), hba=HBA, settings=settings) as postgres:
        fill(postgres, rows)
        target["address"] = f"127.0.0.1:{postgres.port}"
        with (
            Pgbouncer(postgres, pki.server(file="bouncer"), passwords={OWNER: PASSWORD}, settings=pool) as pgbouncer,
            Ostiary(
                pki, targets=[target], policy=POLICY, settings=limits, environment={"OWNER_PASSWORD": PASSWORD}
            ) as gateway,
        ):
            ca = pki.ca
            engineer, analyst = pki.client("erin", groups=["engineers"]), pki.client("anna", groups=["analysts"])
            yield Systems(
                direct=System("direct", postgres, postgres.port, ca),
                pgbouncer=System("pgbouncer", pgbouncer, pgbouncer.port, ca),
                ostiary=System("ostiary", gateway, gateway.port, ca, "erin", None, engineer),
                masked=System("ostiary, masked", gateway, gateway.port, ca, "anna", None, analyst),
                gateway=gateway,
                rows=rows,
            )


def fill(postgres: Postgres, rows: int) -> None:
    postgres.run(f"create role {OWNER} login password '{PASSWORD}'; alter role {OWNER} set client_min_messages = error")
    postgres.run(f"create database {DATABASE} owner {OWNER}")
    postgres.run(
        f"""
        set role {OWNER};
        create table people (id integer primary key, name text, ssn text, email text, placed timestamptz);
        insert into people
        select n, 'Person ' || n, format('900-%s-%s', lpad((n / 10000)::text, 2, '0'), lpad((n % 10000)::text, 4, '0')),
               'person' || n || '@private.example', timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second'
        from generate_series(1, {rows}) n;
        """,
        DATABASE,
    )
    # what pgbench -i makes, scale 5, without its client: ours may be older or newer than the server
    postgres.run(
        f"""
        set role {OWNER};
        create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
        create table pgbench_tellers (tid int primary key, bid int, tbalance int, filler char(84));
        create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84));
        create table pgbench_branches (bid int primary key, bbalance int, filler char(88));
        insert into pgbench_branches select n, 0, '' from generate_series(1, 5) n;
        insert into pgbench_tellers select n, (n - 1) / 10 + 1, 0, '' from generate_series(1, 50) n;
        insert into pgbench_accounts select n, (n - 1) / 100000 + 1, 0, '' from generate_series(1, 500000) n;
        """,
        DATABASE,
    )
    postgres.run("vacuum analyze; checkpoint", DATABASE)
