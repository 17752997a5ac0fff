"""What was found, as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.masking.detectors.found import Found

Value = tuple[int, int, int]


def of(*values: Value) -> Found:
    found = Found()
    for value in values:
        found.add(*value)
    return found


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 99)), max_size=600))
def test_values_come_back_by_start_each_once(values: list[Value]) -> None:
    found = of(*values)
    assert found.count == len(values)
    assert sorted(set(found.values())) == sorted(set(values))
    if not found.apart:
        assert found.values() == sorted(set(values))


def test_many() -> None:
    values = [(2 * at, 2 * at + 1, at % 7) for at in range(10_000)]
    assert of(*values).values() == values


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        ([], True),
        ([(0, 3, 0), (3, 5, 1), (9, 10, 0)], True),
        ([(0, 3, 0), (2, 5, 1)], False),
        ([(4, 6, 0), (0, 2, 1)], False),
        ([(0, 9, 0), (1, 2, 0), (3, 4, 0)], False),
        ([(0, 3, 0), (0, 3, 0)], False),
        ([(3, 3, 0), (3, 3, 0)], False),
    ],
)
def test_values_that_share_a_byte_or_stand_in_no_order_are_not_apart(values: list[Value], apart: bool) -> None:
    assert of(*values).apart is apart
    assert of(*values).values() == sorted(set(values))
