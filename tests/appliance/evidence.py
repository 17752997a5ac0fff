"""What has to be true of recordings and audit events after each chapter of the appliance's life."""

from __future__ import annotations

from appliance.gateway import RECORDINGS, Gateway
from appliance.services import Services
from support.process import wait_until


def everything_arrived(gateway: Gateway, services: Services) -> int:
    """Each event of the log is in the SIEM, and the first arrivals are in order; the newest one's number."""
    last = gateway.audit_sequence()
    wait_until(lambda: last in services.sequences(), seconds=90, what=f"event {last} at the SIEM")
    first_arrivals = list(dict.fromkeys(services.sequences()))
    assert first_arrivals[:last] == list(range(1, last + 1))
    assert gateway.host.ssh("runuser -u ostiary -- ostiary audit verify").returncode == 0
    return last


def keeps_the_evidence(gateway: Gateway, how: str) -> None:
    """The package is taken away (``how``: remove or purge); recordings and audit log stay as they are."""
    host = gateway.host
    before = gateway.recordings()
    assert len(before) > 5
    digests = f"cd / && find {RECORDINGS} /var/lib/ostiary/audit -type f -exec sha256sum {{}} + | sort"
    host.ssh("systemctl stop ostiary.target ostiary.service || true")
    evidence = host.say(digests)
    host.ssh(f"DEBIAN_FRONTEND=noninteractive apt-get {how} -y ostiary")
    assert gateway.recordings() == before
    assert host.say(digests) == evidence
    assert host.ssh("pgrep -u ostiary,ostiary-sealer", check=False).returncode == 1
    if how == "purge":
        assert host.ssh("test -e /etc/ostiary", check=False).returncode == 1
