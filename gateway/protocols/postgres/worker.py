"""Analyses long statements in a process of its own.

libpg_query recurses; 200,000 nested levels crash it (postgres.md). In a worker that costs one statement its
classification (it is opaque then), not the gateway its life. Facts come back as MessagePack, not pickle: a parser that
was taken over must not be able to hand us code.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from gateway.sql import Analysis, analyse, unread

TIME_OUT: Final = 10.0
"""Seconds; the longest text that is analysed at all (16 MiB) takes about 3."""

MEMORY: Final = 4 * 1024 * 1024 * 1024
"""Bytes of address space: the tree of 16 MiB of text is about a hundred times as large."""

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Analysis).decode


def _work(pipe: Connection) -> None:
    """The worker's life: text in, facts out, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            text = pipe.recv_bytes().decode()
        except EOFError:
            return
        pipe.send_bytes(_ENCODE(analyse(text)))


class LongStatements:
    """One worker, started with the first long statement, one statement at a time."""

    def __init__(self, reactor: Any, *, work: Callable[[Connection], None] = _work, timeout: float = TIME_OUT) -> None:
        self._reactor = reactor
        self._lock = DeferredLock()
        self._work = work
        self._timeout = timeout
        self._process: Any = None
        self._pipe: Connection | None = None

    def analyse(self, text: str) -> Deferred[Analysis]:
        """Facts of ``text``. A worker that dies or takes too long makes it opaque; it is never anything else."""
        done: Deferred[Analysis] = self._lock.run(
            deferToThreadPool, self._reactor, self._reactor.getThreadPool(), self._ask, text
        )
        return done

    def _ask(self, text: str) -> Analysis:
        try:
            pipe = self._start()
            pipe.send_bytes(text.encode())
            if not pipe.poll(self._timeout):
                self.stop()
                return unread(text, f"analysing it took longer than {self._timeout:g} s")
            return _DECODE(pipe.recv_bytes())
        except (OSError, EOFError, msgspec.MsgspecError, UnicodeEncodeError) as error:
            self.stop()
            return unread(text, f"analysing it failed ({type(error).__name__})")

    def _start(self) -> Connection:
        if self._pipe is not None and self._process.is_alive():
            return self._pipe
        self.stop()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=self._work, args=(theirs,), name="ostiary-analyse", daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = ours
        return ours

    def stop(self) -> None:
        """End the worker; the next long statement starts another."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
