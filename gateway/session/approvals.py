"""Approvals: who asked for what, who said yes, what that is worth, and who is locked out.

`Approvals` is the truth in memory, written through to the store before anything follows from it (policy.md,
semantics 7; docs/decisions/0050-approvals.md). Everything happens on the reactor's thread, in one piece: between the
look at a grant and its use nobody else comes in.

Every act is written to the audit log first, then to the store, then takes effect. What fails on the way raises, and
then nothing has happened but an entry in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Protocol

import structlog
from twisted.internet.defer import Deferred

from gateway.audit import AuditLog
from gateway.audit.approvals import (
    AccessLocked,
    AccessUnlocked,
    ApprovalRequested,
    ApprovalSettled,
    ApprovalVoted,
    GrantEnded,
    GrantUsed,
)
from gateway.audit.event import Event
from gateway.errors import GatewayError, LimitReached, NoSuchThing, NotPending, NotYours, SessionEnded
from gateway.model import ApprovalTerms, GrantState, RequestState
from gateway.policy.globs import Globs
from gateway.session.live import LiveSession, LiveSessions
from gateway.store import ApprovalStore
from gateway.store.requests import Grant, Lock, Request, Subject, Vote

log = structlog.get_logger()

MAX_OPEN: Final = 100
"""Open requests of one principal: as many as it may have sessions by default. Approvers read each of them."""

MAX_REQUESTS: Final = 20_000
"""Open requests of all principals: some 4 KiB each."""

MAX_WAITING: Final = 100
"""Callers that wait for one answer; connections of one principal that wait to become sessions, for whatever answer: no
other limit counts them, and the database that each asks for is the caller's to say."""

MAX_SHOWN: Final = 64 * 1024
"""Bytes of a statement with its parameters that can be approved: an approver has to be able to read all of it."""

KEPT: Final = 86_400.0
"""Seconds that settled requests and ended grants can still be looked at. The audit log has them for good."""

FORGET_EVERY: Final = 3600.0
"""Seconds between two clearings of the store."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, which has no letters that are read as digits: people type and dictate these."""


def new_id(random: Callable[[int], bytes]) -> str:
    """Eight characters in two halves, such as ``k7q2-m9xd``: 40 bits. It names, and opens nothing."""
    value = int.from_bytes(random(5))
    letters = [_ALPHABET[value >> shift & 31] for shift in range(35, -1, -5)]
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"


@dataclass(frozen=True, slots=True)
class Approver:
    """Who decides, as proven to the control API. ``via``: ``tls`` or ``socket``."""

    name: str
    groups: frozenset[str]
    via: str


class Observer(Protocol):
    """Is told of everything that changes, after it was stored and audited. Must not raise."""

    def request_changed(self, request: Request) -> None:
        """It was made, got a vote, or was settled."""

    def grant_changed(self, grant: Grant) -> None:
        """It was made, used, or has ended."""


class Approvals:
    """See the module. Every act raises StoreFailed or RecordingFailed when it can't be kept.

    clock  unix seconds; random  gives that many random bytes
    """

    def __init__(
        self,
        store: ApprovalStore,
        audit: AuditLog,
        live: LiveSessions,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        """Takes up what is kept. Raises StoreFailed."""
        self._store = store
        self._audit = audit
        self._live = live
        self._clock = clock
        self._random = random
        now = clock()
        self._requests = {one.id: one for one in sorted(store.requests(now), key=lambda one: one.created)}
        self._grants = {one.id: one for one in sorted(store.grants(now), key=lambda one: one.made)}
        self._locks = {one.id: one for one in sorted(store.locks(now), key=lambda one: one.made)}
        self._open = {one.id: one for one in self._requests.values() if one.state == "pending"}
        self._usable: dict[str, list[str]] = {}
        for grant in self._grants.values():
            if grant.state == "live":
                self._usable.setdefault(grant.subject.binding, []).append(grant.id)
        self._waiting: dict[str, list[Deferred[Request]]] = {}
        self._observers: list[Observer] = []
        self._forgotten = now

    # --- whoever asks -----------------------------------------------------------------------------------------

    def request(self, subject: Subject, terms: tuple[ApprovalTerms, ...]) -> Request:
        """Ask approvers; an equal question that is still open is not asked twice. Raises LimitReached."""
        now = self._clock()
        theirs = [one for one in self._open.values() if one.subject.principal == subject.principal]
        for one in theirs:
            if one.subject.binding == subject.binding and one.terms == terms and one.deadline > now:
                return one
        if shown_size(subject) > MAX_SHOWN:
            raise LimitReached(
                f"a statement of more than {MAX_SHOWN} bytes, parameters included, can't be approved: nobody could "
                "read it all",
                hint="Split it into smaller statements.",
            )
        if len(theirs) >= MAX_OPEN:
            raise LimitReached(
                f"{subject.principal} has {MAX_OPEN} open requests for approval already",
                hint="Wait until some are decided.",
            )
        if len(self._open) >= MAX_REQUESTS:
            raise LimitReached("there are too many open requests for approval", hint="Try again later.")
        id = new_id(self._random)
        while id in self._requests or id in self._grants:
            id = new_id(self._random)
        wait = min(term.wait for term in terms)
        deadline = min((now + wait, *(term.ends for term in terms if term.ends is not None)))
        request = Request(id, subject, terms, now, deadline)
        self._say(ApprovalRequested(request))
        self._keep_request(request)
        return request

    def wait(self, request: Request) -> Deferred[Request]:
        """Fires with the settled request. Cancel it to wait no longer. Raises LimitReached."""
        known = self._requests.get(request.id, request)
        if self._wait_beside(request) >= MAX_WAITING:
            raise LimitReached(
                f"{MAX_WAITING} connections of {request.subject.principal} wait for an approval already",
                hint="Wait for its answer.",
            )
        settled: Deferred[Request] = Deferred(lambda cancelled: self._waits_no_longer(request.id, cancelled))
        if known.state == "pending":
            self._waiting.setdefault(request.id, []).append(settled)
        else:
            settled.callback(known)
        return settled

    def _wait_beside(self, request: Request) -> int:
        subject = request.subject
        if subject.kind == "operation":
            return len(self._waiting.get(request.id, ()))
        same = (subject.kind, subject.principal)
        beside = (one.id for one in self._open.values() if (one.subject.kind, one.subject.principal) == same)
        return sum(len(self._waiting.get(id, ())) for id in beside)

    def _waits_no_longer(self, id: str, settled: Deferred[Request]) -> None:
        waiting = self._waiting.get(id, [])
        if settled in waiting:
            waiting.remove(settled)
            if not waiting:
                del self._waiting[id]

    def withdraw(self, request: Request, reason: str) -> None:
        """Whoever asked has left. Others that wait for the same answer keep it open."""
        known = self._requests.get(request.id)
        if known is not None and known.state == "pending" and request.id not in self._waiting:
            self._settle(known, "withdrawn", reason)

    def find_grant(self, subject: Subject, terms: tuple[ApprovalTerms, ...]) -> Grant | None:
        """A live grant for exactly this, without using it."""
        now = self._clock()
        for id in self._usable.get(subject.binding, ()):
            grant = self._grants[id]
            usable = grant.ends > now and grant.left != 0 and grant.subject.principal == subject.principal
            # An entry that says something else now was never answered, and one more entry wasn't either.
            if usable and _cover(grant.terms, terms):
                return grant
        return None

    def use(self, subject: Subject, terms: tuple[ApprovalTerms, ...]) -> Grant | None:
        """One use of a live grant for exactly this; None: there is none."""
        grant = self.find_grant(subject, terms)
        if grant is None:
            return None
        if grant.left is not None:
            left = grant.left - 1
            grant = replace(grant, left=left, state="live" if left else "used")
        self._say(GrantUsed(grant, subject.session))
        self._keep_grant(grant)
        return grant

    # --- whoever decides --------------------------------------------------------------------------------------

    def may_decide(self, request: Request, approver: Approver) -> bool:
        """Whether a vote of this approver would count now."""
        return self._why_not(request, approver) is None

    def is_approver(self, request: Request, approver: Approver) -> bool:
        """Whether an entry names this approver, who isn't the asker; whether it was decided or not."""
        return approver.name != request.subject.principal and any(_fits(term, approver) for term in request.terms)

    def _why_not(self, request: Request, approver: Approver) -> GatewayError | None:
        if request.state != "pending" or request.deadline <= self._clock():
            state = "expired" if request.state == "pending" else request.state
            return NotPending(f"request {request.id} is not open any more: {state}")
        if approver.name == request.subject.principal:
            return NotYours("nobody decides on their own request", hint="ask another approver")
        if not self.is_approver(request, approver):
            return NotYours(f"no entry that asks here names {approver.name} as an approver")
        if any(vote.approver == approver.name for vote in request.votes):
            return NotYours(f"{approver.name} has voted already", hint="each approver counts once")
        return None

    def decide(self, id: str, approver: Approver, *, yes: bool, reason: str = "") -> Request:
        """One approver's vote; one no settles it. Raises NoSuchThing, NotPending, or NotYours (never the asker, never
        twice, never without a right)."""
        request = self._requests.get(id)
        if request is None:
            raise NoSuchThing("there is no such request")
        refusal = self._why_not(request, approver)
        if refusal is not None:
            raise refusal
        vote = Vote(approver.name, yes, self._clock(), reason, approver.via)
        request = replace(request, votes=(*request.votes, vote))
        self._say(ApprovalVoted(request, vote, tuple(sorted(approver.groups))))
        # Which entries a yes counts for is found out when it is given: groups are the approver's of that moment.
        counted = dict(request.counted)
        for term in request.terms:
            counted[term.digest] = counted.get(term.digest, 0) + (yes and _fits(term, approver))
        request = replace(request, counted=tuple(sorted(counted.items())))
        if not yes:
            return self._settle(request, "denied", reason or f"denied by {approver.name}")
        if all(counted[term.digest] >= term.needed for term in request.terms):
            return self._grant(request)
        self._keep_request(request)
        return request

    def _grant(self, request: Request) -> Request:
        now = self._clock()
        uses = [term.uses for term in request.terms if term.uses is not None]
        within = now + min(term.within for term in request.terms)
        grant = Grant(
            id=request.id,
            subject=request.subject,
            terms=request.terms,
            approvers=tuple(vote.approver for vote in request.votes if vote.yes),
            made=now,
            ends=min((within, *(term.ends for term in request.terms if term.ends is not None))),
            left=min(uses, default=None),
        )
        return self._settle(request, "approved", "", grant)

    def revoke(self, id: str, by: str, reason: str = "") -> Grant:
        """End a live grant at once, and the sessions that it let in, or that run what it let go.

        Raises NoSuchThing when none is live. One that is used up can be revoked for the sake of these sessions.
        """
        grant = self._grants.get(id)
        if grant is None or grant.state not in ("live", "used") or grant.ends <= self._clock():
            raise NoSuchThing("there is no such grant that is live")
        return self._end_grant(grant, "revoked", reason, by)

    def lock(self, lock: Lock) -> Lock:
        """Keep somebody out from now on; what lives of them ends at once.

        ``lock.id`` and ``lock.made`` are given here.
        """
        lock = replace(lock, id=new_id(self._random), made=self._clock())
        self._say(AccessLocked(lock))
        self._store.save(locks=[lock])
        self._locks[lock.id] = lock
        ended = SessionEnded(_words(lock), hint="Ask an operator.")
        self._live.end_all(ended, lambda live: _keeps_out(lock, live.access.principal.name, live.access.target.name))
        return lock

    def unlock(self, id: str, by: str) -> Lock:
        """Raises NoSuchThing."""
        lock = self._locks.get(id)
        if lock is None:
            raise NoSuchThing("there is no such lock")
        self._say(AccessUnlocked(lock, by))
        self._store.save(unlocked=[lock])
        del self._locks[id]
        return lock

    # --- whoever looks ----------------------------------------------------------------------------------------

    def requests(self) -> tuple[Request, ...]:
        """Open ones, and settled ones of the last day; oldest first."""
        return tuple(self._requests.values())

    def open_requests(self) -> int:
        return len(self._open)

    def find(self, id: str) -> Request | None:
        return self._requests.get(id)

    def grants(self) -> tuple[Grant, ...]:
        """Live ones, and those that ended in the last day; oldest first."""
        return tuple(self._grants.values())

    def locks(self) -> tuple[Lock, ...]:
        """Those in force."""
        now = self._clock()
        return tuple(lock for lock in self._locks.values() if lock.until > now)

    def locked(self, principal: str, target: str) -> SessionEnded | None:
        """Why this principal is kept from this target; None: nothing keeps it."""
        if not self._locks:
            return None
        for lock in self.locks():
            if _keeps_out(lock, principal, target):
                return SessionEnded(_words(lock), hint="Ask an operator.")
        return None

    def gone(self, live: LiveSession, now: float) -> SessionEnded | None:
        """Why a session that a grant let in has to end: the grant has ended."""
        if live.grant is None:
            return None
        grant = self._grants.get(live.grant)
        if grant is None or grant.ends <= now or grant.state not in ("live", "used"):
            return _grant_is_over(grant)
        return None

    def covers(self, id: str | None, terms: tuple[ApprovalTerms, ...]) -> bool:
        """Whether the grant that let a session in is one for all of these entries, as they are now."""
        grant = self._grants.get(id or "")
        return grant is not None and _cover(grant.terms, terms)

    def holds(self, id: str, terms: tuple[ApprovalTerms, ...]) -> bool:
        """Whether a grant, perhaps used up by what goes on now, has not ended and is one for all of these entries."""
        grant = self._grants.get(id)
        if grant is None or grant.state not in ("live", "used") or grant.ends <= self._clock():
            return False
        return _cover(grant.terms, terms)

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` of every change; call what this gives to stop that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer) if observer in self._observers else None

    # --- the gateway ------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Settle what has reached its deadline, end what has ended. To be called every second."""
        for request in [one for one in self._open.values() if one.deadline <= now]:
            self._settle(request, "expired", "nobody decided in time")
        for grant in [one for one in self._grants.values() if one.state == "live" and one.ends <= now]:
            self._end_grant(grant, "ended", "its time is over")
        for lock in [one for one in self._locks.values() if one.until <= now]:
            del self._locks[lock.id]
        if now - self._forgotten >= FORGET_EVERY:
            self._forgotten = now
            self._forget(now)

    def _forget(self, now: float) -> None:
        self._store.forget(now)
        for id in [one.id for one in self._requests.values() if (one.settled_at or now) + KEPT < now]:
            del self._requests[id]
        for id in [one.id for one in self._grants.values() if one.ends + KEPT < now]:
            del self._grants[id]

    def keep_only(self, digests: Iterable[str]) -> None:
        """After a reload: requests and grants of entries that are not among these are void."""
        known = frozenset(digests)
        for request in [one for one in self._open.values() if not _all_known(one.terms, known)]:
            self._settle(request, "withdrawn", "policy changed: the entry that asked is not there any more")
        for grant in tuple(self._grants.values()):
            if grant.state in ("live", "used") and not _all_known(grant.terms, known):
                self._end_grant(grant, "void", "policy changed: the entry that asked is not there any more")

    def checkpoint(self) -> None:
        """See `ApprovalStore.checkpoint`: in a thread."""
        self._store.checkpoint()

    def close(self) -> None:
        self._store.close()

    # --- what all of it does ----------------------------------------------------------------------------------

    def _settle(self, request: Request, state: RequestState, reason: str, grant: Grant | None = None) -> Request:
        request = replace(request, state=state, settled_at=self._clock(), reason=reason)
        self._say(ApprovalSettled(request, grant))
        self._store.save(requests=[request], grants=[] if grant is None else [grant], keep=KEPT)
        self._requests[request.id] = request
        self._open.pop(request.id, None)
        if grant is not None:
            self._take(grant)
            self._tell(lambda one: one.grant_changed(grant))
        self._tell(lambda one: one.request_changed(request))
        for settled in self._waiting.pop(request.id, ()):
            settled.callback(request)
        return request

    def _end_grant(self, grant: Grant, state: GrantState, reason: str, by: str = "") -> Grant:
        grant = replace(grant, state=state, reason=reason)
        self._say(GrantEnded(grant, by))
        self._keep_grant(grant)
        self._live.end_all(
            _grant_is_over(grant),
            lambda live: live.grant == grant.id or (state == "revoked" and live.runs_by(grant.id)),
        )
        return grant

    def _keep_request(self, request: Request) -> None:
        self._store.save(requests=[request], keep=KEPT)
        self._requests[request.id] = self._open[request.id] = request
        self._tell(lambda one: one.request_changed(request))

    def _keep_grant(self, grant: Grant) -> None:
        self._store.save(grants=[grant], keep=KEPT)
        self._take(grant)
        self._tell(lambda one: one.grant_changed(grant))

    def _take(self, grant: Grant) -> None:
        self._grants[grant.id] = grant
        usable = self._usable.setdefault(grant.subject.binding, [])
        if grant.state == "live" and grant.id not in usable:
            usable.append(grant.id)
        elif grant.state != "live" and grant.id in usable:
            usable.remove(grant.id)
        if not usable:
            del self._usable[grant.subject.binding]

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in tuple(self._observers):
            try:
                tell(observer)
            except Exception as error:  # an onlooker must not undo what was stored and decided
                log.error("an observer of approvals failed", exc_info=error)

    def _say(self, event: Event) -> None:
        self._audit.append(event)
        self._audit.flush()


def shown_size(subject: Subject) -> int:
    """Bytes that an approver has to read, about."""
    return len(subject.text) + sum(len(value or "") for value in subject.parameters)


_globs = lru_cache(maxsize=1024)(Globs.of)
"""Compiled once: a list asks for each request whether its reader is an approver."""


def _fits(term: ApprovalTerms, approver: Approver) -> bool:
    return _globs(term.principals).match(approver.name) or _globs(term.groups).any(approver.groups)


def _cover(approved: tuple[ApprovalTerms, ...], terms: tuple[ApprovalTerms, ...]) -> bool:
    return {term.digest for term in terms} <= {term.digest for term in approved}


def _all_known(terms: tuple[ApprovalTerms, ...], digests: frozenset[str]) -> bool:
    return all(term.digest in digests for term in terms)


def _keeps_out(lock: Lock, principal: str, target: str) -> bool:
    return lock.principal in (None, principal) and lock.target in (None, target)


def _words(lock: Lock) -> str:
    what = "you are locked out" if lock.target is None else "your access to this target is locked"
    if lock.principal is None:
        what = "this target is locked"
    return f"{what}: {lock.reason}" if lock.reason else what


def _grant_is_over(grant: Grant | None) -> SessionEnded:
    if grant is not None and grant.state == "revoked":
        reason = f": {grant.reason}" if grant.reason else ""
        what = "your access" if grant.subject.kind == "session" else "what you run"
        return SessionEnded(f"the approval of {what} was revoked{reason}", hint="Ask for another one.")
    if grant is not None and grant.state == "void":
        return SessionEnded("policy changed: your access has to be approved anew", hint="Connect again.")
    return SessionEnded("the approved time of your access is over", hint="Connect again to ask for another approval.")
