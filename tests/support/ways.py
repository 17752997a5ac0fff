"""Two ways to one database, directly and through the gateway, which a client must not be able to tell apart."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg

from support.pki import Issued
from support.psql import clean_environment, conninfo
from support.rawclient import RawClient

T = TypeVar("T")


@dataclass(frozen=True)
class Way:
    """How a client reaches ``own``, its database, or another of the server.

    prefix  goes before the name of another database
    caller  the client's certificate
    """

    name: str
    port: int
    prefix: str
    caller: Issued
    ca: Path
    user: str
    own: str

    def database(self, name: str | None) -> str:
        return f"{self.prefix}{name}" if name else self.own

    def conninfo(self, database: str | None = None, **parameters: object) -> str:
        settings: dict[str, object] = {
            "host": "localhost",
            "port": self.port,
            "dbname": self.database(database),
            "user": self.user,
            "sslmode": "verify-full",
            "sslrootcert": self.ca,
            "sslcert": self.caller.certificate,
            "sslkey": self.caller.key,
        }
        return conninfo(**(settings | parameters))

    def connect(self, database: str | None = None, **parameters: object) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.conninfo(database, **parameters), autocommit=True)

    @property
    def context(self) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.ca))
        made.load_cert_chain(self.caller.certificate, self.caller.key)
        return made

    def raw(self, **parameters: str) -> RawClient:
        client = RawClient(
            host="localhost",
            port=self.port,
            user=self.user,
            database=self.own,
            context=self.context,
            parameters=parameters,
            seconds=30,
        )
        # it sends a batch's messages one by one: each would wait for an acknowledgement of the one before
        client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def run(self, *command: str, script: str | None = None, database: str | None = None) -> str:
        """One of PostgreSQL's programs; its standard output. An error raises AssertionError."""
        done = subprocess.run(
            [*command, self.conninfo(database)],
            input=script,
            stdin=subprocess.DEVNULL if script is None else None,
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


Both = tuple[Way, Way]
"""Directly, and through the gateway."""


def same(both: Both, act: Callable[[Way], T]) -> T:
    """What ``act`` saw, which must be the same both ways."""
    direct, through = (act(way) for way in both)
    assert through == direct
    return through
