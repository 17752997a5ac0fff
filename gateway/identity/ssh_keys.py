"""SSH keys and certificates: what a caller offers -> the principal that it would be, once it has proven it.

- {principal: alice, groups: [engineers], keys: ["ssh-ed25519 AAAA... alice@laptop"], until: "2026-12-31T00:00Z"}

An offer is no proof (GHSA-3cjp-w4cp-m9c8): whoever calls `SshCredentials.offered` has the signature yet to check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from gateway.config import load_yaml, parse_yaml
from gateway.config.markers import Name, Parsed, SshKey
from gateway.config.schema import IdentitySection
from gateway.errors import ConfigError, LoginFailed, Problem, SecretUnavailable
from gateway.identity.passwords import parse_time
from gateway.identity.revocation import RevocationList, read_revocations
from gateway.identity.ssh_certificates import (
    UNRESTRICTED,
    Certificate,
    Restrictions,
    principal_of,
    read_certificate,
)
from gateway.model import Principal, PrincipalKind
from gateway.public_keys import PublicKey, of_blob, parse_public_key
from gateway.secrets import SecretReference

KINDS: Final = frozenset(
    {
        "ssh-ed25519",
        "sk-ssh-ed25519@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ssh-rsa",
    }
)
"""DSA is too short (1,024 bits), and OpenSSH 10 has removed it."""

LEAST_RSA: Final = 2048
"""Bits; NIST SP 800-131A's minimum. OpenSSH's own default (RequiredRSASize) is 1,024, GitHub's is 2,048."""


@dataclass(frozen=True, slots=True)
class SshIdentity:
    """Who somebody is that has the private key, and what its certificate lets it do at most."""

    principal: Principal
    restrictions: Restrictions


class KeyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One principal of the file of registered keys."""

    principal: Name
    """The principal's name."""
    keys: Annotated[tuple[SshKey, ...], msgspec.Meta(min_length=1)]
    """Its public keys, each as in its .pub file."""
    kind: PrincipalKind = "human"
    """`human` or `machine`."""
    groups: tuple[Name, ...] = ()
    """Its groups."""
    until: Annotated[float, Parsed(parse_time, "time with its zone")] | None = None
    """When this entry, and every session that it opened, ends. Default: never."""

    def __post_init__(self) -> None:
        for key in self.keys:
            problem = weakness(key)
            if problem is not None:
                raise ValueError(f"has a key ({key.fingerprint}) that {problem}; make one: ssh-keygen -t ed25519")


def weakness(key: PublicKey) -> str | None:
    """Why nobody may log in with a key like this, None when one may."""
    if key.kind not in KINDS:
        return f"is of a type ({key.kind}) that does not log in"
    if key.kind == "ssh-rsa" and _rsa_bits(key.blob) < LEAST_RSA:
        return f"is RSA with less than {LEAST_RSA} bits"
    return None


def _rsa_bits(blob: bytes) -> int:
    """RFC 4253 section 6.6: string, mpint e, mpint n. 0 for what is none."""
    position = 0
    field = b""
    for _ in range(3):
        length = int.from_bytes(blob[position : position + 4])
        field = blob[position + 4 : position + 4 + length]
        position += 4 + length
    return int.from_bytes(field).bit_length() if position == len(blob) else 0


class SshCredentials:
    """Registered keys, CAs and what is revoked, as the files were when this was made.

    Raises ConfigError with every problem of every file.
    """

    def __init__(self, section: IdentitySection) -> None:
        problems: list[Problem] = []
        self._section = section.ssh_certificates
        self._entries: Mapping[bytes, KeyEntry] = {}
        self._cas: frozenset[bytes] = frozenset()
        self._revoked: tuple[RevocationList, ...] = ()
        try:
            self._entries = {key.blob: entry for entry in load_keys(section.ssh_keys) for key in entry.keys}
        except ConfigError as error:
            problems += error.problems
        if self._section is not None:
            try:
                self._cas = frozenset(key.blob for key in _load_cas(self._section.ca))
            except ConfigError as error:
                problems += error.problems
            try:
                self._revoked = tuple(_load_revoked(self._section.revoked))
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)

    @property
    def offers_any(self) -> bool:
        return bool(self._entries or self._cas)

    def offered(self, blob: bytes, address: str, now: float) -> SshIdentity:
        """Who ``blob``, a key or certificate, stands for at ``now`` (unix seconds), coming from ``address``.

        Raises LoginFailed: for nobody.
        """
        try:
            key = of_blob(blob)
        except ValueError:
            raise _refused("what was offered is no key", "a key that can't be read") from None
        if key.is_certificate:
            return self._by_certificate(key, address, now)
        entry = self._entries.get(blob)
        if entry is None:
            raise _refused("the key is not registered", f"{key.kind} {key.fingerprint} is not registered")
        if any(revoked.has_key(key) for revoked in self._revoked):
            raise _refused("the key is revoked", f"{key.kind} {key.fingerprint} is revoked")
        if entry.until is not None and now >= entry.until:
            raise _refused("the key's time is over", f"{entry.principal}'s entry has ended (until)")
        groups = frozenset(entry.groups)
        factors = frozenset({"ssh_key"})
        principal = Principal(entry.principal, entry.kind, groups, factors, now, entry.until, blob)  # type: ignore[arg-type]  # a literal, widened by frozenset
        return SshIdentity(principal, UNRESTRICTED)

    def known(self, principal: Principal) -> Principal:
        """A principal that has logged in by such a key or certificate, as it would be now. Raises LoginFailed."""
        now = principal.authenticated_at
        key = of_blob(principal.proof)
        if not key.is_certificate:
            return self.offered(principal.proof, "", now).principal
        self._certificate(key)
        return principal

    def _by_certificate(self, key: PublicKey, address: str, now: float) -> SshIdentity:
        certificate = self._certificate(key)
        assert self._section is not None, "a certificate's CA is configured"
        principal, restrictions = principal_of(certificate, self._section, address, now)
        return SshIdentity(principal, restrictions)

    def _certificate(self, key: PublicKey) -> Certificate:
        """What it says, of a CA that is configured, and nothing of it revoked. Raises LoginFailed."""
        if self._section is None:
            raise _refused("certificates do not log in here", "a certificate, and no CA is configured")
        certificate = read_certificate(key)
        if certificate.ca.blob not in self._cas:
            reason = f"certificate of a CA that is not configured ({certificate.ca.fingerprint})"
            raise _refused("the certificate is of an unknown CA", reason)
        problem = weakness(certificate.key) or weakness(certificate.ca)
        if problem is not None:
            raise _refused("the certificate's key is too weak", f"certificate: its key or its CA's {problem}")
        if any(revoked.has_certificate(certificate) for revoked in self._revoked):
            raise _refused("the certificate is revoked", f"certificate {certificate.shown} is revoked")
        return certificate


def _refused(message: str, reason: str) -> LoginFailed:
    return LoginFailed(message, reason=reason)


def load_keys(reference: SecretReference | None) -> tuple[KeyEntry, ...]:
    """The entries of the file that ``reference`` names, () for None. Raises ConfigError with every problem."""
    if reference is None:
        return ()
    file = str(reference.path or reference)
    if reference.path is not None:
        entries = load_yaml(reference.path, tuple[KeyEntry, ...])
    else:
        entries = parse_yaml(_read(reference, ("identity", "ssh_keys")), tuple[KeyEntry, ...], file=file)
    problems = []
    owners: dict[bytes, int] = {}
    names: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if names.setdefault(entry.principal.casefold(), index) != index:
            said = "is there twice (names that differ in case only are mistaken for each other)"
            problems.append(Problem(file, (index, "principal"), said, "write one entry with all of its keys"))
        for position, key in enumerate(entry.keys):
            owner = owners.setdefault(key.blob, index)
            if owner != index:
                said = f"is {entries[owner].principal}'s key, too, and nobody could tell who logs in"
                problems.append(Problem(file, (index, "keys", position), said, "remove it from one of them"))
    if problems:
        raise ConfigError(*problems)
    return entries


def _load_cas(references: tuple[SecretReference, ...]) -> Iterator[PublicKey]:
    for index, reference in enumerate(references):
        where = ("identity", "ssh_certificates", "ca", index)
        file = str(reference.path or reference)
        lines = _read(reference, where).decode("utf-8", "replace").splitlines()
        keys = 0
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                key = parse_public_key(line)
                problem = weakness(key)
                if problem is not None:
                    raise ValueError(f"{problem}; let the CA have another key")
            except ValueError as error:
                said, _, mend = str(error).partition("; ")
                raise ConfigError(Problem(file, (), said, mend, number)) from None
            keys += 1
            yield key
        if not keys:
            raise ConfigError(Problem(file, (), "has no key", "write the CA's .pub line into it"))


def _load_revoked(references: tuple[SecretReference, ...]) -> Iterator[RevocationList]:
    for index, reference in enumerate(references):
        data = _read(reference, ("identity", "ssh_certificates", "revoked", index))
        try:
            yield read_revocations(data)
        except ValueError as error:
            said, _, mend = str(error).partition("; ")
            raise ConfigError(Problem(str(reference.path or reference), (), said, mend)) from None


def _read(reference: SecretReference, where: tuple[str | int, ...]) -> bytes:
    try:
        return reference.resolve().reveal()
    except SecretUnavailable as error:
        raise ConfigError(Problem(str(reference), where, error.message, "let it lead to a file")) from None
