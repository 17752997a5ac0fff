"""A receiver of webhooks: an HTTPS server of the standard library's, on loopback."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from support.pki import Issued


@dataclass(frozen=True, slots=True)
class Posted:
    """One POST as it came; ``at`` as time.time()."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Keeps what is posted to it and answers with ``status``; without ``server`` (its certificate) in plain text."""

    def __init__(self, server: Issued | None, *, status: int = 204) -> None:
        self.posted: list[Posted] = []
        self.status = status
        receiver = self

        class Post(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posted.append(Posted(time.time(), self.path, headers, body))
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what came is in ``posted``."""

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A handshake that was broken off is what some tests want."""

        self._server = Quiet(("127.0.0.1", 0), Post)
        self.port = self._server.server_port
        scheme = "http"
        if server is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(server.certificate, server.key)
            # In the thread of its connection, so that one that hangs in its handshake holds up no other.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        self.url = f"{scheme}://{'localhost' if server else '127.0.0.1'}:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
