"""What can be done with a hidden value in an output expression: total functions, which give a value for every value.

The output is masked, but an error, or its absence, would tell: `1 / (balance - 5)`, `ssn::int`; and so would a NULL,
since masks leave NULL as it is: `nullif(ssn, '1')`, `ssn in ('1', null)`. A name is here when no overload that a query
can call fails, gives NULL, runs forever or returns a set depending on the *values* of its arguments. What fails for a
whole type, or for a constant, is no matter: that is known before the first row. Sizes beyond 1 GB and memory are out of
scope, like timing (docs/postgresql.md).

Functions that are not the server's own never come this far: masked callers can't call them (policy.md, semantics 5).
"""

from __future__ import annotations

from typing import Final

ALL_ARGUMENTS: Final = frozenset(
    """
    any_value array_agg array_to_string bit_length bool_and bool_or bpchar btrim cardinality char_length
    character_length coalesce concat concat_ws count cume_dist dense_rank every first_value greatest initcap
    isfinite json_agg json_build_array json_build_object json_strip_nulls json_typeof jsonb_agg
    jsonb_build_array jsonb_build_object jsonb_pretty jsonb_strip_nulls jsonb_typeof last_value least lower
    ltrim max md5 min name now num_nonnulls num_nulls octet_length percent_rank pg_typeof position quote_ident
    quote_literal quote_nullable random rank reverse row_number row_to_json rtrim sha224 sha256 sha384 sha512
    starts_with string_agg strpos text to_json to_jsonb translate upper varchar
""".split()
)
"""Whatever their arguments are. (``json_build_object`` fails for a NULL key, but masks don't hide NULLs either.)"""

ALONE: Final = frozenset({"length"})
"""With one argument: a second is an encoding, in which the bytes may mean nothing."""

FIRST_ARGUMENT: Final = frozenset(
    """
    encode lag lead left lpad nth_value replace right rpad split_part substr
""".split()
)
"""The arguments behind the first have to be constants or parameters: a length below 0, or a bad format, fails."""

NUMBERED: Final = frozenset({"substring"})
"""The same, with numbers: with a pattern it gives NULL where that isn't found."""

OPERATORS: Final = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "||"})
"""Comparisons, and concatenation, which is total for text (`TEXT_ONLY`)."""

PATTERN_OPERATORS: Final = frozenset({"~~", "!~~", "~~*", "!~~*"})
"""LIKE; what is to the right has to be a constant or a parameter: a pattern may end in the middle of an escape."""

TEXT_ONLY: Final = frozenset({"||", "ARRAY"})
"""Arrays of different dimensions can't be put together, and jsonb not always: total for text alone."""

TYPES: Final = frozenset({"text", "varchar", "bpchar", "char", "name"})
"""Every value can be cast to these; what is too long is cut."""

NODES: Final = frozenset(
    {
        "BooleanTest",
        "CoalesceExpr",
        "CollateClause",
        "GroupingFunc",
        "List",
        "MinMaxExpr",
        "MultiAssignRef",
        "NamedArgExpr",
        "NullTest",
        "RowExpr",
        "SQLValueFunction",
    }
)
"""Expressions that can't fail themselves; those with an entry of their own in `expressions` aside."""
