from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.masking import substitution
from gateway.masking.substitution import escaped_character, substituted

ESCAPED = re.compile(rb'\\(.)|"(")', re.DOTALL)


@given(st.binary(max_size=60), st.sampled_from([0, 1000]))
def test_large_and_small_are_alike(data: bytes, large: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(substitution, "LARGE", large)
        assert substituted(ESCAPED, escaped_character, data) == ESCAPED.sub(rb"\1\2", data)
