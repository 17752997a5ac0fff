"""A labelled corpus for the detectors: documents with values of every kind, and with what only looks like them.

values       each kind as its issuers and people write it
near_misses  order numbers, versions, hashes, wrong check digits, ...
documents    prose, CSV, JSON, SQL, logs with both in them

Made from descriptions of the formats and other libraries (stdnum, phonenumbers, ipaddress), never from the detectors'
own patterns. One seed makes one corpus.
"""

from support.detectable.documents import Document, corpus

__all__ = ["Document", "corpus"]
