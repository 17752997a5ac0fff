"""The gateway on its booted host: callers on this machine's side, an administrator on the other."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from appliance.host import Host
from support.ostiary import COMMAND
from support.pki import Issued, Pki
from support.psql import PsqlResult, conninfo, psql
from support.rawclient import LoginRefused, RawClient

PORT, CONTROL, SSH = 5432, 8444, 2222
RECORDINGS = PurePosixPath("/var/lib/ostiary/recordings")


class Gateway:
    def __init__(self, host: Host, pki: Pki) -> None:
        self.host = host
        self.pki = pki

    def psql(self, caller: Issued, script: str, *, database: str = "orders") -> PsqlResult:
        """One session of PostgreSQL's own client, from this machine."""
        connection = conninfo(
            host=self.host.fqdn, hostaddr=self.host.address, port=PORT, dbname=database, user=caller.certificate.stem,
            sslmode="verify-full", sslrootcert=self.pki.ca, sslcert=caller.certificate, sslkey=caller.key,
        )  # fmt: skip
        return psql(connection, script)

    def ssh(self, key: Path, command: str) -> subprocess.CompletedProcess[str]:
        """A command on the SSH target, by OpenSSH's own client, from this machine."""
        known = self.host.directory / "known_gateway"
        public = self.host.say("ssh-keygen -y -f /etc/ostiary/credentials/ssh-host")
        known.write_text(f"[{self.host.address}]:{SSH} {public}\n")
        return subprocess.run(
            ["ssh", "-F", "none", "-p", str(SSH), "-l", "root@siem", "-i", key, "-o", "IdentitiesOnly=yes",
             "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", self.host.address, command],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def control(self, caller: Issued, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`ostiary ARGUMENTS...` on this machine, for the gateway over there."""
        return subprocess.run(
            [COMMAND, *arguments, "--url", f"https://{self.host.address}:{CONTROL}", "--ca", self.pki.ca,
             "--certificate", caller.certificate, "--key", caller.key],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def session(self, caller: Issued) -> RawClient:
        """A session that stays open. Raises LoginRefused or OSError."""
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        context.load_cert_chain(caller.certificate, caller.key)
        return RawClient(
            host=self.host.address, port=PORT, user=caller.certificate.stem, database="orders", context=context
        )

    def serves(self, caller: Issued) -> bool:
        """Whether a new session works, from end to end."""
        try:
            with self.session(caller) as session:
                return session.query("select 1").rows == [[b"1"]]
        except (LoginRefused, OSError):
            return False

    def pid(self) -> int:
        return int(self.host.say("systemctl show --property=MainPID --value ostiary"))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.host.say("ostiary status --json"))
        return found

    def recordings(self) -> list[str]:
        """Oldest first: session ids are ordered by time."""
        found = self.host.say(f"find {RECORDINGS} -name '*.ostrec'").split()
        return sorted(found, key=lambda path: PurePosixPath(path).name)

    def audit_sequence(self) -> int:
        """The newest audit event's number, in the log itself."""
        line = self.host.say("cat $(ls /var/lib/ostiary/audit/audit-*.jsonl | tail -n 1) | tail -n 1")
        sequence: int = json.loads(line)["metadata"]["sequence"]
        return sequence


class Load:
    """Sessions that ask one question after the other, until it ends.

    ``answers`` counts what came back, ``ended`` names each session that did not live to the end.
    """

    def __init__(self, gateway: Gateway, callers: list[Issued], *, sessions: int) -> None:
        self.answers: Counter[str] = Counter()
        self.ended: list[str] = []
        self._stop = threading.Event()
        self._open = [gateway.session(callers[number % len(callers)]) for number in range(sessions)]
        self._threads = [threading.Thread(target=self._ask, args=(session,)) for session in self._open]

    def _ask(self, session: RawClient) -> None:
        while not self._stop.is_set():
            try:
                received = session.query("select id, email from customers order by id limit 5")
            except OSError as error:
                self.ended.append(repr(error))
                return
            if not received.bodies(b"Z"):
                self.ended.append(received.error or "the connection was closed")
                return
            self.answers["right" if [row[1] for row in received.rows] == [b"****"] * 5 else "wrong"] += 1

    def wait_for(self, answers: int) -> None:
        """Until so many more have come."""
        until = self.answers["right"] + answers
        deadline = time.monotonic() + 60
        while self.answers["right"] < until and not self.ended and time.monotonic() < deadline:
            time.sleep(0.05)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for session in self._open:
            session.close()
