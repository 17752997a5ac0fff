from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.masking import guard
from gateway.masking.guard import NEVER
from gateway.model import CopyFormat, CopyOut, ResultField, SqlOperation
from gateway.verbs import SETS, VERBS

HIDDEN = frozenset({"pii.ssn"})
CUSTOMERS = frozenset({"public.customers"})


def operation(
    *verbs: str,
    relations: frozenset[str] = frozenset(),
    labels: frozenset[str] = frozenset(),
    untrusted: frozenset[str] = frozenset(),
    clean: bool = True,
    revealing: bool = False,
    opaque: str | None = None,
) -> SqlOperation:
    return SqlOperation(
        text="", normalised="", digest="", verbs=frozenset(verbs), relations=relations, labels=labels,
        functions=untrusted, untrusted_functions=untrusted, clean_writes=clean, revealing=revealing,
        opaque=opaque,
    )  # fmt: skip


@pytest.mark.parametrize(
    "passing",
    [
        pytest.param(operation("select", relations=CUSTOMERS, labels=HIDDEN), id="select of a labelled relation"),
        pytest.param(operation("select", relations=frozenset({"public.orders"})), id="select of another one"),
        pytest.param(
            operation("select", relations=frozenset({"pg_catalog.pg_class", "pg_catalog.pg_index"})), id="psql's \\d"
        ),
        pytest.param(operation("begin"), id="begin"),
        pytest.param(operation("set"), id="set"),
        pytest.param(operation("copy_to", "select", relations=frozenset({"public.orders"})), id="copy of another one"),
        pytest.param(operation("copy_from", "insert", relations=CUSTOMERS, labels=HIDDEN), id="copy in"),
        pytest.param(operation("update", relations=CUSTOMERS, labels=HIDDEN), id="a clean write"),
        pytest.param(operation("drop", relations=frozenset({"public.orders"})), id="drop of another relation"),
        pytest.param(operation("explain", "select", relations=frozenset({"public.orders"})), id="explain"),
        pytest.param(operation("lock", "select", relations=CUSTOMERS, labels=HIDDEN), id="select for update"),
        pytest.param(operation("notify"), id="notify: its payload is a constant"),
        pytest.param(operation("select", "copy_to", labels=frozenset({"pii.phone"})), id="a label that is not hidden"),
    ],
)
def test_passes(passing: SqlOperation) -> None:
    assert guard(passing, HIDDEN) is None


REFUSED = [
    pytest.param(operation("select", opaque="deeply nested"), "deeply nested", id="opaque"),
    pytest.param(operation("select", untrusted=frozenset({"public.peek"})), "public.peek", id="untrusted function"),
    pytest.param(replace(operation("set"), steering=True), "chooses plans", id="a setting of the planner"),
    pytest.param(operation("explain", "select", labels=HIDDEN), "estimates", id="explain"),
    pytest.param(operation("copy_to", "select", relations=CUSTOMERS, labels=HIDDEN), "COPY", id="copy"),
    pytest.param(operation("insert", relations=CUSTOMERS, labels=HIDDEN, clean=False), "constants", id="insert select"),
    pytest.param(operation("select", revealing=True), "statistics", id="statistics"),
]


@pytest.mark.parametrize(("refused", "mentions"), REFUSED)
def test_refuses(refused: SqlOperation, mentions: str) -> None:
    reason = guard(refused, HIDDEN)
    assert reason is not None
    assert mentions in reason
    assert "\n" not in reason


def copying(form: str, outputs: tuple[frozenset[str], ...] | None = None, *, query: bool = False) -> SqlOperation:
    fields = None if query else (ResultField(b"ssn", 1, 1, 25, -1, 0),)
    kind = CopyFormat("csv" if form == "csv" else "binary" if form == "binary" else "text")
    made = operation("copy_to", "select", relations=CUSTOMERS, labels=HIDDEN)
    return replace(made, copies=CopyOut(kind, fields), outputs=outputs)


def test_copy_of_a_labelled_table_passes_where_it_can_be_masked() -> None:
    clean, dirty = (frozenset[str](),), (frozenset[str](), HIDDEN)
    for passes in (copying("text"), copying("csv"), copying("binary", clean), copying("csv", clean, query=True)):
        assert guard(passes, HIDDEN) is None
    assert "binary format" in (guard(copying("binary"), HIDDEN) or "")
    assert "binary format" in (guard(copying("binary", dirty), HIDDEN) or "")
    assert "COPY of a query" in (guard(copying("text", query=True), HIDDEN) or "")
    assert "COPY of a query" in (guard(copying("text", dirty, query=True), HIDDEN) or "")
    unclear = operation("copy_to", "select", relations=CUSTOMERS, labels=HIDDEN)
    assert "not plainly understood" in (guard(unclear, HIDDEN) or "")


@pytest.mark.parametrize("verb", NEVER)
def test_never_for_a_masked_caller(verb: str) -> None:
    assert guard(operation(verb), HIDDEN) is not None


@pytest.mark.parametrize("verb", sorted(SETS["ddl"]))
def test_ddl_on_a_labelled_relation(verb: str) -> None:
    assert guard(operation(verb, relations=CUSTOMERS, labels=HIDDEN), HIDDEN) is not None


@pytest.mark.parametrize("refused", [case.values[0] for case in REFUSED] + [operation(verb) for verb in NEVER])
def test_nothing_is_refused_to_whom_nothing_is_hidden(refused: SqlOperation) -> None:
    assert guard(refused, frozenset()) is None


def test_each_verb_it_speaks_of_exists() -> None:
    assert set(NEVER) <= set(VERBS)
