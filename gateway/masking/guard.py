"""What a caller from whom something is hidden may not ask at all (postgres.md, Masking 3 to 6 and 8).

Rows are masked by where their columns come from. An operation that carries values elsewhere (a copy, another table,
code, a file, the statistics) takes them out of that reach, so it is refused, by the strictest rule that is simple. A
later issue refines; nothing here may open what it closes. Callers from whom nothing is hidden never come here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from gateway.masking.inference import inference, masked_for_you
from gateway.model import SqlOperation, SshOperation
from gateway.verbs import SETS

NEVER: Mapping[str, str] = MappingProxyType(
    {
        "unknown": "the gateway does not know this kind of statement; ask the gateway's operator",
        "do": "a DO block can carry masked values anywhere; send its statements one by one",
        "call": "a procedure can carry masked values anywhere; send its statements one by one",
        "function_call": "the protocol's function call is not masked; call the function in a SELECT",
        "copy_file": "COPY to or from a file of the server is not masked; select the columns instead",
        "copy_program": "COPY to or from a program is not masked; select the columns instead",
        "large_object": "large objects are not masked; keep the value in a bytea column",
        "replication": "the replication protocol is not masked; connect to the database without it",
        "load": "a library can carry masked values anywhere; ask the target's DBA to load it",
        "alter_system": "the server's settings can undo masking; ask the target's DBA to change them",
        "set_role": "masks belong to the role of the login; connect as the role that you need",
        "set_unsafe": "this setting can undo masking; leave it as it is",
        "create": "what is created can carry masked values, or its name is in use elsewhere; create plain tables and "
        "indexes under new names, or ask the target's DBA",
        "alter": "what is altered can carry masked values; ask somebody who may see them, or the target's DBA",
        "import": "foreign tables are not masked; ask the target's DBA to import them",
    }
)
"""Verb -> why, and the mend. ``create`` and ``alter`` but for what `SqlOperation.ddl` says is harmless: functions,
triggers, rules, views, casts and operators run later, in statements that don't name them."""

_DDL = frozenset({"create", "alter"})

_HARMLESS_DDL = frozenset({"plain", "query"})
"""What such an operation makes can't carry values by itself (`gateway.sql.ddl`); with ``query``, the operation's
``clean_writes`` decides."""

_ON_LABELLED_DDL = "CREATE or ALTER that names a relation with masked columns; ask the target's DBA"

_ON_LABELLED: Mapping[str, str] = MappingProxyType(
    {
        "explain": "a plan shows estimates made from the values; try it on relations without masked columns",
        **{
            verb: f"{verb} on a relation with masked columns; ask somebody who may see them, or the target's DBA"
            for verb in sorted(SETS["ddl"] - {"create", "alter", "import"})
        },
    }
)


def guard(operation: SqlOperation, hidden: frozenset[str]) -> str | None:
    """Why this operation is refused to a caller from whom ``hidden`` labels of this database are masked.

    None: it may pass, its rows are masked by `plan_row`. The reason is one line for the caller, with the mend.
    """
    if not hidden:
        return None
    if operation.opaque is not None:
        return f"values are masked for you here, and this is not fully understood: {operation.opaque}; write it plainer"
    for verb, reason in NEVER.items():
        if verb in operation.verbs and not (verb in _DDL and operation.ddl in _HARMLESS_DDL):
            return f"values are masked for you here: {reason}"
    if operation.untrusted_functions:
        names = ", ".join(sorted(operation.untrusted_functions))
        return (
            f"values are masked for you here, and these functions are not known to be harmless: {names}; "
            "leave them out, or ask the gateway's operator"
        )
    if operation.revealing:
        return (
            "values are masked for you here, and this reads statistics, other sessions' statements or stored bytes, "
            "which can show them; leave that out"
        )
    if operation.steering:
        return (
            "values are masked for you here, and this setting chooses plans, which can order rows by hidden "
            "values; leave it as it is"
        )
    touched = operation.labels & hidden
    if not touched:
        return None
    masked = masked_for_you(touched)
    if operation.ddl == "plain":
        return f"{masked}: {_ON_LABELLED_DDL}"
    if "copy_to" in operation.verbs and (refused := _copy_refused(operation, hidden)) is not None:
        return f"{masked}: {refused}"
    for verb, reason in _ON_LABELLED.items():
        if verb in operation.verbs:
            return f"{masked}: {reason}"
    if not operation.clean_writes:
        return (
            f"{masked}: what this writes could come from there; write constants, parameters, or columns without masks"
        )
    return inference(operation, hidden)


def unsearchable(operation: SqlOperation) -> str | None:
    """Why this is refused to a caller whose results are searched (`gateway.masking.detection`)."""
    if "set_unsafe" in operation.verbs:
        return f"values are searched for you here: {NEVER['set_unsafe']}"
    return None


def _copy_refused(operation: SqlOperation, hidden: frozenset[str]) -> str | None:
    """COPY ... TO STDOUT passes where its rows can be masked, or provably hold nothing to mask."""
    copies, outputs = operation.copies, operation.outputs
    if copies is None:
        return (
            "this COPY is not plainly understood, so its rows can't be masked; send it alone, name one table with its "
            "schema, use the formats text or csv, NULL '\\N' or '', and no ENCODING but UTF8"
        )
    if copies.fields is not None and copies.format.kind != "binary":
        return None
    if outputs is not None and not any(output & hidden for output in outputs):
        return None
    if copies.fields is None:
        return "COPY of a query shows masked columns only by COPY of their table; use SELECT (psql: \\g FILE)"
    return "COPY in binary format is not masked; use the formats text or csv, or name columns without masks"


def unmaskable(operation: SshOperation, detected: Collection[str]) -> str | None:
    """Why what this operation shows can't be masked where ``detected`` labels are searched for; None: it can, or none
    are.

    A file is read in pieces, at any place and in any order, and its size is known before: nothing in it can be found
    for certain, or replaced.
    """
    if not detected or not any(use.action == "read" for use in operation.files):
        return None
    found = ", ".join(sorted(detected))
    return f"what files hold can't be masked, and values are masked for you ({found}); read it by a command"
