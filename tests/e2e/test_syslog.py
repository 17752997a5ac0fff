"""The sink against Debian's rsyslogd over TLS: what it wrote down is compared with the log, event by event."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pki import Issued, Pki
from support.process import scratch_directory, wait_until
from support.rsyslog import Rsyslog

from gateway.audit.verify import verify_log

pytestmark = pytest.mark.e2e

GATEWAY = """
import json, sys, time
from pathlib import Path
from gateway.net import install_reactor
reactor = install_reactor()
from twisted.internet.task import LoopingCall
from gateway.audit import AuditLog
from gateway.audit.events import AuthenticationFailed
from gateway.audit.sinks import syslog_sink
from gateway.config.schema import Sink
from gateway.model import Address
from gateway.secrets import SecretReference

def reference(path):
    return SecretReference.parse("file:" + path) if path else None

directory, host, port, ca, certificate, key, rate, window = sys.argv[1:]
log = AuditLog(Path(directory), node="gw1.example.com", clock=time.time, segment_size=200_000)
sink = syslog_sink(
    Sink(name="siem", kind="syslog-tls", address=Address(host, int(port)), ca=reference(ca),
         certificate=reference(certificate), key=reference(key), resend_window=int(window)),
    log, reactor=reactor)

def write():
    for number in range(int(rate)):
        name = 'm"]\\\\ \\u00e9 \\x1b[2J\\n%d' % number
        log.append(AuthenticationFailed("s", name, "192.0.2.1", "password", "x" * 400))
    log.flush()

def tell():
    status = sink.status()
    print(json.dumps([log.flushed, status.connected, status.lag, status.problem, status.resent]), flush=True)

def command():
    global rate
    line = sys.stdin.readline()
    if line.startswith("quiet"):
        rate = "0"
    reactor.callFromThread(reactor.callInThread, command)

reactor.callWhenRunning(sink.start)
reactor.callInThread(command)
LoopingCall(write).start(0.05)
LoopingCall(tell).start(0.05)
reactor.run()
"""


class Sender:
    """A process with a log that grows and a sink; nothing else of a gateway."""

    def __init__(
        self,
        directory: Path,
        receiver: Rsyslog,
        ca: Path,
        *,
        client: Issued | None = None,
        rate: int = 20,
        window: int = 100,
    ) -> None:
        self.directory = directory
        identity = [str(client.certificate), str(client.key)] if client else ["", ""]
        arguments = [directory, receiver.host, receiver.port, ca, *identity, rate, window]
        self._said = (directory.parent / f"{directory.name}.said").open("a+")
        self.child = subprocess.Popen(
            [sys.executable, "-c", GATEWAY, *map(str, arguments)], stdin=subprocess.PIPE, stdout=self._said, text=True
        )

    def status(self) -> tuple[int, bool, int, str | None, int]:
        """What it said last: events in its log, connected, lag, problem, resent."""
        self._said.seek(0)
        whole = [line for line in self._said.read().splitlines() if line.endswith("]")]
        flushed, connected, lag, problem, resent = json.loads(whole[-1]) if whole else (0, False, 0, None, 0)
        return flushed, connected, lag, problem, resent

    def quiet(self) -> None:
        """No more events; waits until all are sent."""
        assert self.child.stdin is not None
        self.child.stdin.write("quiet\n")
        self.child.stdin.flush()

        def settled() -> bool:
            before = self.status()[0]
            return self.status()[1] and self.status()[2] == 0 and before == self.status()[0]

        wait_until(settled, seconds=60, what="the sink has sent all")

    def kill(self) -> None:
        """``kill -9``."""
        self.child.kill()
        self.child.wait()
        if self.child.stdin is not None:
            self.child.stdin.close()
        self._said.close()


@pytest.fixture
def directory() -> Path:
    return scratch_directory("audit") / "log"


@pytest.fixture
def senders() -> Iterator[list[Sender]]:
    """Whatever a test puts here is dead after it."""
    running: list[Sender] = []
    yield running
    for sender in running:
        sender.kill()


def sequences(receiver: Rsyslog) -> list[int]:
    return [int(number) for number in re.findall(r' sequence="(\d+)"', "\n".join(receiver.lines()))]


def more_arrive(receiver: Rsyslog) -> None:
    before = len(receiver.lines())
    wait_until(lambda: len(receiver.lines()) > before + 300, seconds=60, what="events are received")


def all_arrived(receiver: Rsyslog, directory: Path) -> None:
    """At least once, and first arrivals in order: their list is the log's."""
    last = verify_log(directory).last
    wait_until(lambda: last in sequences(receiver), seconds=30, what=f"event {last} is received")
    assert list(dict.fromkeys(sequences(receiver))) == list(range(1, last + 1))


def lines_of(directory: Path) -> dict[int, dict[str, Any]]:
    lines = b"".join(path.read_bytes() for path in sorted(directory.glob("*.jsonl"))).splitlines()
    events = [json.loads(line) for line in lines]
    return {event["metadata"]["sequence"]: event for event in events}


def test_what_rsyslog_gets_is_the_log(pki: Pki, directory: Path, senders: list[Sender]) -> None:
    with Rsyslog(pki.server(file="syslog"), ca=pki.ca) as receiver:
        senders.append(Sender(directory, receiver, pki.ca))
        wait_until(lambda: len(receiver.lines()) > 200, seconds=30, what="events are received")
        senders[0].quiet()
        all_arrived(receiver, directory)
        written = lines_of(directory)
        for event in receiver.events():
            assert event == written[event["metadata"]["sequence"]]
        assert verify_log(directory).ok
        assert len(sequences(receiver)) == len(set(sequences(receiver)))


def test_a_receiver_that_is_away_misses_nothing(pki: Pki, directory: Path, senders: list[Sender]) -> None:
    receiver = Rsyslog(pki.server(file="syslog"), ca=pki.ca)
    with receiver:
        sender = Sender(directory, receiver, pki.ca)
        senders.append(sender)
        for ending in (receiver.stop, receiver.kill, receiver.stop):
            more_arrive(receiver)
            ending()
            wait_until(lambda: not sender.status()[1], seconds=10, what="the sink notices")
            receiver.start()
        sender.quiet()
        all_arrived(receiver, directory)
        received = sequences(receiver)
        # 5 s of sending at 400 events a second, three times, is what may come twice; not the whole log again.
        assert len(received) - len(set(received)) <= 3 * (5 + 2) * 400 + 3 * 100
        assert sender.status()[4] <= 3 * (5 + 2) * 400 + 3 * 100


@pytest.mark.slow
def test_a_receiver_that_stands_still_and_is_killed_misses_nothing(
    pki: Pki, directory: Path, senders: list[Sender]
) -> None:
    """The worst case: what lies in the buffers of both sides is older than the seconds that are sent again."""
    receiver = Rsyslog(pki.server(file="syslog"), ca=pki.ca)
    with receiver:
        sender = Sender(directory, receiver, pki.ca, window=10_000)
        senders.append(sender)
        more_arrive(receiver)
        written = len(receiver.lines())
        receiver.send(signal.SIGSTOP)
        wait_until(lambda: sender.status()[0] > written + 3500, seconds=60, what="events pile up")
        flushed, _, lag, _, _ = sender.status()
        assert flushed - lag - written > 2500, "they lie in buffers, so this test tests something"
        receiver.kill()
        receiver.start()
        sender.quiet()
        all_arrived(receiver, directory)


def test_kill_minus_nine_of_the_gateway_misses_nothing(pki: Pki, directory: Path, senders: list[Sender]) -> None:
    with Rsyslog(pki.server(file="syslog"), ca=pki.ca) as receiver:
        for _ in range(3):
            sender = Sender(directory, receiver, pki.ca)
            senders.append(sender)
            more_arrive(receiver)
            senders.pop().kill()
        sender = Sender(directory, receiver, pki.ca, rate=1)
        senders.append(sender)
        wait_until(lambda: sender.status()[1], seconds=20, what="the sink is connected")
        sender.quiet()
        all_arrived(receiver, directory)
        assert verify_log(directory).ok


@pytest.mark.parametrize("wrong", ["ca", "expired", "name"])
def test_a_wrong_certificate_is_told_and_a_right_one_is_found(
    pki: Pki, stranger_pki: Pki, directory: Path, senders: list[Sender], wrong: str
) -> None:
    certificates = {
        "ca": (stranger_pki.server(file="strange"), "self-signed certificate in certificate chain|unable to get"),
        "expired": (pki.server(expired=True, file="expired"), "certificate has expired"),
        "name": (pki.server("other.example.com", file="other"), "mismatch"),
    }
    certificate, words = certificates[wrong]
    with Rsyslog(certificate, ca=pki.ca) as receiver:
        sender = Sender(directory, receiver, pki.ca)
        senders.append(sender)
        wait_until(lambda: "connected yet" not in (sender.status()[3] or "connected yet"), seconds=20, what="a problem")
        problem = sender.status()[3] or ""
        assert re.search(words, problem), problem
        assert sequences(receiver) == []
        port = receiver.port
    with Rsyslog(pki.server(file="syslog"), ca=pki.ca, port=port) as receiver:
        wait_until(lambda: sender.status()[1], seconds=30, what="the sink is connected")
        sender.quiet()
        all_arrived(receiver, directory)


def test_mutual_tls(pki: Pki, directory: Path, senders: list[Sender]) -> None:
    with Rsyslog(pki.server(file="syslog"), ca=pki.ca, mutual=True) as receiver:
        stranger = Sender(directory, receiver, pki.ca)
        senders.append(stranger)
        wait_until(
            lambda: "connected yet" not in (stranger.status()[3] or "connected yet"), seconds=20, what="a problem"
        )
        assert sequences(receiver) == []
        senders.pop().kill()
        known = Sender(directory, receiver, pki.ca, client=pki.client("gw1"))
        senders.append(known)
        wait_until(lambda: len(receiver.lines()) > 100, seconds=30, what="events are received")
        known.quiet()
        all_arrived(receiver, directory)
