"""Sessions: one way in, one corridor, and the list of who is here.

admit      Principal and target -> `Admitted`, the proof that opens the door
pipeline   `Corridor`: decide, record, and only then forward
live       `LiveSessions`: list, limits, ending from outside
"""

from gateway.session.admit import Admitted, Gate, Rules
from gateway.session.live import LiveSession, LiveSessions
from gateway.session.pipeline import Corridor, open_corridor

__all__ = ["Admitted", "Corridor", "Gate", "LiveSession", "LiveSessions", "Rules", "open_corridor"]
