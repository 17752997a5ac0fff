from __future__ import annotations

import asyncssh

from gateway.protocols.ssh import algorithms
from gateway.public_keys import PublicKey

ED25519 = PublicKey("ssh-ed25519", b"x")
RSA = PublicKey("ssh-rsa", b"x")


def test_all_of_them_are_built_in() -> None:
    asyncssh.SSHServerConnectionOptions(
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        kex_algs=list(algorithms.KEY_EXCHANGES),
        encryption_algs=list(algorithms.CIPHERS),
        mac_algs=list(algorithms.MACS),
        signature_algs=list(algorithms.SIGNATURES),
    )
    assert "curve25519-sha256" in algorithms.KEY_EXCHANGES


def test_nothing_weak() -> None:
    names = " ".join(algorithms.KEY_EXCHANGES + algorithms.CIPHERS + algorithms.MACS + algorithms.SIGNATURES)
    for weak in (
        "sha1",
        "cbc",
        "3des",
        "arcfour",
        "group1",
        "group14",
        "ssh-rsa",
        "ssh-dss",
        "md5",
        "umac",
        "nistp256-sha",
    ):
        assert weak not in names, weak
    assert all("etm" in name for name in algorithms.MACS)


def test_a_target_is_asked_for_what_is_known_of_it() -> None:
    assert algorithms.host_key_algorithms((RSA,), ()) == ("rsa-sha2-512", "rsa-sha2-256")
    assert algorithms.host_key_algorithms((ED25519, RSA), ())[0] == "ssh-ed25519"
    assert all("-cert-" in name for name in algorithms.host_key_algorithms((), (ED25519,)))
    assert "ssh-ed25519" in algorithms.host_key_algorithms((), ())
