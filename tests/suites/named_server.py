"""A pytest plugin for pg8000's suite, in both runs: its connections say which database and server they mean.

The suite names a user only. A database of the user's name is a convention of PostgreSQL's; the gateway takes the
database for the name of its target, or ``target/database``, and assumes nothing (shared/postgres.md, routing). The
examples of the README take the default port, too.

SUITE_TARGET  put before each database's name: the gateway's target
"""

import os
from typing import Any

from pg8000 import core

_connect = core.CoreConnection.__init__


def _connect_by_name(self: Any, user: Any, host: str = "localhost", *args: Any, **keywords: Any) -> None:
    if not args:
        name = keywords.get("database") or user
        target = os.environ["SUITE_TARGET"]
        keywords["database"] = target.encode() + name if isinstance(name, bytes) else target + name
        if keywords.get("port", 5432) == 5432:
            keywords["port"] = int(os.environ["PGPORT"])
    _connect(self, user, host, *args, **keywords)


core.CoreConnection.__init__ = _connect_by_name
