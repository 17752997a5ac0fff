from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.schema import Certificates
from gateway.errors import LoginFailed
from gateway.identity.certificates import MAX_DER, principal_of
from gateway.model import Principal

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
END = datetime(2026, 12, 24, tzinfo=UTC)
DEFAULT = Certificates(groups_from="ou")


class Names(TypedDict, total=False):
    cn: list[str]
    ou: list[str]
    uri: list[str]
    email: list[str]
    dns: list[str]


def made(
    *,
    cn: Sequence[str] = (),
    ou: Sequence[str] = (),
    uri: Sequence[str] = (),
    email: Sequence[str] = (),
    dns: Sequence[str] = (),
    usages: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    ca: bool | None = None,
    start: datetime = datetime(2026, 11, 1, tzinfo=UTC),
    end: datetime = END,
) -> bytes:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in cn]
    names += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, name, _validate=False) for name in ou]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    general: list[x509.GeneralName] = [x509.UniformResourceIdentifier(value) for value in uri]
    general += [x509.RFC822Name._init_without_validation(value) for value in email]
    general += [x509.DNSName(value) for value in dns]
    if general:
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def read(der: bytes, section: Certificates = DEFAULT, now: float = NOW) -> Principal:
    return principal_of(der, section, now)


def reason(der: bytes, section: Certificates = DEFAULT, now: float = NOW) -> str:
    with pytest.raises(LoginFailed) as caught:
        read(der, section, now)
    assert caught.value.hint
    assert caught.value.message.isprintable()
    return caught.value.reason


def test_a_person() -> None:
    assert read(made(cn=["Alice"], ou=["engineers", "on call"], ca=False)) == Principal(
        "Alice", "human", frozenset({"engineers", "on call"}), frozenset({"certificate"}), NOW, END.timestamp()
    )


def test_a_machine() -> None:
    principal = read(made(cn=["ignored"], uri=["spiffe://corp/ci/1"]))
    assert (principal.name, principal.kind) == ("spiffe://corp/ci/1", "machine")
    assert read(made(uri=["https://corp/x"])).kind == "human"
    other = Certificates(machines=("*-bot",))
    assert read(made(cn=["deploy-bot"]), other).kind == "machine"
    assert read(made(uri=["spiffe://corp/x"]), other).kind == "human"


def test_the_configured_order_counts() -> None:
    der = made(cn=["carol"], email=["alice@example.com"], uri=["spiffe://corp/x"])
    assert read(der).name == "spiffe://corp/x"
    assert read(der, Certificates(name_from=("email", "uri"))).name == "alice@example.com"
    assert read(der, Certificates(name_from=("cn",))).name == "carol"


def test_groups_only_where_they_are_asked_for() -> None:
    assert read(made(cn=["alice"], ou=["admins"]), Certificates()).groups == frozenset()


@pytest.mark.parametrize(
    ("usages", "problem"),
    [
        (None, "no extended key usage"),
        ([ExtendedKeyUsageOID.SERVER_AUTH], "no clientAuth"),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], "no clientAuth"),
    ],
)
def test_certificates_for_something_else(usages: Sequence[x509.ObjectIdentifier] | None, problem: str) -> None:
    assert problem in reason(made(cn=["alice"], usages=usages))


def test_ca_certificates() -> None:
    assert "a CA's" in reason(made(cn=["alice"], ca=True))


def test_validity() -> None:
    der = made(cn=["alice"])
    assert "expired on 2026-12-24 00:00 UTC" in reason(der, now=END.timestamp())
    assert read(der, now=END.timestamp() - 1).expires_at == END.timestamp()
    assert "not valid before 2026-11-01" in reason(der, now=NOW - 30 * 86400)


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({}, "no name of the kinds"),
        ({"dns": ["alice.example.com"]}, "no name of the kinds"),
        ({"cn": ["alice", "bob"]}, "2 names of the kind cn"),
        ({"email": ["a@x", "b@x"]}, "2 names of the kind email"),
        ({"uri": ["spiffe://a/b", "spiffe://a/c"], "cn": ["alice"]}, "2 names of the kind uri"),
        ({"cn": [""]}, "empty"),
        ({"cn": ["x" * 300]}, "longer than"),
        ({"cn": ["alice\0.evil"]}, "control characters"),
        ({"cn": ["alice\n"]}, "control characters"),
        ({"cn": ["alice,bob"]}, "comma"),
        ({"cn": [" alice"]}, "spaces"),
        ({"cn": ["al\u200bice"]}, "control characters"),
        ({"cn": ["\u202eecila"]}, "control characters"),
        ({"cn": ["\uff41lice"]}, "stand for others"),
        ({"cn": ["alice\u0301"]}, "stand for others"),
        ({"cn": ["spiffe://corp/ci/1"]}, "looks like"),
        ({"cn": ["alice@example.com"]}, "looks like"),
        ({"email": ["alice"]}, "no plain address"),
        ({"email": ["a@b@c"]}, "no plain address"),
        ({"email": ["alice@example.com\0.evil"]}, "control characters"),
        ({"email": ["alice@a,bob@b"]}, "comma"),
        ({"email": ["spiffe://x@y"]}, "no plain address"),
        ({"uri": ["spiffe://CORP/ci"]}, "capitals"),
        ({"uri": ["SPIFFE://corp/ci"]}, "capitals"),
        ({"uri": ["spiffe://corp/a/../b"]}, "dots"),
        ({"uri": ["spiffe://corp/a%2e"]}, "escapes"),
        ({"uri": ["spiffe://corp/a#b"]}, "fragment"),
        ({"uri": ["spiffe://corp/a?b"]}, "query"),
        ({"uri": ["spiffe:corp"]}, "scheme and authority"),
        ({"uri": ["spiffe://corp/a\0b"]}, "control characters"),
        ({"uri": ["spiffe://corp/a,b"]}, "comma"),
        ({"cn": ["alice"], "ou": ["a,b"]}, "organizational unit"),
        ({"cn": ["alice"], "ou": ["a\0"]}, "organizational unit"),
        ({"cn": ["alice"], "ou": ["x"] * 300}, "more than 256"),
    ],
)
def test_name_tricks(names: Names, problem: str) -> None:
    assert problem in reason(made(**names))


def test_case() -> None:
    """Mail addresses don't tell case apart; common names do, and so they are different principals."""
    assert read(made(email=["Alice@Example.COM"])).name == "alice@example.com"
    assert read(made(cn=["ALICE"])).name == "ALICE"


def test_a_bad_name_of_the_first_kind_is_not_passed_over() -> None:
    assert "capitals" in reason(made(uri=["SPIFFE://corp/x"], cn=["alice"]))


def test_what_is_no_certificate() -> None:
    der = made(cn=["alice"])
    for wrong in (b"", b"x", der[:-1], der + b"x", b"0" * (MAX_DER + 1)):
        assert reason(wrong).startswith("certificate: it ")


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_changed_certificates_raise_nothing_else(position: int, value: int) -> None:
    der = bytearray(made(cn=["alice"], ou=["x"], email=["a@b"], uri=["spiffe://a/b"]))
    der[position % len(der)] = value
    try:
        principal = read(bytes(der))
    except LoginFailed:
        return
    assert principal.name.isprintable()
