from __future__ import annotations

from pathlib import Path

import pytest
from policy.made import NOON, TARGETS, access, operation

from gateway.errors import ConfigError, Problem
from gateway.model import Outcome
from gateway.policy import check_policy, load_snapshot
from gateway.policy.loading import _with_line


def write(directory: Path, **files: str) -> list[Path]:
    paths = []
    for name, text in files.items():
        path = directory / f"{name}.yaml"
        path.write_text(text)
        paths.append(path)
    return paths


def test_all_files_are_one_policy(tmp_path: Path) -> None:
    paths = write(tmp_path, one="allow: [{name: a}]", two="deny: [{name: b, sql: {verbs: [drop]}}]", three="")
    policy = load_snapshot(paths, TARGETS, 3)
    assert policy.number == 3
    assert policy.decide(access(), operation("select"), NOON).outcome is Outcome.ALLOW
    assert policy.decide(access(), operation("drop"), NOON).rules == ("b",)


def test_no_files_allow_nothing() -> None:
    assert load_snapshot([], TARGETS, 1).admits(access(), NOON).outcome is Outcome.DENY


def test_problems_of_all_files_come_together_each_with_its_line(tmp_path: Path) -> None:
    paths = write(tmp_path, one="allow:\n  - {name: a, group: [b]}\n", two="\nalow: []\n")
    with pytest.raises(ConfigError) as caught:
        load_snapshot([*paths, tmp_path / "missing.yaml"], TARGETS, 1)
    found = [(Path(problem.file).name, problem.line) for problem in caught.value.problems]
    assert found == [("one.yaml", 2), ("two.yaml", 2), ("missing.yaml", None)]


def test_problems_between_files_have_lines_too(tmp_path: Path) -> None:
    allow = "allow:\n  - name: a\n    targets:\n      - orders\n      - ordres\n"
    paths = write(tmp_path, one=f"{allow}labels:\n  a:\n    default: {{method: redact}}\n")
    with pytest.raises(ConfigError) as caught:
        load_snapshot(paths, TARGETS, 1)
    assert sorted((problem.line or 0, problem.path) for problem in caught.value.problems) == [
        (5, ("allow", 0, "targets", 1)),
        (8, ("labels", "a")),
    ]
    assert f"{paths[0]}:5:" in str(caught.value)


def test_warnings_have_lines(tmp_path: Path) -> None:
    paths = write(tmp_path, one="allow:\n  - {name: a, groups: [g]}\n  - {name: b}\n")
    (warning,) = check_policy(paths, TARGETS, NOON)
    assert (warning.line, warning.path) == (3, ("allow", 1))


def test_check_raises_what_load_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        check_policy(write(tmp_path, one="approve: [{name: a}]"), TARGETS, NOON)


@pytest.mark.parametrize("content", [None, b"\xff", b"{", b"allow: 1"])
def test_a_file_that_changed_meanwhile_costs_only_the_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    problem = Problem(str(path), ("allow", 0, "name"), "problem", "mend")
    assert _with_line(problem).line in (None, 1)
