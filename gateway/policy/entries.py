"""Policy entries in their compiled form: frozen values, made by `gateway.policy.compile` only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.detectors import OwnDetector
from gateway.json_paths import Path
from gateway.model import Access, ApprovalTerms, Durability, Method, Operation, SqlOperation, SshOperation
from gateway.policy.conditions import AccessCondition, ClockCondition, OperationCondition, TrustedFunctions, Until
from gateway.policy.requests import NamesRequest, goes_by_name
from gateway.ssh_requests import LOCALE
from gateway.verbs import FREE

EVERYONE, GROUP, PRINCIPAL = 2, 1, 0
"""How specific the *who* of a mask (policy.md, semantics 8), or of what forces a command is; the lowest wins."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How a session lives. ``max`` and ``idle`` in seconds, None: no limit of policy's own."""

    max: float | None = None
    idle: float | None = None
    durability: Durability = "written"
    ends_with_identity: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """What one allow or approve entry says about sessions; None where it says nothing."""

    max: float | None = None
    idle: float | None = None
    durability: Durability | None = None
    ends_with_identity: bool | None = None


@dataclass(frozen=True, slots=True)
class CompiledEntry:
    """One allow, deny or approve entry.

    file, path  where it is written, for explanations and warnings
    section     which kind of operations it is about, None: all. With one an opaque operation is not for an allow, and
                is for a deny or approve
    trusts      what an allow's ``sql.functions`` says, None when it says nothing
    approval    what an approve asks for, None for the others
    at_connect  an approve that asks about access as such, not about operations
    forces      an allow's ``ssh.force_command``, None: it forces nothing
    rank        how specific the who of one that forces is
    typed       what a deny or approve does about lines typed in terminals; None: it is not about these
    """

    effect: Literal["allow", "deny", "approve"]
    name: str
    file: str
    path: tuple[str | int, ...]
    access: tuple[AccessCondition, ...]
    clock: tuple[ClockCondition, ...]
    operation: tuple[OperationCondition, ...]
    section: Literal["sql", "ssh"] | None = None
    trusts: TrustedFunctions | None = None
    terms: Terms = Terms()
    message: str | None = None
    observe: bool = False
    approval: ApprovalTerms | None = None
    at_connect: bool = False
    forces: str | None = None
    rank: int = EVERYONE
    typed: Literal["observe", "warn", "refuse", "end", "ask"] | None = None

    def fits(self, access: Access) -> bool:
        """Whether who and what hold."""
        return all(condition.holds(access) for condition in self.access)

    def in_time(self, now: float) -> bool:
        """Whether it applies at ``now`` (unix seconds)."""
        return all(condition.holds(now) for condition in self.clock)

    def matches(self, operation: Operation, opaque: str | None) -> bool:
        """Whether its operation conditions hold (policy.md, semantics 1, 4 and 5).

        ``opaque`` is why the operation is not understood, by `AccessPolicy.opaque_reason`; not only what the
        operation itself says.
        """
        if is_typed(operation):
            # It reached a terminal that was allowed, and only advice is about it.
            return self.effect == "allow" or (
                self.typed is not None and all(condition.holds(operation) for condition in self.operation)
            )
        if self.typed is not None:
            return False
        if self.effect == "approve" and (self.at_connect or (opaque is None and is_free(operation))):
            return False
        if self.section is None:
            return self.effect != "allow" or not by_name(operation)
        if self.section != operation.kind:
            return False
        if self.effect != "allow":
            # Which request it is is known of an opaque one, too.
            return all(
                condition.holds(operation)
                for condition in self.operation
                if opaque is None or isinstance(condition, NamesRequest)
            )
        if opaque is not None:
            return False
        return is_free(operation) or all(condition.holds(operation) for condition in self.operation)


def has_ended(entry: CompiledEntry, now: float) -> bool:
    """Whether its ``until`` has passed: it will never apply again."""
    return any(isinstance(condition, Until) and not condition.holds(now) for condition in entry.clock)


def is_typed(operation: Operation) -> bool:
    """Whether it is no request, but a line typed in a terminal."""
    return isinstance(operation, SshOperation) and operation.request == "typed"


def is_free(operation: Operation) -> bool:
    """Whether it is transaction control or a harmless command of the session, touching nothing; over SSH an environment
    variable that says language or terminal."""
    if isinstance(operation, SshOperation):
        return operation.verbs == {LOCALE}
    assert isinstance(operation, SqlOperation), "a new kind of operation says here what is free"
    return operation.verbs <= FREE and not (operation.relations or operation.functions or operation.labels)


def by_name(operation: Operation) -> bool:
    """Whether an allow without a section for its kind doesn't cover it."""
    return isinstance(operation, SshOperation) and goes_by_name(operation) and not is_free(operation)


@dataclass(frozen=True, slots=True)
class CompiledMask:
    """One mask. ``labels`` are the label names it stands for, ``rank`` how specific its *who* is."""

    file: str
    path: tuple[str | int, ...]
    labels: frozenset[str]
    access: tuple[AccessCondition, ...]
    rank: int
    method: Method

    def fits(self, access: Access) -> bool:
        return all(condition.holds(access) for condition in self.access)


@dataclass(frozen=True, slots=True)
class DefinedDetector:
    """A detector of the operator's own, and the file that defines it."""

    file: str
    own: OwnDetector


@dataclass(frozen=True, slots=True)
class Label:
    """A kind of sensitive data.

    file      where it is defined
    columns   pairs of a target glob and a glob of ``schema.table.column``
    default   the method when no mask says anything, None: redact
    detector  finds it in other values, None: nothing is searched for
    json      pairs of a target glob and a place in JSON values
    """

    name: str
    file: str
    columns: tuple[tuple[str, str], ...]
    default: Method | None = None
    detector: str | None = None
    json: tuple[tuple[str, Path], ...] = ()
