"""What is revoked: OpenSSH's key revocation lists (OpenSSH's PROTOCOL.krl), and plain files of public keys.

Read here rather than asked of `ssh-keygen -Q`: a login needs no process of its own, and what can't be read is found at
a reload, not at the next login.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Final

from gateway.identity.ssh_certificates import Certificate
from gateway.public_keys import PublicKey, parse_public_key

MAGIC: Final = b"SSHKRL\n\0"

SECTION_CERTIFICATES, SECTION_KEYS, SECTION_SHA1, SECTION_SIGNATURE, SECTION_SHA256 = 1, 2, 3, 4, 5
SECTION_EXTENSION: Final = 255
SERIAL_LIST, SERIAL_RANGE, SERIAL_BITMAP, KEY_ID, CERTIFICATE_EXTENSION = 0x20, 0x21, 0x22, 0x23, 0x39


@dataclass(slots=True)
class _OfCa:
    """What is revoked of one CA's certificates; an empty ``ca`` means every CA's."""

    ca: bytes
    serials: set[int] = field(default_factory=set)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    key_ids: set[bytes] = field(default_factory=set)

    def has(self, certificate: Certificate) -> bool:
        if self.ca and self.ca != certificate.ca.blob:
            return False
        serial = certificate.serial
        # Serial 0 is a CA's that doesn't number its certificates: it stands for none of them.
        numbered = serial != 0 and (serial in self.serials or any(low <= serial <= high for low, high in self.ranges))
        return numbered or certificate.key_id in self.key_ids


@dataclass(slots=True)
class RevocationList:
    """Keys and certificates that are not to be taken any more."""

    blobs: set[bytes] = field(default_factory=set)
    sha1: set[bytes] = field(default_factory=set)
    sha256: set[bytes] = field(default_factory=set)
    certificates: list[_OfCa] = field(default_factory=list)

    def has_key(self, key: PublicKey) -> bool:
        return (
            key.blob in self.blobs
            or sha256(key.blob).digest() in self.sha256
            or sha1(key.blob, usedforsecurity=False).digest() in self.sha1
        )

    def has_certificate(self, certificate: Certificate) -> bool:
        """The certificate itself, its key, or its CA."""
        return (
            self.has_key(certificate.key)
            or self.has_key(certificate.ca)
            or any(section.has(certificate) for section in self.certificates)
        )


class _Fields:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> bool:
        return self._position < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) != size:
            raise _unreadable("is cut")
        self._position += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def string(self) -> bytes:
        return self.take(self.number(4))


def _unreadable(what: str) -> ValueError:
    return ValueError(f"{what}, as a revocation list; make it anew with ssh-keygen -k")


def read_revocations(data: bytes) -> RevocationList:
    """``data`` is a KRL, or lines of public keys. Raises ValueError("what is wrong; the mend")."""
    if data.startswith(MAGIC):
        return _parse_krl(data)
    found = RevocationList()
    for line in data.decode("utf-8", "replace").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            key = parse_public_key(line)
            if key.is_certificate:
                raise ValueError("lists a certificate; revoke it with ssh-keygen -k, or list its key")
            found.blobs.add(key.blob)
    return found


def _parse_krl(data: bytes) -> RevocationList:
    fields = _Fields(data)
    fields.take(len(MAGIC))
    if fields.number(4) != 1:
        raise _unreadable("has a format version that is not known")
    fields.take(8 + 8 + 8)  # its version, its date, flags (none are defined)
    fields.string()  # reserved
    fields.string()  # a comment
    found = RevocationList()
    while fields.left:
        kind, section = fields.number(1), _Fields(fields.string())
        if kind == SECTION_CERTIFICATES:
            found.certificates.append(_certificates(section))
        elif kind in (SECTION_KEYS, SECTION_SHA1, SECTION_SHA256):
            into = {SECTION_KEYS: found.blobs, SECTION_SHA1: found.sha1, SECTION_SHA256: found.sha256}[kind]
            while section.left:
                into.add(section.string())
        elif kind == SECTION_SIGNATURE:
            # ssh-keygen makes none, and OpenSSH 9.4 has removed it; the file's own protection is what counts.
            fields.string()
        elif kind == SECTION_EXTENSION:
            _extension(section)
        else:
            raise _unreadable(f"has a section ({kind}) that is not known")
    return found


def _certificates(section: _Fields) -> _OfCa:
    found = _OfCa(section.string())
    section.string()  # reserved
    while section.left:
        kind, part = section.number(1), _Fields(section.string())
        if kind == SERIAL_LIST:
            while part.left:
                found.serials.add(part.number(8))
        elif kind == SERIAL_RANGE:
            found.ranges.append((part.number(8), part.number(8)))
        elif kind == SERIAL_BITMAP:
            offset, bits = part.number(8), int.from_bytes(part.string())
            while bits:
                lowest = (bits & -bits).bit_length() - 1
                found.serials.add(offset + lowest)
                bits &= bits - 1
        elif kind == KEY_ID:
            while part.left:
                found.key_ids.add(part.string())
        elif kind == CERTIFICATE_EXTENSION:
            _extension(part)
        else:
            raise _unreadable(f"has a section ({kind:#x}) of certificates that is not known")
    return found


def _extension(part: _Fields) -> None:
    name, critical = part.string(), part.number(1)
    if critical:
        raise _unreadable(f"needs an extension ({name.decode('utf-8', 'replace')[:40]!r}) that is not known")
