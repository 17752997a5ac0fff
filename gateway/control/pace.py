"""How often one caller is heard: the API runs on the thread that serves all sessions, and each refusal is an audit
event. Neither that thread nor a disk is for one caller to fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FORGET = 10_000
"""Callers that are remembered before those who have been quiet are forgotten."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and one more after each ``every`` seconds."""

    burst: int
    every: float


REQUESTS = Rate(300, 0.05)
"""A script that looks at each of 300 sessions goes on at once. 20 small requests a second are 3 ms of a core's time,
without TLS (measured), the longest list that there is 20 times 50 ms."""

REFUSALS = Rate(60, 1.0)
"""A script that asks for every session with the wrong role sees why, and so does the audit log. At 700 bytes an event
a caller fills 60 MB of log a day at most."""


class Pace:
    """By whatever name a caller has *proven*; before that by the connection's own peer address. No header counts.

    clock  gives seconds
    """

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._until: dict[str, float] = {}
        """When what a caller had so far will have been paid for (the virtual scheduling of ITU-T I.371, "GCRA")."""

    def exhausted(self, who: str) -> bool:
        """Whether nothing of this caller is heard for now."""
        return self._until.get(who, 0.0) - self._clock() > (self._rate.burst - 1) * self._rate.every

    def spend(self, who: str) -> None:
        """One of this caller's."""
        now = self._clock()
        if len(self._until) >= FORGET:
            self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[who] = max(now, self._until.get(who, now)) + self._rate.every
