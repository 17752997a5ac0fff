"""What the conditions of two entries have to do with each other, for `gateway.policy.review`.

Nothing here decides anything. Every answer errs to the side that gives no warning: where it would take more than a look
at names to know, nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.model import Target
from gateway.policy import conditions as when
from gateway.policy import requests as asked
from gateway.policy.entries import CompiledEntry, CompiledMask
from gateway.policy.globs import Globs, is_glob

_Condition = when.AccessCondition | when.OperationCondition

_WHAT = (when.TargetNamed, when.TargetTagged, asked.OfProtocol)

_SAME_NAMES = {
    (when.PrincipalNamed, when.PrincipalNamed),
    (when.DatabaseNamed, when.DatabaseNamed),
    (when.RoleNamed, when.RoleNamed),
    (asked.LoginNamed, asked.LoginNamed),
    (when.CoversRelations, when.TouchesRelation),
    (when.CoversLabels, when.TouchesLabel),
}
"""Conditions of an allow and of an approve that are about one name. (Groups aren't: a principal has several.)"""


def targets_of(entry: CompiledEntry | CompiledMask, targets: Sequence[Target]) -> frozenset[str]:
    """Names of the targets that its what fits."""
    found = []
    for target in targets:
        fits = True
        for condition in entry.access:
            if isinstance(condition, when.TargetNamed):
                fits = fits and condition.globs.match(target.name)
            elif isinstance(condition, when.TargetTagged):
                fits = fits and condition.fits(target.tags)
            elif isinstance(condition, asked.OfProtocol):
                fits = fits and target.protocol in condition.protocols
        if fits:
            found.append(target.name)
    return frozenset(found)


def covers(deny: CompiledEntry, entry: CompiledEntry, targets: Sequence[Target]) -> bool:
    """Whether ``deny`` always matches whatever ``entry`` matches, and that is something.

    What a deny says about operations may cover an approve, which is read in the same direction; of an allow it leaves
    free commands, at least.
    """
    own = targets_of(entry, targets)
    if not own or deny.observe or deny.clock or (entry.effect == "allow" and deny.operation):
        return False
    return fits_within(entry, deny, targets) and all(
        any(_implies(own, wide) for own in entry.operation) for wide in deny.operation
    )


def fits_within(narrow: CompiledEntry, wide: CompiledEntry, targets: Sequence[Target]) -> bool:
    """Whether ``wide`` fits every access that ``narrow`` does, and that is some."""
    own = targets_of(narrow, targets)
    access = [condition for condition in wide.access if not isinstance(condition, _WHAT)]
    return (
        bool(own)
        and own <= targets_of(wide, targets)
        and all(any(_implies(mine, its) for mine in narrow.access) for its in access)
    )


def may_meet(allow: CompiledEntry, approve: CompiledEntry, targets: Sequence[Target]) -> bool:
    """Whether there may be something that ``allow`` allows and ``approve`` asks about."""
    if not may_share(allow, approve, targets):
        return False
    # An allow that says anything about operations takes no opaque ones, so what it takes is plain.
    return not any(_excludes(one, other) for one in allow.operation for other in approve.operation)


def may_share(allow: CompiledEntry, other: CompiledEntry, targets: Sequence[Target]) -> bool:
    """Whether there may be a session that ``allow`` opens, and that ``other``, which restricts, is about."""
    if targets_of(allow, targets).isdisjoint(targets_of(other, targets)):
        return False
    return not any(_excludes(one, two) for one in allow.access for two in other.access)


def _implies(narrow: _Condition, wide: _Condition) -> bool:
    """Whether ``wide`` holds wherever ``narrow`` does."""
    match narrow, wide:
        case (when.HasVerb(), when.HasVerb()):
            return narrow.verbs <= wide.verbs
        case (asked.NamesRequest(), asked.NamesRequest()):
            return narrow.kinds <= wide.kinds
        case (when.MoreRows(), when.MoreRows()):
            return narrow.rows >= wide.rows
        case (when.CallsFunction(), when.CallsFunction()):
            return set(narrow.globs.patterns) <= set(wide.globs.patterns)
        case (when.TextMatches(), when.TextMatches()):
            return {one.pattern for one in narrow.expressions} <= {one.pattern for one in wide.expressions}
    if type(narrow) is type(wide) and (mine := _names(narrow)) is not None and (its := _names(wide)) is not None:
        return _within(mine, its)
    return narrow == wide


def _excludes(one: _Condition, other: _Condition) -> bool:
    """Whether nothing fits both ``one``, of an allow, and ``other``, of an approve."""
    match one, other:
        case (when.OfKind(), when.OfKind()):
            return one.kind != other.kind
        case (when.FromNetwork(), when.FromNetwork()):
            return not any(
                mine.version == its.version and mine.overlaps(its) for mine in one.networks for its in other.networks
            )
        case (when.CoversVerbs(), when.HasVerb()):
            return one.verbs.isdisjoint(other.verbs)
        case (asked.CoversRequests(), asked.NamesRequest()):
            return one.kinds.isdisjoint(other.kinds)
        case (when.AtMostRows(), when.MoreRows()):
            return one.rows <= other.rows
        case (when.WithoutWhere(), when.WithoutWhere()):
            return one.wanted is not other.wanted
    if (
        (type(one), type(other)) in _SAME_NAMES
        and (mine := _names(one)) is not None
        and (its := _names(other)) is not None
    ):
        return _apart(mine, its)
    return False


def _names(condition: _Condition) -> Globs | None:
    """What it says about names; None when it is not about names."""
    match condition:
        case (
            when.PrincipalNamed(globs=globs)
            | when.InGroup(globs=globs)
            | when.DatabaseNamed(globs=globs)
            | when.RoleNamed(globs=globs)
            | asked.LoginNamed(globs=globs)
            | when.CoversRelations(globs=globs)
            | when.TouchesRelation(globs=globs)
            | when.CoversLabels(globs=globs)
            | when.TouchesLabel(globs=globs)
        ):
            return globs
    return None


def _within(narrow: Globs, wide: Globs) -> bool:
    """Whether ``wide`` matches all that ``narrow`` does."""
    return all(
        pattern in wide.patterns or (not is_glob(pattern) and wide.match(pattern)) for pattern in narrow.patterns
    )


def _apart(one: Globs, other: Globs) -> bool:
    """Whether no name matches both."""
    if one.wild is None:
        return not other.any(one.exact)
    return other.wild is None and not one.any(other.exact)
