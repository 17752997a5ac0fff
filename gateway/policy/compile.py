"""Policy documents -> a snapshot; everything that one document alone can't know is checked here.

A file's own mistakes (unknown keys, verbs, empty lists, ...) were found when it was decoded; here it is labels that no
file defines, targets that don't exist, labels bound twice. All problems are collected; what an author probably didn't
mean, though it has a clear meaning, is a warning (`gateway.policy.review`).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.detectors import SHIPPED, OwnDetector
from gateway.errors import ConfigError, Problem
from gateway.model import ApprovalTerms, Method, Target
from gateway.policy import conditions as when
from gateway.policy import requests as asked
from gateway.policy import schema
from gateway.policy.commands import CommandPatterns
from gateway.policy.digest import digest
from gateway.policy.entries import (
    EVERYONE,
    GROUP,
    PRINCIPAL,
    CompiledEntry,
    CompiledMask,
    DefinedDetector,
    Label,
    Terms,
)
from gateway.policy.forced import contradictions
from gateway.policy.globs import Globs, is_glob, names_nobody
from gateway.policy.paths import PathGlobs
from gateway.policy.snapshot import REDACT, Snapshot
from gateway.ssh_requests import CARRIERS
from gateway.ssh_requests import ORDINARY as ORDINARY_REQUESTS
from gateway.verbs import BY_NAME, FREE, VERBS

ORDINARY = frozenset(VERBS) - BY_NAME
"""What an allow covers that has a sql condition, but none on verbs."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One decoded file; ``name`` is how problems call it."""

    name: str
    document: schema.PolicyDocument


@dataclass(frozen=True, slots=True)
class _World:
    """What names in entries may refer to, and what was found wrong."""

    targets: tuple[Target, ...]
    labels: frozenset[str]
    keys: frozenset[str]
    problems: list[Problem] = field(default_factory=list)

    def known_labels(self, patterns: Sequence[str], file: str, path: Path) -> Globs:
        for index, pattern in enumerate(patterns):
            self._known(pattern, self.labels, "label", "define it under `labels`", file, (*path, index))
        return Globs.of(patterns)

    def known_targets(self, patterns: Sequence[str], file: str, path: Path) -> Globs:
        for index, pattern in enumerate(patterns):
            self.known_target(pattern, file, (*path, index))
        return Globs.of(patterns)

    def known_target(self, pattern: str, file: str, path: Path) -> None:
        names = frozenset(target.name for target in self.targets)
        self._known(pattern, names, "target", "add it to targets.d", file, path)

    def method(self, written: schema.AnyMethod, file: str, path: Path) -> Method:
        method = schema.method_of(written)
        if method.name == "hmac":
            mend = "add it to `masking.keys` in ostiary.yaml"
            self._known(method.key, self.keys, "key", mend, file, (*path, "method", "hmac", "key"))
        return method

    def known_detector(self, name: str, names: frozenset[str], file: str, path: Path) -> None:
        self._known(name, names, "detector", "write a shipped one (docs/detectors.md), or define it", file, path)

    def _known(self, pattern: str, names: frozenset[str], kind: str, mend: str, file: str, path: Path) -> None:
        if is_glob(pattern) or pattern in names:
            return
        close = difflib.get_close_matches(pattern, sorted(names), n=1)
        mend = f"did you mean `{close[0]}`? Else {mend}" if close else mend
        self.problems.append(Problem(file, path, f"`{pattern}` is no {kind}", mend))


def compile_snapshot(
    files: Sequence[PolicyFile], targets: Sequence[Target], number: int, keys: Collection[str] = ()
) -> Snapshot:
    """The policy that all ``files`` together are; their order doesn't matter.

    ``targets`` are all that are configured, ``keys`` the ids of all keys, ``number`` tells this snapshot from older
    ones.
    Raises ConfigError with every problem (file and path; `gateway.policy.loading` adds the lines).
    """
    named = frozenset(label for file in files for label in file.document.labels)
    world = _World(tuple(targets), named, frozenset(keys))
    detectors = _detectors(files, world)
    labels = _labels(files, world, frozenset(SHIPPED) | {detector.own.name for detector in detectors})
    entries: list[CompiledEntry] = []
    masks: list[CompiledMask] = []
    for file in files:
        for index, allow in enumerate(file.document.allow):
            entries.append(_allow(allow, file.name, ("allow", index), world))
        for index, deny in enumerate(file.document.deny):
            entries.append(_deny(deny, file.name, ("deny", index), world))
        for index, approve in enumerate(file.document.approve):
            entries.append(_approve(approve, file.name, ("approve", index), world))
        for index, mask in enumerate(file.document.masks):
            masks.append(_mask(mask, file.name, ("masks", index), world))
    world.problems.extend(contradictions(entries, targets))
    if world.problems:
        raise ConfigError(*world.problems)
    return Snapshot(number, tuple(entries), tuple(masks), labels, detectors)


def _detectors(files: Sequence[PolicyFile], world: _World) -> tuple[DefinedDetector, ...]:
    """The operator's own."""
    found: dict[str, DefinedDetector] = {}
    for file in files:
        for name, written in file.document.detectors.items():
            path: Path = ("detectors", name)
            if name in SHIPPED:
                world.problems.append(Problem(file.name, path, "is a shipped detector's name", "give it another one"))
            elif name in found:
                problem = f"is defined in {found[name].file}, too"
                world.problems.append(Problem(file.name, path, problem, "remove one of them, or give it another name"))
            else:
                own = OwnDetector(name, written.pattern, written.longest(), written.context or (), written.validator)
                found[name] = DefinedDetector(file.name, own)
    return tuple(found[name] for name in sorted(found))


def _labels(files: Sequence[PolicyFile], world: _World, detectors: frozenset[str]) -> tuple[Label, ...]:
    labels: dict[str, Label] = {}
    for file in files:
        for name, written in file.document.labels.items():
            path: Path = ("labels", name)
            if name in labels:
                problem = f"is defined in {labels[name].file}, too"
                world.problems.append(Problem(file.name, path, problem, "bind all its columns in one place"))
                continue
            if is_glob(name):
                mend = "write it without * and ?, which are wildcards where labels are named"
                world.problems.append(Problem(file.name, path, "is not a label's name", mend))
            if written.columns is None and written.json is None and written.detector is None:
                mend = "write `columns: {TARGET: [schema.table.column]}`, `json` or `detector: NAME`, or remove it"
                world.problems.append(Problem(file.name, path, "is bound to nothing", mend))
            columns = written.columns or {}
            for target in columns:
                world.known_target(target, file.name, (*path, "columns", target))
            places = written.json or {}
            for target in places:
                world.known_target(target, file.name, (*path, "json", target))
            if written.detector is not None:
                world.known_detector(written.detector, detectors, file.name, (*path, "detector"))
            labels[name] = Label(
                name,
                file.name,
                tuple(sorted((target, column) for target, bound in columns.items() for column in bound)),
                world.method(written.default.method, file.name, (*path, "default")) if written.default else None,
                written.detector,
                tuple((target, place) for target in sorted(places) for place in places[target]),
            )
    return tuple(labels[name] for name in sorted(labels))


def _allow(entry: schema.AllowEntry, file: str, path: Path, world: _World) -> CompiledEntry:
    operation: list[when.OperationCondition] = []
    sql, trusts = entry.sql, None
    if sql is not None:
        verbs = ORDINARY if sql.verbs is None else frozenset().union(*sql.verbs)
        operation.append(when.CoversVerbs(verbs | FREE))
        if sql.relations is not None:
            operation.append(when.CoversRelations(Globs.of(sql.relations)))
        if sql.labels_touched is not None:
            globs = world.known_labels(sql.labels_touched, file, (*path, "sql", "labels_touched"))
            operation.append(when.CoversLabels(globs))
        if sql.max_rows is not None:
            operation.append(when.AtMostRows(sql.max_rows))
        if sql.without_where is not None:
            operation.append(when.WithoutWhere(sql.without_where))
        if sql.functions is not None:
            trusts = when.TrustedFunctions.of(sql.functions)
    if entry.ssh is not None:
        operation += _covering(entry.ssh)
    return CompiledEntry(
        effect="allow",
        name=entry.name,
        file=file,
        path=path,
        access=_access(entry, file, path, world, unknown=False) + _connection(entry),
        clock=_clock(entry),
        operation=tuple(operation),
        section=_section(entry),
        trusts=trusts,
        terms=_terms(entry.session),
        forces=None if entry.ssh is None else entry.ssh.force_command,
        rank=_rank(entry),
    )


def _deny(entry: schema.DenyEntry, file: str, path: Path, world: _World) -> CompiledEntry:
    typed = None
    if entry.ssh is not None and entry.ssh.typed is not None:
        typed = entry.ssh.then or "refuse"
    return CompiledEntry(
        effect="deny",
        name=entry.name,
        file=file,
        path=path,
        access=_access(entry, file, path, world, unknown=True) + _connection(entry),
        clock=_clock(entry),
        operation=_restricted(entry.sql, file, path, world) + _naming(entry.ssh),
        section=_section(entry),
        message=entry.message,
        # A warning lets go, too.
        observe=entry.observe or typed == "warn",
        typed="observe" if typed is not None and entry.observe else typed,
    )


def _approve(entry: schema.ApproveEntry, file: str, path: Path, world: _World) -> CompiledEntry:
    approvers = entry.approvers
    return CompiledEntry(
        effect="approve",
        name=entry.name,
        file=file,
        path=path,
        access=_access(entry, file, path, world, unknown=True) + _connection(entry),
        clock=_clock(entry),
        operation=_restricted(entry.sql, file, path, world) + _naming(entry.ssh),
        section=_section(entry),
        terms=_terms(entry.session),
        message=entry.message,
        observe=entry.observe,
        approval=ApprovalTerms(
            rule=entry.name,
            digest=digest(entry),
            principals=tuple(sorted(set(approvers.principals or ()))),
            groups=tuple(sorted(set(approvers.groups or ()))),
            needed=approvers.needed,
            wait=entry.wait,
            uses=entry.uses,
            within=entry.within,
            ends=None if entry.until is None else entry.until.timestamp(),
        ),
        at_connect=entry.session is not None,
        typed=None if entry.ssh is None or entry.ssh.typed is None else "observe" if entry.observe else "ask",
    )


def _restricted(sql: schema.Sql | None, file: str, path: Path, world: _World) -> tuple[when.OperationCondition, ...]:
    """The operation conditions of an entry that restricts: one of what the operation does is enough."""
    found: list[when.OperationCondition] = []
    if sql is None:
        return ()
    if sql.verbs is not None:
        found.append(when.HasVerb(frozenset().union(*sql.verbs)))
    if sql.relations is not None:
        found.append(when.TouchesRelation(Globs.of(sql.relations)))
    if sql.functions is not None:
        found.append(when.CallsFunction.of(sql.functions))
    if sql.labels_touched is not None:
        globs = world.known_labels(sql.labels_touched, file, (*path, "sql", "labels_touched"))
        found.append(when.TouchesLabel(globs))
    if sql.max_rows is not None:
        found.append(when.MoreRows(sql.max_rows))
    if sql.without_where is not None:
        found.append(when.WithoutWhere(sql.without_where))
    if sql.matches is not None:
        found.append(when.TextMatches(sql.matches))
    return tuple(found)


def _mask(mask: schema.MaskEntry, file: str, path: Path, world: _World) -> CompiledMask:
    globs = world.known_labels(mask.labels, file, (*path, "labels"))
    method = world.method(mask.method, file, path)
    return CompiledMask(
        file=file,
        path=path,
        labels=frozenset(filter(globs.match, world.labels)),
        # A source that is no IP address gets a network's mask only where that hides the value.
        access=_access(mask, file, path, world, unknown=method.strictness <= REDACT.strictness),
        rank=_rank(mask),
        method=method,
    )


def _rank(mask: schema.WhoAndWhat) -> int:
    """How specific the who is. A ``*`` names everyone, so it doesn't win over those who are named."""
    if mask.principals is not None and not any(map(names_nobody, mask.principals)):
        return PRINCIPAL
    if mask.groups is not None and not any(map(names_nobody, mask.groups)):
        return GROUP
    return EVERYONE


def _access(
    entry: schema.WhoAndWhat, file: str, path: Path, world: _World, *, unknown: bool
) -> tuple[when.AccessCondition, ...]:
    """Who and what. ``unknown``: what to say about a source address that can't be read."""
    found: list[when.AccessCondition] = []
    if entry.principals is not None:
        found.append(when.PrincipalNamed(Globs.of(entry.principals)))
    if entry.groups is not None:
        found.append(when.InGroup(Globs.of(entry.groups)))
    if entry.kind is not None:
        found.append(when.OfKind(entry.kind))
    if entry.factors is not None:
        found.append(when.ProvenBy(frozenset(entry.factors)))
    if entry.from_ is not None:
        found.append(when.FromNetwork(entry.from_, unknown))
    if entry.targets is not None:
        found.append(when.TargetNamed(world.known_targets(entry.targets, file, (*path, "targets"))))
    if entry.tags is not None:
        found.append(when.TargetTagged(tuple((key, Globs.of((value,))) for key, value in sorted(entry.tags.items()))))
    return tuple(found)


def _section(entry: schema.Entry) -> Literal["sql", "ssh"] | None:
    return "sql" if entry.sql is not None else "ssh" if entry.ssh is not None else None


def _connection(entry: schema.Entry) -> tuple[when.AccessCondition, ...]:
    """The conditions of its section that are fixed for a session."""
    found: list[when.AccessCondition] = []
    if entry.sql is not None:
        found.append(asked.SQL)
        if entry.sql.databases is not None:
            found.append(when.DatabaseNamed(Globs.of(entry.sql.databases)))
        if entry.sql.roles is not None:
            found.append(when.RoleNamed(Globs.of(entry.sql.roles)))
    if entry.ssh is not None:
        found.append(asked.SSH)
        if entry.ssh.logins is not None:
            found.append(asked.LoginNamed(Globs.of(entry.ssh.logins)))
    return tuple(found)


def _covering(ssh: schema.Ssh) -> list[when.OperationCondition]:
    """The conditions of an allow: what it says nothing about it covers only where that is ordinary."""
    if ssh.force_command is not None:
        # The old scp protocol is a command, too; which files it moves is for other entries to say.
        commands = asked.CoversRequests(frozenset({"exec", "scp"}))
        return [commands, asked.CommandForced(ssh.force_command)]
    requests = set(ssh.requests or ())
    if ssh.requests is None:
        for key, of in schema.ABOUT.items():
            if getattr(ssh, key) is not None:
                # A port at the target that leads back here has to be named.
                requests |= of - {"forward_remote"}
        requests = requests or set(ORDINARY_REQUESTS)
    found: list[when.OperationCondition] = [asked.CoversRequests(frozenset(requests | _files_by(requests)))]
    if ssh.exec is not None:
        found.append(asked.CommandCovered(CommandPatterns.of(ssh.exec)))
    if ssh.files is not None:
        read, write, listing = _paths(ssh.files)
        if ssh.files.read is not None:
            # Whoever may read what is there may see that it is.
            listing = PathGlobs.listing((*ssh.files.read, *(ssh.files.list or ())))
        found.append(asked.FilesCovered(read, write, listing))
    if ssh.env is not None:
        found.append(asked.VariableCovered(Globs.of(ssh.env)))
    if ssh.destinations is not None:
        found.append(asked.DestinationCovered.of(ssh.destinations))
    return found + _either(ssh)


def _naming(ssh: schema.Ssh | None) -> tuple[when.OperationCondition, ...]:
    """The conditions of an entry that restricts: what it says nothing about it is not about, unless it says nothing."""
    if ssh is None:
        return ()
    if ssh.typed is not None:
        return (asked.LineMatches(ssh.typed),)
    found: list[when.OperationCondition] = []
    kinds = set(ssh.requests or ())
    kinds |= _files_by(kinds)
    if ssh.requests is None:
        for key, of in schema.ABOUT.items():
            if getattr(ssh, key) is not None:
                kinds |= _files_by(of) or of
    elif ssh.files is not None:
        # Paths are named: what SFTP and scp are as such touches none.
        kinds -= CARRIERS
    if "exec" in kinds:
        # The old scp protocol is a command, too.
        kinds.add("scp")
    if kinds:
        found.append(asked.NamesRequest(frozenset(kinds)))
    if ssh.exec is not None:
        found.append(asked.CommandNamed(CommandPatterns.of(ssh.exec)))
    if ssh.matches is not None:
        found.append(asked.CommandMatches(ssh.matches))
    if ssh.files is not None:
        found.append(asked.FilesNamed(*_paths(ssh.files)))
    if ssh.env is not None:
        found.append(asked.VariableNamed(Globs.of(ssh.env)))
    if ssh.destinations is not None:
        found.append(asked.DestinationNamed.of(ssh.destinations))
    return (*found, *_either(ssh))


def _either(ssh: schema.Ssh) -> list[when.OperationCondition]:
    """Conditions that an operation has one thing for, so that all of it and one of it are the same."""
    found: list[when.OperationCondition] = []
    if ssh.subsystems is not None:
        found.append(asked.SubsystemNamed(Globs.of(ssh.subsystems)))
    return found


def _files_by(requests: Collection[str]) -> set[str]:
    return {f"files by {carrier}" for carrier in CARRIERS.intersection(requests)}


def _paths(files: schema.Files) -> tuple[PathGlobs | None, PathGlobs | None, PathGlobs | None]:
    return (
        None if files.read is None else PathGlobs.of(files.read),
        None if files.write is None else PathGlobs.of(files.write),
        None if files.list is None else PathGlobs.listing(files.list),
    )


def _clock(entry: schema.Entry) -> tuple[when.ClockCondition, ...]:
    found: list[when.ClockCondition] = []
    if entry.until is not None:
        found.append(when.Until(entry.until.timestamp(), entry.until.isoformat()))
    if entry.times is not None:
        times = entry.times
        days = frozenset(range(7)) if times.days is None else frozenset().union(*times.days)
        found.append(when.InHours(days, times.hours or ((0, 24 * 60),), times.zone))
    return tuple(found)


def _terms(session: schema.SessionTerms | None) -> Terms:
    if session is None:
        return Terms()
    return Terms(
        max=session.max,
        idle=session.idle,
        durability=session.record,
        ends_with_identity=None if session.expire is None else session.expire == "identity",
    )
