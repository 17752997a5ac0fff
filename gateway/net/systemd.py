"""What the service manager is told: ready, alive, reloading, stopping. The protocol of sd_notify(3); no library needed.

Outside of systemd (no NOTIFY_SOCKET) all of it does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

SIGNS_OF_LIFE = 3
"""In one watchdog span: two may be late before systemd acts. sd_watchdog_enabled(3) asks for two."""


class ServiceManager:
    """The manager that ``environment`` names. Telling it never raises: a deaf one must not stop the gateway."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog: float | None = None
        """Seconds between two `alive`; None when nobody watches."""
        span = environment.get("WATCHDOG_USEC", "")
        if self._address and span.isdecimal() and environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            self.watchdog = int(span) / 1e6 / SIGNS_OF_LIFE

    def ready(self, status: str) -> None:
        """Started, or through with a reload; ``status`` is what ``systemctl status`` shows."""
        self._tell("READY=1", f"STATUS={_one_line(status)}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def reloading(self) -> None:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={_one_line(status)}")

    def _tell(self, *states: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
                notify.sendto("\n".join(states).encode(), self._address)
        except OSError:
            return  # the watchdog is systemd's own answer to our silence


def _one_line(text: str) -> str:
    """A line break would begin another state."""
    return " ".join(text.split())
