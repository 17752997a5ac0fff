"""How a session asks approvers, and waits for them.

`Asking` belongs to one session. The corridor says that an operation needs an approval (`Corridor.ask` raises
Unapproved); then `answer` gives the verdict, or None while the session has to wait. Nothing is remembered about an
operation between two tries but what approvers said: each time policy decides anew, and a grant is used at the last
moment, in one piece with the decision. So a policy that changed while it waited, another session that was quicker and
a grant that was revoked all count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from gateway.errors import LimitReached
from gateway.model import ApprovalTerms, Asked, Denial, Operation, SshOperation, Verdict
from gateway.recording.events import Source
from gateway.session.approvals import Approvals
from gateway.session.pipeline import Corridor
from gateway.session.subjects import operation_subject
from gateway.store.requests import Request, Subject

CANCELLED = Denial("canceling statement due to user request", "", cancelled=True)


class Asking:
    """One session's.

    tell     shows the caller a line, and a second one with what to do: that it waits, for what, until when
    go_on    is called when the answer is there: ask the corridor again
    failed   is called with what must end the session
    """

    def __init__(
        self,
        approvals: Approvals,
        corridor: Corridor,
        *,
        tell: Callable[[str, str], None],
        go_on: Callable[[], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._approvals = approvals
        self._corridor = corridor
        self._tell = tell
        self._go_on = go_on
        self._failed = failed
        self._request: Request | None = None
        self._settled: Deferred[Request] | None = None
        self.refusal: Denial | None = None
        """Approvers' answer to what was asked, or the caller's own: `answer` gives it, whatever policy says by now."""

    @property
    def waiting(self) -> bool:
        return self._settled is not None

    def answer(
        self,
        operation: Asked,
        source: Source,
        said: bytes,
        encoding: bytes = b"",
        types: bytes = b"",
        parameters: Sequence[bytes | None] = (),
        formats: Sequence[int] = (),
        text: str | None = None,
        *,
        may_wait: bool,
        goes_on: str = "",
    ) -> Verdict[Asked] | None:
        """The verdict on an operation that needs an approval; None: wait until ``go_on``.

        said, types  what the client sent: the text (SSH: the whole request), and the parameters' types as Parse states
                     them
        encoding     what the session makes characters of bytes by
        text         what was said, where ``operation`` is that of another text which means the same
        may_wait     nothing is locked at the target while it waits
        goes_on      the grant by which it was begun, and of which it is only the rest; empty: it begins

        Raises RecordingFailed, StoreFailed: end the session.
        """
        corridor = self._corridor
        refusal, self.refusal = self.refusal, None
        grant = ""
        if refusal is None:
            terms = corridor.terms(operation)
            refusal = _unreadable(operation, terms)
        if refusal is None:
            subject = operation_subject(
                corridor.admitted.session,
                corridor.admitted.access,
                operation,
                operation.text if text is None else text,
                said,
                encoding,
                types,
                parameters,
                formats,
            )
            if self._approvals.holds(goes_on, terms):
                grant = goes_on
            elif (used := self._approvals.use(subject, terms)) is not None:
                grant = used.id
            else:
                refusal = self._ask(subject, terms, may_wait=may_wait)
                if refusal is None:
                    return None
        return corridor.settle(operation, source, parameters, formats, text, grant=grant, refusal=refusal)

    def _ask(self, subject: Subject, terms: tuple[ApprovalTerms, ...], *, may_wait: bool) -> Denial | None:
        """Ask, and begin to wait; or why that can't be."""
        rules = _rules(terms)
        try:
            request = self._approvals.request(subject, terms)
            waits = self._approvals.wait(request) if may_wait else None
        except LimitReached as error:
            why = f"permission denied by policy: {rules} asks for an approval, but {error.message}"
            return Denial(why, "", error.hint)
        self._record(request)
        if waits is None:
            within = _span(min(term.within for term in terms))
            return Denial(
                f"permission denied by policy: {rules} asks for an approval first",
                f"Request {request.id} is open until {_moment(request.deadline)}. It can't wait within a transaction "
                "that has done something already: what that holds would be held, too.",
                f"Roll back; once it is approved the same statement goes through, for {within}.",
            )
        self._request = request
        self._settled = waits
        self._tell(*words(request))
        waits.addCallbacks(self._is_settled, _is_cancelled).addErrback(self._failed)
        return None

    def _is_settled(self, request: Request) -> None:
        self._request = self._settled = None
        self._record(request)
        if request.state in ("denied", "expired"):
            self.refusal = refused(request)
        self._go_on()

    def cancel(self) -> bool:
        """The caller doesn't want it any more; False when nothing waits."""
        if not self._leave("cancelled by the caller"):
            return False
        self.refusal = CANCELLED
        self._go_on()
        return True

    def drop(self, reason: str) -> None:
        """What was asked about won't be run, whatever approvers say."""
        self.refusal = None
        self._leave(reason)

    def over(self, reason: str, *, stays: bool) -> None:
        """The session is over. ``stays``: the request stays open, for the caller will come back (the gateway stops)."""
        if stays:
            self._stop_waiting()
        else:
            self._leave(reason)

    def _leave(self, reason: str) -> bool:
        request = self._stop_waiting()
        if request is None:
            return False
        self._approvals.withdraw(request, reason)
        return True

    def _stop_waiting(self) -> Request | None:
        request, self._request = self._request, None
        settled, self._settled = self._settled, None
        if settled is not None:
            settled.cancel()
        return request

    def _record(self, request: Request) -> None:
        fields: dict[str, object] = {
            "request": request.id,
            "state": request.state,
            "rules": [term.rule for term in request.terms],
        }
        if request.votes:
            fields["votes"] = [f"{vote.approver}: {'yes' if vote.yes else 'no'}" for vote in request.votes]
        if request.reason:
            fields["reason"] = request.reason
        self._corridor.note("approval", **fields)


def _unreadable(operation: Operation, terms: tuple[ApprovalTerms, ...]) -> Denial | None:
    """Why nobody can be asked: neither approvers nor what a grant is bound to would see what it does."""
    if operation.unshown is None:
        return None
    return Denial(
        f"permission denied by policy: {_rules(terms)} asks for an approval, but the text does not say what this does",
        f"What stands between: {operation.unshown}.",
        None
        if isinstance(operation, SshOperation)
        else "What can be approved says it all itself, in PostgreSQL 17's grammar: no PREPARE, EXECUTE or cursor.",
    )


def _is_cancelled(failure: Failure) -> Failure | None:
    return None if failure.check(CancelledError) else failure  # type: ignore[no-untyped-call]  # Twisted has no types


def words(request: Request) -> tuple[str, str]:
    """What a caller is told who has to wait: one line, and a second one with what to do."""
    rules = _rules(request.terms)
    needed = max(term.needed for term in request.terms)
    people = "an approver" if needed == 1 else f"{needed} approvers"
    return (
        f"waiting for approval {request.id}: {rules}, until {_moment(request.deadline)}",
        f"Ask {people} to look at it: ostiary approvals show {request.id}",
    )


def refused(request: Request) -> Denial:
    """The answer to somebody whose request was denied, or has expired."""
    rules = _rules(request.terms)
    who = ", ".join(vote.approver for vote in request.votes if not vote.yes)
    detail = f"Request {request.id}."
    if request.state == "denied":
        return Denial(f"permission denied by {who}, whom {rules} asks", f"{detail} {request.reason}")
    return Denial(f"permission denied by policy: {rules} asks for an approval, and nobody decided in time", detail)


def _rules(terms: tuple[ApprovalTerms, ...]) -> str:
    return ", ".join(f'"{term.rule}"' for term in terms)


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M:%S UTC")


def _span(seconds: float) -> str:
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}{'s' if seconds != size else ''}"
    return f"{seconds:g} seconds"
