"""Our classes for the ciphers against asyncssh's own: the same bytes, and nothing that was changed is opened."""

from __future__ import annotations

from typing import Any

import pytest
from asyncssh.encryption import ChachaEncryption, Encryption, GCMEncryption, get_encryption
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.ssh import transport  # noqa: F401  # which has them used
from gateway.protocols.ssh.ciphers import LENGTH, TAG, AesGcm, ChaCha20Poly1305

KEYS = {"chacha20-poly1305": 64, "aes128-gcm": 16, "aes256-gcm": 32}
OF_ASYNCSSH: dict[str, Any] = {
    "chacha20-poly1305": ChachaEncryption,
    "aes128-gcm": GCMEncryption,
    "aes256-gcm": GCMEncryption,
}
OURS: dict[str, Any] = {"chacha20-poly1305": ChaCha20Poly1305, "aes128-gcm": AesGcm, "aes256-gcm": AesGcm}

names = st.sampled_from(sorted(KEYS))


def made(classes: dict[str, Any], name: str, seed: int, counted: int = 0) -> Encryption:
    key = bytes((seed + each) % 256 for each in range(KEYS[name]))
    encryption: Encryption = classes[name].new(name, key, b"1234" + counted.to_bytes(8))
    return encryption


def opened(encryption: Encryption, number: int, sealed: bytes) -> bytes | None:
    first, length = encryption.decrypt_header(number, sealed[:8], LENGTH)
    assert first == sealed[:8]
    del length
    return encryption.decrypt_packet(number, first, sealed[8:-TAG], LENGTH, sealed[-TAG:])


@given(
    names,
    st.integers(0, 255),
    st.sampled_from([0, 2**64 - 2]),
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=8, max_size=300)), max_size=8),
)
def test_the_same_as_asyncssh(name: str, seed: int, counted: int, packets: list[tuple[int, bytes]]) -> None:
    ours, theirs = (made(classes, name, seed, counted) for classes in (OURS, OF_ASYNCSSH))
    reads, theirs_reads = (made(classes, name, seed, counted) for classes in (OURS, OF_ASYNCSSH))
    for number, packet in packets:
        header = len(packet).to_bytes(LENGTH)
        sealed = b"".join(ours.encrypt_packet(number, header, packet))
        assert sealed == b"".join(theirs.encrypt_packet(number, header, packet))
        assert reads.decrypt_header(number, sealed[:8], LENGTH) == theirs_reads.decrypt_header(
            number, sealed[:8], LENGTH
        )
        assert opened(reads, number, sealed) == opened(theirs_reads, number, sealed) == packet


@given(names, st.integers(0, 2**32 - 1), st.binary(min_size=8, max_size=300), st.data())
def test_what_was_changed_is_not_opened(name: str, number: int, packet: bytes, data: st.DataObject) -> None:
    sealed = bytearray(b"".join(made(OURS, name, 1).encrypt_packet(number, len(packet).to_bytes(LENGTH), packet)))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert opened(made(OURS, name, 1), number, bytes(sealed)) is None


def test_a_packet_under_another_number_is_not_opened() -> None:
    sealed = b"".join(made(OURS, "chacha20-poly1305", 1).encrypt_packet(7, bytes(LENGTH), bytes(16)))
    assert opened(made(OURS, "chacha20-poly1305", 1), 8, sealed) is None


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("aes128-gcm@openssh.com", AesGcm),
        ("aes256-gcm@openssh.com", AesGcm),
        ("chacha20-poly1305@openssh.com", ChaCha20Poly1305),
    ],
)
def test_connections_use_them(name: str, used: type) -> None:
    assert isinstance(get_encryption(name.encode(), bytes(64)[: KEYS[name.partition("@")[0]]], bytes(12)), used)
