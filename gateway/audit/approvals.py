"""What the log says about approvals: requests, votes, grants and locks. Part of the catalogue (`gateway.audit.events`).

A request's statement is its normalised text here, constants as ``$1``; who may approve sees all of it in the control
API, and the recording has it.
"""

from __future__ import annotations

from gateway.audit.event import Event
from gateway.audit.ocsf import MAX_TEXT, Class, Severity, administration, bounded, bounded_names, endpoint
from gateway.store.requests import Grant, Lock, Request, Subject, Vote


def _asker(subject: Subject) -> dict[str, object]:
    return {
        "user": {"name": bounded(subject.principal), "type_id": 1 if subject.principal_kind == "human" else 4},
        "session": {"uid": subject.session},
        "src_endpoint": endpoint(subject.address),
        "dst_endpoint": {"name": bounded(subject.target)},
        "privileges": [subject.kind],
    }


def _asked(request: Request | Grant) -> dict[str, object]:
    subject = request.subject
    asked: dict[str, object] = {
        "request": request.id,
        "kind": subject.kind,
        "principal": bounded(subject.principal),
        "target": bounded(subject.target),
        "database": bounded(subject.database),
        "role": bounded(subject.role),
        "rules": bounded_names((term.rule for term in request.terms), 16),
    }
    if subject.kind == "operation":
        asked["statement"] = bounded(subject.normalised, MAX_TEXT)
        asked["verbs"] = bounded_names(subject.verbs, 16)
        asked["relations"] = bounded_names(subject.relations, 16)
        asked["digest"] = subject.binding
    return asked


class ApprovalRequested(Event, frozen=True):
    """An operation, or a session, needs an approval; approvers are asked.

    request  who asks for what, and until when somebody can decide
    """

    class_uid = Class.AUTHORIZE_SESSION
    activity_id = 1
    severity = Severity.LOW

    request: Request

    def attributes(self) -> dict[str, object]:
        return _asker(self.request.subject)

    def details(self) -> dict[str, object]:
        return {**_asked(self.request), "deadline": int(self.request.deadline * 1000)}


class ApprovalVoted(Event, frozen=True):
    """An approver said yes or no.

    request  what was asked
    vote     who said what, and why
    groups   the approver's groups at that moment
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 3
    severity = Severity.MEDIUM

    request: Request
    vote: Vote
    groups: tuple[str, ...] = ()

    def attributes(self) -> dict[str, object]:
        act = "approvals.approve" if self.vote.yes else "approvals.deny"
        return {
            **administration(self.vote.approver, act),
            "status_detail": bounded(self.vote.reason, MAX_TEXT),
            "resources": [{"uid": self.request.id, "type": "approval"}],
        }

    def details(self) -> dict[str, object]:
        return {**_asked(self.request), "groups": bounded_names(self.groups, 16), "via": self.vote.via}


class ApprovalSettled(Event, frozen=True):
    """A request has its answer: approved, denied, expired (nobody decided in time) or withdrawn (the caller left).

    request  what was asked, and what came of it
    grant    what a yes is worth; None: it was no yes
    """

    class_uid = Class.AUTHORIZE_SESSION
    activity_id = 1
    severity = Severity.MEDIUM

    request: Request
    grant: Grant | None = None

    def status_id(self) -> int:
        return 1 if self.request.state == "approved" else 2

    def attributes(self) -> dict[str, object]:
        return {**_asker(self.request.subject), "status_detail": bounded(self.request.reason, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        details = {**_asked(self.request), "state": self.request.state}
        if self.grant is not None:
            details["approvers"] = bounded_names(self.grant.approvers, 16)
            details["uses"] = self.grant.left
            details["ends"] = int(self.grant.ends * 1000)
        return details


class GrantUsed(Event, frozen=True):
    """What was approved is done now: an operation goes to its target, or a session is let in.

    grant    what is left of it
    session  the session that uses it
    """

    class_uid = Class.AUTHORIZE_SESSION
    activity_id = 1
    severity = Severity.LOW

    grant: Grant
    session: str

    def attributes(self) -> dict[str, object]:
        return {**_asker(self.grant.subject), "session": {"uid": self.session}}

    def details(self) -> dict[str, object]:
        return {**_asked(self.grant), "left": self.grant.left, "approvers": bounded_names(self.grant.approvers, 16)}


class GrantEnded(Event, frozen=True):
    """A grant is worth nothing any more; sessions that it let in end.

    grant  with its state: ``ended`` by itself, ``revoked`` by somebody, ``void`` since policy changed
    by     who revoked it
    """

    class_uid = Class.AUTHORIZE_SESSION
    activity_id = 1
    severity = Severity.MEDIUM

    grant: Grant
    by: str = ""

    def attributes(self) -> dict[str, object]:
        return {**_asker(self.grant.subject), "status_detail": bounded(self.grant.reason, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        return {**_asked(self.grant), "state": self.grant.state, "by": bounded(self.by)}


class AccessLocked(Event, frozen=True):
    """A principal, a target, or a principal at a target is locked out for a while; live sessions of it end.

    lock  who or what, until when, by whom
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 1
    severity = Severity.HIGH

    lock: Lock

    def attributes(self) -> dict[str, object]:
        return {
            **administration(self.lock.by, "access.lock"),
            "status_detail": bounded(self.lock.reason, MAX_TEXT),
            "resources": [{"uid": self.lock.id, "type": "lock"}],
        }

    def details(self) -> dict[str, object]:
        return {**_locked(self.lock), "until": int(self.lock.until * 1000)}


class AccessUnlocked(Event, frozen=True):
    """Somebody ended a lock before its time.

    lock  what was locked
    by    who ended it
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 4
    severity = Severity.MEDIUM

    lock: Lock
    by: str

    def attributes(self) -> dict[str, object]:
        return {
            **administration(self.by, "access.unlock"),
            "resources": [{"uid": self.lock.id, "type": "lock"}],
        }

    def details(self) -> dict[str, object]:
        return _locked(self.lock)


def _locked(lock: Lock) -> dict[str, object]:
    places = {"principal": lock.principal, "target": lock.target, "session": lock.session}
    return {name: bounded(value) for name, value in places.items() if value is not None}
