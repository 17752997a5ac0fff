"""`ostiary policy test`: an author's own expectations, in YAML beside the policy.

    cases:
      - name: analysts don't drop
        principal: alice
        groups: [analysts]
        target: orders
        sql: drop table customers
        expect: deny
        rules: [nobody destroys]

What a statement means is `gateway.sql`'s to say, what a request means `gateway.protocols.ssh`'s, which role a principal
gets `gateway.upstreams`'; all are passed in, since this room doesn't know them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.config import load_yaml
from gateway.model import Access, Decision, Factor, Operation, Outcome, Principal, PrincipalKind, Target
from gateway.policy.explain import describe
from gateway.policy.forced import Forced
from gateway.policy.schema import AnyMethod, Moment, Section, Text, method_of
from gateway.policy.snapshot import Snapshot

Analyse = Callable[[str, Access], Operation]
"""A statement's text and who runs it where -> the operation that policy decides on."""

Request = Callable[[str, Forced | None], Operation]
"""A request as people write it (``exec uptime``), and the command that is forced -> the operation that is decided on;
raises ValueError with the mend."""

RoleOf = Callable[[Principal, Target], str | None]
"""The role at the target that a principal logs in with; None when no credential fits it."""


class Case(Section, frozen=True, kw_only=True):
    """Who does what, and what should come of it. Without ``sql`` and ``ssh`` it is about the connection."""

    name: Text
    principal: Text
    groups: tuple[Text, ...] = ()
    kind: PrincipalKind = "human"
    factors: tuple[Factor, ...] = ("certificate",)
    from_: Text = msgspec.field(default="127.0.0.1", name="from")
    at: Moment | None = None
    """The time of the operation. Default: when the cases are run."""
    target: Text
    database: Text | None = None
    """Default: the target's name, as a client that names only the target gets it."""
    role: Text | None = None
    """Default: the user of the first of the target's credentials that fits."""
    login: Text | None = None
    """The same, for SSH."""
    sql: Annotated[str, Meta(min_length=1)] | None = None
    ssh: Annotated[str, Meta(min_length=1)] | None = None
    expect: Literal["allow", "deny", "approve"]
    rules: tuple[Text, ...] | None = None
    """The names of exactly those entries that make the decision; [] when nothing allows it."""
    masks: dict[Text, AnyMethod] | None = None
    """Label -> how its values are shown."""

    def __post_init__(self) -> None:
        if self.sql is not None and self.ssh is not None:
            raise ValueError("has both `sql` and `ssh`; write two cases")
        if self.role is not None and self.login is not None:
            raise ValueError("has both `role` and `login`, which is the role at an SSH target; write one")
        for method in (self.masks or {}).values():
            method_of(method)


class CaseDocument(Section, frozen=True):
    """A file of cases."""

    cases: Annotated[tuple[Case, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case ended; it passed when there are no ``problems``. ``decision`` is what policy said."""

    name: str
    decision: Decision
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems


def load_cases(path: Path) -> tuple[Case, ...]:
    """The cases of one file. Raises ConfigError."""
    return load_yaml(path, CaseDocument).cases


def run_cases(
    cases: Iterable[Case],
    snapshot: Snapshot,
    targets: Sequence[Target],
    *,
    analyse: Analyse,
    request: Request,
    role_of: RoleOf,
    now: float,
) -> tuple[CaseResult, ...]:
    """Decide each case, in order. ``now`` (unix seconds) is for those that don't say when they are."""
    by_name = {target.name: target for target in targets}
    return tuple(_run(case, snapshot, by_name.get(case.target), analyse, request, role_of, now) for case in cases)


def _run(
    case: Case,
    snapshot: Snapshot,
    target: Target | None,
    analyse: Analyse,
    request: Request,
    role_of: RoleOf,
    now: float,
) -> CaseResult:
    moment = now if case.at is None else case.at.timestamp()
    access = None if target is None else _access(case, target, role_of, moment)
    if access is None:
        # An unknown target, or one that no credential leads to, is a no (policy.md, semantics 2).
        return CaseResult(case.name, refused := Decision(Outcome.DENY), tuple(_differences(case, refused)))
    section = "ssh" if access.target.protocol == "ssh" else "sql"
    if (case.sql if section == "ssh" else case.ssh) is not None:
        problem = f"{case.target} speaks {access.target.protocol}; write `{section}`, or name another target"
        return CaseResult(case.name, Decision(Outcome.DENY), (problem,))
    if case.sql is not None:
        decision = snapshot.decide(access, analyse(case.sql, access), moment)
    elif case.ssh is not None:
        try:
            forced = snapshot.for_access(access).forced(moment)
            decision = snapshot.decide(access, request(case.ssh, forced), moment)
        except ValueError as error:
            return CaseResult(case.name, Decision(Outcome.DENY), (f"`{case.ssh}` {error}",))
    else:
        decision = snapshot.admits(access, moment)
    problems = (*_differences(case, decision), *_mask_differences(case, snapshot, access))
    return CaseResult(case.name, decision, problems)


def _access(case: Case, target: Target, role_of: RoleOf, moment: float) -> Access | None:
    principal = Principal(case.principal, case.kind, frozenset(case.groups), frozenset(case.factors), moment)
    role = case.role or case.login or role_of(principal, target)
    database = "" if target.protocol == "ssh" else case.database or target.name
    return None if role is None else Access(principal, target, database, role, case.from_)


def _differences(case: Case, decision: Decision) -> list[str]:
    problems = []
    if decision.outcome.value != case.expect:
        by = ", ".join(decision.rules) or "nothing, since no allow entry matches"
        problems.append(f"expected {case.expect}, got {decision.outcome.value}, decided by {by}")
    if case.rules is not None and set(case.rules) != set(decision.rules):
        wanted, got = (", ".join(sorted(rules)) or "none" for rules in (case.rules, decision.rules))
        problems.append(f"expected to be decided by {wanted}, was decided by {got}")
    return problems


def _mask_differences(case: Case, snapshot: Snapshot, access: Access) -> list[str]:
    problems = []
    policy = snapshot.for_access(access)
    for label, written in (case.masks or {}).items():
        wanted, got = method_of(written), policy.method_for((label,))
        if label not in policy.methods:
            problems.append(f"{label} is no label of this policy")
        elif wanted != got:
            problems.append(f"expected {label} as {describe(wanted)}, it is shown as {describe(got)}")
    return problems
