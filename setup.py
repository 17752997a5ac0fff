"""Compiles the hot modules with Cython when asked to (`make build`); everything also runs uncompiled."""

import os

from setuptools import Extension, setup

COMPILED = (
    "gateway/masking/detection.py",
    "gateway/masking/detectors/automaton.py",
    "gateway/masking/detectors/checksums.py",
    "gateway/masking/detectors/contact.py",
    "gateway/masking/detectors/expression.py",
    "gateway/masking/detectors/found.py",
    "gateway/masking/detectors/network.py",
    "gateway/masking/detectors/numbers.py",
    "gateway/masking/detectors/patterns.py",
    "gateway/masking/detectors/search.py",
    "gateway/masking/detectors/shape.py",
    "gateway/masking/searching.py",
    "gateway/masking/spans.py",
    "gateway/masking/rows.py",
    "gateway/masking/streams/json_stream.py",
    "gateway/masking/streams/json_tokens.py",
    "gateway/masking/streams/sequences.py",
    "gateway/masking/streams/text.py",
    "gateway/net/soon.py",
    "gateway/protocols/postgres/relay.py",
    "gateway/protocols/postgres/state.py",
    "gateway/protocols/postgres/wire.py",
    "gateway/protocols/postgres/traffic.py",
    "gateway/protocols/postgres/reading.py",
    "gateway/session/live.py",
    "gateway/session/pipeline.py",
    "gateway/recording/writer.py",
    "gateway/recording/events.py",
    "gateway/audit/log.py",
    "gateway/audit/operation.py",
)
"""What every operation passes, measured by bench/. A ``.pxd`` of the same name carries C types, where there is one."""

IN_C = "gateway/_rendering.pyx"
"""What these call for the bytes they make; gateway/rendering.py is the same in Python."""

extensions = []
if os.environ.get("OSTIARY_COMPILE") == "1":
    from Cython.Build import cythonize

    rendering = Extension(
        "gateway._rendering", [IN_C], libraries=["crypto"], define_macros=[("OPENSSL_SUPPRESS_DEPRECATED", "1")]
    )
    extensions = cythonize(
        [*COMPILED, rendering],
        build_dir="build/cython",
        # Annotations are for mypy: a subclass, or None, must not be refused at run time.
        compiler_directives={"language_level": "3", "annotation_typing": False},
    )

setup(ext_modules=extensions)
