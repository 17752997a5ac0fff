"""One channel: what the caller asks for goes through the corridor, then data both ways.

    asked      the request waits for its answer: policy, perhaps people, the recording, the target
    started    both channels stand; each side is paused while the other can't keep up
    over       either side closed, or the request was refused

What ends it goes out behind its data: on the target's side all that was sent is handed on first (`after_data`), on the
caller's side all of that is written first (`behind_data`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import asyncssh
import structlog
from asyncssh.channel import SSHChannel
from asyncssh.constants import EXTENDED_DATA_STDERR

from gateway.errors import GatewayError, PeerError
from gateway.model import Denial, SshOperation, Verdict
from gateway.protocols.ssh import errors
from gateway.protocols.ssh import operation as operations
from gateway.protocols.ssh.advice import HELD, Advice
from gateway.protocols.ssh.commands import scp
from gateway.protocols.ssh.consent import Consent, variables
from gateway.protocols.ssh.forcing import Run, run
from gateway.protocols.ssh.masks import Output
from gateway.protocols.ssh.operation import Carrier
from gateway.protocols.ssh.paths import PathRefused
from gateway.protocols.ssh.scp import ScpRelay, at_target
from gateway.protocols.ssh.sftp import SftpRelay
from gateway.protocols.ssh.transfer import LocatorChannel, Transfer
from gateway.protocols.ssh.transport import LINGER, CallerChannel, TargetChannel, Terminal
from gateway.protocols.ssh.typed import Typed
from gateway.recording import Recorded
from gateway.recording.events import Stream
from gateway.ssh_requests import is_harmless

if TYPE_CHECKING:
    from gateway.protocols.ssh.traffic import Traffic

log = structlog.get_logger()

CHANGED: Final = Denial("permission denied: policy forces another command by now", "Nothing was run.", "Ask again.")


class _Reading:
    """Reading from one side of a channel, stopped while anybody has a reason."""

    def __init__(self) -> None:
        self.side: SSHChannel[bytes] | None = None
        self._reasons: set[str] = set()

    def stop(self, reason: str, stopped: bool = True) -> None:
        before = bool(self._reasons)
        (self._reasons.add if stopped else self._reasons.discard)(reason)
        if self.side is not None and bool(self._reasons) is not before:
            (self.side.pause_reading if self._reasons else self.side.resume_reading)()


class Channel(asyncssh.SSHServerSession[bytes]):
    """The caller's side of one channel, and in `_TargetSide` the target's."""

    def __init__(self, traffic: Traffic, number: int) -> None:
        self.number = number
        self._grant = ""
        self._traffic = traffic
        self._caller: CallerChannel | None = None
        self._target: TargetChannel | None = None
        self._terminal: Terminal | None = None
        self._started = False
        self._over = False
        self._early: list[Callable[[], None]] = []
        self._from_caller, self._from_target = _Reading(), _Reading()
        self._transfer: Transfer | None = None
        self._typed = Typed()
        self._operation = 0
        self._received = sha256()
        self._sizes = {"input": 0, "stdout": 0, "stderr": 0}
        self._outputs: dict[Stream, Output] = {}
        self._caller_reads_nothing = False
        self._status = "closed"
        self._lent: list[tuple[bytes, tuple[bytes, ...]]] = []
        self._not_lent: list[str] = []
        self._advice: Advice | None = None
        self._consent = Consent(traffic.corridor, self._tell, traffic.end, self._go_on)

    @property
    def is_busy(self) -> bool:
        """A command runs, which doesn't wait for keys or requests: silence doesn't mean that nobody needs it."""
        runs = self._started and not self._over and self._terminal is None and self._transfer is None
        return runs or self._consent.waiting

    def runs_by(self, grant: str) -> bool:
        return grant == self._grant or (self._transfer is not None and self._transfer.runs_by(grant))

    # --- what the caller asks for -----------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        assert isinstance(chan, CallerChannel)
        self._caller = self._from_caller.side = chan

    def pty_requested(self, term_type: str, term_size: tuple[int, int, int, int], term_modes: object) -> bool:
        assert isinstance(term_modes, dict)
        if self._started or not self._traffic.restrictions.terminal:
            return False
        self._terminal = Terminal(term_type, term_size, term_modes)
        return True

    def asked(self, request: str, argument: bytes) -> None:
        self._traffic.spawn(self._begin(request, argument))

    def lends(self, operation: SshOperation, request: bytes, fields: tuple[bytes, ...]) -> None:
        self._traffic.spawn(self._lend(replace(operation, channel=self.number), request, fields))

    async def _lend(self, operation: SshOperation, request: bytes, fields: tuple[bytes, ...]) -> None:
        why = await self._traffic.forwards.lends(operation)
        caller = self._caller
        if self._over or caller is None:
            return
        if why is None:
            self._lent.append((request, fields))
        else:
            self._not_lent.append(why)
        caller.answer_lent(why is None)

    def may_set(self, name: str, value: str) -> bool:
        if is_harmless(name, value):
            return True
        return self._traffic.allows(operations.environment(name, value, self.number))

    def wants_out(self) -> None:
        """Ctrl-C, or a signal, while it waits."""
        if self._over or self._started:
            return
        if not self._consent.cancel():
            self._finish(b"", 130)  # as a shell says of SIGINT

    def wants_no_output(self) -> None:
        if self._started and not self._over and self._target is not None:
            self._target.send_end_of_write()

    async def _begin(self, request: str, argument: bytes) -> None:
        traffic = self._traffic
        assert self._caller is not None, "only an open channel asks"
        environment = dict(self._caller.environment)
        runs = self._run(request, argument, environment)
        operation = runs.operation
        if runs.refusal is None:
            verdict = await self._consent.verdict(operation, runs.said + variables(runs.environment))
            if not self._is_over():
                now = self._run(request, argument, environment)
                if (now.said, now.refusal) != (runs.said, None):
                    # Policy changed while it waited.
                    verdict = self._refuse(operation, CHANGED)
        else:
            verdict = self._refuse(operation, runs.refusal)
        if self._is_over():
            return
        self._operation, self._grant = verdict.number, verdict.grant
        denial = verdict.denial
        recorded = await traffic.committed()
        if self._is_over():
            return
        if denial is not None:
            self._status = "denied"
            self._finish(errors.denied(denial, terminal=self._terminal is not None), errors.DENIED)
            return
        try:
            target = await self._open(recorded, runs)
        except (asyncssh.ChannelOpenError, PeerError, PathRefused) as error:
            words = [f"the target refuses this: {self._as_shown(error)}"]
            self._status = "refused by the target"
            self._finish(errors.stderr(words, terminal=self._terminal is not None), errors.DENIED)
            return
        if self._is_over():
            target.close()
            if self._transfer is not None:
                self._transfer.finish()
            return
        self._begun()

    def _as_shown(self, error: Exception) -> str:
        """What the target says of its no; ours is as it is."""
        if not isinstance(error, asyncssh.ChannelOpenError):
            return str(error)
        return self._traffic.masks.whole(error.reason.encode()[: errors.MAX_WHY]).decode("utf-8", "replace")

    def _complaint(self, words: bytes) -> bytes:
        """What the target's scp says, as the caller may see it, and as it is recorded."""
        shown = self._traffic.masks.whole(words)
        self._traffic.corridor.output(self.number, "stderr", shown + b"\n", interactive=False)
        return shown

    def _is_over(self) -> bool:
        """Asked again after each wait."""
        return self._over

    def _go_on(self) -> None:
        if self._transfer is not None:
            self._transfer.go_on()

    def tell(self, lines: list[str]) -> bool:
        """Say something on stderr; False when nobody would read it."""
        if self._over or self._caller is None or not self._caller.is_open or not self._started:
            return False
        self._say(errors.stderr(lines, terminal=self._terminal is not None))
        return True

    def _tell(self, text: str, hint: str) -> None:
        if self._advice is not None and self._advice.holding:
            self.advise([text, hint, HELD])
        else:
            self._say(errors.stderr([text, hint], terminal=self._terminal is not None))

    def _run(self, request: str, argument: bytes, environment: dict[bytes, bytes]) -> Run:
        """What runs, as policy is now. Raises SessionEnded."""
        corridor = self._traffic.corridor
        forced = corridor.newest_policy().forced(corridor.clock())
        return run(request, argument, environment, self.number, self._traffic.restrictions.command, forced)

    def _refuse(self, operation: SshOperation, refusal: Denial) -> Verdict[SshOperation]:
        return self._traffic.corridor.settle(operation, "request", None, (), None, refusal=refusal)

    async def _open(self, recorded: Recorded, run: Run) -> TargetChannel:
        """The same at the target. ``recorded`` proves that it is in the recording.

        Raises ChannelOpenError when the target refuses, PeerError when what moves files there is not understood.
        """
        connection = self._traffic.upstream.connection
        operation, request, argument = run.operation, run.request, run.argument
        if operation.request == "sftp":
            self._moves_files("sftp", SftpRelay())
        elif operation.request == "scp":
            command = scp(operation.argv)
            assert command is not None, "its words made it scp"
            locator = await LocatorChannel.open(connection)
            try:
                relay = ScpRelay(command, locator.home, resolve=True, complaint=self._complaint)
            except PathRefused:
                locator.close()
                raise
            self._moves_files("scp", relay, locator)
            argument = at_target(command, locator.home).command().encode("utf-8", "surrogateescape")
        target = self._target = self._from_target.side = TargetChannel(connection)
        await target.request(
            lambda: _TargetSide(self),
            command=argument if request == "exec" else None,
            subsystem=argument if request == "subsystem" else None,
            environment=run.environment,
            terminal=self._terminal,
            lent=self._lent,
        )
        return target

    def _moves_files(
        self, carrier: Carrier, relay: SftpRelay | ScpRelay, locator: LocatorChannel | None = None
    ) -> None:
        # Bytes of a protocol: a terminal would change them, and what they are would not be what was decided.
        self._terminal = None
        self._transfer = Transfer(
            carrier, relay, self.number, self._traffic.corridor, self._consent.asking, self, locator
        )

    def _begun(self) -> None:
        assert self._caller is not None, "an open channel"
        fields: dict[str, object] = {"channel": self.number, "operation": self._operation}
        if self._terminal is not None:
            columns, rows = self._terminal.size[:2]
            fields |= {"terminal": self._terminal.name, "columns": columns, "rows": rows}
        self._traffic.corridor.note("channel", **fields)
        self._started = True
        self._caller.answer(True)
        # Many ask with each command, as their configuration says; programs that read stderr don't want to hear of it.
        self.tell([*self._traffic.unsaid(), *(self._not_lent if self._terminal is not None else ())])
        self._advised()
        early, self._early = self._early, []
        for act in early:
            act()

    # --- data -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes, datatype: object) -> None:
        target = self._target
        if self._over or target is None or not target.is_open:
            return
        try:
            self._sizes["input"] += len(data)
            self._traffic.corridor.active()
            if self._transfer is not None:
                self._transfer.from_caller(data)
                return
            if self._terminal is None:
                self._received.update(data)
                target.write(data)
            elif (advice := self._advised()) is not None:
                advice.keys(data)
            else:
                self.type(data)
        except Exception as error:  # noqa: BLE001  # whatever it was, nothing more may be let through
            self.broken(error)

    # What advice about lines does with the channel (`gateway.protocols.ssh.advice.Terminal`).

    def _advised(self) -> Advice | None:
        """Where policy watches lines that are typed, as it is now."""
        advice = self._advice
        if self._terminal is None or not (
            self._traffic.corridor.policy.typed or (advice is not None and advice.holding)
        ):
            advice = None
        elif advice is None:
            traffic = self._traffic
            advice = Advice(
                self,
                self.number,
                self._terminal.size[0],
                traffic.corridor,
                self._consent,
                committed=traffic.committed,
                spawn=traffic.spawn,
                end=traffic.end,
            )
        self._advice = advice
        return advice

    def type(self, data: bytes) -> None:
        if self._target is not None and self._target.is_open:
            self._typed.keys(data)
            self._target.write(data)

    def advise(self, lines: list[str]) -> None:
        self._say(b"\r\n" + errors.stderr(lines, terminal=True))

    def wait(self, waits: bool) -> None:
        self._from_caller.stop("advice", waits)

    def eof_received(self) -> bool:
        try:
            if self._transfer is not None:
                self._transfer.caller_ends()
            elif self._advice is not None:
                self._advice.end_of_input()
            else:
                self.end_of_input()
        except Exception as error:  # noqa: BLE001  # as above
            self.broken(error)
        return True

    def from_target(self, data: bytes, datatype: int | None) -> None:
        caller = self._caller
        if self._over or caller is None or not caller.is_open:
            return
        try:
            if self._transfer is not None and datatype is None:
                self._traffic.corridor.active()
                self._transfer.from_target(data)
                return
            if self._terminal is not None:
                echoed = self._typed.echoed(data)
                if echoed:
                    typed = echoed.decode("utf-8", "replace")
                    self._traffic.corridor.happened("input", channel=self.number, data=typed)
            self._output("stdout" if datatype is None else "stderr").feed(data)
        except Exception as error:  # noqa: BLE001  # as above
            self.broken(error)

    def _output(self, stream: Stream) -> Output:
        found = self._outputs.get(stream)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._outputs[stream] = Output(
                self._traffic.masks,
                show=partial(self._show, stream),
                later=loop.call_later,
                now=loop.time,
                failed=self.broken,
                typed=self._terminal is not None,
            )
            found.hold(self._caller_reads_nothing)
        return found

    def _show(self, stream: Stream, data: bytes) -> None:
        """As the caller gets it: to the recording, then to the caller. Raises RecordingFailed."""
        caller = self._caller
        if self._over or caller is None or not caller.is_open:
            return
        self._record(data, stream)
        if self._advice is not None:
            self._advice.shown(data)
        caller.write(data, None if stream == "stdout" else EXTENDED_DATA_STDERR)

    def _show_rest(self) -> None:
        """The target sends no more."""
        try:
            for output in self._outputs.values():
                output.close()
        except Exception as error:  # noqa: BLE001  # as above
            self.broken(error)

    # What a transfer of files does with the channel (`gateway.protocols.ssh.transfer.Ends`).

    def to_caller(self, data: bytes) -> None:
        if self._caller is not None and self._caller.is_open:
            self._sizes["stdout"] += len(data)
            self._caller.write(data)

    def to_target(self, data: bytes) -> None:
        if self._target is not None and self._target.is_open:
            self._target.write(data)

    def end_of_input(self) -> None:
        if self._target is not None and self._target.is_open:
            self._target.write_eof()

    def hold(self, *, caller: bool, target: bool) -> None:
        self._from_caller.stop("files", caller)
        self._from_target.stop("files", target)

    def broken(self, error: BaseException) -> None:
        """A peer that breaks a protocol of files ends this channel, all else the session."""
        if self._transfer is not None and isinstance(error, PeerError):
            self._status = f"broken: {error}"
            self._finish(errors.lines(error, terminal=False), 1)
        else:
            self._traffic.end(error)

    def _record(self, data: bytes, stream: Stream) -> None:
        """Before the caller gets it."""
        corridor = self._traffic.corridor
        self._sizes[stream] += len(data)
        if self._terminal is None:
            corridor.output(self.number, stream, data, interactive=False)
            return
        corridor.output(self.number, stream, data, interactive=True)

    def pause_writing(self) -> None:
        self._caller_is_full(True)

    def resume_writing(self) -> None:
        self._caller_is_full(False)

    def _caller_is_full(self, full: bool) -> None:
        self._caller_reads_nothing = full
        self._from_target.stop("caller", full)
        for output in self._outputs.values():
            output.hold(full)
        if self._transfer is not None:
            # Answers to what it asks can be ours.
            self._from_caller.stop("caller", full)

    def target_is_full(self, full: bool) -> None:
        self._from_caller.stop("target", full)

    # --- while it runs ----------------------------------------------------------------------------------------

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._terminal is None:
            return
        self._terminal = Terminal(self._terminal.name, (width, height, pixwidth, pixheight), self._terminal.modes)
        if self._started and self._target is not None and not self._over:
            self._traffic.corridor.happened("resize", channel=self.number, columns=width, rows=height)
            if self._advice is not None:
                self._advice.resize(width)
            self._target.change_terminal_size(width, height, pixwidth, pixheight)

    def signal_received(self, signal: str) -> None:
        if self._started and self._target is not None and not self._over:
            self._traffic.corridor.happened("signal", channel=self.number, signal=signal[:32])
            self._target.send_signal(signal)

    def break_received(self, msec: int) -> bool:
        if self._started and self._target is not None and not self._over:
            self._traffic.corridor.happened("break", channel=self.number)
            self._target.send_break(msec)
            return True
        return False

    # --- the end ----------------------------------------------------------------------------------------------

    def exit_status(self, status: int) -> None:
        def send() -> None:
            self._status = f"exit {status}"
            caller = self._caller
            if caller is not None:
                caller.behind_data(lambda: caller.send_exit_status(status))

        self._after_data(send)

    def exit_signal(self, signal: str, core: bool) -> None:
        """Without the target's words: they would be neither masked nor recorded, and no client needs them."""

        def send() -> None:
            self._status = f"signal {signal[:32]}"
            caller = self._caller
            if caller is not None:
                caller.behind_data(lambda: caller.send_exit_signal(signal, core))

        self._after_data(send)

    def _after_data(self, act: Callable[[], None]) -> None:
        """Once what has come from the target was handed on; not before the caller knows that it runs."""
        if not self._started:
            self._early.append(lambda: self._after_data(act))
        elif self._target is not None:
            self._target.after_data(act)

    def target_eof(self) -> None:
        self._show_rest()
        if self._caller is not None and self._caller.is_open:
            self._caller.write_eof()

    def target_lost(self) -> None:
        """The target closed the channel, and all that it sent was handed on."""
        if self._traffic.upstream.connection.has_left:
            # All of the session ends, and each channel is told why.
            return
        if not self._started and not self._over:
            self._early.append(self.target_lost)
            return
        self._show_rest()
        self._target = None
        caller = self._caller
        if caller is not None:
            caller.behind_data(caller.close)
        self._ended()

    def awaits_end(self) -> bool:
        caller = self._caller
        if self._over or self._target is None or caller is None:
            return False
        asyncio.get_running_loop().call_later(LINGER, caller.close)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller closed the channel, or is gone."""
        self._caller = None
        target = self._target
        if target is not None:
            target.close()
            # One that doesn't read what was sent to it must not keep the channel.
            asyncio.get_running_loop().call_later(LINGER, target.abort)
        self._ended()

    def say_goodbye(self, error: BaseException) -> None:
        """The session ends: why, and the channel is closed."""
        if not self._over:
            self._finish(errors.lines(error, terminal=self._terminal is not None), None)

    def _say(self, text: bytes) -> None:
        caller = self._caller
        if caller is not None and caller.is_open and text:
            self._traffic.corridor.output(self.number, "stderr", text, interactive=self._terminal is not None)
            caller.write(text, EXTENDED_DATA_STDERR)

    def _finish(self, text: bytes, status: int | None) -> None:
        """``text`` on stderr, the exit status (None: none, it was ended), and the end."""
        caller = self._caller
        if caller is not None:
            caller.answer(True)
            try:
                self._say(text)
            except GatewayError as error:
                log.error("what a caller is told can't be recorded", problem=error.message)
            if caller.is_open:
                caller.write_eof()
            if status is not None:
                caller.behind_data(lambda: caller.send_exit_status(status))
            caller.behind_data(caller.close)
        if self._target is not None:
            self._target.close()
        self._ended()

    def _ended(self) -> None:
        if self._over:
            return
        self._over = True
        if self._advice is not None:
            self._advice.close()
        self._traffic.left(self)
        try:
            # A gateway that stops keeps what was asked open: the caller will come back for it.
            self._consent.over("the caller left", stays=self._traffic.corridor.stopping)
        except GatewayError as error:
            log.error("a request for approval was not withdrawn", problem=error.message)
        if self._transfer is not None:
            try:
                self._transfer.finish()
            except GatewayError as error:
                self._traffic.end(error)
        if not self._operation:
            return
        fields: dict[str, object] = {"channel": self.number, "status": self._status, **self._sizes}
        if self._terminal is None and self._sizes["input"]:
            fields["input_sha256"] = self._received.hexdigest()
        size = self._sizes["stdout"] + self._sizes["stderr"]
        try:
            self._traffic.corridor.happened("exit", **fields)
            self._traffic.corridor.result(self._operation, self._status, 0, size)
        except GatewayError as error:
            self._traffic.end(error)


class _TargetSide(asyncssh.SSHClientSession[bytes]):
    """What asyncssh tells about the target's channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._channel.from_target(data, datatype)

    def exit_status_received(self, status: int) -> None:
        self._channel.exit_status(status)

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._channel.exit_signal(signal, core_dumped)

    def eof_received(self) -> bool:
        self._channel.target_eof()
        return True

    def pause_writing(self) -> None:
        self._channel.target_is_full(True)

    def resume_writing(self) -> None:
        self._channel.target_is_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel.target_lost()
