"""The corpus of leaks (tests/corpora/leaks.yaml): reading it, running an attempt, judging what came back."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import psycopg
import yaml

from support.postgres import Postgres
from support.rawclient import LoginRefused, RawClient, Received, framed

CORPUS = Path(__file__).resolve().parents[1] / "corpora" / "leaks.yaml"
TEMPLATE = "leaks_template"

Mode = Literal["simple", "text", "binary"]
"""The simple protocol, or the extended one with one of two result formats."""


READS = re.compile(r"(select|table|values|begin|declare|fetch|show|set|commit)\b(?!.*\b(into|lo_|setval))", re.DOTALL)


class Step(msgspec.Struct, forbid_unknown_fields=True):
    sql: str = ""
    params: list[str | None] | None = None
    max_rows: int = 0
    sync: bool = True
    prepare: str | None = None
    portal: str | None = None
    call: list[str] | None = None
    messages: list[list[str]] = []
    copy: str = ""
    direct: str | None = None
    wait: float = 0

    @property
    def texts(self) -> list[str]:
        """Every statement in it."""
        return [message[-1] for message in self.messages if message[0] in "QP"] if self.messages else [self.sql]


class Attempt(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    reason: str
    steps: list[str | Step]
    setup: str = ""
    lookup: dict[str, str] = {}
    other: str | None = None
    startup: dict[str, str] = {}
    protocol: Literal["simple", "extended", "both"] = "both"
    format: Literal["text", "binary", "both"] = "both"

    @property
    def modes(self) -> list[Mode]:
        simple: list[Mode] = ["simple"]
        # A fresh database for each is slow: what writes shows its results in two of the three.
        both: list[Mode] = ["text", "binary"] if self.only_reads or self.protocol == "extended" else ["binary"]
        formats: list[Mode] = both if self.format == "both" else [self.format]
        return {"simple": simple, "extended": formats, "both": simple + formats}[self.protocol]

    @property
    def all_steps(self) -> list[Step]:
        return [Step(sql=step) if isinstance(step, str) else step for step in self.steps]

    @property
    def is_slow(self) -> bool:
        return any(step.wait > 5 for step in self.all_steps)

    @property
    def only_reads(self) -> bool:
        """Leaves the database as it is, so that others may use it after."""
        if self.setup or any(step.direct is not None for step in self.all_steps):
            return False
        return all(READS.match(text) for step in self.all_steps for text in step.texts)


class Innocent(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    sql: str
    shows: list[list[str | None]]


class Corpus(msgspec.Struct, forbid_unknown_fields=True):
    sentinels: list[str]
    labels: dict[str, list[str]]
    dataset: str
    attempts: list[Attempt]
    innocent: list[Innocent]


def load(path: Path = CORPUS) -> Corpus:
    return msgspec.convert(yaml.safe_load(path.read_bytes()), Corpus)


class Judge:
    """Finds protected values in what a client got, also in the disguises that leaks.yaml lists."""

    def __init__(self, sentinels: Sequence[str]) -> None:
        whole: dict[bytes, str] = {}
        pieces: dict[bytes, str] = {}
        for sentinel in sentinels:
            raw = sentinel.encode()
            for needle in {raw, raw[::-1], raw.hex().encode(), *_base64(raw)}:
                whole[needle.lower()] = sentinel
            for digest in (hashlib.md5(raw, usedforsecurity=False), hashlib.sha256(raw)):
                whole[digest.hexdigest().encode()] = sentinel
            for encoding in ("utf-16-le", "utf-16-be"):
                whole[sentinel.encode(encoding).lower()] = sentinel
            digits = re.sub(r"\D", "", sentinel)
            if re.fullmatch(r"[\d-]+", sentinel):
                number = int(digits)
                for form in ("!i", "!q", "!d"):
                    if form != "!i" or number < 2**31:
                        whole[struct.pack(form, number).lower()] = sentinel
                groups = [number // 10_000**place % 10_000 for place in (2, 1, 0)]
                whole[struct.pack("!hhh", *groups)] = sentinel  # numeric's digits
            pieces[_squash(raw)] = sentinel
            pieces[raw.hex().encode()] = sentinel  # as page inspection prints bytes, with blanks
            pieces["".join(str(byte) for byte in raw).encode()] = sentinel  # character codes
        self._whole, self._pieces = whole, pieces

    def find(self, raw: bytes, exchanges: Sequence[Received]) -> set[str]:
        """The sentinels that ``raw``, every byte from the server, gives away; ``exchanges`` is the same in messages."""
        lowered = raw.lower()
        found = {sentinel for needle, sentinel in self._whole.items() if needle in lowered}
        streams: list[bytes] = []
        for received in exchanges:
            rows = received.rows
            streams.append(b"".join(cell or b"" for row in rows for cell in row))
            streams.append(received.copied)
            for width in {len(row) for row in rows}:
                for column in range(width):  # one character a row, beside other columns
                    streams.append(b"".join(row[column] or b"" for row in rows if len(row) > column))
        squashed = [_squash(stream) for stream in streams]
        for needle, sentinel in self._pieces.items():
            if any(needle in stream for stream in squashed):
                found.add(sentinel)
        return found


_SEPARATORS = bytes(byte for byte in range(256) if not bytes([byte]).isalnum())


def _base64(raw: bytes) -> Iterator[bytes]:
    """What base64 makes of ``raw`` at each of three places to begin, without what its neighbours change."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).rstrip(b"=")
        yield encoded[-(-before * 8 // 6) : -1]


def _squash(data: bytes) -> bytes:
    """Letters and digits alone, in lower case."""
    return data.lower().translate(None, _SEPARATORS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """leaked: the sentinels given away; reports: errors and notices of all steps, to explain a surprise."""

    leaked: set[str]
    reports: list[dict[str, str]]


class Databases:
    """Fresh copies of the dataset in one cluster, made and dropped directly."""

    def __init__(self, server: Postgres, corpus: Corpus) -> None:
        self.server = server
        self._numbers = count(1)
        self._session = psycopg.connect(server.connection(), autocommit=True)
        server.run(f"create database {TEMPLATE}")
        server.run(corpus.dataset, TEMPLATE)

    def close(self) -> None:
        self._session.close()

    @contextmanager
    def fresh(self, setup: str = "") -> Iterator[str]:
        name = f"leaks_{next(self._numbers)}"
        self._run(f"create database {name} template {TEMPLATE}")
        try:
            if setup:
                self.server.run(self.fill(setup, name, {}), name)
            yield name
        finally:
            self._run(f"drop database {name} with (force)")

    def _run(self, statement: str) -> None:
        """In one session, because a psql for each statement takes as long as the copy of a database. An attempt may
        have ended it."""
        try:
            self._session.execute(statement.encode())
        except psycopg.OperationalError:
            self._session.close()
            self._session = psycopg.connect(self.server.connection(), autocommit=True)
            self._session.execute(statement.encode())

    def fill(self, text: str, database: str, lookup: Mapping[str, str]) -> str:
        """``text`` with each <<name>> replaced."""
        values = {"database": database, "socket": str(self.server.directory), "port": str(self.server.port)}
        values |= {name: self.server.run(sql, database) for name, sql in lookup.items()}
        for name, value in values.items():
            text = text.replace(f"<<{name}>>", value)
        return text


Connect = Callable[[str, Mapping[str, str]], RawClient]
"""Opens the client's session: database, more startup parameters."""


def run(
    attempt: Attempt,
    mode: Mode,
    database: str,
    databases: Databases,
    connect: Connect,
    judge: Judge,
    *,
    longest_wait: float = 60,
) -> Outcome:
    """One attempt in ``database``, already set up. A login that is refused is judged as well."""
    exchanges: list[Received] = []
    other = None
    try:
        if attempt.other is not None:
            server = databases.server
            other = RawClient(host=str(server.directory), port=server.port, user="postgres", database=database)
            other.query(attempt.other)
        try:
            client = connect(database, attempt.startup)
        except LoginRefused as refused:
            raw = b"".join(body for _, body in refused.received.messages)
            return Outcome(judge.find(raw, [refused.received]), refused.received.reports)
        with client:
            for step in attempt.all_steps:
                if step.direct is not None:
                    databases.server.run(step.direct, database)
                    continue
                step.sql = databases.fill(step.sql, database, attempt.lookup)
                try:
                    received = _send(client, step, mode)
                except (OSError, struct.error):  # the session was ended
                    break
                if received is not None:
                    exchanges.append(received)
                if step.wait:
                    exchanges.append(client.asynchronous(min(step.wait, longest_wait)))
            raw = bytes(client.raw)
    finally:
        if other is not None:
            other.close()
    return Outcome(judge.find(raw, exchanges), [report for received in exchanges for report in received.reports])


def _send(client: RawClient, step: Step, mode: Mode) -> Received | None:
    binary = mode == "binary"
    if step.messages:
        client.post(b"".join(_message(*message) for message in step.messages))
        received = Received()
        for kind, *_ in step.messages:
            if kind in "QS":
                received.messages += client.receive().messages
        return received
    if step.prepare is not None:
        client.send(b"P", f"{step.prepare}\0{step.sql}\0".encode() + b"\0\0")
        client.send(b"S", b"")
        return client.receive()
    if step.portal is not None:
        client.send(b"P", f"\0{step.sql}\0".encode() + b"\0\0")
        client.send(b"B", f"{step.portal}\0\0".encode() + struct.pack("!hhhh", 0, 0, 1, int(binary)))
        client.send(b"S", b"")
        return client.receive()
    if step.call is not None:
        arguments = b"".join(struct.pack("!i", len(value)) + value.encode() for value in step.call)
        formats = struct.pack("!Ihh", int(step.sql), 0, len(step.call))
        client.send(b"F", formats + arguments + struct.pack("!h", int(binary)))
        return client.receive()
    if mode == "simple" and step.params is None and not step.max_rows:
        return client.query(step.sql, copy=step.copy.encode())
    return client.execute(
        step.sql, step.params or (), binary=binary, max_rows=step.max_rows, copy=step.copy.encode(), sync=step.sync
    )


def _message(kind: str, *parts: str) -> bytes:
    """One of a step's ``messages``, as leaks.yaml describes them."""
    names = [part.encode() + b"\0" for part in parts]
    match kind:
        case "P":
            body = names[0] + names[1] + struct.pack("!h", 0)
        case "B":
            formats = [int(digit) for digit in parts[2]]
            body = names[0] + names[1] + struct.pack(f"!hhh{len(formats)}h", 0, 0, len(formats), *formats)
        case "D" | "C":
            body = parts[0].encode() + names[1]
        case "E":
            body = names[0] + struct.pack("!i", int(parts[1]))
        case _:  # Q, H, S
            body = b"".join(names)
    return framed(kind.encode(), body)
