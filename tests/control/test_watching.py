"""Watching, from the request to the last line: a clock that the test turns, real recordings, no network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from control.asked import SUBJECT, TERMS
from control.made import ANYBODY, AUDITOR, NOBODY, NOON, OPERATOR, OWN, FakeGateway
from control.talk import FakeTransport, clock, raw
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from gateway.control.api import control_site
from gateway.control.messages import Watched
from gateway.control.sites import QuietSite
from gateway.control.sources import LAST_WORDS, POLL
from gateway.control.watching import HEARTBEAT, MAX_OF_CALLER, MAX_WATCHERS, STALL, Lines
from gateway.model import Decision, Outcome, SqlOperation
from gateway.recording import Recorder, SessionHeader
from gateway.recording.directory import path_of
from gateway.store.requests import Request

ALLOW = Decision(Outcome.ALLOW, ("engineers read",))


class Session:
    """A live one, with its recording."""

    def __init__(self, gateway: FakeGateway, number: int = 1) -> None:
        self.gateway = gateway
        self.live, _ = gateway.session(number)
        header = SessionHeader(self.live.id, self.live.access, NOON, "d" * 64)
        self.recorder: Recorder = gateway.recordings.begin(header, on_failure=lambda _: None)
        self.live.written = lambda: self.recorder.size
        self.number = 0

    @property
    def path(self) -> Path:
        return path_of(self.gateway.recordings.directory, self.live.id)

    def operate(self, text: str = "SELECT 1") -> None:
        self.number += 1
        operation = SqlOperation(text, text.lower(), "a" * 64, frozenset({"select"}))
        self.recorder.operation(self.number, operation, ALLOW)
        self.recorder.commit()
        self.recorder.result(self.number, status="SELECT 1", rows=1)

    def leave(self, *, end: bool = True) -> None:
        if end:
            self.recorder.close("client left")
        self.gateway.live.leave(self.live)


class Watcher:
    """Who watches: what it was sent, line by line."""

    def __init__(
        self, gateway: FakeGateway, site: QuietSite, path: str, uid: int = AUDITOR, method: str = "GET"
    ) -> None:
        self.gateway = gateway
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        self.transport: FakeTransport = raw(site, request, uid=uid)

    @property
    def status(self) -> int:
        return int(self.transport.sent.split(b" ", 2)[1])

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every chunk is a line."""
        head, _, rest = self.transport.sent.partition(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        found = []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            chunk, rest = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            if chunk:
                assert chunk.endswith(b"\n")
                assert chunk.count(b"\n") == 1
                found.append(json.loads(chunk))
        return found

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    @property
    def recorded(self) -> list[dict[str, Any]]:
        return [line["recorded"] for line in self.lines if line["event"] == "recorded"]

    @property
    def finished(self) -> bool:
        return self.transport.sent.endswith(b"\r\n0\r\n\r\n")

    def pause(self) -> None:
        self.transport.producer.pauseProducing()  # type: ignore[union-attr]  # the channel

    def resume(self) -> None:
        self.transport.producer.resumeProducing()  # type: ignore[union-attr]  # the channel

    def leave(self) -> None:
        self.transport.producer.connectionLost(Failure(ConnectionDone()))  # type: ignore[union-attr,no-untyped-call]


@pytest.fixture
def site(gateway: FakeGateway) -> QuietSite:
    return control_site(gateway, clock(), own=OWN)


@pytest.fixture
def session(gateway: FakeGateway) -> Session:
    return Session(gateway)


def watch(gateway: FakeGateway, site: QuietSite, session: Session, uid: int = AUDITOR) -> Watcher:
    return Watcher(gateway, site, f"/v1/sessions/{session.live.id}/watch", uid)


def wait(gateway: FakeGateway, seconds: float) -> None:
    """And one step more: so late after 1970 a clock's floats don't add up."""
    gateway.reactor.pump([0.05] * (round(seconds / 0.05) + 1))


def said(gateway: FakeGateway, name: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, gateway.events()) if event["unmapped"]["event"] == name]


def readers(session: Session) -> int:
    """Descriptors of its recording, beside the writer's."""
    found = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return found.count(session.path) - 1


# --- a session ---


def test_what_is_asked_and_got_is_shown(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    session.operate("SELECT 'before'")
    watcher = watch(gateway, site, session)
    [first] = watcher.lines
    assert (first["event"], first["session"]["principal"]) == ("watching", "alice")
    session.operate("SELECT 'behind'")
    wait(gateway, POLL + 0.15)
    # The result of what was before was not written yet.
    assert [event["event"] for event in watcher.recorded] == ["operation", "result", "result"]
    assert watcher.recorded[0]["text"] == "SELECT 'behind'"


def test_it_is_there_within_a_moment(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    wait(gateway, 1)
    session.operate()
    wait(gateway, POLL)
    assert watcher.recorded[0]["event"] == "operation"
    wait(gateway, 0.1)  # what is gathered, see gateway.recording.sync
    assert [event["event"] for event in watcher.recorded] == ["operation", "result"]


def test_it_ends_with_the_session(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    session.operate()
    session.leave()
    wait(gateway, POLL)
    assert watcher.recorded[-1]["event"] == "closed"
    assert watcher.recorded[-1]["reason"] == "client left"
    assert (watcher.events[-1], watcher.lines[-1]["reason"]) == ("ended", "the session ended")
    assert watcher.finished
    assert len(gateway.watching) == 0


def test_a_recording_without_an_end(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    session.leave(end=False)
    wait(gateway, LAST_WORDS)
    assert not watcher.finished
    wait(gateway, POLL * 2)
    assert watcher.lines[-1]["reason"] == "the session is gone, and its recording has no end"
    assert watcher.finished


def test_as_long_as_there_is_something_to_show_it_goes_on(
    gateway: FakeGateway, site: QuietSite, session: Session
) -> None:
    watcher = watch(gateway, site, session)
    session.leave(end=False)
    for _ in range(20):
        session.operate()
        wait(gateway, POLL)
    assert not watcher.finished


def test_a_recording_that_can_not_be_read_any_more(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    with session.path.open("ab") as file:
        file.write(bytes(100))
    wait(gateway, POLL)
    assert watcher.events[-1] == "dropped"
    assert "no frame stands here" in watcher.lines[-1]["reason"]


def test_a_fault_of_ours_ends_it(
    gateway: FakeGateway, site: QuietSite, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = watch(gateway, site, session)
    monkeypatch.setattr(gateway.live, "get", lambda _: 1 / 0)
    wait(gateway, POLL)
    assert (watcher.events[-1], watcher.lines[-1]["reason"]) == (
        "dropped",
        "the gateway failed at this; its log says how",
    )


def test_nothing_is_left_behind(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    wait(gateway, 1)
    assert readers(session) == 1
    watcher.leave()
    assert readers(session) == 0
    assert len(gateway.watching) == 0
    wait(gateway, 0.2)  # of the recording's group flush
    assert not gateway.reactor.getDelayedCalls()


def test_head_shows_nothing_and_holds_nothing(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    path = f"/v1/sessions/{session.live.id}/watch"
    assert Watcher(gateway, site, path, method="HEAD").status == 200
    assert readers(session) == 0
    assert len(gateway.watching) == 0


def test_a_thread_that_reads_is_waited_for(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    """Its descriptor must not become somebody else's under its hands."""
    reading: list[tuple[Any, Deferred[Any]]] = []

    def slowly(job: Any) -> Deferred[Any]:
        reading.append((job, Deferred()))
        return reading[-1][1]

    gateway.watching.in_thread = slowly
    watcher = watch(gateway, site, session)
    [(job, done)] = reading
    watcher.leave()
    wait(gateway, 1)
    assert readers(session) == 1
    done.callback(job())
    assert readers(session) == 0
    assert len(reading) == 1


def test_much_that_comes_at_once_is_not_kept_back(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    for _ in range(40):
        session.operate("SELECT '" + "x" * 30_000 + "'")
    wait(gateway, POLL)
    assert len([event for event in watcher.recorded if event["event"] == "operation"]) == 40


# --- who may ---


def test_who_watched_whom_from_when_is_said_first(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    session.operate()
    size = session.recorder.size
    watcher = watch(gateway, site, session)
    [event] = said(gateway, "session_watched")
    assert event["actor"]["user"]["name"] == "aude"
    assert event["resources"] == [{"uid": session.live.id, "type": "session"}]
    assert {key: event["unmapped"][key] for key in ("principal", "target", "offset")} == {
        "principal": "alice",
        "target": "orders",
        "offset": size,
    }
    session.operate()
    wait(gateway, 1)
    watcher.leave()
    [event] = said(gateway, "session_watch_ended")
    assert event["unmapped"]["events"] == len(watcher.recorded) == 3


def test_what_can_not_be_audited_is_not_shown(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    gateway.audit.failed = "broken"
    watcher = watch(gateway, site, session)
    assert watcher.status == 503
    assert b"alice" not in watcher.transport.sent
    assert readers(session) == 0
    assert len(gateway.watching) == 0


def test_an_audit_log_that_fails_meanwhile(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    gateway.audit.failed = "broken"
    with capture_logs() as logged:
        watcher.leave()
    assert len(gateway.watching) == 0
    assert [entry["event"] for entry in logged] == ["audit log failed"]


@pytest.mark.parametrize("uid", [OPERATOR, ANYBODY])
def test_only_auditors_watch(gateway: FakeGateway, site: QuietSite, session: Session, uid: int) -> None:
    assert watch(gateway, site, session, uid).status == 403
    assert said(gateway, "session_watched") == []


def test_no_such_session(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    session.leave()
    assert watch(gateway, site, session).status == 404
    assert Watcher(gateway, site, "/v1/sessions/..%2F..%2Fetc/watch").status == 404


def test_a_recording_that_is_not_there(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    session.path.unlink()
    assert watch(gateway, site, session).status == 503


def lose_right(gateway: FakeGateway) -> None:
    gateway.config = msgspec.structs.replace(gateway.config, roles={"operator": (), "auditor": ()})


def test_a_right_that_is_lost_ends_it(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    lose_right(gateway)
    wait(gateway, HEARTBEAT)
    assert (watcher.events[-1], watcher.finished) == ("dropped", True)
    assert "aude has none of the roles" in watcher.lines[-1]["reason"]


def test_a_right_that_a_reload_takes_ends_it_at_once(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    gateway.watching.look_again()
    assert not watcher.finished
    lose_right(gateway)
    gateway.watching.look_again()
    assert watcher.events[-1] == "dropped"


def test_how_many_may_watch(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watchers = [watch(gateway, site, session) for _ in range(MAX_OF_CALLER)]
    assert watch(gateway, site, session).status == 429
    watchers[0].leave()
    assert watch(gateway, site, session).status == 200
    gateway.watching._lines |= {object() for _ in range(MAX_WATCHERS)}  # type: ignore[misc]  # others
    watchers[1].leave()
    assert watch(gateway, site, session).status == 429
    gateway.watching._lines.clear()


# --- those who read slowly, or not at all ---


def test_heartbeats(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    wait(gateway, 3 * HEARTBEAT)
    assert watcher.events == ["watching", *["heartbeat"] * 3]


def test_a_watcher_that_pauses_misses_nothing(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    watcher.pause()
    for _ in range(30):
        session.operate("SELECT '" + "x" * 20_000 + "'")
    wait(gateway, STALL / 2)
    assert watcher.events == ["watching"]
    watcher.resume()
    wait(gateway, POLL * 3)
    assert [event["operation"] for event in watcher.recorded if event["event"] == "operation"] == list(range(1, 31))


def test_what_a_thread_read_while_it_pauses_is_kept_for_it(
    gateway: FakeGateway, site: QuietSite, session: Session
) -> None:
    reading: list[tuple[Any, Deferred[Any]]] = []

    def slowly(job: Any) -> Deferred[Any]:
        reading.append((job, Deferred()))
        return reading[-1][1]

    gateway.watching.in_thread = slowly
    watcher = watch(gateway, site, session)
    session.operate()
    watcher.pause()
    job, done = reading.pop()
    done.callback(job())
    wait(gateway, 1)
    assert watcher.events == ["watching"]
    assert reading == []
    watcher.resume()
    wait(gateway, POLL)
    assert watcher.events == ["watching", "recorded"]


def test_a_watcher_that_pauses_sees_the_end(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    watcher.pause()
    session.operate()
    session.leave()
    wait(gateway, 2 * LAST_WORDS)
    assert watcher.events == ["watching"]
    watcher.resume()
    wait(gateway, POLL)
    assert watcher.recorded[-1]["event"] == "closed"
    assert watcher.lines[-1]["reason"] == "the session ended"


def test_a_watcher_that_reads_nothing_is_sent_away(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    watcher.pause()
    wait(gateway, STALL + HEARTBEAT)
    assert (watcher.events[-1], watcher.lines[-1]["reason"]) == ("dropped", "you read nothing for 30 seconds")
    assert watcher.transport.disconnecting
    assert len(gateway.watching) == 0


def test_a_stopping_gateway_tells(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    watcher = watch(gateway, site, session)
    gateway.watching.stop()
    assert (watcher.events[-1], watcher.lines[-1]["reason"]) == ("dropped", "the gateway is being stopped")
    assert watch(gateway, site, session).status == 429


def test_a_slow_watcher_does_not_hold_up_the_session(gateway: FakeGateway, site: QuietSite, session: Session) -> None:
    """Whatever becomes of the watcher, its session records on."""
    watcher = watch(gateway, site, session)
    watcher.pause()
    wait(gateway, STALL * 2)
    session.operate()
    head = session.recorder.close("client left")
    assert session.path.stat().st_size == head.length


# --- requests for approval ---


def open_requests(gateway: FakeGateway, number: int, **changes: Any) -> list[Request]:
    return [
        gateway.approvals.request(replace(SUBJECT, binding=f"{each:064}", **changes), (TERMS,))
        for each in range(number)
    ]


def told(watcher: Watcher) -> list[tuple[str, str]]:
    return [(line["approval"]["id"], line["approval"]["state"]) for line in watcher.lines if line["event"] == "request"]


APPROVALS = "/v1/approvals/watch"


def test_open_requests_come_first_then_each_that_changes(gateway: FakeGateway, site: QuietSite) -> None:
    [old, done] = open_requests(gateway, 2)
    gateway.approvals.withdraw(done, "left")
    watcher = Watcher(gateway, site, APPROVALS)
    assert told(watcher) == [(old.id, "pending")]
    [new] = open_requests(gateway, 1, principal="bob")
    gateway.approvals.withdraw(new, "left")
    # At once: the clock did not move.
    assert told(watcher)[1:] == [(new.id, "pending"), (new.id, "withdrawn")]
    assert said(gateway, "session_watched") == []


def test_only_requests_that_concern_the_watcher(gateway: FakeGateway, site: QuietSite) -> None:
    watcher = Watcher(gateway, site, APPROVALS, ANYBODY)
    open_requests(gateway, 1)
    [mine] = open_requests(gateway, 1, principal="ben")
    [theirs] = [gateway.approvals.request(replace(SUBJECT, binding="f" * 64), (replace(TERMS, principals=("ben",)),))]
    assert told(watcher) == [(mine.id, "pending"), (theirs.id, "pending")]
    decides = [line["approval"]["may_decide"] for line in watcher.lines if line["event"] == "request"]
    assert decides == [False, True]


def test_statements_are_normalised_there(gateway: FakeGateway, site: QuietSite) -> None:
    watcher = Watcher(gateway, site, APPROVALS)
    open_requests(gateway, 1)
    assert SUBJECT.normalised in json.dumps(watcher.lines)
    assert "hunter2" not in json.dumps(watcher.lines)


def test_who_loses_a_role_sees_less(gateway: FakeGateway, site: QuietSite) -> None:
    watcher = Watcher(gateway, site, APPROVALS)
    lose_right(gateway)
    gateway.watching.look_again()
    open_requests(gateway, 1)
    assert told(watcher) == []
    assert not watcher.finished
    gateway.config = msgspec.structs.replace(
        gateway.config, identity=msgspec.structs.replace(gateway.config.identity, socket={})
    )
    wait(gateway, HEARTBEAT)
    assert watcher.events[-1] == "dropped"


def test_who_is_nobody_watches_nothing(gateway: FakeGateway, site: QuietSite) -> None:
    assert Watcher(gateway, site, APPROVALS, NOBODY).status == 403


def test_a_slow_watcher_gets_each_request_as_it_is_then(gateway: FakeGateway, site: QuietSite) -> None:
    watcher = Watcher(gateway, site, APPROVALS)
    watcher.pause()
    first, second = open_requests(gateway, 2)
    gateway.approvals.withdraw(first, "left")
    assert told(watcher) == []
    watcher.resume()
    assert told(watcher) == [(first.id, "withdrawn"), (second.id, "pending")]


def test_nobody_is_told_who_left(gateway: FakeGateway, site: QuietSite) -> None:
    watcher = Watcher(gateway, site, APPROVALS)
    assert len(gateway.approvals._observers) == 1
    watcher.leave()
    assert gateway.approvals._observers == []
    assert not gateway.reactor.getDelayedCalls()
    watcher = Watcher(gateway, site, APPROVALS, method="HEAD")
    assert gateway.approvals._observers == []


def test_a_watcher_that_leaves_at_the_first_line(
    gateway: FakeGateway, site: QuietSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is told of those that are open."""
    open_requests(gateway, 5)
    before = Lines.send

    def once(lines: Lines, line: Watched) -> None:
        before(lines, line)
        if line.event == "request":
            lines.drop("enough")

    monkeypatch.setattr(Lines, "send", once)
    watcher = Watcher(gateway, site, APPROVALS)
    assert watcher.events == ["watching", "request", "dropped"]
    assert gateway.approvals._observers == []
    assert len(gateway.watching) == 0
