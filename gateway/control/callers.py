"""Who is on the control socket: the kernel says the uid (SO_PEERCRED), configuration says who that is.

A uid that `identity.socket` doesn't list is nobody, root too: whoever has root can do anything to this host, but not in
an operator's name. Groups of such a principal are not known in this version (there is no directory to ask), so that
only ``principal:NAME`` members of a role count here, not ``group:NAME``.

One right needs no role: the gateway's own user may ask for a reload, since it may send SIGHUP, too. So `systemctl
reload` learns what came of it, on a host where nobody is an operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.config import Config

Right = Literal["look", "act", "reload", "reveal"]

GRANTED: dict[Right, tuple[str, ...]] = {
    "look": ("operator", "auditor"),
    "act": ("operator",),
    "reload": ("operator",),
    "reveal": ("auditor",),
}
"""Which roles may see the gateway's state, change it, and see what masks hide. Revealing is the auditor's, who reads
the recordings, too; break_glass gets people in when disks are full and is no reason to see more, and an operator who
runs the gateway needs no values."""


@dataclass(frozen=True, slots=True)
class Caller:
    """``principal`` is None for a uid that is nobody; ``own`` says that it is the gateway's."""

    uid: int
    principal: str | None
    roles: frozenset[str]
    own: bool

    @property
    def name(self) -> str:
        """For the audit log: a principal, or the bare uid."""
        return self.principal if self.principal is not None else f"uid {self.uid}"

    def refusal(self, right: Right) -> str | None:
        """Why the caller may not, None when it may."""
        if right == "reload" and self.own:
            return None
        if self.principal is None:
            return f"uid {self.uid} is nobody here: identity.socket does not list it"
        wanted = GRANTED[right]
        if self.roles.isdisjoint(wanted):
            return f"{self.principal} has none of the roles {' and '.join(wanted)}"
        return None


def caller(uid: int, config: Config, *, own: int) -> Caller:
    """Who ``uid`` is under ``config``, the one in force; ``own`` is the uid that the gateway runs as."""
    principal = config.identity.socket.get(uid)
    roles = frozenset(role for role, members in config.roles.items() if f"principal:{principal}" in members)
    return Caller(uid, principal, roles if principal is not None else frozenset(), own=uid == own)
