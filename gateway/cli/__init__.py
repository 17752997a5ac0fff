"""The command `ostiary`: one cmd_*.py per command, put together in main.py.

options.py   options that several commands have, spelled once
output.py    tables and JSON; nothing that somebody else wrote reaches a terminal unescaped
control.py   the control API's client, by the local socket or over TLS
least_role.py  `ostiary grants sql`
logs.py      structured logs of `ostiary serve`
offline.py   what a statement does, for commands that ask no target

Exit codes of every command: 0 done and well, 1 something is wrong (said on standard error, or in what was asked for),
2 the command line is wrong. Commands import what they need when they run, so that `--help` and completion are quick.
"""

from gateway.cli.main import main

__all__ = ["main"]
