"""Queries: FROM, WITH, set operations, and what SELECT makes of them."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gateway.sql.lineage.conditions import condition
from gateway.sql.lineage.expressions import Following, Node
from gateway.sql.lineage.flows import NotFollowed, Value, union
from gateway.sql.lineage.ranges import add_range
from gateway.sql.lineage.scope import Column, CTEs, Query, Scope, column_name, fold, merged_columns, renamed

MAX_ROUNDS: Final = 20
"""Rounds until a recursive CTE's columns hold nothing new. Each round brings a source one column further, so as many as
a chain of columns is long; people's need three."""

_ORDERING: Final = frozenset({"withClause", "sortClause", "limitOffset", "limitCount", "lockingClause"})
"""Keys that make a branch of a set operation a query of its own."""


def follow_select(following: Following, body: Node, outer: Scope | None, ctes: CTEs) -> Query:
    """A SelectStmt: SELECT, VALUES, TABLE, or a set operation of them."""
    following.read.visit()
    scope = Scope(ctes, following.read, outer)
    if "withClause" in body:
        scope.ctes = open_with(following, body["withClause"], scope)
    if body.get("op", "SETOP_NONE") != "SETOP_NONE":
        columns = _set_operation(following, body, scope)
    elif "valuesLists" in body:
        columns = _values(following, body["valuesLists"], scope)
    else:
        columns = _select(following, body, scope)
    # ORDER BY of a set operation knows its result's columns only; the scope has no FROM items then.
    for key in body.get("sortClause", ()):
        scope.conditions |= _key(
            following, "ORDER BY", key["SortBy"]["node"], columns, scope, output_first=True
        ).sources
    for limit in ("limitOffset", "limitCount"):
        if limit in body:
            scope.conditions |= following.decision("LIMIT", body[limit], scope).sources
    if "intoClause" in body:
        following.noted.writes |= union([column.value for column in columns]).sources | scope.conditions
    return Query(columns, frozenset(scope.conditions))


def _set_operation(following: Following, body: Node, scope: Scope) -> tuple[Column, ...]:
    """Left-deep chains are long where people write them by machine: a loop, no recursion."""
    branches = []
    while body.get("op", "SETOP_NONE") != "SETOP_NONE":
        branches.append((body["op"], body.get("all", False), body["rarg"]))
        body = body["larg"]
        if not _ORDERING.isdisjoint(body):
            break
    columns = _branch(following, body, scope)
    for operation, all_rows, right in reversed(branches):
        other = _branch(following, right, scope)
        columns = merged_columns(columns, other)
        if operation != "SETOP_UNION" or not all_rows:
            word = operation.removeprefix("SETOP_")
            following.noted.decides(word, union([column.value for column in columns]))
            scope.conditions |= union([column.value for column in columns]).sources
    return columns


def _branch(following: Following, body: Node, scope: Scope) -> tuple[Column, ...]:
    query = following.inner({"SelectStmt": body}, scope.outer, scope.ctes)
    scope.conditions |= query.conditions
    return query.columns


def _values(following: Following, rows: list[Node], scope: Scope) -> tuple[Column, ...]:
    columns: list[list[Value]] = []
    for row in rows:
        cells = row["List"].get("items", ())
        if not columns:
            columns = [[] for _ in cells]
        if len(cells) != len(columns):
            raise NotFollowed("VALUES of different lengths")
        for column, cell in zip(columns, cells, strict=True):
            following.read.visit()
            if "A_Const" not in cell and "ParamRef" not in cell:
                value = following.value(cell, scope)
                following.noted.shown(value)
                column.append(value)
    return tuple(
        Column(f"column{number}", replace(union(values), plain=False)) for number, values in enumerate(columns, 1)
    )


def _select(following: Following, body: Node, scope: Scope) -> tuple[Column, ...]:
    for item in body.get("fromClause", ()):
        add_range(following, item, scope)
    for definition in body.get("windowClause", ()):
        value = following.value(definition, scope)
        scope.windows = union([scope.windows, value])
    if "whereClause" in body:
        condition(following, "WHERE", body["whereClause"], scope)
    columns = targets(following, body.get("targetList", []), scope)
    if "distinctClause" in body:
        keys = [key for key in body["distinctClause"] if key]
        read = [_key(following, "DISTINCT", key, columns, scope, output_first=True) for key in keys]
        if not keys:
            read = [column.value for column in columns]
            following.noted.decides("DISTINCT", union(read))
        scope.conditions |= union(read).sources
    for key in body.get("groupClause", ()):
        scope.conditions |= _group(following, key, columns, scope).sources
    if "havingClause" in body:
        scope.conditions |= following.decision("HAVING", body["havingClause"], scope).sources
    return columns


def targets(following: Following, nodes: list[Node], scope: Scope) -> tuple[Column, ...]:
    """The columns of a target list, or of RETURNING."""
    columns: list[Column] = []
    for node in nodes:
        target = node["ResTarget"]
        [(kind, body)] = target["val"].items()
        if kind == "ColumnRef" and "A_Star" in body["fields"][-1]:
            columns += scope.star(body["fields"])
            continue
        value = following.value(target["val"], scope)
        following.noted.shown(value)
        if kind == "A_Indirection" and "A_Star" in body["indirection"][-1]:
            columns.append(Column(None, replace(value, plain=False), many=True))
            continue
        name = fold(target["name"]) if "name" in target else column_name(target["val"])
        columns.append(Column(name, value))
    return tuple(columns)


def _group(following: Following, key: Node, columns: tuple[Column, ...], scope: Scope) -> Value:
    waiting = [key]
    values = []
    while waiting:
        following.read.visit()
        one = waiting.pop()
        if "GroupingSet" in one:
            waiting += one["GroupingSet"].get("content", ())
        else:
            values.append(_key(following, "GROUP BY", one, columns, scope, output_first=False))
    return union(values)


def _key(
    following: Following, place: str, node: Node, columns: tuple[Column, ...], scope: Scope, *, output_first: bool
) -> Value:
    """A key of ORDER BY, DISTINCT ON or GROUP BY: a column's number, its name, or an expression.

    ``output_first``: a bare name is an output column when there is one (findTargetlistEntrySQL92).
    """
    number = node.get("A_Const", {}).get("ival")
    if number is not None:
        value = _numbered(columns, number.get("ival", 0))
    elif "ColumnRef" in node and len(node["ColumnRef"]["fields"]) == 1 and "String" in node["ColumnRef"]["fields"][0]:
        name = fold(node["ColumnRef"]["fields"][0]["String"]["sval"])
        outputs = [column for column in columns if column.named(name) is not None]
        value = union([found for column in outputs if (found := column.named(name)) is not None])
        certain = output_first and any(column.name == name and not column.many for column in outputs)
        if not certain:
            value = union([value, scope.look_up(node["ColumnRef"]["fields"])])
    else:
        return following.decision(place, node, scope)
    following.noted.decides(place, value)
    return value


def _numbered(columns: tuple[Column, ...], number: int) -> Value:
    if 0 < number <= len(columns) and not any(column.many for column in columns[:number]):
        return columns[number - 1].value
    return union([column.value for column in columns])


def open_with(following: Following, clause: Node, scope: Scope) -> CTEs:
    """What can be seen with these CTEs in scope."""
    parts = [item["CommonTableExpr"] for item in clause["ctes"]]
    ctes = dict(scope.ctes)
    if not clause.get("recursive"):
        for part in parts:
            ctes[part["ctename"]] = _cte(following, part, ctes, scope)
        return ctes
    # All of them see each other: begin with nothing, until nothing is new.
    empty = Query(())
    ctes |= dict.fromkeys((part["ctename"] for part in parts), empty)
    for _ in range(MAX_ROUNDS):
        before = dict(ctes)
        for part in parts:
            ctes[part["ctename"]] = _cte(following, part, ctes, scope)
        if ctes == before:
            return ctes
    raise NotFollowed("recursive CTEs that need too many rounds")


def _cte(following: Following, part: Node, ctes: CTEs, scope: Scope) -> Query:
    query = following.inner(part["ctequery"], scope.outer, ctes)
    names = [fold(name["String"]["sval"]) for name in part.get("aliascolnames", ())]
    columns = renamed(query.columns, names)
    conditions = query.conditions
    whole = Value(query.whole.read, query.whole.implied)
    search = part.get("search_clause")
    if search is not None:
        columns = (*columns, Column(fold(search["search_seq_column"]), whole))
    cycle = part.get("cycle_clause")
    if cycle is not None:
        following.noted.decides("CYCLE", whole)
        columns = (
            *columns,
            Column(fold(cycle["cycle_mark_column"]), whole),
            Column(fold(cycle["cycle_path_column"]), whole),
        )
        conditions |= whole.sources
    return Query(columns, conditions)
