"""Servers that many tests share: started when the first test asks, gone when the last one is done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support import guarded
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import scratch_directory

import gateway

# An example that takes long says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """A run that is ended from outside (a time limit) takes its servers and their directories with it, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A compiled module that is older than its source would be tested in its place, unnoticed.
    for compiled in Path(gateway.__file__).parent.rglob("*.so"):
        source = compiled.with_name(compiled.name.partition(".")[0] + ".py")
        if not source.exists():  # C has no Python beside it, and an installed package not even its source
            source = source.with_suffix(".pyx")
        if source.exists() and source.stat().st_mtime > compiled.stat().st_mtime:
            pytest.exit(f"{source} is newer than its compiled module; run `make build`, or remove {compiled}", 2)


@pytest.fixture(scope="session")
def pki() -> Pki:
    """The CA that this test session trusts."""
    return Pki(scratch_directory("pki"))


@pytest.fixture(scope="session")
def stranger_pki() -> Pki:
    """A CA that nobody trusts."""
    return Pki(scratch_directory("stranger"), "Somebody else's CA")


@pytest.fixture(scope="session")
def alice(pki: Pki) -> Issued:
    """An analyst."""
    return pki.client("alice", groups=["analysts"])


@pytest.fixture(scope="session")
def bob(pki: Pki) -> Issued:
    """An engineer."""
    return pki.client("bob", groups=["engineers"])


@pytest.fixture(scope="session")
def olivia(pki: Pki) -> Issued:
    """An owner."""
    return pki.client("olivia", groups=["owners"])


@pytest.fixture(scope="session")
def target_server(pki: Pki) -> Iterator[Postgres]:
    """A running PostgreSQL with TLS and the data of `support.guarded`. Shared: leave it as you found it."""
    with Postgres(tls=pki.server(file="target")) as server:
        guarded.fill(server)
        yield server
