"""One append-only, signed file per session: what was asked, what was decided, what the client saw of the results.

format.py     the bytes: frames, chain, signatures (docs/recording-format.md)
events.py     the JSON lines inside the frames
writer.py     Recordings (one per node), Recorder (one per session), Recorded (the proof `forward` takes)
packing.py    Packer: digests and compresses what channels show, in a thread
sync.py       fdatasync in groups, in threads
directory.py  where files lie, rights, free space, who opens them
sealed.py     recordings that the sealer makes append-only: the gateway's side
sealer.py     the sealer itself: another process, with another user, and nothing but the standard library
keys.py       the signing key and its public half
reader.py     Recording: one pass over a file, with limits against hostile ones
verify.py     verify() and its Report
tail.py       Tail: a recording as it grows, for those who watch
export.py     show (text), read_events, export (JSON lines)
channels.py   what the channels of an SSH session showed, moment by moment
asciicast.py  a channel for asciinema
playback.py   a channel for a terminal: what is drawn when
terminal.py   TerminalFilter: of all that a terminal is sent, only what draws
listing.py    which recordings there are
"""

from gateway.recording.events import SessionHeader, operation_constant
from gateway.recording.export import export, read_events, show
from gateway.recording.format import ClosingHead, Finding, RecordingDamaged
from gateway.recording.listing import Listed, listing
from gateway.recording.packing import Packer
from gateway.recording.tail import Tail
from gateway.recording.verify import Report, verify
from gateway.recording.writer import Recorded, Recorder, Recordings

__all__ = [
    "ClosingHead",
    "Finding",
    "Listed",
    "Packer",
    "Recorded",
    "Recorder",
    "RecordingDamaged",
    "Recordings",
    "Report",
    "SessionHeader",
    "Tail",
    "export",
    "listing",
    "operation_constant",
    "read_events",
    "show",
    "verify",
]
