"""Booted Debian hosts for acceptance tests: systemd in containers, on a network of their own.

    make_archives  root file systems, made once by mmdebstrap and kept in .cache/appliance; all by `make roots`
    Lan            a bridge on this machine; each host's network namespace hangs on it
    Host           one host: boot, run commands over SSH, reboot, and its certain end

Needs root. Everything is named after this process and goes with it: after `stop`, after a failure, at the
interpreter's exit, and, when the interpreter is killed, at the next run's start.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from support.process import Process, scratch_directory, wait_until

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "appliance"
PREFIX = "ostapp"
"""Begins the names of bridges, network namespaces, interfaces (15 characters at most) and control groups."""

BASE = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "ca-certificates", "e2fsprogs", "libcap2-bin",
    "python3", "python3-apt",  # what Ansible needs of a host
    "rsyslog", "rsyslog-openssl",
)  # fmt: skip
SERVICES = ("postgresql",)
"""More, on the host that stands for the rest of the site."""
IMAGE = "disk.img"
REBOOT = 133
"""nspawn's status for "start me again" (its --keep-unit)."""

BOOT_SECONDS = 60.0
"""Takes 2 s on an idle machine; two cores may be shared with a build."""


class CommandFailed(Exception):
    """A command on a host; the message holds what it printed."""


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise CommandFailed(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def debian_release() -> str:
    """This machine's: the package is built here, for hosts of the same release."""
    lines = Path("/etc/os-release").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values["VERSION_CODENAME"]


def archive_path(packages: Iterable[str]) -> Path:
    listed = sorted({*BASE, *packages})
    digest = hashlib.sha256("\n".join([debian_release(), *listed]).encode()).hexdigest()[:12]
    return CACHE / f"root-{digest}.tar"


def make_archives(*kinds: Sequence[str]) -> None:
    """Makes the root file systems that are missing, all at once: they wait for the network."""
    CACHE.mkdir(parents=True, exist_ok=True)
    making: list[tuple[Path, subprocess.Popen[bytes]]] = []
    for packages in kinds:
        archive = archive_path(packages)
        if not archive.exists():
            part = archive.with_suffix(".part.tar")
            include = ",".join(sorted({*BASE, *packages}))
            command = ["mmdebstrap", "--variant=minbase", f"--include={include}", debian_release(), str(part)]
            with archive.with_suffix(".log").open("wb") as log:
                child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            making.append((archive, child))
    failed = []
    for archive, child in making:
        if child.wait() == 0:
            archive.with_suffix(".part.tar").rename(archive)
            archive.with_suffix(".log").unlink()
        else:
            failed.append(archive.with_suffix(".log"))
    if failed:
        raise CommandFailed("mmdebstrap failed:\n" + "\n".join(log.read_text()[-2000:] for log in failed))


def sweep() -> None:
    """Removes what runs that were killed have left; their hosts went with them."""
    leftovers = [line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines()]
    bridges = run("ip", "-brief", "link", "show", "type", "bridge").stdout.splitlines()
    leftovers += [line.split()[0] for line in bridges]
    groups = [group for hierarchy in _hierarchies() for group in hierarchy.glob(f"{PREFIX}*")]
    leftovers += [group.name for group in groups]
    dead = {name for name in leftovers if name.startswith(PREFIX) and not Path("/proc", _owner(name)).exists()}
    for name in dead:
        run("ip", "netns", "delete", name, check=False)
        run("ip", "link", "delete", name, check=False)
    for group in groups:
        if group.name in dead:
            _remove_group(group)
    for directory in Path("/tmp").glob("ost-host-*"):
        owner = directory / "pid"
        if owner.exists() and not Path("/proc", owner.read_text()).exists():
            remove_directory(directory)


def _owner(name: str) -> str:
    """The process that a bridge, network namespace or control group is named after."""
    return name.removeprefix(PREFIX).partition("-")[0]


def remove_directory(directory: Path) -> None:
    """A host's, with its disk and its append-only files."""
    for device in run("losetup", "--noheadings", "--output=NAME", "-j", directory / IMAGE).stdout.split():
        run("losetup", "--detach", device)
    run("chattr", "-R", "-f", "-a", directory, check=False)
    # 20,000 files, and the time limit may be near: several times as fast as shutil.rmtree
    run("rm", "-rf", directory, check=False)


class Lan:
    """A bridge of this machine with an IPv4 network that nobody else has (RFC 2544: 198.18.0.0/15)."""

    def __init__(self) -> None:
        self.name = f"{PREFIX}{os.getpid()}"
        self._prefix = f"198.18.{os.getpid() % 256}"
        self._hosts = 1
        self.address = self.next_address()

    def next_address(self) -> str:
        self._hosts += 1
        return f"{self._prefix}.{self._hosts}"

    def __enter__(self) -> Self:
        sweep()
        atexit.register(self.remove)
        run("ip", "link", "add", self.name, "type", "bridge")
        run("ip", "address", "add", f"{self.address}/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def remove(self) -> None:
        atexit.unregister(self.remove)
        run("ip", "link", "delete", self.name, check=False)


class Host(Process):
    """One booted host.

    name      its short name; it is NAME.example.com
    lan       where it gets its address
    packages  beyond `BASE`
    key       path of an SSH private key; PATH.pub may log in as root
    disk      bytes of a second disk with an empty ext4, whose place is ``device``
    """

    def __init__(self, name: str, lan: Lan, key: Path, *, packages: Sequence[str] = (), disk: int = 0) -> None:
        self.directory = scratch_directory("host")
        atexit.register(self.remove)
        (self.directory / "pid").write_text(str(os.getpid()))
        self.lan = lan
        self.address = lan.next_address()
        self.fqdn = f"{name}.example.com"
        self.root = self.directory / "root"
        self._key = key
        self._netns = f"{lan.name}-{name}"
        self._interface = f"o{os.getpid()}{name}"[:15]
        self._groups = [group / self._netns for group in _hierarchies()]
        self._packages = packages
        self.device = self._attach(disk) if disk else None
        bind = [f"--bind={self.device}"] if self.device else []
        joined = "".join(f'echo $$ >"{group}/cgroup.procs"; ' for group in self._groups)
        super().__init__(
            name,
            # Each in a control group of its own: they are systemd's books about who belongs to which unit.
            ["sh", "-ec", f'{joined} exec "$@"', "sh",
             "systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--register=no", "--keep-unit",
             f"--network-namespace-path=/run/netns/{self._netns}", "--console=pipe", f"--hostname={name}", *bind],
            directory=self.directory,
            ready=lambda: self.ssh("systemctl is-system-running --wait", check=False).stdout.strip() == "running",
        )  # fmt: skip

    def _attach(self, size: int) -> str:
        image = self.directory / IMAGE
        with image.open("wb") as file:
            file.truncate(size)
        run("mkfs.ext4", "-q", image)
        return run("losetup", "--find", "--show", image).stdout.strip()

    def install(self) -> Self:
        """Unpacks the root file system; `start` boots it. Files may be put below ``root`` in between."""
        make_archives(self._packages)
        self.root.mkdir()
        run("tar", "-C", self.root, "-xf", archive_path(self._packages))
        login = self.root / "root/.ssh"
        login.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(self._key.with_suffix(".pub"), login / "authorized_keys")
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        # Whatever else the host is told comes by DNS or by hand, never from this machine.
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        (self.root / "etc/resolv.conf").write_text("")
        self._connect()
        return self

    def _connect(self) -> None:
        for group in self._groups:
            group.mkdir(exist_ok=True)
        run("ip", "netns", "add", self._netns)
        run("ip", "link", "add", self._interface, "type", "veth", "peer", "name", "host0", "netns", self._netns)
        run("ip", "link", "set", self._interface, "master", self.lan.name, "up")
        run("ip", "-n", self._netns, "address", "add", f"{self.address}/24", "dev", "host0")
        run("ip", "-n", self._netns, "link", "set", "lo", "up")
        run("ip", "-n", self._netns, "link", "set", "host0", "up")
        run("ip", "-n", self._netns, "route", "add", "default", "via", self.lan.address)

    def know(self, *hosts: Host) -> None:
        """Writes /etc/hosts."""
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{host.address} {host.fqdn} {host.name}" for host in hosts]
        (self.root / "etc/hosts").write_text("\n".join(lines) + "\n")

    @property
    def ssh_arguments(self) -> list[str]:
        known = self.directory / "known_hosts"
        if not known.exists():
            keys = [path.read_text().split() for path in sorted((self.root / "etc/ssh").glob("ssh_host_*.pub"))]
            known.write_text("".join(f"{self.address} {key[0]} {key[1]}\n" for key in keys))
        return ["-i", str(self._key), "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes",
                "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"]  # fmt: skip

    def ssh(
        self, command: str, *, check: bool = True, data: str = "", seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """A shell command as root. Raises CommandFailed unless ``check`` is off."""
        done = subprocess.run(
            ["ssh", *self.ssh_arguments, f"root@{self.address}", command],
            input=data, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip
        if check and done.returncode:
            raise CommandFailed(f"{self.name}: {command}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def say(self, command: str, *, seconds: float = 120) -> str:
        """What a command prints, stripped."""
        return self.ssh(command, seconds=seconds).stdout.strip()

    def write(self, path: str, text: str, *, mode: str = "0644") -> None:
        """A file of root's, its directory included."""
        command = f'mkdir -p "$(dirname {path})" && umask 077 && cat >{path} && chmod {mode} {path}'
        self.ssh(command, data=text)

    def reboot(self) -> float:
        """As an administrator does it; the seconds until systemd says that everything is up."""
        began = time.monotonic()
        # The connection may be gone before its status comes.
        self.ssh("systemctl reboot", check=False)
        status = self.wait(seconds=BOOT_SECONDS)
        if status != REBOOT:
            raise CommandFailed(f"{self.name}: ended with status {status} instead of rebooting\n{self.log_tail()}")
        self.start(seconds=BOOT_SECONDS)
        return time.monotonic() - began

    def remove(self) -> None:
        """Powers it off and removes everything of it."""
        atexit.unregister(self.remove)
        self.stop(seconds=30)
        run("ip", "netns", "delete", self._netns, check=False)
        run("ip", "link", "delete", self._interface, check=False)
        for group in self._groups:
            _remove_group(group)
        remove_directory(self.directory)

    def __enter__(self) -> Self:
        self.install()
        return self.start(seconds=BOOT_SECONDS)

    def __exit__(self, *exception: object) -> None:
        self.remove()


def _hierarchies() -> list[Path]:
    """The control groups that systemd writes to: one tree, or two of an older set-up."""
    mounted = Path("/sys/fs/cgroup")
    return [mounted / name for name in ("systemd", "unified") if (mounted / name).is_dir()] or [mounted]


def _remove_group(group: Path) -> None:
    for below in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            below.rmdir()
    with suppress(OSError):
        # the kernel takes a moment to let go of the last process
        wait_until(lambda: not (group / "cgroup.procs").read_text(), seconds=5, what=f"{group} is empty")
        group.rmdir()


def log_of(hosts: Mapping[str, Host]) -> str:
    """The end of each host's console."""
    return "\n".join(f"{name}:\n{host.log_tail()}" for name, host in hosts.items())


if __name__ == "__main__":
    make_archives((), SERVICES)
