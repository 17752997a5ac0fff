"""One expression -> what it can hold, and how it uses columns.

An explicit stack, since the depth of an expression is the client's choice; subqueries and the conditions in it are
read by calls, whose depth is bounded (`scope.MAX_NESTING`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from gateway.sql.lineage import total
from gateway.sql.lineage.flows import Noted, Source, Value
from gateway.sql.lineage.scope import CTEs, Noticed, Query, Scope
from gateway.sql.nodes import FIELDS, LEAVES, NODE

Node: TypeAlias = dict[str, Any]

FollowQuery: TypeAlias = Callable[[str, Node, "Scope | None", CTEs], Query]


@dataclass(slots=True)
class Following:
    """One statement that is being followed.

    query  reads a query that stands inside: (node type, its body, the scope around it, CTEs)
    """

    noted: Noted
    read: Noticed
    query: FollowQuery

    def inner(self, node: Node, scope: Scope | None, ctes: CTEs) -> Query:
        """A query inside of another one. Raises NotFollowed when that is too deep."""
        [(kind, body)] = node.items()
        self.read.nest()
        query = self.query(kind, body, scope, ctes)
        self.read.nesting -= 1
        return query

    def value(self, node: Node, scope: Scope) -> Value:
        """What an expression can hold."""
        if len(node) == 1 and "ColumnRef" in node:
            self.read.visit()
            return scope.look_up(node["ColumnRef"]["fields"])
        return _Expression(self, scope).follow(node)

    def decision(self, place: str, node: Node | list[Node], scope: Scope) -> Value:
        """An expression that decides something; what it reads is noted with ``place``."""
        self.read.nest()
        value = _Expression(self, scope).follow(*(node if isinstance(node, list) else (node,)))
        self.read.nesting -= 1
        self.noted.decides(place, value)
        return value


def is_constant(node: Node) -> bool:
    """A constant, a parameter, an array of them, with casts."""
    stack = [node]
    while stack:
        [(kind, body)] = stack.pop().items()
        if kind in {"TypeCast", "CollateClause"}:
            stack.append(body["arg"])
        elif kind == "A_ArrayExpr":
            stack += body.get("elements", ())
        elif kind not in {"A_Const", "ParamRef"}:
            return False
    return True


class _Expression:
    """Adds up one expression."""

    def __init__(self, following: Following, scope: Scope) -> None:
        self._following = following
        self._scope = scope
        self._read: set[Source] = set()
        self._implied: set[Source] = set()
        self._partial: set[str] = set()
        self._stack: list[Node] = []

    def follow(self, *nodes: Node) -> Value:
        self._stack += nodes
        while self._stack:
            self._following.read.visit()
            for kind, body in self._stack.pop().items():
                visit = _VISITORS.get(kind)
                if visit is not None:
                    visit(self, body)
                elif kind not in LEAVES:
                    if kind not in total.NODES:
                        self._partial.add(kind)
                    self._below(kind, body)
        return Value(frozenset(self._read), frozenset(self._implied), partial=frozenset(self._partial))

    def _add(self, value: Value) -> None:
        self._read |= value.read
        self._implied |= value.implied
        self._partial |= value.partial

    def _below(self, kind: str, body: Node) -> None:
        fields = FIELDS[kind]
        for key, content in body.items():
            how = fields[key]
            if how is None:
                continue
            if how != NODE:
                self._stack.append({how: content})
            elif isinstance(content, list):
                self._stack += content
            else:
                self._stack.append(content)

    def _decides(self, place: str, nodes: Node | list[Node]) -> None:
        value = self._following.decision(place, nodes, self._scope)
        self._add(value)

    # --- one method for each kind of node that needs more than its parts ------------------------------------------

    def column(self, body: Node) -> None:
        self._add(self._scope.look_up(body["fields"]))

    def case(self, body: Node) -> None:
        conditions = [when["CaseWhen"]["expr"] for when in body["args"]]
        if "arg" in body:
            conditions.append(body["arg"])
        self._decides("CASE", conditions)
        self._stack += [when["CaseWhen"]["result"] for when in body["args"]]
        if "defresult" in body:
            self._stack.append(body["defresult"])

    def null_test(self, body: Node) -> None:
        """Whether a column is NULL is no secret: masks leave NULL as it is."""
        arg = body["arg"]
        if "ColumnRef" in arg:
            value = self._scope.look_up(arg["ColumnRef"]["fields"])
            if value.plain:
                self._implied |= value.sources
                return
        self._stack.append(arg)

    def operation(self, body: Node) -> None:
        operator = body["name"][-1]["String"]["sval"]
        kind = body["kind"]
        sides = [body[side] for side in ("lexpr", "rexpr") if side in body]
        if kind in {"AEXPR_LIKE", "AEXPR_ILIKE"} or operator in total.PATTERN_OPERATORS:
            if not is_constant(sides[-1]):
                self._partial.add(operator)
        elif kind in _WORDS or any("RowExpr" in side for side in sides):
            # NULL where nothing is equal, and something in the list, or in the row, is NULL.
            self._partial.add(_WORDS.get(kind, "comparing rows"))
        elif kind not in _TOTAL_KINDS and (operator not in total.OPERATORS or operator in total.TEXT_ONLY):
            self._partial.add(operator)
        self._stack += sides

    def call(self, body: Node) -> None:
        name = body["funcname"][-1]["String"]["sval"]
        args = body.get("args", [])
        if not _is_total(name, args):
            self._partial.add(name)
        self._stack += args
        if body.get("agg_distinct"):
            self._decides("DISTINCT", args)
        if "agg_filter" in body:
            self._decides("FILTER", body["agg_filter"])
        if "agg_order" in body:
            self._decides("an aggregate's ORDER BY", [key["SortBy"]["node"] for key in body["agg_order"]])
        if "over" in body:
            self.window(body["over"])

    def window(self, body: Node) -> None:
        if "name" in body or "refname" in body:
            self._add(self._scope.windows)
        parts = [*body.get("partitionClause", ()), *(key["SortBy"]["node"] for key in body.get("orderClause", ()))]
        parts += [body[offset] for offset in ("startOffset", "endOffset") if offset in body]
        if parts:
            self._decides("a window", parts)

    def cast(self, body: Node) -> None:
        parts = body["typeName"]["names"]
        target = parts[-1]["String"]["sval"]
        text = target in total.TYPES and "arrayBounds" not in body["typeName"]
        if not text and not is_constant(body["arg"]):
            self._partial.add(f"cast to {target}")
        self._stack.append(body["arg"])

    def array(self, body: Node) -> None:
        self._partial.add("ARRAY")
        self._stack += body.get("elements", ())

    def selection(self, body: Node) -> None:
        """``(expression).field``, ``(expression)[index]``."""
        arg, path = body["arg"], list(body["indirection"])
        fields = arg.get("ColumnRef", {}).get("fields", ())
        value = None
        if len(fields) == 1 and "String" in path[0]:
            value = self._scope.field(fields[0]["String"]["sval"], path[0]["String"]["sval"])
        if value is None:
            self._stack.append(arg)
        else:
            self._add(value)
            path.pop(0)
        for step in path:
            if "A_Indices" in step:
                indices = [step["A_Indices"][end] for end in ("lidx", "uidx") if end in step["A_Indices"]]
                if indices and not all(map(is_constant, indices)):
                    self._decides("a subscript", indices)
            elif "A_Star" not in step:
                self._partial.add(f".{step['String']['sval']}")

    def sub_link(self, body: Node) -> None:
        query = self._following.inner(body["subselect"], self._scope, self._scope.ctes)
        self._implied |= query.conditions
        if body["subLinkType"] != "EXISTS_SUBLINK":
            self._add(query.whole)
        if "operName" in body and (operator := body["operName"][-1]["String"]["sval"]) not in total.OPERATORS:
            self._partial.add(operator)
        if "testexpr" in body:
            self._partial.add("IN")
            self._stack.append(body["testexpr"])

    def boolean(self, body: Node) -> None:
        """Of three values: ``x OR NULL`` is NULL where x is false."""
        if body["boolop"] != "NOT_EXPR":
            self._partial.add(body["boolop"].removesuffix("_EXPR"))
        self._stack += body["args"]

    def query(self, body: Node) -> None:
        """JSON_ARRAY(SELECT ...): a query without SubLink."""
        query = self._following.inner({"SelectStmt": body}, self._scope, self._scope.ctes)
        self._implied |= query.conditions
        self._add(query.whole)


_TOTAL_KINDS: Final = frozenset(
    {
        "AEXPR_DISTINCT",
        "AEXPR_NOT_DISTINCT",
    }
)
_WORDS: Final = {"AEXPR_IN": "IN", "AEXPR_OP_ANY": "ANY", "AEXPR_OP_ALL": "ALL", "AEXPR_NULLIF": "nullif"}


def _is_total(name: str, args: list[Node]) -> bool:
    if name in total.ALL_ARGUMENTS or (name in total.ALONE and len(args) == 1):
        return True
    if name in total.NUMBERED:
        return all("ival" in arg.get("A_Const", {}) for arg in args[1:])
    return name in total.FIRST_ARGUMENT and all(is_constant(_argument(arg)) for arg in args[1:])


def _argument(node: Node) -> Node:
    named = node.get("NamedArgExpr")
    return node if named is None else named["arg"]


_VISITORS: Final[dict[str, Callable[[_Expression, Node], None]]] = {
    "ColumnRef": _Expression.column,
    "CaseExpr": _Expression.case,
    "BoolExpr": _Expression.boolean,
    "NullTest": _Expression.null_test,
    "A_Expr": _Expression.operation,
    "FuncCall": _Expression.call,
    "TypeCast": _Expression.cast,
    "A_ArrayExpr": _Expression.array,
    "A_Indirection": _Expression.selection,
    "SubLink": _Expression.sub_link,
    "SelectStmt": _Expression.query,
    "WindowDef": _Expression.window,
    "TypeName": lambda _expression, _body: None,
}
