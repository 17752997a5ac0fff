"""The semantics of policy.md, line by line; the numbers are that page's."""

from __future__ import annotations

import pytest
from policy.made import NOON, SANDBOX, access, operation, snapshot, target

from gateway.detectors import OwnDetector
from gateway.json_paths import parse_path
from gateway.model import Decision, Method, Outcome
from gateway.policy import SessionLimits, Snapshot
from gateway.policy.entries import Label
from gateway.policy.snapshot import REDACT, strictest

ALICE = access("alice", "analysts")
DBA = access("dora", "dba")

POLICY = """
labels:
  pii.email: {columns: {orders: [public.customers.email]}}
allow:
  - {name: analysts read, groups: [analysts], targets: [orders], sql: {verbs: [select]}}
  - {name: dba does all, groups: [dba], targets: ["*"]}
deny:
  - {name: nobody destroys, targets: ["*"], tags: {env: prod}, sql: {verbs: [drop, truncate]}, message: ask the DBA}
"""


def decided(policy: Snapshot, *verbs: str, by: object = ALICE, **facts: object) -> Decision:
    return policy.decide(by, operation(*verbs, **facts), NOON)  # type: ignore[arg-type]  # test shorthand


# ---------------------------------------------------------------- 1: the decision


def test_a_matching_deny_denies_although_it_is_allowed() -> None:
    decision = decided(snapshot(POLICY), "drop", by=DBA)
    assert decision == Decision(Outcome.DENY, ("nobody destroys",), message="ask the DBA")


def test_no_matching_allow_denies_and_names_nobody() -> None:
    assert decided(snapshot(POLICY), "insert") == Decision(Outcome.DENY)


def test_a_matching_allow_allows() -> None:
    assert decided(snapshot(POLICY), "select") == Decision(Outcome.ALLOW, ("analysts read",))


def test_a_decision_names_every_entry_that_made_it_in_a_stable_order() -> None:
    policy = snapshot(
        """
        allow: [{name: b, groups: [analysts]}, {name: a, principals: [alice]}, {name: c, groups: [others]}]
        """
    )
    assert decided(policy, "select").rules == ("a", "b")
    denying = snapshot("allow: [{name: a}]\ndeny: [{name: z}, {name: y, message: two}, {name: x, message: one}]")
    assert decided(denying, "select") == Decision(Outcome.DENY, ("x", "y", "z"), message="one")


def test_the_order_of_files_and_entries_does_not_matter() -> None:
    one = "allow: [{name: a, groups: [analysts]}]"
    two = "deny: [{name: b, sql: {verbs: [drop]}}]"
    for verb in ("select", "drop"):
        assert decided(snapshot(one, two), verb) == decided(snapshot(two, one), verb)


# ---------------------------------------------------------------- 2: no


@pytest.mark.parametrize("verb", ["select", "begin", "set", "show"])
def test_an_empty_policy_allows_nothing(verb: str) -> None:
    assert decided(snapshot(""), verb) == Decision(Outcome.DENY)
    assert snapshot().admits(ALICE, NOON) == Decision(Outcome.DENY)


def test_denies_alone_allow_nothing() -> None:
    assert decided(snapshot("deny: [{name: a, sql: {verbs: [drop]}}]"), "select").outcome is Outcome.DENY


def test_a_principal_without_groups_gets_nothing_that_names_groups() -> None:
    assert decided(snapshot(POLICY), "select", by=access("alice")) == Decision(Outcome.DENY)
    every_group = snapshot("allow: [{name: a, groups: ['*']}]")
    assert decided(every_group, "select", by=access("alice")) == Decision(Outcome.DENY)


def test_a_target_that_no_entry_names_is_a_no() -> None:
    elsewhere = access("alice", "analysts", to=target("unheard-of"))
    assert decided(snapshot(POLICY), "select", by=elsewhere) == Decision(Outcome.DENY)
    assert snapshot(POLICY).admits(elsewhere, NOON) == Decision(Outcome.DENY)


@pytest.mark.parametrize("address", ["", "not an address", "10.0.0.0/8", "/run/socket"])
def test_a_source_that_cannot_be_read_is_no_to_allow_and_yes_to_deny(address: str) -> None:
    allowing = snapshot("allow: [{name: a, from: ['0.0.0.0/0', '::/0']}]")
    denying = snapshot("allow: [{name: a}]\ndeny: [{name: b, from: [192.0.2.0/24]}]")
    assert decided(allowing, "select", by=access(address=address)) == Decision(Outcome.DENY)
    assert decided(denying, "select", by=access(address=address)) == Decision(Outcome.DENY, ("b",))


# ---------------------------------------------------------------- 3: connections


def test_a_connection_is_refused_unless_some_allow_could_apply() -> None:
    policy = snapshot(POLICY)
    assert policy.admits(ALICE, NOON) == Decision(Outcome.ALLOW, ("analysts read",))
    assert policy.admits(access("alice", "analysts", to=SANDBOX), NOON) == Decision(Outcome.DENY)
    assert policy.admits(access("bob", "others"), NOON) == Decision(Outcome.DENY)


def test_database_and_role_count_for_the_connection() -> None:
    policy = snapshot("allow: [{name: a, sql: {databases: [reports-*], roles: [ro]}}]")
    assert policy.admits(access(database="reports-1", role="ro"), NOON).outcome is Outcome.ALLOW
    assert policy.admits(access(database="orders", role="ro"), NOON).outcome is Outcome.DENY
    assert policy.admits(access(database="reports-1", role="rw"), NOON).outcome is Outcome.DENY


def test_conditions_on_operations_do_not_count_for_the_connection() -> None:
    policy = snapshot("allow: [{name: a, sql: {verbs: [select], max_rows: 1, relations: [x.y]}}]")
    assert policy.admits(ALICE, NOON).outcome is Outcome.ALLOW


def test_a_deny_of_every_operation_denies_the_connection() -> None:
    policy = snapshot(
        "allow: [{name: a}]\ndeny: [{name: b, principals: [alice]}, {name: c, sql: {databases: [secret]}}]"
    )
    assert policy.admits(ALICE, NOON) == Decision(Outcome.DENY, ("b",))
    assert policy.admits(access("bob"), NOON).outcome is Outcome.ALLOW
    assert policy.admits(access("bob", database="secret"), NOON) == Decision(Outcome.DENY, ("c",))


# ---------------------------------------------------------------- 4: opaque operations


def test_an_opaque_operation_matches_every_deny_that_could_apply() -> None:
    decision = decided(snapshot(POLICY), by=DBA, opaque="syntax error")
    assert decision == Decision(Outcome.DENY, ("nobody destroys",), message="ask the DBA")


@pytest.mark.parametrize(
    "condition",
    [
        "verbs: [copy_program]",
        "relations: [public.secrets]",
        "functions: [pg_sleep]",
        "labels_touched: [pii.email]",
        "without_where: true",
        "without_where: false",
        "max_rows: 1000000",
        "matches: ['xyzzy']",
        "verbs: [drop], relations: [a.b], matches: ['c']",
    ],
)
def test_whatever_a_deny_says_about_operations_opaque_matches(condition: str) -> None:
    policy = snapshot(POLICY, f"deny: [{{name: d, sql: {{{condition}}}}}]")
    decision = decided(policy, "select", by=access("dora", "dba", to=SANDBOX), opaque="?", row_bound=0)
    assert decision == Decision(Outcome.DENY, ("d",))


def test_a_deny_that_cannot_apply_here_does_not_match_opaque() -> None:
    elsewhere = access("dora", "dba", to=SANDBOX)
    assert decided(snapshot(POLICY), by=elsewhere, opaque="?") == Decision(Outcome.ALLOW, ("dba does all",))
    others = snapshot(
        """
        allow: [{name: a}]
        deny:
          - {name: group, groups: [others], sql: {verbs: [drop]}}
          - {name: database, sql: {databases: [other], verbs: [drop]}}
          - {name: role, sql: {roles: [other], verbs: [drop]}}
          - {name: network, from: [192.0.2.0/24], sql: {verbs: [drop]}}
        """
    )
    assert decided(others, opaque="?") == Decision(Outcome.ALLOW, ("a",))


@pytest.mark.parametrize(
    "condition",
    ["verbs: [select]", "databases: ['*']", "roles: ['*']", "relations: ['*']", "max_rows: 5", "functions: ['*']",
     "without_where: false", "labels_touched: ['*']", "verbs: [read, dml, ddl, dcl, tcl, session, do, unknown]"],
)  # fmt: skip
def test_an_opaque_operation_needs_an_allow_without_any_sql_condition(condition: str) -> None:
    limited = snapshot(f"allow: [{{name: a, sql: {{{condition}}}}}]")
    assert decided(limited, "select", opaque="?", row_bound=0) == Decision(Outcome.DENY)
    assert decided(limited, "begin", opaque="?") == Decision(Outcome.DENY)
    unlimited = snapshot(f"allow: [{{name: a, sql: {{{condition}}}}}, {{name: b, groups: [analysts]}}]")
    assert decided(unlimited, "select", opaque="?") == Decision(Outcome.ALLOW, ("b",))


@pytest.mark.parametrize("verb", ["unknown", "invented"])
def test_a_verb_that_the_catalogue_does_not_know_is_opaque(verb: str) -> None:
    policy = snapshot(POLICY)
    assert decided(policy, "select", verb).outcome is Outcome.DENY
    assert decided(policy, verb, by=DBA).rules == ("nobody destroys",)
    assert decided(policy, verb, by=access("dora", "dba", to=SANDBOX)).outcome is Outcome.ALLOW


# ---------------------------------------------------------------- 5: functions


def test_a_function_that_is_not_known_to_be_harmless_makes_it_opaque() -> None:
    policy = snapshot("allow: [{name: a, groups: [analysts], sql: {verbs: [select]}}]")
    assert decided(policy, "select", functions={"count"}).outcome is Outcome.ALLOW
    assert decided(policy, "select", untrusted_functions={"crm.total"}) == Decision(Outcome.DENY)


def test_it_is_opaque_to_a_deny_with_a_sql_condition_too() -> None:
    """It could drop a table; only that nobody forbids anything lets it through."""
    policy = snapshot(POLICY)
    assert decided(policy, "select", by=DBA, untrusted_functions={"f"}).rules == ("nobody destroys",)
    free = access("dora", "dba", to=SANDBOX)
    assert decided(policy, "select", by=free, untrusted_functions={"f"}).rules == ("dba does all",)


@pytest.mark.parametrize(
    ("trusted", "called", "outcome"),
    [
        ("crm.total", "crm.total", "allow"),
        ("CRM.Total", "crm.total", "allow"),
        ("crm.*", "crm.total", "allow"),
        ("total", "total", "allow"),
        ("total", "crm.total", "allow"),
        ("tot*", "crm.total", "allow"),
        ("crm.total", "total", "deny"),
        ("crm.*", "total", "deny"),
        ("crm.total", "evil.total", "deny"),
        ("crm.total", "crm.total2", "deny"),
        ("total", "total.evil", "deny"),
    ],
)
def test_functions_of_an_allow_are_trusted(trusted: str, called: str, outcome: str) -> None:
    policy = snapshot(f"allow: [{{name: a, sql: {{verbs: [select], functions: [{trusted!r}]}}}}]")
    assert decided(policy, "select", untrusted_functions={called}).outcome.value == outcome


def test_trust_is_the_union_over_allow_entries_for_this_principal_here_and_now() -> None:
    policy = snapshot(
        """
        allow:
          - {name: reads, groups: [analysts], sql: {verbs: [select]}}
          - {name: trusts f, principals: [alice], sql: {verbs: [insert], functions: [f]}}
          - {name: trusts g, principals: [bob], sql: {functions: [g]}}
          - {name: trusts h, targets: [sandbox], sql: {functions: [h]}}
          - {name: trusted i, until: "2020-01-01T00:00:00Z", sql: {functions: [i]}}
        """
    )
    assert decided(policy, "select", untrusted_functions={"f"}).outcome is Outcome.ALLOW
    for name in "ghi":
        assert decided(policy, "select", untrusted_functions={name}).outcome is Outcome.DENY
    assert decided(policy, "select", untrusted_functions={"f", "g"}).outcome is Outcome.DENY


def test_functions_of_an_allow_are_no_condition() -> None:
    policy = snapshot("allow: [{name: a, sql: {verbs: [select], functions: [f]}}]")
    assert decided(policy, "select", functions={"count"}).outcome is Outcome.ALLOW


# ---------------------------------------------------------------- 6: several statements


def test_the_verbs_of_all_statements_of_a_message_count() -> None:
    policy = snapshot(POLICY)
    assert decided(policy, "select", "insert") == Decision(Outcome.DENY)
    assert decided(policy, "select", "drop", by=DBA).rules == ("nobody destroys",)


# ---------------------------------------------------------------- 8: masks

MASKS = """
labels:
  pii.email: {columns: {orders: [public.customers.email]}}
  pii.ssn: {columns: {orders: [public.customers.ssn]}, default: {method: "null"}}
  pci.pan: {columns: {orders: [public.cards.pan]}, default: {method: {partial: {keep_last: 4}}}}
masks:
  - {labels: ["pii.*"], method: redact}
  - {labels: [pii.email], groups: [support], method: {partial: {keep_first: 2}}}
  - {labels: [pii.email], groups: [angry], method: "null"}
  - {labels: [pii.email], principals: [dora], method: clear}
  - {labels: [pii.email], principals: ["d*"], groups: [angry], method: {partial: {keep_last: 3}}}
"""


@pytest.mark.parametrize(
    ("who", "label", "method"),
    [
        (access("a"), "pii.email", Method("redact")),
        (access("a", "support"), "pii.email", Method("partial", 2)),
        (access("a", "support", "angry"), "pii.email", Method("null")),
        (access("dora", "support"), "pii.email", Method("clear")),
        (access("dora", "angry"), "pii.email", Method("partial", 0, 3)),
        (access("a"), "pii.ssn", Method("redact")),
        (access("a"), "pci.pan", Method("partial", 0, 4)),
        (access("a"), "never.heard.of", Method("redact")),
    ],
)
def test_the_most_specific_who_wins_then_the_strictest(who: object, label: str, method: Method) -> None:
    assert snapshot(MASKS).method_for(who, [label]) == method  # type: ignore[arg-type]  # an access


def test_over_the_labels_of_a_value_the_strictest_wins() -> None:
    policy = snapshot(MASKS)
    dora = access("dora")
    assert policy.method_for(dora, []) == Method("clear")
    assert policy.method_for(dora, ["pii.email", "pci.pan"]) == Method("partial", 0, 4)
    assert policy.method_for(dora, ["pii.email", "pci.pan", "pii.ssn"]) == Method("redact")


def test_without_mask_and_default_a_label_is_redacted() -> None:
    policy = snapshot("labels: {a: {columns: {orders: [x.y.z]}}}")
    assert policy.method_for(ALICE, ["a"]) == REDACT


def test_a_label_whose_masks_do_not_fit_gets_its_default() -> None:
    policy = snapshot(
        """
        labels: {a: {columns: {orders: [x.y.z]}, default: {method: "null"}}}
        masks:
          - {labels: [a], groups: [fraud], method: clear}
          - {labels: [a], targets: [sandbox], method: redact}
        """
    )
    assert policy.method_for(ALICE, ["a"]) == Method("null")
    assert policy.method_for(access("f", "fraud"), ["a"]) == Method("clear")
    assert policy.method_for(access("f", to=SANDBOX), ["a"]) == Method("redact")


@pytest.mark.parametrize("who", ["principals: ['*']", "groups: ['*']", "groups: [analysts, '*']"])
def test_a_star_is_not_more_specific_than_everyone(who: str) -> None:
    policy = snapshot(
        f"""
        labels: {{a: {{columns: {{orders: [x.y.z]}}}}}}
        masks:
          - {{labels: [a], {who}, method: {{partial: {{keep_last: 4}}}}}}
          - {{labels: [a], method: redact}}
        """
    )
    assert policy.method_for(ALICE, ["a"]) == Method("redact")


def test_equally_strict_masks_give_the_same_method_in_any_order() -> None:
    head = "labels: {a: {columns: {orders: [x.y.z]}}}\nmasks:\n"
    first = "  - {labels: [a], method: {partial: {keep_first: 4}}}\n"
    last = "  - {labels: [a], method: {partial: {keep_last: 4}}}\n"
    one, two = snapshot(head + first + last), snapshot(head + last + first)
    assert one.method_for(ALICE, ["a"]) == two.method_for(ALICE, ["a"])


def test_an_unreadable_source_gets_a_networks_mask_only_where_that_hides() -> None:
    policy = snapshot(
        """
        labels: {a: {columns: {orders: [x.y.z]}}, b: {columns: {orders: [x.y.w]}}}
        masks:
          - {labels: [a], groups: [g], from: [10.0.0.0/8], method: clear}
          - {labels: [b], groups: [g], method: clear}
          - {labels: [b], groups: [g], from: [192.0.2.0/24], method: redact}
        """
    )
    inside, nowhere = access("x", "g"), access("x", "g", address="?")
    assert policy.method_for(inside, ["a"]) == policy.method_for(inside, ["b"]) == Method("clear")
    assert policy.method_for(nowhere, ["a"]) == policy.method_for(nowhere, ["b"]) == Method("redact")


def test_column_labels_are_those_of_the_target() -> None:
    policy = snapshot(
        """
        labels:
          b: {columns: {orders: [public.t.x, crm.*.email]}}
          a: {columns: {"*": ["*.*.ssn"], sandbox: [public.t.y]}}
        """
    )
    assert policy.column_labels("orders") == (("*.*.ssn", "a"), ("crm.*.email", "b"), ("public.t.x", "b"))
    assert policy.column_labels("sandbox") == (("*.*.ssn", "a"), ("public.t.y", "a"))
    assert policy.labels[1] == Label("b", "0.yaml", (("orders", "crm.*.email"), ("orders", "public.t.x")))


def test_json_paths_are_those_of_the_target() -> None:
    policy = snapshot(
        """
        labels:
          b: {json: {orders: ["$..email", "$.a[0]"]}}
          a: {json: {"*": ["$.x"], sandbox: ["$.y"]}}
        """
    )
    x, y, email, first = map(parse_path, ("$.x", "$.y", "$..email", "$.a[0]"))
    assert policy.json_paths("orders") == ((x, "a"), (email, "b"), (first, "b"))
    assert policy.json_paths("sandbox") == ((x, "a"), (y, "a"))


# ---------------------------------------------------------------- detectors

DETECTED = """
labels:
  pii.email: {detector: email}
  pii.contact: {detector: email, default: {method: {partial: {keep_last: 4}}}}
  pii.ssn: {detector: us_ssn, columns: {orders: [x.y.z]}}
  hr.staff: {detector: staff_id}
  hr.room: {detector: room}
detectors:
  staff_id: {pattern: '\\bE\\d{6}\\b', context: [staff, Personal], validator: luhn}
  room: {pattern: 'R[0-9]+', max_length: 10}
  unused: {pattern: U}
masks:
  - {labels: [pii.ssn, hr.room], groups: [dba], method: clear}
  - {labels: ["pii.*"], groups: [dba], method: clear}
  - {labels: [pii.contact], groups: [dba], targets: [sandbox], method: redact}
"""


def test_what_a_detector_finds_is_shown_by_the_strictest_of_its_labels() -> None:
    policy = snapshot(DETECTED).for_access(ALICE)
    assert policy.detected == dict.fromkeys(("email", "us_ssn", "staff_id", "room"), REDACT)


def test_what_is_clear_anyway_is_not_searched_for() -> None:
    assert snapshot(DETECTED).for_access(DBA).detected == {"staff_id": REDACT}
    in_sandbox = snapshot(DETECTED).for_access(access("dora", "dba", to=SANDBOX))
    assert in_sandbox.detected == {"email": REDACT, "staff_id": REDACT}


def test_own_detectors_come_with_those_that_are_searched_for() -> None:
    staff = OwnDetector("staff_id", r"\bE\d{6}\b", 7, ("staff", "Personal"), "luhn")
    assert snapshot(DETECTED).for_access(DBA).own_detectors == (staff,)
    assert snapshot(DETECTED).for_access(ALICE).own_detectors == (OwnDetector("room", "R[0-9]+", 10), staff)


def test_a_label_with_a_detector_alone_has_no_columns() -> None:
    assert snapshot(DETECTED).column_labels("orders") == (("x.y.z", "pii.ssn"),)


# ---------------------------------------------------------------- 11: observe


def test_observe_records_and_lets_go() -> None:
    policy = snapshot(
        """
        allow: [{name: a}]
        deny:
          - {name: watch, sql: {verbs: [drop]}, observe: true, message: unheard}
          - {name: watch everything, principals: [alice], observe: true}
        """
    )
    assert decided(policy, "drop") == Decision(Outcome.ALLOW, ("a",), observed=("watch", "watch everything"))
    assert decided(policy, "select") == Decision(Outcome.ALLOW, ("a",), observed=("watch everything",))
    assert policy.admits(ALICE, NOON) == Decision(Outcome.ALLOW, ("a",), observed=("watch everything",))
    assert decided(policy, opaque="?").observed == ("watch", "watch everything")


def test_what_is_denied_anyway_is_not_observed() -> None:
    policy = snapshot("deny: [{name: watch, observe: true}]")
    assert decided(policy, "select") == Decision(Outcome.DENY)
    both = snapshot("allow: [{name: a}]\ndeny: [{name: watch, observe: true}, {name: b}]")
    assert decided(both, "select") == Decision(Outcome.DENY, ("b",))


# ---------------------------------------------------------------- conditions on who, what and when


@pytest.mark.parametrize(
    ("condition", "who", "holds"),
    [
        ("principals: [alice]", access("alice"), True),
        ("principals: [alice]", access("Alice"), False),
        ("principals: [alice]", access("alice2"), False),
        ('principals: ["spiffe://corp/ci/*"]', access("spiffe://corp/ci/build/7"), True),
        ('principals: ["spiffe://corp/ci/*"]', access("spiffe://corp/cd"), False),
        ("groups: [a, b]", access("x", "b", "c"), True),
        ("groups: [a, b]", access("x", "c"), False),
        ("principals: [alice], groups: [a]", access("alice"), False),
        ("kind: machine", access(kind="machine"), True),
        ("kind: machine", access(), False),
        ("factors: [password, scram]", access(factors=frozenset({"scram"})), True),
        ("factors: [password]", access(factors=frozenset({"certificate"})), False),
        ("factors: [password]", access(factors=frozenset()), False),
        ("from: [10.0.0.0/8]", access(address="10.255.0.1"), True),
        ("from: [10.0.0.0/8]", access(address="11.0.0.1"), False),
        ("from: [10.0.0.0/8]", access(address="::ffff:10.0.0.1"), True),
        ("from: [192.0.2.7]", access(address="192.0.2.7"), True),
        ('from: ["2001:db8::/32"]', access(address="2001:db8::1"), True),
        ('from: ["fe80::/10"]', access(address="fe80::1%eth0"), True),
        ('from: ["::/0"]', access(address="10.0.0.1"), False),
        ("targets: [orders]", access(), True),
        ("targets: [sandbox]", access(), False),
        ("targets: [or*]", access(), True),
        ("tags: {env: prod}", access(), True),
        ("tags: {env: p*}", access(), True),
        ("tags: {env: dev}", access(), False),
        ("tags: {env: prod, team: '*'}", access(), False),
    ],
)
def test_who_and_what(condition: str, who: object, holds: bool) -> None:
    allowing = snapshot(f"allow: [{{name: a, {condition}}}]")
    denying = snapshot(f"allow: [{{name: a}}]\ndeny: [{{name: b, {condition}}}]")
    assert (decided(allowing, "select", by=who).outcome is Outcome.ALLOW) is holds
    assert (decided(denying, "select", by=who).outcome is Outcome.DENY) is holds


HOUR = 3600.0


@pytest.mark.parametrize(
    ("condition", "after_noon", "holds"),
    [
        ('until: "2026-11-18T12:00:00Z"', -0.001, True),
        ('until: "2026-11-18T12:00:00Z"', 0, False),
        ('until: "2026-11-18T13:00:00+01:00"', -1, True),
        ('until: "2026-11-18T13:00:00+01:00"', 0, False),
        ("times: {days: [wed]}", 0, True),
        ("times: {days: [thu-tue]}", 0, False),
        ("times: {days: [fri-wed]}", 0, True),
        ("times: {days: [mon, tue-thu]}", 0, True),
        ("times: {hours: ['12:00-13:00']}", 0, True),
        ("times: {hours: ['12:00-13:00']}", -1, False),
        ("times: {hours: ['12:00-13:00']}", HOUR - 1, True),
        ("times: {hours: ['12:00-13:00']}", HOUR, False),
        ("times: {hours: ['12:00-13:00'], zone: Europe/Zurich}", -1, True),
        ("times: {hours: ['12:00-13:00'], zone: Europe/Zurich}", 0, False),
        ("times: {hours: ['13:00-14:00'], zone: Europe/Zurich}", 0, True),
        ("times: {hours: ['22:00-06:00'], days: [wed]}", 11 * HOUR, True),
        ("times: {hours: ['22:00-06:00'], days: [wed]}", 17 * HOUR, True),
        ("times: {hours: ['22:00-06:00'], days: [wed]}", 18 * HOUR, False),
        ("times: {hours: ['22:00-06:00'], days: [wed]}", -7 * HOUR, False),
        ("times: {hours: ['22:00-06:00'], days: [tue]}", -7 * HOUR, True),
        ("times: {hours: ['00:00-24:00'], days: [wed]}", 12 * HOUR - 1, True),
        ("times: {hours: ['00:00-24:00'], days: [wed]}", 12 * HOUR, False),
        ("times: {hours: ['01:00-02:00', '12:00-12:30']}", 60, True),
        ("times: {hours: ['11:00-13:00']}, until: '2026-11-18T11:30:00Z'", 0, False),
    ],
)
def test_when(condition: str, after_noon: float, holds: bool) -> None:
    allowing = snapshot(f"allow: [{{name: a, {condition}}}]")
    denying = snapshot(f"allow: [{{name: a}}]\ndeny: [{{name: b, {condition}}}]")
    now = NOON + after_noon
    assert (allowing.decide(ALICE, operation("select"), now).outcome is Outcome.ALLOW) is holds
    assert (allowing.admits(ALICE, now).outcome is Outcome.ALLOW) is holds
    assert (denying.decide(ALICE, operation("select"), now).outcome is Outcome.DENY) is holds
    assert (denying.admits(ALICE, now).outcome is Outcome.DENY) is holds


def test_a_decision_lasts_unless_an_entry_that_concerns_it_looks_at_the_clock() -> None:
    policy = snapshot(
        """
        allow:
          - {name: a, groups: [analysts]}
          - {name: b, groups: [others], until: "2030-01-01T00:00:00Z"}
        deny: [{name: c, targets: [sandbox], times: {days: [sun]}}]
        """
    )
    assert decided(policy, "select").lasting
    assert not decided(policy, "select", by=access("x", "others")).lasting
    assert not decided(policy, "select", by=access("x", "analysts", to=SANDBOX)).lasting
    assert not policy.admits(access("x", "others"), NOON).lasting


# ---------------------------------------------------------------- conditions on operations


@pytest.mark.parametrize(
    ("condition", "done", "allows", "denies"),
    [
        ("verbs: [select]", operation("select"), True, True),
        ("verbs: [select]", operation("select", "update"), False, True),
        ("verbs: [select]", operation("update"), False, False),
        ("verbs: [select, update]", operation("select", "update"), True, True),
        ("verbs: [read, dml]", operation("select", "insert", "copy_from"), True, True),
        ("verbs: [ddl]", operation("create", "select"), False, True),
        ("verbs: [select]", operation("select", "explain"), True, True),
        ("verbs: [select]", operation("select", "declare"), True, True),
        ("verbs: [select]", operation("select", "lock"), False, True),
        ("verbs: [set]", operation("set"), True, True),
        ("relations: [public.orders]", operation("select", relations={"public.orders"}), True, True),
        ("relations: [public.orders]", operation("select", relations={"public.orders", "a.b"}), False, True),
        ("relations: [public.orders]", operation("select", relations={"other.orders"}), False, False),
        ("relations: [public.orders]", operation("select"), True, False),
        ("relations: ['public.*']", operation("select", relations={"public.a", "public.b"}), True, True),
        ("relations: ['*.orders']", operation("select", relations={"x.orders"}), True, True),
        ("labels_touched: ['pii.*']", operation("select", labels={"pii.email"}), True, True),
        ("labels_touched: [pii.email]", operation("select", labels={"pii.email", "pci.pan"}), False, True),
        ("labels_touched: ['pii.*']", operation("select", labels={"pci.pan"}), False, False),
        ("labels_touched: ['pii.*']", operation("select"), True, False),
        ("without_where: true", operation("select", without_where=True), True, True),
        ("without_where: true", operation("select"), False, False),
        ("without_where: false", operation("select"), True, True),
        ("max_rows: 10", operation("select", row_bound=10), True, False),
        ("max_rows: 10", operation("select", row_bound=11), False, True),
        ("max_rows: 10", operation("select"), False, True),
        ("max_rows: 0", operation("select", row_bound=0), True, False),
        ("verbs: [select], max_rows: 10", operation("select", row_bound=11), False, True),
        ("verbs: [update], max_rows: 10", operation("select", row_bound=11), False, False),
    ],
)
def test_conditions_on_operations(condition: str, done: object, allows: bool, denies: bool) -> None:
    labels = "labels: {pii.email: {columns: {orders: [a.b.c]}}, pci.pan: {columns: {orders: [a.b.d]}}}\n"
    allowing = snapshot(f"{labels}allow: [{{name: a, sql: {{{condition}}}}}]")
    denying = snapshot(f"{labels}allow: [{{name: a}}]\ndeny: [{{name: b, sql: {{{condition}}}}}]")
    assert (allowing.decide(ALICE, done, NOON).outcome is Outcome.ALLOW) is allows  # type: ignore[arg-type]  # as made
    assert (denying.decide(ALICE, done, NOON).outcome is Outcome.DENY) is denies  # type: ignore[arg-type]  # as made


@pytest.mark.parametrize(
    ("listed", "called", "denies"),
    [
        ("pg_sleep", "pg_sleep", True),
        ("PG_Sleep", "pg_sleep", True),
        ("pg_sleep", "pg_catalog.pg_sleep", True),
        ("pg_catalog.pg_sleep", "pg_sleep", True),
        ("pg_catalog.pg_sleep", "pg_catalog.pg_sleep", True),
        ("pg_catalog.pg_sleep", "other.pg_sleep", False),
        ("pg_*", "pg_read_file", True),
        ("pg_*", "pg_catalog.pg_read_file", True),
        ("pg_sleep", "pg_sleep_for", False),
    ],
)
def test_functions_of_a_deny(listed: str, called: str, denies: bool) -> None:
    policy = snapshot(f"allow: [{{name: a}}]\ndeny: [{{name: b, sql: {{functions: ['{listed}']}}}}]")
    assert (decided(policy, "select", functions={"now", called}).outcome is Outcome.DENY) is denies


def test_matches_searches_the_normalised_text() -> None:
    policy = snapshot("allow: [{name: a}]\ndeny: [{name: b, sql: {matches: ['(?i)from\\s+secrets', 'x{3}']}}]")
    assert decided(policy, "select", normalised="SELECT $1 FROM  Secrets WHERE a").outcome is Outcome.DENY
    assert decided(policy, "select", normalised="select xxx").outcome is Outcome.DENY
    assert decided(policy, "select", normalised="select $1").outcome is Outcome.ALLOW


def test_matches_takes_linear_time() -> None:
    policy = snapshot("allow: [{name: a}]\ndeny: [{name: b, sql: {matches: ['(a+)+$']}}]")
    assert decided(policy, "select", normalised="a" * 50_000 + "!").outcome is Outcome.ALLOW


# ---------------------------------------------------------------- verbs that are free, and verbs by name


@pytest.mark.parametrize("verb", ["begin", "commit", "rollback", "savepoint", "release", "set", "show", "unlisten"])
def test_transaction_control_and_harmless_sets_are_free(verb: str) -> None:
    policy = snapshot("allow: [{name: a, groups: [g], sql: {verbs: [insert], relations: [a.b], max_rows: 1}}]")
    assert decided(policy, verb, by=access("x", "g")) == Decision(Outcome.ALLOW, ("a",))
    assert decided(policy, verb, by=access("x")) == Decision(Outcome.DENY)
    assert decided(policy, verb, by=access("x", "g", to=SANDBOX)).outcome is Outcome.ALLOW


def test_free_is_only_what_touches_nothing() -> None:
    policy = snapshot("allow: [{name: a, sql: {verbs: [insert], relations: [a.b]}}]")
    assert decided(policy, "fetch", relations={"c.d"}) == Decision(Outcome.DENY)
    assert decided(policy, "begin", untrusted_functions={"f"}) == Decision(Outcome.DENY)


def test_a_deny_reaches_free_verbs_too() -> None:
    policy = snapshot("allow: [{name: a}]\ndeny: [{name: b, sql: {verbs: [tcl]}}]")
    assert decided(policy, "begin") == Decision(Outcome.DENY, ("b",))


BY_NAME = ["set_unsafe", "set_role", "do", "call", "replication", "function_call", "copy_program", "two_phase"]


@pytest.mark.parametrize("verb", BY_NAME)
def test_dangerous_verbs_are_covered_by_name_or_by_an_allow_without_sql(verb: str) -> None:
    def outcome(sql: str) -> str:
        return decided(snapshot(f"allow: [{{name: a{sql}}}]"), verb).outcome.value

    assert outcome("") == "allow"
    assert outcome(f", sql: {{verbs: [{verb}]}}") == "allow"
    assert outcome(", sql: {verbs: [select, dml, ddl, dcl, session]}") == "deny"
    assert outcome(", sql: {relations: ['*']}") == "deny"
    assert outcome(", sql: {databases: ['*']}") == "deny"


def test_an_allow_without_verbs_covers_the_ordinary_ones() -> None:
    policy = snapshot("allow: [{name: a, sql: {relations: [a.b]}}]")
    assert decided(policy, "update", "select", relations={"a.b"}).outcome is Outcome.ALLOW
    assert decided(policy, "drop", relations={"a.b"}).outcome is Outcome.ALLOW


# ---------------------------------------------------------------- sessions


def test_the_strictest_session_terms_win() -> None:
    policy = snapshot(
        """
        allow:
          - {name: a, groups: [g], session: {max: 8h, idle: 30m}}
          - {name: b, groups: [g], session: {max: 1h, idle: 2h, record: synced}}
          - {name: c, groups: [g]}
          - {name: d, groups: [h], session: {max: 1s, record: written}}
          - {name: e, groups: [h], until: "2020-01-01T00:00:00Z", session: {idle: 1s}}
        """
    )
    assert policy.limits(access("x", "g"), NOON) == SessionLimits(3600.0, 1800.0, "synced")
    assert policy.limits(access("x", "h"), NOON) == SessionLimits(1.0, None, "written")
    assert policy.limits(access("x"), NOON) == SessionLimits()
    assert policy.decide(access("x", "g"), operation("select"), NOON).durability == "synced"
    assert policy.decide(access("x", "h"), operation("select"), NOON).durability == "written"


@pytest.mark.parametrize(
    ("terms", "ends"),
    [
        ([], True),
        (["{max: 1h, expire: session}"], False),
        (["{max: 1h, expire: session}", "{idle: 1h}"], False),
        (["{max: 1h, expire: session}", "{expire: identity}"], True),
        (["{expire: identity}"], True),
    ],
)
def test_a_session_ends_with_its_identity_unless_an_entry_says_otherwise(terms: list[str], ends: bool) -> None:
    entries = "".join(f"  - {{name: a{index}, session: {term}}}\n" for index, term in enumerate(terms))
    policy = snapshot(f"allow:\n  - {{name: a}}\n{entries}")
    assert policy.limits(ALICE, NOON).ends_with_identity is ends


def test_denied_operations_are_recorded_as_durably_as_allowed_ones() -> None:
    policy = snapshot("allow: [{name: a, sql: {verbs: [select]}, session: {record: synced}}]")
    assert decided(policy, "drop") == Decision(Outcome.DENY, durability="synced")


def test_of_two_keys_the_same_counts_in_whatever_order_they_are_written() -> None:
    one, other = Method("hmac", key="mask-key-1"), Method("hmac", key="mask-key-2")
    assert strictest([one, other]) == strictest([other, one]) == one
