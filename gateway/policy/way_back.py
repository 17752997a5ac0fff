"""Forwards that could lead to the target's own sshd: behind one, a session would be recorded by nobody.

An allow covers such a destination only where it names it exactly, for then somebody has thought of it. What a name
stands for is the target's resolver's to say; so this knows the names that everybody has for oneself, and the target's
own as the gateway has it, no others (docs/policy.md says so).
"""

from __future__ import annotations

import ipaddress
from typing import Final

from gateway.model import Operation, SshOperation, Target
from gateway.policy.entries import CompiledEntry
from gateway.policy.requests import DestinationNamed

SSH: Final = 22

_SELF: Final = frozenset(
    "localhost localhost.localdomain localhost4 localhost4.localdomain4 localhost6 localhost6.localdomain6 "
    "ip6-localhost ip6-loopback loopback".split()
)


def leads_back(destination: str, target: Target) -> bool:
    """Whether ``host:port``, seen from ``target``, could be its own sshd."""
    host, _, port = destination.rpartition(":")
    if not host or port not in (str(SSH), str(target.address.port)):
        return False
    own = target.address.host.lower().removesuffix(".")
    address = _address(host.strip("[]"))
    if address is not None:
        return address.is_loopback or address.is_unspecified or address == _address(own)
    if host in _SELF or host.endswith(".localhost") or host in (own, target.name):
        return True
    # `web1` and `web1.internal` are one host as often as not.
    return _address(own) is None and host.partition(".")[0] == own.partition(".")[0]


def ways_back(target: Target) -> tuple[str, ...]:
    """The most usual ones, for a look at globs."""
    own = target.address.host
    hosts = ("localhost", "127.0.0.1", "[::1]", f"[{own}]" if ":" in own else own.lower())
    return tuple(f"{host}:{port}" for host in hosts for port in sorted({SSH, target.address.port}))


def unnamed_way_back(entry: CompiledEntry, operation: Operation, target: Target) -> bool:
    """Whether ``entry``, an allow, would let ``operation`` go back to ``target``, and has not named that exactly."""
    if entry.effect != "allow" or not isinstance(operation, SshOperation) or operation.request != "forward_local":
        return False
    if not leads_back(operation.destination, target):
        return False
    named = [one for one in entry.operation if isinstance(one, DestinationNamed)]
    return not any(operation.destination in one.hosts.exact for one in named)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
