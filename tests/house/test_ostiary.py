"""`support.ostiary.Ostiary` runs the gateway as a user does, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import StartFailed, accepts, wait_until

pytestmark = pytest.mark.e2e


def make(pki: Pki, target_server: Postgres, **changes: object) -> Ostiary:
    arguments = {
        "targets": [guarded.target(target_server, pki.ca)],
        "policy": guarded.POLICY,
        "environment": guarded.ENVIRONMENT,
    }
    return Ostiary(pki, **(arguments | changes))  # type: ignore[arg-type]  # each test names what it changes


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    with make(pki, target_server) as running:
        yield running


def test_psql_is_served_and_masked(gateway: Ostiary, alice: Issued) -> None:
    result = gateway.psql(alice, "select id, ssn from customers order by id limit 1;")
    assert result.rows == [["1", "****"]], result.stderr


def test_evidence_is_at_hand(gateway: Ostiary, alice: Issued) -> None:
    before = len(gateway.recordings())
    gateway.psql(alice, "select 'evidence';")
    wait_until(lambda: len(gateway.recordings()) == before + 1, what="a recording")
    wait_until(
        lambda: any("operation_decided" in str(event["unmapped"]) for event in gateway.audit_events()),
        what="an audit event",
    )


def test_a_caller_without_a_certificate_is_refused(gateway: Ostiary) -> None:
    result = gateway.psql(None, "select 1;")
    assert result.status == 2
    assert not result.stdout


def test_a_reload_takes_up_new_policy(gateway: Ostiary, alice: Issued) -> None:
    closed = {**guarded.POLICY, "allow": [entry for entry in guarded.POLICY["allow"] if "owners" in entry["groups"]]}
    try:
        gateway.write(policy=closed)
        gateway.reload()
        wait_until(lambda: gateway.psql(alice, "select 1;").status == 2, what="alice is refused")
    finally:
        gateway.write(policy=guarded.POLICY)
        gateway.reload()
    wait_until(lambda: gateway.psql(alice, "select 1;").status == 0, what="alice is let in")


def test_a_broken_configuration_is_told(pki: Pki, target_server: Postgres) -> None:
    gateway = make(pki, target_server, settings={"listeners": {"postgres": {"address": "nowhere"}}})
    with pytest.raises(StartFailed, match="address"):
        gateway.start()
    gateway.remove()


def test_nothing_is_left(pki: Pki, target_server: Postgres, alice: Issued) -> None:
    with make(pki, target_server) as gateway:
        assert gateway.psql(alice, "select 1;").status == 0
    assert gateway.returncode == 0, gateway.log_tail()
    assert not gateway.directory.exists()
    assert not accepts(gateway.port)


def test_killed_it_leaves_its_files_for_the_next(pki: Pki, target_server: Postgres, alice: Issued) -> None:
    gateway = make(pki, target_server).start()
    try:
        gateway.psql(alice, "select 1;")
        gateway.kill()
        assert [path.suffix for path in gateway.recordings()] == [".ostrec"]
        gateway.start()
        assert gateway.psql(alice, "select 1;").status == 0
        assert len(gateway.recordings()) == 2
    finally:
        gateway.remove()


def test_settings_go_to_the_files(pki: Pki, target_server: Postgres) -> None:
    gateway = make(pki, target_server, settings={"limits": {"login": "3s"}})
    assert "login: 3s" in Path(gateway.configuration).read_text()
    gateway.remove()
