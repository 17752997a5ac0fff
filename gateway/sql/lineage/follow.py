"""`follow`: one top-level statement -> its `Lineage`."""

from __future__ import annotations

from gateway.sql.lineage.changes import follow_delete, follow_insert, follow_merge, follow_update
from gateway.sql.lineage.conditions import condition
from gateway.sql.lineage.expressions import Following, Node
from gateway.sql.lineage.flows import Lineage, Noted, NotFollowed, Source, Sources, union
from gateway.sql.lineage.queries import follow_select
from gateway.sql.lineage.scope import Column, CTEs, Item, Noticed, Query, Scope, fold, relation_columns
from gateway.sql.names import Name

_QUERIES = {
    "SelectStmt": follow_select,
    "InsertStmt": follow_insert,
    "UpdateStmt": follow_update,
    "DeleteStmt": follow_delete,
    "MergeStmt": follow_merge,
}
_AROUND = frozenset({"PrepareStmt", "DeclareCursorStmt", "CreateTableAsStmt", "ExplainStmt"})


def follow(kind: str, body: Node) -> Lineage | None:
    """Where values go in one statement that `gateway.sql.walk` has understood.

    None: it could not be followed, anything may reach anything. A kind of statement that shows and writes no columns'
    values has a lineage without outputs: what it returns, if anything, isn't known.
    """
    following = Following(Noted(), Noticed(), lambda *query: _query(following, *query))
    try:
        return _statement(following, kind, body)
    except NotFollowed:
        return None


def _query(following: Following, kind: str, body: Node, outer: Scope | None, ctes: CTEs) -> Query:
    query = _QUERIES.get(kind)
    if query is None:
        raise NotFollowed(f"{kind} inside of a query")
    return query(following, body, outer, ctes)


def _statement(following: Following, kind: str, body: Node) -> Lineage:
    noted = following.noted
    columns: tuple[Column, ...] | None = None
    if kind in _QUERIES:
        columns = _query(following, kind, body, None, {}).columns
    elif kind == "CopyStmt":
        columns = _copy(following, body)
    elif kind in _AROUND:
        [(inner_kind, inner)] = body["query"].items()
        if inner_kind in _QUERIES:
            query = _query(following, inner_kind, inner, None, {})
            if kind in {"PrepareStmt", "DeclareCursorStmt"}:
                columns = query.columns
            elif kind == "CreateTableAsStmt":
                noted.writes |= query.whole.sources | query.conditions
        elif inner_kind == "CreateTableAsStmt":
            return _statement(following, inner_kind, inner)
    outputs, star = (None, None) if columns is None else _outputs(columns)
    return Lineage(outputs, star, frozenset(noted.writes), noted.found())


def _copy(following: Following, body: Node) -> tuple[Column, ...] | None:
    if "query" in body:
        [(kind, query)] = body["query"].items()
        return _query(following, kind, query, None, {}).columns
    name = Name(body["relation"].get("schemaname"), body["relation"]["relname"])
    columns = [fold(column["String"]["sval"]) for column in body.get("attlist", ())]
    if body.get("is_from"):
        written = frozenset(Source(name, column) for column in columns) or frozenset({Source(name)})
        following.noted.probe("COPY", written, 1)
        if "whereClause" in body:
            scope = Scope({}, following.read, None, [Item(fold(name.name), relation_columns(name))])
            condition(following, "WHERE", body["whereClause"], scope)
        return None
    whole = relation_columns(name)
    if not columns:
        return whole
    return tuple(Column(column, value) for column in columns if (value := whole[0].named(column)) is not None)


def _outputs(columns: tuple[Column, ...]) -> tuple[tuple[Sources, ...], int | None]:
    """Sources by position; from the first to the last column of which there may be many it is one for all."""
    stars = [index for index, column in enumerate(columns) if column.many]
    if not stars:
        return tuple(column.value.sources for column in columns), None
    first, last = stars[0], stars[-1]
    middle = union([column.value for column in columns[first : last + 1]])
    front = (column.value.sources for column in columns[:first])
    back = (column.value.sources for column in columns[last + 1 :])
    return (*front, middle.sources, *back), first
