from __future__ import annotations

import json
from typing import Any

import msgspec
from cli.answering import answering, http
from cli.made import Site
from click.testing import Result

from gateway.control.messages import Check, Readiness, SinkState, Status

NOON = 1_795_003_200.0
STATUS = Status(
    node="gw1",
    version="9.9",
    started=NOON,
    now=NOON + 3725,
    readiness=Readiness(True, (Check("recordings", True),)),
    listeners=("postgres [::]:5432",),
    targets=2,
    snapshot=3,
    policy="ab" * 32,
    reloads=2,
    refused_reloads=1,
    sessions=4,
    sessions_begun=9,
    operations=100,
    denied=7,
    rows=12345,
    logins=9,
    refused_logins=1,
    pending_logins=0,
    audit_sequence=250,
    audit_problem=None,
    sinks=(SinkState("siem", "siem:6514", False, 200, 50, 0, 1, "it went \x1b[2J away"),),
    recordings_free=5 * 2**30,
    recordings_low_water=2**30,
    certificate_ends=NOON + 86400,
    masking_compiled=True,
    warnings=("something unsafe",),
    approvals_open=3,
    grants_live=2,
    locks=1,
)


def shown(site: Site, status: Status, *arguments: str) -> Result:
    with answering(site.directory / "control.sock", http(200, msgspec.json.encode(status))):
        return site.run("status", *arguments)


def test_ready(site: Site) -> None:
    result = shown(site, STATUS)
    assert result.exit_code == 0
    for said in (
        "gw1, ostiary 9.9, up 1h 2m, ready",
        "snapshot 3, abababababab, 2 targets",
        "4 live, 9 begun",
        "3 open, 2 granted, 1 lock",
        "93 allowed, 7 denied, 12345 rows",
        "siem (siem:6514): NOT CONNECTED: it went \\x1b[2J away; 50 events wait",
        "5.0 GiB free, no new session below 1.0 GiB",
        "ends 2026-11-19 12:00:00Z",
        "something unsafe",
    ):
        assert said in result.output, result.output


def test_not_ready(site: Site) -> None:
    readiness = Readiness(False, (Check("recordings", False, "the disk is full"),))
    status = msgspec.structs.replace(STATUS, readiness=readiness, recordings_free=None, audit_problem="it broke")
    result = shown(site, status)
    assert result.exit_code == 1
    for said in ("NOT READY", "recordings: the disk is full", "it broke"):
        assert said in result.output


def test_json(site: Site) -> None:
    found: Any = json.loads(shown(site, STATUS, "--json").output)
    assert msgspec.convert(found, Status) == STATUS
