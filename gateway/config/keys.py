"""Keys and other secrets that configuration names: references -> secrets, or every problem with them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType

from gateway.config.markers import WebhookUrl
from gateway.config.schema import Masking
from gateway.config.urls import Url, parse_url
from gateway.errors import ConfigError, Problem, SecretUnavailable
from gateway.secrets import Secret, SecretReference

MIN_KEY = 32
"""Bytes: the strength of HMAC-SHA-256 and AES-256; RFC 2104 section 3 asks for no less than the hash's length."""

WEBHOOK_PREFIX = b"whsec_"
"""How a webhook's key begins, written down (Standard Webhooks 1.0.0, "Signature scheme"); base64 follows."""

WEBHOOK_KEY = (24, 64)
"""Bytes of such a key, least and most (as above)."""

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


def webhook_url(webhook: WebhookUrl, file: str, path: tuple[str | int, ...]) -> Url:
    """The URL, where it is a secret as that says. Raises ConfigError that doesn't repeat it."""
    if isinstance(webhook, Url):
        return webhook
    text = _found(webhook, file, path).reveal()
    try:
        return parse_url(text.decode("ascii"))
    except UnicodeDecodeError:
        raise ConfigError(Problem(file, path, "is a secret that is no URL", "let it be an https URL")) from None
    except ValueError as error:
        problem, _, mend = str(error).partition("; ")
        raise ConfigError(Problem(file, path, f"is a secret that {problem}", mend)) from None


def webhook_key(reference: SecretReference, file: str, path: tuple[str | int, ...]) -> Secret:
    """What a webhook's messages are signed with. Raises ConfigError that doesn't repeat it."""
    text = _found(reference, file, path).reveal()
    low, high = WEBHOOK_KEY
    try:
        key = base64.b64decode(text.removeprefix(WEBHOOK_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(WEBHOOK_PREFIX) or not low <= len(key) <= high:
        problem = f"is not whsec_ and {low} to {high} bytes in base64"
        raise ConfigError(Problem(file, path, problem, 'make one: echo "whsec_$(openssl rand -base64 32)"'))
    return Secret(key)


def _resolve(reference: SecretReference, file: str, path: tuple[str, ...]) -> Secret:
    secret = _found(reference, file, path)
    if len(secret.reveal()) < MIN_KEY:
        raise ConfigError(Problem(file, path, f"is a secret of less than {MIN_KEY} bytes", _MAKE))
    return secret


def _found(reference: SecretReference, file: str, path: tuple[str | int, ...]) -> Secret:
    try:
        return reference.resolve()
    except SecretUnavailable as error:
        mend = error.hint or "let the reference lead to a secret"
        raise ConfigError(Problem(file, path, error.message, mend)) from None
