"""URLs that configuration names: where a webhook is, where approvers look. (RFC 3986, and less of it than it allows.)

Each function raises ``ValueError("what is wrong; the mend")`` and never repeats the text it was given: a URL can be a
secret, as Slack's are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.config.units import is_local, parse_address
from gateway.model import Address
from gateway.secrets import SecretReference

_PORTS = {"https": 443, "http": 80}

MAX_URL = 2048
"""Characters; Slack's have 80, and servers refuse request lines of more than 8 KiB (nginx) or 2 KiB (IIS' query)."""

_URL = re.compile(r"(https?)://([A-Za-z0-9_.:%\[\]-]*)((?:/[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)", re.ASCII)
"""A path, or path and query, of what RFC 3986 allows there. No user, no password, no fragment."""


@dataclass(frozen=True, slots=True)
class Url:
    """Where something is asked by HTTP; shown without its path, which may be a secret.

    path  what a request line has: path and query; never empty
    """

    scheme: str
    address: Address
    path: str

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def host(self) -> str:
        """As a Host header has it (RFC 9112 section 3.2): the port only where it is not the scheme's own."""
        shown = str(self.address)
        return shown.removesuffix(f":{self.address.port}") if self.address.port == _PORTS[self.scheme] else shown

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}"


def parse_url(text: str) -> Url:
    """``https://chat.example.com/hook``; ``http://`` only to a loopback address, where nothing leaves this host."""
    match = _URL.fullmatch(text)
    if match is None or len(text) > MAX_URL:
        raise ValueError(
            "is not an https URL; write one such as https://chat.example.com/hook, without user, password and fragment"
        )
    scheme, where, path = match.groups()
    has_port = re.search(r":[0-9]*\Z", where) is not None
    address = parse_address(where.lower() if has_port else f"{where.lower()}:{_PORTS[scheme]}")
    if scheme == "http" and not is_local(address):
        raise ValueError("is http to another host, readable by everybody in between; write https")
    return Url(scheme, address, path or "/")


def parse_webhook(text: str) -> Url | SecretReference:
    """A URL, or a reference to a secret that is one."""
    if text.startswith(("http:", "https:")):
        return parse_url(text)
    try:
        return SecretReference.parse(text)
    except ValueError:
        raise ValueError(
            "is neither an https URL nor a secret reference; write https://... or credential:NAME"
        ) from None


def parse_base(text: str) -> str:
    """An https URL that paths are put behind, without a slash at its end."""
    url = parse_url(text)
    if not url.tls or "?" in url.path:
        raise ValueError("is not a plain https URL; write one such as https://gw.example.com:8444")
    return f"{url}{url.path}".rstrip("/")
