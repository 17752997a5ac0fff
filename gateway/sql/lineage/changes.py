"""INSERT, UPDATE, DELETE and MERGE: what they write, what they compare it with, and RETURNING."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.sql.lineage.conditions import condition
from gateway.sql.lineage.expressions import Following, Node, is_constant
from gateway.sql.lineage.flows import Source, Sources, Value, union
from gateway.sql.lineage.queries import open_with, targets
from gateway.sql.lineage.ranges import add_range
from gateway.sql.lineage.scope import CTEs, Item, Query, Scope, fold, relation_columns
from gateway.sql.names import Name

BULK: Final = 100
"""How many values count as compared when a query, not a list of values, says what is written into a column: the text
doesn't tell how many rows it has. As many as are let through at once (`gateway.masking.probes.PROBES_AT_ONCE`)."""

_ROW_VERSIONS: Final = ("old", "new")
"""RETURNING's names for the row before and after, since PostgreSQL 18."""


def follow_insert(following: Following, body: Node, outer: Scope | None, ctes: CTEs) -> Query:
    scope = _begin(following, body, outer, ctes)
    target = _target(body)
    columns = [column["ResTarget"]["name"] for column in body.get("cols", ())]
    written = _written(target, columns)
    query = body.get("selectStmt")
    if query is not None:
        source = following.inner(query, scope.outer, scope.ctes)
        scope.conditions |= source.conditions
        following.noted.written(Value(source.whole.sources | source.conditions))
        rows = query.get("SelectStmt", {}).get("valuesLists")
        following.noted.probe("INSERT", written, len(rows) if rows is not None else BULK)
        infer = body.get("onConflictClause", {}).get("infer", {})
        if rows is None and "onConflictClause" in body and "indexElems" not in infer:
            # Row by row it would tell which values are there, of any unique index.
            following.noted.decides("ON CONFLICT", Value(written))
    item = _item(body)
    conflict = body.get("onConflictClause")
    if conflict is not None:
        inner = _with_items(scope, item, Item("excluded", relation_columns(target)))
        _conflict(following, conflict, target, inner)
        scope.conditions |= inner.conditions
    return _returning(following, body, _with_items(scope, item), scope)


def _conflict(following: Following, body: Node, target: Name, scope: Scope) -> None:
    infer = body.get("infer", {})
    for element in infer.get("indexElems", ()):
        index = element["IndexElem"]
        if "name" in index:
            source = Source(target, fold(index["name"]))
            following.noted.decides("ON CONFLICT", Value(frozenset({source})))
        if "expr" in index:
            following.decision("ON CONFLICT", index["expr"], scope)
    for node in (infer.get("whereClause"), body.get("whereClause")):
        if node is not None:
            condition(following, "WHERE", node, scope)
    _set(following, body.get("targetList", ()), target, scope)


def follow_update(following: Following, body: Node, outer: Scope | None, ctes: CTEs) -> Query:
    scope, inner = _chosen(following, body, "fromClause", outer, ctes)
    _set(following, body["targetList"], _target(body), inner)
    scope.conditions |= inner.conditions
    return _returning(following, body, inner, scope)


def follow_delete(following: Following, body: Node, outer: Scope | None, ctes: CTEs) -> Query:
    scope, inner = _chosen(following, body, "usingClause", outer, ctes)
    scope.conditions |= inner.conditions
    return _returning(following, body, inner, scope)


def _chosen(following: Following, body: Node, ranges: str, outer: Scope | None, ctes: CTEs) -> tuple[Scope, Scope]:
    """The statement's own scope, and the one with its target and the relations that choose rows of it."""
    scope = _begin(following, body, outer, ctes)
    inner = _with_items(scope, _item(body))
    for node in body.get(ranges, ()):
        add_range(following, node, inner)
    if "whereClause" in body:
        condition(following, "WHERE", body["whereClause"], inner)
    return scope, inner


def follow_merge(following: Following, body: Node, outer: Scope | None, ctes: CTEs) -> Query:
    scope = _begin(following, body, outer, ctes)
    target = _target(body)
    inner = _with_items(scope, _item(body))
    add_range(following, body["sourceRelation"], inner)
    condition(following, "MERGE ... ON", body["joinCondition"], inner)
    for item in body["mergeWhenClauses"]:
        clause = item["MergeWhenClause"]
        if "condition" in clause:
            condition(following, "MERGE ... WHEN", clause["condition"], inner)
        if "values" in clause:
            columns = [column["ResTarget"]["name"] for column in clause.get("targetList", ())]
            values = [following.value(value, inner) for value in clause["values"]]
            _store(following, _written(target, columns), union(values), constant=False)
        else:
            _set(
                following, [node for node in clause.get("targetList", ()) if "val" in node["ResTarget"]], target, inner
            )
    scope.conditions |= inner.conditions
    return _returning(following, body, inner, scope)


def _begin(following: Following, body: Node, outer: Scope | None, ctes: CTEs) -> Scope:
    following.read.visit()
    scope = Scope(ctes, following.read, outer)
    if "withClause" in body:
        scope.ctes = open_with(following, body["withClause"], scope)
    return scope


def _target(body: Node) -> Name:
    return Name(body["relation"].get("schemaname"), body["relation"]["relname"])


def _item(body: Node) -> Item:
    relation = body["relation"]
    alias = relation.get("alias", {}).get("aliasname", relation["relname"])
    return Item(fold(alias), relation_columns(_target(body)))


def _with_items(scope: Scope, *items: Item) -> Scope:
    return Scope(scope.ctes, scope.read, scope.outer, [*items])


def _written(target: Name, columns: list[str]) -> Sources:
    """The columns that are written, all of the relation's when none are named."""
    if not columns:
        return frozenset({Source(target)})
    return frozenset(Source(target, fold(column)) for column in columns)


def _set(following: Following, nodes: list[Node] | tuple[()], target: Name, scope: Scope) -> None:
    for node in nodes:
        column = node["ResTarget"]
        for step in column.get("indirection", ()):
            if "A_Indices" in step:
                for end in step["A_Indices"].values():
                    if isinstance(end, dict):
                        following.decision("a subscript", end, scope)
        value = following.value(column["val"], scope)
        constant = "SetToDefault" in column["val"] or is_constant(column["val"])
        _store(following, _written(target, [column["name"]]), value, constant=constant)


def _store(following: Following, written: Sources, value: Value, *, constant: bool) -> None:
    following.noted.shown(value)
    following.noted.written(value)
    following.noted.probe("what is written", written, 1 if constant else BULK)


def _returning(following: Following, body: Node, inner: Scope, scope: Scope) -> Query:
    nodes = body.get("returningList", [])
    if not nodes:
        return Query((), frozenset(scope.conditions))
    target = inner.items[0]
    versions = [Item(name, target.columns) for name in _ROW_VERSIONS]
    seen = replace(inner, items=[*inner.items], outer=replace(inner, items=versions, outer=inner.outer))
    columns = targets(following, nodes, seen)
    return Query(columns, frozenset(scope.conditions))
