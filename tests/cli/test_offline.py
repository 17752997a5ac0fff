from __future__ import annotations

import pytest
import yaml

from gateway.cli.offline import Assumed, role_of
from gateway.config import parse_yaml
from gateway.model import Access, Address, Credential, Principal, Target, TargetTls
from gateway.policy import PolicyDocument, PolicyFile, Snapshot, compile_snapshot
from gateway.session.admit import credential_for

TARGET = Target(
    "orders",
    "postgres",
    Address("db", 5432),
    TargetTls(),
    (
        Credential("rw", groups=("engineers",)),
        Credential("svc", principals=("svc-*",)),
        Credential("ro", groups=("*",)),
    ),
)
POLICY = {
    "labels": {
        "pii.ssn": {"columns": {"orders": ["public.customers.ssn", "crm.*.ssn"]}},
        "pii.any": {"columns": {"*": ["hr.people.*"]}},
        "other": {"columns": {"elsewhere": ["public.customers.name"]}},
    },
    "allow": [{"name": "all", "targets": ["orders"]}],
    "masks": [{"labels": ["pii.any"], "groups": ["hr"], "method": "clear"}],
}


def snapshot() -> Snapshot:
    document = parse_yaml(yaml.safe_dump(POLICY).encode(), PolicyDocument, file="policy.yaml")
    elsewhere = Target("elsewhere", "postgres", Address("db2", 5432), TargetTls(), ())
    return compile_snapshot([PolicyFile("policy.yaml", document)], [TARGET, elsewhere], 0)


def principal(name: str = "alice", *groups: str) -> Principal:
    return Principal(name, "human", frozenset(groups), frozenset({"certificate"}), 0.0)


def access(*groups: str) -> Access:
    return Access(principal("alice", *groups), TARGET, "orders", "ro", "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("select 1", set()),
        ("select ssn from public.customers", {"pii.ssn"}),
        ("select ssn from customers", {"pii.ssn"}),
        ("select * from crm.leads", {"pii.ssn"}),
        ("select * from leads", {"pii.ssn"}),
        ("select * from hr.people", {"pii.any"}),
        ("select * from people", {"pii.any", "pii.ssn"}),
        ("select * from public.orders", set()),
        ("with x as (select * from customers) select 1 from x", {"pii.ssn"}),
    ],
)
def test_labels_that_a_statement_could_touch(text: str, labels: set[str]) -> None:
    assert Assumed(snapshot()).read(text, access()).labels == labels


def test_a_plain_select_is_understood() -> None:
    operation = Assumed(snapshot()).read("select upper(name), count(*) from customers group by 1", access())
    assert operation.opaque is None
    assert operation.verbs == {"select"}
    assert not operation.untrusted_functions


def test_a_function_that_is_not_known_to_be_harmless_stays_so() -> None:
    assert Assumed(snapshot()).read("select pg_sleep(1)", access()).untrusted_functions == {"pg_sleep"}
    assert Assumed(snapshot()).read("select own_function(1)", access()).untrusted_functions


def test_masks_refuse_what_could_carry_values_past_them() -> None:
    assumed = Assumed(snapshot())
    operation = assumed.read("copy customers to stdout", access())
    assert assumed.refusal(operation, access())
    assert assumed.refusal(assumed.read("select 1", access()), access()) is None


@pytest.mark.parametrize(
    "text", ['select * from "we.ird"."ta[b]le"', 'select * from "a*b"', "select 1; select 2 from x"]
)
def test_odd_names(text: str) -> None:
    assert Assumed(snapshot()).read(text, access()).opaque is None


def test_the_first_credential_that_fits() -> None:
    assert role_of(principal("alice", "engineers"), TARGET) == "rw"
    assert role_of(principal("svc-build"), TARGET) == "svc"
    assert role_of(principal("alice", "anything"), TARGET) == "ro"
    assert credential_for(TARGET, principal("alice")) is None
