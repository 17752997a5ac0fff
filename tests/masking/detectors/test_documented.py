"""docs/detectors.md says what there is."""

from __future__ import annotations

from pathlib import Path

from gateway.detectors import SHIPPED

PAGE = (Path(__file__).parents[3] / "docs" / "detectors.md").read_text("utf-8")


def test_every_detector_is_listed_with_what_it_finds() -> None:
    for name, finds in SHIPPED.items():
        assert f"| `{name}` | {finds} |\n" in PAGE
