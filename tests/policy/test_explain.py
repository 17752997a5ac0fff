from __future__ import annotations

from policy.made import NOON, access, operation, snapshot

from gateway.model import Method
from gateway.policy import explain
from gateway.policy.explain import MaskFinding, describe

POLICY = snapshot(
    """
    labels:
      pii.email: {columns: {orders: [public.customers.email]}}
      pii.ssn: {columns: {orders: [public.customers.ssn]}, default: {method: {partial: {keep_last: 4}}}}
      other: {columns: {sandbox: [a.b.c]}}
    allow:
      - {name: analysts read, groups: [analysts], targets: [orders], sql: {verbs: [select], relations: ["public.*"]}}
      - {name: by night, groups: [analysts], times: {hours: ["22:00-06:00"]}}
      - {name: once, principals: [alice], until: "2020-01-01T00:00:00Z"}
    deny:
      - {name: nobody destroys, tags: {env: prod}, sql: {verbs: [drop]}, message: ask the DBA}
      - {name: watch, sql: {verbs: [select]}, observe: true}
    masks:
      - {labels: [pii.email], method: redact}
    """
)
ALICE = access("alice", "analysts")


def test_each_entry_with_its_reasons() -> None:
    told = explain(POLICY, ALICE, operation("select", relations={"crm.x", "public.y"}), NOON)
    findings = {finding.name: (finding.matches, finding.reasons) for finding in told.entries}
    assert findings == {
        "analysts read": (False, ("sql.relations: does not cover crm.x",)),
        "by night": (False, ("times: now is Wed 12:00 in UTC",)),
        "once": (
            False,
            ("until: ended at 2020-01-01T00:00:00+00:00",),
        ),
        "nobody destroys": (False, ("sql.verbs: select is none of these",)),
        "watch": (True, ()),
    }


def test_as_text() -> None:
    assert str(explain(POLICY, ALICE, operation("select", labels={"pii.email"}), NOON)) == "\n".join(
        [
            "allow by analysts read",
            "  observed only: watch would have denied it",
            "allow `analysts read` in 0.yaml: matches",
            "allow `by night` in 0.yaml: does not match",
            "  times: now is Wed 12:00 in UTC",
            "allow `once` in 0.yaml: does not match",
            "  until: ended at 2020-01-01T00:00:00+00:00",
            "deny `nobody destroys` in 0.yaml: does not match",
            "  sql.verbs: select is none of these",
            "deny `watch` (observe: true) in 0.yaml: matches",
            "mask pii.email: redact by 0.yaml",
        ]
    )


def test_a_default_deny_says_that_nothing_allows() -> None:
    told = explain(POLICY, access("bob"), operation("select"), NOON)
    assert str(told).startswith("deny: no allow entry matches")
    assert "groups: the principal is in nothing, in none of analysts" in str(told)


def test_opaque_is_told_once_and_at_each_entry_that_it_concerns() -> None:
    told = explain(POLICY, ALICE, operation("select", untrusted_functions={"f"}), NOON)
    assert told.opaque == "functions that are not known to be harmless: f"
    text = str(told)
    assert text.startswith("deny by nobody destroys\n  message: ask the DBA\n  opaque: functions")
    assert "only an allow without a sql section takes it" in text
    assert "it is taken for one that this entry denies" in text


def test_the_connection() -> None:
    told = explain(POLICY, ALICE, None, NOON)
    findings = {finding.name: (finding.matches, finding.reasons) for finding in told.entries}
    assert told.decision.rules == ("analysts read",)
    assert findings["analysts read"] == (True, ())
    assert findings["nobody destroys"] == (False, ("is about operations, not about the connection",))
    assert told.masks == (
        MaskFinding("pii.email", Method("redact"), ("0.yaml",)),
        MaskFinding("pii.ssn", Method("partial", 0, 4), ()),
    )
    assert "mask pii.ssn: partial(keep_last: 4) by default" in str(told)


def test_free_commands_say_why() -> None:
    told = explain(POLICY, ALICE, operation("begin"), NOON)
    assert told.decision.rules == ("analysts read",)
    assert "are free" in str(told)


ASKING = snapshot(
    """
    allow: [{name: all, groups: [analysts]}]
    approve:
      - {name: changes, sql: {verbs: [update]}, approvers: {groups: [dba, on-call], principals: [bob], needed: 2},
         wait: 5m, grant: {uses: 3, within: 90m}, message: two of us}
      - {name: tables, sql: {without_where: true}, until: "2030-01-01T00:00:00Z", approvers: {groups: [dba]}}
      - {name: watch, observe: true, approvers: {groups: [dba]}}
      - {name: access, session: {}, approvers: {principals: [bob, eve]}, wait: 45s}
    """
)


def test_an_approval_as_text() -> None:
    told = explain(ASKING, ALICE, operation("update", without_where=True), NOON)
    assert str(told) == "\n".join(
        [
            "approve, as asked by changes, tables",
            "  changes: 2 of bob or members of dba, on-call, within 5m; good for 3 uses within 90m",
            "  tables: 1 of members of dba, within 10m; good for 1 use within 15m, at most until "
            "2030-01-01T00:00:00+00:00",
            "  message: two of us",
            "  observed only: watch would have asked for approval",
            "allow `all` in 0.yaml: matches",
            "approve `access` in 0.yaml: does not match",
            "  session: is asked at connect, not about operations",
            "approve `changes` in 0.yaml: matches",
            "approve `tables` in 0.yaml: matches",
            "approve `watch` (observe: true) in 0.yaml: matches",
        ]
    )


def test_an_approval_at_connect_as_text() -> None:
    text = str(explain(ASKING, ALICE, None, NOON))
    assert text.startswith(
        "approve, as asked by access\n  access: 1 of bob, eve, within 45s; good for any number of uses within 8h\n"
    )
    assert "approve `changes` in 0.yaml: does not match\n  is about operations, not about the connection" in text
    assert "observed only" not in text


def test_why_an_approve_does_not_match() -> None:
    told = explain(ASKING, ALICE, operation("select"), NOON)
    assert str(told).startswith("allow by all\n  observed only: watch would have asked for approval\n")
    assert "approve `changes` in 0.yaml: does not match\n  sql.verbs: select is none of these" in str(told)


def test_free_commands_are_not_asked_about() -> None:
    told = explain(ASKING, ALICE, operation("begin"), NOON)
    free = "sql: transaction control and harmless session commands are free"
    findings = {finding.name: (finding.matches, finding.reasons) for finding in told.entries}
    assert findings["changes"] == findings["watch"] == (False, (free,))
    assert told.decision.observed == ()


def test_opaque_is_told_at_approve_entries() -> None:
    text = str(explain(ASKING, ALICE, operation("begin", opaque="?"), NOON))
    assert text.startswith("approve, as asked by changes, tables\n")
    assert "it is taken for one that this entry asks about" in text


def test_describe() -> None:
    assert describe(Method("clear")) == "clear"
    assert describe(Method("partial", 1, 2)) == "partial(keep_first: 1, keep_last: 2)"
