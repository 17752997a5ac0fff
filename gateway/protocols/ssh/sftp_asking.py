"""What is found out and asked before one SFTP request goes on: a conversation per request, as a generator.

It yields `Probe` (ask the target, with a request of our own) and `Ask` (ask the corridor), is sent `Reply` and `Said`,
and returns what becomes of the request: `Forward` or `Answer`. The relay drives one at a time, in the order in which
the requests came: a later one may depend on what an earlier one does.

What is forwarded is not what the client wrote but the path that was decided on, absolute and normalised: were it the
client's, the target would walk it again by rules of its own, and what was decided would not be what happens. Where the
target is asked (`resolve`), that is the real path: with no symbolic link in it, as far as the target can tell, no link
can lead elsewhere. The rest is a race: somebody who can replace a directory at the target by a symbolic link between
our REALPATH and the request behind it (two packets of one connection) gets there. SFTP 3 has no way to forbid that;
what may not be reached through a shared directory has to be closed at the target.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import Final, NoReturn, TypeVar

from gateway.errors import PeerError
from gateway.model import FileAction
from gateway.protocols.ssh import sftp_wire as wire
from gateway.protocols.ssh.files import Ask, Done, Flow
from gateway.protocols.ssh.paths import PathRefused, Place, shown, told, within
from gateway.protocols.ssh.sftp_wire import (
    CREATE,
    EXCLUSIVE,
    FAILURE,
    FOR_READ,
    FOR_WRITE,
    NO_SUCH_FILE,
    OK,
    PERMISSION_DENIED,
    Attributes,
    CopyData,
    OnHandle,
    OnPath,
    OnPaths,
    Open,
    Request,
)

MAX_WORDS: Final = 1024
"""Characters of an answer's words: one line for people. Policy's messages are shorter."""

DENIED: Final = "denied by policy"


def described(attributes: Attributes) -> dict[str, str]:
    """What they set, in words, by what it is."""
    found = {}
    if attributes.size is not None:
        found["size"] = f"size {attributes.size}"
    if attributes.owner is not None:
        found["owner"] = "owner {}, group {}".format(*attributes.owner)
    if attributes.mode is not None:
        found["mode"] = f"mode {attributes.mode & 0o7777:04o}"
    if attributes.times is not None:
        found["times"] = "accessed {}, modified {}".format(*attributes.times)
    return found


def in_brackets(words: list[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


class Opened:
    """What a handle stands for.

    paths               what it was asked as and what it really is: policy knows both
    readable, writable  what it was opened for: decided then, not again with each READ and WRITE
    """

    __slots__ = (
        "append",
        "ask",
        "changed",
        "directory",
        "entries",
        "paths",
        "read",
        "readable",
        "reference",
        "writable",
        "written",
    )

    def __init__(
        self,
        ask: Ask,
        reference: object,
        paths: tuple[bytes, ...],
        *,
        readable: bool = False,
        writable: bool = False,
        append: bool = False,
        directory: bool = False,
    ) -> None:
        self.ask = ask
        self.reference = reference
        self.paths = paths
        self.readable = readable
        self.writable = writable
        self.append = append
        self.directory = directory
        self.read = Flow()
        self.written = Flow()
        self.entries = 0
        self.changed: dict[str, str] = {}

    def change(self, attributes: Attributes) -> None:
        self.changed |= described(attributes)

    def done(self, status: int = OK, words: str = "", *, closed: bool = True) -> Done:
        """How it went, now that it ends."""
        return Done(
            self.ask,
            self.reference,
            status,
            words,
            read=self.read if self.read.start >= 0 else None,
            written=self.written if self.written.start >= 0 else None,
            entries=self.entries,
            changed=tuple(self.changed.values()),
            closed=closed,
        )


class Sent:
    """A request that the target will answer.

    opened          what it is about; of OPEN and OPENDIR what will be open when the target says yes
    offset, length  of READ and WRITE
    ask, reference  the question that it came from, when its answer is the end of it
    """

    __slots__ = ("ask", "attributes", "kind", "length", "offset", "opened", "reference")

    def __init__(
        self,
        kind: str,
        opened: Opened | None = None,
        offset: int = 0,
        length: int = 0,
        *,
        ask: Ask | None = None,
        reference: object = None,
        attributes: Attributes | None = None,
    ) -> None:
        self.kind = kind
        self.opened = opened
        self.offset = offset
        self.length = length
        self.ask = ask
        self.reference = reference
        self.attributes = attributes


@dataclass(frozen=True, slots=True)
class Probe:
    """A question of our own to the target: realpath, lstat, readlink, expand-path or home-directory."""

    kind: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The target's answer to it: the packet's type, and what is behind its request id."""

    kind: int
    body: bytes

    def failure(self) -> tuple[int, bytes] | None:
        """Code and words when it is a STATUS. A STATUS of success is no answer to any of our questions."""
        if self.kind != wire.STATUS:
            return None
        code, words = wire.parse_status(self.body)
        return (code, words) if code != OK else (FAILURE, words)

    def path(self) -> bytes:
        if self.kind != wire.NAME:
            raise PeerError("the target's answer to REALPATH is no path")
        return told(wire.parse_name(self.body))

    def link(self) -> bytes:
        """What a symbolic link says. Raises PathRefused when the target doesn't tell."""
        if self.kind != wire.NAME:
            raise PathRefused("the symbolic link can't be read", FAILURE)
        return wire.parse_name(self.body)


@dataclass(frozen=True, slots=True)
class Dangling(Reply):
    """Of a symbolic link that leads to nothing, yet: it is never followed to where an upload would create something.
    The client hears that there is no such file."""

    kind: int = wire.STATUS
    body: bytes = b""

    def failure(self) -> tuple[int, bytes]:
        return NO_SUCH_FILE, b"the path is a symbolic link that leads nowhere"


@dataclass(frozen=True, slots=True)
class Said:
    """The corridor's answer; ``message`` is for the caller, ``reference`` comes back in `Done`."""

    allowed: bool
    message: str
    reference: object


@dataclass(frozen=True, slots=True)
class Forward:
    """To the target."""

    packet: bytes
    sent: Sent


@dataclass(frozen=True, slots=True)
class Answer:
    """To the client, by us."""

    packet: bytes
    done: Done | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """home: what relative paths are relative to, None: unknown. resolve: ask the target where paths really lead."""

    home: bytes | None
    resolve: bool


Value = TypeVar("Value")
Steps = Generator[Probe | Ask, Reply | Said | None, Value]
Real = bytes | Reply
"""Where a path really leads, or why the target doesn't say."""


def steps(request: Request, around: Surroundings, opened: tuple[Opened, ...] = ()) -> Steps[Forward | Answer]:
    """The conversation about ``request``; ``opened``: what its handles stand for, in its order. Raises PeerError."""
    try:
        if isinstance(request, Open):
            return (yield from _open(request, around))
        if isinstance(request, OnPaths):
            if request.kind == "symlink":
                return (yield from _symlink(request, around))
            return (yield from _pair(request, around))
        if isinstance(request, CopyData):
            return (yield from _copy_data(request, *opened))
        if isinstance(request, OnHandle):
            return (yield from _attributes_of_opened(request, *opened))
        if isinstance(request, OnPath):
            if request.kind in RESOLVING:
                return (yield from _resolving(request, around))
            return (yield from _path(request, around))
    except PathRefused as refused:
        return Answer(wire.status(request.id, refused.status, refused.words))
    raise AssertionError(f"{request.kind} asks nobody")


def touched(request: Request, home: bytes | None) -> frozenset[bytes]:
    """The paths that it says, as text: requests on handles of the same ones wait behind it."""
    if isinstance(request, Open | OnPath):
        raw = [request.path]
    elif isinstance(request, OnPaths):
        raw = [request.first, request.second]
    else:
        return frozenset()
    found = set()
    for path in raw:
        try:
            found.add(Place(path, home).asked)
        except PathRefused:  # it will be answered with that
            continue
    return frozenset(found)


# --- what all have in common ----------------------------------------------------------------------------------


def _tell(kind: str, path: bytes) -> Steps[Reply]:
    reply = yield Probe(kind, path)
    assert isinstance(reply, Reply)
    return reply


def _decided(number: int, ask: Ask, *reals: Real) -> Steps[Said | Answer]:
    """Ask; a no, or a path of which the target said before that it leads nowhere, is answered."""
    said = yield ask
    assert isinstance(said, Said)
    if not said.allowed:
        return Answer(wire.status(number, PERMISSION_DENIED, (said.message or DENIED)[:MAX_WORDS]))
    for real in reals:
        if not isinstance(real, bytes):
            return _failed(number, ask, said, real)
    return said


def _failed(number: int, ask: Ask, said: Said, reply: Reply) -> Answer:
    """What the target said to our question is what it would say to the client's: it fails for the same reason."""
    code, words = reply.failure() or (FAILURE, b"")
    text = words.decode("utf-8", "replace")[:MAX_WORDS]
    return Answer(wire.status(number, code, text), Done(ask, said.reference, code, text))


def real_path(place: Place, around: Surroundings, *, follow: bool) -> Steps[Real]:
    """Where ``place`` really leads; ``follow``: also when its last part is a symbolic link.

    A server whose REALPATH does not resolve links (some only clean the text) makes this do nothing: it closes what the
    target tells of, no more.
    """
    if not around.resolve:
        return place.asked
    if follow or not place.named:
        reply = yield from _tell("realpath", place.walk)
        failure = reply.failure()
        if failure is None:
            return reply.path()
        if failure[0] != NO_SUCH_FILE or not place.named:
            return reply
    parent, last = place.split()
    reply = yield from _tell("realpath", parent)
    if reply.failure() is not None:
        return reply
    real = within(reply.path(), last)
    if follow:
        # The target's REALPATH wants a file to be there, and this one isn't, yet. Or it is a link.
        reply = yield from _tell("lstat", real)
        failure = reply.failure()
        if failure is None:
            return Dangling()
        if failure[0] != NO_SUCH_FILE:
            return reply
    return real


def _uses(actions: Iterable[FileAction], place: Place, real: Real) -> list[tuple[FileAction, bytes]]:
    paths = [place.asked, real] if isinstance(real, bytes) else [place.asked]
    return [(action, path) for action in actions for path in paths]


def in_words(place: Place, real: Real) -> str:
    text = shown(place.asked)
    return f"{text} (really {shown(real)})" if isinstance(real, bytes) and real != place.asked else text


def _dangling(real: Real) -> list[Real]:
    """What a link that is made may not lead to."""
    return [real] if isinstance(real, Dangling) else []


def _known(place: Place, real: Real) -> bytes:
    return real if isinstance(real, bytes) else place.asked


def _must_name(place: Place) -> None:
    if not place.named:
        raise PathRefused("the path ends in no name", FAILURE)


# --- one kind of request each ---------------------------------------------------------------------------------


def _open(request: Open, around: Surroundings) -> Steps[Forward | Answer]:
    place, flags = Place(request.path, around.home), request.flags
    # As OpenSSH's flags_from_portable: without WRITE it opens for reading, whatever else is said, and creates and
    # truncates all the same. So anything beside READ is a write to us.
    readable, writable = bool(flags & FOR_READ or not flags & FOR_WRITE), bool(flags & FOR_WRITE)
    actions: list[FileAction] = []
    if readable:
        actions.append("read")
    if flags & ~FOR_READ:
        actions.append("write")
    real = yield from real_path(place, around, follow=place.slash or not (flags & CREATE and flags & EXCLUSIVE))
    how = [word for flag, word in wire.FLAGS.items() if flags & flag] or ["read"]
    how += described(request.attributes).values()
    ask = Ask("open", _uses(actions, place, real), f"open {in_words(place, real)}{in_brackets(how)}")
    said = yield from _decided(request.id, ask, real)
    if isinstance(said, Answer):
        return said
    path = _known(place, real)
    opened = Opened(
        ask,
        said.reference,
        (place.asked, path),
        readable=readable,
        writable=writable,
        append=bool(flags & wire.APPEND),
    )
    return Forward(wire.encode(replace(request, path=path)), Sent("open", opened))


ON_PATH: Final[dict[str, tuple[FileAction, bool, bool]]] = {
    "opendir": ("list", True, False),
    "stat": ("list", True, False),
    "statvfs": ("list", True, False),
    "lstat": ("list", False, False),
    "readlink": ("list", False, False),
    "setstat": ("write", True, False),
    "lsetstat": ("write", False, False),
    "mkdir": ("write", False, True),
    "rmdir": ("write", False, True),
    "remove": ("write", False, True),
}
"""What it does, whether the target follows a symbolic link at the end, whether it must end in a name."""


def _path(request: OnPath, around: Surroundings) -> Steps[Forward | Answer]:
    place = Place(request.path, around.home)
    action, follow, names = ON_PATH[request.kind]
    if names:
        _must_name(place)
    else:
        follow = follow or place.slash
    real = yield from real_path(place, around, follow=follow)
    how = list(described(request.attributes).values()) if request.attributes is not None else []
    text = f"{request.kind} {in_words(place, real)}{in_brackets(how)}"
    ask = Ask(request.kind, _uses((action,), place, real), text)
    said = yield from _decided(request.id, ask, real)
    if isinstance(said, Answer):
        return said
    path = _known(place, real)
    packet = wire.encode(replace(request, path=path))
    if request.kind == "opendir":
        return Forward(packet, Sent("opendir", Opened(ask, said.reference, (place.asked, path), directory=True)))
    return Forward(packet, Sent(request.kind, ask=ask, reference=said.reference))


def _pair(request: OnPaths, around: Surroundings) -> Steps[Forward | Answer]:
    """rename, posix-rename and hardlink: both are writes; of a hard link, because what is written to the one is
    written to the other. What gets a second name can be read by it, so that takes the right to read it, too."""
    old, new = Place(request.first, around.home), Place(request.second, around.home)
    _must_name(old)
    _must_name(new)
    real_old = yield from real_path(old, around, follow=False)
    real_new = yield from real_path(new, around, follow=False)
    first: tuple[FileAction, ...] = ("read", "write") if request.kind == "hardlink" else ("write",)
    uses = [*_uses(first, old, real_old), *_uses(("write",), new, real_new)]
    text = f"{request.kind} {in_words(old, real_old)} to {in_words(new, real_new)}"
    what = yield from _file_type(real_old, around)
    ends: list[Real] = []
    if request.kind != "hardlink" and what in (None, wire.MODE_DIRECTORY):
        # All that lies beneath gets another name. Rules are about names.
        uses += [(action, path + b"/") for action, path in uses]
    if what == wire.MODE_LINK and isinstance(real_old, bytes) and isinstance(real_new, bytes):
        # As if it was made there: a relative one leads elsewhere now.
        reply = yield from _tell("readlink", real_old)
        where = Place(reply.link(), _parent(real_new))
        real_where = yield from real_path(where, around, follow=True)
        uses += _uses(("write",), where, real_where)
        text += f", a link to {in_words(where, real_where)}"
        ends = _dangling(real_where)
    ask = Ask(request.kind, uses, text)
    said = yield from _decided(request.id, ask, real_old, real_new, *ends)
    if isinstance(said, Answer):
        return said
    forwarded = replace(request, first=_known(old, real_old), second=_known(new, real_new))
    return Forward(wire.encode(forwarded), Sent(request.kind, ask=ask, reference=said.reference))


def _file_type(real: Real, around: Surroundings) -> Steps[int | None]:
    """What kind of file it is; 0 where there is none, None: it could be any."""
    if not around.resolve:
        return None
    if not isinstance(real, bytes):
        return 0
    reply = yield from _tell("lstat", real)
    if reply.failure() is not None:
        return 0
    if reply.kind != wire.ATTRS:
        raise PeerError("the target's answer to LSTAT has no attributes")
    return wire.file_type(reply.body)


def _symlink(request: OnPaths, around: Surroundings) -> Steps[Forward | Answer]:
    """OpenSSH's server has the arguments the other way round than section 6.10: first what the link says, then the
    link (PROTOCOL, 4.1). So have its clients, and all servers that want to be used by them.

    What a link says is text that is kept, not a path that is walked now; it goes on as the client wrote it, so that a
    relative link stays one. Whoever follows it through us is asked about where it leads then. Others at the target
    follow it as well, so it takes the right to write there.
    """
    link = Place(request.second, around.home)
    _must_name(link)
    real_link = yield from real_path(link, around, follow=False)
    place = Place(request.first, _parent(link.asked))
    real_place: Real = place.asked
    if isinstance(real_link, bytes):
        real_place = yield from real_path(Place(request.first, _parent(real_link)), around, follow=True)
    uses = [*_uses(("write",), link, real_link), *_uses(("write",), place, real_place)]
    ask = Ask("symlink", uses, f"symlink {in_words(link, real_link)} to {in_words(place, real_place)}")
    said = yield from _decided(request.id, ask, real_link, *_dangling(real_place))
    if isinstance(said, Answer):
        return said
    forwarded = replace(request, second=_known(link, real_link))
    return Forward(wire.encode(forwarded), Sent("symlink", ask=ask, reference=said.reference))


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0] or b"/"


RESOLVING: Final = frozenset({"realpath", "expand-path", "home-directory"})


def _resolving(request: OnPath, around: Surroundings) -> Steps[Forward | Answer]:
    """Requests whose answer is a path: the target's answer to us is what is decided on, and what the client gets."""
    uses: list[tuple[FileAction, bytes]] = []
    text = f"{request.kind} {shown(request.path)}"
    probe = Probe(request.kind, request.path)
    raw = request.path or b"."
    of_user = request.kind == "home-directory"
    if request.kind == "expand-path" and raw.startswith(b"~"):
        of_user = raw[1:2] not in (b"", b"/")
        if not of_user:
            raw = b"." + raw[1:]
    if not of_user:
        place = Place(raw, around.home)
        if place.walk == around.home:
            # Stock clients ask for it before anything else, and give up without. It is what the target told us at
            # the start: no file is looked at.
            return Answer(wire.name(request.id, around.home))
        probe = Probe("realpath", place.walk)
        uses = [("list", place.asked)]
        text = f"{request.kind} {shown(place.asked)}"
    elif b"\0" in raw:
        raise PathRefused("the path has a NUL in it", wire.BAD_MESSAGE)
    # Nothing but a user's name is looked for: whether there is such a one isn't told.
    no_home = Answer(wire.status(request.id, NO_SUCH_FILE, "no such home, or policy denies it"))
    reply = yield from _tell(probe.kind, probe.path)
    if reply.failure() is not None:
        if not uses:
            return no_home
        ask = Ask(request.kind, uses, text)
        said = yield from _decided(request.id, ask, reply)
        assert isinstance(said, Answer)
        return said
    real = reply.path()
    ask = Ask(request.kind, [*uses, ("list", real)], text)
    said = yield from _decided(request.id, ask)
    if isinstance(said, Answer):
        return said if uses else no_home
    return Answer(wire.name(request.id, real), Done(ask, said.reference))


def _attributes_of_opened(request: OnHandle, opened: Opened) -> Steps[Forward | Answer]:
    """fsetstat on what is not open for writing: its owner may change it all the same."""
    uses: list[tuple[FileAction, bytes]] = [("write", path) for path in opened.paths]
    assert request.attributes is not None
    how = list(described(request.attributes).values())
    ask = Ask("fsetstat", uses, f"fsetstat {shown(opened.paths[-1])}{in_brackets(how)}")
    said = yield from _decided(request.id, ask)
    if isinstance(said, Answer):
        return said
    return Forward(wire.encode(request), Sent("fsetstat", ask=ask, reference=said.reference))


def _copy_data(request: CopyData, source: Opened, destination: Opened) -> Steps[Forward | Answer]:
    """The target copies by itself: opening both was decided, but this is the only time that we hear of it."""
    uses: list[tuple[FileAction, bytes]] = [("read", path) for path in source.paths]
    uses += [("write", path) for path in destination.paths]
    how = f"{request.length or 'all'} bytes from {request.source_offset} to {request.destination_offset}"
    text = f"copy-data {shown(source.paths[-1])} to {shown(destination.paths[-1])} ({how})"
    ask = Ask("copy-data", uses, text)
    said = yield from _decided(request.id, ask)
    if isinstance(said, Answer):
        return said
    destination.written.disorder()
    return Forward(wire.encode(request), Sent("copy-data", ask=ask, reference=said.reference))


def learn_home() -> Steps[bytes | None]:
    """What relative paths are relative to. None when the target doesn't say: then such paths are refused."""
    reply = yield from _tell("realpath", b".")
    if reply.failure() is not None:
        return None
    try:
        home = reply.path()
    except PathRefused:
        return None
    if home[2:3] == b":":
        _refuse_windows(home)
    return home


def _refuse_windows(home: bytes) -> NoReturn:
    raise PeerError(
        f"the target names files as Windows does ({shown(home)}): there one file has many names (case, short names, "
        "streams, backslashes), and a rule about one of them would decide nothing"
    )
