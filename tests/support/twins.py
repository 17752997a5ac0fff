"""Non-interference: two databases that differ only in protected values, and a caller who must not be able to tell.

The same case is sent to both, byte for byte, each in a transaction that is rolled back. What comes back is compared
message by message: rows, errors, tags, row descriptions with their OIDs, which are the same because both clusters were
made by the same statements. Only `normalised` is looked away from.
"""

from __future__ import annotations

import re
import ssl
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec
import yaml

from support.expressions import TYPE_NAMES, Column
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.rawclient import RawClient, Received, framed
from support.statements import Case, Step

CORPORA = Path(__file__).resolve().parents[1] / "corpora"
TARGETS = ("twin-1", "twin-2")
DATABASE, PASSWORD = "vault", "superuser-secret"

LONGEST = 5.0
"""Seconds for a statement at the target: joins of joins of small tables; what is cut off is not compared."""

SESSION_CASES = 50
"""Cases in one session: caches stay, yet what went wrong doesn't go on for ever."""

SETTINGS = {"autovacuum": "off", "log_statement": "none", "statement_timeout": f"{LONGEST:g}s", "jit": "off"}
"""Without autovacuum nothing is analysed, and transaction numbers are the same in both."""


class Data(msgspec.Struct, forbid_unknown_fields=True):
    labels: dict[str, list[str]]
    secret: dict[str, list[str]]
    schema: str
    left: str
    right: str


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    sql: str
    params: list[str] = []
    rows: int = 0


class Attempt(msgspec.Struct, forbid_unknown_fields=True):
    """One of inference.yaml, whose head says what it means."""

    name: str
    reason: str
    steps: list[str | Asked]

    @property
    def cases(self) -> list[Case]:
        """By the simple protocol, and by the extended one with text and binary results, as far as it can be."""
        asked = [Asked(step) if isinstance(step, str) else step for step in self.steps]
        extended_only = any(step.params or step.rows for step in asked)
        modes = (False, True) if extended_only else (None, False, True)
        return [
            Case(tuple(Step(step.sql, mode, tuple(step.params), step.rows) for step in asked), touches=True)
            for mode in modes
        ]


def load() -> Data:
    return msgspec.convert(yaml.safe_load((CORPORA / "twins.yaml").read_bytes()), Data)


def load_inference() -> list[Attempt]:
    document = yaml.safe_load((CORPORA / "inference.yaml").read_bytes())
    return msgspec.convert(document["attempts"], list[Attempt])


COLUMNS = """
select c.relname, a.attname, case when t.typelem <> 0 and t.typlen = -1 then e.typname || '[]' else
    format_type(a.atttypid, null) end
from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
left join pg_type e on e.oid = t.typelem
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0
order by c.relname, a.attnum
"""

IDENTITY = "select string_agg(oid || relname, ' ' order by oid) from pg_class where oid >= 16384"


def make(server: Postgres, data: Data, values: str) -> None:
    """One of the two, in a running cluster."""
    server.run(f"alter role postgres password '{PASSWORD}'")
    server.run(f"create database {DATABASE}")
    server.run(data.schema, DATABASE)
    server.run(values, DATABASE)


def relations(server: Postgres, data: Data) -> dict[str, list[Column]]:
    """What statements are made of."""
    found: dict[str, list[Column]] = {name: [] for name in data.secret}
    for line in server.run(COLUMNS, DATABASE).splitlines():
        relation, name, type_ = line.split("|")
        if relation in found and type_ in TYPE_NAMES:
            found[relation].append(Column(name, TYPE_NAMES[type_], name in data.secret[relation]))
    assert all(found.values()), found
    return found


def gateway(pki: Pki, servers: Sequence[Postgres], data: Data) -> Ostiary:
    """Allows everything to everybody and masks; group ``trusted`` sees clear values. Not started yet."""
    targets = [
        {
            "name": name,
            "protocol": "postgres",
            "address": f"localhost:{server.port}",
            "tls": {"mode": "verify-full", "ca": f"file:{pki.ca}"},
            "credentials": [{"user": "postgres", "password": "env:SUPERUSER_PASSWORD"}],
        }
        for name, server in zip(TARGETS, servers, strict=True)
    ]
    policy = {
        "labels": {
            label: {"columns": {target: list(columns) for target in TARGETS}} for label, columns in data.labels.items()
        },
        "allow": [{"name": "everything", "groups": ["everyone"], "targets": ["*"]}],
        "masks": [
            {"labels": ["*"], "method": "redact"},
            {"labels": ["*"], "groups": ["trusted"], "method": "clear"},
        ],
    }
    return Ostiary(pki, targets=targets, policy=policy, environment={"SUPERUSER_PASSWORD": PASSWORD})


Message = tuple[bytes, bytes]

LIMITED = b"too many of its values were compared"

CUT_OFF = b"\0C57014\0"
"""query_canceled, by statement_timeout."""

REQUEST = re.compile(rb"Request [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/\d+\.")
"""In a denial's detail: session and operation."""


def normalised(message: Message) -> Message:
    kind, body = message
    return (kind, REQUEST.sub(b"Request.", body)) if kind in b"EN" else message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What both answered to one case, by step; ``ended``: a session was over before its last answer."""

    left: list[list[Message]]
    right: list[list[Message]]
    ended: bool

    @property
    def same(self) -> bool:
        return self.left == self.right or self.cut

    @property
    def cut(self) -> bool:
        """Not compared: it took too long, or a session ended."""
        return self.ended or any(CUT_OFF in body for body in self._errors)

    @property
    def denied(self) -> bool:
        """By the gateway, at least in part."""
        return any(b"\0C42501\0" in body and b"Request." in body for body in self._errors)

    @property
    def limited(self) -> bool:
        """So many protected values were compared that no more may be for a while."""
        return any(LIMITED in body for body in self._errors)

    @property
    def failed(self) -> bool:
        return bool(self._errors)

    @property
    def _errors(self) -> list[bytes]:
        return [body for step in (*self.left, *self.right) for kind, body in step if kind == b"E"]

    def difference(self) -> str:
        """The first messages that aren't the same."""
        if len(self.left) != len(self.right):
            return f"{len(self.left)} and {len(self.right)} answers"
        for number, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            if left == right:
                continue
            for one, other in zip(left, right, strict=False):
                if one != other:
                    return f"answer {number}: {one!r} and {other!r}"
            return f"answer {number}: {len(left)} and {len(right)} messages"
        return ""


class Pair:
    """Two sessions of one caller, one in each database, opened anew after some cases and when one of them ended.

    callers  the caller, under a new name for each session: how many values one may compare is limited, wherever, and
             a minute later it is another number
    targets  the same one twice makes a pair that only what is random in a statement tells apart
    """

    def __init__(self, gateway: Ostiary, callers: Iterator[Issued], targets: tuple[str, str] = TARGETS) -> None:
        self._gateway = gateway
        self._callers = callers
        self._targets = targets
        self._sessions: list[RawClient] = []
        self._left = 0

    def run(self, case: Case) -> Outcome:
        outcome = self._exchange(case)
        if outcome.limited:
            self._left = 0
            outcome = self._exchange(case)
        return outcome

    def _exchange(self, case: Case) -> Outcome:
        if not self._left:
            self._open()
        self._left -= 1
        # what fails between PREPARE and DEALLOCATE leaves the statement behind: that isn't rolled back
        steps = [Step("begin"), *case.steps, Step("rollback"), Step("deallocate all")]
        sent = b"".join(encoded(step) for step in steps)
        for session in self._sessions:
            session.post(sent)
        left, right = ([session.receive() for _ in steps] for session in self._sessions)
        ended = not all(_is_whole(answer) for answer in (*left, *right))
        if ended:
            self._left = 0
        return Outcome(_normalised(left), _normalised(right), ended)

    def _open(self) -> None:
        self.close()
        self._sessions = [self._connect(target) for target in self._targets]
        self._left = SESSION_CASES

    def _connect(self, target: str) -> RawClient:
        caller = next(self._callers)
        context = ssl.create_default_context(cafile=str(self._gateway.pki.ca))
        context.load_cert_chain(caller.certificate, caller.key)
        return RawClient(
            host="localhost", port=self._gateway.port, user=caller.certificate.stem, database=f"{target}/{DATABASE}",
            context=context,
        )  # fmt: skip

    def close(self) -> None:
        for session in self._sessions:
            session.close()
        self._sessions = []

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def callers(pki: Pki, *groups: str) -> Iterator[Issued]:
    """Principals that differ in nothing but their names."""
    prefix = "-".join(groups)
    for number in count():
        yield pki.client(f"{prefix}-{number:06}", groups=groups)


def encoded(step: Step) -> bytes:
    """The messages of one step; each ends with what makes the server say that it is ready."""
    if step.binary is None:
        return framed(b"Q", step.sql.encode() + b"\0")
    values = b"".join(struct.pack("!i", len(value)) + value.encode() for value in step.parameters)
    bind = b"\0\0" + struct.pack("!hh", 0, len(step.parameters)) + values + struct.pack("!hh", 1, int(step.binary))
    return b"".join(
        (
            framed(b"P", b"\0" + step.sql.encode() + b"\0" + struct.pack("!h", 0)),
            framed(b"D", b"S\0"),
            framed(b"B", bind),
            framed(b"D", b"P\0"),
            *(framed(b"E", b"\0" + struct.pack("!i", step.max_rows)) for _ in range(2 if step.max_rows else 1)),
            framed(b"S", b""),
        )
    )


def _is_whole(answer: Received) -> bool:
    return bool(answer.messages) and answer.messages[-1][0] == b"Z"


def _normalised(answers: Sequence[Received]) -> list[list[Message]]:
    return [[normalised(message) for message in answer.messages] for answer in answers]


PROTECTED = """
select unnest(array[ssn, email, born::text, salary::text, rate::text, badge::text, mail_kind, a, v.value])
from people left join unnest(aliases) a on true left join jsonb_each_text(profile) v on true
union select card from visits union select ssn from claims union select line from cards
union select unnest(array[code, worth::text]) from digest union select top::text from by_city
"""


def protected(server: Postgres) -> set[str]:
    """Every protected value in one database; numbers in their shortest form."""
    return {shortest(value) for value in server.run(PROTECTED, DATABASE).splitlines() if value}


def shortest(value: str) -> str:
    try:
        return f"{float(value):g}"
    except ValueError:
        return value
