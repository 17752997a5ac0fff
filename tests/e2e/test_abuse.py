"""Callers that break the protocol, or say nothing: each loses its own connection, and nobody else notices.

threats.md, PostgreSQL and denial of service; design.md, promise 5.
"""

from __future__ import annotations

import random
import resource
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import wait_until
from support.rawclient import SSL_REQUEST, LoginRefused, RawClient

pytestmark = pytest.mark.e2e

LOGIN = 5
"""Seconds for a login, here."""
GSS_REQUEST = struct.pack("!ii", 8, 80877104)
SILENT = 5000


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    with Ostiary(
        pki,
        targets=[guarded.target(target_server, pki.ca)],
        policy=guarded.POLICY,
        environment=guarded.ENVIRONMENT,
        settings={"limits": {"login": f"{LOGIN}s"}},
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _alive(gateway: Ostiary, context: ssl.SSLContext) -> Iterator[None]:
    yield
    assert gateway.running
    assert login(gateway, context) < 5


@pytest.fixture(scope="module")
def context(pki: Pki, alice: Issued) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(pki.ca))
    made.load_cert_chain(alice.certificate, alice.key)
    return made


def client(gateway: Ostiary, context: ssl.SSLContext, **others: object) -> RawClient:
    values = {"user": "alice", "database": "orders", **others}
    return RawClient(host="localhost", port=gateway.port, context=context, **values)  # type: ignore[arg-type]


def login(gateway: Ostiary, context: ssl.SSLContext) -> float:
    """Seconds of a login and one statement."""
    begun = time.monotonic()
    with client(gateway, context) as connection:
        assert connection.query("select 1").rows == [[b"1"]]
    return time.monotonic() - begun


def connected(gateway: Ostiary) -> socket.socket:
    return socket.create_connection((gateway.host, gateway.port), timeout=10)


def rest(connection: socket.socket) -> bytes:
    """What still comes until the gateway has closed."""
    received = b""
    with suppress(ConnectionError, ssl.SSLError):
        while data := connection.recv(65536):
            received += data
    return received


def startup(**parameters: str) -> bytes:
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, 196608) + body


def over_tls(gateway: Ostiary, context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = connected(gateway)
    connection.sendall(SSL_REQUEST)
    assert connection.recv(1) == b"S"
    return context.wrap_socket(connection, server_hostname="localhost")


# --- before login ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack("!i", 4),
        struct.pack("!i", 0),
        struct.pack("!i", -1),
        struct.pack("!i", 2**31 - 1),
        struct.pack("!i", 7) + b"abc",
        struct.pack("!i", 10_001),
        struct.pack("!ii", 8, 196608),
        struct.pack("!ii", 9, 2 << 16) + b"\0",
        struct.pack("!ii", 9, 80877103) + b"\0",
        b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        startup(user="alice") + b"more",
    ],
    ids=repr,
)
def test_a_first_packet_that_is_none(gateway: Ostiary, packet: bytes) -> None:
    with connected(gateway) as connection:
        connection.sendall(packet)
        answer = rest(connection)
        assert answer[:1] == b"E"
        assert b"\0C08P01\0" in answer or b"\0C28000\0" in answer


def test_a_startup_packet_of_the_largest_size(gateway: Ostiary, context: ssl.SSLContext) -> None:
    room = 10_000 - len(startup(user="alice", database="orders", application_name=""))
    with client(gateway, context, parameters={"application_name": "x" * room}) as connection:
        assert connection.query("select 1").error is None
    with pytest.raises(LoginRefused, match="startup packet"):
        client(gateway, context, parameters={"application_name": "x" * (room + 1)})


def test_without_tls_nobody_gets_in(gateway: Ostiary) -> None:
    with connected(gateway) as connection:
        connection.sendall(startup(user="alice", database="orders"))
        answer = rest(connection)
        assert b"\0C28000\0" in answer
        assert b"TLS" in answer


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSS_REQUEST])
def test_plaintext_behind_an_encryption_request(gateway: Ostiary, request_: bytes) -> None:
    # CVE-2021-23214: what was put there by somebody in the middle must not be taken for the client's
    with connected(gateway) as connection:
        connection.sendall(request_ + startup(user="alice", database="orders"))
        answer = rest(connection)
        assert answer[:1] == b"E"
        assert b"unencrypted data" in answer


def test_gss_then_ssl_is_fine_and_each_only_once(gateway: Ostiary, context: ssl.SSLContext) -> None:
    with connected(gateway) as connection:
        connection.sendall(GSS_REQUEST)
        assert connection.recv(1) == b"N"
        connection.sendall(SSL_REQUEST)
        assert connection.recv(1) == b"S"
        with context.wrap_socket(connection, server_hostname="localhost") as encrypted:
            encrypted.sendall(startup(user="alice", database="orders"))
            assert encrypted.recv(1) == b"R"
    with connected(gateway) as connection:
        connection.sendall(GSS_REQUEST)
        assert connection.recv(1) == b"N"
        connection.sendall(GSS_REQUEST)
        assert b"\0C08P01\0" in rest(connection)
    for second in (SSL_REQUEST, GSS_REQUEST):
        with over_tls(gateway, context) as encrypted:
            encrypted.sendall(second)
            assert b"\0C08P01\0" in rest(encrypted)


def test_direct_tls_needs_its_protocol_name(gateway: Ostiary, pki: Pki, alice: Issued) -> None:
    for protocols, welcome in ((["postgresql"], True), (None, False), (["http/1.1"], False)):
        made = ssl.create_default_context(cafile=str(pki.ca))
        made.load_cert_chain(alice.certificate, alice.key)
        if protocols is not None:
            made.set_alpn_protocols(protocols)
        answer = b""
        with suppress(ssl.SSLError, ConnectionError), connected(gateway) as connection:
            encrypted = made.wrap_socket(connection, server_hostname="localhost")
            with encrypted:
                encrypted.sendall(startup(user="alice", database="orders"))
                answer = encrypted.recv(1)
        assert (answer == b"R") is welcome


def test_direct_tls_then_ssl_request(gateway: Ostiary, context: ssl.SSLContext, pki: Pki, alice: Issued) -> None:
    made = ssl.create_default_context(cafile=str(pki.ca))
    made.load_cert_chain(alice.certificate, alice.key)
    made.set_alpn_protocols(["postgresql"])
    with connected(gateway) as connection, made.wrap_socket(connection, server_hostname="localhost") as encrypted:
        encrypted.sendall(SSL_REQUEST)
        assert b"\0C08P01\0" in rest(encrypted)


def test_random_bytes_first(gateway: Ostiary) -> None:
    chance = random.Random(20261124)
    for _ in range(60):
        with connected(gateway) as connection:
            noise = chance.randbytes(chance.randint(4, 200))
            if noise[0] == 0x16 or 8 <= struct.unpack_from("!i", noise)[0] <= 10_000:
                continue  # the beginning of something longer: that one waits for its deadline
            with suppress(ConnectionError):
                connection.sendall(noise)
                assert rest(connection)[:1] in (b"E", b"")


def test_random_bytes_in_the_place_of_a_tls_handshake(gateway: Ostiary) -> None:
    for noise in (b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x16" * 100):
        with connected(gateway) as connection, suppress(ConnectionError):
            connection.sendall(noise)
            rest(connection)
    with connected(gateway) as connection, suppress(ConnectionError):
        connection.sendall(SSL_REQUEST)
        assert connection.recv(1) == b"S"
        connection.sendall(b"this is no handshake" * 10)
        rest(connection)


@pytest.mark.parametrize(
    "parameters",
    [
        {"database": "orders user=postgres"},
        {"database": "orders/orders' user='postgres"},
        {"user": "alice user=postgres"},
        {"parameters": {"User": "postgres"}},
        {"parameters": {"DATABASE": "postgres"}},
        {"parameters": {"Options": "-c role=postgres"}},
        {"parameters": {"options": "-c Database=postgres -c USER=postgres"}},
        {"parameters": {"Replication": "database"}},
    ],
)
def test_names_and_parameters_cannot_alter_the_connection(
    gateway: Ostiary, context: ssl.SSLContext, parameters: dict[str, object]
) -> None:
    # CVE-2021-41395
    try:
        with client(gateway, context, **parameters) as connection:
            who = connection.query("select current_user, session_user, current_database()").rows
    except LoginRefused:
        return
    assert who == [[guarded.READ_ONLY.encode(), guarded.READ_ONLY.encode(), b"orders"]]


def test_other_peoples_sessions_are_not_cancelled_by_guessing(gateway: Ostiary, pki: Pki, olivia: Issued) -> None:
    owner = ssl.create_default_context(cafile=str(pki.ca))
    owner.load_cert_chain(olivia.certificate, olivia.key)
    with client(gateway, owner) as connection:
        (pid, secret) = next(
            struct.unpack("!i4s", connection.raw[at + 5 : at + 13])
            for at in range(len(connection.raw))
            if connection.raw[at : at + 5] == b"K\0\0\0\x0c"
        )
        connection.send(b"Q", b"select pg_sleep(0.5)\0")
        for guess in (b"\0\0\0\0", bytes(byte ^ 1 for byte in secret), secret + b"\0" * 28):
            with connected(gateway) as other:
                other.sendall(struct.pack("!iii", 12 + len(guess), 80877102, pid) + guess)
                assert rest(other) == b"", "no answer, right or wrong"
        assert connection.receive().error is None
        connection.send(b"Q", b"select pg_sleep(20)\0")
        time.sleep(0.2)
        with connected(gateway) as other:
            other.sendall(struct.pack("!iii", 16, 80877102, pid) + secret)
            assert rest(other) == b""
        assert connection.receive().sqlstate == "57014"


# --- after login ----------------------------------------------------------------------------------------------


def test_random_bytes_after_login(gateway: Ostiary, context: ssl.SSLContext) -> None:
    chance = random.Random(20261124)
    for _ in range(30):
        with client(gateway, context, seconds=3) as connection:
            connection.send(b"Q", b"select 1\0")
            connection.receive()
            noise = bytes([chance.choice(b"\0\x01\x7fpRZKv")]) + chance.randbytes(chance.randint(5, 300))
            connection._socket.sendall(noise)
            answer = connection.receive()
            assert answer.sqlstate == "08P01"
            assert answer.messages[-1][0] == b"E"


@pytest.mark.parametrize("kind", [b"Q", b"P", b"B", b"D", b"E", b"C", b"S", b"H", b"F", b"X", b"d", b"c", b"f"])
@pytest.mark.parametrize("length", [-(2**31), -1, 0, 3, 2**31 - 1])
def test_hostile_lengths_after_login(gateway: Ostiary, context: ssl.SSLContext, kind: bytes, length: int) -> None:
    with client(gateway, context) as connection:
        connection._socket.sendall(kind + struct.pack("!i", length) + b"\0" * 32)
        assert connection.receive().sqlstate == "08P01"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"Q", b"select 1\0drop table customers\0"),
        (b"Q", b"no end"),
        (b"P", b"\0select 1\0\xff\xff"),
        (b"B", b"\0\0\0\0\0\1\x7f\xff\xff\xff"),
        (b"D", b"X\0"),
        (b"E", b"\0"),
        (b"C", b""),
        (b"S", b"x"),
        (b"p", b"password\0"),
    ],
    ids=repr,
)
def test_malformed_messages_after_login(gateway: Ostiary, context: ssl.SSLContext, kind: bytes, body: bytes) -> None:
    with client(gateway, context) as connection:
        connection.send(kind, body)
        assert connection.receive().sqlstate == "08P01"


# --- those who say nothing ------------------------------------------------------------------------------------


def test_a_silent_caller_is_gone_after_the_deadline(gateway: Ostiary, context: ssl.SSLContext) -> None:
    begun = time.monotonic()
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(gateway)) for _ in range(4)]
        silent[1].sendall(struct.pack("!ii", 100, 196608))
        silent[2].sendall(SSL_REQUEST)
        silent[3].sendall(SSL_REQUEST)
        assert silent[3].recv(1) == b"S"
        stalled = ssl.MemoryBIO()
        handshake = context.wrap_bio(ssl.MemoryBIO(), stalled, server_hostname="localhost")
        with suppress(ssl.SSLWantReadError):
            handshake.do_handshake()
        silent[3].sendall(stalled.read()[:50])
        for connection in silent:
            assert rest(connection) in (b"", b"S")
        assert LOGIN - 1 < time.monotonic() - begun < LOGIN + 3


def test_a_caller_that_dribbles_is_gone_after_the_deadline(gateway: Ostiary) -> None:
    begun = time.monotonic()
    with connected(gateway) as connection, suppress(ConnectionError):
        connection.sendall(struct.pack("!ii", 5000, 196608))
        while time.monotonic() - begun < LOGIN + 5:
            connection.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() - begun < LOGIN + 3


def test_thousands_of_silent_connections_hold_nobody_up(gateway: Ostiary, context: ssl.SSLContext) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < SILENT + 500:
        pytest.skip(f"needs {SILENT + 500} descriptors, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    login(gateway, context)
    silent: list[socket.socket] = []
    try:
        for _ in range(SILENT):
            silent.append(connected(gateway))
        assert login(gateway, context) < 1
        deadline = time.monotonic() + LOGIN + 5
        closed = 0
        for connection in silent:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            closed += rest(connection) == b""
        assert closed == SILENT
        assert time.monotonic() < deadline
    finally:
        for connection in silent:
            connection.close()
    wait_until(lambda: login(gateway, context) < 1, what="a login that takes less than a second")
