"""OpenSSH public keys as text: one line, a blob, a fingerprint. What is in the blob is for others to judge.

The line's form is that of authorized_keys and of *.pub files (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"), the blob's that
of RFC 4253 section 6.6: a string with the type's name, then what that type needs.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256

MAX_BLOB = 16 * 1024
"""Bytes. A certificate for RSA with 8,192 bits from such a CA and 30 principals has about 5 KiB."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key or certificate as it is written on the wire.

    kind  its type's name, such as ``ssh-ed25519``
    blob  RFC 4253 section 6.6
    """

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it: ``SHA256:`` and unpadded base64."""
        return f"SHA256:{base64.b64encode(sha256(self.blob).digest()).decode().rstrip('=')}"

    @property
    def line(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def is_certificate(self) -> bool:
        return "-cert-v01@" in self.kind


def of_blob(blob: bytes) -> PublicKey:
    """The key whose blob this is. Raises ValueError when it doesn't begin as one."""
    length = int.from_bytes(blob[:4])
    name = blob[4 : 4 + length]
    if len(blob) <= 4 + length or not 1 <= length <= 64 or not name.isascii() or not name.decode().isprintable():
        raise ValueError("is no public key; write it as ssh-keygen does in its .pub file")
    if len(blob) > MAX_BLOB:
        raise ValueError(f"is longer than {MAX_BLOB} bytes; write the line of a .pub file")
    return PublicKey(name.decode("ascii"), blob)


def parse_public_key(text: str) -> PublicKey:
    """``ssh-ed25519 AAAA... comment``. Raises ValueError("what is wrong; the mend"), also for one with options."""
    words = text.split(None, 2)
    if len(words) < 2:
        raise ValueError("is no public key; write the line of its .pub file")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        blob = b""
    key = of_blob(blob) if blob else None
    if key is None or key.kind != words[0]:
        raise ValueError(
            "is no public key, or has something in front of it; write the line of its .pub file, without options"
        )
    return key


def parse_host_key(text: str) -> tuple[PublicKey, bool]:
    """A host's key, and whether it is a CA of hosts: as in a .pub file, or a line of known_hosts
    (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), whose names are not looked at.

    Raises ValueError("what is wrong; the mend").
    """
    words = text.split()
    marked = bool(words) and words[0].startswith("@")
    if marked and words[0] != "@cert-authority":
        raise ValueError("has a marker that is not @cert-authority; remove the key, or the marker")
    rest = words[2:] if marked else words
    try:
        return parse_public_key(" ".join(rest)), marked
    except ValueError:
        if marked:
            raise
        return parse_public_key(" ".join(rest[1:])), False
