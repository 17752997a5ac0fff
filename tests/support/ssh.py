"""A gateway that listens for SSH, who may call it, and the stock client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.ostiary import Document, Ostiary, merged
from support.pki import Pki
from support.process import free_port, wait_until
from support.sshd import Sshd, make_key, public_line

SshResult = subprocess.CompletedProcess[bytes]

ENGINEERS = {"allow": [{"name": "engineers", "groups": ["engineers"], "targets": ["web*"]}]}


class SshOstiary(Ostiary):
    """`Ostiary` with an SSH listener. ``people``: principal -> groups, each with a registered key of its own.

    targets   of the gateway; by default ``sshd`` as ``web1``
    """

    def __init__(
        self,
        pki: Pki,
        sshd: Sshd,
        *,
        people: Mapping[str, Sequence[str]] | None = None,
        targets: Sequence[Document] | None = None,
        policy: Document = ENGINEERS,
        settings: Document | None = None,
        **over: Any,
    ) -> None:
        self.sshd = sshd
        self.ssh_port = free_port()
        people = {"alice": ["engineers"]} if people is None else people
        super().__init__(
            pki,
            targets=[sshd.target()] if targets is None else targets,
            policy=policy,
            **over,
        )
        self.keys = {name: make_key(self.directory / f"{name}_ed25519") for name in people}
        self.host_key = make_key(self.directory / "ssh_host_ed25519")
        self.known_hosts = self.directory / "known_hosts"
        self.known_hosts.write_text(f"[{self.host}]:{self.ssh_port} {public_line(self.host_key)}\n")
        self.registered = self.directory / "ssh_keys.yaml"
        self.register(
            [
                {"principal": name, "groups": list(groups), "keys": [public_line(self.keys[name])]}
                for name, groups in people.items()
            ]
        )
        listener = {"address": f"{self.host}:{self.ssh_port}", "host_keys": [f"file:{self.host_key}"]}
        own = {"listeners": {"ssh": listener}, "identity": {"ssh_keys": f"file:{self.registered}"}}
        self.settings = merged(merged(self.settings, own), settings or {})
        self.write(settings=self.settings)

    def register(self, entries: Sequence[Document]) -> None:
        """Replaces the file of registered keys; `reload` makes it take effect."""
        self.registered.write_text(yaml.safe_dump(list(entries)))

    def takes_up(self, policy: Document) -> None:
        """Another policy, which is in force when this is over."""

        def loaded() -> int:
            return sum(event["unmapped"]["event"] == "configuration_loaded" for event in self.audit_events())

        before = loaded()
        self.write(policy=policy)
        self.reload()
        wait_until(lambda: loaded() > before, what="the policy")

    def client(
        self, *arguments: str, who: str | Path = "alice", login: str | None = None, program: str = "ssh"
    ) -> list[str]:
        """The command line of OpenSSH's client as ``who`` (a principal, or the path of a key)."""
        key = self.keys[who] if isinstance(who, str) else who
        options = {
            "UserKnownHostsFile": self.known_hosts,
            "IdentitiesOnly": "yes",
            "IdentityFile": key,
            "BatchMode": "yes",
        }
        command = [program, "-F", "none", *(f"-o{name}={value}" for name, value in options.items())]
        if login is None:
            login = f"{self.sshd.user}@web1"
        return [*command, "-p", str(self.ssh_port), "-l", login, *arguments]

    def ssh(
        self,
        *command: str,
        who: str | Path = "alice",
        login: str | None = None,
        options: Sequence[str] = (),
        stdin: bytes = b"",
        seconds: float = 60,
    ) -> SshResult:
        """Runs ``ssh OPTIONS gateway COMMAND`` to its end."""
        return subprocess.run(
            self.client(*options, self.host, *command, who=who, login=login),
            input=stdin,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    def there(self, path: Path | str) -> str:
        """A path at the target, as scp takes it."""
        return f"{self.sshd.user}@web1@{self.host}:{path}"

    def mover(self, program: str, *arguments: str, who: str = "alice") -> list[str]:
        """The command line of scp or sftp, which take the port otherwise than ssh, and the login with the host."""
        command = self.client(program=program, who=who)
        return [*command[: command.index("-p")], "-P", str(self.ssh_port), *arguments]

    def transfer(self, program: str, *arguments: str, stdin: str = "", who: str = "alice") -> SshResult:
        """Runs scp or sftp to its end."""
        command = self.mover(program, *arguments, who=who)
        return subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=90)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Those of the last recording, when it is over."""

        def exported() -> list[dict[str, Any]]:
            path = str(self.recordings()[-1])
            listed = self.cli("recordings", "export", "--config", str(self.configuration), path)
            return [json.loads(line) for line in listed.stdout.splitlines()]

        wait_until(lambda: exported()[-1]["event"] == "closed", what="the end of the recording")
        return [event for event in exported() if event["event"] == kind]
