from __future__ import annotations

from pathlib import Path

import pytest
from policy.made import NOON, TARGETS, WEB, operation, snapshot

from gateway.errors import ConfigError
from gateway.model import Access, Outcome, Principal, SqlOperation, Target
from gateway.policy import CaseResult, load_cases, run_cases
from gateway.protocols.ssh.forcing import written

POLICY = snapshot(
    """
    labels: {pii.email: {columns: {orders: [public.customers.email]}}}
    allow:
      - {name: analysts read, groups: [analysts], targets: [orders], sql: {verbs: [select], roles: [ro]}}
      - {name: deploys, groups: [ci], ssh: {logins: [deploy], exec: ["/usr/bin/deploy *"], files: {read: [/srv/**]}}}
      - {name: robots by day, kind: machine, from: [10.0.0.0/8], times: {hours: ["08:00-18:00"]}}
    deny: [{name: nobody destroys, sql: {verbs: [drop]}}]
    approve:
      - {name: deletes, sql: {verbs: [delete]}, from: [10.2.0.0/16], approvers: {groups: [g]}}
      - {name: from home, session: {}, from: [10.2.0.0/16], approvers: {groups: [g]}}
    masks:
      - {labels: [pii.email], method: redact}
      - {labels: [pii.email], groups: [s], method: {partial: {keep_last: 4}}}
    """
)


def first_word(text: str, access: Access) -> SqlOperation:
    return operation(text.partition(" ")[0])


def read_only(principal: Principal, target: Target) -> str | None:
    return None if principal.name == "nobody" else "deploy" if target is WEB else "ro"


def run(directory: Path, text: str) -> tuple[CaseResult, ...]:
    path = directory / "cases.yaml"
    path.write_text("cases:\n" + "".join(f"  - {{{line.strip()}}}\n" for line in text.strip().splitlines()))
    return run_cases(
        load_cases(path), POLICY, (*TARGETS, WEB), analyse=first_word, request=written, role_of=read_only, now=NOON
    )


def test_cases_that_pass(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        """
        name: a, principal: al, groups: [analysts], target: orders, sql: select 1, expect: allow
        name: b, principal: al, groups: [analysts], target: orders, sql: drop x, expect: deny, rules: [nobody destroys]
        name: c, principal: al, groups: [analysts], target: orders, sql: insert x, expect: deny, rules: []
        name: d, principal: al, groups: [analysts], target: orders, expect: allow, rules: [analysts read]
        name: e, principal: al, groups: [analysts], target: orders, role: rw, expect: deny
        name: f, principal: al, groups: [analysts], target: unheard-of, sql: select 1, expect: deny, rules: []
        name: g, principal: nobody, groups: [analysts], target: orders, sql: select 1, expect: deny
        name: h, principal: ci, kind: machine, from: 10.1.1.1, target: sandbox, sql: delete x, expect: allow
        name: i, principal: ci, kind: machine, from: 10.1.1.1, target: sandbox, at: "2026-11-18T19:00:00Z", expect: deny
        name: j, principal: ci, kind: machine, target: sandbox, expect: deny
        name: k, principal: a, groups: [s], target: orders, expect: deny, masks: {pii.email: {partial: {keep_last: 4}}}
        name: l, principal: al, target: orders, expect: deny, masks: {pii.email: redact}
        name: m, principal: c, kind: machine, from: 10.2.1.1, target: sandbox, sql: delete x, expect: approve
        name: n, principal: c, kind: machine, from: 10.2.1.1, target: sandbox, expect: approve, rules: [from home]
        """,
    )
    assert [result for result in results if not result.passed] == []
    assert [result.name for result in results] == list("abcdefghijklmn")
    assert results[0].decision.outcome is Outcome.ALLOW


def test_cases_about_ssh(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        """
        name: a, principal: ci, groups: [ci], target: web1, ssh: exec /usr/bin/deploy prod, expect: allow
        name: b, principal: ci, groups: [ci], target: web1, ssh: exec /usr/bin/deploy prod; id, expect: deny, rules: []
        name: c, principal: ci, groups: [ci], target: web1, ssh: scp read /srv/a, expect: allow, rules: [deploys]
        name: d, principal: ci, groups: [ci], target: web1, expect: allow
        name: e, principal: ci, groups: [ci], target: web1, login: root, ssh: shell, expect: deny
        name: f, principal: ci, groups: [ci], target: web1, login: root, expect: deny
        """,
    )
    assert [result for result in results if not result.passed] == []


def test_cases_about_ssh_that_fail(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        """
        name: a, principal: ci, groups: [ci], target: web1, ssh: shell, expect: allow
        name: b, principal: ci, groups: [ci], target: web1, ssh: exce id, expect: deny
        name: c, principal: ci, groups: [ci], target: web1, sql: select 1, expect: deny
        name: d, principal: ci, groups: [ci], target: orders, ssh: shell, expect: deny
        """,
    )
    problems = [result.problems[0] for result in results]
    assert problems[0] == "expected allow, got deny, decided by nothing, since no allow entry matches"
    assert problems[1].startswith("`exce id` is no request; write shell")
    assert problems[2] == "web1 speaks ssh; write `ssh`, or name another target"
    assert problems[3] == "orders speaks postgres; write `sql`, or name another target"


def test_cases_that_fail_say_what_came_instead(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        """
        name: a, principal: al, groups: [analysts], target: orders, sql: insert x, expect: allow
        name: b, principal: al, groups: [analysts], target: orders, sql: select 1, expect: allow, rules: [other]
        name: c, principal: al, target: orders, expect: deny, masks: {pii.email: clear, pii.ssn: redact}
        name: d, principal: al, target: unheard-of, expect: allow
        name: e, principal: al, groups: [analysts], target: orders, sql: drop x, expect: deny, rules: []
        name: f, principal: c, kind: machine, from: 10.2.1.1, target: sandbox, sql: delete x, expect: allow
        name: g, principal: al, groups: [analysts], target: orders, sql: select x, expect: approve
        """,
    )
    assert [result.problems for result in results] == [
        ("expected allow, got deny, decided by nothing, since no allow entry matches",),
        ("expected to be decided by other, was decided by analysts read",),
        ("expected pii.email as clear, it is shown as redact", "pii.ssn is no label of this policy"),
        ("expected allow, got deny, decided by nothing, since no allow entry matches",),
        ("expected to be decided by none, was decided by nobody destroys",),
        ("expected allow, got approve, decided by deletes",),
        ("expected approve, got allow, decided by analysts read",),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases: []", "empty"),
        ("", "`cases:`"),
        ("cases: [{name: a, principal: b, target: c}]", "`expect:`"),
        ("cases: [{name: a, principal: b, target: c, expect: maybe}]", "allow, deny, approve"),
        ("cases: [{name: a, principal: b, target: c, expect: deny, sqll: x}]", "did you mean `sql`"),
        ("cases: [{name: a, principal: b, target: c, expect: deny, masks: {d: hmac}}]", "hmac: {key"),
        ("cases: [{name: a, principal: b, target: c, expect: deny, sql: a, ssh: b}]", "write two cases"),
        ("cases: [{name: a, principal: b, target: c, expect: deny, role: a, login: b}]", "write one"),
        ("cases: [{name: a, principal: b, target: c, expect: deny, masks: {d: partial}}]", "keep_last"),
    ],
)
def test_mistakes_in_a_case_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_cases(path)
    assert said in str(caught.value)


def test_an_exception_while_analysing_is_not_taken_for_a_result(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text("cases: [{name: a, principal: b, target: orders, sql: x, expect: deny}]")

    def broken(text: str, access: Access) -> SqlOperation:
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        run_cases(load_cases(path), POLICY, TARGETS, analyse=broken, request=written, role_of=read_only, now=NOON)
