"""The two AEAD ciphers, in the place of asyncssh's own: what belongs to a key is made once, not for each packet, and
less is copied. The algorithms themselves are `cryptography`'s, as there.
"""

from __future__ import annotations

from typing import Final

from asyncssh import encryption
from asyncssh.encryption import Encryption
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.poly1305 import Poly1305

TAG: Final = 16
"""Bytes of both ciphers' tags."""

LENGTH: Final = 4
"""Bytes of a packet's length, in front of it."""

_BLOCK: Final = bytes(64)
_FIRST: Final = bytes(8)
"""ChaCha20's block counter, little-endian, in front of the nonce."""


class _Aead(Encryption):
    @classmethod
    def needs_mac(cls) -> bool:
        return False

    @classmethod
    def get_mac_params(cls, mac_alg: bytes) -> tuple[int, int, bool]:
        return 0, TAG, True


class ChaCha20Poly1305(_Aead):
    """``chacha20-poly1305@openssh.com`` (OpenSSH's PROTOCOL.chacha20poly1305).

    Half of the key is for the packet, half for its length; the packet's number is the nonce; the keystream's first
    block is the tag's key, and what follows it is for the packet.
    """

    def __init__(self, key: bytes) -> None:
        self._packet = _keystream(key[:32])
        self._length = _keystream(key[32:])

    @classmethod
    def new(
        cls, cipher_name: str, key: bytes, iv: bytes, mac_alg: bytes = b"", mac_key: bytes = b"", etm: bool = False
    ) -> ChaCha20Poly1305:
        return cls(key)

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        nonce = _FIRST + seq.to_bytes(8)
        self._length.reset_nonce(nonce)
        stream = self._packet
        stream.reset_nonce(nonce)
        key = stream.update(_BLOCK)[:32]
        sealed = self._length.update(header) + stream.update(packet)
        return sealed, Poly1305.generate_tag(key, sealed)

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        self._length.reset_nonce(_FIRST + seq.to_bytes(8))
        return first_block, self._length.update(first_block[:header_len])

    def decrypt_packet(self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes) -> bytes | None:
        stream = self._packet
        stream.reset_nonce(_FIRST + seq.to_bytes(8))
        key = stream.update(_BLOCK)[:32]
        sealed = first + rest
        try:
            Poly1305.verify_tag(key, sealed, mac)
        except InvalidSignature:
            return None
        return stream.update(memoryview(sealed)[header_len:])


class AesGcm(_Aead):
    """``aes128-gcm@openssh.com`` and ``aes256-gcm@openssh.com`` (RFC 5647, without its negotiation): the length is not
    secret; the nonce is four fixed bytes and a count of packets."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed = iv[:4]
        self._count = int.from_bytes(iv[4:])

    @classmethod
    def new(
        cls, cipher_name: str, key: bytes, iv: bytes, mac_alg: bytes = b"", mac_key: bytes = b"", etm: bool = False
    ) -> AesGcm:
        return cls(key, iv)

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._count.to_bytes(8)
        self._count = (self._count + 1) & 0xFFFFFFFFFFFFFFFF
        return nonce

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        # The tag is behind the packet already: nothing is cut off to be put there again.
        return header + self._cipher.encrypt(self._nonce(), packet, header), b""

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        return first_block, first_block[:header_len]

    def decrypt_packet(self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes) -> bytes | None:
        sealed = memoryview(b"".join((first, rest, mac)))
        try:
            return self._cipher.decrypt(self._nonce(), sealed[header_len:], sealed[:header_len])
        except InvalidTag:
            return None


def _keystream(key: bytes) -> CipherContext:
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()


def use() -> None:
    """Connections from now on encrypt by these."""
    for name in (b"aes128-gcm@openssh.com", b"aes256-gcm@openssh.com"):
        encryption._enc_params[name] = (AesGcm, encryption._enc_params[name][1])
    name = b"chacha20-poly1305@openssh.com"
    encryption._enc_params[name] = (ChaCha20Poly1305, encryption._enc_params[name][1])
