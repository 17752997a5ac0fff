"""How well and how fast the detectors find: `.venv/bin/python -m bench.detectors [--presidio] [--write]`.

Quality is measured on the labelled corpus of tests/support/detectable, with a seed that the detectors weren't tuned
with; the tests assert it. ``--presidio`` runs Microsoft's Presidio on the same documents, from an environment of its
own: `python3 -m venv .cache/presidio && .cache/presidio/bin/pip install presidio-analyzer`. ``--write`` puts the tables
into docs/detectors.md.

Speed is the best of many runs, in processor time, all shipped detectors on: the machine is shared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.detectable import Document, corpus  # noqa: E402  # the corpus is the tests'
from support.detectable.documents import WORDS  # noqa: E402
from support.detectable.near_misses import NEAR_MISSES  # noqa: E402
from support.detectable.score import Score, score  # noqa: E402
from support.detectable.values import FIRST, KINDS, LAST  # noqa: E402

from gateway.masking.detectors import DETECTORS, SEPARATOR, finder  # noqa: E402

SEED = 2026
DOCUMENTS = 6_000
PAGE = REPOSITORY / "docs" / "detectors.md"
PRESIDIO = REPOSITORY / ".cache" / "presidio" / "bin" / "python"
MEGABYTE = 1 << 20


def presidio(documents: Sequence[Document]) -> tuple[dict[str, Score], float]:
    """What Presidio finds (bench/presidio_reads.py), and its seconds for all documents."""
    texts = "".join(json.dumps(document.text.decode()) + "\n" for document in documents)
    command = [str(PRESIDIO), str(Path(__file__).with_name("presidio_reads.py"))]
    answer = subprocess.run(command, input=texts, capture_output=True, text=True, check=True)
    *lines, seconds = answer.stdout.splitlines()
    return score(documents, ([tuple(span) for span in json.loads(line)] for line in lines)), float(seconds)


def quality(ours: dict[str, Score], theirs: dict[str, Score] | None) -> list[str]:
    """A table in Markdown."""
    lines = ["| detector | values | recall | precision |", "|---|---|---|---|"]
    if theirs is not None:
        lines = [f"{lines[0]} Presidio's recall | precision |", f"{lines[1]}---|---|"]
    for name in DETECTORS:
        found = ours[name]
        line = f"| `{name}` | {found.values} | {found.recall:.3f} | {found.precision:.3f} |"
        if theirs is not None:
            other = theirs[name]
            line += f" {other.recall:.3f} | {other.precision:.3f} |" if other.found else " | |"
        lines.append(line)
    return lines


def prose(random: Random, size: int) -> bytes:
    """Sentences without a digit."""
    out = bytearray()
    while len(out) < size:
        out += " ".join(random.choices(WORDS, k=random.randint(6, 18))).capitalize().encode() + b". "
    return bytes(out[:size])


def logs(random: Random, size: int) -> bytes:
    """Lines of a log, with times, numbers and identifiers."""
    out = bytearray()
    while len(out) < size:
        out += b"2026-%02d-%02dT%02d:%02d:%02d.%03dZ " % tuple(
            random.randint(1, end) for end in (12, 28, 23, 59, 59, 999)
        )
        out += b"INFO [worker-%d] request %016x took %.2f ms, %d rows in %d bytes\n" % (
            random.randint(1, 64),
            random.getrandbits(64),
            random.random() * 100,
            random.randint(1, 1000),
            random.randint(1, 10**7),
        )
    return bytes(out[:size])


def near(random: Random, size: int) -> bytes:
    """What only looks like values, one after the other."""
    out = bytearray()
    while len(out) < size:
        out += "{} {} ".format(*random.choice(NEAR_MISSES)(random)).encode()
    return bytes(out[:size])


def sparse(random: Random, text: bytes) -> bytes:
    """``text`` with a value, of any kind, after each 4 KiB."""
    pieces = []
    for at in range(0, len(text), 4096):
        value = KINDS[random.choice(list(KINDS))](random)
        pieces += [text[at : at + 4096], f" {value.keys[0]}: {value.text} ".encode()]
    return b"".join(pieces)


def rows(random: Random, *, emails: bool) -> bytes:
    """100 rows of about 100 bytes, as the text columns of a result are joined."""
    cells = []
    for number in range(100):
        name = f"{random.choice(FIRST)} {random.choice(LAST)}"
        note = " ".join(random.choices(WORDS, k=9))
        email = f"{name.split(maxsplit=1)[0]}{number}@example.com" if emails else "no address"
        row = [str(10_000 + number), name, email, "2026-01-01 00:00:00", note]
        cells.append(SEPARATOR.join(cell.encode() for cell in row))
    return SEPARATOR.join(cells)


def speed() -> list[str]:
    """A table in Markdown."""
    random = Random(SEED)
    find = finder(DETECTORS).find
    clean, lines = prose(random, MEGABYTE), logs(random, MEGABYTE)
    texts = {
        "prose, nothing to find": clean,
        "logs, nothing to find": lines,
        "prose, a value in 4 KiB": sparse(random, clean),
        "logs, a value in 4 KiB": sparse(random, lines),
        "near misses only": near(random, MEGABYTE),
    }
    table = ["| text | MB/s |", "|---|---|"]
    for name, text in texts.items():
        table.append(f"| {name} | {len(text) / _best(find, text, 15) / 1e6:.0f} |")
    table += ["", "| 100 rows of 100 bytes, joined | us a row |", "|---|---|"]
    for name, emails in (("nothing to find", False), ("an email address in each", True)):
        text = rows(random, emails=emails)
        table.append(f"| {name} | {_best(find, text, 500) / 100 * 1e6:.2f} |")
    return table


def _best(find: Callable[[bytes], object], text: bytes, runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        begun = time.process_time()
        find(text)
        best = min(best, time.process_time() - begun)
    return best


def write(name: str, table: Sequence[str]) -> None:
    """Between the page's markers of this name."""
    begin, end = f"<!-- {name}: made by bench/detectors.py -->", f"<!-- end of {name} -->"
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text("\n".join([before + begin, "", *table, "", end + after]), "utf-8")


def main() -> None:
    documents = list(corpus(SEED, DOCUMENTS))
    find = finder(DETECTORS).find
    begun = time.perf_counter()
    ours = score(documents, [find(document.text) for document in documents])
    took = time.perf_counter() - begun
    theirs = None
    if "--presidio" in sys.argv:
        theirs, seconds = presidio(documents)
        print(f"{DOCUMENTS} documents: {took:.1f} s, Presidio {seconds:.1f} s")
    tables = {"quality": quality(ours, theirs), "speed": speed()}
    for name, table in tables.items():
        print("\n".join(table), end="\n\n")
        if "--write" in sys.argv:
            write(name, table)


if __name__ == "__main__":
    main()
