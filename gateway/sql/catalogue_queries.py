"""What the gateway asks a target database about itself, on its own connection; the rows go to `Catalogue.from_rows`.

Plain SQL for PostgreSQL 13 to 17, results in text format, every column ``str | None``. ``pg_catalog`` is written
everywhere so that nothing in the target's search_path can stand in for it. Objects with an OID of 16384 or more are
not the server's own (FirstNormalObjectId, access/transam.h).
"""

from __future__ import annotations

from typing import Final

PREPARE_CONNECTION: Final = "SET search_path = pg_catalog"
"""Run this first: then pg_get_viewdef and pg_get_ruledef qualify every name that isn't the server's own."""

RELATIONS: Final = """
SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltype
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind OPERATOR(pg_catalog.<>) ALL ('{i,I}'::pg_catalog."char"[])
"""
"""oid, schema, name, kind, oid of its row type."""

COLUMNS: Final = """
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,
  a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char"
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped AND c.oid OPERATOR(pg_catalog.>=) 16384
  AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,c}'::pg_catalog."char"[])
"""
"""relation oid, number, name, type oid and modifier, whether it is generated; of relations that aren't the server's
own."""

INHERITANCE: Final = "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i"
"""child oid, parent oid; partitions, too."""

DEFINITIONS: Final = """
SELECT r.ev_class, r.ev_type, pg_catalog.pg_get_ruledef(r.oid)
FROM pg_catalog.pg_rewrite r
WHERE r.oid OPERATOR(pg_catalog.>=) 16384 AND r.rulename OPERATOR(pg_catalog.<>) '_RETURN'
UNION ALL
SELECT c.oid, '1', pg_catalog.pg_get_viewdef(c.oid)
FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.>=) 16384
  AND c.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::pg_catalog."char"[])
"""
"""relation oid, event ('1' a view's query, else a rule: 2 update, 3 insert, 4 delete), its text."""

DEFINED: Final = """
SELECT r.ev_class, r.ev_type, 'pg_get_ruledef', r.oid
FROM pg_catalog.pg_rewrite r WHERE r.oid OPERATOR(pg_catalog.>=) 16384 AND r.rulename OPERATOR(pg_catalog.<>) '_RETURN'
UNION ALL
SELECT c.oid, '1', 'pg_get_viewdef', c.oid
FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.>=) 16384
  AND c.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::pg_catalog."char"[])
"""
"""As DEFINITIONS, but for the text: the function that gives it, and its argument. Takes no locks."""

DEPENDENCIES: Final = """
SELECT r.ev_class, 'relation', d.refobjid
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid OPERATOR(pg_catalog.=) d.objid
WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
  AND d.refobjid OPERATOR(pg_catalog.<>) r.ev_class AND r.ev_class OPERATOR(pg_catalog.>=) 16384
UNION
SELECT coalesce(r.ev_class, p.polrelid), 'function', coalesce(o.oprcode::pg_catalog.oid, d.refobjid)
FROM pg_catalog.pg_depend d
LEFT JOIN pg_catalog.pg_rewrite r ON r.oid OPERATOR(pg_catalog.=) d.objid
  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
LEFT JOIN pg_catalog.pg_policy p ON p.oid OPERATOR(pg_catalog.=) d.objid
  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid
LEFT JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) d.refobjid
  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid
WHERE coalesce(r.ev_class, p.polrelid) OPERATOR(pg_catalog.>=) 16384
  AND (o.oid IS NOT NULL
    OR d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid)
UNION
SELECT r.ev_class, 'type', d.refobjid
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid OPERATOR(pg_catalog.=) d.objid
WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid
  AND r.ev_class OPERATOR(pg_catalog.>=) 16384
UNION
SELECT e.adrelid, 'default', coalesce(o.oprcode::pg_catalog.oid, d.refobjid)
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef e ON e.oid OPERATOR(pg_catalog.=) d.objid
LEFT JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) d.refobjid
  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid
WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
  AND e.adrelid OPERATOR(pg_catalog.>=) 16384
  AND (o.oid IS NOT NULL
    OR d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid)
"""
"""relation oid, 'relation' | 'function' | 'type', oid: what its view query, rules and row security policies use; or
'default', oid: a function that the default of a column calls. The server records no dependency on its own functions:
those are found in the definitions, and in defaults they are the DBA's business."""

FUNCTIONS: Final = """
SELECT p.oid, n.nspname, p.proname,
  p.pronargs OPERATOR(pg_catalog.>=) 1
  AND (p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults OPERATOR(pg_catalog.<=) 1
    OR p.provariadic OPERATOR(pg_catalog.<>) 0)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
WHERE p.oid OPERATOR(pg_catalog.>=) 16384
"""
"""oid, schema, name, whether one argument suffices; every function, procedure and aggregate that isn't the server's
own."""

OPERATORS: Final = """
SELECT n.nspname, o.oprname, o.oprcode::pg_catalog.oid, o.oprleft, o.oprright
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
WHERE o.oid OPERATOR(pg_catalog.>=) 16384
"""
"""schema, name, oid of the function behind it, types of its operands ('0': none)."""

TYPES: Final = """
SELECT t.oid, n.nspname, t.typname, t.typbasetype, t.typelem, t.typrelid, r.rngsubtype
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid OPERATOR(pg_catalog.=) t.oid
WHERE t.oid OPERATOR(pg_catalog.>=) 16384
"""
"""oid, schema, name, type below a domain, element, relation of a composite, subtype of a range ('0' or NULL: none)."""

TYPE_FUNCTIONS: Final = """
SELECT c.contypid, d.refobjid
FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) c.oid
WHERE c.contypid OPERATOR(pg_catalog.<>) 0
  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid
  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
UNION
SELECT c.contypid, o.oprcode::pg_catalog.oid
FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) c.oid
JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) d.refobjid
WHERE c.contypid OPERATOR(pg_catalog.<>) 0
  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid
  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid
UNION
SELECT r.rngtypid, f.function
FROM pg_catalog.pg_range r
CROSS JOIN LATERAL (VALUES (r.rngcanonical::pg_catalog.oid), (r.rngsubdiff::pg_catalog.oid)) f (function)
WHERE f.function OPERATOR(pg_catalog.>=) 16384
"""
"""type oid, oid of a function that a value of the type may run (domain checks, ranges). Input and output functions
of base types are not among them: those are C code that only a superuser installs."""

DOMAIN_CHECKS: Final = """
SELECT c.contypid, pg_catalog.pg_get_constraintdef(c.oid)
FROM pg_catalog.pg_constraint c
WHERE c.contypid OPERATOR(pg_catalog.>=) 16384 AND c.contype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char"
"""
"""domain oid, ``CHECK (...)``: for the server's own functions in it."""

CASTS: Final = """
SELECT c.castsource, c.casttarget, c.castfunc
FROM pg_catalog.pg_cast c
WHERE c.oid OPERATOR(pg_catalog.>=) 16384 AND c.castfunc OPERATOR(pg_catalog.<>) 0
"""
"""source type oid, target type oid, function oid."""

GENERATED: Final = """
SELECT a.attrelid, a.attnum, d.refobjsubid
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_attrdef e ON e.adrelid OPERATOR(pg_catalog.=) a.attrelid AND e.adnum OPERATOR(pg_catalog.=) a.attnum
JOIN pg_catalog.pg_depend d ON d.refobjid OPERATOR(pg_catalog.=) a.attrelid
  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
  AND d.refobjsubid OPERATOR(pg_catalog.>) 0 AND d.refobjsubid OPERATOR(pg_catalog.<>) a.attnum
  AND (d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
      AND d.objid OPERATOR(pg_catalog.=) e.oid
    OR d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
      AND d.objid OPERATOR(pg_catalog.=) a.attrelid AND d.objsubid OPERATOR(pg_catalog.=) a.attnum)
WHERE a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char" AND a.attrelid OPERATOR(pg_catalog.>=) 16384
"""
"""relation oid, number of a generated column, number of a column that it is made of. (Which object depends, the column
or its expression, changed with PostgreSQL 15.)"""

IMPLICIT: Final = """
SELECT DISTINCT c.casttarget FROM pg_catalog.pg_cast c
WHERE c.castcontext OPERATOR(pg_catalog.=) 'i'::pg_catalog."char" AND c.casttarget OPERATOR(pg_catalog.>=) 16384
"""
"""oid of each type that values of another type become by themselves."""

SCHEMAS: Final = "SELECT n.nspname FROM pg_catalog.pg_namespace n"

QUERIES: Final = {
    "relations": RELATIONS,
    "columns": COLUMNS,
    "inheritance": INHERITANCE,
    "definitions": DEFINITIONS,
    "dependencies": DEPENDENCIES,
    "functions": FUNCTIONS,
    "operators": OPERATORS,
    "types": TYPES,
    "type_functions": TYPE_FUNCTIONS,
    "domain_checks": DOMAIN_CHECKS,
    "casts": CASTS,
    "implicit": IMPLICIT,
    "generated": GENERATED,
    "schemas": SCHEMAS,
}
"""Argument of `Catalogue.from_rows` -> its query."""


def _fingerprint(catalogue: str) -> str:
    """Number and writing transactions of a system catalogue's rows: any DDL changes one of them."""
    return (
        f"SELECT '{catalogue}', pg_catalog.count(*), pg_catalog.sum(x.xmin::pg_catalog.text::pg_catalog.int8), "  # noqa: S608
        f"pg_catalog.max(x.xmin::pg_catalog.text::pg_catalog.int8) FROM pg_catalog.{catalogue} x"
    )


FINGERPRINT: Final = " UNION ALL ".join(
    _fingerprint(catalogue)
    for catalogue in (
        "pg_class",
        "pg_attribute",
        "pg_attrdef",
        "pg_inherits",
        "pg_rewrite",
        "pg_depend",
        "pg_proc",
        "pg_operator",
        "pg_type",
        "pg_range",
        "pg_constraint",
        "pg_cast",
        "pg_policy",
        "pg_namespace",
    )
)
"""Changes whenever an answer to `QUERIES` may have changed. No row of it means anything by itself."""
