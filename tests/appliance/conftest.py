"""Two booted hosts for all of these tests: the gateway's, by the role, and one with what it stands between."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from appliance.gateway import CONTROL, SSH, Gateway
from appliance.host import SERVICES, Host, Lan, make_archives
from appliance.playbook import REPOSITORY, Playbook
from appliance.services import RELAYED, SYSLOG, Services
from support import guarded
from support.pki import Pki
from support.process import scratch_directory
from support.sshd import make_key, public_line

BULK = {
    "name": "bulk changes need a second person",
    "targets": ["orders"],
    "sql": {"verbs": ["delete"], "without_where": True},
    "approvers": {"groups": ["owners"]},
}


LOOKS = {
    "name": "engineers look at hosts",
    "groups": ["engineers"],
    "targets": ["siem"],
    "ssh": {"logins": ["root"], "exec": ["hostname", "echo *"]},
}
POLICY = {
    **guarded.POLICY,
    "labels": {**guarded.POLICY["labels"], "pci.card": {"detector": "payment_card"}},
    "allow": [*guarded.POLICY["allow"], LOOKS],
    "approve": [BULK],
}


@pytest.fixture(scope="session", autouse=True)
def figures() -> Iterator[dict[str, str]]:
    """What was measured; printed at the end."""
    found: dict[str, str] = {}
    yield found
    print("\n" + "\n".join(f"figure  {name}: {value}" for name, value in found.items()))  # noqa: T201


@pytest.fixture(scope="session")
def key() -> Path:
    path = scratch_directory("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="session")
def hosts(key: Path, figures: dict[str, str]) -> Iterator[tuple[Host, Host]]:
    """The gateway's, with a Debian that has nothing of ours, and the services'."""
    if os.geteuid() != 0:
        pytest.fail("the acceptance test boots containers: run it as root")
    began = time.monotonic()
    make_archives((), SERVICES)
    figures["root file systems"] = f"{time.monotonic() - began:.0f} s"
    with Lan() as lan:
        gateway, services = Host("gw", lan, key, disk=2**28), Host("siem", lan, key, packages=SERVICES)
        try:
            for host in (gateway, services):
                host.install().know(gateway, services)
            began = time.monotonic()
            for host in (gateway, services):
                host.start()
            figures["boot of both"] = f"{time.monotonic() - began:.1f} s"
            yield gateway, services
        finally:
            gateway.remove()
            services.remove()


@pytest.fixture(scope="session")
def services(hosts: tuple[Host, Host], pki: Pki) -> Services:
    return Services(hosts[1], pki)


@pytest.fixture(scope="session")
def caller_key() -> Path:
    """bob's, for SSH."""
    return make_key(scratch_directory("ssh") / "bob")


@pytest.fixture(scope="session")
def package() -> Path:
    """What `make deb` built."""
    found = sorted((REPOSITORY / "dist").glob("ostiary_*_amd64.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        pytest.fail("no package is built; run `make deb`")
    return found[-1]


@pytest.fixture(scope="session")
def playbook(
    hosts: tuple[Host, Host], key: Path, pki: Pki, package: Path, services: Services, caller_key: Path
) -> Playbook:
    """The inventory: everything that the role takes, at least once."""
    host = hosts[0]
    server = pki.server(host.fqdn, host.address, file="gateway")
    relay = pki.server("localhost", file="relay")
    policy = scratch_directory("policy") / "orders.yaml"
    policy.write_text(yaml.safe_dump(POLICY, sort_keys=False))
    hosted, mine = (make_key(scratch_directory("ssh") / name) for name in ("ssh-host", "siem-root"))
    ca = pki.ca.read_text()
    sink = {"kind": "syslog-tls", "ca": "file:/etc/ostiary/tls/ca.crt"}
    variables = {
        "ostiary_package_file": str(package),
        "ostiary_config": {
            "node": {"name": host.fqdn},
            "listeners": {
                "control": {"address": f"[::]:{CONTROL}"},
                "ssh": {"address": f"[::]:{SSH}", "host_keys": ["credential:ssh-host"]},
            },
            "tls": {"client_ca": ["file:/etc/ostiary/tls/ca.crt"]},
            # a test machine's disk may be nearly full
            "recording": {"low_water": "64MiB", "reserve": "16MiB"},
            "audit": {
                "sinks": [
                    sink | {"name": "siem", "address": f"{services.host.fqdn}:{SYSLOG}"},
                    sink | {"name": "relay", "address": f"localhost:{SYSLOG}"},
                ]
            },
        },
        "ostiary_targets": [services.target(), services.ssh_target(mine.with_suffix(".pub"))],
        "ostiary_ssh_keys": [{"principal": "bob", "groups": ["engineers"], "keys": [public_line(caller_key)]}],
        "ostiary_policy_files": [str(policy)],
        "ostiary_certificates": {"gateway.crt": server.certificate.read_text(), "ca.crt": ca},
        "ostiary_recording_device": host.device,
        "ostiary_relay_enabled": True,
        "ostiary_relay_certificate": relay.certificate.read_text(),
        "ostiary_relay_destination": f"{services.host.fqdn}:{RELAYED}",
        "ostiary_relay_destination_ca": ca,
    }
    secrets = {
        "ostiary_credentials": {
            "gateway-key": server.key.read_text(),
            "orders-owner": guarded.PASSWORDS[guarded.OWNER],
            "orders-ro": guarded.PASSWORDS[guarded.READ_ONLY],
            "siem-root": mine.read_text(),
            "ssh-host": hosted.read_text(),
        },
        "ostiary_relay_key": relay.key.read_text(),
    }
    return Playbook(host, key, variables=variables, secrets=secrets)


@pytest.fixture(scope="session")
def gateway(hosts: tuple[Host, Host], pki: Pki) -> Gateway:
    """The gateway as its callers and its administrator see it; the role's tests install it."""
    return Gateway(hosts[0], pki)
