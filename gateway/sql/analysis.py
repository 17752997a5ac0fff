"""`analyse`: one client message -> its facts, by PostgreSQL's own grammar."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import pgparse

from gateway.sql.ddl import ddl_of
from gateway.sql.facts import Analysis, Gathering, NotUnderstood, Statement
from gateway.sql.lineage import follow
from gateway.sql.statements import VISITORS
from gateway.sql.tokens import normalise, redact
from gateway.sql.walk import Body, walk

MAX_INLINE: Final = 64 * 1024
"""Bytes. Longer texts are analysed in a worker process: the parser crashed on 200,000 nested levels, and takes
0.2 ms a kilobyte (postgres.md)."""

MAX_TEXT: Final = 16 * 1024 * 1024
"""Bytes. 3 s of parsing; longer ones are opaque. PostgreSQL itself stops at 1 GB."""


def analyse(text: str) -> Analysis:
    """Find out what a client message does; ``text`` may hold several statements.

    Never raises: what can't be parsed, or holds anything unknown, has a reason in ``opaque``. Fails closed.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return _not_understood(text, text.encode(errors="surrogatepass"), "the text isn't valid UTF-8")
    if "\0" in text:
        return _not_understood(text, raw, "the text holds a NUL byte")
    if len(raw) > MAX_TEXT:
        return _not_understood(text, raw, f"the text is longer than {MAX_TEXT} bytes")
    try:
        tree: list[dict[str, Any]] = pgparse.parse(text)
        statements = tuple(_statement(item["stmt"]) for item in tree)
        secret = any(item.secret for item in statements)
        normalised = normalise(text, secret=secret)
        redacted = redact(text, secret=secret, understood=True)
    except pgparse.PGQueryError:
        return _not_understood(text, raw, "the text isn't PostgreSQL 17's grammar")
    except NotUnderstood as error:
        return _not_understood(text, raw, str(error))
    except RecursionError:
        return _not_understood(text, raw, "the text is nested too deeply")
    except Exception as error:  # noqa: BLE001  whatever it is, the answer is the same: not understood
        return _not_understood(text, raw, f"the parse tree isn't understood ({type(error).__name__})")
    return Analysis(
        text=text,
        text_digest=hashlib.sha256(raw).hexdigest(),
        normalised=normalised,
        digest=hashlib.sha256(normalised.encode()).hexdigest(),
        redacted=redacted,
        statements=statements,
    )


def unread(text: str, reason: str) -> Analysis:
    """The analysis of a text that nobody could read: the worker died, timed out, or the text is too long."""
    return _not_understood(text, text.encode(errors="surrogatepass"), reason)


def _not_understood(text: str, raw: bytes, reason: str) -> Analysis:
    digest = hashlib.sha256(raw).hexdigest()
    return Analysis(
        text=text,
        text_digest=digest,
        normalised=f"<not understood: sha256 {digest}>",
        digest=digest,
        redacted=redact(text, secret=False, understood=False),
        opaque=reason,
    )


def _statement(node: Body) -> Statement:
    [(kind, body)] = node.items()
    facts = Gathering(root=body)
    walk(kind, body, facts, VISITORS)
    if not facts.verbs:
        raise NotUnderstood(f"unknown statement {kind}")
    facts.row_bound = _row_bound(kind, body, facts)
    if kind in {"PrepareStmt", "DeclareCursorStmt"}:
        [(inner_kind, inner)] = body["query"].items()
        facts.run_bound = _row_bound(inner_kind, inner, facts)
    return facts.statement(follow(kind, body), *ddl_of(kind, body, facts.verbs))


def _row_bound(kind: str, body: Body, facts: Gathering) -> int | None:
    """The most rows that a statement can return, None when its text doesn't bound them."""
    if kind == "SelectStmt":
        if body.get("limitOption") == "LIMIT_OPTION_COUNT":
            return _count(body.get("limitCount"))
        if body.get("limitOption") != "LIMIT_OPTION_DEFAULT":
            return None
        if "valuesLists" in body:
            return len(body["valuesLists"])
        one_row = not facts.functions and not facts.attributes and not facts.star
        one_row = one_row and body["op"] == "SETOP_NONE" and not body.keys() & {"fromClause", "groupClause"}
        return 1 if one_row else None
    if kind in {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}:
        return None if "returningList" in body else 0
    if kind == "FetchStmt":
        if body.get("ismove"):
            return 0
        return _fetch_count(body)
    if kind in {"CopyStmt", "ExplainStmt", "ExecuteStmt", "CallStmt"}:
        return None
    if kind == "VariableShowStmt":
        return None if body["name"] == "all" else 1
    return 0


def _count(node: Body | None) -> int | None:
    if node is None or "A_Const" not in node:
        return None
    constant = node["A_Const"]
    return max(constant["ival"].get("ival", 0), 0) if "ival" in constant else None


_ALL_ROWS: Final = 2**31 - 1


def _fetch_count(body: Body) -> int | None:
    if body.get("direction") in {"FETCH_ABSOLUTE", "FETCH_RELATIVE"}:
        return 1
    count = int(body.get("howMany", 0))
    return abs(count) if abs(count) < _ALL_ROWS else None
