"""Which labels a result column carries (postgres.md, Masking 1 and 2): exact where the server says where values come
from, everything that they could be where it doesn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.masking.fields import Field
from gateway.model import SqlOperation

FIRST_USER_OID = 16384
"""FirstNormalObjectId: relations below were made by initdb and are the same in every database. They carry labels only
where policy names them; those among them that show other relations' values are the guard's business."""

CTID = -1
"""SelfItemPointerAttributeNumber: how many rows fit into a page depends on how long their values are."""

_NOTHING: frozenset[str] = frozenset()


class LabelledColumns(Protocol):
    """What this needs from the catalogue of one database (`gateway.sql` has it; rooms on one floor never import)."""

    @property
    def columns(self) -> Mapping[tuple[int, int], frozenset[str]]:
        """(relation's OID, attnum) -> labels, closed over inheritance, partitions, views; attnum 0 is the whole row; no
        entry: no labels."""

    @property
    def labels(self) -> frozenset[str]:
        """All labels that are bound to anything in this database."""

    def knows(self, relation: int, number: int) -> bool:
        """Whether the catalogue has seen this column (or, below 1, this relation)."""


def is_known(field: Field, catalogue: LabelledColumns) -> bool:
    """False when the field comes from a column that is newer than the catalogue: reload it first, then ask again."""
    return field.table_oid < FIRST_USER_OID or catalogue.knows(field.table_oid, field.attnum)


def field_labels(
    field: Field, catalogue: LabelledColumns, statement_labels: frozenset[str], output: frozenset[str] | None = None
) -> frozenset[str]:
    """The labels that the values of one result column may carry.

    ``statement_labels`` are those of all relations that the statement touches, ``output`` those that
    lineage leaves of them for this column, None where it doesn't know. An unknown relation carries every label of the
    database.
    """
    possible = statement_labels if output is None else output
    if field.table_oid == 0:
        return possible
    if not is_known(field, catalogue):
        return catalogue.labels | statement_labels
    if field.attnum == 0:
        return possible | catalogue.columns.get((field.table_oid, 0), _NOTHING)
    if field.attnum == CTID:
        return catalogue.columns.get((field.table_oid, 0), _NOTHING)
    return catalogue.columns.get((field.table_oid, field.attnum), _NOTHING)


def result_labels(
    fields: Sequence[Field], operation: SqlOperation, catalogue: LabelledColumns
) -> tuple[frozenset[str], ...]:
    """The labels of each column of a result of ``operation``."""
    labels = operation.labels if operation.opaque is None else catalogue.labels
    return tuple(
        field_labels(field, catalogue, labels, output)
        for field, output in zip(fields, _outputs(operation, len(fields)), strict=True)
    )


def _outputs(operation: SqlOperation, count: int) -> Sequence[frozenset[str] | None]:
    """What lineage says of each of ``count`` columns; of none, where that isn't the number that it knows of."""
    outputs, star = operation.outputs, operation.star
    if outputs is None or operation.opaque is not None:
        return [None] * count
    if star is not None and count >= len(outputs) - 1:
        return [*outputs[:star], *[outputs[star]] * (count - len(outputs) + 1), *outputs[star + 1 :]]
    return outputs if count == len(outputs) and star is None else [None] * count
