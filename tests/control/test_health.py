from __future__ import annotations

from control.made import FakeGateway

from gateway.control.health import readiness


def problems(gateway: FakeGateway) -> dict[str, str]:
    found = readiness(gateway)
    assert found.ready is not any(not check.ok for check in found.checks)
    return {check.name: check.problem for check in found.checks if not check.ok}


def test_well(gateway: FakeGateway) -> None:
    assert problems(gateway) == {}


def test_not_listening(gateway: FakeGateway) -> None:
    gateway.opened = ()
    assert "listening" in problems(gateway)


def test_stopping(gateway: FakeGateway) -> None:
    gateway.stopping = True
    assert problems(gateway) == {"accepting": "the gateway is being stopped"}


def test_disk_nearly_full(gateway: FakeGateway) -> None:
    gateway.free = 999
    assert "999 bytes are free" in problems(gateway)["recordings"]


def test_recordings_gone(gateway: FakeGateway) -> None:
    gateway.recordings.directory.rmdir()
    assert "can't be written to" in problems(gateway)["recordings"]


def test_disk_that_can_not_be_asked(gateway: FakeGateway) -> None:
    def ask(_: object) -> int:
        raise OSError(5, "Input/output error")

    gateway.recordings._space = ask
    assert "Input/output error" in problems(gateway)["recordings"]


def test_audit_log_failed(gateway: FakeGateway) -> None:
    gateway.audit.failed = "the audit log can't be written: No space left on device"
    assert problems(gateway) == {"audit log": gateway.audit.failed}


def test_certificate_expired(gateway: FakeGateway) -> None:
    gateway.reactor.advance(86400)
    assert "expired" in problems(gateway)["certificate"]
