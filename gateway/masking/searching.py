"""Detection on rows: many cells at once, because each question to a detector costs as much as a whole row.

The texts of some hundred rows are joined and shown to the gate. As a rule it sees nothing, and the rows go on as they
are. Where it does, each column of these rows is asked for by itself: texts are joined and masked as one, other cells
one by one. No match and no context word reaches across the separator, so a cell is masked as if it stood alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial as bind

from gateway.masking.cells import SearchedColumn
from gateway.masking.cells.search import Look
from gateway.masking.rows import LONGEST_COLUMN, SEPARATOR, Cell, Column, column, gather, mask_rows
from gateway.masking.rows import Look as Gathered

BATCH_ROWS = 100
"""One question's cost is spread over these; where something is found they are looked at closely. Measured: with 1,000
the rows without a find gain 2 %, those around one lose tenfold."""

BATCH_BYTES = 64 * 1024
"""Also of a single cell: a larger one is shown to the gate without a copy."""


@dataclass(frozen=True, slots=True)
class RowSearch:
    """Finds values in the columns of one row layout. Made by `row_search`.

    columns    those that are searched
    gathered   the same for `rows.gather`
    may_match  the gate: False is certain
    look       masks a text (`cells.search.Look`); None: nothing is searched for but labelled places in json
    """

    columns: tuple[SearchedColumn | None, ...]
    gathered: tuple[Gathered | None, ...]
    may_match: Callable[[bytes], bool]
    look: Look | None

    def apply(self, data: bytes, plan: tuple[Cell, ...]) -> bytes:
        """Whole DataRow messages, masked: columns by ``plan``, then what is found. Raises as `rows.mask_rows` does."""
        parts: list[bytes] = []
        pos = clean = 0  # data[clean:pos] was looked at, and holds nothing
        end = len(data)
        while pos < end:
            stop, texts = gather(data, pos, end, self.gathered, BATCH_ROWS, BATCH_BYTES)
            if texts is None or (texts and self.may_match(texts)):
                parts.append(_labelled(data, clean, pos, plan))
                parts.append(mask_rows(data, pos, stop, self._closer(data, pos, stop, plan)))
                clean = stop
            pos = stop
        parts.append(_labelled(data, clean, end, plan))
        return b"".join(parts)

    def _closer(self, data: bytes, pos: int, end: int, plan: tuple[Cell, ...]) -> tuple[Column, ...]:
        """The plan for rows in which there could be something."""
        cells: list[Column] = list(plan)
        for index, searched in enumerate(self.columns):
            if searched is None:
                continue
            if searched.joins:
                cells[index] = self._joined(*column(data, pos, end, index), searched)
            else:
                cells[index] = bind(self._cell, searched)
        return tuple(cells)

    def _joined(self, joined: bytes, count: int, searched: SearchedColumn) -> Column:
        """A column of ``count`` texts, masked as one; `mask_rows` takes them apart."""
        assert self.look is not None
        if searched.escapes is None or not _holds(joined, searched.escapes):
            masked = self.look(joined, searched.hint)
            if masked is joined:
                return None
            if masked is not None and masked.count(SEPARATOR) == count - 1 and len(masked) <= LONGEST_COLUMN:
                return bytearray(masked)
        return bind(self._cell, searched)

    def _cell(self, searched: SearchedColumn, value: bytes) -> bytes | None:
        escapes = searched.escapes
        judged = escapes is not None and len(value) >= searched.shortest and not _holds(value, escapes)
        return value if judged and not self.may_match(value) else searched.mask(value)


def row_search(
    columns: tuple[SearchedColumn | None, ...], may_match: Callable[[bytes], bool], look: Look | None
) -> RowSearch | None:
    """None when no column is searched."""
    if not any(columns):
        return None
    gathered = tuple(
        None if searched is None else (_verdicts(searched.escapes), searched.shortest, searched.texts)
        for searched in columns
    )
    return RowSearch(columns, gathered, may_match, look)


def _verdicts(escapes: bytes | None) -> bytes | None:
    return None if escapes is None else bytes(code in escapes for code in range(256))


def _holds(value: bytes, escapes: bytes) -> bool:
    for escape in escapes:  # noqa: SIM110  # compiled, a generator takes as long as the look at a hundred rows
        if escape in value:
            return True
    return False


def _labelled(data: bytes, pos: int, end: int, plan: tuple[Cell, ...]) -> bytes:
    """Rows in which nothing was found: `gather` has checked that they are whole."""
    return mask_rows(data, pos, end, plan) if any(plan) else data[pos:end]
