from __future__ import annotations

import base64
import datetime
import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from net.wiring import reference
from support.pki import DAY, Issued, Pki

from gateway.errors import ConfigError
from gateway.net import certificates
from gateway.net.certificates import end_point_hash, load_authorities, load_identity, load_revocations
from gateway.secrets import SecretReference

NOW = datetime.datetime.now(datetime.UTC).timestamp()


@pytest.fixture
def issued(pki: Pki) -> Issued:
    return pki.server(file="certificates-server")


def problem_of(error: ConfigError) -> tuple[str, str, str]:
    (problem,) = error.problems
    return problem.file, problem.problem, problem.mend


def load(certificate: Path, key: Path, now: float = NOW) -> tuple[str, str, str]:
    """The one problem of a pair that does not load."""
    with pytest.raises(ConfigError) as caught:
        load_identity(reference(certificate), reference(key), now)
    return problem_of(caught.value)


def test_a_good_pair(issued: Issued) -> None:
    identity = load_identity(reference(issued.certificate), reference(issued.key), NOW)
    assert identity.leaf == issued.load()


def test_a_chain(issued: Issued, pki: Pki, tmp_path: Path) -> None:
    path = tmp_path / "chain.crt"
    path.write_bytes(issued.certificate.read_bytes() + pki.ca.read_bytes())
    assert len(load_identity(reference(path), reference(issued.key), NOW).chain) == 2


def test_a_chain_in_the_wrong_order_or_of_another_ca(
    issued: Issued, pki: Pki, stranger_pki: Pki, tmp_path: Path
) -> None:
    path = tmp_path / "chain.crt"
    path.write_bytes(issued.certificate.read_bytes() + stranger_pki.ca.read_bytes())
    file, problem, _mend = load(path, issued.key)
    assert file == f"file:{path}"
    assert "CN=localhost was not issued by the certificate after it, CN=Somebody else's CA" in problem
    path.write_bytes(pki.ca.read_bytes() + issued.certificate.read_bytes())
    assert "was not issued by" in load(path, issued.key)[1]


def test_expired_and_not_yet_valid(issued: Issued) -> None:
    end = issued.load().not_valid_after_utc
    _file, problem, mend = load(issued.certificate, issued.key, end.timestamp() + 1)
    assert problem == f"certificate CN=localhost expired on {end:%Y-%m-%d %H:%M} UTC"
    assert mend == "renew it"
    start = issued.load().not_valid_before_utc
    _file, problem, mend = load(issued.certificate, issued.key, start.timestamp() - 1)
    assert problem == f"certificate CN=localhost is not valid before {start:%Y-%m-%d %H:%M} UTC"
    assert "clock" in mend


def test_the_key_of_another_certificate(issued: Issued, pki: Pki) -> None:
    other = pki.server(file="certificates-other")
    file, problem, _mend = load(issued.certificate, other.key)
    assert file == f"file:{other.key}"
    assert problem == f"is not the key of the first certificate in file:{issued.certificate}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "can't be read: No such file or directory"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x30\x82\x01\x01", "is not PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "the key can't be parsed"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no private key"),
    ],
)
def test_keys_that_are_none(issued: Issued, tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    file, found, mend = load(issued.certificate, path)
    assert file == f"file:{path}"
    assert found.startswith(problem)
    assert mend


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "can't be read: No such file or directory"),
        (b"", "is empty"),
        (b"\x30\x82\x01\x01", "is not PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds a certificate that can't be parsed"),
    ],
)
def test_certificates_that_are_none(issued: Issued, tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "certificate"
    if content is not None:
        path.write_bytes(content)
    assert load(path, issued.key)[1].startswith(problem)


def test_an_encrypted_key(issued: Issued, tmp_path: Path) -> None:
    """OpenSSL would ask for the passphrase on the terminal."""
    key = serialization.load_pem_private_key(issued.key.read_bytes(), None)
    path = tmp_path / "key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    _file, problem, mend = load(issued.certificate, path)
    assert problem == "the key is encrypted"
    assert "openssl pkey" in mend


def test_what_is_too_large(issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "MAX_PEM", 100)
    with pytest.raises(ConfigError, match="larger than 100 bytes"):
        certificates.read_pem(reference(issued.certificate))


def test_from_the_environment(issued: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTIARY_TEST_KEY", issued.key.read_text())
    load_identity(reference(issued.certificate), SecretReference("env", "OSTIARY_TEST_KEY"), NOW)
    with pytest.raises(ConfigError, match="no such variable"):
        load_identity(reference(issued.certificate), SecretReference("env", "OSTIARY_TEST_MISSING"), NOW)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_identity(reference(tmp_path / "a"), reference(tmp_path / "b"), NOW)
    assert [problem.file for problem in caught.value.problems] == [f"file:{tmp_path}/a", f"file:{tmp_path}/b"]


def test_no_message_shows_the_key(issued: Issued, tmp_path: Path) -> None:
    text = issued.key.read_text().splitlines()
    path = tmp_path / "key"
    path.write_text("\n".join([text[0], text[1][:-4] + "AAAA", *text[2:]]))
    with pytest.raises(ConfigError) as caught:
        load_identity(reference(issued.certificate), reference(path), NOW)
    assert text[1][:20] not in str(caught.value)


# ---- CAs and revocation lists


def test_authorities(pki: Pki, stranger_pki: Pki) -> None:
    trusted, pem = load_authorities([reference(pki.ca), reference(stranger_pki.ca)], NOW, issuing=True)
    assert len(trusted) == pem.count(b"BEGIN CERTIFICATE") == 2


def test_a_client_certificate_is_no_authority(alice: Issued) -> None:
    with pytest.raises(ConfigError, match=r"CN=alice.* is not a CA's certificate"):
        load_authorities([reference(alice.certificate)], NOW, issuing=True)
    # A target's own certificate may be trusted as it is.
    load_authorities([reference(alice.certificate)], NOW, issuing=False)


def test_a_certificate_without_basic_constraints_is_no_authority(tmp_path: Path) -> None:
    path = tmp_path / "v1"
    path.write_bytes(self_signed(ec.generate_private_key(ec.SECP256R1())).public_bytes(serialization.Encoding.PEM))
    with pytest.raises(ConfigError, match="is not a CA's certificate"):
        load_authorities([reference(path)], NOW, issuing=True)


def test_an_expired_authority_is_a_problem_when_nothing_replaces_it(pki: Pki, alice: Issued, tmp_path: Path) -> None:
    end = alice.load().not_valid_after_utc.timestamp()
    with pytest.raises(ConfigError, match="expired on"):
        load_authorities([reference(alice.certificate)], end + 1, issuing=False)
    both = tmp_path / "bundle"
    both.write_bytes(alice.certificate.read_bytes() + pki.ca.read_bytes())
    load_authorities([reference(both)], end + 1, issuing=False)


def test_revocations(pki: Pki, alice: Issued) -> None:
    authorities = [x509.load_pem_x509_certificate(pki.ca.read_bytes())]
    path = pki.revoke([alice], file="certificates.crl")
    assert load_revocations([reference(path)], authorities, NOW).count(b"BEGIN X509 CRL") == 1


def test_revocation_lists_that_cannot_be_used(pki: Pki, stranger_pki: Pki, tmp_path: Path) -> None:
    ours, theirs = (x509.load_pem_x509_certificate(each.ca.read_bytes()) for each in (pki, stranger_pki))
    current = reference(pki.revoke([], file="certificates-current.crl"))
    old = reference(pki.revoke([], file="certificates-old.crl", expired=True))
    foreign = reference(stranger_pki.revoke([]))
    same_name = Pki(tmp_path / "impostor")  # the same name as ours, another key
    broken = tmp_path / "broken.crl"
    broken.write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    for given_list, authorities, problem in [
        ([old], [ours], "out of date since"),
        ([foreign], [ours], "not signed by any CA in client_ca"),
        ([reference(same_name.revoke([]))], [ours], "not signed by any CA in client_ca"),
        ([current], [ours, theirs], "there is no revocation list of CN=Somebody else's CA"),
        ([reference(pki.ca)], [ours], "holds no revocation list"),
        ([reference(broken)], [ours], "can't be parsed"),
    ]:
        with pytest.raises(ConfigError, match=problem):
            load_revocations(given_list, authorities, NOW)


# ---- channel binding, RFC 5929 section 4.1


def self_signed(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - DAY).not_valid_after(now + DAY)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return builder.sign(key, None)
    return builder.sign(key, algorithm or hashes.SHA256())  # type: ignore[arg-type]  # any hash will do


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        (hashes.SHA224(), "sha224"),
        (hashes.SHA256(), "sha256"),
        (hashes.SHA384(), "sha384"),
        (hashes.SHA512(), "sha512"),
        (hashes.SHA3_256(), "sha3_256"),
    ],
)
def test_end_point_hash(algorithm: hashes.HashAlgorithm, name: str) -> None:
    certificate = self_signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert end_point_hash(der) == hashlib.new(name, der).digest()


WITH_SHA1 = base64.b64decode(
    "MIIBbjCCARagAwIBAgIUAaJgHrEE4CsfD99ZT1Ilz3I1uUAwCQYHKoZIzj0EATAOMQwwCgYDVQQDDANvbGQwHhcNMjYxMTI0MTMw"
    "ODU4WhcNMjYxMTI1MTMwODU4WjAOMQwwCgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASmvrG2lgAR90bG5b2u"
    "eZRwZlMpN/IJSifM1sjb7lIkphoCYFzv6kSreU5o/6rgsh4C911DdgI+T8ilaCPVmysco1MwUTAdBgNVHQ4EFgQUFkMzT9/4lXdn"
    "8NLsBxWzg9bAIPswHwYDVR0jBBgwFoAUFkMzT9/4lXdn8NLsBxWzg9bAIPswDwYDVR0TAQH/BAUwAwEB/zAJBgcqhkjOPQQBA0cA"
    "MEQCIAtJPTtzQyh99hvnkwlK6OVGu0hVme299WOjdJgdoBqTAiAsQqb6/AHFAyJU+FwDR1RQqn1FgzY4Rgf4nYMQGemCoA=="
)
"""`openssl req -x509 -sha1`; cryptography makes none."""


def test_end_point_hash_is_never_weaker_than_sha_256() -> None:
    assert end_point_hash(WITH_SHA1) == hashlib.sha256(WITH_SHA1).digest()


def test_ed25519_has_no_end_point_hash() -> None:
    certificate = self_signed(ed25519.Ed25519PrivateKey.generate())
    assert end_point_hash(certificate.public_bytes(serialization.Encoding.DER)) is None


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pem"
    for content in (data, b"-----BEGIN CERTIFICATE-----\n" + data, b"-----BEGIN X509 CRL-----\n" + data):
        path.write_bytes(content)
        for work in (
            lambda: load_identity(reference(path), reference(path), NOW),
            lambda: load_authorities([reference(path)], NOW, issuing=True),
            lambda: load_revocations([reference(path)], [], NOW),
        ):
            with pytest.raises(ConfigError):
                work()


def test_openssl_agrees_about_our_chain(issued: Issued) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
