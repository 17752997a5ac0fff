"""The suites of asyncpg, pg8000 and psycopg2, directly and through the gateway: each test's outcome must be the same.

    python tests/suites/run.py [SUITE ...] [-k EXPRESSION]

A transparent gateway needs no deviation from a direct connection (shared/postgres.md, "let the target refuse"), and
drivers' own suites are the closest look at what clients rely on. Both runs use the same environment but for PGPORT:
the same user and password over SCRAM and TLS. The source distributions come from the package registry, locked by
hash in sources.txt; they and what they need live in .cache/suites and are never committed. exceptions.yaml names the
tests that may differ, and why.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))  # `support`, when run as a script

from support.ostiary import COMMAND, Ostiary  # noqa: E402
from support.pki import Pki  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.process import scratch_directory  # noqa: E402

CACHE = ROOT / ".cache" / "suites"
USER, PASSWORD = "postgres", "cpsnow"
"""What the examples in pg8000's README log in with."""

CALLERS = {USER: PASSWORD, "boltzmann": "cha\uff6fs"}
"""Whom the gateway knows; pg8000 makes a role of the second one's name and logs in as it."""

RUN_SECONDS = 300.0
"""For one run of one suite; the longest takes a quarter of it."""

MOST_SHOWN = 30
"""Differing tests that are printed with their reasons; more than that have one reason."""

REPEATS = 2
"""A test that differs runs again, both ways, before it counts: the suites have tests of their own timing."""


@dataclass(frozen=True)
class Suite:
    """One driver's own tests.

    folders      what is taken from the source distribution; not the driver itself, which is installed
    tests        the folder or file that pytest gets
    left_out     files whose tests don't look at the server that we name
    databases    that the tests use: each is made, and is a target of its name
    targets      names of databases that the tests make themselves, or find missing
    least        tests that must pass in the direct run, or the comparison would be empty
    """

    name: str
    folders: tuple[str, ...]
    tests: str
    least: int
    databases: tuple[str, ...] = ("postgres",)
    targets: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


SUITES = (
    Suite(
        "psycopg2",
        ("tests",),
        "tests",
        720,
        databases=("psycopg2_test",),
        environment={"PSYCOPG2_TESTDB": "psycopg2_test"},
        # its test_suite functions gather tests, they are none
        arguments=("-o", "python_functions=none"),
    ),
    Suite(
        "asyncpg",
        ("tests",),
        "tests",
        305,
        targets=("testdb", "asyncpg_intro_test"),
        left_out=("tests/test__environment.py", "tests/test__sourcecode.py"),
        environment={"PGDATABASE": "postgres"},
    ),
    Suite(
        "pg8000",
        ("test", "README.md"),
        "test",
        780,
        environment={"PYTHONPATH": str(HERE)},
        arguments=("--benchmark-disable", "-p", "named_server"),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """passed, failed, error or skipped; and why."""

    word: str
    why: str = ""


Outcomes = dict[str, Outcome]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# --- what is run ----------------------------------------------------------------------------------------------


def prepare() -> Path:
    """The suites' environment and their tests below `CACHE`, made anew when a lock file has changed."""
    locks = "".join((HERE / name).read_text() for name in ("tools.txt", "sources.txt")) + sys.version
    stamp = CACHE / "stamp"
    if stamp.exists() and stamp.read_text() == locks:
        return CACHE
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    venv.create(CACHE / "venv", with_pip=True)
    pip = [str(CACHE / "venv" / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    locked = ["--no-deps", "--require-hashes"]
    sources = ["--no-build-isolation", "--no-binary", ":all:", *locked, "--requirement", str(HERE / "sources.txt")]
    _do([*pip, "install", *locked, "--requirement", str(HERE / "tools.txt")])
    _do([*pip, "download", *sources, "--dest", str(CACHE / "archives")])
    _do([*pip, "install", "--no-index", "--find-links", str(CACHE / "archives"), *sources])
    for suite in SUITES:
        (archive,) = (CACHE / "archives").glob(f"{suite.name}-*.tar.gz")
        _extract(archive, suite.folders, CACHE / suite.name)
    stamp.write_text(locks)
    return CACHE


def _do(command: Sequence[str]) -> None:
    path = os.pathsep.join([str(CACHE / "venv" / "bin"), os.environ["PATH"]])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _extract(archive: Path, folders: Sequence[str], to: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            _top, _, rest = member.name.partition("/")
            if rest and rest.partition("/")[0] in folders:
                member.name = rest
                tar.extract(member, to, filter="data")


# --- one run --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How a run reaches its server. ``target`` goes before a database's name where a suite can't be told more."""

    name: str
    port: int
    target: str = ""


_children: set[subprocess.Popen[bytes]] = set()
"""Runs under way; whoever leaves early ends them."""


def run(suite: Suite, way: Way, only: Sequence[str] = (), expression: str = "") -> Outcomes:
    """The suite's tests, or ``only`` some."""
    with tempfile.TemporaryDirectory(prefix="ost-suite-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [
            str(CACHE / "venv" / "bin" / "python"),
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:warnings", f"--junitxml={report}"),
            *("-o", "junit_family=xunit1", "--tb=short", f"--rootdir={CACHE / suite.name}"),
            # no configuration file: it would find ours further up
            *("-c", os.devnull),
            *suite.arguments,
            *(f"--ignore={name}" for name in suite.left_out),
            *(("-k", expression) if expression else ()),
            *(only or (suite.tests,)),
        ]
        log = Path(scratch) / "log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=CACHE / suite.name,
                env=_environment(suite, way, scratch),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _children.add(child)
            try:
                child.wait(RUN_SECONDS)
            except subprocess.TimeoutExpired:
                say(log.read_text(errors="replace")[-2000:])
                raise SystemExit(f"{suite.name}: a run did not end within {RUN_SECONDS:g} s") from None
            finally:
                child.kill()
                child.wait()
                _children.discard(child)
        if not report.exists():
            raise SystemExit(f"{suite.name} did not run:\n{log.read_text(errors='replace')[-4000:]}")
        return _outcomes(report)


def _environment(suite: Suite, way: Way, home: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PSYCOPG2", "PYTEST"))}
    server = {"PGHOST": "localhost", "PGPORT": str(way.port), "PGUSER": USER, "PGPASSWORD": PASSWORD}
    server["SUITE_TARGET"] = way.target
    # pg8000's README logs in as whoever runs it
    server |= {"LOGNAME": USER}
    return kept | server | {"HOME": home, "LC_ALL": "C.UTF-8", "TZ": "UTC"} | dict(suite.environment)


def _outcomes(report: Path) -> Outcomes:
    outcomes: Outcomes = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # written by our own pytest
        name = f"{case.get('file')}::{case.get('classname')}::{case.get('name')}"
        outcome = Outcome("passed")
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                word = {"failure": "failed"}.get(child.tag, child.tag)
                outcome = Outcome(word, child.text or child.get("message") or "")
        outcomes[name] = outcome
    return outcomes


def counted(outcomes: Outcomes) -> str:
    words = [outcome.word for outcome in outcomes.values()]
    return ", ".join(f"{words.count(word)} {word}" for word in ("passed", "failed", "error", "skipped"))


# --- compared -------------------------------------------------------------------------------------------------


def different(direct: Outcomes, through: Outcomes) -> list[str]:
    return sorted(
        name
        for name in direct.keys() | through.keys()
        if (direct[name].word if name in direct else None) != (through[name].word if name in through else None)
    )


def node(name: str) -> str:
    """pytest's own id of a test, from its place in the report."""
    file, classname, test = name.split("::", 2)
    module = file.removesuffix(".py").replace("/", ".")
    inner = classname.removeprefix(module).strip(".").replace(".", "::")
    return "::".join(part for part in (file, inner, test) if part)


POLICY = {"allow": [{"name": "anything", "principals": list(CALLERS), "targets": ["*"]}]}


def start_postgres(stack: ExitStack, pki: Pki, suite: Suite) -> Postgres:
    """A cluster with the suite's databases, for TLS and SCRAM only."""
    hba = ["hostssl all all 127.0.0.1/32 scram-sha-256"]
    # psycopg2 counts notices at client_min_messages = debug1, where the log's are among them
    settings = {"log_statement": "none"}
    server = stack.enter_context(Postgres(tls=pki.server(file="target"), hba=hba, settings=settings))
    server.run(f"alter role {USER} password '{PASSWORD}'")
    for database in suite.databases:
        if database != "postgres":
            server.run(f'create database "{database}"')
        server.run("create extension hstore", database)
    return server


def start_gateway(stack: ExitStack, pki: Pki, suite: Suite, server: Postgres) -> Ostiary:
    """The gateway in front of ``server``, with a policy that allows all to one principal."""
    targets = [
        {
            "name": database,
            "protocol": "postgres",
            "address": f"localhost:{server.port}",
            "tls": {"mode": "verify-full", "ca": f"file:{pki.ca}"},
            "credentials": [{"user": USER, "password": "env:TARGET_PASSWORD"}],
        }
        for database in (*suite.databases, *suite.targets)
    ]
    passwords = scratch_directory("passwords") / "passwords.yaml"
    passwords.touch(mode=0o600)
    entries = [
        subprocess.run(
            [COMMAND, "passwd", name, "--method", "scram", "--stdin"],
            input=password.encode(),
            capture_output=True,
            check=True,
        ).stdout
        for name, password in CALLERS.items()
    ]
    passwords.write_bytes(b"".join(entries))
    settings = {
        "listeners": {"postgres": {"password": "scram"}},
        "identity": {"passwords": f"file:{passwords}"},
        "limits": {"per_principal": 1000},
    }
    environment = {"TARGET_PASSWORD": PASSWORD}
    return stack.enter_context(Ostiary(pki, targets=targets, policy=POLICY, settings=settings, environment=environment))


@dataclass(frozen=True)
class Comparison:
    """One suite, both ways. ``differing`` counts; ``unsteady`` differed once; ``excepted`` may differ."""

    direct: Outcomes
    through: Outcomes
    differing: tuple[str, ...]
    unsteady: tuple[str, ...]
    excepted: tuple[str, ...]


def compare(suite: Suite, *, expression: str = "") -> Comparison:
    """Runs ``suite`` both ways, each on a fresh cluster."""
    allowed = yaml.safe_load((HERE / "exceptions.yaml").read_text()) or {}
    with ExitStack() as stack:
        pki = Pki(scratch_directory("pki"))
        straight = Way("direct", start_postgres(stack, pki, suite).port)
        behind = start_postgres(stack, pki, suite)
        gateway = start_gateway(stack, pki, suite, behind)
        around = Way("gateway", gateway.port, f"{suite.databases[0]}/")
        # at the same time: each mostly waits for its own server
        with ThreadPoolExecutor() as threads:
            try:
                direct, through = threads.map(lambda way: timed(suite, way, expression), (straight, around))
            except BaseException:
                for child in list(_children):
                    child.kill()
                raise
        found = different(direct, through)
        excepted = [name for name in found if node(name) in allowed.get(suite.name, {})]
        steady = [name for name in found if name not in excepted]
        for _ in range(REPEATS):
            both = [name for name in steady if name in direct and name in through]
            if not both:
                break
            ids = [node(name) for name in both]
            again, again_through = run(suite, straight, ids), run(suite, around, ids)
            alike = set(both) - set(different(again, again_through))
            steady = [name for name in steady if name not in alike]
        if gateway.running is False:
            raise SystemExit(f"{suite.name}: the gateway ended\n{gateway.log_tail()}")
        for line in gateway.log_text().splitlines():
            if '"level":"error"' in line.replace(" ", "") or "Traceback" in line:
                say(f"  gateway's log: {line[:2000]}")
    unsteady = [name for name in found if name not in steady and name not in excepted]
    return Comparison(direct, through, tuple(steady), tuple(unsteady), tuple(excepted))


def timed(suite: Suite, way: Way, expression: str) -> Outcomes:
    started = time.monotonic()
    outcomes = run(suite, way, expression=expression)
    say(f"{suite.name:9} {way.name:8} {counted(outcomes)} in {time.monotonic() - started:.0f} s")
    return outcomes


def report(suite: Suite, comparison: Comparison) -> None:
    for title, names in (
        ("DIFFERS", comparison.differing),
        ("differed once", comparison.unsteady),
        ("differs as documented", comparison.excepted),
    ):
        if len(names) > MOST_SHOWN:
            say(f"  {title}: {len(names)} tests; the first {MOST_SHOWN}:")
        for name in names[:MOST_SHOWN]:
            missing = Outcome("not run")
            before, after = comparison.direct.get(name, missing), comparison.through.get(name, missing)
            say(f"  {title}: {node(name)}: directly {before.word}, through the gateway {after.word}")
            if title == "DIFFERS":
                say(re.sub("^", "    | ", (after.why or before.why)[-1500:], flags=re.MULTILINE))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suites", nargs="*", choices=[[], *(suite.name for suite in SUITES)], metavar="SUITE")
    parser.add_argument("-k", dest="expression", default="", help="pytest's; only some tests")
    chosen = parser.parse_args()
    # ended from outside (a time limit), it takes its servers and their directories with it, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    prepare()
    same = True
    compared = differing = excepted = 0
    for suite in SUITES:
        if chosen.suites and suite.name not in chosen.suites:
            continue
        comparison = compare(suite, expression=chosen.expression)
        report(suite, comparison)
        passed = sum(outcome.word == "passed" for outcome in comparison.direct.values())
        if passed < suite.least and not chosen.expression:
            say(f"{suite.name}: only {passed} tests pass directly, {suite.least} are expected")
            same = False
        same = same and not comparison.differing
        compared += len(comparison.direct.keys() | comparison.through.keys())
        differing += len(comparison.differing)
        excepted += len(comparison.excepted)
    say(f"suites: {compared} tests compared, {differing} differ, {excepted} more as documented in exceptions.yaml")
    say("suites: " + ("passed" if same else "FAILED"))
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
