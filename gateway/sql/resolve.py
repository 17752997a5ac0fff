"""`resolve`: facts of a text, what is known of database and session -> the `SqlOperation` that policy decides on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.model import CopyOut, LabelUse, SqlOperation
from gateway.sql.catalogue import Catalogue
from gateway.sql.copying import resolve_copy
from gateway.sql.ddl import Ddl
from gateway.sql.facts import Analysis, Statement
from gateway.sql.harmless import EFFECTFUL, HARMLESS, REVEALING_FUNCTIONS, REVEALING_RELATIONS
from gateway.sql.labels import LabelledCatalogue
from gateway.sql.lineage import BULK, Lineage, Sources, labels_of, uses_of
from gateway.sql.names import Name
from gateway.sql.settings import steers
from gateway.verbs import FREE

_WRITES: Final = frozenset({"insert", "update", "merge", "create", "alter", "copy_from", "do", "call", "refresh"})
_RULED: Final = frozenset({"insert", "update", "delete", "merge"})
_SERVERS: Final = frozenset({"pg_catalog", "information_schema", "pg_toast"})
_NONE: Final[frozenset[str]] = frozenset()
_NO_TYPES: Final[frozenset[int]] = frozenset()
_NO_SOURCES: Final[Sources] = frozenset()
_GUESSED: Final = ("pg_", "lo_", "binary_upgrade_", "dblink")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the session has prepared: by SQL or by the protocol, whose names share one space on the server.

    prepared  statement name -> what it runs (of a PREPARE its own `Statement`, of a Parse all of its statements)
    cursors   cursor or portal name -> what it runs
    """

    prepared: Mapping[str, Sequence[Statement]] = field(default_factory=dict)
    cursors: Mapping[str, Sequence[Statement]] = field(default_factory=dict)


NOTHING: Final = Remembered()


@dataclass(slots=True)
class _Sum:
    """The operation as far as its statements were added up.

    ruled  it writes to a relation with rules, which may add results of their own (DO ALSO SELECT)
    """

    verbs: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    untrusted: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    without_where: bool = False
    clean: bool = True
    revealing: bool = False
    steering: bool = False
    rows: int | None = 0
    ruled: bool = False
    ddl: Ddl = "none"
    uses: list[LabelUse] | None = field(default_factory=list)
    opaque: str | None = None

    def alters(self, ddl: Ddl) -> None:
        """Two kinds in one message count as code: what one of them may read, the other may not name."""
        if ddl != "none":
            self.ddl = ddl if self.ddl in {"none", ddl} else "code"

    def refuse(self, reason: str) -> None:
        if self.opaque is None:
            self.opaque = reason


def resolve(
    analysis: Analysis,
    catalogue: LabelledCatalogue | None,
    remembered: Remembered = NOTHING,
    parameter_types: Collection[int] = (),
) -> SqlOperation:
    """The operation that a client message is, in this database and session.

    catalogue        None when nothing is known about the database: then a statement that names any relation or
                     calls any function is opaque
    parameter_types  type OIDs that a Parse states for its parameters
    """
    total = _Sum(opaque=analysis.opaque)
    here = _Here(remembered)
    results: list[Lineage | None] = []
    for statement in analysis.statements:
        bound = _add(total, statement, catalogue, here, parameter_types)
        total.rows = None if bound is None or total.rows is None else total.rows + bound
        results += _results(statement, here)
        here.note(statement)
    outputs, star = None, None
    if total.labels and catalogue is not None and not total.ruled:
        outputs, star = _outputs(results, catalogue)
    if catalogue is not None:
        for oid in parameter_types:
            total.untrusted |= catalogue.catalogue.type_functions.get(oid, _NONE)
        if not total.verbs <= FREE:
            total.untrusted |= catalogue.catalogue.everywhere
    return SqlOperation(
        text=analysis.redacted,
        normalised=analysis.normalised,
        digest=analysis.digest,
        verbs=frozenset(total.verbs) if analysis.opaque is None else frozenset({"unknown"}),
        relations=frozenset(total.relations),
        functions=frozenset(total.functions),
        untrusted_functions=frozenset(total.untrusted),
        labels=frozenset(total.labels),
        without_where=total.without_where,
        clean_writes=total.clean and analysis.opaque is None,
        row_bound=None if analysis.opaque is not None else total.rows,
        revealing=total.revealing,
        steering=total.steering,
        opaque=total.opaque,
        outputs=outputs,
        star=star,
        ddl=total.ddl,
        copies=_copies(analysis, catalogue),
        uses=None if total.uses is None else tuple(total.uses),
        unshown=_unshown(analysis),
    )


def _unshown(analysis: Analysis) -> str | None:
    """See `gateway.model.Operation`. To prepare something is of no use where it can't be run, so that counts, too."""
    if analysis.opaque is not None:
        return analysis.opaque
    for statement in analysis.statements:
        if statement.prepares is not None or statement.executes:
            return "what PREPARE and EXECUTE run goes by a name"
        if statement.declares is not None or statement.fetches:
            return "what a cursor gives goes by its name"
    return None


def _copies(analysis: Analysis, catalogue: LabelledCatalogue | None) -> CopyOut | None:
    """Of several statements in one message nobody could say whose rows come."""
    if len(analysis.statements) != 1 or catalogue is None:
        return None
    copies = analysis.statements[0].copies
    return None if copies is None else resolve_copy(copies, catalogue)


class _Here:
    """What the session remembers, and what earlier statements of the same message add to it."""

    def __init__(self, remembered: Remembered) -> None:
        self._prepared = {name: tuple(found) for name, found in remembered.prepared.items()}
        self._cursors = {name: tuple(found) for name, found in remembered.cursors.items()}

    def note(self, statement: Statement) -> None:
        # Both the old and the new one count: whether the PREPARE succeeds isn't known yet.
        if statement.prepares is not None:
            self._prepared[statement.prepares] = (*self._prepared.get(statement.prepares, ()), statement)
        if statement.declares is not None:
            self._cursors[statement.declares] = (*self._cursors.get(statement.declares, ()), statement)

    def prepared(self, name: str) -> tuple[Statement, ...] | None:
        return self._prepared.get(name)

    def cursor(self, name: str) -> tuple[Statement, ...] | None:
        return self._cursors.get(name)


def _add(
    total: _Sum,
    statement: Statement,
    catalogue: LabelledCatalogue | None,
    here: _Here,
    parameter_types: Collection[int],
) -> int | None:
    """Add one statement and what it runs; returns the most rows that it gives."""
    bound = statement.row_bound
    _add_one(total, statement, catalogue, parameter_types)
    seen: set[str] = set()
    waiting = [*statement.executes]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        runs = here.prepared(name)
        if runs is None:
            total.refuse("EXECUTE of a statement that this session has not prepared")
            continue
        for inner in runs:
            _add_one(total, inner, catalogue, parameter_types, by_name=True)
            waiting.extend(inner.executes)
        if len(runs) == 1 and bound is None and "explain" not in statement.verbs:
            bound = runs[0].run_bound if runs[0].prepares is not None else runs[0].row_bound
    for name in statement.fetches:
        cursor = here.cursor(name)
        if cursor is None:
            total.refuse("FETCH from a cursor that this session has not declared")
            continue
        for inner in cursor:
            _add_one(total, inner, catalogue, parameter_types, counted=True)
            for executed in inner.executes:
                for runs_inner in here.prepared(executed) or ():
                    _add_one(total, runs_inner, catalogue, parameter_types, counted=True)
    return bound


def _results(statement: Statement, here: _Here) -> list[Lineage | None]:
    """Lineages of all results that it may give, of whatever it runs by a name; None for one that isn't known."""
    if statement.row_bound == 0:
        return []
    if "explain" in statement.verbs or not (statement.executes or statement.fetches):
        return [statement.lineage]
    found: list[Lineage | None] = []
    seen: set[str] = set()
    waiting = [inner for name in statement.fetches for inner in here.cursor(name) or ()]
    names = [*statement.executes]
    while waiting or names:
        while names:
            name = names.pop()
            if name not in seen:
                seen.add(name)
                waiting += here.prepared(name) or ()
        if waiting:
            inner = waiting.pop()
            names += inner.executes
            if not inner.executes:
                found.append(None if "explain" in inner.verbs else inner.lineage)
    return found


def _outputs(
    results: Sequence[Lineage | None], labelled: LabelledCatalogue
) -> tuple[tuple[frozenset[str], ...] | None, int | None]:
    """Labels of each output, by position: of one result, or of several that look alike."""
    shapes = set()
    for lineage in results:
        if lineage is None or lineage.outputs is None:
            return None, None
        shapes.add((len(lineage.outputs), lineage.star))
    if len(shapes) != 1:
        return None, None
    [(_, star)] = shapes
    columns = zip(*(lineage.outputs for lineage in results if lineage is not None and lineage.outputs), strict=True)
    return tuple(labels_of(_NO_SOURCES.union(*sources), labelled) for sources in columns), star


def _add_one(
    total: _Sum,
    statement: Statement,
    labelled: LabelledCatalogue | None,
    parameter_types: Collection[int],
    *,
    by_name: bool = False,
    counted: bool = False,
) -> None:
    """Add what a statement does.

    by_name  EXECUTE runs it, with parameters that aren't read
    counted  it goes on with a cursor: what it compares was counted when that was declared
    """
    total.verbs |= statement.verbs
    total.without_where = total.without_where or statement.without_where
    if statement.opaque is not None:
        total.refuse(statement.opaque)
    total.steering = total.steering or any(steers(name) for name, _value in statement.sets)
    for name in statement.functions:
        total.functions.add(str(name).lower())
        total.functions.add(name.name.lower())
    if labelled is None:
        total.alters(statement.ddl)
        total.relations.update(str(name) for name in statement.relations)
        total.untrusted.update(str(name) for name in (*statement.functions, *statement.types))
        if statement.relations or statement.functions or statement.types or statement.schemas or statement.everywhere:
            total.refuse("nothing is known about the database")
        return
    catalogue = labelled.catalogue
    total.ruled = total.ruled or any(
        oid in catalogue.ruled for name in statement.writes_to for oid in catalogue.named(name)
    )
    ddl: Ddl = "code" if _shadows(statement, catalogue) else statement.ddl
    total.alters(ddl)
    used, unknown = _used(total, statement, catalogue)
    if _writes_catalogue(statement, catalogue):
        # DDL and SET by other means: UPDATE pg_class renames, UPDATE pg_settings sets.
        total.verbs |= {"alter", "set_unsafe"}
        total.refuse("it writes to the server's own catalogue")
    untrusted = _untrusted(statement, catalogue) | _operators(statement, used, catalogue, parameter_types)
    for oid in used:
        behind = catalogue.behind.get(oid)
        if behind is not None:
            untrusted |= behind.untrusted
            total.verbs |= behind.verbs
            if statement.verbs & _RULED:
                total.verbs |= behind.rule_verbs
                untrusted |= behind.defaults
            if behind.opaque is not None:
                total.refuse(behind.opaque)
    oids = used | _swept(statement, catalogue)
    total.relations.update(str(catalogue.relations[oid]) for oid in oids if oid in catalogue.relations)
    labels = _NONE.union(*(labelled.relation_labels(oid) for oid in oids))
    total.untrusted |= untrusted
    total.functions |= {name.lower() for name in untrusted}
    total.labels |= labels
    total.revealing = total.revealing or _reveals(statement, oids, catalogue)
    if total.clean and labelled.labels:
        total.clean = _is_clean(statement, labelled, dirty=bool(untrusted or unknown), touched=bool(labels))
    if labels and total.uses is not None:
        if statement.lineage is None:
            total.uses = None
        else:
            uses = uses_of(statement.lineage.uses, labelled)
            total.uses += [_unread(use) if by_name else use for use in uses if not (counted and use.kind == "probe")]


def _unread(use: LabelUse) -> LabelUse:
    """The use by an EXECUTE: nobody counts the elements of its arrays."""
    return replace(use, count=BULK, arrays=frozenset()) if use.arrays else use


def _used(total: _Sum, statement: Statement, catalogue: Catalogue) -> tuple[set[int], bool]:
    """OIDs of what the statement names and what lies behind it, and whether it reads one that isn't known."""
    oids: set[int] = set()
    unknown = False
    for name in statement.relations:
        found = catalogue.named(name)
        oids.update(found)
        for oid in found:
            behind = catalogue.behind.get(oid)
            if behind is not None:
                oids |= behind.relations
        if not found:
            # Made since the catalogue was read, or in this very transaction: in whatever schema.
            unknown = unknown or name not in statement.writes_to
            if name.schema is None:
                total.relations.update(f"{schema}.{name.name}" for schema in catalogue.schemas)
            else:
                total.relations.add(str(name))
    return oids, unknown


def _shadows(statement: Statement, catalogue: Catalogue) -> bool:
    """Whether it makes a name that is in use elsewhere: a trigger that writes to ``log`` would write to pg_temp's."""
    for name in statement.makes:
        if name in catalogue.types:
            return True
        for oid in catalogue.by_name.get(name, ()):
            if not catalogue.relations[oid].schema.startswith("pg_temp_"):
                return True
    return False


def _writes_catalogue(statement: Statement, catalogue: Catalogue) -> bool:
    """Whether a target is one of the server's own relations, or a view that stands on one."""
    for name in statement.writes_to:
        for oid in catalogue.named(name):
            behind = catalogue.behind.get(oid)
            reached = {oid} if behind is None else behind.relations
            if any(other in catalogue.relations and catalogue.relations[other].schema in _SERVERS for other in reached):
                return True
    return False


def _swept(statement: Statement, catalogue: Catalogue) -> set[int]:
    """OIDs of what it reaches without naming it: CASCADE, DROP SCHEMA, a VACUUM of everything."""
    oids: set[int] = set()
    for schema in statement.schemas:
        oids.update(catalogue.in_schema(schema))
    if statement.everywhere:
        oids.update(oid for oid, relation in catalogue.relations.items() if relation.columns)
    return oids


def _untrusted(statement: Statement, catalogue: Catalogue) -> set[str]:
    found: set[str] = set()
    for name in statement.functions:
        called = catalogue.called(name)
        if name.name in statement.judged:
            called = called - {name.name}
        found |= called
    for type_name in statement.types:
        # An array type has a name of its own, but is written as its element's.
        found |= catalogue.code_of_type(type_name)
    for attribute in statement.attributes:
        if attribute in catalogue.one_argument:
            found |= catalogue.functions[attribute]
        found |= catalogue.code_of_type(Name(None, attribute))
        if _may_be_effectful(attribute):
            found.add(attribute)
    return found


def _operators(
    statement: Statement, used: set[int], catalogue: Catalogue, parameter_types: Collection[int]
) -> set[str]:
    """Functions of the operators that these names could mean.

    An operator for types of its own is meant only where a value of such a type can be: of a column, a cast or a
    parameter, since functions that aren't the server's own count themselves. A relation that isn't known could have
    columns of any type.
    """
    meant = [
        one
        for operator in statement.operators
        for one in catalogue.operators.get(operator.name, ())
        if operator.schema is None or operator.schema == one.schema
    ]
    if not meant:
        return set()
    if not all(catalogue.named(name) for name in statement.relations):
        return {one.function for one in meant}
    types: set[int] = {*parameter_types}
    for oid in used:
        relation = catalogue.relations.get(oid)
        if relation is not None:
            types.update(type_oid for _column, type_oid in relation.columns.values())
    casts = {*(name.name for name in statement.types), *(name.name for name in statement.functions)}
    for cast in casts | statement.attributes:
        types.update(catalogue.types.get(cast, ()))
    for oid in tuple(types):
        types |= catalogue.type_parts.get(oid, _NO_TYPES)
    return {one.function for one in meant if not one.types or one.types & types}


def _may_be_effectful(name: str) -> bool:
    return name in EFFECTFUL or (name.startswith(_GUESSED) and name not in HARMLESS)


def _reveals(statement: Statement, oids: set[int], catalogue: Catalogue) -> bool:
    for name in statement.relations:
        if name.name in REVEALING_RELATIONS or name.schema == "pg_toast":
            return True
    for oid in oids:
        relation = catalogue.relations.get(oid)
        if relation is not None and (relation.name in REVEALING_RELATIONS or relation.schema == "pg_toast"):
            return True
    return any(name.name in REVEALING_FUNCTIONS for name in statement.functions)


def _is_clean(statement: Statement, labelled: LabelledCatalogue, *, dirty: bool, touched: bool) -> bool:
    """Whether nothing that the statement writes can come from a labelled column."""
    if not statement.verbs & _WRITES:
        return not (dirty and touched and statement.functions)
    if dirty or not statement.clean_sources:
        # Code that nobody read, or a relation that nobody knows, could hold anything.
        return False
    if statement.executes:
        # CREATE TABLE AS EXECUTE: what it stores is another statement's.
        return False
    if not touched:
        return True
    return statement.lineage is not None and not labels_of(statement.lineage.writes, labelled)
