"""Lifecycle classes for tests and the demo: real servers, thrown away afterwards.

    process.py    one child process: start, log, ready, stop by its own pid
    postgres.py   `Postgres`: a cluster of its own
    pgbouncer.py  `Pgbouncer` in front of one
    rsyslog.py    `Rsyslog`: a SIEM's end of syslog over TLS
    pki.py        `Pki`: a CA and what it signs, also what nobody should trust
    ostiary.py    `Ostiary`: the gateway itself, run as a user runs it
    psql.py       `psql`: PostgreSQL's own client, unchanged
    guarded.py    data worth guarding, and the policy that guards it
    rawclient.py  `RawClient`: a client that keeps every byte
    ways.py       `Way`: directly, and through the gateway
    clients.py    what stock clients ask a database about itself
    leaks.py      the corpus of leaks, and who finds protected values in an answer
    twins.py      two databases that differ only in protected values, and a caller who must not tell
    choices.py, expressions.py, queries.py, statements.py
                  random SQL for them, which can be made smaller

Each server binds to loopback on a free port, lives in a directory of its own below /tmp, and is gone after
`stop`, after a failed `start`, at the interpreter's exit, and when the interpreter is killed.
"""
