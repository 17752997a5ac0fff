from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from protocols.postgres.talk import message, report, status
from scramp import ScramMechanism
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from gateway.errors import TargetUnavailable
from gateway.protocols.postgres.upstream import Dialler, Login, MessageStream
from gateway.secrets import Secret


def _unreachable(failure: Failure) -> None:
    assert isinstance(failure.value, TargetUnavailable)


class FakeReactor(Clock):
    def getThreadPool(self) -> None:
        """Nothing is done in threads here."""


R, K, Z = ord("R"), ord("K"), ord("Z")
LOST = Failure(ConnectionDone())  # type: ignore[no-untyped-call]  # Twisted's


def asks(method: int, rest: bytes = b"") -> bytes:
    return struct.pack("!i", method) + rest


def login(password: bytes | None = b"secret", *, private: bool = True, binding: bytes | None = None) -> Login:
    return Login("gw", None if password is None else Secret(password), private=private, binding=binding)


class FakeTarget:
    """The target's half of SCRAM-SHA-256 (RFC 5802, 7677)."""

    def __init__(self, password: str = "secret", *, binding: bytes | None = None) -> None:
        name = "SCRAM-SHA-256-PLUS" if binding is not None else "SCRAM-SHA-256"
        mechanism = ScramMechanism(name)
        salt, stored, server, iterations = mechanism.make_auth_info(password, iteration_count=4096)
        channel = ("tls-server-end-point", binding) if binding is not None else None
        self._server = mechanism.make_server(lambda user: (salt, stored, server, iterations), channel_binding=channel)

    def first(self, answer: bytes) -> tuple[str, bytes]:
        """The mechanism chosen, and the next request."""
        mechanism, _, rest = answer[5:].partition(b"\0")
        (size,) = struct.unpack_from("!i", rest)
        assert len(rest) == 4 + size
        self._server.set_client_first(rest[4:].decode())
        return mechanism.decode(), asks(11, self._server.get_server_first().encode())

    def final(self, answer: bytes) -> bytes:
        self._server.set_client_final(answer[5:].decode())
        return asks(12, self._server.get_server_final().encode())


OFFERED = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"


# --- the pure part --------------------------------------------------------------------------------------------


def test_trust() -> None:
    one = login(None)
    assert one.receive(R, asks(0)) == b""
    one.receive(ord("S"), b"TimeZone\0UTC\0")
    one.receive(K, struct.pack("!i", -5) + b"key4")
    one.receive(ord("N"), b"SNOTICE\0\0")
    assert one.receive(Z, b"I") == b""
    assert one.parameters == [(b"TimeZone", b"UTC")]
    assert one.key == (2**32 - 5, b"key4")
    assert one.notices == [message(b"N", b"SNOTICE\0\0")]
    assert one.status == b"I"


@pytest.mark.parametrize(("binding", "chosen"), [(None, "SCRAM-SHA-256"), (b"hash", "SCRAM-SHA-256-PLUS")])
def test_scram(binding: bytes | None, chosen: str) -> None:
    one, target = login(binding=binding), FakeTarget(binding=binding)
    mechanism, request = target.first(one.receive(R, asks(10, OFFERED)))
    assert mechanism == chosen
    assert one.receive(R, target.final(one.receive(R, request))) == b""
    one.receive(R, asks(0))
    one.receive(Z, b"I")
    assert one.status == b"I"


def test_a_target_that_does_not_know_the_password_is_not_believed() -> None:
    one, target = login(), FakeTarget()
    _, request = target.first(one.receive(R, asks(10, b"SCRAM-SHA-256\0\0")))
    target.final(one.receive(R, request))
    with pytest.raises(TargetUnavailable, match="SCRAM"):
        one.receive(R, asks(12, b"v=" + b"A" * 43 + b"="))


@pytest.mark.parametrize("after", [0, 1])
def test_a_target_that_skips_its_proof_is_not_believed(after: int) -> None:
    one, target = login(), FakeTarget()
    _, request = target.first(one.receive(R, asks(10, b"SCRAM-SHA-256\0\0")))
    if after:
        one.receive(R, request)
    with pytest.raises(TargetUnavailable, match="without proving"):
        one.receive(R, asks(0))


@pytest.mark.parametrize("iterations", ["", "i=x", "i=1000001", "i=-1"])
def test_iterations_have_an_end(iterations: str) -> None:
    one = login()
    one.receive(R, asks(10, b"SCRAM-SHA-256\0\0"))
    with pytest.raises(TargetUnavailable):
        one.receive(R, asks(11, f"r=x,s=AAAA,{iterations}".encode()))


@pytest.mark.parametrize("offered", [b"\0", b"SCRAM-SHA-1\0\0", b"SCRAM-SHA-256-PLUS\0\0", b"\xff\0\0"])
def test_no_mechanism_that_we_speak(offered: bytes) -> None:
    with pytest.raises(TargetUnavailable):
        login().receive(R, asks(10, offered))


@pytest.mark.parametrize("method", [11, 12])
def test_scram_out_of_turn(method: int) -> None:
    with pytest.raises(TargetUnavailable, match="out of turn"):
        login().receive(R, asks(method, b"r=x"))


def test_md5() -> None:
    inner = hashlib.md5(b"secretgw", usedforsecurity=False).hexdigest().encode()
    outer = hashlib.md5(inner + b"salt", usedforsecurity=False).hexdigest().encode()
    assert login().receive(R, asks(5, b"salt")) == message(b"p", b"md5" + outer + b"\0")


def test_clear_text_only_where_nobody_listens() -> None:
    assert login().receive(R, asks(3)) == message(b"p", b"secret\0")
    with pytest.raises(TargetUnavailable, match="clear text"):
        login(private=False).receive(R, asks(3))


@pytest.mark.parametrize("method", [3, 5, 10])
def test_a_credential_without_a_password(method: int) -> None:
    with pytest.raises(TargetUnavailable, match="has none"):
        login(None).receive(R, asks(method, b"SCRAM-SHA-256\0\0"))


@pytest.mark.parametrize("method", [2, 7, 8, 9, 13, -1])
def test_other_methods(method: int) -> None:
    with pytest.raises(TargetUnavailable, match="does not speak"):
        login().receive(R, asks(method))


@pytest.mark.parametrize(
    ("kind", "body"), [(K, b"12345678"), (Z, b"I"), (ord("S"), b"a\0b\0"), (ord("D"), b""), (R, b""), (R, b"\0")]
)
def test_out_of_turn(kind: int, body: bytes) -> None:
    with pytest.raises(TargetUnavailable):
        login().receive(kind, body)


@pytest.mark.parametrize(("kind", "body"), [(R, asks(0)), (K, b"1234"), (Z, b""), (Z, b"II"), (ord("T"), b"\0\0")])
def test_malformed_after_authentication(kind: int, body: bytes) -> None:
    one = login()
    one.receive(R, asks(0))
    with pytest.raises(TargetUnavailable):
        one.receive(kind, body)


def test_the_targets_refusal_is_told_and_never_our_secret() -> None:
    with pytest.raises(TargetUnavailable, match=r"role .x. does not exist") as refused:
        login().receive(ord("E"), report(M=b'role "x" does not exist')[5:])
    assert "secret" not in str(refused.value)
    with pytest.raises(TargetUnavailable, match="malformed"):
        login().receive(ord("E"), b"x")


# --- messages, one by one -------------------------------------------------------------------------------------


class FakeTransport:
    disconnecting = False


def stream() -> MessageStream:
    made = MessageStream()
    made.transport = FakeTransport()  # type: ignore[assignment]
    return made


def outcome(awaited: Any) -> list[Any]:
    """What it gave or raised, once it did."""
    found: list[Any] = []
    ensureDeferred(awaited).addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


def test_messages_are_awaited_whatever_the_chunks() -> None:
    one = stream()
    found = outcome(one.message())
    for byte in status(b"a", b"b"):
        assert found == []
        one.dataReceived(bytes([byte]))
    assert found == [(ord("S"), b"a\0b\0")]
    one.dataReceived(message(b"Z", b"I") + b"rest")
    assert outcome(one.message()) == [(Z, b"I")]
    assert one.leftover() == b"rest"


def test_exactly_one_byte_answers_ssl_request() -> None:
    one = stream()
    one.dataReceived(b"S")
    assert outcome(one.byte()) == [b"S"]
    surplus = stream()
    surplus.dataReceived(b"S" + message(b"R", asks(0)))
    [error] = outcome(surplus.byte())
    assert isinstance(error, TargetUnavailable), "CVE-2021-23222"
    assert "before TLS" in str(error)


@pytest.mark.parametrize("length", [-1, 0, 3, 2**31 - 1])
def test_hostile_lengths(length: int) -> None:
    one = stream()
    one.dataReceived(b"R" + struct.pack("!i", length))
    [error] = outcome(one.message())
    assert isinstance(error, TargetUnavailable)


def test_a_target_that_leaves() -> None:
    one = stream()
    found = outcome(one.message())
    one.connectionLost(LOST)
    assert isinstance(found[0], TargetUnavailable)
    assert one.lost
    assert isinstance(outcome(one.message())[0], TargetUnavailable)
    assert outcome(one.closed()) == [None]


def test_waiting_for_the_end_drops_what_is_still_said() -> None:
    one = stream()
    found = outcome(one.closed())
    one.dataReceived(b"x" * 100)
    assert found == []
    one.connectionLost(LOST)
    assert found == [None]


def test_who_stops_waits_for_cancel_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    dialler = Dialler(FakeReactor(), lambda: 0.0)
    opened: list[Deferred[Any]] = []

    def open_(target: object, timeout: float) -> Deferred[Any]:
        opened.append(Deferred())
        return opened[-1]

    monkeypatch.setattr(dialler, "_open", open_)
    assert dialler.settled().called, "nothing is under way"
    target: Any = None
    done = [ensureDeferred(dialler.cancel(target, (7, b"key"), 10.0)) for _ in range(2)]
    settled = dialler.settled()
    for deferred, opens in zip(done, opened, strict=True):
        assert not settled.called
        opens.errback(TargetUnavailable("unreachable"))
        deferred.addErrback(_unreachable)
    assert settled.called
