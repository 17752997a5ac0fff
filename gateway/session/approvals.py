"""Approvals: who asked for what, who said yes, what that is worth, and who is locked out.

`Approvals` is the truth in memory, written through to the store before anything follows from it. (policy.md,
semantics 7; docs/decisions/0050-approvals.md)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from gateway.model import ApprovalTerms
from gateway.store.requests import Grant, Lock, Request, Subject


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
    """See the module. Every act raises StoreFailed or RecordingFailed when it can't be kept: then nothing happened."""

    # --- whoever asks -----------------------------------------------------------------------------------------

    def request(self, subject: Subject, terms: tuple[ApprovalTerms, ...]) -> Request:
        """Ask approvers; an equal question that is still open is not asked twice. Raises LimitReached."""
        raise NotImplementedError

    def wait(self, request: Request) -> Deferred[Request]:
        """Fires with the settled request. Cancel it to wait no longer."""
        raise NotImplementedError

    def withdraw(self, request: Request, reason: str) -> None:
        """Whoever asked has left."""
        raise NotImplementedError

    def use(self, subject: Subject, terms: tuple[ApprovalTerms, ...]) -> Grant | None:
        """One use of a live grant for exactly this; None: there is none."""
        raise NotImplementedError

    # --- whoever decides --------------------------------------------------------------------------------------

    def decide(self, id: str, approver: Approver, *, yes: bool, reason: str = "") -> Request:
        """One approver's vote. Raises NotPending, or NotYours (never the asker, never twice, never without a right)."""
        raise NotImplementedError

    def may_decide(self, request: Request, approver: Approver) -> bool:
        """Whether a vote of this approver would count now."""
        raise NotImplementedError

    def revoke(self, id: str, by: str, reason: str = "") -> Grant:
        """End a live grant at once, and the sessions that it let in. Raises NoSuchThing when none is live."""
        raise NotImplementedError

    def lock(self, lock: Lock) -> Lock:
        """Keep somebody out from now on; what lives of them ends at once."""
        raise NotImplementedError

    def unlock(self, id: str, by: str) -> Lock:
        """Raises NoSuchThing."""
        raise NotImplementedError

    # --- whoever looks ----------------------------------------------------------------------------------------

    def requests(self) -> tuple[Request, ...]:
        """Open ones, and settled ones of the last day; oldest first."""
        raise NotImplementedError

    def find(self, id: str) -> Request | None:
        raise NotImplementedError

    def grants(self) -> tuple[Grant, ...]:
        """Live ones, and those that ended in the last day; oldest first."""
        raise NotImplementedError

    def locks(self) -> tuple[Lock, ...]:
        """Those in force."""
        raise NotImplementedError

    def locked(self, principal: str, target: str) -> Lock | None:
        """The lock that keeps this principal from this target."""
        raise NotImplementedError

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` of every change; call what this gives to stop that."""
        raise NotImplementedError

    # --- the gateway ------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Settle what has reached its deadline, end what has ended. To be called every second."""
        raise NotImplementedError

    def keep_only(self, digests: Iterable[str]) -> None:
        """After a reload: requests and grants of entries that are not among these are void."""
        raise NotImplementedError
