"""How values come to a caller over SSH: as one, in pieces, folded, painted; what of them is seen behind the masks.

Each way makes ``(pause before it in seconds, bytes)`` of a line with one value of tests/support/detectable in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

from twisted.internet.task import Clock

from gateway.masking.detectors import DETECTORS
from gateway.masking.methods import NO_KEYS
from gateway.model import Method
from gateway.protocols.ssh.masks import Output, OutputMasks
from support.detectable.values import KINDS

SEED: Final = 2026
VALUES: Final = 40
"""Of each kind, and each way."""

SEARCHED: Final = SimpleNamespace(detected={name: Method("redact") for name in DETECTORS}, own_detectors=())

_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")


class Line(NamedTuple):
    """``before + value + after``"""

    kind: str
    before: bytes
    value: bytes
    after: bytes

    @property
    def text(self) -> bytes:
        return self.before + self.value + self.after


Pieces = Iterable[tuple[float, bytes]]


def lines(seed: int, count: int, *kinds: str) -> Iterator[Line]:
    """``count`` of each of ``kinds``, or of all."""
    random = Random(seed)
    for kind in kinds or KINDS:
        for _ in range(count):
            value = KINDS[kind](random)
            yield Line(kind, f"the {value.keys[0]}: ".encode(), value.text.encode(), b" is here\r\n")


def shown(pieces: Pieces, *, typed: bool) -> bytes:
    """What the caller sees of it."""
    clock = Clock()
    corridor: Any = SimpleNamespace(newest_policy=lambda: SEARCHED)
    seen: list[bytes] = []
    failures: list[BaseException] = []
    output = Output(
        OutputMasks(cast(Any, corridor), lambda: NO_KEYS, lambda: None),
        show=seen.append,
        later=clock.callLater,
        now=clock.seconds,
        failed=failures.append,
        typed=typed,
    )
    for pause, data in pieces:
        clock.advance(pause)
        output.feed(data)
    output.close()
    assert not failures
    return b"".join(seen)


def left(line: Line, seen: bytes) -> int:
    """Characters of the value that are seen, all but spaces."""
    seen = re.sub(rb"\s", b"", _SEQUENCE.sub(b"", seen))
    before, after = line.before.replace(b" ", b""), re.sub(rb"\s", b"", line.after)
    assert seen.startswith(before), seen
    rest = seen.removeprefix(before)
    return len(rest.removesuffix(after).replace(b"*", b""))


def _at(line: Line, random: Random) -> int:
    """A place in the value."""
    return len(line.before) + random.randrange(1, len(line.value))


def _glued(glue: bytes) -> Callable[[Line, Random], Pieces]:
    def way(line: Line, random: Random) -> Pieces:
        at = _at(line, random)
        yield 0, line.text[:at] + glue + line.text[at:]

    return way


def _pieces(shortest: float, longest: float) -> Callable[[Line, Random], Pieces]:
    def way(line: Line, random: Random) -> Pieces:
        at = sorted({0, *(_at(line, random) for _ in range(random.randint(1, 3))), len(line.text)})
        for begin, end in pairwise(at):
            yield random.uniform(shortest, longest), line.text[begin:end]

    return way


def _keys(line: Line, random: Random) -> Pieces:
    for at in range(len(line.text)):
        yield random.uniform(0.06, 0.25), line.text[at : at + 1]


def _once(line: Line, random: Random) -> Pieces:
    yield 0, line.text


def _painted(line: Line, random: Random) -> Pieces:
    yield 0, b"\x1b[7;1H\x1b[K\x1b[1m" + line.before + b"\x1b[0;32m" + line.value + b"\x1b[0m" + line.after


def _repainted(line: Line, random: Random) -> Pieces:
    """Behind the value's first half, which was painted before, the rest of the screen came."""
    at = _at(line, random)
    yield 0, b"\x1b[7;1H" + line.text[:at] + b"\x1b[24;1H"
    yield 0.2, b"\x1b[7;%dH" % (at + 1) + line.text[at:]


WAYS: Final[dict[str, tuple[Callable[[Line, Random], Pieces], str]]] = {
    "a whole line": (_once, "nothing cuts it"),
    "a program's output in pieces, up to 20 ms between them": (
        _pieces(0, 0.02),
        "several pauses add up to more than the timer",
    ),
    "the same, with 100 to 300 ms": (_pieces(0.1, 0.3), "nobody may wait so long for an echo: a beginning is out"),
    "echoed key by key, 60 to 250 ms between them": (_keys, "each key has to be seen before the next one is typed"),
    "painted by a full-screen program, in colours": (_painted, "sequences are no text"),
    "painted over two rows (cursor addressed)": (_glued(b"\x1b[8;1H"), "movements of the cursor are no text"),
    "painted in two goes, 200 ms between them": (_repainted, "as in pieces with pauses"),
    "folded by readline at the margin (space and return)": (
        _glued(b" \r"),
        "space and return are text: they end words",
    ),
    "folded by a program that breaks lines": (_glued(b"\r\n"), "a line's end ends words"),
}
"""What a terminal shows, and the reason of the rate."""


def table(seed: int = SEED, count: int = VALUES) -> list[str]:
    """In Markdown: of all values of each way, how much is seen."""
    out = ["| how it comes to a terminal | values | hidden | its beginning shown | half or more shown | reason |"]
    out.append("|---|---|---|---|---|---|")
    for name, (way, reason) in WAYS.items():
        random = Random(seed)
        rates: Counter[str] = Counter()
        for line in lines(seed, count):
            seen = left(line, shown(way(line, random), typed=True))
            size = len(re.sub(rb"\s", b"", line.value))
            rates["hidden" if not seen else "beginning" if 2 * seen < size else "shown"] += 1
        total = rates.total()
        cells = " | ".join(f"{100 * rates[rate] / total:.1f} %" for rate in ("hidden", "beginning", "shown"))
        out.append(f"| {name} | {total} | {cells} | {reason} |")
    return out
