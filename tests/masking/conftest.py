"""Both lives of modules that mean the same in each: from their source, and compiled into a directory that goes away."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway.masking.detectors import automaton as built_automaton

MASKING = Path(__file__).parents[2] / "gateway" / "masking"
ROWS = MASKING / "rows.py"
AUTOMATON = MASKING / "detectors" / "automaton.py"


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(source: Path, directory: Path) -> ModuleType:
    pytest.importorskip("Cython")
    for suffix in (".py", ".pxd"):
        shutil.copy(source.with_suffix(suffix), directory)
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "-3", "-i", source.name]
    built = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (library,) = directory.glob(f"{source.stem}*.so")
    return load(library, source.stem)


@pytest.fixture(scope="session")
def compiled_rows(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled(ROWS, tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="session")
def source_rows() -> ModuleType:
    return load(ROWS, "rows")


@pytest.fixture(scope="session", params=["source_rows", "compiled_rows"])
def rows(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.getfixturevalue(request.param)
    return module


@pytest.fixture(scope="session")
def compiled_automaton(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    if built_automaton.COMPILED:  # takes half a minute
        return built_automaton
    return compiled(AUTOMATON, tmp_path_factory.mktemp("automaton"))


@pytest.fixture(scope="session")
def source_automaton() -> ModuleType:
    return load(AUTOMATON, "automaton")


@pytest.fixture(scope="session", params=["source_automaton", "compiled_automaton"])
def automaton(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.getfixturevalue(request.param)
    return module
