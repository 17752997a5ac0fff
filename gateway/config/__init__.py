"""Configuration: one file, a directory each for targets and policy.

schema.py    every key as a type, with its default and its documentation
markers.py   what a schema can say about a field beyond its type
units.py     durations, sizes, addresses
nodes.py     YAML text -> tree with line numbers; refuses what YAML can do and configuration shouldn't
decode.py    tree + schema -> values; finds every problem, not only the first
loading.py   one file -> values
check.py     the whole configuration: `load`, `warnings`, `restart_needed`
docs.py      docs/configuration.md out of the schema

Everything an operator can get wrong raises `gateway.errors.ConfigError`, and nothing else is raised.
"""

from gateway.config.check import load, restart_needed, warnings
from gateway.config.loading import load_yaml, parse_yaml
from gateway.config.schema import Config

__all__ = ["Config", "load", "load_yaml", "parse_yaml", "restart_needed", "warnings"]
