"""Drives the relay of a channel that moves files: SFTP, or the old protocol of scp.

The relay says what must be asked and what may be sent; this asks the corridor, commits what it recorded, and only then
forwards. Content is not kept: what was read and written is recorded by its size and digest when a file is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import asyncssh
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.errors import PeerError, Unapproved
from gateway.model import Denial, SshOperation, Verdict
from gateway.protocols.ssh import operation as operations
from gateway.protocols.ssh.files import Ask, Done, Flow
from gateway.protocols.ssh.locating import Locator
from gateway.protocols.ssh.operation import Carrier
from gateway.protocols.ssh.scp import ScpRelay
from gateway.protocols.ssh.sftp import SftpRelay
from gateway.protocols.ssh.sftp_asking import Probe, Reply
from gateway.protocols.ssh.transport import TargetChannel, TargetConnection
from gateway.recording import Recorded
from gateway.session import Asking, Corridor

GREETING: Final = 10.0
"""Seconds for the target's sftp to say where it is."""


class Ends(Protocol):
    """The channel's two ends, and what it is told."""

    def to_caller(self, data: bytes) -> None: ...

    def to_target(self, data: bytes) -> None: ...

    def end_of_input(self) -> None:
        """The target gets no more."""

    def hold(self, *, caller: bool, target: bool) -> None:
        """Which sides are not to be read now."""

    def broken(self, error: BaseException) -> None:
        """Something went wrong: `PeerError` ends the channel, all else the session."""


class LocatorChannel(asyncssh.SSHClientSession[bytes]):
    """A channel of our own with the target's sftp, which says where paths lead."""

    def __init__(self) -> None:
        self._locator = Locator()
        self._channel: TargetChannel | None = None
        self._woken: asyncio.Future[None] | None = None
        self._lost: BaseException | None = None

    @classmethod
    async def open(cls, connection: TargetConnection) -> LocatorChannel:
        """Raises ChannelOpenError when the target has no sftp, PeerError when it doesn't speak it."""
        made = cls()
        channel = made._channel = TargetChannel(connection)
        await channel.request(lambda: made, subsystem=b"sftp")
        try:
            async with asyncio.timeout(GREETING):
                await made._until(lambda: made._locator.ready)
        except BaseException as error:
            made.close()
            if isinstance(error, TimeoutError):
                raise PeerError(f"the target's sftp said nothing for {GREETING:g} s") from None
            raise
        return made

    @property
    def home(self) -> bytes | None:
        return self._locator.home

    async def ask(self, probe: Probe) -> Reply:
        """Raises PeerError."""
        self._locator.ask(probe)
        await self._until(lambda: self._locator.reply is not None)
        reply, self._locator.reply = self._locator.reply, None
        assert reply is not None, "it was waited for"
        return reply

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            if self._lost is not None or self._channel is None:
                raise PeerError(f"the target's sftp ended: {self._lost or 'it was closed'}")
            if self._locator.to_server:
                self._channel.write(b"".join(self._locator.to_server))
                self._locator.to_server.clear()
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken

    def _wake(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None and not woken.done():
            woken.set_result(None)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        try:
            if datatype is None:
                self._locator.receive_server(data)
        except PeerError as error:
            self._lost = error
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        self._wake()

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


class Transfer:
    """One channel's.

    number   the channel's, in its session
    locator  for scp: says where paths lead
    asking   the channel's questions to approvers; `go_on` is to be called when they are answered
    """

    def __init__(
        self,
        carrier: Carrier,
        relay: SftpRelay | ScpRelay,
        number: int,
        corridor: Corridor,
        asking: Asking,
        ends: Ends,
        locator: LocatorChannel | None = None,
    ) -> None:
        self._grants: dict[object, str] = {}
        self._policy = corridor.policy
        self._carrier: Carrier = carrier
        self._relay = relay
        self._number = number
        self._corridor = corridor
        self._asking = asking
        self._ends = ends
        self._locator = locator
        self._asked: tuple[Ask, SshOperation] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._syncing = False
        self._at_end = False
        self._over = False

    def runs_by(self, grant: str) -> bool:
        return grant in self._grants.values()

    def from_caller(self, data: bytes) -> None:
        """Raises PeerError: end the channel."""
        self._may_go_on()
        self._relay.receive_client(data)
        self._turn()

    def from_target(self, data: bytes) -> None:
        """Raises PeerError: end the channel."""
        self._may_go_on()
        self._relay.receive_server(data)
        self._turn()

    def caller_ends(self) -> None:
        """The caller sends no more; the target hears so behind what waits."""
        self._at_end = True
        self._turn()

    def go_on(self) -> None:
        """Approvers have answered, or something that was waited for is done."""
        if self._over:
            return
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001  # whatever it was, nothing more may be let through
            self._ends.broken(error)

    def finish(self) -> None:
        """The channel is over. Raises RecordingFailed."""
        if self._over:
            return
        self._over = True
        if self._probing is not None:
            self._probing.cancel()
        if self._locator is not None:
            self._locator.close()
        self._relay.finish()
        self._done()

    # --- the turn ---------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        relay = self._relay
        # While the disk is awaited nothing is asked: what is asked is committed in the same turn, by this channel.
        while (ask := relay.ask) is not None and not self._asking.waiting and not self._syncing:
            verdict = self._answer(ask)
            if verdict is None:
                break
            if verdict.grant:
                self._grants[verdict.number] = verdict.grant
            denial = verdict.denial
            relay.decided(denial is None, "" if denial is None else _words(denial), verdict.number)
        if isinstance(relay, ScpRelay) and relay.probe is not None and self._probing is None:
            self._probe(relay, relay.probe)
        if relay.done:
            self._done()
        if (relay.to_server or self._corridor.uncommitted) and not self._syncing:
            self._commit()
        if relay.to_client and not self._syncing:
            # Behind the commit: a denial, too, is recorded before it is told.
            out, relay.to_client[:] = b"".join(relay.to_client), []
            self._ends.to_caller(out)
        waits = relay.ask is not None or self._probing is not None or self._syncing
        if self._at_end and not waits and not relay.holding and not relay.to_server:
            self._at_end = False
            self._ends.end_of_input()
        self._ends.hold(caller=relay.holding or self._syncing, target=self._syncing)

    def _may_go_on(self) -> None:
        """What was opened before policy changed is read and written no more if it wouldn't be opened now. Raises
        PeerError: end the channel."""
        policy = self._corridor.newest_policy()
        if policy is self._policy:
            return
        self._policy = policy
        for ask, reference in self._relay.open():
            if not self._corridor.still_allows(self._operation(ask), self._grants.get(reference, "")):
                raise PeerError(f"policy has changed, and no longer allows this: {ask.text}")

    def _operation(self, ask: Ask) -> SshOperation:
        return operations.file(self._carrier, ask.text, ask.files, self._number, opaque=ask.opaque)

    def _answer(self, ask: Ask) -> Verdict[SshOperation] | None:
        """The corridor's verdict; None: it comes later."""
        if self._asked is None or self._asked[0] is not ask:
            self._asked = ask, self._operation(ask)
        operation = self._asked[1]
        if self._asking.refusal is None:
            try:
                return self._corridor.ask(operation, "file")
            except Unapproved:
                pass
        return self._asking.answer(operation, "file", ask.text.encode("utf-8", "surrogateescape"), may_wait=True)

    def _commit(self) -> None:
        out, self._relay.to_server[:] = b"".join(self._relay.to_server), []
        recorded = self._corridor.commit()
        if isinstance(recorded, Deferred):
            self._syncing = True
            recorded.addCallbacks(self._synced, self._failed, callbackArgs=(out,))
        else:
            self._forward(recorded, out)

    def _forward(self, recorded: Recorded, out: bytes) -> None:
        """``out`` goes to the target. ``recorded`` proves that all of it is in the recording."""
        if out:
            self._ends.to_target(out)

    def _synced(self, recorded: Recorded, out: bytes) -> None:
        self._syncing = False
        if not self._over:
            self._forward(recorded, out)
            self.go_on()

    def _failed(self, failure: Failure) -> None:
        if not self._over and failure.value is not None:
            self._ends.broken(failure.value)

    def _probe(self, relay: ScpRelay, probe: Probe) -> None:
        locator = self._locator
        assert locator is not None, "scp asks where paths lead only where somebody can be asked"

        async def find_out() -> None:
            try:
                reply = await locator.ask(probe)
                self._probing = None
                relay.told(reply)
            except PeerError as error:
                self._ends.broken(error)
                return
            self.go_on()

        self._probing = asyncio.get_running_loop().create_task(find_out())

    def _done(self) -> None:
        done, self._relay.done[:] = list(self._relay.done), []
        for each in done:
            self._record(each)

    def _record(self, done: Done) -> None:
        """What became of an action on files. Raises RecordingFailed."""
        number = done.reference
        assert isinstance(number, int), "only what was allowed is done"
        fields: dict[str, object] = {"channel": self._number, "operation": number, "action": done.ask.action}
        status = "done" if not done.status else f"failed: {done.words or done.status}"
        if not done.closed:
            status = "not closed"
        size = 0
        for name, flow in (("read", done.read), ("written", done.written)):
            if flow is not None:
                fields[name] = _content(flow)
                size += flow.size
        if done.changed:
            fields["changed"] = list(done.changed)
        if done.entries:
            fields["entries"] = done.entries
        self._corridor.happened("file", status=status, **fields)
        self._corridor.result(number, status, done.entries, size)


def _content(flow: Flow) -> dict[str, object]:
    said: dict[str, object] = {"start": flow.start, "size": flow.size, "whole": flow.to_end and flow.start == 0}
    if flow.digest:
        said["sha256"] = flow.digest
    return said


def _words(denial: Denial) -> str:
    return " ".join(part for part in (denial.message, denial.detail, denial.hint) if part)
