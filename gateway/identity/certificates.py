"""A client certificate -> the principal that it names.

That the chain is right, not revoked and its key held by the peer was proven by TLS before; here is only what the
certificate *says*, read strictly (RFC 5280): what could be read in two ways is refused, never chosen from.
"""

from __future__ import annotations

import unicodedata
from fnmatch import fnmatchcase

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.config.markers import NAME_CHARACTERS
from gateway.config.nodes import printable
from gateway.config.schema import Certificates
from gateway.errors import LoginFailed
from gateway.model import Principal, PrincipalKind

MAX_DER = 64 * 1024
"""Bytes; OpenSSL's own default for a peer's whole chain is 100 KiB."""

MAX_GROUPS = 256
"""More in one subject is no organisation any more."""


class Refused(Exception):
    """What is wrong with the certificate, in words that may hold escaped text from it."""


def principal_of(der: bytes, section: Certificates, now: float) -> Principal:
    """The principal that the certificate ``der`` names at ``now`` (unix seconds).

    Raises LoginFailed whatever is wrong. Its holder is told what: it has the certificate, so nothing is revealed.
    """
    try:
        return _read(der, section, now)
    except Refused as refused:
        raise _failed(str(refused)) from None
    except Exception as error:  # whatever the parser trips over is no identity
        raise _failed("it can't be read") from error


def _failed(reason: str) -> LoginFailed:
    return LoginFailed(
        f"client certificate refused: {reason}",
        reason=f"certificate: {reason}",
        hint="ask whoever issues client certificates for one that fits docs/configuration.md, identity.certificates",
    )


def _read(der: bytes, section: Certificates, now: float) -> Principal:
    if len(der) > MAX_DER:
        raise Refused("it is larger than 64 KiB")
    certificate = x509.load_der_x509_certificate(der)
    expires_at = certificate.not_valid_after_utc.timestamp()
    if now >= expires_at:
        raise Refused(f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc.timestamp():
        raise Refused(f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    _check_usage(certificate.extensions)
    name = _name(certificate, section)
    machine = any(fnmatchcase(name, glob) for glob in section.machines)
    kind: PrincipalKind = "machine" if machine else "human"
    groups = _groups(certificate) if section.groups_from == "ou" else frozenset()
    return Principal(name, kind, groups, frozenset({"certificate"}), now, expires_at)


def _check_usage(extensions: x509.Extensions) -> None:
    """RFC 5280 section 4.2.1.12, stricter: OpenSSL takes a certificate without the extension for one that may do
    everything, and so server certificates of the same CA would log in."""
    try:
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        raise Refused("it has no extended key usage; clientAuth is needed") from None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise Refused("its extended key usage has no clientAuth")
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return
    if constraints.ca:
        raise Refused("it is a CA's")


def _name(certificate: x509.Certificate, section: Certificates) -> str:
    for source in section.name_from:
        names = _names_by(source, certificate)
        if len(names) > 1:
            raise Refused(f"it has {len(names)} names of the kind {source}; one is needed")
        if names:
            return _checked_name(source, names[0])
    raise Refused(f"it has no name of the kinds that are configured ({', '.join(section.name_from)})")


def _names_by(source: str, certificate: x509.Certificate) -> list[str]:
    if source == "cn":
        return _subject(certificate, NameOID.COMMON_NAME)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kind = x509.UniformResourceIdentifier if source == "uri" else x509.RFC822Name
    return list(names.get_values_for_type(kind))


def _subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]
    if not all(isinstance(value, str) for value in values):
        raise Refused("its subject has a name that is no text")
    return [value for value in values if isinstance(value, str)]


def _checked_name(source: str, name: str) -> str:
    check_characters(f"its {source} name", name)
    if source == "uri":
        scheme, separator, rest = name.partition("://")
        if not separator or not scheme or not rest:
            raise Refused(f"its uri name ({printable(name)}) has no scheme and authority")
        authority = rest.partition("/")[0]
        # RFC 3986 section 6.2.2.1 takes them as equal in any case, policy doesn't; SPIFFE-ID section 2 wants lower.
        if (scheme + authority) != (scheme + authority).lower():
            raise Refused(f"its uri name ({printable(name)}) has capitals in its scheme or authority")
        if "%" in name or "?" in name or "#" in name or any(part in (".", "..") for part in rest.split("/")):
            raise Refused(f"its uri name ({printable(name)}) has escapes, a query, a fragment or dots as a path part")
        return name
    if source == "email":
        local, at, domain = name.rpartition("@")
        if not at or not local or not domain or "@" in local or " " in name or "://" in name:
            raise Refused(f"its email name ({printable(name)}) is no plain address")
        # Mail systems don't tell case apart, and so `Alice@...` must not be another principal than `alice@...`.
        return name.lower()
    if "@" in name or "://" in name:
        # A CA may check alternative names and let the subject be free text.
        raise Refused(f"its common name ({printable(name)}) looks like an email or URI name; those come from its SAN")
    return name


def check_characters(what: str, name: str) -> None:
    """NUL and comma end or split a name elsewhere; invisible and compatibility characters make two names look alike."""
    if not name or len(name) > NAME_CHARACTERS:
        raise Refused(f"{what} is empty or longer than {NAME_CHARACTERS} characters")
    if not name.isprintable() or "," in name or name != name.strip():
        raise Refused(f"{what} ({printable(name)}) has control characters, a comma or spaces around it")
    if unicodedata.normalize("NFKC", name) != name:
        raise Refused(f"{what} ({printable(name)}) has characters that stand for others (Unicode NFKC)")


def _groups(certificate: x509.Certificate) -> frozenset[str]:
    units = _subject(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
    if len(units) > MAX_GROUPS:
        raise Refused(f"it has more than {MAX_GROUPS} organizational units")
    for unit in units:
        check_characters("an organizational unit", unit)
    return frozenset(units)
