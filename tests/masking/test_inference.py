from __future__ import annotations

import pytest
from support.lineage import load

from gateway.masking import guard
from gateway.masking.inference import HINTS
from gateway.model import LabelUse, SqlOperation
from gateway.sql import analyse, resolve

LABELLED = load().catalogue()
HIDDEN = frozenset("SEBP")


def refusal(sql: str, hidden: frozenset[str] = HIDDEN) -> str | None:
    return guard(resolve(analyse(sql), LABELLED), hidden)


@pytest.mark.parametrize(
    "sql",
    [
        "select id, ssn, lower(email) from customers where ssn = '1'",
        "select id from customers where email in ($1, $2) and created > now() - interval '1 day' order by created",
        "select c.name, o.total from customers c join orders o on o.customer_id = c.id where c.email = any ($1)",
        "select city, count(*), count(ssn), max(email) from customers group by city having count(*) > 3 order by 2",
        "select distinct city from customers where email is not null",
        "select * from customers order by id limit 10 offset 20",
        "update customers set city = 'x' where ssn = $1 returning *",
        "delete from customers where email = 'x'",
        "select coalesce(email, 'none'), left(ssn, 3), ssn || '', md5(ssn), ssn::varchar(3) from customers",
        "select row_to_json(c), json_agg(c.email) over () from customers c",
        "select 1 / (id - 1), ssn from customers",
        "explain select id from orders where total > 3",
        "with recent as (select * from customers where created > $1) select name, email from recent",
    ],
)
def test_passes(sql: str) -> None:
    assert refusal(sql) is None


@pytest.mark.parametrize(
    ("sql", "mentions"),
    [
        (
            "select id from customers where ssn like '9%'",
            "S is masked for you, and customers.ssn may not decide",
        ),
        ("select id from customers where ssn like '9%'", "compare it with = or IN"),
        ("select id from customers order by ssn", "ORDER BY"),
        ("select city from customers group by city, email", "GROUP BY"),
        ("select distinct ssn from customers", "DISTINCT"),
        ("select name from customers union select ssn from customers", "UNION ALL"),
        ("select name from customers natural join notes", "USING"),
        ("select case when ssn > '5' then 1 end from customers", "CASE"),
        ("select ssn::int from customers", "whether cast to int4 fails over customers.ssn"),
        ("select 1 / length(ssn) from customers", "whether / fails"),
        ("select generate_series(1, length(ssn)) from customers", "generate_series"),
        ("explain analyze select id from customers", "estimates"),
        ("prepare p as select id from customers order by ssn", "ORDER BY"),
        ("declare c cursor for select id from customers order by ssn", "ORDER BY"),
        (
            "insert into customers (id, ssn) select id, body from notes on conflict do nothing",
            "ON CONFLICT",
        ),
        ("select 1 from " + "(select * from " * 70 + "customers" + ") x" * 70, "could not be followed"),
    ],
)
def test_refuses(sql: str, mentions: str) -> None:
    reason = refusal(sql)
    assert reason is not None
    assert mentions in reason
    assert "\n" not in reason


def test_what_is_not_hidden_may_decide() -> None:
    assert refusal("select id from customers order by ssn", frozenset("E")) is None
    assert refusal("select id from customers order by email", frozenset("E")) is not None


@pytest.mark.parametrize("place", HINTS)
def test_each_place_has_its_mend(place: str) -> None:
    use = LabelUse("decides", place, frozenset("S"), ("customers.ssn",))
    asked = SqlOperation("", "", "", frozenset({"select"}), labels=frozenset("S"), uses=(use,))
    assert HINTS[place] in (guard(asked, HIDDEN) or "")
