"""Asks the corridor about one request, and waits where people have to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gateway.errors import Unapproved
from gateway.model import SshOperation, Verdict
from gateway.session import Asking, Corridor


def variables(environment: Mapping[bytes, bytes]) -> bytes:
    """What a grant for a request is bound to besides what was asked for: it runs otherwise in another environment."""
    return b"".join(b"\0%s=%s" % each for each in sorted(environment.items()))


class Consent:
    """About one request at a time.

    tell    shows the caller a line, and a second one with what to do
    failed  is called with what must end the session
    go_on   is called when people have answered what was not asked by `verdict`, but of ``asking``
    """

    def __init__(
        self,
        corridor: Corridor,
        tell: Callable[[str, str], None],
        failed: Callable[[BaseException | None], None],
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._corridor = corridor
        self._go_on = go_on
        self._woken: asyncio.Future[None] | None = None
        self.asking = Asking(
            corridor.approvals,
            corridor,
            tell=tell,
            go_on=self._wake,
            failed=lambda failure: failed(failure.value),
        )

    @property
    def waiting(self) -> bool:
        return self.asking.waiting

    async def verdict(self, operation: SshOperation, said: bytes, goes_on: str = "") -> Verdict[SshOperation]:
        """The corridor's, or what approvers said. ``goes_on``: the grant of which it is the rest.

        Raises RecordingFailed, SessionEnded and StoreFailed: end the session.
        """
        while True:
            if self.asking.refusal is None:
                try:
                    return self._corridor.ask(operation, "request")
                except Unapproved:
                    pass
            verdict = self.asking.answer(operation, "request", said, may_wait=True, goes_on=goes_on)
            if verdict is not None:
                return verdict
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken

    def cancel(self) -> bool:
        """The caller doesn't want it any more; False when nothing waits."""
        return self.asking.cancel()

    def drop(self, reason: str) -> None:
        """Nobody needs the answer any more: whoever waits for it is cancelled."""
        self.asking.drop(reason)
        self._let_go()

    def over(self, reason: str, *, stays: bool) -> None:
        """As `drop`, at the session's end; ``stays``: see `gateway.session.Asking.over`. Raises StoreFailed."""
        self._let_go()
        self.asking.over(reason, stays=stays)

    def _let_go(self) -> None:
        if self._woken is not None:
            self._woken.cancel()

    def _wake(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None and not woken.done():
            woken.set_result(None)
        self._go_on()
