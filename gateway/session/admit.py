"""The one way in: a proven principal and the name of a target become an admitted session.

Only `Gate.admit` makes an `Admitted`, and nothing dials a target without one. Every look-up that fails is a no, and
the caller hears the same words whether the target exists or not (policy.md, semantics 2 and 3).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.audit import AuditLog, SessionContext
from gateway.audit.events import BreakGlassUsed, SessionRefused
from gateway.errors import GatewayError, NotAdmitted, RecordingFailed, Unapproved
from gateway.masking import ProbeLimit
from gateway.model import Access, ApprovalTerms, Credential, Decision, Durability, Outcome, Principal, Target
from gateway.policy import AccessPolicy, SessionLimits, Snapshot
from gateway.policy.globs import Globs
from gateway.recording import Recordings
from gateway.session.approvals import Approvals
from gateway.session.live import LiveSessions
from gateway.session.subjects import session_subject
from gateway.store.requests import Grant, Subject

_PROOF: Final = object()

MAX_PROBERS: Final = 10_000
"""Principals whose comparisons of masked values are counted, those of the latest comparisons: 200 bytes each."""


def _as_it_was(principal: Principal) -> Principal | None:
    return principal


@dataclass(frozen=True, slots=True)
class Rules:
    """What is in force: replaced as a whole by a reload, never changed.

    digest         SHA-256 over the policy files, hex
    break_glass    ``group:NAME`` and ``principal:NAME``
    known          somebody who has logged in, as `gateway.identity` knows it now; None: it could not log in any more
    sessions, per_principal   most live sessions
    """

    snapshot: Snapshot
    targets: Mapping[str, Target]
    digest: str
    sessions: int
    per_principal: int
    break_glass: tuple[str, ...] = ()
    durability: Durability = "written"
    known: Callable[[Principal], Principal | None] = _as_it_was


class ApprovalNeeded(Unapproved):
    """Policy lets this principal connect there once it is approved.

    subject, terms  what to ask `Approvals.request` for
    """

    def __init__(self, subject: Subject, terms: tuple[ApprovalTerms, ...]) -> None:
        super().__init__("connecting there needs an approval")
        self.subject = subject
        self.terms = terms


class Admitted:
    """Proof that policy lets this principal connect; made by `Gate.admit` only."""

    __slots__ = ("access", "context", "credential", "decision", "grant", "limits", "policy", "rules", "session")

    def __init__(
        self,
        proof: object,
        *,
        session: str,
        access: Access,
        credential: Credential,
        rules: Rules,
        policy: AccessPolicy,
        decision: Decision,
        limits: SessionLimits,
        grant: Grant | None = None,
    ) -> None:
        if proof is not _PROOF:
            raise TypeError("only the gate admits")
        self.session = session
        self.access = access
        self.credential = credential
        self.rules = rules
        self.policy = policy
        self.decision = decision
        self.limits = limits
        self.grant = grant
        self.context = SessionContext(session, access)


class Gate:
    """Decides who gets in; holds what is in force.

    rules  replaced by a reload; sessions look at it before each operation
    """

    def __init__(
        self,
        rules: Rules,
        *,
        live: LiveSessions,
        recordings: Recordings,
        audit: AuditLog,
        approvals: Approvals,
        clock: Callable[[], float],
    ) -> None:
        self.rules = rules
        self.approvals = approvals
        self.live = live
        self.recordings = recordings
        self.audit = audit
        self.clock = clock
        self._probe_limits: OrderedDict[str, ProbeLimit] = OrderedDict()
        self.accepting = True
        """False while the gateway stops."""

    def probe_limit(self, principal: str) -> ProbeLimit:
        """How many masked values this principal may still compare, over all of its sessions."""
        limits = self._probe_limits
        found = limits.get(principal)
        if found is None:
            found = limits[principal] = ProbeLimit(self.clock())
            if len(limits) > MAX_PROBERS:
                limits.popitem(last=False)
        limits.move_to_end(principal)
        return found

    def admit(
        self,
        session: str,
        principal: Principal,
        *,
        protocol: str,
        target: str,
        database: str = "",
        address: str,
        login: str = "",
    ) -> Admitted:
        """Let ``principal`` connect to ``target``, or raise NotAdmitted, TooManySessions, RecordingFailed, StoreFailed,
        or ApprovalNeeded: ask for that, and come again.

        ``database`` is empty where the caller named none: then it is the target's name, but for SSH, which has no
        databases. ``login`` is the user at the target that the caller named, empty: the first that a credential leads
        to. Either answer is in the audit log before this returns.
        """
        try:
            return self._admit(session, principal, protocol, target, database, address, login)
        except ApprovalNeeded:
            raise  # `Approvals.request` says so
        except GatewayError as error:
            reason = error.reason if isinstance(error, NotAdmitted) else error.message
            self.audit.append(SessionRefused(session, principal, target, database, address, reason))
            self.audit.flush()
            raise

    def reachable(self, principal: Principal, *, protocol: str, address: str) -> tuple[tuple[str, str], ...]:
        """Logins and targets that `admit` would let ``principal`` have, with an approval where one is needed; sorted by
        target. Whoever is locked out has none."""
        rules = self.rules
        known = rules.known(principal)
        if known is None or not self.accepting:
            return ()
        now = self.clock()
        found = []
        for target in rules.targets.values():
            if target.protocol != protocol or self.approvals.locked(known.name, target.name) is not None:
                continue
            for login in dict.fromkeys(one.user for one in target.credentials):
                if credential_for(target, known, login) is None:
                    continue
                access = Access(known, target, "" if protocol == "ssh" else target.name, login, address)
                if rules.snapshot.for_access(access).admits(now).outcome is not Outcome.DENY:
                    found.append((login, target.name))
        return tuple(sorted(found, key=lambda way: (way[1], way[0])))

    def _admit(
        self,
        session: str,
        principal: Principal,
        protocol: str,
        name: str,
        database: str,
        address: str,
        login: str,
    ) -> Admitted:
        rules = self.rules
        if not self.accepting:
            raise _no("the gateway is stopping", protocol)
        # Its login may be a while ago: it has waited for approvers, and a reload may have come between.
        known = rules.known(principal)
        if known is None:
            raise _no("its login has been taken back", protocol)
        principal = known
        target = rules.targets.get(name)
        if target is None or target.protocol != protocol:
            raise _no("no such target", protocol)
        credential = credential_for(target, principal, login)
        if credential is None:
            raise _no(f"no credential of the target fits the principal{login and f' and the login {login}'}", protocol)
        access = Access(principal, target, "" if protocol == "ssh" else database or name, credential.user, address)
        policy = rules.snapshot.for_access(access)
        now = self.clock()
        decision = policy.admits(now)
        if decision.outcome is Outcome.DENY:
            why = "no rule allows anything there" if not decision.rules else f"denied by {decision.rules[0]}"
            raise _no(why, protocol)
        locked = self.approvals.locked(principal.name, name)
        if locked is not None:
            raise NotAdmitted(locked.message, reason=f"locked: {locked.message}", hint=locked.hint)
        self.live.room_for(principal.name, sessions=rules.sessions, per_principal=rules.per_principal)
        limits = policy.limits(now)
        if limits.ends_with_identity and principal.expires_at is not None and now >= principal.expires_at:
            raise _no("its identity has expired", protocol)
        grant = None
        if decision.outcome is not Outcome.ALLOW:
            subject = session_subject(session, access)
            grant = self.approvals.use(subject, decision.approvals)
            if grant is None:
                raise ApprovalNeeded(subject, decision.approvals)
        return Admitted(
            _PROOF,
            session=session,
            access=access,
            credential=credential,
            rules=rules,
            policy=policy,
            decision=decision,
            limits=limits,
            grant=grant,
        )

    def breaks_glass(self, admitted: Admitted) -> bool:
        """Whether the principal may use the recordings' reserve; each use of it is an alert."""
        principal = admitted.access.principal
        members = admitted.rules.break_glass
        names = {f"principal:{principal.name}", *(f"group:{group}" for group in principal.groups)}
        if names.isdisjoint(members):
            return False
        try:
            if self.recordings.free_space() >= self.recordings.low_water:
                return False
        except RecordingFailed:
            return False
        self.audit.append(BreakGlassUsed(admitted.context, "free space is below recording.low_water"))
        self.audit.flush()
        return True


_NAMING = {
    "postgres": "dbname=TARGET or dbname=TARGET/DATABASE selects the target; ask an operator for access.",
    "ssh": "ssh LOGIN@TARGET@GATEWAY selects login and target; ask an operator for access.",
}
"""How a caller says where it wants to go."""


def _no(reason: str, protocol: str) -> NotAdmitted:
    return NotAdmitted(
        "you may not connect to that target, or there is no such target",
        reason=reason,
        hint=_NAMING.get(protocol, "Ask an operator for access."),
    )


def credential_for(target: Target, principal: Principal, login: str = "") -> Credential | None:
    """The first credential whose who fits, and whose user ``login`` is (empty: any); with neither key it fits
    everybody. None: nobody may use this target so."""
    fitting = (one for one in target.credentials if _fits(one, principal))
    return next((one for one in fitting if login in ("", one.user)), None)


def _fits(credential: Credential, principal: Principal) -> bool:
    """First match by who; with neither key it fits everybody."""
    if not credential.principals and not credential.groups:
        return True
    return Globs.of(credential.principals).match(principal.name) or Globs.of(credential.groups).any(principal.groups)
