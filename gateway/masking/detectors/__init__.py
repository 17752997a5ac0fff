"""Detectors: labelled values in text, found by pattern, check digits and what stands beside them. Pure.

shape      what a detector is made of
search     many detectors over bytes in linear time: gate, blocks, exact patterns, checks
found      what was found, as numbers
automaton  how exact patterns are found, in one pass over a block instead of a call for each match
expression  patterns as trees, for it
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
from gateway.masking.detectors.own import own_detector
from gateway.masking.detectors.search import Finder
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


def finder(names: Collection[str], own: Collection[OwnDetector] = ()) -> Finder:
    """The finder of these detectors; the same one for the same set. Raises KeyError for a name that there isn't."""
    return _finder(frozenset(names), frozenset(own))


@functools.lru_cache(maxsize=64)
def _finder(names: frozenset[str], own: frozenset[OwnDetector]) -> Finder:
    """``maxsize``: more sets of detectors than the masks of one policy make; one more costs 20 ms."""
    shipped = [DETECTORS[name] for name in sorted(names)]
    return Finder(shipped, [own_detector(detector) for detector in sorted(own, key=lambda detector: detector.name)])
