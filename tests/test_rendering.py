"""What compiled modules call is the plain Python, byte for byte."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import rendering

pieces = st.binary(max_size=300)
chains = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**63 - 1)
few = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def in_c() -> ModuleType:
    if importlib.util.find_spec("gateway._rendering") is None:
        pytest.skip("not compiled: make build")
    return importlib.import_module("gateway._rendering")


@given(chains, st.integers(0, 255), st.integers(0, 255), st.integers(0, 65535), numbers, st.binary(max_size=5000))
def test_frames(in_c: ModuleType, chain: bytes, kind: int, flags: int, count: int, number: int, payload: bytes) -> None:
    wanted = rendering.frame(chain, kind, flags, count, number, payload)
    assert in_c.frame(chain, kind, flags, count, number, payload) == wanted


@pytest.mark.parametrize(("kind", "flags", "count", "number"), [(256, 0, 1, 1), (1, 256, 1, 1), (1, 0, 65536, 1)])
def test_a_frame_that_would_not_read_as_it_was_meant_is_refused(
    in_c: ModuleType, kind: int, flags: int, count: int, number: int
) -> None:
    with pytest.raises(ValueError, match="no frame can hold that"):
        in_c.frame(bytes(32), kind, flags, count, number, b"")


@given(st.tuples(chains, numbers, pieces, pieces, numbers, pieces, pieces, few, pieces))
def test_lines_of_the_audit_log(
    in_c: ModuleType, said: tuple[bytes, int, bytes, bytes, int, bytes, bytes, int, bytes]
) -> None:
    assert in_c.audit_line(*said) == rendering.audit_line(*said)


def test_a_line_without_a_number(in_c: ModuleType) -> None:
    arguments = (bytes(32), 7, b',"uid":"gw1/', b'",', 1, b",", b"before", rendering.NO_NUMBER, b"after")
    line, _ = rendering.audit_line(*arguments)
    assert line.startswith(b'{"metadata":{"sequence":7,"uid":"gw1/7",1,beforeafter,"chain":"')
    assert in_c.audit_line(*arguments)[0] == line


@given(pieces, few, pieces, pieces)
def test_operations(in_c: ModuleType, time: bytes, number: int, constant: bytes, parameters: bytes) -> None:
    wanted = rendering.operation_event(time, number, constant, parameters)
    assert in_c.operation_event(time, number, constant, parameters) == wanted


@given(st.tuples(pieces, few, pieces, few, few, pieces))
def test_results(in_c: ModuleType, said: tuple[bytes, int, bytes, int, int, bytes]) -> None:
    assert in_c.result_event(*said) == rendering.result_event(*said)


@given(st.lists(st.none() | st.text('ab "\\\x1f\x7f~é').map(str.encode) | st.binary(max_size=3), max_size=5))
def test_plain_texts(in_c: ModuleType, values: list[bytes | None]) -> None:
    rendered = rendering.plain_texts(values)
    assert in_c.plain_texts(values) == rendered
    if rendered:
        assert [text.encode() for text in orjson.loads(rendered)] == values


def test_long_texts_are_not_plain(in_c: ModuleType) -> None:
    for values in ([b"a" * rendering.PLAIN], [b"a" * rendering.PLAIN, b"b"]):
        assert in_c.plain_texts(values) == rendering.plain_texts(values)
    assert in_c.plain_texts([b"a" * rendering.PLAIN, b"b"]) == b""
