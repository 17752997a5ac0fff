"""What is found inside values of every type is masked, and the client still gets values of these types."""

from __future__ import annotations

import base64
import json
import re
import ssl
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from support.ostiary import Ostiary
from support.pki import Pki
from support.postgres import Postgres
from support.process import wait_until
from support.rawclient import RawClient, Received

pytestmark = pytest.mark.e2e

DATABASE, PLACES = "cells", "places"
"""Without and with labels: these make the gateway refuse what extensions bring along."""
PASSWORD = "superuser-secret"
EMAIL, PAN = "alice@example.com", "4111111111111111"

SCHEMA = """
create extension hstore;
create extension citext;
create type mood as enum ('calm', 'alice@example.com');
create type pair as (id integer, note text, pan bigint, document jsonb);
create type notes as range (subtype = text);
create domain address as text;
create domain addresses as text[];
"""

VALUES = {
    "text": "to alice@example.com",
    "varchar(40)": "to alice@example.com",
    "char(40)": "to alice@example.com",
    "name": "alice@example.com",
    "address": "alice@example.com",
    "json": r'{"b" : 1.50, "a":["x alice\\u0040example.com", 4111111111111111], "alice@example.com":null, "b":"é"}',
    "jsonb": r'{"b": 1.50, "a": ["x alice\\u0040example.com", 4111111111111111], "alice@example.com": null}',
    "xml": "<a b='alice&#64;example.com'>4111 1111 1111 1111<!-- x --></a>",
    "bytea": r"\\x616c696365406578616d706c652e636f6d20c3a9",
    "bigint": PAN,
    "numeric": PAN + ".00",
    "double precision": PAN,
    "inet": "10.11.12.13/8",
    "hstore": r'"a"=>"x \\"alice@example.com", "alice@example.com"=>NULL',
    "citext": "Alice@Example.com",
    "mood": "alice@example.com",
    "notes": "[alice@example.com,b]",
    "pair": r'(7,"x ""alice@example.com",4111111111111111,"{""a"": ""alice\\\\u0040example.com""}")',
    "text[]": r'[2:3][0:1]={{"x, alice@example.com",NULL},{"a \\" b",alice@example.com}}',
    "addresses": "{alice@example.com,b}",
    "json[]": r'{"{\\"a\\":\\"alice\\\\u0040example.com\\"}",NULL}',
    "jsonb[]": r'{"{\\"a\\":\\"alice@example.com\\"}",NULL}',
    "bigint[]": "{1,4111111111111111}",
    "numeric[]": "{1.5,4111111111111111}",
    "bytea[]": r'{"\\\\x616c696365406578616d706c652e636f6d"}',
    "mood[]": "{calm,alice@example.com}",
    "citext[]": "{a,alice@example.com}",
    "pair[]": r'{"(7,\\"alice@example.com\\",4111111111111111,)"}',
    "hstore[]": r'{"\\"a\\"=>\\"alice@example.com\\""}',
    "tsvector": "'alice@example.com':1 'b'",
}
"""Type -> a value that holds something in every place where it can, as a literal without E."""

LEFT = {
    "json": b'{"b" : 1.50, "a":["x ****", null], "****":null, "b":"\xc3\xa9"}',
    "text[]": b'[2:3][0:1]={{"x, ****",NULL},{"a \\" b","****"}}',
    "hstore": b'"a"=>"x \\"****", "****"=>NULL',
    "bytea": b"\\x2a2a2a2a20c3a9",
    "xml": b"<a b='****'>****<!-- x --></a>",
    "bigint": None,
    "pair": None,
}
"""Some of them as the client gets them in text format; ``pair`` is looked at for itself."""

FOUND = re.compile(rb"alice.{0,8}example|4111 ?1111|4\.1{10}|10\.11\.12\.13|616c696365", re.IGNORECASE | re.DOTALL)
BINARY_PAN = struct.pack("!q", int(PAN)), struct.pack("!d", float(PAN)), struct.pack("!hhhh", 4111, 1111, 1111, 1111)


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[Postgres]:
    with Postgres(tls=pki.server(file="target")) as running:
        running.run(f"alter role postgres password '{PASSWORD}'; create database {DATABASE}")
        running.run(f"create database {PLACES}")
        running.run(SCHEMA, DATABASE)
        columns = ", ".join(f'"{name}" {name}' for name in VALUES)
        running.run(f"create table things ({columns})", DATABASE)
        values = ", ".join("'" + value.replace("\\\\", "\\").replace("'", "''") + "'" for value in VALUES.values())
        running.run(f"insert into things values ({values})", DATABASE)
        yield running


@pytest.fixture(scope="module")
def gateway(pki: Pki, server: Postgres) -> Iterator[Ostiary]:
    targets = [
        {
            "name": name,
            "protocol": "postgres",
            "address": f"localhost:{server.port}",
            "tls": {"mode": "verify-full", "ca": f"file:{pki.ca}"},
            "credentials": [{"user": "postgres", "password": "env:SUPERUSER_PASSWORD"}],
        }
        for name in (DATABASE, PLACES)
    ]
    policy = {
        "labels": {
            "pii.email": {"detector": "email"},
            "pci.pan": {"detector": "payment_card"},
            "net.address": {"detector": "ipv4"},
            "pii.name": {"json": {PLACES: ["$..name"]}},
        },
        "allow": [{"name": "everything", "groups": ["everyone"], "targets": ["*"]}],
        "masks": [{"labels": ["*"], "method": "redact"}],
    }
    settings = {"recording": {"results": True}}
    environment = {"SUPERUSER_PASSWORD": PASSWORD}
    with Ostiary(pki, targets=targets, policy=policy, settings=settings, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def context(pki: Pki) -> ssl.SSLContext:
    caller = pki.client("mallory", groups=["everyone"])
    made = ssl.create_default_context(cafile=str(pki.ca))
    made.load_cert_chain(caller.certificate, caller.key)
    return made


@pytest.fixture
def client(gateway: Ostiary, context: ssl.SSLContext) -> Iterator[RawClient]:
    with RawClient(
        host="localhost", port=gateway.port, user="mallory", database=DATABASE, context=context, seconds=60
    ) as made:
        yield made


@pytest.fixture
def direct(server: Postgres) -> Iterator[RawClient]:
    with RawClient(host=str(server.directory), port=server.port, user="postgres", database=DATABASE) as made:
        yield made


def read(client: RawClient, sql: str, *, binary: bool = False) -> Received:
    received = client.execute(sql, binary=binary)
    assert received is not None
    assert received.error is None
    return received


def accepts(direct: RawClient, name: str, value: bytes, *, binary: bool) -> str | None:
    """Why PostgreSQL doesn't take ``value`` for one of this type; None: it does."""
    direct.send(b"P", b"\0" + f"select $1::{name}".encode() + b"\0" + struct.pack("!h", 0))
    bound = struct.pack("!hhh", 1, int(binary), 1) + struct.pack("!i", len(value)) + value + struct.pack("!h", 0)
    direct.send(b"B", b"\0\0" + bound)
    direct.send(b"E", b"\0\0\0\0\0")
    direct.send(b"S", b"")
    return direct.receive(extended=True).error


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_what_is_found_is_masked_and_the_value_is_valid(
    client: RawClient, direct: RawClient, name: str, binary: bool
) -> None:
    (shown,) = read(client, f'select "{name}" from things', binary=binary).rows[0]
    (there,) = read(direct, f'select "{name}" from things', binary=binary).rows[0]
    assert there is not None
    assert FOUND.search(there) or any(pan in there for pan in BINARY_PAN) or b"\x0a\x0b\x0c\x0d" in there, "toothless"
    assert not FOUND.search(bytes(client.raw))
    assert not any(pan in client.raw for pan in BINARY_PAN)
    if shown is not None:
        assert accepts(direct, name, shown, binary=binary) is None
    if name in LEFT and not binary and name != "pair":
        assert shown == LEFT[name]


def test_a_composite_keeps_what_is_nothing_to_find(client: RawClient) -> None:
    assert read(client, "select pair from things").rows == [[b'(7,,,"{""a"": ""****""}")']]
    assert read(client, "select (pair).id, (pair).document from things").rows == [[b"7", b'{"a": "****"}']]


def test_places_in_json(gateway: Ostiary, context: ssl.SSLContext, server: Postgres) -> None:
    server.run("create table people (id int, document jsonb, plain text)", PLACES)
    server.run("""insert into people values (1, '{"id": 1, "who": {"name": "Bob", "n": [1, "x"]}}', 'Bob')""", PLACES)
    with RawClient(
        host="localhost", port=gateway.port, user="mallory", database=PLACES, context=context, seconds=60
    ) as client:
        for binary in (False, True):
            ((document, plain),) = read(client, "select document, plain from people", binary=binary).rows
            assert document is not None
            assert document.removeprefix(b"\1") == b'{"id": 1, "who": {"n": [1, "x"], "name": "****"}}'
            assert plain == b"Bob"
        for made in ("document::text", "row_to_json(people)", "people"):
            assert b"Bob" not in (read(client, f"select {made} from people").rows[0][0] or b"")
        for made in ("document->'who'->>'name'", "document->'who'"):  # whether there is one would tell
            assert client.query(f"select {made} from people").sqlstate == "42501"


def test_errors_notices_and_notifications(client: RawClient) -> None:
    received = client.query(
        f"do $$ begin raise notice 'to {EMAIL}'; raise exception 'no {EMAIL}' using detail = '{PAN}'; end $$"
    )
    assert [report["M"] for report in received.reports] == ["to ****", "no ****"]
    assert received.reports[1]["D"] == "****"
    client.query("listen here")
    received = client.query(f"notify here, 'for {EMAIL}'")
    assert any(b"for ****" in body for body in received.bodies(b"A")) or b"for ****" in b"".join(
        body for _, body in client.asynchronous(1).messages
    )
    client.query(f"set application_name = '{EMAIL}'")
    assert not FOUND.search(bytes(client.raw))


def test_encodings_that_are_not_read_are_refused(client: RawClient) -> None:
    """The second byte of a character can be a letter there, and hide where a value begins."""
    assert client.query("set client_encoding = sjis").sqlstate == "42501"
    assert client.query("set client_encoding = utf8").error is None
    # By code, which nobody reads: the session ends at the next statement.
    client.query("do $$ begin perform set_config('client_encoding', 'SJIS', false); end $$")
    assert client.query("select text from things").sqlstate == "57P01"


def test_the_recording_has_what_the_client_got(client: RawClient, gateway: Ostiary) -> None:
    read(client, "select text, 'seen by ' || 'nobody' from things")
    client.close()
    wait_until(lambda: _sessions(gateway)[-1]["state"] == "closed", what="the recording's end")
    exported = _cli(gateway, "export", _sessions(gateway)[-1]["session"])
    events = list(map(json.loads, exported.splitlines()))
    kept = b"".join(base64.b64decode(event["base64"]) for event in events if "base64" in event)
    assert b"seen by nobody" in kept
    assert b"to ****" in kept
    assert not FOUND.search(kept)
    assert not FOUND.search(exported.encode())


def _cli(gateway: Ostiary, *arguments: str) -> str:
    return gateway.cli("recordings", *arguments, "--config", str(gateway.configuration)).stdout


def _sessions(gateway: Ostiary) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = json.loads(_cli(gateway, "list", "--json"))
    return listed


@pytest.mark.slow
def test_a_large_value_holds_up_nobody(gateway: Ostiary, context: ssl.SSLContext) -> None:
    """A row of 64 MB is searched in a thread: meanwhile another session's statements are answered."""

    def connect() -> RawClient:
        return RawClient(
            host="localhost", port=gateway.port, user="mallory", database=DATABASE, context=context, seconds=120
        )

    with connect() as slow, connect() as quick:
        answers: list[Received] = []

        def large() -> None:
            answers.append(slow.query(f"select repeat('nothing to see 12 ', 4000000) || '{EMAIL}'"))

        worker = threading.Thread(target=large)
        begun = time.monotonic()
        worker.start()
        longest = 0.0
        while worker.is_alive():
            before = time.monotonic()
            assert quick.query("select 1").rows == [[b"1"]]
            longest = max(longest, time.monotonic() - before)
        took = time.monotonic() - begun
        worker.join()
    (cell,) = answers[0].rows[0]
    assert cell is not None
    assert cell.endswith(b"12 ****")
    assert longest < took / 2, f"another session waited {longest:.2f} of {took:.2f} s"
