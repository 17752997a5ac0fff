"""Promise 3: what was acknowledged is in the file, whatever kills the gateway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recording.made import PUBLIC

import gateway
from gateway.recording import export, verify

WRITER = """
import sys
from pathlib import Path
from recording.made import ALLOW, Node, operation
node = Node(Path(sys.argv[1]))
recorder = node.begin()
number = 0
while True:
    number += 1
    recorder.operation(number, operation("SELECT %d" % number + " " * (number % 5000)), ALLOW)
    recorded = recorder.commit()
    recorder.result(number, status="SELECT 1")
    if number % 50 == 0:
        node.clock.advance(0.1)
    print(recorded.number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 300, 2000])
def test_kill_9_loses_no_acknowledged_operation(tmp_path: Path, acknowledged: int) -> None:
    root = Path(gateway.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root}:{Path(__file__).parents[1]}"}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "recordings")], stdout=subprocess.PIPE, env=environment
    )
    assert writer.stdout is not None
    try:
        for _ in range(acknowledged):
            line = writer.stdout.readline()
    finally:
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
        writer.stdout.close()
        writer.wait()
    numbers = [int(number) for number in (line + rest[: rest.rfind(b"\n") + 1]).split()]
    (path,) = tmp_path.rglob("*.ostrec")
    report = verify(path, PUBLIC)
    assert (report.state, report.findings) == ("never closed", ())
    content = b"".join(export(path))
    for number in range(1, numbers[-1] + 1):
        assert b'"operation":%d,"source"' % number in content
