"""Asks the corridor about one request, and waits where people have to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.errors import Unapproved
from gateway.model import SshOperation, Verdict
from gateway.session import Asking, Corridor


class Consent:
    """About one request at a time.

    tell    shows the caller a line, and a second one with what to do
    failed  is called with what must end the session
    """

    def __init__(
        self, corridor: Corridor, tell: Callable[[str, str], None], failed: Callable[[BaseException | None], None]
    ) -> None:
        self._corridor = corridor
        self._woken: asyncio.Future[None] | None = None
        self._asking = Asking(
            corridor.approvals,
            corridor,
            tell=tell,
            go_on=self._wake,
            failed=lambda failure: failed(failure.value),
        )

    @property
    def waiting(self) -> bool:
        return self._asking.waiting

    async def verdict(self, operation: SshOperation, said: bytes, goes_on: str = "") -> Verdict[SshOperation]:
        """The corridor's, or what approvers said. ``goes_on``: the grant of which it is the rest.

        Raises RecordingFailed, SessionEnded and StoreFailed: end the session.
        """
        while True:
            if self._asking.refusal is None:
                try:
                    return self._corridor.ask(operation, "request")
                except Unapproved:
                    pass
            verdict = self._asking.answer(operation, "request", said, may_wait=True, goes_on=goes_on)
            if verdict is not None:
                return verdict
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken

    def drop(self, reason: str) -> None:
        """Nobody needs the answer any more: whoever waits for it is cancelled."""
        self._asking.drop(reason)
        if self._woken is not None:
            self._woken.cancel()

    def _wake(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None and not woken.done():
            woken.set_result(None)
