"""How often one caller may be refused: each refusal is an audit event, and a disk is not for anybody to fill."""

from __future__ import annotations

from collections.abc import Callable

BURST = 60
"""Refusals at once: a script that asks for every session with the wrong role sees why, and so does the audit log."""

EVERY = 1.0
"""Seconds until one more is heard. At 500 bytes an event a caller fills 43 MB of log a day at most, not a disk."""

FORGET = 10_000
"""Callers that are remembered before those who have been quiet are forgotten."""


class Pace:
    """By whatever name a caller has *proven*; before that by the connection's own peer address. No header counts.

    clock  gives seconds
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        """When a caller's refusals so far will have been paid for (the virtual scheduling of ITU-T I.371, "GCRA")."""

    def exhausted(self, who: str) -> bool:
        """Whether nothing of this caller is heard for now."""
        return self._until.get(who, 0.0) - self._clock() > (BURST - 1) * EVERY

    def spend(self, who: str) -> None:
        """One refusal of this caller."""
        now = self._clock()
        if len(self._until) >= FORGET:
            self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[who] = max(now, self._until.get(who, now)) + EVERY
