"""Server side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), without I/O.

What PostgreSQL does with it is in its documentation, section "SASL Authentication": the name in the SCRAM message is
ignored (libpq sends an empty one), the one of the startup packet counts; channel binding is tls-server-end-point.
"""

from __future__ import annotations

import re

import scramp

from gateway.errors import LoginFailed, PeerError
from gateway.identity.attempts import Attempts
from gateway.identity.passwords import ScramVerifier
from gateway.model import Principal

MECHANISM = "SCRAM-SHA-256"
MECHANISM_PLUS = "SCRAM-SHA-256-PLUS"
BINDING = "tls-server-end-point"

MAX_MESSAGE = 2048
"""Bytes; a nonce, a name and a proof. libpq's messages have about 130, and PostgreSQL takes at most 1024 of anybody."""

_NAME = re.compile(r"\An=[^,]*,")


class ScramExchange:
    """One dialogue with a client that says it is ``name`` (startup packet) and comes from ``address`` (IP address).

    `Identity.scram` makes it.

    channel_binding  the tls-server-end-point data (RFC 5929 section 4: a hash of our certificate) of this connection,
                     None: not over TLS, then -PLUS isn't offered
    """

    def __init__(
        self,
        attempts: Attempts,
        name: str,
        address: str,
        channel_binding: bytes | None,
    ) -> None:
        self._attempts = attempts
        self._name = name
        self._address = address
        self._binding = channel_binding
        self._server: scramp.ScramServer | None = None

    def mechanisms(self) -> tuple[str, ...]:
        """What is offered, the stronger first."""
        return (MECHANISM,) if self._binding is None else (MECHANISM_PLUS, MECHANISM)

    def first(self, mechanism: str, data: bytes, now: float) -> bytes:
        """client-first-message -> server-first-message.

        Raises LoginFailed when the name has to wait or channel binding was stripped on the way, PeerError when the
        message is none. The answer doesn't show whether the name exists.
        """
        if self._server is not None:
            raise PeerError("SCRAM: a second client-first-message")
        if mechanism not in self.mechanisms():
            raise PeerError("SCRAM: a mechanism that was not offered")
        self._attempts.refuse_waiting(self._name, self._address, now)
        flag, bare = _client_first(data)
        self._check_binding_flag(mechanism, flag)
        verifier = self._attempts.verifier(self._name)
        server = scramp.ScramMechanism(mechanism).make_server(
            lambda _name: _auth_info(verifier),
            channel_binding=None if mechanism == MECHANISM else (BINDING, self._binding),
        )
        # scramp reads RFC 5802's grammar strictly, in which a name is not empty; libpq's is. The proof covers the
        # message as it was sent, so that is put back afterwards.
        readable = _NAME.sub("n=anybody,", bare)
        try:
            server.set_client_first(f"{flag},,{readable}")
            server.client_first_bare = bare
            answer: str = server.get_server_first()
        except scramp.ScramException as error:
            raise PeerError(f"SCRAM: malformed client-first-message ({_what(error)})") from None
        self._server = server
        return answer.encode()

    def final(self, data: bytes, now: float) -> tuple[bytes, Principal]:
        """client-final-message -> server-final-message and the principal, whose proof is right.

        Raises LoginFailed (wrong password, unknown name, ended entry: all alike; or the name has to wait), PeerError
        when the message is none.
        """
        server, self._server = self._server, None
        if server is None:
            raise PeerError("SCRAM: a client-final-message out of order")
        message = _text(data)
        # Again, right before the proof: many dialogues begun at once are no way around the wait.
        self._attempts.refuse_waiting(self._name, self._address, now)
        try:
            server.set_client_final(message)
            proven = True
            answer: str = server.get_server_final()
        except scramp.ScramException as error:
            if error.server_error is scramp.utils.ServerError.CHANNEL_BINDINGS_DONT_MATCH:
                raise _binding_failed("channel binding doesn't match: somebody is in between") from None
            if error.server_error is not scramp.utils.ServerError.INVALID_PROOF:
                raise PeerError(f"SCRAM: malformed client-final-message ({_what(error)})") from None
            proven, answer = False, ""
        principal = self._attempts.settle(self._name, self._address, now, "scram", proven=proven)
        return answer.encode(), principal

    def _check_binding_flag(self, mechanism: str, flag: str) -> None:
        """RFC 5802 section 6."""
        if flag == "y" and self._binding is not None:
            raise _binding_failed("client saw no -PLUS offer although there was one: somebody is in between")
        if mechanism == MECHANISM and flag.startswith("p"):
            raise PeerError("SCRAM: channel binding with a mechanism that has none")
        if mechanism == MECHANISM_PLUS and flag != f"p={BINDING}":
            raise PeerError(f"SCRAM: {MECHANISM_PLUS} needs the channel binding {BINDING}")


def _client_first(data: bytes) -> tuple[str, str]:
    """gs2-cbind-flag and client-first-message-bare (RFC 5802 section 7). An authzid is refused, as PostgreSQL does."""
    parts = _text(data).split(",", 2)
    if len(parts) != 3:
        raise PeerError("SCRAM: malformed client-first-message")
    flag, authzid, bare = parts
    if authzid:
        raise PeerError("SCRAM: an authorization identity is not supported")
    if flag not in ("n", "y") and not flag.startswith("p="):
        raise PeerError("SCRAM: malformed channel binding flag")
    return flag, bare


def _text(data: bytes) -> str:
    if len(data) > MAX_MESSAGE:
        raise PeerError(f"SCRAM: a message longer than {MAX_MESSAGE} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise PeerError("SCRAM: a message that is not UTF-8") from None


def _auth_info(verifier: ScramVerifier) -> tuple[bytes, bytes, bytes, int]:
    return verifier.salt, verifier.stored_key, verifier.server_key, verifier.iterations


def _binding_failed(reason: str) -> LoginFailed:
    return LoginFailed("SCRAM channel binding failed", reason=reason, hint="check what sits between client and gateway")


def _what(error: scramp.ScramException) -> str:
    """The standard's word for it; scramp's own text may repeat the message."""
    return "other-error" if error.server_error is None else str(error.server_error.value)
