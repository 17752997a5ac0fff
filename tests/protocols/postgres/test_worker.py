from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.protocols.postgres.worker import LongStatements
from gateway.sql import Analysis


class FakeThreads:
    """A reactor whose threads are this one: the pipe and the process are real."""

    def getThreadPool(self) -> FakeThreads:
        return self

    def callFromThread(self, work: Callable[..., object], *arguments: object) -> None:
        work(*arguments)

    def callInThreadWithCallback(
        self, done: Callable[[bool, object], None], work: Callable[..., object], *arguments: object, **named: object
    ) -> None:
        done(True, work(*arguments, **named))


def dies(pipe: Connection) -> None:
    pipe.recv_bytes()
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(pipe: Connection) -> None:
    pipe.recv_bytes()
    time.sleep(60)


def lies(pipe: Connection) -> None:
    pipe.recv_bytes()
    pipe.send_bytes(b"\xc1 no MessagePack")


@pytest.fixture
def made() -> Iterator[Callable[..., LongStatements]]:
    workers: list[LongStatements] = []

    def make(**options: Any) -> LongStatements:
        workers.append(LongStatements(FakeThreads(), **options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.stop()


def result(deferred: Deferred[Analysis]) -> Analysis:
    found: list[Analysis] = []
    deferred.addCallback(found.append)
    [analysis] = found
    return analysis


def test_facts_come_back_as_they_are(made: Callable[..., LongStatements]) -> None:
    worker = made()
    analysis = result(worker.analyse("select ssn from customers where id = 1"))
    assert analysis.opaque is None
    [statement] = analysis.statements
    assert statement.verbs == {"select"}
    assert {str(name) for name in statement.relations} == {"customers"}
    assert result(worker.analyse("drop table t")).statements[0].verbs == {"drop"}


def test_nesting_that_crashes_the_parser_costs_one_statement(made: Callable[..., LongStatements]) -> None:
    worker = made()
    depth = 200_000
    assert result(worker.analyse("select " + "(" * depth + "1" + ")" * depth)).opaque is not None
    assert result(worker.analyse("select 1")).opaque is None, "the next one has a new worker"


@pytest.mark.parametrize("work", [dies, hangs, lies])
def test_a_worker_that_fails_makes_the_statement_opaque(
    made: Callable[..., LongStatements], work: Callable[[Connection], None]
) -> None:
    worker = made(work=work, timeout=1.0)
    analysis = result(worker.analyse("select 1"))
    assert analysis.opaque is not None
    assert analysis.statements == ()
    assert analysis.text == "select 1"


def test_text_that_is_no_unicode_is_opaque(made: Callable[..., LongStatements]) -> None:
    assert result(made().analyse("select '\ud800'")).opaque is not None
