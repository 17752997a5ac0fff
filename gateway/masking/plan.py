"""The mask of one result: which columns are rewritten by their labels, and which are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial as bind

from gateway.json_paths import Path
from gateway.masking.cells import Paths, labelled_cell, searched_column
from gateway.masking.detection import Detection
from gateway.masking.fields import Field
from gateway.masking.methods import NO_KEYS, Keyring, text_maker
from gateway.masking.rows import Cell, mask_rows
from gateway.masking.searching import RowSearch, row_search
from gateway.model import Method

MAX_AT_ONCE = 256 * 1024
"""Bytes that are searched on the reactor's thread: some 3 ms at 100 MB/s, as long as all sessions may wait for one.
What is read from a target at once is never more; larger is only a row that had to be gathered first."""

_UNLIMITED = 1 << 40


@dataclass(frozen=True, slots=True)
class RowMask:
    """Belongs to one row layout; holds no state, so that one of them serves all portals of a statement.

    plan     one entry per column (`rows.Cell`), by the labels
    masked   the indices of the columns that these rewrite, for the recording; what is found in others isn't among them
    search   finds values in the other columns; None: there is nothing to find
    at_once  bytes of rows that may be rewritten on the reactor's thread
    """

    plan: tuple[Cell, ...]
    masked: tuple[int, ...]
    search: RowSearch | None = None

    @property
    def at_once(self) -> int:
        return _UNLIMITED if self.search is None else MAX_AT_ONCE

    def apply(self, data: bytes | bytearray | memoryview) -> bytes:
        """Whole DataRow messages, back to back, masked. Raises PeerError when a row doesn't parse: end the session."""
        whole = data if isinstance(data, bytes) else bytes(data)
        if self.search is None:
            return mask_rows(whole, 0, len(whole), self.plan)
        return self.search.apply(whole, self.plan)


def plan_row(
    fields: Sequence[Field],
    methods: Sequence[Method],
    keyring: Keyring = NO_KEYS,
    detection: Detection | None = None,
    json_paths: Sequence[tuple[Path, Method]] = (),
) -> RowMask | None:
    """The mask for rows of this layout; None when nothing in it is masked or searched.

    ``methods`` has one for each field: the strictest over its labels (`provenance.field_labels`, then the policy
    snapshot's method_for). A label's method beats what could be found (policy.md, semantics 9); columns that are clear
    are searched by ``detection`` and, where they hold json, masked at ``json_paths``. Raises ValueError when there is
    another number of methods: nothing may then be sent on.
    """
    plan = tuple(labelled_cell(field, method, keyring) for method, field in zip(methods, fields, strict=True))
    masked = tuple(index for index, cell in enumerate(plan) if cell is not None)
    search = _search(fields, plan, keyring, detection, json_paths)
    return RowMask(plan, masked, search) if masked or search is not None else None


def _search(
    fields: Sequence[Field],
    plan: Sequence[Cell],
    keyring: Keyring,
    detection: Detection | None,
    json_paths: Sequence[tuple[Path, Method]],
) -> RowSearch | None:
    if detection is None and not json_paths:
        return None
    paths = Paths(tuple((path, (method, text_maker(method, keyring))) for path, method in json_paths))
    if detection is None:
        look, may_match = None, _never
    else:
        look, may_match = bind(_look, detection, keyring), detection.finder.may_match
    columns = tuple(
        searched_column(field, look, paths) if cell is None else None for field, cell in zip(fields, plan, strict=True)
    )
    return row_search(columns, may_match, look)


def _never(data: bytes) -> bool:
    return False


def _look(detection: Detection, keyring: Keyring, value: bytes, hint: str) -> bytes | None:
    return detection.mask_text(value, keyring, hint)
