"""Sessions that are listened to until the gateway ends them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from support.rawclient import RawClient


class Watched:
    """A session, with a thread that reads from it.

    reason  what it was ended with, once it is; at  when that was, unix seconds
    rows    that have come
    """

    def __init__(self, client: RawClient, statement: str | None = None) -> None:
        self.reason: str | None = None
        self.at = 0.0
        self.rows = 0
        self._client = client
        if statement is not None:
            client.send(b"Q", statement.encode() + b"\0")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            received = self._client.receive()
            self.at = time.time()
            self.rows += len(received.bodies(b"D"))
            last = received.reports[-1:] or [{}]
            if not received.messages or received.messages[-1][0] != b"Z":
                self.reason = (
                    last[0].get("M", "nothing was said") if last[0].get("S") == "FATAL" else "nothing was said"
                )
                return

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def ended(self, seconds: float = 20) -> str:
        """The reason."""
        self._thread.join(seconds)
        assert self.reason is not None, f"it goes on after {seconds:g} s"
        return self.reason

    def close(self) -> None:
        self._client.close()
        self._thread.join(10)


def took(begun: float, sessions: Sequence[Watched]) -> float:
    """Seconds from ``begun`` (unix) until all of them were over."""
    for one in sessions:
        one.ended()
    return max(one.at for one in sessions) - begun
