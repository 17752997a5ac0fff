"""Type OIDs, fixed by src/include/catalog/pg_type.dat, by what can stand in their values.

Whatever isn't listed (types of the database's own: composites, enums, ranges, citext, hstore, their arrays; tsvector
and other rare built-ins) can hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BYTEA, INT8, JSON, XML, FLOAT8, NUMERIC, JSONB = 17, 20, 114, 142, 701, 1700, 3802
INET, CIDR = 869, 650
RECORD, RECORD_ARRAY = 2249, 2287

ELEMENTS: Mapping[int, int] = MappingProxyType(
    {
        143: XML,
        199: JSON,
        651: CIDR,
        1001: BYTEA,
        1003: 19,  # name
        1009: 25,  # text
        1014: 1042,  # bpchar
        1015: 1043,  # varchar
        1016: INT8,
        1022: FLOAT8,
        1041: INET,
        1231: NUMERIC,
        RECORD_ARRAY: RECORD,
        3807: JSONB,
    }
)
"""Array -> its elements, where these can hold something."""

NOTHING: frozenset[int] = frozenset(
    {
        *(16, 18, 21, 22, 23, 24, 26, 27, 28, 29, 30),  # bool, "char", int2, int4, regproc, oid, tid, xid, cid, vectors
        *(600, 601, 602, 603, 604, 628, 718),  # geometry
        *(700, 790, 774, 829),  # float4, money, macaddr8, macaddr
        *(1082, 1083, 1114, 1184, 1186, 1266),  # dates and times
        *(1560, 1562, 2278, 2950, 3220, 5038, 5069),  # bit, varbit, void, uuid, pg_lsn, pg_snapshot, xid8
        *(2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191),  # names of objects (regprocedure, ...)
        *(3904, 3908, 3910, 3912, 3926, 4451, 4533, 4534, 4535, 4536),  # ranges of int4, int8, dates and times
        *(629, 719, 775, 791, 1000, 1002, 1005, 1006, 1007, 1008, 1010, 1011, 1012, 1013, 1017, 1018, 1019, 1020, 1021),
        *(1027, 1028, 1040, 1115, 1182, 1183, 1185, 1187, 1270, 1561, 1563, 2951, 3221, 5039, 271),  # arrays of these
        *(3905, 3909, 3911, 3913, 3927, 6150, 6152, 6153, 6155, 6157),
    }
)
"""No detector can find anything in values of these, so nobody looks at them."""
