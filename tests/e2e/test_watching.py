"""Watching a running gateway: by its socket, from another host, until Ctrl-C, the session's end or the gateway's."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
from collections.abc import Iterator
from http.client import HTTPSConnection
from typing import Any

import pytest
from support import guarded
from support.ostiary import COMMAND, Ostiary, merged
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import free_port, wait_until
from support.psql import clean_environment

pytestmark = pytest.mark.e2e

PORT = free_port()
URL = f"https://localhost:{PORT}"

POLICY = merged(
    guarded.POLICY,
    {
        "approve": [
            {
                "name": "changes need a second person",
                "targets": ["orders"],
                "sql": {"verbs": ["delete"]},
                "approvers": {"groups": ["dba-oncall"]},
            }
        ]
    },
)


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    settings = {
        "listeners": {"control": {"address": f"127.0.0.1:{PORT}"}},
        "tls": {"revocation": {"crl": [f"file:{pki.revoke([], file='watching-e2e.crl')}"]}},
        "approvals": {"url": URL},
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


class Watcher:
    """`ostiary ... watch`, running."""

    def __init__(self, *arguments: str, environment: dict[str, str]) -> None:
        self.child = subprocess.Popen(
            [COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        assert self.child.stdout is not None
        return self.child.stdout.readline()

    def until(self, **wanted: object) -> dict[str, Any]:
        """The next line of JSON that has all of it."""
        while line := self.line():
            found = json.loads(line)
            if wanted.items() <= found.items():
                return dict(found)
        raise AssertionError(self.child.communicate(timeout=20))

    def ended(self) -> tuple[int, str]:
        """Exit status and what it complained of."""
        _, complaint = self.child.communicate(timeout=30)
        return self.child.returncode, complaint

    def interrupt(self) -> tuple[int, str]:
        self.child.send_signal(signal.SIGINT)
        return self.ended()


@pytest.fixture
def session(gateway: Ostiary, bob: Issued) -> Iterator[subprocess.Popen[str]]:
    """A psql of bob's that waits for what it is sent."""
    child = subprocess.Popen(
        ["psql", "-X", "-qAt", gateway.connection(bob)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(),
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def say(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(text + "\n")
    child.stdin.flush()


def live(gateway: Ostiary) -> str:
    """The one session's id, once it is there."""
    found: list[str] = []

    def there() -> bool:
        listed = gateway.cli("sessions", "list", "--json", "--config", str(gateway.configuration))
        found[:] = [one["id"] for one in json.loads(listed.stdout)]
        return len(found) == 1

    wait_until(there, what="one session")
    return found[0]


def local(gateway: Ostiary) -> dict[str, str]:
    return clean_environment() | {"OSTIARY_CONFIG": str(gateway.configuration)}


def watching(gateway: Ostiary, session: str) -> list[str]:
    return [
        event["unmapped"]["event"]
        for event in gateway.audit_events()
        if event["unmapped"]["event"].startswith("session_watch") and event["resources"][0]["uid"] == session
    ]


def test_a_session_until_it_ends(gateway: Ostiary, session: subprocess.Popen[str]) -> None:
    say(session, "select 'before';")
    id = live(gateway)
    watcher = Watcher("sessions", "watch", id, environment=local(gateway))
    assert watcher.line().startswith(f"watching {id}: bob from 127.0.0.1 on orders as orders_")
    assert watching(gateway, id) == ["session_watched"]
    say(session, "select 'behind', E'\\x1b[2J';\ndrop table orders;")
    shown = ""
    while "| drop table orders" not in shown:
        line = watcher.line()
        assert line, watcher.ended()
        shown += line
    assert "| select 'behind'" in shown
    assert "before" not in shown
    assert 'outcome=deny  rules=["nobody destroys"]' in shown
    say(session, "\\q")
    rest, complaint = watcher.child.communicate(timeout=30)
    assert (watcher.child.returncode, complaint) == (0, "")
    assert rest.splitlines()[-1] == "the session ended"
    assert "closed" in rest
    wait_until(lambda: watching(gateway, id) == ["session_watched", "session_watch_ended"], what="the end of watching")
    verified = gateway.cli("recordings", "verify", id, "--config", str(gateway.configuration))
    assert verified.returncode == 0, verified.stdout


def test_an_interrupt_is_how_a_watcher_leaves(gateway: Ostiary, session: subprocess.Popen[str]) -> None:
    id = live(gateway)
    watcher = Watcher("sessions", "watch", id, "--json", environment=local(gateway))
    wait_until(lambda: watching(gateway, id) == ["session_watched"], what="a watcher")
    say(session, "select 1;")
    watcher.until(event="operation", text="select 1;")
    watcher.until(event="result", rows=1)
    code, complaint = watcher.interrupt()
    assert (code, complaint.strip()) == (0, "")
    wait_until(lambda: watching(gateway, id)[-1] == "session_watch_ended", what="the end of watching")
    say(session, "select 'still ' || 'here';\n\\q")
    said, _ = session.communicate(timeout=20)
    assert said == "1\nstill here\n"


def test_a_watcher_that_stops_reading_holds_up_nobody(gateway: Ostiary, session: subprocess.Popen[str]) -> None:
    id = live(gateway)
    watcher = Watcher("sessions", "watch", id, "--json", environment=local(gateway))
    wait_until(lambda: watching(gateway, id) == ["session_watched"], what="a watcher")
    watcher.child.send_signal(signal.SIGSTOP)
    long = "x" * 20_000
    say(session, "".join(f"select {number} /* {long} */;\n" for number in range(200)) + "\\q")
    said, _ = session.communicate(timeout=60)
    assert said.splitlines() == [str(number) for number in range(200)]
    watcher.child.send_signal(signal.SIGCONT)
    watcher.until(event="closed")
    assert watcher.ended() == (0, "")


# --- from another host ---


def remote(pki: Pki, caller: Issued) -> dict[str, str]:
    return clean_environment() | {
        "OSTIARY_URL": URL,
        "OSTIARY_CA": str(pki.ca),
        "OSTIARY_CERTIFICATE": str(caller.certificate),
        "OSTIARY_KEY": str(caller.key),
    }


def test_an_approver_elsewhere_sees_requests_as_they_come(
    gateway: Ostiary, pki: Pki, session: subprocess.Popen[str], alice: Issued
) -> None:
    dora = pki.client("dora", groups=["dba-oncall"], file="watching-dora")
    watcher = Watcher("approvals", "watch", "--json", environment=remote(pki, dora))
    others = Watcher("approvals", "watch", "--json", environment=remote(pki, alice))
    say(session, "delete from orders where id = -1 and status = 'hunter2';")
    asked = watcher.until(state="pending")
    assert asked["may_decide"] is True
    assert "hunter2" not in json.dumps(asked)
    # The page that a notice links to, as a browser with the same certificate gets it.
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(dora.certificate, dora.key)
    context.set_alpn_protocols(["http/1.1"])
    connection = HTTPSConnection("localhost", PORT, context=context, timeout=20)
    connection.request("GET", f"/approvals/{asked['id']}")
    page = connection.getresponse()
    text = page.read().decode()
    connection.close()
    assert page.status == 200
    assert "delete from orders where id = -1 and status = &#x27;hunter2&#x27;" in text
    assert f"ostiary approvals approve {asked['id']} --url {URL}" in text
    approved = subprocess.run(
        [COMMAND, "approvals", "approve", asked["id"]],
        env=remote(pki, dora),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert approved.returncode == 0, approved.stderr
    assert watcher.until(state="approved")["votes"][0]["approver"] == "dora"
    assert watcher.interrupt()[0] == 0
    code, complaint = others.interrupt()
    assert (code, complaint.strip()) == (0, "")
    say(session, "\\q")
    session.communicate(timeout=20)


def test_who_is_no_auditor_watches_no_session(
    gateway: Ostiary, pki: Pki, session: subprocess.Popen[str], alice: Issued
) -> None:
    code, complaint = Watcher("sessions", "watch", live(gateway), environment=remote(pki, alice)).ended()
    assert code == 1
    assert "alice has none of the roles auditor" in complaint


def test_the_gateway_stops(gateway: Ostiary) -> None:
    watchers = [
        Watcher("approvals", "watch", "--json", environment=local(gateway)),
        Watcher("approvals", "watch", environment=local(gateway)),
    ]
    metric = "ostiary_watchers 2.0"
    wait_until(lambda: metric in gateway.http("/metrics")[1], what="two watchers")
    gateway.stop()
    for watcher in watchers:
        code, complaint = watcher.ended()
        assert code == 1
        assert "the gateway is being stopped" in complaint
