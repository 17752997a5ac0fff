"""The local password file: its entries, what makes them, and stand-ins for names that it doesn't have.

- {name: alice, groups: [sre-lead], password: "$argon2id$...", scram: "SCRAM-SHA-256$...", until: "2026-12-31T00:00Z"}
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import argon2
import msgspec
import scramp

from gateway.config import load_yaml, parse_yaml
from gateway.config.markers import Name, Parsed
from gateway.errors import ConfigError, GatewayError, Problem, SecretUnavailable
from gateway.model import PrincipalKind
from gateway.secrets import Secret, SecretReference

MAX_PASSWORD = 16 * 1024
"""Bytes; tokens come as passwords and have up to 16 kB (postgres.md, routing and login)."""

HASHER = argon2.PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
"""RFC 9106 section 4, second option, but one lane: four would let a single login take four cores from relaying."""

LEAST_COST = 7168 * 5
"""KiB times passes; the cheapest set in OWASP's Password Storage Cheat Sheet (m=7168, t=5)."""

MOST_MEMORY = 256 * 1024
"""KiB; as many logins as there are threads (`gateway.identity.login.THREADS`) have it at a time."""

MOST_PASSES = 20
MOST_LANES = 8

SCRAM_ITERATIONS = 16_384
"""Four times PostgreSQL's default. Clients compute it at every login, some in plain Python (about 40 ms)."""

LEAST_ITERATIONS = 4096
"""RFC 7677 section 4."""

MOST_ITERATIONS = 1_000_000
"""A client needs a second or so for it."""

_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})",
    re.ASCII,
)
_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$([1-9][0-9]{0,7}):([A-Za-z0-9+/=]{16,256})\$([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]{44})", re.ASCII
)
_REMAKE = "make one with `ostiary passwd`"


@dataclass(frozen=True, slots=True, repr=False)
class Argon2Hash:
    """An encoded argon2id hash whose cost lies within bounds."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Argon2Hash:
        """Raises ValueError; never repeats ``text``, and never computes anything costly."""
        match = _ARGON2.fullmatch(text)
        if match is None or any(len(part) % 4 == 1 for part in match.group(4, 5)):
            raise ValueError(f"is not an argon2id hash (version 19); {_REMAKE}")
        memory, passes, lanes = (int(number) for number in match.group(1, 2, 3))
        if memory * passes < LEAST_COST or lanes < 1 or memory < 8 * lanes:
            raise ValueError(f"is too cheap to guess; {_REMAKE}")
        if memory > MOST_MEMORY or passes > MOST_PASSES or lanes > MOST_LANES:
            raise ValueError(f"costs too much to check at each login; {_REMAKE}")
        return cls(text)

    def verify(self, password: bytes) -> bool:
        """Takes its time: call it in a thread. Any failure is a no."""
        try:
            return argon2.low_level.verify_secret(self.text.encode(), password, argon2.Type.ID)
        except argon2.exceptions.Argon2Error:
            return False

    def stand_in(self, seed: bytes) -> Argon2Hash:
        """Takes as long to verify, and nobody has its password."""
        head, salt, digest = self.text.rsplit("$", 2)
        return Argon2Hash(f"{head}${_characters(seed, b'salt', len(salt))}${_characters(seed, b'hash', len(digest))}")

    def __repr__(self) -> str:
        return "Argon2Hash(...)"


@dataclass(frozen=True, slots=True, repr=False)
class ScramVerifier:
    """What PostgreSQL, too, keeps of a password for SCRAM-SHA-256 (RFC 5803, in PostgreSQL's spelling)."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def parse(cls, text: str) -> ScramVerifier:
        """``SCRAM-SHA-256$iterations:salt$stored key:server key``. Raises ValueError; never repeats ``text``."""
        match = _VERIFIER.fullmatch(text)
        if match is None:
            raise ValueError(f"is not a SCRAM-SHA-256 verifier; {_REMAKE}")
        iterations = int(match[1])
        if not LEAST_ITERATIONS <= iterations <= MOST_ITERATIONS:
            raise ValueError(f"has an iteration count outside of {LEAST_ITERATIONS} to {MOST_ITERATIONS}; {_REMAKE}")
        try:
            salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in match.group(2, 3, 4))
        except binascii.Error:
            raise ValueError(f"has parts that are not base64; {_REMAKE}") from None
        # scramp refuses shorter salts; PostgreSQL makes 16 bytes.
        if len(stored_key) != 32 or len(server_key) != 32 or len(salt) < 12:
            raise ValueError(f"has keys or a salt of the wrong length; {_REMAKE}")
        return cls(iterations, salt, stored_key, server_key)

    def stand_in(self, seed: bytes) -> ScramVerifier:
        """Looks alike to a client (iterations, length of the salt), and nobody has its password."""
        salt = hashlib.shake_256(_derive(seed, b"scram salt")).digest(len(self.salt))
        return ScramVerifier(self.iterations, salt, _derive(seed, b"stored key"), _derive(seed, b"server key"))

    def __str__(self) -> str:
        salt, stored, server = (
            base64.b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"SCRAM-SHA-256${self.iterations}:{salt}${stored}:{server}"

    def __repr__(self) -> str:
        return "ScramVerifier(...)"


def parse_time(text: str) -> float:
    """An ISO 8601 date and time with its zone -> unix seconds."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError("is not a time with its zone; write it such as 2026-12-31T18:00:00Z")
    try:
        return time.timestamp()
    except (OverflowError, ValueError):
        raise ValueError("is a time beyond the calendar; write it such as 2026-12-31T18:00:00Z") from None


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One principal of the password file."""

    name: Name
    """The principal's name, and what it logs in with."""
    kind: PrincipalKind = "human"
    """`human` or `machine`."""
    groups: tuple[Name, ...] = ()
    """Its groups."""
    password: Annotated[Argon2Hash, Parsed(Argon2Hash.parse, "argon2id hash")] | None = None
    """argon2id hash, for listeners whose `password` is `cleartext`."""
    scram: Annotated[ScramVerifier, Parsed(ScramVerifier.parse, "SCRAM-SHA-256 verifier")] | None = None
    """Verifier, for listeners whose `password` is `scram`."""
    until: Annotated[float, Parsed(parse_time, "time with its zone")] | None = None
    """When this entry, and every session that it opened, ends. Default: never."""

    def __post_init__(self) -> None:
        if self.password is None and self.scram is None:
            raise ValueError("has neither password nor scram; make them with `ostiary passwd`")


class PasswordFile:
    """The entries by name; unknown names get stand-ins that can't be told from the file's own.

    mock_key  keys what a stand-in is made of. One per process, kept over reloads: a salt that changed with a reload
              would show that nobody has the name.
    """

    def __init__(self, entries: tuple[Entry, ...], mock_key: bytes) -> None:
        self._entries: Mapping[str, Entry] = {entry.name: entry for entry in entries}
        self._mock_key = mock_key
        self._hashes = [entry.password for entry in entries if entry.password is not None] or [_DEFAULT_HASH]
        self._verifiers = [entry.scram for entry in entries if entry.scram is not None] or [_DEFAULT_VERIFIER]

    def entry(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def password_hash(self, name: str) -> Argon2Hash:
        """The name's hash, or a stand-in as costly as one of the file's (always the same one's)."""
        seed = self._seed(name)
        stand_in = self._hashes[seed[0] % len(self._hashes)].stand_in(seed)
        entry = self._entries.get(name)
        return stand_in if entry is None or entry.password is None else entry.password

    def verifier(self, name: str) -> ScramVerifier:
        """The name's verifier, or a stand-in that looks like one of the file's (always the same one's)."""
        seed = self._seed(name)
        stand_in = self._verifiers[seed[0] % len(self._verifiers)].stand_in(seed)
        entry = self._entries.get(name)
        return stand_in if entry is None or entry.scram is None else entry.scram

    def _seed(self, name: str) -> bytes:
        return _derive(self._mock_key, name.encode("utf-8", "surrogatepass"))


def load_passwords(reference: SecretReference | None) -> tuple[Entry, ...]:
    """The entries of the file that ``reference`` names, () for None. Raises ConfigError with every problem."""
    if reference is None:
        return ()
    file = str(reference)
    if reference.path is not None:
        file = str(reference.path)
        entries = load_yaml(reference.path, tuple[Entry, ...], secrets=True)
    else:
        try:
            data = reference.resolve().reveal()
        except SecretUnavailable as error:
            mend = "set it, or point identity.passwords at a file"
            raise ConfigError(Problem(file, ("identity", "passwords"), error.message, mend)) from error
        entries = parse_yaml(data, tuple[Entry, ...], file=file)
    problems = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        first = seen.setdefault(entry.name.casefold(), index)
        if first != index:
            said = f"is entry {first + 1}'s, too (names that differ in case only are mistaken for each other)"
            problems.append(Problem(file, (index, "name"), said, "remove one, or give it another name"))
    if problems:
        raise ConfigError(*problems)
    return entries


def hash_password(password: Secret) -> str:
    """The argon2id hash for an entry's ``password``. Raises GatewayError when it could never log in."""
    return HASHER.hash(_acceptable(password))


def make_scram_verifier(password: Secret, *, salt: bytes | None = None, iterations: int = SCRAM_ITERATIONS) -> str:
    """The verifier for an entry's ``scram``; ``salt`` (default: random) has at least 12 bytes.

    Raises GatewayError when the password could never log in.
    """
    try:
        text = _acceptable(password).decode()
        salt, stored_key, server_key, count = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(
            text, iteration_count=iterations, salt=salt
        )
    except UnicodeDecodeError:
        raise GatewayError("the password is not UTF-8", hint="use text") from None
    except scramp.ScramException:
        raise GatewayError(
            "the password has characters that SCRAM doesn't take (SASLprep, RFC 4013)", hint="use printable characters"
        ) from None
    return str(ScramVerifier(count, salt, stored_key, server_key))


def _acceptable(password: Secret) -> bytes:
    value = password.reveal()
    if not value:
        raise GatewayError("the password is empty", hint="choose one")
    if len(value) > MAX_PASSWORD:
        raise GatewayError(f"the password is longer than {MAX_PASSWORD} bytes", hint="choose a shorter one")
    if b"\0" in value:
        raise GatewayError("the password has a NUL byte, which no PostgreSQL client can send", hint="use text")
    return value


def _derive(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, "sha256")


def _characters(seed: bytes, purpose: bytes, length: int) -> str:
    """``length`` characters of unpadded base64 whose unused last bits are zero, as argon2's decoder wants them."""
    size = length * 3 // 4
    return base64.b64encode(hashlib.shake_256(_derive(seed, purpose)).digest(size)).decode().rstrip("=")


_DEFAULT_HASH = Argon2Hash(f"$argon2id$v=19$m={HASHER.memory_cost},t={HASHER.time_cost},p=1${'A' * 22}${'A' * 43}")
_DEFAULT_VERIFIER = ScramVerifier(SCRAM_ITERATIONS, bytes(32), bytes(32), bytes(32))
