"""What lineage speaks about: sources, how they are used, and what comes out of one statement. Of the text alone.

A `Source` is a column of a relation *by its written name*; which relations that can be, and which labels lie on the
column, the catalogue says later (`gateway.sql.lineage.bind`). A name that could be a column of several relations is a
source of each of them: where one has no such column, no label lies on it either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from gateway.sql.names import Name


class Source(NamedTuple):
    """A column of a relation; ``column`` None is the whole row.

    surely  it was written as ``relation.column``: if there is no such column it is a function of the whole row
    """

    relation: Name
    column: str | None = None
    surely: bool = False


Sources: TypeAlias = frozenset[Source]
NOTHING: Final[Sources] = frozenset()


class NotFollowed(Exception):
    """The statement is nested too deeply, too large, or names what is not in scope: nothing is known of its flows."""


class Value(Struct, frozen=True):
    """What an expression can hold.

    read     columns whose values reach it, by conditions of CASE and FILTER as well
    implied  columns that decided within it without being read: the WHERE of a subquery, IS NULL
    plain    it is a column and nothing else
    partial  what stands in it that can fail, or do something, depending on a value
    """

    read: Sources = NOTHING
    implied: Sources = NOTHING
    plain: bool = False
    partial: frozenset[str] = frozenset()

    @property
    def sources(self) -> Sources:
        return self.read | self.implied if self.implied else self.read


CONSTANT: Final = Value()


def union(values: list[Value]) -> Value:
    """What one of these, or all of them together, can hold; ``plain`` if each of them is."""
    if len(values) == 1:
        return values[0]
    if not values:
        return CONSTANT
    return Value(
        NOTHING.union(*(value.read for value in values)),
        NOTHING.union(*(value.implied for value in values)),
        all(value.plain for value in values),
        frozenset().union(*(value.partial for value in values)),
    )


UseKind: TypeAlias = Literal["decides", "probe", "fails"]
"""decides  it chooses rows, groups or their order, or is compared with another value
probe    it is compared with constants for equality, or written where a constraint may compare it
fails    an expression over it can fail, or have an effect, depending on it"""


@dataclass(frozen=True, slots=True)
class Use:
    """How columns are used, beside being shown.

    place   where, in words of SQL; for ``fails`` what can fail
    count   how many values are compared (probe)
    arrays  numbers of the parameters that hold arrays of values to compare with (probe)
    """

    kind: UseKind
    place: str
    sources: Sources
    count: int = 1
    arrays: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Lineage:
    """The flows of one statement.

    outputs  the sources of each result column; None: not known. () is no result
    star     index in ``outputs`` of the one that stands for any number of columns (a ``*``), None if there is none
    writes   what reaches anything that is written, conditions of the query that gives it included
    uses     of all of its parts
    """

    outputs: tuple[Sources, ...] | None = None
    star: int | None = None
    writes: Sources = NOTHING
    uses: tuple[Use, ...] = ()


@dataclass(slots=True)
class Noted:
    """Uses and writes as they are found."""

    uses: dict[tuple[UseKind, str], set[Source]] = field(default_factory=dict)
    probes: dict[tuple[str, Sources, frozenset[int]], int] = field(default_factory=dict)
    writes: set[Source] = field(default_factory=set)

    def decides(self, place: str, value: Value) -> None:
        if value.read:
            self.uses.setdefault(("decides", place), set()).update(value.read)

    def shown(self, value: Value) -> None:
        """A whole expression of an output, or of what is written."""
        if value.partial and value.read:
            for what in value.partial:
                self.uses.setdefault(("fails", what), set()).update(value.read)

    def probe(self, place: str, sources: Sources, count: int, arrays: frozenset[int] = frozenset()) -> None:
        key = (place, sources, arrays)
        self.probes[key] = self.probes.get(key, 0) + count

    def written(self, value: Value) -> None:
        self.writes |= value.sources

    def found(self) -> tuple[Use, ...]:
        uses = [Use(kind, place, frozenset(sources)) for (kind, place), sources in self.uses.items()]
        uses += [Use("probe", place, sources, count, arrays) for (place, sources, arrays), count in self.probes.items()]
        return tuple(uses)
