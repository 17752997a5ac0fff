from __future__ import annotations

import re
from pathlib import Path

import pytest
from control.made import FakeGateway, FixedDatabase, sink
from prometheus_client.parser import text_string_to_metric_families
from session.asked import DORA, subject, terms

from gateway import __version__
from gateway.control.metrics import exposition, registry
from gateway.control.webhooks import WebhookStatus
from gateway.store.requests import Lock

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"


def samples(gateway: FakeGateway) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = exposition(registry(gateway)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(gateway: FakeGateway, name: str, **labels: str) -> float:
    return samples(gateway)[name, tuple(sorted(labels.items()))]


def test_sessions_and_operations(gateway: FakeGateway) -> None:
    session, _ = gateway.session()
    session.operations, session.denied, session.rows = 10, 3, 55
    assert value(gateway, "ostiary_sessions_live") == 1
    assert value(gateway, "ostiary_sessions_total") == 1
    assert value(gateway, "ostiary_operations_total", decision="allow") == 7
    assert value(gateway, "ostiary_operations_total", decision="deny") == 3
    assert value(gateway, "ostiary_rows_total") == 55


def test_catalogues(gateway: FakeGateway) -> None:
    gateway.catalogues = [FixedDatabase(3, 1), FixedDatabase(2, 0)]
    assert value(gateway, "ostiary_catalogue_loads_total", outcome="loaded") == 5
    assert value(gateway, "ostiary_catalogue_loads_total", outcome="failed") == 1


def test_approvals(gateway: FakeGateway) -> None:
    gateway.approvals.request(subject("alice"), (terms(),))
    granted = gateway.approvals.request(subject("carl", "c" * 64), (terms(),))
    gateway.approvals.decide(granted.id, DORA, yes=True)
    gateway.approvals.lock(Lock("", "mallory", None, 0, gateway.clock() + 30, "olga"))
    gateway.approvals.lock(Lock("", None, "orders", 0, gateway.clock() + 30, "olga"))
    assert value(gateway, "ostiary_approvals_open") == 1
    assert value(gateway, "ostiary_grants_live") == 1
    assert value(gateway, "ostiary_locks") == 2


def test_logins(gateway: FakeGateway) -> None:
    gateway.service.logins, gateway.service.refused, gateway.service.waiting = 5, 2, 1
    ssh = gateway.services[1]
    ssh.logins, ssh.refused, ssh.waiting = 40, 30, 20
    assert value(gateway, "ostiary_logins_total", outcome="session") == 45
    assert value(gateway, "ostiary_logins_total", outcome="refused") == 32
    assert value(gateway, "ostiary_logins_pending") == 21


def test_sinks(gateway: FakeGateway) -> None:
    gateway.sinks = [sink(connected=False, lag=12)]
    assert value(gateway, "ostiary_sink_connected", sink="siem") == 0
    assert value(gateway, "ostiary_sink_lag_events", sink="siem") == 12
    assert value(gateway, "ostiary_sink_resent_total", sink="siem") == 3


def test_webhooks(gateway: FakeGateway) -> None:
    gateway.webhooks.states = (WebhookStatus("oncall", 12, 3, 1),)
    assert value(gateway, "ostiary_notices_total", webhook="oncall", outcome="delivered") == 12
    assert value(gateway, "ostiary_notices_total", webhook="oncall", outcome="failed") == 3
    assert value(gateway, "ostiary_notices_waiting", webhook="oncall") == 1
    assert value(gateway, "ostiary_watchers") == 0


def test_evidence(gateway: FakeGateway) -> None:
    assert value(gateway, "ostiary_recordings_free_bytes") == gateway.free
    assert value(gateway, "ostiary_recordings_low_water_bytes") == 1000
    assert value(gateway, "ostiary_audit_failed") == 0
    gateway.audit.failed = "broken"
    assert value(gateway, "ostiary_audit_failed") == 1
    assert value(gateway, "ostiary_ready") == 0


def test_a_disk_that_can_not_be_asked_has_no_free_space_sample(gateway: FakeGateway) -> None:
    def ask(_: object) -> int:
        raise OSError(5, "Input/output error")

    gateway.recordings._space = ask
    assert ("ostiary_recordings_free_bytes", ()) not in samples(gateway)


def test_build(gateway: FakeGateway) -> None:
    [(name, labels)] = [key for key in samples(gateway) if key[0] == "ostiary_build_info"]
    assert dict(labels)["version"] == __version__
    assert value(gateway, "ostiary_certificate_expiry_timestamp_seconds", certificate="gateway") > 0
    assert name == "ostiary_build_info"


def test_reloads(gateway: FakeGateway) -> None:
    gateway.reloads, gateway.refused_reloads = 4, 1
    assert value(gateway, "ostiary_reloads_total", outcome="taken") == 4
    assert value(gateway, "ostiary_reloads_total", outcome="refused") == 1


def test_nothing_names_a_caller(gateway: FakeGateway) -> None:
    gateway.session(principal="alice")
    text = exposition(registry(gateway))
    assert b"alice" not in text
    assert b"192.0.2.7" not in text


def test_every_metric_is_documented(gateway: FakeGateway) -> None:
    gateway.sinks = [sink(connected=True)]
    gateway.webhooks.states = (WebhookStatus("oncall", 1, 1, 1),)
    names = {name for name, _ in samples(gateway) if name.startswith("ostiary_")}
    documented = set(re.findall(r"^\| `(ostiary_\w+)", OPERATING.read_text(), re.MULTILINE))
    assert documented == {name for name in names if not name.endswith("_created")}


@pytest.mark.parametrize("name", ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"])
def test_the_process(gateway: FakeGateway, name: str) -> None:
    assert value(gateway, name) > 0
