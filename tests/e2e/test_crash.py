"""Nothing that reached the target is missing from its recording, however the gateway died (design.md, promises 1, 3).

What the server logged is the judge: log_statement = all, and each line names the gateway's session.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import wait_until
from support.psql import clean_environment

from gateway.recording.reader import Recording, open_recording

pytestmark = pytest.mark.e2e

TABLE = "create table marks (n bigint); grant select, insert on marks to orders_owner"
LOAD = "\\set n random(1000000000000, 9000000000000)\ninsert into marks values (:n);\n"
"""Each statement carries a number that no other has: in its text, or as a parameter with the extended protocol."""

MARK = re.compile(r"\b[1-9]\d{12}\b")
LOGGED = re.compile(r"^\S+ \S+ \S+ \[\d+\] \S+@\S+ ostiary/bob/(?P<session>[0-9a-f-]{36}): (?P<text>.*)$")
CLIENTS = (("simple", 3), ("extended", 2), ("prepared", 3))


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[Postgres]:
    with Postgres(tls=pki.server(file="target")) as running:
        guarded.fill(running)
        running.run(TABLE, guarded.DATABASE)
        yield running


@pytest.fixture
def gateway(pki: Pki, server: Postgres) -> Iterator[Ostiary]:
    with Ostiary(
        pki,
        targets=[guarded.target(server, pki.ca)],
        policy=guarded.POLICY,
        environment=guarded.ENVIRONMENT,
    ) as running:
        yield running


@dataclass(slots=True)
class Logged:
    """What the server did for sessions of the gateway, by its log: session -> marks."""

    server: Postgres
    position: int = 0
    marks: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def read_on(self) -> dict[str, set[str]]:
        """What is new since the last call."""
        new: dict[str, set[str]] = defaultdict(set)
        with self.server.log.open("rb") as log:
            log.seek(self.position)
            data = log.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.position += len(whole)
        for line in whole.decode().splitlines():
            if found := LOGGED.match(line):
                new[found["session"]].update(MARK.findall(found["text"]))
        return {session: marks for session, marks in new.items() if marks}


@contextmanager
def load(gateway: Ostiary, caller: Issued, directory: Path) -> Iterator[None]:
    """Clients that insert as fast as they can, until their connections break."""
    script = directory / "load.sql"
    script.write_text(LOAD)
    connection = gateway.connection(caller)
    children = [
        subprocess.Popen(
            ["pgbench", "-n", "-M", mode, "-c", str(clients), "-T", "60", "-f", str(script), connection],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
        for mode, clients in CLIENTS
    ]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def recorded(path: Path) -> set[str]:
    """The marks of every operation in a recording."""
    marks: set[str] = set()
    file, size = open_recording(path)
    with file:
        for event in Recording(file, size):
            if event.kind == "operation":
                marks.update(MARK.findall(event.line.decode()))
    return marks


def verify(gateway: Ostiary, *recordings: Path, public_key: Path | None = None) -> dict[str, dict[str, Any]]:
    """What `ostiary recordings verify` says, by session; all recordings when none is named."""
    arguments = ["recordings", "verify", "--json", "--config", str(gateway.configuration), *map(str, recordings)]
    done = gateway.cli(*arguments, seconds=300)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["audit_log"] == "read", said["audit_log"]
    return {Path(report["path"]).stem: report for report in said["recordings"]}


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_what_the_server_did_is_recorded(
    gateway: Ostiary, server: Postgres, bob: Issued, tmp_path: Path, kills: int
) -> None:
    logged = Logged(server)
    logged.read_on()
    everything: dict[str, set[str]] = {}
    for _ in range(kills):
        closed = whole_session(gateway, bob)
        with load(gateway, bob, tmp_path):
            wait_until(lambda: "insert into marks" in tail(server, logged.position), seconds=30, what="load")
            time.sleep(random.uniform(0, 0.4))
            gateway.kill()
        wait_until(lambda: backends(server) == 0, seconds=30, what="the target has done what it was sent")
        done = logged.read_on()
        assert sum(map(len, done.values())) > 0
        files = {path.stem: path for path in gateway.recordings()}
        for session, marks in done.items():
            missing = marks - recorded(files[session])
            assert not missing, f"{session}: {len(missing)} of {len(marks)} statements are not recorded"
        everything |= done
        gateway.start()  # on the same data: the audit log's chain is taken up
        check_cut(gateway, files[closed], tmp_path)

    inserted = set(server.run("select n from marks", guarded.DATABASE).split())
    assert inserted <= set().union(*everything.values()), "the server's log and its table tell the same"
    reports = verify(gateway)
    assert all(report["ok"] for report in reports.values())
    assert {reports[session]["state"] for session in everything} == {"never closed"}
    decided: dict[str, int] = defaultdict(int)
    for event in gateway.audit_events():
        if event["unmapped"]["event"] == "operation_decided":
            decided[event["actor"]["session"]["uid"]] += 1
    # a mark is one execution; of the extended protocol the audit log holds the Parse as well
    for session, marks in everything.items():
        assert decided[session] >= len(marks)


def whole_session(gateway: Ostiary, caller: Issued) -> str:
    """One that begins and ends; its id."""
    before = set(gateway.recordings())
    assert gateway.psql(caller, "select 1; select 2;").status == 0
    (made,) = set(gateway.recordings()) - before
    session = made.stem
    wait_until(lambda: closed_at(gateway, session) is not None, what="the session's end in the audit log")
    return session


def closed_at(gateway: Ostiary, session: str) -> int | None:
    """Bytes of the recording, by the audit log."""
    for event in gateway.audit_events():
        if event["unmapped"]["event"] == "session_closed" and event["session"]["uid"] == session:
            length: int = event["unmapped"]["recording_length"]
            return length
    return None


def check_cut(gateway: Ostiary, path: Path, directory: Path) -> None:
    """A closed recording that was cut anywhere behind its header is told from one that a crash left."""
    copy = directory / path.name
    length = closed_at(gateway, path.stem)
    assert length == path.stat().st_size
    for size in (length - 1, length // 2, random.randrange(1, length)):
        shutil.copy(path, copy)
        with copy.open("r+b") as file:
            file.truncate(size)
        report = verify(gateway, copy)[path.stem]
        assert (report["ok"], report["state"]) == (False, "cut"), (size, report)
        assert str(length) in report["findings"][0]["problem"]
    copy.unlink()


def tail(server: Postgres, position: int) -> str:
    with server.log.open("rb") as log:
        log.seek(position)
        return log.read().decode()


def backends(server: Postgres) -> int:
    return int(server.run("select count(*) from pg_stat_activity where application_name like 'ostiary/%'"))
