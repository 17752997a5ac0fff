"""Which algorithms the gateway speaks, towards callers and targets: named, not what the library happens to default to.

Chosen so that `ssh-audit` has nothing to say but that curve25519 is not post-quantum, which OpenSSH 9.2 (Debian 12) and
others before 9.9 still need. Left out: SHA-1, CBC, non-ETM MACs, finite-field Diffie-Hellman and NIST curves in key
exchange, DSA, and compression, which tells lengths and can be a bomb.
"""

from __future__ import annotations

from typing import Final

from asyncssh.kex import get_kex_algs

from gateway.public_keys import PublicKey

_KEY_EXCHANGES: Final = (
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
)

_BUILT_IN: Final = frozenset(name.decode("ascii") for name in get_kex_algs())

KEY_EXCHANGES: Final = tuple(name for name in _KEY_EXCHANGES if name in _BUILT_IN)
"""Of the above what this build of `cryptography` has (ML-KEM comes with OpenSSL 3.5, sntrup761 with liboqs)."""

CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)

MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")

_SIGNATURES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

SIGNATURES: Final = _SIGNATURES
"""By which callers may prove that they have a key. The NIST curves are what smart cards and older tokens have."""

SIGNATURE_NAMES: Final = frozenset(name.encode("ascii") for name in SIGNATURES)

_CERTIFICATES: Final = (
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
)


HOST_KEYS: Final = frozenset(name.encode("ascii") for name in (*_SIGNATURES, *_CERTIFICATES))
"""By which the gateway proves its own host key to callers; an RSA key could as well sign with SHA-1."""


def host_key_algorithms(keys: tuple[PublicKey, ...], cas: tuple[PublicKey, ...]) -> tuple[str, ...]:
    """What to ask a target for, so that it shows a key that is known; without any, whatever it has."""
    wanted: list[str] = [*_CERTIFICATES] if cas else []
    for key in keys:
        wanted += ["rsa-sha2-512", "rsa-sha2-256"] if key.kind == "ssh-rsa" else [key.kind]
    return tuple(dict.fromkeys(wanted)) or (
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    )
