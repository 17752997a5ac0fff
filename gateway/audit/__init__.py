"""The audit log: what happened, as OCSF events in a hash-chained file, and its way to a SIEM.

    events     the one catalogue of event types, with their OCSF classes
    event      what an event is; operation: the one for each operation, rendered the quick way
    ocsf       OCSF's numbers, bounded JSON, a session's constant parts
    log        `AuditLog`, the only writer: append, flush, sync; recovery at start
    segments   the log's files and lines, and the chain over them
    verify     checks a log offline, names the first line that is wrong
    reader     reads on from a sequence number, over segments
    evidence   what the log says about recordings: which there are, how each ended
    rfc5424    one event as a syslog message                                        pure
    cursor     how far a sink is, kept over restarts
    sinks      the log's way to a receiver: syslog over TLS
    document   docs/audit-events.md out of the catalogue

An event that can't be appended and flushed raises RecordingFailed, and whatever it was about does not happen.
"""

from gateway.audit.log import AuditLog
from gateway.audit.ocsf import SessionContext

__all__ = ["AuditLog", "SessionContext"]
