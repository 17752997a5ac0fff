"""`make demo` and `make demo-check`: psql and ssh through the gateway to real servers, on this machine alone.

Both set up the same: a throwaway PostgreSQL with data worth guarding, an sshd, a CA with certificates, a syslog
receiver (rsyslog, TLS) and a configuration; then `ostiary serve`. The demo prints the steps below as commands for
another terminal; the check runs exactly those commands and looks at what comes out.
"""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from support import guarded  # noqa: E402  # the demo stands on the tests' lifecycle classes
from support.ostiary import Ostiary  # noqa: E402
from support.pki import Pki  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.process import StartFailed, free_port, scratch_directory  # noqa: E402
from support.psql import clean_environment  # noqa: E402
from support.rsyslog import Rsyslog  # noqa: E402
from support.ssh import SshOstiary  # noqa: E402
from support.sshd import Sshd  # noqa: E402

POLICY = {
    **guarded.POLICY,
    "labels": {**guarded.POLICY["labels"], "pci.card": {"detector": "payment_card"}},
    "approve": [
        {
            "name": "bulk changes need a second person",
            "targets": ["orders"],
            "sql": {"verbs": ["update", "delete"], "without_where": True},
            "approvers": {"groups": ["owners"]},
            "wait": "5m",
        }
    ],
}
"""What guards the data, a detector for what lies where nobody expects it, and what waits for a second person."""


def policy(web: Path) -> dict[str, object]:
    """`POLICY`, and what bob may do where ``web`` lies."""
    look_after = {
        "name": "engineers look after web1",
        "groups": ["engineers"],
        "targets": ["web1"],
        "ssh": {
            "logins": ["*"],
            "exec": [f"cat {web}/*", "uptime"],
            "files": {"list": [f"{web}/**"], "write": [f"{web}/uploads/*"]},
        },
    }
    return {**POLICY, "allow": [*guarded.POLICY["allow"], look_after]}


FIRST = "python3 -c 'import json, sys; print(json.load(sys.stdin)[0][\"id\"])'"

FLIP = (
    'import sys; name = sys.argv[1]; data = bytearray(open(name, "rb").read()); '
    'data[len(data) // 2] ^= 1; open(name, "wb").write(data)'
)

CHECK_SECONDS = 15.0
"""How long a step of the check may take to come true: events travel to the receiver on their own."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try.

    title   what it shows
    command a shell command, printed as it is and run as it is
    expect  regular expressions that its output (both streams) must match, each somewhere
    never   one that it must not match
    status  its exit status
    beside  a command for another terminal, while this one waits
    """

    title: str
    command: str
    expect: tuple[str, ...]
    never: str | None = None
    status: int = 0
    beside: str | None = None


def steps(
    gateway: Ostiary, receiver: Rsyslog, connections: dict[str, str], approver: str, ssh: Path, web: Path
) -> list[Step]:
    """What there is to see, in order; later steps look at what earlier ones left.

    ssh       bob's ssh_config, web  the folder at the SSH target that he looks after
    approver  variables by which `ostiary` asks the control API as somebody who may approve
    """
    directory = gateway.directory
    recordings = gateway.data / "recordings"
    copies = directory / "copies"

    def psql(caller: str, *statements: str) -> str:
        lines = [f"psql {shlex.quote(connections[caller])}"]
        lines += [f"  -c {shlex.quote(statement)}" for statement in statements]
        return " \\\n".join(lines)

    return [
        Step(
            "alice, an analyst, reads customers: what is labelled comes masked",
            psql("alice", "select id, name, email, ssn from customers order by id limit 3"),
            (r"Customer 1\b", r"\*\*\*\*", r"\(3 rows\)"),
            never=guarded.PROTECTED.pattern,
        ),
        Step(
            "... also behind an expression and a view",
            psql(
                "alice",
                "select upper(ssn) as number, left(email, 5) as start from customers limit 2",
                "select * from customer_cards limit 2",
            ),
            (r"\*{4} +\| \*{4}", r"1 \| \*{4}"),
            never=guarded.PROTECTED.pattern,
        ),
        Step(
            "... and what nobody labelled is searched: a card number in a note",
            psql("alice", "select 'paid by card 4111 1111 1111 1111, thanks' as note, count(*) from customers"),
            (r"paid by card \*\*\*\*, thanks", r"\b51\b"),
            never="4111",
        ),
        Step(
            "... but she may not sort by what is masked, since the order would tell: the error says what to write",
            psql("alice", "select id from customers order by ssn"),
            (r"ssn may not decide in ORDER BY", r"pii\.ssn is masked for you"),
            status=1,
        ),
        Step(
            "olivia, an owner, may see them in clear",
            psql("olivia", "select id, name, email, ssn from customers order by id limit 3"),
            (r"person1@private\.example", r"900-00-7001"),
        ),
        Step(
            "bob, an engineer, tries to drop a table: refused, and his session lives on",
            psql("bob", "drop table orders", "select count(*) as still_here from orders"),
            (r"nobody destroys|ask the DBA on call", r"still_here", r"\b500\b"),
        ),
        Step(
            "why? (nothing is asked or recorded for this)",
            "ostiary explain --principal bob --groups engineers --target orders --sql 'drop table orders'",
            (r"(?i)\bdeny\b", r"nobody destroys"),
        ),
        Step("what was recorded", "ostiary recordings list", (r"alice", r"bob", r"olivia")),
        Step(
            "bob's session, as it was",
            f"ostiary recordings show $({newest(recordings)})",
            (r"drop table orders", r"(?i)deny|denied", r"select count\(\*\)"),
        ),
        Step(
            "each recording proves itself",
            "ostiary recordings verify",
            (r"(?m)^ok .*complete", r"6 recordings, all verified"),
        ),
        Step(
            "... a copy does, too, and one flipped byte disproves it",
            f"rm -rf {copies}; mkdir {copies}; cp $({newest(recordings)}) {copies} \\\n"
            f"&& ostiary recordings verify {copies}/*.ostrec \\\n"
            f"&& python3 -c '{FLIP}' {copies}/*.ostrec \\\n"
            f"&& ostiary recordings verify {copies}/*.ostrec",
            (r"(?m)^ok .*complete", r"(?m)^WRONG .*changed", r"byte \d{2,}, event \d"),
            # that would be another reason to refuse it
            never="renamed",
            status=1,
        ),
        Step(
            "the same events are at the SIEM's syslog receiver",
            f"grep operation_decided {receiver.received} | tail -n 2",
            (r"<\d+>1 .*drop table orders", r'"name":"bob"', r"nobody destroys"),
            # the log and the SIEM never see what was masked
            never=guarded.PROTECTED.pattern,
        ),
        Step(
            "bob deletes every order (in a transaction, so that you can try it again): it waits for a second person",
            psql("bob", "begin", "delete from orders", "select count(*) as left_over from orders", "rollback"),
            (
                r'waiting for approval \S+: "bulk changes need a second person"',
                r"DELETE 500",
                r"left_over",
                r"ROLLBACK",
            ),
            beside=f"export {approver}\n"
            "ostiary approvals list\n"
            f"ostiary approvals approve $(ostiary approvals list --json | {FIRST}) --reason 'ticket 12'",
        ),
        Step(
            "what came of it",
            "ostiary approvals list --state all && ostiary grants list",
            (r"approved +bob +orders", r"used +bob"),
        ),
        Step(
            "bob reads a log on web1 over SSH: his key proves him, the gateway has the target's, and cards are masked",
            f"ssh -F {ssh} web1 cat {web}/payments.log",
            (r"paid 20 EUR by card \*\*\*\*",),
            never="4111",
        ),
        Step(
            "... an auditor sees what he saw; nothing in a recording does more to a terminal than draw",
            f"ostiary recordings replay --no-wait $({newest(recordings)})",
            (r"paid 20 EUR by card \*\*\*\*",),
            never="4111",
        ),
        Step(
            "... a command is allowed as a whole: what somebody hangs on to it is refused",
            f"ssh -F {ssh} web1 'cat {web}/payments.log; id'",
            (r"permission denied by policy",),
            never="uid=",
            status=126,
        ),
        Step(
            "... files are decided by path: he may leave one in uploads, and not in bin",
            f"scp -q -F {ssh} {gateway.configuration} web1:{web}/uploads/ && echo left it there\n"
            f"scp -q -F {ssh} {gateway.configuration} web1:{web}/bin/",
            (r"left it there", r"(?i)permission denied"),
            status=1,
        ),
        Step(
            "what was recorded of it",
            f"ostiary recordings show $({newest(recordings)})",
            (r"web/bin", r"(?i)deny|denied"),
        ),
        Step(
            "how the gateway is",
            "ostiary status",
            (r"\bready\b", r"[3-9] denied", r"siem .*connected"),
        ),
    ]


def preparation(gateway: Ostiary) -> str:
    """What the shell has to know before the first step."""
    return f"export PATH={REPOSITORY}/.venv/bin:$PATH OSTIARY_CONFIG={gateway.configuration}"


def fill_web(directory: Path) -> Path:
    """What lies at the SSH target."""
    web = directory / "web"
    for name in ("uploads", "bin"):
        (web / name).mkdir(parents=True)
    (web / "payments.log").write_text("10:12 paid 20 EUR by card 4111 1111 1111 1111\n")
    return web


def ssh_config(gateway: SshOstiary) -> str:
    """What bob has to write so that `ssh web1` goes through the gateway."""
    return f"""\
Host web1
    HostName {gateway.host}
    Port {gateway.ssh_port}
    User {gateway.sshd.user}@web1
    IdentityFile {gateway.keys["bob"]}
    IdentitiesOnly yes
    UserKnownHostsFile {gateway.known_hosts}
"""


def newest(recordings: Path) -> str:
    return f"find {recordings} -name '*.ostrec' | sort | tail -n 1"


def show(gateway: Ostiary, todo: Sequence[Step]) -> None:
    """Prints the steps and follows the gateway's log until Ctrl-C or its end."""
    print("Everything runs on 127.0.0.1. In another terminal, try:\n")
    print(f"{preparation(gateway)}\n")
    for step in todo:
        print(f"# {step.title}\n{step.command}\n")
        if step.beside is not None:
            print(f"# meanwhile, in a third terminal, olivia says yes\n{preparation(gateway)}\n{step.beside}\n")
    print(f"Configuration and policy: {gateway.configuration.parent}")
    print("`make demo-check` does all this and asserts each outcome. Ctrl-C ends it and removes everything.\n")
    with gateway.log.open() as log:
        while gateway.running:
            if line := log.readline():
                print(line, end="", flush=True)
            else:
                time.sleep(0.1)
        print(log.read(), end="")
    print(f"the gateway ended with status {gateway.returncode}", file=sys.stderr)


def attempt(gateway: Ostiary, step: Step) -> tuple[str, str | None]:
    """Runs one step; gives its output and what is wrong with it."""
    running = in_shell(gateway, step.command)
    try:
        beside = "" if step.beside is None else meanwhile(gateway, step.beside)
        output, _ = running.communicate(timeout=60)
        output += beside
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    missing = [pattern for pattern in step.expect if not re.search(pattern, output)]
    if missing:
        return output, f"the output lacks {missing[0]!r}"
    if step.never is not None and (found := re.search(step.never, output)):
        return output, f"the output holds {found.group()!r}"
    if running.returncode != step.status:
        return output, f"its status is {running.returncode}, not {step.status}"
    return output, None


def in_shell(gateway: Ostiary, command: str) -> subprocess.Popen[str]:
    """``command`` in a terminal of its own; its output is both streams."""
    return subprocess.Popen(
        ["bash", "-c", f"{preparation(gateway)}\n{command}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment({"PAGER": "cat"}),
    )


def meanwhile(gateway: Ostiary, command: str) -> str:
    """The output of ``command``, tried until it works: what it is about comes when the other terminal waits."""
    deadline = time.monotonic() + CHECK_SECONDS
    while True:
        with in_shell(gateway, command) as running:
            output, _ = running.communicate(timeout=60)
        if running.returncode == 0 or time.monotonic() > deadline:
            return output
        time.sleep(0.2)


def check(gateway: Ostiary, todo: Sequence[Step]) -> bool:
    """Runs all steps; says of each how it went."""
    failed = 0
    for number, step in enumerate(todo, 1):
        deadline = time.monotonic() + CHECK_SECONDS
        output, wrong = attempt(gateway, step)
        while wrong is not None and step.command.startswith("grep") and time.monotonic() < deadline:
            time.sleep(0.2)
            output, wrong = attempt(gateway, step)
        print(f"{'FAILED' if wrong else 'ok':6}  {number:2}  {step.title}", flush=True)
        if wrong is not None:
            failed += 1
            print(f"{wrong}\n$ {step.command}\n{output}")
    print(f"{len(todo) - failed} passed, {failed} failed")
    return failed == 0


def run(checking: bool) -> int:
    """Starts everything, shows or checks the steps, ends everything; the exit status."""
    with ExitStack() as stack:
        print("starting PostgreSQL, sshd, rsyslog and the gateway ...", flush=True)
        pki = Pki(scratch_directory("demo"), "Ostiary demo CA")
        postgres = stack.enter_context(Postgres(tls=pki.server(file="target")))
        guarded.fill(postgres)
        sshd = stack.enter_context(Sshd())
        web = fill_web(sshd.directory)
        control = free_port()
        receiver = stack.enter_context(Rsyslog(pki.server(file="siem"), ca=pki.ca))
        gateway = SshOstiary(
            pki,
            sshd,
            people={"bob": ["engineers"]},
            targets=[guarded.target(postgres, pki.ca), sshd.target()],
            policy=policy(web),
            environment=guarded.ENVIRONMENT,
            settings={
                "node": {"name": "demo"},
                "listeners": {"control": {"address": f"127.0.0.1:{control}"}},
                "audit": {
                    "sinks": [
                        {
                            "name": "siem",
                            "kind": "syslog-tls",
                            "address": f"localhost:{receiver.port}",
                            "ca": f"file:{pki.ca}",
                        }
                    ]
                },
            },
        )
        stack.callback(gateway.remove)
        try:
            gateway.start()
        except StartFailed as error:
            print(error, file=sys.stderr)
            return 1
        callers = {
            "alice": pki.client("alice", groups=["analysts"]),
            "bob": pki.client("bob", groups=["engineers"]),
            "olivia": pki.client("olivia", groups=["owners"]),
        }
        connections = {name: gateway.connection(issued).replace("'", "") for name, issued in callers.items()}
        approver = (
            f"OSTIARY_URL=https://localhost:{control} OSTIARY_CA={pki.ca} "
            f"OSTIARY_CERTIFICATE={callers['olivia'].certificate} OSTIARY_KEY={callers['olivia'].key}"
        )
        ssh = gateway.directory / "ssh_config"
        ssh.write_text(ssh_config(gateway))
        todo = steps(gateway, receiver, connections, approver, ssh, web)
        if checking:
            return 0 if check(gateway, todo) else 1
        show(gateway, todo)
        return 1


def main() -> int:
    arguments = argparse.ArgumentParser(description="Ostiary's demo")
    arguments.add_argument("--check", action="store_true", help="run the steps instead of printing them")
    checking = arguments.parse_args().check
    # ended from outside it cleans up as after Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(checking)
    except KeyboardInterrupt:
        # how the demo ends, but no way for the check to pass
        return 130 if checking else 0


if __name__ == "__main__":
    sys.exit(main())
