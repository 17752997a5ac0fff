"""A gate with everything behind it that a session needs; clock, disk and randomness are the test's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from policy.made import NOON, policy_file
from recording.made import Node

from gateway.audit import AuditLog
from gateway.errors import GatewayError
from gateway.model import Address, Credential, Principal, SqlOperation, Target, TargetTls, uuid7
from gateway.policy import compile_snapshot
from gateway.session import Admitted, Approvals, Corridor, Gate, LiveSessions, Rules, open_corridor
from gateway.store import ApprovalStore

READS = "allow: [{name: read, groups: [analysts], targets: [orders], sql: {verbs: [select, create]}}]"
ORDERS = Target(
    "orders",
    "postgres",
    Address("db1", 5432),
    TargetTls(),
    (
        Credential("owner", groups=("owners",)),
        Credential("ro", principals=("al*",)),
        Credential("any", groups=("analysts",)),
    ),
)
NOBODYS = Target("nobodys", "postgres", Address("db2", 5432), TargetTls(), ())


def principal(name: str = "alice", *groups: str, **others: Any) -> Principal:
    kinds: dict[str, Any] = {"kind": "human", "factors": frozenset({"certificate"}), "authenticated_at": NOON, **others}
    return Principal(name=name, groups=frozenset(groups or ("analysts",)), **kinds)


def operation(text: str = "SELECT 1", *verbs: str, **others: Any) -> SqlOperation:
    return SqlOperation(text, text.lower(), "a" * 64, frozenset(verbs or ("select",)), **others)


class House:
    """``ended`` has what sessions were told from outside."""

    def __init__(self, directory: Path, *policy: str, **rules: Any) -> None:
        self.node = Node(directory / "recordings")
        self.clock = self.node.clock
        self.audit = AuditLog(directory / "audit", node="gw1", clock=self.clock.seconds)
        self.live = LiveSessions()
        self.directory = directory
        self.approvals = self.reopened()
        self.gate = Gate(
            self.rules(*(policy or (READS,)), **rules),
            live=self.live,
            recordings=self.node.recordings,
            audit=self.audit,
            approvals=self.approvals,
            clock=self.clock.seconds,
        )
        self.ended: list[GatewayError] = []
        self._sessions = 0

    def reopened(self) -> Approvals:
        """Approvals as a gateway that starts finds them."""
        store = ApprovalStore(self.directory / "store" / "approvals.db")
        return Approvals(store, self.audit, self.live, clock=self.clock.seconds, random=os.urandom)

    def rules(self, *policy: str, targets: tuple[Target, ...] = (ORDERS, NOBODYS), **others: Any) -> Rules:
        files = [policy_file(text, f"{index}.yaml") for index, text in enumerate(policy)]
        values: dict[str, Any] = {"digest": "5" * 64, "sessions": 10, "per_principal": 2, **others}
        known = compile_snapshot(files, (*targets, ORDERS), 1)
        return Rules(known, {target.name: target for target in targets}, **values)

    def admit(
        self, who: Principal | None = None, target: str = "orders", database: str = "", **others: Any
    ) -> Admitted:
        self._sessions += 1
        session = uuid7(self.clock.seconds(), self._sessions.to_bytes(10, "big"))
        values = {"protocol": "postgres", "address": "192.0.2.7", **others}
        return self.gate.admit(session, who or principal(), target=target, database=database, **values)

    def open(self, admitted: Admitted | None = None) -> Corridor:
        return open_corridor(self.gate, admitted or self.admit(), self.ended.append, lambda size: b"\x01" * size)

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What the audit log has on the disk, in order; of one kind, or of all but its own."""
        found = [
            json.loads(line)
            for path in sorted(self.audit.directory.glob("audit-*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]
        names = [(one["unmapped"]["event"], one) for one in found]
        return [one for event, one in names if event == name or (name is None and event != "log_segment_started")]

    def close(self) -> None:
        self.approvals.close()
        self.audit.close()
