"""Cancel requests: the client has a secret of ours, never the target's (53.2.8).

The process id that the client sees is the target's own, so that pg_backend_pid() agrees; two targets may give the
same one, so a session is found by both.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any


class CancelKeys:
    """Secrets of all live sessions."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._of_pid: dict[int, dict[bytes, Any]] = {}

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
