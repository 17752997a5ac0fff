from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from protocols.postgres.talk import cell, message
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from gateway.errors import PeerError, TargetUnavailable
from gateway.model import Address, Credential, Target, TargetTls
from gateway.protocols.postgres.catalogue import LINGER, TTL, UNKNOWN_EVERY, Catalogues, Connection, Database
from gateway.sql.catalogue_queries import FINGERPRINT, PREPARE_CONNECTION, QUERIES

ROWS: dict[str, list[list[str | None]]] = json.loads(
    (Path(__file__).parents[2] / "sql" / "catalogue_rows.json").read_text()
)["rows"]
TARGET = Target("orders", "postgres", Address("db", 5432), TargetTls(), ())
CREDENTIAL = Credential("ro")


class FakeTarget:
    """Answers the gateway's own queries; ``fingerprint`` changes with DDL, ``broken`` queries fail."""

    def __init__(self) -> None:
        self.fingerprint = "1"
        self.broken: dict[str, str] = {}
        self.asked: list[str] = []
        self.dials = 0
        self.refuses: TargetUnavailable | None = None
        self.waits: Deferred[None] | None = None
        self.closed = 0
        self.clock = Clock()
        self.reactor = self.clock
        self.gone = False

    async def dial(self, target: Target, credential: Credential, **others: Any) -> Any:
        self.dials += 1
        if self.refuses is not None:
            raise self.refuses
        stream = SimpleNamespace(transport=self, message=self._message, lost=self.gone)
        self._stream = stream
        return SimpleNamespace(stream=stream, close=self._close)

    def _close(self) -> None:
        self.closed += 1

    def abortConnection(self) -> None:
        self.closed += 1

    def write(self, data: bytes) -> None:
        text = data[5:].split(b"\0")[0 if data[:1] == b"Q" else 1].decode()
        self.asked.append(text)
        self._answers = self._said(text, described=data[:1] == b"P")

    def _said(self, text: str, *, described: bool) -> list[tuple[int, bytes]]:
        if text in self.broken:
            body = b"SERROR\0C55P03\0M" + self.broken[text].encode() + b"\0\0"
            return [(ord("E"), body), (ord("Z"), b"I")]
        if described:
            return [(ord("1"), b""), (ord("Z"), b"I")]
        rows: list[list[str | None]] = []
        if text == FINGERPRINT:
            rows = [["pg_class", self.fingerprint]]
        for name, query in QUERIES.items():
            if query == text:
                rows = ROWS[name]
        return [*((ord("D"), row(values)) for values in rows), (ord("C"), b"SELECT\0"), (ord("Z"), b"I")]

    async def _message(self) -> tuple[int, bytes]:
        if self.waits is not None:
            await self.waits
        return self._answers.pop(0)


def row(values: list[str | None]) -> bytes:
    cells = b"".join(cell(None if value is None else value.encode()) for value in values)
    return len(values).to_bytes(2, "big") + cells


class FakeAudit:
    def __init__(self) -> None:
        self.failed: str | None = None
        self.events: list[object] = []

    def append(self, event: object) -> None:
        self.events.append(event)

    def flush(self) -> None:
        pass


@pytest.fixture
def target() -> FakeTarget:
    return FakeTarget()


@pytest.fixture
def audit() -> FakeAudit:
    return FakeAudit()


@pytest.fixture
def database(target: FakeTarget, audit: FakeAudit) -> Database:
    made: Any = (target, TARGET, "orders", audit, target.clock.seconds)
    target.clock.advance(1000)
    return Database(*made)


def outcome(awaited: Any) -> list[Any]:
    found: list[Any] = []
    ensureDeferred(awaited).addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


def test_a_catalogue_is_loaded_once_and_then_only_looked_at(database: Database, target: FakeTarget) -> None:
    assert outcome(database.confirm(CREDENTIAL)) == [None]
    assert (database.loads, database.generation) == (1, 1)
    assert target.asked[0] == PREPARE_CONNECTION
    assert not database.stale
    outcome(database.confirm(CREDENTIAL))
    assert database.loads == 1, "the fingerprint is the same"
    target.fingerprint = "2"
    outcome(database.confirm(CREDENTIAL))
    assert (database.loads, database.generation) == (2, 2)
    assert target.dials == 1


def test_ddl_makes_it_stale(database: Database, target: FakeTarget) -> None:
    outcome(database.confirm(CREDENTIAL))
    database.changed()
    assert database.stale
    assert outcome(database.load(CREDENTIAL)) == [None]
    assert not database.stale


def test_ddl_during_a_look_makes_it_stale_again(database: Database, target: FakeTarget) -> None:
    outcome(database.confirm(CREDENTIAL))
    target.waits = answers = Deferred[None]()
    database.changed()
    found = outcome(database.load(CREDENTIAL))
    looks = target.asked.count(FINGERPRINT)
    database.changed()
    target.waits = None
    answers.callback(None)
    assert found == [None]
    assert target.asked.count(FINGERPRINT) == looks + 1, "what was read before the change does not count"
    assert not database.stale


def test_sessions_that_ask_together_share_a_look(database: Database, target: FakeTarget) -> None:
    target.waits = answers = Deferred[None]()
    first, second = outcome(database.load(CREDENTIAL)), outcome(database.load(CREDENTIAL))
    assert (first, second) == ([], [])
    target.waits = None
    answers.callback(None)
    assert (first, second) == ([None], [None])
    assert database.loads == 1


def test_it_is_looked_at_again_after_a_time(database: Database, target: FakeTarget) -> None:
    outcome(database.confirm(CREDENTIAL))
    target.clock.advance(TTL / 2 + 1)
    looks = target.asked.count(FINGERPRINT)
    assert not database.stale
    assert target.asked.count(FINGERPRINT) == looks + 1, "in the background"


def test_too_old_is_stale(database: Database, target: FakeTarget) -> None:
    outcome(database.confirm(CREDENTIAL))
    target.refuses = TargetUnavailable("down")
    target.clock.advance(TTL + 1)
    assert database.stale


def test_an_unknown_name_looks_again_but_not_all_the_time(database: Database, target: FakeTarget) -> None:
    outcome(database.confirm(CREDENTIAL))
    assert not database.refresh_for_unknown()
    target.clock.advance(UNKNOWN_EVERY)
    assert database.refresh_for_unknown()
    assert database.stale


def test_the_connection_lingers_for_a_moment(database: Database, target: FakeTarget) -> None:
    outcome(database.confirm(CREDENTIAL))
    assert target.closed == 0
    target.clock.advance(LINGER)
    assert target.closed == 1
    outcome(database.confirm(CREDENTIAL))
    assert target.dials == 2


def test_a_target_that_is_down(database: Database, target: FakeTarget, audit: FakeAudit) -> None:
    target.refuses = TargetUnavailable("down")
    [error] = outcome(database.confirm(CREDENTIAL))
    assert isinstance(error, TargetUnavailable)
    assert database.failures == 1
    assert len(audit.events) == 1
    target.refuses = None
    assert outcome(database.confirm(CREDENTIAL)) == [None]


def test_a_query_that_fails_fails_the_load(database: Database, target: FakeTarget) -> None:
    target.broken = {QUERIES["relations"]: "permission denied"}
    [error] = outcome(database.confirm(CREDENTIAL))
    assert "permission denied" in str(error)
    assert target.closed == 1


def test_a_view_that_is_locked_makes_only_itself_unreadable(database: Database, target: FakeTarget) -> None:
    target.broken = {QUERIES["definitions"]: "canceling statement due to lock timeout"}
    assert outcome(database.confirm(CREDENTIAL)) == [None]


def test_labels_are_bound_once_for_each_load(database: Database, target: FakeTarget) -> None:
    outcome(database.confirm(CREDENTIAL))
    labels = [("public.customers.ssn", "pii.ssn")]
    assert database.bind(labels) is database.bind(list(labels))
    before = database.bind(labels)
    target.fingerprint = "2"
    outcome(database.confirm(CREDENTIAL))
    assert database.bind(labels) is not before


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"\0\1", b"\0\1\0\0\0\5abc", b"\0\1\xff\xff\xff\xfe", b"\0\1\0\0\0\1a" + b"x", b"\0\1\0\0\0\1\xff"],
)
def test_a_row_that_does_not_parse(database: Database, target: FakeTarget, body: bytes) -> None:
    said = target._said

    def hostile(text: str, *, described: bool) -> list[tuple[int, bytes]]:
        return [(ord("D"), body), (ord("Z"), b"I")] if text == FINGERPRINT else said(text, described=described)

    target._said = hostile  # type: ignore[method-assign]
    [error] = outcome(database.confirm(CREDENTIAL))
    assert isinstance(error, TargetUnavailable)
    assert target.closed == 1, "nobody knows what comes next on that connection"
    target._said = said  # type: ignore[method-assign]
    assert outcome(database.confirm(CREDENTIAL)) == [None]


def test_a_connection_describes_columns(target: FakeTarget) -> None:
    upstream = outcome(target.dial(TARGET, CREDENTIAL))[0]
    connection = Connection(upstream)
    assert outcome(connection.describe("select 1")) == [None], "the target can't say"


def test_a_target_that_changed_is_another_database(target: FakeTarget, audit: FakeAudit) -> None:
    made: Any = (target, audit, target.clock.seconds)
    catalogues = Catalogues(*made)
    one = catalogues.database(TARGET, "orders")
    assert catalogues.database(TARGET, "orders") is one
    assert catalogues.database(TARGET, "other") is not one
    moved = Target("orders", "postgres", Address("elsewhere", 5432), TargetTls(), ())
    assert catalogues.database(moved, "orders") is not one


def test_peers_errors_are_ours_to_tell() -> None:
    assert message(b"Z", b"I") == b"Z\0\0\0\5I"
    assert not issubclass(PeerError, TargetUnavailable)
