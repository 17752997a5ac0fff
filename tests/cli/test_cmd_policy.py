from __future__ import annotations

import json

import yaml
from cli.made import Site

CASES: dict[str, list[dict[str, object]]] = {
    "cases": [
        {
            "name": "analysts read",
            "principal": "alice",
            "groups": ["analysts"],
            "target": "orders",
            "sql": "select ssn from customers",
            "expect": "allow",
            "masks": {"pii.ssn": "redact"},
        },
        {
            "name": "nobody drops",
            "principal": "bob",
            "groups": ["engineers"],
            "target": "orders",
            "sql": "drop table customers",
            "expect": "deny",
            "rules": ["nobody destroys"],
        },
    ]
}


def write(site: Site, document: object) -> str:
    path = site.directory / "cases.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_passing(site: Site) -> None:
    result = site.run("policy", "test", write(site, CASES))
    assert result.exit_code == 0, result.output
    assert "2 cases, 0 failed" in result.output
    assert "the target was not asked" in result.output


def test_failing(site: Site) -> None:
    cases = {"cases": [CASES["cases"][0] | {"expect": "deny"}, CASES["cases"][1]]}
    path = write(site, cases)
    result = site.run("policy", "test", path)
    assert result.exit_code == 1
    assert "expected deny, got allow" in result.output
    found = json.loads(site.run("policy", "test", "--json", path).output)
    assert [case["ok"] for case in found["cases"]] == [False, True]
    assert found["ok"] is False


def test_a_broken_file_of_cases(site: Site) -> None:
    result = site.run("policy", "test", write(site, {"cases": [{"name": "x"}]}))
    assert result.exit_code == 1
    assert "cases.yaml" in result.output
    assert "Mend:" in result.output


def test_a_broken_policy(site: Site) -> None:
    site.policy = {"allow": [{"nam": "x"}]}
    site.write()
    result = site.run("policy", "test", write(site, CASES))
    assert result.exit_code == 1
    assert "policy.yaml" in result.output


def test_files_are_needed(site: Site) -> None:
    assert site.run("policy", "test").exit_code == 2
