"""What tests of approvals ask for, and who answers. (tests/control uses it, too.)"""

from __future__ import annotations

from typing import Any

from gateway.model import ApprovalTerms
from gateway.session import Approver
from gateway.store.requests import Request, Subject

DORA = Approver("dora", frozenset({"dba-oncall"}), "tls")
DAN = Approver("dan", frozenset({"dba-oncall"}), "tls")
EVE = Approver("eve", frozenset({"engineers"}), "tls")


def terms(rule: str = "bulk changes", **others: Any) -> ApprovalTerms:
    values: dict[str, Any] = {
        "digest": f"digest of {rule}",
        "principals": (),
        "groups": ("dba-*",),
        "needed": 1,
        "wait": 600.0,
        "uses": 1,
        "within": 900.0,
        **others,
    }
    return ApprovalTerms(rule, **values)


def subject(principal: str = "alice", binding: str = "b" * 64, **others: Any) -> Subject:
    values: dict[str, Any] = {
        "kind": "operation",
        "principal_kind": "human",
        "groups": ("engineers",),
        "address": "192.0.2.7",
        "session": "0193",
        "target": "orders",
        "database": "orders",
        "role": "rw",
        "text": "delete from orders",
        "normalised": "delete from orders",
        "verbs": ("delete",),
        **others,
    }
    return Subject(principal=principal, binding=binding, **values)


class Onlooker:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.grants: list[Any] = []

    def request_changed(self, request: Request) -> None:
        self.requests.append(request)

    def grant_changed(self, grant: Any) -> None:
        self.grants.append(grant)
