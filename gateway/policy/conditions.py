"""Compiled conditions. Each answers one question about the access, the clock or the operation, and can say why not.

An allow and a deny read the same key in opposite directions (policy.md, conditions): an allow must cover *all* that
an operation does, a deny needs *one* of it. Whatever can't be known is a no to an allow and a yes to a deny. So some
keys have two classes here, and `gateway.policy.compile` takes the one that fits the entry. An approve reads each key as
a deny does: both restrict.

Operation conditions are only asked about operations that are fully understood; semantics 4 (opaque) is decided
before, in `gateway.policy.snapshot`.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import re2

from gateway.model import Access, SqlOperation
from gateway.policy.globs import Globs
from gateway.verbs import FREE

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AccessCondition(Protocol):
    """About who asks, for what, from where: constant for a session."""

    def holds(self, access: Access) -> bool: ...

    def why_not(self, access: Access) -> str: ...


class ClockCondition(Protocol):
    """About the time; ``now`` in unix seconds."""

    def holds(self, now: float) -> bool: ...

    def why_not(self, now: float) -> str: ...


class OperationCondition(Protocol):
    """About one operation that is fully understood, of the kind that the entry has a section for."""

    def holds(self, operation: Any) -> bool: ...

    def why_not(self, operation: Any) -> str: ...


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, sorted: ``a, b``, or ``nothing``."""
    return ", ".join(sorted(names)) or "nothing"


# ---------------------------------------------------------------- who


@dataclass(frozen=True, slots=True)
class PrincipalNamed:
    """``principals``"""

    globs: Globs

    def holds(self, access: Access) -> bool:
        return self.globs.match(access.principal.name)

    def why_not(self, access: Access) -> str:
        return f"principals: {access.principal.name} is none of {self.globs}"


@dataclass(frozen=True, slots=True)
class InGroup:
    """``groups``: one of the principal's groups matches."""

    globs: Globs

    def holds(self, access: Access) -> bool:
        return self.globs.any(access.principal.groups)

    def why_not(self, access: Access) -> str:
        return f"groups: the principal is in {listed(access.principal.groups)}, in none of {self.globs}"


@dataclass(frozen=True, slots=True)
class OfKind:
    """``kind``"""

    kind: str

    def holds(self, access: Access) -> bool:
        return access.principal.kind == self.kind

    def why_not(self, access: Access) -> str:
        return f"kind: the principal is a {access.principal.kind}, not a {self.kind}"


@dataclass(frozen=True, slots=True)
class ProvenBy:
    """``factors``: one of those that the principal proved itself with."""

    factors: frozenset[str]

    def holds(self, access: Access) -> bool:
        return not self.factors.isdisjoint(access.principal.factors)

    def why_not(self, access: Access) -> str:
        return f"factors: proven by {listed(access.principal.factors)}, by none of {listed(self.factors)}"


@dataclass(frozen=True, slots=True)
class FromNetwork:
    """``from``. ``unknown`` is the answer for a source that is no IP address: False in an allow, True in a deny."""

    networks: tuple[Network, ...]
    unknown: bool

    def holds(self, access: Access) -> bool:
        try:
            address = ipaddress.ip_address(access.address)
        except ValueError:
            return self.unknown
        if isinstance(address, ipaddress.IPv6Address):
            # A dual-stack listener shows IPv4 callers as ::ffff:a.b.c.d; a rule for a.b.c.d means them, too.
            address = address.ipv4_mapped or address
        return any(address in network for network in self.networks)

    def why_not(self, access: Access) -> str:
        return f"from: {access.address} is in none of {listed(map(str, self.networks))}"


# ---------------------------------------------------------------- what


@dataclass(frozen=True, slots=True)
class TargetNamed:
    """``targets``"""

    globs: Globs

    def holds(self, access: Access) -> bool:
        return self.globs.match(access.target.name)

    def why_not(self, access: Access) -> str:
        return f"targets: {access.target.name} is none of {self.globs}"


@dataclass(frozen=True, slots=True)
class TargetTagged:
    """``tags``: the target has every one of these tags, with a value that matches."""

    tags: tuple[tuple[str, Globs], ...]

    def holds(self, access: Access) -> bool:
        return self.fits(access.target.tags)

    def fits(self, tags: Mapping[str, str]) -> bool:
        return all(key in tags and globs.match(tags[key]) for key, globs in self.tags)

    def why_not(self, access: Access) -> str:
        wanted = listed(f"{key}: {globs}" for key, globs in self.tags)
        return f"tags: the target has {listed(f'{k}: {v}' for k, v in access.target.tags.items())}, wanted is {wanted}"


@dataclass(frozen=True, slots=True)
class DatabaseNamed:
    """``sql.databases``"""

    globs: Globs

    def holds(self, access: Access) -> bool:
        return self.globs.match(access.database)

    def why_not(self, access: Access) -> str:
        return f"sql.databases: {access.database} is none of {self.globs}"


@dataclass(frozen=True, slots=True)
class RoleNamed:
    """``sql.roles``: the role that the session logged in with at the target."""

    globs: Globs

    def holds(self, access: Access) -> bool:
        return self.globs.match(access.role)

    def why_not(self, access: Access) -> str:
        return f"sql.roles: {access.role} is none of {self.globs}"


# ---------------------------------------------------------------- when


@dataclass(frozen=True, slots=True)
class Until:
    """``until``: the first moment at which the entry is gone."""

    end: float
    text: str

    def holds(self, now: float) -> bool:
        return now < self.end

    def why_not(self, now: float) -> str:
        return f"until: ended at {self.text}"


@dataclass(frozen=True, slots=True)
class InHours:
    """``times``: weekdays (0 is Monday) and spans of minutes of the day, ``start`` included, ``end`` not.

    A span that crosses midnight belongs to the day on which it starts.
    """

    days: frozenset[int]
    spans: tuple[tuple[int, int], ...]
    zone: ZoneInfo

    def holds(self, now: float) -> bool:
        local = datetime.datetime.fromtimestamp(now, self.zone)
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday() in self.days, (local.weekday() - 1) % 7 in self.days
        for start, end in self.spans:
            if start < end:
                if today and start <= minute < end:
                    return True
            elif (today and minute >= start) or (yesterday and minute < end):
                return True
        return False

    def why_not(self, now: float) -> str:
        local = datetime.datetime.fromtimestamp(now, self.zone)
        return f"times: now is {local:%a %H:%M} in {self.zone.key}"


# ---------------------------------------------------------------- sql


@dataclass(frozen=True, slots=True)
class CoversVerbs:
    """``sql.verbs`` of an allow: all verbs of the operation are among these, or free."""

    verbs: frozenset[str]

    def holds(self, operation: SqlOperation) -> bool:
        return operation.verbs - FREE <= self.verbs

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.verbs: does not cover {listed(operation.verbs - FREE - self.verbs)}"


@dataclass(frozen=True, slots=True)
class HasVerb:
    """``sql.verbs`` of a deny: the operation has one of these."""

    verbs: frozenset[str]

    def holds(self, operation: SqlOperation) -> bool:
        return not self.verbs.isdisjoint(operation.verbs)

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.verbs: {listed(operation.verbs)} is none of these"


@dataclass(frozen=True, slots=True)
class CoversRelations:
    """``sql.relations`` of an allow: every relation that the text could mean is among these."""

    globs: Globs

    def holds(self, operation: SqlOperation) -> bool:
        return all(map(self.globs.match, operation.relations))

    def why_not(self, operation: SqlOperation) -> str:
        rest = (name for name in operation.relations if not self.globs.match(name))
        return f"sql.relations: does not cover {listed(rest)}"


@dataclass(frozen=True, slots=True)
class TouchesRelation:
    """``sql.relations`` of a deny: one relation that the text could mean is among these."""

    globs: Globs

    def holds(self, operation: SqlOperation) -> bool:
        return self.globs.any(operation.relations)

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.relations: touches {listed(operation.relations)}, none of {self.globs}"


@dataclass(frozen=True, slots=True)
class CoversLabels:
    """``sql.labels_touched`` of an allow: no other labels than these are touched."""

    globs: Globs

    def holds(self, operation: SqlOperation) -> bool:
        return all(map(self.globs.match, operation.labels))

    def why_not(self, operation: SqlOperation) -> str:
        rest = (label for label in operation.labels if not self.globs.match(label))
        return f"sql.labels_touched: does not cover {listed(rest)}"


@dataclass(frozen=True, slots=True)
class TouchesLabel:
    """``sql.labels_touched`` of a deny: one of these labels is touched."""

    globs: Globs

    def holds(self, operation: SqlOperation) -> bool:
        return self.globs.any(operation.labels)

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.labels_touched: touches {listed(operation.labels)}, none of {self.globs}"


@dataclass(frozen=True, slots=True)
class CallsFunction:
    """``sql.functions`` of a deny: one of these is called.

    A name without a schema, in the entry or in the statement, stands for the functions of that name in all schemas.
    """

    globs: Globs
    unqualified: Globs

    @classmethod
    def of(cls, patterns: Iterable[str]) -> CallsFunction:
        folded = [pattern.lower() for pattern in patterns]
        return cls(Globs.of(folded), Globs.of(pattern.rpartition(".")[2] for pattern in folded))

    def holds(self, operation: SqlOperation) -> bool:
        return any(map(self._named, operation.functions))

    def _named(self, function: str) -> bool:
        schema, _, name = function.rpartition(".")
        return self.globs.match(function) or self.globs.match(name) or (not schema and self.unqualified.match(name))

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.functions: calls {listed(operation.functions)}, none of {self.globs}"


@dataclass(frozen=True, slots=True)
class WithoutWhere:
    """``sql.without_where``"""

    wanted: bool

    def holds(self, operation: SqlOperation) -> bool:
        return operation.without_where is self.wanted

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.without_where: the statement has {'no' if operation.without_where else 'a'} WHERE or needs none"


@dataclass(frozen=True, slots=True)
class AtMostRows:
    """``sql.max_rows`` of an allow: known to return no more."""

    rows: int

    def holds(self, operation: SqlOperation) -> bool:
        return operation.row_bound is not None and operation.row_bound <= self.rows

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.max_rows: {_bound(operation)}, more than {self.rows}"


@dataclass(frozen=True, slots=True)
class MoreRows:
    """``sql.max_rows`` of a deny: not known to return no more."""

    rows: int

    def holds(self, operation: SqlOperation) -> bool:
        return operation.row_bound is None or operation.row_bound > self.rows

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.max_rows: {_bound(operation)}, not more than {self.rows}"


def _bound(operation: SqlOperation) -> str:
    return "nothing bounds the rows" if operation.row_bound is None else f"at most {operation.row_bound} rows"


@dataclass(frozen=True, slots=True)
class TextMatches:
    """``sql.matches`` of a deny: RE2, so that no statement can make a search take long."""

    expressions: tuple[re2._Regexp, ...]

    def holds(self, operation: SqlOperation) -> bool:
        return any(expression.search(operation.normalised) for expression in self.expressions)

    def why_not(self, operation: SqlOperation) -> str:
        return f"sql.matches: none of {listed(expression.pattern for expression in self.expressions)} is in the text"


# ---------------------------------------------------------------- trust


@dataclass(frozen=True, slots=True)
class TrustedFunctions:
    """``sql.functions`` of an allow: known harmless, beside the shipped list (policy.md, semantics 5).

    No condition: it takes names out of `SqlOperation.untrusted_functions`. A name with a schema trusts calls that are
    written with that schema only (which ``f`` an unqualified call runs is the server's choice); a name without one
    trusts whatever function of that name.
    """

    globs: Globs

    @classmethod
    def of(cls, patterns: Iterable[str]) -> TrustedFunctions:
        return cls(Globs.of(pattern.lower() for pattern in patterns))

    def trusts(self, function: str) -> bool:
        """Whether a call written as ``function`` (lower case, with or without schema) is trusted."""
        return self.globs.match(function) or self.globs.match(function.rpartition(".")[2])
