"""Why policy decides as it does: every entry, and what made it match or not.

Asks the same compiled conditions that decide, so that an explanation can't tell another story than the decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from gateway.config.units import written_duration
from gateway.model import Access, ApprovalTerms, Decision, Method, Operation, Outcome, SshOperation
from gateway.policy.conditions import listed
from gateway.policy.entries import CompiledEntry, SessionLimits, by_name, is_free, is_typed
from gateway.policy.requests import NamesRequest
from gateway.policy.snapshot import Snapshot, deciding_masks, opaque_reason
from gateway.policy.way_back import unnamed_way_back
from gateway.ssh_requests import BEST_EFFORT


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry. ``reasons`` say why it does not match; when it does, what is worth knowing about how."""

    effect: Literal["allow", "deny", "approve"]
    name: str
    file: str
    matches: bool
    observe: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaskFinding:
    """How values with one label are shown, and where that is written (empty: nowhere, the default)."""

    label: str
    method: Method
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on an operation (or, without one, on the connection) and everything that led to it.

    opaque  why entries with a section for its kind can't understand the operation, None when they can
    """

    decision: Decision
    opaque: str | None
    entries: tuple[Finding, ...]
    masks: tuple[MaskFinding, ...]
    limits: SessionLimits
    typed: bool = False
    """It is about a line typed in a terminal, not about what may be run."""
    warnings: frozenset[str] = frozenset()
    """Entries that only warn of it."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        rules = ", ".join(self.decision.rules)
        if self.decision.outcome is Outcome.APPROVE:
            yield f"approve, as asked by {rules}"
        else:
            yield f"{self.decision.outcome.value}{f' by {rules}' if rules else ': no allow entry matches'}"
        for terms in self.decision.approvals:
            yield f"  {asks(terms)}"
        if self.decision.message is not None:
            yield f"  message: {self.decision.message}"
        if self.opaque is not None:
            yield f"  opaque: {self.opaque}"
        observed = {
            (one.name, one.effect) for one in self.entries if one.matches and (one.observe or one.name in self.warnings)
        }
        for name, effect in sorted(observed) if self.decision.observed else ():
            if name in self.warnings:
                yield f"  warns: {name}"
            else:
                yield f"  observed only: {name} would have {'denied it' if effect == 'deny' else 'asked for approval'}"
        if self.typed:
            yield f"  best effort: {BEST_EFFORT}"
        for finding in self.entries:
            observe = " (observe: true)" if finding.observe else ""
            observe = " (then: warn)" if finding.name in self.warnings else observe
            verdict = "matches" if finding.matches else "does not match"
            yield f"{finding.effect} `{finding.name}`{observe} in {finding.file}: {verdict}"
            for reason in finding.reasons:
                yield f"  {reason}"
        for mask in self.masks:
            where = f"by {', '.join(mask.files)}" if mask.files else "by default"
            yield f"mask {mask.label}: {describe(mask.method)} {where}"


def describe(method: Method) -> str:
    """A method in the words of a policy file."""
    if method.name == "hmac":
        return f"hmac(key: {method.key})"
    if method.name != "partial":
        return method.name
    kept = {"keep_first": method.keep_first, "keep_last": method.keep_last}
    return f"partial({', '.join(f'{key}: {value}' for key, value in kept.items() if value)})"


def asks(terms: ApprovalTerms) -> str:
    """Whom an approve entry asks, and what a yes is worth."""
    groups = f"members of {', '.join(terms.groups)}" if terms.groups else ""
    who = " or ".join(filter(None, (", ".join(terms.principals), groups)))
    uses = "any number of uses" if terms.uses is None else f"{terms.uses} use{'' if terms.uses == 1 else 's'}"
    wait, within = written_duration(terms.wait), written_duration(terms.within)
    ends = "" if terms.ends is None else f", at most until {datetime.fromtimestamp(terms.ends, UTC).isoformat()}"
    return f"{terms.rule}: {terms.needed} of {who}, within {wait}; good for {uses} within {within}{ends}"


def explain(snapshot: Snapshot, access: Access, operation: Operation | None, now: float) -> Explanation:
    """Explain the decision on ``operation``, or on the connection itself when it is None, at ``now`` (unix seconds)."""
    policy = snapshot.for_access(access)
    opening = [entry for entry in policy.allows if entry.in_time(now)]
    opaque = None if operation is None else opaque_reason(operation, opening)
    return Explanation(
        decision=policy.admits(now) if operation is None else policy.decide(operation, now),
        opaque=opaque,
        entries=tuple(
            sorted(
                (_finding(entry, access, operation, opaque, now) for entry in snapshot.entries),
                key=lambda finding: (finding.effect, finding.name, finding.file, finding.reasons),
            )
        ),
        masks=tuple(_masks(snapshot, access, operation)),
        limits=policy.limits(now),
        typed=operation is not None and is_typed(operation),
        warnings=frozenset(entry.name for entry in policy.typed if entry.typed == "warn"),
    )


def _finding(
    entry: CompiledEntry, access: Access, operation: Operation | None, opaque: str | None, now: float
) -> Finding:
    reasons = [condition.why_not(access) for condition in entry.access if not condition.holds(access)]
    reasons += [condition.why_not(now) for condition in entry.clock if not condition.holds(now)]
    matches = not reasons
    if operation is None:
        if (entry.effect == "deny" and entry.operation) or (entry.effect == "approve" and not entry.at_connect):
            matches = False
            reasons.append("is about operations, not about the connection")
    else:
        matches = matches and entry.matches(operation, opaque)
        reasons += _about(entry, operation, opaque)
        if matches and unnamed_way_back(entry, operation, access.target):
            matches = False
            reasons.append("ssh.destinations: that can be the target's own sshd; name it exactly if it is meant")
    observe = entry.observe and entry.typed != "warn"
    return Finding(entry.effect, entry.name, entry.file, matches, observe, tuple(reasons))


_FREE = {
    "sql": "transaction control and harmless session commands are free",
    "ssh": "variables that say language and terminal are free",
}


def _about(entry: CompiledEntry, operation: Operation, opaque: str | None) -> Iterator[str]:
    """What there is to say about the operation conditions."""
    free = opaque is None and is_free(operation)
    section = entry.section
    if entry.at_connect:
        yield "session: is asked at connect, not about operations"
    elif is_typed(operation):
        if entry.effect == "allow":
            yield "ssh.typed: a line typed in a terminal needs no allow of its own"
        elif entry.typed is None:
            yield "ssh.typed: is about requests, not about what is typed"
        else:
            yield from (condition.why_not(operation) for condition in entry.operation if not condition.holds(operation))
    elif entry.typed is not None:
        yield "ssh.typed: is about lines typed in terminals"
    elif section is not None and section != operation.kind:
        yield f"{section}: the operation is none of {'a database' if section == 'sql' else 'SSH'}"
    elif free and (entry.effect == "approve" or (entry.effect == "allow" and section is not None)):
        yield f"{operation.kind}: {_FREE[operation.kind]}"
    elif section is None:
        if entry.effect == "allow" and by_name(operation):
            yield f"ssh.requests: {listed(operation.verbs)} has to be named by an allow with an ssh section"
    elif opaque is not None:
        if entry.effect == "allow":
            yield f"{section}: the operation is opaque, and only an allow without a {section} section takes it"
        elif not entry.matches(operation, opaque):
            # Which request it is is known of an opaque one, too.
            requests = (condition for condition in entry.operation if isinstance(condition, NamesRequest))
            yield from (condition.why_not(operation) for condition in requests if isinstance(operation, SshOperation))
        elif entry.operation:
            does = "denies" if entry.effect == "deny" else "asks about"
            yield f"{section}: the operation is opaque, so it is taken for one that this entry {does}"
    else:
        yield from (condition.why_not(operation) for condition in entry.operation if not condition.holds(operation))


def _masks(snapshot: Snapshot, access: Access, operation: Operation | None) -> Iterator[MaskFinding]:
    policy = snapshot.for_access(access)
    fitting = [mask for mask in snapshot.masks if mask.fits(access)]
    target = access.target.name
    on_target = {label for _, label in (*snapshot.column_labels(target), *snapshot.json_paths(target))}
    shown = on_target if operation is None else operation.labels
    for label in snapshot.labels:
        if label.name in shown or label.detector is not None:
            files = sorted({mask.file for mask in deciding_masks(label, fitting)})
            yield MaskFinding(label.name, policy.method_for((label.name,)), tuple(files))
