"""The appliance from the package to its removal, in the order of the file: each test stands on those before.

Each part of the promise is one test; what was measured is printed at the end (`make acceptance`). What else an
administrator does to it is test_upkeep.py's, which goes on where this ends.
"""

from __future__ import annotations

import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from appliance.evidence import everything_arrived, keeps_the_evidence
from appliance.gateway import RECORDINGS, Gateway, Load
from appliance.host import Host
from appliance.playbook import Playbook
from appliance.services import Services
from support import guarded
from support.pki import Issued, Pki
from support.process import wait_until

pytestmark = pytest.mark.appliance

AWAY_SECONDS = float(os.environ.get("OSTIARY_AWAY_SECONDS", "60"))
"""How long the SIEM is away."""
HEALED_SECONDS = 5.0
WHOLE_SECONDS = 600.0
"""For all of it from a clean checkout; half as much again on a machine that does other things, too."""
LOOSEST_EXPOSURE = 2.0
"""Of `systemd-analyze security`."""
UNITS = ("ostiary.service", "ostiary-sealer.service")
TAMPER = Path(__file__).with_name("tamper.py")


def test_check_mode_on_a_fresh_host_changes_nothing(playbook: Playbook, hosts: tuple[Host, Host]) -> None:
    played = playbook.play("--check", "--diff")
    assert (played.status, played.failed) == (0, 0), played.output
    assert played.changed > 0
    assert hosts[0].ssh("test -e /etc/ostiary || test -e /usr/bin/ostiary", check=False).returncode == 1
    assert guarded.PASSWORDS[guarded.OWNER] not in played.output


def test_the_role_installs_a_gateway_that_serves(
    playbook: Playbook, gateway: Gateway, alice: Issued, figures: dict[str, str]
) -> None:
    played = playbook.play()
    figures["role, first run"] = f"{played.seconds:.0f} s, changed={played.changed}"
    assert (played.status, played.failed) == (0, 0), played.output
    assert gateway.serves(alice)
    assert gateway.host.say("systemctl is-enabled ostiary.target ostiary.service ostiary-sealer.service") == (
        "enabled\nenabled\nenabled"
    )
    assert gateway.host.say("systemctl is-system-running") == "running"


def test_a_second_run_changes_nothing(playbook: Playbook, gateway: Gateway, figures: dict[str, str]) -> None:
    pid = gateway.pid()
    played = playbook.play()
    figures["role, second run"] = f"{played.seconds:.0f} s, changed={played.changed}"
    assert (played.status, played.failed, played.changes) == (0, 0, []), played.output
    assert played.changed == 0
    assert "Copy the package" not in played.done
    assert gateway.pid() == pid


def test_check_mode_finds_nothing_to_change(playbook: Playbook, figures: dict[str, str]) -> None:
    played = playbook.play("--check", "--diff")
    figures["role, check mode"] = f"{played.seconds:.0f} s, changed={played.changed}"
    assert (played.status, played.failed, played.changes) == (0, 0, []), played.output
    assert played.changed == 0


def test_callers_see_masks_and_denials(gateway: Gateway, alice: Issued, bob: Issued, olivia: Issued) -> None:
    seen = gateway.psql(alice, "select id, name, email, ssn from customers order by id limit 1")
    assert seen.rows == [["1", "Customer 1", "****", "****"]], seen
    clear = gateway.psql(olivia, "select email from customers order by id limit 1")
    assert clear.rows == [["person1@private.example"]], clear
    denied = gateway.psql(bob, "drop table orders;\nselect count(*) from orders;")
    assert re.search("nobody destroys|ask the DBA on call", denied.stderr), denied
    assert denied.rows == [["500"]], denied
    nowhere = gateway.psql(alice, "select 1", database="payroll")
    assert nowhere.status == 2, nowhere


def test_a_bulk_change_waits_for_an_approver_elsewhere(gateway: Gateway, bob: Issued, olivia: Issued) -> None:
    def pending() -> list[dict[str, str]]:
        listed = gateway.control(olivia, "approvals", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        found: list[dict[str, str]] = json.loads(listed.stdout)
        return found

    with ThreadPoolExecutor(1) as other, gateway.session(bob) as session:
        answer = other.submit(session.query, "delete from scratch")
        wait_until(lambda: bool(pending()), seconds=10, what="the request")
        assert not answer.done()
        said = gateway.control(olivia, "approvals", "approve", pending()[0]["id"], "--reason", "ticket 12")
        assert said.returncode == 0, said.stderr
        assert answer.result(timeout=10).error is None
        assert session.query("select count(*) from scratch").rows == [[b"0"]]


def test_hosts_are_guarded_over_ssh(gateway: Gateway, services: Services, caller_key: Path, key: Path) -> None:
    said = gateway.ssh(caller_key, "hostname")
    assert (said.stdout.strip(), said.returncode) == (services.host.say("hostname"), 0), said.stderr
    masked = gateway.ssh(caller_key, "echo 4111111111111111")
    assert masked.stdout == "****\n", masked
    denied = gateway.ssh(caller_key, "hostname; id")
    assert (denied.stdout, denied.returncode) == ("", 126), denied
    assert "permission denied" in denied.stderr
    assert gateway.ssh(key, "hostname").returncode == 255, "that key is no caller's"
    shown = gateway.host.say(f"ostiary recordings show {gateway.recordings()[-1]}")
    assert "hostname; id" in shown


def test_credentials_are_roots_and_the_units(gateway: Gateway) -> None:
    host = gateway.host
    assert host.say("stat --format='%U %a %n' /etc/ostiary/credentials/* | sort") == "\n".join(
        f"root 600 /etc/ostiary/credentials/{name}"
        for name in ("gateway-key", "orders-owner", "orders-ro", "siem-root", "ssh-host")
    )
    assert host.ssh("runuser -u ostiary -- ls /etc/ostiary/credentials", check=False).returncode != 0
    secret = guarded.PASSWORDS[guarded.OWNER]
    assert host.ssh(f"journalctl --no-pager | grep -F {secret}", check=False).returncode == 1


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_closed_and_say_why_where_not(gateway: Gateway, figures: dict[str, str], unit: str) -> None:
    said = gateway.host.say(f"systemd-analyze security --no-pager {unit}")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    figures[f"exposure of {unit}"] = found[1]
    assert float(found[1]) <= LOOSEST_EXPOSURE, said
    assessed = json.loads(gateway.host.say(f"systemd-analyze security --no-pager --json=short {unit}"))
    text = gateway.host.say(f"cat /usr/lib/systemd/system/{unit}")
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    for each in assessed:
        if float(each["exposure"] or 0):
            # such as RestrictAddressFamilies=~AF_(INET|INET6), RootDirectory=/RootImage=
            words = re.findall(r"(?:AF|CAP)_\w+", each["name"].replace("(INET|INET6)", "INET"))
            [word, *_] = words or [each["name"].partition("=")[0] + "="]
            assert word in comments, f"{unit} says nothing about {each}"


@pytest.mark.parametrize("who", ["the gateway's user", "root without CAP_LINUX_IMMUTABLE"])
def test_no_recording_can_be_changed(gateway: Gateway, bob: Issued, figures: dict[str, str], who: str) -> None:
    host = gateway.host
    host.write("/tmp/tamper.py", TAMPER.read_text())
    if who == "the gateway's user":
        become, more = "setpriv --reuid ostiary --regid ostiary --init-groups", "--append"
    else:
        # it may append, as anybody could who took the gateway over; that is found (`ostiary recordings verify`)
        become, more = "setpriv --bounding-set -linux_immutable --inh-caps -linux_immutable", ""
    with gateway.session(bob) as session:
        session.query("select 'still open'")
        paths = gateway.recordings()
        assert len(paths) >= 2
        assert host.say(f"findmnt --noheadings --output SOURCE {RECORDINGS}") == host.device, "a disk of their own"
        for path in (paths[0], paths[-1]):
            found = json.loads(host.say(f"{become} -- python3 /tmp/tamper.py {path} {more}"))
            assert (found["worked"], found["same"]) == ({}, True)
        assert session.query("select 'and goes on'").error is None
    figures[f"attempts on recordings, {who}"] = f"{found['attempts']}, none worked"
    said = host.say("runuser -u ostiary -- ostiary recordings verify")
    assert "all verified" in said, said


def test_the_sealer_hands_recordings_to_the_gateway_alone(gateway: Gateway) -> None:
    ask = (
        "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
        "s.connect('/run/ostiary-sealer/sealer.sock'); print(s.recv(600).decode())"
    )
    assert gateway.host.say(f'python3 -c "{ask}"').startswith("no ")
    assert gateway.host.ssh(f'setpriv --reuid nobody --clear-groups python3 -c "{ask}"', check=False).returncode == 1


def test_the_siem_goes_away(gateway: Gateway, services: Services) -> None:
    """What the next tests do happens while nobody listens; it is looked for when the SIEM is back."""
    last = gateway.audit_sequence()
    wait_until(lambda: last in services.sequences("relayed"), seconds=60, what=f"event {last} through the relay")
    assert list(dict.fromkeys(services.sequences("relayed")))[:last] == list(range(1, last + 1))
    services.stop_receiver()


def test_a_reload_drops_no_session(
    gateway: Gateway, alice: Issued, bob: Issued, figures: dict[str, str], pki: Pki
) -> None:
    callers = [alice, pki.client("carol", groups=["analysts"])]
    before = gateway.status()["reloads"]
    reloads = 5
    with Load(gateway, callers, sessions=20) as load:
        load.wait_for(100)
        for number in range(1, reloads + 1):
            gateway.host.ssh("systemctl reload ostiary")
            assert gateway.status()["reloads"] == before + number, "it is taken up when systemctl returns"
            assert gateway.serves(bob)
        load.wait_for(100)
    figures["reload under load"] = (
        f"{reloads} reloads, {load.answers['right']} answers on 20 sessions, {len(load.ended)} dropped"
    )
    assert (load.ended, load.answers["wrong"]) == ([], 0)


def test_a_killed_gateway_is_healed(
    gateway: Gateway, alice: Issued, services: Services, figures: dict[str, str]
) -> None:
    pid = gateway.pid()
    with gateway.session(alice) as session:
        session.query("select 1")
        began = time.monotonic()
        gateway.host.ssh(f"kill -9 {pid}")
        wait_until(lambda: gateway.serves(alice), seconds=HEALED_SECONDS + 10, what="it serves again")
        healed = time.monotonic() - began
    figures["kill -9 until the next session"] = f"{healed:.1f} s"
    assert healed <= HEALED_SECONDS
    assert gateway.pid() != pid
    began = time.monotonic()
    sealer = gateway.host.say("systemctl show --property=MainPID --value ostiary-sealer")
    gateway.host.ssh(f"kill -9 {sealer}")
    wait_until(lambda: gateway.serves(alice), seconds=HEALED_SECONDS, what="the sealer is back")
    figures["kill -9 of the sealer"] = f"{time.monotonic() - began:.1f} s"


def test_a_siem_that_was_away_misses_nothing(
    gateway: Gateway, services: Services, bob: Issued, figures: dict[str, str]
) -> None:
    while services.away() < AWAY_SECONDS:
        with gateway.session(bob) as session:
            for number in range(20):
                session.query(f"select {number} from orders limit 1")
            session.query("truncate orders")
    away = services.start_receiver()
    last = everything_arrived(gateway, services)
    numbers = services.sequences()
    figures["SIEM away"] = (
        f"{away:.0f} s; {last} events, all there and first arrivals in order, "
        f"{len(numbers) - len(set(numbers))} duplicates"
    )


def test_a_rebooted_host_comes_back_by_itself(
    gateway: Gateway, services: Services, alice: Issued, figures: dict[str, str]
) -> None:
    with gateway.session(alice) as session:
        session.query("select 1")
        seconds = gateway.host.reboot()
    began = time.monotonic()
    wait_until(lambda: gateway.serves(alice), seconds=30, what="it serves after the reboot")
    figures["reboot until the next session"] = f"{seconds + time.monotonic() - began:.1f} s"
    assert gateway.host.say("systemctl is-system-running") == "running"
    assert gateway.host.say(f"findmnt --noheadings --output SOURCE {RECORDINGS}") == gateway.host.device
    everything_arrived(gateway, services)


def test_removal_keeps_the_evidence(gateway: Gateway) -> None:
    keeps_the_evidence(gateway, "remove")


def test_all_of_it_takes_less_than_ten_minutes(figures: dict[str, str]) -> None:
    began = os.environ.get("OSTIARY_BEGAN")
    if began is None:
        pytest.skip("not run by make")
    took = time.time() - float(began)
    figures["since make began, up to here"] = f"{took:.0f} s"
    assert took < 1.5 * WHOLE_SECONDS
