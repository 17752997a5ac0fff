"""The corpora are well-formed, and what they hide can be seen; what they do to a real server is tests/e2e's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.sql import analyse

CORPORA = Path(__file__).parent.parent / "corpora"


def cases(name: str, keys: set[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((CORPORA / name).read_text())["cases"]
    assert len({case["name"] for case in found}) == len(found)
    for case in found:
        assert set(case) <= keys, case
        assert case.get("over", "simple") in {"simple", "extended", "both"}
    return found


DENIALS = cases("denials.yaml", {"name", "reason", "setup", "attempt", "over", "probe"})
INNOCENT = cases("innocent.yaml", {"name", "attempt", "over"})


def test_there_are_enough() -> None:
    assert len(DENIALS) >= 90
    assert len(INNOCENT) >= 50
    assert all(case["reason"] and case["probe"] for case in DENIALS)


@pytest.mark.parametrize("case", INNOCENT, ids=lambda case: case["name"])
def test_innocent_statements_are_understood(case: dict[str, Any]) -> None:
    for text in case["attempt"] if isinstance(case["attempt"], list) else [case["attempt"]]:
        assert analyse(text).opaque is None
