from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.net.systemd import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_each_state_is_one_message(manager: socket.socket) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()})
    service.ready("serving")
    assert heard(manager) == ["READY=1", "STATUS=serving"]
    service.alive()
    assert heard(manager) == ["WATCHDOG=1"]
    service.reloading()
    first, second = heard(manager)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    service.stopping("SIGTERM")
    assert heard(manager) == ["STOPPING=1", "STATUS=SIGTERM"]


def test_a_status_is_no_second_state(manager: socket.socket) -> None:
    ServiceManager({"NOTIFY_SOCKET": manager.getsockname()}).ready("refused:\n  file:1\nSTOPPING=1")
    assert heard(manager) == ["READY=1", "STATUS=refused: file:1 STOPPING=1"]


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"ostiary-test-{os.getpid()}"
        listening.bind("\0" + name)
        ServiceManager({"NOTIFY_SOCKET": "@" + name}).alive()
        assert listening.recv(64) == b"WATCHDOG=1"


def test_silence_outside_of_systemd_and_before_deaf_ears(tmp_path: Path) -> None:
    ServiceManager({}).ready("nobody hears")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_when_it_is_watched(environment: dict[str, str], expected: float | None) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/run/notify", **environment}).watchdog == expected


def test_nobody_watches_without_a_socket() -> None:
    assert ServiceManager({"WATCHDOG_USEC": "30000000"}).watchdog is None
