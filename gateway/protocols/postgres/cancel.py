"""Cancel requests: the client has a secret of ours, never the target's (53.2.8).

The process id that the client sees is the target's own, so that pg_backend_pid() agrees; two targets may give the
same one, so a session is found by both.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

WRONG: Final = 20
"""Wrong secrets that an address may send within `FORGET`: a client that cancels what has just ended sends one each
time. At protocol 3.0 a secret has 32 bits, so at this rate a guess takes centuries."""

FORGET: Final = 60.0
"""Seconds."""

MAX_ADDRESSES: Final = 10_000
"""Addresses that are remembered; the oldest make room."""


class CancelKeys:
    """Secrets of all live sessions."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._of_pid: dict[int, dict[bytes, Any]] = {}
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def request(self, pid: int, secret: bytes, address: str, now: float) -> Any | None:
        """Whose session a CancelRequest from ``address`` means; None when nobody's, or after too many wrong ones.

        now  seconds of any clock that goes forward
        """
        since, count = self._wrong.get(address, (now, 0))
        if now - since > FORGET:
            since, count = now, 0
        if count >= WRONG:
            return None
        owner = self.owner(pid, secret)
        if owner is None:
            self._wrong[address] = (since, count + 1)
            self._wrong.move_to_end(address)
            if len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)
        return owner

    def give(self, pid: int, owner: Any, *, long: bool) -> bytes:
        """A new secret for the session that has ``pid`` at its target: 4 bytes at protocol 3.0, 32 at 3.2."""
        secrets = self._of_pid.setdefault(pid, {})
        secret = self._random(32 if long else 4)
        while secret in secrets:
            secret = self._random(32 if long else 4)
        secrets[secret] = owner
        return secret

    def take_back(self, pid: int, secret: bytes) -> None:
        secrets = self._of_pid.get(pid)
        if secrets is not None:
            secrets.pop(secret, None)
            if not secrets:
                del self._of_pid[pid]

    def owner(self, pid: int, secret: bytes) -> Any | None:
        """Whose secret it is; every candidate is compared in constant time."""
        found = None
        for known, owner in self._of_pid.get(pid, {}).items():
            if hmac.compare_digest(known, secret):
                found = owner
        return found
