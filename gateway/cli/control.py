"""The control API's client: HTTP over the local socket or mutual TLS, answers as `gateway.control.messages`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from gateway.config import load_yaml
from gateway.config.schema import MainFile
from gateway.control.messages import Refusal, Watched
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.cli.options import Where

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds; a reload of 10,000 targets and a large policy takes some."""

SILENCE = 20.0
"""Seconds without a line, of an answer that goes on, until its gateway counts as gone: a heartbeat comes every 5."""

MAX_LINE = 8 * 1024 * 1024
"""Bytes; an event of a recording is 1 MiB at most."""

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes; 5,000 sessions are about 3 MiB."""


def control(where: Where) -> Control:
    """The gateway that is meant. Raises ConfigError or GatewayError.

    Of a configuration only ostiary.yaml is read: who has to end a session must not wait for somebody to mend a policy.
    """
    if where.url is None:
        path = where.socket or load_yaml(where.config, MainFile).listeners.control.socket
        return Control(str(path), lambda: _UnixConnection(path), _socket_mend)
    context, (host, port) = _context(where), where.url
    shown = f"https://{host}:{port}"
    return Control(shown, lambda: HTTPSConnection(host, port, timeout=TIMEOUT, context=context), _tls_mend)


def _context(where: Where) -> ssl.SSLContext:
    """Verifies, always."""
    try:
        context = ssl.create_default_context(cafile=None if where.ca is None else str(where.ca))
    except (OSError, ssl.SSLError) as error:
        raise GatewayError(f"{where.ca}: can't be used as a CA: {_why(error)}", hint="give a PEM file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if where.certificate is None:
        raise GatewayError(
            "a gateway elsewhere takes client certificates, and none is given",
            hint="give --certificate and --key, or OSTIARY_CERTIFICATE and OSTIARY_KEY",
        )
    try:
        context.load_cert_chain(where.certificate, where.key)
    except (OSError, ssl.SSLError) as error:
        raise GatewayError(
            f"{where.certificate}: can't be used: {_why(error)}",
            hint="give a PEM file with the certificate, and its --key unless that is in the same file",
        ) from error
    return context


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Control:
    """A running gateway. Every method raises GatewayError: not there, or it refuses.

    connect  makes a connection; mend  what to do about an error of it
    """

    def __init__(self, where: str, connect: Callable[[], HTTPConnection], mend: Callable[[Exception], str]) -> None:
        self._where = where
        self._connect = connect
        self._mend = mend

    def get(self, path: str, into: type[T], **query: str | None) -> T:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return self._ask("GET", f"{path}?{given}" if given else path, None, into)

    def post(self, path: str, body: object, into: type[T]) -> T:
        return self._ask("POST", path, msgspec.json.encode(body), into)

    def _ask(self, method: str, path: str, body: bytes | None, into: type[T]) -> T:
        connection = self._connect()
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            data = response.read(MAX_ANSWER)
        except (OSError, HTTPException) as error:
            raise GatewayError(f"no gateway answers at {self._where}: {_why(error)}", hint=self._mend(error)) from error
        finally:
            connection.close()
        if response.status == 200:
            return self._decoded(data, into)
        refusal = self._decoded(data, Refusal)
        raise GatewayError(refusal.problem, hint=refusal.mend)

    def watch(self, path: str) -> Iterator[Watched]:
        """The lines of an answer that goes on, without heartbeats, until what is watched is over."""
        connection = self._connect()
        connection.timeout = SILENCE
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != 200:
                refusal = self._decoded(response.read(MAX_ANSWER), Refusal)
                raise GatewayError(refusal.problem, hint=refusal.mend)
            while line := response.readline(MAX_LINE):
                watched = self._decoded(line, Watched)
                if watched.event == "dropped":
                    raise GatewayError(f"the gateway watches no more: {watched.reason}")
                if watched.event != "heartbeat":
                    yield watched
                if watched.event == "ended":
                    return
        except TimeoutError as error:
            raise GatewayError(f"the gateway at {self._where} fell silent", hint="see whether it runs") from error
        except (OSError, HTTPException) as error:
            raise GatewayError(f"no gateway answers at {self._where}: {_why(error)}", hint=self._mend(error)) from error
        finally:
            connection.close()
        raise GatewayError(f"the gateway at {self._where} is gone", hint="see whether it runs")

    def _decoded(self, data: bytes, into: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=into)
        except msgspec.DecodeError as error:
            raise GatewayError(
                f"the gateway at {self._where} gave an answer that this version does not understand: {error}",
                hint="use the `ostiary` of the version that runs",
            ) from error


def path(*parts: str) -> str:
    """Below ``/v1``; what callers wrote can't leave its place."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _socket_mend(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "your user must be in the group that the socket belongs to"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "start it (ostiary serve), or give the --config that it runs with"
    return "look at the gateway's log"


def _tls_mend(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "give the CA of the gateway's certificate (--ca), and the name that it is for (--url)"
    if isinstance(error, ssl.SSLError | ConnectionResetError | BrokenPipeError | HTTPException):
        return "it closes the connection on a certificate that its tls.client_ca did not issue, or that is revoked"
    return "check --url, and listeners.control.address of that gateway"
