"""Answers that go on: lines of JSON, as something happens, to whoever watches it.

A watcher never slows down what it watches, and nothing is gathered for it: while it does not read, its source waits.
One that reads nothing for long is sent away, and told so. While nothing happens there is a heartbeat: either side
notices that the other one is gone. A right that is lost ends the watching within that time, and at once when
configuration changes.

    Watching   all who watch, on this node
    Lines      one answer: heartbeats, bounds, its end
    Source     what is watched (`gateway.control.sources`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from gateway.control.messages import Watched
from gateway.errors import LimitReached

T = TypeVar("T")

JSON_LINES: Final = "application/x-ndjson"
"""One JSON document a line (https://github.com/ndjson/ndjson-spec)."""

HEARTBEAT: Final = 5.0
"""Seconds between two heartbeats: a client takes 15 without a line for a gateway that is gone."""

STALL: Final = 30.0
"""Seconds that a watcher may read nothing, as whoever stopped their terminal with Ctrl-S does."""

MAX_WATCHERS: Final = 64
MAX_OF_CALLER: Final = 8
"""Answers that go on, on this node and to one caller: each reads a file five times a second."""


class InThread(Protocol):
    """Runs a function in a thread, e.g. ``partial(deferToThreadPool, reactor, pool)``; not one of those that sync."""

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]: ...


class Watching:
    """All who watch.

    clock  unix seconds; reactor  its timers
    """

    def __init__(self, *, reactor: IReactorTime, clock: Callable[[], float], in_thread: InThread) -> None:
        self.reactor = reactor
        self.clock = clock
        self.in_thread = in_thread
        self._lines: set[Lines] = set()
        self._of_caller: Counter[str] = Counter()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._lines)

    def room_for(self, caller: str) -> None:
        """Raises LimitReached."""
        if self._stopped or len(self._lines) >= MAX_WATCHERS or self._of_caller[caller] >= MAX_OF_CALLER:
            raise LimitReached(
                f"too many are watching: at most {MAX_OF_CALLER} for each principal, {MAX_WATCHERS} in all",
                hint="end one of them",
            )

    def look_again(self) -> None:
        """Configuration changed: who may not watch any more is sent away."""
        for lines in tuple(self._lines):
            lines.look_again()

    def stop(self) -> None:
        self._stopped = True
        for lines in tuple(self._lines):
            lines.drop("the gateway is being stopped")

    # --- for its lines ----------------------------------------------------------------------------------------

    def entered(self, lines: Lines) -> None:
        self._lines.add(lines)
        self._of_caller[lines.caller] += 1

    def left(self, lines: Lines) -> None:
        self._lines.discard(lines)
        self._of_caller[lines.caller] -= 1
        if not self._of_caller[lines.caller]:
            del self._of_caller[lines.caller]


class Source(Protocol):
    """What is watched."""

    def begin(self, lines: Lines) -> None:
        """Give lines from now on (`Lines.send`) while they are read (`Lines.paused`), and the end if there is one
        (`Lines.end`)."""

    def resume(self) -> None:
        """They are read again."""

    def look_again(self) -> str | None:
        """Why the watcher may not go on, by what is in force now; None while it may."""

    def stop(self) -> None:
        """It is over, whoever ended it, begun or not; once."""


@implementer(IPushProducer)
class Lines:
    """One answer (`gateway.control.route.Stream`).

    caller  a principal's name
    paused  the caller does not read what it has already
    """

    def __init__(self, watching: Watching, source: Source, *, caller: str) -> None:
        self.caller = caller
        self.over = False
        self._watching = watching
        self._source = source
        self._request: Any = None
        self._channel: Any = None
        self._paused_at: float | None = None
        self._beat = LoopingCall(self._heartbeat)
        self._beat.clock = watching.reactor

    def begin(self, request: Any) -> None:
        self._request, self._channel = request, request.channel
        request.notifyFinish().addBoth(lambda _: self._end())
        if request.method == b"HEAD":
            request.finish()
            return
        request.registerProducer(self, True)
        self._watching.entered(self)
        self._beat.start(HEARTBEAT, now=False)
        self._source.begin(self)

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    def send(self, line: Watched) -> None:
        if not self.over:
            self._request.write(msgspec.json.encode(line) + b"\n")

    def end(self, reason: str) -> None:
        """What was watched is over."""
        self._finish("ended", reason)

    def drop(self, reason: str) -> None:
        """The watcher is sent away."""
        channel = self._channel
        if self._finish("dropped", reason):
            # Whoever does not read would hold the connection; it is closed within `gateway.net`'s linger.
            channel.loseConnection()

    def look_again(self) -> None:
        """Whether the caller may still watch; is sent away if not."""
        refusal = self._source.look_again()
        if refusal is not None:
            self.drop(refusal)

    def _finish(self, event: Any, reason: str) -> bool:
        if self.over or self._request is None:
            return False
        request = self._request
        self.send(Watched(event, self._watching.clock(), reason=reason))
        request.unregisterProducer()
        request.finish()  # calls `_end`
        return True

    def _end(self) -> None:
        """The caller left, or the answer was finished."""
        self.over = True
        self._request = self._channel = None
        if self._beat.running:
            self._beat.stop()
            self._watching.left(self)
        self._source.stop()

    def _heartbeat(self) -> None:
        now = self._watching.clock()
        if self._paused_at is not None:
            if now - self._paused_at >= STALL:
                self.drop(f"you read nothing for {STALL:g} seconds")
            return
        self.look_again()
        self.send(Watched("heartbeat", now))

    # --- IPushProducer: the connection ------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        if self._paused_at is None:
            self._paused_at = self._watching.clock()

    def resumeProducing(self) -> None:
        self._paused_at = None
        if not self.over:
            self._source.resume()

    def stopProducing(self) -> None:
        """The connection is gone: `_end` comes, too."""
