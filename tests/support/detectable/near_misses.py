"""What is no value of any kind, though it looks like one: (what it is called, how it is written)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from random import Random

from stdnum import ean, imei, isbn, luhn

from support.detectable.values import ALNUM, DIGITS, FIRST, UPPER, iban, payment_card, some

NearMiss = tuple[str, str]


def _order(random: Random) -> NearMiss:
    styles = [f"ORD-2025-{some(random, DIGITS, 6)}", some(random, "123456789", 1) + some(random, DIGITS, 8)]
    styles += [
        f"#{some(random, DIGITS, 7)}",
        f"{some(random, DIGITS, 3)}-{some(random, DIGITS, 7)}-{some(random, DIGITS, 7)}",
    ]
    return random.choice(["order", "order_no", "invoice"]), random.choice(styles)


def _long_number(random: Random) -> NearMiss:
    """Random, so one in forty is in truth the number of a card."""
    return random.choice(["batch", "reference", "trace_id", "tracking"]), some(random, DIGITS, random.randint(10, 22))


def _version(random: Random) -> NearMiss:
    parts = [str(random.randint(0, 40)) for _ in range(random.choice([3, 3, 4]))]
    if len(parts) == 4 and random.random() < 0.5:  # Windows, browsers
        parts[2] = str(random.randint(256, 22631))
    text = ".".join(parts)
    name = random.choice(["version", "ver", "build", "release", "firmware"])
    package = random.choice(
        [f"v{text}", text, f"nginx-{text}.tar.gz", f"react@{'.'.join(parts[:3])}", f"lodash@{'.'.join(parts[:3])}-rc.1"]
    )
    return name, package


def _agent(random: Random) -> NearMiss:
    major = random.randint(90, 140)
    chrome = f"Chrome/{major}.0.{random.choice([0, 6099])}.{random.choice([0, 109])}"
    return "agent", f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) {chrome} Safari/537.36"


def _uuid(random: Random) -> NearMiss:
    return "id", str(uuid.UUID(int=random.getrandbits(128), version=4))


def _hash(random: Random) -> NearMiss:
    return random.choice(["commit", "sha", "etag", "digest"]), some(
        random, "0123456789abcdef", random.choice([7, 12, 32, 40, 64])
    )


def _time(random: Random) -> NearMiss:
    date = f"20{random.randint(10, 29)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    clock = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}"
    epoch = random.randint(10**9, 18 * 10**8)
    styles = [f"{date}T{clock}.{some(random, DIGITS, 6)}+02:00", f"{date} {clock}", date.replace("-", ""), str(epoch)]
    styles += [
        f"{epoch}{some(random, DIGITS, 3)}",
        f"{epoch}{some(random, DIGITS, 6)}",
        f"{epoch}{some(random, DIGITS, 9)}",
    ]
    styles += [date.replace("-", "."), f"{date.replace('-', '/')} {clock}", f"{date}-{clock.replace(':', '-')}"]
    return random.choice(["at", "created", "updated", "ts"]), random.choice(styles)


def _bad_card(random: Random) -> NearMiss:
    text = payment_card(random).text
    last = str((int(text[-1]) + random.randint(1, 9)) % 10)
    return random.choice(["reference", "coupon", "gift"]), text[:-1] + last


def _bad_iban(random: Random) -> NearMiss:
    text = iban(random).text
    wrong = str((int(text[3]) + random.randint(1, 9)) % 10)
    return random.choice(["reference", "mandate"]), text[:3] + wrong + text[4:]


def _never_issued(random: Random) -> NearMiss:
    area = random.choice(["000", "666"])
    return "part", f"{area}-{some(random, DIGITS, 2)}-{some(random, DIGITS, 4)}"


def _part(random: Random) -> NearMiss:
    styles = [
        f"{some(random, DIGITS, 2)}-{some(random, DIGITS, 4)}-{some(random, DIGITS, 3)}",
        f"{some(random, UPPER, 3)}-{some(random, DIGITS, 5)}",
    ]
    styles += [
        f"{some(random, DIGITS, 4)}-{some(random, DIGITS, 4)}",
        f"SKU{some(random, DIGITS, 9)}",
        f"{some(random, DIGITS, 3)} {some(random, DIGITS, 3)}",
    ]
    return random.choice(["part", "sku", "item"]), random.choice(styles)


def _telephone_like(random: Random) -> NearMiss:
    """As people number parts and contracts; a third of those in groups of 3, 3, 4 could be dialled."""
    styles = [f"1{some(random, DIGITS, 2)}-{some(random, DIGITS, 3)}-{some(random, DIGITS, 4)}"] * 6
    styles += [f"{some(random, DIGITS, 3)}-{some(random, DIGITS, 3)}-{some(random, DIGITS, 4)}"]
    styles += [f"+{some(random, DIGITS, 3)}", f"+999{some(random, DIGITS, 8)}", f"2+{some(random, DIGITS, 9)}"] * 2
    return random.choice(["contract", "case", "ref"]), random.choice(styles)


def _barcode(random: Random) -> NearMiss:
    number = random.choice(["400", "471", "590", "978"]) + some(random, DIGITS, 9)
    return random.choice(["ean", "gtin"]), number + ean.calc_check_digit(number)


def _book(random: Random) -> NearMiss:
    number = "978" + some(random, DIGITS, 9)
    return "isbn", isbn.format(number + ean.calc_check_digit(number))


def _imei(random: Random) -> NearMiss:
    number = random.choice(["35", "86", "01"]) + some(random, DIGITS, 12)
    assert imei.is_valid(number + luhn.calc_check_digit(number))
    return "imei", number + luhn.calc_check_digit(number)


def _number(random: Random) -> NearMiss:
    styles = [
        f"{random.random() * 100:.15f}",
        f"{random.randint(1, 9999)}.{some(random, DIGITS, 2)}",
        f"{random.randint(1, 999)},{some(random, DIGITS, 3)}.00",
    ]
    styles += [
        f"{random.uniform(-90, 90):.6f}, {random.uniform(-180, 180):.6f}",
        f"{random.randint(1, 10**7)}",
        f"1.{some(random, DIGITS, 3)}.{some(random, DIGITS, 3)}",
    ]
    return random.choice(["amount", "total", "ratio", "position"]), random.choice(styles)


def _mac(random: Random) -> NearMiss:
    octets = [f"{random.getrandbits(8):02x}" for _ in range(random.choice([6, 6, 8, 20]))]
    return random.choice(["mac", "fingerprint"]), ":".join(octets)


def _file(random: Random) -> NearMiss:
    name = random.choice(["logo", "icon", "header"])
    return "file", random.choice(
        [
            f"{name}@2x.png",
            f"{name}@3x.jpg",
            f"git@github.com:org/{name}.git",
            f"@{random.choice(FIRST)}",
            f"root@{name}",
        ]
    )


def _code(random: Random) -> NearMiss:
    names = ["std::dec", "x::date", "face::add", "a[1::2]", "Foo::Bar", "b'::'", "id::int8", "::before", "Dead::Beef"]
    return "code", random.choice(names)


def _octets(random: Random) -> NearMiss:
    numbers = [str(random.randint(256, 999)), *(str(random.randint(0, 999)) for _ in range(3))]
    random.shuffle(numbers)
    return random.choice(["oid", "section"]), random.choice(
        [".".join(numbers), f"1.3.6.1.4.1.{random.randint(1, 99999)}.2"]
    )


def _encoded(random: Random) -> NearMiss:
    text = base64.b64encode(random.randbytes(random.choice([16, 20, 24, 30, 48, 64]))).decode()
    return random.choice(["data", "nonce", "etag"]), text


def _public(random: Random) -> NearMiss:
    body = base64.b64encode(random.randbytes(90)).decode()
    kind = random.choice(["PUBLIC KEY", "CERTIFICATE", "CERTIFICATE REQUEST"])
    return "cert", f"-----BEGIN {kind}-----\n{body[:64]}\n{body[64:]}\n-----END {kind}-----"


def _token_like(random: Random) -> NearMiss:
    half = base64.urlsafe_b64encode(b'{"page":%d}' % random.randint(1, 999)).rstrip(b"=").decode()
    styles = [
        f"pk_live_{some(random, ALNUM, 24)}",
        half,
        f"{half}.{half}",
        f"ghp_{some(random, ALNUM, 8)}",
        f"AKIA{some(random, UPPER, 5)}",
    ]
    styles += [f"sk_{some(random, ALNUM, 12)}", f"xoxo-{some(random, ALNUM, 4)}"]
    return random.choice(["cursor", "key", "ref"]), random.choice(styles)


NEAR_MISSES: tuple[Callable[[Random], NearMiss], ...] = (
    _order, _order, _long_number, _version, _version, _agent, _uuid, _uuid, _hash, _hash, _time, _time, _time,
    _bad_card, _bad_iban, _never_issued, _part, _part, _telephone_like, _barcode, _book, _imei, _number, _number, _mac,
    _file, _code, _octets, _encoded, _public, _token_like,
)  # fmt: skip
"""What is common stands twice or three times."""
