"""What is kept of approvals: requests, the votes on them, grants, locks. Types only; `gateway.store.approvals` keeps
them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.model import ApprovalTerms, GrantState, PrincipalKind, RequestState


@dataclass(frozen=True, slots=True)
class Vote:
    """What one approver said. ``at`` is unix seconds, ``via`` how the approver was proven (``tls``, ``socket``)."""

    approver: str
    yes: bool
    at: float
    reason: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked for: one operation with its parameters, or (``kind`` session) the access as such.

    session     id of the session that asks
    text        as the recording holds it, credentials blanked; empty for a session
    parameters  as the recording shows them, None: NULL
    normalised  the text with constants as ``$1``: all that leaves for the SIEM and for chats
    binding     SHA-256 in hex over all that a grant is bound to: principal, target, database, role, text, parameters
                and their types, relations that the text could mean
    """

    kind: Literal["operation", "session"]
    principal: str
    principal_kind: PrincipalKind
    groups: tuple[str, ...]
    address: str
    session: str
    target: str
    database: str
    role: str
    binding: str
    text: str = ""
    normalised: str = ""
    parameters: tuple[str | None, ...] = ()
    verbs: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A question to approvers; settled once.

    id        8 characters to type (`gateway.session.approvals.new_id`)
    terms     every approve entry that has to be satisfied
    created, deadline, settled_at   unix seconds
    reason    why it was denied, withdrawn or ended
    counted   how many yeses count for each entry, by its digest
    """

    id: str
    subject: Subject
    terms: tuple[ApprovalTerms, ...]
    created: float
    deadline: float
    state: RequestState = "pending"
    votes: tuple[Vote, ...] = ()
    settled_at: float | None = None
    reason: str = ""
    counted: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a yes is worth; its id is its request's.

    left   uses that are left, None: as often as wanted while it lasts
    ends   unix seconds
    """

    id: str
    subject: Subject
    terms: tuple[ApprovalTerms, ...]
    approvers: tuple[str, ...]
    made: float
    ends: float
    left: int | None
    state: GrantState = "live"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """Keeps a principal, everybody on a target, or a principal on a target (both set) out until ``until``.

    session  the session that it began with, when it was told by a session
    """

    id: str
    principal: str | None
    target: str | None
    made: float
    until: float
    by: str
    reason: str = ""
    session: str | None = field(default=None)
