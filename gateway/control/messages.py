"""The control API's questions and answers, as JSON; `ostiary status` and the others decode into the same types.

Times are unix seconds, sizes bytes. Fields are only ever added: a newer gateway may be asked by an older command line.
What a type says here is what the API's description says (`openapi`), down to bounds and patterns.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

MAX_REASON = 500
"""Characters of a reason: a sentence for a caller's terminal and the audit log."""

MAX_TOKENS = 100
"""Tokens that are resolved at once: so many fit the one event that names them all."""

ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$(?!\n)"
"""No control characters, and none that hide or turn text around; ``$`` alone would let a last line feed through."""

Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON, pattern=ONE_LINE)]
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
