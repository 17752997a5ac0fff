"""An OpenSSH server of its own, and its clients."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.process import Process, accepts, free_port, scratch_directory

SSHD = "/usr/sbin/sshd"

SETTINGS = {
    "UsePAM": "no",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "StrictModes": "no",  # the scratch directory lies below /tmp
    "PrintMotd": "no",
    "AcceptEnv": "LANG LC_*",
    "Subsystem": "sftp internal-sftp",
    "LogLevel": "VERBOSE",
    "MaxStartups": "100",
    "MaxSessions": "100",
}


def make_key(path: Path, *, kind: str = "ed25519", arguments: Sequence[str] = ()) -> Path:
    """A key pair without a passphrase; gives the private half's path, the public one ends in .pub."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", path.name, *arguments, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def public_line(path: Path) -> str:
    return path.with_name(path.name + ".pub").read_text().strip()


class Sshd(Process):
    """sshd on 127.0.0.1 that lets ``key``'s holder log in as whoever runs the tests.

    settings  for sshd_config, over `SETTINGS`
    """

    host = "127.0.0.1"

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        self.directory = scratch_directory("sshd")
        self.port = free_port()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.host_key = make_key(self.directory / "host_ed25519")
        self.key = make_key(self.directory / "gateway_ed25519")
        self.authorized = self.directory / "authorized_keys"
        self.authorized.write_text(public_line(self.key) + "\n")
        lines = SETTINGS | {
            "ListenAddress": f"{self.host}:{self.port}",
            "HostKey": str(self.host_key),
            "AuthorizedKeysFile": str(self.authorized),
            "PidFile": str(self.directory / "pid"),
            "PermitRootLogin": "prohibit-password",
        }
        config = self.directory / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in (lines | dict(settings or {})).items()))
        if os.geteuid() == 0:
            # Where it puts its unprivileged half; Debian's unit makes it.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        super().__init__(
            "sshd",
            [SSHD, "-D", "-e", "-f", str(config)],
            directory=self.directory,
            ready=lambda: accepts(self.port),
        )

    def target(self, name: str = "web1", **over: object) -> dict[str, object]:
        """An entry of targets.d."""
        return {
            "name": name,
            "protocol": "ssh",
            "address": f"{self.host}:{self.port}",
            "host_keys": [public_line(self.host_key)],
            "credentials": [{"user": self.user, "key": f"file:{self.key}"}],
            **over,
        }

    def remove(self) -> None:
        """Stops it and removes its keys."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __exit__(self, *exception: object) -> None:
        self.remove()
