"""The store of approvals: requests, grants and locks, each as one row, written whole whenever it changes.

What is kept is read once, when the gateway starts; from then on `gateway.session.approvals` has it in memory. A commit
is in the kernel before `save` returns, so that it survives ``kill -9``; a power cut may take the last second, as it
may take that of recordings with durability ``written`` (docs/decisions/0050-approvals.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, Float, LargeBinary, MetaData, String, Table, select
from sqlalchemy.dialects.sqlite import insert

from gateway.errors import StoreFailed
from gateway.store.database import checkpoint, open_database, told
from gateway.store.requests import Grant, Lock, Request

Kept = TypeVar("Kept", Request, Grant, Lock)

_VERSION = 1
_METADATA = MetaData()


def _table(name: str) -> Table:
    return Table(
        name,
        _METADATA,
        Column("id", String, primary_key=True),
        Column("ends", Float, nullable=False, index=True),
        Column("body", LargeBinary, nullable=False),
    )


_REQUESTS, _GRANTS, _LOCKS = _table("requests"), _table("grants"), _table("locks")
"""ends: unix seconds after which nobody needs the row; body: JSON of the type in `gateway.store.requests`."""


class ApprovalStore:
    """Used by one thread, but for `checkpoint`. Everything raises StoreFailed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unchecked = False
        self._engine = open_database(path, _METADATA, version=_VERSION)
        with told(path):
            self._connection = self._engine.connect()

    def requests(self, since: float) -> list[Request]:
        """Those that are needed after ``since`` (unix seconds), in any order."""
        return self._read(_REQUESTS, Request, since)

    def grants(self, since: float) -> list[Grant]:
        return self._read(_GRANTS, Grant, since)

    def locks(self, since: float) -> list[Lock]:
        return self._read(_LOCKS, Lock, since)

    def save(
        self,
        *,
        requests: Iterable[Request] = (),
        grants: Iterable[Grant] = (),
        locks: Iterable[Lock] = (),
        unlocked: Iterable[Lock] = (),
        keep: float = 0.0,
    ) -> None:
        """All of it, or nothing. ``keep``: seconds that a row is kept after it has ended by itself."""
        with told(self.path), self._connection.begin():
            for request in requests:
                ends = request.deadline if request.settled_at is None else request.settled_at
                self._write(_REQUESTS, request, ends + keep)
            for grant in grants:
                self._write(_GRANTS, grant, grant.ends + keep)
            for lock in locks:
                self._write(_LOCKS, lock, lock.until)
            for lock in unlocked:
                self._connection.execute(_LOCKS.delete().where(_LOCKS.c.id == lock.id))
        self._unchecked = True

    def forget(self, now: float) -> None:
        """Remove what nobody needs any more."""
        with told(self.path), self._connection.begin():
            for table in (_REQUESTS, _GRANTS, _LOCKS):
                self._connection.execute(table.delete().where(table.c.ends < now))
        self._unchecked = True

    def checkpoint(self) -> None:
        """What was written reaches the disk. Blocks for the disk's time: in a thread."""
        if self._unchecked:
            self._unchecked = False
            checkpoint(self._engine)

    def close(self) -> None:
        try:
            self.checkpoint()
        finally:
            self._connection.close()
            self._engine.dispose()

    def _write(self, table: Table, kept: Request | Grant | Lock, ends: float) -> None:
        row: dict[str, Any] = {"id": kept.id, "ends": ends, "body": msgspec.json.encode(kept)}
        written = insert(table).values(row)
        changed = {"ends": written.excluded.ends, "body": written.excluded.body}
        self._connection.execute(written.on_conflict_do_update(index_elements=["id"], set_=changed))

    def _read(self, table: Table, kind: type[Kept], since: float) -> list[Kept]:
        with told(self.path), self._connection.begin():
            bodies = self._connection.execute(select(table.c.body).where(table.c.ends >= since)).scalars().all()
        try:
            return [msgspec.json.decode(body, type=kind) for body in bodies]
        except msgspec.DecodeError as error:
            raise StoreFailed(f"{self.path}: {table.name} can't be read: {error}", hint="restore a backup") from None
