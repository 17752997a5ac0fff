"""What a statement does, for commands that ask no target: explain and policy test.

Nobody can know what a name means without the database: a table may be a view that calls a function. So that an author
can try a policy nevertheless, these commands assume what is usual, and say so (`ASSUMED`): every relation is a plain
table, every function the server's own. The gateway itself never assumes; it reads the target's catalogue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from typing import Final

from gateway.masking import guard
from gateway.model import Access, Method, Principal, SqlOperation, Target
from gateway.policy import Snapshot
from gateway.policy.globs import is_glob
from gateway.session.admit import credential_for
from gateway.sql import Analysis, Catalogue, LabelledCatalogue, analyse, resolve
from gateway.sql.lineage import Sources

ASSUMED: Final = (
    "the target was not asked: each relation is taken for a plain table (no view, trigger, child or partition) with "
    "the columns that are named, each function for PostgreSQL's own, and labelled columns for there"
)

DEFAULT_SCHEMA: Final = "public"
"""Where an unqualified relation is assumed, and wherever a label's pattern could mean it."""

FIRST_OID: Final = 16384
"""FirstNormalObjectId (access/transam.h): below, objects are the server's own."""

TEXT_TYPE: Final = "25"
"""pg_type.oid of text."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One result column, or any number of them (``many``: a ``*``).

    sources  the columns that it is made of, ``relation.column``; what has none is a constant or a count of rows
    """

    sources: tuple[str, ...]
    many: bool
    labels: frozenset[str]
    method: Method


class Assumed:
    """Reads statements against an assumed catalogue; what it read last is kept for `refusal`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def read(self, text: str, access: Access) -> SqlOperation:
        """`gateway.policy.cases.Analyse`."""
        analysis = analyse(text)
        return resolve(analysis, _catalogue(analysis, self._snapshot.column_labels(access.target.name)))

    def columns(self, text: str, operation: SqlOperation, access: Access) -> tuple[Shown, ...] | None:
        """Each result column of the statement, as far as its text tells; None when it doesn't."""
        results = [statement.lineage for statement in analyse(text).statements if statement.row_bound != 0]
        if len(results) != 1 or results[0] is None or results[0].outputs is None:
            return None
        sources = results[0].outputs
        labels = operation.outputs or (operation.labels,) * len(sources)
        policy = self._snapshot.for_access(access)
        return tuple(
            Shown(_names(read), index == results[0].star, carried, policy.method_for(carried))
            for index, (read, carried) in enumerate(zip(sources, labels, strict=True))
        )

    def refusal(self, operation: SqlOperation, access: Access) -> str | None:
        """Why masks refuse what policy allows, None when they don't (as `gateway.session.pipeline` asks)."""
        policy = self._snapshot.for_access(access)
        labels = {label for _, label in self._snapshot.column_labels(access.target.name)}
        hidden = frozenset(label for label in labels if policy.method_for((label,)).name != "clear")
        return guard(operation, hidden) if hidden else None


def role_of(principal: Principal, target: Target, login: str = "") -> str | None:
    """`gateway.policy.cases.RoleOf`; ``login`` is the one that was asked for (empty: the first there is)."""
    credential = credential_for(target, principal, login)
    return None if credential is None else credential.user


def _catalogue(analysis: Analysis, labels: Sequence[tuple[str, str]]) -> LabelledCatalogue:
    """A database that has just what the statement names and the labels ask for."""
    patterns = [(*pattern.split("."), label) for pattern, label in labels if pattern.count(".") == 2]
    relations: list[tuple[str, ...]] = []
    columns: list[tuple[str, ...]] = []
    bound: list[tuple[str, str]] = []
    written = _columns(analysis)
    named = sorted({name for statement in analysis.statements for name in statement.relations}, key=str)
    places = [(schema, name.name) for name in named for schema in _schemas(name.schema, name.name, patterns)]
    for oid, (schema, table) in enumerate(places, FIRST_OID):
        relations.append((str(oid), schema, table, "r", "0"))
        found: dict[str, list[str]] = {}
        for of_schema, of_table, column, label in patterns:
            if fnmatchcase(schema, of_schema) and fnmatchcase(table, of_table):
                # A pattern's column has no name of its own; it stands for itself, and for those that are written.
                for name in {column, *(name for name in written[table] if fnmatchcase(name, column))}:
                    found.setdefault(name, []).append(label)
        for name in written[table]:
            found.setdefault(name, [])
        for number, (column, of_column) in enumerate(found.items(), 1):
            columns.append((str(oid), str(number), column, TEXT_TYPE, "-1", "f"))
            if "." not in schema + table:
                bound += [(".".join(map(escape, (schema, table, column))), label) for label in of_column]
    return Catalogue.from_rows(
        relations=relations,
        columns=columns,
        schemas=[(schema,) for schema in sorted({DEFAULT_SCHEMA, *(schema for schema, _ in places)})],
        inheritance=(),
        definitions=(),
        dependencies=(),
        functions=(),
        operators=(),
        types=(),
        type_functions=(),
        domain_checks=(),
        casts=(),
        implicit=(),
        generated=(),
        view_columns={},
    ).bind(bound)


def _columns(analysis: Analysis) -> Mapping[str, set[str]]:
    """Table -> the columns that the statement may name of it."""
    found: dict[str, set[str]] = defaultdict(set)
    for statement in analysis.statements:
        if statement.lineage is not None:
            lineage = statement.lineage
            for sources in (*(lineage.outputs or ()), lineage.writes, *(use.sources for use in lineage.uses)):
                for source in sources:
                    if source.column is not None:
                        found[source.relation.name].add(source.column)
    return found


def _names(sources: Sources) -> tuple[str, ...]:
    return tuple(sorted({f"{source.relation.name}.{source.column or '*'}" for source in sources}))


def _schemas(schema: str | None, table: str, patterns: Iterable[tuple[str, ...]]) -> list[str]:
    """Where a relation is: where the statement says, or in every schema that a label's pattern could mean."""
    if schema is not None:
        return [schema]
    named = {of_schema for of_schema, of_table, *_ in patterns if fnmatchcase(table, of_table)}
    return sorted({DEFAULT_SCHEMA, *(of_schema for of_schema in named if not is_glob(of_schema))})
