"""Lines typed in a real bash behind a real sshd, and what policy's advice does about them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.approving import Approver
from support.pki import Pki
from support.process import free_port, wait_until
from support.ssh import SshOstiary
from support.sshd import Sshd
from support.typist import Typist

pytestmark = pytest.mark.e2e

CORPUS: list[dict[str, str]] = yaml.safe_load((Path(__file__).parents[1] / "corpora" / "typed.yaml").read_text())[
    "lines"
]
BEST_EFFORT = rb"watched at best effort"
PROMPT = rb"ready> "
CLEARED = rb"\^C"
"""What bash shows of a line that was taken back. Its next prompt it may keep until the next key."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tools = tmp_path_factory.mktemp("tools")
    (tools / "wipe").write_text("#!/bin/sh\necho WIPED\n")
    (tools / "wipe").chmod(0o755)
    (tools / "script").write_text("wipe\n")
    (tools / "link").symlink_to("wipe")
    (tools / "sudo").write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    (tools / "sudo").chmod(0o755)
    return tools


def entry(name: str, pattern: str, **others: Any) -> dict[str, Any]:
    then = {"then": others.pop("then")} if "then" in others else {}
    return {"name": name, "targets": ["web*"], "ssh": {"logins": ["*"], "typed": [pattern], **then}, **others}


POLICY: dict[str, Any] = {
    "allow": [{"name": "all", "groups": ["staff"], "targets": ["web*"]}],
    "deny": [
        entry("think twice", r"\bmkfs\b", then="warn", message="is that the right disk?"),
        entry("no wiping", r"\bwipe\b", message="use the console"),
        entry("the door", r"\bshutdown\b", then="end"),
        entry("only seen", r"\bseen\b", observe=True),
    ],
    "approve": [entry("two for a reboot", r"\breboot\b", approvers={"groups": ["approvers"]}, wait="30s")],
}


@pytest.fixture(scope="module")
def gateway(pki: Pki, sshd: Sshd) -> Iterator[SshOstiary]:
    control = {"listeners": {"control": {"address": f"127.0.0.1:{free_port()}"}}}
    with SshOstiary(pki, sshd, people={"stan": ["staff"]}, policy=POLICY, settings=control) as running:
        yield running


@pytest.fixture
def approver(gateway: SshOstiary, pki: Pki, request: pytest.FixtureRequest) -> Iterator[Approver]:
    name = re.sub("[^a-z]", "-", request.node.name)[:40]
    with Approver(gateway, pki.client(name, groups=["approvers"])) as asked:
        yield asked


@pytest.fixture
def typist(gateway: SshOstiary, tools: Path) -> Iterator[Typist]:
    with Typist(gateway, "stan") as typist:
        typist.sees(rb"ready> \Z")
        typist.type(
            b"PATH=%b:$PATH TOOLS=%b; alias other='w''ipe'; set +o history; echo set''up\r"
            % (bytes(tools), bytes(tools))
        )
        typist.sees(b"setup", PROMPT)
        yield typist


def typed(gateway: SshOstiary, typist: Typist) -> list[dict[str, Any]]:
    """Of the recording, when the session is over."""
    typist.type(b"exit\r")
    typist.ends()
    return [event for event in gateway.events("operation") if event["request"] == "typed"]


def test_a_warning(gateway: SshOstiary, typist: Typist) -> None:
    typist.type(b"echo mkfs; echo r''an\r")
    typist.sees(rb"ostiary: warning: think twice: is that the right disk\?\r\n", BEST_EFFORT, b"ran", PROMPT)
    [event] = typed(gateway, typist)
    assert (event["text"], event["outcome"], event["observed"]) == ("echo mkfs; echo r''an", "allow", ["think twice"])
    [logged] = [one for one in gateway.audit_events() if one["unmapped"].get("text") == "echo mkfs; echo r''an"]
    assert logged["unmapped"]["request"] == "typed"
    assert logged["unmapped"]["observed"] == ["think twice"]


def test_a_line_from_the_history(gateway: SshOstiary, typist: Typist) -> None:
    typist.type(b"set -o history\r")
    typist.sees(PROMPT)
    typist.type(b"echo mkfs\r")
    typist.sees(b"warning", BEST_EFFORT, PROMPT)
    typist.type(b"\x1b[A\r")
    typist.sees(b"warning", BEST_EFFORT, PROMPT)
    typist.type(b"\x12mkf")
    typist.sees(b"mkfs")
    typist.type(b"\r")
    typist.sees(b"warning", BEST_EFFORT, PROMPT)
    assert len(typed(gateway, typist)) == 3


def test_what_is_refused(gateway: SshOstiary, typist: Typist) -> None:
    for key in b"wipe now":
        typist.type(bytes([key]))
        typist.sees(re.escape(bytes([key])))
    typist.type(b"\r")
    refusal = b'ostiary: the line was not sent: permission denied by policy: "no wiping"\r\n'
    seen = typist.sees(refusal, b"ostiary: use the console\r\n", BEST_EFFORT, CLEARED)
    assert b"WIPED" not in seen
    typist.type(b"echo go''on\r")
    typist.sees(b"goon")
    [event] = typed(gateway, typist)
    assert (event["text"], event["outcome"], event["rules"]) == ("wipe now", "deny", ["no wiping"])
    [result] = [one for one in gateway.events("result") if one["operation"] == event["operation"]]
    assert result["status"] == "cleared"


def test_what_ends_the_session(gateway: SshOstiary, typist: Typist) -> None:
    typist.type(b"shutdown -h now\r")
    assert typist.ends() == 255
    assert b'policy ends this session for what was typed: "the door"' in typist.shown
    assert re.search(BEST_EFFORT, typist.shown)
    [event] = [one for one in gateway.events("operation") if one["request"] == "typed"]
    assert event["outcome"] == "deny"


def test_what_is_only_observed(gateway: SshOstiary, typist: Typist) -> None:
    typist.type(b"echo seen; echo d''one\r")
    assert b"ostiary" not in typist.sees(b"done", PROMPT)
    [event] = typed(gateway, typist)
    assert (event["outcome"], event["observed"]) == ("allow", ["only seen"])


def test_what_nothing_matches_is_no_operation(gateway: SshOstiary, typist: Typist) -> None:
    typist.type(b"echo hello\r")
    typist.sees(PROMPT)
    assert typed(gateway, typist) == []


@pytest.mark.parametrize("act", ["approve", "deny"])
def test_a_line_that_waits_for_approvers(gateway: SshOstiary, typist: Typist, approver: Approver, act: str) -> None:
    typist.type(b"echo re''boot; echo reboot it\rec")
    typist.sees(b"waiting for approval", BEST_EFFORT)
    [request] = approver.requests()
    assert (request["verbs"], request["statement"]) == (["typed"], "echo re''boot; echo reboot it")
    text = approver.must("GET", f"approvals/{request['id']}")["text"]
    assert text.startswith("echo re''boot; echo reboot it\ntyped in a terminal; ")
    assert "best effort" in text
    assert typist.sees_no_more(b"reboot it", seconds=0.5), "the Enter is held, and what is behind it"
    approver.must("POST", f"approvals/{request['id']}/{act}", {"reason": "because"})
    if act == "approve":
        typist.sees(rb"[\r\n]reboot\r\nreboot it\r\n")
        typist.type(b"ho be''hind\r")
        typist.sees(b"[\r\n]behind\r\n")
    else:
        typist.sees(b"the line was not sent: permission denied by", CLEARED)
        typist.type(b"echo go''on\r")
        typist.sees(b"[\r\n]goon\r\n")
    [event] = typed(gateway, typist)
    assert event["outcome"] == "approve"


def test_ctrl_c_takes_it_back(gateway: SshOstiary, typist: Typist, approver: Approver) -> None:
    typist.type(b"echo reboot\r")
    typist.sees(b"waiting for approval")
    typist.type(b"ignored\x03")
    typist.sees(b"the line was taken back, and not sent", CLEARED)
    wait_until(lambda: not approver.requests(), what="the withdrawal")
    typist.type(b"echo go''on\r")
    typist.sees(b"[\r\n]goon\r\n")


def test_passwords_are_not_kept(gateway: SshOstiary, typist: Typist) -> None:
    typist.type(b"read -rs -p 'Password: ' x; echo; echo \"${#x} long\"\r")
    typist.sees(b"Password: ")
    typist.type(b"my wipe password\r")
    typist.sees(b"16 long")
    typist.sees(PROMPT)
    assert typed(gateway, typist) == []
    path = str(gateway.recordings()[-1])
    exported = gateway.cli("recordings", "export", "--config", str(gateway.configuration), path).stdout
    assert "wipe password" not in exported


def test_a_screen_that_a_program_has(gateway: SshOstiary, typist: Typist, tmp_path: Path) -> None:
    if shutil.which("vi") is None:
        pytest.skip("no vi")
    typist.type(b"vi -u NONE %b/file\r" % bytes(tmp_path))
    typist.sees(rb"\x1b\[\?1049h")
    typist.type(b"iwipe\r\x1b:wq\r")
    typist.sees(PROMPT)
    assert (tmp_path / "file").read_text() == "wipe\n\n"
    assert typed(gateway, typist) == []


def test_a_reload_takes_effect_at_the_next_line(gateway: SshOstiary, typist: Typist) -> None:
    try:
        gateway.takes_up({**POLICY, "deny": [entry("new", "fresh")]})
        typist.type(b"echo fresh\r")
        typist.sees(b'permission denied by policy: "new"', CLEARED)
        gateway.takes_up({"allow": POLICY["allow"]})
        typist.type(b"echo fre''sh; echo wipe\r")
        typist.sees(b"[\r\n]fresh\r\nwipe\r\n")
    finally:
        gateway.takes_up(POLICY)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["keys"])
def test_what_is_known_to_be_read_and_what_not(typist: Typist, case: dict[str, str]) -> None:
    if "needs" in case and shutil.which(case["needs"]) is None:
        pytest.skip(f"no {case['needs']}")
    *ahead, last = case["keys"].encode().split(b"\r") if case["outcome"] == "passes" else [case["keys"].encode()]
    for line in (*([case["before"].encode()] if "before" in case else []), *ahead):
        typist.type(line + b"\r")
        typist.sees_no_more(b"nothing", seconds=0.3)
    typist.type(last)
    typist.sees_no_more(b"nothing", seconds=0.2)
    typist.type(b"\r")
    seen = typist.sees(b"WIPED|not sent")
    assert (b"WIPED" in seen) is (case["outcome"] == "passes"), case["reason"]
    assert (b"ostiary: " in seen) is (case["outcome"] == "refused"), case["reason"]
