from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import sftp as said
from support.sftp import CREATE, EXCLUSIVE, INIT, READ, TRUNCATE, WRITE, Talk, Target

from gateway.errors import PeerError
from gateway.protocols.ssh import sftp as relay_module
from gateway.protocols.ssh.files import Ask
from gateway.protocols.ssh.sftp import SftpRelay

DENIED = 3


def refuses(*prefixes: str) -> Callable[[Ask], bool]:
    return lambda ask: any(use.path.startswith(prefixes) for use in ask.files)


def codes(packets: list[bytes]) -> list[tuple[int, int]]:
    """Request id and code of each STATUS."""
    found = []
    for packet in packets:
        assert packet[4] == 101, packet
        found.append(struct.unpack_from(">II", packet, 5))
    return found


def waits(relay: SftpRelay) -> bool:
    return relay.holding


def opened(talk: Talk, path: bytes = b"f", flags: int = READ | WRITE) -> bytes:
    """Opens, and gives the handle."""
    (packet,) = talk.client(said.opening(900, path, flags))
    assert packet[4] == 102, packet
    talk.got  # noqa: B018 - forgets them
    talk.uses()
    return said.string_at(packet, 9)


def linked(**links: str) -> Target:
    target = Target()
    target.links = {HOME.encode() + name.encode(): where.encode() for name, where in links.items()}
    return target


# --- how it begins --------------------------------------------------------------------------------------------


def test_the_greeting_offers_what_is_understood_and_learns_the_home() -> None:
    talk = Talk()
    assert talk.relay.home == b"/home/u"
    assert talk.relay.quiet
    assert [said.string_at(one, 9) for one in talk.target.probes] == [b"."]


def test_a_newer_client_is_spoken_to_in_version_3() -> None:
    relay = SftpRelay()
    relay.receive_client(said.packet(1, said.u32(6), said.text(b"x"), said.text(b"y")))
    assert relay.to_server == [INIT]


@pytest.mark.parametrize("version", [0, 2])
def test_an_older_client_is_not_spoken_to(version: int) -> None:
    with pytest.raises(PeerError, match="version"):
        SftpRelay().receive_client(said.packet(1, said.u32(version)))


@pytest.mark.parametrize("version", [2, 4])
def test_a_target_of_another_version(version: int) -> None:
    relay = SftpRelay()
    relay.receive_client(INIT)
    with pytest.raises(PeerError, match="version"):
        relay.receive_server(said.packet(2, said.u32(version)))


def test_requests_wait_until_the_home_is_known() -> None:
    relay = SftpRelay()
    relay.receive_client(INIT + said.on_path(17, 1, b"a"))
    assert waits(relay)
    relay.receive_server(said.version())
    assert waits(relay)
    assert relay.ask is None
    relay.receive_server(said.name(0xFFFFFFFF, b"/srv"))
    assert not waits(relay)
    assert said.string_at(relay.to_server[-1], 9) == b"/srv/a"


def test_a_home_that_is_not_told() -> None:
    relay = SftpRelay(resolve=False)
    relay.receive_client(INIT)
    relay.receive_server(said.version())
    relay.receive_server(said.status(0xFFFFFFFF, 4))
    relay.to_client.clear()
    relay.receive_client(said.on_path(17, 1, b"a") + said.on_path(17, 2, b"/a"))
    assert codes(relay.to_client) == [(1, DENIED)]
    assert relay.ask is not None
    assert relay.ask.files[0].path == "/a"


def test_a_target_that_names_files_as_windows_does() -> None:
    relay = SftpRelay()
    relay.receive_client(INIT)
    relay.receive_server(said.version())
    with pytest.raises(PeerError, match="Windows"):
        relay.receive_server(said.name(0xFFFFFFFF, b"/C:/Users/u"))


def test_greetings_out_of_turn() -> None:
    with pytest.raises(PeerError):
        SftpRelay().receive_server(said.version())
    relay = SftpRelay()
    relay.receive_client(INIT)
    relay.receive_server(said.version())
    with pytest.raises(PeerError):
        relay.receive_server(said.version())
    talk = Talk()
    talk.client(INIT)  # a request that isn't one
    assert [packet[4] for packet in talk.got] == []


# --- what is asked, and what goes on --------------------------------------------------------------------------

HOME = "/home/u/"


@pytest.mark.parametrize(
    ("flags", "actions"),
    [
        (0, ["read"]),
        (READ, ["read"]),
        (WRITE, ["write"]),
        (READ | WRITE, ["read", "write"]),
        (WRITE | CREATE | TRUNCATE, ["write"]),
        (READ | CREATE, ["read", "write"]),
        (READ | TRUNCATE, ["read", "write"]),
        (TRUNCATE, ["read", "write"]),
        (CREATE | EXCLUSIVE, ["read", "write"]),
        (said.APPEND, ["read", "write"]),
        (EXCLUSIVE, ["read", "write"]),
    ],
)
def test_what_an_open_asks(flags: int, actions: list[str]) -> None:
    talk = Talk()
    talk.client(said.opening(1, b"f", flags))
    assert talk.uses() == [(action, HOME + "f") for action in actions]
    assert talk.got == [said.opening(1, b"/home/u/f", flags)]


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (11, "list"),
        (17, "list"),
        (7, "list"),
        (19, "list"),
        (13, "write"),
        (15, "write"),
    ],
)
def test_what_requests_with_a_path_ask(kind: int, action: str) -> None:
    talk = Talk()
    talk.client(said.on_path(kind, 1, b"../x/./y//"))
    assert talk.uses() == [(action, "/home/x/y")]
    assert talk.got == [said.on_path(kind, 1, b"/home/x/y")]


@pytest.mark.parametrize("kind", [9, 14])
def test_what_requests_with_attributes_ask(kind: int) -> None:
    talk = Talk()
    mode = said.u32(4) + said.u32(0o4755)
    talk.client(said.request(kind, 1, said.text(b"f"), mode))
    assert talk.uses() == [("write", HOME + "f")]
    assert talk.got == [said.request(kind, 1, said.text(b"/home/u/f"), mode)]


@pytest.mark.parametrize(("name", "action"), [(b"statvfs@openssh.com", "list"), (b"lsetstat@openssh.com", "write")])
def test_what_extensions_ask(name: bytes, action: str) -> None:
    talk = Talk()
    rest = said.u32(0) if action == "write" else b""
    talk.client(said.extended(1, name, said.text(b"f"), rest))
    assert talk.uses() == [(action, HOME + "f")]
    assert talk.got == [said.extended(1, name, said.text(b"/home/u/f"), rest)]


@pytest.mark.parametrize("name", [b"", b"posix-rename@openssh.com", b"hardlink@openssh.com"])
def test_what_requests_with_two_paths_ask(name: bytes) -> None:
    def asking(first: bytes, second: bytes) -> bytes:
        parts = (said.text(first), said.text(second))
        return said.extended(1, name, *parts) if name else said.request(18, 1, *parts)

    talk = Talk()
    talk.client(asking(b"a", b"/b/../c"))
    # By a second name it can be read.
    also = [("read", HOME + "a")] if name.startswith(b"hardlink") else []
    assert talk.uses() == [*also, ("write", HOME + "a"), ("write", "/c")]
    assert talk.got == [asking(b"/home/u/a", b"/c")]


def test_renaming_a_directory_moves_all_beneath_it() -> None:
    talk = Talk()
    talk.target.directories.add(b"/home/u/d")
    talk.client(said.request(18, 1, said.text(b"d"), said.text(b"e")))
    assert talk.uses() == [("write", HOME + one) for one in ("d", "e", "d/", "e/")]
    unresolved = Talk(resolve=False)
    unresolved.client(said.request(18, 1, said.text(b"f"), said.text(b"e")))
    assert unresolved.uses() == [("write", HOME + one) for one in ("f", "e", "f/", "e/")]


@pytest.mark.parametrize("name", [b"", b"posix-rename@openssh.com", b"hardlink@openssh.com"])
def test_moving_a_symbolic_link_is_making_it_there(name: bytes) -> None:
    target = Target()
    target.texts[b"/home/u/d/link"] = b"../x"
    target.links[b"/home/u/../x"] = b"/real/x"
    talk = Talk(target=target)
    parts = (said.text(b"d/link"), said.text(b"link"))
    talk.client(said.extended(1, name, *parts) if name else said.request(18, 1, *parts))
    also = [("read", HOME + "d/link")] if name.startswith(b"hardlink") else []
    assert talk.uses() == also + [("write", one) for one in (HOME + "d/link", HOME + "link", "/home/x", "/real/x")]


def test_of_a_symbolic_link_the_second_path_is_the_link() -> None:
    talk = Talk()
    talk.client(said.request(20, 1, said.text(b"../secret"), said.text(b"d/link")))
    assert talk.uses() == [("write", HOME + "d/link"), ("write", HOME + "secret")]
    # what it says stays as it is, or a relative link would turn into another one
    assert talk.got == [said.request(20, 1, said.text(b"../secret"), said.text(b"/home/u/d/link"))]


@pytest.mark.parametrize("path", [b".", b"..", b"a/..", b"/", b"a/.", b"/a/../"])
@pytest.mark.parametrize("kind", [13, 15])
def test_what_would_remove_something_without_a_name(kind: int, path: bytes) -> None:
    talk = Talk()
    assert codes(talk.client(said.on_path(kind, 1, path))) == [(1, 4)]
    assert (talk.got, talk.uses()) == ([], [])


@pytest.mark.parametrize(("path", "code"), [(b"", 2), (b"a\0b", 5), (b"a" * 4090, 5)])
def test_paths_that_no_file_has(path: bytes, code: int) -> None:
    talk = Talk()
    assert codes(talk.client(said.opening(1, path))) == [(1, code)]
    assert (talk.got, talk.uses()) == ([], [])


def test_a_path_that_is_no_text_is_opaque() -> None:
    talk = Talk()
    talk.client(said.opening(1, b"caf\xe9"))
    (ask,) = talk.asked
    assert ask.opaque
    assert ask.files[0].path == HOME + "caf\\xe9"
    assert talk.got == [said.opening(1, b"/home/u/caf\xe9")]  # its name stays what it is
    talk.client(said.opening(2, "café".encode()))
    assert talk.asked[-1].opaque is None


def test_what_is_refused_never_gets_there_and_the_rest_goes_on() -> None:
    talk = Talk(refuses(HOME + "no"))
    answers = talk.client(
        said.opening(1, b"no"),
        said.opening(2, b"yes"),
        said.on_path(13, 3, b"x/../no"),
        said.request(18, 4, said.text(b"yes"), said.text(b"no")),
        said.on_path(13, 5, b"yes"),
    )
    assert [(one[4], said.number_of(one)) for one in answers] == [(101, 1), (102, 2), (101, 3), (101, 4), (101, 5)]
    assert codes([answers[0], *answers[2:]]) == [(1, DENIED), (3, DENIED), (4, DENIED), (5, 0)]
    assert talk.got == [said.opening(2, b"/home/u/yes"), said.on_path(13, 5, b"/home/u/yes")]
    assert answers[0] == said.packet(101, said.u32(1), said.u32(3), said.text(b"no"), said.text(b"en"))


def test_extensions_that_are_not_understood() -> None:
    talk = Talk()
    assert codes(talk.client(said.extended(1, b"vendor@example.com", b"abc"))) == [(1, 8)]
    assert codes(talk.client(said.request(21, 2, b"abc"))) == [(2, 8)]
    assert talk.got == []


def test_what_is_asked_says_all_that_would_be_done() -> None:
    talk = Talk(target=linked(link="/a b"))
    mode, times = said.u32(4) + said.u32(0o4755), said.u32(8) + said.u32(5) + said.u32(6)
    talk.client(
        said.opening(1, b"f", WRITE | CREATE, mode),
        said.opening(2, b"f", 0),
        said.request(9, 3, said.text(b"link"), said.u32(3) + said.u64(0) + said.u32(1) + said.u32(2)),
        said.request(14, 4, said.text(b"d"), mode),
        said.extended(5, b"lsetstat@openssh.com", said.text(b"f"), times),
        said.request(20, 6, said.text(b"../x"), said.text(b"y")),
        said.on_path(13, 7, b"f"),
    )
    talk.client(
        said.request(10, 8, said.text(b"h2"), mode),
        said.extended(9, b"copy-data", said.text(b"h2"), said.u64(1), said.u64(2), said.text(b"h1"), said.u64(3)),
    )
    assert [ask.text for ask in talk.asked] == [
        "open /home/u/f (write, create, mode 4755)",
        "open /home/u/f (read)",
        'setstat /home/u/link (really "/a b") (size 0, owner 1, group 2)',
        "mkdir /home/u/d (mode 4755)",
        "lsetstat /home/u/f (accessed 5, modified 6)",
        "symlink /home/u/y to /home/x",
        "remove /home/u/f",
        "fsetstat /home/u/f (mode 4755)",
        "copy-data /home/u/f to /home/u/f (2 bytes from 1 to 3)",
    ]


# --- where a path really leads --------------------------------------------------------------------------------


def test_a_symbolic_link_is_decided_on_as_itself_and_as_what_it_leads_to() -> None:
    talk = Talk(target=linked(link="/secret/key"))
    talk.client(said.opening(1, b"link"))
    assert talk.uses() == [("read", HOME + "link"), ("read", "/secret/key")]
    assert talk.got == [said.opening(1, b"/secret/key")]


@pytest.mark.parametrize("denied", [HOME + "link", "/secret/key"])
def test_either_is_enough_to_refuse(denied: str) -> None:
    talk = Talk(refuses(denied), target=linked(link="/secret/key"))
    assert codes(talk.client(said.opening(1, b"link"))) == [(1, DENIED)]
    assert talk.got == []


def test_without_resolving_only_what_is_said_counts() -> None:
    talk = Talk(target=linked(link="/secret/key"), resolve=False)
    talk.client(said.opening(1, b"link"))
    assert talk.uses() == [("read", HOME + "link")]


@pytest.mark.parametrize("kind", [7, 19, 13, 15])
def test_what_is_about_a_link_itself_resolves_only_where_it_lies(kind: int) -> None:
    talk = Talk(target=linked(link="/secret/key", directory="/real"))
    talk.client(said.on_path(kind, 1, b"link"))
    assert {path for _, path in talk.uses()} == {HOME + "link"}
    talk.client(said.on_path(kind, 2, b"directory/x"))
    assert {path for _, path in talk.uses()} == {HOME + "directory/x", "/real/x"}
    assert talk.got == [said.on_path(kind, 1, b"/home/u/link"), said.on_path(kind, 2, b"/real/x")]


def test_a_slash_behind_a_link_follows_it() -> None:
    talk = Talk(target=linked(link="/secret"))
    talk.client(said.on_path(7, 1, b"link/"))
    assert talk.got == [said.on_path(7, 1, b"/secret")]


def test_dots_behind_a_link_lead_where_the_target_says() -> None:
    target = Target()
    target.links = {b"/home/u/link/..": b"/elsewhere", b"/home/u/link/../x": b"/elsewhere/x"}
    talk = Talk(target=target)
    talk.client(said.opening(1, b"link/../x"), said.on_path(13, 2, b"link/../x"))
    assert talk.uses() == [
        ("read", HOME + "x"),
        ("read", "/elsewhere/x"),
        ("write", HOME + "x"),
        ("write", "/elsewhere/x"),
    ]
    assert talk.got == [said.opening(1, b"/elsewhere/x"), said.on_path(13, 2, b"/elsewhere/x")]


def test_an_exclusive_create_follows_no_link() -> None:
    talk = Talk(target=linked(link="/secret/key"))
    talk.client(said.opening(1, b"link", WRITE | CREATE | EXCLUSIVE))
    assert talk.got == [said.opening(1, b"/home/u/link", WRITE | CREATE | EXCLUSIVE)]


def test_a_new_file_on_a_target_that_resolves_only_what_is_there() -> None:
    target = linked(d="/real")
    target.missing |= {b"/home/u/d/new", b"/real/new"}
    talk = Talk(target=target)
    talk.client(said.opening(1, b"d/new", WRITE | CREATE))
    assert talk.uses() == [("write", HOME + "d/new"), ("write", "/real/new")]
    assert talk.got == [said.opening(1, b"/real/new", WRITE | CREATE)]


def test_a_link_that_leads_nowhere_is_asked_about_first() -> None:
    target = Target()
    target.missing.add(b"/home/u/dangling")
    target.texts[b"/home/u/dangling"] = b"nowhere"
    talk = Talk(refuses(HOME), target=target)
    # Else whoever may not even list it would hear that there is one.
    assert codes(talk.client(said.opening(1, b"dangling", WRITE | CREATE))) == [(1, DENIED)]
    assert talk.uses() == [("write", HOME + "dangling")]


@pytest.mark.parametrize("kind", ["symlink", "rename"])
def test_a_link_to_a_link_that_leads_nowhere_is_not_made(kind: str) -> None:
    target = Target()
    target.missing.add(b"/home/u/dangling")
    target.texts = {b"/home/u/dangling": b"nowhere", b"/home/u/mine": b"dangling"}
    talk = Talk(target=target)
    parts = (
        (said.text(b"dangling"), said.text(b"new")) if kind == "symlink" else (said.text(b"mine"), said.text(b"new"))
    )
    assert codes(talk.client(said.request(20 if kind == "symlink" else 18, 1, *parts))) == [(1, 2)]
    assert talk.got == []


def test_a_link_that_leads_nowhere_is_not_followed_by_an_upload() -> None:
    target = Target()
    target.missing.add(b"/home/u/dangling")
    target.texts[b"/home/u/dangling"] = b"nowhere"
    talk = Talk(target=target)
    assert codes(talk.client(said.opening(1, b"dangling", WRITE | CREATE))) == [(1, 2)]
    assert talk.got == []


def test_what_is_not_there_is_told_only_to_who_may_ask() -> None:
    target = Target()
    target.missing |= {b"/home/u/d", b"/home/u/d/x"}
    talk = Talk(target=target)
    assert codes(talk.client(said.on_path(17, 1, b"d/x"))) == [(1, 2)]
    assert talk.uses() == [("list", HOME + "d/x")]
    strict = Talk(refuses(HOME), target=target)
    assert codes(strict.client(said.on_path(17, 1, b"d/x"))) == [(1, DENIED)]


def test_a_target_that_tells_no_path() -> None:
    talk = Talk(target=linked(link="relative"))
    assert codes(talk.client(said.opening(1, b"link"))) == [(1, 4)]
    assert talk.got == []


# --- answers that are paths -----------------------------------------------------------------------------------


def test_the_home_is_no_secret() -> None:
    talk = Talk(lambda ask: True)
    expand = b"expand-path@openssh.com"
    answers = talk.client(
        said.on_path(16, 1, b"."),
        said.on_path(16, 2, b""),
        said.on_path(16, 3, b"/home/u"),
        said.extended(4, expand, said.text(b"~")),
        said.extended(5, expand, said.text(b"~/")),
    )
    assert answers == [said.name(number, b"/home/u") for number in range(1, 6)]
    assert (talk.got, talk.uses()) == ([], [])


def test_realpath_gives_what_was_decided_on() -> None:
    talk = Talk(refuses("/secret"), target=linked(link="/secret/key", d="/real"))
    assert talk.client(said.on_path(16, 1, b"d")) == [said.name(1, b"/real")]
    assert talk.uses() == [("list", HOME + "d"), ("list", "/real")]
    assert codes(talk.client(said.on_path(16, 2, b"link"))) == [(2, DENIED)]
    assert talk.got == []  # our own question was enough
    assert talk.client(said.on_path(16, 3, b"~")) == [said.name(3, b"/home/u/~")]


def test_a_path_that_only_reads_like_the_home() -> None:
    target = Target()
    target.links = {b"/home/u/link/..": b"/elsewhere"}
    talk = Talk(refuses("/elsewhere"), target=target)
    assert codes(talk.client(said.on_path(16, 1, b"link/.."))) == [(1, DENIED)]


def test_homes_of_others() -> None:
    target = Target()

    def answer(one: bytes) -> bytes:
        if one[4] == 200:
            return said.name(said.number_of(one), b"/home/other")
        return Target.answer(target, one)

    target.answer = answer  # type: ignore[method-assign]
    talk = Talk(refuses("/home/other"), target=target)
    answers = talk.client(
        said.extended(1, b"expand-path@openssh.com", said.text(b"~other/x")),
        said.extended(2, b"home-directory", said.text(b"other")),
        said.extended(3, b"home-directory", said.text(b"o\0")),
    )
    assert codes(answers) == [(1, 2), (2, 2), (3, 5)]
    assert talk.uses() == [("list", "/home/other")] * 2
    # Whether there is such a user isn't told.
    target.answer = lambda one: said.status(said.number_of(one), 2, b"No such user")  # type: ignore[method-assign]
    assert talk.client(said.extended(2, b"home-directory", said.text(b"nobody"))) == [answers[1]]


# --- handles --------------------------------------------------------------------------------------------------


def test_content_passes_as_it_came_and_is_counted() -> None:
    talk = Talk()
    raw = opened(talk)
    talk.target.contents[raw] = b"abcdef"
    pieces = [said.writing(1, raw, 0, b"abc"), said.writing(2, raw, 3, b"def")]
    assert codes(talk.client(*pieces)) == [(1, 0), (2, 0)]
    assert talk.got == pieces
    asking = [said.reading(3, raw, 0, 4), said.reading(4, raw, 4, 4), said.reading(5, raw, 6, 4)]
    assert talk.client(*asking) == [said.data(3, b"abcd"), said.data(4, b"ef"), said.status(5, 1, b"End of file")]
    assert talk.got == asking
    talk.client(said.closing(6, raw))
    (done,) = talk.relay.done
    digest = hashlib.sha256(b"abcdef").hexdigest()
    for flow in (done.read, done.written):
        assert flow is not None
        assert (flow.start, flow.size, flow.digest) == (0, 6, digest)
    assert done.read is not None
    assert done.read.to_end
    assert done.closed
    assert done.reference == 1
    assert talk.uses() == []


def test_a_digest_only_of_what_came_in_order() -> None:
    talk = Talk()
    raw = opened(talk)
    talk.client(said.writing(1, raw, 100, b"abc"), said.writing(2, raw, 103, b"d"), said.closing(3, raw))
    resumed = talk.relay.done.pop().written
    assert resumed is not None
    assert (resumed.start, resumed.size, resumed.digest) == (100, 4, hashlib.sha256(b"abcd").hexdigest())
    raw = opened(talk)
    talk.client(said.writing(1, raw, 0, b"abc"), said.writing(2, raw, 1, b"d"), said.closing(3, raw))
    again = talk.relay.done.pop().written
    assert again is not None
    assert (again.size, again.digest) == (4, "")


def test_what_is_appended_comes_in_order_wherever_the_client_says() -> None:
    talk = Talk()
    raw = opened(talk, flags=WRITE | said.APPEND)
    talk.client(said.writing(1, raw, 7, b"abc"), said.writing(2, raw, 7, b"d"), said.closing(3, raw))
    flow = talk.relay.done.pop().written
    assert flow is not None
    assert flow.digest == hashlib.sha256(b"abcd").hexdigest()


def test_a_write_that_fails_has_no_digest() -> None:
    talk = Talk()
    raw = opened(talk)
    talk.target.silent.add(6)
    talk.client(said.writing(1, raw, 0, b"abc"))
    talk.server(said.status(1, 4, b"disk full"))
    talk.client(said.closing(2, raw))
    flow = talk.relay.done.pop().written
    assert flow is not None
    assert (flow.size, flow.digest, flow.failed) == (3, "", True)


@pytest.mark.parametrize(
    ("flags", "packet"), [(READ, said.writing(1, b"h1", 0, b"x" * 100)), (WRITE, said.reading(1, b"h1", 0, 10))]
)
def test_content_has_to_fit_what_the_handle_was_opened_for(flags: int, packet: bytes) -> None:
    talk = Talk()
    assert opened(talk, flags=flags) == b"h1"
    assert codes(talk.client(packet, said.closing(2, b"h1"))) == [(1, DENIED), (2, 0)]
    assert talk.got == [said.closing(2, b"h1")]


@pytest.mark.parametrize(
    "packet",
    [
        said.reading(1, b"no", 0, 10),
        said.writing(1, b"no", 0, b"x" * 100),
        said.closing(1, b"no"),
        said.request(8, 1, said.text(b"no")),
        said.request(12, 1, said.text(b"no")),
        said.request(10, 1, said.text(b"no"), said.u32(0)),
        said.extended(1, b"fsync@openssh.com", said.text(b"no")),
        said.extended(1, b"copy-data", said.text(b"no"), said.u64(0), said.u64(0), said.text(b"h1"), said.u64(0)),
        said.request(12, 1, said.text(b"h1")),
    ],
)
def test_handles_that_nobody_gave_or_not_for_that(packet: bytes) -> None:
    talk = Talk()
    opened(talk)
    assert codes(talk.client(packet)) == [(1, 4)]
    assert talk.got == []


def test_a_handle_ends_when_it_is_closed_not_when_that_is_answered() -> None:
    talk = Talk()
    raw = opened(talk)
    talk.target.silent.add(4)
    assert codes(talk.client(said.closing(1, raw), said.reading(2, raw, 0, 1))) == [(2, 4)]
    talk.target.opened = 0  # the target gives the same name again, before it says that the first is closed
    assert opened(talk) == raw
    assert codes(talk.server(said.status(1))) == [(1, 0)]
    assert talk.client(said.reading(3, raw, 0, 1)) == [said.status(3, 1, b"End of file")]


def test_directories() -> None:
    talk = Talk()
    (packet,) = talk.client(said.on_path(11, 1, b"d"))
    raw = said.string_at(packet, 9)
    talk.target.silent.add(12)
    talk.client(said.request(12, 2, said.text(raw)))
    answer = said.name(2, b"a", b"b")
    assert talk.server(answer) == [answer]
    assert codes(talk.client(said.reading(3, raw, 0, 1))) == [(3, DENIED)]
    talk.client(said.closing(4, raw))
    assert talk.relay.done[-1].entries == 2


def test_attributes_of_what_is_open_for_writing_are_no_new_question() -> None:
    talk = Talk()
    raw = opened(talk)
    setting = said.request(10, 1, said.text(raw), said.u32(12), said.u32(0o644), said.u32(5), said.u32(6))
    assert codes(talk.client(setting, said.closing(2, raw))) == [(1, 0), (2, 0)]
    assert talk.uses() == []
    assert talk.relay.done[0].changed == ("mode 0644", "accessed 5, modified 6")


def test_attributes_of_what_is_open_for_reading_are_a_write() -> None:
    talk = Talk(lambda ask: ask.action == "fsetstat", target=linked(f="/real"))
    raw = opened(talk, flags=READ)
    assert codes(talk.client(said.request(10, 1, said.text(raw), said.u32(4), said.u32(0o644)))) == [(1, DENIED)]
    assert talk.uses() == [("write", HOME + "f"), ("write", "/real")]
    assert talk.got == []


def test_copying_at_the_target() -> None:
    talk = Talk()
    one, two = opened(talk, b"a", READ), opened(talk, b"b", WRITE)

    def copying(number: int, source: bytes, destination: bytes) -> bytes:
        parts = (said.text(source), said.u64(0), said.u64(0), said.text(destination), said.u64(0))
        return said.extended(number, b"copy-data", *parts)

    assert sorted(codes(talk.client(copying(1, one, two), copying(2, two, one)))) == [(1, 0), (2, DENIED)]
    assert talk.uses() == [("read", HOME + "a"), ("write", HOME + "b")]
    talk.client(said.writing(3, two, 0, b"x"), said.closing(4, two))
    flow = talk.relay.done[-1].written
    assert flow is not None
    assert flow.digest == ""


def test_only_so_many_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_HANDLES", 2)
    talk = Talk()
    answers = talk.client(said.opening(1, b"a"), said.on_path(11, 2, b"b"), said.opening(3, b"c"))
    assert sorted((said.number_of(one), one[4]) for one in answers) == [(1, 102), (2, 102), (3, 101)]
    talk.client(said.closing(4, b"h1"))
    assert talk.client(said.opening(5, b"c"))[0][4] == 102


def test_what_is_open_when_the_channel_ends() -> None:
    talk = Talk()
    raw = opened(talk)
    talk.client(said.writing(1, raw, 0, b"abc"))
    talk.target.silent |= {4, 3, 13}
    talk.client(said.closing(2, raw), said.opening(3, b"g"), said.on_path(13, 4, b"x"))
    talk.relay.finish()
    assert [(done.ask.action, done.closed) for done in talk.relay.done] == [
        ("open", False),
        ("open", False),
        ("remove", False),
    ]


# --- many at once ---------------------------------------------------------------------------------------------


def test_questions_come_one_by_one_and_content_goes_on_meanwhile() -> None:
    talk = Talk()
    raw = opened(talk)
    relay = talk.relay
    relay.receive_client(said.on_path(17, 1, b"other") + said.on_path(17, 2, b"/next"))
    for packet in relay.to_server:
        relay.receive_server(talk.target.answer(packet))
    relay.to_server.clear()
    assert relay.ask is not None
    assert relay.ask.files[0].path == HOME + "other"
    relay.receive_client(said.writing(3, raw, 0, b"abc"))
    assert relay.to_server == [said.writing(3, raw, 0, b"abc")]
    assert not waits(relay)
    talk.settle()
    assert [use.path for ask in talk.asked for use in ask.files] == [HOME + "other", "/next"]


@pytest.mark.parametrize(
    "asking",
    [
        said.on_path(13, 1, b"f"),
        said.request(18, 1, said.text(b"x"), said.text(b"f")),
    ],
)
def test_content_of_a_file_waits_behind_a_question_about_it(asking: bytes) -> None:
    talk = Talk()
    raw = opened(talk)
    relay = talk.relay
    relay.receive_client(asking + said.writing(3, raw, 0, b"abc"))
    assert waits(relay)
    assert said.writing(3, raw, 0, b"abc") not in relay.to_server
    talk.settle()
    assert not waits(relay)
    assert [packet[4] for packet in talk.got] == [asking[4], 6]


def test_our_ids_are_nobody_elses() -> None:
    relay = Talk().relay
    highest = 0xFFFFFFFF
    relay.receive_client(said.extended(highest, b"limits@openssh.com") + said.on_path(13, 1, b"a"))
    relay.receive_client(said.on_path(13, highest - 2, b"b"))
    assert [said.number_of(one) for one in relay.to_server] == [highest, highest - 1]
    relay.to_server.clear()
    # a client that comes to use the id of ours that is under way
    relay.receive_client(said.extended(highest - 1, b"limits@openssh.com"))
    assert waits(relay)
    assert relay.to_server == []
    relay.receive_server(said.name(highest - 1, b"/home/u"))
    assert relay.to_client == []
    assert not waits(relay)
    assert relay.to_server == [said.extended(highest - 1, b"limits@openssh.com")]
    relay.decided(True)
    assert [said.number_of(one) for one in relay.to_server[1:]] == [1, highest - 3]


def test_an_id_that_is_in_use() -> None:
    talk = Talk()
    talk.target.silent.add(13)
    talk.client(said.on_path(13, 1, b"a"))
    with pytest.raises(PeerError, match="in use"):
        talk.client(said.on_path(13, 1, b"b"))
    talk = Talk()
    talk.relay.receive_client(said.on_path(13, 1, b"a"))
    with pytest.raises(PeerError, match="in use"):
        talk.relay.receive_client(said.on_path(13, 1, b"a"))


def test_the_client_waits_while_too_much_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_OUTSTANDING", 2)
    talk = Talk()
    raw = opened(talk)
    talk.target.silent.add(5)
    talk.client(*(said.reading(number, raw, 0, 10) for number in range(4)))
    assert waits(talk.relay)
    assert len(talk.got) == 2
    talk.server(said.data(1, b"abc"))
    assert len(talk.got) == 1
    talk.server(said.data(0, b"abc"), said.data(2, b"abc"))
    assert not waits(talk.relay)
    assert len(talk.got) == 1


def test_the_client_waits_while_too_many_wait_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_WAITING", 2)
    talk = Talk()
    talk.relay.receive_client(b"".join(said.on_path(17, number, b"a") for number in range(5)))
    assert waits(talk.relay)
    talk.settle()
    assert not waits(talk.relay)
    assert [said.number_of(one) for one in talk.got] == [0, 1, 2, 3, 4]


def test_answers_of_ours_do_not_come_into_the_middle_of_content() -> None:
    talk = Talk(refuses(HOME + "no"), resolve=False)
    raw = opened(talk)
    talk.target.silent.add(5)
    talk.client(said.reading(1, raw, 0, 100))
    content = said.data(1, b"x" * 100)
    talk.relay.receive_server(content[:50])
    talk.relay.receive_client(said.opening(2, b"") + said.writing(9, b"bad", 0, b"data") + said.on_path(17, 3, b"no"))
    talk.settle()
    talk.relay.receive_server(content[50:])
    talk.settle()
    assert [(one[4], said.number_of(one)) for one in talk.taken()] == [(103, 1), (101, 2), (101, 9), (101, 3)]


def test_what_goes_to_the_target_does_not_come_into_the_middle_of_content() -> None:
    talk = Talk()
    raw = opened(talk)
    relay = talk.relay
    write = said.writing(2, raw, 0, b"y" * 100)
    relay.receive_client(said.on_path(17, 1, b"a") + write[:60])
    first = b"".join(relay.to_server)
    relay.to_server.clear()
    probe = said.split(first)[0]
    relay.receive_server(talk.target.answer(probe))
    assert relay.ask is not None
    relay.decided(True)
    assert relay.to_server == []
    relay.receive_client(write[60:])
    assert said.split(first + b"".join(relay.to_server)) == [probe, write, said.on_path(17, 1, b"/home/u/a")]


# --- what is broken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bytes_",
    [
        said.u32(0),
        said.u32(4) + b"\x05\0\0\0\1",
        said.u32(2**32 - 1) + b"\x05\0\0\0\1",
        said.u32(256 * 1024 + 1025) + b"\x06\0\0\0\1",
        said.u32(34_001) + b"\x03\0\0\0\1",
        said.reading(1, b"h" * 257, 0, 1),
        said.request(5, 1, said.text(b"h1"), said.u64(0)),
        said.request(5, 1, said.text(b"h1"), said.u64(0), said.u32(1), b"x"),
        said.request(6, 1, said.text(b"h1"), said.u64(0), said.u32(5), b"x"),
        said.request(6, 1, said.text(b"h1"), said.u64(0), said.u32(1), b"xx"),
        said.request(13, 1, said.text(b"a"), b"x"),
    ],
)
def test_a_client_that_breaks_the_protocol(bytes_: bytes) -> None:
    talk = Talk()
    opened(talk)
    try:
        talk.client(bytes_, b"\0" * 64)
    except PeerError:
        return
    raise AssertionError("nothing was wrong with it")


def test_a_target_that_breaks_the_protocol() -> None:
    def broken(packet: bytes, *, silent: int = 5, asking: bytes = b"") -> None:
        talk = Talk()
        raw = opened(talk)
        talk.target.silent.add(silent)
        talk.client(asking or said.reading(1, raw, 0, 10))
        with pytest.raises(PeerError):
            talk.server(packet)

    broken(said.data(1, b"x" * 11))
    broken(said.data(2, b"x"))
    broken(said.status(2))
    broken(said.name(1, b"x"))
    broken(said.packet(103, said.u32(1), said.u32(3), b"abcd"))
    broken(said.u32(2**32 - 1) + b"\x67\0\0\0\1")
    broken(said.u32(0) + b"\x67\0\0\0\1")
    broken(said.handle(1, b"h1"), silent=3, asking=said.opening(1, b"a"))
    broken(said.data(1, b""), silent=3, asking=said.opening(1, b"a"))
    broken(said.handle(1, b"h" * 257), silent=3, asking=said.opening(1, b"a"))
    broken(said.packet(101, said.u32(1), b"\0\0"), silent=13, asking=said.on_path(13, 1, b"a"))


def test_a_read_of_more_than_a_packet_holds_asks_for_less() -> None:
    talk = Talk()
    raw = opened(talk)
    talk.client(said.reading(1, raw, 0, 2**32 - 1))
    assert talk.got == [said.reading(1, raw, 0, 256 * 1024)]


def test_limits_of_the_target_are_capped() -> None:
    talk = Talk()
    talk.target.silent.add(200)
    talk.client(said.extended(1, b"limits@openssh.com"))
    answer = said.packet(201, said.u32(1), *(said.u64(2**40),) * 4)
    (capped,) = talk.server(answer)
    assert struct.unpack(">4Q", capped[9:]) == (257 * 1024, 256 * 1024, 256 * 1024, 1024)


# --- however it is split --------------------------------------------------------------------------------------


def conversation(talk: Talk) -> tuple[list[bytes], list[bytes], list[tuple[str, str]]]:
    answers = talk.client(
        said.on_path(16, 1, b"."),
        said.opening(2, b"f", READ | WRITE | CREATE),
        said.on_path(17, 3, b"no/x"),
        said.request(18, 4, said.text(b"a"), said.text(b"b")),
        said.extended(5, b"vendor@example.com", b"x" * 50),
        said.writing(6, b"bad", 0, b"0123456789" * 20),
        said.extended(7, b"limits@openssh.com"),
    )
    raw = b"h1"
    talk.target.contents[raw] = b"abc" * 1000
    answers += talk.client(
        said.writing(8, raw, 0, b"0123456789" * 100),
        said.on_path(13, 9, b"no"),
        said.reading(10, raw, 0, 2000),
        said.reading(11, raw, 2000, 2000),
        said.reading(12, raw, 3000, 2000),
        said.closing(13, raw),
    )
    digests = [flow.digest for done in talk.relay.done for flow in (done.read, done.written) if flow]
    assert digests == [hashlib.sha256(b"abc" * 1000).hexdigest(), hashlib.sha256(b"0123456789" * 100).hexdigest()]
    return sorted(answers), sorted(talk.target.got), talk.uses()


EXPECTED = conversation(Talk(refuses(HOME + "no")))


def test_byte_by_byte() -> None:
    assert conversation(Talk(refuses(HOME + "no"), chunks=said.bytewise)) == EXPECTED


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_in_any_split(data: st.DataObject) -> None:
    def chunks(stream: bytes) -> list[bytes]:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]

    assert conversation(Talk(refuses(HOME + "no"), chunks=chunks)) == EXPECTED


def test_what_is_held_is_less_than_a_packet() -> None:
    talk = Talk()
    raw = opened(talk)
    write = said.writing(1, raw, 0, b"x" * 200_000)
    for start in range(0, len(write), 1000):
        talk.relay.receive_client(write[start : start + 1000])
        assert b"".join(talk.relay.to_server) == write[start : start + 1000]
        talk.relay.to_server.clear()
