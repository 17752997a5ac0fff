"""WHERE, ON and MERGE's conditions: which of them only compare a column with constants.

`ssn = $1` tells one value at a time, can be counted, and is what applications need (postgres.md, Masking 8). All that
isn't of that form decides by more than equality, and is noted as such.
"""

from __future__ import annotations

from typing import Any

from gateway.sql.lineage.expressions import Following, Node, is_constant
from gateway.sql.lineage.flows import Value, union
from gateway.sql.lineage.scope import Scope

_EQUALITY = frozenset({"=", "<>", "!="})
_LISTS = frozenset({"AEXPR_IN", "AEXPR_OP_ANY", "AEXPR_OP_ALL"})
_SINGLE = frozenset({"AEXPR_OP", "AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"})


def condition(following: Following, place: str, node: Node, scope: Scope) -> None:
    """Read a condition; its sources become the scope's."""
    stack = [node]
    values = []
    while stack:
        following.read.visit()
        part = stack.pop()
        [(kind, body)] = part.items()
        if kind == "BoolExpr":
            stack += body["args"]
        elif kind == "SubLink" and "testexpr" not in body:
            values.append(_sub_link(following, place, body, scope))
        elif kind in {"A_Expr", "BooleanTest"} and (value := _probe(following, place, kind, body, scope)) is not None:
            values.append(value)
        else:
            values.append(following.decision(place, part, scope))
    scope.conditions |= union(values).sources


def _sub_link(following: Following, place: str, body: dict[str, Any], scope: Scope) -> Value:
    """EXISTS, or a subquery that gives a truth value: what it reads inside is noted there."""
    query = following.inner(body["subselect"], scope, scope.ctes)
    if body["subLinkType"] == "EXISTS_SUBLINK":
        return Value(implied=query.conditions)
    following.noted.decides(place, query.whole)
    return Value(query.whole.read, query.whole.implied | query.conditions)


def _probe(following: Following, place: str, kind: str, body: dict[str, Any], scope: Scope) -> Value | None:
    """The column, when this compares a plain one with constants for equality."""
    if kind == "BooleanTest":
        # Of a boolean, IS TRUE is equality with a constant.
        column: Node = body["arg"]
        constants: list[Node] = []
    else:
        if body["name"][-1]["String"]["sval"] not in _EQUALITY or "lexpr" not in body:
            return None
        column, other = body["lexpr"], body["rexpr"]
        if body["kind"] in _LISTS:
            constants = other["List"]["items"] if "List" in other else [other]
        elif body["kind"] in _SINGLE:
            constants = [other]
            if "ColumnRef" not in column:
                column, constants = other, [column]
        else:
            return None
    if "ColumnRef" not in column or not all(map(is_constant, constants)):
        return None
    value = scope.look_up(column["ColumnRef"]["fields"])
    if not value.plain:
        return None
    if value.read:
        listed = body.get("kind") in _LISTS
        count, arrays = _compared(constants) if listed else (1, frozenset())
        following.noted.probe(place, value.read, count, arrays)
    return value


def _compared(constants: list[Node]) -> tuple[int, frozenset[int]]:
    """How many values a list has at least, and the numbers of parameters that may hold more."""
    count = 0
    arrays = set()
    for node in constants:
        while "TypeCast" in node:
            node = node["TypeCast"]["arg"]  # noqa: PLW2901  the cast's argument stands for it
        if "A_ArrayExpr" in node:
            count += len(node["A_ArrayExpr"].get("elements", ()))
        elif "ParamRef" in node:
            arrays.add(node["ParamRef"].get("number", 0))
            count += 1
        else:
            # An array as one literal has at most as many elements as commas, and one.
            text = node.get("A_Const", {}).get("sval", {}).get("sval", "")
            count += text.count(",") + 1
    return count, frozenset(arrays)
