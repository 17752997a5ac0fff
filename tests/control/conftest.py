from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from control.made import OWN, FakeGateway
from control.talk import clock

from gateway.control.api import control_site
from gateway.control.sites import QuietSite


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    made = FakeGateway(tmp_path)
    yield made
    made.close()


@pytest.fixture
def site(gateway: FakeGateway) -> QuietSite:
    """The control API of that gateway."""
    return control_site(gateway, clock(), own=OWN)
