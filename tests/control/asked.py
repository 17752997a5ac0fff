"""Requests for approval, as they come to those who are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control.made import NOON

from gateway.model import ApprovalTerms
from gateway.store.requests import Request, Subject, Vote

TERMS = ApprovalTerms(
    rule="bulk changes need a second person",
    digest="d" * 64,
    principals=(),
    groups=("dba-oncall",),
    needed=1,
    wait=600.0,
    uses=1,
    within=900.0,
)

SUBJECT = Subject(
    kind="operation",
    principal="alice",
    principal_kind="human",
    groups=("engineers", "staff"),
    address="192.0.2.7",
    session="01a20d9c-0ca6-728d-a4fb-38a6861e4da6",
    target="orders",
    database="shop",
    role="orders_rw",
    binding="b" * 64,
    text="update customers set email = 'hunter2@example.com' where id > 17",
    normalised="update customers set email = $1 where id > $2",
    parameters=("hunter2-parameter", None),
    verbs=("update",),
    relations=("public.customers",),
    labels=("pii.email",),
)


def asked(subject: Subject = SUBJECT, **changes: Any) -> Request:
    """A request that is a second old at most, open for ten minutes."""
    made: dict[str, Any] = {"id": "k7q2-m9xd", "terms": (TERMS,), "created": NOON, "deadline": NOON + 600}
    return Request(subject=subject, **(made | changes))


def settled(request: Request, state: Any = "approved", *, after: float = 30.0) -> Request:
    vote = Vote("olga", state == "approved", NOON + after, "looks right", "tls")
    return replace(request, state=state, votes=(vote,), settled_at=NOON + after, reason="")
