"""Errors and notices without values: a report's texts can quote a row (postgres.md, Masking 7).

`Key (ssn)=(...) already exists` (23505) has it in DETAIL, 22P02 in the message itself, RAISE anywhere. So where a
labelled relation is in play the severity, the SQLSTATE and the places stay, and every text is replaced.
"In play" begins with the first operation of a transaction that touches a hidden label and lasts until the server says
idle again: deferred constraints report at COMMIT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Report = Sequence[tuple[str, bytes]]
"""ErrorResponse or NoticeResponse, in order (PostgreSQL documentation, "Error and Notice Message Fields")."""

KEPT = frozenset("SVCPstcdnFLR")
"""Severity twice, SQLSTATE, the cursor's position in the caller's own text, the names of schema, table, column, type
and constraint (drivers tell constraints apart by them, and names are no protected values), and the place in the
server's source. Left out: M, D, H, W (context), q and p (internal query and the position in it), and whatever field
a later server may add."""

HINT = b"Ostiary withholds this report's texts: they can quote masked values."

CONDITIONS: dict[bytes, bytes] = {
    b"21000": b"cardinality violation",
    b"22001": b"string data right truncation",
    b"22003": b"numeric value out of range",
    b"22007": b"invalid datetime format",
    b"22008": b"datetime field overflow",
    b"22012": b"division by zero",
    b"22021": b"character not in repertoire",
    b"22023": b"invalid parameter value",
    b"2202E": b"array subscript error",
    b"22P02": b"invalid text representation",
    b"22P03": b"invalid binary representation",
    b"22P04": b"bad copy file format",
    b"23502": b"not null violation",
    b"23503": b"foreign key violation",
    b"23505": b"unique violation",
    b"23514": b"check violation",
    b"23P01": b"exclusion violation",
    b"25001": b"active sql transaction",
    b"25006": b"read only sql transaction",
    b"25P02": b"in failed sql transaction",
    b"34000": b"invalid cursor name",
    b"40001": b"serialization failure",
    b"40P01": b"deadlock detected",
    b"42501": b"insufficient privilege",
    b"42601": b"syntax error",
    b"42702": b"ambiguous column",
    b"42703": b"undefined column",
    b"42803": b"grouping error",
    b"42804": b"datatype mismatch",
    b"42883": b"undefined function",
    b"42P01": b"undefined table",
    b"42P02": b"undefined parameter",
    b"42P18": b"indeterminate datatype",
    b"53200": b"out of memory",
    b"53300": b"too many connections",
    b"54001": b"statement too complex",
    b"55P03": b"lock not available",
    b"57014": b"query canceled",
    b"57P01": b"admin shutdown",
}
"""Condition names (PostgreSQL documentation, Appendix A) of what users meet; they follow from the SQLSTATE alone."""


def withhold(report: Report) -> list[tuple[str, bytes]]:
    """The report with nothing in it that a row could have filled; M says the condition's name, H who did this.

    RAISE can choose names and SQLSTATE, too; code that could do so on a masked caller's behalf is the guard's
    business, and what a target's own triggers reveal there is the target's.
    """
    sqlstate = next((value for kind, value in report if kind == "C"), b"")
    condition = CONDITIONS.get(sqlstate, b"the target reports a condition")
    texts = [("M", condition + b" (text withheld)"), ("H", HINT)]
    kept = [(kind, value) for kind, value in report if kind in KEPT]
    leading = [field for field in kept if field[0] in "SVC"]
    return leading + texts + [field for field in kept if field[0] not in "SVC"]


def searched(report: Report, text: Callable[[bytes], bytes]) -> list[tuple[str, bytes]] | None:
    """The report of a statement without labels, its texts masked by ``text``; None when nothing was found in them."""
    shown = [(kind, value if kind in KEPT else text(value)) for kind, value in report]
    return shown if any(now is not was for (_, now), (_, was) in zip(shown, report, strict=True)) else None
