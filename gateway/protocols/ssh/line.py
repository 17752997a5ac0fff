"""The line that somebody edits in a terminal, followed from both sides: the keys, and what the target shows.

Best effort, by nature: what a key does is the program's to say (`Keys` follows readline's and the terminal driver's
usual ones, and says when it can't), and what is shown may be anything (`Shown` follows one line, not a screen).
Nothing here decides anything, raises, or keeps more than one line.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import Final

MAX_LINE: Final = 4096
"""Characters of a line: a terminal's longest in canonical mode (N_TTY_BUF_SIZE). Longer ones are not followed."""

MAX_FED: Final = 16384
"""Bytes of output that are followed while one line is edited: some screens full of completions. Each takes about a
microsecond; behind that many only ends of pieces are followed."""

MAX_PROMPT: Final = 512
"""Bytes of such an end: a prompt with its colours, and a line."""

ENTERS: Final = frozenset(b"\r\n\x0f")
"""CR; LF; and readline's operate-and-get-next."""

_ARROWS: Final = {"C": 1, "D": -1}
_ENDS: Final = {"H": False, "F": True, "1~": False, "7~": False, "4~": True, "8~": True}
"""Final characters of Home and End, and whether it is the end (xterm's and rxvt's)."""

_CONTROLS: Final = {
    "\x01": "home",
    "\x02": "left",
    "\x03": "new",
    "\x04": "delete",
    "\x05": "end",
    "\x06": "right",
    "\x08": "back",
    "\x0b": "kill",
    "\x0c": "nothing",
    "\x15": "discard",
    "\x17": "word",
    "\x1c": "new",
    "\x7f": "back",
}
"""Readline's keys in emacs mode that move or delete within the line; bash(1), "Commands for Moving" and following."""


class Keys:
    """What stands on the line by the keys alone.

    known     they were all understood; else ``text`` means nothing until the line is over
    brackets  the program understands bracketed paste: what is pasted is no key
    begun     there was a key since the line began
    """

    def __init__(self) -> None:
        self.brackets = False
        self._state = ""
        self._sequence = ""
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self.restart()

    def restart(self) -> None:
        """Another line begins."""
        self._line: list[str] = []
        self._at = 0
        self._pasting = False
        self.known = True
        self.begun = False

    @property
    def text(self) -> str:
        return "".join(self._line)

    def until_enter(self, data: bytes, start: int = 0) -> int:
        """Follows ``data`` from ``start`` on. Gives where Enter stands, which is not taken, or the end."""
        for index in range(start, len(data)):
            byte = data[index]
            if byte in ENTERS and self._enters():
                if self._state:
                    self.known = False  # vi's command mode, perhaps
                self._state = ""
                self._decoder.reset()
                return index
            self.begun = True
            for character in self._decoder.decode(data[index : index + 1]):
                self._take(character)
        return len(data)

    def _enters(self) -> bool:
        return self._state != "quoted" and not self._pasting

    def _take(self, character: str) -> None:
        if self._state == "quoted":
            self._state = ""
        elif self._state == "escape":
            self._state = {"[": "csi", "O": "ss3"}.get(character, "")
            self._sequence = ""
            if not self._state and not self._pasting:
                self.known = False
        elif self._state == "ss3":
            self._state = ""
            self._key(character)
        elif self._state == "csi" and " " <= character <= "~" and len(self._sequence) < 16:
            self._sequence += character
            if "@" <= character <= "~":
                self._state = ""
                self._key(self._sequence)
        elif character == "\x1b":
            self._state = "escape"
        elif self._pasting or (character >= " " and character != "\x7f"):
            self._state = ""
            self._insert("\n" if character == "\r" else character)
        else:
            self._state = ""
            self._control(character)

    def _key(self, sequence: str) -> None:
        """A control sequence; within a paste only its end is one."""
        if sequence == "201~":
            self._pasting = False
        elif self._pasting:
            self.known = False
        elif sequence == "200~":
            self._pasting = self.brackets
            self.known = self.known and self.brackets
        elif sequence in _ARROWS:
            self._at = min(max(self._at + _ARROWS[sequence], 0), len(self._line))
        elif sequence in _ENDS:
            self._at = len(self._line) if _ENDS[sequence] else 0
        elif sequence == "3~":
            del self._line[self._at : self._at + 1]
        else:
            self.known = False

    def _control(self, character: str) -> None:
        line, at = self._line, self._at
        match _CONTROLS.get(character):
            case "home":
                self._at = 0
            case "end":
                self._at = len(line)
            case "left":
                self._at = max(at - 1, 0)
            case "right":
                self._at = min(at + 1, len(line))
            case "delete":
                del line[at : at + 1]
            case "back":
                del line[max(at - 1, 0) : at]
                self._at = max(at - 1, 0)
            case "kill":
                del line[at:]
            case "discard":
                del line[:at]
                self._at = 0
            case "word":
                before = "".join(line[:at]).rstrip()
                begin = max(before.rfind(" "), before.rfind("\t")) + 1
                del line[begin:at]
                self._at = begin
            case "new":
                self.restart()
            case "nothing":
                pass
            case _:
                if character == "\x16":
                    self._state = "quoted"
                self.known = False

    def _insert(self, character: str) -> None:
        if len(self._line) >= MAX_LINE:
            self.known = False
            return
        self._line.insert(self._at, character)
        self._at += 1


_MODES: Final = re.compile(rb"\x1b\[\?([0-9;]{1,32})([hl])")
_ALTERNATE: Final = frozenset([b"47", b"1047", b"1049"])
_CARRIED: Final = 40
"""Bytes that may be the beginning of such a sequence."""

_NUMBER: Final = re.compile(r"[0-9]{1,4}")


class Shown:
    """The line that the cursor is in, over all rows that it is wrapped to.

    alternate  a program has the whole screen: it has no line
    brackets   a program asked for bracketed paste
    """

    def __init__(self, columns: int) -> None:
        self.alternate = False
        self.brackets = False
        self._columns = 80
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._carried = b""
        self._state = ""
        self._sequence = ""
        self._prompt = ""
        self._left = 0
        self._cells: list[str] = []
        self._at = 0
        self._wraps = False
        """The cursor is behind the last column: the next character begins a row."""
        self.resize(columns)

    def resize(self, columns: int) -> None:
        self._columns = min(max(columns, 0), MAX_LINE) or 80

    def begin(self) -> None:
        """The first key of a line: what stands in front of the cursor is the prompt."""
        self._prompt = "".join(self._cells[: self._at])
        self._left = MAX_FED

    @property
    def text(self) -> str:
        """The line without its prompt, where that still stands there."""
        return "".join(self._cells).removeprefix(self._prompt).strip()

    def has(self, text: str) -> bool:
        """Whether the line shows ``text`` (of several lines the last) behind its prompt, by its visible characters."""
        lines = text.splitlines()
        return "".join(lines[-1].split() if lines else ()) in "".join(self.text.split())

    def feed(self, data: bytes, *, edited: bool) -> None:
        """``edited``: there were keys; else only what stands behind the last end of line matters."""
        carried = self._carried + data
        if b"\x1b" in carried:
            for numbers, way in _MODES.findall(carried):
                modes = frozenset(numbers.split(b";"))
                if modes & _ALTERNATE:
                    self.alternate = way == b"h"
                if b"2004" in modes:
                    self.brackets = way == b"h"
        self._carried = carried[-_CARRIED:]
        if self.alternate:
            self._clear()
            return
        if edited and len(data) <= self._left:
            self._left -= len(data)
        else:
            self._left = 0
            begin = max(data.rfind(b"\n") + 1, len(data) - MAX_PROMPT)
            if begin > 0:
                data = data[begin:]
                self._clear()
        for character in self._decoder.decode(data):
            self._put(character)

    def _clear(self) -> None:
        self._cells.clear()
        self._at = 0
        self._wraps = False
        self._state = ""
        self._decoder.reset()

    def _put(self, character: str) -> None:
        state = self._state
        if state == "":
            if character == "\x1b":
                self._state = "escape"
            elif character >= " " and character != "\x7f":
                self._write(character)
            else:
                self._move(character)
        elif state == "escape":
            self._sequence = ""
            self._state = {"[": "csi", "]": "string", "P": "string", "X": "string", "^": "string", "_": "string"}.get(
                character, "one" if " " <= character <= "/" else ""
            )
        elif state == "one":
            self._state = ""
        elif state == "string":
            if character == "\x07":
                self._state = ""
            elif character == "\x1b":
                self._state = "end"
        elif state == "end":
            self._state = "" if character == "\\" else "string"
        elif character < " ":
            self._move(character)
        elif "@" <= character <= "~" or len(self._sequence) > 32:
            self._state = ""
            self._obey(character, self._sequence)
        else:
            self._sequence += character

    def _write(self, character: str) -> None:
        self._wraps = False
        if self._at >= MAX_LINE:
            return
        if self._at > len(self._cells):
            self._cells += " " * (self._at - len(self._cells))
        self._cells[self._at : self._at + 1] = [character]
        self._at += 1
        self._wraps = self._at % self._columns == 0

    def _row(self) -> int:
        """Where the cursor's row begins."""
        at = self._at - 1 if self._wraps else self._at
        return at - at % self._columns

    def _move(self, character: str) -> None:
        if character == "\r":
            self._at = self._row()
        elif character == "\b":
            self._at = max(self._at - 1, self._row())
        elif character == "\t":
            self._at = min(self._at + 8 - self._at % 8, MAX_LINE)
        elif character in "\n\v\f":
            if self._row() + self._columns < len(self._cells):
                self._at += self._columns
            else:
                column = self._at - self._row()
                self._cells.clear()
                self._at = column % self._columns
        else:
            return
        self._wraps = False

    def _obey(self, final: str, numbers: str) -> None:
        """A control sequence (ECMA-48 8.3): moving in the line, erasing and editing it. All else changes nothing."""
        found = _NUMBER.match(numbers)
        number = int(found[0]) if found else 0
        count = max(number, 1)
        row = self._row()
        if final in "CDGAB`":
            self._wraps = False
        match final:
            case "C":
                self._at = min(self._at + count, row + self._columns - 1)
            case "D":
                self._at = max(self._at - count, row)
            case "G" | "`":
                self._at = row + min(count, self._columns) - 1
            case "A":
                self._at = max(self._at - count * self._columns, self._at % self._columns)
            case "B":
                self._at = min(self._at + count * self._columns, MAX_LINE)
            case "H" | "f" | "J" if final != "J" or number >= 2:
                self._clear()
            case "J" if number == 0:
                del self._cells[self._at :]
            case "K":
                begin = self._at if number == 0 else row
                end = self._at + 1 if number == 1 else row + self._columns
                self._erase(begin, end)
            case "X":
                self._erase(self._at, self._at + count)
            case "P":
                del self._cells[self._at : min(self._at + count, row + self._columns)]
            case "@":
                room = min(count, self._columns)
                self._cells[self._at : self._at] = " " * room
                del self._cells[MAX_LINE:]

    def _erase(self, begin: int, end: int) -> None:
        if end >= len(self._cells):
            del self._cells[begin:]
        else:
            self._cells[begin:end] = " " * (end - begin)
