"""Whether one entry leaves anything to another; test_properties.py tries the answers on all kinds of policies."""

from __future__ import annotations

import pytest
from policy.made import TARGETS, snapshot

from gateway.policy.overlap import covers, may_meet, targets_of

LABELS = "labels: {pii.email: {columns: {orders: [a.b.c]}}, pii.ssn: {columns: {orders: [a.b.d]}}}"
BY = "approvers: {groups: [h]}"


def meets(allow: str, approve: str) -> bool:
    one, other = snapshot(f"{LABELS}\nallow: [{{name: a, {allow}}}]\napprove: [{{name: b, {approve}, {BY}}}]").entries
    return may_meet(one, other, TARGETS)


def covered(deny: str, approve: str) -> bool:
    one, other = snapshot(f"{LABELS}\ndeny: [{{name: a, {deny}}}]\napprove: [{{name: b, {approve}, {BY}}}]").entries
    return covers(one, other, TARGETS)


@pytest.mark.parametrize(
    ("allow", "approve"),
    [
        ("principals: [p]", "principals: [q]"),
        ("principals: ['x/*']", "principals: [q]"),
        ("principals: [p], kind: human", "kind: machine"),
        ("principals: [p], from: [10.0.0.0/8]", "from: [192.0.2.0/24, '2001:db8::/32']"),
        ("principals: [p], sql: {databases: [a]}", "sql: {databases: [b]}"),
        ("principals: [p], sql: {roles: [a]}", "sql: {roles: [b]}"),
        ("principals: [p], sql: {verbs: [read]}", "sql: {verbs: [update]}"),
        ("principals: [p], sql: {relations: ['a.*']}", "sql: {relations: [b.c]}"),
        ("principals: [p], sql: {labels_touched: [pii.email]}", "sql: {labels_touched: ['*ssn']}"),
        ("principals: [p], sql: {max_rows: 10}", "sql: {max_rows: 10}"),
        ("principals: [p], sql: {without_where: false}", "sql: {without_where: true}"),
    ],
)
def test_an_approve_that_meets_no_allow(allow: str, approve: str) -> None:
    assert not meets(allow, approve)


@pytest.mark.parametrize(
    ("allow", "approve"),
    [
        ("principals: ['x/*']", "principals: [x/y]"),
        ("principals: ['x/*']", "principals: ['*/y']"),
        ("groups: [g]", "groups: [h]"),
        ("principals: [p], factors: [certificate]", "factors: [password]"),
        ("principals: [p], from: [10.0.0.0/8]", "from: [10.1.0.0/16]"),
        ("principals: [p], sql: {verbs: [read, update]}", "sql: {verbs: [update]}"),
        ("principals: [p], sql: {relations: ['a.*']}", "sql: {relations: ['*.c']}"),
        ("principals: [p], sql: {max_rows: 11}", "sql: {max_rows: 10}"),
        ("principals: [p], sql: {without_where: false}", "sql: {verbs: [update]}"),
        ("principals: [p], sql: {verbs: [read]}", "kind: human"),
        ("principals: [p], sql: {verbs: [read]}", "session: {}"),
        ("principals: [p]", "sql: {verbs: [drop]}"),
    ],
)
def test_an_approve_that_may_meet_an_allow(allow: str, approve: str) -> None:
    assert meets(allow, approve)


@pytest.mark.parametrize(
    ("deny", "approve"),
    [
        ("sql: {verbs: [update, delete]}", "sql: {verbs: [update]}"),
        ("sql: {relations: ['a.*', x.y]}", "sql: {verbs: [update], relations: ['a.*']}"),
        ("sql: {relations: ['a.*']}", "sql: {relations: [a.b, a.c]}"),
        ("sql: {functions: [f, g]}", "sql: {functions: [g]}"),
        ("sql: {labels_touched: ['pii.*']}", "sql: {labels_touched: [pii.email]}"),
        ("sql: {max_rows: 10}", "sql: {max_rows: 11}"),
        ("sql: {without_where: true}", "sql: {without_where: true, verbs: [dml]}"),
        ("sql: {matches: [a, b]}", "sql: {matches: [b]}"),
        ("sql: {databases: [x]}", "sql: {databases: [x], verbs: [drop]}"),
        ("kind: human", "kind: human, session: {}"),
    ],
)
def test_a_deny_that_leaves_an_approve_nothing(deny: str, approve: str) -> None:
    assert covered(deny, approve)


@pytest.mark.parametrize(
    ("deny", "approve"),
    [
        ("sql: {verbs: [update]}", "sql: {verbs: [update, delete]}"),
        ("sql: {verbs: [update], without_where: true}", "sql: {verbs: [update]}"),
        ("sql: {relations: [a.b]}", "sql: {relations: ['a.*']}"),
        ("sql: {functions: [g]}", "sql: {functions: [f, g]}"),
        ("sql: {max_rows: 11}", "sql: {max_rows: 10}"),
        ("sql: {matches: [b]}", "sql: {matches: [a, b]}"),
        ("sql: {verbs: [drop]}", "kind: human"),
        ("sql: {verbs: [drop]}", "session: {}"),
        ("sql: {verbs: [drop]}, observe: true", "sql: {verbs: [drop]}"),
        ("sql: {verbs: [drop]}, times: {days: [sun]}", "sql: {verbs: [drop]}"),
        ("targets: [sandbox], sql: {verbs: [drop]}", "sql: {verbs: [drop]}"),
        ("groups: [x], sql: {verbs: [drop]}", "sql: {verbs: [drop]}"),
    ],
)
def test_a_deny_that_leaves_an_approve_something(deny: str, approve: str) -> None:
    assert not covered(deny, approve)


def test_a_deny_of_some_operations_leaves_an_allow_something() -> None:
    sql = "sql: {without_where: true}"
    deny, allow = reversed(snapshot(f"allow: [{{name: a, {sql}}}]\ndeny: [{{name: b, {sql}}}]").entries)
    assert not covers(deny, allow, TARGETS)


def test_what_fits_no_target_is_not_covered() -> None:
    assert not covered("kind: human", "kind: human, targets: ['web-*']")


def test_targets_of_an_entry() -> None:
    (entry,) = snapshot("deny: [{name: a, targets: ['o*', sandbox], tags: {env: 'p*'}}]").entries
    assert targets_of(entry, TARGETS) == {"orders"}
