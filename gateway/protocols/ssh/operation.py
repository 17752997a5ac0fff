"""Requests and file actions -> `gateway.model.SshOperation` (RFC 4254 sections 6 and 7).

Nothing here raises: what can't be read for certain is an opaque operation, which only an allow without conditions on
operations lets go.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Literal

from gateway import shell as commands
from gateway.model import FileAction, FileUse, SshOperation, SshRequest
from gateway.protocols.ssh.commands import scp, without_secrets
from gateway.ssh_requests import LOCALE, is_harmless

Carrier = Literal["sftp", "scp"]

_HOST = re.compile(r"[a-z0-9_-][a-z0-9_.-]{0,252}", re.ASCII)
_NAME = re.compile(r"[\x21-\x7e]{1,64}", re.ASCII)
"""RFC 4251 section 6: names of subsystems are such."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}|[0-9]{1,20}", re.ASCII)

EVERYWHERE: Final = "*"
"""All addresses: the empty one of a remote forward (RFC 4254 section 7.1)."""


def shell(channel: int | None = None) -> SshOperation:
    """An interactive shell."""
    return _made("shell", "shell", channel=channel)


def execute(raw: bytes, channel: int | None = None) -> SshOperation:
    """A command, as it came; ``scp -t`` and ``scp -f`` are scp."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
        return _made("exec", text, channel=channel, opaque="a command that is no UTF-8")
    if "\0" in text:
        # sshd refuses it, others end the command there.
        return _made("exec", text, channel=channel, opaque="a command with a NUL byte")
    read = commands.read(text)
    if "length" in read.shell:
        opaque = f"a command of more than {commands.MAX_COMMAND} characters"
        return _made("exec", text, channel=channel, opaque=opaque, shell=read.shell)
    if scp(read.words) is not None:
        return _made("scp", text, without_secrets(text), channel=channel, argv=read.words)
    normalised = shlex.join(read.words) if read.words is not None else read.resolved or " ".join(text.split())
    return _made("exec", text, without_secrets(normalised), channel=channel, argv=read.words, shell=read.shell)


def request(name: str, argument: bytes, channel: int | None = None) -> SshOperation:
    """What a session channel asks for: ``shell``, ``exec`` or ``subsystem`` (RFC 4254 section 6.5)."""
    if name == "exec":
        return execute(argument, channel)
    if name == "subsystem":
        return subsystem(argument.decode("utf-8", "replace"), channel)
    return shell(channel)


def subsystem(name: str, channel: int | None = None) -> SshOperation:
    """A subsystem; ``sftp`` is SFTP as such."""
    if name == "sftp":
        return _made("sftp", "sftp", channel=channel)
    opaque = None if _NAME.fullmatch(name) else "a subsystem whose name is none"
    return _made("subsystem", f"subsystem {name}", channel=channel, subsystem=name, opaque=opaque)


def typed(line: str, channel: int | None = None) -> SshOperation:
    """A line typed in a terminal, as far as it could be read: best effort."""
    return _made("typed", line, without_secrets(" ".join(line.split())), channel=channel)


def file(
    carrier: Carrier,
    text: str,
    uses: Sequence[FileUse],
    channel: int | None = None,
    *,
    opaque: str | None = None,
) -> SshOperation:
    """One action on files. ``text`` says it for people (``rename /a /b``), ``uses`` has every path that it touches."""
    for use in uses:
        # All that lies beneath a directory has a slash behind it; the root has one of its own.
        one = use.path[:-1] if use.path.endswith("/") and use.path != "/" else use.path
        if normalised_path(one) != one:
            opaque = opaque or "a path that is not absolute and normalised"
    if not uses:
        opaque = opaque or "an action on files that names none"
    verbs = frozenset({"file", carrier, *(use.action for use in uses)})
    return _made("file", text, channel=channel, files=tuple(uses), verbs=verbs, opaque=opaque)


def forward_local(host: str, port: int, channel: int | None = None) -> SshOperation:
    """direct-tcpip: a connection from the target on to ``host``."""
    return _forward("forward_local", destination(host, port), f"{host}:{port}", channel)


def forward_remote(host: str, port: int, channel: int | None = None) -> SshOperation:
    """tcpip-forward: the target listens on ``host``; the empty one, 0.0.0.0 and :: are all addresses."""
    everywhere = host in ("", EVERYWHERE, "0.0.0.0", "::") and 0 <= port <= 65535  # noqa: S104
    where = f"{EVERYWHERE}:{port}" if everywhere else destination(host, port)
    return _forward("forward_remote", where, f"{host}:{port}", channel)


def forward_local_socket(path: str, channel: int | None = None) -> SshOperation:
    """direct-streamlocal@openssh.com (OpenSSH's PROTOCOL, section 2.4)."""
    return _forward("forward_local", normalised_path(path), path, channel)


def forward_remote_socket(path: str, channel: int | None = None) -> SshOperation:
    """streamlocal-forward@openssh.com (OpenSSH's PROTOCOL, section 2.4)."""
    return _forward("forward_remote", normalised_path(path), path, channel)


def agent(channel: int | None = None) -> SshOperation:
    """auth-agent-req@openssh.com"""
    return _made("agent", "agent", channel=channel)


def x11(channel: int | None = None) -> SshOperation:
    """x11-req"""
    return _made("x11", "x11", channel=channel)


def environment(variable: str, value: str, channel: int | None = None) -> SshOperation:
    """env; the value is evidence, and leaves in no other way."""
    opaque = None if _VARIABLE.fullmatch(variable) else "a variable whose name is none"
    verbs = frozenset({LOCALE if is_harmless(variable, value) else "env"})
    text, normalised = f"env {variable}={value}", f"env {variable}"
    return _made("env", text, normalised, channel=channel, variable=variable, verbs=verbs, opaque=opaque)


def destination(host: str, port: int) -> str | None:
    """``host:port`` in its one spelling; None when it is no destination.

    Numbers are read as inet_aton does (``127.1``, ``0x7f000001``): a resolver would. Of two dots at the end no two
    resolvers say the same.
    """
    name = host.lower().removesuffix(".")
    if not 0 <= port <= 65535 or name.endswith("."):
        return None
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        parts = name.split(".")
        if all(map(_NUMBER.fullmatch, parts)):
            numeric = _inet_aton(parts)
            return None if numeric is None else f"{numeric}:{port}"
        return f"{name}:{port}" if _HOST.fullmatch(name) else None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        if address.ipv4_mapped is None:
            return f"[{address}]:{port}"
        address = address.ipv4_mapped
    return f"{address}:{port}"


def normalised_path(path: str) -> str | None:
    """An absolute path without ``.``, ``..``, double and trailing slashes; None when it is not absolute, or no path."""
    if not path.startswith("/") or "\0" in path:
        return None
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)


def written(text: str) -> SshOperation:
    """A request as people write it, for `ostiary explain --ssh` and `ostiary policy test`.

    Raises ValueError with the mend.
    """
    kind, _, rest = text.partition(" ")
    match kind:
        case "exec" if rest:
            return execute(rest.encode("utf-8", "surrogateescape"))
        case "subsystem" if rest:
            return subsystem(rest)
        case "forward" | "forward_local" if rest:
            return _written_forward("forward_local", rest)
        case "forward_remote" if rest:
            return _written_forward("forward_remote", rest)
        case "env" if rest:
            variable, _, value = rest.partition("=")
            return environment(variable, value)
        case "read" | "write" | "list" if rest:
            return _written_file("sftp", kind, rest)
        case "scp" if rest.partition(" ")[0] in ("read", "write", "list"):
            action, _, path = rest.partition(" ")
            return _written_file("scp", action, path)
        case "typed" if rest:
            return typed(rest)
        case "shell" if not rest:
            return shell()
        case "agent" if not rest:
            return agent()
        case "x11" if not rest:
            return x11()
        case "sftp" if not rest:
            return subsystem("sftp")
        case "scp" if not rest:
            return execute(b"scp -t -- /")
    raise ValueError(
        "is no request; write shell, exec COMMAND, sftp, scp, subsystem NAME, read PATH, write PATH, list PATH (by "
        "SFTP; scp read PATH by scp), forward HOST:PORT, forward_remote HOST:PORT, agent, x11, env NAME=VALUE, or "
        "typed LINE"
    )


def _written_file(carrier: Carrier, action: str, path: str) -> SshOperation:
    absolute = normalised_path(path)
    if absolute is None:
        raise ValueError(f"has no absolute path; write {action} /etc/motd, from the root of the target")
    known: dict[str, FileAction] = {"read": "read", "write": "write", "list": "list"}
    return file(carrier, f"{action} {absolute}", (FileUse(known[action], absolute),))


def _written_forward(request: Literal["forward_local", "forward_remote"], text: str) -> SshOperation:
    if text.startswith("/"):
        return forward_local_socket(text) if request == "forward_local" else forward_remote_socket(text)
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not port.isascii() or len(port) > 5:
        raise ValueError(f"has no port; write {request} db.internal:5432, or the path of a socket")
    return forward_local(host, int(port)) if request == "forward_local" else forward_remote(host, int(port))


def _inet_aton(parts: list[str]) -> ipaddress.IPv4Address | None:
    """One to four numbers, decimal, octal or hex; the last fills what is left (inet_aton(3))."""
    numbers = []
    for part in parts:
        octal = part.startswith("0") and part != "0" and not part.startswith("0x")
        try:
            numbers.append(int(part, 16 if part.startswith("0x") else 8 if octal else 10))
        except ValueError:
            return None
    *first, last = numbers
    if len(first) > 3 or any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    value = last
    for index, number in enumerate(first):
        value |= number << (8 * (3 - index))
    return ipaddress.IPv4Address(value)


def _forward(
    request: Literal["forward_local", "forward_remote"], where: str | None, said: str, channel: int | None
) -> SshOperation:
    opaque = None if where is not None else "a destination that can't be read"
    shown = said if where is None else where
    return _made(request, f"{request} {shown}", channel=channel, destination=where or said, opaque=opaque)


def _made(
    request: SshRequest,
    text: str,
    normalised: str | None = None,
    *,
    channel: int | None,
    verbs: frozenset[str] | None = None,
    argv: tuple[str, ...] | None = None,
    shell: frozenset[str] = frozenset(),
    subsystem: str = "",
    files: tuple[FileUse, ...] = (),
    destination: str = "",
    variable: str = "",
    opaque: str | None = None,
) -> SshOperation:
    normalised = text if normalised is None else normalised
    return SshOperation(
        text=text,
        normalised=normalised,
        digest=sha256(f"{request}\0{normalised}".encode("utf-8", "surrogateescape")).hexdigest(),
        verbs=frozenset({request}) if verbs is None else verbs,
        opaque=opaque,
        unshown=opaque,
        request=request,
        argv=argv,
        shell=shell,
        subsystem=subsystem,
        files=files,
        destination=destination,
        variable=variable,
        channel=channel,
    )
