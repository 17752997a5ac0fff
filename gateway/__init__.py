"""Ostiary, a Layer 7 access gateway. The map of its rooms is docs/architecture.md."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ostiary")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
