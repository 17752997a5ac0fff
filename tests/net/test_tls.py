from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from types import BuiltinMethodType

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from net.test_certificates import self_signed
from net.wiring import reference
from support.pki import Issued, Pki

from gateway.errors import ConfigError
from gateway.model import TargetTls
from gateway.net import ServerContext, client_context, server_context
from gateway.net.certificates import end_point_hash
from gateway.net.tls import Context

NOW = datetime.datetime.now(datetime.UTC).timestamp()


def test_server_context(server_tls: ServerContext, server_certificate: Issued) -> None:
    certificate = server_certificate.load()
    assert server_tls.verify_mode == ssl.CERT_OPTIONAL
    assert server_tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert server_tls.options & ssl.OP_NO_COMPRESSION
    assert server_tls.options & ssl.OP_NO_RENEGOTIATION
    assert server_tls.options & ssl.OP_NO_TICKET
    assert server_tls.num_tickets == 0
    assert server_tls.not_after == certificate.not_valid_after_utc.timestamp()
    assert server_tls.end_point == end_point_hash(certificate.public_bytes(serialization.Encoding.DER))
    assert server_tls.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF == 0
    for cipher in server_tls.get_ciphers():
        assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith("ECDHE-")
        assert cipher["aead"]


def test_without_client_ca_no_certificate_is_asked_for(server_certificate: Issued) -> None:
    context = server_context(reference(server_certificate.certificate), reference(server_certificate.key), now=NOW)
    assert context.verify_mode == ssl.CERT_NONE


def test_a_certificate_can_be_required(server_certificate: Issued, pki: Pki) -> None:
    certificate, key = reference(server_certificate.certificate), reference(server_certificate.key)
    context = server_context(certificate, key, client_ca=[reference(pki.ca)], client_required=True)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert server_context(certificate, key, client_required=True).verify_mode == ssl.CERT_REQUIRED


def test_trust_changes_with_authorities_and_lists(server_certificate: Issued, pki: Pki, stranger_pki: Pki) -> None:
    def trust(*authorities: Pki, crl: bool = False) -> bytes:
        return server_context(
            reference(server_certificate.certificate),
            reference(server_certificate.key),
            client_ca=[reference(each.ca) for each in authorities],
            crl=[reference(each.revoke([], file="trust.crl")) for each in authorities] if crl else [],
        ).trust

    assert trust(pki) == trust(pki)
    assert len({trust(pki), trust(pki, stranger_pki), trust(stranger_pki), trust(pki, crl=True)}) == 4


@pytest.mark.parametrize(("chain", "flag"), [(False, ssl.VERIFY_CRL_CHECK_LEAF), (True, ssl.VERIFY_CRL_CHECK_CHAIN)])
def test_revocation_flags(server_certificate: Issued, pki: Pki, chain: bool, flag: ssl.VerifyFlags) -> None:
    context = server_context(
        reference(server_certificate.certificate),
        reference(server_certificate.key),
        client_ca=[reference(pki.ca)],
        crl=[reference(pki.revoke([], file="tls.crl"))],
        crl_chain=chain,
    )
    assert context.verify_flags & flag == flag
    assert context.cert_store_stats()["crl"] == 1


def test_every_problem_at_once(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        server_context(
            reference(tmp_path / "certificate"),
            reference(tmp_path / "key"),
            client_ca=[reference(tmp_path / "ca"), reference(pki.ca)],
            now=NOW,
        )
    assert [problem.file.rpartition("/")[2] for problem in caught.value.problems] == ["certificate", "key", "ca"]


def test_a_problem_with_a_list_is_found_beside_others(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        server_context(
            reference(tmp_path / "certificate"),
            reference(tmp_path / "key"),
            client_ca=[reference(pki.ca)],
            crl=[reference(tmp_path / "crl")],
        )
    assert len(caught.value.problems) == 3


def test_what_only_openssl_finds(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    certificate, private = tmp_path / "weak.crt", tmp_path / "weak.key"
    certificate.write_bytes(self_signed(key).public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(ConfigError, match="OpenSSL refuses it: ee key too small"):
        server_context(reference(certificate), reference(private))


def test_nothing_is_left_open_or_on_the_disk(server_certificate: Issued, pki: Pki, tmp_path: Path) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    server_context(
        reference(server_certificate.certificate),
        reference(server_certificate.key),
        client_ca=[reference(pki.ca)],
        crl=[reference(pki.revoke([], file="tls-open.crl"))],
    )
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize(
    ("mode", "verify", "names"),
    [
        ("require", ssl.CERT_NONE, False),
        ("verify-ca", ssl.CERT_REQUIRED, False),
        ("verify-full", ssl.CERT_REQUIRED, True),
    ],
)
def test_modes(pki: Pki, mode: object, verify: ssl.VerifyMode, names: bool) -> None:
    context = client_context(TargetTls(mode, f"file:{pki.ca}"), now=NOW)  # type: ignore[arg-type]
    assert context is not None
    assert context.verify_mode == verify
    assert context.check_hostname is names
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_disable() -> None:
    assert client_context(TargetTls("disable")) is None


def test_without_ca_the_hosts_own_are_used(monkeypatch: pytest.MonkeyPatch, pki: Pki) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    context = client_context(TargetTls("verify-full"))
    assert context is not None
    assert context.cert_store_stats()["x509_ca"] == 1


def test_problems_of_a_target(tmp_path: Path, alice: Issued) -> None:
    with pytest.raises(ConfigError) as caught:
        client_context(TargetTls("verify-full", f"file:{tmp_path}/ca", f"file:{alice.certificate}", None))
    assert [problem.problem for problem in caught.value.problems] == [
        "can't be read: No such file or directory",
        "certificate and key go together",
    ]
    client_context(TargetTls("verify-ca", None, f"file:{alice.certificate}", reference(alice.key)))


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends, in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(down, up, server_hostname="localhost", session=session),
        server.wrap_bio(up, down, server_side=True),
    )
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    return ends[1], ends[0]


def test_what_is_left_of_resumption(server_certificate: Issued, pki: Pki, alice: Issued) -> None:
    """TLS 1.2's session ids, which the standard library can't switch off: bounded by the context, that is by the CAs
    and revocation lists of one configuration. 1.3 has none."""

    def context() -> ServerContext:
        return server_context(
            reference(server_certificate.certificate),
            reference(server_certificate.key),
            client_ca=[reference(pki.ca)],
        )

    for version, resumed in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, False)):
        client = ssl.create_default_context(cafile=str(pki.ca))
        client.load_cert_chain(alice.certificate, alice.key)
        client.minimum_version = client.maximum_version = version
        before = context()
        first = shake_hands(before, client)  # kept: OpenSSL forgets the session of a connection that is dropped
        session = first[1].session
        again = shake_hands(before, client, session)[0]
        assert again.session_reused is resumed
        assert again.getpeercert(binary_form=True) is not None  # its dates are looked at once more at login
        assert not shake_hands(context(), client, session)[0].session_reused


def test_messages_pass_no_python_between_loop_and_openssl() -> None:
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    wrapped = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    assert isinstance(wrapped, ssl.SSLObject)
    for method in (wrapped.read, wrapped.write, wrapped.pending):
        assert isinstance(method, BuiltinMethodType)
