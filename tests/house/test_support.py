"""The lifecycle classes do what other tests take for granted."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import guarded
from support.ostiary import merged
from support.pgbouncer import Pgbouncer
from support.pki import Pki
from support.postgres import Postgres
from support.process import Process, StartFailed, accepts, free_port, scratch_directory, wait_until
from support.psql import conninfo, psql
from support.rsyslog import Rsyslog

pytestmark = pytest.mark.e2e


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a zombie whose parent hasn't waited yet has ended, too
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


class TestProcess:
    def sleeper(self, *, ready: bool = True, code: str = "import time; time.sleep(60)") -> Process:
        directory = scratch_directory("sleep")
        return Process("sleeper", [sys.executable, "-c", code], directory=directory, ready=lambda: ready)

    def test_ends_with_its_block(self) -> None:
        with self.sleeper() as process:
            pid = process.pid
            assert alive(pid)
        assert not alive(pid)
        assert process.returncode == -signal.SIGTERM

    def test_a_server_that_ends_at_once_says_why(self) -> None:
        process = self.sleeper(ready=False, code="import sys; sys.exit('no such luck')")
        with pytest.raises(StartFailed, match="no such luck"):
            process.start()

    def test_a_server_that_is_never_ready_is_not_left_running(self) -> None:
        process = self.sleeper(ready=False)
        with pytest.raises(StartFailed, match="is ready"):
            process.start(seconds=0.3)
        assert not process.running

    def test_one_that_ignores_the_signal_is_killed(self) -> None:
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
        directory = scratch_directory("deaf")
        process = Process(
            "deaf", [sys.executable, "-c", code], directory=directory, ready=lambda: bool(process.log_text())
        )
        process.start()
        assert process.stop(seconds=0.2) == -signal.SIGKILL

    def test_nothing_survives_a_killed_test_run(self) -> None:
        """The kernel ends servers whose parent got kill -9, also those that run as another user."""
        script = textwrap.dedent("""
            import os, signal, sys
            from support.postgres import Postgres
            server = Postgres().start()
            print(server.pid, server.directory, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """)
        path = str(Path(__file__).parents[1])
        child = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        pid, directory = child.stdout.split()
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="postgres ends")
        subprocess.run(["rm", "-r", directory], check=True)


class TestPostgres:
    def test_data_is_there_and_roles_have_passwords(self, target_server: Postgres) -> None:
        assert target_server.run("select count(*) from only customers", guarded.DATABASE) == str(guarded.CUSTOMERS)
        over_tcp = target_server.connection(
            guarded.DATABASE, guarded.READ_ONLY, host=target_server.host, password=guarded.PASSWORDS[guarded.READ_ONLY]
        )
        assert psql(over_tcp, "select current_user").rows == [[guarded.READ_ONLY]]
        assert "password authentication failed" in psql(over_tcp + " password=wrong", "select 1").stderr

    def test_tls_is_verified(self, target_server: Postgres, pki: Pki, stranger_pki: Pki) -> None:
        parameters = {"host": "localhost", "password": guarded.PASSWORDS[guarded.READ_ONLY], "sslmode": "verify-full"}
        good = target_server.connection(guarded.DATABASE, guarded.READ_ONLY, **parameters, sslrootcert=pki.ca)
        assert psql(good, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").rows == [["t"]]
        bad = target_server.connection(guarded.DATABASE, guarded.READ_ONLY, **parameters, sslrootcert=stranger_pki.ca)
        assert "certificate verify failed" in psql(bad, "select 1").stderr

    def test_statements_are_in_the_log(self, target_server: Postgres) -> None:
        target_server.run("select 'look for me'")
        expected = "statement: select 'look for me'"
        wait_until(lambda: expected in target_server.log_text(), what="the statement is logged")

    def test_is_gone_with_its_directory(self) -> None:
        with Postgres(settings={"max_connections": "7"}) as server:
            assert server.run("show max_connections") == "7"
            assert server.psql("show fsync").rows == [["off"]]
        assert not server.directory.exists()
        assert not accepts(server.port)

    def test_an_impossible_setting_is_reported(self) -> None:
        server = Postgres(settings={"max_connections": "many"})
        with pytest.raises(StartFailed, match="max_connections"):
            server.start()
        server.remove()


class TestPki:
    def handshake(self, server_pki: Pki, *, expired: bool = False, trust: Path | None = None) -> None:
        issued = server_pki.server(expired=expired)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(issued.certificate, issued.key)
        client = ssl.create_default_context(cafile=str(trust or server_pki.ca))
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        remote = server.wrap_bio(to_server, to_client, server_side=True)
        local = client.wrap_bio(to_client, to_server, server_hostname="localhost")
        for side in (local, remote, local, remote):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        assert local.cipher() is not None

    def test_strict_verification_accepts_it(self, tmp_path: Path) -> None:
        self.handshake(Pki(tmp_path))

    def test_an_expired_one_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            self.handshake(Pki(tmp_path), expired=True)

    def test_another_ca_is_refused(self, tmp_path: Path) -> None:
        other = Pki(tmp_path / "other", "Another CA")
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            self.handshake(Pki(tmp_path / "mine"), trust=other.ca)

    def test_openssl_reads_certificates_and_revocations(self, tmp_path: Path) -> None:
        pki = Pki(tmp_path)
        alice = pki.client("alice", groups=["analysts", "staff"], uri="spiffe://corp/alice", email="a@example.com")
        bob = pki.client("bob")
        revoked = pki.revoke([bob])
        verify = ["openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", str(pki.ca), "-CRLfile", str(revoked)]
        assert subprocess.run([*verify, alice.certificate], capture_output=True).returncode == 0
        refused = subprocess.run([*verify, bob.certificate], capture_output=True, text=True)
        assert "certificate revoked" in refused.stderr
        assert alice.key.stat().st_mode & 0o777 == 0o600


class TestRsyslog:
    def send(self, receiver: Rsyslog, context: ssl.SSLContext, message: str) -> None:
        frame = f"{len(message)} {message}".encode()
        with (
            socket.create_connection((receiver.host, receiver.port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            connection.sendall(frame)

    def test_writes_what_it_receives_over_tls(self, pki: Pki) -> None:
        message = '<110>1 2026-11-24T12:00:00Z gw1 ostiary - op [x@1 a="b"] {"class_uid": 6005}'
        with Rsyslog(pki.server(file="siem"), ca=pki.ca) as receiver:
            self.send(receiver, ssl.create_default_context(cafile=str(pki.ca)), message)
            wait_until(lambda: bool(receiver.lines()), what="a message arrives")
            assert receiver.lines() == [message]
            assert receiver.events() == [{"class_uid": 6005}]

    def test_mutual_tls_refuses_strangers(self, pki: Pki, stranger_pki: Pki) -> None:
        with Rsyslog(pki.server(file="siem"), ca=pki.ca, mutual=True) as receiver:
            for issuer in (stranger_pki, pki):
                caller = issuer.client("gateway-client")
                context = ssl.create_default_context(cafile=str(pki.ca))
                context.load_cert_chain(caller.certificate, caller.key)
                try:
                    self.send(receiver, context, f"<110>1 - - - - - - {issuer.directory.name}")
                except OSError:
                    assert issuer is stranger_pki
            wait_until(lambda: bool(receiver.lines()), what="a message arrives")
            assert [line.split()[-1] for line in receiver.lines()] == [pki.directory.name]


def test_pgbouncer_serves_over_tls(target_server: Postgres, pki: Pki) -> None:
    with Pgbouncer(target_server, pki.server(file="bouncer"), passwords=guarded.PASSWORDS) as bouncer:
        connection = conninfo(
            host="localhost",
            hostaddr=bouncer.host,
            port=bouncer.port,
            dbname=guarded.DATABASE,
            user=guarded.READ_ONLY,
            password=guarded.PASSWORDS[guarded.READ_ONLY],
            sslmode="verify-full",
            sslrootcert=pki.ca,
        )
        assert psql(connection, "select count(*) > 0 from orders").rows == [["t"]]


def test_free_ports_are_free() -> None:
    assert not accepts(free_port())


def test_settings_are_laid_over_each_other() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4, "c": None}}) == {"a": {"b": 4}, "d": 3}


def test_protected_values_are_recognised(target_server: Postgres) -> None:
    for column, table in (("ssn", "customers"), ("email", "customers"), ("pan", "payments")):
        values = target_server.run(f"select {column} from {table}", guarded.DATABASE).splitlines()
        assert all(guarded.is_protected(value) for value in values)
    assert not guarded.is_protected(target_server.run("select id, name, phone, born from customers", guarded.DATABASE))
