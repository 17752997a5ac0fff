"""What a session forwards: connections on from the target, listeners there that lead back, and what is lent to it.

Each connection is an operation of its own, also one that comes in by a listener, or uses a lent agent: it is decided by
the policy of that moment, and recorded, before the other side hears of it. The target gets the destination as it was
decided on (`gateway.protocols.ssh.operation.destination`), never as it was spelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, cast

import asyncssh

from gateway.errors import GatewayError
from gateway.model import Denial, SshOperation, Verdict
from gateway.protocols.ssh import errors
from gateway.protocols.ssh import operation as operations
from gateway.protocols.ssh.consent import Consent
from gateway.protocols.ssh.forward import Forward
from gateway.protocols.ssh.transport import CallerConnection
from gateway.protocols.ssh.tunnels import Asked, Opening, Place, TargetTunnels, TunnelChannel

if TYPE_CHECKING:
    from gateway.protocols.ssh.traffic import Traffic

MAX_LISTENERS: Final = 32
"""Of one session at its target: each is a socket there. People ask for a handful."""

Lent = Literal["agent", "x11"]
LENT: Final[dict[bytes, Lent]] = {b"auth-agent@openssh.com": "agent", b"x11": "x11"}


@dataclass(slots=True)
class _Source:
    """Why the target may open channels to the caller.

    operation  what was allowed, and is asked about again for each connection
    grant      the approval by which it was
    asked      as the caller spelled it, there: as the target did
    ready      the caller knows of it
    """

    operation: SshOperation
    grant: str
    number: int
    asked: Place | None = None
    there: Place | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Forwards:
    """One session's; it answers for the target's connection (`gateway.protocols.ssh.tunnels.TunnelOwner`)."""

    def __init__(self, traffic: Traffic, caller: CallerConnection, target: TargetTunnels) -> None:
        self._traffic = traffic
        self._caller = caller
        self._target = target
        self._running: set[Forward] = set()
        self._waiting: set[Consent] = set()
        self._listeners: dict[Place, _Source] = {}
        self._lent: dict[Lent, _Source] = {}
        self._over = False
        target.owner = self

    @property
    def waits_for_people(self) -> bool:
        return any(consent.waiting for consent in self._waiting)

    def runs_by(self, grant: str) -> bool:
        """Whether something goes on by that approval."""
        sources = (*self._listeners.values(), *self._lent.values())
        return any(one.grant == grant for one in sources) or any(one.grant == grant for one in self._running)

    def left(self, forward: Forward) -> None:
        self._running.discard(forward)

    def end(self, status: str) -> None:
        """The session is over."""
        self._over = True
        self._target.owner = None
        for consent in tuple(self._waiting):
            consent.drop("the session ended")
        for forward in tuple(self._running):
            forward.end(status)
        for listener in self._listeners.values():
            self._no_more(listener, status)
        self._listeners.clear()

    # --- on from the target ----------------------------------------------------------------------------------

    def local(self, asked: Asked) -> Opening:
        """The caller opens a connection on from the target. Raises ChannelOpenError."""
        assert asked.place is not None, "it leads somewhere"
        number = self._traffic.next_number()
        host = asked.place.host.decode("utf-8", "replace")
        if asked.place.port is None:
            operation = operations.forward_local_socket(host, number)
        else:
            operation = operations.forward_local(host, asked.place.port, number)
        channel = TunnelChannel(self._caller)
        return channel, self._opening(self._local(asked, number, operation))

    async def _local(self, asked: Asked, number: int, operation: SshOperation) -> asyncssh.SSHTCPSession[bytes]:
        verdict = await self._allowed(operation)
        asked = replace(asked, place=_place(operation))
        forward = Forward(self._traffic, number, verdict.number, verdict.grant, asked)
        return await self._joined(forward, TunnelChannel(self._target), asked)

    async def _joined(self, forward: Forward, far: TunnelChannel, asked: Asked) -> asyncssh.SSHTCPSession[bytes]:
        self._running.add(forward)
        try:
            return await forward.open(far, asked)
        except BaseException:
            self._running.discard(forward)
            raise

    # --- back from the target --------------------------------------------------------------------------------

    async def listen(self, place: Place) -> bool | bytes:
        """The caller asks that the target listens there; the answer, with the port where that was the target's choice.

        Whatever fails is a no, and ends the session where the corridor says so.
        """
        number = self._traffic.next_number()
        host = place.host.decode("utf-8", "replace")
        if place.port is None:
            operation = operations.forward_remote_socket(host, number)
        else:
            operation = operations.forward_remote(host, place.port, number)
        try:
            verdict = await self._allowed(operation)
            source = _Source(operation, verdict.grant, verdict.number, place, _place(operation))
            return await self._listens(source, number)
        except asyncssh.ChannelOpenError as error:
            self._traffic.say([f"{operation.normalised}: {error.reason}"])
        except asyncio.CancelledError:
            # The session is over.
            return False
        except Exception as error:  # noqa: BLE001  # whatever it was, nothing is listened on, and nothing goes on
            self._traffic.end(error)
        return False

    async def _listens(self, source: _Source, number: int) -> bool | bytes:
        asked, there = source.asked, source.there
        assert asked is not None, "a listener's"
        assert there is not None, "a listener's"
        if len(self._listeners) >= MAX_LISTENERS or asked in self._listeners:
            raise _refusal("too many listeners, or the same one twice")
        # Before the answer: the first connection may come right behind it.
        self._listeners[asked] = source
        port = await self._target.listen(there)
        if port is None or self._over:
            self._listeners.pop(asked, None)
            self._no_more(source, "refused by the target")
            raise _refusal("the target refuses to listen there")
        if asked.port == 0:
            del self._listeners[asked]
            source.asked, source.there = replace(asked, port=port), replace(there, port=port)
            self._listeners[source.asked] = source
        where = source.operation.destination if asked.port != 0 else f"port {port}"
        self._traffic.corridor.note("listening", channel=number, operation=source.number, on=where)
        # Once the answer has gone out.
        asyncio.get_running_loop().call_soon(source.ready.set)
        return port.to_bytes(4) if asked.port == 0 else True

    async def unlisten(self, place: Place) -> bool:
        """The caller wants no more of it."""
        source = self._listeners.pop(place, None)
        if source is None or source.there is None:
            return False
        done = await self._target.unlisten(source.there)
        try:
            self._no_more(source, "cancelled")
        except GatewayError as error:
            self._traffic.end(error)
        return done

    def _no_more(self, source: _Source, status: str) -> None:
        try:
            self._traffic.corridor.result(source.number, status, 0, 0)
        except GatewayError as error:
            self._traffic.end(error)

    async def lends(self, operation: SshOperation) -> str | None:
        """The caller would lend its agent or its display: None, and the target may use it from now on, or why not.

        Raises what must end the session.
        """
        try:
            verdict = await self._allowed(operation)
        except asyncssh.ChannelOpenError as error:
            return f"{operation.normalised}: {error.reason}"
        source = self._lent[cast(Lent, operation.request)] = _Source(operation, verdict.grant, verdict.number)
        source.ready.set()
        return None

    def tunnel(self, asked: Asked) -> Opening:
        """The target opens a channel. Raises ChannelOpenError when nobody asked for such."""
        source = self._source(asked)
        if source is None or self._over:
            raise _refusal("nobody asked for this")
        channel = TunnelChannel(self._target)
        return channel, self._opening(self._from_target(asked, source))

    async def _from_target(self, asked: Asked, source: _Source) -> asyncssh.SSHTCPSession[bytes]:
        await source.ready.wait()
        number = self._traffic.next_number()
        verdict = await self._allowed(replace(source.operation, channel=number), source.grant)
        # As the caller spelled it: that is how it knows what the connection is for.
        asked = replace(asked, place=source.asked)
        forward = Forward(self._traffic, number, verdict.number, verdict.grant, asked)
        return await self._joined(forward, TunnelChannel(self._caller), asked)

    def _source(self, asked: Asked) -> _Source | None:
        lent = LENT.get(asked.kind)
        if lent is not None:
            return self._lent.get(lent)
        if asked.place is None:
            return None
        found = [one for one in self._listeners.values() if one.there == asked.place]
        if not found and asked.place.port is not None:
            # Some say the address that was connected to, not the one that was listened on.
            ports = (asked.place.port, 0)
            found = [one for one in self._listeners.values() if one.there is not None and one.there.port in ports]
        return found[0] if len(found) == 1 else None

    # --- the corridor ----------------------------------------------------------------------------------------

    async def _allowed(self, operation: SshOperation, goes_on: str = "") -> Verdict[SshOperation]:
        """It may go on, and is recorded. Raises ChannelOpenError when it may not, or what must end the session."""
        traffic = self._traffic
        barred = self._barred(operation)
        if barred is not None:
            verdict = traffic.corridor.settle(operation, "request", None, (), None, refusal=barred)
        else:
            consent = Consent(traffic.corridor, lambda text, hint: traffic.say([text, hint]), traffic.end)
            self._waiting.add(consent)
            try:
                said = f"{operation.request} {operation.destination}"
                verdict = await consent.verdict(operation, said.encode("utf-8", "surrogateescape"), goes_on)
            finally:
                self._waiting.discard(consent)
        await traffic.committed()
        if self._over:
            raise _refusal("the session is over")
        if verdict.denial is not None:
            raise _refusal(errors.one_line(verdict.denial))
        if operation.opaque is not None:
            # No entry lets one go; should that change, it still goes nowhere: nobody could say where to.
            raise _refusal(operation.opaque)
        return verdict

    def _barred(self, operation: SshOperation) -> Denial | None:
        """What the caller's certificate doesn't let it do, whatever policy says."""
        may = self._traffic.restrictions
        permitted = {"agent": may.agent, "x11": may.x11}.get(operation.request, may.forwards)
        if permitted:
            return None
        return Denial("permission denied: your certificate does not permit this", "")

    async def _opening(self, work: Awaitable[asyncssh.SSHTCPSession[bytes]]) -> asyncssh.SSHTCPSession[bytes]:
        """Raises ChannelOpenError only: that one asyncssh answers."""
        try:
            return await work
        except asyncssh.ChannelOpenError:
            raise
        except asyncio.CancelledError:
            raise _refusal("the session is over") from None
        except Exception as error:  # noqa: BLE001  # whatever it was, nothing is forwarded, and nothing goes on
            self._traffic.end(error)
            raise _refusal("the session is over") from None


def _refusal(why: str) -> asyncssh.ChannelOpenError:
    return asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, why)


def _place(operation: SshOperation) -> Place:
    """Where a forward leads, as it was decided on."""
    if operation.destination.startswith("/"):
        return Place(operation.destination.encode("utf-8", "surrogateescape"), None)
    host, _, port = operation.destination.rpartition(":")
    host = "" if host == operations.EVERYWHERE else host.strip("[]")
    return Place(host.encode(), int(port))
