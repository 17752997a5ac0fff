"""The menu of a login that names no target: what is shown, and what is typed. Pure; `lobby` has the channel."""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 200
"""Characters of an answer; a login and a target have at most 63 each."""

MAX_SHOWN: Final = 200
"""Ways that are listed; the others are there by their names."""


def listing(ways: tuple[tuple[str, str], ...]) -> str:
    """``ways`` (login, target), numbered."""
    lines = [f"{number:4}  {login}@{target}" for number, (login, target) in enumerate(ways[:MAX_SHOWN], 1)]
    if len(ways) > MAX_SHOWN:
        lines.append(f"      ... and {len(ways) - MAX_SHOWN} more, by name")
    return "".join(f"{line}\r\n" for line in lines)


PROMPT: Final = "Where to? (number, or LOGIN@TARGET; empty: leave) "


def chosen(text: str, ways: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """What an answer means: a number, ``login@target``, or a target where one login leads.

    Raises ValueError("what is wrong").
    """
    if text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= len(ways):
        return ways[int(text) - 1]
    login, at, target = text.rpartition("@")
    found = [way for way in ways if way[1] == target and (not at or way[0] == login)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"several logins lead there: {', '.join(f'{one}@{target}' for one, _ in found)}")
    raise ValueError("is none of these")


class Line:
    """One line typed on a terminal in raw mode: what is echoed, and the line when it is there.

    ended  None while it is typed; "" when the caller wants out (Ctrl-C, Ctrl-D, an empty line)
    ahead  what was typed behind its end
    """

    def __init__(self) -> None:
        self.ended: str | None = None
        self.ahead = b""
        self._typed = ""

    def keys(self, data: bytes) -> bytes:
        """The echo."""
        echo = ""
        # Latin-1: each byte is a character, and those that are typed here are ASCII.
        for place, character in enumerate(data.decode("latin-1")):
            if character in "\r\n\x03\x04":
                self.ended = self._typed.strip() if character in "\r\n" else ""
                self.ahead = data[place + 1 :]
                return (echo + "\r\n").encode()
            if character in "\x08\x7f":
                if self._typed:
                    self._typed = self._typed[:-1]
                    echo += "\b \b"
            elif character == "\x15":
                echo += "\b \b" * len(self._typed)
                self._typed = ""
            elif " " <= character <= "~" and len(self._typed) < MAX_LINE:
                self._typed += character
                echo += character
        return echo.encode()
