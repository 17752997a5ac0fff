"""A throwaway public key infrastructure: a CA, what it signs, and what nobody should trust."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both PEM files; the key is 0600."""

    certificate: Path
    key: Path

    def load(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())

    def lend(self, user: str, directory: Path) -> Issued:
        """A copy in ``directory`` that ``user`` may read: servers refuse keys that others own."""
        copy = Issued(directory / self.certificate.name, directory / self.key.name)
        for source, destination in ((self.certificate, copy.certificate), (self.key, copy.key)):
            shutil.copy(source, destination)
            destination.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(destination, user, user)
        return copy


class Pki:
    """One CA with ECDSA P-256 keys (quick to make).

    directory  where all files go; made if missing
    name       the CA's common name; two `Pki` objects never trust each other
    """

    def __init__(self, directory: Path, name: str = "Ostiary test CA") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 400 * DAY)
            .not_valid_after(now + 400 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = directory / "ca.crt"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str, expired: bool = False, file: str = "server") -> Issued:
        """For TLS servers at ``names`` (host names or IP addresses); none: localhost and loopback addresses."""
        names = names or ("localhost", "127.0.0.1", "::1")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = [_general_name(name) for name in names]
        return self._issue(file, subject, alternatives, ExtendedKeyUsageOID.SERVER_AUTH, expired=expired)

    def client(
        self,
        name: str,
        *,
        groups: Sequence[str] = (),
        uri: str | None = None,
        email: str | None = None,
        expired: bool = False,
        seconds: int | None = None,
        file: str | None = None,
    ) -> Issued:
        """For a caller: ``name`` is the subject's CN, ``groups`` its OUs, ``uri`` and ``email`` alternative names.

        seconds  it is valid for so long, from now on
        """
        attributes = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternatives: list[x509.GeneralName] = []
        if uri is not None:
            alternatives.append(x509.UniformResourceIdentifier(uri))
        if email is not None:
            alternatives.append(x509.RFC822Name(email))
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        valid = 30 * DAY if seconds is None else datetime.timedelta(seconds=seconds)
        return self._issue(file or name, subject, alternatives, purpose, expired=expired, valid=valid)

    def revoke(self, revoked: Iterable[Issued], *, file: str = "ca.crl", expired: bool = False) -> Path:
        """A revocation list that names exactly ``revoked``; PEM."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - 2 * DAY)
            .next_update(now - DAY if expired else now + DAY)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for issued in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(issued.load().serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - DAY).build())
        path = self.directory / file
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def _issue(
        self,
        file: str,
        subject: x509.Name,
        alternatives: Sequence[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
        *,
        expired: bool,
        valid: datetime.timedelta = 30 * DAY,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now - DAY if expired else now + valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        issued = Issued(self.directory / f"{file}.crt", self.directory / f"{file}.key")
        issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        issued.key.touch(mode=0o600)
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return issued


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
