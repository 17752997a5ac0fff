"""What waits for approvers, by the ways in which clients send statements; what was done is judged in the database."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import psycopg
import pytest
from support import approving, calling
from support.approving import Approver, Ledger, asks
from support.calling import Caller
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.rawclient import RawClient

pytestmark = pytest.mark.e2e

POLICY = {
    "allow": [
        {
            "name": "engineers change",
            "groups": ["engineers"],
            "targets": [approving.DATABASE],
            "sql": {"verbs": ["read", "dml", "copy_from"]},
        }
    ],
    "approve": [
        asks("a second person", ["delete", "copy_from"]),
        asks("who reads", ["select"]) | {"sql": {"verbs": ["select"], "relations": ["public.other"]}},
    ],
}
DRIVERS = ("psycopg", "asyncpg", calling.PGJDBC)


@pytest.fixture(scope="module")
def truth(target_server: Postgres) -> Iterator[Ledger]:
    with approving.ledger(target_server) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres, truth: Ledger) -> Iterator[Ostiary]:
    with approving.gateway(pki, target_server, POLICY) as running:
        yield running


@pytest.fixture
def approver(gateway: Ostiary, truth: Ledger) -> Iterator[Approver]:
    truth.refill()
    with approving.an_approver(gateway) as made:
        yield made
        made.settle_all()


@pytest.fixture(params=DRIVERS)
def client(request: pytest.FixtureRequest, gateway: Ostiary, approver: Approver, bob: Issued) -> Iterator[Caller]:
    with calling.caller(request.param, gateway, bob, database=approving.DATABASE) as made:
        made.next("ready")
        yield made


@pytest.fixture
def connection(gateway: Ostiary, approver: Approver, bob: Issued) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(gateway.connection(bob, database=approving.DATABASE), autocommit=True) as made:
        yield made


@pytest.fixture
def raw(gateway: Ostiary, approver: Approver, bob: Issued) -> Iterator[RawClient]:
    with approving.raw(gateway, bob) as made:
        yield made


def with_value(client: Caller) -> str:
    """A DELETE with one parameter, as the driver writes it."""
    sign = {"psycopg": "%s", "asyncpg": "$1", "pgjdbc": "?"}[client.kind]
    return f"delete from entries where id = {sign}"


# --- parameters, prepared statements, batches ---


def test_each_run_is_asked_for_with_its_parameters(client: Caller, approver: Approver, truth: Ledger) -> None:
    """More often than drivers need to prepare it (pgjdbc and psycopg at the sixth run) and to go over to binary."""
    with approver.says_yes() as asked:
        for number in range(1, 8):
            client.tell(f"values {number} {with_value(client)}")
            assert client.ended()[0] == "00000"
            assert truth.ids() == set(range(number + 1, approving.ROWS + 1))
    assert len(asked) == 7
    for number, one in enumerate(asked, 1):
        [value] = one["parameters"]
        assert str(number) in value, "in binary, too, a person can read it"
    client.tell(f"values 8 {with_value(client)}")
    request = approver.asked()
    assert 8 in truth.ids()
    approver.deny(request)
    assert client.ended()[0] == "42501"


def test_a_batch_goes_through_once_all_of_it_is_approved(client: Caller, approver: Approver, truth: Ledger) -> None:
    """What its first operation holds would be held for as long as people take to say yes to the others."""
    batch = f"batch 1,2,3 {with_value(client)}"
    client.tell(batch)
    approver.approve(approver.asked())
    state, text = client.ended()
    assert (state, "asks for an approval first" in text) == ("42501", True), text
    assert len(truth.ids()) == approving.ROWS
    others = approver.requests()
    assert len(others) == 2, "all that was sent with it is asked for"
    for one in others:
        approver.approve(one["id"])
    client.tell(batch)
    approver.approve(approver.asked())
    assert client.ended()[0] == "00000"
    assert truth.ids() == set(range(4, approving.ROWS + 1))


def test_a_pipeline_goes_on_behind_what_waits(
    connection: psycopg.Connection[tuple[object, ...]], approver: Approver, truth: Ledger
) -> None:
    with approver.says_yes() as asked, connection.pipeline() as pipeline:
        connection.execute("insert into entries values (11)")
        pipeline.sync()
        connection.execute("delete from entries where id = 11")
        pipeline.sync()
        connection.execute("insert into entries values (12)")
    assert [one["text"] for one in asked] == ["delete from entries where id = 11"]
    assert truth.ids() == {*range(1, approving.ROWS + 1), 12}


def test_each_batch_of_a_pipeline_has_its_own_answer(raw: RawClient, approver: Approver, truth: Ledger) -> None:
    statements = [
        "insert into entries values (11)",
        "delete from entries where id = 1",
        "delete from entries where id = 2",
        "insert into entries values (12)",
        "delete from entries where id = 12",
    ]
    with approver.says_yes(but_not="id = 2") as asked:
        for statement in statements:
            raw.execute(statement, sync=False)
            raw.send(b"S", b"")
        states = [raw.receive().sqlstate for _ in statements]
    assert states == [None, None, "42501", None, None]
    assert [one["text"] for one in asked] == [statements[1], statements[2], statements[4]]
    assert truth.ids() == {*range(2, approving.ROWS + 1), 11}


def test_within_one_batch_nothing_waits_behind_what_was_done(raw: RawClient, approver: Approver, truth: Ledger) -> None:
    raw.execute("insert into entries values (11)", sync=False)
    received = raw.execute("delete from entries where id = 1")
    assert received is not None
    assert received.sqlstate == "42501"
    [request] = approver.requests()
    assert request["id"] in received.reports[0]["D"]
    assert truth.ids() == set(range(1, approving.ROWS + 1))
    approver.approve(request["id"])
    raw.execute("insert into entries values (11)", sync=False)
    again = raw.execute("delete from entries where id = 1")
    assert again is not None
    assert (again.error, truth.ids()) == (None, set(range(2, approving.ROWS + 2)))


def test_what_a_client_sent_wrongly_asks_nobody(raw: RawClient, approver: Approver, truth: Ledger) -> None:
    received = raw.execute("delete from entries where id = $1", ["one"])
    assert received is not None
    assert received.sqlstate == "22P02"
    assert received.messages[-1] == (b"Z", b"I")
    assert approver.requests() == []
    assert len(truth.ids()) == approving.ROWS


def test_a_portal_is_read_in_pieces_by_one_grant(raw: RawClient, approver: Approver) -> None:
    def fetch() -> list[tuple[bytes, bytes]]:
        raw.send(b"E", b"\0" + struct.pack("!i", 4))
        raw.send(b"S", b"")
        return raw.receive().messages

    raw.query("begin")
    raw.send(b"P", b"\0select id from other order by id\0" + struct.pack("!h", 0))
    raw.send(b"B", b"\0\0" + struct.pack("!hhh", 0, 0, 0))
    with approver.says_yes() as asked:
        pieces = [[kind for kind, _ in fetch() if kind in b"DsCE"] for _ in range(3)]
    assert pieces == [[*[b"D"] * 4, b"s"], [*[b"D"] * 4, b"s"], [*[b"D"] * 2, b"C"]]
    assert len(asked) == 1
    raw.send(b"B", b"\0\0" + struct.pack("!hhh", 0, 0, 0))
    assert fetch()[-2][0] == b"E", "bound anew it is another run, in a transaction that holds something"
    raw.query("rollback")
    approver.deny(approver.asked())


@pytest.mark.parametrize("client", [calling.PGJDBC], indirect=True)
def test_a_fetch_size(client: Caller, approver: Approver) -> None:
    with approver.says_yes() as asked:
        client.tell("fetch 3 select id from other")
        assert client.ended() == ("00000", str(approving.ROWS))
    assert len(asked) == 1


# --- the client's own time-outs ---


@pytest.mark.parametrize("client", ["asyncpg", calling.PGJDBC], indirect=True)
def test_a_time_out_of_the_driver(client: Caller, approver: Approver, truth: Ledger) -> None:
    client.tell("within 1 delete from entries")
    request = approver.asked()
    assert client.ended()[0] == "57014"
    approver.settled(request, "withdrawn")
    client.run("insert into entries values (11)")
    assert client.ended()[0] == "00000", "the session lives on"
    assert len(truth.ids()) == approving.ROWS + 1


# --- COPY, several statements in one message ---


def test_copy_from_the_client_is_held_before_its_rows(
    connection: psycopg.Connection[tuple[object, ...]], approver: Approver, truth: Ledger
) -> None:
    with approver.says_yes() as asked, connection.cursor() as cursor:
        with cursor.copy("copy entries (id) from stdin") as copy:
            copy.write_row([11])
            copy.write_row([12])
        assert cursor.rowcount == 2
    assert len(asked) == 1
    assert truth.ids() == set(range(1, 13))
    with (
        approver.says_yes(but_not="copy") as asked,
        connection.cursor() as cursor,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        cursor.copy("copy entries (id) from stdin") as copy,
    ):
        copy.write_row([13])
    assert len(asked) == 1
    assert truth.ids() == set(range(1, 13))


def test_a_message_of_several_statements_is_held_as_a_whole(raw: RawClient, approver: Approver, truth: Ledger) -> None:
    raw.send(b"Q", b"insert into entries values (11); delete from entries where id = 1; select 1\0")
    request = approver.asked()
    assert truth.ids() == set(range(1, 11)), "its harmless part waits, too"
    approver.approve(request)
    assert raw.receive().tags == ["INSERT 0 1", "DELETE 1", "SELECT 1"]
    assert truth.ids() == set(range(2, 12))


def test_what_nobody_would_read_asks_nobody(raw: RawClient, approver: Approver, truth: Ledger) -> None:
    received = raw.query(f"delete from entries where id = 1 -- {'x' * 65_536}")
    assert received.error is not None
    assert "nobody could read it all" in received.error
    assert approver.requests() == []
    assert 1 in truth.ids()


# --- transactions ---


def test_later_in_a_transaction_it_is_refused_and_goes_through_afterwards(
    connection: psycopg.Connection[tuple[object, ...]], approver: Approver, truth: Ledger
) -> None:
    def in_a_transaction() -> None:
        with connection.transaction():
            connection.execute("insert into entries values (11)")
            connection.execute("delete from entries where id = 1")

    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        in_a_transaction()
    request = approver.asked()
    assert f"Request {request} is open until" in (refused.value.diag.message_detail or "")
    assert truth.ids() == set(range(1, 11)), "rolled back, with what was done before"
    approver.approve(request)
    in_a_transaction()
    assert truth.ids() == set(range(2, 12))
    assert approver.grant(request)["state"] == "used"
    truth.refill()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        in_a_transaction()
    approver.deny(approver.asked())


@pytest.mark.parametrize("first", ["begin", "begin; set local work_mem = '1MB'", "begin isolation level serializable"])
def test_a_transaction_that_has_done_nothing_waits(
    raw: RawClient, approver: Approver, truth: Ledger, first: str
) -> None:
    raw.query(first)
    raw.send(b"Q", b"delete from entries where id = 1\0")
    request = approver.asked()
    held = "select count(*) from pg_locks join pg_stat_activity using (pid) where application_name like 'ostiary/%'"
    assert truth.one(held + " and locktype <> 'virtualxid'") == 0
    assert (
        truth.one(
            "select count(*) from pg_stat_activity where application_name like 'ostiary/%' and backend_xmin is not null"
        )
        == 0
    )
    approver.approve(request)
    assert raw.receive().tags == ["DELETE 1"]
    assert 1 in truth.ids()
    raw.query("commit")
    assert 1 not in truth.ids()
