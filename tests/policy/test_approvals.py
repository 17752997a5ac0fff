"""The semantics of policy.md that are about approvals, line by line; the numbers are that page's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy.made import NOON, SANDBOX, access, operation, snapshot

from gateway.errors import ConfigError
from gateway.model import ApprovalTerms, Decision, Outcome, SqlOperation
from gateway.policy import SessionLimits, Snapshot

ALICE = access("alice", "analysts")
DBA = access("dora", "dba")

POLICY = """
labels:
  pii.email: {columns: {orders: [public.customers.email]}}
allow:
  - {name: analysts read, groups: [analysts], targets: [orders], sql: {verbs: [read, dml]}}
  - {name: dba does all, groups: [dba]}
deny:
  - {name: nobody destroys, tags: {env: prod}, sql: {verbs: [drop]}}
approve:
  - name: changes
    targets: [orders]
    sql: {verbs: [update, delete, truncate]}
    approvers: {groups: [on-call, dba, dba], principals: [eve, bob, eve], needed: 2}
    wait: 5m
    grant: {uses: 3, within: 1h}
    message: two of us have to agree
  - {name: whole tables, sql: {without_where: true}, approvers: {groups: [on-call]}, message: really?}
"""


def decided(policy: Snapshot, *verbs: str, by: object = ALICE, **facts: object) -> Decision:
    return policy.decide(by, operation(*verbs, **facts), NOON)  # type: ignore[arg-type]  # test shorthand


def terms(rule: str, digest: str = "", **others: object) -> ApprovalTerms:
    values = {"principals": (), "groups": ("on-call",), "needed": 1, "wait": 600.0, "uses": 1, "within": 900.0}
    return ApprovalTerms(rule, digest, **{**values, **others})  # type: ignore[arg-type]  # test shorthand


def without_digests(decision: Decision) -> Decision:
    assert all(len(one.digest) == 64 for one in decision.approvals)
    return replace(decision, approvals=tuple(replace(one, digest="") for one in decision.approvals))


CHANGES = terms(
    "changes", principals=("bob", "eve"), groups=("dba", "on-call"), needed=2, wait=300.0, uses=3, within=3600.0
)
WHOLE = terms("whole tables")


# ---------------------------------------------------------------- 1: the decision


def test_a_matching_approve_asks_for_what_is_allowed() -> None:
    assert without_digests(decided(snapshot(POLICY), "update")) == Decision(
        Outcome.APPROVE, ("changes",), message="two of us have to agree", approvals=(CHANGES,)
    )


def test_all_that_match_are_asked_sorted_by_rule() -> None:
    assert without_digests(decided(snapshot(POLICY), "update", without_where=True)) == Decision(
        Outcome.APPROVE, ("changes", "whole tables"), message="two of us have to agree", approvals=(CHANGES, WHOLE)
    )


def test_what_no_approve_matches_is_allowed() -> None:
    assert decided(snapshot(POLICY), "select") == Decision(Outcome.ALLOW, ("analysts read",))
    elsewhere = access("dora", "dba", to=SANDBOX)
    assert decided(snapshot(POLICY), "truncate", by=elsewhere) == Decision(Outcome.ALLOW, ("dba does all",))


def test_a_deny_beats_an_approve() -> None:
    decision = decided(snapshot(POLICY), "drop", "update", without_where=True, by=DBA)
    assert decision == Decision(Outcome.DENY, ("nobody destroys",))


def test_an_approve_opens_nothing() -> None:
    assert decided(snapshot(POLICY), "truncate") == Decision(Outcome.DENY)
    alone = snapshot("approve: [{name: a, approvers: {groups: [g]}}, {name: b, session: {}, approvers: {groups: [g]}}]")
    assert decided(alone, "select") == Decision(Outcome.DENY)
    assert alone.admits(ALICE, NOON) == Decision(Outcome.DENY)


def test_an_approve_without_conditions_asks_for_every_operation() -> None:
    policy = snapshot("allow: [{name: a}]\napprove: [{name: b, approvers: {groups: [g]}}]")
    for verb in ("select", "insert", "drop", "do"):
        assert decided(policy, verb).rules == ("b",)
    assert policy.admits(ALICE, NOON) == Decision(Outcome.ALLOW, ("a",))


@pytest.mark.parametrize("verb", ["begin", "commit", "rollback", "savepoint", "set", "show", "unlisten"])
def test_free_operations_are_never_asked_about(verb: str) -> None:
    policy = snapshot(
        """
        allow: [{name: a}]
        approve:
          - {name: all, approvers: {groups: [g]}}
          - {name: by name, sql: {verbs: [tcl, session]}, approvers: {groups: [g]}}
          - {name: watch, observe: true, approvers: {groups: [g]}}
        """
    )
    assert decided(policy, verb) == Decision(Outcome.ALLOW, ("a",))
    assert decided(policy, verb, "select").rules == ("all", "by name")
    assert decided(policy, verb, relations={"a.b"}).rules == ("all", "by name")


def test_two_entries_that_say_the_very_same_ask_once() -> None:
    one = "approve: [{name: b, approvers: {groups: [g]}}]"
    assert len(decided(snapshot("allow: [{name: a}]", one, one), "select").approvals) == 1


def test_entries_of_one_name_all_ask_in_a_stable_order() -> None:
    entries = [f"approve: [{{name: b, approvers: {{groups: [g{index}]}}}}]" for index in range(8)]
    decision = decided(snapshot("allow: [{name: a}]", *entries), "select")
    assert decision == decided(snapshot(*reversed(entries), "allow: [{name: a}]"), "select")
    assert decision.rules == ("b",)
    digests = [one.digest for one in decision.approvals]
    assert digests == sorted(digests)
    assert len(digests) == 8


# ---------------------------------------------------------------- 2: no


@pytest.mark.parametrize("address", ["", "not an address"])
def test_a_source_that_cannot_be_read_is_yes_to_an_approve(address: str) -> None:
    policy = snapshot("allow: [{name: a}]\napprove: [{name: b, from: [192.0.2.0/24], approvers: {groups: [g]}}]")
    assert decided(policy, "select", by=access(address=address)).rules == ("b",)
    assert decided(policy, "select").outcome is Outcome.ALLOW


# ---------------------------------------------------------------- 3: connections

SESSIONS = """
allow:
  - {name: analysts, groups: [analysts], session: {max: 8h, idle: 1h}}
approve:
  - {name: production, tags: {env: prod}, session: {}, approvers: {groups: [on-call]}, message: on call decides}
  - {name: by night, targets: ["o*"], times: {hours: ["22:00-06:00"]}, session: {}, approvers: {groups: [boss]}}
  - {name: drops, sql: {verbs: [drop]}, approvers: {groups: [on-call]}}
"""


def test_access_that_needs_approval_is_asked_at_connect() -> None:
    policy = snapshot(SESSIONS)
    asked = terms("production", uses=None, within=8 * 3600.0)
    assert without_digests(policy.admits(ALICE, NOON)) == Decision(
        Outcome.APPROVE, ("production",), message="on call decides", lasting=False, approvals=(asked,)
    )
    assert policy.admits(ALICE, NOON + 11 * 3600).rules == ("by night", "production")
    elsewhere = policy.admits(access("alice", "analysts", to=SANDBOX), NOON)
    assert elsewhere == Decision(Outcome.ALLOW, ("analysts",))


def test_what_asks_at_connect_does_not_ask_at_operations() -> None:
    policy = snapshot(SESSIONS)
    assert decided(policy, "select").outcome is Outcome.ALLOW
    assert decided(policy, opaque="?").rules == ("drops",)


def test_what_asks_at_operations_does_not_ask_at_connect() -> None:
    assert snapshot(POLICY).admits(ALICE, NOON) == Decision(Outcome.ALLOW, ("analysts read",))


def test_a_deny_of_every_operation_denies_what_would_be_asked() -> None:
    policy = snapshot(SESSIONS, "deny: [{name: no, principals: [alice]}]")
    assert policy.admits(ALICE, NOON) == Decision(Outcome.DENY, ("no",), lasting=False)


# ---------------------------------------------------------------- 4: opaque operations


@pytest.mark.parametrize(
    "condition",
    [
        "verbs: [copy_program]",
        "relations: [public.secrets]",
        "functions: [pg_sleep]",
        "labels_touched: [pii.email]",
        "without_where: true",
        "max_rows: 1000000",
        "matches: ['xyzzy']",
        "databases: [orders]",
        "verbs: [drop], relations: [a.b], matches: ['c']",
    ],
)
def test_an_opaque_operation_matches_every_approve_that_could_apply(condition: str) -> None:
    policy = snapshot(
        "labels: {pii.email: {columns: {orders: [a.b.c]}}}\nallow: [{name: a}]",
        f"approve: [{{name: b, sql: {{{condition}}}, approvers: {{groups: [g]}}}}]",
    )
    for verb in ("select", "begin"):
        assert decided(policy, verb, opaque="?", row_bound=0).rules == ("b",)
    assert decided(policy, "select", untrusted_functions={"f"}, row_bound=0).rules == ("b",)


def test_an_approve_that_cannot_apply_here_does_not_match_opaque() -> None:
    policy = snapshot(
        """
        allow: [{name: a}]
        approve:
          - {name: group, groups: [others], sql: {verbs: [drop]}, approvers: {groups: [g]}}
          - {name: target, targets: [sandbox], approvers: {groups: [g]}}
          - {name: database, sql: {databases: [other], verbs: [drop]}, approvers: {groups: [g]}}
          - {name: role, sql: {roles: [other]}, approvers: {groups: [g]}}
          - {name: network, from: [192.0.2.0/24], sql: {verbs: [drop]}, approvers: {groups: [g]}}
          - {name: over, until: "2020-01-01T00:00:00Z", approvers: {groups: [g]}}
          - {name: access, session: {}, approvers: {groups: [g]}}
        """
    )
    assert decided(policy, opaque="?") == Decision(Outcome.ALLOW, ("a",), lasting=False)


def test_an_opaque_operation_that_only_a_narrow_allow_could_take_stays_denied() -> None:
    assert decided(snapshot(POLICY), "update", opaque="?") == Decision(Outcome.DENY, ("nobody destroys",))
    elsewhere = snapshot("allow: [{name: a, sql: {verbs: [dml]}}]\napprove: [{name: b, approvers: {groups: [g]}}]")
    assert decided(elsewhere, "update", opaque="?") == Decision(Outcome.DENY)


# ---------------------------------------------------------------- 7: what a grant is bound to


def test_a_grant_ends_with_its_entry() -> None:
    policy = snapshot(
        """
        allow: [{name: a}]
        approve: [{name: b, until: "2026-11-18T12:00:01Z", approvers: {groups: [on-call]}}]
        """
    )
    decision = decided(policy, "select")
    assert decision.approvals[0].ends == NOON + 1
    assert not decision.lasting
    assert policy.decide(ALICE, operation("select"), NOON + 1).outcome is Outcome.ALLOW


def test_a_snapshot_knows_the_digests_of_all_its_approve_entries() -> None:
    assert snapshot("allow: [{name: a}]").approval_digests == frozenset()
    one = "approve: [{name: b, approvers: {groups: [g]}}, {name: c, session: {}, approvers: {groups: [g]}}]"
    watching = "approve: [{name: d, observe: true, approvers: {groups: [g]}}]"
    digests = snapshot(one, watching).approval_digests
    assert len(digests) == 3
    assert digests == snapshot(watching, one).approval_digests
    allowing = snapshot("allow: [{name: a}]", one, watching)
    asked = (*decided(allowing, "select").approvals, *allowing.admits(ALICE, NOON).approvals)
    assert {terms.digest for terms in asked} < digests


# ---------------------------------------------------------------- 11: observe


def test_an_observed_approve_is_named_and_lets_go() -> None:
    policy = snapshot(
        """
        allow: [{name: a}]
        deny: [{name: watch drops, sql: {verbs: [drop]}, observe: true}]
        approve:
          - {name: watch changes, sql: {verbs: [update]}, observe: true, message: unheard, approvers: {groups: [g]}}
          - {name: watch access, observe: true, session: {max: 1s, record: synced}, approvers: {groups: [g]}}
          - {name: deletes, sql: {verbs: [delete]}, approvers: {groups: [g]}}
        """
    )
    assert decided(policy, "update") == Decision(Outcome.ALLOW, ("a",), observed=("watch changes",))
    assert policy.admits(ALICE, NOON) == Decision(Outcome.ALLOW, ("a",), observed=("watch access",))
    asked = decided(policy, "delete", "update", "drop")
    assert (asked.outcome, asked.rules, asked.observed) == (
        Outcome.APPROVE,
        ("deletes",),
        ("watch changes", "watch drops"),
    )
    assert [one.rule for one in asked.approvals] == ["deletes"]
    assert policy.limits(ALICE, NOON) == SessionLimits()


def test_what_is_denied_anyway_is_not_observed() -> None:
    policy = snapshot("approve: [{name: watch, observe: true, approvers: {groups: [g]}}]")
    assert decided(policy, "select") == Decision(Outcome.DENY)


# ---------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("condition", "done", "asks"),
    [
        ("verbs: [update, delete]", operation("select", "update"), True),
        ("verbs: [update, delete]", operation("select"), False),
        ("relations: [public.orders]", operation("select", relations={"public.orders", "a.b"}), True),
        ("relations: [public.orders]", operation("select", relations={"a.b"}), False),
        ("functions: [pg_sleep]", operation("select", functions={"pg_catalog.pg_sleep"}), True),
        ("functions: [pg_sleep]", operation("select", functions={"now"}), False),
        ("labels_touched: ['pii.*']", operation("select", labels={"pii.email"}), True),
        ("labels_touched: ['pii.*']", operation("select"), False),
        ("without_where: true", operation("select", without_where=True), True),
        ("without_where: true", operation("select"), False),
        ("max_rows: 10", operation("select"), True),
        ("max_rows: 10", operation("select", row_bound=10), False),
        ("matches: ['secret']", operation("select", normalised="select secret"), True),
        ("matches: ['secret']", operation("select", normalised="select $1"), False),
        ("databases: [orders]", operation("select"), True),
        ("databases: [other]", operation("select"), False),
        ("verbs: [update], without_where: true", operation("update"), False),
        ("verbs: [update], without_where: true", operation("update", without_where=True), True),
    ],
)
def test_conditions_on_operations_are_read_as_a_denys(condition: str, done: SqlOperation, asks: bool) -> None:
    labels = "labels: {pii.email: {columns: {orders: [a.b.c]}}}"
    approve = f"approve: [{{name: b, sql: {{{condition}}}, approvers: {{groups: [g]}}}}]"
    asking = snapshot(labels, "allow: [{name: a}]", approve)
    denying = snapshot(labels, "allow: [{name: a}]", f"deny: [{{name: b, sql: {{{condition}}}}}]")
    assert (asking.decide(ALICE, done, NOON).outcome is Outcome.APPROVE) is asks
    assert (denying.decide(ALICE, done, NOON).outcome is Outcome.DENY) is asks


def test_unknown_targets_and_labels_are_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        snapshot("approve: [{name: a, targets: [order], sql: {labels_touched: [pii]}, approvers: {groups: [g]}}]")
    assert [problem.path for problem in caught.value.problems] == [
        ("approve", 0, "targets", 0),
        ("approve", 0, "sql", "labels_touched", 0),
    ]
    assert "did you mean `orders`" in caught.value.problems[0].mend


def test_a_decision_lasts_unless_an_approve_that_concerns_it_looks_at_the_clock() -> None:
    policy = snapshot(
        """
        allow: [{name: a}]
        approve:
          - {name: b, approvers: {groups: [g]}}
          - {name: c, targets: [sandbox], times: {days: [sun]}, session: {}, approvers: {groups: [g]}}
        """
    )
    assert decided(policy, "select").lasting
    assert policy.admits(ALICE, NOON).lasting
    in_sandbox = access("alice", to=SANDBOX)
    assert not decided(policy, "select", by=in_sandbox).lasting
    assert policy.admits(in_sandbox, NOON).outcome is Outcome.ALLOW
    assert policy.admits(in_sandbox, NOON + 4 * 86400).outcome is Outcome.APPROVE


# ---------------------------------------------------------------- sessions


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ("{}", SessionLimits(8 * 3600.0, 3600.0)),
        ("{max: 1h, idle: 2h}", SessionLimits(3600.0, 3600.0)),
        ("{max: 9h, idle: 1m, record: synced}", SessionLimits(8 * 3600.0, 60.0, "synced")),
        ("{record: written}", SessionLimits(8 * 3600.0, 3600.0)),
    ],
)
def test_session_terms_count_among_the_strictest(said: str, limits: SessionLimits) -> None:
    policy = snapshot(
        "allow: [{name: a, session: {max: 8h, idle: 1h}}]",
        f"approve: [{{name: b, session: {said}, approvers: {{groups: [g]}}}}]",
    )
    assert policy.limits(ALICE, NOON) == limits
    assert policy.admits(ALICE, NOON).durability == limits.durability
    assert decided(policy, "select").durability == limits.durability


def test_session_terms_count_only_while_their_entry_holds() -> None:
    policy = snapshot(
        """
        allow: [{name: a}]
        approve:
          - {name: b, until: "2020-01-01T00:00:00Z", session: {max: 1s, record: synced}, approvers: {groups: [g]}}
          - {name: c, groups: [others], session: {max: 1s, record: synced}, approvers: {groups: [g]}}
        """
    )
    assert policy.limits(ALICE, NOON) == SessionLimits()
    assert decided(policy, "select").durability == "written"


def test_an_approve_can_end_sessions_with_their_identity() -> None:
    allow = "allow: [{name: a, session: {max: 1h, expire: session}}]"
    approve = "approve: [{name: b, session: {expire: identity}, approvers: {groups: [g]}}]"
    assert not snapshot(allow).limits(ALICE, NOON).ends_with_identity
    assert snapshot(allow, approve).limits(ALICE, NOON).ends_with_identity
