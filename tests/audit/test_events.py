"""The catalogue: complete, OCSF as it should be, bounded, and silent about what must not be told."""

from __future__ import annotations

import ast
import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.audit.events as module
from gateway.audit import AuditLog, SessionContext
from gateway.audit.document import fields_of
from gateway.audit.event import Event, event_name
from gateway.audit.events import CATALOGUE, AuthenticationFailed, OperationDecided
from gateway.audit.ocsf import MAX_BODY, Class
from gateway.model import (
    Access,
    Address,
    Decision,
    FileUse,
    Outcome,
    Principal,
    SqlOperation,
    SshOperation,
    Target,
    TargetTls,
)

BASE = {
    "activity_id", "activity_name", "category_uid", "class_uid", "type_uid", "severity_id", "status_id",
    "status_detail", "unmapped", "is_alert", "action_id", "disposition_id", "authorizations",
}  # fmt: skip
"""Of base_event and the profile security_control, OCSF 1.4.0."""

ATTRIBUTES: dict[Class, tuple[set[str], set[str]]] = {
    Class.ACCOUNT_CHANGE: ({"user"}, {"actor", "src_endpoint"}),
    Class.AUTHENTICATION: ({"user"}, {"session", "src_endpoint", "dst_endpoint", "service", "is_remote"}),
    Class.AUTHORIZE_SESSION: ({"user", "privileges"}, {"session", "src_endpoint", "dst_endpoint"}),
    Class.SSH_ACTIVITY: ({"actor", "src_endpoint", "dst_endpoint"}, set()),
    Class.APPLICATION_LIFECYCLE: ({"app"}, set()),
    Class.API_ACTIVITY: ({"actor", "api", "src_endpoint"}, {"resources"}),
    Class.DATASTORE_ACTIVITY: ({"actor", "src_endpoint", "database"}, {"dst_endpoint", "query_info"}),
    Class.APPLICATION_ERROR: (set(), set()),
}
"""Required and optional attributes of each class (ocsf/ocsf-schema, events/*/*.json)."""


def decoded(event: Event) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(b"{" + event.body() + b"}}")
    return shown


def test_the_catalogue_lists_every_event_type() -> None:
    defined = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and value is not Event
    }
    assert set(CATALOGUE) == defined
    assert len({event_name(kind) for kind in CATALOGUE}) == len(CATALOGUE)


def test_there_is_a_sample_of_every_type(one_of_each: list[Event]) -> None:
    assert [type(event) for event in one_of_each] == list(CATALOGUE)


def test_every_event_is_valid_ocsf(one_of_each: list[Event]) -> None:
    for event in one_of_each:
        shown = decoded(event)
        required, optional = ATTRIBUTES[event.class_uid]
        assert required <= set(shown), event
        assert set(shown) <= BASE | required | optional, event
        assert shown["class_uid"] == event.class_uid
        assert shown["category_uid"] == event.class_uid // 1000
        assert shown["type_uid"] == shown["class_uid"] * 100 + shown["activity_id"]
        assert shown["status_id"] in (1, 2)
        assert 1 <= shown["severity_id"] <= 5
        assert ("activity_name" in shown) == (shown["activity_id"] == 99)
        assert shown["unmapped"]["event"] == event_name(type(event))


def test_an_authentication_names_a_service_or_a_target(one_of_each: list[Event]) -> None:
    for event in one_of_each:
        if event.class_uid is Class.AUTHENTICATION:
            assert {"service", "dst_endpoint"} & set(decoded(event))


def test_an_operation_says_what_was_asked_and_why_it_may(context: SessionContext, operation: SqlOperation) -> None:
    decision = Decision(Outcome.ALLOW, ("analysts read orders",), observed=("bulk reads",))
    shown = decoded(OperationDecided(context, 12, operation, decision, "parse"))
    assert shown["type_uid"] == 600504
    assert shown["action_id"] == shown["disposition_id"] == shown["status_id"] == 1
    assert shown["actor"] == {"user": {"name": "alice", "type_id": 1}, "session": {"uid": context.session}}
    assert shown["src_endpoint"] == {"ip": "192.0.2.7"}
    assert shown["dst_endpoint"] == {"name": "orders"}
    assert shown["database"] == {"name": "shop", "type": "PostgreSQL", "type_id": 1}
    assert shown["query_info"] == {"query_string": operation.normalised, "uid": operation.digest}
    assert shown["authorizations"] == [{"decision": "allow", "policy": {"name": "analysts read orders"}}]
    assert shown["unmapped"] == {
        "event": "operation_decided",
        "operation": 12,
        "source": "parse",
        "verbs": ["select"],
        "relations": ["public.customers"],
        "labels": ["pii.email"],
        "observed": ["bulk reads"],
    }


COMMAND = SshOperation("deploy prod", "deploy prod", "ab" * 32, frozenset({"exec"}), request="exec", channel=2)


@pytest.fixture
def ssh_context(alice: Principal) -> SessionContext:
    target = Target("web1", "ssh", Address("web1.internal", 22), TargetTls(), ())
    return SessionContext("01935f8e-0000-7000-8000-000000000001", Access(alice, target, "", "root", "192.0.2.7"))


def test_a_request_over_ssh_is_ssh_activity(ssh_context: SessionContext) -> None:
    decision = Decision(Outcome.ALLOW, ("CI deploys",), observed=("no deploys on Fridays",))
    asked = replace(COMMAND, normalised="deploy --password=****", shell=frozenset({";", "|"}))
    shown = decoded(OperationDecided(ssh_context, 12, asked, decision, "request"))
    required, optional = ATTRIBUTES[Class.SSH_ACTIVITY]
    assert required <= set(shown) <= BASE | required | optional
    assert (shown["class_uid"], shown["type_uid"]) == (4007, 400799)
    assert (shown["category_uid"], shown["activity_id"], shown["activity_name"]) == (4, 99, "exec")
    assert shown["actor"] == {"user": {"name": "alice", "type_id": 1}, "session": {"uid": ssh_context.session}}
    assert shown["dst_endpoint"] == {"name": "web1"}
    assert shown["authorizations"] == [{"decision": "allow", "policy": {"name": "CI deploys"}}]
    assert shown["unmapped"] == {
        "event": "operation_decided",
        "request": "exec",
        "text": "deploy --password=****",
        "digest": "ab" * 32,
        "operation": 12,
        "source": "request",
        "login": "root",
        "verbs": ["exec"],
        "channel": 2,
        "shell": [";", "|"],
        "observed": ["no deploys on Fridays"],
    }


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"request": "subsystem", "subsystem": "netconf"}, {"subsystem": "netconf"}),
        ({"request": "forward_local", "destination": "db:5432"}, {"destination": "db:5432"}),
        ({"request": "env", "variable": "LANG"}, {"variable": "LANG"}),
        ({"request": "file", "files": (FileUse("read", "/etc/motd"),)}, {"files": ["read /etc/motd"]}),
        ({"request": "shell", "opaque": "why"}, {"opaque": "why"}),
    ],
)
def test_what_else_there_is_to_a_request(
    ssh_context: SessionContext, facts: dict[str, Any], said: dict[str, Any]
) -> None:
    asked = SshOperation("x", "x", "ab" * 32, frozenset(), **facts)
    shown = decoded(OperationDecided(ssh_context, 1, asked, Decision(Outcome.DENY), "request"))
    known = {"event", "request", "text", "digest", "operation", "source", "login", "verbs", "observed"}
    assert {key: value for key, value in shown["unmapped"].items() if key not in known} == said
    assert shown["activity_name"] == facts["request"]
    assert (shown["status_id"], shown["severity_id"]) == (2, 3)


def test_a_denied_operation_says_so(context: SessionContext, operation: SqlOperation) -> None:
    decision = Decision(Outcome.DENY, ("nobody destroys",), message="ask the DBA on call")
    shown = decoded(OperationDecided(context, 1, operation, decision, "query"))
    assert (shown["action_id"], shown["disposition_id"], shown["status_id"], shown["severity_id"]) == (2, 2, 2, 3)
    assert shown["status_detail"] == "ask the DBA on call"


def test_a_mask_that_refuses_is_a_denied_operation(context: SessionContext, operation: SqlOperation) -> None:
    decision = Decision(Outcome.ALLOW, ("analysts read orders",))
    shown = decoded(OperationDecided(context, 1, operation, decision, "query", "COPY of a labelled relation"))
    assert (shown["action_id"], shown["status_id"]) == (2, 2)
    assert shown["status_detail"] == "COPY of a labelled relation"


def test_the_default_deny_has_no_rule(context: SessionContext, operation: SqlOperation) -> None:
    shown = decoded(OperationDecided(context, 1, operation, Decision(Outcome.DENY), "query"))
    assert shown["authorizations"] == [{"decision": "deny"}]


@pytest.mark.parametrize(
    ("verbs", "activity"),
    [
        ({"select"}, 4),
        ({"select", "insert"}, 5),
        ({"select", "update"}, 2),
        ({"create", "select"}, 6),
        ({"drop"}, 7),
        ({"delete", "insert"}, 7),
        ({"do"}, 99),
        (set(), 99),
    ],
)
def test_the_gravest_verb_names_the_activity(
    context: SessionContext, operation: SqlOperation, verbs: set[str], activity: int
) -> None:
    changed = SqlOperation("", "x", "00" * 32, frozenset(verbs))
    shown = decoded(OperationDecided(context, 1, changed, Decision(Outcome.ALLOW), "query"))
    assert shown["activity_id"] == activity


def test_the_text_with_its_constants_is_not_told(context: SessionContext, operation: SqlOperation) -> None:
    assert b"42" not in OperationDecided(context, 1, operation, Decision(Outcome.ALLOW), "query").body()


def test_a_long_statement_is_cut_and_its_digest_stays(context: SessionContext) -> None:
    long = SqlOperation("", "select " + "x" * 1_000_000, "cd" * 32, frozenset({"select"}))
    event = OperationDecided(context, 1, long, Decision(Outcome.ALLOW), "query")
    assert len(event.body()) <= MAX_BODY
    shown = decoded(event)
    assert shown["query_info"]["query_string"].endswith("...[cut, 1000007 characters]")
    assert len(shown["query_info"]["query_string"]) > 4000
    assert shown["query_info"]["uid"] == "cd" * 32
    assert shown["unmapped"]["statement_length"] == 1_000_007


def test_who_claims_a_name_is_shown_as_data() -> None:
    shown = decoded(AuthenticationFailed("s", 'x","is_alert":true,"y":"\n\x9b', "", None, "no factor"))
    assert shown["user"]["name"] == 'x","is_alert":true,"y":"\n\x9b'
    assert "is_alert" not in shown
    assert shown["src_endpoint"] == {"name": "local"}


anything = st.text(max_size=3000) | st.text(alphabet="\x00\x9b\u202e\U0001f600é\ud800", max_size=3000)
names = st.frozensets(anything, max_size=5) | st.integers(0, 300).map(
    lambda count: frozenset(f"schema.relation_{number:060d}" for number in range(count))
)


@given(anything, names, names, st.lists(anything, max_size=4).map(tuple), anything, anything)
def test_no_operation_makes_a_line_too_long_or_unreadable(
    text: str, relations: frozenset[str], labels: frozenset[str], rules: tuple[str, ...], message: str, who: str
) -> None:
    principal = Principal(who, "human", relations, frozenset({"certificate"}), 0.0)
    access = Access(principal, Target(who, who, Address("", 0), TargetTls(), ()), who, who, who)
    operation = SqlOperation("", text, "ab" * 32, relations, relations, labels=labels, opaque=message)
    decision = Decision(Outcome.DENY, rules, message, observed=rules)
    event = OperationDecided(SessionContext("s", access), 1, operation, decision, "query")
    body = event.body()
    assert len(body) <= MAX_BODY
    assert decoded(event)["query_info"]["uid"] == "ab" * 32


@given(anything, names, st.lists(anything, max_size=4).map(tuple), anything)
def test_nor_does_a_request(text: str, some: frozenset[str], rules: tuple[str, ...], who: str) -> None:
    principal = Principal(who, "human", some, frozenset({"certificate"}), 0.0)
    access = Access(principal, Target(who, "ssh", Address("", 0), TargetTls(), ()), "", who, who)
    asked = SshOperation(
        "", text, "ab" * 32, some, request="file", shell=some, files=tuple(FileUse("read", name) for name in some),
        subsystem=who, destination=who, variable=who, opaque=who,
    )  # fmt: skip
    event = OperationDecided(SessionContext("s", access), 1, asked, Decision(Outcome.DENY, rules, who, rules), "file")
    assert len(event.body()) <= MAX_BODY
    assert decoded(event)["unmapped"]["digest"] == "ab" * 32


def test_no_sample_is_too_long_for_a_line(one_of_each: list[Event]) -> None:
    assert max(len(event.body()) for event in one_of_each) < MAX_BODY


def test_every_field_is_described() -> None:
    for kind in CATALOGUE:
        block = inspect.cleandoc(kind.__doc__ or "").rpartition("\n\n")[2]
        assert [name for name, _ in fields_of(block)] == list(kind.__struct_fields__), kind


def test_the_gateway_appends_only_events_of_the_catalogue() -> None:
    """Every class that code hands to ``append`` is one of the catalogue's (conventions.md, 18)."""
    known = {kind.__name__ for kind in CATALOGUE}
    root = Path(module.__file__).parents[1]
    imported: set[str] = set()
    for source in root.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "gateway.audit.events":
                imported |= {name.name for name in node.names if name.name[0].isupper()}
    assert imported - {"CATALOGUE", "SegmentReason"} <= known
    assert AuditLog.append.__annotations__["event"] == "Event"
