"""What the command of an exec request says; how its words are split is `gateway.shell`'s.

OpenSSH's scp sends ``scp [-v] [-r] [-p] [-d] -t|-f [--] PATH`` for the old protocol (scp.c: do_cmd, toremote, source);
libssh2 puts the options into one word, ``scp -pt 'PATH'``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

import re2

_OPTIONS: Final = frozenset("vrpdqtf")
"""OpenSSH's, libssh2's and PuTTY's."""

BLANKED: Final = "****"

_RE2 = re2.Options()
_RE2.log_errors = False

_VALUE = r"""(?:'[^']*'|"[^"]*"|[^\s'"])+"""
_SECRET = r"[a-z0-9_.-]*(?:password|passwd|passphrase|pwd|token|secret|api[_-]?key)[a-z0-9_-]*"
_SECRETS = re2.compile(
    rf"(?i)(\s--?{_SECRET}(?:=|\s+))({_VALUE})"  # --password=x, --token x
    rf"|((?:^|[\s;&|(]){_SECRET}=)({_VALUE})"  # PGPASSWORD=x command
    rf"|(\s(?:-u|--user)(?:=|\s*)[^\s:'\"]*:)({_VALUE})"  # curl -u name:x
    r"|([a-z][a-z0-9+.-]*://[^\s/:@'\"]*:)([^\s@/'\"]+)@",  # https://name:x@host
    options=_RE2,
)
"""Where tools take secrets on their command line: its odd groups stay, its even ones are blanked. RE2, so that no
command makes the search take long."""


@dataclass(frozen=True, slots=True)
class Scp:
    """One end of the old scp protocol at the target: ``sends`` files (``-f``), or receives them (``-t``)."""

    sends: bool
    path: str
    recursive: bool = False
    times: bool = False
    directory: bool = False

    def command(self) -> str:
        """The command that means just this, for the target."""
        options = "".join(
            option for option, given in (("r", self.recursive), ("p", self.times), ("d", self.directory)) if given
        )
        return shlex.join(["scp", *([f"-{options}"] if options else []), "-f" if self.sends else "-t", "--", self.path])


def scp(words: tuple[str, ...] | None) -> Scp | None:
    """The end that a command's words begin; None when they are not just that."""
    if words is None or len(words) < 3 or words[0] != "scp":
        return None
    options: set[str] = set()
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        if not _OPTIONS.issuperset(words[at][1:]):
            return None
        options.update(words[at][1:])
        at += 1
    if words[at : at + 1] == ("--",):
        at += 1
    if at != len(words) - 1 or not words[at] or ("t" in options) == ("f" in options):
        return None
    return Scp("f" in options, words[at], "r" in options, "p" in options, "d" in options)


def without_secrets(text: str) -> str:
    """``text`` with `BLANKED` for what looks like a password or token in it: for SIEM and chats, best effort."""
    kept: list[str] = []
    end = 0
    for found in _SECRETS.finditer(text):
        for group in (2, 4, 6, 8):
            start, stop = found.span(group)
            if start >= 0 and start < stop:
                kept += (text[end:start], BLANKED)
                end = stop
    return "".join(kept) + text[end:]
