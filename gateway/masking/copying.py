"""Rows of COPY ... TO STDOUT in text and CSV format, masked as if they were rows of a query.

Each row is taken apart into the values that a DataRow would hold in text format, masked by the plan for such rows, and
put together again; cells that stayed what they were keep their bytes. So every rule for rows holds here, too.

Formats: PostgreSQL's manual, COPY, "File Formats"; the strict inverse of CopyAttributeOutText and CopyAttributeOutCSV
(src/backend/commands/copyto.c). What they never write raises PeerError, as does a CopyData that isn't one row: the
servers that are supported, 13 to 17, send it so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gateway.errors import PeerError
from gateway.masking.rows import framed
from gateway.masking.substitution import escaped_character, substituted
from gateway.model import CopyFormat, RowRewriter

Value = bytes | None

_CONTROLS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPES: Final = {value: b"\\" + letter for letter, value in _CONTROLS.items()} | {b"\\": b"\\\\"}

_HEADER: Final = 5
"""Bytes of kind and length."""
_COPY_DATA: Final = 0x64


class CopyMask:
    """One COPY's; `gateway.model.RowRewriter`.

    columns  how many a row has
    rows     masks them as DataRow messages in text format
    """

    def __init__(self, form: CopyFormat, columns: int, rows: RowRewriter) -> None:
        self._columns = columns
        self._rows = rows
        self._header = form.header
        self._cells: _Text | _Csv = _Csv(form, columns) if form.kind == "csv" else _Text(form)

    @property
    def masked(self) -> tuple[int, ...]:
        return self._rows.masked

    @property
    def at_once(self) -> int:
        return self._rows.at_once

    def apply(self, data: bytes) -> bytes:
        """Whole CopyData messages, back to back. Raises PeerError when a row doesn't parse: end the session."""
        out: list[bytes] = []
        messages: list[bytes] = []
        rows: list[list[bytes]] = []
        plain: list[bytes] = []
        pos = 0
        while pos < len(data):
            stop = pos + 1 + int.from_bytes(data[pos + 1 : pos + _HEADER])
            if data[pos] != _COPY_DATA or stop > len(data) or data[stop - 1 : stop] != b"\n" or stop - pos <= _HEADER:
                raise PeerError("a COPY row does not parse: a message that isn't one row")
            raw = self._cells.split(data[pos + _HEADER : stop - 1]) if self._columns else []
            if len(raw) != self._columns or (not self._columns and stop - pos != _HEADER + 1):
                raise PeerError("a COPY row does not parse: another number of columns than announced")
            if self._header:
                self._header = False
                out.append(data[pos:stop])
            else:
                messages.append(data[pos:stop])
                rows.append(raw)
                plain.append(_data_row([self._cells.value(cell) for cell in raw]))
            pos = stop
        masked = self._rows.apply(b"".join(plain))
        pos = 0
        for message, raw, row in zip(messages, rows, plain, strict=True):
            stop = pos + 1 + int.from_bytes(masked[pos + 1 : pos + _HEADER])
            shown = masked[pos:stop]
            out.append(message if shown == row else self._written(raw, row, shown))
            pos = stop
        if pos != len(masked):
            raise PeerError("a COPY row could not be masked")
        return b"".join(out)

    def _written(self, raw: list[bytes], row: bytes, shown: bytes) -> bytes:
        """A row some of whose values were replaced."""
        cells = [
            cell if before == after else self._cells.written(after)
            for cell, before, after in zip(raw, _values(row), _values(shown), strict=True)
        ]
        body = self._cells.delimiter.join(cells) + b"\n"
        return b"d" + (len(body) + 4).to_bytes(4) + body


def _data_row(values: list[Value]) -> bytes:
    body = b"".join([framed(value) for value in values])
    return b"D" + (len(body) + 6).to_bytes(4) + len(values).to_bytes(2) + body


def _values(row: bytes) -> list[Value]:
    """Those of a DataRow that was made here."""
    values: list[Value] = []
    pos = _HEADER + 2
    while pos < len(row):
        size = int.from_bytes(row[pos : pos + 4], signed=True)
        pos += 4
        values.append(None if size < 0 else row[pos : pos + size])
        pos += max(size, 0)
    return values


class _Text:
    """The text format: a backslash before what would mean something else."""

    def __init__(self, form: CopyFormat) -> None:
        self.delimiter = form.delimiter
        self._null = form.null
        special = re.escape(form.delimiter)
        self._cell = re.compile(rb"(?:[^\\\n%s]|\\[^\n])*+" % special, re.DOTALL)
        self._escape = re.compile(rb"\\(.)", re.DOTALL)
        self._written = re.compile(rb"[\b\f\n\r\t\v\\%s]" % special)

    def split(self, line: bytes) -> list[bytes]:
        if b"\\" not in line and b"\n" not in line:
            return line.split(self.delimiter)
        return _split(line, self.delimiter, self._cell.match)

    def value(self, raw: bytes) -> Value:
        if raw == self._null:
            return None
        return substituted(self._escape, self._character, raw) if b"\\" in raw else raw

    def _character(self, found: re.Match[bytes]) -> bytes:
        character = found.group(1)
        if character == b"\\" or character == self.delimiter:
            return character
        if character not in _CONTROLS:
            raise PeerError("a COPY row does not parse: an unknown escape")
        return _CONTROLS[character]

    def written(self, value: Value) -> bytes:
        if value is None:
            return self._null
        return substituted(self._written, lambda found: _ESCAPES.get(found.group(), b"\\" + found.group()), value)


class _Csv:
    """The CSV format: quotes around what would mean something else."""

    def __init__(self, form: CopyFormat, columns: int) -> None:
        self.delimiter = form.delimiter
        self._null = form.null
        self._quote = form.quote
        self._alone = columns == 1
        quote, escape, delimiter = (re.escape(byte) for byte in (form.quote, form.escape, form.delimiter))
        self._cell = re.compile(
            rb"%(q)s(?:[^%(q)s%(e)s]|%(e)s[%(q)s%(e)s])*+%(q)s|[^%(d)s%(q)s\r\n]*+"
            % {b"q": quote, b"e": escape, b"d": delimiter}
        )
        self._escape = re.compile(rb"%s([%s%s])" % (escape, quote, escape))
        self._inside = re.compile(rb"[%s%s]" % (quote, escape))
        self._special = re.compile(rb"[%s%s\r\n]" % (delimiter, quote))
        self._before = form.escape

    def split(self, line: bytes) -> list[bytes]:
        if self._quote not in line and b"\n" not in line and b"\r" not in line:
            return line.split(self.delimiter)
        return _split(line, self.delimiter, self._cell.match)

    def value(self, raw: bytes) -> Value:
        if raw == self._null:
            return None
        if not raw.startswith(self._quote):
            return raw
        return substituted(self._escape, escaped_character, raw[1:-1])

    def written(self, value: Value) -> bytes:
        if value is None:
            return self._null
        if value == self._null or (self._alone and value == b"\\.") or self._special.search(value) is not None:
            return (
                self._quote + substituted(self._inside, lambda found: self._before + found.group(), value) + self._quote
            )
        return value


def _split(line: bytes, delimiter: bytes, cell: Callable[[bytes, int], re.Match[bytes] | None]) -> list[bytes]:
    cells = []
    pos = 0
    while True:
        found = cell(line, pos)
        assert found is not None, "it matches the empty string"
        cells.append(found.group())
        pos = found.end()
        if pos == len(line):
            return cells
        if line[pos : pos + 1] != delimiter:
            raise PeerError("a COPY row does not parse: bytes behind a value")
        pos += 1
