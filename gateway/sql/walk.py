"""The walk through one parse tree, and what expressions tell.

Closed by default: a node, a field or a shape that isn't known raises, and the caller makes the statement opaque.
An explicit stack instead of recursion, since the depth of a statement is the client's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from gateway.sql.facts import Gathering, NotUnderstood
from gateway.sql.functions import FUNCTION_VERBS, judge
from gateway.sql.names import Name
from gateway.sql.nodes import FIELDS, LEAVES, NODE

Body: TypeAlias = dict[str, Any]
Scope: TypeAlias = frozenset[str]
Stack: TypeAlias = list[tuple[str, Body, Scope, bool]]
Visitor: TypeAlias = Callable[[Gathering, Body, Scope, bool, Stack], bool | None]

_EQUALS: Final = Name(None, "=")
_SYSTEM_USER: Final = Name("pg_catalog", "system_user")
_IMPLIED: Final = {
    "BETWEEN": (">=", "<="),
    "NOT BETWEEN": ("<", ">"),
    "BETWEEN SYMMETRIC": (">=", "<="),
    "NOT BETWEEN SYMMETRIC": ("<", ">"),
}
# What PostgreSQL 17 has as grammar and an older server would look up as a function of that name.
_JSON_FUNCTIONS: Final = {
    "JsonObjectConstructor": "json_object",
    "JsonArrayConstructor": "json_array",
    "JsonArrayQueryConstructor": "json_array",
    "JsonObjectAgg": "json_objectagg",
    "JsonArrayAgg": "json_arrayagg",
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
    "JsonTable": "json_table",
    "MergeSupportFunc": "merge_action",
}
_JSON_OPERATIONS: Final = {
    "JSON_EXISTS_OP": "json_exists",
    "JSON_QUERY_OP": "json_query",
    "JSON_VALUE_OP": "json_value",
    "JSON_TABLE_OP": "json_table",
}
_CUT_NAME: Final = 60
"""Bytes. Longer names are cut at 63 by lexer and server, in their own encodings: where that could differ, unknown."""


def walk(kind: str, body: Body, facts: Gathering, visitors: dict[str, Visitor]) -> None:
    """Visit every node below and including ``body``.

    Raises NotUnderstood, KeyError, TypeError, AttributeError or ValueError for anything that isn't known.
    """
    stack: Stack = [(kind, body, frozenset(), True)]
    pop = stack.pop
    push = stack.append
    while stack:
        kind, body, scope, source = pop()
        fields = FIELDS.get(kind)
        if fields is None:
            raise NotUnderstood(f"unknown node {kind}")
        visit = visitors.get(kind)
        if visit is not None and visit(facts, body, scope, source, stack):
            continue
        for key, value in body.items():
            how = fields[key]
            if how is None:
                continue
            if how != NODE:
                push((how, value, scope, source))
            elif type(value) is list:
                for item in value:
                    for inner, content in item.items():
                        if inner not in LEAVES:
                            push((inner, content, scope, source))
            else:
                for inner, content in value.items():
                    if inner not in LEAVES:
                        push((inner, content, scope, source))


def push_fields(stack: Stack, kind: str, body: Body, scope: Scope, source: bool, without: frozenset[str]) -> None:
    """Push what the walk itself would push, but for some fields."""
    fields = FIELDS[kind]
    for key, value in body.items():
        how = fields[key]
        if how is None or key in without:
            continue
        if how != NODE:
            stack.append((how, value, scope, source))
        else:
            push_node(stack, value, scope, source)


def push_node(stack: Stack, value: Any, scope: Scope, source: bool) -> None:
    """Push a wrapped node, or each of a list of them."""
    for item in value if isinstance(value, list) else (value,):
        for kind, body in item.items():
            stack.append((kind, body, scope, source))


def strings(nodes: list[Body]) -> list[str]:
    """The texts of a list of String nodes, which is how a qualified name is spelt."""
    return [node["String"]["sval"] for node in nodes]


def qualified(parts: list[str]) -> Name:
    """``[database.][schema.]name``; PostgreSQL accepts no database but the current one."""
    if not 1 <= len(parts) <= 3:
        raise NotUnderstood("a name of more than three parts")
    name = Name(parts[-2] if len(parts) > 1 else None, parts[-1])
    if len(name.name) > 15 or (name.schema is not None and len(name.schema) > 15):
        check_name(name.name)
        check_name(name.schema or "")
    return name


def check_name(text: str) -> None:
    if not text.isascii() and len(text.encode()) >= _CUT_NAME:
        raise NotUnderstood("a name that may be cut differently by the server")


def relation_name(body: Body) -> Name:
    name = body["relname"]
    schema = body.get("schemaname")
    if len(name) > 15 or (schema is not None and len(schema) > 15):
        check_name(name)
        check_name(schema or "")
    return Name(schema, name)


def _range_var(facts: Gathering, body: Body, scope: Scope, _source: bool, _stack: Stack) -> bool:
    name = relation_name(body)
    if name.schema is not None or name.name not in scope:
        facts.relations.add(name)
    facts.row_names.add(name.name)
    alias = body.get("alias")
    if alias is not None:
        facts.row_names.add(alias["aliasname"])
        if "colnames" in alias:
            facts.renames = True
    for key in body:
        FIELDS["RangeVar"][key]
    return True


def _target(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> bool:
    _range_var(facts, body, frozenset(), True, [])
    return True


def _column_ref(facts: Gathering, body: Body, _scope: Scope, source: bool, _stack: Stack) -> bool:
    fields = body["fields"]
    last = fields[-1]
    if "A_Star" in last:
        facts.star = facts.star or source
        return True
    name = last["String"]["sval"]
    if source:
        facts.columns.add(name)
    if len(fields) > 1:
        # The parts before are relation and schema: a field of a composite column is written (t).name.
        facts.attributes.add(name)
    return True


def _indirection(facts: Gathering, body: Body, _scope: Scope, source: bool, _stack: Stack) -> None:
    for item in body["indirection"]:
        if "String" in item:
            name = item["String"]["sval"]
            facts.attributes.add(name)
            if source:
                facts.columns.add(name)
        elif "A_Star" in item:
            facts.star = facts.star or source
        elif "A_Indices" not in item:
            raise NotUnderstood("unknown indirection")


def _func_call(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    name = qualified(strings(body["funcname"]))
    facts.functions.add(name)
    if name == _SYSTEM_USER:
        # Grammar since PostgreSQL 16. Before, it is a name like any other: of a column or a relation.
        facts.relations.add(Name(None, name.name))
        facts.attributes.add(name.name)
        facts.columns.add(name.name)
    verbs = FUNCTION_VERBS.get(name.name)
    if verbs is not None:
        judge(facts, name, verbs, body.get("args", ()))


def _a_expr(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    parts = strings(body["name"])
    for implied in _IMPLIED.get(parts[-1], ()):
        facts.operators.add(Name(None, implied))
    facts.operators.add(qualified(parts))


def _implied_equals(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.operators.add(_EQUALS)


def _join(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    if "usingClause" in body or body.get("isNatural"):
        facts.operators.add(_EQUALS)
    for alias in (body.get("alias"), body.get("join_using_alias")):
        if alias is not None:
            facts.row_names.add(alias["aliasname"])
            facts.renames = facts.renames or "colnames" in alias


def _sub_link(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    if "operName" in body:
        facts.operators.add(qualified(strings(body["operName"])))
    else:
        facts.operators.add(_EQUALS)


def _sort_by(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    if "useOp" in body:
        facts.operators.add(qualified(strings(body["useOp"])))


def _type_name(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    parts = strings(body["names"])
    if parts[0] != "pg_catalog" or len(parts) != 2:
        # "a.b.c%TYPE" has more parts; the type of a column is looked up by its relation's columns.
        facts.types.add(Name(parts[-2] if len(parts) > 1 else None, parts[-1]))


def _table_sample(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.functions.add(qualified(strings(body["method"])))


def _value_function(_facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    if body["op"] not in _VALUE_FUNCTIONS:
        raise NotUnderstood("a word that older servers read as a name")


_VALUE_FUNCTIONS: Final = frozenset(
    {
        "SVFOP_CURRENT_DATE",
        "SVFOP_CURRENT_TIME",
        "SVFOP_CURRENT_TIME_N",
        "SVFOP_CURRENT_TIMESTAMP",
        "SVFOP_CURRENT_TIMESTAMP_N",
        "SVFOP_LOCALTIME",
        "SVFOP_LOCALTIME_N",
        "SVFOP_LOCALTIMESTAMP",
        "SVFOP_LOCALTIMESTAMP_N",
        "SVFOP_CURRENT_ROLE",
        "SVFOP_CURRENT_USER",
        "SVFOP_USER",
        "SVFOP_SESSION_USER",
        "SVFOP_CURRENT_CATALOG",
        "SVFOP_CURRENT_SCHEMA",
    }
)


def _json_function(kind: str) -> Visitor:
    name = Name(None, _JSON_FUNCTIONS[kind])

    def visit(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
        facts.functions.add(name)

    return visit


def _json_operation(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.functions.add(Name(None, _JSON_OPERATIONS[body["op"]]))


def _case(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    if "arg" in body:
        facts.operators.add(_EQUALS)


EXPRESSIONS: Final[dict[str, Visitor]] = {
    "RangeVar": _range_var,
    "Target": _target,
    "ColumnRef": _column_ref,
    "A_Indirection": _indirection,
    "FuncCall": _func_call,
    "A_Expr": _a_expr,
    "CaseExpr": _case,
    "JoinExpr": _join,
    "SubLink": _sub_link,
    "SortBy": _sort_by,
    "TypeName": _type_name,
    "RangeTableSample": _table_sample,
    "SQLValueFunction": _value_function,
    "JsonFuncExpr": _json_operation,
    "CTECycleClause": _implied_equals,
    **{kind: _json_function(kind) for kind in _JSON_FUNCTIONS},
}
"""Visitors of what can stand anywhere; those of statements are in `gateway.sql.statements`."""
