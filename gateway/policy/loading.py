"""Policy files on disk -> a snapshot, or every problem with file and line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config import load_yaml
from gateway.config.nodes import Mapping, Node, compose
from gateway.config.nodes import Sequence as NodeSequence
from gateway.errors import ConfigError, Problem
from gateway.model import Target
from gateway.policy.compile import PolicyFile, compile_snapshot
from gateway.policy.review import review
from gateway.policy.schema import PolicyDocument
from gateway.policy.snapshot import Snapshot


def load_snapshot(
    paths: Sequence[Path], targets: Sequence[Target], number: int, keys: Collection[str] = ()
) -> Snapshot:
    """Read and compile all policy files.

    ``targets`` are all that are configured, ``keys`` the ids of all keys; ``number`` grows with every load.
    Raises ConfigError with the problems of all files; a policy with one is not used in part.
    """
    files = _read(paths)
    try:
        return compile_snapshot(files, targets, number, keys)
    except ConfigError as error:
        raise ConfigError(*map(_with_line, error.problems)) from None


def check_policy(
    paths: Sequence[Path],
    targets: Sequence[Target],
    now: float,
    keys: Collection[str] = (),
    groups: Collection[str] | None = None,
) -> tuple[Problem, ...]:
    """What an author probably didn't mean, for `ostiary check`; raises ConfigError as `load_snapshot` does.

    ``groups`` as for `gateway.policy.review.review`.
    """
    snapshot = load_snapshot(paths, targets, 0, keys)
    return tuple(_with_line(warning) for warning in review(snapshot, targets, now, groups))


def _read(paths: Sequence[Path]) -> list[PolicyFile]:
    files: list[PolicyFile] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            files.append(PolicyFile(str(path), load_yaml(path, PolicyDocument)))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return files


def _with_line(problem: Problem) -> Problem:
    """The problem with the line of what it is about, when the file can still be read."""
    try:
        node, _ = compose(Path(problem.file).read_text("utf-8-sig"), problem.file)
    except (OSError, ValueError):
        return problem
    line = None
    for part in (*problem.path, None):
        if node is None:
            break
        line = node.line
        node = _child(node, part)
    return problem if line is None else replace(problem, line=line)


def _child(node: Node, part: str | int | None) -> Node | None:
    if isinstance(node, NodeSequence) and isinstance(part, int) and part < len(node.items):
        return node.items[part]
    if isinstance(node, Mapping):
        return next((child for key, child in node.entries if key.text == part), None)
    return None
