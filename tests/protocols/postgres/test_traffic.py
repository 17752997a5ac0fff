from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from protocols.postgres import talk
from protocols.postgres.talk import (
    BOUND,
    PARSED,
    SYNC,
    TERMINATE,
    FakePlanner,
    bind,
    described,
    done,
    execute,
    fields,
    kinds,
    marker,
    parse,
    query,
    ready,
    refused,
    row,
    status,
)
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from gateway.errors import LimitReached, RecordingFailed, SessionEnded, StoreFailed, TargetUnavailable
from gateway.model import SqlOperation, Verdict
from gateway.protocols.postgres.state import Ask
from gateway.protocols.postgres.traffic import LAST_ROW, Traffic, Valve


class FakeTransport:
    """Keeps what is written; counts what is asked of it."""

    def __init__(self) -> None:
        self.written = b""
        self.writes = 0
        self.reading = True
        self.gone: str | None = None
        self.left = False
        self.producer: Any = None
        self.receive: Callable[[bytes], None] | None = None

    def write(self, data: bytes) -> None:
        if self.gone is None:
            self.written += data
            self.writes += 1

    def take(self) -> bytes:
        taken, self.written = self.written, b""
        return taken

    def pauseProducing(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False

    def resumeProducing(self) -> None:
        assert not self.reading, "resumed twice"
        self.reading = True

    def reads(self) -> bool:
        return self.reading

    def peer_has_left(self) -> bool:
        return self.left

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def deliver_to(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive

    def loseConnection(self) -> None:
        self.gone = self.gone or "lost"

    def abortConnection(self) -> None:
        self.gone = "aborted"


@dataclass
class FakeDialler:
    """Runs what is to be done soon or in a thread when the test says so; ``cancelled`` has the keys that were sent."""

    waiting: list[Callable[[], None]] = field(default_factory=list)
    threads: list[Callable[[], None]] = field(default_factory=list)
    cancelled: list[tuple[int, bytes]] = field(default_factory=list)
    answer: Deferred[None] | None = None
    clock: Clock = field(default_factory=Clock)

    def later(self, seconds: float, work: Callable[[], None]) -> object:
        return self.clock.callLater(seconds, work)

    def soon(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def turn(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()

    def in_thread(self, function: Callable[[bytes], bytes], data: bytes) -> Deferred[bytes]:
        done = Deferred[bytes]()

        def run() -> None:
            try:
                done.callback(function(data))
            except Exception:  # noqa: BLE001  # as a thread pool does
                done.errback()

        self.threads.append(run)
        return done

    def work(self) -> None:
        """What threads have to do."""
        while self.threads:
            self.threads.pop(0)()

    async def cancel(self, target: object, key: tuple[int, bytes], timeout: float) -> None:
        self.cancelled.append(key)
        if self.answer is not None:
            await self.answer


class FakeAudit:
    def __init__(self) -> None:
        self.events: list[object] = []
        self.failed: RecordingFailed | None = None

    def append(self, event: object) -> None:
        if self.failed is not None:
            raise self.failed
        self.events.append(event)

    def flush(self) -> None:
        pass


class FakeCorridor(talk.Corridor):
    """Knows what was asked since the last commit; ``disk`` is a commit that waits for the disk."""

    def __init__(self, planner: Any = None) -> None:
        super().__init__(planner)
        self.uncommitted = False
        self.committed: list[int] = []
        self.disk: Deferred[object] | None = None
        self.broken: Exception | None = None
        self.audit = FakeAudit()
        self.closed: list[str] = []
        self.ended: list[tuple[int, str, int]] = []
        self.kept = b""
        self.live = SimpleNamespace()
        self.approvals: Any = None
        self.stopping = False
        self.admitted = SimpleNamespace(session="s1", context=None, access=SimpleNamespace(target="orders"))

    def ask(
        self, operation: SqlOperation, source: str, parameters: object, formats: object, text: object
    ) -> Verdict[SqlOperation]:
        self.uncommitted = True
        return self(Ask("query", operation.text.encode()))

    def commit(self) -> object:
        if self.broken is not None:
            raise self.broken
        self.uncommitted = False
        self.committed.append(len(self.asked))
        return self.disk if self.disk is not None else f"recorded up to {len(self.asked)}"

    def result(
        self, number: int, status: str, rows: int, size: int, columns: object, masked: tuple[str, ...] = ()
    ) -> None:
        self.ended.append((number, status, rows))

    def rows(self, number: int, data: bytes) -> None:
        self.kept += data

    def close(self, reason: str) -> None:
        self.closed.append(reason)


class FakeReading:
    """``missing`` texts are read only after `prepare`, which waits for ``ready``."""

    def __init__(self) -> None:
        self.changes_catalogue = False
        self.unrestricted = False
        self.said = None
        self.missing: set[bytes] = set()
        self.ready: Deferred[None] = succeed(None)
        self.reloads: Deferred[None] = succeed(None)
        self.settlings = 0
        self.broken: Exception | None = None
        self.tokens_lost = False

    def read(self, ask: Ask, encoding: bytes) -> SqlOperation | None:
        if self.broken is not None:
            raise self.broken
        return None if ask.text in self.missing else talk.operation(ask.text)

    async def prepare(self, ask: Ask, encoding: bytes) -> None:
        await self.ready
        self.missing.discard(ask.text)

    async def reload(self) -> None:
        await self.reloads

    def asked(self, ask: Ask, verdict: Verdict[SqlOperation]) -> None:
        self.changes_catalogue = self.changes_catalogue or b"create" in ask.text

    def keep_tokens(self) -> None:
        if self.tokens_lost:
            raise StoreFailed("tokens.db: disk is full")

    def settled(self) -> None:
        self.changes_catalogue = False
        self.settlings += 1


class Session:
    """One session's traffic between fakes."""

    def __init__(self, planner: Any = None, *, key: tuple[int, bytes] | None = (7, b"real")) -> None:
        self.client, self.target = FakeTransport(), FakeTransport()
        self.dialler = FakeDialler()
        self.corridor = FakeCorridor(planner)
        self.reading = FakeReading()
        self.ends = 0
        upstream = SimpleNamespace(
            stream=SimpleNamespace(transport=self.target, receiver=None),
            key=key,
            parameters=[(b"client_encoding", b"UTF8")],
        )
        made: Any = (self.dialler, self.client, upstream, self.corridor, self.reading)
        self.traffic = Traffic(*made, application_name=b"ostiary/alice", results=True, on_end=self._ended)

    def _ended(self) -> None:
        self.ends += 1

    def says(self, *said: bytes) -> bytes:
        """To the target, in this turn of the loop."""
        self.traffic.client_received(b"".join(said))
        self.dialler.turn()
        return self.target.take()

    def answers(self, *said: bytes) -> bytes:
        self.traffic.upstream_received(b"".join(said))
        self.dialler.turn()
        return self.client.take()


LOST = Failure(ConnectionDone())  # type: ignore[no-untyped-call]  # Twisted's


def test_a_query_is_committed_then_forwarded_then_answered() -> None:
    session = Session()
    assert session.says(query(b"select 1")) == query(b"select 1")
    assert session.corridor.committed == [1]
    assert session.answers(described(b"a"), row(b"1"), done(), ready())
    assert session.corridor.ended == [(1, "SELECT 1", 1)]


def test_nothing_is_forwarded_before_the_commit() -> None:
    session = Session()
    session.traffic.client_received(query(b"select 1"))
    assert session.target.take() == b""
    session.dialler.turn()
    assert session.target.take() == query(b"select 1")


def test_one_chunk_is_one_commit_and_one_write() -> None:
    session = Session()
    batch = parse(b"select 1") + bind() + execute() + SYNC
    assert session.says(batch * 20) == batch * 20
    assert session.corridor.committed == [40]
    assert session.target.writes == 1
    answer = PARSED + BOUND + row(b"1") + done() + ready()
    assert session.answers(answer * 20) == answer * 20
    assert session.client.writes == 1


def test_a_denied_statement_never_gets_there() -> None:
    session = Session()
    assert session.says(query(b"drop table t")) == query(marker(1))
    assert session.corridor.committed == [1], "a denial is recorded, too"
    assert fields(session.answers(refused(marker(1)), ready()))["C"] == b"42501"


def test_what_is_not_recorded_is_not_forwarded() -> None:
    session = Session()
    session.corridor.broken = RecordingFailed("the disk is full")
    assert session.says(query(b"insert")) == b""
    error = fields(session.client.take())
    assert (error["S"], error["C"], error["M"]) == (b"FATAL", b"58030", b"the disk is full")
    assert (session.client.gone, session.target.gone) == ("lost", "aborted")
    assert session.corridor.closed == ["the disk is full"]
    assert session.ends == 1


def test_what_the_disk_has_not_got_is_not_forwarded() -> None:
    session = Session()
    session.corridor.disk = disk = Deferred[object]()
    assert session.says(query(b"create table t")) == b""
    assert not session.client.reads()
    session.corridor.disk = None
    disk.callback("recorded")
    assert session.target.take() == query(b"create table t")
    assert session.client.reads()


def test_a_disk_that_fails_ends_the_session() -> None:
    session = Session()
    session.corridor.disk = disk = Deferred[object]()
    session.says(query(b"create table t"))
    disk.errback(RecordingFailed("the disk is gone"))
    assert session.target.take() == b""
    assert session.target.gone == "aborted"
    assert fields(session.client.take())["C"] == b"58030"


def test_what_is_decided_while_the_disk_is_awaited_needs_a_commit_of_its_own() -> None:
    session = Session()
    session.reading.missing = {b"insert"}
    session.reading.ready = prepared = Deferred[None]()
    session.corridor.disk = disk = Deferred[object]()
    assert session.says(query(b"create table t"), query(b"insert")) == b""
    assert session.corridor.committed == [1]
    session.corridor.disk = None
    prepared.callback(None)
    session.dialler.turn()
    assert session.corridor.committed == [1]
    disk.callback("recorded up to 1")
    assert session.target.take() == query(b"create table t"), "the second is in no recording yet"
    session.dialler.turn()
    assert session.corridor.committed == [1, 2]
    assert session.target.take() == query(b"insert")


def test_rows_whose_tokens_are_not_kept_do_not_leave() -> None:
    session = Session()
    session.says(query(b"select 1"))
    session.reading.tokens_lost = True
    answer = session.answers(described(b"a"), row(b"tok_1"), done(), ready())
    assert b"tok_1" not in answer
    assert (fields(answer)["S"], fields(answer)["C"]) == (b"FATAL", b"58030")
    assert (session.client.gone, session.target.gone) == ("lost", "aborted")


def test_a_statement_that_takes_time_to_read_holds_the_client() -> None:
    session = Session()
    session.reading.missing = {b"long"}
    session.reading.ready = prepared = Deferred[None]()
    assert session.says(query(b"long"), query(b"select 2")) == b""
    assert not session.client.reads()
    assert session.answers(status(b"TimeZone", b"UTC")), "the target may speak"
    prepared.callback(None)
    session.dialler.turn()
    assert session.target.take() == query(b"long") + query(b"select 2")
    assert session.client.reads()


def test_a_statement_that_cannot_be_read_ends_the_session() -> None:
    session = Session()
    session.reading.missing = {b"long"}
    session.reading.ready = prepared = Deferred[None]()
    session.says(query(b"long"))
    prepared.errback(TargetUnavailable("no catalogue"))
    assert session.target.gone == "aborted"
    assert fields(session.client.take())["M"] == b"no catalogue"


def test_whatever_goes_wrong_nothing_is_let_through() -> None:
    session = Session()
    session.reading.broken = RuntimeError("hunter2")
    assert session.says(query(b"select 1")) == b""
    shown = session.client.take()
    assert fields(shown)["C"] == b"XX000"
    assert b"hunter2" not in shown
    assert session.target.gone == "aborted"


def test_a_peer_that_breaks_the_protocol_is_told_so() -> None:
    session = Session()
    assert session.says(b"\x00garbage") == b""
    assert fields(session.client.take())["C"] == b"08P01"
    broken = Session()
    broken.answers(b"D\0\0\0\x02")
    assert broken.client.gone == "lost"
    assert broken.target.gone == "aborted"


def test_a_limit_says_its_name() -> None:
    session = Session()
    session.reading.broken = LimitReached("more than 5 statements")
    session.says(query(b"select 1"))
    assert fields(session.client.take())["C"] == b"54000"


def test_settings_that_would_make_us_misread_end_a_session_that_policy_restricts() -> None:
    session = Session()
    session.answers(status(b"standard_conforming_strings", b"off"))
    assert session.says(query(b"select 1")) == b""
    assert session.target.gone == "aborted"
    free = Session()
    free.reading.unrestricted = True
    free.answers(status(b"standard_conforming_strings", b"off"))
    assert free.says(query(b"select 1")) == query(b"select 1")


def test_an_unknown_relation_waits_for_the_catalogue_and_the_target_with_it() -> None:
    planner = FakePlanner(unknown=frozenset({99}))
    session = Session(planner)
    session.reading.reloads = reloaded = Deferred[None]()
    session.says(query(b"select new"))
    assert session.answers(described((b"a", 99, 1)), row(b"1")) == b""
    assert not session.target.reads()
    planner.unknown = frozenset()
    reloaded.callback(None)
    assert session.client.take() == described((b"a", 99, 1)) + row(b"1")
    assert session.target.reads()


def test_a_catalogue_that_cannot_be_had_ends_the_session() -> None:
    session = Session(FakePlanner(unknown=frozenset({99})))
    session.reading.reloads = reloaded = Deferred[None]()
    session.says(query(b"select new"))
    session.answers(described((b"a", 99, 1)), row(b"900"))
    reloaded.errback(TargetUnavailable("gone"))
    assert b"900" not in session.client.take()
    assert session.target.gone == "aborted"


LARGE = row(b"x" * 200)


def with_large_rows() -> Session:
    """One in which the target has just sent rows that are masked in a thread, and more."""
    session = Session(FakePlanner(at_once=100))
    session.says(query(b"select 1"))
    assert session.answers(described(b"ssn"), LARGE, done(), ready()) == described(b"ssn")
    assert not session.target.reads(), "nothing more is read meanwhile"
    return session


def test_large_rows_are_masked_in_a_thread() -> None:
    session = with_large_rows()
    assert session.client.reads()
    assert session.says(query(b"select 2")) == query(b"select 2"), "the client may speak"
    session.dialler.work()
    assert session.client.take() == row(b"****") + done() + ready()
    assert session.target.reads()
    assert session.corridor.ended == [(1, "SELECT 1", 1)]
    assert session.answers(described(b"a"), row(b"1"), done(), ready())


def test_large_rows_that_cannot_be_masked_end_the_session() -> None:
    session = Session(FakePlanner(at_once=100))
    session.says(query(b"select 1"))
    session.answers(described(b"ssn"), row(b"900-11-1111" * 20, b"too many columns"))
    session.dialler.work()
    assert b"900" not in session.client.take()
    assert session.target.gone == "aborted"


def test_a_cancel_passes_while_large_rows_are_masked() -> None:
    session = with_large_rows()
    session.traffic.cancel("192.0.2.7")
    assert session.dialler.cancelled == [(7, b"real")]


@pytest.mark.parametrize("leaves", ["client", "target", "killed"])
def test_who_leaves_while_large_rows_are_masked_gets_none(leaves: str) -> None:
    session = with_large_rows()
    if leaves == "client":
        session.traffic.client_lost(LOST)
    elif leaves == "target":
        session.traffic.upstream_lost(LOST)
    else:
        session.traffic.end(SessionEnded("killed"))
    session.client.take()
    assert session.ends == 1
    session.dialler.work()
    assert session.client.take() == b""
    assert session.ends == 1


def test_ddl_is_settled_when_the_target_is_idle() -> None:
    session = Session()
    session.says(query(b"create table t"))
    session.answers(done(b"CREATE TABLE"))
    assert session.reading.settlings == 0
    session.answers(ready(b"I"))
    assert session.reading.settlings == 1


def test_a_slow_client_pauses_the_target_and_a_slow_target_the_client() -> None:
    session = Session()
    session.client.producer.pauseProducing()
    assert not session.target.reads()
    session.client.producer.resumeProducing()
    assert session.target.reads()
    session.target.producer.pauseProducing()
    assert not session.client.reads()
    session.target.producer.resumeProducing()
    assert session.client.reads()
    session.target.producer.stopProducing()


def test_a_valve_opens_when_the_last_reason_is_gone() -> None:
    transport = FakeTransport()
    valve = Valve(transport)
    valve.shut("one")
    valve.shut("two")
    valve.shut("two")
    valve.open("one")
    assert not transport.reads()
    valve.open("two")
    valve.open("two")
    assert transport.reads()


def test_a_client_that_leaves() -> None:
    session = Session()
    assert session.says(TERMINATE) == TERMINATE
    session.traffic.client_lost(LOST)
    assert session.corridor.closed == ["the client left"]
    assert session.target.gone == "lost", "what was sent still goes out"
    session.traffic.upstream_lost(LOST)
    assert session.ends == 1


def test_a_client_whose_connection_breaks() -> None:
    session = Session()
    session.traffic.client_lost(LOST)
    assert session.corridor.closed == ["the client's connection broke"]


def test_a_target_that_closes() -> None:
    session = Session()
    gone = talk.report(S=b"FATAL", C=b"57P01")
    assert session.answers(gone) == gone
    session.traffic.upstream_lost(LOST)
    assert session.client.gone == "lost"
    session.traffic.client_lost(LOST)
    assert session.corridor.closed == ["the target closed the connection"]


def test_an_end_from_outside_is_explained_once() -> None:
    session = Session()
    session.traffic.end(SessionEnded("maintenance", hint="come back"))
    session.traffic.end(SessionEnded("again"))
    assert kinds(session.client.take()) == "E"
    assert session.ends == 1
    assert session.dialler.cancelled == [], "nothing was under way"
    session.traffic.client_lost(LOST)
    assert session.corridor.closed == ["maintenance"]


ROW = row(b"x" * 100)


def in_the_middle_of_a_row() -> Session:
    session = Session()
    session.says(query(b"select 1"))
    answer = described(b"a") + ROW[:40]
    assert session.answers(answer) == answer
    return session


def test_the_reason_comes_behind_the_row_that_the_client_reads() -> None:
    session = in_the_middle_of_a_row()
    session.traffic.end(SessionEnded("maintenance"))
    assert (session.client.take(), session.client.gone) == (b"", None)
    assert session.dialler.cancelled == [(7, b"real")], "so that the target sends the rest at once"
    assert session.answers(ROW[40:60]) == ROW[40:60]
    told = session.answers(ROW[60:] + ROW + ready())
    assert told.startswith(ROW[60:])
    assert kinds(told[len(ROW) - 60 :]) == "E"
    assert (session.client.gone, session.target.gone) == ("lost", "aborted")
    assert session.corridor.closed == ["maintenance"]
    assert session.corridor.kept == ROW
    session.dialler.clock.advance(LAST_ROW)
    assert session.client.take() == b""


def test_what_it_says_meanwhile_goes_nowhere() -> None:
    session = in_the_middle_of_a_row()
    session.traffic.end(SessionEnded("maintenance"))
    assert session.says(query(b"select 2")) == b""
    assert len(session.corridor.asked) == 1


@pytest.mark.parametrize("comes", ["nothing", "client leaves", "target leaves", "gateway stops"])
def test_the_rest_of_a_row_is_not_awaited_for_long(comes: str) -> None:
    session = in_the_middle_of_a_row()
    session.traffic.end(SessionEnded("maintenance"))
    if comes == "nothing":
        session.dialler.clock.advance(LAST_ROW)
    elif comes == "client leaves":
        session.traffic.client_lost(LOST)
    elif comes == "target leaves":
        session.traffic.upstream_lost(LOST)
    else:
        session.corridor.stopping = True
        session.traffic.end(SessionEnded("the gateway is being stopped"))
    assert session.corridor.closed == ["maintenance"]
    assert (session.client.gone, session.target.gone, session.ends) == ("lost", "aborted", 1)


@pytest.mark.parametrize("error", [RecordingFailed("the disk is gone"), SessionEnded("the gateway is being stopped")])
def test_nothing_more_is_awaited_where_it_could_not_be_kept(error: Exception) -> None:
    session = in_the_middle_of_a_row()
    session.corridor.stopping = isinstance(error, SessionEnded)
    session.traffic.end(error)
    assert (session.client.gone, session.target.gone) == ("lost", "aborted")


def test_what_is_under_way_is_cancelled_at_the_end() -> None:
    session = Session()
    session.says(query(b"select pg_sleep(1000)"))
    session.traffic.end(SessionEnded("maintenance"))
    assert session.dialler.cancelled == [(7, b"real")]


def test_the_end_comes_even_if_it_cannot_be_audited() -> None:
    session = Session()
    session.says(query(b"select 1"))
    session.corridor.audit.failed = RecordingFailed("the disk is gone")
    session.traffic.end(SessionEnded("the gateway can't keep its audit log"))
    assert session.target.gone == "aborted"
    assert session.client.gone == "lost"
    assert session.ends == 1


def test_commits_after_the_end_forward_nothing() -> None:
    session = Session()
    session.traffic.client_received(query(b"select 1"))
    session.traffic.end(SessionEnded("maintenance"))
    session.dialler.turn()
    assert session.target.take() == b""
    waiting = Session()
    waiting.corridor.disk = disk = Deferred[object]()
    waiting.says(query(b"create table t"))
    waiting.traffic.end(SessionEnded("maintenance"))
    disk.callback("recorded")
    assert waiting.target.take() == b""


def test_cancel_sends_the_targets_own_key_one_at_a_time() -> None:
    session = Session()
    session.dialler.answer = first = Deferred[None]()
    session.traffic.cancel("192.0.2.7")
    session.traffic.cancel("192.0.2.7")
    assert session.dialler.cancelled == [(7, b"real")]
    session.dialler.answer = None
    first.callback(None)
    assert session.dialler.cancelled == [(7, b"real")] * 2
    assert len(session.corridor.audit.events) == 2


def test_cancel_without_a_key_or_after_the_end_does_nothing() -> None:
    keyless = Session(key=None)
    keyless.traffic.cancel("192.0.2.7")
    assert keyless.dialler.cancelled == []
    over = Session()
    over.traffic.end(SessionEnded("maintenance"))
    over.traffic.cancel("192.0.2.7")
    assert over.dialler.cancelled == []


def test_a_cancel_that_fails_is_no_reason_to_end() -> None:
    session = Session()
    session.dialler.answer = answer = Deferred[None]()
    session.traffic.cancel("192.0.2.7")
    answer.errback(TargetUnavailable("unreachable"))
    assert session.says(query(b"select 1")) == query(b"select 1")


@pytest.mark.parametrize("labels", [True, False])
def test_notifications_before_the_first_operation_are_masked_where_something_is_hidden(labels: bool) -> None:
    session = Session(FakePlanner() if labels else None)
    heard = session.answers(talk.notification(b"ch", b"900-11-1111"))
    assert (re.search(rb"900-11-1111", heard) is None) is labels
