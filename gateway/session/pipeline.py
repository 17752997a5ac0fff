"""The one corridor: decide, record, forward, mask, record.

A protocol asks `Corridor.ask` about each operation and gets a `Verdict`; before it forwards anything it calls
`Corridor.commit` and needs the `Recorded` that this gives. Whatever fails in between raises, and then nothing is
forwarded: a denial that can't be recorded is no less a reason to end the session than an allowed operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from twisted.internet.defer import Deferred

from gateway.audit.events import OperationDecided, SessionClosed, SessionOpened, ValuesProbed
from gateway.audit.events import RecordingFailed as RecordingFailedEvent
from gateway.audit.log import AuditLog
from gateway.errors import GatewayError, RecordingFailed, SessionEnded, Unapproved
from gateway.masking import ProbeLimit, guard, masked_for_you, probes, unmaskable, unsearchable
from gateway.model import (
    ApprovalTerms,
    Asked,
    Decision,
    Denial,
    Operation,
    Outcome,
    RowPlanner,
    SqlOperation,
    SshOperation,
    Target,
    Verdict,
)
from gateway.policy import AccessPolicy, is_free
from gateway.recording import SessionHeader
from gateway.recording.events import Source, Stream, around_text, with_text
from gateway.recording.writer import Recorded, Recorder
from gateway.session.admit import Admitted, Gate, credential_for
from gateway.session.approvals import Approvals
from gateway.session.live import LiveSession
from gateway.verbs import SETS

MAX_RENDERED: Final = 4 * 1024
"""Characters of a text that is kept rendered; longer ones are rendered each time."""

MAX_REMEMBERED: Final = 256
"""Decisions kept of one session: statements of an application, not of a bulk load. As many as operations are kept
(protocols/postgres/reading.py): a decision on one that is not asked again is of no use."""

_SYNCED_VERBS: Final = SETS["ddl"] | SETS["dcl"]
"""recording.md: DDL is always on the disk before it is forwarded."""

_RUNS: Final = frozenset({"query", "execute", "function", "request", "file"})
"""Messages that run an operation; a Parse alone compares nothing."""

NOTHING_HIDDEN: Final[frozenset[str]] = frozenset()


class _Rendered:
    """What the recording and the audit log say each time that an operation is run; rendered once.

    constant       the recording's; None: the text is too long to be kept
    around         the recording's, around a text that means the same
    before, after  the audit line's, around the operation's number
    """

    def __init__(self, constant: bytes | None, around: tuple[bytes, bytes], before: bytes, after: bytes) -> None:
        self.constant = constant
        self.around = around
        self.before = before
        self.after = after


class _Remembered:
    """What was decided about an operation, and what follows from it.

    allowed  by policy and by the masks
    asks     policy and masks would let it go, but it needs an approval each time that it is run
    probes   it compares hidden values with constants: that is counted each time
    touches  see `gateway.model.Verdict`
    """

    def __init__(
        self,
        operation: Operation,
        decision: Decision,
        refusal: str | None,
        *,
        tainted: bool,
        synced: bool,
        probes: bool = False,
    ) -> None:
        self.operation = operation
        self.decision = decision
        self.refusal = refusal
        self.tainted = tainted
        self.synced = synced
        self.asks = decision.outcome is Outcome.APPROVE and refusal is None
        self.allowed = decision.outcome is Outcome.ALLOW and refusal is None
        self.probes = probes and (self.allowed or self.asks)
        self.touches = operation.opaque is not None or not is_free(operation)
        self.rendered: dict[Source, _Rendered] = {}


class Corridor:
    """One admitted session's way through the house; made by `open_corridor`.

    rules        what this session was last decided by; see `refresh`
    hidden       labels on this target that this principal may not see in the clear
    planner      masks results; None: everything passes as it is
    uncommitted  something was asked since the last `commit`
    """

    def __init__(
        self,
        gate: Gate,
        admitted: Admitted,
        recorder: Recorder,
        live: LiveSession,
        random: Callable[[int], bytes],
    ) -> None:
        self.admitted = admitted
        self.live = live
        self.hidden = NOTHING_HIDDEN
        self.planner: RowPlanner | None = None
        self.policy = admitted.policy
        self.clock = gate.clock
        self._gate = gate
        self._audit = gate.audit
        self.rules = admitted.rules
        self._limits = admitted.limits
        self._recorder = recorder
        self._random = random
        self._decided: dict[int, _Remembered] = {}
        self._number = 0
        self._synced = False
        self.uncommitted = False
        self._recorded: Recorded | None = None
        self._closed = False
        self._probe_limit = ProbeLimit(gate.clock())

    @property
    def audit(self) -> AuditLog:
        return self._audit

    @property
    def approvals(self) -> Approvals:
        return self._gate.approvals

    @property
    def stopping(self) -> bool:
        """The gateway stops: whoever waits for an approval may come back for it."""
        return not self._gate.accepting

    def refresh(self) -> bool:
        """Take up the newest rules; True when they changed. Raises SessionEnded when the right to be here is gone."""
        rules = self._gate.rules
        if rules is self.rules:
            return False
        access = self.admitted.access
        target = rules.targets.get(access.target.name)
        if target is None or _is_elsewhere(target, access.target):
            raise _right_is_gone()
        principal = rules.known(access.principal)
        if principal is None:
            raise SessionEnded("your login has been taken back", hint="Ask an operator for access.")
        if principal.groups != access.principal.groups:
            credential = credential_for(target, principal, access.role if access.target.protocol == "ssh" else "")
            if credential is None or credential.user != access.role:
                raise _right_is_gone()
        policy = rules.snapshot.for_access(replace(access, target=target, principal=principal))
        now = self._gate.clock()
        if not self._may_stay(policy.admits(now)):
            raise _right_is_gone()
        self.rules, self.policy, self._limits = rules, policy, policy.limits(now)
        self._decided.clear()
        live = self.live
        if self._limits.ends_with_identity:
            live.expires = _earliest(live.expires, principal.expires_at)
        if self._limits.max is not None:
            live.expires = _earliest(live.expires, live.started + self._limits.max)
        return True

    def newest_policy(self) -> AccessPolicy:
        """What is in force now, for what goes on without a question. Raises SessionEnded as `refresh` does."""
        if self._gate.rules is not self.rules:
            self.refresh()
        return self.policy

    def still_allows(self, operation: Operation, grant: str) -> bool:
        """Whether what was let go before would be now, by ``grant`` where it takes an approval. Nothing is recorded.

        Raises SessionEnded as `refresh` does.
        """
        if self._gate.rules is not self.rules:
            self.refresh()
        remembered = self._remember(operation)
        if remembered.asks:
            return self.approvals.holds(grant, remembered.decision.approvals)
        return remembered.allowed

    def gone(self, now: float) -> SessionEnded | None:
        """Why the session has to end: its right, its idle time (`gateway.session.live.LiveSession`)."""
        if self._gate.rules is not self.rules or self.policy.looks_at_clock:
            try:
                self.refresh()
            except SessionEnded as ended:
                return ended
            if not self._may_stay(self.policy.admits(now)):
                return _right_is_gone()
        if self.live.expires is not None and now >= self.live.expires:
            return self.expired()
        grant_over = self._gate.approvals.gone(self.live, now)
        if grant_over is not None:
            return grant_over
        idle = self._limits.idle
        if idle is not None and now - self.live.last_active > idle and self.live.waits():
            return SessionEnded(f"nothing was asked for {idle:g} s", hint="Connect again; policy limits idle sessions.")
        return None

    def expired(self) -> SessionEnded:
        """What the caller hears when its time (``live.expires``) is over."""
        over = self._gate.approvals.gone(self.live, self.live.expires or 0.0)
        return over or SessionEnded("your access has expired", hint="Log in again.")

    def _may_stay(self, decision: Decision) -> bool:
        """Whether a session that is here may be: with an approval, where one is needed now, of just these entries."""
        if decision.outcome is Outcome.APPROVE:
            return self._gate.approvals.covers(self.live.grant, decision.approvals)
        return decision.outcome is Outcome.ALLOW

    def see(self, hidden: frozenset[str], planner: RowPlanner | None) -> None:
        """What is hidden from now on. What was decided is decided again: masks refuse other operations now."""
        self.hidden = hidden
        self.planner = planner
        self._decided.clear()

    def ask(
        self,
        operation: Asked,
        source: Source,
        parameters: Sequence[bytes | None] | None = None,
        formats: Sequence[int] = (),
        text: str | None = None,
    ) -> Verdict[Asked]:
        """Decide and record one operation. Raises RecordingFailed or SessionEnded: end the session.

        text  what was said, where ``operation`` is that of another text which means the same; None: its own

        Raises Unapproved when it needs an approval, with nothing recorded: see `gateway.session.asking`, then
        `settle`. To parse something takes none: it is asked for when it is run, with its parameters.
        """
        if self._gate.rules is not self.rules:
            self.refresh()
        remembered = self._decided.get(id(operation))
        if remembered is None or remembered.operation is not operation:
            remembered = self._decide(operation)
        if remembered.asks and source in _RUNS:
            raise Unapproved("this needs an approval")
        number = self._number = self._number + 1
        live = self.live
        live.operations = number
        if remembered.probes and source in _RUNS:
            remembered = self._count(remembered, number, parameters, formats)
        rendered = remembered.rendered.get(source)
        if rendered is None:
            rendered = self._render(remembered, source)
        now = self.clock()
        constant = rendered.constant
        if text is not None:
            constant = with_text(rendered.around[0], text, rendered.around[1])
        if constant is None:
            self._recorder.operation(
                number, operation, remembered.decision, parameters=parameters, formats=formats, source=source
            )
        else:
            self._recorder.rendered_operation(now, number, constant, parameters, formats)
        self._audit.append_operation(rendered.before, number, rendered.after, now)
        self.uncommitted = True
        if remembered.synced:
            self._synced = True
        if remembered.allowed or remembered.asks:
            return Verdict(operation, number, self.planner, remembered.tainted, None, b"", remembered.touches)
        return self._refused(operation, remembered, number, self._denial(remembered, number))

    def _refused(self, operation: Asked, remembered: _Remembered, number: int, denial: Denial) -> Verdict[Asked]:
        self.live.denied += 1
        marker = b"OSTIARY_DENIED_%d_%s" % (number, self._random(8).hex().encode())
        return Verdict(operation, number, self.planner, remembered.tainted, denial, marker)

    def terms(self, operation: Operation) -> tuple[ApprovalTerms, ...]:
        """What has to be approved before ``operation`` goes on."""
        return self._remember(operation).decision.approvals

    def settle(
        self,
        operation: Asked,
        source: Source,
        parameters: Sequence[bytes | None] | None,
        formats: Sequence[int],
        text: str | None,
        *,
        grant: str = "",
        refusal: Denial | None = None,
    ) -> Verdict[Asked]:
        """Record an operation that needed an approval: it goes on by ``grant``, or not, since ``refusal``. (That one it
        may get also when policy changed while it waited, and doesn't ask any more.)

        Raises RecordingFailed.
        """
        remembered = self._remember(operation)
        if refusal is None and not (grant and remembered.asks):
            raise AssertionError("only what was asked for, and answered, is settled")
        number = self._number = self._number + 1
        live, now = self.live, self.clock()
        live.operations = number
        if refusal is None and remembered.probes:
            counted = self._count(remembered, number, parameters, formats)
            if counted.refusal is not None:
                refusal = self._denial(counted, number)
        approval = grant if refusal is None else ""
        around = around_text(operation, remembered.decision, source, approval)
        constant = with_text(around[0], operation.text if text is None else text, around[1])
        self._recorder.rendered_operation(now, number, constant, parameters, formats)
        why = None if refusal is None else f"{refusal.message} {refusal.detail}".strip()
        context = self.admitted.context
        event = OperationDecided(context, number, operation, remembered.decision, source, why, approval)
        before, after = event.halves_of()
        self._audit.append_operation(before, number, after, now)
        self.uncommitted = True
        if remembered.synced:
            self._synced = True
        if refusal is not None:
            return self._refused(operation, remembered, number, refusal)
        return Verdict(operation, number, self.planner, remembered.tainted, None, b"", remembered.touches, grant)

    def note(self, event: str, **fields: object) -> None:
        """Something else that belongs into the recording. Raises RecordingFailed."""
        self._recorder.event(event, **fields)

    def _remember(self, operation: Operation) -> _Remembered:
        remembered = self._decided.get(id(operation))
        if remembered is None or remembered.operation is not operation:
            remembered = self._decide(operation)
        return remembered

    def _count(
        self,
        remembered: _Remembered,
        number: int,
        parameters: Sequence[bytes | None] | None,
        formats: Sequence[int],
    ) -> _Remembered:
        """Count the hidden values that it compares; refused when there were too many lately."""
        asked = remembered.operation
        assert isinstance(asked, SqlOperation), "only SQL compares hidden values"
        labels, count = probes(asked, self.hidden, parameters, formats)
        now = self.clock()
        limits = (self._probe_limit, self._gate.probe_limit(self.admitted.access.principal.name))
        allowed = all(count <= limit.left(now) for limit in limits)
        outcome = Outcome.ALLOW if allowed else Outcome.DENY
        self._audit.append(ValuesProbed(self.admitted.context, number, labels, count, outcome))
        if allowed:
            for limit in limits:
                limit.take(count, now)
            return remembered
        refusal = (
            f"{masked_for_you(labels)}, and too many of its values were compared; wait some "
            "minutes, or ask somebody who may see them"
        )
        return _Remembered(
            remembered.operation,
            remembered.decision,
            refusal,
            tainted=remembered.tainted,
            synced=remembered.synced,
        )

    def _render(self, remembered: _Remembered, source: Source) -> _Rendered:
        operation, decision = remembered.operation, remembered.decision
        event = OperationDecided(self.admitted.context, 0, operation, decision, source, remembered.refusal)
        short = len(operation.text) <= MAX_RENDERED
        around = around_text(operation, decision, source)
        constant = with_text(around[0], operation.text, around[1]) if short else None
        rendered = remembered.rendered[source] = _Rendered(constant, around, *event.halves_of())
        return rendered

    def _decide(self, operation: Operation) -> _Remembered:
        decision = self.policy.decide(operation, self._gate.clock())
        refusal = None
        synced = decision.durability == "synced" or self.rules.durability == "synced"
        tainted = bool(self.hidden) and (operation.opaque is not None or not self.hidden.isdisjoint(operation.labels))
        probed = False
        if isinstance(operation, SqlOperation):
            if decision.outcome is not Outcome.DENY and self.planner is not None:
                refusal = guard(operation, self.hidden) or (unsearchable(operation) if self.planner.searches else None)
            synced = synced or not operation.verbs.isdisjoint(_SYNCED_VERBS)
            probed = bool(self.hidden) and bool(probes(operation, self.hidden)[0])
        elif isinstance(operation, SshOperation) and decision.outcome is not Outcome.DENY:
            refusal = unmaskable(operation, self.policy.detected)
        remembered = _Remembered(operation, decision, refusal, tainted=tainted, synced=synced, probes=probed)
        if decision.lasting:
            if len(self._decided) >= MAX_REMEMBERED:
                self._decided.clear()
            self._decided[id(operation)] = remembered
        return remembered

    def _denial(self, remembered: _Remembered, number: int) -> Denial:
        decision = remembered.decision
        request = f"Request {self.admitted.session}/{number}."
        if remembered.refusal is not None:
            return Denial(f"permission denied: {remembered.refusal}", f"Masks apply to this session. {request}")
        if decision.rules:
            rules = ", ".join(f'"{rule}"' for rule in decision.rules)
            opaque = remembered.operation.opaque
            if opaque is not None:
                request = f"It is not fully understood, so it counts as what the rule denies: {opaque}. {request}"
            return Denial(f"permission denied by policy: {rules}", request, decision.message)
        operation = remembered.operation
        if operation.opaque is not None:
            why = f"it is not fully understood ({operation.opaque})"
        elif isinstance(operation, SqlOperation) and operation.untrusted_functions:
            why = f"functions not known to be harmless: {', '.join(sorted(operation.untrusted_functions))}"
        elif isinstance(operation, SshOperation):
            why = f"no rule allows {_asked(operation)} there"
        else:
            why = f"no rule allows {', '.join(sorted(operation.verbs)) or 'this'} there"
        return Denial(f"permission denied by policy: {why}", request, "`ostiary explain` shows each rule and why.")

    def commit(self) -> Recorded | Deferred[Recorded]:
        """Hand all that was asked to the kernel; where it has to be on the disk, a Deferred of the same.

        Raises RecordingFailed, or the Deferred fails with it: nothing may be forwarded, end the session.
        """
        if self._recorded is not None and not self.uncommitted:
            return self._recorded
        self._audit.flush()
        self.uncommitted = False
        if self._synced:
            self._synced = False
            self._recorded = None
            return self._recorder.commit_synced()
        self._recorded = self._recorder.commit()
        return self._recorded

    def result(
        self,
        number: int,
        status: str,
        rows: int,
        size: int,
        columns: tuple[str, ...] = (),
        masked: tuple[str, ...] = (),
    ) -> None:
        """How an operation ended. Raises RecordingFailed."""
        live = self.live
        live.last_active = now = self.clock()
        live.rows += rows
        live.size += size
        self._recorder.ended(now, number, status, columns or None, masked, rows, size)

    def rows(self, number: int, data: bytes) -> None:
        """Rows as the client gets them. Raises RecordingFailed."""
        self._recorder.rows(number, data)

    def active(self) -> None:
        """The caller did something: its session is not idle."""
        self.live.last_active = self.clock()

    def output(self, channel: int, stream: Stream, data: bytes, *, interactive: bool) -> None:
        """What a channel's client is about to get. ``interactive``: each piece keeps its own time; nobody has asked for
        it just now, so the session may be idle all the same.

        Raises RecordingFailed.
        """
        if interactive:
            self._recorder.shown(self.clock(), channel, stream, data)
        else:
            self.active()
            self._recorder.output(channel, stream, data)

    def happened(self, event: str, **fields: object) -> None:
        """Something else that belongs into the recording, and need not stand there before what follows from it.

        Raises RecordingFailed.
        """
        self._recorder.happened(event, **fields)

    def close(self, reason: str) -> None:
        """End the recording and say so in the audit log; once. Never raises: the session is over in any case."""
        if self._closed:
            return
        self._closed = True
        self._gate.live.leave(self.live)
        context = self.admitted.context
        audit = self._gate.audit
        try:
            head = self._recorder.close(reason)
            audit.append(SessionClosed(context, reason, self._number, self.live.rows, head.length, head.head))
            audit.flush()
        except RecordingFailed as error:
            self._failed(error)

    def _failed(self, error: RecordingFailed) -> None:
        """The evidence ends here: say so where it is still possible. A failed audit log bars new sessions itself."""
        _say_failed(self._gate.audit, self.admitted.session, error)


def _say_failed(audit: AuditLog, session: str, error: RecordingFailed) -> None:
    """A failed audit log has said so itself."""
    if audit.failed is None:
        try:
            audit.append(RecordingFailedEvent(session, error.message))
            audit.flush()
        except RecordingFailed:
            return


def open_corridor(
    gate: Gate, admitted: Admitted, end: Callable[[GatewayError], None], random: Callable[[int], bytes]
) -> Corridor:
    """Begin the recording and enter the session among the live ones. Raises RecordingFailed: refuse the session.

    ``end`` is called, at most a few times, when the session has to end from outside.
    """
    break_glass = gate.breaks_glass(admitted)
    now = gate.clock()
    header = SessionHeader(admitted.session, admitted.access, now, admitted.rules.digest)
    try:
        recorder = gate.recordings.begin(header, on_failure=end, break_glass=break_glass)
    except RecordingFailed as error:
        _say_failed(gate.audit, admitted.session, error)
        raise
    live = LiveSession(admitted.session, admitted.access, admitted.access.target.protocol, now, end)
    corridor = Corridor(gate, admitted, recorder, live, random)
    live.last_active = now
    expires = _earliest(
        admitted.access.principal.expires_at if admitted.limits.ends_with_identity else None,
        now + admitted.limits.max if admitted.limits.max is not None else None,
        admitted.grant.ends if admitted.grant is not None else None,
    )
    try:
        gate.audit.append(SessionOpened(admitted.context, admitted.decision.rules, header.session, expires))
        gate.audit.flush()
    except RecordingFailed:
        recorder.close("the audit log failed")
        raise
    live.gone = corridor.gone
    live.written = lambda: recorder.size
    live.grant = admitted.grant.id if admitted.grant is not None else None
    gate.live.enter(live)
    live.expires = expires
    return corridor


def _asked(operation: SshOperation) -> str:
    """A request in words for its caller."""
    match operation.request:
        case "exec":
            uses = ", ".join(sorted(operation.shell))
            return f"this command, which is not plain words but uses {uses}," if uses else "this command"
        case "file":
            return ", ".join(f"to {use.action} {use.path}" for use in operation.files)
        case "subsystem":
            return f"the subsystem {operation.subsystem}"
        case "forward_local" | "forward_remote":
            return f"a forward to {operation.destination}"
        case "env":
            return f"the variable {operation.variable}"
        case "shell":
            return "a shell"
    return operation.request


def _is_elsewhere(target: Target, connected: Target) -> bool:
    """Whether the configuration means another system by that name now, or another way to reach it."""
    return _way_to(target) != _way_to(connected)


def _way_to(target: Target) -> tuple[object, ...]:
    return target.protocol, target.address, target.tls, target.host_keys, target.host_cas


def _right_is_gone() -> SessionEnded:
    return SessionEnded("your right to this target has ended", hint="Ask an operator for access.")


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)
