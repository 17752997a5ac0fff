"""Compiles the hot pure modules with Cython when asked to (`make build`); everything also runs uncompiled."""

import os
from pathlib import Path

from setuptools import setup

COMPILED = ("gateway/masking/rows.py",)
"""The modules that gain from it, each measured in bench/. A ``.pxd`` of the same name carries the C types."""

extensions = []
if os.environ.get("OSTIARY_COMPILE") == "1":
    from Cython.Build import cythonize

    present = [path for path in COMPILED if Path(path).exists()]
    extensions = cythonize(present, language_level=3, build_dir="build/cython")
    for extension in extensions:
        # gcc 12 misreads CPython's one-digit integers in code that Cython generates
        extension.extra_compile_args = ["-O2", "-Wno-array-bounds"]

setup(ext_modules=extensions)
