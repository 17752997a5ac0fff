"""What detection on rows costs: `.venv/bin/python bench/searching.py [rows]`, default 500,000.

First alone, in microseconds a row (chunks as in bench/masking.py), then through the gateway: time over unmasked time in
the same run (median, and of the best rounds), the processor's time that the gateway took, which a shared machine
disturbs less, and how its memory grew. Run `make build` first: what counts is the compiled rows.py.
"""

from __future__ import annotations

import os
import statistics
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from support.ostiary import Ostiary  # noqa: E402  # the tests' lifecycle classes
from support.pki import Pki  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.process import scratch_directory  # noqa: E402

from bench.masking import CHUNK, nanoseconds  # noqa: E402
from bench.measures import resident  # noqa: E402
from bench.systems import DATABASE, HBA, OWNER, PASSWORD, System, fill  # noqa: E402
from gateway.detectors import SHIPPED  # noqa: E402
from gateway.masking import COMPILED, NO_KEYS, RowMask, plan_row  # noqa: E402
from gateway.masking.detection import detection  # noqa: E402
from gateway.masking.detectors.checksums import luhn  # noqa: E402
from gateway.model import Method, ResultField  # noqa: E402

ROUNDS = 5
INT4, TEXT, TIMESTAMPTZ = 23, 25, 1184
COLUMNS = {"id": INT4, "name": TEXT, "note": TEXT, "placed": TIMESTAMPTZ}
CLEAN = "select id, name, name || ' is a customer' note, placed from people"
SPARSE = "select id, name, case when id % 100 = 0 then email else name end note, placed from people"
DENSE = "select id, name, email note, placed from people"
BOTH = "select id, email name, email note, placed from people"
"""Two text columns each: no value, one in a hundred rows, one in every row, one in every cell."""


def chunk_of(note: Callable[[int], bytes]) -> tuple[bytes, int]:
    """Whole DataRow messages of about `CHUNK` bytes, and how many."""
    chunk = bytearray()
    count = 0
    while len(chunk) < CHUNK:
        values = (b"%d" % count, b"Person %d" % count, note(count), b"2026-01-01 00:00:00+00")
        body = struct.pack("!h", len(values)) + b"".join(struct.pack("!i", len(value)) + value for value in values)
        chunk += b"D" + struct.pack("!i", len(body) + 4) + body
        count += 1
    return bytes(chunk), count


def searching() -> RowMask:
    fields = [ResultField(name.encode(), 0, 0, type_oid, -1, 0) for name, type_oid in COLUMNS.items()]
    found = detection(dict.fromkeys(SHIPPED, Method("redact")), ())
    plan = plan_row(fields, [Method("clear")] * len(fields), NO_KEYS, found)
    assert plan is not None
    return plan


def alone(rows: int) -> None:
    apply = searching().apply
    cards = [b"411111%010d" % number for number in range(20_000) if luhn(b"411111%010d" % number)]
    notes: dict[str, Callable[[int], bytes]] = {
        "clean": lambda number: b"Person %d is a customer" % number,
        "a value in 1 of 100 rows": lambda number: (
            (b"a%d@private.example" if number % 100 == 0 else b"Person %d") % number
        ),
        "an address in every row": lambda number: b"person%d@private.example" % number,
        "a security number": lambda number: b"%03d-%02d-%04d" % (number % 600 + 1, number % 99 + 1, number + 1),
        "a card number": lambda number: cards[number % len(cards)],
        "a phone number": lambda number: b"+1 202 555 %04d" % number,
        "an IPv4 address": lambda number: b"10.%d.%d.%d" % (number % 250, number % 200, number % 100),
        "near misses": lambda number: b"order 2026-%02d-%02d no %d" % (number % 12, number % 28, 1_000_000 + number),
    }
    for name, note in notes.items():
        chunk, count = chunk_of(note)
        print(f"{name:26} {nanoseconds(apply, chunk, count, min(rows, 50_000)) / 1000:6.2f} us a row")


POLICY: dict[str, Any] = {
    "labels": {f"found.{name}": {"detector": name} for name in SHIPPED},
    "allow": [{"name": "all", "groups": ["engineers", "analysts"], "targets": [DATABASE]}],
    "masks": [
        {"labels": ["found.*"], "method": "redact"},
        {"labels": ["found.*"], "groups": ["engineers"], "method": "clear"},
    ],
}


def through_the_gateway(rows: int) -> None:
    pki = Pki(scratch_directory("pki"))
    target = {
        "name": DATABASE,
        "protocol": "postgres",
        "tls": {"mode": "disable"},
        "credentials": [{"user": OWNER, "password": "env:OWNER_PASSWORD"}],
    }
    with Postgres(tls=pki.server(file="target"), hba=HBA, settings={"log_statement": "none"}) as postgres:
        fill(postgres, rows)
        target["address"] = f"127.0.0.1:{postgres.port}"
        with Ostiary(pki, targets=[target], policy=POLICY, environment={"OWNER_PASSWORD": PASSWORD}) as gateway:
            unmasked = System("", gateway, gateway.port, pki.ca, "erin", None, pki.client("erin", groups=["engineers"]))
            searched = System("", gateway, gateway.port, pki.ca, "anna", None, pki.client("anna", groups=["analysts"]))
            for name, sql in (("clean", CLEAN), ("sparse", SPARSE), ("dense", DENSE), ("both columns dense", BOTH)):
                took(gateway, searched, sql)
                before = resident(gateway.pid)
                pairs = [(took(gateway, unmasked, sql), took(gateway, searched, sql)) for _ in range(ROUNDS)]
                ratio = statistics.median(masked.wall / plain.wall for plain, masked in pairs)
                best = min(masked.wall for _, masked in pairs) / min(plain.wall for plain, _ in pairs)
                plain, masked = (min(each.processor for each in one) for one in zip(*pairs, strict=True))
                grown = resident(gateway.pid) - before
                print(
                    f"{rows:,} rows, {name}: {ratio:.2f} times the unmasked time, {best:.2f} best to best; "
                    f"processor {plain:.2f} s unmasked, {masked:.2f} s searched; memory {grown:+.1f} MiB"
                )


class Took(NamedTuple):
    """Seconds until the client had everything, and of the processor's time that the gateway took."""

    wall: float
    processor: float


def took(gateway: Ostiary, system: System, sql: str) -> Took:
    client = system.connect(system.context())
    with client:
        before = processor(gateway.pid)
        begun = time.perf_counter()
        client.drain(sql)
        return Took(time.perf_counter() - begun, processor(gateway.pid) - before)


def processor(pid: int) -> float:
    """Seconds that the process has had of it (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    print("compiled" if COMPILED else "NOT COMPILED")
    alone(rows)
    through_the_gateway(rows)


if __name__ == "__main__":
    main()
