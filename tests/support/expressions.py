"""What random statements are made of: columns, constants and templates of expressions, by type.

``{int}`` in a template stands for any expression of that type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """``name`` as it can be written in the query that sees it; ``type`` is a key of `CONSTANTS`."""

    name: str
    type: str
    secret: bool = False


Relations = Mapping[str, Sequence[Column]]


CONSTANTS: Mapping[str, Sequence[str]] = {
    "int": ("1", "2", "3", "7", "12", "40", "99"),
    "num": ("1.5", "2.0", "12.25", "7.75"),
    "text": ("'x'", "'a'", "'Ann'", "'Bonn'", "'v1'", "'item 1'", "'17'", "'2026-03-03'", "'x%'", "'%a%'", "'INSERT'"),
    "date": ("date '2026-01-12'", "date '2020-03-21'", "date '1988-08-08'"),
    "bool": ("true", "false", "null::boolean"),
    "json": ("""'{"n": 3}'::jsonb""", """'[1, "x"]'::jsonb""", """'"v1"'::jsonb"""),
    "arr": ("(array['x'])", "('{}'::text[])", "(array['t1', 'x', null])"),
    "uuid": ("'00000000-0000-4000-8000-000000000003'::uuid", "'00000000-0000-4000-8000-000000000099'::uuid"),
}
"""None is a protected value in either database."""

TYPE_NAMES = {
    "integer": "int", "numeric": "num", "text": "text", "character varying": "text", "date": "date",
    "boolean": "bool", "jsonb": "json", "text[]": "arr", "uuid": "uuid",
}  # fmt: skip
"""The server's names, without modifiers."""

TEMPLATES: Mapping[str, Sequence[str]] = {
    "int": (
        "{int} + {int}", "{int} - {int}", "{int} * {int}", "length({text})", "coalesce({int}, {int})", "abs({int})",
        "case when {bool} then {int} else {int} end", "case {text} when {text} then {int} end", "cardinality({arr})",
        "extract(year from {date})::int", "greatest({int}, {int})", "nullif({int}, {int})", "strpos({text}, {text})",
        "({json} ->> 'n')::int", "{date} - {date}", "ascii({text})", "sign({int})::int", "array_length({arr}, 1)",
        "octet_length({text})", "num_nulls({text}, {int})", "width_bucket({num}, 0, 100, 5)", "-{int}",
        "hashtext({text}) % 3", "array_position({arr}, {text})", "{int} % {int}", "{int} / {int}", "round({num})::int",
    ),
    "num": (
        "{int}::numeric", "{num} + {num}", "{num} * {num}", "round({num}, 1)", "coalesce({num}, {num})",
        "{num} / {num}",
        "abs({num})", "({json} ->> 'n')::numeric", "trunc({num})", "greatest({num}, {num})", "scale({num})::numeric",
        "power({num}, 2)", "sqrt({num})", "ln({num})",
    ),
    "text": (
        "{text} || {text}", "upper({text})", "lower({text})", "substr({text}, 1, 2)", "left({text}, {int})",
        "coalesce({text}, {text})", "case when {bool} then {text} else {text} end", "{int}::text", "{date}::text",
        "{json} ->> 'k'", "{arr}[1]", "array_to_string({arr}, ',')", "concat({text}, {int}, {date})", "md5({text})",
        "replace({text}, {text}, {text})", "format('%s-%s', {text}, {num})", "to_char({date}, 'YYYY-MM')",
        "{num}::text",
        "reverse({text})", "trim({text})", "{uuid}::text", "split_part({text}, ' ', 1)", "lpad({text}, 4, '*')",
        "{bool}::text", "greatest({text}, {text})", "nullif({text}, {text})", "{text}::varchar(3)", "{json}::text",
        "regexp_replace({text}, '[0-9]', '#')", 'cast({text} as text) collate "C"', "jsonb_typeof({json})",
        "quote_literal({text})", "to_hex({int})", "{json} #>> '{{in,x}}'", "encode(convert_to({text}, 'UTF8'), 'hex')",
        "translate({text}, 'ae', 'xy')", "initcap({text})", "pg_typeof({text})::text", "({arr})::text",
    ),
    "date": (
        "{date} + {int}", "least({date}, {date})", "greatest({date}, {date})", "date_trunc('month', {date})::date",
        "coalesce({date}, {date})", "case when {bool} then {date} end", "({date} + interval '1 month')::date",
        "make_date(2026, 1 + {int} % 3, 5)",
    ),
    "bool": (
        "{int} = {int}", "{int} < {int}", "{int} >= {int}", "{text} = {text}", "{text} < {text}", "{text} like {text}",
        "{text} ~ '^[a-z]'", "{text} is null", "{int} between {int} and {int}", "{date} > {date}", "{num} <= {num}",
        "{bool} and {bool}", "{bool} or {bool}", "not ({bool})", "{text} in ({text}, {text})", "{json} @> {json}",
        "{json} ? 'k'", "{text} = any ({arr})", "{text} is distinct from {text}", "starts_with({text}, {text})",
        "({int}, {text}) = ({int}, {text})", "({int}, {text}) < ({int}, {text})", "{arr} && {arr}", "{uuid} = {uuid}",
        "{uuid} < {uuid}", "{arr} @> {arr}", "{text} similar to '(a|b)%'", "{date} is not null", "{text} ilike {text}",
        "{date} = {date}", "{int} <> {int}", "isfinite({date})", "{json} = {json}", "{text} <> all ({arr})",
    ),
    "json": (
        "{json} -> 'n'", "jsonb_build_object('a', {text}, 'b', {int})", "to_jsonb({text})", "{json} || {json}",
        "{json} - 'k'", "to_jsonb({arr})", "jsonb_build_array({int}, {text}, {date})", "{json} -> 'list' -> 0",
        "jsonb_set({json}, '{{n}}', to_jsonb({int}))", "coalesce({json}, {json})",
        "jsonb_path_query_first({json}, '$.n')",
    ),
    "arr": (
        "array[{text}, {text}]", "{arr} || {text}", "string_to_array({text}, ' ')", "array_remove({arr}, {text})",
        "coalesce({arr}, {arr})", "{arr}[1:1]", "array_cat({arr}, {arr})", "regexp_split_to_array({text}, ' ')",
    ),
    "uuid": ("coalesce({uuid}, {uuid})", "nullif({uuid}, {uuid})", "case when {bool} then {uuid} end"),
}  # fmt: skip

COMPARISONS = (
    "{int} = {int}",
    "{int} < {int}",
    "{text} = {text}",
    "{text} > {text}",
    "{date} <= {date}",
    "{uuid} = {uuid}",
    "{num} > {num}",
)
"""Conditions made of nothing but columns and constants."""

FRAGILE: Mapping[str, Sequence[str]] = {
    "int": ("({text})::int", "cast({text} as int)", "({num} * 100000)::int", "1 / ({int} - {int})", "{int} * 30000"),
    "num": ("({text})::numeric", "1 / {num}"),
    "date": ("({text})::date", "to_date({text}, 'YYYY-MM-DD')", "{date} + {int} * 99"),
    "bool": ("({text})::boolean", "{text} ~ {text}", "{text} like ({text} || '\\')"),
    "json": ("({text})::jsonb",),
    "arr": ("({text})::text[]",),
    "uuid": ("({text})::uuid", "md5({text})::uuid"),
    "text": ("({text})::char(2)::text", "repeat({text}, {int})"),
}
"""Fail for some values: only curious cases ask so."""

AGGREGATES: Mapping[str, Sequence[str]] = {
    "int": ("count(*)::int", "count({text})::int", "sum({int})::int", "max({int})", "min({int})",
            "count(distinct {text})::int", "count(*) filter (where {bool})::int", "bit_or({int})"),
    "num": ("avg({int})", "sum({num})", "max({num})", "percentile_cont(0.5) within group (order by {int})::numeric"),
    "text": ("min({text})", "max({text})", "string_agg({text}, ',')", "string_agg({text}, ',' order by {int})",
             "mode() within group (order by {text})"),
    "date": ("max({date})", "min({date})"),
    "bool": ("bool_or({bool})", "every({bool})"),
    "json": ("jsonb_agg({text})", "jsonb_object_agg(coalesce({text}, 'none'), {int})",
            "jsonb_agg({int} order by {int})"),
    "arr": ("array_agg({text})", "array_agg(distinct {text})"),
    "uuid": (),
}  # fmt: skip

WINDOWS = (
    ("int", "row_number() over (order by {int})::int"), ("int",
            "rank() over (partition by {text} order by {date})::int"),
    ("int", "count(*) over (partition by {text})::int"), ("text", "lag({text}) over (order by {int})"),
    ("int", "sum({int}) over (order by {int} rows 1 preceding)::int"), ("int", "ntile(2) over (order by {text})"),
    ("text", "first_value({text}) over (partition by {int} order by {int})"), ("int", "count(*) over ()::int"),
)  # fmt: skip

HOLE = re.compile(r"\{(int|num|text|date|bool|json|arr|uuid)\}")
