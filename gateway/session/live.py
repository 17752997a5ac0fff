"""Live sessions: who is here, since when, and how to make one leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import structlog

from gateway.errors import GatewayError, SessionEnded, TooManySessions
from gateway.model import Access

log = structlog.get_logger()


class LiveSession:
    """One session that is under way.

    end          tells its protocol to end it with a reason; it may be called twice
    last_active  unix seconds, expires  as well; None: never by itself
    waits        whether nothing is under way: the session waits for its caller
    gone         why the session has to end at that time (unix seconds), None when it may go on
    left         whether the caller has left, where nobody reads what it sends
    grant        the approval that let it in, None: it needed none
    runs_by      whether something is under way that an approval let go
    written      how long its recording is, bytes: there a frame ends
    """

    def __init__(
        self, id: str, access: Access, protocol: str, started: float, end: Callable[[GatewayError], None]
    ) -> None:
        self.id = id
        self.access = access
        self.protocol = protocol
        self.started = started
        self.end = end
        self.operations = 0
        self.denied = 0
        self.rows = 0
        self.size = 0
        self.last_active = 0.0
        self.expires: float | None = None
        self.waits: Callable[[], bool] = _yes
        self.gone: Callable[[float], SessionEnded | None] = _no_reason
        self.left: Callable[[], bool] = _no
        self.grant: str | None = None
        self.runs_by: Callable[[str], bool] = _nothing
        self.written: Callable[[], int] = _none


def _none() -> int:
    return 0


def _yes() -> bool:
    return True


def _no() -> bool:
    return False


def _nothing(grant: str) -> bool:
    return False


def _no_reason(now: float) -> SessionEnded | None:
    return None


class LiveSessions:
    """All sessions of this process, by id.

    Counts are kept where sessions come and go, so that a limit can't be overrun between a look and an entry.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, LiveSession] = {}
        self._of_principal: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(tuple(self._sessions.values()))

    def get(self, session_id: str) -> LiveSession | None:
        return self._sessions.get(session_id)

    def room_for(self, principal: str, *, sessions: int, per_principal: int) -> None:
        """Raises TooManySessions when one more would be over a limit."""
        if len(self._sessions) >= sessions:
            raise TooManySessions(
                "the gateway has no room for another session",
                hint=f"Its limit is {sessions} sessions (limits.sessions); try again later.",
            )
        if self._of_principal[principal] >= per_principal:
            raise TooManySessions(
                f"{principal} has {per_principal} sessions already",
                hint="Close one of them; the limit is limits.per_principal.",
            )

    def enter(self, session: LiveSession) -> None:
        self._sessions[session.id] = session
        self._of_principal[session.access.principal.name] += 1

    def leave(self, session: LiveSession) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        name = session.access.principal.name
        self._of_principal[name] -= 1
        if not self._of_principal[name]:
            del self._of_principal[name]

    def sweep(self, now: float) -> int:
        """End every session whose time or right is over; how many those were. To be called every second.

        A session that can't say whether it may go on is ended, too, and keeps no other from being asked.
        """
        ended = 0
        for session in tuple(self._sessions.values()):
            try:
                reason = SessionEnded("the caller has left") if session.left() else session.gone(now)
            except Exception:
                log.exception("session can't be judged", session=session.id)
                reason = SessionEnded("whether this session may go on can't be told")
            if reason is not None:
                _end(session, reason)
                ended += 1
        return ended

    def end_all(self, reason: GatewayError, whom: Callable[[LiveSession], bool] | None = None) -> int:
        """End every session, or those that ``whom`` is true for; how many. One that ``whom`` can't judge ends, too."""
        ended = 0
        for session in tuple(self._sessions.values()):
            if whom is None or _meant(whom, session):
                _end(session, reason)
                ended += 1
        return ended


def _meant(whom: Callable[[LiveSession], bool], session: LiveSession) -> bool:
    try:
        return whom(session)
    except Exception:
        log.exception("session can't be judged", session=session.id)
        return True


def _end(session: LiveSession, reason: GatewayError) -> None:
    """One that fails keeps no other from its end; it stays in the list, and the next sweep asks it again."""
    try:
        session.end(reason)
    except Exception:
        log.exception("session can't be ended", session=session.id)
