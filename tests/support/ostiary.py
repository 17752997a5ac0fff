"""The gateway itself, run as a user runs it: configuration files and `ostiary serve`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.pki import Issued, Pki
from support.process import Process, free_port, scratch_directory, wait_until
from support.psql import PsqlResult, conninfo, psql

COMMAND = str(Path(sys.executable).with_name("ostiary"))
"""The console script of the environment that we run in."""

Document = Mapping[str, Any]


def merged(base: Document, over: Document) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mappings merged key by key; a value of None takes the key away."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def target_by_certificate(name: str, port: int, pki: Pki, user: str) -> dict[str, Any]:
    """A target where the gateway logs in as ``user`` with a certificate of its own."""
    own = pki.client(user, file="gateway-at-target")
    return {
        "name": name,
        "protocol": "postgres",
        "address": f"localhost:{port}",
        "tls": {
            "mode": "verify-full",
            "ca": f"file:{pki.ca}",
            "certificate": f"file:{own.certificate}",
            "key": f"file:{own.key}",
        },
        "credentials": [{"user": user}],
    }


class Ostiary(Process):
    """`ostiary serve` with a configuration directory of its own, all listeners on loopback.

    pki          signs the gateway's certificate and is the CA of client certificates
    targets      entries of targets.d (see `guarded.target`)
    policy       one policy document, or several by file name
    settings     laid over ostiary.yaml, see `merged`
    environment  variables that secret references name
    """

    host = "127.0.0.1"

    def __init__(
        self,
        pki: Pki,
        *,
        targets: Sequence[Document],
        policy: Document,
        settings: Document | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        port: int | None = None,
    ) -> None:
        self.directory = directory or scratch_directory("gw")
        self.pki = pki
        self.port = port or free_port()
        self.metrics_port = free_port()
        self.configuration = self.directory / "etc" / "ostiary.yaml"
        self.data = self.directory / "data"
        self.socket = self.directory / "control.sock"
        self.environment = {**os.environ, **(environment or {})}
        for part in ("etc/targets.d", "etc/policy.d"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        self.data.mkdir(mode=0o700, exist_ok=True)
        server = pki.server(file="gateway")
        self.settings: dict[str, Any] = {
            "node": {"name": "gw-test", "data": str(self.data)},
            "listeners": {
                "postgres": {"address": f"{self.host}:{self.port}"},
                "metrics": {"address": f"{self.host}:{self.metrics_port}"},
                "control": {"socket": str(self.socket)},
            },
            "tls": {
                "certificate": f"file:{server.certificate}",
                "key": f"file:{server.key}",
                "client_ca": [f"file:{pki.ca}"],
            },
            "identity": {
                "certificates": {"name_from": ["uri", "email", "cn"], "groups_from": "ou"},
                "socket": {os.getuid(): "tester"},
            },
            "roles": {"operator": ["principal:tester"], "auditor": ["principal:tester"]},
            # a test machine's disk may be nearly full
            "recording": {"low_water": "64MiB", "reserve": "16MiB"},
        }
        self.settings = merged(self.settings, settings or {})
        self.write(settings=self.settings, targets=targets, policy=policy)
        super().__init__(
            "ostiary",
            [COMMAND, "serve", "--config", str(self.configuration)],
            directory=self.directory,
            environment=self.environment,
            ready=lambda: self.http("/readyz")[0] == 200,
        )

    def write(
        self,
        *,
        settings: Document | None = None,
        targets: Sequence[Document] | None = None,
        policy: Document | None = None,
    ) -> None:
        """Replaces those configuration files; `reload` makes them take effect."""
        etc = self.configuration.parent
        if settings is not None:
            _write_yaml(self.configuration, settings)
        if targets is not None:
            _write_yaml(etc / "targets.d" / "targets.yaml", list(targets))
        if policy is not None:
            _write_yaml(etc / "policy.d" / "policy.yaml", policy)

    def reload(self) -> None:
        """Asks for a reload by SIGHUP. The outcome is in the log."""
        self.send(signal.SIGHUP)

    def http(self, path: str) -> tuple[int, str]:
        """Status and body from the metrics listener; status 0 when nobody answers."""
        url = f"http://{self.host}:{self.metrics_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def cli(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs `ostiary ARGUMENTS...` as an operator would."""
        return subprocess.run(
            [COMMAND, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )

    def connection(
        self, caller: Issued | None, *, database: str = "orders", user: str | None = None, **parameters: object
    ) -> str:
        """A libpq connection string for ``caller``'s certificate, or without one; checks the gateway's certificate."""
        settings: dict[str, object] = {
            "host": "localhost",
            "hostaddr": self.host,
            "port": self.port,
            "dbname": database,
            "user": user or (caller.certificate.stem if caller else "nobody"),
            "sslmode": "verify-full",
            "sslrootcert": self.pki.ca,
        }
        if caller is not None:
            settings |= {"sslcert": caller.certificate, "sslkey": caller.key}
        else:
            # libpq would look below the home directory
            settings |= {"sslcert": "/nonexistent", "sslkey": "/nonexistent"}
        return conninfo(**(settings | parameters))

    def psql(self, caller: Issued | None, script: str, **parameters: object) -> PsqlResult:
        """One psql session as ``caller``; see `support.psql.psql`."""
        return psql(self.connection(caller, **parameters), script)  # type: ignore[arg-type]  # names are checked above

    def recordings(self) -> list[Path]:
        """Every recording, oldest first (session ids are ordered by time)."""
        return sorted((self.data / "recordings").rglob("*.ostrec"), key=lambda path: path.name)

    def audit_events(self) -> list[dict[str, Any]]:
        """Every event of the audit log, in order; a torn last line is left out."""
        lines = [
            line
            for path in sorted((self.data / "audit").glob("audit-*.jsonl"))
            for line in path.read_bytes().splitlines(keepends=True)
        ]
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def wait_for_log(self, text: str, *, seconds: float = 10) -> None:
        wait_until(lambda: text in self.log_text(), seconds=seconds, what=f"{text!r} in the gateway's log")

    def remove(self) -> None:
        """Stops it and removes everything it wrote."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __exit__(self, *exception: object) -> None:
        self.remove()


def _write_yaml(path: Path, document: object) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    path.chmod(0o600)
