"""What this room needs of the running gateway. Read-only: acts are methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.audit import AuditLog
from gateway.audit.sinks import SinkStatus
from gateway.config import Config
from gateway.control.counted import CountedSessions
from gateway.control.watching import Watching
from gateway.control.webhooks import WebhookStatus
from gateway.identity import Identity
from gateway.recording import Recordings
from gateway.session import Approvals, Gate
from gateway.store import TokenVault


class Sink(Protocol):
    """One way of the audit log to a receiver."""

    def status(self) -> SinkStatus: ...


class Notifier(Protocol):
    """What tells receivers of requests for approval."""

    def status(self) -> Sequence[WebhookStatus]: ...


class Database(Protocol):
    """What is known of one database: how often its catalogue was loaded, and how often that failed."""

    @property
    def generation(self) -> int: ...
    @property
    def failures(self) -> int: ...


class Logins(Protocol):
    """What a protocol's listener counts: connections still logging in, logins that became sessions, those that
    did not."""

    @property
    def waiting(self) -> int: ...
    @property
    def logins(self) -> int: ...
    @property
    def refused(self) -> int: ...


class Running(Protocol):
    """The gateway.

    started_at        unix seconds
    opened            what listens, as ``postgres 127.0.0.1:5432``; empty until all of it does
    stopping          it was told to stop
    certificate_ends  when the certificate shown to clients (or one of its chain) expires, unix seconds
    warnings          unsafe switches that are on
    reloads, refused_reloads   since the start
    vault             None when no policy needed one so far
    """

    @property
    def started_at(self) -> float: ...
    @property
    def opened(self) -> tuple[str, ...]: ...
    @property
    def stopping(self) -> bool: ...
    @property
    def certificate_ends(self) -> float: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def reloads(self) -> int: ...
    @property
    def refused_reloads(self) -> int: ...
    @property
    def vault(self) -> TokenVault | None: ...
    @property
    def config(self) -> Config: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def approvals(self) -> Approvals: ...
    @property
    def live(self) -> CountedSessions: ...
    @property
    def recordings(self) -> Recordings: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def sinks(self) -> Sequence[Sink]: ...
    @property
    def webhooks(self) -> Notifier: ...
    @property
    def watching(self) -> Watching: ...
    @property
    def catalogues(self) -> Iterable[Database]: ...
    @property
    def services(self) -> Sequence[Logins]:
        """One for each protocol."""

    def clock(self) -> float:
        """Unix seconds."""

    def reload(self, by: str) -> tuple[str, ...]:
        """Take up the files as they are now, all or nothing; audited. Gives the keys that changed and wait for a
        restart. Raises GatewayError."""
