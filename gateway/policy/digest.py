"""What an approve entry says, as one digest: a grant holds for the entry that it was given under, not for its name.

Made of the decoded entry, so that a YAML file may be written anew, and lists and keys put in another order, without
voiding what was approved. What the entry means by a default counts as if it were written: another version's default
makes another digest, which asks again.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import re2

from gateway.policy.schema import ApproveEntry, GrantWorth, Times


def digest(entry: ApproveEntry) -> str:
    """SHA-256 in hex over all that ``entry`` says."""
    worth = GrantWorth(entry.uses, entry.within)
    return hashlib.sha256(_text(_plain(msgspec.structs.replace(entry, grant=worth))).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value of a policy file in JSON's types. A list becomes a sorted one: in an entry, lists are sets.

    Raises TypeError for a type that is not listed here: a new kind of condition must not be left out of the digest.
    """
    match value:
        case Times():
            # The one place where an order counts: a span's start and end.
            spans = [f"{start}-{end}" for start, end in value.hours or ()]
            return {"days": _plain(value.days), "hours": _plain(spans), "zone": value.zone.key}
        case msgspec.Struct():
            said = ((name, getattr(value, name)) for name in value.__struct_fields__)
            return {name: _plain(field) for name, field in said if field is not None}
        case dict():
            return {key: _plain(field) for key, field in value.items()}
        case tuple() | list() | frozenset():
            # Verbs and days are sets of their own, as many as a word stands for: [mon-tue] and [tue, mon] are the same.
            members = {
                _text(_plain(one)) for item in value for one in (item if isinstance(item, frozenset) else (item,))
            }
            return sorted(members)
        case datetime.datetime():
            return value.timestamp()
        case ZoneInfo():
            return value.key
        case ipaddress.IPv4Network() | ipaddress.IPv6Network():
            return str(value)
        case re2._Regexp():
            return value.pattern
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"nobody has said how a {type(value).__name__} is digested")


def _text(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))
