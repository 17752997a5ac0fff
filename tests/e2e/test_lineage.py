"""Lineage never says less than the server: where that names a column's origin, its labels are among lineage's."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.lineage import FIRST_OID, load
from support.postgres import Postgres
from support.rawclient import RawClient

from gateway.masking import Field, parse_row_description
from gateway.sql import LabelledCatalogue, analyse
from gateway.sql.lineage import Lineage, labels_of

pytestmark = pytest.mark.e2e

CORPUS = load()
LABELLED = CORPUS.catalogue()
RELATIONS = list(CORPUS.relations)
DATABASE = "flows"


class Describer:
    """Asks a real server what it knows of a statement's result."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        oids = client.query("select oid::regclass::text, oid from pg_class where relnamespace >= 2200")
        names = {str(name.decode()): int(oid) for name, oid in oids.rows if name is not None and oid is not None}
        self._ours = {
            names[name.removeprefix("public.")]: FIRST_OID + index for index, name in enumerate(RELATIONS)
        }  # fmt: skip

    def fields(self, sql: str) -> tuple[Field, ...] | str:
        """The result's columns, with the corpus' own OIDs; or the error."""
        self._client.send(b"P", b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))
        self._client.send(b"D", b"S\0")
        self._client.send(b"S", b"")
        received = self._client.receive()
        if received.error is not None:
            return received.error
        return tuple(
            replace(field, table_oid=self._ours.get(field.table_oid, 0))
            for body in received.bodies(b"T")
            for field in parse_row_description(body)
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Describer]:
    with Postgres() as postgres:
        postgres.run(f"create database {DATABASE}")
        postgres.run(CORPUS.ddl, DATABASE)
        with RawClient(host=str(postgres.directory), port=postgres.port, user="postgres", database=DATABASE) as client:
            yield Describer(client)


def lineage_of(sql: str) -> Lineage:
    [statement] = analyse(sql).statements
    assert statement.lineage is not None
    return statement.lineage


def by_position(lineage: Lineage, count: int, labelled: LabelledCatalogue) -> list[frozenset[str]]:
    """Labels of each of ``count`` columns; fails when that can't be."""
    assert lineage.outputs is not None
    outputs = [labels_of(sources, labelled) for sources in lineage.outputs]
    if lineage.star is not None:
        assert count >= len(outputs) - 1
        star = [outputs[lineage.star]] * (count - len(outputs) + 1)
        return [*outputs[: lineage.star], *star, *outputs[lineage.star + 1 :]]
    assert count == len(outputs)
    return outputs


def check(sql: str, fields: tuple[Field, ...]) -> None:
    lineage = lineage_of(sql)
    if lineage.outputs is None:
        return
    for index, labels in enumerate(by_position(lineage, len(fields), LABELLED)):
        field = fields[index]
        if field.table_oid and field.attnum > 0:
            said = LABELLED.columns.get((field.table_oid, field.attnum), frozenset())
            assert said <= labels, (sql, index, said, labels)


@pytest.mark.parametrize("sql", [case.sql for case in CORPUS.cases if case.server])
def test_the_corpus_is_true(server: Describer, sql: str) -> None:
    fields = server.fields(sql)
    assert isinstance(fields, tuple), fields
    check(sql, fields)


COLUMNS = {
    "customers": ("id", "name", "email", "ssn", "city"),
    "contact": ("id", "full_name", "number", "shout"),
    "notes": ("id", "body", "name"),
    "email": ("id", "email"),
    "app.receipts": ("id", "pan"),
}
TOP = 2
FORMS = ("{0}", "{0}", "{0}", "lower({0}::text)", "(select {0})", "(select max({0}::text) from public.notes)")
ALIASES = ("a", "b", "c", "name", "ssn", "email", "x")


@st.composite
def queries(draw: st.DrawFn, depth: int = TOP, ctes: tuple[tuple[str, int], ...] = ()) -> tuple[str, int]:
    """A query whose columns are all text, and how many they are. Names are few, so that they shadow each other."""
    shape = draw(st.sampled_from(("plain", "plain", "union", "with", "recursive"))) if depth else "plain"
    if shape == "union":
        left, columns = draw(queries(depth=depth - 1, ctes=ctes))
        right, other = draw(queries(depth=depth - 1, ctes=ctes))
        if columns == other:
            return f"({left}) union all ({right})", columns
        return left, columns
    if shape == "with":
        name = draw(st.sampled_from(("customers", "notes", "x", "ssn")))
        inner, columns = draw(queries(depth=depth - 1, ctes=ctes))
        names = [draw(st.sampled_from(ALIASES)) + str(number) for number in range(columns)]
        body, outer = draw(queries(depth=depth - 1, ctes=(*ctes, (name, columns))))
        return f"with {name} ({', '.join(names)}) as ({inner}) {body}", outer
    if shape == "recursive":
        inner, columns = draw(queries(depth=0, ctes=()))
        names = [f"r{number}" for number in range(columns)]
        turned = ", ".join([*names[1:], names[0]])
        return f"with recursive r ({', '.join(names)}) as ({inner} union select {turned} from r) table r", columns
    return draw(selects(depth=depth, ctes=ctes))


@st.composite
def selects(draw: st.DrawFn, depth: int, ctes: tuple[tuple[str, int], ...]) -> tuple[str, int]:
    items: list[str] = []
    visible: list[tuple[str, list[str]]] = []
    for number in range(draw(st.integers(1, 2))):
        alias = draw(st.sampled_from(ALIASES)) + str(number)
        kind = draw(st.sampled_from(("table", "table", "cte", "subquery", "lateral"))) if depth else "table"
        if kind == "cte" and ctes:
            name, columns = draw(st.sampled_from(ctes))
            names = [f"k{index}" for index in range(columns)]
            items.append(f"{name} as {alias} ({', '.join(names)})")
        elif kind in {"subquery", "lateral"}:
            if kind == "lateral" and visible:
                reference = draw(st.sampled_from([f"{one}.{column}" for one, columns in visible for column in columns]))
                body, columns = f"select {reference}::text || ''", 1
                if draw(st.booleans()):
                    body = f"select {reference}"
                items.append(f"lateral ({body}) as {alias} (l0)")
                names = ["l0"]
            else:
                body, columns = draw(queries(depth=depth - 1, ctes=ctes))
                names = [f"s{index}" for index in range(columns)]
                items.append(f"({body}) as {alias} ({', '.join(names)})")
        else:
            name = draw(st.sampled_from(sorted(COLUMNS)))
            names = list(COLUMNS[name])
            items.append(f"{name if '.' in name else f'public.{name}'} as {alias}")
        visible.append((alias, names))
    references = [f"{alias}.{column}" for alias, columns in visible for column in columns]
    columns = draw(st.integers(1, 3))
    outputs = []
    for _ in range(columns):
        reference = draw(st.sampled_from(references))
        outputs.append(draw(st.sampled_from(FORMS)).format(reference))
    if depth == TOP and draw(st.integers(0, 4)) == 0:
        outputs.append(f"{visible[0][0]}.*")
    text = f"select {', '.join(outputs)} from {', '.join(items)}"
    if draw(st.booleans()) and outputs[-1][-1] != "*":
        text += f" order by {draw(st.integers(1, columns))}"
    return text, -1 if outputs[-1].endswith("*") else columns


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=queries())
def test_lineage_never_says_less_than_the_server(server: Describer, drawn: tuple[str, int]) -> None:
    """Types that don't fit, or ambiguous names, make some of them errors; most of them run."""
    sql, _columns = drawn
    fields = server.fields(sql)
    if isinstance(fields, tuple):
        check(sql, fields)
        event("checked")
    else:
        event(fields)
