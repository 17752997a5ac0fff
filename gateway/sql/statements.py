"""What each kind of statement does: its verbs, its targets, its scopes."""

from __future__ import annotations

from typing import Any, Final

from gateway.sql.copying import CopyStatement, copy_format
from gateway.sql.facts import Gathering, NotUnderstood
from gateway.sql.settings import verb_of, verb_of_reset
from gateway.sql.walk import (
    EXPRESSIONS,
    Body,
    Scope,
    Stack,
    Visitor,
    push_fields,
    qualified,
    relation_name,
    strings,
)

PLAIN: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            "AlterCollationStmt",
            "AlterDatabaseRefreshCollStmt",
            "AlterDatabaseStmt",
            "AlterDomainStmt",
            "AlterEnumStmt",
            "AlterEventTrigStmt",
            "AlterExtensionContentsStmt",
            "AlterExtensionStmt",
            "AlterFdwStmt",
            "AlterForeignServerStmt",
            "AlterFunctionStmt",
            "AlterObjectDependsStmt",
            "AlterObjectSchemaStmt",
            "AlterOpFamilyStmt",
            "AlterOperatorStmt",
            "AlterOwnerStmt",
            "AlterPolicyStmt",
            "AlterPublicationStmt",
            "AlterRoleStmt",
            "AlterSeqStmt",
            "AlterStatsStmt",
            "AlterSubscriptionStmt",
            "AlterTSConfigurationStmt",
            "AlterTSDictionaryStmt",
            "AlterTableSpaceOptionsStmt",
            "AlterTypeStmt",
            "AlterUserMappingStmt",
            "AlterDatabaseSetStmt",
            "AlterRoleSetStmt",
            "AlterDefaultPrivilegesStmt",
            "RenameStmt",
        ),
        ("alter",),
    ),
    **dict.fromkeys(
        (
            "CompositeTypeStmt",
            "CreateAmStmt",
            "CreateCastStmt",
            "CreateConversionStmt",
            "CreateDomainStmt",
            "CreateEnumStmt",
            "CreateExtensionStmt",
            "CreateFdwStmt",
            "CreateForeignServerStmt",
            "CreateForeignTableStmt",
            "CreateOpClassStmt",
            "CreateOpFamilyStmt",
            "CreatePLangStmt",
            "CreatePolicyStmt",
            "CreatePublicationStmt",
            "CreateRangeStmt",
            "CreateRoleStmt",
            "CreateSchemaStmt",
            "CreateSeqStmt",
            "CreateStatsStmt",
            "CreateSubscriptionStmt",
            "CreateTableSpaceStmt",
            "CreateTransformStmt",
            "CreateUserMappingStmt",
            "CreatedbStmt",
            "DefineStmt",
            "IndexStmt",
        ),
        ("create",),
    ),
    **dict.fromkeys(
        (
            "DropRoleStmt",
            "DropSubscriptionStmt",
            "DropTableSpaceStmt",
            "DropUserMappingStmt",
        ),
        ("drop",),
    ),
    "AlterSystemStmt": ("alter_system",),
    "CheckPointStmt": ("checkpoint",),
    "ConstraintsSetStmt": ("set",),
    "DiscardStmt": ("discard",),
    "ImportForeignSchemaStmt": ("import",),
    "ListenStmt": ("listen",),
    "LoadStmt": ("load",),
    "LockStmt": ("lock",),
    "LockingClause": ("lock",),
    "NotifyStmt": ("notify",),
    "RefreshMatViewStmt": ("refresh",),
    "UnlistenStmt": ("unlisten",),
    "VariableShowStmt": ("show",),
}
"""Statements that have nothing but verbs to tell; what they contain is walked."""

_TRANSACTION: Final = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_ROLLBACK_TO": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_PREPARE": "two_phase",
    "TRANS_STMT_COMMIT_PREPARED": "two_phase",
    "TRANS_STMT_ROLLBACK_PREPARED": "two_phase",
}
_RELATION_KINDS: Final = frozenset(
    {
        "OBJECT_TABLE",
        "OBJECT_VIEW",
        "OBJECT_MATVIEW",
        "OBJECT_SEQUENCE",
        "OBJECT_FOREIGN_TABLE",
        "OBJECT_INDEX",
    }
)
_PART_KINDS: Final = frozenset(
    {
        "OBJECT_COLUMN",
        "OBJECT_TABCONSTRAINT",
        "OBJECT_TRIGGER",
        "OBJECT_RULE",
        "OBJECT_POLICY",
    }
)
"""Their name is a relation's name and one part more."""

_SECRET_OPTIONS: Final = frozenset({"password", "encryptedPassword", "unencryptedPassword"})
_SECRET_SETTINGS: Final = ("password", "passwd", "secret", "token", "conninfo", "passphrase", "key")

_WITH: Final = frozenset({"withClause"})


def _plain(verbs: tuple[str, ...]) -> Visitor:
    def visit(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
        facts.verbs.update(verbs)

    return visit


# Queries and DML -----------------------------------------------------------------------------------------------------


def _open_with(body: Body, scope: Scope, stack: Stack) -> Scope:
    """Push the CTEs, each with the names that it can see, and return what the statement itself can see."""
    clause = body["withClause"]
    if clause.keys() - {"ctes", "recursive", "location"}:
        raise NotUnderstood("unknown part of WITH")
    ctes = [item["CommonTableExpr"] for item in clause["ctes"]]
    names = [cte["ctename"] for cte in ctes]
    for index, cte in enumerate(ctes):
        # Without RECURSIVE a CTE sees the ones before it: its own name there is a relation.
        seen = names if clause.get("recursive") else names[:index]
        stack.append(("CommonTableExpr", cte, scope.union(seen), True))
    return scope.union(names)


def _select(facts: Gathering, body: Body, scope: Scope, source: bool, stack: Stack) -> bool | None:
    facts.verbs.add("select")
    return _query(facts, body, scope, source, stack)


def _query(facts: Gathering, body: Body, scope: Scope, source: bool, stack: Stack) -> bool | None:
    if "intoClause" in body:
        facts.verbs.add("create")
    if "fromClause" in body and not facts.without_where and not _selective(body.get("whereClause")):
        facts.without_where = any(_reads_all(item, scope, body) for item in body["fromClause"])
    if "withClause" in body:
        inner = _open_with(body, scope, stack)
        push_fields(stack, "SelectStmt", body, inner, source, _WITH)
        return True
    return None


def _reads_all(item: Body, scope: Scope, body: Body) -> bool:
    """Whether a FROM item gives all rows of a relation when nothing restricts it."""
    for kind, content in item.items():
        if kind == "RangeVar":
            own = body.get("withClause", {}).get("ctes", ())
            if "schemaname" in content:
                return True
            name = content["relname"]
            return name not in scope and all(cte["CommonTableExpr"]["ctename"] != name for cte in own)
        return kind not in {"RangeSubselect", "RangeFunction", "RangeTableFunc", "JsonTable"}
    return True


def _selective(condition: Body | None) -> bool:
    """Whether a WHERE names a column at all: one without (``WHERE true``) selects nothing."""
    if condition is None:
        return False
    stack: list[Any] = [condition]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "ColumnRef" in value or "CurrentOfExpr" in value:
                return True
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return False


def _write(
    facts: Gathering,
    kind: str,
    body: Body,
    scope: Scope,
    stack: Stack,
    conditions: frozenset[str],
    without: frozenset[str] = frozenset(),
) -> bool:
    """Common to INSERT, UPDATE, DELETE and MERGE: target, CTEs, and which parts can reach what is written."""
    facts.writes_to.add(relation_name(body["relation"]))
    skip = conditions | without | _WITH
    if "withClause" in body:
        scope = _open_with(body, scope, stack)
    push_fields(stack, kind, body, scope, True, skip)
    # Inside of another statement, RETURNING feeds it, and WHERE may hold anything: all of it is a source.
    condition_source = facts.root is not body
    fields = {key: body[key] for key in conditions if key in body}
    push_fields(stack, kind, fields, scope, condition_source, frozenset())
    return True


_RETURNING: Final = frozenset({"returningList"})
_CONDITIONS: Final = frozenset({"whereClause", "returningList"})
_MERGE_CONDITIONS: Final = frozenset({"joinCondition", "returningList"})


def _insert(facts: Gathering, body: Body, scope: Scope, _source: bool, stack: Stack) -> bool:
    facts.verbs.add("insert")
    conflict = body.get("onConflictClause")
    if conflict is not None and conflict["action"] == "ONCONFLICT_UPDATE":
        facts.verbs.add("update")
    query = body.get("selectStmt", {}).get("SelectStmt")
    if query is None or "valuesLists" not in query:
        return _write(facts, "InsertStmt", body, scope, stack, _RETURNING)
    # Its VALUES is no query of its own.
    inner = scope
    if "withClause" in body:
        inner = scope.union(item["CommonTableExpr"]["ctename"] for item in body["withClause"]["ctes"])
    stack.append(("InsertValues", query, inner, True))
    return _write(facts, "InsertStmt", body, scope, stack, _RETURNING, without=frozenset({"selectStmt"}))


def _update(facts: Gathering, body: Body, scope: Scope, _source: bool, stack: Stack) -> bool:
    facts.verbs.add("update")
    facts.without_where = facts.without_where or not _selective(body.get("whereClause"))
    return _write(facts, "UpdateStmt", body, scope, stack, _CONDITIONS)


def _delete(facts: Gathering, body: Body, scope: Scope, _source: bool, stack: Stack) -> bool:
    facts.verbs.add("delete")
    facts.without_where = facts.without_where or not _selective(body.get("whereClause"))
    return _write(facts, "DeleteStmt", body, scope, stack, _CONDITIONS)


_MERGE_ACTIONS: Final = {
    "CMD_INSERT": "insert",
    "CMD_UPDATE": "update",
    "CMD_DELETE": "delete",
    "CMD_NOTHING": "merge",
}


def _merge(facts: Gathering, body: Body, scope: Scope, _source: bool, stack: Stack) -> bool:
    facts.verbs.add("merge")
    for item in body["mergeWhenClauses"]:
        facts.verbs.add(_MERGE_ACTIONS[item["MergeWhenClause"]["commandType"]])
    facts.without_where = facts.without_where or not _selective(body.get("joinCondition"))
    return _write(facts, "MergeStmt", body, scope, stack, _MERGE_CONDITIONS)


def _copy(facts: Gathering, body: Body, _scope: Scope, _source: bool, stack: Stack) -> None:
    into = body.get("is_from", False)
    if body.get("is_program"):
        facts.verbs.add("copy_program")
    elif "filename" in body:
        facts.verbs.add("copy_file")
    else:
        facts.verbs.add("copy_from" if into else "copy_to")
    relation = body.get("relation")
    if into:
        facts.verbs.add("insert")
        facts.writes_to.add(relation_name(body["relation"]))
    elif relation is not None:
        facts.verbs.add("select")
        facts.without_where = True
    query = body.get("query")
    if query is not None:
        _become_root(facts, query)
    if "copy_to" in facts.verbs:
        columns = tuple(strings(body["attlist"])) if "attlist" in body else None
        name = None if relation is None else relation_name(relation)
        facts.copies = CopyStatement(name, columns, copy_format(body.get("options", [])))


# Statements about statements -----------------------------------------------------------------------------------------


def _become_root(facts: Gathering, node: Body) -> None:
    for content in node.values():
        facts.root = content


def _explain(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("explain")
    _become_root(facts, body["query"])


def _prepare(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("prepare")
    facts.prepares = body["name"]
    _become_root(facts, body["query"])


def _execute(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("execute")
    facts.executes.add(body["name"])


def _declare(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("declare")
    facts.declares = body["portalname"]
    _become_root(facts, body["query"])


def _fetch(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("move" if body.get("ismove") else "fetch")
    facts.fetches.add(body["portalname"])


def _deallocate(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("deallocate")
    facts.deallocates = body.get("name", "*")


def _close(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("close")
    facts.closes = body.get("portalname", "*")


def _create_as(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("create")
    facts.writes_to.add(relation_name(body["into"]["rel"]))


def _view(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    # What is stored runs later: which columns it hands on isn't decided here.
    facts.verbs.add("create")
    facts.clean_sources = False


def _do(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("do")
    facts.clean_sources = False
    facts.opaque = "DO runs code in another language"


def _call(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("call")
    facts.clean_sources = False


def _create_table(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("create")
    facts.writes_to.add(relation_name(body["relation"]))


def _transaction(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add(_TRANSACTION[body["kind"]])


# Settings ------------------------------------------------------------------------------------------------------------


def _set(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    kind = body["kind"]
    name = body.get("name", "").lower()
    if kind == "VAR_RESET_ALL":
        facts.verbs.add("set")
        return
    value = _setting_value(body.get("args", [])) if kind in {"VAR_SET_VALUE", "VAR_SET_MULTI"} else None
    facts.sets.append((name, value))
    facts.secret = facts.secret or any(word in name for word in _SECRET_SETTINGS)
    if kind in {"VAR_SET_VALUE", "VAR_SET_MULTI"}:
        facts.verbs.add(verb_of(name, value))
    elif kind in {"VAR_SET_DEFAULT", "VAR_RESET", "VAR_SET_CURRENT"}:
        facts.verbs.add(verb_of_reset(name))
    else:
        raise NotUnderstood(f"unknown SET {kind}")


def _setting_value(args: list[Body]) -> str | None:
    if len(args) != 1 or "A_Const" not in args[0]:
        return None
    constant = args[0]["A_Const"]
    for kind in ("sval", "ival", "fval"):
        if kind in constant:
            return str(constant[kind].get(kind, "" if kind == "sval" else 0))
    return None


# Objects -------------------------------------------------------------------------------------------------------------


def _cascades(facts: Gathering, body: Body) -> None:
    if body.get("behavior") == "DROP_CASCADE":
        facts.everywhere = True


def _truncate(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("truncate")
    _cascades(facts, body)


def _alter_table(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("alter")
    for item in body["cmds"]:
        command = item["AlterTableCmd"]
        _cascades(facts, command)
        if command["subtype"] == "AT_DropColumn":
            # As gone as with DROP TABLE.
            facts.verbs.add("drop")


def _drop(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("drop")
    _cascades(facts, body)
    kind = body["removeType"]
    for item in body["objects"]:
        _object(facts, kind, item)


def _about_object(verb: str) -> Visitor:
    def visit(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
        facts.verbs.add(verb)
        _object(facts, body["objtype"], body.get("object", {}))

    return visit


def _object(facts: Gathering, kind: str, item: Body) -> None:
    """Relations and schemas among the objects that DROP, COMMENT and SECURITY LABEL name."""
    if kind in _RELATION_KINDS or kind in _PART_KINDS:
        parts = strings(item["List"]["items"])
        facts.relations.add(qualified(parts[:-1] if kind in _PART_KINDS else parts))
    elif kind == "OBJECT_SCHEMA":
        facts.schemas.add(item["String"]["sval"])
    elif kind in {"OBJECT_DATABASE", "OBJECT_EXTENSION", "OBJECT_FOREIGN_SERVER", "OBJECT_FDW"}:
        facts.everywhere = True


def _everywhere(*verbs: str) -> Visitor:
    def visit(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
        facts.verbs.update(verbs)
        facts.everywhere = True

    return visit


def _grant(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("grant" if body.get("is_grant") else "revoke")
    if body.get("targtype") == "ACL_TARGET_ALL_IN_SCHEMA":
        facts.schemas.update(strings(body["objects"]))


def _grant_role(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("grant" if body.get("is_grant") else "revoke")


def _maintain(verb: str) -> Visitor:
    """CLUSTER and REINDEX: without a relation they reach all."""

    def visit(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
        facts.verbs.add(verb)
        if "relation" not in body:
            facts.everywhere = True

    return visit


def _vacuum(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    facts.verbs.add("vacuum" if body.get("is_vacuumcmd") else "analyze")
    facts.everywhere = facts.everywhere or "rels" not in body


def _secret_options(verb: str) -> Visitor:
    """Statements whose OPTIONS or connection string hold a credential."""

    def visit(facts: Gathering, _body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
        facts.verbs.add(verb)
        facts.secret = True

    return visit


def _def_elem(facts: Gathering, body: Body, _scope: Scope, _source: bool, _stack: Stack) -> None:
    name = body.get("defname", "")
    if name in _SECRET_OPTIONS or any(word in name.lower() for word in _SECRET_SETTINGS[:4]):
        facts.secret = True


STATEMENTS: Final[dict[str, Visitor]] = {
    **{kind: _plain(verbs) for kind, verbs in PLAIN.items()},
    "SelectStmt": _select,
    "InsertValues": _query,
    "InsertStmt": _insert,
    "UpdateStmt": _update,
    "DeleteStmt": _delete,
    "MergeStmt": _merge,
    "CopyStmt": _copy,
    "ExplainStmt": _explain,
    "PrepareStmt": _prepare,
    "ExecuteStmt": _execute,
    "DeclareCursorStmt": _declare,
    "FetchStmt": _fetch,
    "DeallocateStmt": _deallocate,
    "ClosePortalStmt": _close,
    "CreateTableAsStmt": _create_as,
    "CreateStmt": _create_table,
    "ViewStmt": _view,
    "CreateFunctionStmt": _view,
    "CreateTrigStmt": _view,
    "CreateEventTrigStmt": _view,
    "RuleStmt": _view,
    "DoStmt": _do,
    "CallStmt": _call,
    "TransactionStmt": _transaction,
    "VariableSetStmt": _set,
    "TruncateStmt": _truncate,
    "AlterTableStmt": _alter_table,
    "AlterTableMoveAllStmt": _everywhere("alter"),
    "DropStmt": _drop,
    "DropOwnedStmt": _everywhere("drop"),
    "DropdbStmt": _everywhere("drop"),
    "ReassignOwnedStmt": _everywhere("reassign"),
    "CommentStmt": _about_object("comment"),
    "SecLabelStmt": _about_object("security_label"),
    "GrantStmt": _grant,
    "GrantRoleStmt": _grant_role,
    "VacuumStmt": _vacuum,
    "ClusterStmt": _maintain("cluster"),
    "ReindexStmt": _maintain("reindex"),
    "CreateUserMappingStmt": _secret_options("create"),
    "AlterUserMappingStmt": _secret_options("alter"),
    "CreateForeignServerStmt": _secret_options("create"),
    "AlterForeignServerStmt": _secret_options("alter"),
    "CreateSubscriptionStmt": _secret_options("create"),
    "AlterSubscriptionStmt": _secret_options("alter"),
    "DefElem": _def_elem,
}
VISITORS: Final[dict[str, Visitor]] = {**EXPRESSIONS, **STATEMENTS}
