"""Metrics for Prometheus. Nothing is counted here: a scrape reads what the rooms count for themselves.

docs/operating.md lists every name; tests compare the two.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.control.health import readiness
from gateway.control.running import Running
from gateway.control.status import free_space, live_grants
from gateway.masking import COMPILED

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class GatewayCollector(Collector):
    """Reads the gateway at each scrape."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are not to be looked up by collecting while the gateway is being built."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._node()
        yield from self._sessions()
        yield from self._approvals()
        yield from self._evidence()
        yield from self._sinks()
        yield from self._webhooks()

    def _node(self) -> Iterator[Metric]:
        gateway = self._gateway
        build = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("ostiary_build", "What runs.", build)
        yield _gauge("ostiary_start_time_seconds", "When this process started, unix seconds.", gateway.started_at)
        yield _gauge("ostiary_ready", "1 when a new session could be served.", readiness(gateway).ready)
        yield _gauge("ostiary_masking_compiled", "1 when the compiled masks run, 0 for plain Python.", COMPILED)
        yield _gauge("ostiary_unsafe_switches", "Warnings that `ostiary status` lists.", len(gateway.warnings))
        yield _gauge("ostiary_targets", "Configured targets.", len(gateway.gate.rules.targets))
        yield _gauge("ostiary_policy_snapshot", "Number of the policy in force.", gateway.gate.rules.snapshot.number)
        reloads = CounterMetricFamily("ostiary_reloads", "Reloads by outcome.", labels=["outcome"])
        reloads.add_metric(["taken"], gateway.reloads)
        reloads.add_metric(["refused"], gateway.refused_reloads)
        yield reloads
        expiry = GaugeMetricFamily(
            "ostiary_certificate_expiry_timestamp_seconds", "When a certificate ends.", labels=["certificate"]
        )
        expiry.add_metric(["gateway"], gateway.certificate_ends)
        yield expiry

    def _sessions(self) -> Iterator[Metric]:
        gateway = self._gateway
        totals = gateway.live.totals()
        yield _gauge("ostiary_sessions_live", "Live sessions.", len(gateway.live))
        yield _gauge("ostiary_sessions_limit", "limits.sessions.", gateway.gate.rules.sessions)
        yield _counter("ostiary_sessions", "Sessions begun.", totals.sessions)
        operations = CounterMetricFamily("ostiary_operations", "Operations by decision.", labels=["decision"])
        operations.add_metric(["allow"], totals.operations - totals.denied)
        operations.add_metric(["deny"], totals.denied)
        yield operations
        yield _counter("ostiary_rows", "Rows that clients got.", totals.rows)
        yield _counter("ostiary_result_bytes", "Bytes of those rows.", totals.size)
        databases = tuple(gateway.catalogues)
        loads = CounterMetricFamily("ostiary_catalogue_loads", "Loads of a database's catalogue.", labels=["outcome"])
        loads.add_metric(["loaded"], sum(database.generation for database in databases))
        loads.add_metric(["failed"], sum(database.failures for database in databases))
        yield loads
        logins = CounterMetricFamily("ostiary_logins", "Logins by outcome.", labels=["outcome"])
        logins.add_metric(["session"], sum(service.logins for service in gateway.services))
        logins.add_metric(["refused"], sum(service.refused for service in gateway.services))
        yield logins
        waiting = sum(service.waiting for service in gateway.services)
        yield _gauge("ostiary_logins_pending", "Connections that are logging in.", waiting)

    def _approvals(self) -> Iterator[Metric]:
        gateway = self._gateway
        approvals = gateway.approvals
        yield _gauge("ostiary_approvals_open", "Requests that wait for approvers.", approvals.open_requests())
        yield _gauge("ostiary_grants_live", "Grants that could be used now.", live_grants(gateway))
        yield _gauge("ostiary_locks", "Locks in force.", len(approvals.locks()))

    def _evidence(self) -> Iterator[Metric]:
        gateway = self._gateway
        yield _gauge("ostiary_audit_failed", "1 when the audit log can't be written.", gateway.audit.failed is not None)
        yield _counter("ostiary_audit_events", "Events in the audit log, since its beginning.", gateway.audit.sequence)
        free = free_space(gateway)
        if free is not None:
            yield _gauge("ostiary_recordings_free_bytes", "Space left for recordings.", free)
        yield _gauge("ostiary_recordings_low_water_bytes", "recording.low_water.", gateway.recordings.low_water)
        yield _gauge("ostiary_recordings_reserve_bytes", "recording.reserve.", gateway.recordings.reserve)

    def _sinks(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily("ostiary_sink_connected", "1 while the receiver is there.", labels=["sink"])
        lag = GaugeMetricFamily("ostiary_sink_lag_events", "Events that wait.", labels=["sink"])
        sent = GaugeMetricFamily("ostiary_sink_sent_sequence", "Newest event handed over.", labels=["sink"])
        resent = CounterMetricFamily("ostiary_sink_resent", "Events sent again.", labels=["sink"])
        connections = CounterMetricFamily("ostiary_sink_connections", "Connections made.", labels=["sink"])
        for sink in self._gateway.sinks:
            state = sink.status()
            connected.add_metric([state.name], state.connected)
            lag.add_metric([state.name], state.lag)
            sent.add_metric([state.name], state.sent)
            resent.add_metric([state.name], state.resent)
            connections.add_metric([state.name], state.connections)
        yield from (connected, lag, sent, resent, connections)

    def _webhooks(self) -> Iterator[Metric]:
        notices = CounterMetricFamily(
            "ostiary_notices", "Notices of requests for approval by outcome.", labels=["webhook", "outcome"]
        )
        waiting = GaugeMetricFamily("ostiary_notices_waiting", "Not delivered so far.", labels=["webhook"])
        for state in self._gateway.webhooks.status():
            notices.add_metric([state.name, "delivered"], state.delivered)
            notices.add_metric([state.name, "failed"], state.failed)
            waiting.add_metric([state.name], state.waiting)
        yield from (notices, waiting)
        yield _gauge("ostiary_watchers", "Answers that go on: who watches.", len(self._gateway.watching))


def registry(gateway: Running) -> CollectorRegistry:
    """One of our own: nothing that a library registers globally shows up."""
    made = CollectorRegistry(auto_describe=False)
    made.register(GatewayCollector(gateway))
    ProcessCollector(registry=made)
    return made


def exposition(made: CollectorRegistry) -> bytes:
    """The text format, version 0.0.4."""
    return generate_latest(made)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=float(value))


def _counter(name: str, documentation: str, value: int) -> Metric:
    return CounterMetricFamily(name, documentation, value=value)
