"""The caller's side: from the first byte to the end of its login, then channels to `Traffic`.

The order of a login (RFC 4252): key exchange, who it is (key, certificate or password), proven by its signature or its
password; then, before it hears of success, the gate admits, the recording begins and the target is dialled. So all that
can refuse a session is said where every client shows it: in the reason of a disconnect. While approvers are waited for
it is told by a banner, which the protocol allows up to that point. One deadline covers all but that wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import asyncssh
import structlog
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from gateway.audit import AuditLog
from gateway.audit.events import AuthenticationFailed, AuthenticationSucceeded, SessionRefused
from gateway.config.schema import SshListener
from gateway.errors import (
    ConfigError,
    GatewayError,
    LoginFailed,
    Problem,
    SecretUnavailable,
    SessionEnded,
    TooManySessions,
    Unapproved,
)
from gateway.identity import UNRESTRICTED, Identity, Restrictions, SshIdentity
from gateway.masking.methods import Keyring
from gateway.model import Factor, Principal, uuid7
from gateway.net.reactor import require_loop
from gateway.net.transport import twisted_address
from gateway.protocols.ssh import errors
from gateway.protocols.ssh.algorithms import CIPHERS, HOST_KEYS, KEY_EXCHANGES, MACS, SIGNATURES
from gateway.protocols.ssh.channel import Channel
from gateway.protocols.ssh.jump import Hosts
from gateway.protocols.ssh.lobby import Lobby, Menu, Way
from gateway.protocols.ssh.masks import OutputMasks
from gateway.protocols.ssh.startup import Requested, requested
from gateway.protocols.ssh.traffic import Traffic
from gateway.protocols.ssh.transport import CallerChannel, CallerConnection
from gateway.protocols.ssh.tunnels import Asked, CallerTunnels, Opening, Place
from gateway.protocols.ssh.turns import Turns
from gateway.protocols.ssh.upstream import Dialler, Upstream, private_key
from gateway.secrets import Secret, SecretReference
from gateway.session import Admitted, ApprovalNeeded, Corridor, Gate, open_corridor
from gateway.session.asking import refused, words
from gateway.store.requests import Request

log = structlog.get_logger()


class Options(asyncssh.SSHServerConnectionOptions):
    """How connections are served; made by `server_options`.

    hosts  whom the gateway answers for
    """

    hosts: Hosts


DIAL_TIMEOUT: Final = 10.0
"""Seconds to reach the target and log in there."""

VERSION: Final = "OpenSSH_9.9p2 Ostiary"
"""How we announce ourselves (RFC 4253 section 4.2): software, then a comment. From its beginning (WinSCP), or from what
stands anywhere in it (libssh, asyncssh), clients tell in which of two orders a server takes SYMLINK's arguments, and
OpenSSH's whether it knows `eow@openssh.com`. What they send goes to a target, and that is nearly always OpenSSH.
docs/decisions/0063 has more, and why it is not 10."""

KEEPALIVE: Final = 60.0
"""Seconds of silence until a caller is asked whether it is there; three times without an answer, and it is not."""


@dataclass(slots=True)
class Service:
    """What all connections of the listener share. ``identity`` and ``options`` are replaced by a reload.

    pending   most connections that have not logged in
    keyring, keep_tokens  see `gateway.protocols.ssh.masks.OutputMasks`
    turns     for key exchanges, which cost milliseconds each
    waiting   how many have not logged in now
    lobbies   how many of each principal have named no target yet
    """

    reactor: Any
    dialler: Dialler
    gate: Gate
    identity: Identity
    audit: AuditLog
    clock: Callable[[], float]
    random: Callable[[int], bytes]
    pending: int
    keyring: Callable[[], Keyring]
    keep_tokens: Callable[[], None]
    options: Options | None = None
    turns: Turns = field(default_factory=Turns)
    waiting: int = 0
    logins: int = 0
    refused: int = 0
    lobbies: Counter[str] = field(default_factory=Counter)

    def connection(self) -> asyncio.Protocol:
        """A protocol for a new connection, unless too many are still logging in."""
        if self.options is None or self.waiting >= self.pending:
            return _TurnedAway()
        return CallerTunnels(require_loop(self.reactor), self.options)


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def load_host_keys(listener: SshListener, file: str) -> list[asyncssh.SSHKey]:
    """The gateway's own. Raises ConfigError."""
    keys: list[asyncssh.SSHKey] = []
    kinds: set[bytes] = set()
    for index, reference in enumerate(listener.host_keys):
        where = ("listeners", "ssh", "host_keys", index)
        key = _configured_key(reference, file, where)
        if key.algorithm in kinds:
            raise ConfigError(Problem(file, where, "is the second key of its type", "remove one of them"))
        kinds.add(key.algorithm)
        keys.append(key)
    return keys


def load_host_ca(listener: SshListener, file: str) -> asyncssh.SSHKey | None:
    """What signs host certificates for targets. Raises ConfigError."""
    if listener.host_ca is None:
        return None
    return _configured_key(listener.host_ca, file, ("listeners", "ssh", "host_ca"))


def _configured_key(reference: SecretReference, file: str, where: tuple[str | int, ...]) -> asyncssh.SSHKey:
    try:
        return private_key(reference)
    except SecretUnavailable as error:
        mend = error.hint or "let it lead to a private key"
        raise ConfigError(Problem(file, where, error.message, mend)) from None


def server_options(service: Service, listener: SshListener, file: str, *, login: float) -> Options:
    """How connections of ``listener`` are served; ``login``: seconds until one has logged in.

    Raises ConfigError when its host keys can't be read.
    """
    keys = load_host_keys(listener, file)
    options = Options(
        server_factory=partial(Caller, service),
        server_version=VERSION,
        config=None,
        server_host_keys=keys,
        gss_host=None,
        x509_trusted_certs=None,
        kex_algs=list(KEY_EXCHANGES),
        encryption_algs=list(CIPHERS),
        mac_algs=list(MACS),
        compression_algs=["none"],
        signature_algs=list(SIGNATURES),
        host_based_auth=False,
        login_timeout=login,
        keepalive_interval=KEEPALIVE,
        agent_forwarding=False,
        x11_forwarding=False,
        line_editor=False,
        encoding=None,
    )
    _keep_strong(options)
    options.hosts = Hosts(keys, load_host_ca(listener, file), service.clock)
    return options


def _keep_strong(options: Options) -> None:
    for name in options.server_host_keys.keys() - HOST_KEYS:
        del options.server_host_keys[name]


class Caller(asyncssh.SSHServer):
    """One caller's connection, up to its end. ``target``: the one that was jumped to, see `jump`."""

    def __init__(self, service: Service, target: str = "") -> None:
        self._service = service
        self._jumped_to = target
        self._lobby: Lobby | None = None
        self._connection: CallerConnection | None = None
        self._address = ""
        self._name = ""
        self._session = ""
        self._logging_in = False
        self._offered: SshIdentity | None = None
        self._principal: Principal | None = None
        self._restrictions: Restrictions = UNRESTRICTED
        self._unproven: dict[str, None] = {}
        self._traffic: Traffic | None = None
        self._entering = False
        self._expiry: Any = None
        self._ending: GatewayError | None = None

    # --- asyncssh's side --------------------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, CallerConnection)
        self._connection = conn
        self._service.waiting += 1
        self._logging_in = True
        sock, name = conn.get_extra_info("socket"), conn.get_extra_info("peername")
        self._address = getattr(twisted_address(sock.family, name), "host", "unix")
        service = self._service
        self._session = uuid7(service.clock(), service.random(10))

    def connection_lost(self, exc: Exception | None) -> None:
        self._login_over()
        if self._lobby is not None:
            self._lobby.close()
            self._leaves_lobby()
        if self._traffic is not None:
            self._traffic.caller_lost(exc)
        elif self._principal is None:
            self._service.refused += 1
            if self._unproven:
                self._audit_failure(None, "; ".join(self._unproven))

    def begin_auth(self, username: str) -> bool:
        self._name = username
        return True

    def _login_over(self) -> None:
        if self._logging_in:
            self._logging_in = False
            self._service.waiting -= 1

    # --- who it is --------------------------------------------------------------------------------------------

    async def turn(self) -> None:
        await self._service.turns.mine()

    @property
    def is_proven(self) -> bool:
        return self._principal is not None

    def public_key_auth_supported(self) -> bool:
        return self._service.identity.has_ssh_keys

    def password_auth_supported(self) -> bool:
        return self._service.identity.has_passwords

    def kbdint_auth_supported(self) -> bool:
        return self._service.identity.has_passwords

    def offered(self, blob: bytes) -> bool:
        """Whether that key or certificate stands for somebody. It proves nothing."""
        try:
            service = self._service
            self._offered = service.identity.offered_ssh_key(blob, self._address, service.clock())
        except LoginFailed as error:
            self._offered = None
            self._unproven[error.reason] = None
            return False
        return True

    def signed(self, right: bool) -> bool:
        """Whether a signature, right or not, with the key that was just looked at, logs in."""
        offered = self._offered
        assert offered is not None, "offered() comes first"
        service = self._service
        try:
            principal = service.identity.by_ssh_key(offered, self._address, service.clock(), proven=right)
        except LoginFailed as error:
            (factor,) = offered.principal.factors
            self._audit_failure(factor, error.reason)
            return False
        self._principal, self._restrictions = principal, offered.restrictions
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        service = self._service
        name = requested(username, self._jumped_to).principal
        secret = Secret(password.encode("utf-8", "replace"))
        proving = ensureDeferred(service.identity.by_password(name, secret, self._address, service.clock))
        try:
            self._principal = await proving.asFuture(asyncio.get_running_loop())
        except LoginFailed as error:
            self._audit_failure("password", error.reason)
            return False
        except GatewayError as error:
            self._unproven[error.message] = None
            return False
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "", "", [("Password: ", False)]

    async def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        return len(responses) == 1 and await self.validate_password(username, responses[0])

    def failed(self) -> None:
        """An attempt was refused. What was proven by it is proven no more."""
        self._principal = None

    def _audit_failure(self, factor: Factor | None, reason: str) -> None:
        name = requested(self._name, self._jumped_to).principal if factor == "password" else self._name
        self._service.audit.append(AuthenticationFailed(self._session, name, self._address, factor, reason))
        self._service.audit.flush()

    # --- in ---------------------------------------------------------------------------------------------------

    async def admit(self) -> None:
        """It is proven who it is: the gate, the recording, the target. Raises GatewayError: it does not come in."""
        service, principal, connection = self._service, self._principal, self._connection
        if principal is None or connection is None:
            raise LoginFailed("nothing was proven", reason="success without proof")
        service.audit.append(AuthenticationSucceeded(self._session, principal, self._address))
        service.audit.flush()
        wanted = requested(self._name, self._jumped_to)
        if not wanted.login and not wanted.target and not self._jumped_to:
            self._wait_in_lobby(principal, connection)
            return
        if not wanted.login:
            raise LoginFailed(
                "the user name says neither login nor target",
                reason="no target named",
                hint="ssh LOGIN@TARGET@GATEWAY selects both.",
            )
        if wanted.claims and wanted.principal != principal.name:
            raise LoginFailed(
                "the user name names somebody else than the one who logged in",
                reason=f"claims to be {wanted.principal}",
                hint="Leave the principal out: LOGIN@TARGET.",
            )
        admitted = await self._admitted(principal, wanted)
        await self._open(connection, admitted)
        self._login_over()
        service.logins += 1

    def turned_away(self, error: BaseException) -> None:
        self._service.refused += 1
        if not isinstance(error, GatewayError):
            log.error("login failed unexpectedly", address=self._address, exc_info=error)
        if self._connection is not None:
            self._connection.disconnect(*errors.disconnect(error))

    def _wait_in_lobby(self, principal: Principal, connection: CallerConnection) -> None:
        """No target is named yet. Raises TooManySessions: those who wait take room, too."""
        service, rules = self._service, self._service.gate.rules
        if service.gate.rules.known(principal) is None:
            raise LoginFailed("your login has been taken back", reason="its login has been taken back")
        mine = service.lobbies[principal.name]
        if mine >= rules.per_principal or service.lobbies.total() >= rules.sessions:
            raise TooManySessions("too many connections without a target", hint="Close one of them.")
        service.lobbies[principal.name] += 1
        self._lobby = Lobby(connection, self, service.reactor.callLater)
        self._login_over()
        service.logins += 1

    def _leaves_lobby(self) -> None:
        if self._lobby is None or self._principal is None:
            return
        self._lobby.close()
        self._lobby = None
        lobbies = self._service.lobbies
        lobbies[self._principal.name] -= 1
        if not lobbies[self._principal.name]:
            del lobbies[self._principal.name]

    def ways(self) -> tuple[Way, ...]:
        if self._principal is None:
            return ()
        return self._service.gate.reachable(self._principal, protocol="ssh", address=self._address)

    async def enter(self, way: Way, tell: Callable[[list[str]], None]) -> Traffic:
        """As if the login had named that."""
        service, principal, connection = self._service, self._principal, self._connection
        if principal is None or connection is None or self._traffic is not None or self._entering:
            raise SessionEnded("a session has begun already")
        login, target = way
        self._entering = True
        # Each try is a session of its own, with a recording of its own.
        self._session = uuid7(service.clock(), service.random(10))
        try:
            admitted = await self._admitted(principal, Requested(principal.name, login, target, False), tell)
            if principal.expires_at is not None and principal.expires_at <= service.clock():
                raise SessionEnded("your login has expired", hint="Log in again.")
            await self._open(connection, admitted)
        finally:
            self._entering = False
        self._leaves_lobby()
        return self._here()

    def jump(self, target: str) -> Callable[[], CallerConnection]:
        service, principal = self._service, self._principal
        options = service.options
        prohibited = partial(asyncssh.ChannelOpenError, asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED)
        if options is None or not options.hosts.can_jump:
            raise prohibited("ProxyJump is not set up here: ssh LOGIN@TARGET@GATEWAY")
        if not self._restrictions.forwards:
            raise prohibited("your certificate does not permit this")
        if principal is None or target not in {name for _, name in self.ways()}:
            if principal is not None:
                refusal = SessionRefused(self._session, principal, target, "", self._address, "may not jump there")
                service.audit.append(refusal)
                service.audit.flush()
            raise prohibited("you may not connect to that target, or there is no such target")
        if service.waiting >= service.pending:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many logins at once")
        within = Options(
            options=options,
            server_factory=partial(Caller, service, target),
            server_host_keys=options.hosts.identity_of(target),
        )
        _keep_strong(within)
        return lambda: CallerTunnels(require_loop(service.reactor), within)

    async def _admitted(
        self, principal: Principal, wanted: Requested, tell: Callable[[list[str]], None] | None = None
    ) -> Admitted:
        """Through the gate; where that takes an approval, the caller waits for it, as long as policy says."""
        while True:
            try:
                return self._service.gate.admit(
                    self._session,
                    principal,
                    protocol="ssh",
                    target=wanted.target,
                    login=wanted.login,
                    address=self._address,
                )
            except ApprovalNeeded as needed:
                await self._approval(needed, tell or self._banner)

    async def _approval(self, needed: ApprovalNeeded, tell: Callable[[list[str]], None]) -> None:
        """Wait until approvers said yes. Raises Unapproved when they don't, LimitReached when nobody can be asked."""
        approvals, connection = self._service.gate.approvals, self._connection
        assert connection is not None, "it is made before it logs in"
        request = approvals.request(needed.subject, needed.terms)
        settled: Deferred[Request] = approvals.wait(request)
        self._login_over()
        connection.stop_login_timer()
        tell(list(words(request)))
        try:
            request = await settled.asFuture(asyncio.get_running_loop())
        except (CancelledError, asyncio.CancelledError):
            approvals.withdraw(request, "the client left")
            raise asyncio.CancelledError from None
        if request.state in ("denied", "expired"):
            denial = refused(request)
            raise Unapproved(denial.message, hint=denial.detail)

    def _banner(self, lines: list[str]) -> None:
        assert self._connection is not None, "it is made before it logs in"
        self._connection.send_auth_banner(errors.stderr(lines, terminal=True).decode())

    async def _open(self, connection: CallerConnection, admitted: Admitted) -> None:
        service = self._service
        corridor = open_corridor(service.gate, admitted, self._end, service.random)
        upstream: Upstream | None = None
        try:
            access = admitted.access
            on_behalf = f"ostiary/{access.principal.name}/{admitted.session}"
            upstream = await service.dialler.dial(access.target, admitted.credential, DIAL_TIMEOUT, on_behalf=on_behalf)
            if self._ending is not None:
                raise self._ending
            self._begin(connection, corridor, upstream)
        except BaseException as error:
            if upstream is not None:
                upstream.close()
            why = str(error) if isinstance(error, GatewayError) else "the client left during login"
            corridor.close(f"not opened: {why}")
            raise

    def _begin(self, connection: CallerConnection, corridor: Corridor, upstream: Upstream) -> None:
        def over() -> None:
            if self._expiry is not None and self._expiry.active():
                self._expiry.cancel()

        masks = OutputMasks(corridor, self._service.keyring, self._service.keep_tokens)
        traffic = Traffic(connection, upstream, corridor, self._restrictions, masks, on_end=over)
        self._traffic = traffic
        if corridor.live.expires is not None:
            left = max(0.0, corridor.live.expires - self._service.clock())
            self._expiry = self._service.reactor.callLater(left, lambda: traffic.end(corridor.expired()))

    def _end(self, error: GatewayError) -> None:
        """The session has to end, perhaps before it has begun."""
        if self._traffic is not None:
            self._traffic.end(error)
        elif self._ending is None:
            self._ending = error
            self.turned_away(error)

    # --- what it asks for -------------------------------------------------------------------------------------

    def session_requested(self) -> tuple[CallerChannel, Channel | Menu]:
        return self._lobby.session_requested() if self._lobby is not None else self._here().open()

    def tunnel(self, asked: Asked) -> Opening:
        return self._lobby.tunnel(asked) if self._lobby is not None else self._here().forwards.local(asked)

    async def listen(self, place: Place) -> bool | bytes:
        return self._traffic is not None and await self._traffic.forwards.listen(place)

    async def unlisten(self, place: Place) -> bool:
        return self._traffic is not None and await self._traffic.forwards.unlisten(place)

    def _here(self) -> Traffic:
        if self._traffic is None:
            raise SessionEnded("there is no session")
        return self._traffic
