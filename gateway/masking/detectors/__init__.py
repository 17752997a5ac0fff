"""Detectors: labelled values in text, found by pattern, check digits and what stands beside them. Pure.

shape      what a detector is made of
search     many detectors over bytes in linear time: gate, blocks, exact patterns, checks
folding    digits, dashes and spaces that only look like ASCII's
checksums  Luhn, 97
numbers    payment cards, IBANs, social security numbers
contact    email addresses, phone numbers
network    IPv4, IPv6
tokens     JSON web tokens, private keys, services' tokens
own        detectors from policy

Bytes in, byte offsets out: text of any encoding that has ASCII in it, valid or not. docs/detectors.md says what each
detector finds, how well, and how that is measured.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from types import MappingProxyType

from gateway.detectors import OwnDetector
from gateway.masking.detectors import contact, network, numbers, tokens
from gateway.masking.detectors.folding import fold, prepare
from gateway.masking.detectors.own import own_detector
from gateway.masking.detectors.search import Search
from gateway.masking.detectors.shape import SEPARATOR, DetectorInfo, Match

__all__ = ["DETECTORS", "SEPARATOR", "DetectorInfo", "Finder", "Match", "finder"]

DETECTORS: Mapping[str, DetectorInfo] = MappingProxyType(
    {
        info.name: info
        for info in (
            contact.EMAIL,
            numbers.PAYMENT_CARD,
            numbers.US_SSN,
            numbers.IBAN,
            contact.PHONE,
            network.IPV4,
            network.IPV6,
            tokens.JWT,
            tokens.PRIVATE_KEY,
            tokens.AWS_ACCESS_KEY,
            tokens.AWS_SECRET_KEY,
            tokens.GCP_KEY,
            tokens.AZURE_KEY,
            tokens.GITHUB_TOKEN,
            tokens.SLACK_TOKEN,
            tokens.STRIPE_KEY,
        )
    }
)
"""The shipped ones, by name."""


class Finder:
    """A set of detectors, compiled once. Immutable and thread-safe; `finder` makes it.

    longest  bytes of the longest value that any of them finds, with what must be seen around it: what a stream has to
             hold back. A private key is the exception: it is as long as its block
    longest_phrase  the same, without what is one word, whatever its length (a JSON web token has up to 8 KiB)
    """

    __slots__ = ("_searches", "longest", "longest_phrase")

    def __init__(self, shipped: Collection[DetectorInfo], own: Collection[DetectorInfo]) -> None:
        prepare()
        for info in shipped:
            if info.prepare is not None:
                info.prepare()
        parts = ((shipped, False), (own, True))
        self._searches = tuple(Search(infos, utf8=utf8) for infos, utf8 in parts if infos)
        self.longest = max((search.longest for search in self._searches), default=0)
        self.longest_phrase = max((search.longest_phrase for search in self._searches), default=0)

    def find(self, data: bytes, *, hint: str = "") -> list[Match]:
        """Every value in ``data``, by start; values of several detectors may overlap.

        ``hint`` is a column's name: where it names what a detector finds, no context word is needed. No match goes
        across `SEPARATOR`, so that cells can be joined with it.
        """
        found = {match for search in self._searches for match in search.find(data, hint)}
        for folded in fold(data):
            for search in self._searches:
                for match in search.find(folded.text, hint):
                    span = folded.span(match.start, match.end)
                    if span is not None:
                        found.add(Match(*span, match.detector))
        return sorted(found)

    def may_match(self, data: bytes) -> bool:
        """A quick look; False is certain."""
        if any(search.may_match(data) for search in self._searches):
            return True
        return any(search.may_match(folded.text) for folded in fold(data) for search in self._searches)


def finder(names: Collection[str], own: Collection[OwnDetector] = ()) -> Finder:
    """The finder of these detectors; the same one for the same set. Raises KeyError for a name that there isn't."""
    return _finder(frozenset(names), frozenset(own))


@functools.lru_cache(maxsize=64)
def _finder(names: frozenset[str], own: frozenset[OwnDetector]) -> Finder:
    """``maxsize``: more sets of detectors than the masks of one policy make; one more costs 20 ms."""
    shipped = [DETECTORS[name] for name in sorted(names)]
    return Finder(shipped, [own_detector(detector) for detector in sorted(own, key=lambda detector: detector.name)])
