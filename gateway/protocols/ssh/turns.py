"""One after the other, each in a turn of the loop of its own."""

from __future__ import annotations

import asyncio


class Turns:
    """For work that takes milliseconds and that anybody can ask for, such as key exchanges: however many come at once,
    whoever else has something to do gets to it in between.
    """

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None

    async def mine(self) -> None:
        """Wait for one. What follows up to the next ``await`` is done in it."""
        loop = asyncio.get_running_loop()
        before, self._last = self._last, loop.create_future()
        done = self._last
        try:
            if before is not None:
                # Whoever gives up leaves those behind it in their places.
                await asyncio.shield(before)
        finally:
            loop.call_soon(_end, done)


def _end(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
