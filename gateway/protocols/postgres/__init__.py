"""PostgreSQL, protocol 3.0 and 3.2 (PostgreSQL 17's manual, chapter 53; shared/postgres.md for the traps).

    wire       bytes to messages and back                                            pure
    state      what the relay remembers of one session                               pure
    relay      the state machine of one session                                      pure
    startup    what a StartupMessage asks for                                        pure
    operation  texts -> `gateway.model.SqlOperation`                                 pure
    reading    one session's statements: catalogue, labels, masks, long texts
    catalogue  what a database has, over the gateway's own connection
    grants     the least role that fits a principal, as SQL
    worker     long statements, analysed in a process of their own
    server     the client's side, up to the end of its login
    upstream   login towards the target
    traffic    drives the relay between its two connections
    cancel     cancel requests
    errors     our errors as PostgreSQL's own

One session:

    client            server        gate       target
      | startup, TLS    |             |           |
      | authentication  |             |           |
      |                 |-- admit --->|           |
      |                 |-- begin recording       |
      |                 |------ login ----------->|
      |<-- AuthenticationOk, parameters, key -----|
      | messages      relay -> Ask -> corridor -> commit -> forward
      |<-- rows       relay <- masks <------------|
"""

from gateway.protocols.postgres.cancel import CancelKeys
from gateway.protocols.postgres.catalogue import Catalogues
from gateway.protocols.postgres.reading import Readings
from gateway.protocols.postgres.server import PostgresFactory, Service
from gateway.protocols.postgres.upstream import Dialler

__all__ = ["CancelKeys", "Catalogues", "Dialler", "PostgresFactory", "Readings", "Service"]
