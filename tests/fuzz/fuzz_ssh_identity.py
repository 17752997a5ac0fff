"""Fuzzes what SSH keys, certificates and revocation lists are read by: `make fuzz`, or this file with a directory.

Whatever is offered, it is somebody or nobody (LoginFailed); a certificate of no principal, or of two, is nobody; lists
are read or refused (ValueError). CAs' signatures count as right here: what a certificate says is what is tried.
"""

from __future__ import annotations

import base64
import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["gateway.identity", "gateway.public_keys"]):
    from gateway.config.schema import SshCertificates
    from gateway.errors import LoginFailed
    from gateway.identity import ssh_certificates
    from gateway.identity.revocation import MAGIC, read_revocations
    from gateway.identity.ssh_certificates import principal_of, read_certificate
    from gateway.public_keys import of_blob, parse_host_key
    from gateway.secrets import SecretReference

KEY = base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIPMmeqDXjGxQUBZ7Qmf1ShmiXQSS2mTgGXTm/tDV9Tk7")
SECTION = SshCertificates(ca=(SecretReference("file", "/ca"),), groups_from="extension")
NOW = 1_800_000_000.0


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def certificate(data: bytes) -> bytes:
    """With a key and a CA that are right, and ``data`` between them."""
    head = string(b"ssh-ed25519-cert-v01@openssh.com") + string(b"nonce") + KEY[15:]
    return head + data + string(KEY) + string(string(b"ssh-ed25519") + string(bytes(64)))


def said(data: bytes) -> bytes:
    """Serial, kind, key id, principals, times, options, extensions, reserved: the last ones from ``data``."""
    fuzzed = atheris.FuzzedDataProvider(data)
    parts = [fuzzed.ConsumeBytes(fuzzed.ConsumeIntInRange(0, 60)) for _ in range(4)]
    times = bytes(8) + b"\xff" * 8
    return (
        bytes(8)
        + b"\0\0\0\1"
        + string(parts[0])
        + string(parts[1])
        + times
        + string(parts[2])
        + string(parts[3])
        + string(b"")
    )


def one_input(data: bytes) -> None:
    for blob in (data, certificate(data), certificate(said(data))):
        with suppress(LoginFailed, ValueError):
            found = read_certificate(of_blob(blob))
            principal, _ = principal_of(found, SECTION, "192.0.2.7", NOW)
            assert len(found.principals) == 1
            assert principal.name == found.principals[0].decode()
            assert principal.proof == blob
    with suppress(ValueError):
        parse_host_key(data.decode("utf-8", "replace"))
    for listed in (data, MAGIC + bytes(3) + b"\1" + bytes(24) + data):
        with suppress(ValueError):
            read_revocations(listed)


def main() -> None:
    ssh_certificates._verify = lambda certificate: True
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
