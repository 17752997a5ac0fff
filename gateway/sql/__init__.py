"""SQL: what a statement does. Pure; PostgreSQL's own grammar (pgparse), no look-alike.

    text ──analyse──▶ Analysis ──resolve(catalogue, remembered)──▶ model.SqlOperation

Files, in the order in which a text passes them:

    tokens             lexical structure: the normalised and the redacted text
    nodes              the parse tree's grammar as data; what isn't in it is refused
    walk, statements   the walk: what expressions, and what statements tell
    functions          calls that do what a statement has a verb for
    settings           which SETs are harmless
    names              Name
    lineage/           which columns a statement shows, writes and decides by
    facts              what comes out: Statement, Analysis
    analysis           `analyse`, limits
    shapes             texts that differ in numbers only, and whether that makes a difference
    harmless           the shipped list of harmless functions, and what reveals other people's values
    catalogue_queries  what to ask a target about itself
    catalogue          names, overloads, what lies behind views
    labels             where labels reach
    resolve            all of it together, with what the session prepared: an SqlOperation

Every walk is closed by default: an unknown node, field, function form or name makes the statement opaque, or counts
as the worst that it could be. `analyse` never raises.
"""

from gateway.sql.analysis import MAX_INLINE, MAX_TEXT, analyse, unread
from gateway.sql.catalogue import Catalogue, Relation
from gateway.sql.facts import Analysis, Statement
from gateway.sql.labels import LabelledCatalogue
from gateway.sql.names import Name
from gateway.sql.resolve import NOTHING, Remembered, resolve

__all__ = [
    "MAX_INLINE",
    "MAX_TEXT",
    "NOTHING",
    "Analysis",
    "Catalogue",
    "LabelledCatalogue",
    "Name",
    "Relation",
    "Remembered",
    "Statement",
    "analyse",
    "resolve",
    "unread",
]
