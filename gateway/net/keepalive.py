"""Notice a peer that vanished without a word."""

from __future__ import annotations

import socket

IDLE = 60
"""Seconds of silence before the first probe; shorter than the idle time of common firewalls and NAT (5 minutes)."""

INTERVAL = 10
"""Seconds between probes."""

PROBES = 6
"""Unanswered probes until the connection is given up: two minutes in all. The kernel's default is two hours.

TCP_USER_TIMEOUT, which would find a vanished peer with unacknowledged data sooner, is left alone: Linux applies it to
a peer with a closed window, too, and ``psql`` in a pager is one."""


def keep_alive(sock: socket.socket) -> None:
    """Set the options above on a TCP socket; any other is left as it is."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
