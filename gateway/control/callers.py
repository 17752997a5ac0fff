"""Who asks the control API, as proven on this connection, and what that allows.

On the unix socket the kernel says the uid (SO_PEERCRED) and `identity.socket` who that is, with which groups. A uid
that it doesn't list, or lists as `nobody`, is nobody, root too: whoever has root can do anything to this host, but not
in an operator's name. Over TLS it is the client certificate, read by `gateway.identity` as at every other door.

One right needs no role: the gateway's own user may ask for a reload, since it may send SIGHUP, too. So `systemctl
reload` learns what came of it, on a host where nobody is an operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.config import Config
from gateway.config.schema import Role, SocketCaller
from gateway.model import Principal
from gateway.session.approvals import Approver

Right = Literal["known", "look", "act", "reload", "reveal", "watch"]

GRANTED: dict[Right, tuple[Role, ...]] = {
    "known": (),
    "look": ("operator", "auditor"),
    "act": ("operator",),
    "reload": ("operator",),
    "reveal": ("auditor",),
    "watch": ("auditor",),
}
"""Which roles may see the gateway's state, change it, see what masks hide, and see what sessions show.

``known`` is every principal: what such a route gives depends on whom it concerns (who asked, who may approve).
Revealing and watching are the auditor's, who reads the recordings, too: those hold what callers saw, masked, and the
full text of what they asked. An operator runs the gateway and needs none of that; break_glass gets people in when disks
are full and is no reason to see more."""

NOBODY = "nobody"
"""A uid that is mapped to it is no principal; to say of root what is true without saying it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    name     a principal's, or for the audit log what else is known of somebody who is none
    known    it is a principal
    address  where a TLS connection comes from, by its own peer address; empty: this host's socket
    own      it is the user that the gateway runs as
    """

    name: str
    known: bool
    via: Literal["tls", "socket"]
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    address: str = ""
    own: bool = False

    @property
    def approver(self) -> Approver:
        return Approver(self.name, self.groups, self.via)

    def has(self, right: Right) -> bool:
        return self.refusal(right) is None

    def refusal(self, right: Right) -> str | None:
        """Why the caller may not, None when it may."""
        if right == "reload" and self.own:
            return None
        if not self.known:
            return f"{self.name} is nobody here: identity.socket does not list it"
        wanted = GRANTED[right]
        if wanted and self.roles.isdisjoint(wanted):
            return f"{self.name} has none of the roles {' and '.join(wanted)}"
        return None


def on_socket(uid: int, config: Config, *, own: int) -> Caller:
    """Who ``uid`` is under ``config``, the one in force; ``own`` is the uid that the gateway runs as."""
    listed = config.identity.socket.get(uid)
    if isinstance(listed, str):
        listed = SocketCaller(listed)
    if listed is None or listed.principal == NOBODY:
        return Caller(f"uid {uid}", known=False, via="socket", own=uid == own)
    groups = frozenset(listed.groups)
    roles = _roles(listed.principal, groups, config)
    return Caller(listed.principal, known=True, via="socket", groups=groups, roles=roles, own=uid == own)


def over_tls(principal: Principal, address: str, config: Config) -> Caller:
    """Who the holder of a client certificate is under ``config``."""
    roles = _roles(principal.name, principal.groups, config)
    return Caller(principal.name, known=True, via="tls", groups=principal.groups, roles=roles, address=address)


def _roles(name: str, groups: frozenset[str], config: Config) -> frozenset[str]:
    mine = {f"principal:{name}", *(f"group:{group}" for group in groups)}
    return frozenset(role for role, members in config.roles.items() if not mine.isdisjoint(members))
