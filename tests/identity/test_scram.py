from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import execute

from gateway.config.schema import IdentitySection, Lockout
from gateway.errors import LoginFailed, PeerError
from gateway.identity import Identity, ScramExchange, make_scram_verifier
from gateway.model import Principal
from gateway.secrets import Secret, SecretReference

PLAIN = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"
BINDING = b"hash of the certificate"
FILE = f"""\
- {{name: alice, groups: [sre], scram: '{make_scram_verifier(Secret(b"secret"), iterations=4096)}'}}
- {{name: gone, until: "1969-01-01T00:00:00Z", scram: '{make_scram_verifier(Secret(b"secret"), iterations=4096)}'}}
- {{name: hashed, password: '$argon2id$v=19$m=7168,t=5,p=1${"A" * 22}${"A" * 43}'}}
"""


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    path = tmp_path / "passwords.yaml"
    path.touch(mode=0o600)
    path.write_text(FILE)
    section = IdentitySection(passwords=SecretReference("file", str(path)), lockout=Lockout(free=3))
    return Identity(section, execute, mock_key=b"key")


class Client:
    """As libpq writes its messages (RFC 5802), independent of the library under test."""

    def __init__(self, password: bytes = b"secret", *, flag: str = "n", binding: bytes = b"", name: str = "") -> None:
        self.password = password
        self.gs2 = f"{flag},,"
        self.binding = binding
        self.bare = f"n={name},r=clientnonce"

    def first(self) -> bytes:
        return (self.gs2 + self.bare).encode()

    def final(self, server_first: bytes) -> bytes:
        parts = dict(part.split("=", 1) for part in server_first.decode().split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts["s"]), int(parts["i"]))
        bound = base64.b64encode(self.gs2.encode() + self.binding).decode()
        without = f"c={bound},r={parts['r']}"
        message = f"{self.bare},{server_first.decode()},{without}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        self.expected = b"v=" + base64.b64encode(
            hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        )
        return f"{without},p={base64.b64encode(proof).decode()}".encode()


def exchange(identity: Identity, name: str = "alice", binding: bytes | None = None) -> ScramExchange:
    return identity.scram(name, "10.0.0.1", binding)


def dialogue(
    identity: Identity, client: Client, name: str = "alice", binding: bytes | None = None, mechanism: str = PLAIN
) -> Principal:
    talk = exchange(identity, name, binding)
    last, principal = talk.final(client.final(talk.first(mechanism, client.first(), 0.0)), 0.0)
    assert last == client.expected
    return principal


def reason(identity: Identity, client: Client, name: str = "alice", **more: str) -> str:
    with pytest.raises(LoginFailed) as caught:
        dialogue(identity, client, name, **more)  # type: ignore[arg-type]  # only mechanism is ever given
    return caught.value.reason


def test_libpqs_dialogue(identity: Identity) -> None:
    assert dialogue(identity, Client()) == Principal(
        "alice", "human", frozenset({"sre"}), frozenset({"scram"}), 0.0, None
    )


@pytest.mark.parametrize("name", ["*", "somebody=2Celse", "\u0627\u0031"])
def test_the_name_of_the_startup_packet_counts(identity: Identity, name: str) -> None:
    assert dialogue(identity, Client(name=name)).name == "alice"


def test_channel_binding(identity: Identity) -> None:
    talk = exchange(identity, binding=BINDING)
    assert talk.mechanisms() == (PLUS, PLAIN)
    assert exchange(identity).mechanisms() == (PLAIN,)
    bound = Client(flag="p=tls-server-end-point", binding=BINDING)
    assert dialogue(identity, bound, binding=BINDING, mechanism=PLUS).name == "alice"
    # a client that can't: allowed, as with PostgreSQL
    assert dialogue(identity, Client(), binding=BINDING).name == "alice"
    # a client that could, and was offered none
    assert dialogue(identity, Client(flag="y")).name == "alice"


def test_an_offer_that_was_stripped_on_the_way(identity: Identity) -> None:
    with pytest.raises(LoginFailed, match="channel binding") as caught:
        dialogue(identity, Client(flag="y"), binding=BINDING)
    assert "in between" in caught.value.reason


def test_another_certificate_in_between(identity: Identity) -> None:
    other = Client(flag="p=tls-server-end-point", binding=b"another certificate")
    with pytest.raises(LoginFailed, match="channel binding"):
        dialogue(identity, other, binding=BINDING, mechanism=PLUS)


@pytest.mark.parametrize(
    ("mechanism", "flag", "binding"),
    [
        (PLAIN, "p=tls-server-end-point", BINDING),
        (PLUS, "n", BINDING),
        (PLUS, "p=tls-unique", BINDING),
        (PLUS, "p=tls-exporter", BINDING),
        (PLUS, "p=", BINDING),
        (PLUS, "p=tls-server-end-point", None),
        (PLAIN, "p=tls-server-end-point", None),
        ("SCRAM-SHA-1", "n", None),
        ("SCRAM-SHA-512", "n", None),
        ("", "n", None),
        (PLAIN, "N", None),
    ],
)
def test_mechanisms_and_flags_that_do_not_fit(
    identity: Identity, mechanism: str, flag: str, binding: bytes | None
) -> None:
    with pytest.raises(PeerError):
        exchange(identity, binding=binding).first(mechanism, Client(flag=flag).first(), 0.0)


def test_the_caller_is_told_the_same_whatever_was_wrong(identity: Identity) -> None:
    said = set()
    for client, name, why in (
        (Client(b"wrong"), "alice", "wrong password"),
        (Client(), "nobody", "unknown name"),
        (Client(), "gone", "its entry has ended (until)"),
        (Client(), "hashed", "its entry has no scram"),
        (Client(), "\ud800" + "x" * 9000, "unknown name"),
    ):
        with pytest.raises(LoginFailed) as caught:
            dialogue(identity, client, name)
        assert caught.value.reason == why
        said.add((caught.value.message, caught.value.hint))
    assert len(said) == 1


def test_unknown_names_look_like_known_ones(identity: Identity) -> None:
    def shape(name: str) -> tuple[str, int, str]:
        parts = dict(
            part.split("=", 1)
            for part in exchange(identity, name).first(PLAIN, Client().first(), 0.0).decode().split(",")
        )
        return parts["i"], len(base64.b64decode(parts["s"])), parts["s"]

    assert shape("nobody")[:2] == shape("alice")[:2]
    assert shape("nobody") == shape("nobody")
    assert shape("nobody") != shape("somebody")


def test_failures_make_wait(identity: Identity) -> None:
    for _ in range(3):
        assert reason(identity, Client(b"wrong")) == "wrong password"
    assert reason(identity, Client()) == "locked out for 1 s"


def test_many_dialogues_at_once_are_no_way_around_the_wait(identity: Identity) -> None:
    talks = [(exchange(identity), Client(b"wrong")) for _ in range(10)]
    finals = [client.final(talk.first(PLAIN, client.first(), 0.0)) for talk, client in talks]
    reasons = []
    for (talk, _), final in zip(talks, finals, strict=True):
        with pytest.raises(LoginFailed) as caught:
            talk.final(final, 0.0)
        reasons.append(caught.value.reason)
    assert reasons == ["wrong password"] * 3 + ["locked out for 1 s"] * 7


def test_order(identity: Identity) -> None:
    talk = exchange(identity)
    with pytest.raises(PeerError, match="out of order"):
        talk.final(b"c=biws,r=x,p=AAAA", 0.0)
    client = Client(b"wrong")
    answer = talk.first(PLAIN, client.first(), 0.0)
    with pytest.raises(PeerError, match="second"):
        talk.first(PLAIN, client.first(), 0.0)
    with pytest.raises(LoginFailed):
        talk.final(client.final(answer), 0.0)
    with pytest.raises(PeerError, match="out of order"):
        talk.final(client.final(answer), 0.0)


def test_a_proof_is_good_once(identity: Identity) -> None:
    client = Client()
    talk = exchange(identity)
    final = client.final(talk.first(PLAIN, client.first(), 0.0))
    talk.final(final, 0.0)
    again = exchange(identity)
    again.first(PLAIN, client.first(), 0.0)
    with pytest.raises(PeerError):  # our part of the nonce is another one
        again.final(final, 0.0)


def test_a_proof_is_bound_to_the_message_as_it_was_sent(identity: Identity) -> None:
    client = Client()
    talk = exchange(identity)
    answer = talk.first(PLAIN, client.first(), 0.0)
    client.bare = "n=anybody,r=clientnonce"
    with pytest.raises(LoginFailed):
        talk.final(client.final(answer), 0.0)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,,",
        b"n,a=bob,n=,r=x",
        b"n,,r=x,n=",
        b"n,,n=,r=",
        b"n,,n=,r=\xff",
        b"n,,n=,m=ext,r=x",
        b"n,,n=,r=x,r=y",
        b"x,,n=,r=x",
        b"n,,n=,r=" + b"x" * 3000,
    ],
)
def test_malformed_first_messages(identity: Identity, message: bytes) -> None:
    with pytest.raises(PeerError):
        exchange(identity).first(PLAIN, message, 0.0)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.binary(max_size=60) | st.from_regex(rb"[nyp=]{1,3},,(n=[a-z=,]{0,3},)?r=[a-z,=]{0,5}"),
    mechanism=st.sampled_from([PLAIN, PLUS]),
)
def test_first_messages_raise_nothing_else(identity: Identity, first: bytes, mechanism: str) -> None:
    for binding in (None, BINDING):
        with contextlib.suppress(PeerError, LoginFailed):
            exchange(identity, binding=binding).first(mechanism, first, 0.0)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    final=st.binary(max_size=60) | st.from_regex(rb"c=(biws|[a-zA-Z=]{0,6}),r=NONCE,(x=y,)?p=[A-Za-z0-9+/=]{0,50}"),
)
def test_final_messages_raise_nothing_else(identity: Identity, final: bytes) -> None:
    talk = exchange(identity)
    nonce = talk.first(PLAIN, b"n,,n=,r=x", 0.0).split(b",")[0][2:]
    with pytest.raises((PeerError, LoginFailed)):
        talk.final(final.replace(b"NONCE", nonce), 0.0)
