"""What holds for every policy: against the reference, and against policies that differ in one entry."""

from __future__ import annotations

import json
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from policy import reference
from policy.made import NOON, TARGETS, access, operation, snapshot

from gateway.model import Access, Outcome, SqlOperation
from gateway.policy import Snapshot, explain
from gateway.policy.review import review
from gateway.verbs import VERBS

Written = dict[str, Any]

LABELS = ["pii.email", "pii.ssn", "pci.pan"]
RELATIONS = ["public.a", "public.b", "crm.a"]
FUNCTIONS = ["f", "g", "h"]
SOME_VERBS = [
    "select",
    "insert",
    "update",
    "drop",
    "copy_program",
    "do",
    "set_unsafe",
    "set_role",
    "begin",
    "set",
    "fetch",
]


def several(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


def optional(fields: dict[str, st.SearchStrategy[Any]], **always: st.SearchStrategy[Any]) -> st.SearchStrategy[Written]:
    return st.fixed_dictionaries(always, optional=fields)


WHO_AND_WHAT: dict[str, st.SearchStrategy[Any]] = {
    "principals": several("alice", "bob", "al*", "*"),
    "groups": several("g1", "g2", "g?", "*"),
    "kind": st.sampled_from(["human", "machine"]),
    "factors": several("certificate", "password"),
    "from": several("10.0.0.0/8", "10.1.2.3", "192.0.2.0/24"),
    "targets": several("orders", "sandbox", "*", "or*"),
    "tags": st.fixed_dictionaries({"env": st.sampled_from(["prod", "dev", "*"])}),
}
WHEN: dict[str, st.SearchStrategy[Any]] = {
    "until": st.sampled_from(["2020-01-01T00:00:00+00:00", "2030-01-01T00:00:00+00:00"]),
    "times": st.fixed_dictionaries({"days": several("wed", "thu")}),
}
SQL: dict[str, st.SearchStrategy[Any]] = {
    "databases": several("orders", "other"),
    "roles": several("app", "admin*"),
    "verbs": several(*SOME_VERBS, "read", "dml", "ddl", "tcl"),
    "relations": several(*RELATIONS, "public.*", "*"),
    "functions": several(*FUNCTIONS),
    "labels_touched": several(*LABELS, "pii.*"),
    "without_where": st.booleans(),
    "max_rows": st.sampled_from([0, 10]),
}
sql_section = optional(SQL).filter(bool)
names = st.sampled_from("abcdefgh")
lives = optional(
    {
        "idle": st.sampled_from(["30s", "1h"]),
        "record": st.just("synced"),
        "expire": st.sampled_from(["identity", "session"]),
    },
    max=st.sampled_from(["30s", "1h"]),
)
allow_entries = optional({**WHO_AND_WHAT, **WHEN, "sql": sql_section, "session": lives}, name=names)
deny_entries = optional({**WHO_AND_WHAT, **WHEN, "sql": sql_section, "observe": st.booleans()}, name=names)


approve_entries = st.builds(
    lambda who, about: {**who, **about},
    optional(
        {**WHO_AND_WHAT, **WHEN, "observe": st.booleans(), "wait": st.sampled_from(["1m", "1h"])},
        name=names,
        approvers=st.fixed_dictionaries(
            {"groups": several("on-call", "dba"), "needed": st.integers(1, 2)}, optional={"principals": several("bob")}
        ),
    ),
    st.one_of(
        st.just({}),
        st.fixed_dictionaries({"sql": sql_section}),
        st.fixed_dictionaries(
            {
                "session": optional(
                    {
                        "max": st.sampled_from(["1m", "2h"]),
                        "idle": st.just("1m"),
                        "record": st.sampled_from(["written", "synced"]),
                        "expire": st.just("identity"),
                    }
                )
            }
        ),
    ),
)


def with_method(mask: Written) -> Written:
    """`clear` needs a named who; without one the mask is redact."""
    who = mask.get("principals", []) + mask.get("groups", [])
    return mask if mask["method"] != "clear" or (who and "*" not in who) else {**mask, "method": "redact"}


methods = st.sampled_from(["null", "redact", "clear", {"partial": {"keep_last": 4}}, {"partial": {"keep_first": 2}}])
mask_entries = optional(WHO_AND_WHAT, labels=several(*LABELS, "pii.*", "*"), method=methods).map(with_method)
labels = st.fixed_dictionaries(
    {
        name: optional(
            {"default": st.fixed_dictionaries({"method": methods.filter(lambda method: method != "clear")})},
            columns=st.just({"orders": [f"public.t.c{index}"]}),
        )
        for index, name in enumerate(LABELS)
    }
)
policies = st.fixed_dictionaries(
    {
        "labels": labels,
        "allow": st.lists(allow_entries, max_size=4),
        "deny": st.lists(deny_entries, max_size=3),
        "approve": st.lists(approve_entries, max_size=3),
        "masks": st.lists(mask_entries, max_size=4),
    }
)
accesses = st.builds(
    access,
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["g1", "g2", "g3"]),
    to=st.sampled_from(TARGETS),
    database=st.sampled_from(["orders", "other"]),
    role=st.sampled_from(["app", "admin1"]),
    address=st.sampled_from(["10.1.2.3", "10.9.9.9", "192.0.2.1"]),
    kind=st.sampled_from(["human", "machine"]),
    factors=st.sampled_from([frozenset({"certificate"}), frozenset({"password"}), frozenset()]),
)


@st.composite
def operations(draw: st.DrawFn) -> SqlOperation:
    def some(values: list[str]) -> list[str]:
        return draw(st.lists(st.sampled_from(values), max_size=2))

    return operation(
        *some(SOME_VERBS),
        relations=some(RELATIONS),
        functions=some(FUNCTIONS),
        untrusted_functions=some(FUNCTIONS) if draw(st.booleans()) else [],
        labels=some(LABELS),
        without_where=draw(st.booleans()),
        row_bound=draw(st.sampled_from([None, 0, 10, 11])),
        opaque=draw(st.sampled_from([None, None, "not understood"])),
    )


def compiled(*policies: Written) -> Snapshot:
    return snapshot(*map(json.dumps, policies))


@settings(max_examples=500)
@given(policies, accesses, operations())
def test_decides_as_the_reference_does(policy: Written, who: Access, done: SqlOperation) -> None:
    decision = compiled(policy).decide(who, done, NOON)
    outcome, rules, observed = reference.decide(policy, who, done, NOON)
    assert decision.outcome.value == outcome
    assert decision.rules == tuple(rules)
    assert decision.observed == tuple(observed)


@settings(max_examples=300)
@given(policies, accesses)
def test_admits_as_the_reference_does(policy: Written, who: Access) -> None:
    decision = compiled(policy).admits(who, NOON)
    outcome, rules, observed = reference.admits(policy, who, NOON)
    assert decision.outcome.value == outcome
    assert decision.rules == tuple(rules)
    assert decision.observed == tuple(observed)


@given(policies, accesses, operations())
def test_there_are_approvals_if_and_only_if_the_outcome_is_approve(
    policy: Written, who: Access, done: SqlOperation
) -> None:
    rules = compiled(policy)
    for decision in (rules.decide(who, done, NOON), rules.admits(who, NOON)):
        assert bool(decision.approvals) is (decision.outcome is Outcome.APPROVE)
        if decision.approvals:
            assert tuple(dict.fromkeys(terms.rule for terms in decision.approvals)) == decision.rules
            assert {terms.digest for terms in decision.approvals} <= rules.approval_digests


@settings(max_examples=300)
@given(policies, accesses, st.lists(st.sampled_from(LABELS), unique=True))
def test_masks_as_the_reference_does(policy: Written, who: Access, touched: list[str]) -> None:
    method = compiled(policy).method_for(who, touched)
    assert (method.name, method.keep_first + method.keep_last) == reference.method(policy, who, touched)


@given(policies, accesses, operations(), st.randoms(use_true_random=False))
def test_the_order_of_entries_and_files_never_matters(
    policy: Written, who: Access, done: SqlOperation, random: Any
) -> None:
    files: list[Written] = [{"labels": policy["labels"]}]
    for kind in ("allow", "deny", "approve", "masks"):
        files += [{kind: [entry]} for entry in policy[kind]]
    random.shuffle(files)
    one, many = compiled(policy), compiled(*files)
    assert one.decide(who, done, NOON) == many.decide(who, done, NOON)
    assert one.admits(who, NOON) == many.admits(who, NOON)
    assert one.limits(who, NOON) == many.limits(who, NOON)
    assert one.approval_digests == many.approval_digests
    assert one.column_labels("orders") == many.column_labels("orders")
    assert [one.method_for(who, [label]) for label in LABELS] == [many.method_for(who, [label]) for label in LABELS]


@given(policies, deny_entries, accesses, operations())
def test_a_deny_more_never_allows_more(policy: Written, deny: Written, who: Access, done: SqlOperation) -> None:
    before = compiled(policy)
    after = compiled({**policy, "deny": [*policy["deny"], deny]})
    if before.decide(who, done, NOON).outcome is Outcome.DENY:
        assert after.decide(who, done, NOON).outcome is Outcome.DENY
    if before.admits(who, NOON).outcome is Outcome.DENY:
        assert after.admits(who, NOON).outcome is Outcome.DENY
    if deny.get("observe"):
        assert after.decide(who, done, NOON).outcome is before.decide(who, done, NOON).outcome


WIDTH = [Outcome.DENY, Outcome.APPROVE, Outcome.ALLOW]


@settings(max_examples=300)
@given(policies, approve_entries, accesses, operations())
def test_an_approve_never_widens(policy: Written, approve: Written, who: Access, done: SqlOperation) -> None:
    """A deny stays a deny, by the same entries; nothing else gets wider; nobody's session lives longer."""
    before = compiled(policy)
    after = compiled({**policy, "approve": [*policy["approve"], approve]})
    for one, other in (
        (before.decide(who, done, NOON), after.decide(who, done, NOON)),
        (before.admits(who, NOON), after.admits(who, NOON)),
    ):
        assert WIDTH.index(other.outcome) <= WIDTH.index(one.outcome)
        assert (other.outcome is Outcome.DENY) is (one.outcome is Outcome.DENY)
        if one.outcome is Outcome.DENY or approve.get("observe"):
            assert (other.outcome, other.rules, other.approvals) == (one.outcome, one.rules, one.approvals)
        assert set(one.approvals) <= set(other.approvals)
        assert other.durability in (one.durability, "synced")
    shorter, longer = after.limits(who, NOON), before.limits(who, NOON)
    assert (shorter.max or inf) <= (longer.max or inf)
    assert (shorter.idle or inf) <= (longer.idle or inf)
    assert shorter.ends_with_identity >= longer.ends_with_identity
    if approve.get("observe"):
        assert shorter == longer


@given(policies, accesses, operations())
def test_without_approve_entries_nothing_else_is_allowed(policy: Written, who: Access, done: SqlOperation) -> None:
    bare, whole = compiled({**policy, "approve": []}), compiled(policy)
    if bare.decide(who, done, NOON).outcome is not Outcome.ALLOW:
        assert whole.decide(who, done, NOON).outcome is Outcome.DENY
    if bare.admits(who, NOON).outcome is not Outcome.ALLOW:
        assert whole.admits(who, NOON).outcome is Outcome.DENY


@given(policies, allow_entries, accesses, operations())
def test_an_allow_less_never_allows_more(policy: Written, allow: Written, who: Access, done: SqlOperation) -> None:
    more = compiled({**policy, "allow": [*policy["allow"], allow]})
    if more.decide(who, done, NOON).outcome is Outcome.DENY:
        assert compiled(policy).decide(who, done, NOON).outcome is Outcome.DENY


@given(policies, accesses, operations())
def test_without_allow_entries_nothing_is_allowed(policy: Written, who: Access, done: SqlOperation) -> None:
    empty = compiled({**policy, "allow": []})
    assert empty.decide(who, done, NOON).outcome is Outcome.DENY
    assert empty.admits(who, NOON).outcome is Outcome.DENY


@given(policies, accesses, operations())
def test_what_is_allowed_is_admitted(policy: Written, who: Access, done: SqlOperation) -> None:
    """No operation of a connection that would be refused is allowed: a session without rights can be ended."""
    rules = compiled(policy)
    if rules.decide(who, done, NOON).outcome is not Outcome.DENY:
        assert rules.admits(who, NOON).outcome is not Outcome.DENY


@given(policies, accesses, operations())
def test_not_understanding_never_allows_more(policy: Written, who: Access, done: SqlOperation) -> None:
    rules = compiled(policy)
    opaque, understood = (
        rules.decide(who, one, NOON) for one in (operation(*done.verbs, opaque="not understood"), done)
    )
    assert WIDTH.index(opaque.outcome) <= WIDTH.index(understood.outcome)
    if opaque.approvals:
        assert set(understood.approvals) <= set(opaque.approvals)


@given(policies, accesses, operations(), st.sampled_from(sorted(VERBS)))
def test_doing_more_never_allows_more(policy: Written, who: Access, done: SqlOperation, verb: str) -> None:
    rules = compiled(policy)
    more = operation(
        *done.verbs,
        verb,
        relations=done.relations | {"public.c"},
        functions=done.functions | {"other"},
        untrusted_functions=done.untrusted_functions | {"other"},
        labels=done.labels | {"pci.pan"},
        without_where=done.without_where,
        row_bound=None,
        opaque=done.opaque,
    )
    assert WIDTH.index(rules.decide(who, more, NOON).outcome) <= WIDTH.index(rules.decide(who, done, NOON).outcome)


@given(policies, mask_entries, accesses, st.sampled_from(LABELS))
def test_a_mask_more_for_the_same_who_never_shows_more(policy: Written, mask: Written, who: Access, label: str) -> None:
    """Only a more specific who, or a mask where there was none, can loosen."""
    again = [{**entry, "method": mask["method"]} for entry in policy["masks"]]
    added = [with_method(entry) for entry in again]
    before = compiled(policy).method_for(who, [label])
    after = compiled({**policy, "masks": [*policy["masks"], *added]}).method_for(who, [label])
    assert after.strictness <= before.strictness


@given(policies, accesses, st.lists(st.sampled_from(LABELS)), st.sampled_from(LABELS))
def test_a_label_more_never_shows_more(policy: Written, who: Access, some: list[str], more: str) -> None:
    rules = compiled(policy)
    assert rules.method_for(who, [*some, more]).strictness <= rules.method_for(who, some).strictness


@given(policies, accesses, st.none() | operations())
def test_an_explanation_tells_the_decisions_story(policy: Written, who: Access, done: SqlOperation | None) -> None:
    rules = compiled(policy)
    told = explain(rules, who, done, NOON)
    assert told.decision == (rules.admits(who, NOON) if done is None else rules.decide(who, done, NOON))
    assert len(told.entries) == len(rules.entries)
    matching = [finding for finding in told.entries if finding.matches]
    refusing = {finding.name for finding in matching if finding.effect == "deny" and not finding.observe}
    allowing = {finding.name for finding in matching if finding.effect == "allow"}
    asking = {finding.name for finding in matching if finding.effect == "approve" and not finding.observe}
    assert set(told.decision.rules) == (refusing or (allowing and (asking or allowing)))
    assert all(finding.reasons for finding in told.entries if not finding.matches)
    assert str(told)


@given(policies, accesses, operations())
def test_an_entry_that_is_said_to_be_shadowed_never_allows(policy: Written, who: Access, done: SqlOperation) -> None:
    unique = {**policy, "allow": [{**entry, "name": f"allow {i}"} for i, entry in enumerate(policy["allow"])]}
    rules = compiled(unique)
    for warning in review(rules, TARGETS, NOON):
        if "can never allow" in warning.problem:
            name = unique["allow"][warning.path[1]]["name"]
            decision = rules.decide(who, done, NOON)
            assert decision.outcome is Outcome.DENY or name not in decision.rules


few = {"kind": WHO_AND_WHAT["kind"], "principals": several("alice", "al*"), "tags": WHO_AND_WHAT["tags"]}
narrow = optional(
    {
        "verbs": several("select", "insert", "update", "dml"),
        "relations": several("public.a", "crm.a", "public.*"),
        "labels_touched": several("pii.email", "pii.*", "pci.pan"),
        "without_where": st.booleans(),
        "max_rows": st.sampled_from([0, 10]),
    }
).filter(bool)

plain_operations = st.builds(
    operation,
    st.sampled_from(["select", "insert", "update"]),
    relations=st.sampled_from([(), ("public.a",), ("crm.a",)]),
    labels=st.sampled_from([(), ("pii.email",), ("pci.pan",)]),
    without_where=st.booleans(),
    row_bound=st.sampled_from([None, 0, 10, 11]),
    opaque=st.sampled_from([None, None, None, "not understood"]),
)


@settings(max_examples=1000)
@given(
    optional({**few, "sql": narrow}, name=st.just("a")),
    st.lists(optional({**few, "sql": narrow}, name=st.just("d")), max_size=1),
    optional({**few, "sql": narrow}, name=st.just("asks"), approvers=st.just({"groups": ["g"]})),
    st.sampled_from(["human", "machine"]),
    plain_operations,
)
def test_an_entry_that_is_said_never_to_ask_never_asks(
    allow: Written, denies: list[Written], approve: Written, kind: str, done: SqlOperation
) -> None:
    """With few conditions, so that entries often meet, and the review has something to say about one in three."""
    bound = {name: {"columns": {"orders": ["public.t.c"]}} for name in LABELS}
    rules = compiled({"labels": bound, "allow": [allow], "deny": denies, "approve": [approve]})
    if any("can never ask" in warning.problem for warning in review(rules, TARGETS, NOON)):
        decision = rules.decide(access("alice", kind=kind), done, NOON)
        assert "asks" not in (*decision.rules, *decision.observed)
