"""The log's way to a SIEM: syslog over TLS (RFC 5425).

The log is the spool: a sink reads it from its cursor, at the receiver's pace, and holds nothing in memory. The protocol
has no acknowledgements, and what lies in send and receive buffers when a connection breaks is lost without a word. So
the cursor stays behind what was sent by a window (a number of events, and at least what was sent in the last seconds
of sending), and each connection begins again at the cursor. Every sequence number arrives at least once; as each
connection carries the log in order from a number that is not above the first missing one, first arrivals are in
order, and duplicates lie within the window.

A sink never holds up the gateway: nobody waits for it, and what goes wrong here is a status, a metric and an event.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import structlog
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.audit.cursor import Cursor
from gateway.audit.event import Event
from gateway.audit.events import SinkConnected, SinkGapFound, SinkLagging, SinkLost
from gateway.audit.log import AuditLog
from gateway.audit.reader import LogReader
from gateway.audit.rfc5424 import frame, message_of_line
from gateway.config.schema import Sink
from gateway.errors import GatewayError, RecordingFailed
from gateway.model import TargetTls
from gateway.net import StreamClientEndpoint, client_context

POLL = 0.1
"""Seconds between two looks at a log that had nothing new: what an event waits at most on a quiet gateway."""

WINDOW_SECONDS = 5.0
"""What was sent in the last seconds of sending is sent again, too: a busy gateway writes more than the window's events
in the time that a receiver needs to read what lies in its buffers."""

MARK = 0.5
"""Seconds: how finely it is remembered what was sent when."""

KEEP_EVERY = 1.0
"""Seconds between two writes of the cursor."""

CONNECT = 15.0
"""Seconds for look-up, connection and TLS; a receiver across the world needs 1."""

STALL = 120.0
"""Seconds that a receiver may read nothing: then the connection is given up. A host that vanished sends no reset, and
the kernel would go on for 15 minutes (tcp_retries2)."""

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
"""Seconds between two attempts to connect, doubling, with jitter of a half so that gateways don't come together."""

SETTLED = 30.0
"""Seconds: a connection that lived so long was a good one, and the next delay is the first again. A receiver that does
not like our certificate closes just after the handshake (TLS 1.3 reports it no earlier)."""

LAG_EVENTS = 10_000
"""Events: from here on a sink counts as lagging; about ten seconds of a busy gateway."""


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """For `ostiary status` and the metrics.

    sent           sequence number of the newest event ever handed to a connection
    lag            events that wait
    resent         events sent a second time since the start
    connections    made since the start
    problem        why it is not connected, None while it is
    connected_for  seconds, None while it is not
    """

    name: str
    address: str
    connected: bool
    sent: int
    lag: int
    resent: int
    connections: int
    problem: str | None
    connected_for: float | None


@implementer(IPushProducer)
class _Connection(Protocol):
    """One connection to a receiver: says when there is room, and that it is gone."""

    def __init__(self) -> None:
        self.lost: str | None = None
        self.paused = False
        self._room: Deferred[None] | None = None

    def connectionMade(self) -> None:
        cast(IConsumer, self.transport).registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """A syslog receiver has nothing to say (RFC 5425 section 4.3): dropped."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        done = isinstance(reason.value, ConnectionDone)
        self.lost = "the receiver closed the connection" if done else f"the connection broke: {reason.value}"
        self._wake()

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._wake()

    def stopProducing(self) -> None:
        """`connectionLost` follows."""

    def room(self) -> Deferred[None]:
        """Fires when the transport takes more, or the connection is lost."""
        waiting: Deferred[None] = Deferred()
        if self.lost is not None or not self.paused:
            waiting.callback(None)
        else:
            self._room = waiting
        return waiting

    def _wake(self) -> None:
        waiting, self._room = self._room, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def close(self) -> None:
        """In order where the receiver reads; at once where it does not, as the rest would never leave."""
        if self.lost is not None:
            return
        if self.paused:
            cast(ITCPTransport, self.transport).abortConnection()
        else:
            cast(ITransport, self.transport).loseConnection()


class SyslogTls:
    """One sink. `start` it once, `stop` it once.

    name           the sink's, in events, metrics and its cursor's file
    log            the log it forwards, and writes its own events to
    address        the receiver, for people
    endpoint       makes what connects, TLS included, anew for each attempt: a renewed certificate needs no reload.
                   What it raises is this attempt's problem, no other's
    resend_window  events
    jitter         0 <= x < 1, as random.random
    """

    def __init__(
        self,
        name: str,
        log: AuditLog,
        *,
        address: str,
        endpoint: Callable[[], IStreamClientEndpoint],
        clock: IReactorTime,
        resend_window: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._log = log
        self._endpoint = endpoint
        self._address = address
        self._clock = clock
        self._window = resend_window
        self._jitter = jitter
        self._notes = structlog.get_logger(__name__).bind(sink=name, address=address)
        self._cursor = Cursor(log.directory / "sinks" / f"{name}.json")
        self._safe = self._cursor.sequence
        self._sent = self._position = self._safe
        self._kept_at = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        self._resent = 0
        self._connections = 0
        self._connected_at: float | None = None
        self._problem: str | None = "not connected yet"
        self._outage = False
        self._lagging = False
        self._connection: _Connection | None = None
        self._running: Deferred[None] | None = None

    # --- for the house ---

    def start(self) -> None:
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Ends it. What was not sent goes out at the next start."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await running

    def status(self) -> SinkStatus:
        return SinkStatus(
            name=self._name,
            address=self._address,
            connected=self._connected_at is not None,
            sent=self._sent,
            lag=max(0, self._log.flushed - self._position),
            resent=self._resent,
            connections=self._connections,
            problem=self._problem,
            connected_for=None if self._connected_at is None else self._clock.seconds() - self._connected_at,
        )

    # --- connections ---

    async def _run(self) -> None:
        attempts = 0
        try:
            while True:
                began = self._clock.seconds()
                try:
                    await self._forward()
                except CancelledError:
                    raise
                except Exception as error:  # noqa: BLE001  # a sink goes on trying, whatever it is; the status says what
                    self._note_outage(describe(error))
                if self._clock.seconds() - began >= SETTLED:
                    attempts = 0
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempts, 10)) * (0.5 + self._jitter() / 2)
                attempts += 1
                self._check_lag()
                await deferLater(self._clock, delay)
        except CancelledError:
            self._keep_cursor()

    async def _forward(self) -> None:
        """One connection, from dialling to its end. Raises what ended it."""
        connection = cast(_Connection, await self._endpoint().connect(Factory.forProtocol(_Connection)))
        try:
            self._begin()
            await self._pump(connection)
        finally:
            self._connected_at = None
            self._keep_cursor()
            connection.close()

    def _begin(self) -> None:
        """A receiver is there: what lies in the window comes first."""
        if self._safe > self._log.flushed:
            # The log lost its unsynced end in a power failure; what it gives these numbers to now was never sent.
            self._notes.error("the log ends before the cursor", cursor=self._safe, log=self._log.flushed)
            self._safe = self._sent = self._log.flushed
        self._position = self._safe
        self._marks.clear()
        self._connections += 1
        self._connected_at = self._clock.seconds()
        self._problem = None
        self._outage = False
        resent = self._sent - self._safe
        self._notes.info("sink connected", resent=resent)
        self._append(SinkConnected(self._name, self._address, resent))

    async def _pump(self, connection: _Connection) -> None:
        reader = LogReader(self._log.directory, self._position)
        began = self._clock.seconds()
        try:
            while True:
                if connection.paused:
                    await connection.room().addTimeout(STALL, self._clock, _stalled)
                if connection.lost is not None:
                    raise SinkBroken(connection.lost, early=self._clock.seconds() - began < WINDOW_SECONDS)
                lines = reader.read() if self._log.flushed > reader.position else []
                if lines:
                    data = b"".join(frame(message_of_line(line)) for _, line in lines)
                    cast(ITransport, connection.transport).write(data)
                    self._count(lines[0][0], reader.position, len(lines))
                self._report_gaps(reader)
                self._check_lag()
                if self._clock.seconds() - self._kept_at >= KEEP_EVERY:
                    self._keep_cursor()
                idle = not lines and (reader.at_end or self._log.flushed <= reader.position)
                await deferLater(self._clock, POLL if idle else 0)
        finally:
            reader.close()

    # --- the window ---

    def _count(self, first: int, last: int, events: int) -> None:
        """What was just handed to the connection, and how far the cursor may follow."""
        now = self._clock.seconds()
        self._resent += max(0, min(events, self._sent - first + 1))
        self._position = last
        self._sent = max(self._sent, last)
        tick = math.ceil(now / MARK) * MARK
        if self._marks and self._marks[-1][0] == tick:
            self._marks.pop()
        self._marks.append((tick, last))
        old_enough = self._safe
        while now - self._marks[0][0] > WINDOW_SECONDS:
            old_enough = self._marks.popleft()[1]
        self._safe = max(self._safe, min(last - self._window, old_enough))

    def _keep_cursor(self) -> None:
        self._kept_at = self._clock.seconds()
        try:
            self._cursor.move(self._safe)
        except OSError as error:
            self._notes.error("cursor not kept, events will be sent again", problem=str(error))

    # --- what is told ---

    def _note_outage(self, problem: str) -> None:
        self._problem = problem
        self._notes.warning("sink not connected", problem=problem)
        if not self._outage:
            self._outage = True
            self._append(SinkLost(self._name, self._address, problem))

    def _report_gaps(self, reader: LogReader) -> None:
        while reader.gaps:
            first, last = reader.gaps.pop(0)
            self._notes.error("events are missing in the audit log", first=first, last=last)
            self._append(SinkGapFound(self._name, first, last))

    def _check_lag(self) -> None:
        lag = self._log.flushed - self._position
        if not self._lagging and lag >= LAG_EVENTS:
            self._lagging = True
            self._notes.warning("sink lagging", lag=lag)
            self._append(SinkLagging(self._name, lag))
        elif self._lagging and lag < LAG_EVENTS // 2:
            self._lagging = False

    def _append(self, event: Event) -> None:
        """The sink's own events. A failed log is the gateway's affair: it refuses everything until a restart; what was
        written before still goes out."""
        try:
            self._log.append(event)
            self._log.flush()
        except RecordingFailed as error:
            self._notes.error("audit log failed", problem=error.message)


def syslog_sink(
    settings: Sink, log: AuditLog, *, reactor: IReactorTime, now: Callable[[], float] = time.time
) -> SyslogTls:
    """The sink that the configuration asks for; `SyslogTls.start` it when the reactor is about to run.

    reactor  the one of `gateway.net.install_reactor`
    now      unix seconds, for the certificates' dates
    """
    tls = TargetTls(
        mode="verify-full",
        ca=None if settings.ca is None else str(settings.ca),
        certificate=None if settings.certificate is None else str(settings.certificate),
        key=settings.key,
    )

    def endpoint() -> IStreamClientEndpoint:
        context = client_context(tls, now=now())
        return StreamClientEndpoint(reactor, settings.address, timeout=CONNECT, tls=context)

    return SyslogTls(
        settings.name,
        log,
        address=str(settings.address),
        endpoint=endpoint,
        clock=reactor,
        resend_window=settings.resend_window,
    )


class SinkBroken(Exception):
    """A connection that was up is gone. ``early``: so soon that the receiver may not have wanted us."""

    def __init__(self, problem: str, *, early: bool = False) -> None:
        hint = (
            " right after the handshake; if it asks for client certificates, see that certificate: and key: are set"
            " and that it trusts their CA"
        )
        super().__init__(problem + (hint if early else ""))


def _stalled(_result: object, seconds: float) -> None:
    raise SinkBroken(f"the receiver read nothing for {seconds:g} seconds")


def describe(error: BaseException) -> str:
    """One line for an operator: what is wrong, and the mend where there is one; `gateway.net` has found the words."""
    if isinstance(error, GatewayError):
        told = error.message if error.hint is None else f"{error.message}; {error.hint}"
        return " ".join(told.split())
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__
