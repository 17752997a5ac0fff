"""A caller chooses what a cell holds: taking it apart must not need many times its size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from gateway.masking.cells import arrays, bytea, composites, hstore, xml_text

SIZE = 256 * 1024

MOST = 12
"""Times the cell's size: copies of it. A greedy group keeps 70 bytes for each turn, re.sub 60 for each byte."""

HOSTILE: dict[str, tuple[Callable[..., object], bytes]] = {
    "array of backslashes": (arrays.rewrite_text, b'{"' + b"\\\\" * (SIZE // 2) + b'"}'),
    "composite of backslashes": (composites.rewrite_text, b'("' + b"\\\\" * (SIZE // 2) + b'")'),
    "composite of quotes": (composites.rewrite_text, b'("' + b'""' * (SIZE // 2) + b'")'),
    "hstore of backslashes": (hstore.rewrite_text, b'"a"=>"' + b"\\\\" * (SIZE // 2) + b'"'),
    "bytea in octal": (bytea.rewrite_text, b"\\101" * (SIZE // 4)),
    "references": (xml_text.rewrite, b"&lt;" * (SIZE // 4)),
    "dashes": (xml_text.rewrite, b"<!--" + b"- " * (SIZE // 2) + b"-->"),
    "brackets": (xml_text.rewrite, b"<![CDATA[" + b"]" * SIZE + b"]]>"),
    "attributes": (xml_text.rewrite, b"<a" + b" b=''" * (SIZE // 5) + b"/>"),
}


@pytest.mark.parametrize(("rewrite", "cell"), HOSTILE.values(), ids=HOSTILE)
def test_memory_is_some_times_the_cell(rewrite: Callable[..., object], cell: bytes) -> None:
    tracemalloc.start()
    try:
        rewrite(cell, lambda value: value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST * len(cell)
