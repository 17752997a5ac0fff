"""Which labels a result column carries (postgres.md, Masking 1 and 2): exact where the server says where values come
from, everything that they could be where it doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.masking.fields import Field

FIRST_USER_OID = 16384
"""FirstNormalObjectId: relations below were made by initdb and are the same in every database. They carry labels only
where policy names them; those among them that show other relations' values are the guard's business."""

_NOTHING: frozenset[str] = frozenset()


class LabelledColumns(Protocol):
    """What this needs from the catalogue of one database (`gateway.sql` has it; rooms on one floor never import)."""

    @property
    def columns(self) -> Mapping[tuple[int, int], frozenset[str]]:
        """(relation's OID, attnum) -> labels, closed over inheritance, partitions, views; no entry: no labels."""

    @property
    def labels(self) -> frozenset[str]:
        """All labels that are bound to anything in this database."""

    def knows(self, relation: int, number: int) -> bool:
        """Whether the catalogue has seen this column (or, below 1, this relation)."""


def is_known(field: Field, catalogue: LabelledColumns) -> bool:
    """False when the field comes from a column that is newer than the catalogue: reload it first, then ask again."""
    return field.table_oid < FIRST_USER_OID or catalogue.knows(field.table_oid, field.attnum)


def field_labels(field: Field, catalogue: LabelledColumns, statement_labels: frozenset[str]) -> frozenset[str]:
    """The labels that the values of one result column may carry.

    ``statement_labels`` are those of all relations that the statement touches (Operation.labels). An unknown relation
    carries every label of the database.
    """
    if field.table_oid == 0:
        return statement_labels
    if not is_known(field, catalogue):
        return catalogue.labels | statement_labels
    if field.attnum == 0:
        whole_row = (labels for (oid, _), labels in catalogue.columns.items() if oid == field.table_oid)
        return statement_labels.union(*whole_row)
    return catalogue.columns.get((field.table_oid, field.attnum), _NOTHING)
