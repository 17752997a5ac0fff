from __future__ import annotations

from cli.answering import answering, http
from cli.made import Site


def test_what_is_in_force(site: Site) -> None:
    answer = b'{"snapshot": 4, "targets": 2, "restart": ["node.name"], "warnings": ["unsafe"]}'
    with answering(site.directory / "control.sock", http(200, answer)):
        result = site.run("reload")
    assert result.exit_code == 0
    assert "policy snapshot 4 is in force, 2 targets" in result.output
    assert "needs a restart: node.name" in result.output
    assert "warning: unsafe" in result.output


def test_what_is_wrong(site: Site) -> None:
    answer = b'{"problem": "policy.yaml:3:\\n  allow:\\n    is wrong", "mend": null}'
    with answering(site.directory / "control.sock", http(422, answer)):
        result = site.run("reload")
    assert result.exit_code == 1
    assert "policy.yaml:3:\n  allow:\n    is wrong\n" in result.output
