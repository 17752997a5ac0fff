"""What can be detected: the shipped detectors by name, and the operator's own. Data only; masking does the finding.

It lies below policy and masking, which both speak about detectors and don't know each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

SHIPPED: Mapping[str, str] = MappingProxyType(
    {
        "email": "email addresses, also with a percent-encoded @ and with letters outside of ASCII",
        "payment_card": "card numbers: issuer, length and check digit (Luhn)",
        "us_ssn": "US social security numbers and ITINs",
        "iban": "bank accounts: country, length and check digits",
        "phone": "phone numbers: international, North American, and national ones beside a word such as `tel`",
        "ipv4": "IPv4 addresses",
        "ipv6": "IPv6 addresses, also with an embedded IPv4 address",
        "jwt": "JSON web tokens, signed or encrypted",
        "private_key": "private keys in PEM, OpenSSH, PGP and SSH2 blocks",
        "aws_access_key": "AWS access key ids",
        "aws_secret_key": "AWS secret access keys beside a word such as `aws` or `secret`",
        "gcp_key": "Google API keys, OAuth tokens and client secrets",
        "azure_key": "Azure storage and service bus keys, client secrets and signatures of shared access URLs",
        "github_token": "GitHub tokens",
        "slack_token": "Slack tokens and webhook addresses",
        "stripe_key": "Stripe secret and restricted keys, and webhook secrets",
    }
)
"""Name -> what it finds. tests/masking/detectors holds this against the detectors that there are."""

Validator = Literal["luhn", "mod97"]
"""Check digits that an own detector can ask for: Luhn (ISO/IEC 7812-1), or 97 (ISO/IEC 7064, as in an IBAN)."""

VALIDATORS: tuple[Validator, ...] = get_args(Validator)


@dataclass(frozen=True, slots=True)
class OwnDetector:
    """A detector from policy.

    pattern    RE2, in UTF-8; compiles, and doesn't match the empty text
    longest    bytes of the longest match
    context    words, one of which has to stand near a match, or in the column's name; none: every match counts
    validator  check digits that a match must have
    """

    name: str
    pattern: str
    longest: int
    context: tuple[str, ...] = ()
    validator: Validator | None = None
