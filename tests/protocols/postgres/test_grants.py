from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.made import access, snapshot

from gateway.errors import GatewayError
from gateway.model import Access
from gateway.protocols.postgres.grants import (
    NOTHING_AROUND,
    LeastRole,
    Surroundings,
    identifier,
    least_role,
    literal,
)
from gateway.sql import Catalogue

NOW = 1_795_003_200.0
ROWS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "sql" / "catalogue_rows.json").read_text())
CATALOGUE = Catalogue.from_rows(
    **ROWS["rows"],
    view_columns={int(oid): [tuple(pair) for pair in pairs] for oid, pairs in ROWS["view_columns"].items()},
)
LABELS = "labels: {pii.ssn: {columns: {orders: [public.customers.ssn]}}}\n"
READ = "allow: [{name: read, groups: [analysts], targets: [orders], sql: {verbs: [select]}}]\n"
REDACT = "masks: [{labels: [pii.ssn], method: redact}]\n"


def made(policy: str, who: Access | None = None, around: Surroundings = NOTHING_AROUND) -> LeastRole:
    compiled = snapshot(LABELS + policy)
    labelled = CATALOGUE.bind(compiled.column_labels("orders"))
    who = who or access("alice", "analysts")
    return least_role(labelled, compiled.for_access(who), "app", around, database="orders", now=NOW)


def on(found: LeastRole, relation: str) -> list[str]:
    """The privileges on one relation."""
    end = f' ON {relation} TO "app"'
    return [line[len("GRANT ") : -len(end)] for line in found.statements if line.endswith(end)]


def quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


def oid(name: str) -> int:
    return next(one.oid for one in CATALOGUE.relations.values() if str(one) == name)


def test_hidden_columns_are_left_out_wherever_they_show() -> None:
    found = made(READ + REDACT)
    [customers] = on(found, '"public"."customers"')
    assert customers.startswith('SELECT ("')
    assert '"ssn"' not in customers
    assert '"name"' in customers
    hidden = {(one.relation, one.column) for one in found.hidden}
    assert ("public.customers", "ssn") in hidden
    assert len({relation for relation, _ in hidden}) > 1, "children and views show it, too"
    for relation, column in hidden:
        assert not any(f'"{column}"' in granted or granted == "SELECT" for granted in on(found, quoted(relation)))


def test_the_rest_is_granted_whole() -> None:
    found = made(READ + REDACT)
    assert on(found, '"public"."orders"') == ["SELECT"]
    assert 'GRANT USAGE ON SCHEMA "public" TO "app"' in found.statements
    assert 'GRANT CONNECT ON DATABASE "orders" TO "app"' in found.statements
    assert not any("pg_catalog" in line or "information_schema" in line for line in found.statements)


def test_what_takes_an_approval_is_granted() -> None:
    approve = "approve: [{name: second person, targets: [orders], approvers: {groups: [dba]}}]\n"
    assert on(made(READ + REDACT + approve), '"public"."orders"') == ["SELECT"]


def test_what_was_granted_before_is_taken_first() -> None:
    found = made(READ + REDACT)
    revokes = [index for index, line in enumerate(found.statements) if line.startswith("REVOKE")]
    grants = [index for index, line in enumerate(found.statements) if line.startswith("GRANT")]
    assert max(revokes) < min(grants)


@pytest.mark.parametrize(
    ("method", "granted"),
    [
        ('"null"', False),
        ("redact", False),
        ("token", True),
        ("{hmac: {key: mask-key-1}}", True),
        ("{partial: {keep_last: 4}}", True),
    ],
)
def test_masks_that_need_the_value_get_it(method: str, granted: bool) -> None:
    found = made(READ + f"masks: [{{labels: [pii.ssn], method: {method}}}]")
    assert (on(found, '"public"."customers"') == ["SELECT"]) is granted
    assert {one.granted for one in found.hidden} == {granted}


def test_who_sees_it_in_clear_may_read_it() -> None:
    found = made(READ + "masks: [{labels: [pii.ssn], groups: [analysts], method: clear}]")
    assert on(found, '"public"."customers"') == ["SELECT"]
    assert not found.hidden


def test_privileges_are_what_policy_allows_at_all() -> None:
    policy = """
allow:
  - {name: change, groups: [analysts], sql: {verbs: [select, insert, update, delete], relations: ["public.orders*"]}}
deny:
  - {name: no bulk, sql: {verbs: [delete], without_where: true}}
  - {name: never, sql: {verbs: [update]}}
  - {name: at night, times: {hours: ["00:00-06:00"]}, sql: {verbs: [insert]}}
  - {name: all of it, sql: {verbs: [select], without_where: true}}
  - {name: looks, observe: true, sql: {verbs: [select]}}
"""
    found = made(policy)
    assert on(found, '"public"."orders"') == ["SELECT, INSERT, DELETE"]
    assert on(found, '"public"."customers"') == []


def test_what_the_guard_refuses_is_not_granted() -> None:
    found = made("allow: [{name: all, groups: [analysts], targets: [orders]}]\n" + REDACT)
    [customers] = on(found, '"public"."customers"')
    assert "TRUNCATE" not in customers
    assert on(found, '"public"."orders"') == ["SELECT, INSERT, UPDATE, DELETE, TRUNCATE"]


def test_nobody_gets_nothing() -> None:
    found = made(READ + REDACT, access("mallory"))
    assert not any(' ON "public"."' in line for line in found.statements)
    assert not any("USAGE" in line for line in found.statements)
    assert not found.hidden


def test_what_has_ended_grants_nothing_and_what_has_not_begun_today_does() -> None:
    ended = READ.replace("sql:", 'until: "2020-01-01T00:00:00Z", sql:')
    assert on(made(ended), '"public"."orders"') == []
    at_night = READ.replace("sql:", 'times: {hours: ["00:00-06:00"]}, sql:')
    assert on(made(at_night), '"public"."orders"') == ["SELECT"]


def test_inserting_needs_the_sequence() -> None:
    around = Surroundings(sequences={oid("public.orders"): (("public", "orders_id_seq"),)})
    line = 'GRANT USAGE ON SEQUENCE "public"."orders_id_seq" TO "app"'
    assert line in made(READ.replace("[select]", "[insert]"), around=around).statements
    assert line not in made(READ, around=around).statements


@pytest.mark.parametrize("number", [0, 3])
def test_what_everybody_may_read_is_warned_of(number: int) -> None:
    customers = CATALOGUE.relations[oid("public.customers")]
    ssn = next(at for at, (name, _type) in customers.columns.items() if name == "ssn")
    around = Surroundings(public=frozenset({(customers.oid, ssn if number else 0), (oid("public.orders"), 0)}))
    assert made(READ + REDACT, around=around).warnings == (
        'everybody may read public.customers; take it from them: REVOKE SELECT ON "public"."customers" FROM PUBLIC',
    )


def test_a_role_that_is_not_there_or_has_others_rights_is_warned_of() -> None:
    [warning] = made(READ, around=Surroundings(exists=False)).warnings
    assert 'CREATE ROLE "app" LOGIN' in warning
    [warning] = made(READ, around=Surroundings(member_of="pg_read_all_data")).warnings
    assert "pg_read_all_data" in warning


@pytest.mark.parametrize("unbound", ["is a superuser", "owns 29 relations"])
def test_a_role_that_no_grant_binds_is_refused(unbound: str) -> None:
    with pytest.raises(GatewayError, match=unbound) as raised:
        made(READ, around=Surroundings(unbound=unbound))
    assert "--role" in (raised.value.hint or "")


@given(name=st.text(min_size=1))
def test_a_name_never_leaves_its_quotes_or_its_line(name: str) -> None:
    quoted = identifier(name)
    start = 'U&"' if quoted.startswith("U&") else '"'
    inside = quoted[len(start) : -1]
    assert '"' not in inside.replace('""', "")
    assert quoted.isprintable()
    if start == '"':
        assert inside.replace('""', '"') == name


@pytest.mark.parametrize(
    ("text", "quoted"), [("app", "'app'"), ("o'app", "'o''app'"), ("a\\'b", "E'a\\\\''b'"), ("", "''")]
)
def test_literals(text: str, quoted: str) -> None:
    assert literal(text) == quoted
