"""What may be asked *about* hidden values (postgres.md, Masking 8).

Masks hide what is shown. Which rows come back, in which order, how many, and whether an expression fails, can tell a
value as well. Equality with constants tells one value at a time: it is allowed, counted and limited (`probes`).
Everything else over a hidden column is refused, with what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.model import LabelUse, SqlOperation

EQUALITY = "compare it with = or IN and constants or parameters in WHERE"
_OTHER = "use columns without masks there"

HINTS: Mapping[str, str] = MappingProxyType(
    {
        "WHERE": EQUALITY,
        "HAVING": f"{_OTHER}; or {EQUALITY}",
        "CASE": "select the column itself",
        "JOIN ... ON": "join on columns without masks, such as a key",
        "JOIN ... USING": "join on columns without masks, such as a key",
        "NATURAL JOIN": "write JOIN ... USING with columns without masks",
        "MERGE ... ON": "merge on columns without masks, such as a key",
        "DISTINCT": "leave it out of what has to be distinct",
        "UNION": "write UNION ALL, or leave it out",
        "INTERSECT": "leave it out",
        "EXCEPT": "leave it out",
        "FILTER": "filter by columns without masks",
        "a function in FROM": "call the function over columns without masks",
        "ON CONFLICT": "name a key without masks",
    }
)
"""Place -> the mend; for the others `_OTHER`."""


def inference(operation: SqlOperation, hidden: frozenset[str]) -> str | None:
    """Why what this asks about hidden values is refused; None: it asks nothing, or compares for equality only."""
    if operation.uses is None:
        return (
            f"{masked_for_you(operation.labels & hidden)}, and what this does with it could not be followed; "
            "write it with fewer nested queries"
        )
    for use in operation.uses:
        touched = use.labels & hidden
        if touched and use.kind == "decides":
            mend = HINTS.get(use.place, _OTHER)
            return f"{masked_for_you(touched)}, and {_columns(use)} may not decide in {use.place}: {mend}"
        if touched and use.kind == "fails":
            return (
                f"{masked_for_you(touched)}, and whether {use.place} fails over {_columns(use)} would tell "
                "values: select the column itself, or use lower, upper, left, coalesce, count, min, max"
            )
    return None


def masked_for_you(labels: frozenset[str]) -> str:
    """How each refusal because of masks begins."""
    return f"{', '.join(sorted(labels))} {'is' if len(labels) == 1 else 'are'} masked for you"


def _columns(use: LabelUse) -> str:
    return ", ".join(use.columns)
