"""Regular expressions mean the same in every Python that runs them."""

from __future__ import annotations

import re
from pathlib import Path

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"

POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+")


def test_no_group_is_possessive() -> None:
    """Before 3.11.5 re can match wrongly where a possessive group backtracks inside; Debian 12 has 3.11.2."""
    found = [
        f"{path.relative_to(GATEWAY)}:{number}"
        for path in sorted(GATEWAY.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if POSSESSIVE_GROUP.search(line) and not line.lstrip().startswith("#")
    ]
    assert not found
