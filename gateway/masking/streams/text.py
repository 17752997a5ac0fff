"""Text that is masked while it flows: terminals, output of commands, bodies that are no documents.

Strategy: detectors are asked about windows whose place depends on nothing but the text, never on how it was chunked.
Each window decides on the matches that begin in its `STEP` bytes, and sees what is around them: as many bytes as the
longest value has that isn't one word (`Finder.longest_phrase`), and, where a word goes on there, that word, up to the
longest value of all (`Finder.longest`; a JSON web token may have 8 KiB). So any split of a text gives the same output
as the whole, whatever the detectors are like. A finder's gate (`may_match`) is asked about as much as there is at once,
which is halved where it isn't sure: on text without values each byte is looked at little more than once.

What a window sees behind its step, and the step itself, are held back, or a value that goes on there; no more.

A terminal's escape sequences are taken out before (`sequences`). The text is searched without them, and again with a
space in the place of each: on a screen they stand in the middle of a value (colours) as well as between two words
(movements of the cursor). They go out where they stood, those inside a value behind what stands for it.

The rule of `flush`, when a timer fires and what is held back should be seen:

* What looks like the beginning of a value (`_beginning`), or of a private key, stays, until a second flush without new
  bytes in between; a patient flush keeps any word that may go on.
* All else goes out and is remembered: when the rest of a value comes whose first part is gone, the rest is hidden.
* A value that is whole is masked as at the end of the text; what then turns out to go on is hidden to its end.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.masking.methods import STARS, Keyring, text_maker
from gateway.masking.streams.private_keys import DETECTOR as PRIVATE_KEY
from gateway.masking.streams.private_keys import KeyFilter, Part
from gateway.masking.streams.sequences import MAX_KNOWN, ZERO_WIDTH, Sequence, Splitter
from gateway.model import Method

if TYPE_CHECKING:
    from gateway.masking.detection import Detection

STEP: Final = 2048
"""Bytes of a window. Smaller ones hold back less, but where values are each sees much of what the one before has seen:
512 takes half as long again there. What is held back waits for a flush in any case."""

MAX_SPAN: Final = 16 * 1024
"""Bytes. Values that overlap are one; a chain of them that is longer is shown as stars, whatever its methods, at once
and however it goes on. No value is that long: it bounds memory against text that was made to be one."""

MAX_RUN: Final = 4096
"""Bytes of sequences without text between them; further ones count as text, so that they don't pile up."""

SHORT_SEQUENCE: Final = 8
"""Bytes of a sequence's string or numbers that are no value; longer ones are searched, too."""

MAX_TAIL: Final = 320
"""Bytes at the end of the text that a flush looks at for the beginning of a value."""

LONG_WORD: Final = 16
"""Bytes of a word that looks like a token."""

_SPACE: Final = re.compile(rb"[\x00-\x20]")

_LAST_WORD: Final = re.compile(rb"(?:[0-9]{2,} )*\S*\Z")
"""With the groups of digits before it: numbers go on behind one space. A prompt ends in a space, so it has none."""

_FIRST_GROUP: Final = re.compile(rb"(?<![0-9A-Za-z])[+(]{0,2}(?:[A-Za-z]{2})?[0-9][0-9()./-]{0,16}\Z")
_GROUP: Final = re.compile(rb"[0-9A-Z()./-]{1,16}|[a-z]{0,4}[0-9][0-9a-z]{0,4}")
MAX_GROUPS: Final = 12
"""Behind the first."""


class _Span(NamedTuple):
    """``text[start:end]`` is masked by ``method``, or by stars (None); ``shown``: they went out already."""

    start: int
    end: int
    method: Method | None
    shown: bool = False


class TextStream:
    """One stream of text.

    terminal  escape sequences are no text

    A value whose method is `null` is taken out. What the keyring's vault raises goes through: nothing more of the
    stream may be sent then.
    """

    def __init__(self, detection: Detection, keyring: Keyring, *, terminal: bool = False) -> None:
        self._finder = finder = detection.finder
        self._methods = {name: method for name, method in detection.methods.items() if name != PRIVATE_KEY}
        self._makers = {method: text_maker(method, keyring) for method in self._methods.values()}
        self._keys = KeyFilter() if PRIVATE_KEY in detection.methods else None
        self._splitter = Splitter() if terminal else None
        self._phrase = finder.longest_phrase
        self._longest = max(finder.longest, self._phrase)
        # Offsets count from the beginning of _text, which is a multiple of STEP from that of the stream.
        self._text = b""
        self._out = 0  # text before it went out
        self._searched = 0  # matches that begin before it are known; a multiple of STEP
        self._spans: list[_Span] = []  # sorted; they don't overlap
        self._offsets: list[int] = []  # of _sequences: each stands before the byte at its offset
        self._sequences: list[bytes] = []
        self._given = 0  # so many of them went out
        self._run = 0
        self._known: set[bytes] = set()
        self._quiet = False  # no bytes since the last flush

    @property
    def pending(self) -> int:
        """Bytes of text that are held back."""
        return len(self._text) - self._out + (0 if self._keys is None else self._keys.pending)

    def feed(self, data: bytes) -> bytes:
        """More of the stream; returns what can be shown now."""
        if not data:
            return b""
        self._quiet = False
        self._take(*(self._splitter.feed(data) if self._splitter is not None else (data, [])))
        self._search_windows()
        return self._release(self._searched)

    def flush(self, *, patient: bool = False) -> bytes:
        """A timer fired; returns what can be shown though more may come. See the rule above.

        patient  the last word stays, whatever it looks like: where nobody types, so that nobody waits for half a word
        """
        if self._quiet and self._keys is not None:
            self._add(self._keys.flush())
        self._search_rest()
        end = len(self._text)
        stays = 0
        if not self._quiet:
            # What of the word is out already counts, too: digits that come one by one are a number all the same.
            stays = min(end - self._out, _beginning(self._text[max(0, end - MAX_TAIL) :], any_word=patient))
        self._quiet = True
        return self._release(end - stays, last=stays == 0)

    def close(self) -> bytes:
        """The stream is over; returns what was left of it."""
        if self._splitter is not None:
            self._take(*self._splitter.close())
        if self._keys is not None:
            self._add(self._keys.flush())
        self._search_rest()
        return self._release(len(self._text), last=True)

    # --- in ---------------------------------------------------------------------------------------------------

    def _take(self, text: bytes, sequences: list[tuple[int, Sequence]]) -> None:
        self._add(Part(text, sequences, []) if self._keys is None else self._keys.feed(text, sequences))

    def _add(self, part: Part) -> None:
        text, sequences, keys = part.text, part.sequences, part.keys
        before = len(self._text)  # where the part's text begins, with what was put into it
        if not sequences:
            self._text += text
            self._run = 0 if text else self._run
            self._hide_keys(keys, before, 0, len(text))
            return
        pieces = [self._text]
        pos = taken = 0  # what was looked at, and what is in pieces
        run = self._run
        for offset, sequence in sequences:
            if offset > pos:
                if keys:
                    self._hide_keys(keys, before, pos, offset)
                run = 0
                pos = offset
            shown = sequence.data
            if sequence.end - sequence.begin > SHORT_SEQUENCE and shown not in self._known:
                shown = self._searched_sequence(sequence)
            run += len(shown)
            if run > MAX_RUN:
                pieces.append(text[taken:offset])
                pieces.append(shown)
                taken = offset
                before += len(shown)
            elif shown:
                self._offsets.append(before + offset)
                self._sequences.append(shown)
        self._run = 0 if len(text) > pos else run
        self._hide_keys(keys, before, pos, len(text))
        pieces.append(text[taken:])
        self._text = b"".join(pieces)

    def _hide_keys(self, keys: list[int], before: int, begin: int, end: int) -> None:
        """Those whose place stands in this part of a part's text."""
        for key in keys:
            if begin <= key < end:
                self._spans.append(_Span(before + key, before + key + 1, None))

    def _searched_sequence(self, sequence: Sequence) -> bytes:
        """The sequence, without a value that its own bytes hold."""
        data, begin, end = sequence.data, sequence.begin, sequence.end
        body = data[begin:end].translate(None, ZERO_WIDTH)
        if (
            self._finder.may_match(body)
            and {found.detector for found in self._finder.find(body)} & self._methods.keys()
        ):
            return data[:begin] + STARS + data[end:] if sequence.holds_text else b""
        if len(self._known) < MAX_KNOWN:
            self._known.add(data)
        return data

    # --- search -----------------------------------------------------------------------------------------------

    def _search_windows(self) -> None:
        """All windows that see all of what they have to."""
        end = (len(self._text) - self._phrase) // STEP * STEP
        while end > self._searched and self._sight(end) is None:
            end -= STEP
        if end > self._searched:
            self._search(self._searched, end)
            self._searched = end

    def _search_rest(self) -> None:
        """The windows that the text's end cuts off."""
        self._search_windows()
        self._search(self._searched, _steps(len(self._text)))

    def _sight(self, high: int) -> int | None:
        """The end of what a window that ends at ``high`` sees; None when that isn't there yet."""
        near, far = high + self._phrase, high + self._longest
        if near == far:
            return near if near <= len(self._text) else None
        space = _SPACE.search(self._text, near, far)
        if space is not None:
            return space.start()
        return far if far <= len(self._text) else None

    def _search(self, low: int, high: int) -> None:
        """The matches that begin in windows from ``low`` to ``high``, both multiples of STEP."""
        if low >= high:
            return
        sight = self._sight(high)
        views = self._views(max(0, low - self._phrase), len(self._text) if sight is None else sight)
        if not any(self._finder.may_match(view) for view, _, _ in views):
            return
        if high - low > STEP:
            middle = low + (high - low) // STEP // 2 * STEP
            self._search(low, middle)
            self._search(middle, high)
            return
        for view, begin, spaces in views:
            for found in self._finder.find(view):
                start = begin + found.start - bisect_left(spaces, found.start)
                end = begin + found.end - bisect_left(spaces, found.end)
                method = self._methods.get(found.detector)
                if method is not None and low <= start < high and end > max(start, self._out):
                    self._join(_Span(start, end, method))

    def _views(self, begin: int, end: int) -> list[tuple[bytes, int, list[int]]]:
        """What is searched of ``text[begin:end]``: bytes, ``begin``, and where spaces were put in."""
        plain = self._text[begin:end]
        first, last = bisect_right(self._offsets, begin), bisect_left(self._offsets, end)
        if first >= last:
            return [(plain, begin, [])]
        pieces: list[bytes] = []
        spaces: list[int] = []
        view = self._text
        pos = begin
        for number in range(first, last):
            offset = self._offsets[number]
            if offset > pos:  # else it stands beside the one before
                pieces.append(view[pos:offset])
                spaces.append(offset - begin + len(spaces))
                pos = offset
        pieces.append(self._text[pos:end])
        return [(plain, begin, []), (b" ".join(pieces), begin, spaces)]

    def _join(self, span: _Span) -> None:
        """Add a span; those that overlap become one, under the strictest method."""
        start, end, method, shown = span
        if start < self._out:  # a flush has shown its first part
            start, method = self._out, None
        first = last = len(self._spans)
        while first and self._spans[first - 1].end > start:
            first -= 1
            other = self._spans[first]
            if other.start >= end:
                last = first
                continue
            start, end = min(start, other.start), max(end, other.end)
            method = _stricter(method, other.method)
            shown = shown or other.shown
        self._spans[first:last] = [_Span(start, end, method, shown)]

    # --- out --------------------------------------------------------------------------------------------------

    def _release(self, end: int, *, last: bool = False) -> bytes:
        """What stands before ``end``, but for a value that reaches beyond; ``last``: sequences at ``end``, too."""
        end = max(end, self._out)
        parts: list[bytes] = []
        pos = self._out
        done = 0
        for start, stop, method, shown in self._spans:
            if start >= end:
                break
            too_long = stop - start > MAX_SPAN
            if stop > end and not too_long and not shown:
                end = start
                last = False
                break
            self._show(parts, pos, start, True)
            if not shown:
                parts.append(
                    STARS if too_long or method is None else self._makers[method](self._text[start:stop]) or b""
                )
            pos = min(stop, end)
            self._show_sequences(parts, pos)
            if stop > end:
                self._spans[done] = _Span(end, stop, method, shown=True)
                break
            done += 1
        del self._spans[:done]
        self._show(parts, pos, end, last)
        self._out = end
        self._trim()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _show(self, parts: list[bytes], pos: int, end: int, beyond: bool) -> None:
        """Text with its sequences; ``beyond``: those at its end, too."""
        offsets, sequences, view = self._offsets, self._sequences, self._text
        given = self._given
        while given < len(offsets):
            offset = offsets[given]
            if offset > end or (offset == end and not beyond):
                break
            if offset > pos:
                parts.append(view[pos:offset])
                pos = offset
            parts.append(sequences[given])
            given += 1
        self._given = given
        if pos < end:
            parts.append(view[pos:end])

    def _show_sequences(self, parts: list[bytes], end: int) -> None:
        while self._given < len(self._offsets) and self._offsets[self._given] < end:
            parts.append(self._sequences[self._given])
            self._given += 1

    def _trim(self) -> None:
        """Forget what no window will see again."""
        gone = min(self._out, max(0, self._searched - self._phrase)) // STEP * STEP
        if not gone:
            return
        self._text = self._text[gone:]
        self._out -= gone
        self._searched -= gone
        self._spans = [_Span(start - gone, end - gone, method, shown) for start, end, method, shown in self._spans]
        if self._offsets:
            past = min(bisect_left(self._offsets, gone), self._given)
            del self._sequences[:past]
            self._offsets = [offset - gone for offset in self._offsets[past:]]
            self._given -= past


def _steps(size: int) -> int:
    """``size``, rounded up to whole steps."""
    return -(-size // STEP) * STEP


def _stricter(one: Method | None, other: Method | None) -> Method | None:
    """None stands for stars, whatever the method."""
    if one is None or other is None:
        return None
    return min(one, other, key=lambda method: (method.strictness, method.keep_first))


def _last_groups(tail: bytes) -> bytes:
    """The end of ``tail`` that is written in groups behind one space each, of letters, too: an IBAN, a phone number.
    Words behind a number look the same, which is why only a patient flush looks for them."""
    *groups, last = tail.split(b" ")
    if last and last.split() != [last]:
        return b""
    size, most = len(last), 0
    for group in groups[: -MAX_GROUPS - 2 : -1]:
        first = _FIRST_GROUP.search(group)
        if first is not None:
            most = size + 1 + len(first.group())
        if _GROUP.fullmatch(group) is None:
            break
        size += 1 + len(group)
    return tail[len(tail) - most :] if most else b""


def _beginning(tail: bytes, *, any_word: bool) -> int:
    """Bytes at the end of ``tail`` that look like the beginning of a value: digits, an address, a token; any word, and
    groups that a number begins."""
    word = _last_groups(tail) if any_word else b""
    if not word and (found := _LAST_WORD.search(tail)) is not None:
        word = found.group()
    digits = len(word) - len(word.translate(None, b"0123456789"))
    return len(word) if any_word or digits > 1 or b"@" in word or len(word) >= LONG_WORD else 0
