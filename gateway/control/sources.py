"""What can be watched: requests for approval, and a live session (`gateway.control.watching` shows it)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from gateway.control.messages import Watched
from gateway.control.route import Asked, Refused
from gateway.control.watching import Lines
from gateway.errors import GatewayError
from gateway.recording import Tail
from gateway.recording.tail import AT_ONCE
from gateway.store.requests import Grant, Request

log = structlog.get_logger()

POLL: Final = 0.2
"""Seconds between two looks at a recording; what it gathers is in it within 0.1."""

LAST_WORDS: Final = 2.0
"""Seconds in which a session that is gone should have written its recording's end."""


class ApprovalSource:
    """Requests for approval: those that are open, and then each that changes, as it is when the watcher reads of it.

    line  what the watcher sees of a request, None: nothing
    """

    def __init__(self, asked: Asked, line: Callable[[Asked, Request], Watched | None]) -> None:
        self._asked = asked
        self._line = line
        self._lines: Lines | None = None
        self._unwatch: Callable[[], None] | None = None
        self._changed: dict[str, Request] = {}

    def begin(self, lines: Lines) -> None:
        self._lines = lines
        # At once, so that the caller knows to be heard.
        lines.send(Watched("watching", self._asked.gateway.clock()))
        approvals = self._asked.gateway.approvals
        self._unwatch = approvals.watch(self)
        self._changed = {request.id: request for request in approvals.requests() if request.state == "pending"}
        self.resume()

    def resume(self) -> None:
        lines = self._lines
        assert lines is not None  # nothing is resumed that did not begin
        while self._changed and not lines.paused:
            line = self._line(self._asked, self._changed.pop(next(iter(self._changed))))
            if line is not None:
                lines.send(line)

    def look_again(self) -> str | None:
        try:
            self._asked = self._asked.again()
        except Refused as refused:
            return refused.refusal.problem
        return None

    def stop(self) -> None:
        if self._unwatch is not None:
            self._unwatch()

    # --- gateway.session.approvals.Observer -------------------------------------------------------------------

    def request_changed(self, request: Request) -> None:
        self._changed[request.id] = request
        self.resume()

    def grant_changed(self, grant: Grant) -> None:
        """`ostiary grants list` has them."""


class SessionSource:
    """What the recording of a live session grows by, until it ends.

    tail   from where it is watched
    alive  whether the session lives
    first  is said first
    ended  is told how many events were shown, when it is over
    """

    def __init__(
        self,
        asked: Asked,
        tail: Tail,
        *,
        first: Watched,
        alive: Callable[[], bool],
        ended: Callable[[int], None],
    ) -> None:
        self._asked = asked
        self._watching = asked.gateway.watching
        self._tail = tail
        self._first = first
        self._alive = alive
        self._ended = ended
        self._shown = 0
        self._begun = self._stopped = False
        self._sleep: Deferred[None] | None = None

    def begin(self, lines: Lines) -> None:
        self._begun = True
        lines.send(self._first)
        Deferred.fromCoroutine(self._run(lines))

    def look_again(self) -> str | None:
        try:
            self._asked = self._asked.again()
        except Refused as refused:
            return refused.refusal.problem
        return None

    def resume(self) -> None:
        """`_run` looks."""

    def stop(self) -> None:
        self._stopped = True
        if not self._begun:
            self._tail.close()
        if self._sleep is not None:
            self._sleep.cancel()
        self._ended(self._shown)

    async def _run(self, lines: Lines) -> None:
        waiting: deque[bytes] = deque()
        gone_since: float | None = None
        try:
            while not self._stopped:
                now = self._watching.clock()
                alive, much = self._alive(), False
                if not waiting:
                    waiting.extend(await self._watching.in_thread(self._tail.read))
                    much = sum(map(len, waiting)) >= AT_ONCE
                while waiting and not lines.paused:
                    self._shown += 1
                    lines.send(Watched("recorded", now, recorded=msgspec.Raw(waiting.popleft())))
                    gone_since = None
                if self._tail.ended and not waiting:
                    lines.end("the session ended")
                elif not (alive or waiting):
                    gone_since = now if gone_since is None else gone_since
                    if now - gone_since >= LAST_WORDS:
                        lines.end("the session is gone, and its recording has no end")
                if not self._stopped:
                    # At once where there is more: a session that is faster than POLL must not be lost sight of.
                    await self._pause(0 if much and not waiting else POLL)
        except GatewayError as error:
            lines.drop(error.message)
        except Exception as error:  # whatever it was: the watcher is told that there is no more
            log.error("watching failed", exc_info=error)
            lines.drop("the gateway failed at this; its log says how")
        finally:
            # Behind the thread's last read, never beside it.
            self._tail.close()

    async def _pause(self, seconds: float) -> None:
        self._sleep = deferLater(self._watching.reactor, seconds)
        try:
            await self._sleep
        except CancelledError:
            if not self._stopped:
                raise
        finally:
            self._sleep = None
