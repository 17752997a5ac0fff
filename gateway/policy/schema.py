"""The YAML of one policy file, as types (policy.md, shape and conditions); decoded by `gateway.config.load_yaml`.

The decoder refuses unknown keys, empty lists, and null: ``groups:`` with nothing behind it is YAML's null, and a null
that meant "no condition" would open to everybody what was meant for a group. So None here always means: left out.

``LATER`` names what policy.md promises and this version can't do, with the mend.
"""

from __future__ import annotations

import datetime
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

import msgspec
import re2
from msgspec import Meta

from gateway.config.markers import Parsed, PositiveDuration, parse_label
from gateway.detectors import Validator
from gateway.json_paths import Path
from gateway.model import Durability, Factor, Method, MethodName, PrincipalKind
from gateway.policy import values
from gateway.policy.conditions import Network
from gateway.policy.globs import is_glob, names_nobody
from gateway.policy.widths import is_anchored, width

Text = Annotated[str, Parsed(values.parse_text, "name")]
Glob = Annotated[str, Parsed(values.parse_glob, "name or glob")]
Relation = Annotated[str, Parsed(values.parse_relation, "schema.relation")]
Column = Annotated[str, Parsed(values.parse_column, "schema.table.column")]
Function = Annotated[str, Parsed(values.parse_function, "function's name")]
Key = Annotated[str, Parsed(parse_label, "key's id")]
Verb = Annotated[frozenset[str], Parsed(values.parse_verb, "SQL verb")]
Source = Annotated[Network, Parsed(values.parse_network, "network")]
Days = Annotated[frozenset[int], Parsed(values.parse_days, "weekday")]
Span = Annotated[tuple[int, int], Parsed(values.parse_span, "span of hours")]
Zone = Annotated[ZoneInfo, Parsed(values.parse_zone, "time zone")]
Moment = Annotated[datetime.datetime, Parsed(values.parse_moment, "date, time and zone")]
Expression = Annotated[re2._Regexp, Parsed(values.parse_expression, "regular expression")]

Request = Annotated[str, Parsed(values.parse_request, "SSH request")]
CommandPattern = Annotated[str, Parsed(values.parse_command, "command")]
ForcedCommand = Annotated[str, Parsed(values.parse_forced, "command")]
PathGlob = Annotated[str, Parsed(values.parse_path_glob, "path")]
Destination = Annotated[str, Parsed(values.parse_destination, "destination")]
Variable = Annotated[str, Parsed(values.parse_variable, "variable's name")]

Wait = Annotated[float, Parsed(values.parse_wait, "duration")]
Within = Annotated[float, Parsed(values.parse_within, "duration"), Meta(gt=0)]

Pattern = Annotated[str, Parsed(values.parse_pattern, "regular expression")]
JsonPath = Annotated[Path, Parsed(values.parse_json_path, "JSON path")]
DetectorName = Annotated[str, Parsed(values.parse_detector, "detector's name")]

NotEmpty = Meta(min_length=1)
"""An empty list would match nothing; said so instead of guessing (policy.md, semantics 2)."""

Globs = Annotated[tuple[Glob, ...], NotEmpty]

MAX_KEPT = 64
"""Characters that ``partial`` may keep at one end; a method that keeps more shows the value."""


MAX_VALUE = 1024
"""Bytes of a value that an own detector finds: a stream holds back as much. Secrets of services end at about 250."""

MAX_CONTEXT = 50
"""Context words of one detector; the longest list of a shipped one has 20."""

MAX_NEEDED = 20
"""Approvers of one operation; two to five are usual, and beyond twenty nobody gets them all within a `wait`."""

MAX_USES = 1_000_000
"""Uses of one grant. Who needs more of the same operation wants an allow entry."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything in a policy file: frozen, and an unknown key is an error."""

    LATER: ClassVar[dict[str, str]] = {}


class _Stated(Section, frozen=True):
    """A section that must say something."""

    def __post_init__(self) -> None:
        if all(getattr(self, field) is None for field in self.__struct_fields__):
            raise ValueError("says nothing; write a condition, or leave the key out")


class Times(Section, frozen=True):
    """When an entry applies: on these days, in these hours, both in ``zone``."""

    days: Annotated[tuple[Days, ...], NotEmpty] | None = None
    hours: Annotated[tuple[Span, ...], NotEmpty] | None = None
    zone: Zone = ZoneInfo("UTC")

    def __post_init__(self) -> None:
        if self.days is None and self.hours is None:
            raise ValueError("says nothing; write `days` or `hours`, or leave the key out")


class Sql(_Stated, frozen=True):
    """Conditions on one statement, and on the database and role it runs in."""

    databases: Globs | None = None
    roles: Globs | None = None
    verbs: Annotated[tuple[Verb, ...], NotEmpty] | None = None
    relations: Annotated[tuple[Relation, ...], NotEmpty] | None = None
    functions: Annotated[tuple[Function, ...], NotEmpty] | None = None
    labels_touched: Globs | None = None
    without_where: bool | None = None
    max_rows: Annotated[int, Meta(ge=0)] | None = None
    matches: Annotated[tuple[Expression, ...], NotEmpty] | None = None


class Files(_Stated, frozen=True):
    """Paths at the target, by what is done to them."""

    read: Annotated[tuple[PathGlob, ...], NotEmpty] | None = None
    write: Annotated[tuple[PathGlob, ...], NotEmpty] | None = None
    list: Annotated[tuple[PathGlob, ...], NotEmpty] | None = None


class Ssh(_Stated, frozen=True):
    """Conditions on one request or one action on files, and on the login that the session has."""

    logins: Globs | None = None
    requests: Annotated[tuple[Request, ...], NotEmpty] | None = None
    exec: Annotated[tuple[CommandPattern, ...], NotEmpty] | None = None
    matches: Annotated[tuple[Expression, ...], NotEmpty] | None = None
    files: Files | None = None
    subsystems: Globs | None = None
    destinations: Annotated[tuple[Destination, ...], NotEmpty] | None = None
    env: Annotated[tuple[Variable, ...], NotEmpty] | None = None
    force_command: ForcedCommand | None = None
    typed: Annotated[tuple[Expression, ...], NotEmpty] | None = None
    then: Literal["warn", "refuse", "end"] | None = None

    def __post_init__(self) -> None:
        _Stated.__post_init__(self)
        for key, of in ABOUT.items():
            if self.requests is not None and getattr(self, key) is not None and of.isdisjoint(self.requests):
                named = " or ".join(sorted(of))
                raise ValueError(f"has `{key}`, but its `requests` don't name {named}; add it, or leave `requests` out")
        if self.typed is not None:
            beside = [key for key in ("requests", *ABOUT, "force_command") if getattr(self, key) is not None]
            if beside:
                raise ValueError(
                    f"has `typed` beside `{beside[0]}`: what is typed in a terminal is no request; write two entries"
                )
        elif self.then is not None:
            raise ValueError("has `then`, which says what a match of `typed` does; add `typed`, or remove it")


ABOUT: dict[str, frozenset[str]] = {
    "exec": frozenset({"exec"}),
    "matches": frozenset({"exec"}),
    "files": frozenset({"sftp", "scp"}),
    "subsystems": frozenset({"subsystem"}),
    "destinations": frozenset({"forward_local", "forward_remote"}),
    "env": frozenset({"env"}),
}
"""Which requests the other keys of an ssh section are about."""


class SessionTerms(Section, frozen=True):
    """How a session lives."""

    max: PositiveDuration | None = None
    idle: PositiveDuration | None = None
    record: Durability | None = None
    expire: Literal["identity", "session"] | None = None
    """``identity``: the session ends with the proof of identity; ``session``: it may finish its ``max``."""


class OpenedSession(SessionTerms, _Stated, frozen=True):
    """How a session lives that an allow entry opens."""

    def __post_init__(self) -> None:
        _Stated.__post_init__(self)
        if self.expire == "session" and self.max is None:
            raise ValueError("would let a session outlive its identity without end; give it a `max`, too")


class ApprovedSession(SessionTerms, frozen=True):
    """How a session lives that had to be approved. It may say nothing: then the approval is all."""

    def __post_init__(self) -> None:
        if self.expire == "session":
            raise ValueError(
                "would let a session outlive its identity, and an approve entry only narrows; "
                "write `expire: session` in the allow entry that opens the session"
            )


class WhoAndWhat(Section, frozen=True):
    """The conditions that every kind of entry has."""

    principals: Globs | None = None
    groups: Globs | None = None
    kind: PrincipalKind | None = None
    factors: Annotated[tuple[Factor, ...], NotEmpty] | None = None
    from_: Annotated[tuple[Source, ...], NotEmpty] | None = msgspec.field(default=None, name="from")
    targets: Globs | None = None
    tags: Annotated[dict[str, Glob], NotEmpty] | None = None


class Entry(WhoAndWhat, frozen=True, kw_only=True):
    """What allow, deny and approve entries share."""

    LATER = {
        "http": "remove it; this version speaks PostgreSQL and SSH only, and nothing can reach a target by HTTP",
    }

    name: Text
    times: Times | None = None
    until: Moment | None = None
    sql: Sql | None = None
    ssh: Ssh | None = None

    def __post_init__(self) -> None:
        if self.sql is not None and self.ssh is not None:
            raise ValueError("has both `sql` and `ssh`, and no operation is of both kinds; write two entries")


class AllowEntry(Entry, frozen=True):
    """Opens what it names."""

    session: OpenedSession | None = None

    def __post_init__(self) -> None:
        Entry.__post_init__(self)
        if self.sql is not None and self.sql.matches is not None:
            raise ValueError(
                "has `matches`, which is for deny and approve entries: what a text looks like is no reason to allow "
                "it; say what is allowed by verbs and relations"
            )
        if self.ssh is not None:
            _check_allowed(self.ssh)


def _check_allowed(ssh: Ssh) -> None:
    """What an allow has to say, or may not, in its ssh section."""
    requests = ssh.requests or ()
    if ssh.force_command is not None:
        beside = [key for key in ("requests", *ABOUT) if getattr(ssh, key) is not None]
        if beside:
            raise ValueError(
                f"has `force_command` beside `{beside[0]}`: it runs whatever is asked for, and is all that the entry "
                "allows; write another entry for what is no command, such as forwards and variables"
            )
    if ssh.logins is None:
        raise ValueError('has no `logins`; write those at the target that it is for, ["*"] for each')
    if ssh.matches is not None:
        raise ValueError(
            "has `matches`, which is for deny and approve entries: what a text looks like is no reason to allow it; "
            "say what is allowed by `exec`"
        )
    if ssh.typed is not None:
        raise ValueError(
            "has `typed`, which is for deny and approve entries: what is typed in a shell is watched at best effort, "
            "and no reason to allow it; allow commands by `exec`"
        )
    if ssh.destinations is None and not ABOUT["destinations"].isdisjoint(requests):
        raise ValueError("forwards without `destinations`; write where to, such as [db.internal:5432]")
    if ssh.env is None and "env" in requests:
        raise ValueError("has env without `env`; write which variables, such as [GIT_PROTOCOL]")


class DenyEntry(Entry, frozen=True):
    """Closes what it names, whatever is allowed. ``message`` is for the caller; ``observe`` only records."""

    message: Text | None = None
    observe: bool = False

    def __post_init__(self) -> None:
        Entry.__post_init__(self)
        _check_restricting(self.ssh)


def _check_restricting(ssh: Ssh | None) -> None:
    """What a deny or approve may not say in its ssh section."""
    if ssh is not None and ssh.force_command is not None:
        raise ValueError(
            "has `force_command`, which is for allow entries; name the command that they force by `exec`: it is "
            "what is decided on"
        )


class Approvers(Section, frozen=True):
    """Whose yes counts: principals and members of groups, ``needed`` different ones, never whoever asks."""

    principals: Globs | None = None
    groups: Globs | None = None
    needed: Annotated[int, Meta(ge=1, le=MAX_NEEDED)] = 1

    def __post_init__(self) -> None:
        if self.principals is None and self.groups is None:
            raise ValueError("names nobody; write `groups` or `principals`: those whose yes counts")
        if any(map(names_nobody, (*(self.principals or ()), *(self.groups or ())))):
            raise ValueError("has a `*`, so that anybody's yes would count; name groups or principals")
        named = self.named()
        if named is not None and len(named) < self.needed:
            raise ValueError(
                f"names {len(named)} and needs {self.needed}, so that nothing could ever be approved; "
                "name more, or need fewer"
            )

    def named(self) -> frozenset[str] | None:
        """All of them, where each is named by name; None: only their groups' or globs' members know how many."""
        if self.groups is not None or any(map(is_glob, self.principals or ())):
            return None
        return frozenset(self.principals or ())


class GrantWorth(_Stated, frozen=True):
    """What a yes is worth: so many uses, within this time."""

    uses: Annotated[int, Meta(ge=1, le=MAX_USES)] | None = None
    within: Within | None = None


class ApproveEntry(Entry, frozen=True, kw_only=True):
    """Makes what it names wait for a second person; it opens nothing.

    With ``session`` it asks about access as such, at connect; else about each operation that ``sql`` or ``ssh``
    describes, all of them with neither. ``message`` is for the caller; ``observe`` only records.
    """

    session: ApprovedSession | None = None
    approvers: Approvers
    wait: Wait = 600.0
    grant: GrantWorth | None = None
    message: Text | None = None
    observe: bool = False

    def __post_init__(self) -> None:
        Entry.__post_init__(self)
        _check_restricting(self.ssh)
        if self.ssh is not None and self.ssh.then is not None:
            raise ValueError("has `then`, which is for deny entries: an approve asks, and holds the line meanwhile")
        section = "sql" if self.sql is not None else "ssh"
        if (self.sql is not None or self.ssh is not None) and self.session is not None:
            raise ValueError(
                f"has both `{section}` and `session`, but is asked either at each operation or at connect; "
                "write two entries"
            )

    @property
    def uses(self) -> int | None:
        """How often a grant may be used; None: as often as wanted while it lasts."""
        if self.grant is not None and self.grant.uses is not None:
            return self.grant.uses
        return 1 if self.session is None else None

    @property
    def within(self) -> float:
        """Seconds that a grant lasts."""
        if self.grant is not None and self.grant.within is not None:
            return self.grant.within
        return 15 * 60.0 if self.session is None else 8 * 3600.0


class Partial(Section, frozen=True):
    """Characters that stay readable."""

    keep_first: Annotated[int, Meta(ge=0, le=MAX_KEPT)] = 0
    keep_last: Annotated[int, Meta(ge=0, le=MAX_KEPT)] = 0

    def __post_init__(self) -> None:
        if not self.keep_first and not self.keep_last:
            raise ValueError("keeps nothing; write keep_first or keep_last, or use the method redact")


class Keyed(Section, frozen=True):
    """Which key a pseudonym is made with; configuration has it under `masking.keys`."""

    key: Key


class MethodTable(Section, frozen=True):
    """A method that has settings of its own."""

    partial: Partial | None = None
    hmac: Keyed | None = None

    def __post_init__(self) -> None:
        if (self.partial is None) == (self.hmac is None):
            raise ValueError("is not one method; write one of {partial: {keep_last: 4}} and {hmac: {key: KEY}}")


AnyMethod = MethodName | MethodTable


def method_of(written: AnyMethod) -> Method:
    """The method that is meant; raises ValueError for one without the settings that it needs."""
    if isinstance(written, MethodTable):
        if written.hmac is not None:
            return Method("hmac", key=written.hmac.key)
        assert written.partial is not None
        return Method("partial", written.partial.keep_first, written.partial.keep_last)
    if written == "partial":
        raise ValueError("has the method partial without settings; write {partial: {keep_last: 4}}")
    if written == "hmac":
        raise ValueError("has the method hmac without a key; write {hmac: {key: KEY}}, a key of `masking.keys`")
    return Method(written)


class DefaultMethod(Section, frozen=True):
    """What a label gets when no mask says anything."""

    method: AnyMethod

    def __post_init__(self) -> None:
        if method_of(self.method).name == "clear":
            raise ValueError("is clear for everybody; `clear` needs a mask with named principals or groups")


class LabelEntry(Section, frozen=True):
    """A kind of sensitive data and where it lies: target glob -> globs of ``schema.table.column``.

    ``json`` says where in JSON values it is, target glob -> paths; ``detector`` finds it in other values, too.
    """

    columns: Annotated[dict[Glob, Annotated[tuple[Column, ...], NotEmpty]], NotEmpty] | None = None
    json: Annotated[dict[Glob, Annotated[tuple[JsonPath, ...], NotEmpty]], NotEmpty] | None = None
    detector: DetectorName | None = None
    default: DefaultMethod | None = None


class DetectorEntry(Section, frozen=True):
    """A detector of the operator's own. ``max_length`` (bytes) is for a pattern whose matches have no longest one."""

    pattern: Pattern
    max_length: Annotated[int, Meta(ge=1, le=MAX_VALUE)] | None = None
    context: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=MAX_CONTEXT)] | None = None
    validator: Validator | None = None

    def __post_init__(self) -> None:
        self.longest()

    def longest(self) -> int:
        """Bytes of the longest match; raises ValueError, with the mend, where nobody could search for it."""
        shortest, longest = width(self.pattern)
        if shortest == 0:
            raise ValueError("has a pattern that matches the empty text; write it so that it needs a character")
        if is_anchored(self.pattern):
            raise ValueError(
                "has a pattern with ^, $, \\A or \\z: values stand amid other text, whose ends are nobody's; "
                "write \\b where a word has to begin or end"
            )
        if longest is None:
            if self.max_length is None:
                raise ValueError(
                    "has a pattern without an end (*, + or {n,}) and no `max_length`; bound it, such as {1,20}, "
                    "or write `max_length`, the bytes of the longest value"
                )
            return self.max_length
        if self.max_length is not None:
            raise ValueError(
                f"has a `max_length`, but its pattern ends by itself; remove it ({longest} bytes is meant)"
            )
        if longest > MAX_VALUE:
            raise ValueError(f"matches up to {longest} bytes; write a pattern of at most {MAX_VALUE}")
        return longest


class MaskEntry(WhoAndWhat, frozen=True, kw_only=True):
    """How the values of some labels are shown to some principals."""

    LATER = Entry.LATER

    labels: Globs
    method: AnyMethod

    def __post_init__(self) -> None:
        if method_of(self.method).name != "clear":
            return
        if not any(pattern for who in (self.principals, self.groups) for pattern in who or ()):
            raise ValueError("shows values in clear to everybody; `clear` needs named principals or groups")
        if any(map(names_nobody, (*(self.principals or ()), *(self.groups or ())))):
            raise ValueError("shows values in clear to a `*`; `clear` needs named principals or groups")


class PolicyDocument(Section, frozen=True):
    """One policy file. All files together are the policy; their order never matters."""

    labels: dict[Text, LabelEntry] = {}
    detectors: dict[DetectorName, DetectorEntry] = {}
    allow: tuple[AllowEntry, ...] = ()
    deny: tuple[DenyEntry, ...] = ()
    approve: tuple[ApproveEntry, ...] = ()
    masks: tuple[MaskEntry, ...] = ()
