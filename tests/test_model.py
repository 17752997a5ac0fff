from __future__ import annotations

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import place, uuid7


def test_uuid7_is_the_example_of_rfc_9562_appendix_a6() -> None:
    # unix_ts_ms 0x017F22E279B0, rand_a 0xCC3, rand_b 0b01, 0x8C4DC0C0C07398F
    random = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    made = uuid7(0x017F22E279B0 / 1000, random.to_bytes(10, "big"))
    assert made == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.floats(0, 2e11, allow_nan=False), st.binary(min_size=10, max_size=10))
def test_uuid7_is_a_uuid_of_version_7_with_its_time(now: float, random: bytes) -> None:
    made = UUID(uuid7(now, random))
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == int(now * 1000)


def test_uuid7_sorts_by_time() -> None:
    assert uuid7(1000.001, b"\xff" * 10) < uuid7(1000.002, bytes(10))


def test_uuid7_uses_all_its_randomness() -> None:
    bits = {uuid7(0, (1 << bit).to_bytes(10, "big")) for bit in range(74)}
    assert len(bits) == 74


@pytest.mark.parametrize(("now", "random"), [(0.0, b""), (0.0, bytes(11)), (-1.0, bytes(10)), (3e11, bytes(10))])
def test_uuid7_refuses_what_it_cannot_hold(now: float, random: bytes) -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        uuid7(now, random)


def test_where_somebody_is() -> None:
    assert place("orders", "shop", "ro") == "orders, database shop, as ro"
    assert place("web1", "", "deploy") == "web1, as deploy"
