"""Debian's pgbouncer, which the gateway's speed is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.pki import Issued
from support.postgres import USER, Postgres
from support.process import Process, accepts, free_port, scratch_directory

CONFIGURATION = """
[databases]
* = host={upstream_host} port={upstream_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
client_tls_sslmode = require
client_tls_cert_file = {certificate}
client_tls_key_file = {key}
max_client_conn = 2000
default_pool_size = 200
ignore_startup_parameters = extra_float_digits
"""


class Pgbouncer(Process):
    """In front of ``postgres``, TLS towards clients, session pooling.

    passwords  user -> password, the same on both sides
    settings   more lines of its ``[pgbouncer]`` section
    """

    host = "127.0.0.1"

    def __init__(
        self,
        postgres: Postgres,
        tls: Issued,
        *,
        passwords: Mapping[str, str],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = scratch_directory("bouncer", owner=USER)
        self.port = free_port()
        users = self._own("users.txt", "".join(f'"{user}" "{word}"\n' for user, word in passwords.items()))
        lent = tls.lend(USER, self.directory)
        text = CONFIGURATION.format(
            upstream_host=postgres.host,
            upstream_port=postgres.port,
            port=self.port,
            users=users,
            certificate=lent.certificate,
            key=lent.key,
        )
        text += "".join(f"{name} = {value}\n" for name, value in (settings or {}).items())
        super().__init__(
            "pgbouncer",
            ["/usr/sbin/pgbouncer", str(self._own("pgbouncer.ini", text))],
            directory=self.directory,
            user=USER,  # it refuses to be root, too
            ready=lambda: accepts(self.port),
        )

    def _own(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o644)
        return path
