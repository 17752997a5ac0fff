from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PeerError

Value = bytes | None
Plan = tuple[bytes | Callable[[bytes], bytes | None] | None, ...]

D = ord("D")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def cell(value: Value) -> bytes:
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value


def row(*values: Value) -> bytes:
    return message(b"D", struct.pack("!H", len(values)) + b"".join(map(cell, values)))


def longer(value: bytes) -> bytes:
    return value * 3 + b"!"


def nothing(value: bytes) -> None:
    return None


ACTIONS = (None, cell(b"****"), cell(None), cell(b""), cell(b"x" * 700), longer, nothing)


def expected(values: tuple[Value, ...], plan: Plan) -> bytes:
    """The slow and plain meaning of mask_rows."""
    shown: list[bytes] = []
    for value, action in zip(values, plan, strict=True):
        if value is None or action is None:
            shown.append(cell(value))
        elif isinstance(action, bytes):
            shown.append(action)
        else:
            shown.append(cell(action(value)))
    return message(b"D", struct.pack("!H", len(values)) + b"".join(shown))


@st.composite
def results(draw: st.DrawFn) -> tuple[list[tuple[Value, ...]], Plan]:
    columns = draw(st.integers(0, 6))
    plan = draw(st.tuples(*[st.sampled_from(ACTIONS)] * columns))
    values = st.tuples(*[st.none() | st.binary(max_size=40)] * columns)
    return draw(st.lists(values, max_size=30)), plan


class TestMaskRows:
    @given(result=results(), before=st.binary(max_size=9), behind=st.binary(max_size=9))
    def test_means_what_the_plain_version_means(
        self, rows: ModuleType, result: tuple[list[tuple[Value, ...]], Plan], before: bytes, behind: bytes
    ) -> None:
        values, plan = result
        data = b"".join(row(*each) for each in values)
        masked = rows.mask_rows(before + data + behind, len(before), len(before) + len(data), plan)
        assert masked == b"".join(expected(each, plan) for each in values)

    @given(result=results(), data=st.data())
    def test_a_cut_row_is_an_error(
        self, rows: ModuleType, result: tuple[list[tuple[Value, ...]], Plan], data: st.DataObject
    ) -> None:
        values, plan = result
        whole = b"".join(row(*each) for each in values)
        boundaries = {len(b"".join(row(*each) for each in values[:count])) for count in range(len(values) + 1)}
        cut = data.draw(st.integers(0, len(whole)))
        if cut in boundaries:
            rows.mask_rows(whole, 0, cut, plan)
        else:
            with pytest.raises(PeerError):
                rows.mask_rows(whole, 0, cut, plan)

    @given(noise=st.binary(max_size=60), at=st.integers(0, 40), plan=st.sampled_from([(None,), (cell(b"*"), None)]))
    def test_noise_is_an_error_or_a_row(self, rows: ModuleType, noise: bytes, at: int, plan: Plan) -> None:
        good = row(b"abc", b"defgh", b"1")
        damaged = good[:at] + noise + good[at + len(noise) :]
        try:
            masked = rows.mask_rows(damaged, 0, len(damaged), plan)
        except PeerError:
            return
        assert masked[:1] in (b"D", b"")

    def test_both_lives_agree_on_damaged_rows(self, compiled_rows: ModuleType, source_rows: ModuleType) -> None:
        good = row(b"abc", None, b"1")
        plan = (None, cell(b"x"), cell(b"***"))
        for at in range(len(good)):
            for byte in (0, 1, 2, 3, 4, 68, 127, 128, 255):
                damaged = good[:at] + bytes([byte]) + good[at + 1 :]
                assert outcome(compiled_rows, damaged, plan) == outcome(source_rows, damaged, plan), (at, byte)

    @pytest.mark.parametrize(
        "damaged",
        [
            pytest.param(message(b"C", b"SELECT 1\0"), id="no row"),
            pytest.param(b"D\0\0\0\5\0", id="too short for a number of columns"),
            pytest.param(row(b"a"), id="too few columns"),
            pytest.param(row(b"a", b"b", b"c"), id="too many columns"),
            pytest.param(message(b"D", b"\0\2" + cell(b"a") + b"\0\0\0\2b"), id="cell longer than its row"),
            pytest.param(message(b"D", b"\0\2" + cell(b"a") + b"\xff\xff\xff\xfe"), id="length -2"),
            pytest.param(message(b"D", b"\0\2" + cell(b"a") + b"\x80\0\0\0"), id="length -2^31"),
            pytest.param(message(b"D", b"\0\2" + cell(b"a") + b"\x7f\xff\xff\xff"), id="length 2^31 - 1"),
            pytest.param(message(b"D", b"\0\2" + cell(b"a")), id="cell missing"),
            pytest.param(message(b"D", b"\0\2" + cell(b"a") + b"\0\0\0"), id="cell length cut"),
            pytest.param(message(b"D", b"\0\2" + cell(b"a") + cell(b"b") + b"x"), id="bytes behind the last cell"),
            pytest.param(b"D\xff\xff\xff\xff" + row(b"a", b"b")[5:], id="row length -1"),
            pytest.param(b"D\x7f\xff\xff\xff" + row(b"a", b"b")[5:], id="row length 2^31 - 1"),
            pytest.param(row(b"a", b"b") + b"D", id="half a header"),
        ],
    )
    def test_what_does_not_parse_ends_the_session(self, rows: ModuleType, damaged: bytes) -> None:
        with pytest.raises(PeerError):
            rows.mask_rows(damaged, 0, len(damaged), (None, cell(b"****")))

    def test_replacements_may_be_longer_than_everything(self, rows: ModuleType) -> None:
        data = row(b"a", b"b") * 1000
        plan = (lambda value: value * 20_000, cell(b"z" * 3000))
        assert rows.mask_rows(data, 0, len(data), plan) == row(b"a" * 20_000, b"z" * 3000) * 1000

    def test_a_failing_function_lets_nothing_through(self, rows: ModuleType) -> None:
        def fail(value: bytes) -> bytes:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            rows.mask_rows(row(b"a"), 0, len(row(b"a")), (fail,))

    @given(results(), st.data())
    def test_values_take_the_place_of_others_in_their_order(
        self, rows: ModuleType, result: tuple[list[tuple[Value, ...]], Plan], data: st.DataObject
    ) -> None:
        values, plan = result
        if not plan:
            return
        column = data.draw(st.integers(0, len(plan) - 1))
        size = sum(each[column] is not None for each in values)
        shorter = st.binary(max_size=50).map(lambda value: value.replace(b"\0", b"-"))
        shown = data.draw(st.lists(shorter | st.just(b"x" * 5000), min_size=size, max_size=size))
        following = iter(shown)
        as_called = (*plan[:column], lambda _: next(following), *plan[column + 1 :])
        expected_rows = b"".join(expected(each, as_called) for each in values)
        whole = b"".join(row(*each) for each in values)
        given_at_once = (*plan[:column], bytearray(b"\0".join(shown)), *plan[column + 1 :])
        assert rows.mask_rows(whole, 0, len(whole), given_at_once) == expected_rows

    def test_too_few_values_are_refused(self, rows: ModuleType) -> None:
        data = row(b"a") + row(None) + row(b"b")
        assert rows.mask_rows(data, 0, len(data), (bytearray(b"1\x002"),)) == row(b"1") + row(None) + row(b"2")
        assert rows.mask_rows(data, 0, len(data), (bytearray(b"1\0"),)) == row(b"1") + row(None) + row(b"")
        for values in (b"", b"1"):
            with pytest.raises(ValueError, match="more values"):
                rows.mask_rows(data, 0, len(data), (bytearray(values),))

    @pytest.mark.parametrize(("pos", "end"), [(-1, 3), (0, 1000), (5, 3)])
    def test_bounds_are_checked(self, rows: ModuleType, pos: int, end: int) -> None:
        with pytest.raises(ValueError, match="outside"):
            rows.mask_rows(row(b"a"), pos, end, (None,))


def outcome(rows: ModuleType, data: bytes, plan: Plan) -> bytes | None:
    try:
        masked: bytes = rows.mask_rows(data, 0, len(data), plan)
    except PeerError:
        return None
    return masked


def letters(value: bytes) -> bytes | None:
    """Takes a cell apart; None where that can't be done."""
    return None if value.startswith(b"?") else b"<" + value + b">"


BACKSLASH = bytes(code == ord("\\") for code in range(256))
LOOKS = (None, (BACKSLASH, 0, letters), (BACKSLASH, 3, letters), (None, 0, letters))
Look = tuple[bytes | None, int, Callable[[bytes], bytes | None]]


def gathered(values: Sequence[tuple[Value, ...]], looks: Sequence[Look | None], most: int) -> bytes | None:
    """The slow and plain meaning of gather."""
    texts = []
    for row_values in values:
        for value, look in zip(row_values, looks, strict=True):
            if value is None or look is None or len(value) < look[1]:
                continue
            if len(value) >= most:
                return None
            text = value if look[0] is not None and b"\\" not in value else look[2](value)
            if text is None:
                return None
            texts.append(text + b"\0")
    return b"".join(texts)


LookedAt = tuple[list[tuple[Value, ...]], tuple[Look | None, ...]]


@st.composite
def looked_at(draw: st.DrawFn) -> LookedAt:
    columns = draw(st.integers(0, 5))
    looks = draw(st.tuples(*[st.sampled_from(LOOKS)] * columns))
    value = st.none() | st.binary(max_size=6) | st.sampled_from([b"?", b"a\\b", b"long" * 20])
    return draw(st.lists(st.tuples(*[value] * columns), max_size=20)), looks


class TestGather:
    @given(result=looked_at(), before=st.binary(max_size=9), most_rows=st.integers(1, 5))
    def test_means_what_the_plain_version_means(
        self,
        rows: ModuleType,
        result: LookedAt,
        before: bytes,
        most_rows: int,
    ) -> None:
        values, looks = result
        data = before + b"".join(row(*each) for each in values)
        pos = len(before)
        while values:
            stop, texts = rows.gather(data, pos, len(data), looks, most_rows, 1000)
            assert stop == pos + len(b"".join(row(*each) for each in values[:most_rows]))
            assert texts == gathered(values[:most_rows], looks, 1000)
            pos, values = stop, values[most_rows:]
        assert rows.gather(data, pos, len(data), looks, most_rows, 1000) == (pos, b"")

    @given(result=looked_at(), most_bytes=st.integers(1, 100))
    def test_texts_that_do_not_fit_are_not_known(self, rows: ModuleType, result: LookedAt, most_bytes: int) -> None:
        values, looks = result
        data = b"".join(row(*each) for each in values)
        pos = count = 0
        while pos < len(data):
            stop, texts = rows.gather(data, pos, len(data), looks, 1000, most_bytes)
            size = 0
            seen = []
            while size < stop - pos:
                assert size < most_bytes
                seen.append(values[count])
                size += len(row(*values[count]))
                count += 1
            assert size == stop - pos
            assert texts in (None, gathered(seen, looks, 1 << 20))
            pos = stop

    @given(values=st.lists(st.tuples(*[st.none() | st.binary(max_size=6)] * 3)), wanted=st.integers(0, 2))
    def test_one_column(self, rows: ModuleType, values: list[tuple[Value, ...]], wanted: int) -> None:
        data = b"x" + b"".join(row(*each) for each in values)
        expected = [value for each in values if (value := each[wanted]) is not None]
        assert rows.column(data, 1, len(data), wanted) == (b"\0".join(expected), len(expected))

    def test_both_lives_agree_on_damaged_rows(self, compiled_rows: ModuleType, source_rows: ModuleType) -> None:
        good = row(b"abc", None, b"1")
        for at in range(len(good)):
            for byte in (0, 1, 2, 3, 4, 68, 127, 128, 255):
                damaged = good[:at] + bytes([byte]) + good[at + 1 :]
                told = [gathering(each, damaged, LOOKS[1:]) for each in (compiled_rows, source_rows)]
                assert told[0] == told[1], (at, byte)

    @given(noise=st.binary(max_size=60), at=st.integers(0, 40))
    def test_what_it_takes_for_rows_is_rows(self, rows: ModuleType, noise: bytes, at: int) -> None:
        good = row(b"abc", None, b"1")
        damaged = good[:at] + noise + good[at + len(noise) :]
        whole = gathering(rows, damaged, LOOKS[1:]) is not None
        assert whole == (outcome(rows, damaged, (None, None, None)) is not None)

    @pytest.mark.parametrize(("pos", "end"), [(-1, 3), (0, 1000), (5, 3)])
    def test_bounds_are_checked(self, rows: ModuleType, pos: int, end: int) -> None:
        with pytest.raises(ValueError, match="outside"):
            rows.gather(row(b"a"), pos, end, (None,), 1, 1)

    def test_a_failing_function_lets_nothing_through(self, rows: ModuleType) -> None:
        def fail(value: bytes) -> bytes:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            rows.gather(row(b"a"), 0, len(row(b"a")), ((None, 0, fail),), 1, 1000)


def gathering(rows: ModuleType, data: bytes, looks: Sequence[Look | None]) -> tuple[int, bytes | None] | None:
    try:
        told: tuple[int, bytes | None] = rows.gather(data, 0, len(data), tuple(looks), 1000, 1000)
    except PeerError:
        return None
    return told


class TestSkipRows:
    @given(count=st.integers(0, 20), behind=st.sampled_from([b"", b"C\0\0\0\4", b"D", b"D\0\0\0\7\0\0"]))
    def test_counts_complete_rows(self, rows: ModuleType, count: int, behind: bytes) -> None:
        data = b"Z\0\0\0\5I" + row(b"abc", None) * count
        assert rows.skip_rows(data + behind, 6, D) == (len(data), count)

    @given(cut=st.integers(0, 60))
    def test_stops_where_a_row_is_incomplete(self, rows: ModuleType, cut: int) -> None:
        one = row(b"abc", None)
        whole, rest = divmod(min(cut, 3 * len(one)), len(one))
        assert rows.skip_rows((one * 3)[:cut], 0, D) == (whole * len(one), whole)
        assert rest < len(one)

    def test_other_kinds(self, rows: ModuleType) -> None:
        copied = message(b"d", b"1\t2\n") * 3
        assert rows.skip_rows(copied, 0, ord("d")) == (len(copied), 3)
        assert rows.skip_rows(copied, 0, D) == (0, 0)

    @pytest.mark.parametrize("length", [b"\0\0\0\3", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\0"])
    def test_a_wrong_length_is_an_error(self, rows: ModuleType, length: bytes) -> None:
        with pytest.raises(PeerError):
            rows.skip_rows(row(b"a") + b"D" + length + b"xxxxx", 0, D)

    def test_a_length_of_2_gib_is_incomplete(self, rows: ModuleType) -> None:
        assert rows.skip_rows(b"D\x7f\xff\xff\xff" + b"x" * 100, 0, D) == (0, 0)

    def test_a_negative_position_is_an_error(self, rows: ModuleType) -> None:
        with pytest.raises(ValueError, match="pos"):
            rows.skip_rows(b"D", -1, D)


class TestNextMessage:
    @given(body=st.binary(max_size=30), behind=st.binary(max_size=30), before=st.binary(max_size=5))
    def test_whole_and_byte_by_byte(self, rows: ModuleType, body: bytes, behind: bytes, before: bytes) -> None:
        one = message(b"T", body)
        assert rows.next_message(before + one + behind, len(before)) == (ord("T"), len(before) + len(one))
        for size in range(len(one)):
            kind, end = rows.next_message(before + one[:size], len(before))
            assert (kind, end) == (ord("T") if size >= 5 else 0, -1)

    @pytest.mark.parametrize("length", [b"\0\0\0\3", b"\xff\xff\xff\xff"])
    def test_a_wrong_length_is_an_error(self, rows: ModuleType, length: bytes) -> None:
        with pytest.raises(PeerError):
            rows.next_message(b"T" + length, 0)

    def test_positions_outside(self, rows: ModuleType) -> None:
        assert rows.next_message(b"T\0\0\0\4", -1) == (0, -1)
        assert rows.next_message(b"T\0\0\0\4", 99) == (0, -1)


def test_framed(rows: ModuleType) -> None:
    assert rows.framed(None) == cell(None)
    assert rows.framed(b"") == cell(b"")
    assert rows.framed(b"abc") == cell(b"abc")


def test_says_whether_it_is_compiled(compiled_rows: ModuleType, source_rows: ModuleType) -> None:
    assert compiled_rows.COMPILED
    assert not source_rows.COMPILED
