"""Our errors as SSH's own: a disconnect with its reason, or lines on stderr and an exit status."""

from __future__ import annotations

from typing import Final

import asyncssh

from gateway.errors import GatewayError, LimitReached, LoginFailed, NotAdmitted, PeerError, TooManySessions
from gateway.model import Denial

DENIED: Final = 126
"""Exit status of what policy refuses: the shell's "found, but may not be run" (POSIX, 2.8.2). Not 255, which `ssh`
itself uses when it can't connect and Ansible takes for an unreachable host; not 1, which `grep` says for no match.
A failure of the request instead would lose the reason: OpenSSH then prints "exec request failed" and nothing else."""

MAX_REASON: Final = 380
"""Bytes: OpenSSH prints 400 of a disconnect's reason."""

MAX_WHY: Final = 200
"""Characters of what a target says of its no."""

CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (LoginFailed, asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE),
    (TooManySessions, asyncssh.DISC_TOO_MANY_CONNECTIONS),
    (LimitReached, asyncssh.DISC_TOO_MANY_CONNECTIONS),
    (NotAdmitted, asyncssh.DISC_HOST_NOT_ALLOWED_TO_CONNECT),
    (PeerError, asyncssh.DISC_PROTOCOL_ERROR),
    (GatewayError, asyncssh.DISC_BY_APPLICATION),
)


def disconnect(error: BaseException) -> tuple[int, str]:
    """The code and reason (RFC 4253 section 11.1) that end a connection. What was not raised on purpose isn't shown."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), asyncssh.DISC_BY_APPLICATION)
    text = ". ".join(map(plain, _words(error)))
    return code, text.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def lines(error: BaseException, *, terminal: bool) -> bytes:
    """What somebody reads on stderr whose session ends."""
    return stderr(_words(error), terminal=terminal)


def denied(denial: Denial, *, terminal: bool) -> bytes:
    """What somebody reads on stderr whose request policy refuses."""
    words = [denial.message, denial.detail, denial.hint or ""]
    return stderr([word for word in words if word], terminal=terminal)


def one_line(denial: Denial) -> str:
    """What somebody reads whose connection is not forwarded: a reason has one line."""
    return plain(" ".join(word for word in (denial.message, denial.detail, denial.hint or "") if word))[:MAX_REASON]


def stderr(words: list[str], *, terminal: bool) -> bytes:
    """Each on its own line. ``terminal``: the client's is in raw mode, and a newline alone would make stairs."""
    end = "\r\n" if terminal else "\n"
    return "".join(f"ostiary: {plain(word)}{end}" for word in words).encode("utf-8", "replace")


def _words(error: BaseException) -> list[str]:
    if isinstance(error, GatewayError):
        return [error.message, *([error.hint] if error.hint else [])]
    if isinstance(error, PeerError):
        return [str(error)]
    return ["the gateway failed and ended this session", "The gateway's log has the reason."]


def plain(text: str) -> str:
    """One line, without what a terminal obeys: names and commands in it may be anybody's."""
    return "".join(character if character.isprintable() else "?" for character in text)
