# distutils: extra_compile_args = -O3
# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""Reads text byte by byte through a table: what RE2 does, without 1.7 us for each match.

One file, two lives, as rows.py; what stands there about both holds here. Uncompiled it is for tests: RE2 is quicker.

An automaton's states are sets of places in its pattern: where one can be after what was read. The table that says
which state follows is made as text asks for it (lazily, as in RE2 and grep), because nobody needs most of it; so it is
the only thing here that changes, one entry at a time, under a lock. What would need more than `most_states` or
`most_moves` is answered with "don't know", and RE2 is asked: text that was written to make states costs a bounded time,
once.

Whether a place behind ``\\b`` may be gone to is known only when the next byte is; so a state keeps of what kind the
last byte was, and a match is told with the byte behind it.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence

from gateway.masking.detectors.expression import WORD, Boundary, Byte, Chain, Choice, Repeated, Tree

COMPILED = not __file__.endswith(".py")

MOST_STATES, MOST_MOVES = 1024, 8192
"""Of one pattern's automaton: states, and entries of its table that are ever made, 2 to 5 us each. The shipped patterns
come to some hundred states and up to 5,000 moves on a corpus of everything that they are about. An entry has four
bytes, a state one entry for each kind of byte: 130 KB at most."""

MOST_PATTERNS = 62
"""That one automaton tells apart: a bit of an int64 for each."""

SEPARATOR = b"\0"
"""As in shape.py."""

LEAST_QUARTER = 64
"""Bytes of a text's quarter from which on reading them in turns is worth it."""

NOWHERE = -1
"""No match."""
UNKNOWN = -2
"""The table has no room for what this text needs."""

_UNMADE = 0
_SHIFT, _NEXT = 20, 0xFFFFF
"""How an entry is put together. It is taken apart with the numbers themselves: a module's name, compiled, is memory."""
_MOST_SETS = 1 << 32 - _SHIFT
_IS_WORD = bytes(byte in WORD for byte in range(256))


class Automaton:
    """One pattern, or some that are looked for at once, to be read in one direction.

    backward  the text is read from its end to its beginning
    anywhere  a match may begin at each byte; else only at the first one that is read
    most_states, most_moves  0: `MOST_STATES`, `MOST_MOVES`

    Bytes that no part of a pattern tells apart are one kind. An entry of the table is where the next state's entries
    begin and, from `_SHIFT` on, which set of patterns matches what was read so far, without the byte that leads there.
    """

    def __init__(
        self,
        *patterns: Tree,
        backward: bool = False,
        anywhere: bool = False,
        most_states: int = 0,
        most_moves: int = 0,
    ) -> None:
        if len(patterns) > MOST_PATTERNS:
            raise ValueError(f"more than {MOST_PATTERNS} patterns")
        places = _Places(patterns, backward=backward)
        words: list[bool]
        self._lock = threading.Lock()
        self._places = places
        self._anywhere = anywhere
        self._cut = anywhere and not any(among.issuperset(SEPARATOR) for among in places.sets.values())
        self._finals = places.finals
        self._final = _bits(list(places.finals))
        self._most_moves = most_moves or MOST_MOVES
        self._boundaries = places.boundaries
        self._kinds, words = _kinds(places.sets, told_apart=bool(places.boundaries))
        self._words = (*words, False)
        self._unread = len(words)  # the kind of what stands outside of the text
        self._width = len(words) + 1
        self._most_states = min(most_states or MOST_STATES, _NEXT // self._width)
        # Per kind, the places that read such a byte, as bits.
        reached: list[list[int]] = [[] for _ in words]
        kinds_of = {among: {self._kinds[byte] for byte in among} for among in set(places.sets.values())}
        for place, among in places.sets.items():
            for kind in kinds_of[among]:
                reached[kind].append(place)
        self._reached = [_bits(of_kind) for of_kind in reached]
        self._after: dict[int, int] = {}
        self._start = places.around(places.start, resolved=False)
        self._states: dict[tuple[int, bool], int] = {}
        self._bits: list[tuple[int, bool]] = [(0, False)]  # of the first one, which is none: 0 means unmade
        self._moves = 0
        self._room = array("I", bytes(4 * 16 * self._width))
        self._table = self._room
        self._sets = {0: 0}  # patterns that match at once, a bit for each -> number of the set
        self._which = array("q", bytes(8 * (_MOST_SETS if len(patterns) > 1 else 2)))
        self._nowhere = -1  # the state that nothing leads out of
        if not anywhere:
            self._nowhere = self._state(0, False)
        self._behind_none = self._state(self._start, False)
        self._behind_word = self._state(self._start, True)

    # --- reading ------------------------------------------------------------------------------------------------

    def longest(self, data: bytes, pos: int, stop: int) -> int:
        """Where the longest match ends that begins at ``pos`` and ends at ``stop`` or before; NOWHERE, UNKNOWN."""
        view = data
        kinds = self._kinds
        kind_of = kinds
        parts_of_words = _IS_WORD
        is_word = parts_of_words
        table = self._table
        size = len(data)
        nowhere = self._nowhere
        best = -1
        state = self._behind_word if pos > 0 and is_word[view[pos - 1]] else self._behind_none
        while True:
            kind = kind_of[view[pos]] if pos < size else self._unread
            entry = table[state + kind]
            if entry == 0:
                entry = self._move(state, kind)
                if entry == 0:
                    return -2
                table = self._table
            if entry >> 20:
                best = pos
            state = entry & 0xFFFFF
            if state == nowhere or pos >= stop:
                return best
            pos += 1

    def first(self, data: bytes, pos: int, stop: int) -> int:
        """Where the match in ``data[pos:stop]`` ends that ends first; NOWHERE, UNKNOWN. For automata that match
        anywhere."""
        view = data
        kinds = self._kinds
        kind_of = kinds
        parts_of_words = _IS_WORD
        is_word = parts_of_words
        table = self._table
        size = len(data)
        state = self._behind_word if pos > 0 and is_word[view[pos - 1]] else self._behind_none
        while True:
            kind = kind_of[view[pos]] if pos < size else self._unread
            entry = table[state + kind]
            if entry == 0:
                entry = self._move(state, kind)
                if entry == 0:
                    return -2
                table = self._table
            if entry >> 20:
                return pos
            if pos >= stop:
                return -1
            state = entry & 0xFFFFF
            pos += 1

    def present(self, data: bytes, pos: int, stop: int) -> int:
        """Which of several patterns match in ``data[pos:stop]``: for each a bit, the first one's is 1; UNKNOWN."""
        view = data
        kinds = self._kinds
        kind_of = kinds
        parts_of_words = _IS_WORD
        is_word = parts_of_words
        state1 = self._behind_word if pos > 0 and is_word[view[pos - 1]] else self._behind_none
        found = 0
        cuts = self._cuts(data, pos, stop)
        if cuts is not None:
            table = self._table
            which = self._which
            cut1, cut2, cut3 = cuts
            pos1, pos2, pos3, pos4 = pos, cut1 + 1, cut2 + 1, cut3 + 1
            state2 = state3 = state4 = self._behind_none
            for _ in range(min(cut1 - pos1, cut2 - pos2, cut3 - pos3, stop - pos4)):
                entry1 = table[state1 + kind_of[view[pos1]]]
                entry2 = table[state2 + kind_of[view[pos2]]]
                entry3 = table[state3 + kind_of[view[pos3]]]
                entry4 = table[state4 + kind_of[view[pos4]]]
                if entry1 == 0 or entry2 == 0 or entry3 == 0 or entry4 == 0:
                    break
                if (entry1 | entry2 | entry3 | entry4) >> 20:
                    found |= which[entry1 >> 20] | which[entry2 >> 20] | which[entry3 >> 20] | which[entry4 >> 20]
                state1, pos1 = entry1 & 0xFFFFF, pos1 + 1
                state2, pos2 = entry2 & 0xFFFFF, pos2 + 1
                state3, pos3 = entry3 & 0xFFFFF, pos3 + 1
                state4, pos4 = entry4 & 0xFFFFF, pos4 + 1
            rest2 = self._present(data, pos2, cut2, state2)
            rest3 = self._present(data, pos3, cut3, state3)
            rest4 = self._present(data, pos4, stop, state4)
            if rest2 < 0 or rest3 < 0 or rest4 < 0:
                return -2
            found |= rest2 | rest3 | rest4
            pos, stop = pos1, cut1
        rest1 = self._present(data, pos, stop, state1)
        return rest1 if rest1 < 0 else found | rest1

    def _present(self, data: bytes, pos: int, stop: int, state: int) -> int:
        """The same in ``state``, one byte after the other."""
        view = data
        kinds = self._kinds
        kind_of = kinds
        table = self._table
        which = self._which
        size = len(data)
        found = 0
        while True:
            kind = kind_of[view[pos]] if pos < size else self._unread
            entry = table[state + kind]
            if entry == 0:
                entry = self._move(state, kind)
                if entry == 0:
                    return -2
                table = self._table
            found |= which[entry >> 20]
            if pos >= stop:
                return found
            state = entry & 0xFFFFF
            pos += 1

    def starts(self, data: bytes, begin: int, end: int, stop: int) -> bytearray | None:
        """For each of ``data[begin:end]`` 1 when a match begins there that ends at ``stop`` or before, else 0.

        Empty when there is none. None: UNKNOWN. For automata that read backward, and match anywhere.
        """
        view = data
        kinds = self._kinds
        kind_of = kinds
        parts_of_words = _IS_WORD
        is_word = parts_of_words
        marks = bytearray(end - begin)
        mark = marks
        state4 = self._behind_word if stop < len(data) and is_word[view[stop]] else self._behind_none
        cuts = self._cuts(data, begin, end)
        if cuts is None:
            if self._starts(data, stop, begin, state4, marks, begin) < 0:
                return None
        else:
            cut1, cut2, cut3 = cuts
            pos1, pos2, pos3, pos4 = cut1, cut2, cut3, end - 1
            state1 = state2 = state3 = self._behind_none
            state4 = self._starts(data, stop, end, state4, marks, begin)
            if state4 < 0:
                return None
            table = self._table
            for _ in range(min(cut1 - begin, cut2 - cut1, cut3 - cut2, end - 1 - cut3)):
                entry1 = table[state1 + kind_of[view[pos1 - 1]]]
                entry2 = table[state2 + kind_of[view[pos2 - 1]]]
                entry3 = table[state3 + kind_of[view[pos3 - 1]]]
                entry4 = table[state4 + kind_of[view[pos4 - 1]]]
                if entry1 == 0 or entry2 == 0 or entry3 == 0 or entry4 == 0:
                    break
                mark[pos1 - begin] = entry1 >> 20
                mark[pos2 - begin] = entry2 >> 20
                mark[pos3 - begin] = entry3 >> 20
                mark[pos4 - begin] = entry4 >> 20
                state1, pos1 = entry1 & 0xFFFFF, pos1 - 1
                state2, pos2 = entry2 & 0xFFFFF, pos2 - 1
                state3, pos3 = entry3 & 0xFFFFF, pos3 - 1
                state4, pos4 = entry4 & 0xFFFFF, pos4 - 1
            if (
                self._starts(data, pos1, begin, state1, marks, begin) < 0
                or self._starts(data, pos2, cut1 + 1, state2, marks, begin) < 0
                or self._starts(data, pos3, cut2 + 1, state3, marks, begin) < 0
                or self._starts(data, pos4, cut3 + 1, state4, marks, begin) < 0
            ):
                return None
        return marks if 1 in marks else _NO_MARKS

    def _starts(self, data: bytes, pos: int, low: int, state: int, marks: bytearray, begin: int) -> int:
        """The same from ``pos`` down to ``low``, in ``state``, one byte after the other: the next state; UNKNOWN.

        ``marks``: for bytes from ``begin`` on; what begins behind them is not told."""
        view = data
        kinds = self._kinds
        kind_of = kinds
        table = self._table
        mark = marks
        end = begin + len(marks)
        while pos >= low:
            kind = kind_of[view[pos - 1]] if pos > 0 else self._unread
            entry = table[state + kind]
            if entry == 0:
                entry = self._move(state, kind)
                if entry == 0:
                    return -2
                table = self._table
            if pos < end:
                mark[pos - begin] = entry >> 20
            state = entry & 0xFFFFF
            pos -= 1
        return state

    def _cuts(self, data: bytes, pos: int, stop: int) -> tuple[int, int, int] | None:
        """Where three `SEPARATOR`s stand that cut ``data[pos:stop]`` into some four quarters; None: it isn't done.

        Behind one an automaton is where it was at the beginning, so that each part can be read by itself. All four are
        read in turns, because a processor waits for an entry of the table longer than all else takes.
        """
        quarter = (stop - pos) // 4
        if quarter < LEAST_QUARTER or not self._cut:
            return None
        cut1 = data.find(SEPARATOR, pos + quarter, stop)
        if cut1 < 0:
            return None
        cut2 = data.find(SEPARATOR, max(cut1 + 1, pos + 2 * quarter), stop)
        cut3 = data.find(SEPARATOR, max(cut2 + 1, pos + 3 * quarter), stop)
        return None if cut2 < 0 or cut3 < 0 else (cut1, cut2, cut3)

    def back(self, data: bytes) -> int:
        """Where some match begins that ends where ``data`` does; NOWHERE, UNKNOWN. For automata that read backward."""
        view = data
        kinds = self._kinds
        kind_of = kinds
        table = self._table
        pos = len(data)
        state = self._behind_none
        while True:
            kind = kind_of[view[pos - 1]] if pos > 0 else self._unread
            entry = table[state + kind]
            if entry == 0:
                entry = self._move(state, kind)
                if entry == 0:
                    return -2
                table = self._table
            if entry >> 20:
                return pos
            state = entry & 0xFFFFF
            if state == self._nowhere or pos <= 0:
                return -1
            pos -= 1

    # --- making the table ---------------------------------------------------------------------------------------

    def _move(self, state: int, kind: int) -> int:
        """The entry of a byte of this kind, or of the text's end, in ``state``; 0: there is no room for it."""
        with self._lock:
            if self._moves >= self._most_moves:
                return _UNMADE
            bits, word = self._bits[state // self._width]
            waiting = bits & self._boundaries
            if waiting and word != self._words[kind]:
                for place in _places_in(waiting):
                    bits |= self._places.around(place, resolved=True)
            following = self._start if self._anywhere else 0
            if kind != self._unread:
                for place in _places_in(bits & self._reached[kind]):
                    around = self._after.get(place)
                    if around is None:
                        around = self._after[place] = self._places.around(self._places.behind(place), resolved=False)
                    following |= around
            to = self._state(following, self._words[kind])
            if to < 0:
                return _UNMADE
            matching = self._set(bits)
            if matching < 0:
                return _UNMADE
            self._moves += 1
            entry = matching << _SHIFT | to
            self._table[state + kind] = entry
            return entry

    def _set(self, bits: int) -> int:
        """The number of the set of patterns that match in these places; -1: there is no room for it."""
        if not bits & self._final:
            return 0
        matching = 0
        for number, place in enumerate(self._finals):
            matching |= (bits >> place & 1) << number
        known = self._sets.get(matching, -1)
        if known < 0 and len(self._sets) < len(self._which):
            known = self._sets[matching] = len(self._sets)
            self._which[known] = matching
        return known

    def _state(self, bits: int, word: bool) -> int:
        """Where its entries begin; -1: there is no room for it."""
        key = (bits, word and bits & self._boundaries != 0)
        state = self._states.get(key)
        if state is not None:
            return state
        if len(self._bits) >= self._most_states:
            return -1
        state = self._states[key] = len(self._bits) * self._width
        self._bits.append(key)
        if state + self._width > len(self._room):
            # Another array: whoever reads this one goes on reading it.
            larger = array("I", bytes(2 * 4 * len(self._room)))
            larger[: len(self._room)] = self._room
            self._room = larger
            self._table = larger
        return state


_NO_MARKS = bytearray()


def _bits(places: list[int]) -> int:
    """As one number, each place a bit: adding one after the other would copy the number each time."""
    bits = bytearray(max(places, default=0) // 8 + 1)
    for place in places:
        bits[place // 8] |= 1 << place % 8
    return int.from_bytes(bits, "little")


def _places_in(bits: int) -> list[int]:
    places = []
    while bits:
        lowest = bits & -bits
        places.append(lowest.bit_length() - 1)
        bits ^= lowest
    return places


def _kinds(sets: dict[int, frozenset[int]], *, told_apart: bool) -> tuple[bytes, list[bool]]:
    """Of each byte the number of its kind; of each kind whether it is a part of words. ``told_apart``: it has to be one
    or the other."""
    distinct = set(sets.values())
    if told_apart:
        distinct.add(WORD)
    numbers: dict[tuple[bool, ...], int] = {}
    words: list[bool] = []
    kinds = bytearray(256)
    for byte in range(256):
        told = tuple(byte in among for among in distinct)
        if told not in numbers:
            numbers[told] = len(numbers)
            words.append(told_apart and byte in WORD)
        kinds[byte] = numbers[told]
    return bytes(kinds), words


class _Places:
    """Patterns as places and ways between them (Thompson's construction). Places are numbers.

    sets        those that read a byte: which bytes
    boundaries  those that need a boundary of words to go on, as bits
    start       where all of them begin
    finals      of each one where it has matched
    """

    def __init__(self, patterns: Sequence[Tree], *, backward: bool) -> None:
        self.sets: dict[int, frozenset[int]] = {}
        self.boundaries = 0
        self._ways: list[list[int]] = []
        self._backward = backward
        self.finals = tuple(self._place() for _ in patterns)
        self.start = self._place(*map(self._before, patterns, self.finals))

    def behind(self, place: int) -> int:
        """Of one that reads a byte: where it leads."""
        return self._ways[place][0]

    def around(self, place: int, *, resolved: bool) -> int:
        """The places that are reached from ``place`` without reading, as bits; ``resolved``: across boundaries, too."""
        seen: set[int] = set()
        reached = 0
        waiting = [place]
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            waits = self.boundaries >> one & 1 and not resolved
            if waits or one in self.sets or one in self.finals:
                reached |= 1 << one
            else:
                waiting += self._ways[one]
        return reached

    def _place(self, *ways: int) -> int:
        self._ways.append([*ways])
        return len(self._ways) - 1

    def _before(self, tree: Tree, following: int) -> int:
        """Adds ``tree``, which leads to ``following``; returns where it begins."""
        match tree:
            case Byte(among):
                place = self._place(following)
                self.sets[place] = among
                return place
            case Boundary():
                place = self._place(following)
                self.boundaries |= 1 << place
                return place
            case Chain(parts):
                for part in parts if self._backward else reversed(parts):
                    following = self._before(part, following)
                return following
            case Choice(parts):
                return self._place(*[self._before(part, following) for part in parts])
            case Repeated(part, least, most):
                begin = following
                if most is None:
                    begin = self._place(following)
                    self._ways[begin].append(self._before(part, begin))
                else:
                    for _ in range(most - least):
                        begin = self._place(self._before(part, begin), following)
                for _ in range(least):
                    begin = self._before(part, begin)
                return begin
