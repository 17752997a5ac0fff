"""An approved SSH request is that request, by that principal, as that login (threats.md, Authorization)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from session.asked import DORA
from session.house import ORDERS, House, principal
from twisted.python.failure import Failure

from gateway.errors import Unapproved
from gateway.model import Address, Credential, FileUse, SshOperation, Target, TargetTls, Verdict
from gateway.protocols.ssh.operation import environment, execute, file, forward_local, shell, subsystem
from gateway.session import Corridor
from gateway.session.asking import Asking

WEB = Target("web1", "ssh", Address("web1", 22), TargetTls(), (Credential("deploy"), Credential("root")))
DB = Target("db1", "ssh", Address("db1", 22), TargetTls(), (Credential("deploy"),))
POLICY = """
allow:
  - name: all
    ssh: {logins: ["*"], requests: [shell, exec, sftp, scp, forward_local, env], destinations: ["*:*"], env: ["*"]}
approve:
  - {name: second person, ssh: {logins: ["*"]}, approvers: {groups: [dba-oncall]}, grant: {uses: 5, within: 1h}}
"""


class Caller:
    """One session that asks, and what it was told."""

    def __init__(self, house: House, who: str = "alice", target: str = "web1", login: str = "deploy") -> None:
        self.house = house
        self.told: list[tuple[str, str]] = []
        self.woken = 0
        admitted = house.admit(principal(who), target, protocol="ssh", login=login)
        self.corridor: Corridor = house.open(admitted)
        self.asking = Asking(
            house.approvals,
            self.corridor,
            tell=lambda line, mend: self.told.append((line, mend)),
            go_on=self._wake,
            failed=self._failed,
        )

    def _wake(self) -> None:
        self.woken += 1

    def _failed(self, failure: Failure) -> None:
        failure.raiseException()

    def ask(self, operation: SshOperation) -> Verdict[SshOperation] | None:
        try:
            return self.corridor.ask(operation, "request")
        except Unapproved:
            return self.asking.answer(operation, "request", b"", may_wait=True)

    def approved(self, operation: SshOperation) -> Verdict[SshOperation]:
        assert self.ask(operation) is None
        (open_one,) = [one for one in self.house.approvals.requests() if one.state == "pending"]
        self.house.approvals.decide(open_one.id, DORA, yes=True)
        assert self.woken == 1
        verdict = self.ask(operation)
        assert verdict is not None
        return verdict


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, POLICY, targets=(ORDERS, WEB, DB), sessions=20, per_principal=20)
    yield made
    made.close()


DEPLOY = execute(b"/usr/bin/deploy prod")


def test_it_waits_and_then_goes_on(house: House) -> None:
    caller = Caller(house)
    verdict = caller.approved(DEPLOY)
    assert verdict.denial is None
    assert verdict.grant
    assert caller.told[0][0].startswith("waiting for approval")
    caller.corridor.commit()
    assert house.events("operation_decided")[-1]["unmapped"]["approval"] == verdict.grant


def test_the_same_again_takes_no_other_yes(house: House) -> None:
    verdict = Caller(house).approved(DEPLOY)
    again = Caller(house).ask(execute(b"/usr/bin/deploy prod", 7))
    assert again is not None
    assert (again.denial, again.grant) == (None, verdict.grant)


@pytest.mark.parametrize(
    "other",
    [
        execute(b"/usr/bin/deploy prod; id"),
        execute(b"/usr/bin/deploy  prod"),
        execute(b"/usr/bin/deploy prod --force"),
        execute(b"/usr/bin/deploy 'prod'"),
        execute(b"/usr/bin/deploy test"),
        shell(),
        subsystem("sftp"),
        forward_local("db", 5432),
        environment("A", "b"),
        file("sftp", "/usr/bin/deploy prod", [FileUse("write", "/etc/passwd")]),
    ],
)
def test_an_approved_request_is_not_widened(house: House, other: SshOperation) -> None:
    Caller(house).approved(DEPLOY)
    assert Caller(house).ask(other) is None, "it asks again"


@pytest.mark.parametrize("place", [{"who": "albert"}, {"target": "db1"}, {"login": "root"}])
def test_nor_used_by_another_or_elsewhere(house: House, place: dict[str, str]) -> None:
    Caller(house).approved(DEPLOY)
    assert Caller(house, **place).ask(DEPLOY) is None


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (replace(DEPLOY, original="exec a"), replace(DEPLOY, original="exec b")),
        (replace(DEPLOY, original="shell"), DEPLOY),
        (environment("APP", "1"), environment("APP", "2")),
        (forward_local("db", 5432), forward_local("db", 5433)),
        (
            file("sftp", "read", [FileUse("read", "/a")]),
            file("sftp", "read", [FileUse("read", "/b")]),
        ),
        (
            file("sftp", "read /a", [FileUse("read", "/a")]),
            file("scp", "read /a", [FileUse("read", "/a")]),
        ),
        (
            file("sftp", "x", [FileUse("read", "/a")]),
            file("sftp", "x", [FileUse("write", "/a")]),
        ),
    ],
)
def test_each_fact_of_a_request_is_bound(house: House, one: SshOperation, two: SshOperation) -> None:
    Caller(house).approved(one)
    assert Caller(house).ask(two) is None


def test_what_nobody_can_read_is_not_asked_about(house: House) -> None:
    anything = "allow: [{name: all}]" + POLICY[POLICY.index("\napprove") :]
    house.gate.rules = house.rules(anything, targets=(ORDERS, WEB, DB), sessions=20, per_principal=20)
    verdict = Caller(house).ask(execute(b"\xff"))
    assert verdict is not None
    assert verdict.denial is not None
    assert verdict.denial.detail == "What stands between: a command that is no UTF-8."
    assert "PostgreSQL" not in str(verdict.denial)
