"""Lineage: which columns' values a statement shows, writes, and decides by.

    parse tree ──follow──▶ Lineage (of the text) ──bind(catalogue)──▶ labels of outputs, writes and uses

RowDescription says where a plain column comes from, and nothing of an expression. This says it for expressions, and
what it can't say it calls "anything": a sound over-approximation of PostgreSQL's name resolution, in two halves. The
first depends on the text alone and is kept with its analysis; the second asks the catalogue which columns there are.

flows        Source, Value, Use, Lineage
scope        FROM items, and what a name can mean
total        what can't fail over a hidden value
expressions  one expression
conditions   WHERE and ON: equality with constants, or more
ranges       FROM
queries      SELECT, set operations, WITH
changes      INSERT, UPDATE, DELETE, MERGE
follow       `follow`, one statement
bind         `labels_of`, `uses_of`: sources -> labels
"""

from gateway.sql.lineage.bind import labels_of, uses_of
from gateway.sql.lineage.changes import BULK
from gateway.sql.lineage.flows import Lineage, Source, Sources, Use
from gateway.sql.lineage.follow import follow

__all__ = ["BULK", "Lineage", "Source", "Sources", "Use", "follow", "labels_of", "uses_of"]
