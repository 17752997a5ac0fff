"""Our errors as PostgreSQL's own (53.8 Error and Notice Message Fields).

The SQLSTATE is chosen so that drivers do the right thing: 42501 keeps the connection; 0A000, 57P0x, 08xxx, 40001
and 40P01 are never used for a denial, since pools evict or retry on them (shared/postgres.md).
"""

from __future__ import annotations

from typing import Final

from gateway.errors import (
    Denied,
    GatewayError,
    LimitReached,
    LoginFailed,
    NotAdmitted,
    PeerError,
    RecordingFailed,
    SessionEnded,
    StoreFailed,
    TargetUnavailable,
    TooManySessions,
    Unapproved,
)
from gateway.model import Denial
from gateway.protocols.postgres.wire import Fields, fields_message

DENIED: Final = b"42501"
"""insufficient_privilege"""

CANCELLED: Final = b"57014"
"""query_canceled: what the target itself would say."""

SQLSTATES: Final[tuple[tuple[type[Exception], bytes], ...]] = (
    (LoginFailed, b"28P01"),
    (NotAdmitted, b"28000"),
    (Denied, DENIED),
    (Unapproved, DENIED),
    (LimitReached, b"54000"),
    (TooManySessions, b"53300"),
    (RecordingFailed, b"58030"),  # io_error: ends the session, and says why
    (StoreFailed, b"58030"),
    (TargetUnavailable, b"08001"),
    (SessionEnded, b"57P01"),  # admin_shutdown: what pg_terminate_backend says, drivers reconnect
    (PeerError, b"08P01"),
)
INTERNAL: Final = b"XX000"


class TargetRefused(TargetUnavailable):
    """The target answered our login with an error. ``sqlstate`` is its own: drivers act on a missing database (3D000),
    too many connections (53300) or a start-up (57P03) as they would without us.
    """

    def __init__(self, message: str, sqlstate: bytes) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def sqlstate(error: Exception) -> bytes:
    # Class 28 is about the gateway's credential, which the caller can't mend by another login.
    if isinstance(error, TargetRefused) and len(error.sqlstate) == 5 and not error.sqlstate.startswith(b"28"):
        return error.sqlstate
    for kind, code in SQLSTATES:
        if isinstance(error, kind):
            return code
    return INTERNAL


def fatal(error: Exception) -> bytes:
    """The ErrorResponse that ends a connection. What we did not raise on purpose is not shown."""
    if isinstance(error, GatewayError):
        message, hint = error.message, error.hint
    elif isinstance(error, PeerError):
        message, hint = str(error), None
    else:
        message, hint = "the gateway failed and ended this session", "The gateway's log has the reason."
    fields: Fields = [("S", b"FATAL"), ("V", b"FATAL"), ("C", sqlstate(error)), ("M", _text(message))]
    if hint:
        fields.append(("H", _text(hint)))
    return fields_message(b"E", fields)


def denied(denial: Denial) -> bytes:
    """The ErrorResponse that a denied operation gets; the session lives on."""
    fields: Fields = [
        ("S", b"ERROR"),
        ("V", b"ERROR"),
        ("C", CANCELLED if denial.cancelled else DENIED),
        ("M", _text(denial.message)),
    ]
    if denial.detail:
        fields.append(("D", _text(denial.detail)))
    if denial.hint:
        fields.append(("H", _text(denial.hint)))
    return fields_message(b"E", fields)


def notice(message: str, hint: str) -> bytes:
    """A NoticeResponse that tells a caller why it has to wait."""
    fields: Fields = [("S", b"NOTICE"), ("V", b"NOTICE"), ("C", b"00000"), ("M", _text(message)), ("H", _text(hint))]
    return fields_message(b"N", fields)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace").replace(b"\0", b"")
