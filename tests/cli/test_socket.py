"""Commands that ask a gateway; a real one answers in tests/e2e/test_operator.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.answering import answering, http
from cli.made import Site

from gateway.cli.socket import ControlSocket, control_socket
from gateway.control.messages import Killed, Status
from gateway.errors import GatewayError


@pytest.mark.parametrize("command", [("status",), ("sessions", "list"), ("sessions", "kill", "x"), ("reload",)])
def test_nobody_answers(site: Site, command: tuple[str, ...]) -> None:
    result = site.run(*command)
    assert result.exit_code == 1
    assert f"no gateway answers at {site.directory}/control.sock" in result.output
    assert "Mend: start it" in result.output


def test_a_broken_policy_is_not_in_the_way(site: Site) -> None:
    site.policy = "}"
    site.target = {"nonsense": 1}
    site.write()
    assert "no gateway answers" in site.run("sessions", "list").output


def test_the_socket_alone_is_enough(site: Site) -> None:
    result = site.run("status", "--config", "/nowhere", "--socket", str(site.directory / "other.sock"))
    assert "no gateway answers" in result.output
    assert "other.sock" in result.output


def test_what_is_refused_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with answering(path, http(403, b'{"problem":"uid 7 is nobody here","mend":"list it"}')) as asked:
        with pytest.raises(GatewayError, match="uid 7 is nobody here") as caught:
            ControlSocket(path).post("/v1/reload", {}, Killed)
        assert caught.value.hint == "list it"
    assert asked[0].startswith(b"POST /v1/reload HTTP/1.1\r\n")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"node": 7}'])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_of_another_version(tmp_path: Path, status: int, body: bytes) -> None:
    path = tmp_path / "s"
    with answering(path, http(status, body)), pytest.raises(GatewayError, match="does not understand"):
        ControlSocket(path).get("/v1/status", Status)


def test_no_http(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with answering(path, b"\x00\x01\x02\r\n\r\n"), pytest.raises(GatewayError, match="no gateway answers"):
        ControlSocket(path).get("/v1/status", Status)


def test_the_configured_socket(site: Site) -> None:
    assert control_socket(site.config, None)._path == site.directory / "control.sock"
