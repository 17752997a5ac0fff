"""The one event that comes once for every operation, rendered the quick way: what repeats is kept rendered."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from gateway.audit.event import Event, head
from gateway.audit.ocsf import (
    MAX_BODY,
    MAX_TEXT,
    Class,
    SessionContext,
    Severity,
    bounded,
    bounded_names,
    datastore_activity,
    encode,
)
from gateway.model import Decision, Operation, Outcome

Source = Literal["query", "parse", "execute", "copy", "function"]
"""Which kind of client message an operation came in."""


LONGEST_NUMBER = 20
"""Digits that are left room for: of 2**64."""


class OperationDecided(Event, frozen=True):
    """Policy, or a mask that could be evaded, decided one operation. A refused one has severity medium.

    The text is the normalised one, constants as ``$1``; where it does not fit, it is cut with a marker and the digest
    (``query_info.uid``, SHA-256 of the whole normalised text) stands for it. The full text and the parameters are only
    in the recording.

    session    who, to what, from where
    number     the operation's number in its session and recording
    operation  what was asked
    decision   what policy says
    source     the kind of message it came in
    refusal    why a mask or an approver refuses what policy would let go; None: policy's word stands
    approval   the grant that lets it go; empty: none was needed, or none is there
    """

    class_uid = Class.DATASTORE_ACTIVITY

    session: SessionContext
    number: int
    operation: Operation
    decision: Decision
    source: Source
    refusal: str | None = None
    approval: str = ""

    def context(self) -> bytes:
        return self.session.as_actor

    def body(self) -> bytes:
        before, after = self.halves_of()
        return b"%b%d%b" % (before, self.number, after)

    def halves_of(self) -> tuple[bytes, bytes]:
        """What stands before and behind the number: the same each time that the operation is run again
        (`AuditLog.append_operation`)."""
        before, after = self._render(None)
        size = len(before) + len(after) + LONGEST_NUMBER
        if size <= MAX_BODY:
            return before, after
        whole = len(encode(self.operation.normalised))
        room = max(64, MAX_BODY - (size - whole) - len(b',"statement_length":') - 12)
        before, after = self._render(room)
        if len(before) + len(after) + LONGEST_NUMBER <= MAX_BODY:
            return before, after
        return self._render(64, names=8)

    def _render(self, room: int | None, names: int = MAX_BODY) -> tuple[bytes, bytes]:
        """``room``: encoded bytes for the text, None for all of it; ``names``: how many of each list are kept."""
        operation = self.operation
        decision = self.decision
        normalised = operation.normalised
        text = encode(normalised if room is None else bounded(normalised, room))
        before = b'%b,%b,"query_info":{"query_string":%b,"uid":%b},%b,"operation":' % (
            _verdict(operation.verbs, decision.outcome, self.refusal, decision.message, self.source, self.approval),
            self.session.as_actor,
            text,
            encode(operation.digest),
            _authorization(decision.outcome, decision.rules[:names]),
        )
        after = b',"source":"%b",%b' % (
            self.source.encode("ascii"),
            _facts(operation.verbs, operation.relations, operation.labels, decision.observed, names),
        )
        if operation.opaque is not None:
            after += b',"opaque":' + encode(bounded(operation.opaque, MAX_TEXT))
        if room is not None:
            after += b',"statement_length":%d' % len(normalised)
        if self.approval:
            after += b',"approval":' + encode(self.approval)
        return before, after


@lru_cache(maxsize=4096)
def _verdict(
    verbs: frozenset[str], outcome: Outcome, refusal: str | None, message: str | None, source: Source, approval: str
) -> bytes:
    """From ``category_uid`` to ``status_detail``: the same for most operations of a policy."""
    # What needs an approval may be parsed without one: it is asked for when it is run.
    approved = outcome is Outcome.APPROVE and (bool(approval) or source == "parse")
    allowed = (outcome is Outcome.ALLOW or approved) and refusal is None
    severity = Severity.INFORMATIONAL if allowed else Severity.MEDIUM
    decided = head(OperationDecided, datastore_activity(verbs), severity)
    verdict: dict[str, object] = {
        "status_id": 1 if allowed else 2,
        "action_id": 1 if allowed else 2,
        "disposition_id": 1 if allowed else 2,
    }
    detail = refusal if refusal is not None else message
    if detail is not None:
        verdict["status_detail"] = bounded(detail, MAX_TEXT)
    return decided + b"," + encode(verdict)[1:-1]


def authorizations(outcome: Outcome, rules: tuple[str, ...]) -> list[dict[str, object]]:
    """OCSF's ``authorizations``: the decision with each policy entry that made it."""
    if not rules:
        return [{"decision": outcome.value}]
    return [{"decision": outcome.value, "policy": {"name": name}} for name in bounded_names(rules, 16)]


@lru_cache(maxsize=4096)
def _authorization(outcome: Outcome, rules: tuple[str, ...]) -> bytes:
    """``authorizations`` and the beginning of ``unmapped``."""
    return b'"authorizations":%b,"unmapped":{"event":"operation_decided"' % encode(authorizations(outcome, rules))


def _facts(
    verbs: frozenset[str], relations: frozenset[str], labels: frozenset[str], observed: tuple[str, ...], names: int
) -> bytes:
    return b'"verbs":%b,"relations":%b,"labels":%b,"observed":%b' % (
        _names(verbs, names),
        _names(relations, names),
        _names(labels, names),
        _names(frozenset(observed), names),
    )


SMALL = 16
"""Lists up to this length are kept rendered: 4,096 of them take at most a few MiB."""


def _names(names: frozenset[str], limit: int) -> bytes:
    if not names:
        return b"[]"
    if len(names) <= SMALL and limit >= SMALL:
        return _small_names(names)
    return encode(bounded_names(names, min(limit, 64)))


@lru_cache(maxsize=4096)
def _small_names(names: frozenset[str]) -> bytes:
    return encode(bounded_names(names))
