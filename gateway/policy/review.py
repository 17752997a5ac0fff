"""Warnings: a policy that has a clear meaning, but probably not the one its author had in mind.

Errors are `gateway.policy.compile`'s; a warning never stops a policy from being used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gateway.errors import Problem
from gateway.model import Target
from gateway.policy import conditions as when
from gateway.policy.entries import CompiledEntry, CompiledMask, has_ended
from gateway.policy.globs import Globs, is_glob
from gateway.policy.snapshot import Snapshot

_ANYONE = (when.PrincipalNamed, when.InGroup, when.OfKind, when.ProvenBy, when.FromNetwork)


def review(snapshot: Snapshot, targets: Sequence[Target], now: float) -> tuple[Problem, ...]:
    """Everything that deserves a second look; ``now`` in unix seconds, for entries that have ended.

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
        if not _targets(entry, targets):
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
    always = [entry for entry in denies if not (entry.observe or entry.clock or entry.operation)]
    for entry in entries:
        if entry.effect != "allow":
            continue
        own = _targets(entry, targets)
        for deny in always:
            if own and own <= _targets(deny, targets) and _covers(deny, entry):
                problem = f"can never allow anything: `{deny.name}` in {deny.file} denies all of it"
                yield Problem(entry.file, entry.path, problem, "remove one of the two, or narrow the deny")
                break


def _covers(deny: CompiledEntry, allow: CompiledEntry) -> bool:
    """Whether every condition of the deny (but on targets) is implied by one of the allow; rather no than wrong."""
    return all(
        any(_implies(own, condition) for own in allow.access)
        for condition in deny.access
        if not isinstance(condition, (when.TargetNamed, when.TargetTagged))
    )


def _implies(narrow: when.AccessCondition, wide: when.AccessCondition) -> bool:
    if isinstance(narrow, _NAMED) and type(narrow) is type(wide):
        return all(
            pattern in wide.globs.patterns or (not is_glob(pattern) and wide.globs.match(pattern))
            for pattern in narrow.globs.patterns
        )
    return narrow == wide


_NAMED = (when.PrincipalNamed, when.InGroup, when.DatabaseNamed, when.RoleNamed)


def _targets(entry: CompiledEntry | CompiledMask, targets: Sequence[Target]) -> frozenset[str]:
    """Names of the targets that its what fits."""
    found = []
    for target in targets:
        fits = True
        for condition in entry.access:
            if isinstance(condition, when.TargetNamed):
                fits = fits and condition.globs.match(target.name)
            elif isinstance(condition, when.TargetTagged):
                fits = fits and condition.fits(target.tags)
        if fits:
            found.append(target.name)
    return frozenset(found)
