"""Fuzzes what a caller may send before it is anybody: `make fuzz`, or this file with a corpus directory.

Only PeerError and NotAdmitted come out, and nothing that the gateway decides (user, database, role of the connection)
is passed on to the target as the caller sent it.
"""

from __future__ import annotations

import struct
import sys

import atheris

with atheris.instrument_imports(include=["gateway.protocols.postgres"]):
    from gateway.errors import NotAdmitted, PeerError
    from gateway.protocols.postgres import wire
    from gateway.protocols.postgres.startup import OURS, requested


def one_input(data: bytes) -> None:
    """Half of the inputs are packets as they come, half the parameters of a StartupMessage."""
    if data[:1] >= b"\x80":
        body = b"user\0alice\0database\0orders\0" + data[1:] + b"\0\0"
        data = struct.pack("!ii", len(body) + 8, 3 << 16) + body
    try:
        length = wire.initial_length(data)
        if length is None or len(data) < length:
            return
        first = wire.parse_initial(data[:length])
        if not isinstance(first, wire.Startup):
            return
        wanted = requested(first)
    except (PeerError, NotAdmitted):
        return
    assert wanted.user
    assert wanted.target
    passed = wanted.parameters()
    assert not OURS & {name.lower() for name, _ in passed}
    packet = wire.startup([("user", "gateway"), ("database", "orders"), *passed])
    if len(packet) <= wire.MAX_STARTUP:
        again = wire.parse_initial(packet)
        assert isinstance(again, wire.Startup)
        assert again.parameters["user"] == "gateway"
        assert again.parameters["database"] == "orders"
    assert len(wanted.statements()) == len(passed)


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
