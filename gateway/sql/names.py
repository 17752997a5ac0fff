"""Names as they are written."""

from __future__ import annotations

from typing import NamedTuple


class Name(NamedTuple):
    """A name as written, after PostgreSQL's own case folding; ``schema`` is None when it is unqualified."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"
