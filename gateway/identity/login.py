"""The one place where a credential becomes a `Principal`."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from gateway.config.schema import IdentitySection
from gateway.errors import LoginFailed, TooManySessions
from gateway.identity.attempts import Attempts
from gateway.identity.certificates import principal_of
from gateway.identity.lockout import Lockout
from gateway.identity.passwords import MAX_PASSWORD, PasswordFile, load_passwords
from gateway.identity.scram import ScramExchange
from gateway.identity.ssh_keys import SshCredentials, SshIdentity
from gateway.model import Principal
from gateway.secrets import Secret

THREADS = 2
"""Passwords checked at a time. argon2 takes 64 MiB and a core each; the relay wants the others."""

MAX_WAITING = 200
"""Logins in line for a thread; at 0.1 s each they are through within `limits.login` (30 s). More are turned away."""


RunInThread = Callable[[Callable[[], bool]], Deferred[bool]]
"""Runs a costly check elsewhere; the Deferred fires with what it returned, on the reactor's thread."""


class PasswordThreads:
    """Threads of our own: a queue of logins can't hold up name look-ups, which use the reactor's."""

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=THREADS, name="passwords")

    def __call__(self, check: Callable[[], bool]) -> Deferred[bool]:
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, check)

    def stop(self) -> None:
        """Waits for checks that run, at most a fraction of a second."""
        if self._pool.started:
            self._pool.stop()


class Identity:
    """Proves who callers are. Immutable but for its counts; `reloaded` makes the next one.

    section  `Config.identity`
    run      runs costly checks in a thread, see `PasswordThreads`
    """

    def __init__(
        self,
        section: IdentitySection,
        run: RunInThread,
        *,
        lockout: Lockout | None = None,
        mock_key: bytes | None = None,
    ) -> None:
        """Reads the password file, SSH keys, CAs and revocation lists. Raises ConfigError with every problem."""
        self._section = section
        self._run = run
        self._lockout = Lockout(section.lockout) if lockout is None else lockout
        self._mock_key = secrets.token_bytes(32) if mock_key is None else mock_key
        passwords = PasswordFile(load_passwords(section.passwords), self._mock_key)
        self._attempts = Attempts(passwords, self._lockout)
        self._ssh = SshCredentials(section)
        self._slots = DeferredSemaphore(THREADS)

    def reloaded(self, section: IdentitySection) -> Identity:
        """The same with another configuration and the password file read again. Raises ConfigError.

        Waits go on, unless it is their own settings that changed.
        """
        lockout = self._lockout if section.lockout == self._section.lockout else None
        return Identity(section, self._run, lockout=lockout, mock_key=self._mock_key)

    def known(self, principal: Principal) -> Principal | None:
        """A principal that has logged in before, as it would be now; None when it could not log in any more.

        What a certificate says holds until it ends; an entry of the password file may have other groups by now, and an
        SSH key may have been taken back.
        """
        if "certificate" in principal.factors:
            return principal
        if principal.proof:
            try:
                # Where it comes from was looked at when it logged in, and has not changed.
                return self._ssh.known(principal)
            except LoginFailed:
                return None
        return self._attempts.known(principal)

    def by_certificate(self, der: bytes, now: float) -> Principal:
        """The principal of a client certificate (DER) whose chain, revocation and key TLS has verified.

        ``now`` in unix seconds. Raises LoginFailed.
        """
        return principal_of(der, self._section.certificates, now)

    @property
    def has_passwords(self) -> bool:
        return self._section.passwords is not None

    @property
    def has_ssh_keys(self) -> bool:
        return self._ssh.offers_any

    def offered_ssh_key(self, blob: bytes, address: str, now: float) -> SshIdentity:
        """Who an SSH key or certificate (its blob, RFC 4253 section 6.6) stands for. Nothing is proven by it.

        ``now`` in unix seconds. Raises LoginFailed: for nobody.
        """
        return self._ssh.offered(blob, address, now)

    def by_ssh_key(self, offered: SshIdentity, address: str, now: float, *, proven: bool) -> Principal:
        """The principal of a key or certificate; ``proven`` says whether the signature over this connection is right.

        Raises LoginFailed, and counts a wrong signature as any failed login.
        """
        name = offered.principal.name
        self._attempts.refuse_waiting(name, address, now)
        if not proven:
            raise self._attempts.refuse(name, address, now, "wrong signature")
        self._lockout.succeeded(name, address)
        return offered.principal

    async def by_password(self, name: str, password: Secret, address: str, clock: Callable[[], float]) -> Principal:
        """The principal of a name and password from ``address`` (an IP address).

        clock  gives unix seconds; not one moment, because a login may wait in line

        Raises LoginFailed, in the same words and after the same work whether the name, the password or the entry's end
        is the reason; TooManySessions when the line is too long. A caller that gives up doesn't take its failure back.
        """
        attempts = self._attempts
        attempts.refuse_waiting(name, address, clock())
        if not 0 < len(password.reveal()) <= MAX_PASSWORD:
            raise attempts.refuse(name, address, clock(), "the password is empty or longer than 16 kB")
        if len(self._slots.waiting) >= MAX_WAITING:
            raise TooManySessions("too many logins at once", hint="try again in a few seconds")
        await self._slots.acquire()
        settled: Deferred[Principal] = Deferred()
        try:
            # A second look now that it is its turn: many logins begun at once are no way around the wait.
            attempts.refuse_waiting(name, address, clock())
            known = attempts.password_hash(name)
            checked = self._run(lambda: known.verify(password.reveal()))
        except BaseException:
            self._slots.release()
            raise

        def settle(result: bool | Failure) -> None:
            # Not in the coroutine: whoever disconnects cancels that, but neither the thread nor the count. The slot is
            # free only after the count, which the next in line must see.
            verdict: Principal | Failure
            try:
                if isinstance(result, Failure):
                    result.raiseException()
                verdict = attempts.settle(name, address, clock(), "password", proven=result)
            except Exception:  # noqa: BLE001  # handed on, to the coroutine
                verdict = Failure()  # type: ignore[no-untyped-call]  # Twisted's
            self._slots.release()
            settled.callback(verdict)

        checked.addBoth(settle)
        return await settled

    def scram(self, name: str, address: str, channel_binding: bytes | None) -> ScramExchange:
        """A SCRAM dialogue; the arguments are `ScramExchange`'s."""
        return ScramExchange(self._attempts, name, address, channel_binding)
