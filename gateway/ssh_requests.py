"""The one catalogue of what can be asked for over SSH, in the words a policy uses.

`gateway.protocols.ssh` makes operations of requests, `gateway.policy` compares them with entries; neither may import
the other, so the words lie below both. Constants, and what follows from them at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

REQUESTS: Mapping[str, str] = MappingProxyType(
    {
        "shell": "an interactive shell: whoever has one runs what they like",
        "exec": "a command, in the login's shell (`ssh host COMMAND`, rsync, git, Ansible)",
        "subsystem": "a subsystem of the target's sshd, other than sftp",
        "sftp": "SFTP, and each action on files within it",
        "scp": "the old scp protocol (`scp -O`), and each action on files within it",
        "forward_local": "a connection from the target on to `destinations` (`ssh -L`, `-D`, `-W`, `-J`)",
        "forward_remote": "a port or socket at the target that leads back to the caller (`ssh -R`)",
        "agent": "the caller's agent, lent to the target (`ssh -A`)",
        "x11": "the caller's X display, lent to the target (`ssh -X`)",
        "env": "environment variables, beyond the harmless ones",
    }
)
"""Name in a policy -> what it is."""

BY_NAME: frozenset[str] = frozenset({"forward_local", "forward_remote", "agent", "x11", "env"})
"""An allow covers these only where it says their name: they lead on from the target, lend it what is the caller's, or
change what every command does."""

ORDINARY: frozenset[str] = frozenset(REQUESTS) - BY_NAME
"""What an allow covers that says nothing about requests."""

CARRIERS: frozenset[str] = frozenset({"sftp", "scp"})
"""What actions on files come in."""

ACTIONS: tuple[str, ...] = ("read", "write", "list")
"""What is done to files: ``write`` is anything that changes one or its name, ``list`` shows names and attributes."""

LOCALE = "locale"
"""The verb of an environment variable that is harmless: allowed to whoever may do anything on the target."""

BEST_EFFORT = "lines typed in shells are watched at best effort; what must not run has to be closed at the target"
"""Said with everything that comes of such a line: scripts, encodings, editors and aliases get around it."""

_HARMLESS_NAME = re.compile(r"LANG|LANGUAGE|LC_[A-Z_]{1,32}|TERM|COLORTERM", re.ASCII)
_HARMLESS_VALUE = re.compile(r"[A-Za-z0-9_.@:+-]{0,64}", re.ASCII)


def is_harmless(variable: str, value: str) -> bool:
    """Whether it says nothing but language and terminal. A value with a slash could name a file, so it isn't."""
    return bool(_HARMLESS_NAME.fullmatch(variable) and _HARMLESS_VALUE.fullmatch(value))


UNSAFE_VARIABLES: frozenset[str] = frozenset(
    """
    LD_* DYLD_* _RLD* LIBPATH SHLIB_PATH GCONV_PATH LOCPATH NLSPATH MALLOC_* GLIBC_TUNABLES ENV BASH_ENV BASHOPTS
    BASH_FUNC_* SHELLOPTS PROMPT_COMMAND PS4 IFS CDPATH PATH HOME SHELL ZDOTDIR FPATH KSH_ENV PERL5* PERLLIB PYTHON*
    RUBY* NODE_* JAVA_* JDK_* _JAVA_* CLASSPATH LUA_* GIT_SSH* GIT_EXEC* GIT_CONFIG* GIT_EXTERNAL* GIT_PROXY* EDITOR
    VISUAL PAGER MANPAGER LESSOPEN LESSCLOSE TERMINFO* TERMCAP TMPDIR SSH_* SUDO_* KRB5* PKCS11* OPENSSL_* RSYNC_*
    """.split()
)
"""Globs of variables that choose what is run or loaded. An entry lets one pass only where it writes its whole name."""
