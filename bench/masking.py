"""What masking rows costs: `.venv/bin/python bench/masking.py [rows]`, default 500,000.

Rows of five columns, about 97 bytes each, one chunk of 64 KiB again and again: a chunk that was just decrypted lies in
the processor's cache, too. Run `make build` first: what counts is the compiled rows.py.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable

from gateway.masking import COMPILED, RowMask, plan_row, skip_rows
from gateway.model import Method, ResultField

CHUNK = 64 * 1024
TEXT = 25
COLUMNS = ("id", "name", "ssn", "email", "placed")


def one_chunk() -> tuple[bytes, int]:
    """Whole DataRow messages of about `CHUNK` bytes, and how many."""
    chunk = bytearray()
    count = 0
    while len(chunk) < CHUNK:
        email = b"alice%d@example.com" % count
        values = (b"%d" % count, b"Alice Example", b"123-45-6789", email, b"2026-01-01 00:00:00")
        body = struct.pack("!h", len(values)) + b"".join(struct.pack("!i", len(value)) + value for value in values)
        chunk += b"D" + struct.pack("!i", len(body) + 4) + body
        count += 1
    return bytes(chunk), count


def mask(methods: dict[str, Method]) -> RowMask:
    fields = [ResultField(name.encode(), 20_000, number, TEXT, -1, 0) for number, name in enumerate(COLUMNS, 1)]
    plan = plan_row(fields, [methods.get(field.name.decode(), Method("clear")) for field in fields])
    assert plan is not None
    return plan


def nanoseconds(work: Callable[[bytes], object], chunk: bytes, count: int, rows: int) -> float:
    """Per row, of the best chunk: the machine is shared."""
    best = float("inf")
    for _ in range(max(rows // count, 1)):
        begun = time.perf_counter()
        work(chunk)
        best = min(best, time.perf_counter() - begun)
    return best / count * 1e9


def skip(chunk: bytes) -> tuple[int, int]:
    return skip_rows(chunk, 0, 0x44)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    chunk, count = one_chunk()
    redact, partial = Method("redact"), Method("partial", keep_last=4)
    print(f"{rows} rows, {len(chunk) / count:.0f} bytes each, {'compiled' if COMPILED else 'NOT COMPILED'}")
    measured: dict[str, Callable[[bytes], object]] = {
        "skipped": skip,
        "one label redacted": mask({"ssn": redact}).apply,
        "two labels redacted": mask({"ssn": redact, "email": redact}).apply,
        "one label partial": mask({"ssn": partial}).apply,
    }
    for name, work in measured.items():
        print(f"{name:20} {nanoseconds(work, chunk, count, rows):7.1f} ns a row")


if __name__ == "__main__":
    main()
