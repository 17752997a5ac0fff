"""Login towards the target: its host key is checked, then the gateway's own credential goes in.

The caller never sees the credential, and nothing of the caller's (agent, environment) is used for it. Every surprise is
`TargetUnavailable`: a target that can't prove itself is not reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncssh
import structlog
from asyncssh.public_key import SSHCertificate, SSHKey

from gateway.errors import SecretUnavailable, TargetUnavailable
from gateway.model import Credential, Target
from gateway.net import StreamClientEndpoint
from gateway.net.reactor import require_loop
from gateway.protocols.ssh.algorithms import CIPHERS, KEY_EXCHANGES, MACS, SIGNATURES, host_key_algorithms
from gateway.protocols.ssh.tunnels import TargetTunnels
from gateway.public_keys import PublicKey, of_blob
from gateway.secrets import SecretReference

log = structlog.get_logger()

CERTIFIED: Final = 300
"""Seconds that a certificate of ours is good for: it is used at once. The session that it opens may last longer."""

CLOCKS_APART: Final = 60
"""Seconds that the target's clock may be behind ours."""

KEEPALIVE: Final = 60.0
"""Seconds of silence until the target is asked whether it is there; three times without an answer, and it is not."""


class _Host(asyncssh.SSHClient):
    """Whether the host is who it should be. ``shown`` is what it shows.

    ``lost`` is called when the connection ends after it was made.
    """

    def __init__(self, target: Target) -> None:
        self._keys = frozenset(key.blob for key in target.host_keys)
        self._cas = frozenset(key.blob for key in target.host_cas)
        self.shown: PublicKey | None = None
        self.lost: Callable[[Exception | None], None] | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
        self.shown = of_blob(key.public_data)
        return key.public_data in self._keys

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
        """asyncssh looks at the rest of the certificate: a host's, for this name, at this time."""
        self.shown = of_blob(key.public_data)
        return key.public_data in self._cas

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost is not None:
            self.lost(exc)


class Upstream:
    """A connection to the target, logged in."""

    def __init__(self, connection: TargetTunnels, host: _Host) -> None:
        self.connection = connection
        self._host = host

    def when_lost(self, act: Callable[[Exception | None], None]) -> None:
        self._host.lost = act

    def close(self) -> None:
        self._host.lost = None
        self.connection.disconnect(asyncssh.DISC_BY_APPLICATION, "the session is over")


class Dialler:
    """Reaches targets. ``clock``: unix seconds."""

    def __init__(self, reactor: Any, clock: Callable[[], float]) -> None:
        self._reactor = reactor
        self._loop = require_loop(reactor)
        self._clock = clock

    async def dial(self, target: Target, credential: Credential, timeout: float, *, on_behalf: str) -> Upstream:
        """Connect, check the host key and log in, within ``timeout`` seconds. Raises TargetUnavailable.

        on_behalf  who that is for, and in which session: a certificate's key id, which the target logs
        """
        if not target.host_keys and not target.host_cas:
            raise TargetUnavailable(
                f"{target.name} has no host_keys, so nobody could tell who answers there",
                hint=f"An operator runs: ostiary targets trust {target.name}",
            )
        host = _Host(target)
        options = self._options(target, credential, host, on_behalf=on_behalf)
        try:
            connection = await self._connect(target, options, host, timeout, wait="auth")
        except TargetUnavailable as error:
            if isinstance(error.__cause__, asyncssh.HostKeyNotVerifiable) and (shown := host.shown) is not None:
                log.error("unknown host key", target=target.name, fingerprint=shown.fingerprint, line=shown.line)
            raise
        return Upstream(connection, host)

    async def host_key(self, target: Target, timeout: float) -> PublicKey:
        """The key that the host shows now; nothing is sent to it. Raises TargetUnavailable."""
        host = _Host(target)
        options = self._options(target, Credential("nobody"), host, ask_for_all=True)
        try:
            connection = await self._connect(target, options, host, timeout, wait="kex")
        except TargetUnavailable:
            if host.shown is not None:
                return host.shown
            raise
        connection.abort()
        assert host.shown is not None, "a key exchange shows a key"
        return host.shown

    async def _connect(
        self, target: Target, options: asyncssh.SSHClientConnectionOptions, host: _Host, timeout: float, *, wait: str
    ) -> TargetTunnels:
        options.waiter = self._loop.create_future()
        connection = TargetTunnels(self._loop, options, wait=wait)
        try:
            async with asyncio.timeout(timeout):
                await StreamClientEndpoint(self._reactor, target.address, timeout=timeout).open(connection)
                await options.waiter
        except TimeoutError:
            connection.abort()
            raise TargetUnavailable(f"{target.address} did not answer within {timeout:g} s") from None
        except asyncssh.HostKeyNotVerifiable as error:
            raise _unknown(target, host.shown, error) from error
        except asyncssh.PermissionDenied as error:
            raise TargetUnavailable(
                f"the target refused the gateway's login as {options.username}",
                hint="An operator checks the credential's key in the target's authorized_keys.",
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise TargetUnavailable(f"the target closed the connection during login: {error}") from error
        except BaseException:
            connection.abort()
            raise
        return connection

    def _options(
        self,
        target: Target,
        credential: Credential,
        host: _Host,
        *,
        on_behalf: str = "",
        ask_for_all: bool = False,
    ) -> asyncssh.SSHClientConnectionOptions:
        try:
            keys: list[SSHKey | tuple[SSHKey, SSHCertificate]] = []
            if credential.signed_by is not None:
                keys.append(certified_key(private_key(credential.signed_by), credential.user, on_behalf, self._clock()))
            if credential.key is not None:
                keys.append(private_key(credential.key))
            password = credential.password.resolve().reveal().decode() if credential.password is not None else None
        except (SecretUnavailable, UnicodeDecodeError) as error:
            log.error("credential of a target can't be read", target=target.name, problem=str(error))
            why = "the target's credential can't be read"
            raise TargetUnavailable(why, hint="The gateway's log has the reason.") from error
        known = ((), ()) if ask_for_all else (target.host_keys, target.host_cas)
        return asyncssh.SSHClientConnectionOptions(
            client_factory=lambda: host,
            client_version="Ostiary",
            config=None,
            host=target.address.host,
            port=target.address.port,
            username=credential.user,
            # Known hosts without entries: then asyncssh asks `_Host`, and nobody else.
            known_hosts=((), (), ()),
            server_host_key_algs=list(host_key_algorithms(*known)),
            client_keys=keys or None,
            password=password,
            agent_path=None,
            gss_host=None,
            x509_trusted_certs=None,
            preferred_auth=["publickey", "password", "keyboard-interactive"],
            kex_algs=list(KEY_EXCHANGES),
            encryption_algs=list(CIPHERS),
            mac_algs=list(MACS),
            compression_algs=["none"],
            signature_algs=list(SIGNATURES),
            login_timeout=0,
            keepalive_interval=KEEPALIVE,
        )


def certified_key(ca: SSHKey, user: str, on_behalf: str, now: float) -> tuple[SSHKey, SSHCertificate]:
    """A new key, and a certificate by which its holder may log in as ``user`` for the next minutes. It limits nothing
    else: what is allowed is the gateway's to say."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    certificate = ca.generate_user_certificate(
        key,
        on_behalf,
        principals=[user],
        valid_after=int(now) - CLOCKS_APART,
        valid_before=int(now) + CERTIFIED,
    )
    return key, certificate


def private_key(reference: SecretReference) -> SSHKey:
    """Raises SecretUnavailable, also for what is no private key, or has a passphrase."""
    try:
        return asyncssh.import_private_key(reference.resolve().reveal())
    except asyncssh.KeyImportError as error:
        raise SecretUnavailable(
            f"{reference}: is no private key that can be read: {error}", hint='make one: ssh-keygen -t ed25519 -N ""'
        ) from None


def _unknown(target: Target, shown: PublicKey | None, error: Exception) -> TargetUnavailable:
    """What is said of a key that was shown and is not known, or of none that could be checked."""
    if shown is None:
        return TargetUnavailable(f"the target's host key can't be checked: {error}")
    return TargetUnavailable(
        f"the host key that {target.name} shows is not the one that is configured ({shown.kind} {shown.fingerprint})",
        hint=f"If it was changed on purpose, an operator runs: ostiary targets trust {target.name}",
    )
