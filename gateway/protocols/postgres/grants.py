"""The least role at a target: what a principal's credential needs for what policy allows it, and no hidden column.

Masks and the guard stand before the target; this makes the target refuse, too, so that a mistake of theirs, or a WHERE
on a hidden column (postgres.md, Masking 8), finds nothing. What policy allows is asked of policy itself: one statement
for each relation and privilege, read as the gateway reads a caller's. Columns are granted one by one where a relation
has hidden ones. `null` and `redact` need no value, so those columns are left out; `token`, `hmac` and `partial` are
made of the value, so those stay readable by the role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.errors import GatewayError
from gateway.masking import guard
from gateway.model import Method, Outcome
from gateway.policy import AccessPolicy, has_ended
from gateway.protocols.postgres.catalogue import Connection
from gateway.sql import LabelledCatalogue, analyse, resolve
from gateway.sql.catalogue import Relation

FIRST_USER_OID: Final = 16384
"""FirstNormalObjectId: what is below is the server's own, and PUBLIC reads it."""

NEEDS_NO_VALUE: Final = frozenset({"null", "redact"})
"""Methods whose result doesn't depend on the value."""

PROBES: Final = {
    "SELECT": ("SELECT FROM {relation} WHERE {column} = $1 LIMIT 0", "COPY {relation} TO STDOUT"),
    "INSERT": ("INSERT INTO {relation} DEFAULT VALUES",),
    "UPDATE": ("UPDATE {relation} SET {column} = DEFAULT WHERE {column} = $1",),
    "DELETE": ("DELETE FROM {relation} WHERE {column} = $1",),
    "TRUNCATE": ("TRUNCATE {relation}",),
}
"""Privilege -> the least that it allows. An entry's conditions on rows and WHERE hold for these, so that what policy
allows at all is granted."""

PRIVILEGES: Final = {
    "r": tuple(PROBES),
    "p": tuple(PROBES),
    "f": tuple(PROBES),
    "v": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "m": ("SELECT",),
}
"""pg_class.relkind -> what can be granted on it."""

_SEQUENCES: Final = """
SELECT d.refobjid, n.nspname, c.relname FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'a'
"""
"""table oid, schema, name of a sequence that its default takes (serial; identity columns need no privilege)."""

_PUBLIC: Final = """
SELECT c.oid, 0 FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x
WHERE x.grantee = 0 AND x.privilege_type = 'SELECT' AND c.oid >= 16384
UNION SELECT a.attrelid, a.attnum FROM pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) x
WHERE x.grantee = 0 AND x.privilege_type = 'SELECT' AND a.attrelid >= 16384
"""
"""relation oid, column number (0: all) that everybody may read."""

_ROLE: Final = """
SELECT r.rolsuper, (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.relowner = r.oid AND c.oid >= 16384),
  (SELECT pg_catalog.string_agg(g.rolname, ', ' ORDER BY g.rolname) FROM pg_catalog.pg_auth_members m
   JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
FROM pg_catalog.pg_roles r WHERE r.rolname = {role}
"""
"""superuser, number of relations that it owns, roles that it is a member of."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What counts beside the catalogue of `gateway.sql`.

    sequences  table -> (schema, name) of the sequences that its defaults take
    public     (relation, column number) that everybody may read; 0: every column
    exists     there is such a role
    unbound    why no GRANT binds it
    member_of  roles whose rights it has, too
    """

    sequences: Mapping[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    public: frozenset[tuple[int, int]] = frozenset()
    exists: bool = True
    unbound: str | None = None
    member_of: str | None = None


NOTHING_AROUND: Final = Surroundings()


async def surroundings(connection: Connection, role: str) -> Surroundings:
    """Ask the target. Raises TargetUnavailable."""
    sequences: dict[int, tuple[tuple[str, str], ...]] = {}
    for table, schema, name in await connection.query(_SEQUENCES):
        sequences[int(table or 0)] = (*sequences.get(int(table or 0), ()), (schema or "", name or ""))
    public = frozenset((int(oid or 0), int(number or 0)) for oid, number in await connection.query(_PUBLIC))
    found = await connection.query(_ROLE.format(role=literal(role)))
    if not found:
        return Surroundings(sequences, public, exists=False)
    [(superuser, owned, member_of)] = found
    unbound = "is a superuser" if superuser == "t" else f"owns {owned} relations" if owned != "0" else None
    return Surroundings(sequences, public, unbound=unbound, member_of=member_of)


@dataclass(frozen=True, slots=True)
class Hidden:
    """A labelled column that the principal sees masked; ``granted``: the mask needs the value."""

    relation: str
    column: str
    labels: tuple[str, ...]
    method: Method
    granted: bool


@dataclass(frozen=True, slots=True)
class LeastRole:
    """``statements``: SQL, without semicolons, in order; ``warnings``: why they may not be enough."""

    role: str
    statements: tuple[str, ...]
    hidden: tuple[Hidden, ...]
    warnings: tuple[str, ...]


def least_role(
    labelled: LabelledCatalogue,
    policy: AccessPolicy,
    role: str,
    around: Surroundings = NOTHING_AROUND,
    *,
    database: str,
    now: float,
) -> LeastRole:
    """What ``role`` needs in ``database`` for what ``policy`` allows at ``now`` (unix seconds) or another time of day.

    Raises GatewayError for a role that no GRANT binds.
    """
    if around.unbound is not None:
        raise GatewayError(
            f"{role} {around.unbound}, and no GRANT binds it",
            hint="give --role NAME with a role that is no superuser and owns nothing; use it in the credential",
        )
    policy = replace(
        policy,
        allows=tuple(entry for entry in policy.allows if not has_ended(entry, now)),
        denies=tuple(entry for entry in policy.denies if not entry.clock),
        looks_at_clock=False,
    )
    masked = frozenset(label for label in labelled.labels if policy.method_for((label,)).name != "clear")
    relations = sorted(
        (one for one in labelled.catalogue.relations.values() if _counts(one)), key=lambda one: (one.schema, one.name)
    )
    to = f"TO {identifier(role)}"
    grants: list[str] = []
    hidden: list[Hidden] = []
    warnings = _about(role, around)
    used: set[str] = set()
    for relation in relations:
        allowed = [name for name in PRIVILEGES[relation.kind] if _allows(policy, now, masked, labelled, relation, name)]
        columns = list(_hidden(labelled, policy, relation))
        left_out = {number for number, one in columns if not one.granted}
        warnings += _public(relation, left_out, around.public)
        if not allowed:
            continue
        hidden += [one for _, one in columns]
        used.add(relation.schema)
        privileges = [name for name in allowed if name != "SELECT" or not left_out]
        rest = [name for number, (name, _type) in sorted(relation.columns.items()) if number not in left_out]
        if "SELECT" not in privileges and "SELECT" in allowed and rest:
            privileges.insert(0, f"SELECT ({', '.join(map(identifier, rest))})")
        if privileges:
            grants.append(f"GRANT {', '.join(privileges)} ON {qualified(relation)} {to}")
        if "INSERT" in allowed:
            for schema, name in around.sequences.get(relation.oid, ()):
                grants.append(f"GRANT USAGE ON SEQUENCE {identifier(schema)}.{identifier(name)} {to}")
    schemas = sorted({relation.schema for relation in relations})
    statements = [
        *(_revoke(kind, schema, role) for schema in schemas for kind in ("TABLES", "SEQUENCES")),
        f"GRANT CONNECT ON DATABASE {identifier(database)} {to}",
        *(f"GRANT USAGE ON SCHEMA {identifier(schema)} {to}" for schema in sorted(used)),
        *grants,
    ]
    return LeastRole(role, tuple(statements), tuple(hidden), tuple(warnings))


def _counts(relation: Relation) -> bool:
    own = relation.oid < FIRST_USER_OID or relation.schema.startswith("pg_")
    return not own and relation.kind in PRIVILEGES


def _revoke(kind: str, schema: str, role: str) -> str:
    """A privilege on a table revokes those on its columns, too."""
    return f"REVOKE ALL ON ALL {kind} IN SCHEMA {identifier(schema)} FROM {identifier(role)}"


def _allows(
    policy: AccessPolicy,
    now: float,
    masked: frozenset[str],
    labelled: LabelledCatalogue,
    relation: Relation,
    privilege: str,
) -> bool:
    labelled_names = labelled.labelled_names(relation.oid)
    names = sorted((name for name, _type in relation.columns.values()), key=lambda name: (name in labelled_names, name))
    for probe in PROBES[privilege]:
        if not names and "{column}" in probe:
            continue
        text = probe.format(relation=qualified(relation), column=identifier(names[0]) if names else "")
        operation = resolve(analyse(text), labelled)
        if guard(operation, masked) is None and policy.decide(operation, now).outcome is not Outcome.DENY:
            return True
    return False


def _hidden(labelled: LabelledCatalogue, policy: AccessPolicy, relation: Relation) -> Iterable[tuple[int, Hidden]]:
    for number, (name, _type) in sorted(relation.columns.items()):
        labels = labelled.columns.get((relation.oid, number), frozenset())
        method = policy.method_for(labels)
        if method.name != "clear":
            yield (
                number,
                Hidden(str(relation), name, tuple(sorted(labels)), method, method.name not in NEEDS_NO_VALUE),
            )


def _about(role: str, around: Surroundings) -> list[str]:
    if not around.exists:
        return [f"there is no role {role} yet; create it first: CREATE ROLE {identifier(role)} LOGIN"]
    return [] if around.member_of is None else [f"{role} is a member of {around.member_of}, and has what those have"]


def _public(relation: Relation, left_out: set[int], public: frozenset[tuple[int, int]]) -> list[str]:
    if left_out and any((relation.oid, number) in public for number in (0, *left_out)):
        revoke = f"REVOKE SELECT ON {qualified(relation)} FROM PUBLIC"  # noqa: S608  # for a person to run
        return [f"everybody may read {relation}; take it from them: {revoke}"]
    return []


def qualified(relation: Relation) -> str:
    return f"{identifier(relation.schema)}.{identifier(relation.name)}"


def identifier(name: str) -> str:
    """Quoted; what a terminal or a comment could stumble over as Unicode escapes (PostgreSQL manual, 4.1.2.3)."""
    if name.isprintable() and "\\" not in name:
        return '"' + name.replace('"', '""') + '"'
    return 'U&"' + "".join(map(_escaped, name)).replace('"', '""') + '"'


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else f"\\+{ord(character):06x}"


def literal(text: str) -> str:
    """A string constant whose meaning no setting changes (4.1.2.2: with a backslash in it, E'')."""
    quoted = text.replace("'", "''")
    return f"E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{quoted}'"
