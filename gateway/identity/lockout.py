"""Failed logins slow down further ones; nobody is locked out for good, and no site as a whole.

Three counts, each with its own wait that doubles with every failure:

    pair     one name from one address       the strict one: `free` failures cost nothing, waits up to `longest`
    name     one name from all addresses     a guesser with many addresses; more free failures, short waits
    address  all names from one address      a guesser with many names; more free failures, short waits

A pair that has logged in lately is past the last two: whoever guesses from elsewhere, or from behind the same NAT,
can't keep those out who work there. Names that don't exist are counted like those that do, so that a wait tells nobody
which exist. An attempt during a wait is refused and not counted. Tables are bounded, the longest untouched go first.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from gateway.config.schema import Lockout as LockoutSection

MAX_ENTRIES = 20_000
"""Of each table, about 4 MB in all. An address has to fail often to fill one, and is slowed down long before."""

SHARED_FREE = 20
"""A site's or a name's free failures are this many times a pair's: an office of people mistypes without notice."""

SHARED_LONGEST = 30.0
"""Seconds; the longest wait of a whole name or address: a guesser has 2,880 tries a day, all others a short wait."""

IPV6_SITE = 64
"""Bits; one customer has at least a /64 (RFC 6177), so single IPv6 addresses cost a guesser nothing."""

NAME_KEY = 256
"""Characters of a name that are kept; the longest real name (gateway.config.markers.NAME_CHARACTERS)."""


@dataclass(slots=True)
class _Count:
    failures: int
    last: float


class _Table:
    def __init__(self, free: int, first: float, longest: float, forget: float) -> None:
        self._free = free
        self._first = first
        self._longest = longest
        self._forget = forget
        self._counts: OrderedDict[tuple[str, ...], _Count] = OrderedDict()

    def wait(self, key: tuple[str, ...], now: float) -> float:
        count = self._counts.get(key)
        if count is None or count.failures < self._free:
            return 0.0
        # The exponent is bounded before it is used: 2**2000 is no float.
        wait = min(self._first * 2.0 ** min(count.failures - self._free, 40), self._longest)
        return min(max(count.last + wait - now, 0.0), wait)

    def failed(self, key: tuple[str, ...], now: float) -> None:
        count = self._counts.pop(key, None)
        if count is None or now - count.last > self._longest + self._forget:
            count = _Count(0, now)
        count.failures += 1
        count.last = now
        self._counts[key] = count
        if len(self._counts) > MAX_ENTRIES:
            self._counts.popitem(last=False)

    def forget(self, key: tuple[str, ...]) -> None:
        self._counts.pop(key, None)


class Lockout:
    """Counts of one gateway process; survives reloads (see `Identity.reloaded`).

    Times are seconds of one clock that the caller reads; a clock set back makes a wait no longer than it was.
    """

    def __init__(self, section: LockoutSection) -> None:
        shared = min(section.longest, SHARED_LONGEST)
        self._pairs = _Table(section.free, section.first, section.longest, section.longest)
        self._names = _Table(section.free * SHARED_FREE, section.first, shared, section.longest)
        self._addresses = _Table(section.free * SHARED_FREE, section.first, shared, section.longest)
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait(self, name: str, address: str, now: float) -> float:
        """Seconds until ``name`` may try again from ``address``; 0 when it may now."""
        pair = _pair(name, address)
        if pair in self._welcome:
            return self._pairs.wait(pair, now)
        return max(
            self._pairs.wait(pair, now),
            self._names.wait(pair[:1], now),
            self._addresses.wait(pair[1:], now),
        )

    def failed(self, name: str, address: str, now: float) -> None:
        """One attempt that was looked at and was wrong."""
        pair = _pair(name, address)
        self._pairs.failed(pair, now)
        self._names.failed(pair[:1], now)
        self._addresses.failed(pair[1:], now)

    def succeeded(self, name: str, address: str) -> None:
        """Forgets the pair's failures. The name's and the address's stay: one right password among many wrong ones
        must not buy a guesser new tries at the others."""
        pair = _pair(name, address)
        self._pairs.forget(pair)
        self._welcome.pop(pair, None)
        self._welcome[pair] = None
        if len(self._welcome) > MAX_ENTRIES:
            self._welcome.popitem(last=False)


def _pair(name: str, address: str) -> tuple[str, str]:
    return name[:NAME_KEY], _site(address)


def _site(address: str) -> str:
    """IPv4 as it is, IPv6 as its /64; what is no address (a unix socket) stands for itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:NAME_KEY]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), IPV6_SITE), strict=False))
