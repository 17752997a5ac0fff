"""docs/policy.md is what authors copy from: its examples must be good and its list of verbs whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from policy.made import NOON, TARGETS, WEB, snapshot

from gateway.config import parse_yaml
from gateway.policy.cases import CaseDocument
from gateway.policy.review import review
from gateway.ssh_requests import BY_NAME as REQUESTS_BY_NAME
from gateway.ssh_requests import REQUESTS
from gateway.verbs import BY_NAME, FREE, SETS, VERBS

TEXT = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.startswith("cases:")])
def test_examples_compile_without_a_warning(block: str) -> None:
    assert not review(snapshot(block), (*TARGETS, WEB), NOON)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.startswith("cases:")])
def test_cases_are_cases(block: str) -> None:
    assert parse_yaml(block.encode(), CaseDocument, file="docs/policy.md").cases


def test_there_are_examples_of_both() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_listed_as_the_catalogue_has_it(verb: str) -> None:
    sets = ", ".join(name for name, verbs in SETS.items() if verb in verbs)
    mark = "free" if verb in FREE else "by name" if verb in BY_NAME else ""
    assert f"| `{verb}` | {VERBS[verb]} | {sets} | {mark} |" in TEXT


@pytest.mark.parametrize("request_name", REQUESTS)
def test_every_request_is_listed_as_the_catalogue_has_it(request_name: str) -> None:
    mark = "by name" if request_name in REQUESTS_BY_NAME else ""
    assert f"| `{request_name}` | {REQUESTS[request_name]} | {mark} |" in TEXT
