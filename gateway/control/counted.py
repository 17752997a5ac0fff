"""Live sessions, with totals over those that ended.

Sessions count for themselves, as plain ints; what they counted is added up here when they leave, and that of live ones
when somebody looks. An operation pays nothing for its metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.session import LiveSession, LiveSessions


@dataclass(frozen=True, slots=True)
class Totals:
    """Since the start of this process, live sessions included."""

    sessions: int
    operations: int
    denied: int
    rows: int
    size: int


class CountedSessions(LiveSessions):
    """`LiveSessions` that remembers what ended sessions did."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = self._operations = self._denied = self._rows = self._size = 0

    def enter(self, session: LiveSession) -> None:
        super().enter(session)
        self._begun += 1

    def leave(self, session: LiveSession) -> None:
        """May be called twice, as the one it stands for; a session is counted once."""
        if self.get(session.id) is session:
            self._operations += session.operations
            self._denied += session.denied
            self._rows += session.rows
            self._size += session.size
        super().leave(session)

    def totals(self) -> Totals:
        operations, denied, rows, size = self._operations, self._denied, self._rows, self._size
        for session in self:
            operations += session.operations
            denied += session.denied
            rows += session.rows
            size += session.size
        return Totals(self._begun, operations, denied, rows, size)
