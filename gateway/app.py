"""The composition root: the only place that builds services and wires them.

`Gateway` is one running gateway. It starts all or nothing, reloads all or nothing, and stops in an order in which
every session's end is still recorded: listeners, sessions, recordings, audit log.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from gateway import __version__
from gateway.audit import AuditLog
from gateway.audit.events import ConfigurationLoaded, ConfigurationRefused, GatewayStarted, GatewayStopping
from gateway.audit.sinks import SyslogTls, syslog_sink
from gateway.config import Config, load, restart_needed, warnings
from gateway.config.keys import mask_keys, vault_key
from gateway.control.api import HTTP_ALPN, control_site
from gateway.control.counted import CountedSessions
from gateway.control.listener import MutualTls
from gateway.control.sites import metrics_site
from gateway.control.watching import Watching
from gateway.control.webhooks import Webhooks, receivers
from gateway.errors import GatewayError, RecordingFailed, SecretUnavailable, SessionEnded, StoreFailed
from gateway.identity import Identity, PasswordThreads
from gateway.masking import Keyring
from gateway.model import Address
from gateway.net import (
    POSTGRESQL_ALPN,
    ServerContext,
    ServiceManager,
    StreamServerEndpoint,
    server_context,
)
from gateway.policy import load_snapshot
from gateway.protocols import ssh
from gateway.protocols.postgres import CancelKeys, Catalogues, Dialler, PostgresFactory, Readings, Service
from gateway.recording import Packer, Recordings
from gateway.recording.keys import load_or_create, parse_private
from gateway.secrets import kept_secret
from gateway.session import Approvals, Gate, Rules
from gateway.store import ApprovalStore, TokenVault, make_key

log = structlog.get_logger()

SYNC_EVERY: Final = 0.1
"""Seconds between two fdatasync of the audit log: recordings.md's group flush."""

CONTROL_MODE: Final = 0o660
"""Who may reach the control socket: the gateway's user and group. Who may do what there is decided by uid."""

RETRY_EVERY: Final = 2.0
"""Seconds between two looks whether an audit log that could not be written can be, by now."""

SWEEP_EVERY: Final = 1.0
"""Seconds between two looks for sessions whose right or idle time is over: within a second they end."""

CHECKPOINT_EVERY: Final = 1.0
"""Seconds until what the stores have written is on the disk: what a power cut could take. A token whose value is
seen again is kept again; a use of a grant could be had again."""

STOP_TIMEOUT: Final = 10.0
"""Seconds for sessions to say goodbye and recordings to reach the disk, below systemd's 90."""


def load_rules(config: Config, number: int, identity: Identity) -> Rules:
    """What sessions are decided by. Raises ConfigError."""
    snapshot = load_snapshot(config.policy_files, config.targets, number, config.masking.keys)
    digest = hashlib.sha256()
    for path in config.policy_files:
        digest.update(path.read_bytes())
    return Rules(
        snapshot=snapshot,
        targets={target.name: target for target in config.targets},
        digest=digest.hexdigest(),
        sessions=config.limits.sessions,
        per_principal=config.limits.per_principal,
        break_glass=config.roles.get("break_glass", ()),
        durability=config.recording.durability,
        known=identity.known,
    )


class Gateway:
    """One gateway: `start`, perhaps `reload`, `stop`.

    clock  unix seconds; random  gives that many random bytes
    """

    def __init__(self, path: Path, reactor: Any, *, clock: Any = time.time, random: Any = os.urandom) -> None:
        """Builds everything, listens on nothing yet. Raises ConfigError, RecordingFailed or GatewayError."""
        self.path = path
        self.reactor = reactor
        self.clock = clock
        self.random = random
        self.started_at = clock()
        self.manager = ServiceManager()
        self.config = config = load(path)
        self.warnings = warnings(config)
        tls = _server_tls(config, self.clock())
        self._passwords = PasswordThreads(reactor)
        identity = Identity(config.identity, self._passwords)
        rules = load_rules(config, 1, identity)
        self._pool = ThreadPool(minthreads=1, maxthreads=4, name="disk")
        self._packer = Packer()
        config.node.data.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.audit = AuditLog(config.audit.directory, node=config.node.name, clock=clock, version=__version__)
        try:
            self._build(config, rules, identity, tls)
        except BaseException:
            self.audit.close()
            raise

    def _build(self, config: Config, rules: Rules, identity: Identity, tls: ServerContext) -> None:
        reactor = self.reactor
        in_thread = partial(deferToThreadPool, reactor, self._pool)
        signing = config.recording.signing_key
        self.recordings = Recordings(
            config.recording.directory,
            key=parse_private(signing.resolve())
            if signing is not None
            else load_or_create(config.node.data / "keys" / "recording.key"),
            node=config.node.name,
            clock=self.clock,
            reactor=reactor,
            in_thread=in_thread,
            low_water=config.recording.low_water,
            reserve=config.recording.reserve,
            sealer=config.recording.sealer,
            packer=self._packer,
        )
        self.warnings += self.recordings.warnings
        self.live = CountedSessions()
        self.approvals = Approvals(
            ApprovalStore(config.node.data / "store" / "approvals.db"),
            self.audit,
            self.live,
            clock=self.clock,
            random=self.random,
        )
        self.approvals.keep_only(rules.snapshot.approval_digests)
        self.gate = Gate(
            rules,
            live=self.live,
            recordings=self.recordings,
            audit=self.audit,
            approvals=self.approvals,
            clock=self.clock,
        )
        self.dialler = Dialler(reactor, self.clock)
        self.catalogues = Catalogues(self.dialler, self.audit, self.clock)
        self.readings = Readings(reactor, self.catalogues, statement=config.limits.statement)
        self.vault: TokenVault | None = None
        self._take(self._keyring(config, rules))
        self.service = Service(
            reactor=reactor,
            dialler=self.dialler,
            gate=self.gate,
            identity=identity,
            tls=tls,
            audit=self.audit,
            readings=self.readings,
            cancels=CancelKeys(self.random),
            clock=self.clock,
            random=self.random,
            has_passwords=config.identity.passwords is not None,
            password=config.listeners.postgres.password if config.listeners.postgres is not None else "cleartext",
            login=config.limits.login,
            pending=config.limits.pending,
            results=config.recording.results,
        )
        self.ssh = ssh.Service(
            reactor=reactor,
            dialler=ssh.Dialler(reactor, self.clock),
            gate=self.gate,
            identity=identity,
            audit=self.audit,
            clock=self.clock,
            random=self.random,
            pending=config.limits.pending,
            keyring=lambda: self.readings.keyring,
            keep_tokens=lambda: self.readings.keep_tokens(),  # noqa: PLW0108  # it is set anew by a reload
        )
        self.ssh.options = self._ssh_options(config)
        self._control = control_site(self, reactor, own=os.geteuid())
        self._control_tls: MutualTls | None = None
        if config.listeners.control.address is not None:
            self._control_tls = MutualTls(self._control, _control_tls(config, self.clock()), reactor)
        self.sinks = self._make_sinks(config)
        self.webhooks = Webhooks(
            receivers(config.approvals, str(self.path), reactor=reactor, now=self.clock()),
            node=config.node.name,
            url=config.approvals.url,
            audit=self.audit,
            reactor=reactor,
            clock=self.clock,
        )
        self.approvals.watch(self.webhooks)
        # Not those of the disk: whoever watches must not hold up a sync.
        self._watchers = ThreadPool(minthreads=0, maxthreads=2, name="watching")
        self.watching = Watching(
            reactor=reactor, clock=self.clock, in_thread=partial(deferToThreadPool, reactor, self._watchers)
        )
        self._ports: list[IListeningPort] = []
        self._operator_ports: list[IListeningPort] = []
        self.certificate_ends = tls.not_after
        self._sync = LoopingCall(self._sync_audit)
        self._sync.clock = reactor
        self._retry = LoopingCall(self._retry_audit)
        self._retry.clock = reactor
        self._sweep = LoopingCall(self._sweep_sessions)
        self._sweep.clock = reactor
        self._checkpoint = LoopingCall(self._checkpoint_stores)
        self._checkpoint.clock = reactor
        self._alive = LoopingCall(self.manager.alive)
        self._alive.clock = reactor
        self.reloads = self.refused_reloads = 0
        self.stopping = False
        self.opened: tuple[str, ...] = ()
        """What listens, once all of it does."""

    @property
    def services(self) -> tuple[Service, ssh.Service]:
        """What counts logins, protocol by protocol."""
        return self.service, self.ssh

    @property
    def identity(self) -> Identity:
        return self.service.identity

    def _keyring(self, config: Config, rules: Rules) -> Keyring:
        """The keys that ``config`` names, and the vault: opened when policy first uses it, or when there is one whose
        tokens somebody may ask for. Raises ConfigError, StoreFailed or SecretUnavailable."""
        keys = mask_keys(config.masking, str(self.path))
        data = self.config.node.data  # where it lies, and its key, change with a restart only
        path = data / "store" / "tokens.db"
        used = any(method.name == "token" for method in rules.snapshot.methods)
        if self.vault is None and (used or path.exists()):
            own = data / "keys" / "vault.key"
            try:
                secret = vault_key(self.config.masking, str(self.path)) or kept_secret(own, make_key)
            except SecretUnavailable as error:
                raise SecretUnavailable(f"vault key {own}: {error.message}", hint=error.hint) from error
            self.vault = TokenVault(path, secret, clock=self.clock, random=self.random)
        return Keyring(keys, self.vault)

    def _ssh_options(self, config: Config) -> ssh.Options | None:
        """How SSH is served; None: it isn't. Raises ConfigError."""
        if config.listeners.ssh is None:
            return None
        return ssh.server_options(self.ssh, config.listeners.ssh, str(self.path), login=config.limits.login)

    def _take(self, keyring: Keyring) -> None:
        self.readings.keyring = keyring
        if self.vault is not None:
            self.readings.keep_tokens = self.vault.settle

    def _make_sinks(self, config: Config) -> list[SyslogTls]:
        return [syslog_sink(sink, self.audit, reactor=self.reactor, now=self.clock) for sink in config.audit.sinks]

    # --- start ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Raises GatewayError that names what is wrong, with nothing left open."""
        raise_descriptor_limit()
        self._pool.start()
        self._watchers.start()
        listeners = self.config.listeners
        opened: list[str] = []
        try:
            if listeners.postgres is not None:
                endpoint = StreamServerEndpoint(self.reactor, listeners.postgres.address)
                self._ports.append(await endpoint.listen(PostgresFactory(self.service)))
                opened.append(f"postgres {listeners.postgres.address}")
            if listeners.ssh is not None:
                endpoint = StreamServerEndpoint(self.reactor, listeners.ssh.address)
                self._ports.append(await endpoint.serve(self.ssh.connection))
                opened.append(f"ssh {listeners.ssh.address}")
            if listeners.metrics is not None:
                endpoint = StreamServerEndpoint(self.reactor, listeners.metrics.address)
                self._operator_ports.append(await endpoint.listen(metrics_site(self, self.reactor)))
                opened.append(f"metrics {listeners.metrics.address}")
            socket = listeners.control.socket
            endpoint = StreamServerEndpoint(self.reactor, Address(str(socket), 0), mode=CONTROL_MODE)
            self._operator_ports.append(await endpoint.listen(self._control))
            opened.append(f"control {socket}")
            if self._control_tls is not None and listeners.control.address is not None:
                endpoint = StreamServerEndpoint(self.reactor, listeners.control.address)
                self._operator_ports.append(await endpoint.listen(self._control_tls))
                opened.append(f"control {listeners.control.address}")
        except BaseException:
            await self.stop("could not start")
            raise
        self.opened = tuple(opened)
        for sink in self.sinks:
            sink.start()
        self.webhooks.start(self.approvals.requests())
        self._sync.start(SYNC_EVERY, now=False)
        self._sweep.start(SWEEP_EVERY, now=False)
        self._checkpoint.start(CHECKPOINT_EVERY, now=False)
        self.audit.append(GatewayStarted(__version__, self.opened, tuple(self.warnings)))
        self._say_loaded("start")
        self.audit.flush()
        for warning in self.warnings:
            log.warning("unsafe", problem=warning)
        if self.manager.watchdog is not None:
            self._alive.start(self.manager.watchdog)
        self.manager.ready(self._serving())
        log.info("ready", version=__version__, listeners=opened, targets=len(self.config.targets))

    def _sweep_sessions(self) -> None:
        now = self.clock()
        self.live.sweep(now)
        try:
            self.approvals.sweep(now)
        except Exception as error:
            # Nothing follows from a deadline but refusals, and `Approvals` looks at the clock itself; an error that
            # nobody thought of may not end the loop that ends sessions.
            log.error("approvals not swept", problem=str(error), exc_info=not isinstance(error, GatewayError))

    def _sync_audit(self) -> Deferred[None] | None:
        """Not from the timer alone: a sync that still runs is waited for, never overtaken.

        Here, too, a log is noticed that failed under one session's hands, for the sake of all the others.
        """
        if self.audit.failed is not None:
            self._evidence_failed(self.audit.failed)
            return None
        done: Deferred[None] = deferToThreadPool(self.reactor, self._pool, self.audit.sync)
        done.addErrback(lambda failure: self._evidence_failed(failure.getErrorMessage()))
        return done

    def _checkpoint_stores(self) -> Deferred[None]:
        """A store that can't reach the disk is told, not fatal: what it can't write at all ends sessions by itself."""

        def checkpoint() -> None:
            self.approvals.checkpoint()
            if self.vault is not None:
                self.vault.checkpoint()

        done: Deferred[None] = deferToThreadPool(self.reactor, self._pool, checkpoint)
        return done.addErrback(lambda failure: log.error("store not synced", problem=failure.getErrorMessage()))

    def _evidence_failed(self, problem: str) -> None:
        """The audit log is gone, for now or until a restart: nothing may happen unseen, so every session ends."""
        self._sync.stop()
        log.critical(
            "audit log failed", problem=problem, until="a restart" if self.audit.lasting else "it can be written"
        )
        self.live.end_all(SessionEnded("the gateway can't keep its audit log"))
        if not self.audit.lasting:
            self._retry.start(RETRY_EVERY, now=False)

    def _retry_audit(self) -> None:
        try:
            self.audit.retry()
        except RecordingFailed:
            return
        self._retry.stop()
        self._sync.start(SYNC_EVERY, now=False)
        log.warning("audit log goes on", sequence=self.audit.sequence)

    # --- reload -----------------------------------------------------------------------------------------------

    def reload(self, by: str = "SIGHUP") -> tuple[str, ...]:
        """Take up the files as they are now, all or nothing. Raises ConfigError; then everything stays as it was.

        Gives the keys that changed and need a restart.
        """
        self.manager.reloading()
        try:
            config = load(self.path)
            tls = _server_tls(config, self.clock())
            control_tls = None if self._control_tls is None else _control_tls(config, self.clock())
            identity = self.service.identity.reloaded(config.identity)
            rules = load_rules(config, self.gate.rules.snapshot.number + 1, identity)
            keyring = self._keyring(config, rules)
            ssh_options = self._ssh_options(config)
            notified = receivers(config.approvals, str(self.path), reactor=self.reactor, now=self.clock())
        except GatewayError as error:
            self.refused_reloads += 1
            self.audit.append(ConfigurationRefused(by, error.message))
            self.audit.flush()
            log.error("reload refused", problem=error.message)
            self.manager.ready(f"{self._serving()}; reload refused: {error.message}")
            raise
        kept = restart_needed(self.config, config)
        for key in kept:
            log.warning("needs a restart", key=key)
        if config.audit.sinks != self.config.audit.sinks:
            # Stopping keeps each cursor, before the new sinks look for theirs.
            for sink in self.sinks:
                ensureDeferred(sink.stop())
            self.sinks = self._make_sinks(config)
            for sink in self.sinks:
                sink.start()
        self.config = config
        self.webhooks.reload(notified, config.approvals.url)
        self._take(keyring)
        self.gate.rules = rules
        self.approvals.keep_only(rules.snapshot.approval_digests)
        self.service.identity = identity
        self.service.tls = tls
        self.ssh.identity, self.ssh.options = identity, ssh_options
        self.ssh.pending = config.limits.pending
        if self._control_tls is not None and control_tls is not None:
            self._control_tls.renew(control_tls)
        self.certificate_ends = tls.not_after
        self.dialler.forget()
        self.service.has_passwords = config.identity.passwords is not None
        if config.listeners.postgres is not None:
            self.service.password = config.listeners.postgres.password
        self.service.login, self.service.pending = config.limits.login, config.limits.pending
        self.service.results = config.recording.results
        self.recordings.low_water, self.recordings.reserve = config.recording.low_water, config.recording.reserve
        self.readings.statement = config.limits.statement
        self.warnings = [*warnings(config), *self.recordings.warnings]
        self.reloads += 1
        self.watching.look_again()
        self._say_loaded(by)
        self.audit.flush()
        self.manager.ready(self._serving())
        log.info("reloaded", by=by, snapshot=rules.snapshot.number, targets=len(config.targets))
        return kept

    def _serving(self) -> str:
        """For `systemctl status`."""
        return f"serving {len(self.config.targets)} targets by policy {self.gate.rules.snapshot.number}"

    def _say_loaded(self, by: str) -> None:
        rules = self.gate.rules
        files = tuple(str(path) for path in self.config.policy_files)
        self.audit.append(ConfigurationLoaded(by, rules.snapshot.number, len(self.config.targets), files, rules.digest))

    # --- stop -------------------------------------------------------------------------------------------------

    async def stop(self, reason: str) -> None:
        """End every session with a clear message, then make the evidence safe. Never raises."""
        if self.stopping:
            return
        self.stopping = True
        self.gate.accepting = False
        self.manager.stopping(reason)
        log.info("stopping", reason=reason, sessions=len(self.live))
        try:
            if self.audit.failed is None:
                self.audit.append(GatewayStopping(__version__, reason, len(self.live)))
                self.audit.flush()
        except RecordingFailed as error:
            log.error("audit log failed", problem=error.message)
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        self.live.end_all(SessionEnded("the gateway is being stopped", hint="Connect again in a moment."))
        for call in (self._sync, self._retry, self._sweep, self._checkpoint, self._alive):
            if call.running:
                call.stop()
        await self._in_time(self.dialler.settled(), "cancel requests")
        if self._pool.started:
            await self._in_time(self.recordings.settled(), "recordings")
        await self.webhooks.stop()
        self.watching.stop()
        for sink in self.sinks:
            await sink.stop()
        for port in self._operator_ports:
            await maybeDeferred(port.stopListening)
        self.readings.long.stop()
        self._passwords.stop()
        if self._watchers.started:
            self._watchers.stop()
        if self._pool.started:
            self._pool.stop()
        self._packer.close()
        for store in (self.approvals, self.vault):
            try:
                if store is not None:
                    store.close()
            except StoreFailed as error:
                log.error("store failed", problem=error.message)
        try:
            self.audit.close()
        except RecordingFailed as error:
            log.error("audit log failed", problem=error.message)
        log.info("stopped")

    async def _in_time(self, done: Deferred[None], what: str) -> None:
        """Wait for ``done`` as long as a stop may take."""

        def late(_cancelled: object, seconds: float) -> None:
            log.error("not settled", what=what, problem=f"not within {seconds:g} s")

        try:
            await done.addTimeout(STOP_TIMEOUT, self.reactor, late)
        except GatewayError as error:
            log.error("not settled", what=what, problem=str(error))


def _server_tls(config: Config, now: float) -> ServerContext:
    tls = config.tls
    return server_context(
        tls.certificate, tls.key, now=now, client_ca=tls.client_ca, crl=tls.revocation.crl, alpn=(POSTGRESQL_ALPN,)
    )


def _control_tls(config: Config, now: float) -> ServerContext:
    """As the others', but for callers with a certificate only."""
    tls = config.tls
    return server_context(
        tls.certificate,
        tls.key,
        now=now,
        client_ca=tls.client_ca,
        client_required=True,
        crl=tls.revocation.crl,
        alpn=(HTTP_ALPN,),
    )


def raise_descriptor_limit() -> None:
    """As many descriptors as we may have: each session takes three."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(path: Path, reactor: Any) -> None:
    """`ostiary serve`: run until SIGTERM or SIGINT. Raises what kept it from starting, for the caller to tell."""
    gateway = Gateway(path, reactor)
    failures: list[Failure] = []

    def failed(failure: Failure) -> None:
        failures.append(failure)
        reactor.stop()

    def stop(signum: int, _frame: object) -> None:
        name = signal.Signals(signum).name
        reactor.callFromThread(lambda: ensureDeferred(gateway.stop(name)).addBoth(lambda _: reactor.stop()))

    def reload(_signum: int, _frame: object) -> None:
        def now() -> None:
            try:
                gateway.reload()
            except GatewayError:
                return  # logged and audited; what was in force stays

        reactor.callFromThread(now)

    def begin() -> None:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)
        ensureDeferred(gateway.start()).addErrback(failed)

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    for failure in failures:
        failure.raiseException()
