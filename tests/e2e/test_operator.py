"""What an operator does with a running gateway, and what it says about input that is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import StartFailed, free_port, wait_until
from support.psql import clean_environment

pytestmark = pytest.mark.e2e


def make(pki: Pki, server: Postgres, **changes: Any) -> Ostiary:
    arguments: dict[str, Any] = {
        "targets": [guarded.target(server, pki.ca)],
        "policy": guarded.POLICY,
        "environment": guarded.ENVIRONMENT,
    }
    return Ostiary(pki, **(arguments | changes))


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    with make(pki, target_server) as running:
        yield running


def ostiary(gateway: Ostiary, *arguments: str) -> subprocess.CompletedProcess[str]:
    return gateway.cli(*arguments, "--config", str(gateway.configuration))


def as_json(gateway: Ostiary, *arguments: str) -> Any:
    result = ostiary(gateway, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@contextmanager
def session(gateway: Ostiary, caller: Issued) -> Iterator[subprocess.Popen[str]]:
    """A psql that waits for what it is sent, logged in."""
    before = {one["id"] for one in as_json(gateway, "sessions", "list")}
    child = subprocess.Popen(
        ["psql", "-X", "-qAt", gateway.connection(caller)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(),
    )
    try:
        wait_until(
            lambda: {one["id"] for one in as_json(gateway, "sessions", "list")} - before != set(), what="a session"
        )
        yield child
    finally:
        child.kill()
        child.communicate()


def say(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


# --- the running gateway ---


def test_status(gateway: Ostiary) -> None:
    result = ostiary(gateway, "status")
    assert result.returncode == 0, result.stderr
    assert "gw-test" in result.stdout
    assert f"postgres 127.0.0.1:{gateway.port}" in result.stdout
    found = as_json(gateway, "status")
    assert found["readiness"]["ready"] is True
    assert found["targets"] == 1


def test_health_and_metrics(gateway: Ostiary, alice: Issued) -> None:
    gateway.psql(alice, "select count(*) from orders;\ndrop table orders;")
    assert gateway.http("/healthz")[0] == 200
    assert json.loads(gateway.http("/readyz")[1])["ready"] is True
    status, text = gateway.http("/metrics")
    assert status == 200
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['ostiary_operations_total{decision="allow"}']) >= 1
    assert float(values['ostiary_operations_total{decision="deny"}']) >= 1
    assert float(values["ostiary_masking_compiled"]) in (0, 1)
    assert guarded.PROTECTED.search(text) is None


def test_sessions(gateway: Ostiary, alice: Issued) -> None:
    with session(gateway, alice) as child:
        [one] = [one for one in as_json(gateway, "sessions", "list") if one["principal"] == "alice"]
        assert (one["target"], one["role"], one["groups"]) == ("orders", guarded.READ_ONLY, ["analysts"])
        assert one["id"] in ostiary(gateway, "sessions", "list").stdout
        shown = ostiary(gateway, "sessions", "show", one["id"])
        assert "alice (human, by certificate)" in shown.stdout
        say(child, "select 1;")
        wait_until(
            lambda: as_json(gateway, "sessions", "show", one["id"])["operations"] > one["operations"],
            what="an operation",
        )
    wait_until(lambda: not as_json(gateway, "sessions", "list"), what="the session is gone")


def test_kill(gateway: Ostiary, bob: Issued) -> None:
    with session(gateway, bob) as child:
        [one] = [one for one in as_json(gateway, "sessions", "list") if one["principal"] == "bob"]
        result = ostiary(gateway, "sessions", "kill", one["id"], "--reason", "stolen laptop")
        assert result.returncode == 0, result.stderr
        say(child, "select 'still here';")
        said, _ = child.communicate(timeout=20)
        assert "an operator ended this session: stolen laptop" in said
        assert "still here" not in said
    events = [event["unmapped"]["event"] for event in gateway.audit_events()]
    assert events.index("session_killed") < len(events) - 1 - events[::-1].index("session_closed")
    assert "stolen laptop" in ostiary(gateway, "recordings", "show", one["id"]).stdout
    assert ostiary(gateway, "sessions", "kill", one["id"]).returncode == 1
    assert ostiary(gateway, "recordings", "verify", one["id"]).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_uid_is_refused_and_it_is_said(gateway: Ostiary) -> None:
    gateway.socket.chmod(0o666)
    request = b"POST /v1/reload HTTP/1.0\r\nContent-Length: 0\r\n\r\n"
    code = f"import os,socket;os.setuid(65534);s=socket.socket(1);s.connect({str(gateway.socket)!r});"
    code += f"s.sendall({request!r});print(s.recv(65536).decode())"
    answer = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, timeout=20)
    gateway.socket.chmod(0o660)
    assert "403" in answer.stdout, answer.stderr
    refused = [event for event in gateway.audit_events() if event["unmapped"]["event"] == "administrative_act"]
    assert refused[-1]["actor"]["user"]["name"] == "uid 65534"
    assert refused[-1]["status_id"] == 2


def test_the_socket_is_for_user_and_group(gateway: Ostiary) -> None:
    assert gateway.socket.stat().st_mode & 0o777 == 0o660


def test_evidence(gateway: Ostiary, alice: Issued) -> None:
    gateway.psql(alice, "select id, ssn from customers limit 1;")
    wait_until(lambda: as_json(gateway, "recordings", "list")[-1]["state"] == "closed", what="the recording's end")
    newest = as_json(gateway, "recordings", "list")[-1]
    assert newest["principal"] == "alice"
    assert "select id, ssn from customers" in ostiary(gateway, "recordings", "show", newest["session"]).stdout
    lines = ostiary(gateway, "recordings", "export", newest["session"]).stdout.splitlines()
    assert json.loads(lines[0])["event"] == "opened"
    [result] = [event for event in map(json.loads, lines) if event["event"] == "result" and event["rows"]]
    assert (result["columns"], result["masked"]) == (["id", "ssn"], ["ssn"])
    assert ostiary(gateway, "recordings", "verify").returncode == 0
    assert ostiary(gateway, "audit", "verify").returncode == 0
    copy = gateway.directory / f"{newest['session']}.ostrec"
    data = bytearray((gateway.recordings()[-1]).read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    result = ostiary(gateway, "recordings", "verify", str(copy))
    assert result.returncode == 1
    assert "byte" in result.stdout


def test_explain_tells_what_the_gateway_does(gateway: Ostiary, bob: Issued) -> None:
    statement = "drop table orders"
    result = ostiary(
        gateway, "explain", "--principal", "bob", "--groups", "engineers", "--target", "orders", "--sql", statement
    )
    assert "deny by nobody destroys" in result.stdout
    assert "nobody destroys" in gateway.psql(bob, f"{statement};").stderr


# --- reload ---


def test_a_broken_policy_never_replaces_a_good_one(gateway: Ostiary, alice: Issued) -> None:
    refused = as_json(gateway, "status")["refused_reloads"]
    snapshot = as_json(gateway, "status")["snapshot"]
    try:
        gateway.write(policy={"allow": [{"name": "x", "targets": ["orders"], "sql": {"verbs": ["selekt"]}}]})
        gateway.reload()
        gateway.wait_for_log("reload refused")
        result = ostiary(gateway, "reload")
        assert result.returncode == 1
        for said in ("policy.yaml:", "verbs", "Mend:"):
            assert said in result.stderr, result.stderr
        assert ostiary(gateway, "check").returncode == 1
        found = as_json(gateway, "status")
        assert (found["snapshot"], found["refused_reloads"]) == (snapshot, refused + 2)
        assert gateway.psql(alice, "select id from customers limit 1;").status == 0
    finally:
        gateway.write(policy=guarded.POLICY)
    events = [event for event in gateway.audit_events() if event["unmapped"]["event"] == "configuration_refused"]
    assert [event["actor"]["user"]["name"] for event in events[-2:]] == ["SIGHUP", "tester"]
    assert ostiary(gateway, "reload").returncode == 0
    assert as_json(gateway, "status")["snapshot"] == snapshot + 1


def test_a_certificate_that_expired_never_replaces_a_good_one(gateway: Ostiary, pki: Pki, alice: Issued) -> None:
    expired = pki.server(file="operator-expired", expired=True)
    settings = gateway.settings
    tls = settings["tls"] | {"certificate": f"file:{expired.certificate}", "key": f"file:{expired.key}"}
    try:
        gateway.write(settings=settings | {"tls": tls})
        result = ostiary(gateway, "reload")
        assert result.returncode == 1
        assert "expired" in result.stderr
        assert gateway.psql(alice, "select 1;").status == 0
    finally:
        gateway.write(settings=settings)


def certificate_shown(gateway: Ostiary, pki: Pki) -> bytes:
    """What a new connection sees (DER), by direct TLS."""
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.set_alpn_protocols(["postgresql"])
    with (
        socket.create_connection((gateway.host, gateway.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        return encrypted.getpeercert(binary_form=True) or b""


def test_a_renewed_certificate_needs_a_reload_only(gateway: Ostiary, pki: Pki, alice: Issued) -> None:
    renewed = pki.server(file="operator-renewed")
    certificate, key = (gateway.settings["tls"][name].removeprefix("file:") for name in ("certificate", "key"))
    wanted = ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())
    with session(gateway, alice) as child:
        shutil.copyfile(renewed.certificate, certificate)
        assert ostiary(gateway, "reload").returncode == 1, "its key isn't there yet"
        assert certificate_shown(gateway, pki) != wanted
        shutil.copyfile(renewed.key, key)
        assert ostiary(gateway, "reload").returncode == 0
        assert certificate_shown(gateway, pki) == wanted
        say(child, "select 'still ' || 'here';\n\\q")
        said, _ = child.communicate(timeout=20)
        assert said == "still here\n"


def test_a_reload_drops_no_session_and_names_what_waits_for_a_restart(gateway: Ostiary, alice: Issued) -> None:
    settings = gateway.settings
    listeners = settings["listeners"] | {"metrics": {"address": f"127.0.0.1:{free_port()}"}}
    with session(gateway, alice) as child:
        try:
            gateway.write(settings=settings | {"listeners": listeners})
            result = ostiary(gateway, "reload")
            assert "needs a restart: listeners.metrics.address" in result.stdout
        finally:
            gateway.write(settings=settings)
            ostiary(gateway, "reload")
        say(child, "select 'still ' || 'here';\n\\q")
        said, _ = child.communicate(timeout=20)
        assert said == "still here\n"


def test_new_sinks_are_taken_up(gateway: Ostiary, pki: Pki) -> None:
    port = free_port()
    sink = {"name": "siem", "kind": "syslog-tls", "address": f"localhost:{port}", "ca": f"file:{pki.ca}"}
    try:
        gateway.write(settings=gateway.settings | {"audit": {"sinks": [sink]}})
        assert ostiary(gateway, "reload").returncode == 0
        wait_until(
            lambda: "refuses the connection" in str(as_json(gateway, "status")["sinks"]), what="the sink's problem"
        )
        assert 'ostiary_sink_connected{sink="siem"} 0.0' in gateway.http("/metrics")[1]
    finally:
        gateway.write(settings=gateway.settings)
        ostiary(gateway, "reload")
    assert as_json(gateway, "status")["sinks"] == []


# --- what keeps it from starting ---


def refused_start(gateway: Ostiary, *said: str) -> str:
    """It ends with status 1, and says ``said``, once."""
    try:
        with pytest.raises(StartFailed, match="ended with status 1"):
            gateway.start()
        told = gateway.log_text()
        for words in said:
            assert told.count(words) == 1, told
        assert "Traceback" not in told
        assert "Mend: " in told
        assert not gateway.socket.exists()
        return told
    finally:
        gateway.remove()


def test_port_in_use(pki: Pki, target_server: Postgres) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gateway = make(pki, target_server, port=port)
        # the harness takes whoever listens there for the gateway
        gateway._ready = lambda: False
        refused_start(gateway, f"cannot listen on 127.0.0.1:{port}", "another process listens there")


def test_expired_certificate(pki: Pki, target_server: Postgres) -> None:
    expired = pki.server(file="start-expired", expired=True)
    tls = {"certificate": f"file:{expired.certificate}", "key": f"file:{expired.key}"}
    refused_start(make(pki, target_server, settings={"tls": tls}), "expired on", str(expired.certificate))


def test_key_of_another_certificate(pki: Pki, target_server: Postgres) -> None:
    other = pki.server(file="start-other")
    refused_start(make(pki, target_server, settings={"tls": {"key": f"file:{other.key}"}}), "is not the key of")


def test_key_that_can_not_be_read(pki: Pki, target_server: Postgres) -> None:
    refused_start(
        make(pki, target_server, settings={"tls": {"key": "file:/nowhere/gateway.key"}}), "/nowhere/gateway.key"
    )


def test_recording_directory_with_wrong_rights(pki: Pki, target_server: Postgres) -> None:
    gateway = make(pki, target_server)
    recordings = gateway.data / "recordings"
    recordings.mkdir(mode=0o777)
    recordings.chmod(0o777)
    refused_start(gateway, "others can write there", f"chmod g-w,o-w {recordings}")


def test_configuration_that_is_wrong(pki: Pki, target_server: Postgres) -> None:
    told = refused_start(
        make(pki, target_server, settings={"limits": {"login": "soon", "sesions": 5}}), "login", "sesions"
    )
    assert "ostiary.yaml:" in told


def test_configuration_that_is_not_there(pki: Pki, target_server: Postgres) -> None:
    gateway = make(pki, target_server)
    gateway.configuration.unlink()
    refused_start(gateway, "can't be opened")


def test_policy_that_is_wrong(pki: Pki, target_server: Postgres) -> None:
    refused_start(make(pki, target_server, policy={"alow": []}), "alow")


def test_control_socket_without_a_directory(pki: Pki, target_server: Postgres) -> None:
    settings = {"listeners": {"control": {"socket": "/nowhere/control.sock"}}}
    refused_start(make(pki, target_server, settings=settings), "cannot listen on /nowhere/control.sock")


def test_a_second_gateway_on_the_same_data(pki: Pki, target_server: Postgres, gateway: Ostiary) -> None:
    settings = {"node": {"data": str(gateway.data)}}
    refused_start(make(pki, target_server, settings=settings), "is in use by another process")
    assert gateway.running


# --- what fails while it runs ---


def test_a_target_that_is_down(pki: Pki, target_server: Postgres, alice: Issued) -> None:
    down = guarded.target(target_server, pki.ca) | {"address": f"localhost:{free_port()}"}
    with make(pki, target_server, targets=[down]) as gateway:
        result = gateway.psql(alice, "select 1;")
        assert result.status == 2
        assert "localhost" in result.stderr
        assert gateway.http("/readyz")[0] == 200
        found = json.loads(gateway.cli("status", "--json", "--config", str(gateway.configuration)).stdout)
        assert found["refused_logins"] == 1
        assert found["sessions"] == 0


def test_a_targets_ca_that_is_wrong(pki: Pki, stranger_pki: Pki, target_server: Postgres, alice: Issued) -> None:
    with make(pki, target_server, targets=[guarded.target(target_server, stranger_pki.ca)]) as gateway:
        result = gateway.psql(alice, "select 1;")
        assert result.status == 2
        assert "certificate" in result.stderr


def test_a_disk_that_is_nearly_full_is_not_ready(pki: Pki, target_server: Postgres, alice: Issued) -> None:
    settings = {"recording": {"low_water": "1000000GiB", "reserve": "16MiB"}}
    gateway = make(pki, target_server, settings=settings)
    # it listens, and it is not ready: that is what is looked at
    gateway._ready = lambda: gateway.http("/readyz")[0] == 503
    with gateway:
        body = json.loads(gateway.http("/readyz")[1])
        assert [check["name"] for check in body["checks"] if not check["ok"]] == ["recordings"]
        result = ostiary(gateway, "status")
        assert result.returncode == 1
        assert "NOT READY" in result.stdout
        refused = gateway.psql(alice, "select 1;")
        assert refused.status == 2
        assert "disk for recordings is nearly full" in refused.stderr


def test_logs_are_json_lines(pki: Pki, target_server: Postgres, alice: Issued) -> None:
    with make(pki, target_server) as gateway:
        gateway.psql(alice, "select 1;")
        gateway.send(signal.SIGTERM)
        assert gateway.wait() == 0
        events = [json.loads(line)["event"] for line in gateway.log_text().splitlines()]
    assert "ready" in events
    assert events[-1] == "stopped"
