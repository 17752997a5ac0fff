"""What was approved is what is done: once, by whoever asked, and as policy is by then (policy.md, semantics 7;
threats.md, authorization)."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import approving, guarded
from support.approving import Approver, Ledger, asks
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import wait_until
from support.rawclient import RawClient
from support.widening import APPROVED, Case, Step, load, take

pytestmark = pytest.mark.e2e

CASES = load()
COPY = f"{approving.DATABASE}_copy"
MIRROR = "mirror"
MIRROR_LEDGER = f"{MIRROR}/{approving.DATABASE}"
LEAST = 40
"""Attempts that the corpus must have."""

SECOND = asks("a second person", ["delete", "truncate"]) | {"targets": ["*"]}
POLICY: dict[str, Any] = {
    "allow": [{"name": "engineers do anything", "groups": ["engineers"], "targets": ["*"]}],
    "approve": [SECOND, asks("three", ["insert"], uses=3)],
}


@pytest.fixture(scope="module")
def truth(target_server: Postgres) -> Iterator[Ledger]:
    with approving.ledger(target_server) as made:
        target_server.run(f"grant delete on entries to {guarded.READ_ONLY}", approving.DATABASE)
        yield made


def targets(pki: Pki, server: Postgres, role: str = guarded.OWNER) -> list[dict[str, Any]]:
    """Two names for one system."""
    password = {guarded.OWNER: "env:OWNER_PASSWORD", guarded.READ_ONLY: "env:RO_PASSWORD"}[role]
    return [
        guarded.target(server, pki.ca, name=name) | {"credentials": [{"user": role, "password": password}]}
        for name in (approving.DATABASE, MIRROR)
    ]


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres, truth: Ledger) -> Iterator[Ostiary]:
    made = approving.gateway(pki, target_server, POLICY)
    made.write(targets=targets(pki, target_server))
    with made:
        yield made


@pytest.fixture
def approver(gateway: Ostiary, truth: Ledger) -> Iterator[Approver]:
    truth.refill()
    with approving.an_approver(gateway) as made:
        yield made
        made.settle_all()


def granted(client: RawClient, approver: Approver, step: Step = APPROVED) -> str:
    """A grant for ``step`` that nobody has used: it was asked for where nobody could wait for the answer."""
    client.query("begin; select 1")
    refused = take(client, step)
    assert refused.sqlstate == "42501", refused.messages
    client.query("rollback")
    request = approver.asked()
    approver.approve(request)
    return request


@pytest.fixture
def first(gateway: Ostiary, approver: Approver, bob: Issued) -> Iterator[RawClient]:
    """A session of whoever asked."""
    with approving.raw(gateway, bob) as made:
        yield made


def tried(client: RawClient, steps: list[Step], approver: Approver) -> None:
    """All steps, as far as the session lives; whatever they ask for is denied."""
    with approver.says_yes(but_not=""):
        for step in steps:
            received = take(client, step)
            if not received.messages or received.messages[-1][0] != b"Z":
                return
        client.query("rollback")


@pytest.fixture(scope="module", autouse=True)
def _copy(target_server: Postgres, truth: Ledger) -> Iterator[None]:
    target_server.run(f"create database {COPY} owner {guarded.OWNER}")
    target_server.run(f"set role {guarded.OWNER};\n{approving.SCHEMA}", COPY)
    yield
    target_server.run(f"drop database {COPY} with (force)")


@pytest.fixture
def configure(gateway: Ostiary, approver: Approver, pki: Pki, target_server: Postgres) -> Iterator[Callable[..., None]]:
    """Takes up other configuration files; they are as before after the test."""

    def configured(**files: Any) -> None:
        gateway.write(**files)
        approver.must("POST", "reload")

    yield configured
    configured(settings=gateway.settings, policy=POLICY, targets=targets(pki, target_server))


def everything(truth: Ledger) -> tuple[set[int], ...]:
    return truth.ids(), truth.ids("other"), truth.ids("aside.entries")


ALL = (set(range(1, approving.ROWS + 1)),) * 3


def test_there_are_enough() -> None:
    assert len(CASES) >= LEAST


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_else_goes_by_a_grant(
    case: Case, gateway: Ostiary, bob: Issued, first: RawClient, approver: Approver, truth: Ledger
) -> None:
    grant = granted(first, approver, case.approved)
    with approving.raw(gateway, bob) as client:
        tried(client, case.steps, approver)
    assert everything(truth) == ALL, case.reason
    assert (approver.grant(grant)["state"], approver.grant(grant)["left"]) == ("live", 1), case.reason
    assert take(first, case.approved).error is None, "what was approved goes through"
    assert approver.grant(grant)["state"] == "used"


# --- by whom, where, when ---


def test_nobody_else_uses_it(
    gateway: Ostiary, pki: Pki, bob: Issued, first: RawClient, approver: Approver, truth: Ledger
) -> None:
    """Another principal with the same rights; another name of the same system; another database that looks the same."""
    grant = granted(first, approver)
    carol = pki.client("carol", groups=["engineers"])
    for who, database in ((carol, approving.DATABASE), (bob, MIRROR_LEDGER), (bob, f"{approving.DATABASE}/{COPY}")):
        with approving.raw(gateway, who, database=database) as client:
            tried(client, [APPROVED], approver)
    assert everything(truth) == ALL
    assert approver.grant(grant)["left"] == 1
    assert first.query(APPROVED).tags == ["DELETE 1"]


def test_in_another_role_it_is_another_grant(
    gateway: Ostiary,
    pki: Pki,
    target_server: Postgres,
    bob: Issued,
    first: RawClient,
    approver: Approver,
    configure: Callable[..., None],
    truth: Ledger,
) -> None:
    grant = granted(first, approver)
    configure(targets=targets(pki, target_server, guarded.READ_ONLY))
    with approving.raw(gateway, bob) as client:
        tried(client, [APPROVED], approver)
    assert everything(truth) == ALL
    assert approver.grant(grant)["left"] == 1


CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "a word of its entry": ({"approve": [SECOND | {"wait": "59s"}]}, "void"),
    "its name": ({"approve": [SECOND | {"name": "another person"}]}, "void"),
    "who approves": ({"approve": [SECOND | {"approvers": {"groups": ["dba", "owners"]}}]}, "void"),
    "one more that asks": ({"approve": [SECOND, asks("a third person", ["delete"])]}, "live"),
    "a deny": (
        {"approve": [SECOND], "deny": [{"name": "frozen", "targets": ["*"], "sql": {"verbs": ["delete"]}}]},
        "live",
    ),
    "no allow": (
        {"allow": [{"name": "reads", "groups": ["engineers"], "targets": ["*"], "sql": {"verbs": ["select"]}}]},
        "live",
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_the_policy_of_the_use_decides(
    change: str, first: RawClient, approver: Approver, configure: Callable[..., None], truth: Ledger
) -> None:
    policy, state = CHANGED[change]
    grant = granted(first, approver)
    configure(policy=POLICY | policy)
    tried(first, [APPROVED], approver)
    assert everything(truth) == ALL
    assert approver.grant(grant)["state"] == state
    configure(policy=POLICY)
    tried(first, [APPROVED], approver)
    assert (1 in truth.ids()) == (state == "void"), "an entry that was gone meanwhile is another one"


@pytest.mark.parametrize("change", CHANGED)
def test_the_policy_of_the_answer_decides(
    change: str, first: RawClient, approver: Approver, configure: Callable[..., None], truth: Ledger
) -> None:
    policy, state = CHANGED[change]
    first.send(b"Q", APPROVED.encode() + b"\0")
    request = approver.asked()
    configure(policy=POLICY | policy)
    if state == "void":
        approver.settled(request, "withdrawn")
    else:
        approver.approve(request)
    with approver.says_yes(but_not=""):
        assert first.receive().sqlstate == "42501"
    assert everything(truth) == ALL


def test_after_it_was_revoked(first: RawClient, approver: Approver, truth: Ledger) -> None:
    grant = granted(first, approver)
    approver.must("POST", f"grants/{grant}/revoke")
    tried(first, [APPROVED], approver)
    assert everything(truth) == ALL


def test_revoking_stops_what_runs_by_it(first: RawClient, approver: Approver, truth: Ledger) -> None:
    slow = "delete from entries where id = 1 and pg_sleep(600) is not null"
    grant = granted(first, approver, slow)
    first.send(b"Q", slow.encode() + b"\0")
    wait_until(lambda: truth.sessions(busy=True) == 1, what="it runs")
    approver.must("POST", f"grants/{grant}/revoke", {"reason": "wrong table"})
    assert first.receive().error == "the approval of what you run was revoked: wrong table"
    wait_until(lambda: truth.sessions(busy=True) == 0, what="it runs no more")
    assert everything(truth) == ALL


@pytest.mark.parametrize("uses", [1, 3])
def test_many_at_once_get_no_more_uses_than_granted(
    uses: int, gateway: Ostiary, bob: Issued, first: RawClient, approver: Approver, truth: Ledger
) -> None:
    """A window that can be overrun would be, by twenty connections that go through it at the same moment."""
    statement = "insert into log values ('x')"
    if uses == 1:
        statement = f"with gone as (delete from entries where id = 0) {statement}"  # what asks twice has the fewer uses
    grant = granted(first, approver, statement)
    assert approver.grant(grant)["left"] == uses
    clients = [approving.raw(gateway, bob) for _ in range(20)]
    together = threading.Barrier(len(clients))
    done: list[str | None] = []

    def run(client: RawClient) -> None:
        together.wait()
        done.append(client.query(statement).sqlstate)

    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    with approver.says_yes(but_not=""):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for client in clients:
        client.close()
    assert truth.one("select count(*) from log") == uses
    assert sorted(state or "" for state in done) == [""] * uses + ["42501"] * (20 - uses)


# --- who may approve ---


def test_nobody_approves_their_own(gateway: Ostiary, pki: Pki, approver: Approver, truth: Ledger) -> None:
    """By whatever door and certificate, in whatever group: it is the name that counts."""
    asker = pki.client("tester", groups=["engineers"], file="tester")
    second = pki.client("tester", groups=["dba", "owners"], file="tester-second")
    with approving.raw(gateway, asker) as client:
        client.send(b"Q", APPROVED.encode() + b"\0")
        request = approver.asked()
        for certificate in (asker, second):
            with Approver(gateway, certificate) as same:
                status, answer = same.ask("POST", f"approvals/{request}/approve")
            assert (status, answer["problem"]) == (403, "nobody decides on their own request")
        # On this host's socket the gateway takes us for the same principal (`Ostiary`).
        refused = gateway.cli("approvals", "approve", request, "--config", str(gateway.configuration))
        assert (refused.returncode, "nobody decides on their own request" in refused.stderr) == (1, True)
        assert everything(truth) == ALL
        approver.approve(request)
        assert client.receive().tags == ["DELETE 1"]


def test_an_approver_without_the_group_is_none(
    gateway: Ostiary, pki: Pki, bob: Issued, approver: Approver, configure: Callable[..., None], truth: Ledger
) -> None:
    """It counts what the approver is at that moment: by certificate, and on the socket by configuration."""

    def on_socket(groups: list[str]) -> dict[str, Any]:
        own = {"socket": {os.getuid(): {"principal": "tester", "groups": groups}}}
        return gateway.settings | {"identity": gateway.settings["identity"] | own}

    def approve() -> subprocess.CompletedProcess[str]:
        return gateway.cli("approvals", "approve", request, "--config", str(gateway.configuration))

    configure(settings=on_socket(["dba"]))
    with approving.raw(gateway, bob) as client:
        client.send(b"Q", APPROVED.encode() + b"\0")
        request = approver.asked()
        with Approver(gateway, pki.client("eve", groups=["owners"])) as eve:
            assert eve.ask("POST", f"approvals/{request}/approve")[0] == 404
        configure(settings=on_socket(["owners"]))
        refused = approve()
        assert (refused.returncode, "no entry that asks here names tester" in refused.stderr) == (1, True)
        assert everything(truth) == ALL
        configure(settings=on_socket(["dba"]))
        assert approve().returncode == 0
        assert client.receive().tags == ["DELETE 1"]
