"""The second host: PostgreSQL as the target, and rsyslog as the SIEM's end of syslog over TLS."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from appliance.host import Host
from support import guarded
from support.pki import Pki

SYSLOG, RELAYED = 6514, 6515
"""Ports: what comes from the gateway itself, and what its own host's rsyslog passes on."""

RECEIVER = """
global(
    maxMessageSize="64k"
    parser.escapeControlCharactersOnReceive="off"
    net.enableDNS="off"
    DefaultNetstreamDriver="ossl"
    DefaultNetstreamDriverCAFile="/etc/appliance/ca.crt"
    DefaultNetstreamDriverCertFile="/etc/appliance/services.crt"
    DefaultNetstreamDriverKeyFile="/etc/appliance/services.key"
)
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="asReceived" type="string" string="%rawmsg%\\n")
ruleset(name="direct") { action(type="omfile" file="/var/log/direct.log" template="asReceived" flushOnTXEnd="on") }
ruleset(name="relayed") { action(type="omfile" file="/var/log/relayed.log" template="asReceived" flushOnTXEnd="on") }
"""
RECEIVER += f'input(type="imtcp" port="{SYSLOG}" ruleset="direct")\n'
RECEIVER += f'input(type="imtcp" port="{RELAYED}" ruleset="relayed")\n'

DATABASE = """
set -e
cd /etc/postgresql/*/main
install -o postgres -m 600 /etc/appliance/services.key /var/lib/postgresql/services.key
cat >conf.d/appliance.conf <<END
listen_addresses = '*'
ssl_cert_file = '/etc/appliance/services.crt'
ssl_key_file = '/var/lib/postgresql/services.key'
END
echo 'hostssl all all 198.18.0.0/15 scram-sha-256' >>pg_hba.conf
systemctl restart postgresql
"""


class Services:
    """``host``, once it is booted, with both services set up and `support.guarded`'s data in the database."""

    def __init__(self, host: Host, pki: Pki) -> None:
        self.host = host
        self._stopped = 0.0
        issued = pki.server(host.fqdn, file="services")
        host.write("/etc/appliance/ca.crt", pki.ca.read_text())
        host.write("/etc/appliance/services.crt", issued.certificate.read_text())
        host.write("/etc/appliance/services.key", issued.key.read_text(), mode="0600")
        host.write("/etc/rsyslog.d/siem.conf", RECEIVER)
        host.ssh("systemctl restart rsyslog")
        host.ssh(DATABASE)
        self.sql("postgres", f"{guarded.ROLES}\ncreate database {guarded.DATABASE} owner {guarded.OWNER};")
        self.sql(guarded.DATABASE, f"set role {guarded.OWNER};\n{guarded.SCHEMA}")

    def sql(self, database: str, script: str) -> str:
        """Past the gateway, as PostgreSQL's superuser."""
        psql = f"runuser -u postgres -- psql -X -q -A -t -v ON_ERROR_STOP=1 {database}"
        return self.host.ssh(f"cd /; {psql}", data=script).stdout

    def target(self) -> dict[str, Any]:
        """The entry of targets.d."""
        return {
            "name": "orders",
            "protocol": "postgres",
            "address": f"{self.host.fqdn}:5432",
            "tags": {"env": "prod"},
            "tls": {"mode": "verify-full", "ca": "file:/etc/ostiary/tls/ca.crt"},
            "credentials": [
                {"groups": ["owners", "engineers"], "user": guarded.OWNER, "password": "credential:orders-owner"},
                {"user": guarded.READ_ONLY, "password": "credential:orders-ro"},
            ],
        }

    def ssh_target(self, key: Path) -> dict[str, Any]:
        """The same host by SSH, where ``key`` (its public half) may log in from now on."""
        self.host.ssh("cat >>/root/.ssh/authorized_keys", data=key.read_text())
        return {
            "name": "siem",
            "protocol": "ssh",
            "address": f"{self.host.fqdn}:22",
            "host_keys": [self.host.say("cat /etc/ssh/ssh_host_ed25519_key.pub")],
            "credentials": [{"user": "root", "key": "credential:siem-root"}],
        }

    def stop_receiver(self) -> None:
        self.host.ssh("systemctl stop rsyslog")
        self._stopped = time.monotonic()

    def away(self) -> float:
        """Seconds since the receiver was stopped."""
        return time.monotonic() - self._stopped

    def start_receiver(self) -> float:
        """How long it was away, in seconds."""
        self.host.ssh("systemctl start rsyslog")
        return self.away()

    def sequences(self, which: str = "direct") -> list[int]:
        """Sequence numbers of the audit events that have arrived, in the order of arrival."""
        received = self.host.ssh(f"cat /var/log/{which}.log 2>/dev/null || true").stdout
        return [int(number) for number in re.findall(r' sequence="(\d+)"', received)]
