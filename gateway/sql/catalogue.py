"""A target database as far as decisions need it: who is called what, what lies behind a view, where labels reach.

Immutable; a new one replaces the old one as a whole. The rows come from `gateway.sql.catalogue_queries`, run by the
protocol on the gateway's own connection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, TypeVar

from gateway.sql.analysis import analyse
from gateway.sql.harmless import EFFECTFUL, HARMLESS, HARMLESS_IN_INFORMATION_SCHEMA
from gateway.sql.labels import LabelledCatalogue, close_labels
from gateway.sql.lineage import Lineage
from gateway.sql.names import Name

Rows: TypeAlias = Sequence[Sequence[str | None]]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Relation:
    """``columns``: number -> (name, type oid); empty for the server's own relations, which hold nothing labelled.

    generated  numbers of the columns that are computed from others
    typmods    number -> the type's modifier, where there is one
    """

    oid: int
    schema: str
    name: str
    kind: str
    columns: Mapping[int, tuple[str, int]]
    generated: frozenset[int] = frozenset()
    typmods: Mapping[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


FIRST_USER_OID: Final = 16384
"""FirstNormalObjectId (access/transam.h): below, objects are the server's own."""


class Operator(NamedTuple):
    """One that isn't the server's own.

    types  of its operands, when it can be meant only where a value of such a type is; empty: it can be meant anywhere
    """

    schema: str
    function: str
    types: frozenset[int]


@dataclass(frozen=True, slots=True)
class Behind:
    """What a relation brings along when it is used: children, view queries, rules and row security, transitively.

    relations   the relations themselves, its own included
    untrusted   functions that aren't known to be harmless (see `Catalogue.called`), of its column types, too
    verbs       what a view's query does beside selecting
    rule_verbs  what rules do when it is written to
    defaults    functions that aren't known to be harmless, and run when a row is written: defaults of columns call them
    """

    relations: frozenset[int] = frozenset()
    untrusted: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    rule_verbs: frozenset[str] = frozenset()
    defaults: frozenset[str] = frozenset()
    opaque: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One database. Make it with `from_rows`; bind labels to it with `bind`.

    generated_from  (relation, column number) of a generated column -> numbers of the columns that it is made of
    parents         child or partition -> what it inherits from
    view_columns    view -> where each output column comes from, see `from_rows`
    view_lineage    view -> the flows of its query, where that says everything that can reach its columns
    uses            relation -> the relations that its query and rules read or write, one step
    behind          relation -> all that using it brings along
    ruled           relations with rules of their own: writing to them may do, and return, something else
    functions       name -> ``schema.name`` of every function that isn't the server's own; one_argument: the names of
                    those that take one argument, so that ``(x).name`` can call them
    operators       name -> every such operator
    types           name -> such types; type_functions: type -> functions that its values may run; type_parts: type ->
                    the types that its values are made of, itself included
    row_types       row type -> its relation
    everywhere      functions of casts between the server's own types: any statement may run them
    """

    relations: Mapping[int, Relation]
    by_name: Mapping[str, tuple[int, ...]]
    schemas: frozenset[str]
    generated_from: Mapping[tuple[int, int], frozenset[int]]
    parents: Mapping[int, frozenset[int]]
    view_columns: Mapping[int, Sequence[tuple[int, int]]]
    view_lineage: Mapping[int, Lineage]
    uses: Mapping[int, frozenset[int]]
    behind: Mapping[int, Behind]
    ruled: frozenset[int]
    functions: Mapping[str, frozenset[str]]
    one_argument: frozenset[str]
    operators: Mapping[str, frozenset[Operator]]
    types: Mapping[str, frozenset[int]]
    type_schemas: Mapping[int, str]
    type_functions: Mapping[int, frozenset[str]]
    type_parts: Mapping[int, frozenset[int]]
    row_types: Mapping[int, int]
    everywhere: frozenset[str]

    @classmethod
    def from_rows(
        cls,
        *,
        relations: Rows,
        columns: Rows,
        inheritance: Rows,
        definitions: Rows,
        dependencies: Rows,
        functions: Rows,
        operators: Rows,
        types: Rows,
        type_functions: Rows,
        domain_checks: Rows,
        casts: Rows,
        implicit: Rows,
        generated: Rows,
        schemas: Rows,
        view_columns: Mapping[int, Sequence[tuple[int, int]]],
    ) -> Catalogue:
        """Build from the answers to `catalogue_queries.QUERIES`, text format.

        view_columns  view oid -> (table oid, column number) of each output column, in order, as Describe of its
                      definition tells; (0, 0) for an expression. A view that is missing counts as expressions only

        Raises ValueError or TypeError when a row isn't what the query promises: then there is no catalogue.
        """
        found = _relations(relations, columns)
        by_name: dict[str, list[int]] = defaultdict(list)
        for relation in found.values():
            by_name[relation.name].append(relation.oid)
        names = {_number(oid): f"{schema}.{name}" for oid, schema, name, _one in functions}
        overloads: dict[str, set[str]] = defaultdict(set)
        for _oid, schema, name, _one in functions:
            overloads[_text(name)].add(f"{schema}.{name}")
        behind_operators: dict[str, set[Operator]] = defaultdict(set)
        becoming = {_number(oid) for (oid,) in implicit}
        for schema, name, function, left, right in operators:
            ends = frozenset(end for end in (_number(left), _number(right)) if end)
            # An operand of another type can't become one of these: then such a type has to be there.
            own = bool(ends) and min(ends) >= FIRST_USER_OID and ends.isdisjoint(becoming)
            behind_operators[_text(name)].add(
                Operator(_text(schema), _function(names, function), ends if own else frozenset())
            )
        type_names: dict[str, set[int]] = defaultdict(set)
        for oid, _schema, name, *_rest in types:
            type_names[_text(name)].add(_number(oid))
        parts = _type_parts(types, found)
        code, everywhere = _type_functions(names, parts, type_functions, domain_checks, casts)
        parents: dict[int, set[int]] = defaultdict(set)
        for child, parent in inheritance:
            parents[_number(child)].add(_number(parent))
        made_of: dict[tuple[int, int], set[int]] = defaultdict(set)
        for oid, number, other in generated:
            made_of[_number(oid), _number(number)].add(_number(other))
        uses: dict[int, set[int]] = defaultdict(set)
        for oid, kind, other in dependencies:
            if kind == "relation":
                uses[_number(oid)].add(_number(other))
        direct = _direct(names, definitions, dependencies, found, code)
        return cls(
            relations=found,
            by_name={name: tuple(oids) for name, oids in by_name.items()},
            schemas=frozenset(_text(schema) for (schema,) in schemas),
            generated_from=_frozen(made_of),
            parents=_frozen(parents),
            view_columns=dict(view_columns),
            view_lineage=_view_lineage(definitions, direct),
            uses=_frozen(uses),
            behind=_closed(found, direct, uses, parents),
            ruled=frozenset(_number(oid) for oid, event, _text_of in definitions if event != "1"),
            functions=_frozen(overloads),
            one_argument=frozenset(_text(name) for _oid, _schema, name, one in functions if one == "t"),
            operators=_frozen(behind_operators),
            types=_frozen(type_names),
            type_schemas={_number(row[0]): _text(row[1]) for row in types},
            type_functions=code,
            type_parts={oid: frozenset(_reach(oid, parts)) for oid in parts},
            row_types={_number(row[0]): int(row[5]) for row in types if row[5] is not None and int(row[5]) in found},
            everywhere=everywhere,
        )

    def named(self, name: Name) -> tuple[int, ...]:
        """Every relation that this name could mean; an unqualified one stands for all of that name.

        A single-byte server folds letters beyond ASCII that our parser leaves alone, so both spellings count.
        """
        found = self.by_name.get(name.name, ())
        if not name.name.isascii():
            found = tuple({*found, *self.by_name.get(name.name.lower(), ())})
        if name.schema is None:
            return found
        if name.schema == "pg_temp":
            return tuple(oid for oid in found if self.relations[oid].schema.startswith("pg_temp_"))
        return tuple(oid for oid in found if self.relations[oid].schema == name.schema)

    def in_schema(self, schema: str) -> tuple[int, ...]:
        return tuple(oid for oid, relation in self.relations.items() if relation.schema == schema)

    def called(self, name: Name) -> frozenset[str]:
        """What a call of this name could run that isn't known to be harmless.

        The server's own functions by their bare name, others as ``schema.name``; a name that nothing has as written.
        """
        others = self.functions.get(name.name, frozenset())
        if name.schema is not None:
            others = frozenset(other for other in others if other == f"{name.schema}.{name.name}")
        if name.schema == "information_schema":
            return others if name.name in HARMLESS_IN_INFORMATION_SCHEMA else others | {str(name)}
        if name.schema is None or name.schema == "pg_catalog":
            own = name.name not in HARMLESS and (not others or name.name in EFFECTFUL)
            # A type's name called like a function is a cast.
            types = self.code_of_type(name) if name.schema is None else frozenset()
            return others | types | ({name.name} if own else frozenset())
        return others or frozenset({str(name)})

    def code_of_type(self, name: Name) -> frozenset[str]:
        """Functions that values of the types of this name may run."""
        found: frozenset[str] = frozenset()
        for oid in self.types.get(name.name, ()):
            if name.schema is None or self.type_schemas[oid] == name.schema:
                found |= self.type_functions.get(oid, frozenset())
        return found

    def bind(self, labels: Iterable[tuple[str, str]], json_labels: frozenset[str] = frozenset()) -> LabelledCatalogue:
        """See `gateway.sql.labels.close_labels`."""
        return close_labels(self, labels, json_labels)


def _text(value: str | None) -> str:
    if value is None:
        raise ValueError("a catalogue row lacks a value")
    return value


def _number(value: str | None) -> int:
    return int(_text(value))


def _frozen(sets: Mapping[K, set[V]]) -> Mapping[K, frozenset[V]]:
    return {key: frozenset(values) for key, values in sets.items()}


def _function(names: Mapping[int, str], oid: str | None) -> str:
    """The name of a function behind an operator, cast or type; one of the server's own by its OID."""
    number = _number(oid)
    return names.get(number, f"pg_catalog.{number}")


def _relations(relations: Rows, columns: Rows) -> dict[int, Relation]:
    of_relation: dict[int, dict[int, tuple[str, int]]] = defaultdict(dict)
    generated: dict[int, set[int]] = defaultdict(set)
    typmods: dict[int, dict[int, int]] = defaultdict(dict)
    for oid, number, name, type_oid, typmod, is_generated in columns:
        of_relation[_number(oid)][_number(number)] = (_text(name), _number(type_oid))
        if typmod != "-1":
            typmods[_number(oid)][_number(number)] = _number(typmod)
        if is_generated != "f":
            generated[_number(oid)].add(_number(number))
    return {
        _number(oid): Relation(
            _number(oid),
            _text(schema),
            _text(name),
            _text(kind),
            of_relation.get(_number(oid), {}),
            frozenset(generated.get(_number(oid), ())),
            typmods.get(_number(oid), {}),
        )
        for oid, schema, name, kind, _row_type in relations
    }


def _type_parts(types: Rows, relations: Mapping[int, Relation]) -> Mapping[int, set[int]]:
    """Type -> what its values are made of, one step: a domain's base, an array's elements, a row's columns."""
    parts: dict[int, set[int]] = {}
    for oid, _schema, _name, base, element, relation, subtype in types:
        made_of = {int(part) for part in (base, element, subtype) if part is not None}
        if relation is not None and int(relation) in relations:
            made_of.update(type_oid for _column, type_oid in relations[int(relation)].columns.values())
        parts[_number(oid)] = made_of
    return parts


def _type_functions(
    names: Mapping[int, str],
    parts: Mapping[int, set[int]],
    type_functions: Rows,
    domain_checks: Rows,
    casts: Rows,
) -> tuple[Mapping[int, frozenset[str]], frozenset[str]]:
    """Type -> the functions that its values may run, closed over what it is made of; and those of any statement."""
    own: dict[int, set[str]] = defaultdict(set)
    for oid, function in type_functions:
        if _number(function) in names:
            own[_number(oid)].add(names[_number(function)])
    for oid, check in domain_checks:
        own[_number(oid)].update(_built_in(f"ALTER TABLE checked ADD {check}"))
    everywhere: set[str] = set()
    for source, target, function in casts:
        name = _function(names, function)
        ends = [int(end) for end in (source, target) if end is not None and int(end) in parts]
        for end in ends:
            own[end].add(name)
        if not ends:
            everywhere.add(name)
    closed = {oid: frozenset().union(*(own.get(part, ()) for part in _reach(oid, parts))) for oid in parts}
    return {oid: found for oid, found in closed.items() if found}, frozenset(everywhere)


def _built_in(text: str | None) -> frozenset[str]:
    """The server's own functions in a stored definition that aren't harmless. Others are in the dependencies."""
    analysis = analyse(text or "\0")
    if analysis.opaque is not None:
        return frozenset({"a definition that isn't understood"})
    found: set[str] = set()
    for statement in analysis.statements:
        found.update(_not_harmless(name) for name in statement.functions if name.name not in statement.judged)
    return frozenset(found - {""})


def _not_harmless(name: Name) -> str:
    if name.schema is None or name.schema == "pg_catalog":
        return "" if name.name in HARMLESS else name.name
    if name.schema == "information_schema" and name.name in HARMLESS_IN_INFORMATION_SCHEMA:
        return ""
    return str(name)


def _direct(
    names: Mapping[int, str],
    definitions: Rows,
    dependencies: Rows,
    relations: Mapping[int, Relation],
    code: Mapping[int, frozenset[str]],
) -> Mapping[int, Behind]:
    """Relation -> what its own columns, view query, rules and policies bring along, one step."""
    untrusted: dict[int, set[str]] = defaultdict(set)
    verbs: dict[int, set[str]] = defaultdict(set)
    rule_verbs: dict[int, set[str]] = defaultdict(set)
    defaults: dict[int, set[str]] = defaultdict(set)
    opaque: dict[int, str] = {}
    for relation in relations.values():
        for _column, type_oid in relation.columns.values():
            untrusted[relation.oid].update(code.get(type_oid, ()))
    for oid, kind, other in dependencies:
        if kind in {"function", "default"}:
            if _number(other) in names:
                (untrusted if kind == "function" else defaults)[_number(oid)].add(names[_number(other)])
        elif kind == "type":
            untrusted[_number(oid)].update(code.get(_number(other), ()))
    for oid, event, text in definitions:
        number = _number(oid)
        analysis = analyse(text or "\0")
        if analysis.opaque is not None or len(analysis.statements) != 1:
            opaque[number] = f"what {relations.get(number, number)} is defined as isn't understood"
            continue
        untrusted[number].update(_built_in(text))
        [statement] = analysis.statements
        if statement.opaque is not None:
            opaque[number] = statement.opaque
        (verbs if event == "1" else rule_verbs)[number].update(statement.verbs - {"select", "create"})
    touched = {*untrusted, *verbs, *rule_verbs, *defaults, *opaque}
    return {
        oid: Behind(
            frozenset({oid}),
            frozenset(untrusted[oid]),
            frozenset(verbs[oid]),
            frozenset(rule_verbs[oid]),
            frozenset(defaults[oid]),
            opaque.get(oid),
        )
        for oid in touched
    }


def _view_lineage(definitions: Rows, direct: Mapping[int, Behind]) -> Mapping[int, Lineage]:
    """View -> its query's lineage, where that can be followed and no code of the target's own takes part."""
    found: dict[int, Lineage] = {}
    for oid, event, text in definitions:
        behind = direct.get(_number(oid), Behind())
        if event != "1" or behind.untrusted or behind.opaque is not None:
            continue
        [statement] = analyse(text or "\0").statements
        if statement.lineage is not None and statement.lineage.star is None:
            found[_number(oid)] = statement.lineage
    return found


def _closed(
    relations: Mapping[int, Relation],
    direct: Mapping[int, Behind],
    uses: Mapping[int, set[int]],
    parents: Mapping[int, set[int]],
) -> Mapping[int, Behind]:
    edges: dict[int, set[int]] = defaultdict(set)
    for oid, others in uses.items():
        edges[oid] |= others
    for child, above in parents.items():
        for parent in above:
            edges[parent].add(child)
    closed: dict[int, Behind] = {}
    for oid in relations.keys() & (edges.keys() | direct.keys()):
        reached = _reach(oid, edges)
        parts = [direct[other] for other in reached if other in direct]
        closed[oid] = Behind(
            frozenset(reached),
            frozenset().union(*(part.untrusted for part in parts)),
            frozenset().union(*(part.verbs for part in parts)),
            frozenset().union(*(part.rule_verbs for part in parts)),
            frozenset().union(*(part.defaults for part in parts)),
            next((part.opaque for part in parts if part.opaque is not None), None),
        )
    return closed


def _reach(start: int, edges: Mapping[int, Iterable[int]]) -> set[int]:
    seen = {start}
    open_ends = [start]
    while open_ends:
        for other in edges.get(open_ends.pop(), ()):
            if other not in seen:
                seen.add(other)
                open_ends.append(other)
    return seen
