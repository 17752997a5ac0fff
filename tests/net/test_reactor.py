"""In processes of their own: the global reactor can be installed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SERVES_A_LIBRARY = """
import os, signal, sys
from gateway.net import StreamClientEndpoint, StreamServerEndpoint, install_reactor
from gateway.model import Address
reactor = install_reactor()
assert install_reactor() is reactor
from twisted.internet import reactor as imported
assert imported is reactor

from twisted.internet import task
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.client import Agent
from twisted.web.static import File

root = Resource()
root.putChild(b"file", File(sys.argv[1]))

async def main():
    address = Address(sys.argv[2], 0)
    port = await StreamServerEndpoint(reactor, address).listen(Site(root))
    class ToOurs:
        def endpointForURI(self, uri):
            return StreamClientEndpoint(reactor, address, timeout=5)
    agent = Agent.usingEndpointFactory(reactor, ToOurs())
    response = await agent.request(b"GET", b"http://localhost/file")
    from twisted.web.client import readBody
    body = await readBody(response)
    assert body == open(sys.argv[1], "rb").read(), len(body)
    await port.stopListening()
    print("served", len(body), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

from twisted.internet.defer import ensureDeferred
reactor.callWhenRunning(lambda: ensureDeferred(main()).addErrback(lambda f: (f.printTraceback(), reactor.stop())))
reactor.callLater(10, os._exit, 3)
reactor.run()
print("stopped", flush=True)
"""

TOO_LATE = """
from twisted.internet import reactor
from gateway.net import install_reactor
try:
    install_reactor()
except RuntimeError as error:
    print(error)
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=30)


def test_twisted_web_serves_through_it_and_sigterm_stops_it(tmp_path: Path) -> None:
    """The static file is a pull producer, larger than all buffers."""
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 20_000)
    done = run(SERVES_A_LIBRARY, str(file), str(tmp_path / "s"))
    assert done.stdout == f"served {256 * 20_000}\nstopped\n", done.stderr
    assert done.returncode == 0


def test_another_reactor_is_refused() -> None:
    assert run(TOO_LATE).stdout == "another reactor is installed already; call install_reactor() first\n"
