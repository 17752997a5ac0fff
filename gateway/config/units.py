"""Durations, sizes and addresses as operators write them.

Each function raises ``ValueError("what is wrong; the mend")`` and never repeats the text it was given.
"""

from __future__ import annotations

import ipaddress
import re

from gateway.model import Address

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

MAX_DURATION = 36_500 * 86_400.0
"""Seconds; a hundred years. Beyond it timers overflow (epoll takes milliseconds in 32 bits, time_t in places too)."""

_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)", re.ASCII)
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

MAX_SIZE = 2**60
"""Bytes; far above any file system, far below where off_t (2**63) ends."""

MAX_UNIX_PATH = 107
"""Bytes; sun_path has 108 with its NUL (unix(7))."""

_HOST_PART = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_HOST_PART}(?:\.{_HOST_PART})*\.?", re.ASCII | re.IGNORECASE)
"""RFC 1123 section 2.1, and underscores, which internal names do have."""

_SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,15}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def parse_duration(text: str) -> float:
    """``30s``, ``1.5h``, ``400d`` -> seconds. The unit is needed: a bare number is read differently by everybody."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("is not a duration; write a number with its unit (ms, s, m, h or d), such as 30s or 400d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > MAX_DURATION:
        raise ValueError("is longer than a hundred years; write less")
    return seconds


def written_duration(seconds: float) -> str:
    """As `parse_duration` reads it, in the largest unit that needs no fraction: ``15m``, ``90m``, ``1d``."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def parse_size(text: str) -> int:
    """``64KiB``, ``5GiB`` -> bytes. Decimal units (KB, GB) are refused, not guessed."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("is not a size; write a whole number with its unit (B, KiB, MiB, GiB or TiB), such as 64KiB")
    size = int(match[1]) * _BYTES[match[2]]
    if size > MAX_SIZE:
        raise ValueError("is larger than any file system; write less")
    return size


def parse_listen_address(text: str) -> Address:
    """``[::]:5432``, ``127.0.0.1:0`` (0: the kernel picks a port). A name is refused: what it means may change."""
    host, port = _split(text)
    if not _is_ip(host):
        raise ValueError("is not an IP address and port; write one such as [::]:5432 or 127.0.0.1:5432")
    return Address(host, port)


def parse_address(text: str) -> Address:
    """``db1.internal:5432``, ``[2001:db8::1]:5432`` or the full path of a unix socket."""
    path = text.removeprefix("unix:")
    if path.startswith("/"):
        return _unix_address(path)
    host, port = _split(text)
    if port == 0:
        raise ValueError("has port 0; write the port that is connected to")
    if not _is_ip(host) and not _HOST.fullmatch(host):
        raise ValueError("has no valid host name; write host:port, such as db1.internal:5432")
    return Address(host, port)


def _unix_address(path: str) -> Address:
    _, colon, port = path.rpartition(":")
    if colon and _PORT.fullmatch(port):
        raise ValueError(
            "mixes a path and a port; write the socket's full path, such as /var/run/postgresql/.s.PGSQL.5432"
        )
    if len(path.encode()) > MAX_UNIX_PATH:
        raise ValueError(f"is longer than a unix socket's path may be ({MAX_UNIX_PATH} bytes); move the socket")
    if not path.isprintable():
        raise ValueError("has characters that no path should have; write the socket's full path")
    return Address(path, 0)


def _split(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port):
        raise ValueError("has no port; write host:port, such as db1.internal:5432")
    if int(port) > 65535:
        raise ValueError("has a port above 65535; write host:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ip(host) or ":" not in host:
            raise ValueError("has something in brackets that is no IPv6 address; write [2001:db8::1]:5432")
    elif ":" in host:
        raise ValueError("has an IPv6 address without brackets; write [2001:db8::1]:5432")
    return host, int(port)


def _is_ip(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    scope = getattr(address, "scope_id", None)
    return scope is None or _SCOPE.fullmatch(scope) is not None


def is_local(address: Address) -> bool:
    """Nothing that is sent there leaves this host: a unix socket, or a loopback address *as a literal*.

    ``localhost`` doesn't count: what it resolves to is not in this file.
    """
    if address.is_unix:
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False
