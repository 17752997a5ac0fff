from __future__ import annotations

import asyncssh

from gateway.protocols.ssh.upstream import CERTIFIED, CLOCKS_APART, certified_key

NOW = 1_795_003_200.0


def test_a_certificate_is_for_one_user_and_for_minutes() -> None:
    ca = asyncssh.generate_private_key("ssh-ed25519")
    key, certificate = certified_key(ca, "deploy", "ostiary/alice/0190", NOW)
    assert isinstance(certificate, asyncssh.public_key.SSHOpenSSHCertificate)
    assert certificate.principals == ["deploy"]
    assert certificate._key_id == "ostiary/alice/0190"
    assert certificate.signing_key.public_data == ca.public_data
    assert certificate.key.public_data == key.public_data
    assert (certificate._valid_after, certificate._valid_before) == (NOW - CLOCKS_APART, NOW + CERTIFIED)


def test_each_login_has_a_key_of_its_own() -> None:
    ca = asyncssh.generate_private_key("ssh-ed25519")
    first, second = (certified_key(ca, "deploy", "ostiary/alice/0190", NOW)[0] for _ in range(2))
    assert first.public_data != second.public_data
