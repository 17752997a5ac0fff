"""Stand-ins for detectors: small, exact, and one that is as unpleasant as the seam allows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, cast

from gateway.masking.detection import Detection
from gateway.masking.detectors import Finder, Match
from gateway.masking.detectors.found import Found
from gateway.masking.methods import Keyring
from gateway.model import Method

PATTERNS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "us_ssn": re.compile(rb"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b"),
    "email": re.compile(rb"\b[a-z0-9.]{1,30}@[a-z0-9]{1,20}\.[a-z]{2,6}\b"),
    "payment_card": re.compile(rb"\b(?:[0-9]{4} ?){3}[0-9]{4}\b"),
    "pin": re.compile(rb"(?:pin|code)[ :=]{1,3}([0-9]{4})\b"),
}


class _Finder:
    def find(self, data: bytes, *, hint: str = "") -> list[Match]:
        raise NotImplementedError

    names = tuple(PATTERNS)

    def found(self, data: bytes, hint: str = "") -> Found:
        found = Found()
        for start, end, name in self.find(data, hint=hint):
            found.add(start, end, self.names.index(name))
        return found


class PatternFinder(_Finder):
    """Regular expressions with edges and context words; each match of each pattern, also those that overlap."""

    longest = longest_phrase = 70

    def find(self, data: bytes, *, hint: str = "") -> list[Match]:
        found = []
        for name, pattern in PATTERNS.items():
            for match in pattern.finditer(data):
                group = 1 if pattern.groups else 0
                found.append(Match(match.start(group), match.end(group), name))
        return sorted(found)

    def may_match(self, data: bytes) -> bool:
        return any(pattern.search(data) for pattern in PATTERNS.values())


class UnpleasantFinder(_Finder):
    """Finds what depends on every byte it is shown: whatever it is asked about must not depend on the chunks."""

    longest = longest_phrase = 20

    def find(self, data: bytes, *, hint: str = "") -> list[Match]:
        digest = sha256(data).digest()
        found = []
        for place in range(0, min(len(data), 256), 8):
            size = digest[place % 32] % 20
            if size > 6 and place + size <= len(data):
                found.append(Match(place, place + size, "email" if size % 2 else "us_ssn"))
        return found

    def may_match(self, data: bytes) -> bool:
        return True


METHODS: Final = {
    "us_ssn": Method("redact"),
    "email": Method("hmac", key="k"),
    "payment_card": Method("partial", keep_last=4),
    "pin": Method("null"),
    "private_key": Method("redact"),
}
KEYRING: Final = Keyring({"k": b"0123456789abcdef0123456789abcdef"})


def detection(finder: object, methods: Mapping[str, Method] = METHODS) -> Detection:
    return Detection(cast(Finder, finder), methods)


def cut(data: bytes, places: Sequence[int]) -> Iterator[bytes]:
    """``data`` in chunks that end at these places, each modulo its size."""
    begin = 0
    for place in sorted(place % (len(data) + 1) for place in places):
        yield data[begin:place]
        begin = place
    yield data[begin:]
