from __future__ import annotations

import json

import yaml
from cli.made import Site

from gateway.config import parse_yaml
from gateway.identity.passwords import Entry


def test_an_entry_that_the_gateway_takes(site: Site) -> None:
    result = site.run("passwd", "alice", "--groups", "sre,dba", "--stdin", stdin="correct horse\n")
    assert result.exit_code == 0, result.output
    assert "correct horse" not in result.output
    [entry] = parse_yaml(result.stdout.encode(), tuple[Entry, ...], file="passwords.yaml")
    assert (entry.name, entry.groups) == ("alice", ("sre", "dba"))
    assert entry.password is not None
    assert entry.password.verify(b"correct horse")
    assert entry.scram is not None


def test_it_asks_twice(site: Site) -> None:
    result = site.run("passwd", "alice", "--method", "password", stdin="one\ntwo\nsame\nsame\n")
    assert result.exit_code == 0
    [entry] = yaml.safe_load(result.stdout)
    assert set(entry) == {"name", "kind", "password"}


def test_json(site: Site) -> None:
    found = json.loads(
        site.run("passwd", "ci", "--kind", "machine", "--method", "scram", "--json", "--stdin", stdin="x").stdout
    )
    assert (found["name"], found["kind"]) == ("ci", "machine")
    assert found["scram"].startswith("SCRAM-SHA-256$")


def test_an_empty_password(site: Site) -> None:
    result = site.run("passwd", "alice", "--stdin", stdin="\n")
    assert result.exit_code == 1
    assert "the password is empty" in result.output


def test_a_name_that_is_none(site: Site) -> None:
    assert site.run("passwd", " alice", "--stdin", stdin="x").exit_code == 2
