"""What policy says of lines typed in terminals: advice, beside all that it decides."""

from __future__ import annotations

import pytest
from policy.made import NOON, WEB, access, policy_file, snapshot, ssh_operation

from gateway.errors import ConfigError
from gateway.model import Outcome, SshRequest
from gateway.policy import explain
from gateway.policy.review import review

STAFF = access("alice", "staff", to=WEB, database="", role="app")
POLICY = snapshot(
    """
    allow: [{name: shells, groups: [staff], targets: [web1], ssh: {logins: [app], requests: [shell]}}]
    deny:
      - {name: warned, targets: [web1], ssh: {typed: [mkfs], then: warn}, message: mind the disks}
      - {name: refused, targets: [web1], ssh: {logins: [app], typed: ['\\brm\\b.*-rf', '^dd ']}}
      - {name: ended, targets: [web1], ssh: {typed: [shutdown], then: end}}
      - {name: seen, targets: [web1], ssh: {typed: [cat], then: end}, observe: true}
      - {name: elsewhere, targets: [web1], ssh: {logins: [root], typed: [ls]}}
      - {name: no commands, targets: [web1], ssh: {requests: [exec]}}
    approve:
      - {name: asked, targets: [web1], ssh: {typed: [reboot]}, approvers: {groups: [oncall]}}
      - {name: each request, targets: [web1], groups: [contractors], approvers: {groups: [oncall]}}
    """
)


@pytest.mark.parametrize(
    ("line", "outcome", "rules", "typed"),
    [
        ("ls", Outcome.ALLOW, ("shells",), []),
        ("mkfs /dev/sda", Outcome.ALLOW, ("shells",), ["warn"]),
        ("sudo rm -r -rf /", Outcome.DENY, ("refused",), ["refuse"]),
        ("echo a\ndd if=x", Outcome.DENY, ("refused",), ["refuse"]),
        ("add dd x", Outcome.ALLOW, ("shells",), []),
        ("mkfs; shutdown", Outcome.DENY, ("ended",), ["warn", "end"]),
        ("cat x", Outcome.ALLOW, ("shells",), ["observe"]),
        ("reboot", Outcome.APPROVE, ("asked",), ["ask"]),
        ("reboot; shutdown", Outcome.DENY, ("ended",), ["end", "ask"]),
    ],
)
def test_a_line(line: str, outcome: Outcome, rules: tuple[str, ...], typed: list[str]) -> None:
    for groups in (("staff",), ("staff", "contractors")):
        policy = POLICY.for_access(access("alice", *groups, to=WEB, database="", role="app"))
        operation = ssh_operation("typed", line)
        decision = policy.decide(operation, NOON)
        assert (decision.outcome, decision.rules) == (outcome, rules)
        assert [entry.typed for entry in policy.advice(operation, NOON)] == typed
    assert decision.observed == tuple(
        sorted({"warn": "warned", "observe": "seen"}[one] for one in typed if one in ("warn", "observe"))
        if outcome is not Outcome.DENY
        else ()
    )


def test_of_requests_it_says_nothing() -> None:
    requests: tuple[SshRequest, ...] = ("shell", "exec", "sftp", "file", "agent", "env", "forward_local")
    for request in requests:
        for opaque in (None, "a command that is no UTF-8"):
            decision = POLICY.decide(STAFF, ssh_operation(request, "mkfs; rm -rf; reboot", opaque=opaque), NOON)
            assert {*decision.rules, *decision.observed} <= {"shells", "no commands"}
    assert POLICY.admits(STAFF, NOON).outcome is Outcome.ALLOW


def test_no_advice_without_such_entries() -> None:
    assert POLICY.for_access(STAFF).typed
    assert not snapshot("deny: [{name: a, ssh: {matches: [x]}}]").for_access(STAFF).typed


def test_nobody_types_without_an_allow() -> None:
    nobody = access("bob", "others", to=WEB, database="", role="app")
    assert POLICY.decide(nobody, ssh_operation("typed", "ls"), NOON).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("allow: [{name: a, ssh: {logins: [x], typed: [y]}}]", "which is for deny and approve entries"),
        ("deny: [{name: a, ssh: {typed: [y], exec: [z]}}]", "beside `exec`"),
        ("deny: [{name: a, ssh: {typed: [y], requests: [shell]}}]", "beside `requests`"),
        ("deny: [{name: a, ssh: {typed: ['(']}}]", "is not a regular expression"),
        ("deny: [{name: a, ssh: {typed: []}}]", "name at least one"),
        ("deny: [{name: a, ssh: {typed: [y], then: stop}}]", "then"),
        ("deny: [{name: a, ssh: {logins: [y], then: end}}]", "add `typed`"),
        ("approve: [{name: a, ssh: {typed: [y], then: end}, approvers: {groups: [g]}}]", "an approve asks"),
    ],
)
def test_what_may_not_be_written(entry: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        policy_file(entry)
    assert said in str(raised.value)


def test_explaining_it() -> None:
    told = str(explain(POLICY, STAFF, ssh_operation("typed", "mkfs"), NOON))
    assert told.startswith("allow by shells\n")
    assert "\n  warns: warned\n" in told
    assert "best effort" in told
    assert "\ndeny `warned` (then: warn) in 0.yaml: matches\n" in f"{told}\n"
    assert "deny `refused` in 0.yaml: does not match\n  ssh.typed: none of \\brm\\b.*-rf, ^dd  is in the line" in told
    told = str(explain(POLICY, STAFF, ssh_operation("shell"), NOON))
    assert "best effort" not in told
    assert "deny `ended` in 0.yaml: does not match\n  ssh.typed: is about lines typed in terminals" in told


def test_a_good_one_has_no_warnings() -> None:
    assert not list(
        review(
            snapshot(
                "allow: [{name: shells, groups: [g], targets: [web1], ssh: {logins: [a], requests: [shell]}}]\n"
                "deny: [{name: d, targets: [web1], ssh: {typed: [x], then: warn}}]\n"
                "approve: [{name: e, targets: [web1], ssh: {typed: [y]}, approvers: {groups: [h]}}]"
            ),
            (WEB,),
            NOON,
        )
    )


def test_an_approve_is_another_one_with_another_expression() -> None:
    def digests(pattern: str) -> frozenset[str]:
        entry = f"{{name: e, ssh: {{typed: [{pattern}]}}, approvers: {{groups: [h]}}}}"
        return snapshot(f"approve: [{entry}]").approval_digests

    assert digests("x") == digests("x") != digests("y")
