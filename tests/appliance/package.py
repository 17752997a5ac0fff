"""Other builds of the package, made of the one that `make deb` built in a few seconds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support.process import scratch_directory

MARK = "/usr/share/doc/ostiary/build"
"""A file that only those have."""


def rebuilt(package: Path, *, mark: str, version: str = "", conffile: str = "") -> Path:
    """``package`` with ``mark`` in it: as a build of another day is. Of another ``version``, if one is given.

    conffile  what its ostiary.yaml says more at the end
    """
    directory = scratch_directory("deb")
    root = directory / "root"
    subprocess.run(["dpkg-deb", "--raw-extract", package, root], check=True)
    (root / MARK.lstrip("/")).write_text(f"{mark}\n")
    with (root / "etc/ostiary/ostiary.yaml").open("a") as file:
        file.write(conffile)
    _, old, architecture = package.stem.split("_")
    if version:
        # the second is where the command takes its own version from
        [metadata] = root.glob("usr/lib/ostiary/lib/*/site-packages/ostiary-*.dist-info/METADATA")
        for path in (root / "DEBIAN/control", metadata):
            path.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", path.read_text(), count=1))
    made = directory / f"ostiary_{version or old}_{architecture}.deb"
    # quickly, not small
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", root, made],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return made
