"""Frozen value types that travel between the rooms.

Nothing here does I/O, and nothing here imports a room: a type lives in this module when two rooms on
different floors speak about it. Times are unix seconds (``float``), sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Generic, Literal, Protocol, TypeVar
from uuid import UUID

from msgspec import Struct

from gateway.public_keys import PublicKey
from gateway.secrets import SecretReference

PrincipalKind = Literal["human", "machine"]
Factor = Literal["certificate", "password", "scram", "ssh_key", "ssh_certificate"]
Durability = Literal["written", "synced"]
TlsMode = Literal["disable", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller; only `gateway.identity` makes one.

    ``factors`` says how it proved itself on this connection, ``expires_at`` when that proof ends
    (unix seconds, None: the proof has no end of its own). ``proof`` is the SSH key or certificate (its blob) that it
    has the private key of: whether that still lets it in is asked again later.
    """

    name: str
    kind: PrincipalKind
    groups: frozenset[str]
    factors: frozenset[Factor]
    authenticated_at: float
    expires_at: float | None = None
    proof: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a target listens: a host and port, or a unix socket's path (then ``port`` is 0)."""

    host: str
    port: int

    @property
    def is_unix(self) -> bool:
        return self.host.startswith("/")

    def __str__(self) -> str:
        if self.is_unix:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TargetTls:
    """How the gateway speaks TLS to a target (libpq's sslmode words)."""

    mode: TlsMode = "verify-full"
    ca: str | None = None
    certificate: str | None = None
    key: SecretReference | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """One way to log in at a target; the first whose who-globs match the principal is used.

    ``key`` is a private key, for SSH; ``signed_by`` a CA's, which signs a certificate for each login. With neither
    ``principals`` nor ``groups`` it fits everybody.
    """

    user: str
    password: SecretReference | None = None
    principals: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    key: SecretReference | None = None
    signed_by: SecretReference | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A system behind the gateway. ``protocol`` is ``postgres`` or ``ssh``. An SSH host proves itself by one of
    ``host_keys``, or by a certificate that one of ``host_cas`` has signed."""

    name: str
    protocol: str
    address: Address
    tls: TargetTls
    credentials: tuple[Credential, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    host_keys: tuple[PublicKey, ...] = ()
    host_cas: tuple[PublicKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """The fixed half of every decision: who asks, for what, from where.

    ``role`` is the user at the target (SSH: the login there), ``database`` is empty where the protocol has none,
    ``address`` is the caller's IP address.
    """

    principal: Principal
    target: Target
    database: str
    role: str
    address: str


def place(target: str, database: str, role: str) -> str:
    """Where somebody is, or wants to go, in words."""
    return f"{target}, database {database}, as {role}" if database else f"{target}, as {role}"


@dataclass(frozen=True, slots=True)
class LabelUse:
    """What an operation does with labelled columns, beside showing them.

    kind     ``decides``: it chooses, orders, groups or compares rows by their values; ``probe``: it compares them with
             constants for equality; ``fails``: it computes from them what can fail depending on a value
    place    where, in words of SQL; for ``fails`` what can fail
    columns  names for messages, ``relation.column``
    count    how many values are compared (probe)
    arrays   numbers of the parameters that hold arrays of values to compare with (probe)
    """

    kind: Literal["decides", "probe", "fails"]
    place: str
    labels: frozenset[str]
    columns: tuple[str, ...]
    count: int = 1
    arrays: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ResultField:
    """One column of a result, as PostgreSQL's RowDescription gives it (manual, "Message Formats").

    table_oid, attnum  where the values come from; 0 where the server doesn't say. ``attnum`` is below 0 for system
                       columns, 0 with an oid for a whole row
    type_oid           the base type's: the server resolves domains
    typmod             -1, or what the type makes of it (varchar and bpchar: length + 4)
    format             0 text, 1 binary; Describe of a statement always says text, the portal's formats count
    """

    name: bytes
    table_oid: int
    attnum: int
    type_oid: int
    typmod: int
    format: int


@dataclass(frozen=True, slots=True)
class CopyFormat:
    """How COPY writes rows (PostgreSQL's manual, COPY, "File Formats"). Characters are single ASCII bytes."""

    kind: Literal["text", "csv", "binary"] = "text"
    delimiter: bytes = b"\t"
    null: bytes = b"\\N"
    header: bool = False
    quote: bytes = b'"'
    escape: bytes = b'"'


@dataclass(frozen=True, slots=True)
class CopyOut:
    """A COPY ... TO STDOUT that is plainly understood; ``fields`` are its columns, None for those of a query."""

    format: CopyFormat
    fields: tuple[ResultField, ...] | None


@dataclass(frozen=True, slots=True)
class Operation:
    """The unit policy decides on: what every protocol's operations have. A protocol makes one of its own kind.

    text        what was asked, as evidence: secrets blanked, else as it came
    normalised  what may leave for the SIEM and for chats
    digest      SHA-256 in hex of what tells this operation from others of its kind
    verbs       what it does, in the words of its kind's catalogue
    labels      labels of all that it touches
    opaque      why it is not fully understood; None when it is
    unshown     why its text doesn't say all that it would do, so that nobody could approve it; None: it does
    """

    kind: ClassVar[Literal["sql", "ssh"]]

    text: str
    normalised: str
    digest: str
    verbs: frozenset[str]
    labels: frozenset[str] = field(default=frozenset(), kw_only=True)
    opaque: str | None = field(default=None, kw_only=True)
    unshown: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class SqlOperation(Operation):
    """One SQL message (a client message is decided as a whole).

    normalised          the text with constants as ``$1``, ``digest`` is of that
    relations           every relation the text could mean, as ``schema.name``: an unqualified name stands
                        for all relations of that name, a view also for what it reads
    functions           every function called: as written, by its bare name, and every overload as ``schema.name``
    untrusted_functions what could run and isn't known to be harmless in this database: the server's own by their bare
                        name, others as ``schema.name``; also what is behind operators, types, casts and views
    labels              labels of all relations above
    clean_writes        nothing that is written can come from a labelled column
    row_bound           most rows that it can return, None when nothing bounds them
    revealing           it reads what shows values, statements or credentials of others (pg_stats, ...)
    steering            it changes how the target plans, and by that the order of rows
    names               prepared statements and cursors that it (re)defines or drops in SQL
    outputs             labels that each result column could carry, where the server gives no provenance; None: unknown,
                        all of them carry ``labels``. They hold for a result that has as many columns as there are
                        here, or, with ``star``, at least one less
    star                index in ``outputs`` of the one that stands for any number of columns, None if there is none
    ddl                 whether what it creates or alters could carry values later: ``plain`` can't, ``query`` stores
                        what a query gives (then ``clean_writes`` decides), ``code`` can
    copies              the COPY ... TO STDOUT that it is, and nothing else; None: it is none, or not plainly understood
    uses                what it does with labelled columns beside showing them; None: unknown, anything
    """

    kind = "sql"

    relations: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    untrusted_functions: frozenset[str] = frozenset()
    without_where: bool = False
    clean_writes: bool = True
    row_bound: int | None = None
    revealing: bool = False
    steering: bool = False
    names: frozenset[str] = frozenset()
    outputs: tuple[frozenset[str], ...] | None = None
    star: int | None = None
    ddl: Literal["none", "plain", "query", "code"] = "code"
    uses: tuple[LabelUse, ...] | None = ()
    copies: CopyOut | None = None


SshRequest = Literal[
    "shell",
    "exec",
    "subsystem",
    "sftp",
    "scp",
    "file",
    "forward_local",
    "forward_remote",
    "agent",
    "x11",
    "env",
    "typed",
]
"""What can be asked for over SSH (RFC 4254 sections 6 and 7): ``sftp`` is the subsystem of that name as such, ``scp``
an exec of ``scp -t`` or ``-f`` as such, ``file`` one action on files within either. ``typed`` is no request:
a line typed in a terminal, which policy watches at best effort."""

FileAction = Literal["read", "write", "list"]


@dataclass(frozen=True, slots=True)
class FileUse:
    """What a file action does to one path: absolute and normalised, ``/`` is the root.

    A path with a slash behind it (``/srv/``, ``//``) is all that lies beneath: what moves a directory moves that.
    """

    action: FileAction
    path: str


@dataclass(frozen=True, slots=True)
class SshOperation(Operation):
    """One SSH request, or one file action within SFTP or SCP.

    request      what is asked for
    verbs        the request; for ``file`` also ``sftp`` or ``scp``, and what it does: ``read``, ``write``, ``list``
    argv         exec: the words of the command, quotes resolved, where it is plain words for certain; else None
    shell        exec: what of a shell's language it uses (`gateway.shell`); empty: it is plain words
    subsystem    its name
    files        every path that a file action touches, and how (a rename writes two)
    destination  forwards: ``host:port``, lower case, no brackets but for IPv6; or a unix socket's path
    variable     env: the variable's name
    channel      the number of the channel that it came in; no part of what it is
    original     what the caller asked for (``shell``, ``exec COMMAND``, ``subsystem NAME``) where a forced command runs
                 instead; evidence, nothing decides on it. Empty: this is what was asked for
    """

    kind = "ssh"

    request: SshRequest = field(kw_only=True)
    argv: tuple[str, ...] | None = field(default=None, kw_only=True)
    shell: frozenset[str] = field(default=frozenset(), kw_only=True)
    subsystem: str = field(default="", kw_only=True)
    files: tuple[FileUse, ...] = field(default=(), kw_only=True)
    destination: str = field(default="", kw_only=True)
    variable: str = field(default="", kw_only=True)
    channel: int | None = field(default=None, kw_only=True)
    original: str = field(default="", kw_only=True)


class Outcome(Enum):
    ALLOW = "allow"
    DENY = "deny"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """What one approve entry asks for before an operation, or a session, may go on.

    rule                the entry's name
    digest              SHA-256 in hex over all that the entry says: a changed entry is another one
    principals, groups  globs: whose yes counts; who fits either of them
    needed              distinct approvers
    wait                seconds that the caller is held at most
    uses                how often a grant may be used; None: as often as wanted while it lasts
    within              seconds that a grant lasts
    ends                unix seconds at which the entry itself ends (`until`), None: never
    """

    rule: str
    digest: str
    principals: tuple[str, ...]
    groups: tuple[str, ...]
    needed: int
    wait: float
    uses: int | None
    within: float
    ends: float | None = None


RequestState = Literal["pending", "approved", "denied", "expired", "withdrawn"]
GrantState = Literal["live", "used", "ended", "revoked", "void"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy says about one operation or one connection.

    rules     names of every entry that made it (policy.md, semantics 1), in a stable order
    approvals what has to be approved, sorted by rule; not empty if and only if the outcome is APPROVE
    message   the deciding entry's own words to the caller, if it has any
    observed  names of ``observe: true`` entries that would have changed it
    lasting   it stays true as long as the snapshot does (no entry looked at the clock)
    """

    outcome: Outcome
    rules: tuple[str, ...] = ()
    message: str | None = None
    observed: tuple[str, ...] = ()
    durability: Durability = "written"
    lasting: bool = True
    approvals: tuple[ApprovalTerms, ...] = ()


MethodName = Literal["null", "redact", "token", "hmac", "partial", "clear"]

STRICTEST_FIRST: tuple[MethodName, ...] = ("null", "redact", "token", "hmac", "partial", "clear")
"""policy.md, semantics 8."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a value is masked.

    keep_first, keep_last  characters that ``partial`` leaves
    key                    id of the key that ``hmac`` uses
    """

    name: MethodName
    keep_first: int = 0
    keep_last: int = 0
    key: str = ""

    @property
    def strictness(self) -> tuple[int, int]:
        """Sorts the strictest first; among partial ones the one that keeps less."""
        return STRICTEST_FIRST.index(self.name), self.keep_first + self.keep_last


@dataclass(frozen=True, slots=True)
class Denial:
    """Why an operation was refused, in words for the caller; the protocol makes its native error of it.

    cancelled  the caller itself cancelled it while it waited
    """

    message: str
    detail: str
    hint: str | None = None
    cancelled: bool = False


class RowPlanner(Protocol):
    """Decides how the rows of one result are masked.

    One planner stands for one (access, policy snapshot, catalogue): a result planned by another planner is
    planned anew.
    """

    @property
    def hides(self) -> bool:
        """Whether labels of this database are hidden: texts that nobody can tell the source of are withheld then."""

    @property
    def searches(self) -> bool:
        """Whether values are searched for, which takes texts in an encoding that is read."""

    def text(self, value: bytes) -> bytes:
        """A text that is no row's (an error's, a notification's), with what is found in it masked; else the same
        object."""

    def plan(self, fields: Sequence[ResultField], operation: SqlOperation, *, final: bool) -> RowRewriter | None:
        """How to rewrite rows of these columns; None: they pass as they are.

        Raises CatalogueStale when a column's relation is not known yet, unless ``final``: then the catalogue was
        just reloaded, and what is unknown even now is masked with all that the database could hold.
        """

    def copy(self, operation: SqlOperation, *, binary: bool, columns: int, encoding: bytes) -> RowRewriter | None:
        """How to rewrite the CopyData of one COPY ... TO STDOUT; None: they pass as they are.

        Raises PeerError when the server answers another COPY than ``operation`` is, or one that can't be masked.
        """


class RowRewriter(Protocol):
    """Rewrites whole DataRow messages, or CopyData messages, back to back."""

    @property
    def masked(self) -> tuple[int, ...]:
        """Which columns it rewrites."""

    @property
    def at_once(self) -> int:
        """Bytes of rows that it rewrites without holding up other sessions; more of them are for a thread."""

    def apply(self, data: bytes) -> bytes:
        """Raises PeerError when a row does not parse."""


class CatalogueStale(Exception):
    """A result shows a relation that the catalogue has not seen; reload it and plan again."""


Asked = TypeVar("Asked", bound=Operation)


class Verdict(Struct, Generic[Asked], frozen=True):
    """The corridor's answer to one asked operation. Only `gateway.session` makes one.

    number   the operation's number in its session, as the recording has it
    planner  masks the operation's results; None: they pass as they are
    tainted  a labelled relation is in play: error texts are not shown as the target wrote them
    marker   what the target is sent instead of a denied operation
    touches  it may take locks, or a snapshot, that last as long as its transaction
    grant    the approval by which it goes on; empty: it needed none
    """

    operation: Asked
    number: int
    planner: RowPlanner | None = None
    tainted: bool = False
    denial: Denial | None = None
    marker: bytes = b""
    touches: bool = True
    grant: str = ""


def uuid7(now: float, random_bytes: bytes) -> str:
    """A session id: UUID version 7 (RFC 9562 section 5.7), so that ids sort by time.

    now  unix seconds, random_bytes  10 bytes of randomness (74 bits of them are used)
    Raises ValueError when there is less randomness, or ``now`` doesn't fit.
    """
    if len(random_bytes) != 10:
        raise ValueError(f"a UUIDv7 takes 10 bytes of randomness, not {len(random_bytes)}")
    milliseconds = int(now * 1000)
    if not 0 <= milliseconds < 1 << 48:
        raise ValueError(f"{now} is no time that a UUIDv7 can hold")
    random = int.from_bytes(random_bytes, "big")
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(UUID(int=value))
