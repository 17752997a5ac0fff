"""The same random conversation with PostgreSQL and through the gateway: the server's answers must not differ.

Under three policies: everything is allowed; everything but TRUNCATE; and everything, with masks on a table that the
conversation doesn't touch (so that the gateway looks at every result and describes portals by itself). What the second
one denies is, in the direct conversation, a statement that PostgreSQL itself refuses.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ostiary import Ostiary
from support.pki import Pki
from support.postgres import Postgres
from support.rawclient import RawClient

pytestmark = pytest.mark.e2e

DATABASE = "machine"
SCHEMA = """
create table t (n integer primary key, v text);
create table d (n integer unique deferrable initially deferred);
create table masked (secret text);
insert into masked values ('900-11-1111');
"""
REFILL = "truncate t, d; insert into t select n, 'v' || n from generate_series(1, 3) n;"
DENIED = "truncate t"
REFUSED = "OSTIARY_DENIED"

ALL = {"name": "all", "principals": ["machine"], "targets": ["*"]}
POLICIES: dict[str, dict[str, Any]] = {
    "allow": {"allow": [ALL]},
    "deny": {
        "allow": [ALL],
        "deny": [{"name": "keep", "principals": ["machine"], "targets": ["*"], "sql": {"verbs": ["truncate"]}}],
    },
    "mask": {
        "labels": {"secret": {"columns": {DATABASE: ["public.masked.secret"]}}},
        "allow": [ALL],
        "masks": [{"labels": ["secret"], "method": "redact"}],
    },
}

TEXTS = [
    "select 1",
    "",
    "select n, v from t order by n",
    "select n from t order by n for update",
    "select $1::integer + 1",
    "select v from t where n = $1",
    "insert into t values (4, 'new') returning n",
    "insert into t values (1, 'there already')",
    "insert into d values (1), (1)",
    "insert into d values (2)",
    "select 1 / 0",
    "selec",
    "begin",
    "commit",
    "rollback",
    "savepoint a",
    "rollback to a",
    "prepare s1 as select n from t order by n",
    "deallocate s1",
    "execute s1",
    "declare c1 cursor for select n from t order by n",
    "declare c2 cursor with hold for select n from t order by n",
    "fetch 2 from c1",
    "fetch 2 from c2",
    "close c1",
    "set work_mem = '5MB'",
    "show work_mem",
    "copy t to stdout",
    "update t set v = 'x' where n = 2",
    "nonsense",
    DENIED,
]
SEVERAL = [
    "select 1; select 2",
    "insert into t values (5, 'x'); select 1 / 0; select 3",
    "begin; select 1",
    "commit; begin; select 2",
    f"select 1; {DENIED}",
    ";",
]
OTHERWISE = {
    "fetch 2 from c1": "select 8",
    "fetch 2 from c2": "select 9",
    "execute s1": "select 7",
    "prepare s1 as select n from t order by n": "prepare q1 as select n from t order by n",
    "deallocate s1": "deallocate q1",
}
"""Where something is denied or masked: a name that is perhaps none is refused earlier than by PostgreSQL."""
COPY_IN = "copy t from stdin"
COPIED = {"good": b"7\tseven\n8\teight\n", "bad": b"no number\tx\n", "none": b""}

Step = tuple[str, ...]
"""A message: kind and its parts."""

statements = st.sampled_from(["", "s1", "s2"])
portals = st.sampled_from(["", "p1", "p2"])
messages = st.one_of(
    st.tuples(st.just("P"), statements, st.sampled_from(TEXTS)),
    st.tuples(st.just("P"), statements, st.sampled_from(TEXTS)),
    st.tuples(st.just("B"), portals, statements, st.sampled_from(["0", "0", "1", "2"]), st.sampled_from("01")),
    st.tuples(st.just("B"), portals, statements, st.sampled_from(["0", "0", "1", "2"]), st.sampled_from("01")),
    st.tuples(st.just("D"), st.just("S"), statements),
    st.tuples(st.just("D"), st.just("P"), portals),
    st.tuples(st.just("E"), st.sampled_from(["", "p1", "p2", "c1", "c2"]), st.sampled_from(["0", "0", "1", "2"])),
    st.tuples(st.just("E"), portals, st.just("0")),
    st.tuples(st.just("C"), st.just("S"), statements),
    st.tuples(st.just("C"), st.just("P"), portals),
    st.tuples(st.just("H")),
)
usual = st.tuples(statements, portals, st.sampled_from(TEXTS), st.booleans(), st.sampled_from(["0", "1"])).map(
    lambda part: [
        ("P", part[0], part[2]),
        ("B", part[1], part[0], "1" if "$1" in part[2] else "0", "0"),
        *([("D", "P", part[1])] if part[3] else []),
        ("E", part[1], part[4]),
    ]
)
batches = st.one_of(
    usual.map(lambda batch: [*batch, ("S",)]),
    usual.map(lambda batch: [*batch, ("S",)]),
    st.lists(messages, max_size=8).map(lambda batch: [*batch, ("S",)]),
    st.lists(st.one_of(usual, messages.map(lambda one: [one])), max_size=4).map(
        lambda parts: [*[one for part in parts for one in part], ("S",)]
    ),
    st.sampled_from(TEXTS + SEVERAL).map(lambda text: [("Q", text)]),
    st.lists(messages, max_size=3).flatmap(
        lambda batch: st.sampled_from(TEXTS).map(lambda text: [*batch, ("H",), ("Q", text), ("S",)])
    ),
)
copies = st.sampled_from(sorted(COPIED)).flatmap(
    lambda data: st.sampled_from(
        [
            [("Q", COPY_IN, data)],
            [("P", "", COPY_IN), ("B", "", "", "0", "0"), ("E", "", "0"), ("S", data)],
            [("P", "", COPY_IN), ("B", "", "", "0", "0"), ("D", "P", ""), ("E", "", "0"), ("S", data)],
        ]
    )
)


@dataclass(frozen=True)
class Conversation:
    """``together`` batches are sent before any of them is read."""

    batches: list[list[Step]]
    together: int


conversations = st.one_of(
    st.builds(Conversation, st.lists(st.one_of(batches, batches, batches, copies), min_size=1, max_size=8), st.just(1)),
    st.builds(Conversation, st.lists(batches, min_size=1, max_size=10), st.integers(2, 5)),
)


def encoded(step: Step, replace: Callable[[str], str]) -> tuple[bytes, bytes]:
    kind, *parts = step
    if kind == "Q":
        return b"Q", replace(parts[0]).encode() + b"\0"
    if kind == "P":
        return b"P", parts[0].encode() + b"\0" + replace(parts[1]).encode() + b"\0\0\0"
    if kind == "B":
        portal, statement, count, binary = parts
        values = struct.pack("!h", int(count)) + (struct.pack("!i", 1) + b"1") * int(count)
        return b"B", f"{portal}\0{statement}\0".encode() + b"\0\0" + values + struct.pack("!hh", 1, int(binary))
    if kind in "DC":
        return kind.encode(), f"{parts[0]}{parts[1]}\0".encode()
    if kind == "E":
        return b"E", parts[0].encode() + b"\0" + struct.pack("!i", int(parts[1]))
    return kind.encode(), b""


def held(client: RawClient, conversation: Conversation, replace: Callable[[str], str]) -> list[Any]:
    """What the server said, from one ReadyForQuery to the next."""
    heard: list[Any] = []
    waiting = conversation.batches
    try:
        while waiting:
            now, waiting = waiting[: conversation.together], waiting[conversation.together :]
            for batch in now:
                for step in batch + (END if mixed(batch) else []):
                    client.send(*encoded(step, replace))
            for batch in now:
                last = batch[-1]
                copied = COPIED.get(last[-1], b"")
                while True:
                    received = client.receive(copy=copied, extended=last[0] == "S")
                    answer = [comparable(kind, body) for kind, body in received.messages if kind != b"S"]
                    if not answer or answer[-1][0] != "Z":
                        return [*heard, "ended"]
                    heard.append(answer)
                    if not mixed(batch) or [kind for kind, _ in answer] == ["3", "Z"]:
                        break
    except OSError:
        return [*heard, "ended"]
    return heard


END: list[Step] = [("C", "S", "nothing"), ("S",)]
"""Answered by CloseComplete and ReadyForQuery, whatever was before it."""


def mixed(batch: list[Step]) -> bool:
    """A Query and a Sync: if the Query is skipped there is one answer less."""
    return {"Q", "S"} <= {step[0] for step in batch}


def comparable(kind: bytes, body: bytes) -> tuple[str, bytes]:
    """Of an error its being one: whose words they are differs where the gateway refuses."""
    return kind.decode(), b"" if kind == b"E" else body


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        running.run(f"create database {DATABASE}")
        running.run(SCHEMA, DATABASE)
        yield running


@pytest.fixture(scope="module", params=sorted(POLICIES))
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(pki: Pki, server: Postgres, policy: str) -> Iterator[Ostiary]:
    target = {
        "name": DATABASE,
        "protocol": "postgres",
        "address": f"{server.directory}/.s.PGSQL.{server.port}",
        "credentials": [{"user": "postgres"}],
    }
    with Ostiary(pki, targets=[target], policy=POLICIES[policy]) as running:
        yield running


@pytest.fixture(scope="module")
def context(pki: Pki) -> ssl.SSLContext:
    machine = pki.client("machine")
    made = ssl.create_default_context(cafile=str(pki.ca))
    made.load_cert_chain(machine.certificate, machine.key)
    return made


@pytest.fixture(scope="module")
def refill(server: Postgres) -> Iterator[Callable[[], object]]:
    with RawClient(host=str(server.directory), port=server.port, user="postgres", database=DATABASE) as client:
        yield lambda: client.query(REFILL)


def check(
    server: Postgres,
    gateway: Ostiary,
    context: ssl.SSLContext,
    policy: str,
    refill: Callable[[], object],
    conversation: Conversation,
) -> None:
    def through(text: str) -> str:
        return text if policy == "allow" else OTHERWISE.get(text, text)

    def direct(text: str) -> str:
        return through(text).replace(DENIED, REFUSED) if policy == "deny" else through(text)

    refill()
    with RawClient(host=str(server.directory), port=server.port, user="postgres", database=DATABASE) as client:
        expected = held(client, conversation, direct)
    refill()
    with RawClient(host="localhost", port=gateway.port, user="machine", database=DATABASE, context=context) as client:
        assert held(client, conversation, through) == expected
    assert gateway.running


@pytest.mark.parametrize("examples", [40, pytest.param(1500, marks=pytest.mark.slow)])
def test_the_gateway_answers_as_the_server_does(
    server: Postgres,
    gateway: Ostiary,
    context: ssl.SSLContext,
    policy: str,
    refill: Callable[[], object],
    examples: int,
) -> None:
    @given(conversations)
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def compare(conversation: Conversation) -> None:
        check(server, gateway, context, policy, refill, conversation)

    compare()
