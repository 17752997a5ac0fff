"""A PostgreSQL client that hides nothing: every byte that the server sent stays to be looked at.

Protocol 3.0 as a test needs it (PostgreSQL documentation, "Message Flow"): startup with or without TLS, simple and
extended queries, pipelines, both formats, COPY in both directions, asynchronous messages. No driver does this: they
interpret, and a leak lies where they don't look.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class LoginRefused(Exception):
    """The server answered the startup with an error; ``received`` says which."""

    def __init__(self, received: Received) -> None:
        super().__init__(f"{received.sqlstate}: {received.error}")
        self.received = received


@dataclass(slots=True)
class Received:
    """What came back for one exchange: (kind, body) of each message, in order."""

    messages: list[tuple[bytes, bytes]] = field(default_factory=list)

    def bodies(self, kinds: bytes) -> list[bytes]:
        return [body for kind, body in self.messages if kind in kinds]

    @property
    def rows(self) -> list[list[bytes | None]]:
        return [_cells(body) for body in self.bodies(b"D")]

    @property
    def copied(self) -> bytes:
        """The data of COPY ... TO STDOUT."""
        return b"".join(self.bodies(b"d"))

    @property
    def tags(self) -> list[str]:
        """Of CommandComplete."""
        return [body[:-1].decode() for body in self.bodies(b"C")]

    @property
    def reports(self) -> list[dict[str, str]]:
        """Fields of errors and notices."""
        return [_report(body) for body in self.bodies(b"EN")]

    @property
    def error(self) -> str | None:
        """The first error's message."""
        return next((_report(body).get("M", "") for body in self.bodies(b"E")), None)

    @property
    def sqlstate(self) -> str | None:
        """The first error's SQLSTATE."""
        return next((_report(body).get("C", "") for body in self.bodies(b"E")), None)


class RawClient:
    """One session. Raises LoginRefused, or OSError (TimeoutError) when the server goes away or is silent.

    host        a name or address, or the directory of a unix socket (begins with /)
    context     TLS is asked for and must be given; None: without
    parameters  more of the startup message (``replication``, ``options``, ...)
    seconds     longest silence
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        user: str,
        database: str,
        context: ssl.SSLContext | None = None,
        password: str | None = None,
        parameters: Mapping[str, str] | None = None,
        seconds: float = 20,
    ) -> None:
        self.raw = bytearray()
        """Every byte from the server since the startup message."""
        self._password = password
        self._buffer = bytearray()
        self._socket = _connect(host, port, seconds)
        try:
            if context is not None:
                self._socket.sendall(SSL_REQUEST)
                if self._socket.recv(1) != b"S":
                    raise ConnectionError("the server offers no TLS")
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
            self._start({"user": user, "database": database, **(parameters or {})})
        except BaseException:
            self._socket.close()
            raise

    def query(self, sql: str, *, copy: bytes = b"") -> Received:
        """A simple query; ``copy`` is sent when the server asks for COPY data."""
        self.send(b"Q", sql.encode() + b"\0")
        return self.receive(copy=copy)

    def execute(
        self,
        sql: str,
        parameters: Sequence[str | None] = (),
        *,
        binary: bool = False,
        max_rows: int = 0,
        copy: bytes = b"",
        describe: bool = True,
        sync: bool = True,
    ) -> Received | None:
        """Parse, Bind, Describe, Execute of unnamed ones; parameters as text, results in one format.

        max_rows  a limit for each Execute, which is then sent until the portal is done (thrice at most)
        sync      False leaves the answers of this pipeline for the exchange that ends it, and returns None
        """
        values = b"".join(
            struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
            for value in parameters
        )
        self.send(b"P", b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))
        bind = struct.pack("!hh", 0, len(parameters)) + values + struct.pack("!hh", 1, int(binary))
        self.send(b"B", b"\0\0" + bind)
        if describe:
            self.send(b"D", b"P\0")
        for _ in range(3 if max_rows else 1):
            self.send(b"E", b"\0" + struct.pack("!i", max_rows))
        if not sync:
            return None
        self.send(b"S", b"")
        return self.receive(copy=copy, extended=True)

    def send(self, kind: bytes, body: bytes) -> None:
        """One message of any kind."""
        self.post(framed(kind, body))

    def post(self, data: bytes) -> None:
        """Any bytes, several messages among them."""
        self._socket.sendall(data)

    def receive(self, *, copy: bytes = b"", extended: bool = False) -> Received:
        """Everything up to ReadyForQuery. A server that goes away ends it, too: look at the last message.

        extended  what is awaited was ended by Sync, which the server ignores while it waits for COPY data
        """
        received = Received()
        while True:
            try:
                kind, body = self._message()
            except (ConnectionError, ssl.SSLError):
                return received
            received.messages.append((kind, body))
            if kind == b"G":
                if copy:
                    self.send(b"d", copy)
                self.send(b"c", b"")
                if extended:
                    self.send(b"S", b"")
                copy = b""
            elif kind == b"W":
                self.send(b"c", b"")
            elif kind == b"Z":
                return received

    def asynchronous(self, seconds: float) -> Received:
        """What the server sends unasked, until it is silent for ``seconds``."""
        before = self._socket.gettimeout()
        self._socket.settimeout(seconds)
        received = Received()
        try:
            while True:
                received.messages.append(self._message())
        except (TimeoutError, ConnectionError):
            return received
        finally:
            self._socket.settimeout(before)

    def close(self) -> None:
        with suppress(OSError):
            self.send(b"X", b"")
        self._socket.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self, parameters: Mapping[str, str]) -> None:
        body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
        self._socket.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
        received = Received()
        while True:
            kind, body = self._message()
            received.messages.append((kind, body))
            if kind == b"E":
                raise LoginRefused(received)
            if kind == b"R":
                (method,) = struct.unpack_from("!i", body)
                if method == 3 and self._password is not None:
                    self.send(b"p", self._password.encode() + b"\0")
                elif method:
                    raise ConnectionError(f"the server asks for authentication {method}")
            if kind == b"Z":
                return

    def _message(self) -> tuple[bytes, bytes]:
        self._fill(5)
        (length,) = struct.unpack_from("!i", self._buffer, 1)
        self._fill(length + 1)
        kind, body = bytes(self._buffer[:1]), bytes(self._buffer[5 : length + 1])
        del self._buffer[: length + 1]
        return kind, body

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the server closed the connection")
            self.raw += data
            self._buffer += data


def framed(kind: bytes, body: bytes) -> bytes:
    """A message, as it is sent."""
    return kind + struct.pack("!i", len(body) + 4) + body


def _connect(host: str, port: int, seconds: float) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout=seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    connection.connect(f"{host}/.s.PGSQL.{port}")
    return connection


def _cells(body: bytes) -> list[bytes | None]:
    (count,) = struct.unpack_from("!h", body)
    cells: list[bytes | None] = []
    pos = 2
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, pos)
        pos += 4
        cells.append(None if size < 0 else body[pos : pos + size])
        pos += max(size, 0)
    return cells


def _report(body: bytes) -> dict[str, str]:
    return {part[:1].decode(): part[1:].decode("utf-8", "replace") for part in re.split(rb"\0", body) if part}
