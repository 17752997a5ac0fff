from __future__ import annotations

import struct
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from protocols.postgres.talk import fields, kinds, message, query, ready, split
from session.house import House, principal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from gateway.errors import LoginFailed, RecordingFailed, TargetUnavailable
from gateway.model import SqlOperation
from gateway.protocols.postgres.cancel import CancelKeys
from gateway.protocols.postgres.server import ClientConnection, PostgresFactory, Service, application_name
from gateway.protocols.postgres.wire import cancel_request, startup
from gateway.sql import analyse, resolve

SSL, GSS = struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877104)
LOST = Failure(ConnectionDone())  # type: ignore[no-untyped-call]  # Twisted's
ORDERS = [("user", "alice"), ("database", "orders")]


class FakeTransport:
    """The client's connection; TLS is begun at once, with the certificate that the test wants."""

    def __init__(self) -> None:
        self.written = b""
        self.disconnecting = False
        self.aborted = False
        self.tls_version: str | None = None
        self.alpn: str | None = None
        self.certificate: bytes | None = b"alice"
        self.received = b""
        self.handshake: Deferred[None] = succeed(None)

    def getPeer(self) -> Any:
        return SimpleNamespace(host="192.0.2.7")

    def write(self, data: bytes) -> None:
        self.written += data

    def take(self) -> bytes:
        taken, self.written = self.written, b""
        return taken

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.disconnecting = self.aborted = True

    def start_tls(self, context: object, *, server_side: bool, received: bytes = b"") -> Deferred[None]:
        assert server_side
        self.tls_version = "TLSv1.3"
        self.received = received
        return self.handshake

    def peer_certificate(self) -> bytes | None:
        return self.certificate

    def channel_binding(self, kind: str) -> bytes | None:
        return None

    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def deliver_to(self, receive: object) -> None: ...


class FakeIdentity:
    """Certificates are names; one password is right."""

    def by_certificate(self, der: bytes, now: float) -> Any:
        if der == b"unknown":
            raise LoginFailed("no", reason="an unknown CA")
        return principal(der.decode())

    async def by_password(self, name: str, password: Any, address: str, now: object) -> Any:
        if password.reveal() != b"right":
            raise LoginFailed("password authentication failed", reason="wrong password")
        return principal(name)


class FakeDialler:
    def __init__(self, house: House) -> None:
        self.reactor = house.clock
        self.dialled: list[dict[str, Any]] = []
        self.refuses: Exception | None = None
        self.waits: Deferred[None] | None = None
        self.target = FakeTransport()
        self.leftover = b""
        self.closed = 0

    def soon(self, work: Any) -> None:
        work()

    async def dial(self, target: object, credential: Any, **others: Any) -> Any:
        self.dialled.append({"user": credential.user, **others})
        if self.waits is not None:
            await self.waits
        if self.refuses is not None:
            raise self.refuses
        stream = SimpleNamespace(transport=self.target, receiver=None, leftover=lambda: self.leftover)
        return SimpleNamespace(
            stream=stream,
            parameters=[(b"server_version", b"15.18")],
            notices=[message(b"N", b"SNOTICE\0\0")],
            key=(4711, b"real"),
            status=b"I",
            close=self._close,
        )

    def _close(self) -> None:
        self.closed += 1


class FakeReading:
    unrestricted = changes_catalogue = False
    said = None

    def setting(self, text: str) -> SqlOperation:
        return resolve(analyse(text), None)

    def read(self, ask: Any, encoding: bytes) -> SqlOperation:
        return resolve(analyse(ask.text.decode()), None)

    def asked(self, ask: object, verdict: object) -> None: ...

    def keep_tokens(self) -> None: ...


class FakeReadings:
    async def open(self, corridor: object) -> FakeReading:
        return FakeReading()


class Gateway:
    """A listener's service between fakes; ``clock`` is the reactor's."""

    def __init__(self, directory: Path, **others: Any) -> None:
        self.house = House(directory)
        self.clock: Clock = self.house.clock
        self.dialler = FakeDialler(self.house)
        self._random = count(1)
        values: dict[str, Any] = {
            "reactor": self.clock,
            "dialler": self.dialler,
            "gate": self.house.gate,
            "identity": FakeIdentity(),
            "tls": None,
            "audit": self.house.audit,
            "readings": FakeReadings(),
            "cancels": CancelKeys(lambda size: b"k" * size),
            "clock": self.clock.seconds,
            "random": lambda size: next(self._random).to_bytes(size, "big"),
            "has_passwords": True,
            "password": "cleartext",
            "login": 30.0,
            "pending": 3,
            "results": False,
            **others,
        }
        self.service = Service(**values)
        self.factory = PostgresFactory(self.service)

    def connect(self, certificate: bytes | None = b"alice") -> Caller:
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, ClientConnection)
        return Caller(protocol, certificate)


class Caller:
    """Says things, and hears what comes back."""

    def __init__(self, protocol: ClientConnection, certificate: bytes | None) -> None:
        self.protocol = protocol
        self.transport = FakeTransport()
        self.transport.certificate = certificate
        protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]  # Twisted's

    def says(self, data: bytes) -> bytes:
        self.protocol.dataReceived(data)
        return self.transport.take()

    def encrypts(self) -> Caller:
        assert self.says(SSL) == b"S"
        return self

    def logs_in(self, *parameters: tuple[str, str]) -> bytes:
        return self.encrypts().says(startup([*ORDERS, *parameters]))

    def leaves(self) -> None:
        self.protocol.connectionLost(LOST)


@pytest.fixture
def gateway(tmp_path: Path) -> Any:
    made = Gateway(tmp_path)
    yield made
    made.house.close()


# --- the login ------------------------------------------------------------------------------------------------


def test_a_login_with_a_certificate(gateway: Gateway) -> None:
    caller = gateway.connect()
    heard = caller.logs_in()
    assert kinds(heard) == "RSKNZ"
    greeting = split(heard)
    assert greeting[1] == message(b"S", b"server_version\x0015.18\0")
    assert greeting[2] == message(b"K", struct.pack("!i", 4711) + b"kkkk"), "the target's PID and a secret of ours"
    assert greeting[-1] == ready(b"I")
    assert b"real" not in heard
    assert [event["unmapped"]["event"] for event in gateway.house.events()] == [
        "authentication_succeeded",
        "session_opened",
    ]
    assert gateway.service.logins == 1
    assert gateway.service.waiting == 0
    [dialled] = gateway.dialler.dialled
    assert dialled["user"] == "ro"
    assert dialled["database"] == "orders"
    [(name, value)] = dialled["parameters"]
    assert name == "application_name"
    assert value.startswith("ostiary/alice/")


def test_then_bytes_are_traffic(gateway: Gateway) -> None:
    caller = gateway.connect()
    caller.logs_in()
    caller.says(query(b"select 1"))
    assert gateway.dialler.target.take() == query(b"select 1")


def test_what_the_target_said_early_is_passed_on(gateway: Gateway) -> None:
    gateway.dialler.leftover = message(b"N", b"SNOTICE\0\0")
    assert kinds(gateway.connect().logs_in()) == "RSKNZN"


def test_every_split_of_a_login(gateway: Gateway) -> None:
    said = startup(ORDERS)
    caller = gateway.connect().encrypts()
    assert b"".join(caller.says(bytes([byte])) for byte in said)[:1] == b"R"


def test_a_certificate_nobody_knows(gateway: Gateway) -> None:
    error = fields(gateway.connect(b"unknown").logs_in())
    assert error["C"] == b"28P01"
    assert "unknown CA" not in str(error)
    [event] = gateway.house.events()
    assert event["status_detail"] == "an unknown CA"
    assert gateway.dialler.dialled == []


def test_a_password(gateway: Gateway) -> None:
    caller = gateway.connect(None)
    assert caller.logs_in() == message(b"R", struct.pack("!i", 3))
    assert kinds(caller.says(message(b"p", b"right\0"))) == "RSKNZ"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (message(b"p", b"wrong\0"), b"28P01"),
        (message(b"p", b"no end"), b"08P01"),
        (message(b"p", b"right\0more\0"), b"08P01"),
        (query(b"select 1"), b"08P01"),
        (b"p\0\0\0\0", b"08P01"),
        (b"p\x7f\xff\xff\xff", b"08P01"),
    ],
)
def test_a_password_that_is_none(gateway: Gateway, said: bytes, code: bytes) -> None:
    caller = gateway.connect(None)
    caller.logs_in()
    assert fields(caller.says(said))["C"] == code
    assert caller.transport.disconnecting
    assert gateway.dialler.dialled == []
    assert gateway.service.refused == 1


def test_no_certificate_and_no_passwords(gateway: Gateway) -> None:
    gateway.service.has_passwords = False
    assert b"client certificate" in gateway.connect(None).logs_in()


def test_whoever_may_not_connect_learns_nothing(gateway: Gateway) -> None:
    known = gateway.connect(b"mallory").encrypts()
    gateway.service.identity = SimpleNamespace(by_certificate=lambda der, now: principal("mallory", "nobody"))  # type: ignore[assignment]
    unknown = gateway.connect(b"mallory").encrypts()
    assert known.says(startup(ORDERS)) == unknown.says(startup([("user", "x"), ("database", "no-such-target")]))
    assert gateway.dialler.dialled == []


def test_settings_are_decided_before_the_target_is_dialled(gateway: Gateway) -> None:
    assert fields(gateway.connect().logs_in(("role", "postgres")))["C"] == b"42501"
    assert gateway.dialler.dialled == []
    gateway.connect().logs_in(("options", "-c statement_timeout=5s"))
    assert gateway.dialler.dialled[0]["parameters"][0] == ("statement_timeout", "5s")


def test_replication_is_refused(gateway: Gateway) -> None:
    assert fields(gateway.connect().logs_in(("replication", "database")))["C"] == b"42501"
    assert gateway.dialler.dialled == []


def test_a_target_that_is_down(gateway: Gateway) -> None:
    gateway.dialler.refuses = TargetUnavailable("the target is down")
    caller = gateway.connect()
    assert fields(caller.logs_in())["C"] == b"08001"
    assert len(gateway.house.live) == 0
    assert gateway.house.events()[-1]["status_detail"].startswith("not opened: the target is down")


def test_what_cannot_be_recorded_is_not_opened(gateway: Gateway) -> None:
    gateway.house.node.recordings.low_water = 2**62
    assert fields(gateway.connect().logs_in())["C"] == b"58030"
    assert gateway.dialler.dialled == []
    assert gateway.house.events()[-1]["unmapped"]["event"] == "recording_failed"
    gateway.house.audit.failed = "gone"
    assert fields(gateway.connect().logs_in())["C"] == b"58030"
    gateway.house.audit.failed = None


def test_a_surprise_says_nothing(gateway: Gateway) -> None:
    gateway.dialler.refuses = RuntimeError("hunter2")
    heard = gateway.connect().logs_in()
    assert fields(heard)["C"] == b"XX000"
    assert b"hunter2" not in heard
    assert len(gateway.house.live) == 0


def test_a_client_that_leaves_while_the_target_is_dialled(gateway: Gateway) -> None:
    gateway.dialler.waits = waits = Deferred[None]()
    caller = gateway.connect()
    caller.logs_in()
    caller.leaves()
    waits.callback(None)
    assert gateway.dialler.closed == 1
    assert len(gateway.house.live) == 0
    assert gateway.service.waiting == 0


def test_a_session_that_is_ended_while_the_target_is_dialled(gateway: Gateway) -> None:
    gateway.dialler.waits = waits = Deferred[None]()
    caller = gateway.connect()
    caller.logs_in()
    gateway.house.live.end_all(RecordingFailed("no disk"))
    assert caller.transport.aborted
    waits.callback(None)
    assert gateway.dialler.closed == 1
    assert caller.transport.take() == b""


# --- before login ---------------------------------------------------------------------------------------------


def test_gss_then_tls(gateway: Gateway) -> None:
    caller = gateway.connect()
    assert caller.says(GSS) == b"N"
    assert caller.logs_in()[:1] == b"R"


@pytest.mark.parametrize("request_", [SSL, GSS])
def test_each_encryption_request_only_once(gateway: Gateway, request_: bytes) -> None:
    caller = gateway.connect()
    caller.says(request_)
    assert fields(caller.says(request_))["C"] == b"08P01"


@pytest.mark.parametrize("request_", [SSL, GSS])
def test_nothing_may_stand_behind_an_encryption_request(gateway: Gateway, request_: bytes) -> None:
    # CVE-2021-23214
    caller = gateway.connect()
    assert b"unencrypted data" in caller.says(request_ + startup(ORDERS))
    assert caller.transport.tls_version is None


def test_without_tls_nobody_is_asked_who_he_is(gateway: Gateway) -> None:
    assert b"TLS only" in gateway.connect().says(startup(ORDERS))


def test_direct_tls(gateway: Gateway) -> None:
    caller = gateway.connect()
    caller.transport.alpn = "postgresql"
    assert caller.says(b"\x16\x03\x01") == b""
    assert caller.transport.received == b"\x16\x03\x01", "what came already belongs to the handshake"
    assert caller.says(startup(ORDERS))[:1] == b"R"
    plain = gateway.connect()
    assert b"ALPN" in plain.says(b"\x16\x03\x01")


def test_a_packet_of_four_bytes(gateway: Gateway) -> None:
    assert fields(gateway.connect().says(struct.pack("!i", 4)))["C"] == b"08P01"


def test_newer_protocols_are_negotiated(gateway: Gateway) -> None:
    body = b"user\0alice\0database\0orders\0_pq_.new\0x\0\0"
    packet = struct.pack("!ihh", len(body) + 8, 3, 9) + body
    heard = split(gateway.connect().encrypts().says(packet))
    assert heard[0] == message(b"v", struct.pack("!ii", 2, 1) + b"_pq_.new\0")
    [key] = [one for one in heard if one[:1] == b"K"]
    assert len(key) == 9 + 32


def test_silence_has_an_end(gateway: Gateway) -> None:
    caller, slow = gateway.connect(), gateway.connect(None)
    slow.logs_in()
    gateway.clock.advance(31)
    assert caller.transport.aborted
    assert slow.transport.aborted
    caller.leaves()
    slow.leaves()
    assert gateway.service.waiting == 0


def test_a_session_has_no_such_end(gateway: Gateway) -> None:
    caller = gateway.connect()
    caller.logs_in()
    gateway.clock.advance(3600)
    assert not caller.transport.aborted


def test_those_who_have_not_logged_in_are_counted(gateway: Gateway) -> None:
    callers = [gateway.connect() for _ in range(3)]
    assert gateway.factory.buildProtocol(None) is None
    callers[0].leaves()
    callers[1].logs_in()
    assert gateway.service.waiting == 1
    assert gateway.factory.buildProtocol(None) is not None


def test_whoever_sends_too_much_is_not_logging_in(gateway: Gateway) -> None:
    caller = gateway.connect(None)
    caller.logs_in()
    caller.says(b"p\0\0\xff\x00" + b"x" * 70_000)
    assert caller.transport.aborted


# --- cancel ---------------------------------------------------------------------------------------------------


def test_a_cancel_request_finds_its_session(gateway: Gateway) -> None:
    gateway.connect().logs_in()
    cancelled: list[str] = []
    owners = gateway.service.cancels._of_pid[4711]
    [secret_of_ours] = owners

    def cancel(address: str) -> Deferred[None]:
        cancelled.append(address)
        return succeed(None)

    owners[secret_of_ours] = SimpleNamespace(cancel=cancel)
    for secret in (b"kkkx", b"kkkk"):
        caller = gateway.connect()
        assert caller.says(cancel_request(4711, secret)) == b"", "right or wrong, it is answered by closing"
        assert caller.transport.disconnecting
    assert cancelled == ["192.0.2.7"]
    assert gateway.service.waiting == 0


def test_a_session_that_is_over_cannot_be_cancelled(gateway: Gateway) -> None:
    caller = gateway.connect()
    caller.logs_in()
    caller.leaves()
    assert gateway.service.cancels.owner(4711, b"kkkk") is None


# --- names ----------------------------------------------------------------------------------------------------


def test_access_that_expires_ends_the_session(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    ends = gateway.clock.seconds() + 60
    gateway.service.identity = SimpleNamespace(by_certificate=lambda der, now: principal("alice", expires_at=ends))  # type: ignore[assignment]
    caller = gateway.connect()
    caller.logs_in()
    gateway.clock.advance(61)
    assert b"your access has expired" in caller.transport.take()
    gateway.house.close()


@pytest.mark.parametrize("name", ["alice", "x" * 200, "spiffe://corp/ci/\x00\n\x7fé deploy"])
def test_application_names_fit_and_are_printable(gateway: Gateway, name: str) -> None:
    admitted = gateway.house.admit(principal(name))
    made = application_name(admitted)
    assert made.isascii()
    assert made.isprintable()
    assert len(made) <= 63
    assert made.endswith("/" + admitted.session)
