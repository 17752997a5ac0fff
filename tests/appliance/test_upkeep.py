"""What an administrator does to an appliance later, in the order of the file.

It goes on where test_appliance.py ends: the package was removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from appliance.evidence import everything_arrived, keeps_the_evidence
from appliance.gateway import Gateway
from appliance.host import Host
from appliance.package import MARK, rebuilt
from appliance.playbook import Playbook
from appliance.services import Services
from support import guarded
from support.pki import Issued, Pki

pytestmark = pytest.mark.appliance

COPY = "ostiary.gateway.ostiary : Copy the package"


def test_a_removed_gateway_comes_back_with_its_evidence(
    playbook: Playbook, gateway: Gateway, services: Services, alice: Issued
) -> None:
    recordings, last = gateway.recordings(), gateway.audit_sequence()
    played = playbook.play()
    assert (played.status, played.failed) == (0, 0), played.output
    assert gateway.serves(alice)
    assert set(gateway.recordings()) > set(recordings)
    assert everything_arrived(gateway, services) > last, "the audit log goes on where it was"


@contextmanager
def broken(host: Host, path: str) -> Iterator[None]:
    """That file makes no sense meanwhile."""
    host.ssh(f"cp -p {path} /root/good && echo 'allow: 7' >{path}")
    try:
        yield
    finally:
        host.ssh(f"mv /root/good {path}")


@pytest.mark.parametrize("path", ["/etc/ostiary/policy.d/orders.yaml", "/etc/ostiary/ostiary.yaml"])
def test_a_reload_that_is_refused_fails(gateway: Gateway, alice: Issued, path: str) -> None:
    host, pid, before = gateway.host, gateway.pid(), gateway.status()
    with gateway.session(alice) as session:
        with broken(host, path):
            done = host.ssh("systemctl reload ostiary", check=False)
            assert done.returncode != 0
            assert "journalctl" in done.stderr, done
            assert path in host.say("systemctl show --property=StatusText --value ostiary")
            assert path in host.say("journalctl --no-pager --unit=ostiary --since=-60s")
            assert host.say("systemctl is-active ostiary") == "active"
        assert session.query("select 1").error is None
        host.ssh("systemctl reload ostiary")
        assert session.query("select 1").error is None
    after = gateway.status()
    assert after["refused_reloads"] == before["refused_reloads"] + 1
    assert after["reloads"] == before["reloads"] + 1
    assert gateway.pid() == pid


def test_a_broken_configuration_never_replaces_a_good_one(playbook: Playbook, gateway: Gateway, alice: Issued) -> None:
    policy = Path(playbook.variables["ostiary_policy_files"][0])
    good, pid = policy.read_text(), gateway.pid()
    digests = "cd /etc/ostiary && find . -type f -exec sha256sum {} + | sort"
    before = gateway.host.say(digests)
    # a good change together with a bad one
    targets = playbook.variables["ostiary_targets"]
    playbook.variables["ostiary_targets"] = [*targets, targets[0] | {"name": "more"}]
    policy.write_text(good.replace("method: redact", "method: no-such-method"))
    try:
        for check in (["--check"], []):
            played = playbook.play(*check)
            assert played.failed == 1, played.output
            assert re.search("nothing was changed:.*policy.d/orders.yaml.*method", played.output, re.DOTALL)
    finally:
        policy.write_text(good)
        playbook.variables["ostiary_targets"] = targets
    assert gateway.host.say(digests) == before
    assert gateway.host.ssh("ls -d /run/configuration-*", check=False).returncode != 0
    assert gateway.pid() == pid
    assert gateway.serves(alice)


def test_a_new_policy_is_a_reload_and_sessions_live_on(
    playbook: Playbook, gateway: Gateway, bob: Issued, figures: dict[str, str]
) -> None:
    policy = Path(playbook.variables["ostiary_policy_files"][0])
    good, pid = yaml.safe_load(policy.read_text()), gateway.pid()
    denial = {
        "name": "no counting",
        "targets": ["*"],
        "sql": {"relations": ["public.orders"]},
        "message": "ask for an estimate",
    }
    with gateway.session(bob) as session:
        assert session.query("select count(*) from orders").error is None
        policy.write_text(yaml.safe_dump(good | {"deny": [*good["deny"], denial]}))
        # in ostiary.yaml, and no reason for a restart
        playbook.variables["ostiary_config"] |= {"limits": {"sessions": 4000}}
        try:
            played = playbook.play("--tags", "ostiary_configuration,ostiary_service")
            assert (played.status, played.failed) == (0, 0), played.output
            figures["role, new policy"] = f"{played.seconds:.0f} s"
            assert "no counting" in (session.query("select count(*) from orders").error or "")
        finally:
            policy.write_text(yaml.safe_dump(good, sort_keys=False))
        assert session.query("select count(*) from customers").error is None
    assert gateway.pid() == pid, "it was reloaded, not restarted"
    assert "sessions: 4000" in gateway.host.say("cat /etc/ostiary/ostiary.yaml")


def test_another_control_socket_is_a_restart_and_the_unit_knows_it(
    playbook: Playbook, gateway: Gateway, alice: Issued
) -> None:
    pid = gateway.pid()
    playbook.variables["ostiary_config"] |= {"listeners": {"control": {"socket": "/run/ostiary/other.sock"}}}
    played = playbook.play("--tags", "ostiary_configuration,ostiary_service")
    assert (played.status, played.failed) == (0, 0), played.output
    assert gateway.pid() != pid
    before = gateway.status()["reloads"]
    gateway.host.ssh("systemctl reload ostiary")
    assert gateway.status()["reloads"] == before + 1
    assert gateway.serves(alice)


def test_another_build_of_the_same_version_is_installed(
    playbook: Playbook, gateway: Gateway, package: Path, alice: Issued
) -> None:
    host, pid = gateway.host, gateway.pid()
    playbook.variables["ostiary_package_file"] = str(rebuilt(package, mark="another build"))
    tags = "--tags=ostiary_package,ostiary_service"
    played = playbook.play("--check", tags)
    assert (played.status, played.failed) == (0, 0), played.output
    assert COPY in played.changes
    assert host.ssh(f"test -e {MARK}", check=False).returncode == 1
    played = playbook.play(tags)
    assert (played.status, played.failed) == (0, 0), played.output
    assert host.say(f"cat {MARK}") == "another build"
    assert gateway.pid() != pid
    assert gateway.serves(alice)
    played = playbook.play(tags)
    assert (played.status, played.failed, played.changes) == (0, 0, []), played.output


def test_an_upgrade_keeps_the_configuration_and_restarts_nothing(
    playbook: Playbook, gateway: Gateway, package: Path, alice: Issued, figures: dict[str, str]
) -> None:
    host, before = gateway.host, gateway.status()["version"]
    # its ostiary.yaml differs from the one that came before: dpkg would ask which to take
    newer = rebuilt(package, version="99.0", mark="newer", conffile="# new in 99.0\n")
    playbook.variables |= {"ostiary_package_file": str(newer), "ostiary_restart": False}
    processes = "systemctl show --property=MainPID --value ostiary ostiary-sealer"
    digests = "find /etc/ostiary -type f ! -name '*.dpkg-dist' -exec sha256sum {} + | sort"
    running, files = host.say(processes), host.say(digests)
    with gateway.session(alice) as session:
        session.query("select 1")
        played = playbook.play()
        figures["role, upgrade"] = f"{played.seconds:.0f} s"
        assert (played.status, played.failed) == (0, 0), played.output
        assert "needs a restart" in played.output
        assert host.say("dpkg-query --show '--showformat=${Version}' ostiary") == "99.0"
        assert "99.0" in host.say("ostiary version")
        assert (host.say(processes), host.say(digests)) == (running, files)
        assert gateway.status()["version"] == before, "the one that runs is still the old one"
        host.ssh("systemctl reload ostiary")
        assert session.query("select count(*) from customers").error is None
    assert gateway.serves(alice)
    playbook.variables["ostiary_restart"] = True
    host.ssh("systemctl restart ostiary-sealer ostiary")
    assert gateway.status()["version"] == "99.0"
    assert gateway.serves(alice)
    assert host.say(digests) == files


def test_a_new_credential_is_a_restart(
    playbook: Playbook, gateway: Gateway, services: Services, alice: Issued, pki: Pki
) -> None:
    services.sql("postgres", f"alter role {guarded.READ_ONLY} password 'another';")
    try:
        assert not gateway.serves(alice)
        server = pki.server(gateway.host.fqdn, gateway.host.address, file="gateway-2")
        playbook.variables["ostiary_certificates"]["gateway.crt"] = server.certificate.read_text()
        credentials = playbook.secrets["ostiary_credentials"] | {
            "gateway-key": server.key.read_text(),
            "orders-ro": "another",
        }
        playbook.keep_secret(playbook.secrets | {"ostiary_credentials": credentials})
        played = playbook.play()
        assert (played.status, played.failed) == (0, 0), played.output
        assert gateway.serves(alice)
    finally:
        services.sql("postgres", f"alter role {guarded.READ_ONLY} password '{guarded.PASSWORDS[guarded.READ_ONLY]}';")


def test_purging_keeps_the_evidence(gateway: Gateway) -> None:
    keeps_the_evidence(gateway, "purge")
