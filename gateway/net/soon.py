"""Work that waits until all that is ready now has been read."""

from __future__ import annotations

from collections.abc import Callable


class Soon:
    """Runs what it is given at the end of this turn of the loop, in the order given.

    One call of the loop serves all who ask in one turn: with many busy sessions a call each would cost more than what
    most of them have to do.

    call_soon  the loop's
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._waiting: list[Callable[[], object]] = []
        self._to_run = self._run

    def __call__(self, work: Callable[[], object]) -> None:
        if not self._waiting:
            self._call_soon(self._to_run)
        self._waiting.append(work)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        done = 0
        try:
            for work in waiting:
                done += 1
                work()
        finally:
            # Whoever raises hears of it from the loop; those behind must not wait for ever.
            for work in waiting[done:]:
                self(work)
