"""The state machine of one SFTP channel: what the client asked for, what the target answered, what that means.

Pure: bytes go in, bytes and at most one question (`SftpRelay.ask`) come out.

Strategy: what names a path takes the long way. It waits in a line, first come first served, until it is found out where
the path leads and the corridor has answered (`sftp_asking`); a refusal is a STATUS of our own and the target never
hears of it. What names a handle takes the short way: opening it was decided, so READ, WRITE and the like need only fit
what it was opened for, and pass as they came, content streaming through unheld. They overtake the line, unless
something in it is about the same handle or path: what the client sent about one file happens in its order, as section
3 has it.

Request ids are the client's own. Our questions to the target have an id that nothing under way has; should the client
come to use the same one, its request waits until ours is answered.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from gateway.errors import PeerError
from gateway.protocols.ssh import sftp_wire as wire
from gateway.protocols.ssh.files import Ask, Done, Flow
from gateway.protocols.ssh.sftp_asking import (
    MAX_WORDS,
    Answer,
    Forward,
    Opened,
    Probe,
    Reply,
    Said,
    Sent,
    Steps,
    Surroundings,
    learn_home,
    steps,
    touched,
)
from gateway.protocols.ssh.sftp_wire import (
    BULK_HEAD,
    DATA,
    EOF,
    FAILURE,
    HANDLE,
    HEAD,
    MAX_HANDLE,
    MAX_PACKET,
    MAX_READ,
    MAX_REQUEST,
    NAME,
    OK,
    OP_UNSUPPORTED,
    PERMISSION_DENIED,
    RANGE,
    READ,
    STATUS,
    WRITE,
    CopyData,
    OnHandle,
    OnPath,
    Open,
    Plain,
    Request,
    Unsupported,
)

MAX_OUTSTANDING: Final = 1024
"""Requests that wait for an answer; the client's next ones wait then. OpenSSH's client has 64 under way, WinSCP 32,
rclone 64 a file; a target that has this many answers them."""

MAX_WAITING: Final = 128
"""Requests in line to be decided, each of two paths at most: a megabyte. Behind that the client waits."""

MAX_HANDLES: Final = 1024
"""Files and directories that are open, each with a digest's state. OpenSSH's server has as many descriptors, less
five, and says so in its limits."""

READABLE: Final = frozenset({"close", "fstat", "fstatvfs"})
"""What may be done to any handle; `readdir` to a directory's, `fsync` to a file's."""

EXPECTED: Final = {
    "open": HANDLE,
    "opendir": HANDLE,
    "read": DATA,
    "readdir": NAME,
    "readlink": NAME,
    "stat": wire.ATTRS,
    "lstat": wire.ATTRS,
    "fstat": wire.ATTRS,
    "statvfs": wire.EXTENDED_REPLY,
    "fstatvfs": wire.EXTENDED_REPLY,
    "limits": wire.EXTENDED_REPLY,
    "users-groups-by-id": wire.EXTENDED_REPLY,
}
"""What the target may answer beside a STATUS (sections 6 and 7)."""

ENDS: Final = frozenset({"open", "opendir", "close"})
"""While one of these is under way, what it opens or closes is in no table but `_sent`."""

HIGHEST_ID: Final = 0xFFFFFFFF
"""Where our own ids begin, downward: clients count upward from 0."""


class Waiting:
    """A request in line. ``touched`` and ``opened``: what it is about."""

    __slots__ = ("id", "opened", "steps", "touched")

    def __init__(
        self,
        number: int,
        conversation: Steps[Forward | Answer],
        about: frozenset[bytes],
        opened: tuple[Opened, ...],
    ) -> None:
        self.id = number
        self.steps = conversation
        self.touched = about
        self.opened = opened


class Intake:
    """Bytes of one side that have come and aren't dealt with: ``data`` from ``pos`` on."""

    __slots__ = ("_need", "_tail", "data", "pos")

    def __init__(self) -> None:
        self.data = b""
        self.pos = 0
        self._tail: bytearray | None = None
        self._need = 0

    def feed(self, data: bytes) -> bool:
        """False: still less than was needed."""
        tail = self._tail
        if tail is not None:
            tail += data
            if len(tail) < self._need:
                return False
            self.data, self.pos, self._tail = bytes(tail), 0, None
        elif self.pos < len(self.data):
            self.data, self.pos = self.data[self.pos :] + data, 0
        else:
            self.data, self.pos = data, 0
        return True

    def wait(self, pos: int, need: int) -> None:
        """What is from ``pos`` on is of no use before it has ``need`` bytes."""
        if pos < len(self.data):
            self._tail, self._need = bytearray(self.data[pos:]), need
        self.data, self.pos = b"", 0


class SftpRelay:
    """One channel with the subsystem sftp.

    Feed `receive_client` and `receive_server`; while `ask` is set, answer it by `decided`, as late as it may be: other
    files' content goes on meanwhile. What is to be sent stands in `to_server` and `to_client`, what ended in `done`:
    whoever takes them leaves an empty list. Don't feed the client's bytes while `holding`, nor while either side
    doesn't take what is sent: a request's answer can be ours.

    resolve  ask the target where a path really leads, and decide on that as well (`sftp_asking`)
    """

    def __init__(self, *, resolve: bool = True) -> None:
        self.ask: Ask | None = None
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.done: list[Done] = []
        self.home: bytes | None = None
        self._resolve = resolve
        self._greeted = False
        self._answered_greeting = False
        self._ready = False
        self._stalled = False
        self._line: deque[Waiting] = deque()
        self._own: int | None = None
        self._sent: dict[int, Sent] = {}
        self._handles: dict[bytes, Opened] = {}
        self._opening = 0
        self._from_client = Intake()
        self._client_left = 0
        self._client_drops = False
        self._client_flow: Flow | None = None
        self._later_to_server: list[bytes] = []
        self._from_server = Intake()
        self._server_left = 0
        self._server_flow: Flow | None = None
        self._later_to_client: list[bytes] = []

    @property
    def holding(self) -> bool:
        """Client bytes wait here; don't read more of them."""
        return self._stalled

    @property
    def quiet(self) -> bool:
        """Nothing is under way; files may be open."""
        return not self._sent and not self._line

    def open(self) -> list[tuple[Ask, object]]:
        """What was asked about for each handle that there is, or is about to be, with the answer's reference."""
        soon = (sent.opened for sent in self._sent.values())
        unique = dict.fromkeys(opened for opened in (*self._handles.values(), *soon) if opened is not None)
        return [(opened.ask, opened.reference) for opened in unique]

    def finish(self) -> None:
        """The channel is over: what is still open ends here."""
        self.done += [opened.done(closed=False) for opened in self._handles.values()]
        for sent in self._sent.values():
            if sent.kind in ENDS and sent.opened is not None:
                self.done.append(sent.opened.done(closed=False))
            elif sent.ask is not None:
                self.done.append(Done(sent.ask, sent.reference, closed=False))
        self._handles.clear()
        self._sent.clear()
        self._line.clear()
        self.ask = None

    # --- from the client --------------------------------------------------------------------------------------

    def receive_client(self, data: bytes) -> None:
        """Bytes from the client, in any split. Raises PeerError: end the channel."""
        if self._from_client.feed(data) and not self._stalled:
            self._run_client()

    def decided(self, allowed: bool, message: str = "", reference: object = None) -> None:
        """The corridor's answer to `ask`. Moot after `finish`.

        message    for the caller, where it is refused; one line
        reference  whatever the corridor wants to find it again by in `done`
        """
        if self.ask is None:
            return
        self.ask = None
        self._advance(Said(allowed, message, reference))
        if self._stalled:
            self._run_client()

    def _run_client(self) -> None:
        intake, out, sent, line = self._from_client, self.to_server, self._sent, self._line
        data, pos, end = intake.data, intake.pos, len(intake.data)
        self._stalled = False
        run = pos  # where what passes unchanged, and isn't in `out` yet, begins
        need = 0
        while pos < end:
            if self._client_left:
                stop = min(end, pos + self._client_left)
                self._client_left -= stop - pos
                if self._client_drops:
                    run = stop
                elif self._client_flow is not None:
                    self._client_flow.take(memoryview(data)[pos:stop])
                pos = stop
                if self._later_to_server and not self._client_left:
                    if run < pos:
                        out.append(data[run:pos])
                    run = pos
                    out += self._later_to_server
                    self._later_to_server.clear()
                continue
            if end - pos < HEAD.size:
                need = HEAD.size
                break
            length, kind, number = HEAD.unpack_from(data, pos)
            if not 5 <= length <= MAX_PACKET:
                raise PeerError("invalid length of a packet")
            bulk = kind in (READ, WRITE)
            if not bulk and length > MAX_REQUEST:
                raise PeerError(f"a request has more than {MAX_REQUEST} bytes")
            if not self._ready and (self._greeted or kind != wire.INIT):
                self._stalled = True
                break
            if bulk:
                if end - pos < BULK_HEAD.size:
                    need = BULK_HEAD.size
                    break
                size = BULK_HEAD.unpack_from(data, pos)[3]
                if size > MAX_HANDLE or length < size + 21:
                    raise PeerError("invalid READ or WRITE")
                body = pos + 25 + size
                if body > end:
                    need = body - pos
                    break
                handle = data[pos + 13 : pos + 13 + size]
                offset, count = RANGE.unpack_from(data, pos + 13 + size)
                if length - size - 21 != (count if kind == WRITE else 0):
                    raise PeerError("invalid READ or WRITE")
                opened = self._handles.get(handle)
                if not self._may_pass(number, opened):
                    self._stalled = True
                    break
                if opened is None or not (opened.writable if kind == WRITE else opened.readable):
                    if run < pos:
                        out.append(data[run:pos])
                    run = body
                    self._refuse_bulk(number, opened, kind)
                    if kind == WRITE:
                        self._client_left, self._client_drops = count, True
                elif kind == WRITE:
                    sent[number] = Sent("write", opened, offset, count)
                    flow = opened.written
                    self._client_flow = flow.expect(flow.end if opened.append and flow.start >= 0 else offset, count)
                    self._client_left, self._client_drops = count, False
                else:
                    if count > MAX_READ:
                        out.append(data[run : body - 4] + wire.U32.pack(MAX_READ))
                        run, count = body, MAX_READ
                    sent[number] = Sent("read", opened, offset, count)
                pos = body
                continue
            stop = pos + 4 + length
            if stop > end:
                need = stop - pos
                break
            if not self._ready:
                self._greet(data[pos + 5 : stop])
                pos = run = stop
                continue
            request = wire.parse_request(kind, data[pos + 5 : stop])
            about = self._about(request)
            if len(line) >= MAX_WAITING or not self._may_pass(number, *about):
                self._stalled = True
                break
            if not self._passes(request, about):
                if run < pos:
                    out.append(data[run:pos])
                run = stop
                self._long_way(request, about)
            pos = stop
        if run < pos:
            out.append(data[run:pos])
        if self._stalled:
            intake.pos = pos
        else:
            intake.wait(pos, need)

    def _greet(self, body: bytes) -> None:
        """INIT: whatever newer version the client speaks, 3 is what is spoken. Its extensions aren't passed on."""
        version, _ = wire.parse_version(body)
        if version < wire.VERSION_3:
            raise PeerError(f"SFTP version {version} is not supported: 3 is")
        self._greeted = True
        self.to_server.append(wire.init())

    def _may_pass(self, number: int, *about: Opened | None) -> bool:
        """Whether a request may be looked at now, rather than after what is in front of it. Raises PeerError."""
        line = self._line
        if number in self._sent or (line and any(waiting.id == number for waiting in line)):
            raise PeerError(f"request id {number} is in use")
        if number == self._own or len(self._sent) + len(line) >= MAX_OUTSTANDING:
            return False
        if len(self._later_to_client) >= MAX_OUTSTANDING:
            return False
        for waiting in line:
            for opened in about:
                if opened is not None and (opened in waiting.opened or not waiting.touched.isdisjoint(opened.paths)):
                    return False
        return True

    def _refuse_bulk(self, number: int, opened: Opened | None, kind: int) -> None:
        if opened is None:
            self._say(wire.status(number, FAILURE, "no such handle"))
        else:
            purpose = "writing" if kind == WRITE else "reading"
            self._say(wire.status(number, PERMISSION_DENIED, f"the handle isn't open for {purpose}"))

    def _about(self, request: Request | Unsupported) -> tuple[Opened | None, ...]:
        """What its handles stand for."""
        if isinstance(request, OnHandle):
            return (self._handles.get(request.handle),)
        if isinstance(request, CopyData):
            return (self._handles.get(request.source), self._handles.get(request.destination))
        return ()

    def _passes(self, request: Request | Unsupported, about: tuple[Opened | None, ...]) -> bool:
        """Whether it goes on as it came."""
        if isinstance(request, Plain):
            self._sent[request.id] = Sent(request.kind)
            return True
        if not isinstance(request, OnHandle) or about[0] is None:
            return False
        opened, kind = about[0], request.kind
        if kind == "readdir":
            passes = opened.directory
        elif kind == "fsync":
            passes = not opened.directory
        elif kind == "fsetstat":
            passes = opened.writable
        else:
            passes = kind in READABLE
        if passes:
            self._sent[request.id] = Sent(kind, opened, attributes=request.attributes)
            if kind == "close":
                # From here on the target may give its name to another file.
                del self._handles[request.handle]
        return passes

    def _long_way(self, request: Request | Unsupported, about: tuple[Opened | None, ...]) -> None:
        refused = self._refusal(request, about)
        if refused is not None:
            self._say(wire.status(request.id, *refused))
            return
        assert not isinstance(request, Unsupported)
        opened = tuple(one for one in about if one is not None)
        conversation = steps(request, Surroundings(self.home, self._resolve), opened)
        self._line.append(Waiting(request.id, conversation, touched(request, self.home), opened))
        if len(self._line) == 1:
            self._advance(None)

    def _refusal(self, request: Request | Unsupported, about: tuple[Opened | None, ...]) -> tuple[int, str] | None:
        if isinstance(request, Unsupported):
            return OP_UNSUPPORTED, f"{request.words} is not supported through this gateway"
        if None in about:
            return FAILURE, "no such handle"
        if isinstance(request, OnHandle) and request.kind != "fsetstat":
            return FAILURE, "not that kind of handle"
        if isinstance(request, CopyData):
            source, destination = about
            assert source is not None
            assert destination is not None
            if not source.readable or not destination.writable:
                return PERMISSION_DENIED, "the handles aren't open for that"
        opens = isinstance(request, Open) or (isinstance(request, OnPath) and request.kind == "opendir")
        if opens and len(self._handles) + self._opening + len(self._line) >= MAX_HANDLES:
            return FAILURE, f"more than {MAX_HANDLES} files are open"
        return None

    def _advance(self, told: Reply | Said | None) -> None:
        """Go on with the first in line, and with those behind it, until something has to be waited for."""
        line = self._line
        while line:
            waiting = line[0]
            try:
                step = waiting.steps.send(told)
            except StopIteration as end:
                line.popleft()
                self._conclude(waiting.id, end.value)
                told = None
                continue
            if isinstance(step, Ask):
                self.ask = step
            else:
                self._probe(step)
            return

    def _probe(self, probe: Probe) -> None:
        number = HIGHEST_ID
        taken = {waiting.id for waiting in self._line}
        while number in self._sent or number in taken:
            number -= 1
        self._own = number
        self._send(wire.encode(OnPath(probe.kind, number, probe.path)))

    def _conclude(self, number: int, outcome: Forward | Answer) -> None:
        if isinstance(outcome, Forward):
            self._send(outcome.packet)
            self._sent[number] = outcome.sent
            if outcome.sent.kind in ("open", "opendir"):
                self._opening += 1
            return
        if outcome.packet:
            self._say(outcome.packet)
        if outcome.done is not None:
            self.done.append(outcome.done)

    def _send(self, packet: bytes) -> None:
        """To the target, but not into the middle of a WRITE that streams through."""
        inside = self._client_left and not self._client_drops
        (self._later_to_server if inside else self.to_server).append(packet)

    def _say(self, packet: bytes) -> None:
        """To the client, but not into the middle of a DATA that streams through."""
        (self._later_to_client if self._server_left else self.to_client).append(packet)

    # --- from the target --------------------------------------------------------------------------------------

    def receive_server(self, data: bytes) -> None:
        """Bytes from the target, in any split. Raises PeerError: end the channel."""
        if self._from_server.feed(data):
            self._run_server()
            if self._stalled:
                self._run_client()

    def _run_server(self) -> None:
        intake, out, sent = self._from_server, self.to_client, self._sent
        data, pos, end = intake.data, intake.pos, len(intake.data)
        run = pos
        need = 0
        while pos < end:
            if self._server_left:
                stop = min(end, pos + self._server_left)
                self._server_left -= stop - pos
                if self._server_flow is not None:
                    self._server_flow.take(memoryview(data)[pos:stop])
                pos = stop
                if self._later_to_client and not self._server_left:
                    out.append(data[run:pos])
                    run = pos
                    out += self._later_to_client
                    self._later_to_client.clear()
                continue
            if end - pos < HEAD.size:
                need = HEAD.size
                break
            length, kind, number = HEAD.unpack_from(data, pos)
            if not 5 <= length <= MAX_PACKET:
                raise PeerError("the target sent an invalid length of a packet")
            if kind == DATA:
                if end - pos < BULK_HEAD.size:
                    need = BULK_HEAD.size
                    break
                count = BULK_HEAD.unpack_from(data, pos)[3]
                entry = sent.pop(number, None)
                if entry is None or entry.kind != "read" or length != count + 9 or count > entry.length:
                    raise PeerError("the target sent DATA out of turn, or more than was asked for")
                assert entry.opened is not None
                self._server_flow = entry.opened.read.expect(entry.offset, count)
                self._server_left = count
                pos += BULK_HEAD.size
                continue
            stop = pos + 4 + length
            if stop > end:
                need = stop - pos
                break
            body = data[pos + 5 : stop]
            ours = number == self._own and kind != wire.VERSION
            replaced = b"" if ours else self._answered(kind, number, body)
            if replaced is not None:
                if run < pos:
                    out.append(data[run:pos])
                run = stop
                if replaced:
                    out.append(replaced)
            if ours:
                self._own = None
                self._advance(Reply(kind, body[4:]))
            pos = stop
        if run < pos:
            out.append(data[run:pos])
        intake.wait(pos, need)

    def _answered(self, kind: int, number: int, body: bytes) -> bytes | None:
        """The target's answer, ``body`` from its request id on: what the client gets instead; None: itself."""
        if kind == wire.VERSION:
            return self._on_version(body)
        entry = self._sent.pop(number, None)
        if entry is None:
            raise PeerError("the target answers what it was not asked")
        code, words = OK, b""
        if kind == STATUS:
            code, words = wire.parse_status(body[4:])
        elif kind != EXPECTED.get(entry.kind):
            raise PeerError(f"the target answers {entry.kind} by a packet of type {kind}")
        opened = entry.opened
        if opened is not None:
            self._on_opened(entry, opened, kind, code, words, body)
        elif entry.ask is not None:
            self.done.append(Done(entry.ask, entry.reference, code, _text(words)))
        if entry.kind == "limits" and kind != STATUS:
            return wire.capped_limits(number, body[4:], MAX_HANDLES)
        return None

    def _on_opened(self, entry: Sent, opened: Opened, kind: int, code: int, words: bytes, body: bytes) -> None:
        if kind == HANDLE:
            self._opening -= 1
            handle = wire.parse_handle(body[4:])
            if handle in self._handles:
                raise PeerError("the target gives one handle to two files")
            self._handles[handle] = opened
        elif entry.kind in ("open", "opendir"):
            self._opening -= 1
            self.done.append(opened.done(code or FAILURE, _text(words)))
        elif entry.kind == "close":
            self.done.append(opened.done(code, _text(words)))
        elif entry.kind == "write":
            opened.written.failed = opened.written.failed or code != OK
        elif entry.kind == "read":
            flow = opened.read
            flow.to_end = flow.to_end or (code == EOF and entry.offset == max(flow.end, 0))
        elif entry.kind == "readdir" and kind == NAME:
            opened.entries += wire.count(body[4:])
        elif entry.kind == "fsetstat" and code == OK and entry.attributes is not None:
            opened.change(entry.attributes)

    def _on_version(self, body: bytes) -> bytes:
        """VERSION, with the extensions that we understand. What relative paths are relative to is asked at once, for
        nothing can be decided before."""
        if not self._greeted or self._answered_greeting:
            raise PeerError("the target's VERSION comes out of turn")
        version, extensions = wire.parse_version(body)
        if version != wire.VERSION_3:
            raise PeerError(f"the target speaks SFTP version {version}: 3 was asked for")
        self._answered_greeting = True
        self._line.append(Waiting(-1, self._start(), frozenset(), ()))
        self._advance(None)
        return wire.version(wire.understood(extensions))

    def _start(self) -> Steps[Answer]:
        self.home = yield from learn_home()
        self._ready = True
        return Answer(b"")


def _text(words: bytes) -> str:
    return words.decode("utf-8", "replace")[:MAX_WORDS]
