"""Webhooks over real connections to HTTPS receivers on loopback: of the whole gateway, and of a process that is told of
one request and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import guarded
from support.ostiary import Ostiary, merged
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import wait_until
from support.psql import clean_environment
from support.receiver import Posted, Receiver

pytestmark = pytest.mark.e2e

KEY = bytes(range(32))

GATEWAY = """
import json, sys, time
from pathlib import Path
from gateway.net import install_reactor
reactor = install_reactor()
import structlog
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from gateway.audit import AuditLog
from gateway.config.loading import parse_yaml
from gateway.config.schema import Approvals
from gateway.control.webhooks import Webhooks, receivers
from gateway.model import ApprovalTerms
from gateway.store.requests import Request, Subject

directory, lasts = Path(sys.argv[1]), float(sys.argv[2])
approvals = parse_yaml(sys.stdin.buffer.read(), Approvals, file="ostiary.yaml")
log = AuditLog(directory / "audit", node="gw1", clock=time.time)
webhooks = Webhooks(receivers(approvals, "ostiary.yaml", reactor=reactor, now=time.time()), node="gw1",
                    url=approvals.url, audit=log, reactor=reactor, clock=time.time)
terms = ApprovalTerms("bulk", "d" * 64, (), ("dba",), 1, 600.0, 1, 900.0)
subject = Subject("operation", "alice", "human", (), "192.0.2.7", "s", "orders", "shop", "rw", "b" * 64,
                  text="update t set x = 'hunter2'", normalised="update t set x = $1")

def begin():
    now = time.time()
    print(json.dumps(now), flush=True)
    webhooks.request_changed(Request("k7q2-m9xd", subject, (terms,), now, now + lasts))
    look()

def look():
    print(json.dumps([(state.name, state.delivered, state.failed) for state in webhooks.status()]), flush=True)
    if any(state.waiting for state in webhooks.status()):
        reactor.callLater(0.05, look)
    else:
        reactor.stop()

reactor.callWhenRunning(begin)
reactor.run()
log.close()
"""


def tell(
    directory: Path, notify: list[dict[str, Any]], *, lasts: float = 2.0
) -> tuple[float, dict[str, Any], list[Any]]:
    """When a request was made, what became of it at each receiver, and the events of those that failed."""
    configuration = json.dumps({"notify": notify, "url": "https://gw.example.com:8444"})
    done = subprocess.run(
        [sys.executable, "-c", GATEWAY, str(directory), str(lasts)],
        input=configuration, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *_, last = [json.loads(line) for line in done.stdout.splitlines()]
    lines = b"".join(path.read_bytes() for path in (directory / "audit").glob("*.jsonl")).splitlines()
    events = [event for event in map(json.loads, lines) if event["unmapped"]["event"] == "notification_failed"]
    return first, {name: (delivered, failed) for name, delivered, failed in last}, events


def signed(posted: Posted) -> bool:
    content = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
    expected = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    return posted.headers["webhook-signature"] == f"v1,{expected}"


@pytest.fixture
def hook(pki: Pki, tmp_path: Path) -> dict[str, str]:
    """A receiver's settings without its URL."""
    key = tmp_path / "key"
    key.write_text("whsec_" + base64.b64encode(KEY).decode())
    return {"secret": f"file:{key}", "ca": f"file:{pki.ca}"}


@pytest.fixture
def receiver(pki: Pki) -> Iterator[Receiver]:
    with Receiver(pki.server(file="receiver")) as running:
        yield running


def test_it_is_there_within_a_second(tmp_path: Path, receiver: Receiver, hook: dict[str, str]) -> None:
    made, counts, events = tell(tmp_path, [{"webhook": receiver.url, "name": "oncall"} | hook])
    assert (counts, events) == ({"oncall": (1, 0)}, [])
    [posted] = receiver.posted
    # A second of ours; the rest is this machine's other work.
    assert posted.at - made < 3
    assert signed(posted)
    assert posted.json["data"]["statement"] == "update t set x = $1"
    assert b"hunter2" not in posted.body


def test_a_receiver_with_another_cas_certificate_is_told_nothing(
    tmp_path: Path, stranger_pki: Pki, receiver: Receiver, hook: dict[str, str]
) -> None:
    with Receiver(stranger_pki.server(file="stranger-receiver")) as stranger:
        _, counts, [event] = tell(
            tmp_path,
            [{"webhook": stranger.url, "name": "stranger"} | hook, {"webhook": receiver.url, "name": "ours"} | hook],
        )
    assert counts == {"stranger": (0, 1), "ours": (1, 0)}
    assert stranger.posted == []
    assert "certificate" in event["status_detail"]


def test_a_receiver_by_another_name_is_told_nothing(tmp_path: Path, pki: Pki, hook: dict[str, str]) -> None:
    with Receiver(pki.server("chat.example.com", file="other-name")) as other:
        _, counts, [event] = tell(tmp_path, [{"webhook": other.url, "name": "other"} | hook])
    assert (counts, other.posted) == ({"other": (0, 1)}, [])
    assert "certificate" in event["status_detail"]


def test_a_redirect_is_not_followed(tmp_path: Path, receiver: Receiver, hook: dict[str, str]) -> None:
    receiver.status = 307
    _, counts, [event] = tell(tmp_path, [{"webhook": receiver.url, "name": "moved"} | hook])
    assert counts == {"moved": (0, 1)}
    assert {posted.path for posted in receiver.posted} == {"/hook"}
    assert len({posted.headers["webhook-id"] for posted in receiver.posted}) == 1
    assert event["unmapped"]["attempts"] == len(receiver.posted) > 1


def test_a_receiver_that_says_nothing_holds_up_no_other(
    tmp_path: Path, receiver: Receiver, hook: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        made, counts, [event] = tell(
            tmp_path, [{"webhook": url, "name": "silent"} | hook, {"webhook": receiver.url, "name": "ours"} | hook]
        )
    assert counts == {"silent": (0, 1), "ours": (1, 0)}
    assert receiver.posted[0].at - made < 3
    assert "did not answer within 5 s" in event["status_detail"]


def test_a_relay_on_this_host(tmp_path: Path) -> None:
    with Receiver(None) as relay:
        _, counts, _ = tell(tmp_path, [{"webhook": relay.url, "name": "relay", "form": "slack"}])
        wait_until(lambda: bool(relay.posted), what="a message")
    assert counts == {"relay": (1, 0)}
    assert "webhook-signature" not in relay.posted[0].headers
    assert "https://gw.example.com:8444/approvals/k7q2-m9xd" in relay.posted[0].json["text"]


# --- the whole gateway ---

POLICY = merged(
    guarded.POLICY,
    {
        "approve": [
            {
                "name": "updates need a second person",
                "targets": ["orders"],
                "sql": {"verbs": ["update"]},
                "approvers": {"groups": ["owners"]},
                "wait": "3s",
            }
        ]
    },
)


@pytest.fixture
def notifying(pki: Pki, target_server: Postgres, receiver: Receiver, hook: dict[str, str]) -> Ostiary:
    """A gateway that tells ``receiver``, not started."""
    notify = [{"webhook": receiver.url, "name": "oncall"} | hook]
    return Ostiary(
        pki,
        targets=[guarded.target(target_server, pki.ca)],
        policy=POLICY,
        settings={"approvals": {"notify": notify, "url": "https://gw.example.com:8444"}},
        environment=guarded.ENVIRONMENT,
    )


def test_what_is_open_is_told_again_after_a_restart(notifying: Ostiary, bob: Issued, receiver: Receiver) -> None:
    approve = [POLICY["approve"][0] | {"wait": "10m"}]
    notifying.write(policy=POLICY | {"approve": approve})
    with notifying as gateway:
        statement = "update customers set name = name where id = 1;"
        waiting = subprocess.Popen(
            ["psql", "-X", "-c", statement, gateway.connection(bob)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
        try:
            wait_until(lambda: len(receiver.posted) == 1, what="the question")
        finally:
            waiting.send_signal(signal.SIGSTOP)  # it does not leave: the gateway stops under it
            gateway.stop()
            waiting.kill()
            waiting.wait()
        gateway.start()
        wait_until(lambda: len(receiver.posted) == 2, what="the question again")
        first, second = receiver.posted
        assert second.json["data"]["state"] == "pending"
        assert second.headers["webhook-id"] == first.headers["webhook-id"]


def test_a_statement_that_waits_is_told(
    notifying: Ostiary, bob: Issued, receiver: Receiver, hook: dict[str, str]
) -> None:
    with notifying as gateway:
        told = gateway.psql(bob, "update customers set name = 'hunter2' where id = 1;")
        assert "permission denied" in told.stderr
        wait_until(lambda: len(receiver.posted) == 2, what="both messages")
        asked, ended = receiver.posted
        assert signed(asked)
        assert signed(ended)
        data = asked.json["data"]
        assert (data["principal"], data["groups"], data["target"]) == ("bob", ["engineers"], "orders")
        assert data["statement"] == "update customers set name = $1 where id = $2"
        assert data["rules"][0]["approvers"]["groups"] == ["owners"]
        assert data["link"] == f"https://gw.example.com:8444/approvals/{data['id']}"
        assert b"hunter2" not in asked.body + ended.body
        assert (ended.json["type"], ended.json["data"]["state"]) == ("approval.settled", "expired")
        [made] = [event for event in gateway.audit_events() if event["unmapped"]["event"] == "approval_requested"]
        # A second of ours; the rest is this machine's other work.
        assert asked.at - made["time"] / 1000 < 3
        assert 'ostiary_notices_total{outcome="delivered",webhook="oncall"} 2.0' in gateway.http("/metrics")[1]
        # A reload changes who is told, and refuses a key that is none.
        Path(hook["secret"].removeprefix("file:")).write_text("whsec_short")
        refused = gateway.cli("reload", "--config", str(gateway.configuration))
        assert refused.returncode == 1
        assert "approvals" in refused.stderr
        gateway.write(settings=gateway.settings | {"approvals": {}})
        assert gateway.cli("reload", "--config", str(gateway.configuration)).returncode == 0
        assert "oncall" not in gateway.http("/metrics")[1]
