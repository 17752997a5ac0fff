"""What a user name asks for: ``login@target``, or ``principal@login@target`` where a password has to say whose it is.

The last ``@`` of `ssh deploy@web1@gateway` is ssh's own; the name that arrives is ``deploy@web1``. Read from the end: a
principal may be a mail address, a login and a target have no ``@``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requested:
    """Nothing of it is proven.

    principal  who a password is of; the login's name where none is given
    login, target  empty where the name has no ``@``
    """

    principal: str
    login: str
    target: str
    claims: bool


def requested(name: str, target: str = "") -> Requested:
    """``target``: the one that was jumped to; then the name has only the login, and perhaps whose password it is."""
    if target:
        principal, at, login = name.rpartition("@")
        return Requested(principal if at else login, login, target, bool(at))
    rest, at, target = name.rpartition("@")
    if not at:
        return Requested(name, "", "", False)
    principal, claimed, login = rest.rpartition("@")
    return Requested(principal if claimed else login, login, target, bool(claimed))
