"""What waits for an approval, between a client and a target that the test speaks for; all else is real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from protocols.postgres.talk import (
    BOUND,
    NO_DATA,
    PARSED,
    SUSPENDED,
    SYNC,
    bind,
    describe,
    done,
    execute,
    fields,
    parse,
    query,
    ready,
    refused,
    report,
    status,
)
from protocols.postgres.test_traffic import LOST, FakeDialler, FakeReading, FakeTransport
from session.asked import DORA, EVE
from session.house import House, operation
from twisted.internet.defer import Deferred

from gateway.errors import NotPending, SessionEnded
from gateway.model import SqlOperation
from gateway.protocols.postgres.state import Ask
from gateway.protocols.postgres.traffic import Traffic
from gateway.recording.export import export
from gateway.session import Corridor

POLICY = """
allow: [{name: all, groups: [analysts], targets: [orders], sql: {verbs: [dml, read, truncate]}}]
approve:
  - name: a second person
    targets: [orders]
    sql: {verbs: [delete, truncate]}
    approvers: {groups: [dba-oncall]}
    wait: 10m
    grant: {uses: 1, within: 15m}
"""
ALLOWS_ALL = "allow: [{name: all, groups: [analysts], targets: [orders], sql: {verbs: [dml, read, truncate]}}]"
FREE_WORDS = {"begin", "set", "commit", "rollback"}


class Reading(FakeReading):
    """The first word of a text is its verb; the same text is the same operation."""

    def __init__(self, corridor: Corridor) -> None:
        super().__init__()
        self.corridor = corridor
        self.known: dict[bytes, SqlOperation] = {}

    def read(self, ask: Ask, encoding: bytes) -> SqlOperation | None:
        if ask.text in self.missing:
            return None
        self.corridor.refresh()
        text = ask.text.decode()
        verb = text.split()[0]
        relations = frozenset() if verb in FREE_WORDS else frozenset({"public.orders"})
        others: dict[str, Any] = {"unshown": "that goes by a name"} if " by_name" in text else {}
        return self.known.setdefault(ask.text, operation(text, verb, relations=relations, **others))


class Session:
    """One session; `says` and `answers` give what went to the target, and to the client."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.client = FakeTransport()
        self.target = FakeTransport()
        self.dialler = FakeDialler()
        self.corridor = house.open()
        upstream = SimpleNamespace(
            stream=SimpleNamespace(transport=self.target, receiver=None), key=(7, b"real"), parameters=[]
        )
        self.reading = Reading(self.corridor)
        made: Any = (self.dialler, self.client, upstream, self.corridor, self.reading)
        self.traffic = Traffic(*made, application_name=b"x", results=False, on_end=lambda: None)
        house.live.get(self.corridor.admitted.session).end = self.traffic.end  # type: ignore[union-attr]

    def says(self, *said: bytes) -> bytes:
        self.traffic.client_received(b"".join(said))
        return self.sent()

    def sent(self) -> bytes:
        self.dialler.turn()
        return self.target.take()

    def answers(self, *said: bytes) -> bytes:
        self.traffic.upstream_received(b"".join(said))
        self.dialler.turn()
        return self.client.take()

    def asked(self) -> str:
        """The id that the client reads in its notice."""
        notice = self.client.take()
        assert notice[:1] == b"N", notice
        text = fields(notice)["M"].decode()
        assert text.startswith("waiting for approval ")
        return text.split()[3].rstrip(":")

    def error(self) -> dict[str, bytes]:
        """What the client reads when the target refuses what stands for a denied statement."""
        sent = self.sent()
        marker = sent[sent.index(b"OSTIARY_DENIED") :].split(b"\0")[0]
        return fields(self.answers(refused(marker), ready()))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, POLICY)
    yield made
    made.close()


@pytest.fixture
def session(house: House) -> Session:
    return Session(house)


DELETE = query(b"delete from orders")


def test_it_waits_is_approved_and_goes_on(house: House, session: Session) -> None:
    assert session.says(DELETE) == b""
    request = session.asked()
    assert not session.client.reads()
    assert session.sent() == b""
    house.approvals.decide(request, DORA, yes=True)
    assert session.sent() == DELETE
    assert session.answers(done(b"DELETE 3"), ready())
    assert session.client.reads()
    assert house.events("operation_decided")[-1]["unmapped"]["approval"] == request
    assert session.says(DELETE) == b"", "it was worth one use"


def test_the_notice_says_what_for_and_until_when(house: House, session: Session) -> None:
    session.says(DELETE)
    notice = fields(session.client.take())
    assert (notice["S"], notice["C"]) == (b"NOTICE", b"00000")
    request = house.approvals.requests()[0]
    assert notice["M"] == f'waiting for approval {request.id}: "a second person", until 12:10:00 UTC'.encode()
    assert notice["H"] == f"Ask an approver to look at it: ostiary approvals show {request.id}".encode()
    assert (request.subject.text, request.subject.relations) == ("delete from orders", ("public.orders",))


def test_denied_by_an_approver(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    house.approvals.decide(request, DORA, yes=False, reason="not on a Friday")
    error = session.error()
    assert error["C"] == b"42501"
    assert error["M"] == b'permission denied by dora, whom "a second person" asks'
    assert error["D"] == f"Request {request}. not on a Friday".encode()
    decided = house.events("operation_decided")[-1]
    assert decided["action_id"] == 2
    assert "approval" not in decided["unmapped"]
    assert session.says(query(b"select 1")) == query(b"select 1"), "the session lives on"


def test_nobody_decides_in_time(house: House, session: Session) -> None:
    session.says(DELETE)
    session.asked()
    house.clock.advance(599)
    house.approvals.sweep(house.clock.seconds())
    assert session.sent() == b""
    house.clock.advance(1)
    house.approvals.sweep(house.clock.seconds())
    assert b"nobody decided in time" in session.error()["M"]


def test_the_client_cancels(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    session.traffic.cancel("192.0.2.7")
    assert session.dialler.cancelled == [], "the target does nothing that could be cancelled"
    error = session.error()
    assert (error["C"], error["M"]) == (b"57014", b"canceling statement due to user request")
    assert house.events("cancel_requested")
    with pytest.raises(NotPending, match="withdrawn"):
        house.approvals.decide(request, DORA, yes=True)


def test_the_client_leaves(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    session.traffic.client_lost(LOST)
    assert house.approvals.find(request).state == "withdrawn"  # type: ignore[union-attr]
    assert session.target.take() == b""


def test_that_it_left_is_seen_though_nobody_reads(house: House, session: Session) -> None:
    assert house.live.sweep(house.clock.seconds()) == 0
    session.client.left = True
    assert house.live.sweep(house.clock.seconds()) == 0, "nothing waits, so its end is read"
    session.says(DELETE)
    request = session.asked()
    assert house.live.sweep(house.clock.seconds()) == 1
    assert house.approvals.find(request).state == "withdrawn"  # type: ignore[union-attr]


def test_a_gateway_that_stops_leaves_the_question_open(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    house.gate.accepting = False
    session.traffic.end(SessionEnded("the gateway is being stopped"))
    assert house.approvals.decide(request, DORA, yes=True).state == "approved"
    house.gate.accepting = True
    assert Session(house).says(DELETE) == DELETE, "back for the answer"


def test_a_kill_while_it_waits(house: House, session: Session) -> None:
    session.says(DELETE)
    session.asked()
    session.traffic.end(SessionEnded("an operator ended this session"))
    assert fields(session.client.take())["C"] == b"57P01"
    assert house.approvals.open_requests() == 0


def test_the_policy_of_the_answer_decides_not_that_of_the_question(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    closed = POLICY + "\ndeny: [{name: frozen, targets: [orders], sql: {verbs: [delete]}}]"
    house.gate.rules = house.rules(closed)
    house.approvals.decide(request, DORA, yes=True)
    assert b'"frozen"' in session.error()["M"]
    assert house.approvals.grants()[0].left == 1, "not used"


def test_an_entry_that_is_gone_asks_nobody(house: House, session: Session) -> None:
    session.says(DELETE)
    session.asked()
    house.gate.rules = house.rules(ALLOWS_ALL)
    house.approvals.keep_only(house.gate.rules.snapshot.approval_digests)
    assert session.sent() == DELETE
    assert house.approvals.open_requests() == 0


def test_two_sessions_and_one_use(house: House, session: Session) -> None:
    other = Session(house)
    session.says(DELETE)
    request = session.asked()
    other.says(DELETE)
    assert other.asked() == request
    house.approvals.decide(request, DORA, yes=True)
    assert sorted([session.sent(), other.sent()]) == [b"", DELETE]
    assert house.approvals.open_requests() == 1, "the other one asks again"


def test_parsing_takes_no_approval_running_does_with_its_parameters(house: House, session: Session) -> None:
    text = b"delete from orders where id = $1"
    one = parse(text) + bind(b"", b"", b"1") + describe() + execute() + SYNC
    assert session.says(one) == parse(text) + bind(b"", b"", b"1") + describe()
    request = session.asked()
    found = house.approvals.find(request)
    assert found is not None
    assert found.subject.parameters == ("1",)
    house.approvals.decide(request, DORA, yes=True)
    assert session.sent() == execute() + SYNC
    session.answers(PARSED, BOUND, NO_DATA, done(b"DELETE 1"), ready())
    parse_event, run_event = house.events("operation_decided")
    assert (parse_event["action_id"], "approval" in parse_event["unmapped"]) == (1, False)
    assert (run_event["action_id"], run_event["unmapped"]["approval"]) == (1, request)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        (b"delete from orders where id = $1", b"2"),
        (b"delete from orders where id = $1", None),
        (b"delete from orders where id = $1 ", b"1"),
        (b"delete from orders where  id = $1", b"1"),
    ],
)
def test_a_grant_is_not_widened(house: House, session: Session, statement: bytes, value: bytes | None) -> None:
    first = b"delete from orders where id = $1"
    session.says(parse(first), bind(b"", b"", b"1"), execute(), SYNC)
    request = session.asked()
    house.gate.accepting = False  # so that the question outlives its session
    session.traffic.end(SessionEnded("stop"))
    house.gate.accepting = True
    house.approvals.decide(request, DORA, yes=True)
    other = Session(house)
    assert other.says(parse(statement), bind(b"", b"", value), execute(), SYNC)[:1] == b"P"
    assert other.asked() != request
    other.traffic.client_lost(LOST)
    same = Session(house)
    assert same.says(parse(first), bind(b"", b"", b"1"), execute(), SYNC).endswith(execute() + SYNC)


def test_a_grant_is_for_characters_not_for_bytes(house: House, session: Session) -> None:
    said = query("delete from orders where name = 'Zoë'".encode())
    session.says(said)
    request = session.asked()
    other = Session(house)
    other.answers(status(b"client_encoding", b"LATIN1"))
    assert other.says(said) == b""
    assert other.asked() != request
    house.approvals.decide(request, DORA, yes=True)
    assert (session.sent(), other.sent()) == (said, b"")


def test_nobody_is_asked_about_what_the_text_does_not_say(house: House, session: Session) -> None:
    assert b"OSTIARY_DENIED" in session.says(query(b"delete by_name"))
    assert house.approvals.requests() == ()
    assert session.says(query(b"select by_name")) == query(b"select by_name"), "it has to be approved by nobody"


def test_a_transaction_that_only_began_waits(house: House, session: Session) -> None:
    for said in (b"begin", b"set work_mem = 1"):
        session.says(query(said))
        session.answers(done(b"BEGIN"), ready(b"T"))
    assert session.says(DELETE) == b""
    session.asked()


def test_a_transaction_that_did_something_does_not_wait(house: House, session: Session) -> None:
    session.says(query(b"begin"))
    session.answers(done(b"BEGIN"), ready(b"T"))
    session.says(query(b"select 1"))
    session.answers(done(), ready(b"T"))
    sent = session.says(DELETE)
    assert b"OSTIARY_DENIED" in sent
    request = house.approvals.requests()[0]
    marker = sent[5:].rstrip(b"\0")
    error = fields(session.answers(refused(marker), ready(b"E")))
    assert error["C"] == b"42501"
    assert f"Request {request.id} is open until 12:10:00 UTC".encode() in error["D"]
    assert b"for 15 minutes" in error["H"]
    session.says(query(b"rollback"))
    session.answers(done(b"ROLLBACK"), ready())
    house.approvals.decide(request.id, DORA, yes=True)
    assert session.says(DELETE) == DELETE, "the same statement uses the grant, now"


def test_what_was_done_ends_with_its_transaction(house: House, session: Session) -> None:
    session.says(query(b"select 1"))
    session.answers(done(), ready())
    assert session.says(DELETE) == b""
    session.asked()


def test_in_a_pipeline_earlier_batches_are_answered_first(house: House, session: Session) -> None:
    batch = parse(b"select 1") + bind() + execute() + SYNC
    delete = parse(b"delete from orders") + bind() + execute() + SYNC
    assert session.says(batch, delete) == batch + parse(b"delete from orders") + bind()
    assert session.client.take() == b"", "whether that batch's transaction is over isn't known yet"
    assert house.approvals.requests() == ()
    session.traffic.upstream_received(PARSED + BOUND + done() + ready())
    told = session.client.take()
    assert b"waiting for approval" in told
    house.approvals.decide(house.approvals.requests()[0].id, DORA, yes=True)
    assert session.sent() == execute() + SYNC


def test_within_one_batch_what_ran_before_is_held_so_it_is_refused(house: House, session: Session) -> None:
    update = parse(b"update orders") + bind() + execute()
    delete = parse(b"delete from orders") + bind() + execute() + SYNC
    sent = session.says(update, delete)
    assert sent.startswith(update + parse(b"delete from orders") + bind())
    assert b"OSTIARY_DENIED" in sent


def test_what_is_skipped_with_its_batch_waits_for_nobody(house: House, session: Session) -> None:
    session.says(parse(b"delete from orders where id = $1"), bind(b"", b"", b"x"), execute(), SYNC)
    request = session.asked()
    wrong = report(b"E", S=b"ERROR", C=b"22P02", M=b"invalid input syntax")
    assert session.answers(PARSED, wrong) == PARSED + wrong
    assert house.approvals.find(request).state == "withdrawn"  # type: ignore[union-attr]
    assert session.sent() == SYNC
    assert session.answers(ready()) == ready()
    assert session.client.reads()
    assert session.says(query(b"select 1")) == query(b"select 1")


def test_an_answer_to_what_is_skipped_is_no_answer_to_the_next(house: House, session: Session) -> None:
    session.says(parse(b"delete from orders where id = $1"), bind(b"", b"", b"x"), execute(), SYNC)
    request = session.asked()
    session.reading.missing.add(b"delete from orders where id = $1")  # what approvers said waits for the catalogue
    loaded: Deferred[None] = Deferred()
    session.reading.ready = loaded
    house.approvals.decide(request, DORA, yes=False)
    session.answers(PARSED, report(b"E", S=b"ERROR", C=b"22P02", M=b"invalid input syntax"))
    loaded.callback(None)
    assert session.sent() == SYNC
    session.answers(ready())
    assert session.says(query(b"select 1")) == query(b"select 1")


def test_a_portal_that_was_suspended_goes_on(house: House, session: Session) -> None:
    session.says(parse(b"delete from orders"), bind(b"c"), execute(b"c", 2), SYNC)
    request = session.asked()
    house.approvals.decide(request, DORA, yes=True)
    assert session.sent() == execute(b"c", 2) + SYNC
    session.answers(PARSED, BOUND, SUSPENDED, ready(b"T"))
    assert session.says(execute(b"c", 2), SYNC) == execute(b"c", 2) + SYNC
    assert house.events("operation_decided")[-1]["unmapped"]["approval"] == request
    session.answers(SUSPENDED, ready(b"T"))
    house.approvals.revoke(request, "olivia")
    assert not session.client.gone, "nothing is under way"
    assert b"OSTIARY_DENIED" in session.says(execute(b"c", 2), SYNC)


def test_a_portal_that_is_bound_anew_begins(house: House, session: Session) -> None:
    session.says(parse(b"delete from orders", b"s"), bind(b"c", b"s"), execute(b"c", 2), SYNC)
    house.approvals.decide(session.asked(), DORA, yes=True)
    session.sent()
    session.answers(PARSED, BOUND, done(b"DELETE 1"), ready())
    assert session.says(bind(b"c", b"s"), execute(b"c", 2), SYNC) == bind(b"c", b"s")
    session.asked()


def test_revoking_ends_what_runs_by_it(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    house.approvals.decide(request, DORA, yes=True)
    session.sent()
    house.approvals.revoke(request, "olivia", "wrong table")
    assert fields(session.client.take())["M"] == b"the approval of what you run was revoked: wrong table"
    assert session.dialler.cancelled, "the target is told to stop"


def test_revoking_ends_nothing_that_has_ended(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    house.approvals.decide(request, DORA, yes=True)
    session.sent()
    session.answers(done(b"DELETE 1"), ready())
    house.approvals.revoke(request, "olivia")
    assert session.says(query(b"select 1")) == query(b"select 1")


def test_while_it_waits_the_target_may_speak(house: House, session: Session) -> None:
    session.says(DELETE)
    session.asked()
    said = report(b"N", M=b"by the way")
    assert session.answers(said) == said
    assert session.sent() == b""


def test_a_target_that_goes_away_ends_it(house: House, session: Session) -> None:
    session.says(DELETE)
    session.asked()
    session.traffic.upstream_lost(LOST)
    assert session.client.gone
    assert house.approvals.open_requests() == 0


def test_votes_of_others_change_nothing(house: House, session: Session) -> None:
    session.says(DELETE)
    request = house.approvals.find(session.asked())
    assert request is not None
    assert not house.approvals.may_decide(request, EVE)
    assert session.sent() == b""


def test_the_recording_tells_the_story(house: House, session: Session) -> None:
    session.says(DELETE)
    request = session.asked()
    house.approvals.decide(request, DORA, yes=True, reason="ticket 12")
    session.sent()
    session.answers(done(b"DELETE 3"), ready())
    session.traffic.client_lost(LOST)
    (path,) = house.node.directory.rglob("*.ostrec")
    lines = b"".join(export(path)).decode().splitlines()
    told = [line for line in lines if '"approval"' in line]
    assert len(told) == 3
    assert '"state":"pending"' in told[0]
    assert '"votes":["dora: yes"]' in told[1]
    assert f'"approval":"{request}"' in told[2]
