"""How our events look in OCSF 1.4.0 (https://schema.ocsf.io/1.4.0): numbers, bounded JSON, a session's constant parts.

Attributes that OCSF has are put where OCSF wants them; what is ours alone lies under ``unmapped``. 1.4.0 is the first
version with ``is_alert``, Application Error and the security-control profile on every class, and all that later ones
renamed is still valid.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

import msgspec

from gateway.model import Access, Principal

OCSF_VERSION = "1.4.0"

MAX_BODY = 5632
"""Bytes of one event's own part of a line. rsyslog's default maximum message is 8 KiB (and RFC 5425 section 4.3.1 says
receivers should take as much); node name, chain hash, syslog header and structured data take 2 KiB at most. So a line
is always sent whole, and its chain can be checked at the receiver."""

MAX_NAME = 256
"""Encoded bytes of a name that a caller chose (PostgreSQL cuts identifiers at 63, DNS names end at 255)."""

MAX_TEXT = 1024
"""Encoded bytes of a reason or message."""

MAX_NAMES = 64
"""Names kept of one list: the statement's digest stands for the rest."""

_encoder = msgspec.json.Encoder()


class Class(IntEnum):
    """OCSF ``class_uid``; the category is the thousands."""

    ACCOUNT_CHANGE = 3001
    AUTHENTICATION = 3002
    AUTHORIZE_SESSION = 3003
    SSH_ACTIVITY = 4007
    APPLICATION_LIFECYCLE = 6002
    API_ACTIVITY = 6003
    DATASTORE_ACTIVITY = 6005
    APPLICATION_ERROR = 6008


class Severity(IntEnum):
    """OCSF ``severity_id``."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


OTHER = 99
"""OCSF's activity for what the class has no number for; ``activity_name`` then says what."""


_HIDDEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""What a terminal or a log viewer obeys, or does not show: DEL, C1, line separators, zero-width and bidirectional
marks. JSON itself escapes only C0; a statement must not be able to repaint the screen of who reads the log."""


def encode(value: object) -> bytes:
    """JSON of ``value``, control and invisible characters escaped.

    What UTF-8 can't hold (a lone surrogate) is kept as its escape, never a reason to fail.
    """
    try:
        encoded = _encoder.encode(value)
    except UnicodeEncodeError:
        encoded = _encoder.encode(_without_surrogates(value))
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _HIDDEN.sub(lambda found: f"\\u{ord(found.group()):04x}", encoded.decode()).encode()


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def bounded(text: str, limit: int = MAX_NAME) -> str:
    """``text``, cut so that its JSON takes at most ``limit`` bytes, with a marker that says so."""
    if len(text) * 6 + 2 <= limit:  # the longest escape of one character takes six bytes
        return text
    if len(text) <= limit and len(encode(text)) <= limit:
        return text
    marker = f"...[cut, {len(text)} characters]"
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        if len(encode(text[:middle])) + len(marker) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[:low] + marker


def bounded_names(names: Iterable[str], limit: int = MAX_NAMES) -> list[str]:
    """The first ``limit`` names in order, each bounded, and a last entry that counts the rest."""
    ordered = sorted(names)
    kept = [bounded(name) for name in ordered[:limit]]
    if len(ordered) > limit:
        kept.append(f"...[{len(ordered) - limit} more]")
    return kept


def endpoint(address: str) -> dict[str, object]:
    """OCSF ``network_endpoint`` for a caller's address; what is no IP address (a unix socket) is a name."""
    try:
        return {"ip": str(ipaddress.ip_address(address))}
    except ValueError:
        return {"name": bounded(address or "local")}


def user(principal: Principal, *, groups: bool = False) -> dict[str, object]:
    """OCSF ``user``: type 1 is a person, 4 a service."""
    shown: dict[str, object] = {"name": bounded(principal.name), "type_id": 1 if principal.kind == "human" else 4}
    if groups:
        shown["groups"] = [{"name": name} for name in bounded_names(principal.groups, 16)]
    return shown


def administration(by: str, operation: str, address: str = "") -> dict[str, object]:
    """OCSF's actor, api and source of an act through the control API.

    address  where it was asked from over TLS; empty: the local socket, or the gateway itself
    """
    return {
        "actor": {"app_name": "ostiary", "user": {"name": bounded(by)}},
        "api": {"operation": operation, "service": {"name": "ostiary"}},
        "src_endpoint": endpoint(address or "control"),
    }


DATABASE_TYPES = {"postgres": "PostgreSQL"}


class SessionContext:
    """What stays the same in every event of one session, rendered once.

    session  the session's id
    access   who, to what, from where
    """

    __slots__ = ("access", "as_actor", "as_user", "session")

    def __init__(self, session: str, access: Access) -> None:
        self.session = session
        self.access = access
        places: dict[str, object] = {
            "src_endpoint": endpoint(access.address),
            "dst_endpoint": {"name": bounded(access.target.name)},
        }
        who = user(access.principal)
        acting: dict[str, object] = {"actor": {"user": who, "session": {"uid": session}}, **places}
        if access.target.protocol != "ssh":
            acting["database"] = {
                "name": bounded(access.database),
                "type": DATABASE_TYPES.get(access.target.protocol, access.target.protocol),
                "type_id": 1,
            }
        self.as_actor = _inner(acting)
        who = user(access.principal, groups=True)
        self.as_user = _inner({"user": who, "session": {"uid": session}, **places})


def _inner(attributes: dict[str, object]) -> bytes:
    """The members of an object without its braces."""
    return encode(attributes)[1:-1]


_ACTIVITIES: tuple[tuple[int, frozenset[str]], ...] = (
    (7, frozenset({"delete", "drop", "truncate"})),
    (2, frozenset({"update", "merge", "alter"})),
    (5, frozenset({"insert", "copy_from", "large_object"})),
    (6, frozenset({"create"})),
    (4, frozenset({"select", "copy_to", "fetch", "show", "explain"})),
)
"""Datastore Activity knows one activity for an operation: the gravest of its verbs names it."""


@lru_cache(maxsize=4096)
def datastore_activity(verbs: frozenset[str]) -> int:
    for activity, of_it in _ACTIVITIES:
        if not verbs.isdisjoint(of_it):
            return activity
    return OTHER
