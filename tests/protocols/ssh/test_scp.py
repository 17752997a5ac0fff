from __future__ import annotations

import hashlib
import shlex
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import PeerError
from gateway.protocols.ssh.commands import Scp, scp
from gateway.protocols.ssh.files import Ask
from gateway.protocols.ssh.paths import PathRefused
from gateway.protocols.ssh.scp import MAX_LINE, ScpRelay, at_target
from gateway.protocols.ssh.sftp_asking import Reply

HOME = b"/home/u"
OK = b"\0"


def command(words: str) -> Scp:
    parsed = scp(tuple(shlex.split(words)))
    assert parsed is not None
    return parsed


class Talk:
    """The relay, with somebody who answers each question at once; ``source`` and ``sink`` give what the other got."""

    def __init__(self, words: str, deny: Callable[[Ask], bool] = lambda ask: False) -> None:
        self.command = command(words)
        self.relay = ScpRelay(self.command, HOME)
        self.deny = deny
        self.asked: list[Ask] = []

    def source(self, data: bytes) -> bytes:
        """What the sink gets."""
        (self.relay.receive_server if self.command.sends else self.relay.receive_client)(data)
        return self._taken(to_sink=True)

    def sink(self, data: bytes) -> bytes:
        """What the source gets."""
        (self.relay.receive_client if self.command.sends else self.relay.receive_server)(data)
        return self._taken(to_sink=False)

    def to_source(self) -> bytes:
        return self._taken(to_sink=False)

    def to_sink(self) -> bytes:
        return self._taken(to_sink=True)

    def _taken(self, *, to_sink: bool) -> bytes:
        while self.relay.ask is not None:
            self.asked.append(self.relay.ask)
            self.relay.decided(not self.deny(self.relay.ask), "no", len(self.asked))
        out = self.relay.to_server if to_sink != self.command.sends else self.relay.to_client
        data = b"".join(out)
        out.clear()
        return data

    def uses(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = [(use.action, use.path) for ask in self.asked for use in ask.files]
        self.asked.clear()
        return found


def ready(words: str, deny: Callable[[Ask], bool] = lambda ask: False) -> Talk:
    talk = Talk(words, deny)
    assert talk.sink(OK) == OK
    return talk


def waits(talk: Talk) -> bool:
    return talk.relay.holding


def refuses(part: str) -> Callable[[Ask], bool]:
    return lambda ask: any(part in use.path for use in ask.files)


# --- the command ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("scp -t .", "scp -t -- /home/u/"),
        ("scp -t x", "scp -t -- /home/u/x"),
        ("scp -t x/", "scp -t -- /home/u/x/"),
        ("scp -t ../x", "scp -t -- /home/x"),
        ("scp -t /", "scp -t -- /"),
        ("scp -t x/..", "scp -t -- /home/u/"),
        ("scp -v -r -p -d -t /a//b", "scp -rpd -t -- /a/b"),
        ("scp -f -- -a", "scp -f -- /home/u/-a"),
        ("scp -f 'a b'", "scp -f -- '/home/u/a b'"),
        ("scp -f '$(id)'", "scp -f -- '/home/u/$(id)'"),
        ("scp -f '~'", "scp -f -- '/home/u/~'"),
    ],
)
def test_what_is_run_at_the_target(words: str, line: str) -> None:
    assert at_target(command(words), HOME).command() == line


def test_paths_that_can_not_be_decided_on() -> None:
    with pytest.raises(PathRefused):
        ScpRelay(command("scp -t x"), None)
    with pytest.raises(PathRefused):
        ScpRelay(command("scp -f " + "a" * 5000), HOME)
    ScpRelay(command("scp -t /x"), None)


# --- to the target --------------------------------------------------------------------------------------------


def test_a_file_comes() -> None:
    talk = ready("scp -t /in/")
    assert talk.source(b"C0644 5 name\n") == b"C0644 5 name\n"
    assert talk.uses() == [("write", "/in/name")]
    assert talk.sink(OK) == OK
    assert talk.source(b"hel") == b"hel"
    assert talk.source(b"lo\0") == b"lo\0"
    assert talk.relay.done == []
    assert talk.sink(OK) == OK
    (done,) = talk.relay.done
    assert done.written is not None
    assert (done.written.size, done.written.digest) == (5, hashlib.sha256(b"hello").hexdigest())
    assert (done.status, done.reference, done.closed, done.read) == (0, 1, True, None)


def test_where_to_is_a_directory_or_the_file_itself() -> None:
    talk = ready("scp -t x")
    talk.source(b"C0644 5 name\n")
    assert talk.uses() == [("write", "/home/u/x"), ("write", "/home/u/x/name")]
    sure = ready("scp -d -t x")
    sure.source(b"C0644 5 name\n")
    assert sure.uses() == [("write", "/home/u/x/name")]


def test_what_is_asked_says_all_that_would_be_done() -> None:
    talk = ready("scp -r -t 'x y'")
    talk.source(b"C4755 5 name\n")
    talk.sink(b"\1no\n")
    talk.source(b"D0700 0 d\n")
    assert [ask.text for ask in talk.asked] == [
        'put "/home/u/x y" or "/home/u/x y/name" (mode 4755)',
        'mkdir "/home/u/x y" or "/home/u/x y/d" (mode 0700)',
    ]


def test_directories_in_directories() -> None:
    talk = ready("scp -r -t /x")
    talk.source(b"D0755 0 d\n")
    assert talk.uses() == [("write", "/x"), ("write", "/x/d")]
    talk.sink(OK)
    talk.source(b"D0755 0 e\n")
    assert talk.uses() == [("write", "/x/e"), ("write", "/x/d/e")]
    talk.sink(OK)
    talk.source(b"C0644 0 f\n")
    assert talk.uses() == [("write", "/x/e/f"), ("write", "/x/d/e/f")]
    talk.sink(OK)
    assert talk.source(b"\0") == b"\0"
    talk.sink(OK)
    assert talk.source(b"E\n") == b"E\n"
    assert talk.sink(OK) == OK
    talk.source(b"C0644 0 g\n")
    assert talk.uses() == [("write", "/x/g"), ("write", "/x/d/g")]


def test_a_refused_file_is_skipped() -> None:
    talk = ready("scp -t /in/", refuses("no"))
    assert talk.source(b"C0644 5 no\n") == b""
    assert talk.to_source() == b"\1scp: /in/no: no\n"
    assert talk.source(b"C0644 5 yes\n") == b"C0644 5 yes\n"


def test_a_refused_directory_is_skipped() -> None:
    talk = ready("scp -r -t /in/", refuses("no"))
    assert talk.source(b"D0755 0 no\n") == b""
    assert talk.to_source() == b"\1scp: /in/no: no\n"
    talk.source(b"C0644 5 yes\n")
    assert talk.uses() == [("write", "/in/no"), ("write", "/in/yes")]


def test_times_wait_for_what_they_are_for() -> None:
    talk = ready("scp -p -t /in/", refuses("no"))
    assert talk.source(b"T1 0 2 0\n") == b""
    assert talk.to_source() == OK
    assert talk.source(b"C0644 5 no\n") == b""
    talk.to_source()
    assert talk.source(b"C0644 5 yes\n") == b"C0644 5 yes\n"  # the times were the other file's
    talk.sink(OK)
    talk.source(b"hello\0")
    talk.sink(OK)
    assert talk.source(b"T1 0 2 0\n") == b""
    assert talk.to_source() == OK
    assert talk.source(b"C0644 5 more\n") == b"T1 0 2 0\n"
    assert talk.sink(OK) == b""
    assert talk.to_sink() == b"C0644 5 more\n"
    assert talk.sink(OK) == OK


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"/etc/passwd", b"../x", b"x/"])
def test_names_that_lead_elsewhere(name: bytes) -> None:
    talk = ready("scp -r -t /in/")
    for kind in (b"C0644", b"D0755"):
        assert talk.source(kind + b" 5 " + name + b"\n") == b""
        assert talk.to_source().startswith(b"\1scp: ")
    assert talk.uses() == []


def test_a_name_that_is_no_text_is_opaque() -> None:
    talk = ready("scp -t /in/")
    assert talk.source(b"C0644 5 caf\xe9\n") == b"C0644 5 caf\xe9\n"
    assert talk.asked[0].opaque


def test_content_that_looks_like_records_comes_only_when_the_target_wants_it() -> None:
    talk = ready("scp -t /in/", refuses("evil"))
    evil = b"C0644 4 evil\n"
    assert talk.source(b"C0644 %d name\n" % len(evil) + evil) == b"C0644 13 name\n"
    assert talk.relay.holding
    # the target doesn't want the file: what follows are records, and they are looked at as such
    assert talk.sink(b"\1scp: no space\n").startswith(b"\1scp: no space\n")
    assert talk.to_sink() == b""
    assert [ask.files[0].path for ask in talk.asked] == ["/in/name", "/in/evil"]
    assert [(done.status, done.words) for done in talk.relay.done] == [(4, "scp: no space")]


def test_a_file_that_fails_at_its_source_or_its_sink() -> None:
    talk = ready("scp -t /in/")
    talk.source(b"C0644 5 name\n")
    talk.sink(OK)
    assert talk.source(b"hello\1scp: read failed\n") == b"hello\1scp: read failed\n"
    talk.sink(OK)
    talk.source(b"C0644 5 name\n")
    talk.sink(OK)
    talk.source(b"hello\0")
    assert talk.sink(b"\1scp: disk full\n") == b"\1scp: disk full\n"
    assert [(done.status, done.words) for done in talk.relay.done] == [(4, "scp: read failed"), (4, "scp: disk full")]
    assert all(done.written is not None and done.written.digest == "" for done in talk.relay.done)


def test_a_source_that_has_something_to_say() -> None:
    talk = ready("scp -t /in/")
    assert talk.source(b"\1scp: x: No such file\n") == b"\1scp: x: No such file\n"
    assert talk.source(b"C0644 5 name\n") == b"C0644 5 name\n"
    talk = ready("scp -t /in/")
    assert talk.source(b"\2bye\n") == b"\2bye\n"
    assert talk.relay.over
    assert talk.source(b"C0644 5 name\n") == b""


def test_there_is_no_such_directory() -> None:
    talk = Talk("scp -d -t /in")
    assert talk.sink(b"\1scp: /in: No such file or directory\n") == b"\1scp: /in: No such file or directory\n"
    assert talk.relay.over


def test_a_target_that_fails_while_content_comes() -> None:
    talk = ready("scp -t /in/")
    talk.source(b"C0644 5 name\n")
    talk.sink(OK)
    talk.source(b"he")
    assert talk.sink(b"\1scp: dropped\n") == b"\1scp: dropped\n"
    assert talk.relay.over
    assert talk.source(b"llo\0") == b""


def test_a_target_that_ends_while_a_question_is_open() -> None:
    talk = ready("scp -t /in/")
    talk.relay.receive_client(b"C0644 5 name\n")
    talk.relay.receive_server(b"\1scp: bye\n")
    assert talk.relay.over
    assert talk.relay.ask is None
    talk.relay.decided(True)
    assert (talk.relay.to_server, talk.relay.done) == ([], [])


def test_a_target_that_answers_twice() -> None:
    talk = ready("scp -t /in/")
    with pytest.raises(PeerError, match="twice"):
        talk.sink(OK)
    talk = ready("scp -t /in/")
    assert talk.sink(b"\1scp: set mode\n") == b"\1scp: set mode\n"
    assert talk.relay.over


# --- from the target ------------------------------------------------------------------------------------------


def test_a_file_is_fetched() -> None:
    talk = ready("scp -f x")
    assert talk.source(b"C0644 5 x\n") == b"C0644 5 x\n"
    assert talk.uses() == [("read", "/home/u/x")]
    assert talk.sink(OK) == OK
    assert talk.source(b"hello\0") == b"hello\0"
    assert talk.sink(OK) == OK
    (done,) = talk.relay.done
    assert done.read is not None
    assert done.read.digest == hashlib.sha256(b"hello").hexdigest()
    assert done.written is None


def test_a_refused_file_is_not_fetched() -> None:
    talk = ready("scp -f x", refuses("x"))
    assert talk.source(b"C0644 5 x\n") == b"\1scp: /home/u/x: no\n"
    assert talk.to_source() == b"\1denied\n"


def test_a_tree_is_fetched() -> None:
    talk = ready("scp -r -f /d", refuses("secret"))
    assert talk.source(b"D0755 0 d\n") == b"D0755 0 d\n"
    talk.sink(OK)
    assert talk.source(b"C0600 5 secret\n").startswith(b"\1")
    assert talk.to_source() == b"\1denied\n"
    assert talk.source(b"D0755 0 e\n") == b"D0755 0 e\n"
    assert talk.uses() == [("list", "/d"), ("read", "/d/secret"), ("list", "/d/e")]
    talk.sink(OK)
    assert talk.source(b"E\n") == b"E\n"
    talk.sink(OK)
    assert talk.source(b"E\n") == b"E\n"
    assert talk.sink(OK) == OK


@pytest.mark.parametrize("name", [b"other", b"..", b"a/x"])
def test_a_source_that_sends_something_else(name: bytes) -> None:
    talk = ready("scp -f x")
    assert talk.source(b"C0644 5 " + name + b"\n").startswith(b"\1scp: ")
    assert talk.to_source() == b"\1denied\n"
    assert talk.uses() == []


def test_the_home_is_fetched_by_its_name() -> None:
    talk = ready("scp -r -f .")
    assert talk.source(b"D0755 0 u\n") == b"D0755 0 u\n"
    assert talk.uses() == [("list", "/home/u")]


def test_what_is_missing_is_told() -> None:
    talk = ready("scp -f x")
    assert talk.source(b"\1scp: x: No such file\n") == b"\1scp: x: No such file\n"
    assert talk.sink(OK) == b""


def test_a_client_may_answer_ahead() -> None:
    talk = ready("scp -f x")
    talk.sink(OK * 3)
    assert talk.source(b"C0644 5 x\n") == b"C0644 5 x\n"
    assert talk.source(b"hello\0") == b"hello\0"
    assert talk.to_source() == OK * 2
    assert len(talk.relay.done) == 1


# --- where a path really leads --------------------------------------------------------------------------------


def resolving(words: str, answers: dict[bytes, bytes], deny: Callable[[Ask], bool] = lambda ask: False) -> Talk:
    """A target that knows where some paths lead, and that others aren't there."""
    talk = Talk(words, deny)
    relay = talk.relay = ScpRelay(talk.command, HOME, resolve=True)
    assert talk.sink(OK) == OK
    receive = relay.receive_server if talk.command.sends else relay.receive_client

    def received(data: bytes) -> None:
        receive(data)
        while relay.probe is not None:
            where = answers.get(relay.probe.path)
            if where is None:
                relay.told(Reply(101, struct.pack(">II", 2, 0)))
            else:
                relay.told(Reply(104, struct.pack(">I", 1) + struct.pack(">I", len(where)) + where + bytes(8)))

    setattr(relay, receive.__name__, received)
    return talk


def test_both_what_is_written_and_where_it_leads_are_decided_on() -> None:
    talk = resolving("scp -t /in/", {b"/in/name": b"/out/name"})
    assert talk.source(b"C0644 5 name\n") == b"C0644 5 name\n"
    assert talk.uses() == [("write", "/in/name"), ("write", "/out/name")]
    talk = resolving("scp -f /in/name", {b"/in/name": b"/out/name"}, refuses("out"))
    assert talk.source(b"C0644 5 name\n").startswith(b"\1")


def test_of_two_meanings_the_one_that_is_not_there_counts_as_written() -> None:
    talk = resolving("scp -t /in", {b"/in": b"/in"})
    assert talk.source(b"C0644 5 name\n") == b"C0644 5 name\n"
    assert talk.uses() == [("write", "/in"), ("write", "/in/name")]


# --- what is broken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        b"\n",
        b"X0644 5 name\n",
        b"C644 5 name\n",
        b"C0844 5 name\n",
        b"C00644 5 name\n",
        b"C0644 -5 name\n",
        b"C0644 5\n",
        b"C0644  5 name\n",
        b"C0644 99999999999999999999 name\n",
        b"C0644 9223372036854775808 name\n",
        b"C0644 5 na\0me\n",
        b"D0755 0 name\n",
        b"T1 0\n",
        b"T-1 0 1 0\n",
        b"T1 0 1 0 \n",
        b"E\n",
        b"Ex\n",
        b"C0644 5 " + b"a" * MAX_LINE,
        b"\1" + b"a" * MAX_LINE,
        b"\0\n",
    ],
)
def test_records_that_are_malformed(record: bytes) -> None:
    talk = ready("scp -t /in/")
    with pytest.raises(PeerError):
        talk.source(record)


@pytest.mark.parametrize("answer", [b"\3", b"C", b"\1" + b"a" * MAX_LINE])
def test_answers_that_are_malformed(answer: bytes) -> None:
    with pytest.raises(PeerError):
        Talk("scp -t /in/").sink(answer)


def test_a_side_that_does_not_wait() -> None:
    talk = Talk("scp -f x")
    with pytest.raises(PeerError, match="wait"):
        talk.source(b"C0644 100000 x\n" + b"a" * 70_000)
    talk = Talk("scp -t x")
    talk.source(b"C0644 100000 x\n" + b"a" * 70_000)  # a client's chunk is what was read, no more
    assert talk.relay.holding


def test_the_client_is_read_while_a_record_is_not_whole() -> None:
    talk = ready("scp -t /in/")
    assert talk.source(b"C0644 5 na") == b""
    assert not waits(talk)
    talk.source(b"me\nhel")
    assert waits(talk)
    talk.sink(OK)
    assert not waits(talk)
    assert talk.to_sink() == b"hel"


def test_the_channel_ends_within_a_file() -> None:
    talk = ready("scp -t /in/")
    talk.source(b"C0644 5 name\n")
    talk.sink(OK)
    talk.source(b"hel")
    talk.relay.finish()
    (done,) = talk.relay.done
    assert (done.closed, done.status) == (False, 4)
    assert done.written is not None
    assert (done.written.size, done.written.digest) == (3, "")


def test_messages_are_one_line_however_long() -> None:
    talk = ready("scp -t /in/")
    talk.relay.receive_client(b"C0644 5 name\n")
    talk.relay.decided(False, "two\nlines\0 " + "x" * 5000)
    (told,) = talk.relay.to_client
    assert told.count(b"\n") == 1
    assert told.endswith(b"\n")
    assert len(told) <= MAX_LINE


# --- however it is split --------------------------------------------------------------------------------------


def conversation(chunks: Callable[[bytes], list[bytes]]) -> tuple[bytes, bytes, list[tuple[str, str]], list[str]]:
    """A tree goes to the target; both sides say all that they can as soon as they can."""
    talk = Talk("scp -r -p -t /in", refuses("secret"))
    turns = [
        (False, OK),
        (True, b"T1 0 2 0\nD0755 0 d\n"),
        (False, OK + OK),
        (True, b"C0644 300 f\n"),
        (False, OK),
        (True, b"0123456789" * 30 + b"\0"),
        (False, OK),
        (True, b"C0600 5 secret\n"),
        (True, b"D0700 0 e\n"),
        (False, b"\1scp: e: exists\n"),
        (True, b"C0644 0 g\n"),
        (False, OK),
        (True, b"\0"),
        (False, b"\1scp: disk full\n"),
        (True, b"E\n"),
        (False, OK),
    ]
    to_sink = to_source = b""
    for from_source, data in turns:
        for chunk in chunks(data):
            if from_source:
                to_sink += talk.source(chunk)
            else:
                to_source += talk.sink(chunk)
            to_sink += talk.to_sink()
            to_source += talk.to_source()
    done = [f"{one.status} {one.ask.text} {one.written.digest if one.written else ''}" for one in talk.relay.done]
    return to_sink, to_source, talk.uses(), done


EXPECTED = conversation(lambda data: [data])


def test_the_conversation_itself() -> None:
    to_sink, to_source, uses, done = EXPECTED
    assert to_sink == (b"T1 0 2 0\nD0755 0 d\nC0644 300 f\n" + b"0123456789" * 30 + b"\0D0700 0 e\nC0644 0 g\n\0E\n")
    assert to_source == (b"\0\0\0\0\0\1scp: /in/d/secret: no\n\1scp: e: exists\n\0\1scp: disk full\n\0")
    assert len(uses) == 10
    assert [one.split()[0] for one in done] == ["0", "0", "4", "4"]


def test_byte_by_byte() -> None:
    assert conversation(lambda data: [data[i : i + 1] for i in range(len(data))]) == EXPECTED


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_in_any_split(data: st.DataObject) -> None:
    def chunks(stream: bytes) -> list[bytes]:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
        return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]

    assert conversation(chunks) == EXPECTED


@pytest.mark.parametrize("words", ["scp -t /in/", "scp -f /in/name"])
def test_the_targets_own_words_are_told_as_they_may_be(words: str) -> None:
    told: list[bytes] = []

    def complaint(said: bytes) -> bytes:
        told.append(said)
        return b"hid\nden"

    relay = ScpRelay(command(words), HOME, complaint=complaint)
    (relay.receive_server if words.startswith("scp -t") else relay.receive_client)(OK)
    relay.receive_server(b"\2scp: 900-12-3456\n")
    assert told == [b"scp: 900-12-3456"]
    assert b"".join(relay.to_client).endswith(b"\2hid den\n")
    assert b"3456" not in b"".join(relay.to_client)
