"""What the gateway can't record it doesn't forward, and it says so; a target it can't trust it doesn't use.

Each test looks at the effect in the server, not only at what the client was told. A gateway that does not start at
all, a target that is down, a wrong CA: test_operator.py.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import scratch_directory, wait_until
from support.rawclient import LoginRefused, RawClient

pytestmark = pytest.mark.e2e

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="makes a file system of its own: needs root")

MIB = 1024 * 1024
DISK = 8 * MIB
FIRST = 100_000
"""Ids that nobody else puts into `scratch`."""


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of DISK bytes, gone afterwards whatever happens."""
    directory = scratch_directory("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "ostiary-test", str(directory)], check=True)
    try:
        yield directory
    finally:
        # lazily, should somebody still have a file open: it goes with the last descriptor
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill_up(disk: Path) -> Path:
    """Not a byte is left; gives the file that took them."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


@contextmanager
def gateway_with(pki: Pki, server: Postgres, settings: dict[str, Any]) -> Iterator[Ostiary]:
    with Ostiary(
        pki,
        targets=[guarded.target(server, pki.ca)],
        policy=guarded.POLICY,
        settings=settings,
        environment=guarded.ENVIRONMENT,
    ) as running:
        yield running


@pytest.fixture
def connect(pki: Pki, bob: Issued) -> Callable[[Ostiary], RawClient]:
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(bob.certificate, bob.key)

    def one(gateway: Ostiary) -> RawClient:
        return RawClient(host="localhost", port=gateway.port, user="bob", database="orders", context=context)

    return one


@pytest.fixture(autouse=True)
def clean(target_server: Postgres) -> Iterator[None]:
    yield
    target_server.run(f"delete from scratch where id >= {FIRST}", guarded.DATABASE)


def insert_until_refused(client: RawClient, *, first: int = FIRST, most: int = 5_000) -> tuple[int, str]:
    """How many inserts were acknowledged before one ended the session, and what was said then."""
    for number in range(most):
        received = client.query(f"insert into scratch values ({first + number})")
        if received.tags != ["INSERT 0 1"]:
            report = received.reports[0]
            assert report["S"] == "FATAL"
            assert received.bodies(b"Z") == [], "the session is over"
            return number, report["M"]
    raise AssertionError(f"{most} statements were let through on a full disk")


def inserted(server: Postgres) -> int:
    return int(server.run(f"select count(*) from scratch where id >= {FIRST}", guarded.DATABASE))


@needs_mount
def test_full_disk_for_recordings(pki: Pki, target_server: Postgres, connect: Callable[[Ostiary], RawClient]) -> None:
    with small_disk() as disk:
        recording = {"directory": str(disk / "recordings"), "low_water": "1MiB", "reserve": "0MiB"}
        with gateway_with(pki, target_server, {"recording": recording}) as gateway:
            with connect(gateway) as first, connect(gateway) as second:
                assert first.query("select 1").tags == ["SELECT 1"]
                filler = fill_up(disk)
                count, said = insert_until_refused(first)
                assert "record" in said
                assert inserted(target_server) == count
                more, _ = insert_until_refused(second, first=FIRST + count)
                assert inserted(target_server) == count + more

            with pytest.raises(LoginRefused, match="disk for recordings is nearly full"):
                connect(gateway)
            assert gateway.http("/readyz")[0] == 503
            assert gateway.http("/healthz")[0] == 200

            filler.unlink()
            with connect(gateway) as again:
                assert again.query("select 1").tags == ["SELECT 1"], "it mends itself"
            failed = [event for event in gateway.audit_events() if event["unmapped"]["event"] == "recording_failed"]
            assert len(failed) >= 2
            assert verified(gateway) == 0
            assert "Traceback" not in gateway.log_text()


@needs_mount
def test_full_disk_for_the_audit_log(
    pki: Pki, target_server: Postgres, connect: Callable[[Ostiary], RawClient]
) -> None:
    with (
        small_disk() as disk,
        gateway_with(pki, target_server, {"audit": {"directory": str(disk / "audit")}}) as gateway,
    ):
        with connect(gateway) as first, connect(gateway) as idle:
            assert first.query("select 1").tags == ["SELECT 1"]
            filler = fill_up(disk)
            count, said = insert_until_refused(first)
            assert "audit log" in said
            assert inserted(target_server) == count
            ended = idle.asynchronous(10)
            assert [report["S"] for report in ended.reports] == ["FATAL"], "nobody goes on unseen"

        with pytest.raises(LoginRefused, match="audit log"):
            connect(gateway)
        assert gateway.http("/readyz")[0] == 503
        assert gateway.running

        # Somebody makes space: the gateway takes the chain up again by itself.
        filler.unlink()
        wait_until(lambda: gateway.http("/readyz")[0] == 200, seconds=20)
        with connect(gateway) as again:
            assert again.query("select 1").tags == ["SELECT 1"]
        done = gateway.cli("audit", "verify", "--config", str(gateway.configuration))
        assert done.returncode == 0, done.stdout + done.stderr
        assert verified(gateway) == 0


@needs_mount
def test_start_on_a_full_disk(pki: Pki, target_server: Postgres) -> None:
    with small_disk() as disk:
        fill_up(disk)
        settings = {"audit": {"directory": str(disk / "audit")}}
        command = Ostiary(
            pki,
            targets=[guarded.target(target_server, pki.ca)],
            policy=guarded.POLICY,
            settings=settings,
            environment=guarded.ENVIRONMENT,
        )
        try:
            done = command.cli("serve", "--config", str(command.configuration), seconds=20)
        finally:
            command.remove()
    assert done.returncode == 1
    assert "audit log" in done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def verified(gateway: Ostiary) -> int:
    done = gateway.cli("recordings", "verify", "--config", str(gateway.configuration))
    return done.returncode


@pytest.mark.parametrize(
    ("names", "expired", "reason"),
    [
        (("localhost",), True, "expired"),
        (("db.example",), False, "not valid for 'localhost'"),
    ],
)
def test_a_targets_certificate_that_is_wrong(
    pki: Pki, alice: Issued, names: tuple[str, ...], expired: bool, reason: str
) -> None:
    certificate = pki.server(*names, expired=expired, file="wrong-target")
    with Postgres(tls=certificate, settings={"log_connections": "on"}) as server:
        server.run(guarded.ROLES)
        server.run(f"create database {guarded.DATABASE} owner {guarded.OWNER}")
        with gateway_with(pki, server, {}) as gateway:
            result = gateway.psql(alice, "select 1;")
            assert result.status == 2
            assert "FATAL" in result.stderr
            assert "certificate" in result.stderr
            assert reason in result.stderr
            assert gateway.running
        assert f"user={guarded.READ_ONLY}" not in server.log_text(), "it did not even say who it is"


def test_a_target_that_goes_away(pki: Pki, bob: Issued, connect: Callable[[Ostiary], RawClient]) -> None:
    with Postgres(tls=pki.server(file="target-that-goes")) as server:
        guarded.fill(server)
        with gateway_with(pki, server, {}) as gateway:
            client = connect(gateway)
            with client:
                assert client.query("select 1").tags == ["SELECT 1"]
                server.kill()
                received = client.query("select 2")
                assert received.tags == []
                assert received.bodies(b"Z") == []
            wait_until(lambda: status_sessions(gateway) == 0, what="the session's end")
            refused = gateway.psql(bob, "select 1;")
            assert refused.status == 2
            assert "FATAL" in refused.stderr
            server.start()
            assert gateway.psql(bob, "select 1;").status == 0
            assert verified(gateway) == 0


def status_sessions(gateway: Ostiary) -> int:
    done = gateway.cli("status", "--json", "--config", str(gateway.configuration))
    count: int = json.loads(done.stdout)["sessions"]
    return count
