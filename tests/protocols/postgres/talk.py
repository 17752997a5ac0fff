"""Messages by name, and a relay to speak with from both sides: tests read like a conversation."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.errors import PeerError
from gateway.masking import CopyMask, RowMask, plan_row
from gateway.model import (
    CatalogueStale,
    CopyFormat,
    Denial,
    Method,
    ResultField,
    RowPlanner,
    RowRewriter,
    SqlOperation,
    Verdict,
)
from gateway.protocols.postgres.relay import Relay
from gateway.protocols.postgres.state import Ask, Result

Value = bytes | None


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


# --- the client's ---------------------------------------------------------------------------------------------


def query(text: bytes) -> bytes:
    return message(b"Q", text + b"\0")


def parse(text: bytes, name: bytes = b"", types: Sequence[int] = ()) -> bytes:
    oids = struct.pack(f"!h{len(types)}i", len(types), *types)
    return message(b"P", name + b"\0" + text + b"\0" + oids)


def bind(portal: bytes = b"", statement: bytes = b"", *parameters: Value, formats: Sequence[int] = ()) -> bytes:
    values = b"".join(map(cell, parameters))
    codes = struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    return message(b"B", portal + b"\0" + statement + b"\0\0\0" + struct.pack("!h", len(parameters)) + values + codes)


def describe(name: bytes = b"", kind: bytes = b"P") -> bytes:
    return message(b"D", kind + name + b"\0")


def execute(portal: bytes = b"", rows: int = 0) -> bytes:
    return message(b"E", portal + b"\0" + struct.pack("!i", rows))


def close(name: bytes = b"", kind: bytes = b"S") -> bytes:
    return message(b"C", kind + name + b"\0")


FUNCTION_CALL = message(b"F", struct.pack("!ihhih", 1598, 0, 0, 0, 0)[:-2] + b"\0\0")
SYNC, FLUSH, TERMINATE = message(b"S"), message(b"H"), message(b"X")
COPY_DONE, COPY_FAIL = message(b"c"), message(b"f", b"no\0")


def copy_data(data: bytes) -> bytes:
    return message(b"d", data)


# --- the target's ---------------------------------------------------------------------------------------------

PARSED, BOUND, CLOSED, NO_DATA, SUSPENDED, EMPTY = (message(kind) for kind in (b"1", b"2", b"3", b"n", b"s", b"I"))
NO_PARAMETERS = message(b"t", b"\0\0")


def copy_out(columns: int, *, binary: bool = False) -> bytes:
    return message(b"H", bytes([binary]) + columns.to_bytes(2) + bytes(2 * columns))


COPY_IN, COPY_OUT = message(b"G", b"\0\0\0"), message(b"H", b"\0\0\0")


def ready(status: bytes = b"I") -> bytes:
    return message(b"Z", status)


def done(tag: bytes = b"SELECT 1") -> bytes:
    return message(b"C", tag + b"\0")


def described(*columns: bytes | tuple[bytes, int, int]) -> bytes:
    """RowDescription; a column is a name, or a name with table OID and attribute number. All are text."""
    body = struct.pack("!h", len(columns))
    for column in columns:
        name, table, number = (column, 0, 0) if isinstance(column, bytes) else column
        body += name + b"\0" + struct.pack("!ihihih", table, number, 25, -1, -1, 0)
    return message(b"T", body)


def cell(value: Value) -> bytes:
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value


def row(*values: Value) -> bytes:
    return message(b"D", struct.pack("!h", len(values)) + b"".join(map(cell, values)))


def report(kind: bytes = b"E", **fields: bytes) -> bytes:
    given = {"S": b"ERROR", "V": b"ERROR", "C": b"42601", "M": b"syntax error"} | fields
    return message(kind, b"".join(code.encode() + value + b"\0" for code, value in given.items()) + b"\0")


def refused(marker: bytes) -> bytes:
    """What PostgreSQL says to a statement that is nothing but the marker."""
    return report(M=b'syntax error at or near "' + marker + b'"', P=b"1")


def status(name: bytes, value: bytes) -> bytes:
    return message(b"S", name + b"\0" + value + b"\0")


def notification(channel: bytes, payload: bytes) -> bytes:
    return message(b"A", struct.pack("!i", 77) + channel + b"\0" + payload + b"\0")


def split(data: bytes) -> list[bytes]:
    """Whole messages, one by one."""
    found = []
    while data:
        size = struct.unpack_from("!i", data, 1)[0] + 1
        assert len(data) >= size, "the last message is cut"
        found.append(data[:size])
        data = data[size:]
    return found


def kinds(data: bytes) -> str:
    return "".join(chr(one[0]) for one in split(data))


def fields(error: bytes) -> dict[str, bytes]:
    return {chr(part[0]): part[1:] for part in error[5:].split(b"\0") if part}


# --- the corridor's -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rewriter:
    """A plan that does less at once."""

    plan: RowMask
    at_once: int

    @property
    def masked(self) -> tuple[int, ...]:
        return self.plan.masked

    def apply(self, data: bytes) -> bytes:
        return self.plan.apply(data)


class FakePlanner:
    """Masks columns called ``ssn``, and any without provenance when the operation has labels.

    ``unknown`` relations make it ask for a new catalogue, ``at_once`` is what its rewriters do at once, ``finds``
    what it finds in texts.
    """

    def __init__(
        self, unknown: frozenset[int] = frozenset(), *, at_once: int = 1 << 30, hides: bool = True, finds: bytes = b""
    ) -> None:
        self.hides = hides
        self.finds = finds
        self.searches = bool(finds)
        self.unknown = unknown
        self.at_once = at_once
        self.planned = 0

    def plan(self, fields: Sequence[ResultField], operation: SqlOperation, *, final: bool) -> RowRewriter | None:
        if not final and any(field.table_oid in self.unknown for field in fields):
            raise CatalogueStale
        self.planned += 1

        def method(field: ResultField) -> Method:
            hidden = field.name == b"ssn" or field.table_oid in self.unknown
            return Method("redact" if hidden or (operation.labels and not field.table_oid) else "clear")

        plan = plan_row(fields, [method(field) for field in fields])
        return None if plan is None else Rewriter(plan, self.at_once)

    def text(self, value: bytes) -> bytes:
        return value.replace(self.finds, b"####") if self.finds and self.finds in value else value

    def copy(self, operation: SqlOperation, *, binary: bool, columns: int, encoding: bytes) -> RowRewriter | None:
        """Where the operation has labels, the last column is masked."""
        if not operation.labels:
            return None
        if binary or encoding != b"UTF8":
            raise PeerError("can't be masked")
        fields = [ResultField(b"", 0, 0, 25, -1, 0)] * columns
        methods = [*[Method("clear")] * (columns - 1), Method("redact")]
        plan = plan_row(fields, methods)
        assert plan is not None
        return CopyMask(CopyFormat(), columns, Rewriter(plan, self.at_once))


def operation(text: bytes, labels: frozenset[str] = frozenset(), names: frozenset[str] = frozenset()) -> SqlOperation:
    shown = text.decode("utf-8", "replace")
    return SqlOperation(shown, shown, "a" * 64, frozenset({"select"}), labels=labels, names=names)


@dataclass
class Corridor:
    """Decides by words in the text: ``drop`` is denied, ``ssn`` is labelled, ``names x`` (re)defines x in SQL.

    planner  masks; None: nothing is hidden from this principal
    """

    planner: RowPlanner | None = None
    asked: list[Ask] = field(default_factory=list)
    denied: str = "drop"

    def __call__(self, ask: Ask) -> Verdict[SqlOperation]:
        self.asked.append(ask)
        number = len(self.asked)
        words = ask.text.decode("utf-8", "replace").split()
        labels = frozenset({"pii.ssn"}) if "ssn" in words else frozenset[str]()
        names = frozenset({words[words.index("names") + 1]}) if "names" in words else frozenset[str]()
        denial = None
        if self.denied in words or ask.source == "function":
            denial = Denial('permission denied by policy: "nobody destroys"', f"Request {number}.", "ask the DBA")
        return Verdict(
            operation(ask.text, labels, names),
            number,
            self.planner,
            bool(labels) and self.planner is not None,
            denial,
            marker(number) if denial is not None else b"",
        )


def marker(number: int) -> bytes:
    return b"OSTIARY_DENIED_%d_0123456789abcdef" % number


class Conversation:
    """A relay between two sides that the test speaks for.

    ``client`` and ``target`` say messages (or any split of them) and give what the *other* side hears.
    With ``patient`` the corridor's answers wait until `answer`.
    """

    def __init__(self, corridor: Corridor | None = None, *, patient: bool = False) -> None:
        self.corridor = corridor or Corridor()
        self.patient = patient
        self.relay = Relay()
        self.relay.planner = self.corridor.planner
        self.results: list[Result] = []

    def client(self, *said: bytes) -> bytes:
        """To the target."""
        self.relay.receive_client(b"".join(said))
        if not self.patient:
            self.answer()
        return self.to_target()

    def target(self, *said: bytes) -> bytes:
        """To the client."""
        self.relay.receive_server(b"".join(said))
        if not self.patient:
            self.answer()
        return self.to_client()

    def answer(self, decide: Callable[[Ask], Verdict[SqlOperation]] | None = None) -> None:
        while self.relay.ask is not None:
            self.relay.decided((decide or self.corridor)(self.relay.ask))

    def to_target(self) -> bytes:
        return self._take(self.relay.to_server)

    def to_client(self) -> bytes:
        self.results += self.relay.results
        self.relay.results.clear()
        return self._take(self.relay.to_client)

    def _take(self, chunks: list[bytes]) -> bytes:
        taken = b"".join(chunks)
        chunks.clear()
        return taken

    @property
    def ended(self) -> list[tuple[int, str]]:
        """(number, status) of each result so far."""
        return [(result.number, result.status) for result in self.results]
