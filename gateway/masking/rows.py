# distutils: extra_compile_args = -O3 -Wno-array-bounds
# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""Rows at the speed of the wire: skip messages, rewrite cells of DataRow messages.

One file, two lives: plain Python, or compiled by Cython with the C types in rows.pxd (postgres.md, Speed). Only what
means the same in both may be written here: ``view = data`` is a second name in Python and a C pointer when compiled, so
nothing guards an index but the tests in front of it. Bytes are copied one by one, by `_copy`: its arguments are
declared not to overlap, and only then -O3 turns it into memcpy. Lengths are read by `_int32`, never shifted in place: a
byte shifted by 24 overflows C's int, and a literal above 2^31 would be a Python object. Objects are touched only where
a cell is replaced: counting references for each cell took a third of the time.

Message layout: PostgreSQL documentation, "Message Formats": one byte of kind, int32 length (its own 4 bytes
included), body. DataRow's body: int16 number of columns, then for each an int32 length (-1: NULL) and that many bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gateway.errors import PeerError

Look: TypeAlias = tuple[bytes | None, int, Callable[[bytes], bytes | None]]
"""How `gather` takes the texts of one column's cells: 256 bytes, of which those that aren't 0 stand for bytes that a
cell may not hold to be taken as it is (None: no cell is); how many bytes a cell has to have at least; and what takes
the others apart, None when it can't."""

Cell: TypeAlias = bytes | Callable[[bytes], bytes | None] | None
"""What happens to one column: None keeps it, bytes (from `framed`) replace each value that is not NULL,
a callable turns a value into another, or into NULL (None)."""

Column: TypeAlias = Cell | bytearray
"""The same for certain rows: a bytearray has what takes the place of their values that are not NULL, one after the
other, with `SEPARATOR` between."""

COMPILED = not __file__.endswith(".py")
"""Whether Cython's version runs; `ostiary status` shows it, `make bench` refuses to measure without."""

_DATA_ROW = 0x44
_HEADER = 5
"""Kind and length."""
SEPARATOR = b"\0"
"""Stands between texts that are searched together. PostgreSQL's texts don't hold it and no detector matches across it
(detectors/shape.py), so that what is found in all of them is what is found in each."""

LONGEST_COLUMN = 1 << 30
"""Bytes of values in a bytearray: places in it are kept as int32. PostgreSQL's rows are no longer."""

_ROOM = 16 * 1024
"""Bytes of room for texts that are gathered, before the buffer grows: a hundred rows seldom have more, and making a
larger one took as long as filling it."""

_SPARE = 4096
"""Bytes of room for replacements that are longer than what they replace, before the buffer grows."""


def framed(value: bytes | None) -> bytes:
    """A cell as it stands in a DataRow: int32 length and the bytes; None is NULL."""
    if value is None:
        return b"\xff\xff\xff\xff"
    return len(value).to_bytes(4, "big") + value


def _int32(view: bytes | bytearray, pos: int) -> int:
    first, second, third, fourth = view[pos], view[pos + 1], view[pos + 2], view[pos + 3]
    value = first << 24 | second << 16 | third << 8 | fourth
    return value - (value >> 31 << 32)


def _copy(room: bytearray, at: int, view: bytes | bytearray, pos: int, size: int) -> None:
    for offset in range(size):
        room[at + offset] = view[pos + offset]


def _put_int32(room: bytearray, at: int, value: int) -> None:
    room[at] = value >> 24 & 255
    room[at + 1] = value >> 16 & 255
    room[at + 2] = value >> 8 & 255
    room[at + 3] = value & 255


def next_message(data: bytes, pos: int) -> tuple[int, int]:
    """``(kind, end)`` of the message that begins at ``pos``; end is -1 when it isn't all there, (0, -1) without header.

    Raises PeerError when the length is below 4.
    """
    view = data
    available = len(data) - pos
    if pos < 0 or available < _HEADER:
        return 0, -1
    length = _int32(view, pos + 1)
    if length < 4:
        raise PeerError("a message's length is below 4")
    return view[pos], (pos + 1 + length if length < available else -1)


def skip_rows(data: bytes, pos: int, kind: int) -> tuple[int, int]:
    """Skips the complete messages of one kind (DataRow, CopyData) that stand back to back from ``pos`` on.

    Returns ``(end, count)``: where the first other or incomplete message begins, and how many were skipped.
    Raises PeerError when a length is below 4.
    """
    view = data
    stop = len(data)
    count = 0
    if pos < 0:
        raise ValueError("pos is below 0")
    while stop - pos >= _HEADER and view[pos] == kind:
        length = _int32(view, pos + 1)
        if length < 4:
            raise PeerError("a message's length is below 4")
        if length >= stop - pos:
            break
        pos += 1 + length
        count += 1
    return pos, count


def mask_rows(data: bytes, pos: int, end: int, plan: tuple[Column, ...]) -> bytes:
    """The DataRow messages in ``data[pos:end]``, whole and back to back, with cells replaced as ``plan`` says.

    ``plan`` has one entry per column. NULL stays NULL. Raises PeerError when anything else stands there, a row has
    another number of columns, or a cell doesn't end where its row does: the session must end, because what can't be
    parsed can't be masked. Whatever a callable raises passes through, to the same effect. Raises ValueError when a
    bytearray has too few values, or is longer than `LONGEST_COLUMN`.
    """
    if pos < 0 or end > len(data) or pos > end:
        raise ValueError("pos and end lie outside of data")
    view = data
    columns = len(plan)
    growth = 0
    marks = bytearray(columns)
    replaced = marks
    read = bytearray(4 * columns)  # int32 for each column: where in its bytearray the next value begins
    places = read
    for index in range(columns):
        cell = plan[index]
        if isinstance(cell, bytearray):
            if len(cell) > LONGEST_COLUMN:
                raise ValueError("a column's values are too long")
            replaced[index] = 2
        elif cell is not None:
            replaced[index] = 1
            if isinstance(cell, bytes):
                growth += len(cell)
    capacity = end - pos + growth + _SPARE
    out = bytearray(capacity)
    target = out
    written = 0
    run = pos  # data[run:pos] is kept as it is and not yet copied: one copy per replaced cell, not per row
    while pos < end:
        if end - pos < 7 or view[pos] != _DATA_ROW:
            raise PeerError("a row does not parse: no complete DataRow")
        length = _int32(view, pos + 1)
        if length < 6 or length > end - pos - 1:
            raise PeerError("a row does not parse: wrong length")
        row = pos
        stop = pos + 1 + length
        if view[pos + 5] * 256 + view[pos + 6] != columns:
            raise PeerError("a row does not parse: another number of columns than described")
        if written + stop - run + growth > capacity:
            capacity = 2 * capacity + stop - run
            out.extend(bytes(capacity - len(out)))
            target = out
        start = -1  # where this row begins in target, once something in it was replaced
        pos += 7
        for index in range(columns):
            if stop - pos < 4:
                raise PeerError("a row does not parse: a cell is cut")
            size = _int32(view, pos)
            if size < 0 or size > stop - pos - 4:
                if size == -1:
                    pos += 4
                    continue
                raise PeerError("a row does not parse: wrong cell length")
            if not replaced[index]:
                pos += 4 + size
                continue
            cell = plan[index]
            place = 0
            if isinstance(cell, bytes):
                frame = cell
                value: bytes | bytearray = frame
                grown = len(frame)
            elif isinstance(cell, bytearray):
                values = cell
                value = values
                place = past = _int32(places, 4 * index)
                if place > len(values):
                    raise ValueError("a column has more values than take their place")
                while past < len(values) and value[past] != 0:
                    past += 1
                _put_int32(places, 4 * index, past + 1)
                grown = past - place + 4
            else:
                assert cell is not None
                frame = framed(cell(view[pos + 4 : pos + 4 + size]))
                value = frame
                grown = len(frame)
            if written + stop - run + grown + growth > capacity:
                capacity = 2 * capacity + stop - run + grown
                out.extend(bytes(capacity - len(out)))
                target = out
            if start < 0:
                start = written + row - run
            _copy(target, written, view, run, pos - run)
            written += pos - run
            pos += 4 + size
            run = pos
            if replaced[index] == 2:
                grown -= 4
                _put_int32(target, written, grown)
                written += 4
            _copy(target, written, value, place, grown)
            written += grown
        if pos != stop:
            raise PeerError("a row does not parse: bytes behind the last cell")
        if start >= 0:
            _put_int32(target, start + 1, written + pos - run - start - 1)
    _copy(target, written, view, run, pos - run)
    return bytes(target[: written + pos - run])


def gather(
    data: bytes, pos: int, end: int, looks: tuple[Look | None, ...], most_rows: int, most_bytes: int
) -> tuple[int, bytes | None]:
    """The texts of some columns of the next rows of ``data[pos:end]``, each with `SEPARATOR` behind it.

    Returns ``(stop, texts)``: where the rows end that were looked at (at most ``most_rows``, and no further one once
    ``most_bytes`` were passed), and their texts; None when something in them has to be looked at on its own. Raises as
    `mask_rows` does.
    """
    if pos < 0 or end > len(data) or pos > end:
        raise ValueError("pos and end lie outside of data")
    view = data
    columns = len(looks)
    begin = pos
    most = min(4 * (end - pos), 2 * most_bytes)
    capacity = min(most, _ROOM)
    out = bytearray(capacity)
    target = out
    written = 0
    whole = True
    while pos < end and most_rows > 0 and pos - begin < most_bytes:
        most_rows -= 1
        if end - pos < 7 or view[pos] != _DATA_ROW:
            raise PeerError("a row does not parse: no complete DataRow")
        length = _int32(view, pos + 1)
        if length < 6 or length > end - pos - 1:
            raise PeerError("a row does not parse: wrong length")
        stop = pos + 1 + length
        if view[pos + 5] * 256 + view[pos + 6] != columns:
            raise PeerError("a row does not parse: another number of columns than described")
        pos += 7
        for index in range(columns):
            if stop - pos < 4:
                raise PeerError("a row does not parse: a cell is cut")
            size = _int32(view, pos)
            pos += 4
            if size == -1:
                continue
            if size < 0 or size > stop - pos:
                raise PeerError("a row does not parse: wrong cell length")
            look = looks[index]
            if look is None:
                pos += size
                continue
            verdicts, shortest, texts = look
            if size < shortest or not whole:
                pos += size
                continue
            if size >= most_bytes:  # on its own: a copy of it would be for nothing
                whole = False
                pos += size
                continue
            if written + size >= capacity and capacity < most:
                capacity = min(most, 2 * capacity + size)
                out.extend(bytes(capacity - len(out)))
                target = out
            if verdicts is not None and written + size < capacity:
                judged = verdicts
                bad = 0
                for offset in range(size):
                    target[written + offset] = view[pos + offset]
                    bad |= judged[view[pos + offset]]
                if not bad:
                    written += size
                    target[written] = 0
                    written += 1
                    pos += size
                    continue
            found = texts(view[pos : pos + size])
            pos += size
            if found is not None and written + len(found) >= capacity and capacity < most:
                capacity = min(most, 2 * capacity + len(found))
                out.extend(bytes(capacity - len(out)))
                target = out
            if found is None or written + len(found) >= capacity:
                whole = False
                continue
            value = found
            size = len(found)
            _copy(target, written, value, 0, size)
            written += size
            target[written] = 0
            written += 1
        if pos != stop:
            raise PeerError("a row does not parse: bytes behind the last cell")
    return pos, bytes(target[:written]) if whole else None


def column(data: bytes, pos: int, end: int, wanted: int) -> tuple[bytes, int]:
    """The values of one column of ``data[pos:end]``, rows that `gather` has found to be whole, without NULLs.

    Returns ``(values, count)``, with `SEPARATOR` between the values.
    """
    view = data
    capacity = end - pos
    out = bytearray(capacity)  # a separator needs no more than a value's length takes
    target = out
    written = 0
    count = 0
    while pos < end:
        stop = pos + 1 + _int32(view, pos + 1)
        pos += 7
        for _index in range(wanted):
            size = _int32(view, pos)
            pos += 4
            if size > 0:
                pos += size
        size = _int32(view, pos)
        pos += 4
        if size >= 0:
            if count:
                target[written] = 0
                written += 1
            _copy(target, written, view, pos, size)
            written += size
            count += 1
        pos = stop
    return bytes(target[:written]), count
