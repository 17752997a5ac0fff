from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import values
from gateway.verbs import SETS, VERBS

PARSERS = [
    values.parse_text, values.parse_glob, values.parse_relation, values.parse_column, values.parse_function,
    values.parse_verb, values.parse_network, values.parse_days, values.parse_span, values.parse_zone,
    values.parse_moment, values.parse_expression,
]  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS)
@given(st.text())
def test_any_text_gives_a_value_or_a_problem_with_its_mend(parse: Callable[[str], object], text: str) -> None:
    said = "no; problem"
    try:
        parse(text)
    except ValueError as error:
        said = str(error)
    assert all(said.partition("; "))


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.parse_relation, "public.orders", "public.orders"),
        (values.parse_relation, "*", "*"),
        (values.parse_column, "crm.*.email", "crm.*.email"),
        (values.parse_function, "CRM.Total", "crm.total"),
        (values.parse_verb, "select", frozenset({"select"})),
        (values.parse_verb, "dcl", frozenset({"grant", "revoke", "reassign"})),
        (values.parse_network, "10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8")),
        (values.parse_network, "::1", ipaddress.ip_network("::1/128")),
        (values.parse_days, "mon", frozenset({0})),
        (values.parse_days, "Mon-Fri", frozenset(range(5))),
        (values.parse_days, "fri-mon", frozenset({4, 5, 6, 0})),
        (values.parse_days, "tue-tue", frozenset({1})),
        (values.parse_span, "08:00-18:30", (480, 1110)),
        (values.parse_span, "22:00-06:00", (1320, 360)),
        (values.parse_span, "00:00-24:00", (0, 1440)),
        (values.parse_moment, "2026-12-31T00:00:00Z", datetime.datetime(2026, 12, 31, tzinfo=datetime.UTC)),
    ],
)
def test_good(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (values.parse_text, "", "printable"),
        (values.parse_text, " x", "no space around"),
        (values.parse_text, "a\nb", "printable"),
        (values.parse_text, "x" * 513, "512"),
        (values.parse_relation, "orders", "schema"),
        (values.parse_relation, ".orders", "schema"),
        (values.parse_column, "customers.email", "three parts"),
        (values.parse_column, "a.b.c.d", "three parts"),
        (values.parse_column, "*", "three parts"),
        (values.parse_column, "a.b.c[1]", "write ?"),
        (values.parse_function, "f(int)", "name alone"),
        (values.parse_verb, "SELECT", "did you mean `select`"),
        (values.parse_verb, "copy", "did you mean `copy_"),
        (values.parse_verb, "qqqqqq", "the sets are read, dml"),
        (values.parse_verb, "*", "leave `verbs` out"),
        (values.parse_network, "10.0.0.1/8", "10.0.0.0/8"),
        (values.parse_network, "db.internal", "192.0.2.7"),
        (values.parse_days, "monday", "mon-fri"),
        (values.parse_days, "mon-", "mon-fri"),
        (values.parse_span, "8-18", "08:00-18:00"),
        (values.parse_span, "08:00-24:01", "00:00 to 24:00"),
        (values.parse_span, "24:00-01:00", "00:00 to 24:00"),
        (values.parse_span, "08:00-08:00", "leave `hours` out"),
        (values.parse_zone, "Mars/Phobos", "Europe/Zurich"),
        (values.parse_zone, "../../etc/passwd", "Europe/Zurich"),
        (values.parse_zone, "", "Europe/Zurich"),
        (values.parse_moment, "2026-12-31", "zone"),
        (values.parse_moment, "2026-12-31T18:00:00", "zone"),
        (values.parse_moment, "tomorrow", "zone"),
        (values.parse_expression, "(", "missing )"),
        (values.parse_expression, "(?=look)", "RE2"),
        (values.parse_expression, "", "1 to 512"),
    ],
)
def test_bad(parse: Callable[[str], object], text: str, said: str) -> None:
    with pytest.raises(ValueError, match="; ") as caught:
        parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [*VERBS, *SETS])
def test_every_verb_and_set_of_the_catalogue_can_be_written(name: str) -> None:
    assert values.parse_verb(name) == SETS.get(name, frozenset({name}))
