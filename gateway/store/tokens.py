"""The token vault: values behind the tokens that the method `token` shows instead of them.

A token is a keyed hash of its value, so that a value has one token, on whatever session and after every restart,
without a look-up. What the vault keeps is the way back: token -> value, encrypted (AES-256-GCM, NIST SP 800-38D) and
bound to its token. Both keys come from one secret (HKDF, RFC 5869).

Masking runs row by row on the reactor's thread. `TokenVault.token` touches no disk but when it has gathered
`MAX_WAITING` values; `settle` writes what is gathered in one transaction, and is called before a chunk of rows leaves
for the client: no client ever holds a token that can't be resolved. Checkpoints, which wait for the disk, are a
thread's (`TokenVault.checkpoint`).
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, select
from sqlalchemy.dialects.sqlite import insert

from gateway.errors import LimitReached, StoreFailed
from gateway.secrets import Secret
from gateway.store.database import checkpoint, open_database, told

PREFIX = b"tok_"

REFERENCE_BYTES = 16
"""128 bits, in hex: two of 2^32 values share a token with a chance of 2^-65."""

_TOKEN = re.compile(f"{PREFIX.decode()}([0-9a-f]{{{2 * REFERENCE_BYTES}}})", re.ASCII)

MAX_VALUE = 16 * 1024
"""Bytes of a value that is kept. What people look up again (names, numbers, addresses) is shorter; without a bound one
SELECT of documents would copy them all into the vault."""

MAX_KNOWN = 131_072
"""Tokens in memory that are known to be kept, some 20 MB: a column of 100,000 rows that is asked for again costs 3 us
a value, not 16."""

MAX_WAITING = 1000
"""Values that are gathered for one transaction, however long a chunk is: 16 MB at most. Measured: 16 us a new value,
all told."""

_VERSION = 1
_NONCE_BYTES = 12
_METADATA = MetaData()

_TOKENS = Table(
    "tokens",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("reference", LargeBinary, nullable=False, unique=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("made", Integer, nullable=False),
)
"""sealed: nonce, ciphertext, tag. made: unix seconds. Numbered, so that only the small index is written all over: with
the reference as the table's own key the log was twice as large."""

_KEY = Table("key", _METADATA, Column("proof", LargeBinary, primary_key=True))
"""One row, which tells a wrong secret from the one that the vault was made with."""


def make_key() -> bytes:
    """A new secret, as text that a credential or a file can hold."""
    return base64.b64encode(os.urandom(32))


class TokenVault:
    """Raises StoreFailed wherever it can't do what is asked; then the session has to end. May be used by threads.

    clock  unix seconds; random  gives that many random bytes
    """

    def __init__(
        self, path: Path, secret: Secret, *, clock: Callable[[], float], random: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Opens it, or makes it. Raises StoreFailed, also for a secret that it was not made with."""
        self.path = path
        self._clock = clock
        self._random = random
        self._names = _derived(secret, b"ostiary tokens: references")
        self._cipher = AESGCM(_derived(secret, b"ostiary tokens: values"))
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._waiting: dict[bytes, dict[str, object]] = {}
        self._lock = Lock()
        self._unchecked = False
        self._engine = open_database(path, _METADATA, version=_VERSION)
        with told(path):
            self._connection = self._engine.connect()
        try:
            self._prove()
        except StoreFailed:
            self._connection.close()
            raise

    def _prove(self) -> None:
        proof = hmac.digest(self._names, b"ostiary tokens: proof", "sha256")
        with told(self.path), self._connection.begin():
            found = self._connection.execute(select(_KEY.c.proof)).scalars().all()
            if not found:
                self._connection.execute(insert(_KEY), {"proof": proof})
        if found and found != [proof]:
            raise StoreFailed(
                f"{self.path}: was made with another key than masking.vault_key or keys/vault.key is now",
                hint="restore that key, or move the vault away: its tokens can't be resolved without the key",
            )

    def token(self, value: bytes) -> bytes:
        """``tok_`` and 32 hex digits. Raises LimitReached above MAX_VALUE bytes, StoreFailed."""
        if len(value) > MAX_VALUE:
            raise LimitReached(f"a value of more than {MAX_VALUE} bytes gets no token")
        reference = hmac.digest(self._names, value, "sha256")[:REFERENCE_BYTES]
        with self._lock:
            if reference in self._known:
                self._known.move_to_end(reference)
            else:
                self._gather(reference, value)
        return PREFIX + reference.hex().encode()

    def _gather(self, reference: bytes, value: bytes) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._write()
        nonce = self._random(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, value, reference)
        self._waiting[reference] = {"reference": reference, "sealed": sealed, "made": int(self._clock())}
        self._known[reference] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def settle(self) -> None:
        """Every token that was given out can be resolved from now on. Raises StoreFailed: it can't, keep it back."""
        if self._waiting:
            with self._lock:
                self._write()

    def _write(self) -> None:
        """What can't be written goes on waiting, so that nobody takes it for kept."""
        if not self._waiting:
            return
        rows = list(self._waiting.values())
        with told(self.path), self._connection.begin():
            self._connection.execute(insert(_TOKENS).on_conflict_do_nothing(), rows)
        self._waiting.clear()
        self._unchecked = True

    def checkpoint(self) -> None:
        """What was written reaches the disk. Blocks for the disk's time: in a thread. Raises StoreFailed."""
        if self._unchecked:
            self._unchecked = False
            checkpoint(self._engine)

    def resolve(self, tokens: Iterable[str]) -> dict[str, bytes]:
        """The values of those ``tokens`` that were settled here; also while it can't write. Raises StoreFailed."""
        with self._lock:
            return {token: value for token in tokens if (value := self._value(token)) is not None}

    def _value(self, token: str) -> bytes | None:
        reference = parse_token(token)
        if reference is None:
            return None
        with told(self.path), self._connection.begin():
            sealed = self._connection.execute(
                select(_TOKENS.c.sealed).where(_TOKENS.c.reference == reference)
            ).scalar_one_or_none()
        if sealed is None:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], reference)
        except InvalidTag:
            raise StoreFailed(f"{self.path}: the value of {token} was changed", hint="restore a backup") from None

    def close(self) -> None:
        """Writes what waits. Raises StoreFailed."""
        try:
            self.settle()
            self.checkpoint()
        finally:
            self._connection.close()
            self._engine.dispose()


def parse_token(token: str) -> bytes | None:
    """The reference in it; None when it is no token."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else bytes.fromhex(match[1])


def _derived(secret: Secret, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.reveal())
