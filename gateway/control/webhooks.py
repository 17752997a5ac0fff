"""Requests for approval reach whoever is on call: an HTTP POST to each configured receiver, at once.

Nobody waits for it. A receiver that is slow or gone holds up neither a request nor another receiver: each has its own
bounded number of notices and connections. A notice is tried until its time is over (for a question its deadline, or
when it is settled first), with delays that double; then it is given up, which is an audit event and a metric. What is
told, and how it is signed, is `gateway.control.notices`.

Not `twisted.web.client.Agent`: it holds as many header lines and interim responses as a server likes to send. Of an
answer only the status matters here, and a POST is a few lines.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, cast

import structlog
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from gateway import __version__
from gateway.audit import AuditLog
from gateway.audit.events import NotificationFailed
from gateway.audit.sinks import describe
from gateway.config.keys import webhook_key, webhook_url
from gateway.config.schema import Approvals, Webhook
from gateway.config.urls import Url
from gateway.control.notices import Form, Occasion, notice, notice_id, occasion_of, sign
from gateway.errors import ConfigError, Problem, RecordingFailed
from gateway.model import TargetTls
from gateway.net import StreamClientEndpoint, client_context
from gateway.secrets import Secret
from gateway.store.requests import Grant, Request

log = structlog.get_logger()

CONNECT: Final = 5.0
"""Seconds for look-up, connection and TLS."""

ANSWER: Final = 15.0
"""Seconds for all of one attempt; what Standard Webhooks recommend ("Request timeouts"), at its lower end: a person
waits."""

MAX_ANSWER: Final = 16 * 1024
"""Bytes that an answer may take up to its status: interim responses with their headers."""

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 30.0
"""Seconds between two attempts, doubling, with jitter of a half so that notices that failed together come apart."""

AT_ONCE: Final = 4
"""Connections to one receiver."""

MAX_WAITING: Final = 100
"""Notices for one receiver that were not delivered so far: 7 MB at worst, 0.2 MB as a rule. More of them are given up
at once."""

SETTLED_FOR: Final = 60.0
"""Seconds that it is tried to tell that a request was settled, or to the deadline if that is later."""

FAREWELL: Final = 2.0
"""Seconds for what is under way when the gateway stops."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n", re.ASCII)
"""RFC 9112 section 4."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom to tell. ``endpoint`` makes what connects, TLS included; ``key`` signs, None: nothing is signed."""

    name: str
    url: Url
    form: Form
    key: Secret | None
    endpoint: Callable[[], IStreamClientEndpoint]


def receivers(approvals: Approvals, file: str, *, reactor: object, now: float) -> tuple[Receiver, ...]:
    """What ``file`` (ostiary.yaml) configures, secrets resolved. Raises ConfigError with every problem.

    reactor  the one of `gateway.net.install_reactor`; now  unix seconds, for the CAs' dates
    """
    problems: list[Problem] = []
    found = []
    for index, settings in enumerate(approvals.notify):
        try:
            found.append(_receiver(settings, file, ("approvals", "notify", index), reactor, now))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return tuple(found)


def _receiver(settings: Webhook, file: str, path: tuple[str | int, ...], reactor: object, now: float) -> Receiver:
    url = webhook_url(settings.webhook, file, (*path, "webhook"))
    key = None if settings.secret is None else webhook_key(settings.secret, file, (*path, "secret"))
    ca = None if settings.ca is None else str(settings.ca)
    tls = client_context(TargetTls("verify-full" if url.tls else "disable", ca), now=now, alpn=("http/1.1",))

    def endpoint() -> IStreamClientEndpoint:
        return StreamClientEndpoint(reactor, url.address, timeout=CONNECT, tls=tls)

    return Receiver(settings.called, url, settings.form, key, endpoint)


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """For the metrics; counts are since the start. ``waiting``: not delivered so far."""

    name: str
    delivered: int
    failed: int
    waiting: int


class Webhooks:
    """Observes approvals (`gateway.session.approvals.Observer`) and tells the receivers.

    node    the gateway's name; url  `approvals.url`
    clock   unix seconds; reactor  times delays
    jitter  0 <= x < 1, as random.random
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        *,
        node: str,
        url: str | None,
        audit: AuditLog,
        reactor: IReactorTime,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._node = node
        self._url = url
        self._audit = audit
        self._reactor = reactor
        self._clock = clock
        self._jitter = jitter
        self._outboxes = {each.name: self._outbox(each) for each in receivers}

    def _outbox(self, receiver: Receiver) -> _Outbox:
        return _Outbox(receiver, self._audit, self._reactor, self._clock, self._jitter)

    def start(self, requests: Iterable[Request]) -> None:
        """Ask again what was open when the gateway stopped: it may not have been heard. Ids are as they were."""
        for request in requests:
            if request.state == "pending":
                self._tell(request, "requested")

    def reload(self, receivers: Sequence[Receiver], url: str | None) -> None:
        """What waits goes on under the new settings; for a receiver that is gone it is given up."""
        self._url = url
        before, self._outboxes = self._outboxes, {}
        for each in receivers:
            outbox = before.pop(each.name) if each.name in before else self._outbox(each)
            outbox.receiver = each
            self._outboxes[each.name] = outbox
        for outbox in before.values():
            outbox.give_up("its receiver was taken out of the configuration")

    async def stop(self) -> None:
        """Lets what is under way end, for a moment; gives up the rest. Never raises."""
        waiting = [ended for outbox in self._outboxes.values() for ended in outbox.ended()]
        ended = DeferredList(waiting, consumeErrors=True)
        ended.addTimeout(FAREWELL, self._reactor, lambda _result, _seconds: None)
        await ended
        for outbox in self._outboxes.values():
            outbox.give_up("the gateway was stopped")

    def status(self) -> tuple[WebhookStatus, ...]:
        return tuple(outbox.status() for outbox in self._outboxes.values())

    # --- Observer ---------------------------------------------------------------------------------------------

    def request_changed(self, request: Request) -> None:
        """Never raises: whoever asked is not to fail because of those who are told."""
        try:
            occasion = occasion_of(request)
            if occasion is not None:
                self._tell(request, occasion)
        except Exception as error:  # whatever it is, see above
            log.error("notice not made", request=request.id, exc_info=error)

    def grant_changed(self, grant: Grant) -> None:
        """What became of a yes is for those who watch."""

    def _tell(self, request: Request, occasion: Occasion) -> None:
        bodies: dict[Form, bytes] = {}
        until = request.deadline if occasion == "requested" else max(request.deadline, self._clock() + SETTLED_FOR)
        for outbox in self._outboxes.values():
            form = outbox.receiver.form
            if form not in bodies:
                bodies[form] = notice(request, occasion, form, node=self._node, url=self._url)
            outbox.put(
                _Notice(
                    id=notice_id(request, occasion),
                    asked=notice_id(request, "requested"),
                    request=request.id,
                    occasion=occasion,
                    body=bodies[form],
                    until=until,
                )
            )


@dataclass(frozen=True, slots=True)
class _Notice:
    """One thing to tell.

    asked  id of the notice that asked; until  unix seconds after which this one is given up
    """

    id: str
    asked: str
    request: str
    occasion: Occasion
    body: bytes
    until: float


class _GivenUp(Exception):
    """Ends a delivery; says why."""


class _Outbox:
    """The notices for one receiver, each with its own attempts.

    receiver  replaced by a reload; the next attempt uses it
    """

    def __init__(
        self,
        receiver: Receiver,
        audit: AuditLog,
        reactor: IReactorTime,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.receiver = receiver
        self._audit = audit
        self._reactor = reactor
        self._clock = clock
        self._jitter = jitter
        self._room = DeferredSemaphore(AT_ONCE)
        self._waiting: dict[str, _Delivery] = {}
        self._delivered = self._failed = 0

    def status(self) -> WebhookStatus:
        return WebhookStatus(self.receiver.name, self._delivered, self._failed, len(self._waiting))

    def put(self, notice: _Notice) -> None:
        """Begin to deliver it. That it was settled is told behind the question, and ends the trying to ask it."""
        asked = self._waiting.get(notice.asked) if notice.occasion == "settled" else None
        if asked is not None:
            asked.settled()
        if notice.id in self._waiting:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._give_up(notice, 0, f"{MAX_WAITING} notices wait for this receiver already")
            return
        delivery = self._waiting[notice.id] = _Delivery(notice)
        delivery.ended = Deferred.fromCoroutine(self._deliver(delivery, asked))

    def ended(self) -> list[Deferred[None]]:
        """One for each notice that waits; fires when it was delivered or given up."""
        return [delivery.over() for delivery in self._waiting.values()]

    def give_up(self, reason: str) -> None:
        for delivery in tuple(self._waiting.values()):
            delivery.stop(reason)

    async def _deliver(self, delivery: _Delivery, asked: _Delivery | None) -> None:
        notice = delivery.notice
        try:
            if asked is not None:
                await asked.over()
            await self._try(delivery)
        except _GivenUp as given_up:
            self._give_up(notice, delivery.attempts, str(given_up))
        except CancelledError:
            self._give_up(notice, delivery.attempts, delivery.stopped)
        except Exception as error:  # a fault of ours: told like any other
            log.error("notice not delivered", request=notice.request, exc_info=error)
            self._give_up(notice, delivery.attempts, f"the gateway failed at it: {type(error).__name__}")
        else:
            self._delivered += 1
        finally:
            del self._waiting[notice.id]
            delivery.done()

    async def _try(self, delivery: _Delivery) -> None:
        """Returns when it was delivered. Raises _GivenUp."""
        notice = delivery.notice
        problem = "all connections to this receiver were taken by others"
        while True:
            await self._room.acquire()
            try:
                if delivery.moot or self._clock() >= notice.until:
                    raise _GivenUp(problem)
                delivery.attempts += 1
                problem = await self._attempt(notice)
            finally:
                self._room.release()
            if not problem:
                return
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(delivery.attempts - 1, 10)) * (0.5 + self._jitter() / 2)
            log.warning("notice not delivered", webhook=self.receiver.name, request=notice.request, problem=problem)
            await delivery.pause(self._reactor, delay)

    async def _attempt(self, notice: _Notice) -> str:
        """What went wrong, empty when it was delivered."""
        receiver = self.receiver
        posted = _post(receiver, notice, int(self._clock()))
        try:
            code = await posted.addTimeout(ANSWER, self._reactor, _too_slow)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this attempt's problem
            return describe(error)
        if 200 <= code < 300:
            return ""
        redirected = "; redirects are not followed, write the new URL" if 300 <= code < 400 else ""
        return f"it answered {code}{_phrase(code)}{redirected}"

    def _give_up(self, notice: _Notice, attempts: int, problem: str) -> None:
        self._failed += 1
        name = self.receiver.name
        log.error("notice given up", webhook=name, request=notice.request, attempts=attempts, problem=problem)
        try:
            self._audit.append(NotificationFailed(name, notice.request, notice.occasion, attempts, problem))
            self._audit.flush()
        except RecordingFailed as error:
            log.error("audit log failed", problem=error.message)


class _Delivery:
    """One notice on its way.

    moot     it need not be tried again: the request was settled
    stopped  why it was cancelled
    ended    the coroutine, to be cancelled
    """

    def __init__(self, notice: _Notice) -> None:
        self.notice = notice
        self.attempts = 0
        self.moot = False
        self.stopped = "it was cancelled"
        self.ended: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None
        self._over = False
        self._listeners: list[Deferred[None]] = []

    async def pause(self, reactor: IReactorTime, seconds: float) -> None:
        """The time between two attempts; none when it is moot, or turns so."""
        if self.moot:
            return
        self._pause = deferLater(reactor, seconds)
        try:
            await self._pause
        except CancelledError:
            if not self.moot:
                raise
        finally:
            self._pause = None

    def settled(self) -> None:
        self.moot = True
        if self._pause is not None:
            self._pause.cancel()

    def stop(self, reason: str) -> None:
        self.moot, self.stopped = False, reason
        if self.ended is not None:
            self.ended.cancel()

    def over(self) -> Deferred[None]:
        """Fires when it was delivered or given up."""
        waiting: Deferred[None] = Deferred()
        if self._over:
            waiting.callback(None)
        else:
            self._listeners.append(waiting)
        return waiting

    def done(self) -> None:
        self._over = True
        listeners, self._listeners = self._listeners, []
        for waiting in listeners:
            if not waiting.called:
                waiting.callback(None)


# --- HTTP -----------------------------------------------------------------------------------------------------


class _Post(Protocol):
    """One POST (RFC 9112) on a connection of its own; ``answer`` fires with the final status."""

    def __init__(self, request: bytes) -> None:
        self.answer: Deferred[int] = Deferred(lambda _: self._abort())
        self._request = request
        self._received = b""

    def connectionMade(self) -> None:
        cast(ITransport, self.transport).write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self.answer.called:
            return  # the body, until the connection is closed: nobody wants it
        self._received += data
        while (code := self._status()) is not None:
            if code >= 200:
                cast(ITransport, self.transport).loseConnection()
                self.answer.callback(code)
                return
            # Interim: its headers end with an empty line, the next status follows (RFC 9110 section 15.2).
            end = re.search(rb"\n\r?\n", self._received)
            if end is None:
                break
            self._received = self._received[end.end() :]
        if len(self._received) > MAX_ANSWER or not _may_be_status(self._received):
            self._abort()
            self.answer.errback(Unanswered("what it answered is no HTTP"))

    def _status(self) -> int | None:
        match = _STATUS.match(self._received)
        return None if match is None else int(match[1])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            self.answer.errback(Unanswered("it closed the connection without an answer"))

    def _abort(self) -> None:
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()


def _may_be_status(received: bytes) -> bool:
    """Whether it can still become a status line."""
    return received.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(received)


class Unanswered(Exception):
    """A receiver gave no answer that can be understood; says what it did."""


async def _posted(receiver: Receiver, request: bytes) -> int:
    factory = Factory.forProtocol(partial(_Post, request))
    return await cast(_Post, await receiver.endpoint().connect(factory)).answer


def _post(receiver: Receiver, notice: _Notice, now: int) -> Deferred[int]:
    """The status that it is answered with. Cancel it to give up."""
    url = receiver.url
    headers = {
        "host": url.host,
        "user-agent": f"ostiary/{__version__}",
        "content-type": "application/json",
        "content-length": str(len(notice.body)),
        "connection": "close",
        "webhook-id": notice.id,
        "webhook-timestamp": str(now),
    }
    if receiver.key is not None:
        headers["webhook-signature"] = sign(receiver.key, notice.id, now, notice.body)
    lines = [f"POST {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return Deferred.fromCoroutine(_posted(receiver, "\r\n".join(lines).encode("ascii") + notice.body))


def _too_slow(_result: object, seconds: float) -> int:
    raise Unanswered(f"it did not answer within {seconds:g} s")


def _phrase(code: int) -> str:
    try:
        return f" {HTTPStatus(code).phrase}"
    except ValueError:
        return ""
