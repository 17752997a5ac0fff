"""`re.sub` for what a caller may have made large."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

LARGE: Final = 64 * 1024
"""Bytes. `re.sub` keeps a list of all pieces, up to 60 bytes for each byte of its input: 4 MB up to here, and quicker;
15 GB for a value of 256 MB that is all escapes."""


def substituted(pattern: re.Pattern[bytes], replacement: Callable[[re.Match[bytes]], bytes], data: bytes) -> bytes:
    """``data`` with each match replaced; needs twice its size, whatever stands in it."""
    if len(data) <= LARGE:
        return pattern.sub(replacement, data)
    out = bytearray()
    done = 0
    for found in pattern.finditer(data):
        out += data[done : found.start()]
        out += replacement(found)
        done = found.end()
    out += data[done:]
    return bytes(out)


def escaped_character(found: re.Match[bytes]) -> bytes:
    """Of an escape and what it stands before: the latter, the pattern's last group."""
    return found.group(found.lastindex or 0)


def with_backslash(found: re.Match[bytes]) -> bytes:
    return b"\\" + found.group()


def doubled(found: re.Match[bytes]) -> bytes:
    return found.group() * 2
