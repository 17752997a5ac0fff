"""The role, run as an operator runs it: ansible-playbook over SSH, secrets in a vault."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from appliance.host import Host
from support.process import scratch_directory

REPOSITORY = Path(__file__).resolve().parents[2]
ANSIBLE = REPOSITORY / ".cache" / "ansible" / "bin"
"""What `make ansible` makes."""

_RECAP = re.compile(r"ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)")
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*)\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Played:
    """One run of the playbook, on one host."""

    status: int
    changed: int
    failed: int
    output: str
    seconds: float

    @property
    def changes(self) -> list[str]:
        """The tasks that changed something, or would have."""
        return [name for name, outcome in self._tasks() if "changed: [" in outcome]

    @property
    def done(self) -> list[str]:
        """The tasks that were not skipped, without their role's name."""
        return [name.rpartition(" : ")[2] for name, outcome in self._tasks() if "skipping: [" not in outcome]

    def _tasks(self) -> Iterator[tuple[str, str]]:
        for block in re.split(r"(?m)^(?=TASK |RUNNING HANDLER )", self.output):
            if found := _TASK.match(block):
                yield found[1], block


class Playbook:
    """ansible/site.yml with an inventory of its own.

    variables  of the role; ``secrets`` are encrypted before they touch the disk in their place
    """

    def __init__(self, host: Host, key: Path, *, variables: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
        self.directory = scratch_directory("play")
        self.variables = dict(variables)
        self._group = self.directory / "group_vars" / "ostiary"
        self._group.mkdir(parents=True)
        self._password = self.directory / "vault-password"
        self._password.write_text("made up for this run\n")
        login = {
            "ansible_host": host.address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(key),
            "ansible_ssh_common_args": " ".join(host.ssh_arguments[2:]),
        }
        hosts = {"ostiary": {"hosts": {host.fqdn: login}}}
        (self.directory / "hosts.yml").write_text(yaml.safe_dump(hosts))
        self.keep_secret(secrets)

    def keep_secret(self, secrets: Mapping[str, Any]) -> None:
        """Replaces the vault."""
        self.secrets = dict(secrets)
        path = self._group / "vault.yml"
        subprocess.run(
            [ANSIBLE / "ansible-vault", "encrypt", "--vault-password-file", self._password, "--output", path, "-"],
            input=yaml.safe_dump(dict(secrets)), text=True, check=True, capture_output=True, env=self._environment(),
        )  # fmt: skip
        assert path.read_text().startswith("$ANSIBLE_VAULT")

    def play(self, *arguments: str, seconds: float = 170) -> Played:
        """Runs it. A play that fails is no exception: look at the result."""
        (self._group / "main.yml").write_text(yaml.safe_dump(self.variables))
        began = time.monotonic()
        done = subprocess.run(
            [ANSIBLE / "ansible-playbook", "--inventory", self.directory / "hosts.yml", "--vault-password-file",
             self._password, *arguments, "site.yml"],
            cwd=REPOSITORY / "ansible", env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=seconds,
        )  # fmt: skip
        recap = _RECAP.search(done.stdout.rpartition("PLAY RECAP")[2])
        changed, unreachable, failed = (int(recap[number]) for number in (2, 3, 4)) if recap else (0, 1, 1)
        return Played(done.returncode, changed, unreachable + failed, done.stdout, time.monotonic() - began)

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return ours | {
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible" / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_NOCOLOR": "1",
            # nothing waits for the next play longer than that
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=5s",
            "LC_ALL": "C.UTF-8",
        }
