"""A session's constant parts, and one event of each type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit import AuditLog, SessionContext
from gateway.audit import approvals as a
from gateway.audit import events as e
from gateway.audit.event import Event
from gateway.model import (
    Access,
    Address,
    ApprovalTerms,
    Decision,
    Outcome,
    Principal,
    SqlOperation,
    Target,
    TargetTls,
)
from gateway.store.requests import Grant, Lock, Request, Subject, Vote

NOON = 1_795_521_600.0  # 2026-11-24T12:00:00Z


class SetClock:
    """A clock that only a test moves."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def open_log(tmp_path: Path, clock: SetClock) -> Callable[..., AuditLog]:
    """Opens the log in ``tmp_path / "audit"``; close it before you open it again."""

    def opened(**options: int) -> AuditLog:
        return AuditLog(tmp_path / "audit", node="gw1.example.com", clock=clock, version="0.1", **options)

    return opened


@pytest.fixture
def alice() -> Principal:
    return Principal("alice", "human", frozenset({"analysts"}), frozenset({"certificate"}), NOON)


@pytest.fixture
def context(alice: Principal) -> SessionContext:
    target = Target("orders", "postgres", Address("db1.internal", 5432), TargetTls(), ())
    return SessionContext("01935f8e-0000-7000-8000-000000000001", Access(alice, target, "shop", "ro", "192.0.2.7"))


@pytest.fixture
def operation() -> SqlOperation:
    return SqlOperation(
        text="select email from customers where id = 42",
        normalised="select email from customers where id = $1",
        digest="ab" * 32,
        verbs=frozenset({"select"}),
        relations=frozenset({"public.customers"}),
        labels=frozenset({"pii.email"}),
    )


@pytest.fixture
def one_of_each(context: SessionContext, alice: Principal, operation: SqlOperation) -> list[Event]:
    session = context.session
    terms = ApprovalTerms("bulk changes need a second person", "ab" * 32, (), ("dba-oncall",), 1, 600.0, 1, 900.0)
    subject = Subject(
        "operation", "alice", "human", ("analysts",), "192.0.2.7", session, "orders", "shop", "ro", "ef" * 32,
        text="delete from customers where id = 42", normalised="delete from customers where id = $1",
        verbs=("delete",), relations=("public.customers",),
    )  # fmt: skip
    request = Request("k7q2-m9xd", subject, (terms,), NOON, NOON + 600)
    grant = Grant("k7q2-m9xd", subject, (terms,), ("dora",), NOON + 9, NOON + 909, 1)
    lock = Lock("p3w8-t0bz", "alice", "orders", NOON, NOON + 3600, "olivia", "incident 12", session)
    allow = Decision(Outcome.ALLOW, ("analysts read orders",), observed=("bulk reads",))
    return [
        e.GatewayStarted("0.1", ("[::]:5432",), ("insecure_skip_target_verification",)),
        e.GatewayStopping("0.1", "SIGTERM", 3),
        e.ConfigurationLoaded("SIGHUP", 7, 2, ("orders.yaml",), "cd" * 32),
        e.ConfigurationRefused("SIGHUP", "orders.yaml:3:\n  allow:\n    unknown key"),
        e.AdministrativeAct("olivia", "configuration.reload", "", False, "not an operator"),
        e.SessionKilled(context, "olivia", "incident 12"),
        e.SessionWatched(context, "aude", 88_123, "192.0.2.8"),
        e.SessionWatchEnded(context, "aude", 12),
        e.TokensResolved("aude", ("tok_" + "0" * 32, "tok_" + "1" * 32), 1, "incident 12"),
        e.AuthenticationSucceeded(session, alice, "192.0.2.7"),
        e.AuthenticationFailed(session, "mallory", "2001:db8::1", "password", "wrong password"),
        e.LoginLocked("mallory", "192.0.2.9", 5, NOON + 300),
        e.SessionRefused(session, alice, "payroll", "hr", "192.0.2.7", "no such target"),
        e.SessionOpened(context, ("analysts read orders",), "2026/11/24/x.ostrec", NOON + 3600),
        e.BreakGlassUsed(context, "free space is below the low-water mark"),
        e.SessionClosed(context, "client left", 12, 3400, 88_123, "ef" * 32),
        e.OperationDecided(context, 1, operation, allow, "query"),
        e.CancelRequested(context, "192.0.2.7"),
        e.ValuesProbed(context, 7, frozenset({"pii.ssn"}), 3, Outcome.ALLOW),
        a.ApprovalRequested(request),
        a.ApprovalVoted(request, Vote("dora", True, NOON, "ticket 12", "tls"), ("dba-oncall",)),
        a.ApprovalSettled(replace(request, state="approved", settled_at=NOON + 9), grant),
        a.GrantUsed(replace(grant, left=0), session),
        a.GrantEnded(replace(grant, state="revoked", reason="incident 12"), "olivia"),
        a.AccessLocked(lock),
        a.AccessUnlocked(lock, "olivia"),
        e.RecordingFailed(session, "no space left on device"),
        e.CatalogueReloadFailed("orders", "shop", "permission denied for pg_proc"),
        e.NotificationFailed("oncall", "k7q2-m9xd", "requested", 5, "it answered 503 Service Unavailable"),
        e.LogSegmentStarted("audit-00000000000000000001.jsonl", "00" * 32, "day"),
        e.LogRecovered("audit-00000000000000000001.jsonl", 100, 7, "x.torn-100", "the last line was torn by a crash"),
        e.SinkConnected("siem", "siem.example.com:6514", 5000),
        e.SinkLost("siem", "siem.example.com:6514", "certificate has expired"),
        e.SinkLagging("siem", 10_000),
        e.SinkGapFound("siem", 5, 9),
    ]
