"""What every password login goes through, whichever dialogue it speaks: the wait, the verifier, the verdict."""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import LoginFailed
from gateway.identity.lockout import Lockout
from gateway.identity.passwords import Argon2Hash, PasswordFile, ScramVerifier
from gateway.model import Factor, Principal


class Attempts:
    """The password file and the counts of failures, together: no verdict without its count."""

    def __init__(self, passwords: PasswordFile, lockout: Lockout) -> None:
        self._passwords = passwords
        self._lockout = lockout

    def password_hash(self, name: str) -> Argon2Hash:
        """The name's hash or a stand-in, see `PasswordFile`."""
        return self._passwords.password_hash(name)

    def verifier(self, name: str) -> ScramVerifier:
        """The name's verifier or a stand-in, see `PasswordFile`."""
        return self._passwords.verifier(name)

    def known(self, principal: Principal) -> Principal | None:
        """``principal`` as its entry is now, None when that is gone, or has nothing for the way it logged in."""
        entry = self._passwords.entry(principal.name)
        if entry is None or (entry.password if "password" in principal.factors else entry.scram) is None:
            return None
        return replace(principal, kind=entry.kind, groups=frozenset(entry.groups), expires_at=entry.until)

    def refuse_waiting(self, name: str, address: str, now: float) -> None:
        """Raises LoginFailed while ``name`` has to wait; names that don't exist wait, too, so this tells nothing."""
        wait = self._lockout.wait(name, address, now)
        if wait > 0:
            raise LoginFailed(
                "too many failed logins",
                reason=f"locked out for {wait:.0f} s",
                hint=f"wait {max(1, round(wait))} s and try again",
            )

    def refuse(self, name: str, address: str, now: float, reason: str) -> LoginFailed:
        """Counts a failure; the error to raise, which says the same to the caller whatever ``reason`` is."""
        self._lockout.failed(name, address, now)
        return LoginFailed("password authentication failed", reason=reason, hint="check the user name and password")

    def settle(self, name: str, address: str, now: float, factor: Factor, *, proven: bool) -> Principal:
        """The verdict: ``proven`` says whether what the caller sent fits what `password_hash` or `verifier` gave.

        Raises LoginFailed, and counts it.
        """
        entry = self._passwords.entry(name)
        if entry is None:
            raise self.refuse(name, address, now, "unknown name")
        if (entry.password if factor == "password" else entry.scram) is None:
            raise self.refuse(name, address, now, f"its entry has no {factor}")
        if not proven:
            raise self.refuse(name, address, now, "wrong password")
        if entry.until is not None and now >= entry.until:
            raise self.refuse(name, address, now, "its entry has ended (until)")
        self._lockout.succeeded(name, address)
        return Principal(entry.name, entry.kind, frozenset(entry.groups), frozenset({factor}), now, entry.until)
