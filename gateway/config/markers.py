"""What a schema says about a field beyond its type: ``Annotated[T, Parsed(...)]`` and friends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.config.units import parse_address, parse_duration, parse_listen_address, parse_size
from gateway.config.urls import Url, parse_base, parse_webhook
from gateway.model import Address
from gateway.public_keys import PublicKey, parse_host_key, parse_public_key
from gateway.secrets import SecretReference


@dataclass(frozen=True, slots=True)
class Parsed:
    """The value is one scalar; ``parse`` turns its text into the field's type.

    ``parse`` raises ``ValueError("what is wrong; the mend")`` without repeating the text, which may be a secret.
    ``shape`` is what the docs print as the type.
    """

    parse: Callable[[str], object]
    shape: str


@dataclass(frozen=True)
class Later:
    """Words that shared documents promise and this version doesn't have: "not in this version", not "unknown"."""

    words: Mapping[str, str]
    """The word -> what to do instead."""


NAME_CHARACTERS = 256
"""Longest name of a principal, group or node. X.509 has 64 for a common name, mail 254; SPIFFE has 2048, uses < 200."""


def parse_name(text: str) -> str:
    """A principal's, group's or node's name: printable, no white space around it."""
    if not text or len(text) > NAME_CHARACTERS or not text.isprintable() or text != text.strip():
        raise ValueError(f"is not a name; write 1 to {NAME_CHARACTERS} printable characters without spaces around them")
    return text


_LABEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}", re.ASCII)


def parse_label(text: str) -> str:
    """A target's or sink's name: plain enough for a database name, a file name and a metric's label."""
    if not _LABEL.fullmatch(text):
        raise ValueError(
            "is not a plain name; write at most 63 lower-case letters, digits, -, _ and ., a letter or digit first"
        )
    return text


def parse_path(text: str) -> Path:
    """An absolute path."""
    if not text.startswith("/"):
        raise ValueError("is not an absolute path; start it with /")
    return parse_any_path(text)


def parse_any_path(text: str) -> Path:
    """An absolute path, or one that its key's docstring says where it starts."""
    if not text or not text.isprintable() or ".." in Path(text).parts:
        raise ValueError("is not a plain path; write it without .. and control characters")
    return Path(text)


Duration = Annotated[float, Parsed(parse_duration, "duration")]
Size = Annotated[int, Parsed(parse_size, "size")]
PositiveDuration = Annotated[float, Parsed(parse_duration, "duration"), msgspec.Meta(gt=0)]
PositiveSize = Annotated[int, Parsed(parse_size, "size"), msgspec.Meta(gt=0)]
ListenAddress = Annotated[Address, Parsed(parse_listen_address, "IP address and port")]
PeerAddress = Annotated[Address, Parsed(parse_address, "host:port or unix socket path")]
WebhookUrl = Annotated[Url | SecretReference, Parsed(parse_webhook, "https URL or secret reference")]
BaseUrl = Annotated[str, Parsed(parse_base, "https URL")]
AbsolutePath = Annotated[Path, Parsed(parse_path, "absolute path")]
DataPath = Annotated[Path, Parsed(parse_any_path, "path; relative to node.data")]
Reference = Annotated[SecretReference, Parsed(SecretReference.parse, "secret reference")]
SshKey = Annotated[PublicKey, Parsed(parse_public_key, "public key")]
HostKey = Annotated[tuple[PublicKey, bool], Parsed(parse_host_key, "host key, or line of known_hosts")]
Name = Annotated[str, Parsed(parse_name, "name")]
Label = Annotated[str, Parsed(parse_label, "plain name")]
