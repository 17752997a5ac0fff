"""The command against a control API that answers for real, without a gateway behind it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from click.testing import CliRunner, Result
from control.served import Served, uid
from support.pki import Issued

from gateway.cli import main
from gateway.config.schema import SocketCaller


class Command:
    """`ostiary` on a `Served`: by its socket as `become` says, or over TLS with a certificate."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.become("olga")

    def become(self, principal: str, *groups: str) -> None:
        """Who the socket takes us for."""
        gateway = self.served.gateway
        identity = msgspec.structs.replace(gateway.config.identity, socket={uid(): SocketCaller(principal, groups)})
        gateway.config = msgspec.structs.replace(gateway.config, identity=identity)

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        set_ = {"OSTIARY_SOCKET": str(self.served.socket)} if environment is None else environment
        return CliRunner().invoke(main, arguments, env=set_, catch_exceptions=False)

    def remote(self, caller: Issued | None) -> dict[str, str]:
        """The environment of somebody on another host."""
        found = {"OSTIARY_URL": f"https://localhost:{self.served.port}", "OSTIARY_CA": str(self.served.pki.ca)}
        if caller is not None:
            found |= {"OSTIARY_CERTIFICATE": str(caller.certificate), "OSTIARY_KEY": str(caller.key)}
        return found

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)
