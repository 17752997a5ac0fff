"""The node's signing key: Ed25519 in PKCS 8 PEM, mode 0600; its public half goes to whoever verifies."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.errors import RecordingFailed, SecretUnavailable
from gateway.secrets import MAX_SECRET, Secret, kept_secret


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """The signing key at ``path``; made there (0600, its directory 0700) when nothing is.

    Raises RecordingFailed when it can't be read or made, is no Ed25519 key, or others can read it.
    """
    try:
        return parse_private(kept_secret(path, _generate))
    except (SecretUnavailable, RecordingFailed) as error:
        raise RecordingFailed(f"signing key {path}: {error.message}", hint=error.hint) from error


def _generate() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_private(pem: Secret) -> Ed25519PrivateKey:
    """A signing key given by reference. Raises RecordingFailed, never with the key's text."""
    try:
        key = load_pem_private_key(pem.reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RecordingFailed(
            "the recordings' signing key is no unencrypted PEM key", hint="make one: openssl genpkey -algorithm ed25519"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RecordingFailed(
            "the recordings' signing key is not Ed25519", hint="make one: openssl genpkey -algorithm ed25519"
        )
    return key


def export_public(key: Ed25519PrivateKey) -> str:
    """The public key as PEM (``ostiary recordings key``)."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def load_public(path: Path) -> Ed25519PublicKey:
    """A public key that `export_public` wrote. Raises RecordingFailed."""
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_SECRET)
        key = load_pem_public_key(pem)
    except OSError as error:
        raise RecordingFailed(f"public key {path}: {error.strerror or error}") from error
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise RecordingFailed(
            f"public key {path}: is no Ed25519 public key in PEM",
            hint="write it on the gateway: ostiary recordings key > recording.pub",
        )
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """What a recording's header calls the key: SHA-256 of its 32 bytes (RFC 8032), in hex."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()
