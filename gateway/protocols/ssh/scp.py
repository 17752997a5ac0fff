"""The state machine of one channel with the old protocol of scp: ``scp -t`` and ``scp -f`` at the target.

The protocol was never written down but in rcp's and OpenSSH's scp.c, functions ``source`` and ``sink``. A source sends
records, each a line; a sink answers each by a byte 0, or by 1 (or 2: fatal) and a line of words:

    C0644 5 name   a file: when the sink agrees, that many bytes and a byte 0, or 1 and words; the sink answers again
    D0755 0 name   a directory, whose records follow, up to E
    E              its end
    T1 0 1 0       times for the record behind it
    1 or 2, words  the source failed; nobody answers that

Of ``-t`` the client is the source, of ``-f`` the target. Nothing of a source is looked at before the sink has answered
what is in front of it: whether bytes are a file's content or records depends on that answer, and a source that doesn't
wait for it could make us take the one for the other.

Records go on as they were understood, written anew. A refused one never gets to the sink: a source that is told so
skips the file, or the directory with all that is in it.

Neither side says where a path really leads, so with ``resolve`` the target is asked on another channel, by SFTP (see
`locating`), and both paths are decided on; what is opened then is the one that was written, so here the race that
`sftp_asking` tells of has more time. Without it a rule is about the path as it is written, and a symbolic link at the
target leads elsewhere unseen. Clients from OpenSSH 9.0 on use SFTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from gateway.errors import PeerError
from gateway.model import FileAction
from gateway.protocols.ssh.commands import Scp
from gateway.protocols.ssh.files import Ask, Done, Flow
from gateway.protocols.ssh.paths import MAX_PATH, PathRefused, Place, shown, within
from gateway.protocols.ssh.sftp_asking import Dangling, Probe, Reply, Said, Steps, Surroundings, in_words, real_path
from gateway.protocols.ssh.sftp_wire import NO_SUCH_FILE

MAX_LINE: Final = 2047
"""Bytes of a line with its end: OpenSSH's sink reads that many, and takes for a line what has no end by then."""

MAX_EARLY: Final = 64 * 1024
"""Bytes that a side may send before it is their turn: scripts answer ahead (``printf '\\0\\0\\0' | ssh host scp -f``),
and a source's next chunk may have been read already."""

MAX_WORDS: Final = 1024
"""Characters of words to a side that is refused: with the path they fit a line."""

_RECORD: Final = re.compile(rb"([CD])([0-7]{4}) ([0-9]{1,19}) ([^\0\n]*)")
_TIMES: Final = re.compile(rb"T[0-9]{1,20} [0-9]{1,6} [0-9]{1,20} [0-9]{1,6}")

FAILURE: Final = 4
"""`Done.status` of what failed, as SFTP's."""


def at_target(command: Scp, home: bytes | None) -> Scp:
    """What to run at the target: the path absolute and normalised, so that what is decided on is what happens. Raises
    PathRefused."""
    place = _place(command, home)
    path = place.asked.decode("utf-8", "surrogateescape")
    # The slash keeps a directory from being created, or overwritten, as a file.
    return replace(command, path=path + "/" if place.slash and path != "/" else path)


def _place(command: Scp, home: bytes | None) -> Place:
    return Place(command.path.encode("utf-8", "surrogateescape"), home)


class Turn(Enum):
    """Whose bytes are next, and what they are."""

    READY = auto()
    RECORD = auto()
    ASKED = auto()
    TIMES = auto()
    REPLY = auto()
    CONTENT = auto()
    TRAILER = auto()
    FINAL = auto()
    OVER = auto()


SINKS: Final = frozenset({Turn.READY, Turn.TIMES, Turn.REPLY, Turn.FINAL})
"""Turns in which the sink has to answer."""

SOURCES: Final = frozenset({Turn.RECORD, Turn.CONTENT, Turn.TRAILER})


@dataclass(slots=True)
class Record:
    """A file or a directory that is under way; ``paths``: each one that it may turn out to be at the target."""

    line: bytes
    is_file: bool
    size: int
    paths: tuple[bytes, ...]
    ask: Ask
    flow: Flow
    reference: object
    words: str = ""


class ScpRelay:
    """One channel. As `sftp.SftpRelay`: feed `receive_client` and `receive_server`, answer `ask` by `decided`, send
    what stands in `to_server` and `to_client`, look at `done`. With ``resolve`` also answer `probe` by `told`. When it
    is `over`, whatever comes is ignored."""

    def __init__(
        self,
        command: Scp,
        home: bytes | None,
        *,
        resolve: bool = False,
        complaint: Callable[[bytes], bytes] = lambda words: words,
    ) -> None:
        """The target is to run what `at_target` gives. Raises PathRefused.

        home       what the target's relative paths are relative to; None: not known
        complaint  makes of the target's own words what the client is told
        """
        self.ask: Ask | None = None
        self.probe: Probe | None = None
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.done: list[Done] = []
        self._command = command
        self._complaint = complaint
        self._upward = not command.sends
        self._place = _place(command, home)
        self._around = Surroundings(None, resolve)
        self._to_sink = self.to_server if self._upward else self.to_client
        self._to_source = self.to_client if self._upward else self.to_server
        self._turn = Turn.READY
        self._source = b""
        self._sink = b""
        self._times = b""
        self._steps: Steps[Record | None] | None = None
        self._record: Record | None = None
        self._within: list[tuple[bytes, ...]] = []
        self._ending = False
        self._left = 0

    def open(self) -> list[tuple[Ask, object]]:
        """What was asked about for the file that is under way, with the answer's reference."""
        return [] if self._record is None else [(self._record.ask, self._record.reference)]

    @property
    def holding(self) -> bool:
        """Client bytes wait here; don't read more of them."""
        if self._upward:
            return bool(self._source) and self._turn not in SOURCES  # the rest of a record, and not its beginning
        return len(self._sink) > MAX_LINE

    @property
    def over(self) -> bool:
        return self._turn is Turn.OVER

    def finish(self) -> None:
        """The channel is over: a file that is under way ends here."""
        if self._record is not None:
            self._end(self._record, FAILURE, self._record.words or "the channel ended", closed=False)
        self._stop()

    def _stop(self) -> None:
        self.ask = self.probe = self._steps = self._record = None
        self._turn = Turn.OVER

    def receive_client(self, data: bytes) -> None:
        """Bytes from the client, in any split. Raises PeerError: end the channel."""
        self._receive(data, self._upward)

    def receive_server(self, data: bytes) -> None:
        """Bytes from the target, in any split. Raises PeerError: end the channel."""
        self._receive(data, not self._upward)

    def decided(self, allowed: bool, message: str = "", reference: object = None) -> None:
        """The corridor's answer to `ask`: see `sftp.SftpRelay.decided`. Moot when the channel was over meanwhile."""
        if self.ask is not None:
            self.ask = None
            self._advance(Said(allowed, message, reference))
            self._run()

    def told(self, reply: Reply) -> None:
        """The target's answer to `probe`. Raises PeerError."""
        if self.probe is not None:
            self.probe = None
            self._advance(reply)
            self._run()

    def _advance(self, told: Reply | Said | None) -> None:
        """Go on with what has to be found out and asked about a record."""
        assert self._steps is not None
        try:
            step = self._steps.send(told)
        except StopIteration as end:
            self._steps, self._record = None, end.value
            if self._record is not None:
                self._to_sink.append(self._times or self._record.line)
                self._turn = Turn.TIMES if self._times else Turn.REPLY
            return
        if isinstance(step, Ask):
            self.ask = step
        else:
            self.probe = step

    def _receive(self, data: bytes, from_source: bool) -> None:
        if self._turn is Turn.OVER:
            return
        if from_source:
            self._source = self._source + data if self._source else data
        else:
            self._sink = self._sink + data if self._sink else data
        self._run()
        if len(self._sink) > MAX_EARLY or (not self._upward and len(self._source) > MAX_EARLY):
            raise PeerError("a side of scp doesn't wait for the other one's answer")

    def _run(self) -> None:
        moved = True
        while moved:
            if self._turn in SINKS:
                moved = self._on_sink()
            elif self._turn is Turn.CONTENT:
                moved = self._on_content()
            elif self._turn in SOURCES:
                moved = self._on_source()
            else:
                moved = False
        if self._sink and self._upward and self._turn is not Turn.OVER and self._turn not in SINKS:
            self._on_early()
        if self._turn is Turn.OVER:
            self._source = self._sink = b""

    # --- the sink ---------------------------------------------------------------------------------------------

    def _on_sink(self) -> bool:
        """An answer, if there is a whole one."""
        answer, self._sink = _answer(self._sink)
        if not answer:
            return False
        turn, record = self._turn, self._record
        if turn is Turn.TIMES and answer == b"\0":
            # We have told the source that they are taken already, to know what they are for.
            assert record is not None
            self._times = b""
            self._to_sink.append(record.line)
            self._turn = Turn.REPLY
            return True
        if self._upward:
            answer = self._from_target(answer)
        self._to_source.append(answer)
        self._times = b""
        if answer[0] == 2:
            self._fail(_words(answer))
        elif turn is Turn.READY:
            if answer != b"\0":
                self._turn = Turn.OVER  # OpenSSH's ends, too: there is no such directory
                return True
            self._turn = Turn.RECORD
        elif self._ending:
            self._ending = False
            self._turn = Turn.RECORD
        else:
            assert record is not None
            self._on_reply(record, turn, answer)
        return True

    def _on_early(self) -> None:
        """The target answers what it was not asked. It fails while content comes, and ends. Or it is a sink of before
        OpenSSH 8.5, which can answer a file twice: then its next answers would be taken for those to other records,
        and what is content to us would be records to it. So it ends in any case."""
        answer, _ = _answer(self._sink)
        if answer == b"\0":
            raise PeerError("the target's scp answers twice")
        if answer:
            answer = self._from_target(answer)
            self._to_source.append(answer)
            self._fail(_words(answer))

    def _from_target(self, answer: bytes) -> bytes:
        """The target's answer, or record of a failure, as the client is told it: of one line, and of one's length."""
        if answer == b"\0":
            return answer
        words = self._complaint(answer[1:-1]).replace(b"\n", b" ")
        return answer[:1] + words[: MAX_LINE - 2] + b"\n"

    def _on_reply(self, record: Record, turn: Turn, answer: bytes) -> None:
        self._turn = Turn.RECORD
        if turn is Turn.REPLY and answer == b"\0" and record.is_file:
            record.flow.expect(0, 0)
            self._left = record.size
            self._turn = Turn.CONTENT if record.size else Turn.TRAILER
            return
        self._record = None
        words = record.words or _words(answer)
        self._end(record, FAILURE if words or answer != b"\0" else 0, words)
        if answer == b"\0" and not record.is_file:
            self._within.append(record.paths)

    def _fail(self, words: str) -> None:
        if self._record is not None:
            self._end(self._record, FAILURE, words)
        self._stop()

    def _end(self, record: Record, status: int, words: str, *, closed: bool = True) -> None:
        flow = record.flow if record.flow.start >= 0 else None
        if flow is not None:
            flow.failed = status != 0
            flow.to_end = status == 0
        self.done.append(
            Done(
                record.ask,
                record.reference,
                status,
                words,
                read=None if self._upward else flow,
                written=flow if self._upward else None,
                closed=closed,
            )
        )

    # --- the source -------------------------------------------------------------------------------------------

    def _on_content(self) -> bool:
        data = self._source
        if not data:
            return False
        record = self._record
        assert record is not None
        piece, self._source = (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
        self._left -= len(piece)
        record.flow.expect(record.flow.end, len(piece))
        record.flow.take(piece)
        self._to_sink.append(piece)
        if not self._left:
            self._turn = Turn.TRAILER
        return True

    def _on_source(self) -> bool:
        """A record, or what stands behind a file's content, if it is whole."""
        if self._turn is Turn.TRAILER or self._source[:1] in (b"\1", b"\2"):
            said, self._source = _answer(self._source)
            if said:
                self._on_said(said)
            return bool(said)
        line, end, rest = self._source.partition(b"\n")
        if len(line) >= MAX_LINE:
            raise PeerError("a record of scp has no end")
        if not end:
            return False
        self._source = rest
        if line == b"E":
            self._on_end()
        elif _TIMES.fullmatch(line):
            self._times = line + b"\n"
            self._to_source.append(b"\0")
        else:
            self._on_record(line)
        return True

    def _on_said(self, said: bytes) -> None:
        """The source's own success or failure."""
        if not self._upward:
            said = self._from_target(said)
        self._to_sink.append(said)
        self._times = b""
        if said[0] == 2:
            self._fail(_words(said))
        elif self._turn is Turn.TRAILER:
            assert self._record is not None
            self._record.words = _words(said)
            self._turn = Turn.FINAL

    def _on_end(self) -> None:
        if not self._within:
            raise PeerError("a record of scp ends a directory that did not begin")
        self._within.pop()
        self._times = b""
        self._ending = True
        self._to_sink.append(b"E\n")
        self._turn = Turn.REPLY

    def _on_record(self, line: bytes) -> None:
        found = _RECORD.fullmatch(line)
        if found is None:
            raise PeerError("a record of scp is malformed")
        kind, mode, digits, name = found.groups()
        size = int(digits)
        is_file = kind == b"C"
        if size >= 2**63 or (not is_file and not self._command.recursive):
            raise PeerError("a record of scp is malformed")
        if name in (b"", b".", b"..") or b"/" in name:
            self._refuse(name, "not a file's name")
            return
        paths = self._paths(name)
        if not paths or any(len(path) > MAX_PATH for path in paths):
            self._refuse(name, "not what was asked for" if not paths else "the path is too long")
            return
        anew = b"%s%s %d %s\n" % (kind, mode, size, name)
        self._turn = Turn.ASKED
        self._steps = self._asking(anew, is_file, size, paths)
        self._advance(None)

    def _asking(self, anew: bytes, is_file: bool, size: int, paths: tuple[bytes, ...]) -> Steps[Record | None]:
        """The conversation about a record, which it gives when it may go on."""
        action: FileAction = "write" if self._upward else "read" if is_file else "list"
        verb = ("put" if is_file else "mkdir") if self._upward else "get" if is_file else "list"
        uses: list[tuple[FileAction, bytes]] = []
        words = []
        try:
            for path in paths:
                place = Place(path, None)
                real = yield from real_path(place, self._around, follow=True)
                if isinstance(real, bytes):
                    uses += [(action, path), (action, real)]
                else:
                    failure = real.failure()
                    if failure is None or failure[0] != NO_SUCH_FILE or isinstance(real, Dangling):
                        raise PathRefused("the target doesn't say where it leads")
                    uses.append((action, path))  # only if the other one is a file can it be meant, and this is none
                words.append(in_words(place, real))
        except PathRefused as refused:
            self._refuse(paths[-1], refused.words)
            return None
        text = f"{verb} {' or '.join(words)}"
        if self._upward:
            text += f" (mode {anew[1:5].decode()})"
        ask = Ask(verb, uses, text)
        said = yield ask
        assert isinstance(said, Said)
        if not said.allowed:
            self._refuse(paths[-1], said.message or "denied by policy")
            return None
        return Record(anew, is_file, size, paths, ask, Flow(), said.reference)

    def _paths(self, name: bytes) -> tuple[bytes, ...]:
        """What ``name`` can be at the target; empty: nothing that was asked for."""
        if self._within:
            return tuple(within(directory, name) for directory in self._within[-1])
        place = self._place
        if self._upward:
            # Where to is a directory, and the file comes into it; or it is the file, or will be. The sink looks, and
            # doesn't tell: so both are asked about, unless the command leaves no choice.
            inside = within(place.asked, name)
            return (inside,) if self._command.directory or place.slash else (place.asked, inside)
        return (place.asked,) if place.asked.rpartition(b"/")[2] == name else ()

    def _refuse(self, path: bytes, message: str) -> None:
        """Natively: a source is told that the sink doesn't want it; a client as the sink, that the source failed."""
        self._times = b""
        self._turn = Turn.RECORD
        words = " ".join(message[:MAX_WORDS].split())
        told = f"\1scp: {shown(path)[: MAX_WORDS // 2]}: {words}".encode("utf-8", "replace")[: MAX_LINE - 1] + b"\n"
        self.to_client.append(told)
        if not self._upward:
            self.to_server.append(b"\1denied\n")


def _answer(data: bytes) -> tuple[bytes, bytes]:
    """The answer that ``data`` begins with, empty if it isn't whole, and what is behind it."""
    if not data:
        return b"", b""
    if data[0] == 0:
        return b"\0", data[1:]
    if data[0] > 2:
        raise PeerError("an answer of scp begins with neither 0, 1 nor 2")
    end = data.find(b"\n", 0, MAX_LINE)
    if end < 0:
        if len(data) >= MAX_LINE:
            raise PeerError("an answer of scp has no end")
        return b"", data
    return data[: end + 1], data[end + 1 :]


def _words(answer: bytes) -> str:
    return answer[1:].decode("utf-8", "replace").strip()[:MAX_WORDS]
