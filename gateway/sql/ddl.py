"""Which CREATE and ALTER can't carry values by themselves (postgres.md, Masking 4).

What is stored as code (views, functions, triggers, rules, policies, casts, operators) runs later, in statements that
don't name it. A plain table, an index or a sequence does nothing but be there. Closed by default: a kind, an option or
a subcommand that isn't listed counts as code.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

Ddl: TypeAlias = Literal["none", "plain", "query", "code"]
"""none   it creates and alters nothing
plain  it creates or alters what can't carry values: expressions in it see the row that they belong to
query  it stores what a query gives, once
code   anything else"""

_PLAIN: Final = frozenset({"AlterEnumStmt", "AlterSeqStmt", "CompositeTypeStmt", "CreateEnumStmt", "CreateSeqStmt"})

_TABLE_PARTS: Final = frozenset({"ColumnDef", "Constraint"})

_SUBCOMMANDS: Final = frozenset(
    {
        "AT_AddColumn",
        "AT_AddConstraint",
        "AT_AddIdentity",
        "AT_AddInherit",
        "AT_AlterColumnType",
        "AT_AttachPartition",
        "AT_ColumnDefault",
        "AT_DetachPartition",
        "AT_DropColumn",
        "AT_DropConstraint",
        "AT_DropIdentity",
        "AT_DropInherit",
        "AT_DropNotNull",
        "AT_SetIdentity",
        "AT_SetLogged",
        "AT_SetNotNull",
        "AT_SetStatistics",
        "AT_SetStorage",
        "AT_SetUnLogged",
        "AT_ValidateConstraint",
    }
)
"""Of ALTER TABLE. Not among them: triggers, rules, row security, owners, options of views."""

_RENAMED: Final = frozenset(
    {"OBJECT_COLUMN", "OBJECT_INDEX", "OBJECT_SEQUENCE", "OBJECT_TABCONSTRAINT", "OBJECT_TABLE"}
)
"""Not schemas and views: labels are bound to names, and behind a view's columns are others'."""

_MOVED: Final = frozenset({"OBJECT_SEQUENCE", "OBJECT_TABLE"})

_INDEX_METHODS: Final = frozenset({"brin", "btree", "gin", "gist", "hash", "spgist"})


def ddl_of(kind: str, body: dict[str, Any], verbs: set[str]) -> tuple[Ddl, frozenset[str]]:
    """What a top-level statement with these verbs creates or alters, and the new names of relations and types."""
    if verbs.isdisjoint({"create", "alter"}):
        return "none", frozenset()
    if kind == "ExplainStmt":
        [(kind, body)] = body["query"].items()
    found = _kind(kind, body)
    return found, frozenset() if found == "code" else frozenset(_new_names(kind, body))


def _kind(kind: str, body: dict[str, Any]) -> Ddl:
    if kind == "SelectStmt" or (kind == "CreateTableAsStmt" and body["objtype"] == "OBJECT_TABLE"):
        return "query"
    plain = (
        kind in _PLAIN
        or (kind == "CreateStmt" and all(map(_is_table_part, body.get("tableElts", ()))))
        or (kind == "CreateSchemaStmt" and "schemaElts" not in body)
        or (kind == "IndexStmt" and _is_plain_index(body))
        or (kind == "AlterTableStmt" and all(item["AlterTableCmd"]["subtype"] in _SUBCOMMANDS for item in body["cmds"]))
        or (kind == "RenameStmt" and body["renameType"] in _RENAMED and body.get("relationType") != "OBJECT_VIEW")
        or (kind == "AlterObjectSchemaStmt" and body["objectType"] in _MOVED)
    )
    return "plain" if plain else "code"


def _is_table_part(node: dict[str, Any]) -> bool:
    """LIKE without INCLUDING takes names and types alone; with it, defaults, checks and statistics."""
    [(kind, body)] = node.items()
    return kind in _TABLE_PARTS or (kind == "TableLikeClause" and not body.get("options"))


def _is_plain_index(body: dict[str, Any]) -> bool:
    if body.get("accessMethod", "btree") not in _INDEX_METHODS or "excludeOpNames" in body:
        return False
    elements = (*body.get("indexParams", ()), *body.get("indexIncludingParams", ()))
    # An operator class is code that somebody may have made.
    return all("opclass" not in element["IndexElem"] for element in elements)


def _new_names(kind: str, body: dict[str, Any]) -> list[str]:
    if kind == "CreateTableAsStmt":
        return [body["into"]["rel"]["relname"]]
    if kind == "SelectStmt":
        return [body["intoClause"]["rel"]["relname"]] if "intoClause" in body else []
    if kind in {"CreateStmt", "AlterObjectSchemaStmt"}:
        return [body["relation"]["relname"]]
    if kind == "CreateSeqStmt":
        return [body["sequence"]["relname"]]
    if kind == "CompositeTypeStmt":
        return [body["typevar"]["relname"]]
    if kind == "CreateEnumStmt":
        return [body["typeName"][-1]["String"]["sval"]]
    if kind == "RenameStmt" and body["renameType"] in _MOVED:
        return [body["newname"]]
    return []
