"""Run on the gateway's host: tries everything that files can suffer on one recording, and says what worked.

python3 tamper.py RECORDING [--append]      --append: appending counts, too (who may not even do that)
"""

import fcntl
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_APPEND_FL = 0x80086601, 0x40086602, 0x20


def clear_attribute(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    flags = bytearray(8)
    fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
    (value,) = struct.unpack_from("=I", flags)
    assert value & FS_APPEND_FL, f"{path} isn't append-only"
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("=Q", value & ~FS_APPEND_FL))


def overwrite(path: Path) -> None:
    os.pwrite(os.open(path, os.O_WRONLY), b"x", 0)


def overwrite_mapped(path: Path) -> None:
    os.open(path, os.O_RDWR)


def truncate_open(path: Path) -> None:
    os.ftruncate(os.open(path, os.O_WRONLY | os.O_APPEND), 0)


def leave_append_mode(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_APPEND)
    os.pwrite(fd, b"x", 0)


def punch_hole(path: Path) -> None:
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE."""
    import ctypes

    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(16)):
        raise OSError(ctypes.get_errno(), "fallocate")


def append(path: Path) -> None:
    os.write(os.open(path, os.O_WRONLY | os.O_APPEND), b"x")


def replace(path: Path) -> None:
    other = next(each for each in path.parent.iterdir() if each != path)
    other.replace(path)


ATTEMPTS: dict[str, Callable[[Path], object]] = {
    "overwrite": overwrite,
    "open for mapping": overwrite_mapped,
    "truncate": lambda path: os.truncate(path, 0),
    "truncate when open": truncate_open,
    "open with O_TRUNC": lambda path: os.open(path, os.O_WRONLY | os.O_APPEND | os.O_TRUNC),
    "leave append mode": leave_append_mode,
    "punch a hole": punch_hole,
    "rename": lambda path: path.rename(path.with_suffix(".gone")),
    "move away": lambda path: path.rename(path.parents[3] / path.name),
    "replace": replace,
    "remove": lambda path: path.unlink(),
    "clear the attribute": clear_attribute,
    "clear the directory's attribute": lambda path: clear_attribute(path.parent),
    "rename the directory": lambda path: path.parent.rename(path.parent.with_name("gone")),
    "change the mode": lambda path: path.chmod(0o666),
    "change the owner": lambda path: os.chown(path, os.geteuid(), -1),
    "change the times": lambda path: os.utime(path, (0, 0)),
}


def main() -> None:
    path = Path(sys.argv[1])
    attempts = dict(ATTEMPTS)
    if "--append" in sys.argv:
        attempts |= {"append": append, "make a file": lambda path: (path.parent / "made").write_bytes(b"x")}
    before = path.read_bytes()
    worked = {}
    for name, attempt in attempts.items():
        try:
            attempt(path)
            worked[name] = "worked"
        except PermissionError:
            pass
        except OSError as error:
            worked[name] = repr(error)
    print(json.dumps({"attempts": len(attempts), "worked": worked, "same": path.read_bytes() == before}))  # noqa: T201  # its answer


if __name__ == "__main__":
    main()
