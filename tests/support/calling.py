"""Stock clients, each in a process of its own, so that it can be killed while it waits.

A caller is told what to do by lines on its standard input and tells what it sees by lines on its standard output:

    run SQL              one statement
    values A,B SQL       one statement with parameters, integers
    batch A,B SQL        one statement, once for each parameter, in the driver's own kind of batch
    fetch N SQL          a query, N rows at a time
    within N SQL         one statement, with the driver's own time-out of so many seconds
    cancel               what runs now, by the driver's own means

    ready                it is connected, or what went wrong in its place, as below
    notice TEXT          as soon as the driver shows it
    ended SQLSTATE TEXT  of each statement; 00000 and how many rows, or the error's own
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from support.clients import JDBC
from support.ostiary import Ostiary
from support.pki import Issued
from support.process import wait_until
from support.psql import clean_environment

HERE = Path(__file__).parent
NO_JDBC = "" if shutil.which("java") and JDBC.exists() else "needs java and libpostgresql-jdbc-java"


class Caller:
    """One client that is connected, or on its way.

    said            what it has told so far
    kind            what it was asked for as, see `caller`
    tells_at_once   it shows notices as they come, not only with the statement's end
    cancel_ends_it  it says no more after `cancel`
    """

    kind = ""
    tells_at_once = True
    cancel_ends_it = False

    def __init__(self, command: list[str]) -> None:
        self.said: list[str] = []
        self._taken = 0
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.heard(line.rstrip("\n"))

    def heard(self, line: str) -> None:
        self.said.append(line)

    def tell(self, line: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def next(self, kind: str, *, seconds: float = 30) -> str:
        """What comes behind the next ``kind``, which may have been said already."""

        def found() -> bool:
            return any(line.startswith(kind) for line in self.said[self._taken :])

        try:
            wait_until(lambda: found() or self._child.poll() is not None, seconds=seconds, what=f"{kind!r}")
            self._reader.join(0 if found() else 5)
            assert found(), f"it left, and said {self.said}"
        except TimeoutError as error:
            raise AssertionError(f"{error}; it said {self.said}") from None
        for index in range(self._taken, len(self.said)):
            if self.said[index].startswith(kind):
                self._taken = index + 1
                return self.said[index].removeprefix(kind).strip()
        raise AssertionError

    def shows(self, text: str, *, seconds: float = 30) -> None:
        """Once it has said ``text``, in whatever words around."""
        try:
            wait_until(lambda: any(text in line for line in self.said), seconds=seconds, what=repr(text))
        except TimeoutError as error:
            raise AssertionError(f"{error}; it said {self.said}") from None

    def run(self, sql: str) -> None:
        self.tell(f"run {sql}")

    def ended(self, *, seconds: float = 30) -> tuple[str, str]:
        """SQLSTATE and text of the next statement that ended."""
        state, _, text = self.next("ended", seconds=seconds).partition(" ")
        return state, text

    def cancel(self) -> None:
        self.tell("cancel")

    def kill(self) -> None:
        """``kill -9``."""
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        self.kill()
        self._reader.join(5)
        for stream in (self._child.stdin, self._child.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):  # what it was told last is lost with it
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Psql(Caller):
    """psql, fed by a pipe."""

    cancel_ends_it = True

    def __init__(self, connection: str) -> None:
        super().__init__(["psql", "-X", "-A", "-t", "-q", "--no-password", connection])
        super().tell("\\echo ready")

    def heard(self, line: str) -> None:
        # 00000 is what :SQLSTATE says of a success; the message is that of the last error.
        super().heard(f"notice {line.removeprefix('NOTICE:').strip()}" if line.startswith("NOTICE:") else line)

    def tell(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        assert verb == "run", "psql can do nothing else"
        super().tell(f"{rest};\n\\echo ended :SQLSTATE :LAST_ERROR_MESSAGE")

    def cancel(self) -> None:
        """Ctrl-C. It ends a psql that is fed by a pipe, once the server has answered."""
        self._child.send_signal(signal.SIGINT)


def psql(gateway: Ostiary, caller: Issued, **parameters: Any) -> Caller:
    return Psql(gateway.connection(caller, **parameters))


def driver(name: str, gateway: Ostiary, caller: Issued, **parameters: Any) -> Caller:
    """``psycopg`` (autocommit), ``psycopg-transaction`` (it begins a transaction for each statement) or ``asyncpg``."""
    told = {"dsn": gateway.connection(caller, **parameters), "port": gateway.port, "ca": str(gateway.pki.ca)}
    told |= {"user": caller.certificate.stem, "database": parameters.get("database", "orders")}
    told |= {"certificate": str(caller.certificate), "key": str(caller.key)}
    return Caller([sys.executable, str(HERE / "calling_drivers.py"), name, json.dumps(told)])


class Pgjdbc(Caller):
    """Its warnings are read when the statement has ended."""

    tells_at_once = False


def pgjdbc(gateway: Ostiary, caller: Issued, *, database: str = "orders") -> Caller:
    """pgjdbc; see `NO_JDBC`."""
    key = caller.key.with_suffix(".pk8")
    private = load_pem_private_key(caller.key.read_bytes(), None)
    key.touch(mode=0o600)
    key.write_bytes(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    settings = {
        "user": caller.certificate.stem, "ssl": "true", "sslmode": "verify-full", "sslrootcert": gateway.pki.ca,
        "sslcert": caller.certificate, "sslkey": key,
    }  # fmt: skip
    java = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", str(JDBC), str(HERE / "Calling.java")]
    url = f"jdbc:postgresql://localhost:{gateway.port}/{database}"
    return Pgjdbc([*java, url, *(f"{name}={said}" for name, said in settings.items())])


def caller(name: str, gateway: Ostiary, who: Issued, **parameters: Any) -> Caller:
    """Any of them, by name."""
    make = {"psql": psql, "pgjdbc": pgjdbc}.get(name)
    made = driver(name, gateway, who, **parameters) if make is None else make(gateway, who, **parameters)
    made.kind = name
    return made


PGJDBC = pytest.param("pgjdbc", marks=pytest.mark.skipif(bool(NO_JDBC), reason=NO_JDBC))
NAMES = ("psql", "psycopg", "psycopg-transaction", "asyncpg", PGJDBC)
