"""A SIEM's end of syslog over TLS: Debian's rsyslogd with a configuration of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.pki import Issued
from support.process import Process, accepts, free_port, scratch_directory

CONFIGURATION = """
global(
    workDirectory="{directory}"
    maxMessageSize="64k"
    parser.escapeControlCharactersOnReceive="off"
    net.enableDNS="off"
    DefaultNetstreamDriver="ossl"
    DefaultNetstreamDriverCAFile="{ca}"
    DefaultNetstreamDriverCertFile="{certificate}"
    DefaultNetstreamDriverKeyFile="{key}"
)
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="{mode}")
template(name="asReceived" type="string" string="%rawmsg%\\n")
ruleset(name="keep") {{
    action(type="omfile" file="{received}" template="asReceived" flushOnTXEnd="on")
}}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="keep")
"""


class Rsyslog(Process):
    """Receives RFC 5425 on 127.0.0.1 and appends each message, as it came, as one line to ``received``.

    server     its certificate
    ca         with ``mutual`` clients need a certificate of this CA
    """

    host = "127.0.0.1"

    def __init__(self, server: Issued, *, ca: Path, mutual: bool = False, port: int | None = None) -> None:
        self.directory = scratch_directory("syslog")
        self.port = port or free_port()
        self.received = self.directory / "received.log"
        configuration = self.directory / "rsyslog.conf"
        configuration.write_text(
            CONFIGURATION.format(
                directory=self.directory,
                ca=ca,
                certificate=server.certificate,
                key=server.key,
                mode="x509/certvalid" if mutual else "anon",
                received=self.received,
                port=self.port,
            )
        )
        pid_file = self.directory / "rsyslogd.pid"
        super().__init__(
            "rsyslogd",
            ["/usr/sbin/rsyslogd", "-n", "-f", str(configuration), "-i", str(pid_file)],
            directory=self.directory,
            ready=lambda: pid_file.exists() and accepts(self.port),
        )

    def lines(self) -> list[str]:
        """Every message that it has received, in order."""
        return self.received.read_text().splitlines() if self.received.exists() else []

    def events(self) -> list[dict[str, Any]]:
        """The JSON bodies of those messages that have one."""
        bodies = (line[line.index("{") :] for line in self.lines() if "{" in line)
        return [json.loads(body) for body in bodies]
