"""What one policy file alone can't know."""

from __future__ import annotations

import pytest
from policy.made import TARGETS, access, snapshot

from gateway.errors import ConfigError, Problem
from gateway.model import Method
from gateway.policy import compile_snapshot


def problems(*texts: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        snapshot(*texts)
    return caught.value.problems


LABEL = "labels: {pii.email: {columns: {orders: [a.b.c]}}}"


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("allow: [{name: a, targets: [order]}]", ("allow", 0, "targets", 0), "did you mean `orders`"),
        ("deny: [{name: a, targets: ['*', qqq]}]", ("deny", 0, "targets", 1), "add it to targets.d"),
        ("masks: [{labels: ['*'], targets: [qqq], method: redact}]", ("masks", 0, "targets", 0), "no target"),
        ("masks: [{labels: [pii.emial], method: redact}]", ("masks", 0, "labels", 0), "did you mean `pii.email`"),
        ("masks: [{labels: [qqq], method: redact}]", ("masks", 0, "labels", 0), "under `labels`"),
        (
            "deny: [{name: a, sql: {labels_touched: ['pii.*', pii.mail]}}]",
            ("deny", 0, "sql", "labels_touched", 1),
            "did you mean `pii.email`",
        ),
        (
            "allow: [{name: a, sql: {labels_touched: [qqq]}}]",
            ("allow", 0, "sql", "labels_touched", 0),
            "no label",
        ),
        ("labels: {a: {columns: {oders: [a.b.c]}}}", ("labels", "a", "columns", "oders"), "did you mean `orders`"),
        ("labels: {a: {}}", ("labels", "a"), "bound to nothing"),
        ("labels: {a: {detector: emial}}", ("labels", "a", "detector"), "did you mean `email`"),
        ("labels: {a: {detector: qqq}}", ("labels", "a", "detector"), "docs/detectors.md"),
        ("detectors: {email: {pattern: a}}", ("detectors", "email"), "shipped"),
        ("labels: {a: {default: {method: redact}}}", ("labels", "a"), "bound to nothing"),
        ("labels: {'a*': {columns: {orders: [a.b.c]}}}", ("labels", "a*"), "wildcards"),
        (LABEL, ("labels", "pii.email"), "defined in 0.yaml, too"),
        (
            "masks: [{labels: [pii.email], method: {hmac: {key: mask-key-2}}}]",
            ("masks", 0, "method", "hmac", "key"),
            "`mask-key-2` is no key did you mean `mask-key-1`? Else add it to `masking.keys`",
        ),
        (
            "labels: {a: {columns: {orders: [a.b.c]}, default: {method: {hmac: {key: qqq}}}}}",
            ("labels", "a", "default", "method", "hmac", "key"),
            "add it to `masking.keys`",
        ),
    ],
)
def test_mistakes(text: str, path: tuple[str | int, ...], said: str) -> None:
    (problem,) = problems(LABEL, text)
    assert problem.file == "1.yaml"
    assert problem.path == path
    assert said in f"{problem.problem} {problem.mend}"


def test_all_problems_of_all_files_are_told() -> None:
    found = problems("allow: [{name: a, targets: [x, y]}]", "masks: [{labels: [z], method: redact}]")
    assert [problem.file for problem in found] == ["0.yaml", "0.yaml", "1.yaml"]


def test_a_label_may_be_used_before_and_in_another_file_than_it_is_defined() -> None:
    assert snapshot("masks: [{labels: [pii.email], method: redact}]", LABEL).masks[0].labels == {"pii.email"}


def test_a_method_knows_its_key() -> None:
    made = snapshot(LABEL, "masks: [{labels: [pii.email], method: {hmac: {key: mask-key-1}}}]")
    assert made.methods == {Method("hmac", key="mask-key-1")}


def test_a_glob_that_matches_nothing_is_no_error() -> None:
    snapshot("allow: [{name: a, targets: ['web-*']}]\nmasks: [{labels: ['no.*'], method: redact}]")


def test_the_number_is_the_callers() -> None:
    assert compile_snapshot([], TARGETS, 7).number == 7


def test_a_snapshot_cannot_be_changed() -> None:
    policy = snapshot("allow: [{name: a}]")
    with pytest.raises(AttributeError):
        policy.entries = ()  # type: ignore[misc]  # that is the point
    with pytest.raises(AttributeError):
        policy.entries[0].observe = True  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        policy.for_access(access()).methods["a"] = Method("clear")  # type: ignore[index]  # that is the point


def test_an_own_detector_is_defined_once() -> None:
    own = "detectors: {staff: {pattern: a}}"
    found = problems(own, own)
    assert [(problem.file, problem.path) for problem in found] == [("1.yaml", ("detectors", "staff"))]
    assert "0.yaml, too" in found[0].problem


def test_a_label_finds_the_nearest_own_detector() -> None:
    found = problems("detectors: {staff_id: {pattern: a}}", "labels: {a: {detector: staf_id}}")
    assert "did you mean `staff_id`" in found[0].mend
