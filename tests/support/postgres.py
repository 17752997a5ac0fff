"""A PostgreSQL cluster of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.pki import Issued
from support.process import Process, accepts, free_port, scratch_directory, unprivileged
from support.psql import PsqlResult, binaries, clean_environment, conninfo, psql

USER = "postgres"
"""Who the server runs as when we are root: PostgreSQL refuses to be root."""

SETTINGS = {
    "fsync": "off",  # a throwaway cluster needn't survive a power cut
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "log_statement": "all",  # the server's log is what deny and crash tests are judged by
    "log_line_prefix": "%m [%p] %q%u@%d %a: ",
    "lc_messages": "C",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "max_prepared_transactions": "10",
}

LOCAL_TRUST = "local all all trust"
HBA = (LOCAL_TRUST, "host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256")


class Postgres(Process):
    """A fresh cluster on 127.0.0.1 and on a unix socket; over the socket everybody is trusted.

    tls       a server certificate: TLS is offered (demand it with ``hostssl`` in ``hba``)
    hba       lines of pg_hba.conf after the trusted socket; scram-sha-256 for all of loopback by default
    settings  for postgresql.conf, over `SETTINGS`
    ca        verifies client certificates (``cert`` or ``clientcert`` in ``hba``)
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        tls: Issued | None = None,
        ca: Path | None = None,
        hba: Sequence[str] = HBA,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = scratch_directory("pg", owner=USER)
        self.port = free_port()
        self.data = self.directory / "data"
        super().__init__(
            "postgres",
            [str(binaries() / "postgres"), "-D", str(self.data)],
            directory=self.directory,
            user=USER,
            ready=self._is_ready,
            # fast shutdown: open sessions are ended
            stop_signal=signal.SIGINT,
        )
        try:
            self._initialise(tls, ca, hba, SETTINGS | dict(settings or {}))
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def _initialise(self, tls: Issued | None, ca: Path | None, hba: Sequence[str], settings: Mapping[str, str]) -> None:
        initdb = [str(binaries() / "initdb"), "-D", str(self.data), "-U", "postgres", "--no-sync", "-E", "UTF8"]
        subprocess.run(
            unprivileged(USER, [*initdb, "--locale=C.UTF-8", "--auth=trust"]),
            check=True,
            capture_output=True,
            cwd=self.directory,
            env=clean_environment(),
        )
        lines = dict(settings)
        lines |= {"port": str(self.port), "listen_addresses": self.host}
        lines |= {"unix_socket_directories": str(self.directory)}
        if tls is not None:
            lent = tls.lend(USER, self.directory)
            lines |= {"ssl": "on", "ssl_cert_file": str(lent.certificate), "ssl_key_file": str(lent.key)}
        if ca is not None:
            readable = self.directory / "clients-ca.crt"
            shutil.copy(ca, readable)
            readable.chmod(0o644)
            lines["ssl_ca_file"] = str(readable)
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        self.write_hba(hba)

    def write_hba(self, lines: Sequence[str]) -> None:
        """Replaces pg_hba.conf (the trusted socket stays); takes effect at the next start or `reload`."""
        (self.data / "pg_hba.conf").write_text("\n".join([LOCAL_TRUST, *lines]) + "\n")

    def reload(self) -> None:
        self.send(signal.SIGHUP)

    def _is_ready(self) -> bool:
        return accepts(self.port) and self.psql("select 1", seconds=10).status == 0

    def connection(self, database: str = "postgres", user: str = "postgres", **parameters: object) -> str:
        """A libpq connection string over the trusted unix socket; ``host=`` and others override."""
        settings = {"host": self.directory, "port": self.port, "dbname": database, "user": user}
        return conninfo(**(settings | parameters))

    def psql(self, script: str, database: str = "postgres", user: str = "postgres", seconds: float = 60) -> PsqlResult:
        """Runs ``script`` directly, as a trusted user."""
        return psql(self.connection(database, user), script, seconds=seconds)

    def run(self, script: str, database: str = "postgres") -> str:
        """Runs ``script`` as superuser; an error raises AssertionError. Returns unaligned rows."""
        result = psql(
            self.connection(database), script, arguments=("-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"), seconds=120
        )
        assert result.status == 0, result.stderr
        return result.stdout.removesuffix("\n")

    def remove(self) -> None:
        """Stops it and removes its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __exit__(self, *exception: object) -> None:
        self.remove()
