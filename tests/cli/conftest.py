from __future__ import annotations

from pathlib import Path

import pytest
from cli.made import Site
from support.pki import Pki


@pytest.fixture
def site(tmp_path: Path, pki: Pki) -> Site:
    return Site(tmp_path, pki)
