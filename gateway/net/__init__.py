"""Connections: Twisted's endpoints whose transports are asyncio's (uvloop, the standard library's ssl).

    reactor        install_reactor: Twisted's asyncioreactor on uvloop, once
    server         StreamServerEndpoint, StreamPort: listening, and our own accept loop
    client         StreamClientEndpoint: connecting, with errors that say which address did what
    transport      Seam (asyncio's side), StreamTransport (Twisted's side), start_tls
    tls            server_context, client_context
    certificates   certificates, keys, revocation lists: read and checked; channel binding
    keepalive      socket options
    systemd        ServiceManager: what systemd is told

Above this room everything is an ordinary Twisted protocol. Why: docs/decisions/0001-transports.md.
"""

from gateway.net.client import StreamClientEndpoint
from gateway.net.reactor import install_reactor
from gateway.net.server import StreamPort, StreamServerEndpoint
from gateway.net.systemd import ServiceManager
from gateway.net.tls import POSTGRESQL_ALPN, ServerContext, client_context, server_context
from gateway.net.transport import StreamTransport

__all__ = [
    "POSTGRESQL_ALPN",
    "ServerContext",
    "ServiceManager",
    "StreamClientEndpoint",
    "StreamPort",
    "StreamServerEndpoint",
    "StreamTransport",
    "client_context",
    "install_reactor",
    "server_context",
]
