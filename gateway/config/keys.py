"""Keys that configuration names: references -> secrets, or every problem with them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.config.schema import Masking
from gateway.errors import ConfigError, Problem, SecretUnavailable
from gateway.secrets import Secret, SecretReference

MIN_KEY = 32
"""Bytes: the strength of HMAC-SHA-256 and AES-256; RFC 2104 section 3 asks for no less than the hash's length."""

_MAKE = "make one: openssl rand -base64 48"


def mask_keys(masking: Masking, file: str) -> Mapping[str, bytes]:
    """Key id -> secret, of every key in ``file`` (ostiary.yaml). Raises ConfigError that repeats no secret."""
    problems: list[Problem] = []
    keys: dict[str, bytes] = {}
    for name, reference in masking.keys.items():
        try:
            keys[name] = _resolve(reference, file, ("masking", "keys", name)).reveal()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return MappingProxyType(keys)


def vault_key(masking: Masking, file: str) -> Secret | None:
    """The token vault's, None: the gateway makes its own. Raises ConfigError."""
    return None if masking.vault_key is None else _resolve(masking.vault_key, file, ("masking", "vault_key"))


def _resolve(reference: SecretReference, file: str, path: tuple[str, ...]) -> Secret:
    try:
        secret = reference.resolve()
    except SecretUnavailable as error:
        raise ConfigError(Problem(file, path, error.message, error.hint or "let the reference lead to a key")) from None
    if len(secret.reveal()) < MIN_KEY:
        raise ConfigError(Problem(file, path, f"is a secret of less than {MIN_KEY} bytes", _MAKE))
    return secret
