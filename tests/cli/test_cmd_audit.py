from __future__ import annotations

import json

import pytest
from cli.made import Site

from gateway.audit import AuditLog
from gateway.audit.events import GatewayStarted


@pytest.fixture
def log(site: Site) -> AuditLog:
    log = AuditLog(site.data / "audit", node="gw1", clock=lambda: 1_795_003_200.0)
    for number in range(5):
        log.append(GatewayStarted(str(number), ()))
    log.close()
    return log


def test_well(site: Site, log: AuditLog) -> None:
    result = site.run("audit", "verify")
    assert result.exit_code == 0
    assert f"events 1 to 6 in 1 files, head {log.head}" in result.output
    assert json.loads(site.run("audit", "verify", "--json").output)["ok"] is True


def test_a_changed_line(site: Site, log: AuditLog) -> None:
    [segment] = (site.data / "audit").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"version":"3"', b'"version":"4"'))
    result = site.run("audit", "verify", "--directory", str(site.data / "audit"), "--config", "/nowhere")
    assert result.exit_code == 1
    assert "line 5" in result.output


def test_what_a_siem_holds(site: Site, log: AuditLog) -> None:
    assert site.run("audit", "verify", "--anchor", f"6:{log.head}").exit_code == 0
    assert site.run("audit", "verify", "--anchor", f"7:{log.head}").exit_code == 1
    assert site.run("audit", "verify", "--anchor", "x").exit_code == 2


def test_no_log(site: Site) -> None:
    result = site.run("audit", "verify")
    assert result.exit_code == 1
    assert "can't be read" in result.output
