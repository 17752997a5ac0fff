"""Values for the policy tests, with everything that a test doesn't talk about filled in."""

from __future__ import annotations

from typing import Any

from gateway.config import parse_yaml
from gateway.model import Access, Address, Principal, SqlOperation, SshOperation, SshRequest, Target, TargetTls
from gateway.policy import PolicyDocument, PolicyFile, Snapshot, compile_snapshot

NOON = 1_795_003_200.0
"""2026-11-18 12:00 UTC, a Wednesday."""


def target(name: str = "orders", **tags: str) -> Target:
    return Target(name, "postgres", Address("db.internal", 5432), TargetTls(), (), tags)


ORDERS = target("orders", env="prod")
SANDBOX = target("sandbox", env="dev")
WEB = Target("web1", "ssh", Address("web1.internal", 22), TargetTls(), (), {"env": "prod"})
TARGETS = (ORDERS, SANDBOX)
KEYS = ("mask-key-1",)


def principal(name: str = "alice", *groups: str, **others: Any) -> Principal:
    values = {"kind": "human", "factors": frozenset({"certificate"}), "authenticated_at": 0.0, **others}
    return Principal(name=name, groups=frozenset(groups), **values)


def access(
    name: str = "alice",
    *groups: str,
    to: Target = ORDERS,
    database: str = "orders",
    role: str = "app",
    address: str = "10.1.2.3",
    **others: Any,
) -> Access:
    return Access(principal(name, *groups, **others), to, database, role, address)


def operation(*verbs: str, **others: Any) -> SqlOperation:
    sets = {"relations", "functions", "untrusted_functions", "labels"}
    values: dict[str, Any] = {key: frozenset(value) if key in sets else value for key, value in others.items()}
    values["functions"] = values.get("functions", frozenset()) | values.get("untrusted_functions", frozenset())
    values.setdefault("normalised", "some text")
    return SqlOperation(text="some text", digest="0" * 64, verbs=frozenset(verbs), **values)


def ssh_operation(request: SshRequest, text: str = "", **others: Any) -> SshOperation:
    sets = {"verbs", "shell"}
    values: dict[str, Any] = {key: frozenset(value) if key in sets else value for key, value in others.items()}
    values.setdefault("verbs", frozenset({request}))
    text = text or request
    return SshOperation(text=text, normalised=text, digest="0" * 64, request=request, **values)


def policy_file(text: str, name: str = "policy.yaml") -> PolicyFile:
    return PolicyFile(name, parse_yaml(text.encode(), PolicyDocument, file=name))


def snapshot(*texts: str, targets: tuple[Target, ...] = (*TARGETS, WEB)) -> Snapshot:
    files = [policy_file(text, f"{index}.yaml") for index, text in enumerate(texts)]
    return compile_snapshot(files, targets, 1, KEYS)
