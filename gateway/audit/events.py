"""The one catalogue of audit events: what can be said in the log, and which OCSF class and activity says it.

An event is a frozen Struct. Its class carries the OCSF mapping; `Event.attributes` gives what OCSF has a place for,
`Event.details` what is ours alone. docs/audit-events.md is generated from here (audit/document.py).

No event carries a secret, a parameter or a masked value's original: an operation is its normalised text.
"""

from __future__ import annotations

from typing import Literal

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
from gateway.audit.ocsf import (
    MAX_TEXT,
    Class,
    SessionContext,
    Severity,
    administration,
    bounded,
    bounded_names,
    endpoint,
    user,
)
from gateway.audit.operation import OperationDecided as OperationDecided  # noqa: PLC0414  # part of the catalogue
from gateway.audit.operation import authorizations
from gateway.model import Factor, Outcome, Principal

SegmentReason = Literal["first", "size", "day", "damage"]
"""Why a file of the log was begun."""

_PRODUCT = {"app_name": "ostiary"}


# --- the gateway itself ---


class GatewayStarted(Event, frozen=True):
    """The gateway is up and listens.

    version    the gateway's version
    listeners  where it listens
    unsafe     switches that are on and weaken it, by their names
    """

    class_uid = Class.APPLICATION_LIFECYCLE
    activity_id = 3

    version: str
    listeners: tuple[str, ...]
    unsafe: tuple[str, ...] = ()

    def attributes(self) -> dict[str, object]:
        return {"app": {"name": "Ostiary", "vendor_name": "Ostiary", "version": self.version}}

    def details(self) -> dict[str, object]:
        return {"listeners": bounded_names(self.listeners, 16), "unsafe": bounded_names(self.unsafe, 16)}


class GatewayStopping(Event, frozen=True):
    """The gateway was told to stop; sessions end after this.

    version   the gateway's version
    reason    what stops it (a signal, a failure)
    sessions  live sessions at that moment
    """

    class_uid = Class.APPLICATION_LIFECYCLE
    activity_id = 4

    version: str
    reason: str
    sessions: int = 0

    def attributes(self) -> dict[str, object]:
        return {
            "app": {"name": "Ostiary", "vendor_name": "Ostiary", "version": self.version},
            "status_detail": bounded(self.reason, MAX_TEXT),
        }

    def details(self) -> dict[str, object]:
        return {"sessions": self.sessions}


class ConfigurationLoaded(Event, frozen=True):
    """Configuration and policy were loaded, at start or by a reload.

    by        who asked: ``start``, ``SIGHUP``, a principal on the control socket or ``uid N`` (the gateway's own)
    snapshot  number of the policy snapshot that is in force from now on
    targets   how many targets there are
    files     policy files, in order
    digest    SHA-256 over all files read
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 3

    by: str
    snapshot: int
    targets: int
    files: tuple[str, ...]
    digest: str = ""

    def attributes(self) -> dict[str, object]:
        return administration(self.by, "configuration.load")

    def details(self) -> dict[str, object]:
        return {
            "snapshot": self.snapshot,
            "targets": self.targets,
            "files": bounded_names(self.files, 16),
            "digest": self.digest,
        }


class ConfigurationRefused(Event, frozen=True):
    """Configuration or policy had errors; what was in force before stays.

    by        who asked: ``SIGHUP``, a principal on the control socket or ``uid N`` (the gateway's own)
    problems  every problem, as ``ostiary check`` prints it
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 3
    severity = Severity.MEDIUM
    status = 2

    by: str
    problems: str

    def attributes(self) -> dict[str, object]:
        return {
            **administration(self.by, "configuration.load"),
            "status_detail": bounded(self.problems, 2 * MAX_TEXT),
        }


class AdministrativeAct(Event, frozen=True):
    """Somebody did, or tried to do, something through the control API, or was shown what not everybody may see there.

    by       the principal, or ``uid N`` of the control socket that is none
    act      what, as ``sessions.kill`` or ``configuration.reload``
    subject  on what: a session, a request; empty where there is nothing to name
    allowed  false: it is not for this caller, nothing happened
    reason   the words given with it, or why it was refused
    address  the caller's IP address, over TLS; empty: the local socket
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 3
    severity = Severity.LOW

    by: str
    act: str
    subject: str = ""
    allowed: bool = True
    reason: str = ""
    address: str = ""

    def status_id(self) -> int:
        return 1 if self.allowed else 2

    def attributes(self) -> dict[str, object]:
        return {
            **administration(self.by, self.act, self.address),
            "status_detail": bounded(self.reason, MAX_TEXT),
            "resources": [{"name": bounded(self.subject)}],
        }


class SessionKilled(Event, frozen=True):
    """An operator ended somebody's session; the session's own `SessionClosed` follows.

    session  the session that was killed
    by       the operator
    reason   the operator's words
    address  the operator's IP address, over TLS; empty: the local socket
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 4
    severity = Severity.MEDIUM

    session: SessionContext
    by: str
    reason: str = ""
    address: str = ""

    def attributes(self) -> dict[str, object]:
        return {
            **administration(self.by, "sessions.kill", self.address),
            "status_detail": bounded(self.reason, MAX_TEXT),
            "resources": [{"uid": self.session.session, "type": "session"}],
        }

    def details(self) -> dict[str, object]:
        return _who(self.session)


class SessionWatched(Event, frozen=True):
    """Somebody begins to watch a live session: all that is recorded of it from now on is shown to them.

    session  the session that is watched
    by       the auditor
    offset   how long its recording was, bytes: what stands behind that is shown
    address  the auditor's IP address, over TLS; empty: the local socket
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 2
    severity = Severity.MEDIUM

    session: SessionContext
    by: str
    offset: int
    address: str = ""

    def attributes(self) -> dict[str, object]:
        return _watching(self.session, self.by, self.address)

    def details(self) -> dict[str, object]:
        return {**_who(self.session), "offset": self.offset}


class SessionWatchEnded(Event, frozen=True):
    """Somebody watches a session no more: they left, the session ended, or they were sent away.

    session  the session that was watched
    by       the auditor
    events   how many events of its recording were shown
    address  the auditor's IP address, over TLS; empty: the local socket
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 2

    session: SessionContext
    by: str
    events: int
    address: str = ""

    def attributes(self) -> dict[str, object]:
        return _watching(self.session, self.by, self.address)

    def details(self) -> dict[str, object]:
        return {**_who(self.session), "events": self.events}


def _watching(session: SessionContext, by: str, address: str) -> dict[str, object]:
    watched = {"uid": session.session, "type": "session"}
    return {**administration(by, "sessions.watch", address), "resources": [watched]}


def _who(session: SessionContext) -> dict[str, object]:
    access = session.access
    return {"principal": bounded(access.principal.name), "target": bounded(access.target.name)}


class TokensResolved(Event, frozen=True):
    """Somebody was shown values behind tokens of the vault.

    by       the auditor
    tokens   the tokens that were asked for
    found    how many of them the vault knew
    reason   the auditor's words
    address  the auditor's IP address, over TLS; empty: the local socket
    """

    class_uid = Class.API_ACTIVITY
    activity_id = 2
    severity = Severity.MEDIUM

    by: str
    tokens: tuple[str, ...]
    found: int
    reason: str = ""
    address: str = ""

    def attributes(self) -> dict[str, object]:
        return {
            **administration(self.by, "tokens.resolve", self.address),
            "status_detail": bounded(self.reason, MAX_TEXT),
        }

    def details(self) -> dict[str, object]:
        return {"tokens": bounded_names(self.tokens, 100), "found": self.found}


# --- login and admission ---


class AuthenticationSucceeded(Event, frozen=True):
    """A caller proved who it is.

    session    the connection's session id
    principal  who it is; name, kind and groups are written
    address    the caller's IP address
    """

    class_uid = Class.AUTHENTICATION
    activity_id = 1

    session: str
    principal: Principal
    address: str

    def attributes(self) -> dict[str, object]:
        return {
            "user": user(self.principal, groups=True),
            "session": {"uid": self.session},
            "src_endpoint": endpoint(self.address),
            "service": {"name": "ostiary"},
            "is_remote": True,
        }

    def details(self) -> dict[str, object]:
        return {"factors": sorted(self.principal.factors)}


class AuthenticationFailed(Event, frozen=True):
    """A caller did not prove who it is.

    session  the connection's session id
    name     who it claimed to be, as it said; unproven
    address  the caller's IP address
    factor   what it tried, None when it came to no factor
    reason   why not, in our words; never what it sent
    """

    class_uid = Class.AUTHENTICATION
    activity_id = 1
    severity = Severity.MEDIUM
    status = 2

    session: str
    name: str
    address: str
    factor: Factor | None
    reason: str

    def attributes(self) -> dict[str, object]:
        return {
            "user": {"name": bounded(self.name)},
            "session": {"uid": self.session},
            "src_endpoint": endpoint(self.address),
            "service": {"name": "ostiary"},
            "is_remote": True,
            "status_detail": bounded(self.reason, MAX_TEXT),
        }

    def details(self) -> dict[str, object]:
        return {"factors": [] if self.factor is None else [self.factor]}


class LoginLocked(Event, frozen=True):
    """Too many failed logins: a name or an address is locked out for a while.

    name      the name that is locked; empty when it is the address
    address   the address of the last attempt
    failures  failed attempts that led to it
    until     when it ends, unix seconds
    """

    class_uid = Class.ACCOUNT_CHANGE
    activity_id = 9
    severity = Severity.HIGH
    alert = True

    name: str
    address: str
    failures: int
    until: float

    def attributes(self) -> dict[str, object]:
        return {
            "user": {"name": bounded(self.name)},
            "actor": _PRODUCT,
            "src_endpoint": endpoint(self.address),
        }

    def details(self) -> dict[str, object]:
        return {"failures": self.failures, "until": int(self.until * 1000)}


class SessionRefused(Event, frozen=True):
    """A caller that proved who it is was not let in: no rule, no such target, a limit, no recording.

    session    the connection's session id
    principal  who asked
    target     the target it named, as it said; it need not exist
    database   the database it named
    address    the caller's IP address
    reason     why not; the caller is told less
    """

    class_uid = Class.AUTHORIZE_SESSION
    activity_id = 1
    severity = Severity.MEDIUM
    status = 2

    session: str
    principal: Principal
    target: str
    database: str
    address: str
    reason: str

    def attributes(self) -> dict[str, object]:
        return {
            "user": user(self.principal, groups=True),
            "session": {"uid": self.session},
            "src_endpoint": endpoint(self.address),
            "dst_endpoint": {"name": bounded(self.target)},
            "privileges": ["connect"],
            "action_id": 2,
            "disposition_id": 2,
            "status_detail": bounded(self.reason, MAX_TEXT),
        }

    def details(self) -> dict[str, object]:
        return {"database": bounded(self.database)}


class SessionOpened(Event, frozen=True):
    """A session was admitted and is connected to its target.

    session     who, to what, from where
    rules       policy entries that admitted it
    recording   the recording's session id, which names its file
    expires_at  when the right ends by itself, unix seconds; None: it does not
    """

    class_uid = Class.AUTHORIZE_SESSION
    activity_id = 1

    session: SessionContext
    rules: tuple[str, ...]
    recording: str
    expires_at: float | None = None

    def context(self) -> bytes:
        return self.session.as_user

    def attributes(self) -> dict[str, object]:
        return {
            "privileges": ["connect"],
            "action_id": 1,
            "disposition_id": 1,
            "authorizations": authorizations(Outcome.ALLOW, self.rules),
        }

    def details(self) -> dict[str, object]:
        access = self.session.access
        return {
            "database": bounded(access.database),
            "role": bounded(access.role),
            "factors": sorted(access.principal.factors),
            "recording": bounded(self.recording, 512),
            "expires_at": None if self.expires_at is None else int(self.expires_at * 1000),
        }


class BreakGlassUsed(Event, frozen=True):
    """A ``break_glass`` principal was let in where everybody else is refused; always an alert.

    session  who, to what, from where
    reason   what would have refused it
    """

    class_uid = Class.AUTHORIZE_SESSION
    activity_id = 1
    severity = Severity.CRITICAL
    alert = True

    session: SessionContext
    reason: str

    def context(self) -> bytes:
        return self.session.as_user

    def attributes(self) -> dict[str, object]:
        return {"privileges": ["break_glass"], "status_detail": bounded(self.reason, MAX_TEXT)}


class SessionClosed(Event, frozen=True):
    """A session ended. Names the recording's length and head: what is missing at its end can be proven.

    session     who, to what, from where
    reason      why it ended
    operations  operations decided
    rows        rows the client got
    length      the recording's length, bytes
    head        the recording's last chain hash, hex
    """

    class_uid = Class.AUTHENTICATION
    activity_id = 2

    session: SessionContext
    reason: str
    operations: int
    rows: int
    length: int
    head: str

    def context(self) -> bytes:
        return self.session.as_user

    def attributes(self) -> dict[str, object]:
        return {"status_detail": bounded(self.reason, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        return {
            "operations": self.operations,
            "rows": self.rows,
            "recording_length": self.length,
            "recording_head": self.head,
        }


# --- operations ---


class CancelRequested(Event, frozen=True):
    """A client asked to cancel what its session is doing; the request was passed on to the target.

    session  the session it cancels
    address  where the cancel request came from
    """

    class_uid = Class.DATASTORE_ACTIVITY
    activity_name = "Cancel"

    session: SessionContext
    address: str

    def context(self) -> bytes:
        return self.session.as_actor

    def details(self) -> dict[str, object]:
        return {"address": bounded(self.address)}


class ValuesProbed(Event, frozen=True):
    """An operation compares masked values with constants for equality: each answers a guess.

    session  who, to what, from where
    number   the operation's number in its session and recording
    labels   what is masked for the principal and compared here
    count    with how many values
    outcome  ``allow``, or ``deny`` because too many were compared lately
    """

    class_uid = Class.DATASTORE_ACTIVITY
    activity_name = "Probe"

    session: SessionContext
    number: int
    labels: frozenset[str]
    count: int
    outcome: Outcome

    def context(self) -> bytes:
        return self.session.as_actor

    def details(self) -> dict[str, object]:
        return {
            "operation": self.number,
            "labels": bounded_names(self.labels),
            "count": self.count,
            "outcome": self.outcome.value,
        }


# --- what fails ---


class RecordingFailed(Event, frozen=True):
    """A session could not be recorded and was ended, or not let in.

    session  the session's id
    problem  what failed
    """

    class_uid = Class.APPLICATION_ERROR
    activity_id = 1
    severity = Severity.CRITICAL
    status = 2
    alert = True

    session: str
    problem: str

    def attributes(self) -> dict[str, object]:
        return {"status_detail": bounded(self.problem, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        return {"session": self.session}


class CatalogueReloadFailed(Event, frozen=True):
    """A target's catalogue could not be read: until it can, its sessions are decided without it, the strict way.

    target    the target's name
    database  the database
    problem   what failed
    """

    class_uid = Class.APPLICATION_ERROR
    activity_id = 1
    severity = Severity.HIGH
    status = 2

    target: str
    database: str
    problem: str

    def attributes(self) -> dict[str, object]:
        return {"status_detail": bounded(self.problem, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        return {"target": bounded(self.target), "database": bounded(self.database)}


class NotificationFailed(Event, frozen=True):
    """A receiver could not be told of a request for approval, and won't be; the request itself is as it was.

    webhook   the receiver's name
    request   the request's id
    occasion  what it should have been told: ``requested`` or ``settled``
    attempts  how often it was tried
    problem   why it was given up
    """

    class_uid = Class.APPLICATION_ERROR
    activity_id = 1
    severity = Severity.HIGH
    status = 2

    webhook: str
    request: str
    occasion: Literal["requested", "settled"]
    attempts: int
    problem: str

    def attributes(self) -> dict[str, object]:
        return {"status_detail": bounded(self.problem, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        return {
            "webhook": bounded(self.webhook),
            "request": bounded(self.request),
            "occasion": self.occasion,
            "attempts": self.attempts,
        }


# --- the log and its sinks ---


class LogSegmentStarted(Event, frozen=True):
    """First line of each file of the audit log.

    previous       the file before it; empty for the very first
    previous_head  chain hash of the last line before it, hex (64 zeros for the very first)
    reason         ``first``, ``size``, ``day`` or ``damage``
    """

    class_uid = Class.APPLICATION_LIFECYCLE
    activity_name = "Log segment started"

    previous: str
    previous_head: str
    reason: SegmentReason

    def attributes(self) -> dict[str, object]:
        return {"app": {"name": "Ostiary", "vendor_name": "Ostiary"}}

    def details(self) -> dict[str, object]:
        return {"previous": self.previous, "previous_head": self.previous_head, "reason": self.reason}


class LogRecovered(Event, frozen=True):
    """The log's end was not as a clean stop leaves it. The bytes were set aside, none were dropped.

    file      the file that was recovered
    offset    where in it the chain ends, bytes
    length    how many bytes lay behind that
    kept_in   where these bytes are now
    problem   what was wrong: a torn last line (a crash), or damage
    """

    class_uid = Class.APPLICATION_ERROR
    activity_id = 1
    severity = Severity.HIGH
    status = 2
    alert = True

    file: str
    offset: int
    length: int
    kept_in: str
    problem: str

    def attributes(self) -> dict[str, object]:
        return {"status_detail": bounded(self.problem, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        return {"file": self.file, "offset": self.offset, "length": self.length, "kept_in": self.kept_in}


class SinkConnected(Event, frozen=True):
    """A sink's receiver is connected.

    sink     the sink's name
    address  the receiver
    resent   how many events it gets a second time, at most (the resend window)
    """

    class_uid = Class.APPLICATION_LIFECYCLE
    activity_name = "Sink connected"

    sink: str
    address: str
    resent: int

    def attributes(self) -> dict[str, object]:
        return {"app": {"name": "Ostiary", "vendor_name": "Ostiary"}}

    def details(self) -> dict[str, object]:
        return {"sink": self.sink, "address": bounded(self.address), "resent": self.resent}


class SinkLost(Event, frozen=True):
    """A sink's receiver is not there: the connection broke, or the first attempt failed. Once for each outage.

    sink     the sink's name
    address  the receiver
    problem  why
    """

    class_uid = Class.APPLICATION_ERROR
    activity_id = 1
    severity = Severity.HIGH
    status = 2

    sink: str
    address: str
    problem: str

    def attributes(self) -> dict[str, object]:
        return {"status_detail": bounded(self.problem, MAX_TEXT)}

    def details(self) -> dict[str, object]:
        return {"sink": self.sink, "address": bounded(self.address)}


class SinkLagging(Event, frozen=True):
    """A sink is far behind; written once each time it falls behind.

    sink  the sink's name
    lag   events that wait
    """

    class_uid = Class.APPLICATION_ERROR
    activity_id = 1
    severity = Severity.HIGH
    status = 2

    sink: str
    lag: int

    def attributes(self) -> dict[str, object]:
        return {"status_detail": f"{self.lag} events wait to be sent"}

    def details(self) -> dict[str, object]:
        return {"sink": self.sink, "lag": self.lag}


class SinkGapFound(Event, frozen=True):
    """Events that a sink should have sent are not in the log: a file was removed or damaged.

    sink   the sink's name
    first  first missing sequence number
    last   last missing sequence number
    """

    class_uid = Class.APPLICATION_ERROR
    activity_id = 1
    severity = Severity.CRITICAL
    status = 2
    alert = True

    sink: str
    first: int
    last: int

    def attributes(self) -> dict[str, object]:
        return {"status_detail": f"events {self.first} to {self.last} are missing in the audit log"}

    def details(self) -> dict[str, object]:
        return {"sink": self.sink, "first": self.first, "last": self.last}


CATALOGUE: tuple[type[Event], ...] = (
    GatewayStarted,
    GatewayStopping,
    ConfigurationLoaded,
    ConfigurationRefused,
    AdministrativeAct,
    SessionKilled,
    SessionWatched,
    SessionWatchEnded,
    TokensResolved,
    AuthenticationSucceeded,
    AuthenticationFailed,
    LoginLocked,
    SessionRefused,
    SessionOpened,
    BreakGlassUsed,
    SessionClosed,
    OperationDecided,
    CancelRequested,
    ValuesProbed,
    ApprovalRequested,
    ApprovalVoted,
    ApprovalSettled,
    GrantUsed,
    GrantEnded,
    AccessLocked,
    AccessUnlocked,
    RecordingFailed,
    CatalogueReloadFailed,
    NotificationFailed,
    LogSegmentStarted,
    LogRecovered,
    SinkConnected,
    SinkLost,
    SinkLagging,
    SinkGapFound,
)
"""Every event type there is; the order of docs/audit-events.md."""
