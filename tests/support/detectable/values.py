"""Values of each kind, as its issuers and people write them. None is anybody's: they are random."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberFormat
from stdnum import luhn
from stdnum.iso7064 import mod_97_10


class Value(NamedTuple):
    """``text`` as it is written. ``keyed``: nobody would know it for what it is without a word beside it, so documents
    write it with one of ``keys``."""

    text: str
    keys: tuple[str, ...]
    keyed: bool = False


FIRST = (
    "alice bob carol dave erin frank grace heidi ivan judy mallory niaj olivia peggy rupert sybil trent wendy".split()
)
LAST = "smith jones garcia müller rossi dubois novak kowalski jensen o'brien nguyen singh chen silva ito kim".split()
HOSTS = ["example.com", "mail.example.org", "corp.example.net", "gmail.com", "web.de", "163.com", "uni-köln.de"]
HOSTS += ["example.co.uk", "sub.dept.example.edu", "shop.museum", "xn--bcher-kva.example", "fastmail.fm", "proton.me"]

DIGITS = string.digits
ALNUM = string.ascii_letters + DIGITS
UPPER = string.ascii_uppercase + DIGITS


def some(random: Random, alphabet: str, count: int) -> str:
    return "".join(random.choices(alphabet, k=count))


def email(random: Random) -> Value:
    first, last = random.choice(FIRST), random.choice(LAST)
    local = random.choice(
        [
            f"{first}.{last}",
            f"{first[0]}{last}",
            f"{first}{random.randint(1, 99)}",
            f"{first}_{last}",
            f"{first}+{random.choice(['news', 'shop', 'x1'])}",
            f"{first.upper()}.{last.capitalize()}",
            f"{first}-{last}-{random.randint(1960, 2010)}",
        ]
    )
    text = f"{local}@{random.choice(HOSTS)}"
    if random.random() < 0.03 and "'" not in text:
        text = text.replace("@", "%40")
    return Value(text, ("email", "e-mail", "mail_to", "contact", "user", "from"))


CARDS = (
    [("4", 16)] * 6
    + [(str(prefix), 16) for prefix in (51, 52, 53, 54, 55, 2221, 2720, 2345)]
    + [
        ("34", 15),
        ("37", 15),
        ("6011", 16),
        ("65", 16),
        ("3530", 16),
        ("36", 14),
        ("62", 16),
        ("5018", 16),
        ("6759", 16),
    ]
)


def payment_card(random: Random) -> Value:
    prefix, length = random.choice(CARDS)
    number = prefix + some(random, DIGITS, length - len(prefix) - 1)
    number += luhn.calc_check_digit(number)
    keys = ("card", "card_number", "pan", "visa", "credit card", "cc", "payment")
    style = random.random()
    if style < 0.4:
        return Value(number, keys)
    sizes = [4, 6, length - 10] if length < 16 else [4, 4, 4, 4]
    gap = random.choice([" ", " ", "-", "-", ".", "\u00a0", " - ", "\u2013"])
    groups = []
    for size in sizes:
        groups.append(number[:size])
        number = number[size:]
    return Value(gap.join(groups), keys)


def us_ssn(random: Random) -> Value:
    area = random.choice([*range(1, 666), *range(667, 900), 912, 987])
    group = random.randint(70, 88) if area > 899 else random.randint(1, 99)
    parts = f"{area:03}", f"{group:02}", f"{random.randint(1, 9999):04}"
    keys = ("ssn", "SSN", "social security number", "customer_ssn", "Social Security", "tax id", "taxpayer id")
    style = random.random()
    if style < 0.65:
        return Value("-".join(parts), keys)
    if style < 0.7:
        return Value("\u2011".join(parts), keys)
    return Value((" " if style < 0.8 else "").join(parts), keys, keyed=True)


BBANS = {
    "DE": "n18", "GB": "a4 n14", "FR": "n10 c11 n2", "CH": "n5 c12", "NL": "a4 n10", "ES": "n20", "IT": "a1 n10 c12",
    "AT": "n16", "BE": "n12", "PL": "n24", "NO": "n11", "SE": "n20", "DK": "n14", "PT": "n21", "IE": "a4 n14",
    "LU": "n3 c13", "FI": "n14", "CZ": "n20", "TR": "n5 n1 c16", "SA": "n2 c18", "MT": "a4 n5 c18", "GR": "n7 c16",
}  # fmt: skip
"""Country -> its accounts, from the ECBS's descriptions; a: capitals, n: digits, c: both."""


def iban(random: Random) -> Value:
    country, structure = random.choice(list(BBANS.items()))
    alphabets = {"a": string.ascii_uppercase, "n": DIGITS, "c": UPPER}
    account = "".join(some(random, alphabets[part[0]], int(part[1:])) for part in structure.split())
    text = country + mod_97_10.calc_check_digits(account + country) + account
    style = random.random()
    if style < 0.4:
        text = " ".join(text[at : at + 4] for at in range(0, len(text), 4))
    elif style < 0.45:
        text = text.lower()
    elif style < 0.5:
        text = "\u00a0".join(text[at : at + 4] for at in range(0, len(text), 4))
    return Value(text, ("iban", "IBAN", "account", "bank", "Konto"))


REGIONS = "US US US CA GB DE FR CH AT IT ES NL BE SE NO DK PL CZ PT IE AU NZ JP IN BR MX ZA SG IL TR".split()


def phone(random: Random) -> Value:
    keys = ("phone", "tel", "Tel.", "mobile", "phone_number", "fax", "cell", "call", "WhatsApp", "Telefon")
    while True:
        region = random.choice(REGIONS)
        kind = random.choice([phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE])
        example = phonenumbers.example_number_for_type(region, kind)
        assert example is not None
        national = str(example.national_number)
        national = national[:-5] + some(random, DIGITS, 5) if len(national) > 7 else national
        number = phonenumbers.parse(f"+{example.country_code}{national}")
        if phonenumbers.is_valid_number(number):
            break
    style = random.random()
    if style < 0.35:
        return Value(phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL), keys)
    if style < 0.6:
        return Value(phonenumbers.format_number(number, PhoneNumberFormat.E164), keys)
    if region in ("US", "CA"):
        a, b, c = national[:3], national[3:6], national[6:]
        strong = [f"({a}) {b}-{c}", f"{a}-{b}-{c}", f"{a}.{b}.{c}", f"1-{a}-{b}-{c}", f"({a}){b}-{c}"]
        if style < 0.85:
            return Value(random.choice(strong), keys)
        return Value(random.choice([f"{a} {b} {c}", national]), keys, keyed=True)
    if style < 0.7:
        trunk = f"+{number.country_code} (0){national[:2]} {national[2:5]} {national[5:]}"
        if region in ("GB", "DE", "CH", "AT", "SE", "NL", "BE", "FR"):
            return Value(trunk, keys)
    return Value(phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL), keys, keyed=True)


def ipv4(random: Random) -> Value:
    networks = ["10.", "192.168.", "172.16.", "203.0.113.", "8.8."]
    start = random.choice(networks) if random.random() < 0.5 else ""
    numbers = [str(random.randint(1, 254)) for _ in range(4 - start.count("."))]
    text = str(IPv4Address(start + ".".join(numbers)))
    return Value(text, ("ip", "client", "remote_addr", "host", "peer", "src"))


def ipv6(random: Random) -> Value:
    start = random.choice(["2001:db8:", "fe80::", "2a01:4f8:", "fd12:3456:789a:", "2606:4700:"])
    groups = [random.choice(["0", f"{random.getrandbits(16):x}"]) for _ in range(8 - len(start.strip(":").split(":")))]
    if start == "fe80::":
        start, groups = "fe80:", ["0", "0", "0", *(f"{random.randint(256, 65535):x}" for _ in range(4))]
    groups[-1] = f"{random.randint(1, 65535):x}"
    address = IPv6Address(start + ":".join(groups))
    style = random.random()
    text = address.compressed if style < 0.7 else address.exploded
    if style > 0.95:
        text = f"::ffff:{ipv4(random).text}"
    return Value(text.upper() if style < 0.1 else text, ("ip", "client", "remote_addr", "host", "peer"))


def _base64url(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def jwt(random: Random) -> Value:
    header = {"alg": random.choice(["HS256", "RS256", "ES256", "EdDSA", "none"]), "typ": "JWT"}
    if random.random() < 0.5:
        header = {"kid": some(random, ALNUM, 12), **header}
    claims = {
        "sub": some(random, DIGITS, 10),
        "name": random.choice(FIRST),
        "iat": random.randint(16 * 10**8, 18 * 10**8),
    }
    separators = random.choice([(",", ":"), (", ", ": ")])
    parts = [_base64url(json.dumps(part, separators=separators).encode()) for part in (header, claims)]
    size = {"HS256": 32, "RS256": 256, "none": 0}.get(header["alg"], 64)
    return Value(
        ".".join([*parts, _base64url(random.randbytes(size))]), ("token", "Authorization: Bearer", "jwt", "id_token")
    )


def private_key(random: Random) -> Value:
    kind = random.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY",
                          "ENCRYPTED PRIVATE KEY", "DSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])  # fmt: skip
    body = base64.b64encode(random.randbytes(random.randint(48, 700))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    if kind == "RSA PRIVATE KEY" and random.random() < 0.3:
        lines = ["Proc-Type: 4,ENCRYPTED", f"DEK-Info: AES-128-CBC,{some(random, '0123456789ABCDEF', 32)}", "", *lines]
    if kind.startswith("PGP"):
        lines = ["", *lines, f"={some(random, ALNUM, 4)}"]
    return Value("\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"]), ("key", "private_key", "pem"))


def aws_access_key(random: Random) -> Value:
    text = random.choice(["AKIA", "ASIA"]) + some(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    return Value(text, ("aws_access_key_id", "access key", "AWS_ACCESS_KEY_ID"))


def aws_secret_key(random: Random) -> Value:
    while True:
        text = some(random, ALNUM + "/+", 40)
        if text[0] not in "/+":
            return Value(
                text, ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "secret key", "SecretAccessKey"), keyed=True
            )


def gcp_key(random: Random) -> Value:
    style = random.random()
    if style < 0.6:
        text = "AIza" + some(random, ALNUM + "-_", 35)
    elif style < 0.8:
        text = "ya29." + some(random, ALNUM + "-_", 120) + "q"
    else:
        text = "GOCSPX-" + some(random, ALNUM + "-_", 28)
    return Value(text, ("key", "api_key", "GOOGLE_API_KEY", "apiKey"))


def azure_key(random: Random) -> Value:
    style = random.random()
    if style < 0.5:
        return Value(base64.b64encode(random.randbytes(64)).decode(), ("AccountKey", "storage account key"), keyed=True)
    return Value(
        some(random, ALNUM, 3) + "8Q~" + some(random, ALNUM + "_~-.", 33) + "x", ("client_secret", "secret", "value")
    )


def github_token(random: Random) -> Value:
    if random.random() < 0.3:
        return Value(f"github_pat_{some(random, ALNUM, 22)}_{some(random, ALNUM, 59)}", ("token", "GITHUB_TOKEN"))
    return Value(f"gh{random.choice('pousr')}_{some(random, ALNUM, 36)}", ("token", "GITHUB_TOKEN", "password"))


def slack_token(random: Random) -> Value:
    numbers = f"{some(random, DIGITS, 12)}-{some(random, DIGITS, 12)}"
    text = random.choice(
        [
            f"xoxb-{numbers}-{some(random, ALNUM, 24)}",
            f"xoxp-{numbers}-{some(random, DIGITS, 12)}-{some(random, '0123456789abcdef', 32)}",
            f"xapp-1-A{some(random, UPPER, 10)}-{some(random, DIGITS, 13)}-{some(random, '0123456789abcdef', 64)}",
            f"hooks.slack.com/services/T{some(random, UPPER, 8)}/B{some(random, UPPER, 8)}/{some(random, ALNUM, 24)}",
        ]
    )
    return Value(text, ("token", "SLACK_TOKEN", "webhook"))


def stripe_key(random: Random) -> Value:
    start = random.choice(["sk_live_", "sk_test_", "rk_live_", "whsec_"])
    return Value(start + some(random, ALNUM, random.choice([24, 32, 99])), ("key", "STRIPE_SECRET_KEY", "stripe"))


KINDS: dict[str, Callable[[Random], Value]] = {
    make.__name__: make
    for make in (email, payment_card, us_ssn, iban, phone, ipv4, ipv6, jwt, private_key, aws_access_key, aws_secret_key,
                 gcp_key, azure_key, github_token, slack_token, stripe_key)
}  # fmt: skip
"""By the detector's name."""
