"""The locked requirements can be installed anywhere, and only as they were locked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def pins(file: str) -> dict[str, str]:
    """Name to version; a requirement that is no exact pin with a hash fails."""
    text = (REPOSITORY / file).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            match = re.match(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>\S+)\s.*--hash=sha256:[0-9a-f]{64}", line)
            assert match, f"{file}: {line[:80]} has no exact version with a hash"
            found[match["name"]] = match["version"]
    return found


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_names_no_host_and_no_path(file: str) -> None:
    assert not re.search(r"https?:|file:/|index-url|find-links|trusted-host|@ |/opt", (REPOSITORY / file).read_text())


def test_everything_declared_is_locked() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    def names(declared: list[str]) -> set[str]:
        return {re.split(r"[\[>=;]", requirement)[0].lower() for requirement in declared}

    assert names(project["dependencies"]) <= pins("requirements.txt").keys()
    assert names(project["optional-dependencies"]["dev"]) <= pins("requirements-dev.txt").keys()


def test_development_runs_what_is_shipped() -> None:
    shipped = pins("requirements.txt")
    assert shipped.items() <= pins("requirements-dev.txt").items()
