"""The control API over mutual TLS, as the real gateway serves it."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from typing import Any

import pytest
from support import guarded
from support.ostiary import COMMAND, Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import free_port, wait_until
from support.psql import clean_environment

pytestmark = pytest.mark.e2e

PORT = free_port()

POLICY = guarded.POLICY | {
    "approve": [
        {
            "name": "changes need a second person",
            "targets": ["orders"],
            "sql": {"verbs": ["delete"]},
            "approvers": {"groups": ["dba-oncall"], "needed": 1},
            "wait": "1m",
            "grant": {"uses": 1, "within": "15m"},
        }
    ]
}


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    settings = {
        "listeners": {"control": {"address": f"127.0.0.1:{PORT}"}},
        "tls": {"revocation": {"crl": [f"file:{pki.revoke([], file='control-e2e.crl')}"]}},
        "identity": {"socket": {os.getuid(): {"principal": "tester", "groups": ["platform"]}}},
        "roles": {"operator": ["group:platform"], "auditor": ["principal:tester"]},
    }
    made = Ostiary(
        pki,
        targets=[guarded.target(target_server, pki.ca)],
        policy=POLICY,
        settings=settings,
        environment=guarded.ENVIRONMENT,
    )
    with made:
        yield made


@pytest.fixture(scope="module")
def olga(pki: Pki) -> Issued:
    """An operator, by her group."""
    return pki.client("olga", groups=["platform"], file="e2e-olga")


def ask(pki: Pki, caller: Issued, method: str, path: str) -> tuple[int, Any]:
    """Status and answer."""
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(caller.certificate, caller.key)
    context.set_alpn_protocols(["http/1.1"])
    connection = HTTPSConnection("localhost", PORT, context=context, timeout=20)
    try:
        connection.request(method, path, headers={"Content-Type": "application/json"} if method == "POST" else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_certificate_opens_what_its_roles_allow(gateway: Ostiary, pki: Pki, olga: Issued, alice: Issued) -> None:
    code, found = ask(pki, olga, "GET", "/v1/status")
    assert code == 200
    assert f"control 127.0.0.1:{PORT}" in found["listeners"]
    code, refused = ask(pki, alice, "GET", "/v1/status")
    assert (code, refused["problem"]) == (403, "alice has none of the roles operator and auditor")
    assert gateway.audit_events()[-1]["src_endpoint"] == {"ip": "127.0.0.1"}


def test_a_group_that_is_listed_with_a_uid_counts(gateway: Ostiary) -> None:
    shown = gateway.cli("status", "--json", "--config", str(gateway.configuration))
    assert json.loads(shown.stdout)["node"] == "gw-test"


def test_a_revoked_certificate_ends_with_the_reload(gateway: Ostiary, pki: Pki, olga: Issued) -> None:
    stolen = pki.client("olga", groups=["platform"], file="e2e-stolen")
    assert ask(pki, stolen, "GET", "/v1/status")[0] == 200
    pki.revoke([stolen], file="control-e2e.crl")
    assert ask(pki, olga, "POST", "/v1/reload")[0] == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(pki, stolen, "GET", "/v1/status")
    assert ask(pki, olga, "GET", "/v1/status")[0] == 200


# --- approvers, from another host ---


class Remote:
    """`ostiary` of somebody on another host, by certificate."""

    def __init__(self, gateway: Ostiary, pki: Pki, caller: Issued) -> None:
        self._environment = clean_environment() | {
            "OSTIARY_URL": f"https://localhost:{PORT}",
            "OSTIARY_CA": str(pki.ca),
            "OSTIARY_CERTIFICATE": str(caller.certificate),
            "OSTIARY_KEY": str(caller.key),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([COMMAND, *arguments], env=self._environment, capture_output=True, text=True, timeout=60)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def dora(gateway: Ostiary, pki: Pki) -> Remote:
    """An approver."""
    return Remote(gateway, pki, pki.client("dora", groups=["dba-oncall"], file="e2e-dora"))


@contextmanager
def waiting(gateway: Ostiary, caller: Issued, statement: str) -> Iterator[subprocess.Popen[str]]:
    """A psql that runs ``statement`` and then waits for more."""
    child = subprocess.Popen(
        ["psql", "-X", "-qAt", gateway.connection(caller)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(),
    )
    assert child.stdin is not None
    child.stdin.write(f"\\set ON_ERROR_STOP on\n{statement};\n")
    child.stdin.flush()
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def asked(approver: Remote) -> dict[str, Any]:
    """The one request that is open."""
    wait_until(lambda: len(approver.json("approvals", "list")) == 1, what="a request")
    [one] = approver.json("approvals", "list")
    return dict(one)


def test_an_approver_elsewhere_lets_a_statement_go_on(
    gateway: Ostiary, pki: Pki, dora: Remote, bob: Issued, alice: Issued
) -> None:
    statement = "delete from orders where id = -1 and status <> 'hunter2'"
    with waiting(gateway, bob, statement) as child:
        one = asked(dora)
        assert "hunter2" not in json.dumps(one)
        shown = dora.run("approvals", "show", one["id"][:4]).stdout
        for said in (f"| {statement}", "bob (human)", "changes need a second person: 0 of 1", "you        may decide"):
            assert said in shown
        # Neither whoever asked nor anybody else decides.
        for other, words in ((bob, "nobody decides on their own request"), (alice, "there is no such request")):
            refused = Remote(gateway, pki, other).run("approvals", "approve", one["id"])
            assert (refused.returncode, words in refused.stderr) == (1, True), refused.stderr
        assert child.poll() is None
        assert dora.run("approvals", "approve", one["id"], "--reason", "ticket 12").returncode == 0
        said, _ = child.communicate(timeout=20)
        assert child.returncode == 0, said
    [grant] = dora.json("grants", "list")
    assert (grant["state"], grant["principal"], grant["approvers"]) == ("used", "bob", ["dora"])


def test_a_no_reaches_whoever_asked(gateway: Ostiary, dora: Remote, bob: Issued) -> None:
    with waiting(gateway, bob, "delete from orders where id = -2") as child:
        one = asked(dora)
        assert dora.run("approvals", "deny", one["id"], "--reason", "not on a friday").returncode == 0
        said, _ = child.communicate(timeout=20)
        assert child.returncode == 3
        assert "not on a friday" in said


def test_a_lock_ends_a_session_and_keeps_its_principal_out(
    gateway: Ostiary, pki: Pki, olga: Issued, bob: Issued
) -> None:
    operator = Remote(gateway, pki, olga)
    with waiting(gateway, bob, "select 1") as child:
        wait_until(lambda: len(operator.json("sessions", "list")) == 1, what="a session")
        [one] = operator.json("sessions", "list")
        locked = operator.json("lock", "session", one["id"], "--for", "10m", "--reason", "stolen laptop")
        assert locked["ended"] == 1
        said, _ = child.communicate("select 2;", timeout=20)
        assert "stolen laptop" in said
    refused = gateway.psql(bob, "select 1;")
    assert (refused.status, "locked" in refused.stderr) == (2, True)
    assert operator.run("unlock", locked["lock"]["id"]).returncode == 0
    assert gateway.psql(bob, "select 1;").rows == [["1"]]
