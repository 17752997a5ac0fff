"""The one reactor: Twisted's, on uvloop."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, cast

import uvloop

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor


def install_reactor() -> AsyncioSelectorReactor:
    """Make ``twisted.internet.reactor`` one that runs on uvloop, and give it back.

    Calling it again gives the same reactor. Call it before anything imports ``twisted.internet.reactor``.

    Raises RuntimeError when another reactor is installed already: its transports are not ours, and nothing
    in this room would work.
    """
    installed = sys.modules.get("twisted.internet.reactor")
    if installed is None:
        from twisted.internet import asyncioreactor

        loop = uvloop.new_event_loop()
        # Libraries that ask asyncio for "the" loop outside of a coroutine must get this one.
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)  # type: ignore[no-untyped-call]  # Twisted's, without annotations
        installed = sys.modules["twisted.internet.reactor"]
    elif not isinstance(loop_of(installed), uvloop.Loop):
        raise RuntimeError("another reactor is installed already; call install_reactor() first")
    return cast("AsyncioSelectorReactor", installed)


def loop_of(reactor: object) -> asyncio.AbstractEventLoop | None:
    """The asyncio loop under ``reactor``, None when it has none."""
    # Twisted has no public name for it.
    return cast("asyncio.AbstractEventLoop | None", getattr(reactor, "_asyncioEventloop", None))


def require_loop(reactor: object) -> asyncio.AbstractEventLoop:
    """The asyncio loop under ``reactor``. Raises RuntimeError when it is no asyncioreactor."""
    loop = loop_of(reactor)
    if loop is None:
        raise RuntimeError("these endpoints need an asyncioreactor; call install_reactor() first")
    return loop
