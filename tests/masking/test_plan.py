from __future__ import annotations

import struct

import pytest

from gateway.errors import PeerError
from gateway.masking import Field, plan_row
from gateway.masking.rows import framed
from gateway.model import Method

NAME = Field(b"name", 20_000, 1, 25, -1, 0)
SSN = Field(b"ssn", 20_000, 2, 1043, 4 + 11, 0)
BORN = Field(b"born", 20_000, 3, 1082, -1, 1)


def row(*values: bytes | None) -> bytes:
    body = struct.pack("!H", len(values)) + b"".join(map(framed, values))
    return b"D" + struct.pack("!i", len(body) + 4) + body


CLEAR, REDACT = Method("clear"), Method("redact")


def test_nothing_to_mask_is_no_plan() -> None:
    assert plan_row([NAME, NAME], [CLEAR, CLEAR]) is None
    assert plan_row([], []) is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_masks_rows(kind: type) -> None:
    mask = plan_row([NAME, SSN, BORN], [CLEAR, REDACT, REDACT])
    assert mask is not None
    assert mask.masked == (1, 2)
    rows = row(b"Alice", b"123-45-6789", b"\0\0\0\1") + row(b"Bob", None, None)
    assert mask.apply(kind(rows)) == row(b"Alice", b"****", None) + row(b"Bob", None, None)


def test_rows_of_another_layout_are_an_error() -> None:
    mask = plan_row([NAME, SSN], [CLEAR, REDACT])
    assert mask is not None
    with pytest.raises(PeerError):
        mask.apply(row(b"Alice"))


def test_a_method_for_each_field_or_no_plan() -> None:
    with pytest.raises(ValueError, match="zip"):
        plan_row([NAME, SSN], [CLEAR])
