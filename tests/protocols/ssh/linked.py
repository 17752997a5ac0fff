"""A caller, the gateway and a target in one loop, linked by transports that the test can stall: no sockets, no waiting.

The caller is asyncssh's client, the target asyncssh's server; between them is all of `gateway.protocols.ssh`, with a
real gate and real recordings behind it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import yaml
from asyncssh.connection import SSHClientConnection, SSHServerConnection
from session.house import House

from gateway.config.schema import IdentitySection, SshListener
from gateway.identity import Identity
from gateway.masking.methods import NO_KEYS
from gateway.model import Address, Credential, Target, TargetTls
from gateway.protocols.ssh import Dialler, Service, server_options, upstream
from gateway.protocols.ssh.transport import CallerConnection
from gateway.public_keys import PublicKey, of_blob
from gateway.recording.reader import Recording, open_recording
from gateway.secrets import SecretReference

T = TypeVar("T")

POLICY = """
allow:
  - {name: all, groups: [engineers], targets: [web1]}
"""

SECONDS = 20.0
"""Far more than anything here takes."""


class Link(asyncio.Transport):
    """One end of a connection. ``stalled``: nothing that is written gets to the other end."""

    HIGH = 64 * 1024

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("192.0.2.7", 50022), "sockname": ("192.0.2.1", 22), "socket": _Socket()})
        self._loop = loop
        self.protocol = protocol
        self.other: Link
        self.stalled = False
        self.most = 0
        self._waiting = bytearray()
        self._paused = False
        self._closing = False
        self._lost = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._lost:
            return
        self._waiting += data
        self.most = max(self.most, len(self._waiting))
        if not self._paused and len(self._waiting) > self.HIGH:
            self._paused = True
            self.protocol.pause_writing()
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        if self.stalled or self._lost:
            return
        data, self._waiting = bytes(self._waiting), bytearray()
        if data and not self.other._lost:
            self.other.protocol.data_received(data)
        if self._paused:
            self._paused = False
            self.protocol.resume_writing()
        if self._closing and not self._waiting:
            self._end()

    def go_on(self) -> None:
        self.stalled = False
        self.flush()

    def close(self) -> None:
        self._closing = True
        self._loop.call_soon(self.flush)

    def abort(self) -> None:
        self._end()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It has its own."""

    def pause_reading(self) -> None:
        self.other.stalled = True

    def resume_reading(self) -> None:
        self.other.go_on()

    def is_closing(self) -> bool:
        return self._closing

    def _end(self) -> None:
        for end in (self, self.other):
            if not end._lost:
                end._lost = True
                self._loop.call_soon(end.protocol.connection_lost, None)


class _Socket:
    family = socket.AF_INET

    def setsockopt(self, *_: object) -> None:
        pass


def link(loop: asyncio.AbstractEventLoop, one: asyncio.Protocol, two: asyncio.Protocol) -> Link:
    """Connects two protocols; the first one's end."""
    here, there = Link(loop, one), Link(loop, two)
    here.other, there.other = there, here
    one.connection_made(here)
    two.connection_made(there)
    return here


class Shell(asyncssh.SSHServerSession[bytes]):
    """What the target does about one channel: the test's to say."""

    def __init__(self, target: FakeTarget) -> None:
        self.target = target
        self.channel: asyncssh.SSHServerChannel[bytes]
        self.asked: tuple[str, str] | None = None
        self.terminal: tuple[Any, ...] | None = None
        self.received = bytearray()
        self.ended = False
        self.over = False
        self.paused = False
        self.said: list[tuple[Any, ...]] = []
        target.shells.append(self)

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self.channel = chan

    def pty_requested(self, *terminal: Any) -> bool:
        self.terminal = terminal
        return self.target.gives_terminals

    def _begin(self, *asked: str) -> bool:
        self.asked = asked  # type: ignore[assignment]  # two of them
        self.target.before(self)
        return not self.target.refuses

    def shell_requested(self) -> bool:
        return self._begin("shell", "")

    def exec_requested(self, command: str) -> bool:
        return self._begin("exec", command)

    def subsystem_requested(self, subsystem: str) -> bool:
        return self._begin("subsystem", subsystem)

    def data_received(self, data: bytes, datatype: object) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def terminal_size_changed(self, *size: int) -> None:
        self.said.append(("size", *size))

    def signal_received(self, signal: str) -> None:
        self.said.append(("signal", signal))

    def break_received(self, msec: int) -> bool:
        self.said.append(("break", msec))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False


class FakeTarget:
    """A host with one key. ``before`` is called when a channel asks for something."""

    def __init__(self, loop: asyncio.AbstractEventLoop, key: asyncssh.SSHKey) -> None:
        self.loop = loop
        self.shells: list[Shell] = []
        self.links: list[Link] = []
        self.refuses = False
        self.gives_terminals = True
        self.before: Callable[[Shell], None] = lambda shell: None
        target = self

        class Server(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                return False

            def session_requested(self) -> Shell:
                return Shell(target)

        self.options = asyncssh.SSHServerConnectionOptions(
            server_factory=Server, server_host_keys=[key], encoding=None, line_editor=False, gss_host=None
        )

    def connect(self, connection: asyncio.Protocol) -> None:
        self.links.append(link(self.loop, connection, SSHServerConnection(self.loop, self.options)))


class Caller:
    """asyncssh's client, and its end of the link."""

    def __init__(self, connection: SSHClientConnection, end: Link) -> None:
        self.connection = connection
        self.end = end

    @property
    def gateway(self) -> CallerConnection:
        """The gateway's connection with it."""
        protocol = self.end.other.protocol
        assert isinstance(protocol, CallerConnection)
        return protocol

    async def run(self, command: str, **options: Any) -> Process:
        """Asks for ``command`` and gives what it asked by, without waiting for the answer."""
        process = Process()
        process.opening = asyncio.ensure_future(
            self.connection.create_session(lambda: process, command, encoding=None, **options)
        )
        return process


class Process(asyncssh.SSHClientSession[bytes]):
    """A command as the caller sees it."""

    def __init__(self) -> None:
        self.opening: asyncio.Future[Any]
        self.channel: asyncssh.SSHClientChannel[bytes]
        self.out = bytearray()
        self.err = bytearray()
        self.status: int | None = None
        self.signal: str | None = None
        self.words = ""
        self.ended = False
        self.over = asyncio.Event()
        self.order: list[str] = []

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self.channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        (self.out if datatype is None else self.err).extend(data)

    def exit_status_received(self, status: int) -> None:
        self.status = status
        self.order.append(f"status after {len(self.out)}")

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.signal = signal
        self.words = msg

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()


class World:
    """All of it."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop, *policy: str) -> None:
        self.loop = loop
        self.directory = directory
        names = ("host", "gateway", "alice", "web1")
        self.keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in names}
        for name, key in self.keys.items():
            key.write_private_key(directory / name)
        self.target = FakeTarget(loop, self.keys["web1"])
        self.house = House(directory)
        own = Target(
            "web1",
            "ssh",
            Address("web1", 22),
            TargetTls(),
            (Credential("deploy", key=SecretReference("file", str(directory / "gateway"))),),
            host_keys=(self.public("web1"),),
        )
        self.house.gate.rules = self.house.rules(*(policy or (POLICY,)), targets=(own,))
        registered = directory / "keys.yaml"
        entry = {"principal": "alice", "groups": ["engineers"], "keys": [self.public("alice").line]}
        registered.write_text(yaml.safe_dump([entry]))
        section = IdentitySection(ssh_keys=SecretReference("file", str(registered)))
        reactor = _Reactor(self.house.clock, loop)
        self.service = Service(
            reactor=reactor,
            dialler=Dialler(reactor, time.time),
            gate=self.house.gate,
            identity=Identity(section, lambda check: (_ for _ in ()).throw(AssertionError("no thread is needed"))),
            audit=self.house.audit,
            clock=self.house.clock.seconds,
            random=os.urandom,
            pending=10,
            keyring=lambda: NO_KEYS,
            keep_tokens=lambda: None,
        )
        host_keys = (SecretReference("file", str(directory / "host")),)
        listener = SshListener(address=Address("127.0.0.1", 22), host_keys=host_keys)
        self.service.options = server_options(self.service, listener, "ostiary.yaml", login=30.0)

    def public(self, name: str) -> PublicKey:
        return of_blob(self.keys[name].public_data)

    def dial(self, **options: Any) -> tuple[SSHClientConnection, Link]:
        """A caller that begins to log in; ``waiter`` of its options fires when it has."""
        given: dict[str, Any] = {
            "username": "deploy@web1",
            "client_keys": [self.keys["alice"]],
            "known_hosts": None,
            "config": None,
            "agent_path": None,
            "gss_host": None,
        }
        made = asyncssh.SSHClientConnectionOptions(**(given | options))
        made.waiter = self.loop.create_future()
        connection = SSHClientConnection(self.loop, made, wait="auth")
        end = link(self.loop, connection, self.service.connection())
        return connection, end

    async def login(self, **options: Any) -> Caller:
        connection, end = self.dial(**options)
        assert connection._options.waiter is not None
        await connection._options.waiter
        return Caller(connection, end)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What the newest recording has in the kernel by now."""
        path = max((self.directory / "recordings").rglob("*.ostrec"))
        file, size = open_recording(path)
        with file:
            found = [dict(event.fields) for event in Recording(file, size)]
        return [event for event in found if kind in (None, event["event"])]


class _Reactor:
    """The test's clock, and asyncio's loop."""

    def __init__(self, clock: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.callLater = clock.callLater
        self._asyncioEventloop = loop


async def until(condition: Callable[[], object]) -> None:
    """Turns of the loop until ``condition``."""
    while not condition():  # noqa: ASYNC110  # what is looked at are asyncssh's own states, which tell nobody
        await asyncio.sleep(0)


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def connected(world: World, monkeypatch: Any) -> Iterator[None]:
    class Endpoint:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def open(self, protocol: asyncio.Protocol) -> None:
            world.target.connect(protocol)

    monkeypatch.setattr(upstream, "StreamClientEndpoint", Endpoint)
    yield
    world.house.close()


def play(tmp_path: Path, monkeypatch: Any, act: Callable[[World], Coroutine[Any, Any, T]], *policy: str) -> T:
    """Runs ``act`` in a world of its own."""

    async def scene() -> T:
        world = World(tmp_path, asyncio.get_running_loop(), *policy)
        with connected(world, monkeypatch):
            async with asyncio.timeout(SECONDS):
                return await act(world)

    return asyncio.run(scene())
