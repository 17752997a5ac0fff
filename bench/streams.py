"""What masking of streams costs: `.venv/bin/python bench/streams.py`.

Text of a terminal, JSON and rows of COPY, in chunks of 64 KiB, all shipped detectors on. Processor time of the best of
several runs: the machine is shared. Run `make build` first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from gateway.json_paths import parse_path
from gateway.masking import CopyMask, detection, plan_row
from gateway.masking.cells import Paths
from gateway.masking.detectors import DETECTORS
from gateway.masking.methods import NO_KEYS
from gateway.masking.streams import JsonStream, TextStream
from gateway.model import CopyFormat, Method, ResultField

CHUNK = 64 * 1024
SIZE = 2 << 20
RUNS = 5
REDACT, CLEAR = Method("redact"), Method("clear")
FOUND = detection(dict.fromkeys(DETECTORS, REDACT), ())
assert FOUND is not None

SENTENCE = b"The quick brown fox jumps over the lazy dog, and again over another one.\n"
VALUE = b"mail alice@example.com or 4111 1111 1111 1111\n"


def chunks(data: bytes) -> Iterator[bytes]:
    return (data[begin : begin + CHUNK] for begin in range(0, len(data), CHUNK))


def repeated(unit: bytes) -> bytes:
    return unit * (SIZE // len(unit))


def megabytes(data: bytes, make: Callable[[], TextStream | JsonStream]) -> float:
    best = float("inf")
    for _ in range(RUNS):
        stream = make()
        begun = time.process_time()
        for chunk in chunks(data):
            stream.feed(chunk)
        stream.close()
        best = min(best, time.process_time() - begun)
    return len(data) / best / 1e6


def document(note: str) -> bytes:
    people = [
        {
            "id": number,
            "name": "Alice Archer",
            "tags": ["a", "b"],
            "balance": number * 1.5,
            "active": True,
            "note": note,
        }
        for number in range(20_000)
    ]
    return json.dumps(people).encode()


def copied(form: CopyFormat, *methods: Method) -> float:
    """Rows a second."""
    cells = [b"4711", b"Alice Archer", b"123-45-6789", b"Aachen", b"2026-01-01 00:00:00"]
    line = form.delimiter.join(cells) + b"\n"
    count = 500
    rows = (b"d" + (len(line) + 4).to_bytes(4) + line) * count
    plan = plan_row([ResultField(b"", 0, 0, 25, -1, 0)] * len(cells), methods)
    assert plan is not None
    mask = CopyMask(form, len(cells), plan)
    best = float("inf")
    for _ in range(RUNS * 4):
        begun = time.process_time()
        mask.apply(rows)
        best = min(best, time.process_time() - begun)
    return count / best


def main() -> None:
    assert FOUND is not None
    found = FOUND
    texts = {
        "clean text": repeated(SENTENCE),
        "a value every 4 KiB": repeated(SENTENCE * 55 + VALUE),
        "a value in each line": repeated(VALUE),
        "colours": repeated(b"\x1b[01;34mfolder\x1b[0m  \x1b[01;32mscript\x1b[0m  a longer name of a file\n"),
    }
    for name, data in texts.items():
        print(f"terminal, {name:22} {megabytes(data, lambda: TextStream(found, NO_KEYS, terminal=True)):7.1f} MB/s")
    for name, note in (("clean", "call back soon"), ("escapes", "call\nback"), ("a value each", "a@example.com")):
        print(f"json, {name:26} {megabytes(document(note), lambda: JsonStream(found, NO_KEYS)):7.1f} MB/s")
    labels: Paths[Method] = Paths(((parse_path("$..balance"), REDACT), (parse_path("$[*].name"), REDACT)))
    for name, note in (("labels, clean", "call back soon"), ("labels, a value each", "a@example.com")):
        print(f"json, {name:26} {megabytes(document(note), lambda: JsonStream(found, NO_KEYS, labels)):7.1f} MB/s")
    methods = (CLEAR, CLEAR, REDACT, CLEAR, CLEAR)
    for form in (CopyFormat(), CopyFormat("csv", b",", b"")):
        print(f"copy, {form.kind:26} {copied(form, *methods):7.0f} rows/s")


if __name__ == "__main__":
    main()
