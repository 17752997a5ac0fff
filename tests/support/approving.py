"""People who decide, as the control API knows them, and one table whose rows show what was done."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import psycopg

from support import guarded
from support.ostiary import Document, Ostiary, merged
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import POLL_SECONDS, wait_until
from support.rawclient import RawClient

DATABASE = "ledger"
ROWS = 10
SCHEMA = f"""
create table entries (id integer primary key, amount integer not null default 0);
create table other (id integer primary key, amount integer not null default 0);
create schema aside;
create table aside.entries (id integer primary key, amount integer not null default 0);
grant usage on schema public, aside to {guarded.READ_ONLY};
grant select on all tables in schema public, aside to {guarded.READ_ONLY};
"""
FILL = f"""
truncate entries, other, aside.entries;
insert into entries select n from generate_series(1, {ROWS}) n;
insert into other select n from generate_series(1, {ROWS}) n;
insert into aside.entries select n from generate_series(1, {ROWS}) n;
"""


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Approver:
    """Whoever the gateway takes the holder of a certificate for, over mutual TLS; without one, this process's uid on
    its socket."""

    def __init__(self, gateway: Ostiary, certificate: Issued | None = None) -> None:
        self._gateway = gateway
        self._certificate = certificate

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer."""
        connection = self._connection()
        try:
            sent = None if method == "GET" else json.dumps(body or {})
            connection.request(method, f"/v1/{path}", sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The answer; AssertionError when it is a refusal."""
        status, answer = self.ask(method, path, body)
        assert status == 200, answer
        return answer

    def _connection(self) -> HTTPConnection:
        if self._certificate is None:
            return _UnixConnection(self._gateway.socket)
        address = self._gateway.settings["listeners"]["control"]["address"]
        context = ssl.create_default_context(cafile=str(self._gateway.pki.ca))
        context.load_cert_chain(self._certificate.certificate, self._certificate.key)
        context.set_alpn_protocols(["http/1.1"])
        return HTTPSConnection("localhost", int(address.rpartition(":")[2]), context=context, timeout=30)

    def requests(self, **like: object) -> list[dict[str, Any]]:
        """Open requests whose fields are as ``like`` says, oldest first."""
        found = self.must("GET", "approvals?state=pending")["approvals"]
        return [one for one in found if all(one[name] == value for name, value in like.items())]

    def asked(self, *, seconds: float = 20, **like: object) -> str:
        """The id of the one open request, once there is one."""
        wait_until(lambda: bool(self.requests(**like)), seconds=seconds, what="a request for approval")
        [one] = self.requests(**like)
        return str(one["id"])

    def show(self, id: str) -> dict[str, Any]:
        """A request with its text and parameters."""
        answer: dict[str, Any] = self.must("GET", f"approvals/{id}")
        return answer

    def state(self, id: str) -> str:
        return str(self.show(id)["approval"]["state"])

    def settled(self, id: str, state: str, *, seconds: float = 20) -> None:
        wait_until(lambda: self.state(id) != "pending", seconds=seconds, what=f"request {id} is settled")
        assert self.state(id) == state

    def approve(self, id: str, reason: str = "") -> None:
        self.must("POST", f"approvals/{id}/approve", {"reason": reason})

    def deny(self, id: str, reason: str = "") -> None:
        self.must("POST", f"approvals/{id}/deny", {"reason": reason})

    @contextmanager
    def says_yes(self, *, but_not: str = "-") -> Iterator[list[dict[str, Any]]]:
        """Approves whatever is asked meanwhile, as it comes, and denies what has ``but_not`` in its text; what that
        was, as `show` tells it."""
        seen: list[dict[str, Any]] = []
        over = threading.Event()

        def answer() -> None:
            while not over.wait(POLL_SECONDS):
                for one in self.requests():
                    shown = self.show(one["id"])
                    seen.append(shown)
                    self.must("POST", f"approvals/{one['id']}/{'deny' if but_not in shown['text'] else 'approve'}")

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        try:
            yield seen
        finally:
            over.set()
            answering.join()

    def grant(self, id: str) -> dict[str, Any]:
        [one] = [one for one in self.must("GET", "grants")["grants"] if one["id"] == id]
        return dict(one)

    def granted(self, principal: str) -> dict[str, Any]:
        """The newest grant of somebody."""
        return dict([one for one in self.must("GET", "grants")["grants"] if one["principal"] == principal][-1])

    def revoke_all(self) -> None:
        """Every grant that still holds: what one test was given is nothing for the next."""
        for one in self.must("GET", "grants")["grants"]:
            if one["state"] in ("live", "used"):
                self.ask("POST", f"grants/{one['id']}/revoke")

    def sessions(self, **like: object) -> list[dict[str, Any]]:
        found = self.must("GET", "sessions")["sessions"]
        return [one for one in found if all(one[name] == value for name, value in like.items())]


class Ledger:
    """The database itself, past the gateway: what was done is judged here."""

    def __init__(self, server: Postgres) -> None:
        self._connection = psycopg.connect(server.connection(DATABASE), autocommit=True)

    def refill(self) -> None:
        self._connection.execute(FILL)

    def one(self, sql: str) -> Any:
        """The one value of a query."""
        row = self._connection.execute(sql.encode()).fetchone()
        assert row is not None
        return row[0]

    def ids(self, table: str = "entries") -> set[int]:
        return {row[0] for row in self._connection.execute(f"select id from {table}".encode())}

    def sessions(self, *, busy: bool = False) -> int:
        """How many the gateway's callers have here, or how many of them have a statement running."""
        theirs = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        theirs += " and backend_type = 'client backend' and application_name <> 'ostiary/catalogue'"
        return int(self.one(theirs + (" and state = 'active'" if busy else "")))

    def close(self) -> None:
        self._connection.close()


def asks(name: str, verbs: list[str], *, wait: str = "1m", uses: int = 1, **others: object) -> dict[str, Any]:
    """An approve entry about operations on the ledger, with `SOCKET`'s group as approvers."""
    return {
        "name": name,
        "targets": [DATABASE],
        "sql": {"verbs": verbs},
        "approvers": {"groups": ["dba"]},
        "wait": wait,
        "grant": {"uses": uses, "within": "15m"},
        **others,
    }


SOCKET = {os.getuid(): {"principal": "tester", "groups": ["dba"]}}
"""Who this process is to a gateway (`identity.socket`): an approver, and by name an operator (`Ostiary`)."""


def gateway(pki: Pki, server: Postgres, policy: Document, settings: Document | None = None) -> Ostiary:
    """One in front of the ledger, not started yet."""
    return Ostiary(
        pki,
        targets=[guarded.target(server, pki.ca, name=DATABASE)],
        policy=policy,
        environment=guarded.ENVIRONMENT,
        settings=merged({"identity": {"socket": SOCKET}}, settings or {}),
    )


def raw(gateway: Ostiary, who: Issued, *, database: str = DATABASE, seconds: float = 30) -> RawClient:
    """A session of ``who``; raises LoginRefused."""
    context = ssl.create_default_context(cafile=str(gateway.pki.ca))
    context.load_cert_chain(who.certificate, who.key)
    name = who.certificate.stem
    return RawClient(
        host="localhost", port=gateway.port, user=name, database=database, context=context, seconds=seconds
    )


LONG = "select n, repeat('x', 8000), pg_sleep(0.02) from generate_series(1, 100000) n"
"""A result that comes for half an hour, each row as soon as there is one."""


@contextmanager
def ledger(server: Postgres) -> Iterator[Ledger]:
    """`DATABASE` in a running cluster that has `guarded`'s roles; gone afterwards."""
    server.run(f"create database {DATABASE} owner {guarded.OWNER}")
    server.run(f"set role {guarded.OWNER};\n{SCHEMA}", DATABASE)
    made = Ledger(server)
    try:
        yield made
    finally:
        made.close()
        server.run(f"drop database {DATABASE} with (force)")
