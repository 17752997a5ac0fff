"""An SSH session that is recorded as the gateway does it."""

from __future__ import annotations

from pathlib import Path

from recording.made import ALLOW, SSH_ACCESS, Node

from gateway.model import Decision, Outcome
from gateway.protocols.ssh.operation import agent, execute, shell
from gateway.recording.events import Stream

DENY = Decision(Outcome.DENY, ("nobody destroys",), "not \x1b[2J here")


class SshRecorded:
    """Its channels are numbered by whoever calls; time passes only by `passes`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.recorder = node.begin(SSH_ACCESS)
        self.path = node.path(self.recorder)
        self._operations = 0

    def passes(self, seconds: float) -> None:
        self.node.clock.rightNow += seconds

    def shell(self, channel: int = 1, *, size: tuple[int, int] = (80, 24), terminal: str = "xterm-256color") -> None:
        self._asks(channel, None)
        columns, rows = size
        self.recorder.event(
            "channel", channel=channel, operation=self._operations, terminal=terminal, columns=columns, rows=rows
        )

    def command(self, command: str, channel: int = 1) -> None:
        self._asks(channel, command)
        self.recorder.event("channel", channel=channel, operation=self._operations)

    def lends_its_agent(self, channel: int = 1) -> None:
        self._operations += 1
        self.recorder.operation(self._operations, agent(channel), ALLOW, source="request")

    def denied(self, command: str, channel: int = 1) -> None:
        self._asks(channel, command, DENY)
        self.recorder.commit()

    def shows(self, *pieces: bytes | str, channel: int = 1, stream: Stream = "stdout") -> None:
        """On a terminal: each with its own time."""
        for piece in pieces:
            data = piece if isinstance(piece, bytes) else piece.encode()
            self.recorder.shown(self.node.clock.seconds(), channel, stream, data)

    def gives(self, data: bytes, channel: int = 1, stream: Stream = "stdout") -> None:
        """Without a terminal."""
        self.recorder.output(channel, stream, data)

    def happens(self, kind: str, **fields: object) -> None:
        self.recorder.happened(kind, **fields)

    def exits(self, status: str = "exit 0", channel: int = 1) -> None:
        self.happens("exit", channel=channel, status=status, input=0, stdout=0, stderr=0)

    def close(self) -> Path:
        self.recorder.close("the client left")
        return self.path

    def _asks(self, channel: int, command: str | None, decision: Decision = ALLOW) -> None:
        self._operations += 1
        operation = shell(channel) if command is None else execute(command.encode("utf-8", "surrogateescape"), channel)
        self.recorder.operation(self._operations, operation, decision, source="request")
