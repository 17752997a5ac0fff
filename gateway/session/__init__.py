"""Sessions: one way in, one corridor, and the list of who is here.

admit      Principal and target -> `Admitted`, the proof that opens the door
pipeline   `Corridor`: decide, record, and only then forward
approvals  `Approvals`: requests, votes, grants and locks of all sessions
subjects   what an approval is about
asking     `Asking`: one session's questions to approvers
live       `LiveSessions`: list, limits, ending from outside
"""

from gateway.session.admit import Admitted, ApprovalNeeded, Gate, Rules
from gateway.session.approvals import Approvals, Approver, Observer
from gateway.session.asking import Asking
from gateway.session.live import LiveSession, LiveSessions
from gateway.session.pipeline import Corridor, open_corridor

__all__ = [
    "Admitted",
    "ApprovalNeeded",
    "Approvals",
    "Approver",
    "Asking",
    "Corridor",
    "Gate",
    "LiveSession",
    "LiveSessions",
    "Observer",
    "Rules",
    "open_corridor",
]
