"""Under a policy that allows all, a client can't tell the gateway from its target (shared/postgres.md).

Everything here is done twice, directly and through the gateway, and what the client saw must be the same; where it
speaks the protocol itself, to the byte. (Drivers' own suites: tests/suites.)
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from support.ostiary import Ostiary, target_by_certificate
from support.pki import Pki
from support.postgres import Postgres
from support.process import wait_until
from support.psql import clean_environment, psql
from support.rawclient import RawClient, Received
from support.ways import Both, Way, same

pytestmark = pytest.mark.e2e

T = TypeVar("T")

USER, DATABASE = "postgres", "shop"
POLICY = {"allow": [{"name": "anything", "principals": [USER], "targets": ["*"]}]}

SCHEMA = """
create schema sales;
create type sales.state as enum ('open', 'paid', 'sent');
create domain sales.amount as numeric(12, 2) check (value >= 0);
create table sales.orders (
    id integer generated always as identity primary key,
    placed timestamptz not null default '2026-01-01 12:00:00+00',
    state sales.state not null default 'open',
    amount sales.amount not null,
    tags text[] not null default '{}',
    extra jsonb,
    raw bytea
);
create index on sales.orders (state) where state <> 'sent';
comment on table sales.orders is 'Made up; ünïcödé, too';
create table sales.parts (order_id integer references sales.orders on delete cascade, line integer, what text)
    partition by range (line);
create table sales.parts_low partition of sales.parts for values from (0) to (100);
create view sales.open_orders as select id, amount from sales.orders where state = 'open';
create materialized view sales.totals as select state, sum(amount) from sales.orders group by state;
create function sales.twice(n integer) returns integer language sql immutable as 'select n * 2';
create function sales.shout(what text) returns void language plpgsql as
    $$ begin raise notice 'I say %', what using hint = 'softly'; end $$;
create extension hstore;
insert into sales.orders (state, amount, tags, extra, raw)
select (array['open', 'paid', 'sent'])[1 + n % 3]::sales.state, n * 1.25, array['t' || n, 'ä"\\'],
       jsonb_build_object('n', n, 'x', null), decode(lpad(to_hex(n), 8, '0'), 'hex')
from generate_series(1, 1000) n;
insert into sales.parts select n, n % 100, 'part ' || n from generate_series(1, 500) n;
refresh materialized view sales.totals;
create table items (id integer primary key, what text, at bytea);
create role reader;
grant usage on schema sales to reader;
grant select on sales.orders to reader;
"""


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[Postgres]:
    """The certificate of a caller is enough directly, too."""
    hba = ["hostssl all all 127.0.0.1/32 cert"]
    with Postgres(tls=pki.server(file="target"), ca=pki.ca, hba=hba, settings={"log_statement": "none"}) as running:
        running.run(f"create database {DATABASE}")
        running.run(SCHEMA, DATABASE)
        yield running


@pytest.fixture(scope="module")
def gateway(pki: Pki, server: Postgres) -> Iterator[Ostiary]:
    target = target_by_certificate(DATABASE, server.port, pki, USER)
    with Ostiary(pki, targets=[target], policy=POLICY) as running:
        yield running
        assert '"error"' not in running.log_text(), running.log_tail()


@pytest.fixture(scope="module")
def both(pki: Pki, server: Postgres, gateway: Ostiary) -> Both:
    caller = pki.client(USER)
    return (
        Way("direct", server.port, "", caller, pki.ca, USER, DATABASE),
        Way("gateway", gateway.port, f"{DATABASE}/", caller, pki.ca, USER, DATABASE),
    )


@pytest.fixture
def through(both: Both) -> Way:
    return both[1]


# --- PostgreSQL's own programs --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(both: Both, mode: str) -> None:
    def bench(way: Way) -> list[str]:
        way.run("pgbench", "-i", "-q", "-s", "1", "-I", "dtgvp")
        arguments = ["-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50"]
        output = way.run("pgbench", *arguments) + way.run("pgbench", *arguments, "-S")
        return [
            line for line in output.splitlines() if line.startswith(("number of transactions actually", "number of f"))
        ]

    assert same(both, bench)[:2] == [
        "number of transactions actually processed: 200/200",
        "number of failed transactions: 0 (0.000%)",
    ]


def test_pgbench_in_pipelines(both: Both, tmp_path: Path) -> None:
    script = tmp_path / "pipeline.sql"
    script.write_text("\\startpipeline\n" + "select :client_id + 1;\n" * 20 + "\\endpipeline\n")

    def bench(way: Way) -> bool:
        output = way.run("pgbench", "-n", "-M", "extended", "-c", "2", "-t", "30", "-f", str(script))
        return "actually processed: 60/60" in output

    assert same(both, bench)


DUMP = ("pg_dump", "--restrict-key", "otherwiserandom")


def test_dump_and_restore(both: Both, server: Postgres) -> None:
    server.run("select lo_from_bytea(4711, 'a large object')", DATABASE)
    dumped = same(both, lambda way: way.run(*DUMP, "--blobs"))
    assert "ünïcödé" in dumped

    def restore(way: Way) -> str:
        copy = f"copy_{way.name}"
        server.run(f"create database {copy}")
        way.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", script=dumped, database=copy)
        return way.run(*DUMP, "--blobs", database=copy)

    assert same(both, restore) == dumped


def test_dump_and_restore_in_custom_format(both: Both, server: Postgres, tmp_path: Path) -> None:
    def restore(way: Way) -> str:
        copy, file = f"custom_{way.name}", str(tmp_path / way.name)
        server.run(f"create database {copy}")
        way.run("pg_dump", "-Fc", "--schema", "sales", "--file", file)
        done = subprocess.run(["pg_restore", "-f", "-", file], capture_output=True, text=True, check=True)
        way.run("psql", "-X", "-q", script=done.stdout, database=copy)
        return way.run(*DUMP, "--schema", "sales", database=copy)

    assert "parts_low" in same(both, restore)


SLASHES = r"""
\d \d+ \dt \dt+ \dv \dm+ \di+ \ds \df+ \dn+ \du+ \l+ \dx+ \dp \dT+ \dD \dC \dA+ \db+ \dd \dO \do \dF+ \drds \dRp \des
\dL+ \dy \dX \dconfig~work_mem \ddp \dl \dE \dP+ \dg \z \sf~sales.twice \sv~sales.open_orders \d~sales.* \d+~sales.*
\df+~sales.* \dt+~sales.* \dT+~sales.* \dD+~sales.* \dx+~hstore \d+~nothing_there
"""


def test_psql_describes(both: Both) -> None:
    lines = [slash.replace("~", " ") for slash in SLASHES.split()]
    script = "\n".join(f"\\echo {line.replace(chr(92), '')}\n{line}" for line in lines)
    seen = same(both, lambda way: psql(way.conninfo(), script, arguments=()))
    assert "parts_low" in seen.stdout
    assert "Did not find any relation" in seen.stderr


def test_psql_s_own_look_at_results(both: Both) -> None:
    script = "\n".join(
        (
            "\\timing off",
            "select 1/0;",
            "\\errverbose",
            "select id, state, amount, extra from sales.orders limit 3 \\gx",
            "select 'select ' || n from generate_series(1, 3) n \\gexec",
            "select amount, tags, raw from sales.orders \\gdesc",
            "select state, id % 4 as part, count(*) from sales.orders group by 1, 2 order by 1, 2 \\crosstabview",
            "\\set FETCH_COUNT 100",
            "select id from sales.orders order by id;",
            "\\set AUTOCOMMIT off",
            "\\set ON_ERROR_ROLLBACK on",
            "select 1; select nothing; select 2; rollback;",
            "select sales.shout('hello');",
        )
    )
    connections = {way.name: psql(way.conninfo(), script, arguments=("-e",)) for way in both}
    assert connections["gateway"] == connections["direct"]
    assert "division by zero" in connections["gateway"].stderr


@pytest.mark.parametrize("options", ["format text", "format csv, header", "format binary"])
def test_copy_out_and_in(both: Both, options: str, tmp_path: Path) -> None:
    def copy(way: Way) -> tuple[bytes, str]:
        first, second = tmp_path / f"{way.name}.1", tmp_path / f"{way.name}.2"
        script = f"""
            \\copy sales.orders to {first} with ({options})
            create temp table again (like sales.orders);
            \\copy again from {first} with ({options})
            \\copy (select * from again order by id) to {second} with ({options})
            \\copy again from '/dev/null' with ({options.replace(", header", "")})
            \\copy again from program 'echo wrong' with (format csv)
        """
        seen = psql(way.conninfo(), script)
        assert first.read_bytes() == second.read_bytes()
        return first.read_bytes(), seen.stdout + seen.stderr

    assert len(same(both, copy)[0]) > 50_000


# --- values and objects ---------------------------------------------------------------------------------------


def test_large_objects(both: Both, tmp_path: Path) -> None:
    """psql's own commands call functions by their OIDs (FunctionCall)."""
    given, taken = tmp_path / "given", tmp_path / "taken"
    given.write_bytes(bytes(range(256)) * 4096)

    def store(way: Way) -> tuple[str, bool]:
        script = f"\\lo_import {given} 'a comment'\n\\lo_export :LASTOID {taken}\n\\lo_list\n\\lo_unlink :LASTOID\n"
        seen = psql(way.conninfo(), script)
        assert seen.stderr == ""
        return seen.stdout.splitlines()[-1].split()[0], taken.read_bytes() == given.read_bytes()

    assert same(both, store)[1]


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_values_of_100_megabytes_both_ways(through: Way, binary: bool) -> None:
    size = 100 * 1024 * 1024
    with through.connect() as connection:
        value: object = b"\xe9" * size if binary else "v" * size
        sent = "length(%s::bytea)" if binary else "length(%s::text)"
        assert connection.execute(f"select {sent}", [value]).fetchone() == (size,)
        cursor = connection.cursor(binary=binary)
        assert cursor.execute("select repeat('x', %s), 1", [size]).fetchone() == ("x" * size, 1)
        connection.execute("create temp table large (v text)")
        with connection.cursor().copy("copy large from stdin") as copy:
            for _ in range(100):
                copy.write(b"c" * (1024 * 1024))
            copy.write(b"\n")
        with connection.cursor().copy("copy large to stdout") as copy:
            assert sum(len(data) for data in copy) == size + 1


def test_a_statement_of_20_megabytes(through: Way) -> None:
    with through.connect() as connection:
        size = 20 * 1024 * 1024
        assert connection.execute("select length('" + "s" * size + "')").fetchone() == (size,)


# --- the protocol, to the byte --------------------------------------------------------------------------------

SCRIPTS: dict[str, tuple[str, ...]] = {
    "several statements in one query": (
        "select 1; select 'two' as b, 3 as c; insert into items values (1, 'a'); delete from items; select",
        "select 1; select 1/0; select 3",
        "insert into items values (1, 'x'); select nothing",
        "select count(*) from items",
        ";",
        "",
        "-- nothing but a comment",
        "begin; select 1; commit; select 2; rollback",
    ),
    "errors inside of transactions": (
        "begin",
        "select 1",
        "select nothing",
        "select 2",
        "commit",
        "begin; insert into items values (1, 'a'), (1, 'b')",
        "rollback",
        "commit",
        "select count(*) from items",
    ),
    "savepoints": (
        "begin",
        "savepoint a",
        "insert into items values (1, 'kept')",
        "savepoint b",
        "insert into items values (1, 'twice')",
        "rollback to b",
        "release b",
        "release nothing",
        "rollback to a",
        "insert into items values (2, 'kept')",
        "commit",
        "delete from items returning *",
    ),
    "notices": (
        "select sales.shout('one'), sales.shout('two')",
        "do $$ begin raise warning 'w' using errcode = '01007', detail = 'd', hint = 'h', table = 't'; end $$",
        "set client_min_messages = error",
        "select sales.shout('nobody hears')",
        "reset client_min_messages",
        "drop table if exists nothing_there",
        "commit",
    ),
    "time-outs": (
        "set statement_timeout = 300",
        "select pg_sleep(5)",
        "begin; set local statement_timeout = 300; select pg_sleep(5)",
        "rollback",
        "reset statement_timeout",
        "select 1",
    ),
    "settings that are reported": (
        "set datestyle = 'German'",
        "set timezone = 'Europe/Vienna'; select now() = now()",
        "begin; set local intervalstyle = 'iso_8601'; select interval '1 day 2 hours'",
        "rollback",
        "set client_encoding = latin1",
        "select 'ä', E'\\u00e4'",
        "set application_name = 'mine'",
        "select current_setting('application_name')",
        "set standard_conforming_strings = off",
        "select 'a\\\\b'",
        "reset all",
        "set session authorization reader",
        "select current_user",
        "reset session authorization",
        "set role reader; select current_user, session_user",
        "drop table sales.orders",
        "discard all",
    ),
    "cursors": (
        "begin",
        "declare c scroll cursor for select id, amount from sales.orders order by id",
        "fetch 2 from c",
        "move 10 in c",
        "fetch prior from c",
        "fetch backward 2 from c",
        "fetch last from c",
        "close c",
        "fetch c",
        "rollback",
        "declare h cursor with hold for select id from sales.orders order by id limit 3",
        "fetch all from h",
        "close all",
    ),
    "statements prepared in SQL": (
        "prepare p (integer) as select id, state from sales.orders where id = $1",
        "execute p(3)",
        "begin",
        "execute p(4)",
        "execute p('x')",
        "rollback",
        "execute p(5)",
        "prepare p as select 1",
        "deallocate p",
        "execute p(6)",
        "explain (costs off) select * from sales.orders where id = 1",
        "prepare q as select 1",
        "deallocate all",
        "execute q",
        "prepare q as select 1",
        "discard all",
        "execute q",
    ),
    "syntax that fails": (
        "selekt 1",
        "select 'no end",
        "select $1",
        "select * from nothing_there",
        "insert into items values (1, 'a', 'b', 'c')",
        "insert into sales.orders (amount) values (-1)",
        "select 'x'::sales.state",
        "create table items (id integer)",
        'select 1 as "' + "n" * 70 + '"',
    ),
    "two-phase commit": (
        "begin; insert into items values (7, 'later'); prepare transaction 'tx'",
        "select count(*) from items",
        "commit prepared 'tx'",
        "delete from items",
        "commit prepared 'tx'",
    ),
    "copy": (
        "copy (select id, tags from sales.orders order by id limit 3) to stdout",
        "copy sales.orders (id, amount) to stdout (format csv)",
        "copy (select 1/0) to stdout",
        "copy nothing_there to stdout",
        "copy items to stdout; select 1; copy (values (1), (2)) to stdout",
    ),
}


Messages = list[tuple[bytes, bytes]]


def messages(received: Received | None) -> Messages:
    """Without what the target says of its application_name, which is the gateway's (shared/config.md)."""
    assert received is not None
    return [one for one in received.messages if not (one[0] == b"S" and one[1].startswith(b"application_name\0"))]


@pytest.mark.parametrize("name", SCRIPTS)
def test_simple_queries(both: Both, name: str) -> None:
    def talk(way: Way) -> list[Messages]:
        with way.raw() as client:
            return [messages(client.query(text)) for text in SCRIPTS[name]]

    answers = same(both, talk)
    assert all(answer[-1][0] == b"Z" for answer in answers)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "settings that are reported"])
def test_extended_queries(both: Both, name: str, binary: bool) -> None:
    def talk(way: Way) -> list[Messages]:
        with way.raw() as client:
            return [messages(client.execute(text, binary=binary)) for text in SCRIPTS[name]]

    same(both, talk)


def test_what_the_target_reports_at_login(both: Both) -> None:
    def log_in(way: Way) -> dict[bytes, bytes]:
        with way.raw(datestyle="German", options="-c geqo=off -c work_mem=5MB") as client:
            assert client.query("select current_setting('geqo'), current_setting('work_mem')").rows == [
                [b"off", b"5MB"]
            ]
            raw, reported, pos = bytes(client.raw), {}, 0
        while pos < len(raw):
            (length,) = struct.unpack_from("!i", raw, pos + 1)
            if raw[pos : pos + 1] == b"S":
                setting, value, _ = raw[pos + 5 : pos + 1 + length].split(b"\0")
                reported[setting] = value
            pos += 1 + length
        assert way.name == "direct" or reported[b"application_name"].startswith(b"ostiary/postgres/")
        del reported[b"application_name"]
        return reported

    assert same(both, log_in)[b"DateStyle"] == b"German, DMY"


def bind(portal: str, statement: str, *parameters: bytes | None, results: tuple[int, ...] = ()) -> bytes:
    values = b"".join(struct.pack("!i", -1) if one is None else struct.pack("!i", len(one)) + one for one in parameters)
    formats = struct.pack(f"!h{len(results)}h", len(results), *results)
    body = portal.encode() + b"\0" + statement.encode() + b"\0" + struct.pack("!hh", 0, len(parameters))
    return body + values + formats


def parse(name: str, text: str) -> bytes:
    return f"{name}\0{text}\0".encode() + struct.pack("!h", 0)


def execute(portal: str = "", rows: int = 0) -> bytes:
    return portal.encode() + b"\0" + struct.pack("!i", rows)


SYNC: tuple[bytes, bytes] = (b"S", b"")

BATCHES: dict[str, tuple[tuple[tuple[bytes, bytes], ...], ...]] = {
    "prepared statements across transactions": (
        ((b"P", parse("s", "select id, state from sales.orders where id = $1")), (b"D", b"Ss\0"), SYNC),
        ((b"Q", b"begin\0"),),
        ((b"B", bind("", "s", b"3")), (b"D", b"P\0"), (b"E", execute()), SYNC),
        ((b"Q", b"rollback\0"),),
        ((b"B", bind("", "s", b"4", results=(1,))), (b"E", execute()), SYNC),
        ((b"B", bind("", "s", b"5", results=(1, 0))), (b"E", execute()), SYNC),
        ((b"B", bind("", "s", b"x")), (b"E", execute()), SYNC),
        ((b"B", bind("", "s", None)), (b"E", execute()), SYNC),
        ((b"P", parse("s", "select 1")), SYNC),
        ((b"C", b"Ss\0"), (b"P", parse("s", "select 1")), (b"B", bind("", "s")), (b"E", execute()), SYNC),
        ((b"Q", b"deallocate s\0"),),
        ((b"B", bind("", "s")), (b"E", execute()), SYNC),
        ((b"C", b"Ss\0"), (b"C", b"Pnothing\0"), SYNC),
    ),
    "prepared in SQL, bound by the protocol": (
        ((b"Q", b"prepare p as select $1::integer + 1 as sum\0"),),
        ((b"D", b"Sp\0"), (b"B", bind("", "p", b"41")), (b"D", b"P\0"), (b"E", execute()), SYNC),
        ((b"Q", b"discard all\0"),),
        ((b"B", bind("", "p", b"41")), (b"E", execute()), SYNC),
    ),
    "parsed by the protocol, executed in SQL": (
        ((b"P", parse("n", "select $1::integer * 2")), SYNC),
        ((b"Q", b"execute n(21)\0"),),
        ((b"Q", b"deallocate all\0"),),
        ((b"Q", b"execute n(21)\0"),),
    ),
    "portals and limits": (
        (
            (b"P", parse("", "select id from sales.orders order by id")),
            (b"B", bind("a", "")),
            (b"B", bind("b", "", results=(1,))),
            (b"E", execute("a", 2)),
            (b"E", execute("b", 1)),
            (b"E", execute("a", 3)),
            (b"D", b"Pb\0"),
            (b"C", b"Pa\0"),
            (b"E", execute("a", 1)),
            (b"E", execute("b", 1)),
            SYNC,
        ),
        ((b"E", execute("b", 1)), SYNC),
        ((b"Q", b"begin; declare c cursor for select id from sales.orders order by id\0"),),
        ((b"D", b"Pc\0"), (b"E", execute("c", 2)), SYNC),
        ((b"Q", b"fetch c\0"),),
        ((b"B", bind("c", "")), SYNC),
        ((b"Q", b"commit\0"),),
    ),
    "a pipeline with errors": (
        (
            (b"P", parse("", "insert into items values ($1, 'p')")),
            *(message for n in (1, 2, 1, 3) for message in ((b"B", bind("", "", b"%d" % n)), (b"E", execute()))),
            SYNC,
            (b"P", parse("", "select count(*) from items")),
            (b"B", bind("", "")),
            (b"E", execute()),
            SYNC,
            (b"P", parse("", "selekt")),
            (b"B", bind("", "")),
            SYNC,
            (b"P", parse("", "")),
            (b"B", bind("", "")),
            (b"D", b"P\0"),
            (b"E", execute()),
            SYNC,
        ),
        ((b"P", parse("", "select 1")), (b"H", b""), SYNC),
        ((b"B", bind("", "")), (b"E", execute()), (b"E", execute()), SYNC),
        (SYNC, SYNC),
    ),
    "flush, then nothing, then an error": (
        ((b"P", parse("f", "select 1/$1::integer")), (b"H", b""), (b"B", bind("", "f", b"0")), (b"E", execute()), SYNC),
        ((b"B", bind("", "f", b"1")), (b"H", b""), (b"E", execute()), (b"C", b"P\0"), SYNC),
    ),
    "functions by OID": (
        ((b"F", struct.pack("!ihhhi", 2308, 0, 1, 1, 4) + b"-123" + struct.pack("!h", 0)),),
        ((b"F", struct.pack("!ihhhi", 1395, 1, 1, 1, 8) + struct.pack("!d", -2.5) + struct.pack("!h", 1)),),
        ((b"F", struct.pack("!ihhhi", 999999, 1, 1, 1, 8) + struct.pack("!d", -2.5) + struct.pack("!h", 1)),),
    ),
    "copy in": (
        ((b"Q", b"copy items from stdin\0"), (b"d", b"1\ta\t\\N\n2\tb"), (b"d", b"\t\\\\x00\n"), (b"c", b"")),
        ((b"Q", b"copy items from stdin\0"), (b"d", b"3\tc\t\\N\n"), (b"f", b"enough\0")),
        ((b"Q", b"copy items from stdin\0"), (b"d", b"4\td\n5\twrong\n"), (b"c", b"")),
        ((b"Q", b"select * from items; copy items from stdin; delete from items\0"), (b"c", b"")),
        (
            (b"P", parse("", "copy items from stdin (format csv)")),
            (b"B", bind("", "")),
            (b"E", execute()),
            (b"d", b"9,nine,\n"),
            (b"c", b""),
            SYNC,
        ),
        ((b"d", b"nobody asked"), (b"c", b""), (b"Q", b"delete from items returning id\0")),
    ),
}


@pytest.mark.parametrize("name", BATCHES)
def test_batches(both: Both, name: str) -> None:
    def talk(way: Way) -> list[Messages]:
        answers = []
        with way.raw() as client:
            for batch in BATCHES[name]:
                for kind, body in batch:
                    client.send(kind, body)
                ends = sum(kind in b"QSF" for kind, _ in batch)
                answers += [ready(client) for _ in range(ends)]
        return answers

    assert all(answer[-1][0] == b"Z" for answer in same(both, talk))


def ready(client: RawClient) -> Messages:
    """Everything up to ReadyForQuery; COPY data are sent already."""
    received = []
    while True:
        received.append(client._message())  # what receive() does, but without answering CopyInResponse
        if received[-1][0] == b"Z":
            return received


# --- psycopg 3 ------------------------------------------------------------------------------------------------


def test_pipelines_of_libpq(both: Both) -> None:
    def work(way: Way) -> list[object]:
        seen: list[object] = []
        with way.connect() as connection:
            with connection.pipeline() as pipeline:
                cursors = [connection.execute("select %s + 1", [n]) for n in range(300)]
                pipeline.sync()
                seen += [cursor.fetchone() for cursor in cursors]
            with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():  # noqa: PT012  # any of them raises
                for query in ("insert into items values (100, 'undone')", "select 1 / 0", "select 2"):
                    connection.execute(query)
            with connection.pipeline():
                cursor = connection.cursor()
                cursor.executemany("insert into items values (%s, %s)", [(n, str(n)) for n in range(500)])
            seen.append(connection.execute("delete from items").rowcount)
        return seen

    assert same(both, work)[-1] == 500


def test_statements_that_psycopg_prepares(both: Both) -> None:
    def work(way: Way) -> list[object]:
        with way.connect() as connection:
            connection.prepare_threshold, connection.prepared_max = 2, 3
            seen: list[object] = []
            for n in range(40):
                query = f"select %s::integer + {n % 7}, pg_typeof(%s)::text"
                seen.append(connection.execute(query, [n, n]).fetchone())
            with connection.transaction(), connection.cursor("server side") as cursor:
                cursor.itersize = 100
                cursor.execute("select id, amount, tags, extra from sales.orders order by id")
                seen += list(cursor)
            with connection.cursor(binary=True) as binary:
                seen += binary.execute("select * from sales.orders order by id").fetchall()
            return seen

    assert len(same(both, work)) == 2040


def test_notifications_between_sessions(both: Both) -> None:
    def work(way: Way) -> list[tuple[str, str]]:
        with way.connect() as listener, way.connect() as sender:
            listener.execute("listen news")
            sender.execute("notify news, 'first'")
            with sender.transaction():
                sender.execute("select pg_notify('news', %s)", ["second " + "n" * 5000])
            sender.execute("notify other, 'not for us'")
            # they come while the listener is idle, without a message of its own
            return [(notice.channel, notice.payload) for notice in listener.notifies(timeout=10, stop_after=2)]

    assert [payload[:6] for _, payload in same(both, work)] == ["first", "second"]


def test_notifications_while_idle_and_behind_an_answer(both: Both) -> None:
    def work(way: Way) -> list[Messages]:
        with way.raw() as client, way.connect() as sender:
            client.query("listen idle")
            pid = struct.pack("!I", sender.info.backend_pid)
            sender.execute("notify idle, 'unasked'")
            unasked = client.asynchronous(0.3)
            own = client.query("begin; notify idle; select 1; commit")
            own_pid = client.query("select pg_backend_pid()").rows[0][0]
            assert own_pid is not None
            own_id = struct.pack("!I", int(own_pid))
            return [
                [(kind, body.replace(pid, b"<pid>").replace(own_id, b"<own>")) for kind, body in received.messages]
                for received in (unasked, own)
            ]

    assert same(both, work)[0] == [(b"A", b"<pid>idle\0unasked\0")]


# --- node-postgres --------------------------------------------------------------------------------------------

NODE = Path(__file__).parents[1] / "suites" / "node"
INSTALLED = Path(__file__).parents[2] / ".cache" / "node"


@pytest.fixture(scope="module")
def node() -> Path:
    """node-postgres from the package registry, locked by hash, installed once."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    files = ("package.json", "package-lock.json", "look.js")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    unchanged = all((INSTALLED / name).exists() and filecmp.cmp(NODE / name, INSTALLED / name, False) for name in files)
    if not unchanged or not (INSTALLED / "node_modules").exists():
        for name in files:
            shutil.copy(NODE / name, INSTALLED)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    return INSTALLED


def test_node_postgres(both: Both, node: Path) -> None:
    def look(way: Way) -> str:
        environment = {
            "PEER_PORT": str(way.port),
            "PEER_USER": USER,
            "PEER_DATABASE": DATABASE,
            "PEER_CA": str(way.ca),
            "PEER_CERTIFICATE": str(way.caller.certificate),
            "PEER_KEY": str(way.caller.key),
        }
        command = ["node", str(node / "look.js")]
        done = subprocess.run(
            command, env=clean_environment(environment), capture_output=True, text=True, timeout=60, cwd=node
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "heard" in same(both, look)


# --- cancel and end -------------------------------------------------------------------------------------------


def test_cancel(both: Both) -> None:
    def work(way: Way) -> tuple[str | None, object]:
        with way.connect() as connection:
            timer = threading.Timer(0.3, connection.cancel_safe)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled) as caught:
                connection.execute("select pg_sleep(20)")
            timer.join()
            return caught.value.sqlstate, connection.execute("select 1").fetchone()

    assert same(both, work) == ("57014", (1,))


def test_a_cancel_never_hits_the_next_statement(through: Way) -> None:
    """The client takes the end of its cancel connection for "done" (PQcancel) and goes on."""
    with through.connect() as connection:
        for _ in range(30):
            connection.cancel()
            assert connection.execute("select 1").fetchone() == (1,)


def test_interrupt_in_psql(both: Both, server: Postgres) -> None:
    def work(way: Way) -> tuple[str, str]:
        child = subprocess.Popen(
            ["psql", "-X", "-A", "-t", way.conninfo()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        assert child.stdin is not None
        child.stdin.write("select pg_sleep(20), 'interrupt me';\nselect 'and on';\n")
        child.stdin.flush()
        asleep = "query like '%interrupt me%' and wait_event = 'PgSleep'"
        count = f"select count(*) from pg_stat_activity where {asleep}"
        wait_until(lambda: server.run(count) == "1", what="psql's statement")
        os.kill(child.pid, signal.SIGINT)
        return child.communicate(timeout=20)

    output, errors = same(both, work)
    assert "canceling statement due to user request" in errors
    assert output == "and on\n" or output == ""


def test_the_process_id_is_the_target_s(through: Way) -> None:
    with through.connect() as connection:
        assert connection.execute("select pg_backend_pid()").fetchone() == (connection.info.backend_pid,)


def test_a_session_that_the_target_ends(both: Both, server: Postgres) -> None:
    def work(way: Way) -> tuple[Messages, bool]:
        with way.raw() as client:
            (pid,) = client.query("select pg_backend_pid()").rows[0]
            assert pid is not None
            server.run(f"select pg_terminate_backend({pid.decode()})")
            last = client.asynchronous(5).messages
            return last, client.query("select 1").messages == []

    last, over = same(both, work)
    assert over
    assert b"57P01" in last[-1][1]


def test_a_session_that_the_client_leaves(through: Way, server: Postgres) -> None:
    """A transaction that was open is rolled back at the target, and its locks are gone."""
    connection = through.connect()
    connection.execute("begin; lock table items")
    connection.close()
    wait_until(
        lambda: server.run("select count(*) from pg_locks where relation = 'items'::regclass", DATABASE) == "0",
        what="the lock's release",
    )


@pytest.mark.parametrize("minor", [2, 9])
def test_protocol_3_2_and_later(through: Way, minor: int) -> None:
    """The gateway speaks 3.2, with its long cancel keys, whatever the target speaks; later ones are negotiated."""
    plain = socket.create_connection(("localhost", through.port), timeout=20)
    plain.sendall(struct.pack("!ii", 8, 80877103))
    assert plain.recv(1) == b"S"
    with through.context.wrap_socket(plain, server_hostname="localhost") as connection:
        body = struct.pack("!i", (3 << 16) + minor) + f"user\0{USER}\0database\0{DATABASE}\0".encode()
        if minor == 9:
            body += b"_pq_.novelty\0on\0"
        body += b"\0"
        connection.sendall(struct.pack("!i", len(body) + 4) + body)
        greeting = _until_ready(connection)
        negotiated = [body for kind, body in greeting if kind == b"v"]
        assert negotiated == ([] if minor == 2 else [struct.pack("!ii", 2, 1) + b"_pq_.novelty\0"])
        (key,) = [body for kind, body in greeting if kind == b"K"]
        assert len(key) == 4 + 32
        connection.sendall(b"Q" + struct.pack("!i", 4 + 20) + b"select pg_sleep(20)\0")
        time.sleep(0.3)
        with socket.create_connection(("localhost", through.port), timeout=20) as cancel:
            cancel.sendall(struct.pack("!ii", 8 + len(key), 80877102) + key)
            assert cancel.recv(1) == b""
        errors = [body for kind, body in _until_ready(connection) if kind == b"E"]
        assert b"57014" in errors[0]


def _until_ready(connection: ssl.SSLSocket) -> Messages:
    with contextlib.closing(connection.makefile("rb")) as stream:
        received: Messages = []
        while not received or received[-1][0] != b"Z":
            kind, size = stream.read(1), stream.read(4)
            received.append((kind, stream.read(struct.unpack("!i", size)[0] - 4)))
        return received
