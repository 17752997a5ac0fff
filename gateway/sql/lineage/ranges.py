"""What stands in FROM: relations, subqueries, functions, joins."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gateway.sql.lineage.conditions import condition
from gateway.sql.lineage.expressions import Following, Node
from gateway.sql.lineage.flows import NotFollowed, Value, union
from gateway.sql.lineage.scope import Column, Item, Scope, fold, relation_columns, renamed
from gateway.sql.names import Name

_ONE_COLUMN: Final = frozenset({"generate_series"})
"""Functions that give one column whatever their arguments are; others may give a row of many."""


def add_range(following: Following, node: Node, scope: Scope) -> None:
    """Read one item of FROM and put it into the scope."""
    [(kind, body)] = node.items()
    following.read.visit()
    if kind == "JoinExpr":
        _join(following, body, scope)
        return
    if kind == "RangeTableSample":
        for arg in (*body.get("args", ()), *((body["repeatable"],) if "repeatable" in body else ())):
            scope.conditions |= following.decision("TABLESAMPLE", arg, scope).sources
        add_range(following, body["relation"], scope)
        return
    alias = body.get("alias", {})
    names = [fold(name["String"]["sval"]) for name in alias.get("colnames", ())]
    own = alias.get("aliasname")
    if kind == "RangeVar":
        columns = _relation(body, scope)
        own = own or body["relname"]
    elif kind == "RangeSubselect":
        around = scope if body.get("lateral") else scope.outer
        query = following.inner(body["subquery"], around, scope.ctes)
        scope.conditions |= query.conditions
        columns = query.columns
    elif kind == "RangeFunction":
        columns, called = _functions(following, body, scope)
        own = own or called
        if len(columns) == 1 and not columns[0].many and own is not None and not names:
            # A function that gives one column: that is called like the item.
            columns = (replace(columns[0], name=None),)
    elif kind in {"RangeTableFunc", "JsonTable"}:
        # Their columns hold parts of the document, each in its own way.
        value = following.decision("a function in FROM", {kind: body}, scope)
        columns = (Column(None, Value(value.read, value.implied), many=True),)
    else:
        raise NotFollowed(f"{kind} in FROM")
    scope.items.append(Item(None if own is None else fold(own), renamed(columns, names)))


def _relation(body: Node, scope: Scope) -> tuple[Column, ...]:
    name = body["relname"]
    if "schemaname" not in body:
        query = scope.ctes.get(name)
        if query is not None:
            scope.conditions |= query.conditions
            return query.columns
        if not name.isascii() and any(fold(name) == fold(other) for other in scope.ctes):
            raise NotFollowed("a name that the server may take for a CTE's")
    return relation_columns(Name(body.get("schemaname"), name))


def _functions(following: Following, body: Node, scope: Scope) -> tuple[tuple[Column, ...], str | None]:
    """Columns of functions in FROM, which see what stands before them, and the first one's name."""
    calls = [item["List"]["items"][0] for item in body["functions"]]
    value = following.decision("a function in FROM", calls, scope)
    scope.conditions |= value.sources
    value = Value(value.read, value.implied)
    [(kind, call)] = calls[0].items()
    name = call["funcname"][-1]["String"]["sval"] if kind == "FuncCall" else None
    defined = body.get("coldeflist")
    if defined is not None and len(calls) == 1:
        columns = tuple(Column(fold(column["ColumnDef"]["colname"]), value) for column in defined)
    else:
        columns = tuple(Column(None, value, many=not _is_single(one)) for one in calls)
    if body.get("ordinality"):
        columns = (*columns, Column("ordinality", Value()))
    return columns, name


def _is_single(call: Node) -> bool:
    return "FuncCall" in call and call["FuncCall"]["funcname"][-1]["String"]["sval"] in _ONE_COLUMN


def _join(following: Following, body: Node, scope: Scope) -> None:
    """Joins lean to the left where people write many: a loop down, and back up."""
    first = len(scope.items)
    joins = [body]
    while "JoinExpr" in joins[-1]["larg"]:
        joins.append(joins[-1]["larg"]["JoinExpr"])
    add_range(following, joins[-1]["larg"], scope)
    for join in reversed(joins):
        middle = len(scope.items)
        _right(following, join["rarg"], scope)
        left, right = scope.items[first:middle], scope.items[middle:]
        _condition(following, join, left, right, scope)
        alias = join.get("alias")
        if alias is not None:
            names = [fold(name["String"]["sval"]) for name in alias.get("colnames", ())]
            columns = tuple(column for item in scope.items[first:] for column in item.columns)
            if scope.merged:
                columns = tuple(replace(column, many=True) for column in columns)
            scope.items[first:] = [Item(fold(alias["aliasname"]), renamed(columns, names))]


def _right(following: Following, node: Node, scope: Scope) -> None:
    following.read.nest()
    add_range(following, node, scope)
    following.read.nesting -= 1


def _condition(following: Following, join: Node, left: list[Item], right: list[Item], scope: Scope) -> None:
    using = [fold(name["String"]["sval"]) for name in join.get("usingClause", ())]
    if using or join.get("isNatural"):
        scope.merged = True
    if using:
        columns = [column for item in (*left, *right) for column in item.columns]
        values = [value for name in using for column in columns if (value := column.named(name)) is not None]
        following.noted.decides("JOIN ... USING", union(values))
        scope.conditions |= union(values).sources
        alias = join.get("join_using_alias")
        if alias is not None:
            merged = tuple(
                Column(name, union([value for column in columns if (value := column.named(name)) is not None]))
                for name in using
            )
            scope.items.append(Item(fold(alias["aliasname"]), merged))
    elif join.get("isNatural"):
        # Which columns both sides have only the catalogue knows.
        value = union([item.whole for item in (*left, *right)])
        following.noted.decides("NATURAL JOIN", value)
        scope.conditions |= value.sources
    if "quals" in join:
        condition(following, "JOIN ... ON", join["quals"], scope)
