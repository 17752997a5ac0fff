"""policy.md's semantics once more, as plainly as they can be written: slow, without compiling, on the files' own data.

Shares nothing with gateway.policy but the verb catalogue, so that the two can be tested against each other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from gateway.model import Access, SqlOperation
from gateway.verbs import BY_NAME, FREE, SETS, VERBS

Written = dict[str, Any]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ORDER = ["null", "redact", "partial", "clear"]


def some(patterns: Iterable[str], names: Iterable[str]) -> bool:
    names = list(names)
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def every(patterns: Iterable[str], names: Iterable[str]) -> bool:
    patterns = list(patterns)
    return all(some(patterns, [name]) for name in names)


def about_access(entry: Written, access: Access) -> bool:
    principal, target, sql = access.principal, access.target, entry.get("sql", {})
    checks: dict[str, Callable[[Any], bool]] = {
        "principals": lambda value: some(value, [principal.name]),
        "groups": lambda value: some(value, principal.groups),
        "kind": lambda value: principal.kind == value,
        "factors": lambda value: bool(set(value) & principal.factors),
        "from": lambda value: any(ipaddress.ip_address(access.address) in ipaddress.ip_network(net) for net in value),
        "targets": lambda value: some(value, [target.name]),
        "tags": lambda value: all(key in target.tags and some([v], [target.tags[key]]) for key, v in value.items()),
    }
    return (
        all(check(entry[key]) for key, check in checks.items() if key in entry)
        and ("databases" not in sql or some(sql["databases"], [access.database]))
        and ("roles" not in sql or some(sql["roles"], [access.role]))
    )


def about_time(entry: Written, now: float) -> bool:
    moment = datetime.fromtimestamp(now, UTC)
    if "until" in entry and moment >= datetime.fromisoformat(entry["until"]):
        return False
    times = entry.get("times", {})
    return "days" not in times or DAYS[moment.weekday()] in times["days"]


def verbs_of(sql: Written) -> set[str]:
    if "verbs" not in sql:
        return set(VERBS) - BY_NAME
    return set().union(*(SETS.get(verb, {verb}) for verb in sql["verbs"]))


def allow_matches(sql: Written | None, operation: SqlOperation, opaque: bool) -> bool:
    if sql is None:
        return True
    if opaque:
        return False
    if is_free(operation):
        return True
    bound = operation.row_bound
    return (
        operation.verbs - FREE <= verbs_of(sql)
        and ("relations" not in sql or every(sql["relations"], operation.relations))
        and ("labels_touched" not in sql or every(sql["labels_touched"], operation.labels))
        and ("without_where" not in sql or sql["without_where"] == operation.without_where)
        and ("max_rows" not in sql or (bound is not None and bound <= sql["max_rows"]))
    )


def deny_matches(sql: Written | None, operation: SqlOperation, opaque: bool) -> bool:
    if sql is None or opaque:
        return True
    bound = operation.row_bound
    return (
        ("verbs" not in sql or bool(verbs_of(sql) & operation.verbs))
        and ("relations" not in sql or some(sql["relations"], operation.relations))
        and ("functions" not in sql or some(sql["functions"], operation.functions))
        and ("labels_touched" not in sql or some(sql["labels_touched"], operation.labels))
        and ("without_where" not in sql or sql["without_where"] == operation.without_where)
        and ("max_rows" not in sql or bound is None or bound > sql["max_rows"])
    )


def is_free(operation: SqlOperation) -> bool:
    return operation.verbs <= FREE and not (operation.relations | operation.functions | operation.labels)


def decide(policy: Written, access: Access, operation: SqlOperation, now: float) -> tuple[str, list[str], list[str]]:
    """The outcome, the names that made it, the names that only observed."""
    allows, denies, approves = (
        [entry for entry in policy[kind] if about_access(entry, access) and about_time(entry, now)]
        for kind in ("allow", "deny", "approve")
    )
    trusted = [name for entry in allows for name in entry.get("sql", {}).get("functions", ())]
    opaque = operation.opaque is not None or not every(trusted, operation.untrusted_functions)
    allowing = [entry for entry in allows if allow_matches(entry.get("sql"), operation, opaque)]
    denying = [entry for entry in denies if deny_matches(entry.get("sql"), operation, opaque)]
    asking = [
        entry
        for entry in approves
        if "session" not in entry
        and (opaque or not is_free(operation))
        and deny_matches(entry.get("sql"), operation, opaque)
    ]
    return outcome(allowing, denying, asking)


def admits(policy: Written, access: Access, now: float) -> tuple[str, list[str], list[str]]:
    """As `decide`, for the connection."""
    allows, denies, approves = (
        [entry for entry in policy[kind] if about_access(entry, access) and about_time(entry, now)]
        for kind in ("allow", "deny", "approve")
    )
    every_operation = [entry for entry in denies if set(entry.get("sql", {})) <= {"databases", "roles"}]
    return outcome(allows, every_operation, [entry for entry in approves if "session" in entry])


def outcome(allowing: list[Written], denying: list[Written], asking: list[Written]) -> tuple[str, list[str], list[str]]:
    def names(entries: list[Written], *, observe: bool) -> list[str]:
        return sorted({entry["name"] for entry in entries if bool(entry.get("observe")) is observe})

    if refusing := names(denying, observe=False):
        return "deny", refusing, []
    if not allowing:
        return "deny", [], []
    observed = names([*denying, *asking], observe=True)
    if approving := names(asking, observe=False):
        return "approve", approving, observed
    return "allow", names(allowing, observe=False), observed


def method(policy: Written, access: Access, labels: Iterable[str]) -> tuple[str, int]:
    """The strictest method's name and how much it keeps."""
    found = [one_label(policy, access, label) for label in labels]
    return min(found, key=strictness, default=("clear", 0))


def strictness(found: tuple[str, int]) -> tuple[int, int]:
    return ORDER.index(found[0]), found[1]


def one_label(policy: Written, access: Access, label: str) -> tuple[str, int]:
    naming = [mask for mask in policy["masks"] if some(mask["labels"], [label]) and about_access(mask, access)]
    for who in ("principals", "groups", None):
        same = [mask for mask in naming if who is None or (who in mask and "*" not in mask[who])]
        if same:
            return min((written_method(mask["method"]) for mask in same), key=strictness)
    default = policy["labels"][label].get("default")
    return written_method(default["method"]) if default else ("redact", 0)


def written_method(written: Any) -> tuple[str, int]:
    return (written, 0) if isinstance(written, str) else ("partial", sum(written["partial"].values()))
