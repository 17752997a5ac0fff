"""Certificates, keys and revocation lists: read, and every problem found before the first client meets it.

OpenSSL's own words for the same problems are ``[SSL] PEM lib (_ssl.c:3895)``, or a prompt on the terminal for an
encrypted key, or nothing at all until a handshake fails. Here each is a `Problem` that names file, problem and mend.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import NoReturn, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from gateway.errors import ConfigError, Problem, SecretUnavailable
from gateway.secrets import SecretReference

MAX_PEM = 32 * 1024 * 1024
"""Bytes of one file of certificates or revocation lists. Debian's bundle of all CAs has 220 KB, revocation lists
of large public CAs reach 20 MB."""

_PublicKey = serialization.PublicFormat.SubjectPublicKeyInfo
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain (leaf first) and its key, checked against each other; PEM."""

    chain: tuple[x509.Certificate, ...]
    chain_pem: bytes
    key_pem: bytes

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]


def _problem(reference: SecretReference, problem: str, mend: str) -> NoReturn:
    raise ConfigError(Problem(str(reference), (), problem, mend))


def read_pem(reference: SecretReference) -> bytes:
    """The bytes behind ``reference``; larger than a secret may be. Raises ConfigError."""
    path = reference.path
    try:
        if path is None:
            data = reference.resolve().reveal()
        else:
            with path.open("rb") as file:
                data = file.read(MAX_PEM + 1)
    except SecretUnavailable as error:
        _problem(reference, error.message, "make it readable for the gateway's user, or correct the reference")
    except OSError as error:
        _problem(
            reference,
            f"can't be read: {error.strerror or error}",
            "make it readable for the gateway's user, or correct the reference",
        )
    if len(data) > MAX_PEM:
        _problem(reference, f"is larger than {MAX_PEM} bytes", "give the file that holds certificates only")
    if not data.strip():
        _problem(reference, "is empty", "write the PEM text into it (-----BEGIN ...)")
    if b"-----BEGIN " not in data:
        _problem(reference, "is not PEM", "convert it: openssl x509 (pkey, crl) -inform DER -in FILE -out FILE.pem")
    return data


def load_certificates(reference: SecretReference) -> list[x509.Certificate]:
    """All certificates of a PEM file, at least one. Raises ConfigError."""
    data = read_pem(reference)
    if b"-----BEGIN CERTIFICATE-----" not in data:
        _problem(reference, "holds no certificate", "give the file with -----BEGIN CERTIFICATE-----")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        _problem(reference, f"holds a certificate that can't be parsed: {error}", "export it anew as PEM")


def check_valid_at(reference: SecretReference, certificate: x509.Certificate, now: float) -> None:
    """Raises ConfigError when ``certificate`` is expired or not yet valid at ``now`` (unix seconds)."""
    moment = datetime.fromtimestamp(now, UTC)
    name = certificate.subject.rfc4514_string() or "without a name"
    if moment > certificate.not_valid_after_utc:
        _problem(
            reference,
            f"certificate {name} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            "renew it",
        )
    if moment < certificate.not_valid_before_utc:
        _problem(
            reference,
            f"certificate {name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "correct this host's clock, or wait",
        )


def load_identity(certificate: SecretReference, key: SecretReference, now: float) -> Identity:
    """Our own certificate (leaf first, then intermediates) and its key.

    Raises ConfigError: unreadable, empty, not PEM, expired, not yet valid, a chain whose parts were not issued by each
    other, an encrypted key, a key of another certificate.
    """
    problems: list[Problem] = []
    chain = gather(problems, lambda: _load_chain(certificate, now))
    private = gather(problems, lambda: _load_key(key))
    if problems or chain is None or private is None:
        raise ConfigError(*problems)
    key_pem, public = private
    leaf = chain[0].public_key().public_bytes(serialization.Encoding.DER, _PublicKey)
    if public != leaf:
        _problem(
            key,
            f"is not the key of the first certificate in {certificate}",
            "give the key the certificate was requested with; in the certificate file the server's own comes first",
        )
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)
    return Identity(tuple(chain), pem, key_pem)


def _load_chain(reference: SecretReference, now: float) -> list[x509.Certificate]:
    chain = load_certificates(reference)
    for each in chain:
        check_valid_at(reference, each, now)
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            _problem(
                reference,
                f"{issued.subject.rfc4514_string()} was not issued by the certificate after it, "
                f"{issuer.subject.rfc4514_string()}",
                "put the server's certificate first, then each one's issuer, and nothing else",
            )
    return chain


def _load_key(reference: SecretReference) -> tuple[bytes, bytes]:
    """The key as PEM, and its public half as DER."""
    data = read_pem(reference)
    if b"PRIVATE KEY-----" not in data:
        _problem(reference, "holds no private key", "give the file with -----BEGIN PRIVATE KEY-----")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        _problem(
            reference,
            "the key is encrypted",
            "decrypt it (openssl pkey -in FILE -out NEW) and protect it with systemd's LoadCredentialEncrypted=",
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        # The library's text describes the structure, never the key.
        _problem(reference, f"the key can't be parsed: {error}", "give an RSA, EC or Ed25519 key in PEM")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, key.public_key().public_bytes(serialization.Encoding.DER, _PublicKey)


def load_authorities(
    references: Sequence[SecretReference], now: float, *, issuing: bool
) -> tuple[list[x509.Certificate], bytes]:
    """Certificates to trust, and the same as PEM. Bundles may hold expired ones beside those that replace them; a file
    in which none is valid is refused.

    issuing   each must be a CA (those that sign clients); a target's self-signed certificate may stand for itself

    Raises ConfigError.
    """
    problems: list[Problem] = []
    trusted: list[x509.Certificate] = []
    for reference in references:
        trusted += gather(problems, lambda reference=reference: _load_authority(reference, now, issuing)) or []  # type: ignore[misc]
    if problems:
        raise ConfigError(*problems)
    return trusted, b"".join(each.public_bytes(serialization.Encoding.PEM) for each in trusted)


def _load_authority(reference: SecretReference, now: float, issuing: bool) -> list[x509.Certificate]:
    found = load_certificates(reference)
    expired: list[ConfigError] = []
    for each in found:
        if issuing and not _is_authority(each):
            _problem(
                reference,
                f"{each.subject.rfc4514_string()} is not a CA's certificate",
                "give the certificate of the CA that signs the clients, not a client's own",
            )
        try:
            check_valid_at(reference, each, now)
        except ConfigError as error:
            expired.append(error)
    if len(expired) == len(found):
        raise expired[0]
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def load_revocations(
    references: Sequence[SecretReference], authorities: Sequence[x509.Certificate], now: float
) -> bytes:
    """Revocation lists as PEM.

    Raises ConfigError: unreadable, not signed by one of ``authorities``, out of date, and a CA for which there is no
    list (OpenSSL would refuse every client of it).
    """
    problems: list[Problem] = []
    lists: list[x509.CertificateRevocationList] = []
    for reference in references:
        lists += gather(problems, lambda reference=reference: _load_revocation(reference, authorities, now)) or []  # type: ignore[misc]
    covered = {each.issuer for each in lists}
    for authority in authorities:
        if not problems and authority.subject not in covered and _valid(authority, now):
            problems.append(
                Problem(
                    ", ".join(map(str, references)),
                    (),
                    f"there is no revocation list of {authority.subject.rfc4514_string()}",
                    "add its list; without one every client of this CA would be refused",
                )
            )
    if problems:
        raise ConfigError(*problems)
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in lists)


def _valid(certificate: x509.Certificate, now: float) -> bool:
    return certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp()


def _load_revocation(
    reference: SecretReference, authorities: Sequence[x509.Certificate], now: float
) -> list[x509.CertificateRevocationList]:
    data = read_pem(reference)
    begin, end = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
    if begin not in data:
        _problem(reference, "holds no revocation list", "give the file with -----BEGIN X509 CRL-----")
    found: list[x509.CertificateRevocationList] = []
    for part in data.split(begin)[1:]:
        try:
            revoked = x509.load_pem_x509_crl(begin + part.partition(end)[0] + end + b"\n")
        except ValueError as error:
            _problem(reference, f"the revocation list can't be parsed: {error}", "export it anew as PEM")
        found.append(revoked)
        until = revoked.next_update_utc
        if until is not None and until.timestamp() < now:
            _problem(
                reference,
                f"the revocation list is out of date since {until:%Y-%m-%d %H:%M} UTC",
                "fetch the current one from the CA",
            )
        issuers = [each for each in authorities if each.subject == revoked.issuer]
        if not any(_signed_by(revoked, each) for each in issuers):
            _problem(
                reference,
                f"the revocation list of {revoked.issuer.rfc4514_string()} is not signed by any CA in client_ca",
                "give the lists of those CAs",
            )
    return found


def _signed_by(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return revoked.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # TypeError says no
    except (TypeError, UnsupportedAlgorithm):
        return False


def gather(problems: list[Problem], load: Callable[[], T]) -> T | None:
    """What ``load`` gives; when it raises ConfigError its problems are added and None is given, so that the operator
    sees all that is wrong at once."""
    try:
        return load()
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def end_point_hash(certificate: bytes) -> bytes | None:
    """RFC 5929 section 4.1: the certificate (DER) under the hash of its own signature, SHA-256 where that is MD5
    or SHA-1. None for a signature without a hash (Ed25519): the RFC defines nothing, and PostgreSQL refuses it, too.
    """
    signature_hash = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    if signature_hash is None:
        return None
    name = "sha256" if signature_hash.name in ("md5", "sha1") else signature_hash.name
    return hashlib.new(name.replace("-", "_"), certificate).digest()
