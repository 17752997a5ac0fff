"""Catalogues of databases behind the gateway, over the gateway's own connections.

One `Database` for each (target, database): what it has, which labels lie on it. A fingerprint of the system catalogues
tells whether it has to be loaded again; it is looked at when a session begins, after DDL that passed through the
gateway, and every `TTL` for DDL that didn't. A database that can't be read has no sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import structlog
from twisted.internet.defer import Deferred, ensureDeferred

from gateway.audit import AuditLog
from gateway.audit.events import CatalogueReloadFailed
from gateway.errors import GatewayError, PeerError, TargetUnavailable
from gateway.masking import parse_row_description
from gateway.model import Credential, Target
from gateway.protocols.postgres.upstream import Dialler, Upstream
from gateway.protocols.postgres.wire import INT32, cstring, message, parse_fields
from gateway.sql import Catalogue, LabelledCatalogue
from gateway.sql.catalogue_queries import DEFINED, FINGERPRINT, PREPARE_CONNECTION, QUERIES

log = structlog.get_logger()

TTL: Final = 10.0
"""Seconds until a live session's catalogue notices DDL that went around the gateway; a new session sees it at once."""

LINGER: Final = 2.0
"""Seconds that our connection stays open for the next look. DROP DATABASE waits 5 for others to leave."""

TIME_OUT: Final = 20.0
"""Seconds for one load."""

VIEW_QUERY: Final = "1"
"""pg_rewrite.ev_type of a view's own query."""

UNREADABLE: Final = "?"
"""Stands for a definition that could not be read: no SQL, so whatever uses it is opaque."""

UNKNOWN_EVERY: Final = 1.0
"""Seconds: a name that the catalogue does not know reloads it, but no more often than this."""

SETTINGS: Final = (
    ("application_name", "ostiary/catalogue"),
    ("client_encoding", "UTF8"),
    ("search_path", "pg_catalog"),
    ("lock_timeout", "200"),
    ("statement_timeout", "15000"),
    ("default_transaction_read_only", "on"),
)
"""Of the gateway's own connection: names come out qualified, a lock in somebody's transaction is not waited for."""


class Connection:
    """A connection of the gateway's own to a target, for queries that we wrote."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._stream = upstream.stream

    async def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Rows in text format. Raises TargetUnavailable with the target's own message."""
        self._stream.transport.write(message(b"Q", cstring(sql)))
        rows: list[tuple[str | None, ...]] = []
        problem: str | None = None
        while True:
            kind, body = await self._stream.message()
            if kind == 68:
                rows.append(_row(body))
            elif kind == 69:
                problem = dict(parse_fields(body)).get("M", b"").decode("utf-8", "replace")
            elif kind == 90:
                break
        if problem is not None:
            raise TargetUnavailable(f"the target's catalogue can't be read: {problem}")
        return rows

    async def describe(self, sql: str) -> list[tuple[int, int]] | None:
        """(table OID, attnum) of each result column, (0, 0) for an expression; None when the target can't say."""
        write = message(b"P", b"\0" + cstring(sql) + b"\0\0") + message(b"D", b"S\0") + message(b"S")
        self._stream.transport.write(write)
        columns: list[tuple[int, int]] | None = None
        while True:
            kind, body = await self._stream.message()
            if kind == 84:
                columns = [(field.table_oid, field.attnum) for field in parse_row_description(body)]
            elif kind == 90:
                return columns

    @property
    def lost(self) -> bool:
        return self._stream.lost

    def abort(self) -> None:
        self._stream.transport.abortConnection()

    def close(self) -> None:
        self._upstream.close()


async def connect(dialler: Dialler, target: Target, credential: Credential, database: str) -> Connection:
    """A new one. Raises TargetUnavailable."""
    connection = Connection(
        await dialler.dial(target, credential, database=database, parameters=SETTINGS, timeout=TIME_OUT)
    )
    await connection.query(PREPARE_CONNECTION)
    return connection


def _row(body: bytes) -> tuple[str | None, ...]:
    """53.7 DataRow. Raises PeerError."""
    values: list[str | None] = []
    pos = 2
    for _ in range(int.from_bytes(body[:2])):
        if pos + 4 > len(body):
            raise PeerError("a row does not parse")
        length = INT32.unpack_from(body, pos)[0]
        pos += 4
        if length == -1:
            values.append(None)
            continue
        if not 0 <= length <= len(body) - pos:
            raise PeerError("a row does not parse")
        try:
            values.append(body[pos : pos + length].decode())
        except UnicodeDecodeError:
            raise PeerError("a name is not UTF-8") from None
        pos += length
    if pos != len(body):
        raise PeerError("a row does not parse")
    return tuple(values)


async def load_catalogue(connection: Connection) -> Catalogue:
    """Read all that `gateway.sql` asks for. Raises TargetUnavailable."""
    rows = {name: await connection.query(sql) for name, sql in QUERIES.items() if name != "definitions"}
    rows["definitions"] = definitions = await _definitions(connection)
    view_columns: dict[int, list[tuple[int, int]]] = {}
    for oid, event, definition in definitions:
        if event != VIEW_QUERY or oid is None or definition in (None, UNREADABLE):
            continue
        columns = await connection.describe(str(definition))
        if columns is not None:
            view_columns[int(oid)] = columns
    try:
        return Catalogue.from_rows(**rows, view_columns=view_columns)
    except (ValueError, TypeError) as error:
        raise TargetUnavailable(f"the target's catalogue is not understood: {error}") from error


async def _definitions(connection: Connection) -> list[tuple[str | None, ...]]:
    """What views and rules do. One whose relations are locked in somebody's transaction can't be read: then that one
    counts as unreadable, so that nothing is known of it, and the others are still known."""
    try:
        return await connection.query(QUERIES["definitions"])
    except TargetUnavailable:
        found: list[tuple[str | None, ...]] = []
        for relation, event, function, oid in await connection.query(DEFINED):
            try:
                [(text,)] = await connection.query(f"SELECT pg_catalog.{function}({oid})")  # an OID
            except TargetUnavailable:
                text = UNREADABLE
            found.append((relation, event, text))
        return found


class Database:
    """One database of one target. ``generation`` grows with each load, ``stale`` when it has to be loaded again."""

    def __init__(
        self, dialler: Dialler, target: Target, name: str, audit: AuditLog, clock: Callable[[], float]
    ) -> None:
        self._dialler = dialler
        self.target = target
        self._name = name
        self._audit = audit
        self._clock = clock
        self._catalogue: Catalogue | None = None
        self._fingerprint: object = None
        self._bound: dict[tuple[tuple[tuple[str, str], ...], frozenset[str]], LabelledCatalogue] = {}
        self._waiting: list[Deferred[None]] = []
        self._looking = False
        self._looked_at = 0.0
        self._changes = 1
        self._seen = 0
        self._asked = 0
        self._answered = 0
        self._credential: Credential | None = None
        self._connection: Connection | None = None
        self._linger: Any = None
        self.generation = 0
        self.loads = 0
        self.failures = 0

    @property
    def stale(self) -> bool:
        """Something changed since the last look began, or that is too old. A look in good time, in the background,
        sees to it that a busy session need not wait for one."""
        age = self._clock() - self._looked_at
        if age > TTL / 2 and self._credential is not None and not self._looking:
            ensureDeferred(self._look(self._credential)).addErrback(lambda _: None)
        return self._seen != self._changes or age > TTL

    def changed(self) -> None:
        """DDL went to the target: what is known may be wrong from now on."""
        self._changes += 1

    def refresh_for_unknown(self) -> bool:
        """A statement names what isn't known: have another look first, unless that was just done."""
        if self._clock() - self._looked_at < UNKNOWN_EVERY:
            return False
        self.changed()
        return True

    def bind(self, labels: Sequence[tuple[str, str]], json_labels: frozenset[str] = frozenset()) -> LabelledCatalogue:
        """With these labels on it; kept until the next load."""
        assert self._catalogue is not None
        key = tuple(labels), json_labels
        if key not in self._bound:
            self._bound[key] = bound = self._catalogue.bind(*key)
            for pattern, label in bound.unbound:
                log.warning(
                    "label on no column", target=self.target.name, database=self._name, column=pattern, label=label
                )
        return self._bound[key]

    async def confirm(self, credential: Credential) -> None:
        """Have it as new as the target's catalogue is at this call. Raises TargetUnavailable."""
        self._asked += 1
        mine = self._asked
        while self._answered < mine:
            await self._look_or_wait(credential)

    async def load(self, credential: Credential) -> None:
        """Have it as new as every change that was announced before this call. Raises TargetUnavailable."""
        while self._seen != self._changes or self._clock() - self._looked_at > TTL:
            await self._look_or_wait(credential)

    async def _look_or_wait(self, credential: Credential) -> None:
        if not self._looking:
            await self._look(credential)
            return
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        await waiting

    async def _look(self, credential: Credential) -> None:
        """Compare fingerprints, and load where they differ."""
        self._looking = True
        self._credential = credential
        changes, asked = self._changes, self._asked
        try:
            connection = await self._connect(credential)
            deadline = self._dialler.reactor.callLater(TIME_OUT, connection.abort)
            try:
                fingerprint = await connection.query(FINGERPRINT)
                if fingerprint != self._fingerprint or self._catalogue is None:
                    self._catalogue = await load_catalogue(connection)
                    self._fingerprint = fingerprint
                    self._bound.clear()
                    self.generation += 1
                    self.loads += 1
            except PeerError as error:
                raise TargetUnavailable(f"the target's catalogue can't be read: {error}") from error
            finally:
                if deadline.active():
                    deadline.cancel()
            self._seen, self._answered = changes, asked
            self._looked_at = self._clock()
            self._linger = self._dialler.reactor.callLater(LINGER, self._disconnect)
        except GatewayError as error:
            self._disconnect()
            self._failed(error)
            raise
        finally:
            self._looking = False
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    async def _connect(self, credential: Credential) -> Connection:
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        if self._connection is None or self._connection.lost:
            self._connection = await connect(self._dialler, self.target, credential, self._name)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _failed(self, error: GatewayError) -> None:
        self.failures += 1
        log.warning("catalogue not loaded", target=self.target.name, database=self._name, problem=error.message)
        if self._audit.failed is None:
            self._audit.append(CatalogueReloadFailed(self.target.name, self._name, error.message))
            self._audit.flush()


class Catalogues:
    """All databases that sessions needed so far."""

    def __init__(self, dialler: Dialler, audit: AuditLog, clock: Callable[[], float]) -> None:
        self._dialler = dialler
        self._audit = audit
        self._clock = clock
        self._databases: dict[tuple[str, str], Database] = {}

    def __iter__(self) -> Iterator[Database]:
        return iter(tuple(self._databases.values()))

    def database(self, target: Target, name: str) -> Database:
        """``target`` may have changed since (a reload of the configuration): then it is another database."""
        key = (target.name, name)
        known = self._databases.get(key)
        if known is None or known.target != target:
            known = self._databases[key] = Database(self._dialler, target, name, self._audit, self._clock)
        return known
