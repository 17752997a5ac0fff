"""What a recording may do to the terminal of whoever looks at it: draw, and nothing else.

Output of a session was written by whoever controls the target, for the caller's terminal. Shown to an auditor as it
is, it could have that terminal answer (and type) what it is asked, write its clipboard and files, print, rename and
resize its window, or leave it unusable: CVE-2003-0063, CVE-2008-2383, CVE-2019-9535, CVE-2021-27135, CVE-2022-45063,
CVE-2024-38396 and many more. So `TerminalFilter` doesn't look for what is dangerous. It reads
everything as a terminal does and writes anew, in one spelling, what is in the tables below; all else comes to nothing.

The grammar that is read: ECMA-48 (5th edition) section 5, and its practice (Paul Williams' parser of DEC's terminals,
https://vt100.net/emu/dec_ansi_parser; xterm's ctlseqs.ms). Control characters of C1 (U+0080 to U+009F) begin nothing:
most terminals don't obey them in UTF-8, and what stands behind them is better shown than hidden.

    state      is left by
    ground     ESC
    escape     the final character of an escape sequence; [ to csi; ] to osc; P X ^ _ to string; k to title
    osc        the first character: P to palette; R and BEL end it; anything else to string
    csi        a final character (@ to ~); too long: to ignored, which has the same end
    string     BEL, ST, CAN, SUB, any ESC, or MAX_STRING characters
    title      as string, and any control character: only screen and tmux know it
    palette    seven hexadecimal digits, or what is none: the Linux console's ESC ] P has no other end
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal

MAX_SEQUENCE: Final = 256
"""Characters of a control sequence. The longest that programs write set colours (about 80); xterm keeps 30 numbers."""

MAX_STRING: Final = 1024 * 1024
"""Characters of a string (OSC, DCS, ...) that are passed over: an image. Behind that many it never ends, and what
follows must not stay hidden."""

MAX_NUMBER: Final = 9999
"""The largest parameter that is let through; DEC's own terminals have this limit."""

MAX_REPEAT: Final = 1000
"""Of REP, which has the terminal write for us: no line is longer."""

MAX_MARKS: Final = 16
"""Combining characters on one character; Unicode's Stream-Safe format (UAX 15 section 13) allows 30 of them."""

REPLACEMENT: Final = "\ufffd"

State = Literal["ground", "escape", "osc", "csi", "ignored", "string", "title", "palette"]

ESC: Final = "\x1b"
DRAWN_CONTROLS: Final = frozenset("\b\t\n\v\f\r\x0e\x0f")
"""Those of C0 that move the cursor, and SO and SI, for lines of boxes. BEL only makes noise; ENQ is answered."""

ESCAPES: Final = frozenset(["7", "8", "D", "E", "M", "(0", "(B", ")0", ")B"])
"""DECSC, DECRC, IND, NEL, RI; G0 and G1 are ASCII or DEC's lines."""

SEQUENCES: Final = {
    **dict.fromkeys("@ABCDEFGIKLMPSTXZ`abd", 1),
    "J": 1,
    "e": 1,
    "H": 2,
    "f": 2,
    "r": 2,
    "s": 0,
    "u": 0,
}
"""Final characters of control sequences without prefix, and how many numbers they may have: editing, moving, erasing,
scrolling. CSI s and CSI u with numbers are other functions, as is CSI T with five."""

ROWS_AND_COLUMNS: Final = {"H": (0, 1), "f": (0, 1), "d": (0, None), "G": (None, 0), "`": (None, 0)}
"""Which number of a sequence is a row, and which a column."""

MODES: Final = frozenset(["7", "25", "47", "1047", "1048", "1049"])
"""Of CSI ? h and l: wrapping lines, the cursor's visibility, the alternate screen. The others say what keys and the
mouse send, resize, or can't be restored."""

COLOURS: Final = frozenset([*range(6), 7, 9, *range(21, 26), *range(27, 38), *range(39, 48), 49, 53, 55, 59])
BRIGHT_COLOURS: Final = frozenset([*range(90, 98), *range(100, 108)])
"""SGR without its fonts, and without 8 (concealed): an auditor sees what is there."""
EXTENDED_COLOURS: Final = {"5": 1, "2": 3}
"""Numbers behind 38, 48 and 58 and their kind (ITU-T T.416 section 13.1.8)."""

_PLAIN = re.compile(r"[\x20-\x7e\x08-\x0f]+")
_STRING_END = re.compile("[\x07\x18\x1a\x1b\x9c]")
_TITLE_END = re.compile("[\x00-\x1f\x9c]")
_CONTROL = re.compile(r"([<=>?]?)([0-9:;]*)([ -/]*)")
_ENDLESS_INVISIBLE = frozenset("\u200c\u200d")
"""Joiners, which many scripts and emoji need; of all other format characters (direction marks, tags) none is drawn."""


class TerminalFilter:
    """One terminal's output. Feed it in any pieces; what it gives is always whole sequences.

    size  columns and rows of what is drawn, where that may be less than the terminal has: rows below are left alone
    """

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self.alternate = False
        """The alternate screen is shown."""
        self._size = size
        self._state: State = "ground"
        self._sequence = ""
        self._swallowed = 0
        self._marks = 0

    def feed(self, text: str) -> str:
        """What of ``text`` draws."""
        drawn: list[str] = []
        position = 0
        while position < len(text):
            if self._state == "ground":
                plain = _PLAIN.match(text, position)
                if plain is not None:
                    drawn.append(plain[0])
                    position = plain.end()
                    self._marks = 0
                    continue
            elif self._state in ("string", "title"):
                position = self._pass_over(text, position)
                continue
            position += self._character(text[position], drawn)
        return "".join(drawn)

    def resized(self, size: tuple[int, int] | None) -> str:
        """What is drawn has another size from here on; gives what makes the terminal scroll there."""
        self._size = size
        return f"\x1b7{self._region()}\x1b8"

    def restored(self) -> str:
        """What undoes all that could have been drawn so far, but for the text itself."""
        leave = "\x1b[?1049l" if self.alternate else ""
        self.alternate = False
        self._size = None
        self._state = "ground"
        return f"{leave}\x1b7\x1b[r\x1b8{_SOFT_RESET}"

    def _pass_over(self, text: str, position: int) -> int:
        """Within a string; gives where it goes on."""
        end = (_TITLE_END if self._state == "title" else _STRING_END).search(text, position)
        until = len(text) if end is None else end.start()
        room = MAX_STRING - self._swallowed
        if until - position > room:
            self._state = "ground"
            return position + room
        self._swallowed += until - position
        if end is None:
            return until
        if end[0] == ESC or (self._state == "title" and end[0] not in "\x07\x18\x1a\x9c"):
            # It begins or does something else, too.
            self._state = "ground"
            return until
        self._state = "ground"
        return until + 1

    def _character(self, char: str, drawn: list[str]) -> int:
        """One character outside of strings: 1, or 0 when it is to be looked at again in the new state."""
        if char == ESC:
            self._begin("escape")
        elif char in "\x18\x1a":
            self._state = "ground"
        elif self._state == "osc":
            return self._operating_system_command(char)
        elif char < " " or char == "\x7f":
            # Obeyed by terminals even within a sequence.
            if char in DRAWN_CONTROLS:
                drawn.append(char)
        elif self._state == "ground":
            self._draw(char, drawn)
        elif char > "~":
            self._state = "ground"
            return 0
        elif self._state == "palette":
            return self._palette(char)
        elif self._state == "escape":
            self._escape(char, drawn)
        elif char < "@":
            self._sequence += char
            if len(self._sequence) > MAX_SEQUENCE:
                self._begin("ignored")
                self._sequence = ""
        else:
            if self._state == "csi":
                drawn.append(self._control_sequence(char))
            self._state = "ground"
        return 1

    def _begin(self, state: State) -> None:
        self._state = state
        self._sequence = ""
        self._swallowed = 0

    def _draw(self, char: str, drawn: list[str]) -> None:
        """A character that is no ASCII."""
        shown = _visible(char)
        if shown and (char in _ENDLESS_INVISIBLE or unicodedata.category(char) in ("Mn", "Me")):
            self._marks += 1
            if self._marks > MAX_MARKS:
                return
        elif shown:
            self._marks = 0
        drawn.append(shown)

    def _palette(self, char: str) -> int:
        if char not in "0123456789abcdefABCDEF":
            self._state = "ground"
            return 0
        self._swallowed += 1
        if self._swallowed == 7:
            self._state = "ground"
        return 1

    def _operating_system_command(self, char: str) -> int:
        """The character behind ESC ]; the Linux console's own functions have no end."""
        if char == "P":
            self._begin("palette")
        elif char in "R\x07\x9c":
            self._state = "ground"
        else:
            self._begin("string")
            return 0
        return 1

    def _escape(self, char: str, drawn: list[str]) -> None:
        self._sequence += char
        if char < "0":
            # An intermediate character; of those with more than one of them none is known.
            self._sequence = self._sequence[:2]
            return
        self._state = "ground"
        if self._sequence in ESCAPES:
            drawn.append(ESC + self._sequence)
        elif self._sequence == "c":
            drawn.append(self._reset())
        elif self._sequence == "[":
            self._begin("csi")
        elif self._sequence == "]":
            self._begin("osc")
        elif self._sequence in ("P", "X", "^", "_"):
            self._begin("string")
        elif self._sequence == "k":
            self._begin("title")

    def _control_sequence(self, final: str) -> str:
        parts = _CONTROL.fullmatch(self._sequence)
        if parts is None:
            return ""
        prefix, numbers, between = parts.groups()
        if between or prefix:
            if prefix == "?" and not between and final in "hl":
                return self._modes(numbers.split(";"), final)
            return _SOFT_RESET if (self._sequence, final) == ("!", "p") else ""
        if final == "m":
            return _colours(numbers)
        if final in "hl":
            return f"\x1b[4{final}" if "4" in numbers.split(";") else ""
        return self._drawing(numbers, final)

    def _drawing(self, numbers: str, final: str) -> str:
        given = numbers.split(";") if numbers else []
        if final not in SEQUENCES or len(given) > SEQUENCES[final] or ":" in numbers:
            return ""
        clamped = [_clamped(number, MAX_NUMBER) for number in given]
        if final == "J" and clamped and clamped[0] not in ("", "0", "1", "2"):
            # 3 erases what lies above the screen: the auditor's own.
            return ""
        if final == "b":
            clamped = [_clamped(number, MAX_REPEAT) for number in given]
        if final == "r":
            return self._region(*clamped)
        if final == "e":
            # As CUD, but past the region's end.
            final = "B"
        if self._size is not None and final in ROWS_AND_COLUMNS:
            row, column = ROWS_AND_COLUMNS[final]
            for which, most in ((column, self._size[0]), (row, self._size[1])):
                if which is not None and which < len(clamped):
                    clamped[which] = _clamped(clamped[which], most)
        return f"\x1b[{';'.join(clamped)}{final}"

    def _modes(self, numbers: list[str], final: str) -> str:
        safe = [number for number in numbers if number in MODES]
        if not safe:
            return ""
        if not {"47", "1047", "1049"}.isdisjoint(safe):
            self.alternate = final == "h"
        return f"\x1b[?{';'.join(safe)}{final}"

    def _region(self, top: str = "", bottom: str = "") -> str:
        """The rows that scroll; where we have fewer than the terminal, none below."""
        if self._size is not None:
            rows = self._size[1]
            low = int(_clamped(bottom, rows) or 0) or rows
            high = max(1, int(top or 0))
            return f"\x1b[{high};{low}r" if high < low else ""
        return f"\x1b[{top};{bottom}r" if top or bottom else "\x1b[r"

    def _reset(self) -> str:
        """RIS, as far as it draws."""
        self.alternate = False
        return f"\x1b[?47l{_SOFT_RESET}{self._region()}\x1b[H\x1b[2J"


_SOFT_RESET: Final = "\x1b(B\x1b)B\x0f\x1b[m\x1b[4l\x1b[?7h\x1b[?25h"
"""What remains of DECSTR: character sets, colours, and the modes that are let through."""


def drawn_text(drawn: str) -> str:
    """What a filter gave, without its sequences and with a blank for each control character: what can be searched."""
    return _CONTROLS.sub(" ", _SEQUENCE.sub("", drawn))


_SEQUENCE = re.compile(r"\x1b(?:\[[0-9:;?]*[@-~]|[()].|[78DEM])")
_CONTROLS = re.compile(r"[\x00-\x1f]")


@lru_cache(4096)
def _visible(char: str) -> str:
    """What is drawn for a character that is no ASCII."""
    category = unicodedata.category(char)
    if category in ("Cn", "Cs"):
        # May be anything one day.
        return REPLACEMENT
    if category in ("Cc", "Cf", "Zl", "Zp") and char not in _ENDLESS_INVISIBLE:
        return ""
    return char


def _clamped(number: str, most: int) -> str:
    """Decimal digits, at most ``most``; nothing stays nothing."""
    return number and str(min(int(number), most))


def _colours(numbers: str) -> str:
    """SGR with what is known of it."""
    given = numbers.split(";") if numbers else []
    kept: list[str] = []
    while given:
        one = given.pop(0)
        if ":" in one:
            if re.fullmatch(r"(?:4:[0-5]|[345]8:[25](?::\d{0,3}){1,5})", one):
                kept.append(one)
        elif one in ("38", "48", "58"):
            many = EXTENDED_COLOURS.get(given[0] if given else "")
            colour = given[: 1 + (many or 0)]
            if many is None or len(colour) <= many or not all(re.fullmatch(r"\d{0,3}", part) for part in colour):
                # How many of the numbers belong to it, nobody knows.
                break
            del given[: 1 + many]
            kept += [one, *colour]
        elif len(one) <= 3 and (int(one or 0) in COLOURS or int(one or 0) in BRIGHT_COLOURS):
            kept.append(one)
    return f"\x1b[{';'.join(kept)}m" if kept or not numbers else ""
