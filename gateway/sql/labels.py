"""Where labels reach: from the columns they are bound to, through inheritance, partitions and views.

postgres.md, masking, 1. RowDescription names a partition's, a child's or a view's own OID, so each of their columns
needs the labels of what it shows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import TYPE_CHECKING

from gateway.sql.lineage import labels_of, uses_of
from gateway.sql.names import Name

if TYPE_CHECKING:
    from gateway.sql.catalogue import Catalogue

_NONE: frozenset[str] = frozenset()

_VIEWS = frozenset({"v", "m"})

JSON_TYPES = frozenset({114, 199, 3802, 3807})
"""json, jsonb and arrays of them (src/include/catalog/pg_type.dat)."""


@dataclass(frozen=True, slots=True)
class LabelledCatalogue:
    """A `Catalogue` with labels bound to it.

    columns   (relation oid, column number) -> labels; (oid, 0) is the whole row
    numbers   relation with labels -> column's name -> its number
    by_path   json column of a table -> those of its labels that only places in its values carry: whoever shows the
              column itself masks these, anything that is made of it carries the labels whole
    labels    every label that is bound to anything here
    unbound   the pairs of pattern and label that match no column
    """

    catalogue: Catalogue
    columns: Mapping[tuple[int, int], frozenset[str]]
    numbers: Mapping[int, Mapping[str, int]]
    labels: frozenset[str]
    unbound: tuple[tuple[str, str], ...]
    by_path: Mapping[tuple[int, int], frozenset[str]] = field(default_factory=dict)

    def relation_labels(self, relation: int | Name) -> frozenset[str]:
        """Labels of a relation, by oid, or of all that a name could mean."""
        if isinstance(relation, int):
            return self.columns.get((relation, 0), _NONE)
        return _NONE.union(*(self.columns.get((oid, 0), _NONE) for oid in self.catalogue.named(relation)))

    def labelled_names(self, relation: int) -> frozenset[str]:
        """Names of the labelled columns of a relation."""
        found = self.catalogue.relations.get(relation)
        if found is None or (relation, 0) not in self.columns:
            return _NONE
        return frozenset(name for number, (name, _type) in found.columns.items() if (relation, number) in self.columns)

    def knows(self, relation: int, number: int = 0) -> bool:
        """Whether the relation and its column were there when the catalogue was read. If not: read again, else mask.

        System columns and whole rows (``number`` below 1) are there when the relation is.
        """
        found = self.catalogue.relations.get(relation)
        return found is not None and (number <= 0 or number in found.columns)


def close_labels(
    catalogue: Catalogue, labels: Iterable[tuple[str, str]], json_labels: frozenset[str] = _NONE
) -> LabelledCatalogue:
    """Bind pairs of a pattern ``schema.table.column``, with globs in each part, and a label; and to every json column
    the labels that are bound to places in json."""
    pairs = tuple(labels)
    whole = _closed(catalogue, pairs, ())
    if not json_labels:
        return whole
    json_columns = [
        (oid, number)
        for oid, relation in catalogue.relations.items()
        if relation.kind not in _VIEWS
        for number, (_name, type_oid) in relation.columns.items()
        if type_oid in JSON_TYPES
    ]
    by_path = {column: json_labels - whole.columns.get(column, _NONE) for column in json_columns}
    return replace(_closed(catalogue, pairs, [(column, json_labels) for column in json_columns]), by_path=by_path)


def _closed(
    catalogue: Catalogue,
    labels: Iterable[tuple[str, str]],
    more: Iterable[tuple[tuple[int, int], frozenset[str]]],
) -> LabelledCatalogue:
    columns: dict[tuple[int, int], set[str]] = defaultdict(set)
    unbound = tuple(pair for pair in labels if not _bind(catalogue, columns, *pair))
    for column, carried in more:
        columns[column] |= carried
    _generate(catalogue, columns)
    _inherit(catalogue, columns)
    _generate(catalogue, columns)
    # Views and stored rows stand on each other and on tables, nothing inherits from a view: repeat until nothing moves.
    labelled = _labelled(catalogue, columns, unbound)
    while _through_views(catalogue, columns, labelled) or _through_row_types(catalogue, columns, labelled):
        labelled = _labelled(catalogue, columns, unbound)
    return labelled


def _labelled(
    catalogue: Catalogue, columns: dict[tuple[int, int], set[str]], unbound: tuple[tuple[str, str], ...]
) -> LabelledCatalogue:
    """As far as labels have reached."""
    closed: dict[tuple[int, int], frozenset[str]] = {
        column: frozenset(found) for column, found in columns.items() if found
    }
    for (oid, number), found in list(closed.items()):
        if number:
            closed[oid, 0] = closed.get((oid, 0), _NONE) | found
    numbers = {
        oid: {name: number for number, (name, _type) in catalogue.relations[oid].columns.items()}
        for oid, number in closed
        if number == 0
    }
    return LabelledCatalogue(catalogue, closed, numbers, _NONE.union(*closed.values()), unbound)


def _bind(catalogue: Catalogue, columns: dict[tuple[int, int], set[str]], pattern: str, label: str) -> bool:
    parts = pattern.split(".")
    if len(parts) != 3:
        return False
    schema, table, column = (re.compile(translate(part)).match for part in parts)
    bound = False
    for oid, relation in catalogue.relations.items():
        if relation.columns and schema(relation.schema) and table(relation.name):
            for number, (name, _type) in relation.columns.items():
                if column(name):
                    columns[oid, number].add(label)
                    bound = True
    return bound


def _generate(catalogue: Catalogue, columns: dict[tuple[int, int], set[str]]) -> None:
    """A generated column holds what it is made of; it is never made of another generated one."""
    for (oid, number), sources in catalogue.generated_from.items():
        found = set().union(*(columns.get((oid, source), ()) for source in sources))
        if found:
            columns[oid, number] |= found


def _inherit(catalogue: Catalogue, columns: dict[tuple[int, int], set[str]]) -> None:
    """Down first, then up: a child shows the parent's data under its own OID, a parent's answer holds the child's
    rows; but what only one child has doesn't reach its siblings."""
    pairs = [(child, parent) for child, above in catalogue.parents.items() for parent in above]
    for down in (True, False):
        moved = True
        while moved:
            moved = False
            for child, parent in pairs:
                source, target = (parent, child) if down else (child, parent)
                moved = _share(catalogue, columns, source, target) or moved


def _share(catalogue: Catalogue, columns: dict[tuple[int, int], set[str]], source: int, target: int) -> bool:
    """Copy labels between columns of the same name: numbers differ between parent and child."""
    if source not in catalogue.relations or target not in catalogue.relations:
        return False
    numbers = {name: number for number, (name, _type) in catalogue.relations[target].columns.items()}
    moved = False
    for number, (name, _type) in catalogue.relations[source].columns.items():
        found = columns.get((source, number))
        if found and name in numbers and not found <= columns[target, numbers[name]]:
            columns[target, numbers[name]] |= found
            moved = True
    return moved


def _through_views(catalogue: Catalogue, columns: dict[tuple[int, int], set[str]], labelled: LabelledCatalogue) -> bool:
    """One step further; ``labelled`` is what ``columns`` say. Labels only ever come to a column, so repeating it until
    nothing moves finds all of them."""
    moved = False
    for oid, relation in catalogue.relations.items():
        if relation.kind not in _VIEWS or not relation.columns:
            continue
        # What an expression may hold: everything that the view depends on.
        everything: set[str] = set()
        for other in catalogue.uses.get(oid, ()):
            if other in catalogue.relations:
                for number in catalogue.relations[other].columns:
                    everything |= columns.get((other, number), set())
        followed = _followed(catalogue, oid, labelled)
        origins = catalogue.view_columns.get(oid, ())
        for position, number in enumerate(sorted(relation.columns)):
            origin = origins[position] if position < len(origins) else (0, 0)
            # (oid, 0) is a whole row; an unknown relation could hold anything that the view reads.
            plain = origin[1] != 0 and origin[0] in catalogue.relations
            if plain:
                found = columns.get(origin, set())
            else:
                found = everything if followed is None else everything & followed[position]
            if not found <= columns[oid, number]:
                columns[oid, number] |= found
                moved = True
    return moved


def _through_row_types(
    catalogue: Catalogue, columns: dict[tuple[int, int], set[str]], labelled: LabelledCatalogue
) -> bool:
    """A column whose type is, or has in it, the row type of a relation can hold that relation's rows. See
    `_through_views`."""
    moved = False
    for oid, relation in catalogue.relations.items():
        for number, (_name, type_oid) in relation.columns.items():
            for part in catalogue.type_parts.get(type_oid, ()):
                found = labelled.relation_labels(catalogue.row_types.get(part, 0))
                if not found <= columns.get((oid, number), _NONE):
                    columns[oid, number] |= found
                    moved = True
    return moved


def _followed(catalogue: Catalogue, view: int, labelled: LabelledCatalogue) -> list[frozenset[str]] | None:
    """What each column of a view can hold by its query's lineage; None: anything that the view reads.

    A query that decides by a labelled column tells of it in each expression: how many rows a group has, which is first.
    """
    lineage = catalogue.view_lineage.get(view)
    if lineage is None or lineage.outputs is None or len(lineage.outputs) != len(catalogue.relations[view].columns):
        return None
    if any(True for _ in uses_of(lineage.uses, labelled)):
        return None
    return [labels_of(sources, labelled) for sources in lineage.outputs]
