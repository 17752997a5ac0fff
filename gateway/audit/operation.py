"""The one event that comes once for every operation, rendered the quick way: what repeats is kept rendered."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from gateway.audit.event import Event, class_head
from gateway.audit.ocsf import (
    MAX_BODY,
    MAX_TEXT,
    OTHER,
    Class,
    SessionContext,
    Severity,
    bounded,
    bounded_names,
    datastore_activity,
    encode,
)
from gateway.model import Decision, Operation, Outcome, SqlOperation, SshOperation

Source = Literal["query", "parse", "execute", "copy", "function", "request", "file"]
"""Which kind of client message an operation came in."""


LONGEST_NUMBER = 20
"""Digits that are left room for: of 2**64."""


class OperationDecided(Event, frozen=True):
    """Policy, or a mask that could be evaded, decided one operation. A refused one has severity medium.

    SQL is Datastore Activity, what is asked for over SSH is SSH Activity. The text is the normalised one: constants of
    SQL as ``$1``, passwords that a command names as ``****``. Where it does not fit, it is cut with a marker and the
    digest stands for it. The full text and the parameters are only in the recording. SQL has the text in
    ``query_info.query_string`` and the digest in ``query_info.uid``; SSH has both in ``unmapped`` as ``text`` and
    ``digest``, besides ``request`` (the activity's name, too), ``login`` (the user at the target), ``channel``,
    ``subsystem``, ``files`` (``read /etc/motd``), ``destination`` (of a forward), ``variable`` (its name) and ``shell``
    (what of a shell's language a command uses). The request ``typed`` is a line typed in a terminal, which policy
    watches at best effort; an entry that only warns is in ``observed``.

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
        # What needs an approval may be parsed without one: it is asked for when it is run.
        approved = decision.outcome is Outcome.APPROVE and (bool(self.approval) or self.source == "parse")
        allowed = (decision.outcome is Outcome.ALLOW or approved) and self.refusal is None
        verdict = _verdict(allowed, self.refusal if self.refusal is not None else decision.message)
        authorization = _authorization(decision.outcome, decision.rules[:names])
        severity = Severity.INFORMATIONAL if allowed else Severity.MEDIUM
        source = self.source.encode("ascii")
        if isinstance(operation, SshOperation):
            activity = class_head(Class.SSH_ACTIVITY, OTHER, severity, operation.request)
            before = b'%b,%b,%b,%b,"request":"%b","text":%b,"digest":%b,"operation":' % (
                activity,
                verdict,
                self.session.as_actor,
                authorization,
                operation.request.encode("ascii"),
                text,
                encode(operation.digest),
            )
            facts = _requested(operation, self.session.access.role, decision.observed, names)
        else:
            activity = class_head(Class.DATASTORE_ACTIVITY, datastore_activity(operation.verbs), severity, None)
            before = b'%b,%b,%b,"query_info":{"query_string":%b,"uid":%b},%b,"operation":' % (
                activity,
                verdict,
                self.session.as_actor,
                text,
                encode(operation.digest),
                authorization,
            )
            relations = operation.relations if isinstance(operation, SqlOperation) else frozenset()
            facts = _facts(operation.verbs, relations, operation.labels, decision.observed, names)
        after = b',"source":"%b",%b' % (source, facts)
        if operation.opaque is not None:
            after += b',"opaque":' + encode(bounded(operation.opaque, MAX_TEXT))
        if room is not None:
            after += b',"statement_length":%d' % len(normalised)
        if self.approval:
            after += b',"approval":' + encode(self.approval)
        return before, after


@lru_cache(maxsize=4096)
def _verdict(allowed: bool, detail: str | None) -> bytes:
    """From ``status_id`` to ``status_detail``: the same for most operations of a policy."""
    verdict: dict[str, object] = {
        "status_id": 1 if allowed else 2,
        "action_id": 1 if allowed else 2,
        "disposition_id": 1 if allowed else 2,
    }
    if detail is not None:
        verdict["status_detail"] = bounded(detail, MAX_TEXT)
    return encode(verdict)[1:-1]


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


def _requested(operation: SshOperation, login: str, observed: tuple[str, ...], names: int) -> bytes:
    """What an SSH operation is. A file is two paths at most, but a name may be long."""
    shown: dict[str, object] = {"login": bounded(login), "verbs": bounded_names(operation.verbs, names)}
    if operation.channel is not None:
        shown["channel"] = operation.channel
    if operation.files:
        shown["files"] = [bounded(f"{use.action} {use.path}") for use in operation.files[: min(names, 8)]]
    if operation.shell:
        shown["shell"] = bounded_names(operation.shell, names)
    for name in ("subsystem", "destination", "variable"):
        if value := getattr(operation, name):
            shown[name] = bounded(value)
    shown["observed"] = bounded_names(observed, min(names, 64))
    return encode(shown)[1:-1]


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
