"""The control API's questions and answers, as JSON; `ostiary status` and the others decode into the same types.

Times are unix seconds, sizes bytes. Fields are only ever added: a newer gateway may be asked by an older command line.
What a type says here is what the API's description says (`openapi`), down to bounds and patterns.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.model import GrantState, PrincipalKind, RequestState

MAX_REASON = 500
"""Characters of a reason: a sentence for a caller's terminal and the audit log."""

MAX_TOKENS = 100
"""Tokens that are resolved at once: so many fit the one event that names them all."""

MAX_LOCK = 365 * 86400
"""Seconds of a lock. Who has to stay out for longer loses their certificate, or their entry in policy."""

ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$(?!\n)"
"""No control characters, and none that hide or turn text around; ``$`` alone would let a last line feed through."""

Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON, pattern=ONE_LINE)]
LockedName = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=ONE_LINE)]
TokenText = Annotated[str, msgspec.Meta(pattern=r"^tok_[0-9a-f]{32}$(?!\n)")]


class SinkState(msgspec.Struct, frozen=True):
    """One sink. ``sent`` is a sequence number; ``lag`` events wait; ``problem`` says why it is not connected."""

    name: str
    address: str
    connected: bool
    sent: int
    lag: int
    resent: int
    connections: int
    problem: str | None


class Check(msgspec.Struct, frozen=True):
    """One thing that serving depends on; ``problem`` is empty when it is well."""

    name: str
    ok: bool
    problem: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """Could it serve a new session now?"""

    ready: bool
    checks: tuple[Check, ...]


class Status(msgspec.Struct, frozen=True):
    """`GET /v1/status`.

    listeners          where it listens, as ``postgres 127.0.0.1:5432``
    snapshot, policy   number and digest of the policy in force
    warnings           unsafe switches that are on
    masking_compiled   the fast masks run
    approvals_open     requests that wait for approvers
    """

    node: str
    version: str
    started: float
    now: float
    readiness: Readiness
    listeners: tuple[str, ...]
    targets: int
    snapshot: int
    policy: str
    reloads: int
    refused_reloads: int
    sessions: int
    sessions_begun: int
    operations: int
    denied: int
    rows: int
    logins: int
    refused_logins: int
    pending_logins: int
    audit_sequence: int
    audit_problem: str | None
    sinks: tuple[SinkState, ...]
    recordings_free: int | None
    recordings_low_water: int
    certificate_ends: float
    masking_compiled: bool
    warnings: tuple[str, ...]
    approvals_open: int
    grants_live: int
    locks: int


class Session(msgspec.Struct, frozen=True):
    """A live session. ``last_active`` is the end of its last operation, ``expires`` None when nothing ends it."""

    id: str
    principal: str
    kind: str
    groups: tuple[str, ...]
    factors: tuple[str, ...]
    address: str
    target: str
    protocol: str
    database: str
    role: str
    started: float
    last_active: float
    expires: float | None
    operations: int
    denied: int
    rows: int


class Sessions(msgspec.Struct, frozen=True):
    """`GET /v1/sessions`, oldest first."""

    now: float
    sessions: tuple[Session, ...]


class SessionAnswer(msgspec.Struct, frozen=True):
    """`GET /v1/sessions/ID`."""

    now: float
    session: Session


class KillRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/sessions/ID/kill`. ``reason`` goes to the caller, the recording and the audit log."""

    reason: Reason = ""


class Killed(msgspec.Struct, frozen=True):
    """The session was told to end."""

    killed: str


class Terms(msgspec.Struct, frozen=True):
    """What one approve entry of policy asks for.

    principals, groups  globs: whose yes counts
    needed, counted     how many yeses, and how many of those so far count
    uses, within        what a yes is worth: so many uses (null: any number) within so many seconds
    """

    rule: str
    principals: tuple[str, ...]
    groups: tuple[str, ...]
    needed: int
    counted: int
    wait: float
    uses: int | None
    within: float
    ends: float | None


class Vote(msgspec.Struct, frozen=True):
    """What an approver said; ``via`` how the approver was proven, ``tls`` or ``socket``."""

    approver: str
    yes: bool
    at: float
    reason: str
    via: str


class Approval(msgspec.Struct, frozen=True):
    """A request to approvers.

    kind         ``operation``, or ``session`` for the access as such
    session      id of the session that asks
    statement    with constants as ``$1``, cut when it is long
    relations    all that the statement could mean by its names
    labels       labels that these relations have
    terms        every entry that has to be satisfied
    reason       why it was denied or withdrawn
    may_decide   whether a vote of the caller who reads this would count now
    """

    id: str
    state: RequestState
    kind: Literal["operation", "session"]
    principal: str
    principal_kind: PrincipalKind
    groups: tuple[str, ...]
    address: str
    session: str
    target: str
    database: str
    role: str
    statement: str
    verbs: tuple[str, ...]
    relations: tuple[str, ...]
    labels: tuple[str, ...]
    terms: tuple[Terms, ...]
    votes: tuple[Vote, ...]
    created: float
    deadline: float
    settled: float | None
    reason: str
    may_decide: bool


class ApprovalsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of `GET /v1/approvals`: only requests of that state."""

    state: RequestState | None = None


class Approvals(msgspec.Struct, frozen=True):
    """`GET /v1/approvals`: open ones and those of the last day that concern the caller, oldest first. ``left_out``
    older ones are more than a list holds."""

    now: float
    approvals: tuple[Approval, ...]
    left_out: int = 0


class ApprovalAnswer(msgspec.Struct, frozen=True):
    """`GET /v1/approvals/ID`, and what a vote made of it.

    text        the statement in full, as the recording has it (passwords blanked); empty for a session
    parameters  as the recording has them; null is NULL
    """

    now: float
    approval: Approval
    text: str
    parameters: tuple[str | None, ...]


class Watched(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an answer that goes on.

    event     ``watching`` (from here on; always first), ``request`` (it is open, or was made, voted on or settled),
              ``recorded``, ``heartbeat`` (every 5 seconds), ``ended`` (what was watched is over), ``dropped`` (the
              watcher is sent away)
    approval  a request, as it is now
    session   that is watched
    recorded  an event of its recording, as that has it (docs/recording-format.md)
    reason    why it ended
    """

    event: Literal["watching", "request", "recorded", "heartbeat", "ended", "dropped"]
    time: float
    approval: Approval | None = None
    session: Session | None = None
    recorded: Any = None
    reason: str = ""


class VoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/approvals/ID/approve` and `.../deny`. ``reason`` goes to the asker (of a no), the recording
    and the audit log."""

    reason: Reason = ""


class Grant(msgspec.Struct, frozen=True):
    """What a yes is worth; its id is its request's.

    left   uses that are left; null: as often as wanted until it ends
    rules  the entries that asked
    """

    id: str
    state: GrantState
    kind: Literal["operation", "session"]
    principal: str
    target: str
    database: str
    role: str
    statement: str
    rules: tuple[str, ...]
    approvers: tuple[str, ...]
    made: float
    ends: float
    left: int | None
    reason: str


class Grants(msgspec.Struct, frozen=True):
    """`GET /v1/grants`: live ones and those that ended in the last day that concern the caller, oldest first.
    ``left_out`` older ones are more than a list holds."""

    now: float
    grants: tuple[Grant, ...]
    left_out: int = 0


class RevokeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/grants/ID/revoke`. ``reason`` goes to the sessions that end, and the audit log."""

    reason: Reason = ""


class Revoked(msgspec.Struct, frozen=True):
    """The grant is worth nothing any more."""

    now: float
    grant: Grant


class Lock(msgspec.Struct, frozen=True):
    """Keeps a principal, everybody on a target, or a principal on a target out until ``until``.

    session  the session that was named, when one was
    """

    id: str
    principal: str | None
    target: str | None
    session: str | None
    made: float
    until: float
    by: str
    reason: str


class Locks(msgspec.Struct, frozen=True):
    """`GET /v1/locks`: those in force, oldest first."""

    now: float
    locks: tuple[Lock, ...]


class LockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/locks`: one of a principal's name, a target's name, and a live session's id; the last means
    that session's principal on its target. ``for`` is in seconds. ``reason`` goes to who is locked out, too."""

    seconds: Annotated[float, msgspec.Meta(ge=1, le=MAX_LOCK)] = msgspec.field(name="for")
    principal: LockedName | msgspec.UnsetType = msgspec.UNSET
    target: LockedName | msgspec.UnsetType = msgspec.UNSET
    session: LockedName | msgspec.UnsetType = msgspec.UNSET
    reason: Reason = ""


class Locked(msgspec.Struct, frozen=True):
    """The lock is in force. ``ended``: how many live sessions end by it."""

    now: float
    lock: Lock
    ended: int


class Unlocked(msgspec.Struct, frozen=True):
    """The lock is gone."""

    now: float
    lock: Lock


class ResolveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/tokens/resolve`. ``reason`` goes to the audit log."""

    tokens: Annotated[tuple[TokenText, ...], msgspec.Meta(min_length=1, max_length=MAX_TOKENS)]
    reason: Reason = ""


class Token(msgspec.Struct, frozen=True):
    """``value`` (base64 in JSON) is as the target sent it, UTF-8 as a rule; None: the vault doesn't know the token."""

    token: str
    value: bytes | None


class Resolved(msgspec.Struct, frozen=True):
    """`POST /v1/tokens/resolve`, in the order that was asked."""

    tokens: tuple[Token, ...]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request that says nothing beside its path."""


class Reloaded(msgspec.Struct, frozen=True):
    """`POST /v1/reload`: what is in force now. ``restart``: keys that changed and wait for a restart."""

    snapshot: int
    targets: int
    restart: tuple[str, ...]
    warnings: tuple[str, ...]


class Refusal(msgspec.Struct, frozen=True):
    """Every answer that is not 2xx. ``problem`` may have several lines (all problems of a configuration)."""

    problem: str
    mend: str | None = None
