from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from control.made import FakeGateway


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    made = FakeGateway(tmp_path)
    yield made
    made.close()
