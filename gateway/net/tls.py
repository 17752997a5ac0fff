"""TLS contexts: how we speak it, to clients and to targets.

Versions: 1.2 and 1.3. In 1.2 only forward-secret AEAD suites are offered to clients. No compression, no renegotiation.

Resumption: none with tickets, in 1.2 and 1.3. A resumed session brings the client certificate of its first handshake
along and does not verify it again, so that one that expired or was revoked meanwhile would pass; and libpq never
resumes. (The standard library can't switch off 1.2's session ids as well. What they could bring back is bounded by
the context: a reload of certificates, CAs or revocation lists makes a new one, with an empty cache. And
`gateway.identity` looks at the certificate's dates at every login.)

Keys never lie on the disk for OpenSSL's sake: the standard library wants files, and gets ``/proc/self/fd/N`` of a
memfd.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from cryptography.hazmat.primitives.serialization import Encoding

from gateway.errors import ConfigError, Problem
from gateway.model import TargetTls
from gateway.net.certificates import (
    Identity,
    end_point_hash,
    gather,
    load_authorities,
    load_identity,
    load_revocations,
)
from gateway.secrets import SecretReference

POSTGRESQL_ALPN = "postgresql"
"""PostgreSQL protocol, direct TLS: required there, so that no other protocol's client can be led to it (ALPACA)."""

TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Mozilla's intermediate list without DHE. Every client that speaks 1.2 at all since 2013 has one of them."""


class Context(ssl.SSLContext):
    """A context whose connections read and write by OpenSSL's object itself.

    ``SSLObject`` has Python methods that do nothing but call that object's: three of them for each message that passes
    a TLS connection, which the loop asks for by these names. It runs the same code without them.
    """

    def wrap_bio(self, *args: Any, **keywords: Any) -> ssl.SSLObject:
        wrapped: Any = super().wrap_bio(*args, **keywords)
        inner = getattr(wrapped, "_sslobj", None)
        if inner is not None:  # no public name: where it has none, all works as it did
            wrapped.read, wrapped.write, wrapped.pending = inner.read, inner.write, inner.pending
        return cast(ssl.SSLObject, wrapped)


class ServerContext(Context):
    """A context with what OpenSSL does not tell about the certificate in it.

    not_after   when our certificate (or an intermediate of its chain) ends, unix seconds
    end_point   RFC 5929 tls-server-end-point of our certificate, None where that is not defined (Ed25519)
    trust       SHA-256 over the CAs and revocation lists that client certificates are verified by
    """

    not_after: float
    end_point: bytes | None
    trust: bytes


def server_context(
    certificate: SecretReference,
    key: SecretReference,
    *,
    now: float | None = None,
    client_ca: Sequence[SecretReference] = (),
    client_required: bool = False,
    crl: Sequence[SecretReference] = (),
    crl_chain: bool = False,
    alpn: Sequence[str] = (),
) -> ServerContext:
    """How we meet clients.

    now         unix seconds, against which dates are checked; None: this host's clock, which OpenSSL asks in each
                handshake anyway
    client_ca   CAs of client certificates; with any, certificates are asked for and one that is shown must verify
                (a client without one may go on to prove itself otherwise). An issuing CA may stand without its root
    client_required   a client that shows no certificate is refused by the handshake; needs ``client_ca``
    crl         revocation lists; with any, each CA needs one
    crl_chain   look intermediates up in the lists, too, not the client's certificate alone
    alpn        protocol names to agree to, best first. A client that names none, or only others, is not refused by
                the handshake: look at the transport's ``alpn``

    Raises ConfigError with all that is wrong.
    """
    now = time.time() if now is None else now
    problems: list[Problem] = []
    identity = gather(problems, lambda: load_identity(certificate, key, now))
    authorities = gather(problems, lambda: load_authorities(client_ca, now, issuing=True))
    revoked = b""
    if crl and authorities is not None:
        trusted = authorities[0]
        revoked = gather(problems, lambda: load_revocations(crl, trusted, now)) or b""
    if identity is None or authorities is None or problems:
        raise ConfigError(*problems)

    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.set_ciphers(TLS12_CIPHERS)
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    _explained(certificate, lambda: _load_identity(context, identity))
    context.not_after = min(each.not_valid_after_utc.timestamp() for each in identity.chain)
    context.end_point = end_point_hash(identity.leaf.public_bytes(Encoding.DER))
    context.trust = hashlib.sha256(authorities[1] + b"\0" + revoked).digest()
    if client_required:  # also without CAs: then nobody can be verified, and nobody gets in
        context.verify_mode = ssl.CERT_REQUIRED
    elif client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL
    if client_ca:
        # What the operator lists is what he trusts: an issuing CA without the root above it (and its other children).
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=authorities[1].decode("ascii"))
    if crl:
        _explained(crl[0], lambda: _load_revocations(context, revoked))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN if crl_chain else ssl.VERIFY_CRL_CHECK_LEAF
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def client_context(tls: TargetTls, *, now: float | None = None, alpn: Sequence[str] = ()) -> ssl.SSLContext | None:
    """How we meet a target, or a sink; None for ``disable``.

    ``require`` encrypts and verifies nothing; ``verify-ca`` verifies the chain, ``verify-full`` also the name given to
    ``start_tls`` as ``server_hostname``. Without ``tls.ca`` the host's own trusted CAs are used. Reads files: keep the
    context rather than make one for each connection. ``now`` as for `server_context`.

    Raises ConfigError.
    """
    if tls.mode == "disable":
        return None
    now = time.time() if now is None else now
    problems: list[Problem] = []
    authorities: bytes | None = None
    if tls.ca is not None and tls.mode != "require":
        ca = SecretReference.parse(tls.ca)
        loaded = gather(problems, lambda: load_authorities([ca], now, issuing=False))
        authorities = None if loaded is None else loaded[1]
    identity: Identity | None = None
    if (tls.certificate is None) != (tls.key is None):
        problems.append(
            Problem(str(tls.certificate or tls.key), (), "certificate and key go together", "give both, or neither")
        )
    elif tls.certificate is not None and tls.key is not None:
        certificate, key = SecretReference.parse(tls.certificate), tls.key
        identity = gather(problems, lambda: load_identity(certificate, key, now))
    if problems:
        raise ConfigError(*problems)

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = tls.mode == "verify-full"
    context.verify_mode = ssl.CERT_NONE if tls.mode == "require" else ssl.CERT_REQUIRED
    if tls.mode != "require":
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if authorities is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
    if identity is not None and tls.certificate is not None:
        _explained(SecretReference.parse(tls.certificate), lambda: _load_identity(context, identity))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _explained(reference: SecretReference, load: Callable[[], None]) -> None:
    """What only OpenSSL finds (a key too short for its security level) as a ConfigError, too."""
    try:
        load()
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise ConfigError(Problem(str(reference), (), f"OpenSSL refuses it: {reason}", "use a stronger one")) from error


def _load_identity(context: ssl.SSLContext, identity: Identity) -> None:
    with ExitStack() as files:
        context.load_cert_chain(
            files.enter_context(_in_memory(identity.chain_pem)), files.enter_context(_in_memory(identity.key_pem))
        )


def _load_revocations(context: ssl.SSLContext, revoked: bytes) -> None:
    # cadata takes certificates only
    with _in_memory(revoked) as path:
        context.load_verify_locations(cafile=path)


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """``data`` as a path to a file that lies on no file system and is gone afterwards."""
    descriptor = os.memfd_create("ostiary-pem", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
