from __future__ import annotations

import pytest
from policy.made import NOON, TARGETS, snapshot

from gateway.errors import Problem
from gateway.policy.review import review

LABEL = "labels: {pii.email: {columns: {orders: [a.b.c]}}}\n"


def warnings(text: str, groups: frozenset[str] | None = None) -> list[Problem]:
    return list(review(snapshot(text), TARGETS, NOON, groups))


def test_a_plain_policy_has_no_warnings() -> None:
    assert not warnings(
        LABEL
        + """
allow:
  - {name: a, groups: [g], targets: ["*"], sql: {verbs: [select, dml], labels_touched: ["pii.*"]}}
  - {name: b, principals: [p], tags: {env: prod}, until: "2030-01-01T00:00:00Z"}
deny:
  - {name: c, sql: {verbs: [drop]}}
approve:
  - {name: d, targets: [orders], sql: {verbs: [update, drop], labels_touched: ["pii.*"]}, approvers: {groups: [h]}}
  - {name: e, principals: [p, q], approvers: {principals: [p, q, r], needed: 2}}
  - {name: f, session: {}, approvers: {principals: [p, q]}, observe: true}
masks: [{labels: ["pii.*"], method: redact}]
"""
    )


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("allow: [{name: a, groups: [g]}]\ndeny: [{name: a, groups: [h]}]", ("deny", 0), "entry 1 under allow"),
        ("allow: [{name: a, groups: [g], until: '2020-01-01T00:00:00Z'}]", ("allow", 0, "until"), "has ended"),
        ("allow: [{name: a, targets: [orders]}]", ("allow", 0), "everybody"),
        ("detectors: {staff: {pattern: a}}", ("detectors", "staff"), "no label"),
        ("allow: [{name: a, groups: [g], targets: ['web-*']}]", ("allow", 0), "no configured target"),
        ("allow: [{name: a, groups: [g], targets: [orders, 'w*']}]", ("allow", 0, "targets"), "`w*` fits no"),
        ("deny: [{name: a, tags: {env: test}}]", ("deny", 0), "no configured target"),
        ("deny: [{name: a, targets: [sandbox], tags: {env: prod}}]", ("deny", 0), "no configured target"),
        ("labels: {a: {columns: {'web-*': [a.b.c]}}}", ("labels", "a", "columns", "web-*"), "no configured target"),
        (LABEL + "masks: [{labels: ['pci.*'], method: redact}]", ("masks", 0, "labels"), "fits no label"),
        (LABEL + "deny: [{name: a, sql: {labels_touched: ['pci.*']}}]",
         ("deny", 0, "sql", "labels_touched"), "fits no label"),
        ("deny: [{name: a, sql: {relations: [public.Orders]}}]", ("deny", 0, "sql", "relations"), "lower case"),
        ("labels: {a: {columns: {orders: [public.T.c]}}}", ("labels", "a", "columns", "orders"), "lower case"),
        ("allow: [{name: a, groups: [g]}]\ndeny: [{name: b}]", ("allow", 0), "`b` in 0.yaml denies all of it"),
        ("allow: [{name: a, groups: [g], targets: [orders]}]\ndeny: [{name: b, tags: {env: prod}}]",
         ("allow", 0), "denies all"),
        ("allow: [{name: a, groups: [g], kind: human}]\ndeny: [{name: b, kind: human}]", ("allow", 0), "denies all"),
        ("allow: [{name: a, groups: [g], sql: {databases: [x]}}]\ndeny: [{name: b, sql: {databases: [x, y]}}]",
         ("allow", 0), "denies all"),
        ("allow: [{name: a, groups: [g1]}]\ndeny: [{name: b, groups: ['g*']}]", ("allow", 0), "denies all"),
    ],
)  # fmt: skip
def test_each_warning(text: str, path: tuple[str | int, ...], said: str) -> None:
    (warning,) = warnings(text)
    assert warning.path == path
    assert said in f"{warning.problem} {warning.mend}"


@pytest.mark.parametrize(
    "deny",
    [
        "{name: b, groups: [h]}",
        "{name: b, targets: [orders]}",
        "{name: b, observe: true}",
        "{name: b, sql: {verbs: [drop]}}",
        "{name: b, until: '2030-01-01T00:00:00Z'}",
        "{name: b, groups: [g], kind: machine}",
        "{name: b, sql: {databases: [x]}}",
    ],
)
def test_a_deny_that_leaves_something_shadows_nothing(deny: str) -> None:
    assert not warnings(f"allow: [{{name: a, groups: [g]}}]\ndeny: [{deny}]")


def test_a_glob_of_an_allow_is_not_taken_for_a_name() -> None:
    assert not warnings("allow: [{name: a, groups: ['g*']}]\ndeny: [{name: b, groups: ['g?']}]")


ALLOW = "allow: [{name: a, groups: [g]}]\n"
BY = "approvers: {groups: [h]}"


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (f"approve: [{{name: b, {BY}}}]", ("approve", 0), "no allow entry allows what it names"),
        (f"approve: [{{name: b, session: {{}}, {BY}}}]", ("approve", 0), "opens nothing"),
        (
            f"allow: [{{name: a, groups: [g], targets: [sandbox]}}]\napprove: [{{name: b, tags: {{env: prod}}, {BY}}}]",
            ("approve", 0),
            "no allow entry",
        ),
        (
            f"{ALLOW}deny: [{{name: c, groups: [x]}}]\napprove: [{{name: b, groups: [x], {BY}}}]",
            ("approve", 0),
            "`c` in 0.yaml denies all of it",
        ),
        (
            f"{ALLOW}deny: [{{name: c, sql: {{verbs: [ddl]}}}}]\n"
            f"approve: [{{name: b, sql: {{verbs: [drop, alter], without_where: true}}, {BY}}}]",
            ("approve", 0),
            "narrow the deny",
        ),
        (
            f"{ALLOW}approve: [{{name: b, sql: {{verbs: [begin, show]}}, {BY}}}]",
            ("approve", 0, "sql", "verbs"),
            "free verbs",
        ),
        (f"{ALLOW}approve: [{{name: b, wait: 0s, {BY}}}]", ("approve", 0, "wait"), "such as 10m"),
        (
            f"{ALLOW}approve: [{{name: b, principals: [p], approvers: {{principals: [p]}}}}]",
            ("approve", 0, "approvers"),
            "too few for p:",
        ),
        (
            f"{ALLOW}approve: [{{name: b, principals: [p, q, r], approvers: {{principals: [p, q], needed: 2}}}}]",
            ("approve", 0, "approvers"),
            "too few for p, q: nobody approves what they ask for",
        ),
        (f"{ALLOW}approve: [{{name: a, {BY}}}]", ("approve", 0), "entry 1 under allow"),
        (f"{ALLOW}approve: [{{name: b, until: '2020-01-01T00:00:00Z', {BY}}}]", ("approve", 0, "until"), "has ended"),
        (f"{ALLOW}approve: [{{name: b, targets: ['web-*'], {BY}}}]", ("approve", 0), "no configured target"),
        (
            f"{ALLOW}approve: [{{name: b, sql: {{relations: [public.Orders]}}, {BY}}}]",
            ("approve", 0, "sql", "relations"),
            "lower case",
        ),
    ],
)
def test_each_warning_about_approvals(text: str, path: tuple[str | int, ...], said: str) -> None:
    (warning,) = warnings(text)
    assert warning.path == path
    assert said in f"{warning.problem} {warning.mend}"


def test_an_allow_that_has_ended_opens_nothing() -> None:
    ended = "allow: [{name: a, groups: [g], until: '2020-01-01T00:00:00Z'}]"
    found = warnings(f"{ended}\napprove: [{{name: b, {BY}}}]")
    assert [one.path for one in found] == [("allow", 0, "until"), ("approve", 0)]


def test_an_approve_that_has_ended_is_told_once() -> None:
    (warning,) = warnings(f"approve: [{{name: b, until: '2020-01-01T00:00:00Z', {BY}}}]")
    assert warning.path == ("approve", 0, "until")


def test_approvers_in_groups_that_nobody_is_in() -> None:
    text = f"{ALLOW}approve: [{{name: b, approvers: {{groups: [dba, 'on-*', oncall]}}}}]"
    assert not warnings(text)
    (warning,) = warnings(text, frozenset({"dba", "on-call"}))
    assert warning.path == ("approve", 0, "approvers", "groups")
    assert "`oncall` fits no group" in warning.problem
    assert "`groups_from`" in warning.mend
