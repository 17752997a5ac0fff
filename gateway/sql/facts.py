"""What the walk finds in one statement, and what `analyse` hands out."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.sql.copying import CopyStatement
from gateway.sql.ddl import Ddl
from gateway.sql.lineage.flows import Lineage
from gateway.sql.names import Name


@dataclass(frozen=True, slots=True)
class Statement:
    """Facts of one top-level statement and of everything inside of it.

    relations       every relation named, but for names of CTEs where they are in scope
    writes_to       those of them that are a target (INSERT, UPDATE, DELETE, MERGE, COPY FROM, INTO)
    functions       every function called, also those that special syntax stands for on older servers
    judged          functions of ``functions`` whose constant arguments showed every call to be harmless
    operators       every operator, also those that syntax implies (CASE x WHEN, USING, IN)
    types           every type that isn't written as one of pg_catalog
    attributes      last parts of dotted names: ``a.f`` calls f(a) when a has no such column
    schemas         schemas meant as a whole (DROP SCHEMA, GRANT ... IN SCHEMA)
    everywhere      it reaches relations that it doesn't name (CASCADE, DROP OWNED, VACUUM of the database)
    columns         column names that can reach what is written, star when a whole row can
    row_names       aliases and relations: used as a column such a name means the whole row
    clean_sources   what is written comes from this statement's own text, parameters and columns only
    row_bound       most rows it returns; run_bound: most rows that its EXECUTE returns
    sets            settings changed, with their new value when it is one constant
    lineage         where values of columns go; None: that could not be followed
    ddl             whether what it creates or alters could carry values later
    makes           new names of relations and types
    copies          COPY ... TO STDOUT
    opaque          why not all of its effects are known
    """

    verbs: frozenset[str] = frozenset()
    relations: frozenset[Name] = frozenset()
    writes_to: frozenset[Name] = frozenset()
    functions: frozenset[Name] = frozenset()
    judged: frozenset[str] = frozenset()
    operators: frozenset[Name] = frozenset()
    types: frozenset[Name] = frozenset()
    attributes: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()
    everywhere: bool = False
    columns: frozenset[str] = frozenset()
    star: bool = False
    row_names: frozenset[str] = frozenset()
    renames: bool = False
    clean_sources: bool = True
    without_where: bool = False
    row_bound: int | None = None
    run_bound: int | None = None
    prepares: str | None = None
    declares: str | None = None
    executes: frozenset[str] = frozenset()
    fetches: frozenset[str] = frozenset()
    deallocates: str | None = None
    closes: str | None = None
    sets: tuple[tuple[str, str | None], ...] = ()
    secret: bool = False
    lineage: Lineage | None = None
    ddl: Ddl = "none"
    makes: frozenset[str] = frozenset()
    copies: CopyStatement | None = None
    opaque: str | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """Facts of one client message, which may hold several statements; depends on nothing but the text.

    text         what the client sent
    text_digest  hex SHA-256 of it
    normalised   one line, constants as ``$n``, comments gone, names in lower case unless quoted; never a constant
    digest       hex SHA-256 of ``normalised``
    redacted     the text with password clauses blanked: what a recording holds
    opaque       why the message as a whole isn't understood; ``statements`` is empty then
    """

    text: str
    text_digest: str
    normalised: str
    digest: str
    redacted: str
    statements: tuple[Statement, ...] = ()
    opaque: str | None = None


class NotUnderstood(Exception):
    """The tree holds something that the walk doesn't know."""


@dataclass(slots=True)
class Gathering:
    """What the walk has found so far; becomes a `Statement`.

    ``root`` is the body of the statement whose own WHERE and RETURNING are no source of what it writes.
    """

    root: object = None
    verbs: set[str] = field(default_factory=set)
    relations: set[Name] = field(default_factory=set)
    writes_to: set[Name] = field(default_factory=set)
    functions: set[Name] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)
    unjudged: set[str] = field(default_factory=set)
    operators: set[Name] = field(default_factory=set)
    types: set[Name] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    schemas: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    row_names: set[str] = field(default_factory=set)
    executes: set[str] = field(default_factory=set)
    fetches: set[str] = field(default_factory=set)
    sets: list[tuple[str, str | None]] = field(default_factory=list)
    everywhere: bool = False
    star: bool = False
    renames: bool = False
    clean_sources: bool = True
    without_where: bool = False
    row_bound: int | None = None
    run_bound: int | None = None
    prepares: str | None = None
    declares: str | None = None
    deallocates: str | None = None
    closes: str | None = None
    secret: bool = False
    copies: CopyStatement | None = None
    opaque: str | None = None

    def statement(self, lineage: Lineage | None, ddl: Ddl, makes: frozenset[str]) -> Statement:
        return Statement(
            verbs=frozenset(self.verbs),
            relations=frozenset(self.relations),
            writes_to=frozenset(self.writes_to),
            functions=frozenset(self.functions),
            judged=frozenset(self.judged - self.unjudged),
            operators=frozenset(self.operators),
            types=frozenset(self.types),
            attributes=frozenset(self.attributes),
            schemas=frozenset(self.schemas),
            everywhere=self.everywhere,
            columns=frozenset(self.columns),
            star=self.star,
            row_names=frozenset(self.row_names),
            renames=self.renames,
            clean_sources=self.clean_sources,
            without_where=self.without_where,
            row_bound=self.row_bound,
            run_bound=self.run_bound,
            prepares=self.prepares,
            declares=self.declares,
            executes=frozenset(self.executes),
            fetches=frozenset(self.fetches),
            deallocates=self.deallocates,
            closes=self.closes,
            sets=tuple(self.sets),
            secret=self.secret,
            lineage=lineage,
            ddl=ddl,
            makes=makes,
            copies=self.copies,
            opaque=self.opaque,
        )
