"""Drivers' own suites see no difference between a server and the gateway before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RUN = Path(__file__).parents[1] / "suites" / "run.py"


@pytest.mark.parametrize("suite", ["psycopg2", "asyncpg", "pg8000"])
def test_each_outcome_is_that_of_a_direct_run(suite: str) -> None:
    done = subprocess.run([sys.executable, str(RUN), suite], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
