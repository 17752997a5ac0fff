"""Sources -> the labels that lie on them in one database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from gateway.model import LabelUse
from gateway.sql.lineage.flows import Source, Sources, Use
from gateway.sql.lineage.total import TEXT_ONLY

if TYPE_CHECKING:
    from gateway.sql.labels import LabelledCatalogue

_NONE: Final[frozenset[str]] = frozenset()

_SYSTEM_COLUMNS: Final = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax"})
"""Columns that every table has and that tell nothing of its values. ``ctid`` is not among them: how many rows fit into
a page depends on how long they are."""

_TEXT_TYPES: Final = frozenset({18, 19, 25, 1042, 1043})
""""char", name, text, bpchar, varchar (pg_type.dat)."""


def labels_of(sources: Iterable[Source], labelled: LabelledCatalogue) -> frozenset[str]:
    """Labels of all that these could be; every label of the database when a relation is not known."""
    found: set[str] = set()
    for source in sources:
        labels = _labels(source, labelled)
        if labels is None:
            return labelled.labels
        found |= labels
    return frozenset(found)


def uses_of(uses: Iterable[Use], labelled: LabelledCatalogue) -> Iterator[LabelUse]:
    """Uses of columns that carry labels, with their names.

    A relation that isn't known counts as one without labels: it was made in this very transaction, where a masked
    caller can make but plain tables, and what it writes into them is clean.
    """
    for use in uses:
        if use.kind == "fails" and use.place in TEXT_ONLY and _is_text(use.sources, labelled):
            continue
        labels: set[str] = set()
        columns: set[str] = set()
        for source in use.sources:
            found = _labels(source, labelled)
            if found:
                labels |= found
                columns.add(f"{source.relation.name}.{source.column or '*'}")
        if labels:
            names = tuple(sorted(columns))
            yield LabelUse(use.kind, use.place, frozenset(labels), names, use.count, use.arrays)


def _labels(source: Source, labelled: LabelledCatalogue) -> frozenset[str] | None:
    """None: nothing is known of such a relation."""
    oids = labelled.catalogue.named(source.relation)
    if not oids:
        return None
    found = _NONE
    for oid in oids:
        whole = labelled.columns.get((oid, 0))
        if whole is None:
            continue
        column = source.column
        if column is None or not column.isascii():
            # A server with a single-byte encoding folds letters beyond ASCII that our parser leaves alone.
            found |= whole
            continue
        numbers = labelled.numbers[oid]
        number = numbers.get(column)
        if number is not None:
            found |= labelled.columns.get((oid, number), _NONE)
        elif column == "ctid" or (source.surely and column not in _SYSTEM_COLUMNS):
            found |= whole
    return found


def _is_text(sources: Sources, labelled: LabelledCatalogue) -> bool:
    """Whether each column among these that carries labels is of a text type."""
    for source in sources:
        for oid in labelled.catalogue.named(source.relation):
            for name, number in labelled.numbers.get(oid, {}).items():
                meant = source.column in {None, name} or source.column not in labelled.numbers[oid]
                if meant and (oid, number) in labelled.columns and not _is_text_type(oid, number, labelled):
                    return False
    return True


def _is_text_type(oid: int, number: int, labelled: LabelledCatalogue) -> bool:
    return labelled.catalogue.relations[oid].columns[number][1] in _TEXT_TYPES
