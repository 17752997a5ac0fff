"""The control API's client: HTTP over the local socket, answers as `gateway.control.messages`."""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.config import load_yaml
from gateway.config.schema import MainFile
from gateway.control.messages import Refusal
from gateway.errors import GatewayError

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds; a reload of 10,000 targets and a large policy takes some."""

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes; 5,000 sessions are about 3 MiB."""


def control_socket(config_path: Path, path: Path | None) -> ControlSocket:
    """The gateway that runs with ``config_path``, or behind ``path``. Raises ConfigError.

    Only ostiary.yaml is read: who has to end a session must not wait for somebody to mend a policy file.
    """
    return ControlSocket(path or load_yaml(config_path, MainFile).listeners.control.socket)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ControlSocket:
    """The running gateway behind ``path``. Every method raises GatewayError: not there, or it refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str, into: type[T]) -> T:
        return self._ask("GET", path, None, into)

    def post(self, path: str, body: object, into: type[T]) -> T:
        return self._ask("POST", path, msgspec.json.encode(body), into)

    def _ask(self, method: str, path: str, body: bytes | None, into: type[T]) -> T:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            data = response.read(MAX_ANSWER)
        except (OSError, HTTPException) as error:
            raise GatewayError(f"no gateway answers at {self._path}: {_why(error)}", hint=_mend(error)) from error
        finally:
            connection.close()
        try:
            if response.status == 200:
                return msgspec.json.decode(data, type=into)
            refusal = msgspec.json.decode(data, type=Refusal)
        except msgspec.DecodeError as error:
            raise GatewayError(
                f"the gateway at {self._path} gave an answer that this version does not understand: {error}",
                hint="use the `ostiary` of the version that runs",
            ) from error
        raise GatewayError(refusal.problem, hint=refusal.mend)


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _mend(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "your user must be in the group that the socket belongs to"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "start it (ostiary serve), or give the --config that it runs with"
    return "look at the gateway's log"
