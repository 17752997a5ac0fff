"""Warnings: a policy that has a clear meaning, but probably not the one its author had in mind.

Errors are `gateway.policy.compile`'s; a warning never stops a policy from being used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from gateway.errors import Problem
from gateway.model import ApprovalTerms, Target
from gateway.policy import conditions as when
from gateway.policy import requests as asked
from gateway.policy.conditions import listed
from gateway.policy.entries import CompiledEntry, CompiledMask, has_ended
from gateway.policy.globs import Globs, is_glob
from gateway.policy.overlap import covers, may_meet, may_share, targets_of
from gateway.policy.snapshot import Snapshot
from gateway.policy.way_back import leads_back, ways_back
from gateway.verbs import FREE

_ANYONE = (when.PrincipalNamed, when.InGroup, when.OfKind, when.ProvenBy, when.FromNetwork)


def review(
    snapshot: Snapshot, targets: Sequence[Target], now: float, groups: Collection[str] | None = None
) -> tuple[Problem, ...]:
    """Everything that deserves a second look; ``now`` in unix seconds, for entries that have ended.

    ``groups`` are all that a principal can be in, None: nobody knows.
    The problems have no line: a snapshot knows file and path only.
    """
    return tuple(
        warning
        for warnings in (
            _duplicates(snapshot.entries),
            _ended(snapshot.entries, now),
            _for_everybody(snapshot.entries),
            _without_target((*snapshot.entries, *snapshot.masks), targets),
            _labels_elsewhere(snapshot, targets),
            _no_label(snapshot),
            _unused_detectors(snapshot),
            _folded(snapshot),
            _shadowed(snapshot.entries, targets),
            _never_asking(snapshot.entries, targets, now),
            _never_approved(snapshot.entries, groups),
            _out_of_reach(snapshot.entries, targets),
            _back_to_the_target(snapshot.entries, targets),
            _quoted_wildcards(snapshot.entries),
            _without_login(snapshot.entries, targets),
        )
        for warning in warnings
    )


def _duplicates(entries: Iterable[CompiledEntry]) -> Iterator[Problem]:
    seen: dict[str, CompiledEntry] = {}
    for entry in entries:
        first = seen.setdefault(entry.name, entry)
        if first is not entry:
            kind, index = first.path
            problem = f"has the name of entry {int(index) + 1} under {kind} in {first.file}"
            yield Problem(entry.file, entry.path, problem, "give it a name of its own; decisions are told by names")


def _ended(entries: Iterable[CompiledEntry], now: float) -> Iterator[Problem]:
    for entry in entries:
        if has_ended(entry, now):
            problem = "has ended, the entry matches nothing"
            yield Problem(entry.file, (*entry.path, "until"), problem, "remove the entry")


def _for_everybody(entries: Iterable[CompiledEntry]) -> Iterator[Problem]:
    for entry in entries:
        if entry.effect == "allow" and not any(isinstance(condition, _ANYONE) for condition in entry.access):
            yield Problem(entry.file, entry.path, "allows everybody who can log in", "add `groups` or `principals`")


def _without_target(entries: Iterable[CompiledEntry | CompiledMask], targets: Sequence[Target]) -> Iterator[Problem]:
    for entry in entries:
        if not targets_of(entry, targets):
            yield Problem(entry.file, entry.path, "fits no configured target", "mend its `targets` or `tags`")
            continue
        for condition in entry.access:
            if isinstance(condition, when.TargetNamed):
                for pattern in condition.globs.patterns:
                    if not any(Globs.of((pattern,)).match(target.name) for target in targets):
                        problem = f"`{pattern}` fits no configured target"
                        yield Problem(entry.file, (*entry.path, "targets"), problem, "mend or remove it")


def _labels_elsewhere(snapshot: Snapshot, targets: Sequence[Target]) -> Iterator[Problem]:
    for label in snapshot.labels:
        named = {("columns", target) for target, _ in label.columns} | {("json", target) for target, _ in label.json}
        for key, pattern in sorted(named):
            if not any(Globs.of((pattern,)).match(target.name) for target in targets):
                path = ("labels", label.name, key, pattern)
                yield Problem(label.file, path, "fits no configured target", "mend or remove it")


def _no_label(snapshot: Snapshot) -> Iterator[Problem]:
    known = [label.name for label in snapshot.labels]
    for mask in snapshot.masks:
        if not mask.labels:
            yield Problem(mask.file, (*mask.path, "labels"), "fits no label", "mend it; the labels are under `labels`")
    for entry in snapshot.entries:
        for condition in entry.operation:
            if isinstance(condition, (when.TouchesLabel, when.CoversLabels)) and not condition.globs.any(known):
                path = (*entry.path, "sql", "labels_touched")
                yield Problem(entry.file, path, "fits no label", "mend it; the labels are under `labels`")


def _unused_detectors(snapshot: Snapshot) -> Iterator[Problem]:
    used = {label.detector for label in snapshot.labels}
    for defined in snapshot.detectors:
        name = defined.own.name
        if name not in used:
            mend = f"write `detector: {name}` in a label, or remove it"
            yield Problem(defined.file, ("detectors", name), "is used by no label", mend)


def _folded(snapshot: Snapshot) -> Iterator[Problem]:
    mend = "PostgreSQL folds names to lower case unless they were created in quotes; write them as \\d shows them"
    for entry in snapshot.entries:
        for condition in entry.operation:
            if isinstance(condition, (when.TouchesRelation, when.CoversRelations)):
                for pattern in condition.globs.patterns:
                    if pattern != pattern.lower():
                        yield Problem(entry.file, (*entry.path, "sql", "relations"), f"`{pattern}` has capitals", mend)
    for label in snapshot.labels:
        for target, column in label.columns:
            if column != column.lower():
                path = ("labels", label.name, "columns", target)
                yield Problem(label.file, path, f"`{column}` has capitals", mend)


def _shadowed(entries: Sequence[CompiledEntry], targets: Sequence[Target]) -> Iterator[Problem]:
    """Allow entries that can never allow, because a deny that always applies covers all that they name."""
    denies = [entry for entry in entries if entry.effect == "deny"]
    for entry in entries:
        if entry.effect == "allow" and (deny := _denying(entry, denies, targets)) is not None:
            problem = f"can never allow anything: `{deny.name}` in {deny.file} denies all of it"
            yield Problem(entry.file, entry.path, problem, "remove one of the two, or narrow the deny")


def _never_asking(entries: Sequence[CompiledEntry], targets: Sequence[Target], now: float) -> Iterator[Problem]:
    """Approve entries that can never matter: nothing allows what they name, or a deny takes all of it."""
    denies = [entry for entry in entries if entry.effect == "deny"]
    allows = [entry for entry in entries if entry.effect == "allow" and not has_ended(entry, now)]
    for entry in entries:
        if entry.effect != "approve" or has_ended(entry, now) or not targets_of(entry, targets):
            continue
        if not any(may_meet(allow, entry, targets) for allow in allows):
            problem = "can never ask: no allow entry allows what it names"
            yield Problem(entry.file, entry.path, problem, "mend or remove it; an approve entry opens nothing")
        elif (deny := _denying(entry, denies, targets)) is not None:
            problem = f"can never ask: `{deny.name}` in {deny.file} denies all of it"
            yield Problem(entry.file, entry.path, problem, "remove one of the two, or narrow the deny")
        elif any(isinstance(condition, when.HasVerb) and condition.verbs <= FREE for condition in entry.operation):
            problem = "names free verbs only, and nobody is asked about those by themselves"
            path = (*entry.path, "sql", "verbs")
            yield Problem(entry.file, path, problem, "name other verbs, or write a deny entry")


def _denying(entry: CompiledEntry, denies: Iterable[CompiledEntry], targets: Sequence[Target]) -> CompiledEntry | None:
    return next((deny for deny in denies if covers(deny, entry, targets)), None)


def _never_approved(entries: Iterable[CompiledEntry], groups: Collection[str] | None) -> Iterator[Problem]:
    """Approve entries that nobody, or nobody in time, could say yes to."""
    for entry in entries:
        terms = entry.approval
        if terms is None:
            continue
        if terms.wait == 0:
            problem = "is no time at all: the caller is refused before anybody can say yes"
            yield Problem(entry.file, (*entry.path, "wait"), problem, "write how long it waits, such as 10m")
        if alone := _without_others(entry, terms):
            problem = f"leave too few for {listed(alone)}: nobody approves what they ask for themselves"
            yield Problem(entry.file, (*entry.path, "approvers"), problem, "name others, or a group")
        for pattern in terms.groups:
            if groups is not None and not Globs.of((pattern,)).any(groups):
                problem = f"`{pattern}` fits no group that anybody is in"
                mend = "mend it; groups come from the password file, and with `groups_from` from certificates"
                yield Problem(entry.file, (*entry.path, "approvers", "groups"), problem, mend)


def _out_of_reach(entries: Sequence[CompiledEntry], targets: Sequence[Target]) -> Iterator[Problem]:
    """What is said about commands does not reach into shells, and what is said about files not into commands."""
    for entry in entries:
        if entry.effect == "allow":
            continue
        commands = any(isinstance(one, (asked.CommandNamed, asked.CommandMatches)) for one in entry.operation)
        files = any(isinstance(one, asked.FilesNamed) for one in entry.operation)
        if not commands and not files:
            continue
        kinds = frozenset().union(*(one.kinds for one in entry.operation if isinstance(one, asked.NamesRequest)))
        beyond = [kind for kind in (("shell", "exec") if files else ("shell",)) if kind not in kinds]
        for allow in entries:
            opened = [kind for kind in beyond if _opens(allow, kind)]
            if opened and may_share(allow, entry, targets):
                what = "interactive shells" if opened == ["shell"] else "commands"
                problem = f"does not reach into the {what} that `{allow.name}` opens"
                mend = "deny those there, too, or enforce it at the target"
                yield Problem(entry.file, (*entry.path, "ssh"), problem, mend)
                break


def _opens(entry: CompiledEntry, kind: str) -> bool:
    """Whether it allows any shell, or any command."""
    if entry.effect != "allow" or entry.section == "sql":
        return False
    if any(isinstance(one, (asked.CommandCovered, asked.CommandForced)) for one in entry.operation) and kind == "exec":
        return False
    return all(kind in one.kinds for one in entry.operation if isinstance(one, asked.CoversRequests))


def _back_to_the_target(entries: Iterable[CompiledEntry], targets: Sequence[Target]) -> Iterator[Problem]:
    for entry in entries:
        if not _opens(entry, "forward_local") or entry.section is None:
            continue
        names = targets_of(entry, targets)
        fitting = [target for target in targets if target.name in names and target.protocol == "ssh"]
        for condition in entry.operation:
            if not isinstance(condition, asked.DestinationNamed):
                continue
            path = (*entry.path, "ssh", "destinations")
            for exact in sorted(condition.hosts.exact):
                if any(leads_back(exact, target) for target in fitting):
                    problem = (
                        f"`{exact}` can be the target's own sshd, and what goes on behind a forward is not seen here"
                    )
                    yield Problem(entry.file, path, problem, "remove it, unless just that is meant")
            places = {place for target in fitting for place in ways_back(target)}
            if any(condition.reaches(place) and place not in condition.hosts.exact for place in places):
                problem = "covers the target's own sshd, and that is refused all the same"
                yield Problem(entry.file, path, problem, "name what is meant")


def _quoted_wildcards(entries: Iterable[CompiledEntry]) -> Iterator[Problem]:
    for entry in entries:
        for condition in entry.operation:
            if isinstance(condition, (asked.CommandCovered, asked.CommandNamed)):
                for pattern in condition.patterns.patterns:
                    if pattern.quotes_wildcards:
                        problem = f"`{pattern.text}` has a wildcard in quotes, where it stands for itself"
                        yield Problem(entry.file, (*entry.path, "ssh", "exec"), problem, "take it out of the quotes")


def _without_login(entries: Iterable[CompiledEntry], targets: Sequence[Target]) -> Iterator[Problem]:
    for entry in entries:
        names = targets_of(entry, targets)
        users = {credential.user for target in targets if target.name in names for credential in target.credentials}
        for condition in entry.access:
            if isinstance(condition, asked.LoginNamed) and users:
                for pattern in condition.globs.patterns:
                    if not Globs.of((pattern,)).any(users):
                        problem = f"`{pattern}` is no user that a credential of these targets has"
                        mend = f"mend it, or add a credential; there are {listed(users)}"
                        yield Problem(entry.file, (*entry.path, "ssh", "logins"), problem, mend)


def _without_others(entry: CompiledEntry, terms: ApprovalTerms) -> list[str]:
    """Those whom the entry asks by name, and for whom too few approvers are left; as far as names tell."""
    if terms.groups or any(map(is_glob, terms.principals)):
        return []
    asked = [condition.globs for condition in entry.access if isinstance(condition, when.PrincipalNamed)]
    return [name for globs in asked for name in sorted(globs.exact) if len({*terms.principals} - {name}) < terms.needed]
