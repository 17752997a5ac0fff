"""What a name stands for is the target's to know, and masks follow what runs, not what once had the name.

Each of these got a protected value out of an early version: the statement that was decided on and the one that ran
differed, and an expression's values have no provenance of their own to be masked by.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterator

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.rawclient import RawClient

pytestmark = pytest.mark.e2e

SSN = "select upper(ssn) from customers where id = 1"
LONG, CUT = "n" * 70, "n" * 63

Message = tuple[bytes, bytes]
SYNC: Message = (b"S", b"")


def query(text: str) -> Message:
    return b"Q", text.encode() + b"\0"


def parse(name: str, text: str) -> Message:
    return b"P", f"{name}\0{text}\0".encode() + b"\0\0"


def bind(portal: str, statement: str) -> Message:
    return b"B", f"{portal}\0{statement}\0".encode() + b"\0\0\0\0\0\0"


def describe(portal: str) -> Message:
    return b"D", f"P{portal}\0".encode()


def execute(portal: str) -> Message:
    return b"E", portal.encode() + b"\0" + struct.pack("!i", 0)


def close(statement: str) -> Message:
    return b"C", f"S{statement}\0".encode()


ATTEMPTS: dict[str, list[Message]] = {
    "a portal in the place of a cursor": [
        *(query("begin"), query("declare q cursor for select 1"), query("close q")),
        *(parse("", SSN), bind("q", ""), SYNC, query("fetch all from q")),
    ],
    "a portal beside a cursor that failed": [
        *(query("begin"), parse("", SSN), bind("q", ""), SYNC, query("savepoint a")),
        *(query("declare q cursor for select 1"), query("rollback to a"), execute("q"), SYNC),
        query("fetch all from q"),
    ],
    "a name that the target cuts off": [
        *(parse(LONG, "select 'x'::text"), SYNC, close(CUT), parse(CUT, SSN), SYNC),
        *(bind("", LONG), describe(""), execute(""), SYNC),
    ],
    "a portal's name that the target cuts off": [
        *(query("begin"), query(f"declare {LONG} cursor for select 1"), query(f"close {CUT}")),
        *(parse("", SSN), bind(LONG, ""), SYNC, query(f"fetch all from {CUT}")),
    ],
    "EXECUTE of what was prepared anew since it was described": [
        *(query("begin"), query("prepare foo as select 'x'::text"), parse("p", "execute foo"), bind("q", "p")),
        *(describe("q"), SYNC, query("deallocate foo"), query(f"prepare foo as {SSN}"), execute("q"), SYNC),
    ],
    "EXECUTE of a FETCH": [
        *(query("begin"), query(f"declare c cursor for {SSN}"), parse("s", "fetch all from c"), SYNC),
        query("execute s"),
    ],
    "EXECUTE of a DECLARE": [
        *(query("begin"), query("declare c cursor for select 1"), query("close c")),
        *(parse("s", f"declare c cursor for {SSN}"), SYNC, query("execute s"), query("fetch all from c")),
    ],
    "EXECUTE of a PREPARE": [
        *(query("prepare foo as select 1"), query("deallocate foo"), parse("s", f"prepare foo as {SSN}"), SYNC),
        *(query("execute s"), query("execute foo")),
    ],
    "DISCARD and prepare anew": [
        *(query("prepare foo as select 'x'::text"), parse("p", "execute foo"), SYNC, query("deallocate all")),
        *(query(f"prepare foo as {SSN}"), parse("p", "execute foo"), bind("", "p"), execute(""), SYNC),
    ],
    "PREPARE over a statement of Parse": [
        *(parse("s", "select 'x'::text"), SYNC, close("s"), SYNC, query(f"prepare s as {SSN}")),
        *(bind("", "s"), describe(""), execute(""), SYNC, query("execute s")),
    ],
    "all of it in one packet": [
        *(query("begin"), parse("s", "select 'x'::text"), SYNC, close("s"), parse("s", SSN), bind("q", "s"), SYNC),
        *(execute("q"), SYNC, query("fetch all from q"), query("rollback")),
    ],
}


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    with Ostiary(
        pki,
        targets=[guarded.target(target_server, pki.ca)],
        policy=guarded.POLICY,
        environment=guarded.ENVIRONMENT,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def context(pki: Pki, alice: Issued) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(pki.ca))
    made.load_cert_chain(alice.certificate, alice.key)
    return made


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=list(ATTEMPTS))
def test_no_name_leads_around_the_masks(
    gateway: Ostiary, context: ssl.SSLContext, attempt: list[Message], pipelined: bool
) -> None:
    with RawClient(
        host="localhost", port=gateway.port, user="alice", database=guarded.DATABASE, context=context
    ) as client:
        answers = 0
        for kind, body in attempt:
            client.send(kind, body)
            answers += kind in b"QS"
            while answers and not pipelined:
                assert client.receive(extended=True).messages[-1][0] == b"Z"
                answers -= 1
        for _ in range(answers):
            assert client.receive(extended=True).messages[-1][0] == b"Z"
        assert not guarded.is_protected(client.raw.decode("latin-1"))


def test_the_attempts_would_get_it_without_masks(target_server: Postgres) -> None:
    for name, attempt in ATTEMPTS.items():
        with RawClient(
            host=str(target_server.directory), port=target_server.port, user="postgres", database=guarded.DATABASE
        ) as client:
            for kind, body in attempt:
                client.send(kind, body)
                if kind in b"QS":
                    client.receive(extended=True)
            assert guarded.is_protected(client.raw.decode("latin-1")), name
