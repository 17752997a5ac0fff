"""What is, as the API's types."""

from __future__ import annotations

from gateway import __version__
from gateway.control.health import readiness
from gateway.control.messages import Session, Sessions, SinkState, Status
from gateway.control.running import Running
from gateway.errors import RecordingFailed
from gateway.masking import COMPILED
from gateway.session import LiveSession


def status_of(gateway: Running) -> Status:
    """The whole gateway."""
    config, rules, totals = gateway.config, gateway.gate.rules, gateway.live.totals()
    return Status(
        node=config.node.name,
        version=__version__,
        started=gateway.started_at,
        now=gateway.clock(),
        readiness=readiness(gateway),
        listeners=gateway.opened,
        targets=len(rules.targets),
        snapshot=rules.snapshot.number,
        policy=rules.digest,
        reloads=gateway.reloads,
        refused_reloads=gateway.refused_reloads,
        sessions=len(gateway.live),
        sessions_begun=totals.sessions,
        operations=totals.operations,
        denied=totals.denied,
        rows=totals.rows,
        logins=sum(service.logins for service in gateway.services),
        refused_logins=sum(service.refused for service in gateway.services),
        pending_logins=sum(service.waiting for service in gateway.services),
        audit_sequence=gateway.audit.sequence,
        audit_problem=gateway.audit.failed,
        sinks=tuple(_sink(gateway)),
        recordings_free=free_space(gateway),
        recordings_low_water=gateway.recordings.low_water,
        certificate_ends=gateway.certificate_ends,
        masking_compiled=COMPILED,
        warnings=tuple(gateway.warnings),
        approvals_open=gateway.approvals.open_requests(),
        grants_live=live_grants(gateway),
        locks=len(gateway.approvals.locks()),
    )


def sessions_of(gateway: Running) -> Sessions:
    """All live sessions, oldest first (their ids are ordered by time)."""
    found = sorted(gateway.live, key=lambda session: session.id)
    return Sessions(gateway.clock(), tuple(map(session_of, found)))


def session_of(live: LiveSession) -> Session:
    access = live.access
    return Session(
        id=live.id,
        principal=access.principal.name,
        kind=access.principal.kind,
        groups=tuple(sorted(access.principal.groups)),
        factors=tuple(sorted(access.principal.factors)),
        address=access.address,
        target=access.target.name,
        protocol=live.protocol,
        database=access.database,
        role=access.role,
        started=live.started,
        last_active=live.last_active,
        expires=live.expires,
        operations=live.operations,
        denied=live.denied,
        rows=live.rows,
    )


def live_grants(gateway: Running) -> int:
    """Those that somebody could use now."""
    now = gateway.clock()
    return sum(grant.state == "live" and grant.ends > now for grant in gateway.approvals.grants())


def free_space(gateway: Running) -> int | None:
    """Bytes left for recordings, None when the disk can't be asked."""
    try:
        return gateway.recordings.free_space()
    except RecordingFailed:
        return None


def _sink(gateway: Running) -> list[SinkState]:
    return [
        SinkState(
            name=state.name,
            address=state.address,
            connected=state.connected,
            sent=state.sent,
            lag=state.lag,
            resent=state.resent,
            connections=state.connections,
            problem=state.problem,
        )
        for state in (sink.status() for sink in gateway.sinks)
    ]
