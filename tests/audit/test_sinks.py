"""The sink against a receiver that is a StringTransport: no network, no waiting."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.audit import AuditLog
from gateway.audit.events import GatewayStopping
from gateway.audit.sinks import LAG_EVENTS, STALL, SyslogTls, describe
from gateway.errors import ConfigError, Problem, TargetUnavailable

OpenLog = Callable[..., AuditLog]


class Receiver:
    """One accepted connection."""

    def __init__(self, protocol: IProtocol) -> None:
        self.protocol = protocol
        self.transport = StringTransport()  # type: ignore[no-untyped-call]  # Twisted's
        protocol.makeConnection(self.transport)

    def sequences(self) -> list[int]:
        """What it has got, frame by frame."""
        found = []
        rest = self.transport.value()  # type: ignore[no-untyped-call]  # Twisted's
        while rest:
            length, _, rest = rest.partition(b" ")
            body = rest[: int(length)].partition(b"] ")[2]
            found.append(json.loads(body)["metadata"]["sequence"])
            rest = rest[int(length) :]
        return found

    def lose(self, reason: Exception | None = None) -> None:
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))  # type: ignore[no-untyped-call]  # Twisted's

    @property
    def producer(self) -> Any:
        return self.transport.producer


@implementer(IStreamClientEndpoint)
class Network:
    """An endpoint whose attempts a test lets succeed or fail."""

    def __init__(self) -> None:
        self.attempts: list[tuple[IProtocolFactory, Deferred[IProtocol]]] = []
        self.broken: Exception | None = None

    def __call__(self) -> IStreamClientEndpoint:
        if self.broken is not None:
            raise self.broken
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # the interface's
        waiting: Deferred[IProtocol] = Deferred()
        self.attempts.append((protocolFactory, waiting))
        return waiting

    def accept(self) -> Receiver:
        factory, waiting = self.attempts.pop()
        protocol = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 6514))
        assert protocol is not None
        receiver = Receiver(protocol)
        waiting.callback(protocol)
        return receiver

    def refuse(self, error: Exception) -> None:
        self.attempts.pop()[1].errback(Failure(error))  # type: ignore[no-untyped-call]  # Twisted's


class House:
    """A log, a sink, and a network."""

    def __init__(self, open_log: OpenLog, window: int = 10) -> None:
        self.open_log = open_log
        self.window = window
        self.log = open_log(segment_size=8000)
        self.boot()

    def boot(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.network = Network()
        self.sink = SyslogTls(
            "siem",
            self.log,
            address="siem.example.com:6514",
            endpoint=self.network,
            clock=self.clock,
            resend_window=self.window,
            jitter=lambda: 0.99999,
        )
        self.sink.start()

    def write(self, events: int) -> None:
        for _ in range(events):
            self.log.append(GatewayStopping("0.1", "x"))
        self.log.flush()

    def run(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def kill(self) -> None:
        """kill -9: the cursor stays as it was last written, the log is recovered."""
        self.log.close()
        self.log = self.open_log(segment_size=8000)
        self.boot()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = b"".join(path.read_bytes() for path in sorted(self.log.directory.glob("*.jsonl"))).splitlines()
        decoded = [json.loads(line) for line in lines]
        return [event for event in decoded if event["unmapped"]["event"] == name]


@pytest.fixture
def house(open_log: OpenLog) -> House:
    return House(open_log)


def firsts(*connections: list[int]) -> list[int]:
    """First arrivals, in the order of arrival."""
    return list(dict.fromkeys(number for connection in connections for number in connection))


def test_a_new_sink_gets_the_whole_log_in_order(house: House) -> None:
    house.write(50)
    receiver = house.network.accept()
    house.run(1)
    assert receiver.sequences() == list(range(1, house.log.sequence + 1))
    status = house.sink.status()
    assert status.connected
    assert (status.sent, status.lag, status.resent, status.problem) == (house.log.sequence, 0, 0, None)
    assert len(house.events("sink_connected")) == 1


def test_what_is_written_later_follows_soon(house: House) -> None:
    receiver = house.network.accept()
    house.run(1)
    house.write(3)
    house.run(0.15)
    assert receiver.sequences() == list(range(1, house.log.sequence + 1))


def test_after_a_break_the_window_is_sent_again(house: House) -> None:
    first = house.network.accept()
    house.write(100)
    house.run(1)
    house.run(10)
    house.write(30)  # more than 5 s after the others: these are the last seconds of sending
    house.run(1)
    first.lose()
    house.run(3)
    house.write(5)
    second = house.network.accept()
    house.run(1)
    got = second.sequences()
    assert got == list(range(got[0], house.log.sequence + 1))
    assert got[0] <= first.sequences()[-1] - 10 + 1
    assert got[0] <= first.sequences()[-30]
    assert got[0] > 50
    assert firsts(first.sequences(), got) == list(range(1, house.log.sequence + 1))
    assert house.sink.status().resent == first.sequences()[-1] - got[0] + 1
    assert house.events("sink_connected")[-1]["unmapped"]["resent"] == first.sequences()[-1] - got[0] + 1


def test_what_the_buffers_swallowed_arrives_with_the_next_connection(house: House) -> None:
    """The receiver got only half of what was written when it died."""
    first = house.network.accept()
    house.write(200)
    house.run(2)
    read = first.sequences()[:100]
    first.lose(ConnectionLost())
    house.run(3)
    second = house.network.accept()
    house.run(2)
    assert firsts(read, second.sequences()) == list(range(1, house.log.sequence + 1))


def test_kill_minus_nine_of_the_gateway_loses_nothing(house: House) -> None:
    connections = []
    for _ in range(6):
        receiver = house.network.accept()
        for _ in range(20):
            house.write(7)
            house.run(0.5)
        connections.append(receiver.sequences())
        house.kill()
    receiver = house.network.accept()
    house.run(2)
    connections.append(receiver.sequences())
    assert firsts(*connections) == list(range(1, house.log.sequence + 1))
    # Not all over again: the window (10 events, 5 s of sending) and the second that the cursor is late.
    for before, after in pairwise(connections):
        assert before[-1] - after[0] < 7 * 2 * 7 + 20


def test_a_stop_keeps_the_cursor_and_closes(house: House) -> None:
    receiver = house.network.accept()
    house.write(100)
    house.run(10)
    house.write(1)
    house.run(0.2)
    stopped = Deferred.fromCoroutine(house.sink.stop())
    assert stopped.called
    assert receiver.transport.disconnecting
    assert not house.sink.status().connected
    house.boot()
    again = house.network.accept()
    house.run(1)
    assert 50 < again.sequences()[0] <= 102


@pytest.mark.parametrize("moment", ["connecting", "waiting"])
def test_a_stop_without_a_connection_is_quick(house: House, moment: str) -> None:
    if moment == "waiting":
        house.network.refuse(TargetUnavailable("refused"))
    assert Deferred.fromCoroutine(house.sink.stop()).called
    assert house.clock.getDelayedCalls() == []


def test_attempts_are_spaced_and_the_outage_is_told_once(house: House) -> None:
    waits = []
    for _ in range(9):
        house.network.refuse(TargetUnavailable("siem.example.com:6514 refuses the connection"))
        began = house.clock.seconds()
        while not house.network.attempts:
            house.clock.advance(0.25)
        waits.append(house.clock.seconds() - began)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert house.sink.status().problem == "siem.example.com:6514 refuses the connection"
    lost = house.events("sink_lost")
    assert len(lost) == 1
    assert lost[0]["status_detail"] == "siem.example.com:6514 refuses the connection"


def test_a_wrong_certificate_is_told_and_tried_again(house: House) -> None:
    house.network.refuse(TargetUnavailable("the certificate has expired", hint="renew it"))
    assert house.sink.status().problem == "the certificate has expired; renew it"
    house.network.broken = ConfigError(Problem("ostiary.yaml", ("audit",), "the CA is unreadable", "make it readable"))
    house.run(1.1)
    assert "the CA is unreadable" in (house.sink.status().problem or "")
    house.network.broken = None
    house.run(2.1)
    receiver = house.network.accept()
    house.run(1)
    assert receiver.sequences()
    assert house.sink.status().problem is None


def test_a_receiver_that_closes_at_once_gets_a_hint_and_no_storm(house: House) -> None:
    attempts = 0
    for _ in range(1200):
        if house.network.attempts:
            attempts += 1
            receiver = house.network.accept()
            house.run(0.1)
            receiver.lose()
        house.run(0.1)
    assert 6 <= attempts <= 9  # two minutes
    assert "client certificates" in (house.sink.status().problem or "")


def test_after_a_good_connection_the_first_delay_is_short_again(house: House) -> None:
    for _ in range(5):
        house.network.refuse(TargetUnavailable("no"))
        while not house.network.attempts:
            house.clock.advance(0.5)
    receiver = house.network.accept()
    house.run(40)
    receiver.lose()
    house.run(1.2)
    assert house.network.attempts


def test_a_slow_receiver_stops_the_sink_and_nothing_else(house: House) -> None:
    receiver = house.network.accept()
    house.run(0.2)
    receiver.producer.pauseProducing()
    before = len(receiver.sequences())
    house.write(500)
    house.run(5)
    assert len(receiver.sequences()) == before
    assert house.sink.status().lag == house.log.sequence - before
    receiver.producer.resumeProducing()
    house.run(5)
    assert receiver.sequences() == list(range(1, house.log.sequence + 1))


def test_a_receiver_that_reads_nothing_is_given_up(house: House) -> None:
    receiver = house.network.accept()
    house.run(0.2)
    receiver.producer.pauseProducing()
    house.run(STALL + 1)
    assert receiver.transport.disconnected or receiver.transport.disconnecting
    assert not house.sink.status().connected
    assert house.sink.status().problem == "the receiver read nothing for 120 seconds"


def test_a_paused_connection_that_is_lost_is_noticed_at_once(house: House) -> None:
    receiver = house.network.accept()
    house.run(0.2)
    receiver.producer.pauseProducing()
    house.run(0.2)
    receiver.lose()
    assert not house.sink.status().connected


def test_what_the_receiver_says_is_dropped(house: House) -> None:
    receiver = house.network.accept()
    receiver.protocol.dataReceived(b"hello" * 1000)
    house.run(0.2)
    assert house.sink.status().connected


def test_a_day_without_receiver_costs_disk_and_no_event(house: House) -> None:
    for _ in range(24):
        house.write(100)
        house.run(60)
        if house.network.attempts:
            house.network.refuse(TargetUnavailable("down"))
    while not house.network.attempts:
        house.run(1)
    receiver = house.network.accept()
    house.run(30)
    assert receiver.sequences() == list(range(1, house.log.sequence + 1))


def test_lagging_is_told_once_each_time(house: House) -> None:
    house.write(LAG_EVENTS + 100)
    house.network.refuse(TargetUnavailable("down"))
    house.run(1.1)
    house.network.refuse(TargetUnavailable("down"))
    assert len(house.events("sink_lagging")) == 1
    assert house.events("sink_lagging")[0]["unmapped"]["lag"] >= LAG_EVENTS
    house.run(2.1)
    house.network.accept()
    while house.sink.status().lag:
        house.run(0.5)
    assert len(house.events("sink_lagging")) == 1


def test_a_missing_segment_is_told_and_the_rest_goes_on(house: House) -> None:
    house.write(60)
    segments = sorted(house.log.directory.glob("*.jsonl"))
    first, last = int(segments[1].stem[6:]), int(segments[2].stem[6:]) - 1
    segments[1].unlink()
    receiver = house.network.accept()
    house.run(1)
    gap = house.events("sink_gap_found")
    assert [(event["unmapped"]["first"], event["unmapped"]["last"]) for event in gap] == [(first, last)]
    assert receiver.sequences()[-1] == house.log.sequence


def test_a_cursor_beyond_the_log_is_put_back(house: House) -> None:
    """After a power failure the log may have lost lines that were sent: their numbers come again."""
    house.network.accept()
    house.run(1)
    cast(Any, house.sink)._cursor.move(5000)
    house.boot()
    house.write(3)
    receiver = house.network.accept()
    house.run(1)
    assert receiver.sequences()[-1] == house.log.sequence
    assert house.sink.status().lag == 0


def test_an_unwritable_cursor_does_not_stop_the_sink(house: House) -> None:
    (house.log.directory / "sinks").touch()
    receiver = house.network.accept()
    house.write(30)
    house.run(20)
    house.write(1)
    house.run(1)
    assert receiver.sequences()[-1] == house.log.sequence


def test_a_failed_log_is_still_forwarded(house: House) -> None:
    receiver = house.network.accept()
    house.write(5)
    house.log.failed = "no space left on device"
    house.run(1)
    assert receiver.sequences() == list(range(1, house.log.flushed + 1))
    receiver.lose()
    house.run(2)
    assert house.sink.status().problem
    house.log.failed = None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TargetUnavailable("refused", hint="start it"), "refused; start it"),
        (OSError(113, "No route to host"), "No route to host"),
        (ValueError(""), "ValueError"),
    ],
)
def test_an_error_is_one_line(error: BaseException, words: str) -> None:
    assert describe(error) == words
