from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.made import Site
from cli.talk import Command
from control.made import FakeGateway
from control.served import Served
from support.pki import Pki


@pytest.fixture
def site(tmp_path: Path, pki: Pki) -> Site:
    return Site(tmp_path, pki)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    made = FakeGateway(tmp_path)
    made.reactor.rightNow = time.time()  # certificates are valid now
    made.certificate_ends = time.time() + 86400
    yield made
    made.close()


@pytest.fixture
def command(gateway: FakeGateway, pki: Pki) -> Iterator[Command]:
    served = Served(gateway, pki).start()
    yield Command(served)
    served.stop()
