"""The compiled policy, and what it decides (policy.md, semantics 1 to 5 and 8).

A `Snapshot` is immutable. A session asks the newest one for its own `AccessPolicy` once per snapshot: that has only
the entries whose who and what hold, so that deciding on an operation looks at no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gateway.detectors import OwnDetector
from gateway.json_paths import Path
from gateway.model import Access, ApprovalTerms, Decision, Durability, Method, Operation, Outcome, SqlOperation, Target
from gateway.policy.entries import CompiledEntry, CompiledMask, DefinedDetector, Label, SessionLimits
from gateway.policy.forced import Forced, forced
from gateway.policy.globs import Globs
from gateway.policy.way_back import unnamed_way_back
from gateway.verbs import VERBS

CLEAR = Method("clear")
REDACT = Method("redact")

_UNDERSTOOD = frozenset(VERBS) - {"unknown"}


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What policy says to one principal on one target, database and role (SSH: login).

    Principal, target and address are fixed by `Snapshot.for_access`; a change of any of them (groups that were
    re-read, too) needs a new one.

    approves          approve entries about operations
    session_approves  those about the access as such
    methods        label -> how its values are shown
    detected       detector -> how what it finds is shown: the strictest over the labels that name it. Never clear:
                   what is shown anyway isn't searched for
    own_detectors  those of them that are the operator's own
    target         the access's
    typed          those of denies and approves that are about lines typed in terminals
    """

    allows: tuple[CompiledEntry, ...]
    denies: tuple[CompiledEntry, ...]
    approves: tuple[CompiledEntry, ...]
    session_approves: tuple[CompiledEntry, ...]
    methods: Mapping[str, Method]
    looks_at_clock: bool
    detected: Mapping[str, Method]
    own_detectors: tuple[OwnDetector, ...]
    target: Target
    typed: tuple[CompiledEntry, ...] = ()

    def admits(self, now: float) -> Decision:
        """May it connect? Yes when some allow could apply to some operation (semantics 3).

        A deny without a condition on operations would deny each of them, so it denies the connection. What is to be
        approved at connect are the approve entries with ``session``; those about operations are asked with them.
        """
        allows = self._in_time(self.allows, now)
        denies = [entry for entry in self._in_time(self.denies, now) if not entry.operation]
        sessions = self._in_time(self.session_approves, now)
        return self._decision(allows, denies, sessions, _opening(allows, sessions))

    def decide(self, operation: Operation, now: float) -> Decision:
        """The decision on ``operation`` at ``now`` (unix seconds)."""
        allows = self._in_time(self.allows, now)
        opaque = opaque_reason(operation, allows)
        return self._decision(
            [
                entry
                for entry in allows
                if entry.matches(operation, opaque) and not unnamed_way_back(entry, operation, self.target)
            ],
            [entry for entry in self._in_time(self.denies, now) if entry.matches(operation, opaque)],
            [entry for entry in self._in_time(self.approves, now) if entry.matches(operation, opaque)],
            _opening(allows, self._in_time(self.session_approves, now)),
        )

    def forced(self, now: float) -> Forced | None:
        """The command that runs whatever the caller asks for; None: what is asked for runs."""
        return forced(self._in_time(self.allows, now))

    def advice(self, line: Operation, now: float) -> Sequence[CompiledEntry]:
        """The entries that a line typed in a terminal matches at ``now``; `decide` says what comes of it."""
        return [entry for entry in self._in_time(self.typed, now) if entry.matches(line, None)]

    def limits(self, now: float) -> SessionLimits:
        """How a session lives: over all entries that open it or ask about it, the strictest of what they say."""
        opening = _opening(self._in_time(self.allows, now), self._in_time(self.session_approves, now))
        terms = [entry.terms for entry in opening]
        ends = {term.ends_with_identity for term in terms} - {None}
        return SessionLimits(
            max=min((term.max for term in terms if term.max is not None), default=None),
            idle=min((term.idle for term in terms if term.idle is not None), default=None),
            durability=_durability(opening),
            ends_with_identity=ends != {False},
        )

    def method_for(self, labels: Collection[str]) -> Method:
        """How a value with ``labels`` is shown; one without labels is clear (semantics 8).

        A label that this snapshot doesn't know is redacted: a catalogue that is older than the policy must not open.
        """
        return strictest(self.methods.get(label, REDACT) for label in labels) if labels else CLEAR

    def _in_time(self, entries: Sequence[CompiledEntry], now: float) -> Sequence[CompiledEntry]:
        return [entry for entry in entries if entry.in_time(now)] if self.looks_at_clock else entries

    def _decision(
        self,
        allowing: Sequence[CompiledEntry],
        denying: Sequence[CompiledEntry],
        asking: Sequence[CompiledEntry],
        opening: Sequence[CompiledEntry],
    ) -> Decision:
        """``allowing``, ``denying`` and ``asking`` match; ``opening`` are all that say how this session lives now.

        In this order, so that an approve only ever narrows: it is not asked unless an allow matches.
        """
        refusing = [entry for entry in denying if not entry.observe]
        approvals = [entry for entry in asking if not entry.observe]
        outcome, deciding = Outcome.ALLOW, allowing
        if refusing or not allowing:
            outcome, deciding = Outcome.DENY, refusing
        elif approvals:
            outcome, deciding = Outcome.APPROVE, approvals
        messages = sorted((entry.name, entry.message) for entry in deciding if entry.message is not None)
        observed = () if outcome is Outcome.DENY else names(entry for entry in (*denying, *asking) if entry.observe)
        return Decision(
            outcome=outcome,
            rules=names(deciding),
            message=messages[0][1] if messages else None,
            observed=observed,
            durability=_durability(opening),
            lasting=not self.looks_at_clock,
            approvals=_approvals(approvals) if outcome is Outcome.APPROVE else (),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All policy files, compiled. ``number`` is given by the caller and grows."""

    number: int
    entries: tuple[CompiledEntry, ...]
    masks: tuple[CompiledMask, ...]
    labels: tuple[Label, ...]
    detectors: tuple[DefinedDetector, ...] = ()

    def for_access(self, access: Access) -> AccessPolicy:
        """The part that concerns ``access``: keep it for as long as the snapshot and the access stay the same."""
        fitting = [entry for entry in self.entries if entry.fits(access)]
        masks = [mask for mask in self.masks if mask.fits(access)]
        methods = {label.name: _method(label, masks) for label in self.labels}
        detected = _detected(self.labels, methods)
        return AccessPolicy(
            allows=tuple(entry for entry in fitting if entry.effect == "allow"),
            denies=tuple(entry for entry in fitting if entry.effect == "deny"),
            approves=tuple(entry for entry in fitting if entry.effect == "approve" and not entry.at_connect),
            session_approves=tuple(entry for entry in fitting if entry.at_connect),
            methods=MappingProxyType(methods),
            looks_at_clock=any(entry.clock for entry in fitting),
            detected=MappingProxyType(detected),
            own_detectors=tuple(one.own for one in self.detectors if one.own.name in detected),
            target=access.target,
            typed=tuple(entry for entry in fitting if entry.typed is not None),
        )

    def admits(self, access: Access, now: float) -> Decision:
        """See `AccessPolicy.admits`."""
        return self.for_access(access).admits(now)

    def decide(self, access: Access, operation: Operation, now: float) -> Decision:
        """See `AccessPolicy.decide`."""
        return self.for_access(access).decide(operation, now)

    def method_for(self, access: Access, labels: Collection[str]) -> Method:
        """See `AccessPolicy.method_for`."""
        return self.for_access(access).method_for(labels)

    def limits(self, access: Access, now: float) -> SessionLimits:
        """See `AccessPolicy.limits`."""
        return self.for_access(access).limits(now)

    @property
    def methods(self) -> frozenset[Method]:
        """Every method that some mask or default names."""
        defaults = (label.default for label in self.labels if label.default is not None)
        return frozenset((*(mask.method for mask in self.masks), *defaults))

    @property
    def approval_digests(self) -> frozenset[str]:
        """Of all approve entries, observed ones, too: a request or grant under any other is void."""
        return frozenset(entry.approval.digest for entry in self.entries if entry.approval is not None)

    def column_labels(self, target_name: str) -> tuple[tuple[str, str], ...]:
        """Pairs of a ``schema.table.column`` glob and a label, for the columns of one target."""
        return tuple(
            (column, label.name)
            for label in self.labels
            for target, column in label.columns
            if Globs.of((target,)).match(target_name)
        )

    def json_paths(self, target_name: str) -> tuple[tuple[Path, str], ...]:
        """Places in the JSON values of one target, each with a label."""
        return tuple(
            (path, label.name)
            for label in self.labels
            for target, path in label.json
            if Globs.of((target,)).match(target_name)
        )


def opaque_reason(operation: Operation, allows: Iterable[CompiledEntry]) -> str | None:
    """Why ``operation`` is opaque to every entry that has a section for its kind, None when it is understood.

    ``allows`` are the allow entries that hold for the access now: their ``sql.functions`` are trusted (semantics 5).
    """
    if operation.opaque is not None:
        return operation.opaque
    if not isinstance(operation, SqlOperation):
        return None
    if not operation.verbs <= _UNDERSTOOD:
        return f"verbs that are not known: {', '.join(sorted(operation.verbs - _UNDERSTOOD))}"
    if operation.untrusted_functions:
        trusts = [entry.trusts for entry in allows if entry.trusts is not None]
        rest = [name for name in operation.untrusted_functions if not any(trust.trusts(name) for trust in trusts)]
        if rest:
            return f"functions that are not known to be harmless: {', '.join(sorted(rest))}"
    return None


def strictest(methods: Iterable[Method]) -> Method:
    """The strictest of at least one; among equally strict ones always the same, in whatever order they come."""
    return min(methods, key=lambda method: (method.strictness, method.keep_first, method.key))


def names(entries: Iterable[CompiledEntry]) -> tuple[str, ...]:
    """Their names in a stable order."""
    return tuple(sorted({entry.name for entry in entries}))


def deciding_masks(label: Label, masks: Iterable[CompiledMask]) -> list[CompiledMask]:
    """Those of ``masks`` (all fit the access) that name ``label`` with the most specific who."""
    naming = [mask for mask in masks if label.name in mask.labels]
    best = min((mask.rank for mask in naming), default=None)
    return [mask for mask in naming if mask.rank == best]


def _method(label: Label, masks: Iterable[CompiledMask]) -> Method:
    deciding = deciding_masks(label, masks)
    return strictest(mask.method for mask in deciding) if deciding else label.default or REDACT


def _detected(labels: Iterable[Label], methods: Mapping[str, Method]) -> dict[str, Method]:
    found: dict[str, list[Method]] = {}
    for label in labels:
        if label.detector is not None:
            found.setdefault(label.detector, []).append(methods[label.name])
    strict = {detector: strictest(several) for detector, several in found.items()}
    return {detector: method for detector, method in strict.items() if method.name != "clear"}


def _approvals(entries: Iterable[CompiledEntry]) -> tuple[ApprovalTerms, ...]:
    """What they ask for, sorted by rule; two entries that say the very same ask once."""
    terms = {entry.approval for entry in entries if entry.approval is not None}
    return tuple(sorted(terms, key=lambda one: (one.rule, one.digest)))


def _opening(allows: Sequence[CompiledEntry], sessions: Sequence[CompiledEntry]) -> Sequence[CompiledEntry]:
    """The entries whose words on sessions count. An observed approve lets go, so its words don't."""
    return (*allows, *(entry for entry in sessions if not entry.observe)) if sessions else allows


def _durability(entries: Iterable[CompiledEntry]) -> Durability:
    return "synced" if any(entry.terms.durability == "synced" for entry in entries) else "written"
