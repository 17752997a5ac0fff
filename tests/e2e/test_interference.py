"""What a masked caller sees does not depend on protected values (shared/postgres.md, masking: non-interference)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from support import twins
from support.choices import Choices, shrink
from support.expressions import CONSTANTS, Relations
from support.ostiary import Ostiary
from support.pki import Pki
from support.postgres import Postgres
from support.statements import Author, Case, Step
from support.twins import Attempt, Pair

pytestmark = pytest.mark.e2e

DATA = twins.load()
INFERENCE = twins.load_inference()
FEW, MANY, SMITHS = 400, 20_000, 4_000

ALLOWED, TOUCHING = 0.4, 0.6
"""Least share of cases that the gateway lets through whole, and that have to do with a protected column: statements
that are refused, or about nothing, would show nothing."""

TOLD = 8
"""Findings that are made small and printed; the rest is counted."""


OF_A_CLUSTER = re.compile(r"pg_stat_get_|_time\(|_lsn\(|txid_|_xact_id|_snapshot|_pid|inet_(server|client)_port")
"""What differs from one cluster or moment to another, whatever lies in the tables: counters, clocks, transaction
numbers, ports."""

SAMPLE = re.compile(r"tablesample \w+ \([\d.]+\)")


@pytest.fixture(scope="module")
def servers(pki: Pki) -> Iterator[tuple[Postgres, Postgres]]:
    certificate = pki.server(file="target")
    hba = ["hostssl all all 127.0.0.1/32 scram-sha-256"]
    with ExitStack() as stack:
        left, right = (
            stack.enter_context(Postgres(tls=certificate, hba=hba, settings=twins.SETTINGS)) for _ in range(2)
        )
        twins.make(left, DATA, DATA.left)
        twins.make(right, DATA, DATA.right)
        assert left.run(twins.IDENTITY, twins.DATABASE) == right.run(twins.IDENTITY, twins.DATABASE)
        yield left, right


@pytest.fixture(scope="module")
def relations(servers: tuple[Postgres, Postgres]) -> Relations:
    return twins.relations(servers[0], DATA)


@pytest.fixture(scope="module")
def gateway(pki: Pki, servers: tuple[Postgres, Postgres]) -> Iterator[Ostiary]:
    with twins.gateway(pki, servers, DATA) as running:
        yield running


def compare(pair: Pair, servers: Sequence[Postgres], relations: Relations, seeds: range) -> None:
    """Runs the case of each seed. Raises AssertionError with the smallest cases that tell the two apart.

    Values stay, but when the dead rows of earlier cases are cleared away is chance, and it moves the planner (the order
    of equal rows, for instance). So what differs is run again, and once more when neither has dead rows.
    """
    findings: list[Sequence[int]] = []
    allowed = touching = 0
    for seed in seeds:
        choices = Choices(str(seed))
        case = Author(choices, relations).case()
        outcome = pair.run(case)
        if not outcome.same and not pair.run(case).same:
            for server in servers:
                server.run("vacuum full", twins.DATABASE)
            if not pair.run(case).same:
                findings.append(choices.made)
        allowed += not (outcome.denied or outcome.cut)
        touching += case.touches
    assert not findings, report(pair, relations, findings, len(seeds))
    assert allowed >= ALLOWED * len(seeds), f"only {allowed} of {len(seeds)} cases were let through"
    assert touching >= TOUCHING * len(seeds), f"only {touching} of {len(seeds)} cases touch what is protected"


def report(pair: Pair, relations: Relations, findings: Sequence[Sequence[int]], total: int) -> str:
    """The first findings, each as small as it gets."""

    def tells(made: Sequence[int]) -> bool:
        return not pair.run(Author(Choices(recorded=made), relations).case()).same

    smallest = {}
    for made in findings[:TOLD]:
        case = Author(Choices(recorded=shrink(made, tells)), relations).case()
        smallest[str(case)] = pair.run(case).difference()
    told = "\n\n".join(f"{case}\n    {difference}" for case, difference in smallest.items())
    return f"{len(findings)} of {total} cases tell the databases apart, such as\n\n{told}"


@pytest.fixture(scope="module")
def masked(pki: Pki, gateway: Ostiary) -> Iterator[Pair]:
    with Pair(gateway, twins.callers(pki, "everyone")) as pair:
        yield pair


@pytest.fixture(scope="module")
def clear(pki: Pki, gateway: Ostiary) -> Iterator[Pair]:
    """Sees the values."""
    with Pair(gateway, twins.callers(pki, "everyone", "trusted")) as pair:
        yield pair


def test_a_few_statements_tell_nothing(masked: Pair, servers: tuple[Postgres, Postgres], relations: Relations) -> None:
    compare(masked, servers, relations, range(FEW))


@pytest.mark.slow
def test_many_statements_tell_nothing(masked: Pair, servers: tuple[Postgres, Postgres], relations: Relations) -> None:
    compare(masked, servers, relations, range(FEW, FEW + MANY))


def test_without_masks_they_tell(clear: Pair, relations: Relations) -> None:
    """A caller who sees clear values tells them apart by every fourth case or so: it is masks that hide them."""
    outcomes = [clear.run(Author(Choices(str(seed)), relations).case()) for seed in range(100)]
    assert sum(outcome.cut for outcome in outcomes) <= 5
    assert sum(not outcome.same for outcome in outcomes) >= 15


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sqlsmith") is None, reason="needs Debian's sqlsmith")
def test_sqlsmith_tells_nothing(pki: Pki, gateway: Ostiary, servers: tuple[Postgres, Postgres], masked: Pair) -> None:
    """Statements that somebody else makes up, with every function and operator there is. What two sessions in one
    database answer differently, too, is random or a clock."""
    made = subprocess.run(
        ["sqlsmith", f"--target={servers[0].connection(twins.DATABASE)}", "--dry-run", "--exclude-catalog",
         "--seed=4", f"--max-queries={SMITHS}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    texts = [SAMPLE.sub(r"\g<0> repeatable (1)", text.strip()) for text in made.stdout.split(";\n") if text.strip()]
    statements = [text for text in texts if not OF_A_CLUSTER.search(text)]
    assert len(statements) >= SMITHS * 0.3
    cases = [Case((Step(text),), touches=True) for text in statements]
    outcomes = [masked.run(case) for case in cases]
    suspects = [case for case, outcome in zip(cases, outcomes, strict=True) if not outcome.same]
    left = (twins.TARGETS[0], twins.TARGETS[0])
    with Pair(gateway, twins.callers(pki, "everyone"), left) as control:
        findings = [case for case in suspects if control.run(case).same]
    assert not findings, "\n\n".join(f"{case}\n    {masked.run(case).difference()}" for case in findings[:TOLD])
    # most of its statements sort and compare by whatever there is, which masks refuse
    assert sum(not outcome.failed for outcome in outcomes) >= 0.1 * len(outcomes)


@pytest.mark.parametrize("attempt", INFERENCE, ids=lambda attempt: attempt.name)
def test_nothing_is_inferred(masked: Pair, attempt: Attempt) -> None:
    for case in attempt.cases:
        outcome = masked.run(case)
        assert not outcome.cut
        assert outcome.same, f"{attempt.reason}\n{case}\n    {outcome.difference()}"


def test_the_attempts_at_inference_have_teeth(clear: Pair) -> None:
    toothless = [attempt.name for attempt in INFERENCE if all(clear.run(case).same for case in attempt.cases)]
    assert not toothless


def test_statements_hold_no_protected_value(servers: tuple[Postgres, Postgres]) -> None:
    """Equality with a constant is allowed, and tells whether the constant is the value."""
    constants = {
        text.removeprefix("date ").partition("::")[0].strip("'") for of_type in CONSTANTS.values() for text in of_type
    }
    held = twins.protected(servers[0]) | twins.protected(servers[1])
    assert len(held) > 50
    assert not held & {twins.shortest(constant) for constant in constants}
