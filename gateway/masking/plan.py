"""The mask of one result: which columns are rewritten, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.masking.fields import Field
from gateway.masking.methods import NO_KEYS, Keyring, cell_for
from gateway.masking.rows import Cell, mask_rows
from gateway.model import Method


@dataclass(frozen=True, slots=True)
class RowMask:
    """Belongs to one row layout; holds no state, so that one of them serves all portals of a statement.

    plan    one entry per column (`rows.Cell`)
    masked  the indices of the columns that are rewritten, for the recording
    """

    plan: tuple[Cell, ...]
    masked: tuple[int, ...]

    def apply(self, data: bytes | bytearray | memoryview) -> bytes:
        """Whole DataRow messages, back to back, masked. Raises PeerError when a row doesn't parse: end the session."""
        whole = data if isinstance(data, bytes) else bytes(data)
        return mask_rows(whole, 0, len(whole), self.plan)


def plan_row(fields: Sequence[Field], methods: Sequence[Method], keyring: Keyring = NO_KEYS) -> RowMask | None:
    """The mask for rows of this layout; None when nothing in it is masked.

    ``methods`` has one for each field: the strictest over its labels (`provenance.field_labels`, then the policy
    snapshot's method_for). Raises ValueError when it has another number of them: nothing may then be sent on.
    """
    plan = tuple(cell_for(method, field, keyring) for method, field in zip(methods, fields, strict=True))
    masked = tuple(index for index, cell in enumerate(plan) if cell is not None)
    return RowMask(plan, masked) if masked else None
