"""The one catalogue of SQL verbs: what a statement may do, in the words a policy uses.

`gateway.sql` finds verbs in statements, `gateway.policy` compares them with entries; neither room may import
the other, so the words lie on the floor below both. Constants only.

A statement has all verbs found anywhere in it. A deny needs one of them, an allow must cover all of them
(policy.md, conditions).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "select": "SELECT, TABLE, VALUES, and every query inside of another statement",
        "insert": "INSERT",
        "update": "UPDATE, also the DO UPDATE of an INSERT ... ON CONFLICT",
        "delete": "DELETE",
        "merge": "MERGE, beside the verbs of its actions",
        "truncate": "TRUNCATE",
        "create": "CREATE anything, CREATE TABLE AS, SELECT INTO",
        "alter": "ALTER anything, also RENAME, OWNER TO, SET SCHEMA",
        "alter_system": "ALTER SYSTEM",
        "drop": "DROP anything, DROP OWNED",
        "grant": "GRANT, also of a role and in ALTER DEFAULT PRIVILEGES",
        "revoke": "REVOKE, also of a role and in ALTER DEFAULT PRIVILEGES",
        "reassign": "REASSIGN OWNED",
        "call": "CALL of a procedure",
        "do": "DO: a code block",
        "lock": "LOCK TABLE, and SELECT ... FOR UPDATE, NO KEY UPDATE, SHARE or KEY SHARE",
        "listen": "LISTEN",
        "notify": "NOTIFY",
        "unlisten": "UNLISTEN",
        "vacuum": "VACUUM",
        "analyze": "ANALYZE of a table (EXPLAIN ANALYZE is explain and the verbs of what it runs)",
        "cluster": "CLUSTER",
        "checkpoint": "CHECKPOINT",
        "refresh": "REFRESH MATERIALIZED VIEW",
        "reindex": "REINDEX",
        "comment": "COMMENT ON",
        "security_label": "SECURITY LABEL",
        "import": "IMPORT FOREIGN SCHEMA",
        "load": "LOAD of a library",
        "copy_to": "COPY ... TO STDOUT, beside select",
        "copy_from": "COPY ... FROM STDIN, beside insert",
        "copy_file": "COPY to or from a file of the target's host",
        "copy_program": "COPY to or from a program on the target's host",
        "set": "SET, RESET, SET TRANSACTION and SET CONSTRAINTS of settings that are harmless to the gateway",
        "set_role": "SET ROLE, SET SESSION AUTHORIZATION, and resetting them",
        "set_unsafe": "SET, RESET or set_config of what undermines the gateway (standard_conforming_strings, ...)",
        "show": "SHOW",
        "explain": "EXPLAIN, beside the verbs of what it explains",
        "prepare": "PREPARE, beside the verbs of what it prepares",
        "execute": "EXECUTE, beside the verbs of what it runs",
        "deallocate": "DEALLOCATE",
        "declare": "DECLARE of a cursor, beside the verbs of its query",
        "fetch": "FETCH, beside the verbs of the cursor's query",
        "move": "MOVE, beside the verbs of the cursor's query",
        "close": "CLOSE of a cursor",
        "discard": "DISCARD",
        "begin": "BEGIN, START TRANSACTION",
        "commit": "COMMIT, END",
        "rollback": "ROLLBACK, ABORT, ROLLBACK TO SAVEPOINT",
        "savepoint": "SAVEPOINT",
        "release": "RELEASE SAVEPOINT",
        "two_phase": "PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED: what outlives the session",
        "function_call": "the protocol's FunctionCall message",
        "replication": "the replication protocol",
        "large_object": "large objects: ALTER LARGE OBJECT, the lo_ functions",
        "unknown": "a statement of a kind that the gateway doesn't know; such a statement is opaque as well",
    }
)
"""Verb -> which statements have it."""

SETS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "read": frozenset({"select", "copy_to", "explain", "show"}),
        "dml": frozenset({"insert", "update", "delete", "merge", "copy_from", "lock"}),
        "ddl": frozenset(
            {
                "create",
                "alter",
                "drop",
                "truncate",
                "comment",
                "security_label",
                "refresh",
                "reindex",
                "cluster",
                "import",
            }
        ),
        "dcl": frozenset({"grant", "revoke", "reassign"}),
        "tcl": frozenset({"begin", "commit", "rollback", "savepoint", "release", "two_phase"}),
        "session": frozenset(
            {
                "set",
                "show",
                "prepare",
                "execute",
                "deallocate",
                "declare",
                "fetch",
                "move",
                "close",
                "discard",
                "listen",
                "unlisten",
                "notify",
            }
        ),
    }
)
"""Names a policy can write instead of a list of verbs; no set has the name of a verb."""

FREE: frozenset[str] = frozenset(
    {
        "begin",
        "commit",
        "rollback",
        "savepoint",
        "release",
        "set",
        "show",
        "explain",
        "prepare",
        "execute",
        "deallocate",
        "declare",
        "fetch",
        "move",
        "close",
        "discard",
        "unlisten",
    }
)
"""Allowed to whoever may do anything on the target: harmless by themselves, since a statement that carries another
one has that one's verbs, too. Without ``two_phase``: a prepared transaction outlives its session and can be ended by
another one of the same role. Without ``listen``: what others send is data."""

BY_NAME: frozenset[str] = frozenset(
    {
        "set_role",
        "set_unsafe",
        "alter_system",
        "do",
        "call",
        "load",
        "copy_file",
        "copy_program",
        "function_call",
        "replication",
        "large_object",
        "two_phase",
        "unknown",
    }
)
"""An allow with a sql condition covers these only when its ``verbs`` says their name: they undermine the gateway,
reach beyond the database, or carry code that the other conditions (relations, max_rows) can't see."""
