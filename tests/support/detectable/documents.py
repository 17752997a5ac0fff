"""Documents: prose, CSV, JSON, SQL and logs, with values and near misses in them, and where the values stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from support.detectable.near_misses import NEAR_MISSES
from support.detectable.values import FIRST, KINDS, LAST, Value


class Labelled(NamedTuple):
    """``text.encode()[start:end]`` is a value of ``kind``."""

    start: int
    end: int
    kind: str


class Document(NamedTuple):
    shape: str
    text: bytes
    values: tuple[Labelled, ...]


WORDS = """
the customer wrote again about a parcel that never came and asked us to check whether everything was fine with
the address since the last time it took two weeks we answered that the warehouse had moved and promised to look
into it today please note what she told me on monday when I was at the office in town nothing else was missing
but one box was open so they sent it back with a letter and some photos of the damage which we will forward to
the insurance as soon as possible thanks for your help see you next week with best regards from all of us here
""".split()

FREE = ["{}", "see {}", "it is {}", "I found {} there", "he gave {} as well", "that was {}", "({})", "'{}'", "<{}>"]
"""Phrases that say nothing about what they hold."""

NAMED = ["{key}: {}", "{key} {}", "my {key} is {}", "the {key} was {}", "{key}={}", "{} ({key})"]


class _Writer:
    """Text, and where values begin and end in it."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.values: list[Labelled] = []

    def write(self, text: str) -> None:
        self.text += text.encode()

    def value(self, kind: str, text: str) -> None:
        start = len(self.text)
        self.write(text)
        self.values.append(Labelled(start, len(self.text), kind))
        if kind == "ipv6" and "." in text:  # an IPv4 address is in it, too
            self.values.append(Labelled(start + text.rindex(":") + 1, len(self.text), "ipv4"))

    def phrase(self, phrase: str, kind: str | None, text: str, key: str = "") -> None:
        before, _, after = phrase.replace("{key}", key).partition("{}")
        self.write(before)
        if kind is None:
            self.write(text)
        else:
            self.value(kind, text)
        self.write(after)


Item = tuple[str | None, Value]
"""A kind (None: a near miss) and how it is written."""


def _items(random: Random, kinds: Iterator[str]) -> list[Item]:
    """Up to three values, and about twice as many near misses."""
    items: list[Item] = []
    for _ in range(random.choice([0, 1, 1, 2, 2, 3])):
        kind = next(kinds)
        items.append((kind, KINDS[kind](random)))
    for _ in range(random.randint(1, 6)):
        key, text = random.choice(NEAR_MISSES)(random)
        items.append((None, Value(text, (key,), keyed=random.random() < 0.7)))
    random.shuffle(items)
    return items


def _filler(random: Random) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(4, 14)))


def _prose(random: Random, items: list[Item], out: _Writer) -> None:
    for kind, value in items:
        out.write(f"{_filler(random).capitalize()} ")
        named = value.keyed or random.random() < 0.4
        phrase = random.choice(NAMED if named else FREE)
        out.phrase(phrase, kind, value.text, random.choice(value.keys))
        out.write(random.choice([". ", ", ", " ", "; ", ".\n", "? "]))
    out.write(f"{_filler(random)}.")


def _csv(random: Random, items: list[Item], out: _Writer) -> None:
    """Rows far below their header have no word beside them: what needs one has a column of names and values."""
    out.write("id,name,key,value\n")
    for row, (kind, value) in enumerate(items, random.randint(1, 9000)):
        out.write(f"{row},{random.choice(FIRST)} {random.choice(LAST)},{random.choice(value.keys)},")
        quoted = '"' if "," in value.text or "\n" in value.text or random.random() < 0.2 else ""
        out.phrase(f"{quoted}{{}}{quoted}\n", kind, value.text)


def _json(random: Random, items: list[Item], out: _Writer) -> None:
    out.write(f'{{"id": {random.randint(1, 10**6)}')
    for kind, value in items:
        escaped = json.dumps(value.text, ensure_ascii=False)[1:-1]
        if value.keyed or random.random() < 0.6:
            out.write(f', "{random.choice(value.keys)}": "')
        else:
            out.write(f', "note": "{_filler(random)} ')
        out.phrase('{}"', kind, escaped)
    out.write("}")


def _sql(random: Random, items: list[Item], out: _Writer) -> None:
    for kind, value in items:
        escaped = value.text.replace("'", "''") if kind != "email" else value.text
        column = random.choice(value.keys).replace(" ", "_") if value.keyed or random.random() < 0.5 else "note"
        if random.random() < 0.5:
            out.write(f"INSERT INTO t (id, {column}) VALUES ({random.randint(1, 10**6)}, '")
            out.phrase("{}');\n", kind, escaped)
        else:
            out.write(f"{random.randint(1, 10**6)}\t{random.choice(FIRST)}\t{column}\t")
            out.phrase("{}\n", kind, value.text.replace("\n", "\\n"))


def _log(random: Random, items: list[Item], out: _Writer) -> None:
    for kind, value in items:
        clock = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}"
        out.write(f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}T{clock}.{random.randint(0, 999):03}Z ")
        out.write(f"{random.choice(['INFO', 'WARN', 'DEBUG'])} [worker-{random.randint(1, 99)}] {_filler(random)} ")
        key = random.choice(value.keys).replace(" ", "_") if value.keyed or random.random() < 0.6 else "value"
        phrase = random.choice(
            [f"{key}={{}}", f'{key}="{{}}"', f"{key}: {{}}", f"{key}={{}};", f"GET /x?{key}={{}}&n=1"]
        )
        out.phrase(f"{phrase} status=200\n", kind, value.text.replace("\n", "\\n"))


SHAPES: dict[str, Callable[[Random, list[Item], _Writer], None]] = {
    "prose": _prose,
    "csv": _csv,
    "json": _json,
    "sql": _sql,
    "log": _log,
}


def _round(kinds: list[str]) -> Iterator[str]:
    while True:
        yield from kinds


def corpus(seed: int, documents: int) -> Iterator[Document]:
    """``documents`` of them, the shapes in turn, all kinds of values equally often."""
    random = Random(seed)
    kinds = _round(list(KINDS))
    shapes = _round(list(SHAPES))
    for _ in range(documents):
        shape = next(shapes)
        out = _Writer()
        SHAPES[shape](random, _items(random, kinds), out)
        yield Document(shape, bytes(out.text), tuple(out.values))
