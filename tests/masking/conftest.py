"""Both lives of rows.py: from its source, and compiled by Cython into a directory that goes away."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[2] / "gateway" / "masking" / "rows.py"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def compiled_rows(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    pytest.importorskip("Cython")
    directory = tmp_path_factory.mktemp("rows")
    for suffix in (".py", ".pxd"):
        shutil.copy(SOURCE.with_suffix(suffix), directory)
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "-3", "-i", "rows.py"]
    built = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (library,) = directory.glob("rows*.so")
    return load(library)


@pytest.fixture(scope="session")
def source_rows() -> ModuleType:
    return load(SOURCE)


@pytest.fixture(scope="session", params=["source_rows", "compiled_rows"])
def rows(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.getfixturevalue(request.param)
    return module
