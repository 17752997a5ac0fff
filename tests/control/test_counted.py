from __future__ import annotations

from control.made import FakeGateway

from gateway.control.counted import Totals


def test_live_and_ended_sessions_count(gateway: FakeGateway) -> None:
    first, _ = gateway.session(1)
    second, _ = gateway.session(2)
    first.operations, first.denied, first.rows, first.size = 5, 2, 100, 1000
    second.operations, second.rows, second.size = 3, 7, 50
    assert gateway.live.totals() == Totals(2, 8, 2, 107, 1050)
    gateway.live.leave(first)
    assert gateway.live.totals() == Totals(2, 8, 2, 107, 1050)
    second.operations += 1
    assert gateway.live.totals().operations == 9
    assert len(gateway.live) == 1


def test_leaving_twice_counts_once(gateway: FakeGateway) -> None:
    session, _ = gateway.session()
    session.operations = 4
    gateway.live.leave(session)
    gateway.live.leave(session)
    assert gateway.live.totals() == Totals(1, 4, 0, 0, 0)
