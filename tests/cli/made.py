"""A configuration on disk that `ostiary check` has nothing against, and the command to try on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result
from support import guarded
from support.pki import Pki

from gateway.cli import main


class Site:
    """Files below ``directory``; ``settings``, ``target``, ``others`` (more targets) may be changed before `write`."""

    def __init__(self, directory: Path, pki: Pki) -> None:
        self.directory = directory
        self.etc = directory / "etc"
        self.data = directory / "data"
        self.config = self.etc / "ostiary.yaml"
        self.policy_file = self.etc / "policy.d" / "policy.yaml"
        self.target_file = self.etc / "targets.d" / "targets.yaml"
        server = pki.server(file="cli-gateway")
        self.secret = directory / "secret"
        self.secret.write_text("hunter2")
        self.settings: dict[str, Any] = {
            "node": {"name": "gw1", "data": str(self.data)},
            "listeners": {
                "postgres": {"address": "127.0.0.1:5432"},
                "control": {"socket": str(directory / "control.sock")},
            },
            "tls": {
                "certificate": f"file:{server.certificate}",
                "key": f"file:{server.key}",
                "client_ca": [f"file:{pki.ca}"],
            },
            "recording": {"low_water": "1MiB", "reserve": "1MiB"},
        }
        self.target: dict[str, Any] = {
            "name": "orders",
            "protocol": "postgres",
            "address": "db1.internal:5432",
            "tls": {"ca": f"file:{pki.ca}"},
            "credentials": [
                {"groups": ["engineers"], "user": "orders_rw", "password": f"file:{self.secret}"},
                {"groups": ["*"], "user": "orders_ro", "password": f"file:{self.secret}"},
            ],
        }
        self.others: list[dict[str, Any]] = []
        self.policy: Any = guarded.POLICY
        for path in (self.policy_file, self.target_file):
            path.parent.mkdir(parents=True)
        self.write()

    def write(self) -> None:
        self.config.write_text(yaml.safe_dump(self.settings))
        self.target_file.write_text(yaml.safe_dump([self.target, *self.others]))
        self.policy_file.write_text(self.policy if isinstance(self.policy, str) else yaml.safe_dump(self.policy))

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """`ostiary ARGUMENTS...` on this configuration."""
        return CliRunner().invoke(
            main, arguments, input=stdin, env={"OSTIARY_CONFIG": str(self.config)}, catch_exceptions=False
        )
