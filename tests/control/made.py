"""A gateway that control can look at: real audit log, recordings and gate, with a clock that the test turns by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from gateway.audit import AuditLog
from gateway.audit.sinks import SinkStatus
from gateway.config import Config
from gateway.config.schema import (
    Audit,
    Certificates,
    IdentitySection,
    Listeners,
    Node,
    Recording,
    SocketCaller,
    Tls,
)
from gateway.control.counted import CountedSessions
from gateway.control.watching import Watching
from gateway.control.webhooks import WebhookStatus
from gateway.errors import ConfigError, GatewayError, Problem
from gateway.identity import Identity
from gateway.model import Access, Address, Principal, Target, TargetTls, uuid7
from gateway.policy import compile_snapshot
from gateway.recording import Recordings
from gateway.secrets import SecretReference
from gateway.session import Approvals, Gate, LiveSession, Rules
from gateway.store import ApprovalStore, TokenVault

NOON = 1_795_003_200.0
"""2026-11-18 12:00 UTC."""

TARGET = Target("orders", "postgres", Address("db1", 5432), TargetTls(), ())
OPERATOR, AUDITOR, ANYBODY, GROUPED, APPROVER, ASKER, BROKEN_GLASS, NOBODY, OWN = (*range(1000, 1007), 0, 998)
"""uids; GROUPED is an operator by group; root is nobody, the one that the gateway runs as isn't listed."""


def run_at_once(job: Any) -> Deferred[Any]:
    return succeed(job())


def configuration(directory: Path) -> Config:
    reference = SecretReference("file", "/nowhere")
    return Config(
        tls=Tls(reference, reference),
        node=Node(name="gw1", data=directory),
        listeners=Listeners(),
        identity=IdentitySection(
            certificates=Certificates(name_from=("cn",), groups_from="ou"),
            socket={
                OPERATOR: "olga",
                AUDITOR: "aude",
                ANYBODY: "ben",
                GROUPED: SocketCaller("gina", ("ops", "dba")),
                APPROVER: SocketCaller("dora", ("dba-oncall",)),
                ASKER: "alice",
                BROKEN_GLASS: "bree",
                NOBODY: "nobody",
            },
        ),
        roles={
            "operator": ("principal:olga", "group:ops"),
            "auditor": ("principal:aude",),
            "break_glass": ("principal:bree",),
        },
        recording=Recording(directory=directory / "recordings"),
        audit=Audit(directory=directory / "audit"),
        targets=(TARGET,),
        policy_files=(),
        directory=directory,
    )


@dataclass
class FixedSink:
    state: SinkStatus

    def status(self) -> SinkStatus:
        return self.state


@dataclass
class FixedDatabase:
    generation: int
    failures: int


@dataclass
class FixedWebhooks:
    states: tuple[WebhookStatus, ...] = ()

    def status(self) -> tuple[WebhookStatus, ...]:
        return self.states


@dataclass
class FixedLogins:
    waiting: int = 0
    logins: int = 0
    refused: int = 0


@dataclass
class FakeGateway:
    """`gateway.control.running.Running`; ``broken`` is what the next reload raises."""

    directory: Path
    reactor: Clock = field(default_factory=Clock)
    opened: tuple[str, ...] = ("postgres [::]:5432",)
    stopping: bool = False
    certificate_ends: float = NOON + 86400
    warnings: Sequence[str] = ("an unsafe switch",)
    reloads: int = 0
    refused_reloads: int = 0
    started_at: float = NOON
    free: int = 2**40
    broken: GatewayError | None = None
    vault: TokenVault | None = None

    def __post_init__(self) -> None:
        self.reactor.rightNow = NOON
        self.config = configuration(self.directory)
        self.audit = AuditLog(self.directory / "audit", node="gw1", clock=self.clock)
        self.recordings = Recordings(
            self.directory / "recordings",
            key=Ed25519PrivateKey.from_private_bytes(bytes(32)),
            node="gw1",
            clock=self.clock,
            reactor=self.reactor,
            in_thread=run_at_once,
            low_water=1000,
            reserve=100,
            space=lambda _: self.free,
        )
        self.live = CountedSessions()
        self.identity = Identity(self.config.identity, lambda check: succeed(check()))
        rules = Rules(compile_snapshot((), (TARGET,), 7), {"orders": TARGET}, "d" * 64, 5000, 100)
        self.approvals = Approvals(
            ApprovalStore(self.directory / "approvals.db"), self.audit, self.live, clock=self.clock, random=os.urandom
        )
        self.gate = Gate(
            rules,
            live=self.live,
            recordings=self.recordings,
            audit=self.audit,
            approvals=self.approvals,
            clock=self.clock,
        )
        self.service = FixedLogins()
        self.services = (self.service, FixedLogins())
        self.sinks: list[FixedSink] = []
        self.webhooks = FixedWebhooks()
        self.watching = Watching(reactor=self.reactor, clock=self.clock, in_thread=run_at_once)
        self.catalogues: list[FixedDatabase] = []
        self.reloaded_by: list[str] = []

    def clock(self) -> float:
        return self.reactor.seconds()

    def reload(self, by: str) -> tuple[str, ...]:
        self.reloaded_by.append(by)
        if self.broken is not None:
            raise self.broken
        return ("node.name",)

    def session(self, number: int = 1, principal: str = "alice") -> tuple[LiveSession, list[GatewayError]]:
        """A live session, and what it is told when it has to end."""
        told: list[GatewayError] = []
        who = Principal(principal, "human", frozenset({"analysts"}), frozenset({"certificate"}), NOON)
        access = Access(who, TARGET, "orders", "orders_ro", "192.0.2.7")
        session = LiveSession(uuid7(NOON + number, bytes([number]) * 10), access, "postgres", NOON, told.append)
        session.last_active = NOON + 1
        self.live.enter(session)
        return session, told

    def events(self) -> list[bytes]:
        """Lines of the audit log that are in the kernel."""
        return [
            line
            for path in sorted((self.directory / "audit").glob("*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]

    def close(self) -> None:
        if self.vault is not None:
            self.vault.close()
        self.audit.close()


def sink(*, connected: bool, lag: int = 0) -> FixedSink:
    problem = None if connected else "nobody there"
    return FixedSink(SinkStatus("siem", "siem:6514", connected, 40, lag, 3, 2, problem, 5.0 if connected else None))


BROKEN_POLICY = ConfigError(Problem("policy.yaml", ("allow", 0), "is wrong", "mend it", 3))


def names(gateway: FakeGateway) -> list[str]:
    """Of the events in the audit log."""
    return [json.loads(line)["unmapped"]["event"] for line in gateway.events()]
