"""What can go wrong, in our own words.

`GatewayError` is what we tell a caller or an operator; `PeerError` is a peer that broke its protocol: other
classes, so that one is never taken for the other. Protocols turn both into their own native errors.
"""

from __future__ import annotations

from dataclasses import dataclass


class GatewayError(Exception):
    """Base of all errors that we raise on purpose.

    message  one line for whoever asked, never with a secret or a protected value
    hint     how to mend it, None when nothing helps
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SecretUnavailable(GatewayError):
    """A secret reference leads nowhere."""


class LoginFailed(GatewayError):
    """The caller did not prove who it is. ``reason`` is for the audit log, never for the caller."""

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class NotAdmitted(GatewayError):
    """No rule lets this principal connect there. Doesn't reveal whether the target exists."""

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class Denied(GatewayError):
    """Policy, or a mask that could be evaded, refuses one operation."""


class Unapproved(GatewayError):
    """Policy would let it go once it is approved; who can't wait refuses it."""


class LimitReached(GatewayError):
    """A size limit; the message names the limit."""


class TooManySessions(GatewayError):
    """A count limit; trying again later may help."""


class TargetUnavailable(GatewayError):
    """The target can't be reached, refuses our login, or shows a wrong certificate."""


class RecordingFailed(GatewayError):
    """What can't be recorded is not forwarded."""


class StoreFailed(GatewayError):
    """The gateway's own state can't be read or written; what depends on it is not done."""


class NoSuchThing(GatewayError):
    """What an administrative act is about does not exist, or no longer."""


class NotPending(GatewayError):
    """The request was settled before."""


class NotYours(GatewayError):
    """An approver's vote that does not count: the asker's own, a second one, or one without a right."""


class SessionEnded(GatewayError):
    """Somebody or something ended the session: expiry, kill, shutdown."""


class PeerError(Exception):
    """A peer broke its protocol; ends that one connection."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with what an operator wrote: where, what, and the mend."""

    file: str
    path: tuple[str | int, ...]
    problem: str
    mend: str
    line: int | None = None

    def __str__(self) -> str:
        """An indented path: file, section, key, problem, mend."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        lines = [f"{where}:"]
        indent = "  "
        for part in self.path:
            lines.append(f"{indent}{part}:" if isinstance(part, str) else f"{indent}entry {part + 1}:")
            indent += "  "
        lines.append(f"{indent}{self.problem}")
        lines.append(f"{indent}Mend: {self.mend}")
        return "\n".join(lines)


class ConfigError(GatewayError):
    """Configuration or policy that can't be used; carries every problem found, not only the first."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
