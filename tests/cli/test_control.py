"""Commands that ask a gateway; a real one answers in tests/e2e/test_operator.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.answering import answering, http
from cli.made import Site
from cli.talk import Command
from click.testing import CliRunner
from support.pki import Pki

from gateway.cli import main
from gateway.cli.control import control
from gateway.cli.options import Where
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
            control(Where(path, path)).post("/v1/reload", {}, Killed)
        assert caught.value.hint == "list it"
    assert asked[0].startswith(b"POST /v1/reload HTTP/1.1\r\n")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"node": 7}'])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_of_another_version(tmp_path: Path, status: int, body: bytes) -> None:
    path = tmp_path / "s"
    with answering(path, http(status, body)), pytest.raises(GatewayError, match="does not understand"):
        control(Where(path, path)).get("/v1/status", Status)


def test_no_http(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with answering(path, b"\x00\x01\x02\r\n\r\n"), pytest.raises(GatewayError, match="no gateway answers"):
        control(Where(path, path)).get("/v1/status", Status)


def test_the_configured_socket(site: Site) -> None:
    assert control(Where(site.config))._where == str(site.directory / "control.sock")


# --- over TLS ---


def test_another_host_is_asked_by_certificate(command: Command, pki: Pki) -> None:
    olga = pki.client("olga", file="cli-olga")
    command.become("nobody")  # on the socket
    shown = command.run("status", environment=command.remote(olga))
    assert shown.output.startswith("gateway      gw1, ostiary ")
    for words in (("sessions", "list"), ("approvals", "list"), ("grants", "list"), ("locks", "list"), ("reload",)):
        assert command.run(*words, environment=command.remote(olga)).exit_code == 0, words
    named = ("--url", f"https://localhost:{command.served.port}/", "--ca", str(pki.ca))
    mine = ("--certificate", str(olga.certificate), "--key", str(olga.key))
    assert command.run("status", *named, *mine, environment={}).exit_code == 0


def test_a_file_may_hold_certificate_and_key(command: Command, pki: Pki, tmp_path: Path) -> None:
    olga = pki.client("olga", file="cli-olga")
    both = tmp_path / "both.pem"
    both.write_bytes(olga.certificate.read_bytes() + olga.key.read_bytes())
    environment = command.remote(None) | {"OSTIARY_CERTIFICATE": str(both)}
    assert command.run("status", environment=environment).exit_code == 0


def test_a_gateway_that_can_not_be_verified_is_not_asked(command: Command, pki: Pki, stranger_pki: Pki) -> None:
    olga = pki.client("olga", file="cli-olga")
    environment = command.remote(olga)
    for other in ({"OSTIARY_CA": str(stranger_pki.ca)}, {"OSTIARY_URL": f"https://127.0.0.2:{command.served.port}"}):
        result = command.run("reload", environment=environment | other)
        assert result.exit_code == 1
        assert "--ca" in result.output or "listeners.control.address" in result.output
    system = {name: value for name, value in environment.items() if name != "OSTIARY_CA"}
    result = command.run("reload", environment=system)
    assert (result.exit_code, "its certificate is not accepted" in result.output) == (1, True)
    assert not command.served.gateway.reloaded_by


def test_a_certificate_that_is_not_taken(command: Command, pki: Pki, stranger_pki: Pki) -> None:
    stranger = stranger_pki.client("olga", file="cli-stranger")
    result = command.run("status", environment=command.remote(stranger))
    assert (result.exit_code, "tls.client_ca did not issue" in result.output) == (1, True)


def test_files_that_are_wrong(command: Command, pki: Pki, tmp_path: Path) -> None:
    environment = command.remote(pki.client("olga", file="cli-olga"))
    (tmp_path / "empty").write_bytes(b"")
    for name in ("CA", "CERTIFICATE", "KEY"):
        for file in ("nowhere", "empty"):
            result = command.run("status", environment=environment | {f"OSTIARY_{name}": str(tmp_path / file)})
            assert (result.exit_code, "can't be used" in result.output) == (1, True), result.output
    none = command.run("status", environment=command.remote(None))
    assert (none.exit_code, "give --certificate and --key" in none.output) == (1, True)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8444",
        "localhost:8444",
        "https://",
        "https://user@localhost",
        "https://localhost/v1",
        "https://localhost:99999",
        "https://localhost?x=1",
        "https://[::1",
    ],
)
def test_urls_that_are_none(command: Command, url: str) -> None:
    assert command.run("status", "--url", url, environment={}).exit_code == 2


def test_one_gateway_is_asked(command: Command, pki: Pki) -> None:
    environment = command.remote(pki.client("olga", file="cli-olga"))
    both = environment | {"OSTIARY_SOCKET": str(command.served.socket)}
    assert "name two gateways" in command.run("status", environment=both).output
    command.become("ben")
    socket = command.run("status", "--socket", str(command.served.socket), environment=environment)
    assert "ben has none of the roles" in socket.output
    url = ("--url", environment["OSTIARY_URL"])
    assert command.run("status", *url, environment=both).exit_code == 0
    two = command.run("status", *url, "--socket", str(command.served.socket), environment=environment)
    assert two.exit_code == 2


def test_there_is_no_switch_that_trusts_anybody() -> None:
    shown = CliRunner().invoke(main, ["approvals", "approve", "--help"]).output
    assert "--url" in shown
    assert "insecure" not in shown
