"""Reads tests/corpora/denials.yaml and innocent.yaml; their format stands at the top of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

CORPORA = Path(__file__).parents[1] / "corpora"


@dataclass(frozen=True)
class Case:
    """One attempt. ``over`` holds ``simple``, ``extended`` or both; ``probe`` is SQL, empty for an innocent one."""

    name: str
    reason: str
    setup: str
    steps: tuple[str, ...]
    over: tuple[str, ...]
    probe: str


@dataclass(frozen=True)
class Corpus:
    fixture: str
    cases: tuple[Case, ...]


def placed(case: Case, file: str) -> Case:
    """``case`` with PROBE_FILE's path filled in."""

    def fill(text: str) -> str:
        return text.replace("PROBE_FILE", file)

    return replace(case, setup=fill(case.setup), steps=tuple(map(fill, case.steps)), probe=fill(case.probe))


def load(name: str) -> Corpus:
    document = yaml.safe_load((CORPORA / name).read_text())
    probes = document.get("probes", {})
    cases = [_case(case, probes) for case in document["cases"]]
    assert len({case.name for case in cases}) == len(cases), "two cases of one name"
    return Corpus(document["fixture"], tuple(cases))


def _case(case: dict[str, Any], probes: dict[str, str]) -> Case:
    attempt = case["attempt"]
    steps = attempt if isinstance(attempt, list) else [attempt]
    over = case.get("over", "simple")
    probe = case.get("probe", "")
    return Case(
        name=case["name"],
        reason=case.get("reason", ""),
        setup=case.get("setup", ""),
        steps=tuple(_text(step) for step in steps),
        over=("simple", "extended") if over == "both" else (over,),
        probe=probes.get(probe, probe),
    )


def _text(step: str | dict[str, Any]) -> str:
    if isinstance(step, str):
        return step
    times = step["times"]
    return f"{step['before']}{step['repeat'] * times}{step['after']}{step['then'] * times}{step['end']}"
