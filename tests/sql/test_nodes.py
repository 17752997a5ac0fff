from __future__ import annotations

from gateway.sql.nodes import FIELDS, LEAVES, NODE
from gateway.sql.statements import VISITORS


def test_every_field_leads_to_a_known_node() -> None:
    kinds = {how for fields in FIELDS.values() for how in fields.values()} - {None, NODE}
    assert kinds <= FIELDS.keys()


def test_every_visitor_and_leaf_has_its_node() -> None:
    assert VISITORS.keys() <= FIELDS.keys()
    assert FIELDS.keys() >= LEAVES


def test_leaves_have_nothing_below() -> None:
    for leaf in LEAVES - {"A_Const"}:
        assert set(FIELDS[leaf].values()) <= {None}, leaf


def test_every_statement_has_a_visitor() -> None:
    # Parts of statements, and statements that only stand inside of one that has a verb.
    inner = {"CreateForeignTableStmt", "ReplicaIdentityStmt", "ReturnStmt"}
    assert {kind for kind in FIELDS if kind.endswith("Stmt")} - VISITORS.keys() <= inner
