"""Compiled conditions on SSH operations (`gateway.policy.conditions` has all others).

A condition is about operations of some kind (exec, files, ...), and holds for all others: which kinds an entry is
about at all is `CoversRequests`' and `NamesRequest`'s to say. As elsewhere an allow asks whether *all* that an
operation does is covered, a deny and an approve whether *one* of it is named.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import re2

from gateway.model import Access, FileUse, SshOperation
from gateway.policy.commands import CommandPatterns
from gateway.policy.conditions import listed
from gateway.policy.globs import Globs, is_glob
from gateway.policy.paths import PathGlobs
from gateway.shell import read
from gateway.ssh_requests import BY_NAME, CARRIERS, REQUESTS, UNSAFE_VARIABLES

_COMMANDS = ("exec", "scp")
_FORWARDS = ("forward_local", "forward_remote")
_ADDRESSES = re2.compile(r"[0-9.*?]*[0-9][0-9.*?]*")
"""The host of a glob that means IPv4 addresses. (IPv6 addresses are in brackets, and no name is.)"""
_UNSAFE = Globs.of(UNSAFE_VARIABLES)

FILES = frozenset(f"files by {carrier}" for carrier in CARRIERS)
"""Actions on files, by what they come in."""

TYPED = "typed"
"""A line typed in a terminal: no request, and of entries with ``ssh.typed`` alone."""

KINDS = frozenset(REQUESTS) | FILES | {TYPED}


def kinds(operation: SshOperation) -> frozenset[str]:
    """Which of `KINDS` it is; several for an action on files of which nobody knows what it came in."""
    if operation.request != "file":
        return frozenset({operation.request})
    return frozenset(f"files by {carrier}" for carrier in (operation.verbs & CARRIERS) or CARRIERS)


def goes_by_name(operation: SshOperation) -> bool:
    """Whether only an entry that names it allows it."""
    return operation.request in BY_NAME


@dataclass(frozen=True, slots=True)
class OfProtocol:
    """The entry has a section for one kind of protocols: it is about targets that speak one of these."""

    section: str
    protocols: frozenset[str]

    def holds(self, access: Access) -> bool:
        return access.target.protocol in self.protocols

    def why_not(self, access: Access) -> str:
        return f"{self.section}: the target speaks {access.target.protocol}"


SQL = OfProtocol("sql", frozenset({"postgres"}))
SSH = OfProtocol("ssh", frozenset({"ssh"}))


@dataclass(frozen=True, slots=True)
class LoginNamed:
    """``ssh.logins``: the user at the target."""

    globs: Globs

    def holds(self, access: Access) -> bool:
        return self.globs.match(access.role)

    def why_not(self, access: Access) -> str:
        return f"ssh.logins: {access.role} is none of {self.globs}"


@dataclass(frozen=True, slots=True)
class CoversRequests:
    """What an allow is about: the kinds that it names, or that its other conditions are about."""

    kinds: frozenset[str]

    def holds(self, operation: SshOperation) -> bool:
        return kinds(operation) <= self.kinds

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.requests: does not cover {listed(kinds(operation) - self.kinds)}"


@dataclass(frozen=True, slots=True)
class NamesRequest:
    """What a deny or approve is about."""

    kinds: frozenset[str]

    def holds(self, operation: SshOperation) -> bool:
        return not self.kinds.isdisjoint(kinds(operation))

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.requests: {listed(kinds(operation))} is none of these"


@dataclass(frozen=True, slots=True)
class CommandCovered:
    """``ssh.exec`` of an allow."""

    patterns: CommandPatterns

    def holds(self, operation: SshOperation) -> bool:
        return operation.request != "exec" or self.patterns.covers(operation)

    def why_not(self, operation: SshOperation) -> str:
        why = f"ssh.exec: the command is none of {self.patterns}"
        if operation.argv is None:
            uses = listed(operation.shell) if operation.opaque is None else operation.opaque
            why += f", and is not plain words: {uses}"
        return why


@dataclass(frozen=True, slots=True)
class CommandForced:
    """``ssh.force_command`` of an allow: this text, to the last blank."""

    command: str

    def holds(self, operation: SshOperation) -> bool:
        return operation.request not in _COMMANDS or operation.text == self.command

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.force_command: it is not {self.command}, and nothing else is allowed here"


@dataclass(frozen=True, slots=True)
class CommandNamed:
    """``ssh.exec`` of a deny: a command that is not plain words could be any, unless it is certain what it runs."""

    patterns: CommandPatterns

    def holds(self, operation: SshOperation) -> bool:
        return operation.request not in _COMMANDS or self.patterns.names(operation)

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.exec: no part of the command is one of {self.patterns}"


@dataclass(frozen=True, slots=True)
class CommandMatches:
    """``ssh.matches`` of a deny: RE2 on the command as it came, with its quotes resolved, and on each of its parts.

    A command of which only a shell would know the words could have any text.
    """

    expressions: tuple[re2._Regexp, ...]

    def holds(self, operation: SshOperation) -> bool:
        if operation.request not in _COMMANDS:
            return True
        found = read(operation.text)
        if found.commands is None or found.resolved is None:
            return True
        texts = {operation.text, found.resolved, *(" ".join(words) for words in found.commands)}
        return any(expression.search(text) for expression in self.expressions for text in texts)

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.matches: none of {listed(expression.pattern for expression in self.expressions)} is in the command"


@dataclass(frozen=True, slots=True)
class LineMatches:
    """``ssh.typed``: RE2 on a line typed in a terminal, and on each of its lines where it was pasted. Best effort."""

    expressions: tuple[re2._Regexp, ...]

    def holds(self, operation: SshOperation) -> bool:
        if operation.request != "typed":
            return False
        texts = {operation.text, *operation.text.splitlines()}
        return any(expression.search(text) for expression in self.expressions for text in texts)

    def why_not(self, operation: SshOperation) -> str:
        if operation.request != "typed":
            return "ssh.typed: it is no line typed in a terminal"
        return f"ssh.typed: none of {listed(expression.pattern for expression in self.expressions)} is in the line"


@dataclass(frozen=True, slots=True)
class FilesCovered:
    """``ssh.files`` of an allow: each path that the action touches, for what it does to it.

    read, write, listing  None: nothing may be done so
    """

    read: PathGlobs | None
    write: PathGlobs | None
    listing: PathGlobs | None

    def holds(self, operation: SshOperation) -> bool:
        return operation.request != "file" or not self._rest(operation)

    def _rest(self, operation: SshOperation) -> list[FileUse]:
        return [use for use in operation.files if not self._covers(use)]

    def _covers(self, use: FileUse) -> bool:
        named = {"read": self.read, "write": self.write, "list": self.listing}[use.action]
        return named is not None and named.covers(use.path)

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.files: does not cover {_uses(self._rest(operation))}"


@dataclass(frozen=True, slots=True)
class FilesNamed:
    """``ssh.files`` of a deny: one path that the action touches. SFTP and scp as such touch none."""

    read: PathGlobs | None
    write: PathGlobs | None
    listing: PathGlobs | None

    def holds(self, operation: SshOperation) -> bool:
        return operation.request != "file" or any(map(self._names, operation.files))

    def _names(self, use: FileUse) -> bool:
        named = {"read": self.read, "write": self.write, "list": self.listing}[use.action]
        return named is not None and named.meets(use.path)

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.files: does {_uses(operation.files)}, none of what the entry names"


def _uses(uses: Iterable[FileUse]) -> str:
    return listed(f"{use.action} {use.path}" for use in uses)


@dataclass(frozen=True, slots=True)
class SubsystemNamed:
    """``ssh.subsystems``"""

    globs: Globs

    def holds(self, operation: SshOperation) -> bool:
        return operation.request != "subsystem" or self.globs.match(operation.subsystem)

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.subsystems: {operation.subsystem} is none of {self.globs}"


@dataclass(frozen=True, slots=True)
class DestinationNamed:
    """``ssh.destinations``: of a host and port, or a socket's path."""

    hosts: Globs
    sockets: PathGlobs

    @classmethod
    def of(cls, patterns: Iterable[str]) -> DestinationNamed:
        patterns = list(patterns)
        sockets = [pattern for pattern in patterns if pattern.startswith("/")]
        return cls(Globs.of(set(patterns) - set(sockets)), PathGlobs.of(sockets))

    def reaches(self, destination: str) -> bool:
        return self.sockets.covers(destination) if destination.startswith("/") else self.hosts.match(destination)

    def holds(self, operation: SshOperation) -> bool:
        return operation.request not in _FORWARDS or self.reaches(operation.destination)

    def why_not(self, operation: SshOperation) -> str:
        known = ", ".join(filter(None, (str(self.hosts), str(self.sockets))))
        return f"ssh.destinations: {operation.destination} is none of {known}"


@dataclass(frozen=True, slots=True)
class DestinationCovered(DestinationNamed):
    """``ssh.destinations`` of an allow. A glob that looks like addresses (``10.0.0.*:443``) covers no names: whoever
    owns a domain has ``10.0.0.1.example.org`` lead anywhere."""

    names: Globs

    @classmethod
    def of(cls, patterns: Iterable[str]) -> DestinationCovered:
        both = DestinationNamed.of(patterns)
        names = {one for one in both.hosts.patterns if not _ADDRESSES.fullmatch(one.rpartition(":")[0])}
        return cls(both.hosts, both.sockets, Globs.of(names))

    def reaches(self, destination: str) -> bool:
        if not DestinationNamed.reaches(self, destination):
            return False
        if destination.startswith("/") or _is_address(destination.rpartition(":")[0]):
            return True
        return self.names.match(destination)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class VariableCovered:
    """``ssh.env`` of an allow. One that chooses what is run or loaded has to be named by its whole name."""

    globs: Globs

    def holds(self, operation: SshOperation) -> bool:
        if operation.request != "env" or operation.variable in self.globs.exact:
            return True
        return self.globs.match(operation.variable) and not _UNSAFE.match(operation.variable.upper())

    def why_not(self, operation: SshOperation) -> str:
        why = f"ssh.env: {operation.variable} is none of {self.globs}"
        return f"{why} by its whole name" if self.globs.match(operation.variable) else why


@dataclass(frozen=True, slots=True)
class VariableNamed:
    """``ssh.env`` of a deny."""

    globs: Globs

    def holds(self, operation: SshOperation) -> bool:
        return operation.request != "env" or self.globs.match(operation.variable)

    def why_not(self, operation: SshOperation) -> str:
        return f"ssh.env: {operation.variable} is none of {self.globs}"


def parse_destination(text: str) -> str:
    """A glob for ``host:port``, ``[IPv6]:port`` or the path of a socket. Raises ValueError with the mend."""
    if text.startswith("/"):
        PathGlobs.of((text,))
        return text
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port == "*" or (port.isascii() and port.isdecimal() and int(port) <= 65535)):
        raise ValueError("has no port; write host:port, such as db.internal:5432, *.internal:443 or [2001:db8::1]:*")
    if text != text.lower():
        raise ValueError(f"has capitals, and no destination has; write {text.lower()}")
    if host.endswith(".") or (":" in host) != (host.startswith("[") and host.endswith("]")):
        raise ValueError("is not spelled as destinations are; write db.internal:5432 or [2001:db8::1]:443")
    if is_glob(host):
        return text
    bare = host.strip("[]")
    if bare.replace(".", "").replace(":", "").isalnum() and (host != bare or bare.replace(".", "").isdigit()):
        _check_address(bare, host != bare)
    return text


def _check_address(written: str, bracketed: bool) -> None:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        raise ValueError("is no address; write four numbers such as 192.0.2.7, or an IPv6 address in []") from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    spelled = str(mapped or address)
    if spelled != written or (mapped is not None and bracketed):
        raise ValueError(f"is another spelling of {spelled}, as destinations have it; write that")
