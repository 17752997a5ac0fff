"""Drives the relay of one session between its two connections.

The relay says what must be asked and what may be sent; this asks the corridor, commits what it recorded, and only
then forwards. Every exception here ends the session: nothing that failed half-way is let through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog
from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.audit.events import CancelRequested
from gateway.errors import GatewayError, PeerError, SessionEnded, Unapproved
from gateway.model import RowRewriter, SqlOperation, Verdict
from gateway.net import StreamTransport
from gateway.protocols.postgres import errors
from gateway.protocols.postgres.operation import DECODED
from gateway.protocols.postgres.reading import Reading
from gateway.protocols.postgres.relay import Relay
from gateway.protocols.postgres.state import Ask
from gateway.protocols.postgres.upstream import Dialler, Upstream
from gateway.recording import Recorded
from gateway.session import Asking, Corridor

log = structlog.get_logger()

CANCEL_TIMEOUT = 10.0
"""Seconds for a cancel request at the target."""

LAST_ROW = 1.0
"""Seconds that a session which is ended may take for the rest of the row that its client has begun to read: what comes
in the middle of a row is not read as the reason. The target, whose statement is cancelled, sends the rest at once."""


class _Producer(Protocol):
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


class Valve:
    """Reading from one side, stopped while anybody has a reason."""

    def __init__(self, transport: _Producer) -> None:
        self._transport = transport
        self._reasons: set[str] = set()

    def shut(self, reason: str) -> None:
        if not self._reasons:
            self._transport.pauseProducing()
        self._reasons.add(reason)

    def open(self, reason: str) -> None:
        if reason in self._reasons:
            self._reasons.discard(reason)
            if not self._reasons:
                self._transport.resumeProducing()


@implementer(IPushProducer)
class _Backpressure:
    """What a transport calls, as its registered producer, when the other side must be slower (IPushProducer)."""

    def __init__(self, source: Valve) -> None:
        self._source = source

    def pauseProducing(self) -> None:
        self._source.shut("slow reader")

    def resumeProducing(self) -> None:
        self._source.open("slow reader")

    def stopProducing(self) -> None:
        """The consumer is gone; its own connectionLost says so, too."""


class Traffic:
    """One session after login, until either side leaves."""

    def __init__(
        self,
        dialler: Dialler,
        client: StreamTransport,
        upstream: Upstream,
        corridor: Corridor,
        reading: Reading,
        *,
        application_name: bytes,
        results: bool,
        on_end: Callable[[], None],
    ) -> None:
        self._dialler = dialler
        self._client = client
        self._upstream = upstream
        self._server = upstream.stream.transport
        self._corridor = corridor
        self._reading = reading
        self._on_end = on_end
        self._relay = Relay(application_name=application_name, keep_rows=results)
        self._relay.planner = corridor.planner
        for name, value in upstream.parameters:
            self._relay.parameter(name, value)
        self._holding = False
        self._answering = False
        self._reloading = False
        self._rewriting = False
        self._committing = False
        self._syncing = False
        self._over = False
        self._ending: Exception | None = None
        self._cancelling = DeferredLock()
        self._soon = dialler.soon
        self._to_commit = self._commit  # bound once: it is asked for with each operation
        self._from_client = Valve(client)
        self._from_server = Valve(self._server)
        client.registerProducer(_Backpressure(self._from_server), True)
        self._server.registerProducer(_Backpressure(self._from_client), True)
        upstream.stream.receiver = self
        corridor.live.waits = self._waits
        corridor.live.left = self._left
        corridor.live.runs_by = self._relay.runs_by
        self._asking = Asking(corridor.approvals, corridor, tell=self._tell, go_on=self._prepared, failed=self._failed)
        self._server.deliver_to(self.upstream_received)

    # --- bytes ------------------------------------------------------------------------------------------------

    def client_received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            self._relay.receive_client(data)
            self._turn()
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self.end(error)

    def upstream_received(self, data: bytes) -> None:
        if self._over:
            self._last_row(data)
            return
        try:
            self._relay.receive_server(data)
            self._turn()
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self.end(error)

    def client_lost(self, reason: Failure) -> None:
        """The client is gone. What it had sent is on its way; the target ends its session as for any client."""
        if self._over:
            self._say_goodbye()
            return
        self._finish("the client left" if self._relay.terminated else "the client's connection broke")
        self._server.loseConnection()

    def upstream_lost(self, reason: Failure) -> None:
        if self._over:
            self._say_goodbye()
            return
        self._finish("the target closed the connection")
        self._client.loseConnection()

    def _waits(self) -> bool:
        return self._relay.quiet

    # --- the turn ---------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        relay = self._relay
        while (ask := relay.ask) is not None and (not self._answering or self._asking.waiting):
            if relay.is_moot:
                # A client that was told so waits for the end of its batch, not for people.
                self._answering = False
                self._asking.drop("an earlier message of its batch failed")
                relay.dismiss()
                continue
            if self._answering:
                break
            verdict = self._answer(ask)
            if verdict is None:
                break
            relay.decided(verdict)
        if relay.stale and not self._reloading:
            self._reload()
        if relay.large is not None and not self._rewriting:
            self._rewrite(*relay.large)
        if relay.kept:
            self._keep()
        if relay.results:
            self._ended()
        if relay.to_client:
            self._to_client()
        if relay.to_server and not self._committing:
            self._commit_soon()
        if relay.is_idle() and self._reading.changes_catalogue:
            self._reading.settled()
        holding = self._syncing or relay.holds()
        if holding is not self._holding:
            self._holding = holding
            if holding:
                self._from_client.shut("holding")
            else:
                self._from_client.open("holding")

    def _to_client(self) -> None:
        self._reading.keep_tokens()
        out = self._relay.to_client
        self._relay.to_client = []
        self._client.write(out[0] if len(out) == 1 else b"".join(out))

    def _commit_soon(self) -> None:
        """At the end of this turn of the loop: then one write to the audit log serves all sessions that were ready."""
        if self._corridor.uncommitted:
            self._committing = True
            self._soon(self._to_commit)
        else:
            self._commit()

    def _commit(self) -> None:
        self._committing = False
        if self._over:
            return
        # What is decided while the disk is awaited is not part of this commit, and waits for the next.
        out, self._relay.to_server = self._relay.to_server, []
        try:
            recorded = self._corridor.commit()
            # The first half is for speed: to be no Deferred takes isinstance as long as all the rest here.
            if type(recorded) is not Recorded and isinstance(recorded, Deferred):
                self._syncing = self._committing = True
                recorded.addCallbacks(self._synced, self._failed, callbackArgs=(out,))
                self._turn()
            else:
                self._forward(recorded, out)
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self.end(error)

    def _forward(self, recorded: Recorded, out: list[bytes]) -> None:
        """``out`` goes to the target. ``recorded`` proves that all of it is in the recording."""
        self._server.write(out[0] if len(out) == 1 else b"".join(out))

    def _synced(self, recorded: Recorded, out: list[bytes]) -> None:
        self._syncing = self._committing = False
        if not self._over:
            self._forward(recorded, out)
            self._again()

    def _ended(self) -> None:
        results, self._relay.results = self._relay.results, []
        for result in results:
            self._corridor.result(result.number, result.status, result.rows, result.size, result.columns, result.masked)

    def _keep(self) -> None:
        """Rows as the client gets them go to the recording, before they go to the client."""
        kept, self._relay.kept = self._relay.kept, []
        for number, data in kept:
            self._corridor.rows(number, data)

    # --- questions --------------------------------------------------------------------------------------------

    def _answer(self, ask: Ask) -> Verdict[SqlOperation] | None:
        """The corridor's verdict; None when it will come later."""
        reading = self._reading
        relay = self._relay
        if relay.unsafe is not None and not reading.unrestricted:
            raise SessionEnded(f"the gateway can't read statements of this session: {relay.unsafe}")
        if relay.encoding not in DECODED and reading.searches:
            encoding = relay.encoding.decode("ascii", "replace")
            raise SessionEnded(f"the gateway can't search values in {encoding}", hint="Set client_encoding to UTF8.")
        operation = reading.read(ask, relay.encoding)
        if operation is None:
            self._answering = True
            ensureDeferred(reading.prepare(ask, relay.encoding)).addCallbacks(self._prepared, self._failed)
            return None
        if self._asking.refusal is not None:
            verdict = self._approval(ask, operation)
            assert verdict is not None, "a refusal is an answer"
            reading.asked(ask, verdict)
            return verdict
        try:
            verdict = self._corridor.ask(operation, ask.source, ask.parameters, ask.formats, reading.said)
        except Unapproved:
            approved = self._approval(ask, operation)
            if approved is None:
                return None
            verdict = approved
        reading.asked(ask, verdict)
        return verdict

    def _approval(self, ask: Ask, operation: SqlOperation) -> Verdict[SqlOperation] | None:
        """The verdict on what needs an approval; None when it will come later."""
        relay = self._relay
        if relay.behind and self._asking.refusal is None:
            return None  # what is answered meanwhile asks again
        asking = self._asking
        verdict = asking.answer(
            operation,
            ask.source,
            ask.text,
            relay.encoding,
            ask.types,
            ask.parameters,
            ask.formats,
            self._reading.said,
            may_wait=not relay.holds_locks,
            goes_on=ask.grant,
        )
        self._answering = asking.waiting
        return verdict

    def _tell(self, text: str, hint: str) -> None:
        self._relay.to_client.append(errors.notice(text, hint))

    def _left(self) -> bool:
        """Nobody reads what the caller sends while it waits, so its leaving is looked for."""
        return self._asking.waiting and self._client.peer_has_left()

    def _prepared(self, _: None = None) -> None:
        self._answering = False
        self._again()

    def _reload(self) -> None:
        self._reloading = True
        self._from_server.shut("catalogue")
        ensureDeferred(self._reading.reload()).addCallbacks(self._reloaded, self._failed)

    def _reloaded(self, _: None) -> None:
        self._reloading = False
        self._from_server.open("catalogue")
        if self._over:
            return
        try:
            self._relay.catalogue_reloaded()
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self.end(error)
            return
        self._again()

    def _rewrite(self, mask: RowRewriter, rows: bytes) -> None:
        """In a thread: other sessions go on, and so does what this one's client says. Rows behind these wait."""
        self._rewriting = True
        self._from_server.shut("masking")
        self._dialler.in_thread(mask.apply, rows).addCallbacks(self._rewritten, self._failed)

    def _rewritten(self, masked: bytes) -> None:
        self._rewriting = False
        self._from_server.open("masking")
        if self._over:
            return
        try:
            self._relay.rewritten(masked)
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self.end(error)
            return
        self._again()

    def _again(self) -> None:
        if self._over:
            return
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self.end(error)

    def _failed(self, failure: Failure) -> None:
        self.end(failure.value or SessionEnded(failure.getErrorMessage()))

    # --- the end ----------------------------------------------------------------------------------------------

    def cancel(self, address: str) -> Deferred[None]:
        """A client asked, with the right secret, to cancel what this session does; fires when the target has done so
        (or can't). One request at a time, in order, which also bounds their rate.
        """
        key = self._upstream.key
        if self._over or key is None:
            return succeed(None)
        audit = self._corridor.audit
        audit.append(CancelRequested(self._corridor.admitted.context, address))
        audit.flush()
        target = self._corridor.admitted.access.target
        if self._asking.cancel():
            return succeed(None)
        done: Deferred[None] = self._cancelling.run(
            lambda: ensureDeferred(self._dialler.cancel(target, key, CANCEL_TIMEOUT))
        )
        return done.addErrback(lambda failure: log.warning("cancel failed", problem=failure.getErrorMessage()))

    def end(self, error: BaseException) -> None:
        """End the session and tell the client why. May be called more than once."""
        if self._over:
            if self._corridor.stopping:
                self._say_goodbye()
            return
        session = self._corridor.admitted.session
        if isinstance(error, GatewayError | PeerError):
            log.info("session ended", session=session, reason=str(error))
        else:
            log.error("session failed", session=session, exc_info=error)
        busy = not self._relay.idle and not self._asking.waiting
        if busy:
            try:
                self.cancel("gateway")
            except GatewayError:
                log.error("not cancelled: that can't be recorded", session=session)
        self._over = True
        failed = SessionEnded("the gateway failed and ended this session")
        self._ending = error if isinstance(error, Exception) else failed
        if isinstance(error, SessionEnded) and self._relay.rest_of_row and not self._corridor.stopping:
            self._dialler.later(LAST_ROW, self._say_goodbye)
        else:
            self._say_goodbye()

    def _last_row(self, data: bytes) -> None:
        """What the client has begun to read goes on up to its end, and to the recording, as rows do."""
        if self._ending is None:
            return
        relay = self._relay
        try:
            relay.receive_server(data[: relay.rest_of_row])
            if relay.kept:
                self._keep()
            self._to_client()
        except Exception as error:  # noqa: BLE001  # whatever it was, the session must not go on
            self._ending = error
            self._say_goodbye()
            return
        if not relay.rest_of_row:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        error, self._ending = self._ending, None
        if error is None:
            return
        self._client.write(errors.fatal(error))
        self._finish(str(error))
        self._client.loseConnection()
        self._server.abortConnection()

    def _finish(self, reason: str) -> None:
        self._over = True
        try:
            self._asking.over(reason, stays=self._corridor.stopping)
        except GatewayError:
            log.error("a request for approval was not withdrawn", session=self._corridor.admitted.session)
        if self._relay.results:
            try:
                self._ended()
            except GatewayError:
                log.error("a result could not be recorded", session=self._corridor.admitted.session)
        self._corridor.close(reason)
        self._on_end()
