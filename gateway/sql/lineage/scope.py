"""Which columns a name can mean: FROM items, scopes, and the names that PostgreSQL gives to unnamed columns.

Name resolution is over-approximated (parse_relation.c has the real one, which needs the catalogue): an unqualified
name is every column of that name in every enclosing scope, a relation's alias is that alias in every enclosing scope.
A column whose name isn't known for certain could have any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.sql.lineage.flows import CONSTANT, NOTHING, NotFollowed, Source, Sources, Value, union
from gateway.sql.names import Name

MAX_VISITS: Final = 100_000
"""Steps through one statement: names looked up and nodes read. A statement of 64 KiB without tricks takes 10,000;
nested recursive CTEs are read anew for each round of each, which is exponential."""

MAX_NESTING: Final = 60
"""Queries inside of queries. Python's stack holds about five frames for each of them; people write three."""


class Column(Struct, frozen=True):
    """A column of a FROM item or of a query's result.

    name      None: it could have any name
    many      it stands for any number of columns, also none
    relation  these are all columns of this relation
    """

    name: str | None
    value: Value
    many: bool = False
    relation: Name | None = None

    def named(self, name: str) -> Value | None:
        """What it holds under this name; None when it has another one."""
        if self.relation is not None:
            return Value(frozenset({Source(self.relation, name)}), plain=True)
        return self.value if self.name is None or self.name == name else None


class Query(Struct, frozen=True):
    """What a query gives.

    conditions  what decided which rows there are
    """

    columns: tuple[Column, ...]
    conditions: Sources = NOTHING

    @property
    def whole(self) -> Value:
        return union([column.value for column in self.columns])


def relation_columns(name: Name) -> tuple[Column, ...]:
    """Those of a table or view: known to the catalogue only."""
    return (Column(None, Value(frozenset({Source(name)})), many=True, relation=name),)


class Item(Struct, frozen=True):
    """What stands in FROM under one name, or under none."""

    alias: str | None
    columns: tuple[Column, ...]

    @property
    def whole(self) -> Value:
        """Its whole row."""
        return replace(union([column.value for column in self.columns]), plain=False)

    def field(self, name: str) -> Value:
        """``alias.name``: a column, or else a function of the whole row."""
        values = []
        certain = False
        for column in self.columns:
            if column.relation is not None:
                values.append(Value(frozenset({Source(column.relation, name, surely=True)}), plain=True))
                certain = certain or len(self.columns) == 1
            elif (value := column.named(name)) is not None:
                values.append(value)
                certain = certain or column.name == name
        return union(values if certain else [*values, self.whole])


@dataclass(slots=True)
class Noticed:
    """How much of one statement was read: beyond the limits nothing is known."""

    visits: int = 0
    nesting: int = 0

    def visit(self, steps: int = 1) -> None:
        self.visits += steps
        if self.visits > MAX_VISITS:
            raise NotFollowed("the statement has too many parts")

    def nest(self) -> None:
        """One level deeper; who comes back takes one from ``nesting``."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise NotFollowed("queries or conditions are nested too deeply")


CTEs = Mapping[str, Query]


@dataclass(slots=True)
class Scope:
    """What one query's expressions can see; grows from left to right while FROM is read.

    outer    that of the query around it
    merged   some of its columns are shown once for two (USING, NATURAL): their order isn't known
    windows  what the WINDOW clause reads
    """

    ctes: CTEs
    read: Noticed
    outer: Scope | None = None
    items: list[Item] = field(default_factory=list)
    conditions: set[Source] = field(default_factory=set)
    merged: bool = False
    windows: Value = CONSTANT

    def look_up(self, fields: Sequence[dict[str, Any]]) -> Value:
        """What a ColumnRef can mean. Raises NotFollowed when it names what is nowhere in scope."""
        last = fields[-1]
        if "A_Star" in last:
            return union([column.value for column in self.star(fields)])
        name = fold(last["String"]["sval"])
        if len(fields) > 1:
            return union([item.field(name) for item in self._aliased(fold(fields[-2]["String"]["sval"]))])
        found = [column for item in self._visible() for column in item.columns]
        values = [value for column in found if (value := column.named(name)) is not None]
        return union([*values, *(item.whole for item in self._visible() if item.alias == name)])

    def field(self, name: str, field: str) -> Value | None:
        """What ``(name).field`` can mean where ``name`` is a FROM item's; None when it is not."""
        name = fold(name)
        aliased = [item.field(fold(field)) for item in self._visible() if item.alias == name]
        if not aliased:
            return None
        # Or a field of a column that is called like the FROM item.
        found = [column for item in self._visible() for column in item.columns]
        return union([*aliased, *(value for column in found if (value := column.named(name)) is not None)])

    def _visible(self) -> Iterator[Item]:
        scope: Scope | None = self
        while scope is not None:
            self.read.visit(len(scope.items))
            yield from scope.items
            scope = scope.outer

    def star(self, fields: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
        """The columns that ``*`` or ``relation.*`` stands for."""
        if len(fields) > 1:
            found = self._aliased(fold(fields[-2]["String"]["sval"]))
            if len(found) == 1:
                return found[0].columns
            return _blurred(column for item in found for column in item.columns)
        columns = tuple(column for item in self.items for column in item.columns)
        return _blurred(columns) if self.merged else columns

    def _aliased(self, alias: str) -> list[Item]:
        found = [item for item in self._visible() if item.alias == alias]
        if not found:
            raise NotFollowed(f"{alias} is nothing in FROM")
        return found


def _blurred(columns: Iterable[Column]) -> tuple[Column, ...]:
    """The same columns, in an order and number that aren't known."""
    return tuple(replace(column, many=True) for column in columns)


def renamed(columns: tuple[Column, ...], names: Sequence[str]) -> tuple[Column, ...]:
    """With column aliases, for the first of them as many as there are names."""
    exact = 0
    while exact < len(columns) and not columns[exact].many:
        exact += 1
    if len(names) <= exact:
        front = (replace(column, name=name) for name, column in zip(names, columns, strict=False))
        return (*front, *columns[len(names) :])
    front = (replace(column, name=name) for name, column in zip(names, columns[:exact], strict=False))
    rest = columns[exact:]
    anything = replace(union([column.value for column in rest]), plain=False)
    if not rest:
        return tuple(front)
    # Some of the columns behind the first many-fold one have these names, and the others keep theirs.
    return (*front, *(Column(name, anything, many=True) for name in names[exact:]), *rest)


def merged_columns(left: tuple[Column, ...], right: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns of UNION, INTERSECT and EXCEPT: named as on the left, from either side."""
    if len(left) == len(right) and not any(column.many for column in (*left, *right)):
        return tuple(Column(one.name, union([one.value, other.value])) for one, other in zip(left, right, strict=True))
    value = replace(union([column.value for column in (*left, *right)]), plain=False)
    return (Column(None, value, many=True),)


def fold(name: str) -> str:
    """A server with a single-byte encoding folds letters beyond ASCII, too, and our parser doesn't."""
    return name if name.isascii() else name.lower()


_UNNAMED: Final = frozenset({"A_Const", "BoolExpr", "NullTest", "BooleanTest", "ParamRef"})


def column_name(node: dict[str, Any]) -> str | None:
    """The name that a result column without one gets (FigureColname in parse_target.c); None where versions differ."""
    [(kind, body)] = node.items()
    while kind == "CollateClause":
        [(kind, body)] = body["arg"].items()
    if kind == "ColumnRef":
        last: str = body["fields"][-1].get("String", {}).get("sval", "")
        return fold(last) or None
    if kind == "FuncCall" and body.get("funcformat", "COERCE_EXPLICIT_CALL") == "COERCE_EXPLICIT_CALL":
        return fold(body["funcname"][-1]["String"]["sval"])
    if kind == "CoalesceExpr":
        return "coalesce"
    if kind in _UNNAMED or (kind == "A_Expr" and body["kind"] == "AEXPR_OP"):
        return "?column?"
    return None
