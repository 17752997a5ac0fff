from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sql.test_corpora import DENIALS, INNOCENT

from gateway.sql import LabelledCatalogue, analyse, resolve
from gateway.sql.shapes import MAX_SHAPED, _Asked, _Untold, is_free, shape_of


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (b"select a from t where b = 15 and c=7", b"select a from t where b = $ and c=$"),
        (b"insert into t2 values (1,\n\t22)", b"insert into t2 values ($,\n\t$)"),
        (b"select 0, 007, 1.5, .5, 5., 1e5, 0x1F, 1_000, 1234567890, a1, 1a, 4", None),
        (b"select a1 - 123456789", b"select a1 - $"),
        (b"select -5", b"select -$"),
    ],
)
def test_shapes(text: bytes, shape: bytes | None) -> None:
    if shape is None:
        assert shape_of(text) == text[:-1] + b"$", "only the last one is plain"
    else:
        assert shape_of(text) == shape


@pytest.mark.parametrize(
    "text",
    [
        b"select a from t",
        b"select '5', 5",
        b'select "5", 5',
        b"select $1, 5",
        b"select $$5$$, 5",
        b"select 5 -- 6",
        b"select 5 /* 6 */",
        b"select E'\\'', 5",
        b"select 5 \\",
        b"select 5 \0",
        b"select 5 \x7f",
        "select ä, 5".encode(),
        b"select\xa05",
        b"select 5" + b" " * MAX_SHAPED,
    ],
)
def test_no_shape(text: bytes) -> None:
    assert shape_of(text) is None


def test_a_shape_is_no_text_of_its_own() -> None:
    assert shape_of(b"select ? + 5") != shape_of(b"select 4 + 5")
    shape = shape_of(b"select 5")
    assert shape is not None
    assert shape_of(shape) is None


FREE = [
    "select abalance from pgbench_accounts where aid = 5",
    "update pgbench_accounts set abalance = abalance + 5 where aid = 7",
    "insert into customers (id) values (1), (2)",
    "delete from customers where id in (1, 2, 3)",
    "select id, ssn from customers where id between 5 and 7 and id % 3 > 0",
    "select 5",
]
BOUND = [
    "select id from customers limit 5",
    "select id from customers fetch first 5 rows only",
    "select ssn, id from customers order by 1",
    "select ssn, count(*) from customers group by 1",
    "select -5",
    "select 5::float(24)",
    "select array[1]::int[3]",
    "select 5; select 6",
    "select 5 from",
    "fetch 5 from c",
    "set x = 5",
    "create table t (a varchar(5))",
    "execute e(5)",
    "explain select 5",
    "prepare p as select 5",
    "declare c cursor for select 5",
]


@pytest.mark.parametrize("text", FREE)
def test_free(text: str) -> None:
    assert is_free(text.encode(), analyse(text))


@pytest.mark.parametrize("text", BOUND)
def test_bound(text: str) -> None:
    assert not is_free(text.encode(), analyse(text))


def holds(text: str, other: str, labelled: LabelledCatalogue) -> None:
    """What is free is the same for both: analysis and operation, but for the text."""
    shape = shape_of(text.encode())
    if shape is None or not is_free(text.encode(), analyse(text)):
        return
    assert shape_of(other.encode()) == shape
    one, two = analyse(text), analyse(other)
    assert replace(one, text=other, redacted=two.redacted, text_digest=two.text_digest) == two
    assert two.redacted == other
    assert replace(resolve(one, labelled), text=other) == resolve(two, labelled)


NUMBERS = st.integers(1, 999_999_999) | st.integers(1, 9) | st.sampled_from([53, 54, 64, 65_535, 2**29])
PLACES = [
    *(*FREE, *BOUND),
    "select id from customers where id = # limit #",
    "select id from customers offset #",
    "select id from customers order by # , id + # desc",
    "select ssn, count(*) from customers group by # having count(*) > # limit all",
    "select cast(# as float(#)), #::varchar(#), #::numeric(#, #), interval(#), time(#)",
    "select generate_series(#, #), repeat(a, #), pg_sleep(#), lpad(a, #), pg_read_file(a, #, #)",
    "select a[#], a[#:#], (array[#, #])[#] from t tablesample system (#)",
    "select sum(id) over (order by id rows between # preceding and # following) from customers",
    "with x as (select # as n) select * from x, customers where id = n + # union select #, #",
    "insert into customers (id) select # from generate_series(#, #) on conflict (id) do update set id = #",
    "update customers set id = # where id = (select id from customers limit #) returning #",
    "select case id when # then # else -# end, # is null, not # = #, # - -#, #<# from customers",
    "select bit(#), date_trunc(a, #), extract(year from #), substring(a from # for #), overlay(a placing b from #)",
    "select ntile(#) over (), lag(id, #) over w from customers window w as (partition by # order by #)",
    "select json_value(a, b default # on empty), xmlelement(name x, #), grouping(#)",
    "delete from customers using orders where customers.id = # and orders.id = @# returning #::int",
    "select # a, # as b, #b, #.#, #e#, (#), +#, # # #",
    "merge into customers using orders on customers.id = # when matched then update set id = #",
    "select nextval(#), setval(#, #), set_config(a, b, #), lo_get(#), pg_terminate_backend(#)",
]


@given(st.sampled_from(PLACES), st.data())
def test_what_is_free_does_not_depend_on_its_numbers(labelled: LabelledCatalogue, place: str, data: Any) -> None:
    def filled() -> str:
        return "".join(str(data.draw(NUMBERS)) if part == "#" else part for part in place)

    def renumbered(text: str) -> str:
        shape = shape_of(text.encode())
        return text if shape is None else "".join(str(data.draw(NUMBERS)) if x == "$" else x for x in shape.decode())

    text = filled()
    holds(text, renumbered(text), labelled)


def corpus() -> Iterator[str]:
    for case in (*DENIALS, *INNOCENT):
        attempt = case["attempt"]
        yield from (step for step in (attempt if isinstance(attempt, list) else [attempt]) if isinstance(step, str))


TEXTS = [text for text in corpus() if text.isascii() and shape_of(text.encode()) is not None]


@given(st.sampled_from(TEXTS), st.lists(NUMBERS, min_size=40, max_size=40))
@example(TEXTS[0], [1] * 40)
def test_nor_do_those_of_the_corpora(labelled: LabelledCatalogue, text: str, numbers: list[int]) -> None:
    shape = shape_of(text.encode())
    assert shape is not None
    drawn = iter(numbers * 10)
    holds(text, "".join(str(next(drawn)) if x == "$" else x for x in shape.decode()), labelled)


@pytest.mark.parametrize(
    "question",
    [
        bool, hash, str, repr, int, float, operator.neg, "{}".format,
        lambda it: it == 5, lambda it: it != 5, lambda it: it < 5, lambda it: it <= 5, lambda it: it in {4, 5},
        lambda it: max(it, 0), lambda it: it + 1, lambda it: 1 - it, lambda it: it in [4, 5],
        lambda it: {"a": it} == {"a": 5}, lambda it: f"{it}", lambda it: {it: 1}, lambda it: it & 1,
    ],
)  # fmt: skip
def test_an_untold_number_answers_nothing(question: Callable[[int], object]) -> None:
    with pytest.raises(_Asked):
        question(_Untold(-1))


def test_what_takes_it_for_an_index_gets_a_number_that_no_text_has() -> None:
    assert operator.index(_Untold(-1)) == -1
    assert "abc"[_Untold(-1)] == "c"
