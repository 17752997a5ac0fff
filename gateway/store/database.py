"""One SQLite file of the gateway's own: its owner's alone, write-ahead logged, of a schema version that is known."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.errors import StoreFailed

BUSY = 1.0
"""Seconds to wait for somebody else's lock (a backup's, a curious operator's `sqlite3`). We are the only writer, and
this may be the reactor's thread."""

SETTINGS = (
    "journal_mode = WAL",
    # A commit is in the kernel, not on the disk: it survives kill -9, as recordings do before their sync.
    "synchronous = NORMAL",
    # A checkpoint waits for the disk. It is done by `checkpoint` in a thread, never by whoever commits.
    "wal_autocheckpoint = 0",
    "cache_size = -16384",  # KiB: the index of some 300,000 tokens
    "trusted_schema = OFF",
)
"""Of each connection; see https://www.sqlite.org/pragma.html."""


def open_database(path: Path, metadata: MetaData, *, version: int) -> Engine:
    """The database at ``path``, made (0600, its directory 0700) with the tables of ``metadata`` when nothing is there.

    ``version`` is that of the tables. Raises StoreFailed.
    """
    with told(path):
        _own(path)
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            # Each connection is used by one thread at a time; its owner sees to that.
            connect_args={"check_same_thread": False, "timeout": BUSY},
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare)
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found == 0:
                metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {version:d}")
                connection.commit()
            elif found != version:
                raise StoreFailed(
                    f"{path}: has schema version {found}, this version of Ostiary knows {version}",
                    hint="run the version that wrote it, or restore a backup of this version's",
                )
        return engine


def checkpoint(engine: Engine) -> None:
    """Bring what is in the log into the database, on the disk. Blocks for the disk's time; in a thread."""
    with told(Path(engine.url.database or "")), engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as StoreFailed, without the statement and its parameters."""
    try:
        yield
    except DBAPIError as error:
        raise StoreFailed(f"{path}: {error.orig}", hint="check the disk and the file's owner") from error
    except SQLAlchemyError as error:
        raise StoreFailed(f"{path}: {type(error).__name__}") from error
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}", hint="check the directory and its owner") from error


def _own(path: Path) -> None:
    """The file is there, ours alone, and no link: SQLite gives its log the same rights."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        mode = os.fstat(fd).st_mode
    finally:
        os.close(fd)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StoreFailed(
            f"{path}: others than its owner can use it (mode {stat.S_IMODE(mode):04o})", hint=f"chmod 0600 {path}"
        )


def _prepare(connection: Any, _record: object) -> None:
    for setting in SETTINGS:
        connection.execute(f"PRAGMA {setting}")
