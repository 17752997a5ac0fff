"""People who decide, as the control API knows them, and one table whose rows show what was done."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPSConnection
from itertools import count
from typing import Any, Self

import psycopg

from support import guarded
from support.ostiary import Document, Ostiary, merged
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import POLL_SECONDS, free_port, wait_until
from support.rawclient import RawClient

DATABASE = "ledger"
ROWS = 10
SCHEMA = f"""
create table entries (id integer primary key, amount integer not null default 0);
create table other (id integer primary key, amount integer not null default 0);
create table log (note text);
create schema aside;
create table aside.entries (id integer primary key, amount integer not null default 0);
grant usage on schema public, aside to {guarded.READ_ONLY};
grant select on all tables in schema public, aside to {guarded.READ_ONLY};
"""
FILL = f"""
truncate entries, other, log, aside.entries;
insert into entries select n from generate_series(1, {ROWS}) n;
insert into other select n from generate_series(1, {ROWS}) n;
insert into aside.entries select n from generate_series(1, {ROWS}) n;
"""


class Approver:
    """Whoever holds a certificate, at the control API over mutual TLS. The API hears each principal so often a second
    only (gateway/control/pace.py), and tests look often: each has an approver of its own (`an_approver`)."""

    def __init__(self, gateway: Ostiary, certificate: Issued) -> None:
        self.name = certificate.certificate.stem
        context = ssl.create_default_context(cafile=str(gateway.pki.ca))
        context.load_cert_chain(certificate.certificate, certificate.key)
        context.set_alpn_protocols(["http/1.1"])
        port = int(gateway.settings["listeners"]["control"]["address"].rpartition(":")[2])
        self._connection = HTTPSConnection("localhost", port, context=context, timeout=30)
        self._one_at_a_time = threading.Lock()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer."""
        sent = None if method == "GET" else json.dumps(body or {})
        connection = self._connection
        with self._one_at_a_time:
            was_open = connection.sock is not None
            try:
                return self._ask(method, path, sent)
            except (OSError, HTTPException):
                connection.close()
                if not was_open:
                    raise
                return self._ask(method, path, sent)  # the gateway had closed it meanwhile, or was restarted

    def _ask(self, method: str, path: str, sent: str | None) -> tuple[int, Any]:
        self._connection.request(method, f"/v1/{path}", sent, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The answer; AssertionError when it is a refusal."""
        status, answer = self.ask(method, path, body)
        assert status == 200, answer
        return answer

    def requests(self, **like: object) -> list[dict[str, Any]]:
        """Open requests whose fields are as ``like`` says, oldest first."""
        found = self.must("GET", "approvals?state=pending")["approvals"]
        return [one for one in found if all(one[name] == value for name, value in like.items())]

    def asked(self, *, seconds: float = 20, **like: object) -> str:
        """The id of the one open request, once there is one."""
        wait_until(lambda: bool(self.requests(**like)), seconds=seconds, what="a request for approval")
        found = self.requests(**like)
        assert len(found) == 1, found
        return str(found[0]["id"])

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
            last = False
            while not last:
                last = over.wait(POLL_SECONDS)  # and one more look: what nobody waits for is still open
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

    def settle_all(self) -> None:
        """What one test has asked for or was given is nothing for the next."""
        for one in self.requests():
            self.ask("POST", f"approvals/{one['id']}/deny")
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
    """An approve entry about operations on the ledger, with DBAs as approvers."""
    return {
        "name": name,
        "targets": [DATABASE],
        "sql": {"verbs": verbs},
        "approvers": {"groups": ["dba"]},
        "wait": wait,
        "grant": {"uses": uses, "within": "15m"},
        **others,
    }


def gateway(pki: Pki, server: Postgres, policy: Document, settings: Document | None = None) -> Ostiary:
    """One in front of the ledger, not started yet. Approvers are its operators, too."""
    own = {
        "listeners": {"control": {"address": f"127.0.0.1:{free_port()}"}},
        "roles": {"operator": ["principal:tester", "group:dba"]},
    }
    return Ostiary(
        pki,
        targets=[guarded.target(server, pki.ca, name=DATABASE)],
        policy=policy,
        environment=guarded.ENVIRONMENT,
        settings=merged(own, settings or {}),
    )


_NUMBERS = count(1)


def an_approver(gateway: Ostiary) -> Approver:
    """A new one, a DBA."""
    return Approver(gateway, gateway.pki.client(f"dba-{next(_NUMBERS)}", groups=["dba"]))


def raw(
    gateway: Ostiary,
    who: Issued | str,
    *,
    database: str = DATABASE,
    password: str | None = None,
    seconds: float = 30,
) -> RawClient:
    """A session of ``who``, by certificate, or by name and password; raises LoginRefused."""
    context = ssl.create_default_context(cafile=str(gateway.pki.ca))
    if isinstance(who, Issued):
        context.load_cert_chain(who.certificate, who.key)
        who = who.certificate.stem
    return RawClient(
        host="localhost",
        port=gateway.port,
        user=who,
        database=database,
        context=context,
        password=password,
        seconds=seconds,
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
