"""Fuzzes the relay between two peers that say anything: `make fuzz`, or this file with a corpus directory.

The input is a list of turns: a byte whose lowest bits say who speaks (client, target, or a reloaded catalogue) and how
(a usual message, bytes in the frame of a message, or bytes), a byte that is its length or says which usual message, and
the bytes. Whatever is said, only PeerError and LimitReached come out; nothing reaches the target that was not asked
about and allowed, or needs no question; and the relay holds no more than it was given.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence

import atheris

with atheris.instrument_imports(include=["gateway.protocols.postgres", "gateway.masking"]):
    from gateway.errors import LimitReached, PeerError
    from gateway.masking import CopyMask, plan_row
    from gateway.model import (
        CatalogueStale,
        CopyFormat,
        Denial,
        Method,
        ResultField,
        RowRewriter,
        SqlOperation,
        Verdict,
    )
    from gateway.protocols.postgres.relay import Relay

SECRET = b"900-11-1111"
DENIED = b"drop"
"""The corridor denies what has this in it."""
MARKER = b"OSTIARY_DENIED_1"
ASKED = b"QPF"
"""Messages that carry something to decide on: forwarded only when they were."""


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


COLUMN = b"a\0" + struct.pack("!ihihih", 9, 1, 25, -1, -1, 0)
UNKNOWN = b"a\0" + struct.pack("!ihihih", 99, 1, 25, -1, -1, 0)
CLIENT = [
    message(b"Q", b"select 1\0"),
    message(b"Q", b"drop table t\0"),
    message(b"Q", b"copy t from stdin\0"),
    message(b"Q", b"declare names s\0"),
    message(b"P", b"\0select 1\0\0\0"),
    message(b"P", b"s\0select 2\0\0\0"),
    message(b"P", b"s\0drop table t\0\0\0"),
    message(b"B", b"\0\0\0\0\0\0\0\0"),
    message(b"B", b"p\0s\0\0\0\0\0\0\0"),
    message(b"B", b"s\0s\0\0\0\0\1\0\0\0\1x\0\0"),
    message(b"D", b"P\0"),
    message(b"D", b"Pp\0"),
    message(b"D", b"Ss\0"),
    message(b"E", b"\0\0\0\0\0"),
    message(b"E", b"p\0\0\0\0\1"),
    message(b"E", b"s\0\0\0\0\0"),
    message(b"C", b"Ss\0"),
    message(b"C", b"Pp\0"),
    message(b"S"),
    message(b"S"),
    message(b"H"),
    message(b"F", b"\0\0\0\0\0\0\0\0\0\0"),
    message(b"X"),
    message(b"d", b"1\n"),
    message(b"c"),
    message(b"f", b"no\0"),
]
TARGET = [
    message(b"1"),
    message(b"2"),
    message(b"3"),
    message(b"n"),
    message(b"s"),
    message(b"I"),
    message(b"t", b"\0\0"),
    message(b"T", b"\0\1" + COLUMN),
    message(b"T", b"\0\1" + UNKNOWN),
    message(b"D", b"\0\1" + struct.pack("!i", len(SECRET)) + SECRET),
    message(b"D", b"\0\1" + struct.pack("!i", len(SECRET)) + SECRET)[:14],
    message(b"d", b"1\n"),
    message(b"c"),
    message(b"C", b"SELECT 1\0"),
    message(b"E", b"SERROR\0C42601\0Mtext\0\0"),
    message(b"E", b"SERROR\0C42601\0Mnear OSTIARY_DENIED_1\0\0"),
    message(b"Z", b"I"),
    message(b"Z", b"I"),
    message(b"Z", b"T"),
    message(b"Z", b"E"),
    message(b"G", b"\0\0\0"),
    message(b"H", b"\0\0\0"),
    message(b"H", b"\0\0\1\0\0"),
    message(b"d", SECRET + b"\n"),
    message(b"V", struct.pack("!i", 4) + b"abcd"),
    message(b"A", struct.pack("!i", 7) + b"c\0" + SECRET + b"\0"),
    message(b"N", b"SNOTICE\0C00000\0Mtext\0\0"),
    message(b"S", b"client_encoding\0LATIN1\0"),
]
"""What the fuzzer is to combine; SECRET stands where a masked caller never sees it."""


class Planner:
    hides = True
    searches = False

    def text(self, value: bytes) -> bytes:
        return value

    def plan(self, fields: Sequence[ResultField], operation: SqlOperation, *, final: bool) -> RowRewriter | None:
        if not final and any(field.table_oid == 99 for field in fields):
            raise CatalogueStale
        return plan_row(fields, [Method("redact")] * len(fields))

    def copy(self, operation: SqlOperation, *, binary: bool, columns: int, encoding: bytes) -> RowRewriter | None:
        fields = [ResultField(b"", 0, 0, 25, -1, 0)] * columns
        rows = plan_row(fields, [Method("redact")] * columns)
        return None if rows is None else CopyMask(CopyFormat(), columns, rows)


def verdict(text: bytes, planner: Planner | None, number: int) -> Verdict[SqlOperation]:
    shown = text.decode("utf-8", "replace")
    names = frozenset({"s"}) if b"names" in text else frozenset[str]()
    operation = SqlOperation(shown, shown, "", frozenset({"select"}), labels=frozenset({"l"}), names=names)
    denial = Denial("denied", "request") if DENIED in text else None
    return Verdict(operation, number, planner, planner is not None, denial, MARKER if denial else b"")


class Session:
    def __init__(self, *, masked: bool) -> None:
        self.relay = Relay(application_name=b"fuzz")
        self.planner = Planner() if masked else None
        self.relay.planner = self.planner
        self.allowed: list[bytes] = []
        self.given = 0
        self.out = bytearray()
        self.number = 0
        self.usual = True
        """Nobody has said anything but usual messages."""

    def turn(self, kind: int, said: bytes) -> None:
        who = kind & 3
        if kind & 4 and said:
            said = message(said[:1], said[1:])
        self.given += len(said)
        if who == 0:
            self.relay.receive_client(said)
        elif who == 1:
            self.relay.receive_server(said)
        elif who == 2 and self.relay.stale:
            self.relay.catalogue_reloaded()
        if who != 3:
            self.answer()
        self.look()

    def answer(self) -> None:
        ask = self.relay.ask
        while ask is not None:
            self.number += 1
            decided = verdict(ask.text, self.planner, self.number)
            if decided.denial is None:
                self.allowed.append(ask.text)
            self.relay.decided(decided)
            ask = self.relay.ask

    def look(self) -> None:
        relay = self.relay
        assert relay.ask is None or relay.holding
        self.out += b"".join(relay.to_server)
        relay.to_server.clear()
        to_client = b"".join(relay.to_client)
        relay.to_client.clear()
        if self.planner is not None:
            # A mask makes rows that may be longer by what it writes, never ones with the value in it; errors and
            # notices of labelled statements are withheld.
            assert len(to_client) <= 64 * self.given + 4096
            assert SECRET not in to_client or not self.usual
        relay.results.clear()
        held = len(relay._client) + len(relay._server) + len(relay._client_need or b"")
        assert held <= 2 * self.given, "holds more than it was given"
        assert len(relay._sent) <= self.given, "remembers more than it was told"

    def end(self) -> None:
        """Every message to the target is one that needs no decision, or its text was allowed."""
        data, pos = bytes(self.out), 0
        while len(data) - pos >= 5:
            kind = data[pos : pos + 1]
            (length,) = struct.unpack_from("!i", data, pos + 1)
            assert length >= 4
            body = data[pos + 5 : pos + 1 + length]
            if kind == b"Q":
                assert body[:-1] == MARKER or body[:-1] in self.allowed
            elif kind == b"P":
                text = body.split(b"\0", 2)[1]
                assert text == MARKER or text in self.allowed
            elif kind == b"F":
                assert b"" in self.allowed
            pos += 1 + length


def one_input(data: bytes) -> None:
    if not data:
        return
    session = Session(masked=bool(data[0] & 1))
    pos = 1
    try:
        while pos + 2 <= len(data):
            kind, size = data[pos], data[pos + 1]
            pos += 2
            if kind & 8:
                session.usual = False
                session.turn(kind, data[pos : pos + size])
                pos += size
            else:
                usual = TARGET if kind & 3 == 1 else CLIENT
                session.turn(kind & 3, usual[size % len(usual)])
    except (PeerError, LimitReached):
        pass
    session.end()


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
