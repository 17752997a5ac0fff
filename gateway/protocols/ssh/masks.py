"""What a channel shows, masked while it flows: each of its outputs is a stream of its own (`gateway.masking.streams`).

What a stream holds back goes out when it is sure, at the end, or when a timer says that somebody waits for it. A value
that a command writes in pieces is masked as one as long as the pauses within it are shorter than the timer's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from gateway.masking.detection import detection
from gateway.masking.methods import Keyring
from gateway.masking.streams import TextStream
from gateway.policy import AccessPolicy
from gateway.session import Corridor

TYPED: Final = 0.03
"""Seconds after which a terminal shows what was held back, but for what looks like the beginning of a value: that waits
as long once more. A keystroke's echo is held back like all else; 30 ms are below what people notice (ssh.md: 20 to
50 ms)."""

PIPED: Final = 0.5
"""The same for a word that may go on in a command's output, where nobody types; the rest goes out after `TYPED`. A
protocol that waits for an answer to such bytes goes on after it."""


class OutputMasks:
    """One session's: what its masks search for, as policy is now.

    keyring      what methods need
    keep_tokens  called before masked text leaves: its tokens can be resolved from then on, or it raises
    """

    def __init__(self, corridor: Corridor, keyring: Callable[[], Keyring], keep_tokens: Callable[[], None]) -> None:
        self._corridor = corridor
        self._keyring = keyring
        self.keep_tokens = keep_tokens

    def policy(self) -> AccessPolicy:
        """As it is now: whatever was made under another one is made anew. Raises SessionEnded."""
        return self._corridor.newest_policy()

    def stream(self, policy: AccessPolicy) -> TextStream | None:
        """A stream of its own for one output; None: nothing is searched for."""
        searched = detection(policy.detected, policy.own_detectors)
        return None if searched is None else TextStream(searched, self._keyring(), terminal=True)

    def whole(self, text: bytes) -> bytes:
        """``text``, of which no more comes, as it can be shown. Raises as `Output.feed`."""
        stream = self.stream(self.policy())
        if stream is None:
            return text
        shown = stream.feed(text) + stream.close()
        self.keep_tokens()
        return shown


class Timer(Protocol):
    """What a loop's ``call_later`` gives."""

    def cancel(self) -> object: ...


class Output:
    """One output of one channel.

    show     gets what can be shown, in order
    later    calls a function after so many seconds
    now      a clock that counts as ``later`` does
    failed   gets what a timer's work raised: nothing more of the output may be shown
    typed    somebody sits at a terminal
    """

    def __init__(
        self,
        masks: OutputMasks,
        *,
        show: Callable[[bytes], None],
        later: Callable[[float, Callable[[], None]], Timer],
        now: Callable[[], float],
        failed: Callable[[BaseException], None],
        typed: bool,
    ) -> None:
        self._masks = masks
        self._show = show
        self._later = later
        self._now = now
        self._failed = failed
        self._typed = typed
        self._policy = masks.policy()
        self._stream = masks.stream(self._policy)
        self._timer: Timer | None = None
        self._flushed = False
        """The timer is for what a flush has held back."""
        self._due = 0.0
        self._left: float | None = None
        """Seconds that the timer had still to go when the output was held."""
        self._held = False

    def hold(self, held: bool) -> None:
        """Whether the target is not read now, since the caller doesn't take what there is. No pause of the target's is
        over then: a caller who stops reading in time would get a value in two pieces. The timer goes on where it
        stopped, or an output that is silent would wait for the end of one that fills the caller again and again."""
        if held is self._held:
            return
        self._held = held
        if not held:
            left, self._left = self._left, None
            if left is None:
                self._watch(TYPED, flushed=False)
            else:
                self._watch(left, flushed=self._flushed)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._left = max(0.0, self._due - self._now())

    def feed(self, data: bytes) -> None:
        """More of what the target sends. Raises SessionEnded, and what ``show`` and the vault raise."""
        policy = self._masks.policy()
        before = self._policy
        if policy is not before:
            self._policy = policy
            if (policy.detected, policy.own_detectors) != (before.detected, before.own_detectors):
                # What is held back was searched for by the masks under which it came.
                self.close()
                self._stream = self._masks.stream(policy)
        if self._stream is None:
            self._show(data)
            return
        self._give(self._stream.feed(data))
        if self._timer is None or self._flushed:
            self._left = None
            self._watch(TYPED, flushed=False)

    def close(self) -> None:
        """No more comes. May be called again."""
        stream, self._stream = self._stream, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if stream is not None:
            self._give(stream.close())

    def _give(self, shown: bytes) -> None:
        if shown:
            self._masks.keep_tokens()
            self._show(shown)

    def _watch(self, seconds: float, *, flushed: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        pending = not self._held and self._stream is not None and self._stream.pending > 0
        self._timer = self._later(seconds, self._fired) if pending else None
        self._due = self._now() + seconds if pending else 0.0
        self._flushed = flushed

    def _fired(self) -> None:
        self._timer = None
        if self._stream is None:
            return
        try:
            self._give(self._stream.flush(patient=not self._typed))
            self._watch(TYPED if self._typed else PIPED, flushed=True)
        except Exception as error:  # noqa: BLE001  # whatever it was, nothing more may be shown
            self._failed(error)
