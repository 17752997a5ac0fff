#!/usr/bin/python3
"""Builds dist/ostiary_<version>_<architecture>.deb: `make deb`. What is in it: docs/appliance.md.

Runs on the release that the package is for, with that release's own Python: the private environment is a venv of
/usr/bin/python3, so what is compiled here fits what runs there. Downloads hash-locked wheels; the package needs no
network. Same commit, same wheels, same tools: same bytes (every time stamp is the commit's).
"""

from __future__ import annotations

import ast
import gzip
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email import message_from_string
from email.utils import format_datetime
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
PACKAGING = HOUSE / "packaging"
WORK = HOUSE / "build" / "deb"
SOURCE = WORK / "source"
TOOLS = WORK / "tools"
WHEELS = WORK / "wheels"
ROOT = WORK / "root"
PREFIX = Path("usr/lib/ostiary")
"""Where the private environment lies, relative to the package's root."""
SITE = PREFIX / f"lib/python3.{sys.version_info.minor}/site-packages"

BUILD_TOOLS = ("cython", "setuptools")
TEST_TOOLS = (
    "execnet",
    "hypothesis",
    "iniconfig",
    "packaging",
    "pluggy",
    "pygments",
    "pytest",
    "pytest-xdist",
    "sortedcontainers",
)
"""Taken with their hashes from requirements-dev.txt."""

TESTED = ("audit", "masking", "recording", "sql")
"""What is run against the packaged environment: rooms with modules that were compiled for it, or that stand on
libraries in C that it brings, and none of which starts a server. The others are the same files as `make test` runs."""

LEFT_OUT = re.compile(
    r"""
      (^|/)(test|tests|_test)(/|$)   # dependencies' own tests: a quarter of the size, imported by nobody
    | \.(c|h|pxd|pyx|pyi|lib)$       # for compilers and type checkers
    | (^|/)\.git[^/]*$
    | (^|/)__pycache__(/|$)          # compiled again below, without this machine's paths
    | \.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json)$  # for pip; the last names this machine's paths
    """,
    re.VERBOSE,
)


def main() -> None:
    python = Path("/usr/bin/python3")
    if Path(sys.executable).resolve() != python.resolve():
        # pyenv and the like: another build of the same version, but not the one that the package runs on
        os.execv(python, [str(python), *sys.argv])
    os.umask(0o022)
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    shutil.rmtree(ROOT, ignore_errors=True)
    copy_source()
    make_wheels()
    make_environment()
    strip()
    compile_modules()
    place_files()
    check_environment()
    test_environment()
    build(make_control())


def epoch() -> int:
    """Unix seconds of the commit that is built."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given) if given else int(run("git", "log", "-1", "--format=%ct", cwd=HOUSE))


def run(*command: str | Path, cwd: Path = HOUSE, environment: Mapping[str, str] | None = None) -> str:
    """What it prints; what it complains of goes to the terminal, and a failure ends the build."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={
            **os.environ,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            **(environment or {}),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))}: status {done.returncode}")
    return done.stdout


def project() -> tuple[str, str]:
    """Version and description of pyproject.toml."""
    table = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    return table["version"], table["description"]


def copy_source() -> None:
    """The checkout as it is, without what was made in it: what is compiled is compiled anew."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "gateway").split("\0")
    for name in [*filter(None, listed), "pyproject.toml", "setup.py", "README.md", "LICENSE"]:
        if (HOUSE / name).is_file():
            (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOUSE / name, SOURCE / name)


def locked(path: Path, names: Sequence[str]) -> str:
    """Those requirements of a pip-compile file, with their hashes."""
    found = []
    for block in re.split(r"\n(?=\S)", path.read_text()):
        if block.partition("==")[0] in names:
            found.append(block)
    if len(found) != len(names):
        sys.exit(f"{path}: doesn't lock each of {', '.join(names)}")
    return "\n".join(found) + "\n"


def make_wheels() -> None:
    """Downloads the dependencies' wheels and makes ours."""
    if not (TOOLS / "bin/python").exists():
        run(sys.executable, "-m", "venv", TOOLS)
    pip = (TOOLS / "bin/python", "-m", "pip", "-qq")
    (WORK / "tools.txt").write_text(locked(HOUSE / "requirements-dev.txt", BUILD_TOOLS + TEST_TOOLS))
    run(*pip, "install", "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", WORK / "tools.txt")
    shutil.rmtree(WHEELS, ignore_errors=True)
    requirements = ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r", HOUSE / "requirements.txt")
    run(*pip, "download", "--dest", WHEELS, *requirements)
    flags = {name: run("dpkg-buildflags", "--get", name).strip() for name in ("CFLAGS", "CPPFLAGS", "LDFLAGS")}
    flags["CFLAGS"] += f" -g0 -ffile-prefix-map={SOURCE}=."
    run(
        *pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", WHEELS, SOURCE,
        environment={**flags, "OSTIARY_COMPILE": "1"},
    )  # fmt: skip


def make_environment() -> None:
    """A venv without pip, made by hand: nothing in it knows where it was built."""
    site = ROOT / SITE
    site.mkdir(parents=True)
    (ROOT / PREFIX / "bin").mkdir()
    (ROOT / PREFIX / "bin/python3").symlink_to("/usr/bin/python3")
    (ROOT / PREFIX / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {platform.python_version()}\n"
    )
    wheels = sorted(WHEELS.glob("*.whl"))
    pip = (TOOLS / "bin/python", "-m", "pip", "-qq")
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", "--no-warn-conflicts", "--target", site, *wheels)
    shutil.rmtree(site / "bin", ignore_errors=True)
    for path in sorted(site.rglob("*"), reverse=True):
        if LEFT_OUT.search(str(path.relative_to(site))):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        elif path.suffix == ".py":
            path.chmod(0o644)
            text = path.read_bytes()
            if text.startswith(b"#!"):  # nothing here is a command, whatever interpreter its author had in mind
                path.write_bytes(text[:1] + text[2:])


def shared_objects() -> list[Path]:
    return [path for path in sorted((ROOT / SITE).rglob("*.so*")) if path.is_file()]


def strip() -> None:
    for path in shared_objects():
        path.chmod(0o644)
        run("strip", "--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", path)


def compile_modules() -> None:
    """Byte code that is taken as it is: dpkg owns both files, and no time stamp can make it stale."""
    site = ROOT / SITE
    run(
        ROOT / PREFIX / "bin/python3", "-I", "-m", "compileall", "-q", "-j2",
        "--invalidation-mode", "unchecked-hash", "-s", ROOT, "-p", "/", site,
    )  # fmt: skip


def place_files() -> None:
    """Everything beside the environment."""
    version, _description = project()
    command = ROOT / PREFIX / "bin/ostiary"
    # -I: neither the caller's directory nor his PYTHONPATH decides what runs
    command.write_text(
        f"#!/{PREFIX}/bin/python3 -I\nimport sys\n\nfrom gateway.cli import main\n\n"
        # the guard: multiprocessing imports the main module again in each worker
        'if __name__ == "__main__":\n    sys.exit(main())\n'
    )
    command.chmod(0o755)
    link(f"/{PREFIX}/bin/ostiary", "usr/bin/ostiary")
    link(f"/{SITE}/gateway/recording/sealer.py", PREFIX / "sealer.py")
    for unit in sorted((HOUSE / "systemd").glob("*.*")):
        if unit.suffix in (".service", ".target"):
            install(unit, f"usr/lib/systemd/system/{unit.name}")
    install(HOUSE / "systemd/sysusers.conf", "usr/lib/sysusers.d/ostiary.conf")
    for directory in ("etc/ostiary", "etc/ostiary/targets.d", "etc/ostiary/policy.d"):
        (ROOT / directory).mkdir(parents=True)
        (ROOT / directory).chmod(0o750)
    install(PACKAGING / "etc/ostiary.yaml", "etc/ostiary/ostiary.yaml", 0o640)
    share = Path("usr/share/doc/ostiary")
    for example in ("targets.yaml", "policy.yaml"):
        install(PACKAGING / "etc" / example, share / "examples" / example)
    for page in sorted((HOUSE / "docs").glob("*.md")):
        install(page, share / page.name)
    write(share / "copyright", copyright_text())
    write_gzip(share / "changelog.gz", changelog(version))
    overrides = PACKAGING / "debian/lintian-overrides"
    install(overrides, "usr/share/lintian/overrides/ostiary")
    python = ROOT / PREFIX / "bin/python3"
    run_command = "import sys; sys.argv = ['ostiary', 'completion', 'bash']; from gateway.cli import main; main()"
    write("usr/share/bash-completion/completions/ostiary", run(python, "-IBc", run_command))
    write_gzip("usr/share/man/man8/ostiary.8.gz", run(python, "-IB", PACKAGING / "man.py", str(epoch())))


def link(to: str, place: str | Path) -> None:
    (ROOT / place).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / place).symlink_to(os.path.relpath(to, Path("/") / Path(place).parent))


def install(path: Path, place: str | Path, mode: int = 0o644) -> None:
    write(place, path.read_text())
    (ROOT / place).chmod(mode)


def write(place: str | Path, text: str) -> None:
    (ROOT / place).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / place).write_text(text)


def write_gzip(place: str | Path, text: str) -> None:
    (ROOT / place).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / place).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def changelog(version: str) -> str:
    """Debian's form of it; what changed stands in CHANGELOG.md."""
    date = format_datetime(datetime.fromtimestamp(epoch(), UTC))
    maintainer = maintainer_of()
    entry = f"ostiary ({version}) unstable; urgency=medium\n\n  * {version}, see CHANGELOG.md.\n\n"
    return f"{entry} -- {maintainer}  {date}\n"


def maintainer_of() -> str:
    return "Ostiary maintainers <ostiary@users.noreply.github.com>"


def copyright_text() -> str:
    """Ours, and one stanza for each distribution of the private environment: its licence is in its metadata."""
    text = (PACKAGING / "debian/copyright").read_text()
    for metadata in sorted((ROOT / SITE).glob("*.dist-info/METADATA")):
        about = message_from_string(metadata.read_text())
        name = about["Name"].lower()
        if name == "ostiary":
            continue
        classifiers = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier", []) if "License ::" in each]
        said = about["License-Expression"] or next(iter(classifiers), None) or (about["License"] or "").split("\n")[0]
        if not said:
            sys.exit(f"{name}: no licence in its metadata")
        author = about["Author"] or about["Author-email"] or about["Maintainer"] or f"the authors of {name}"
        folder = metadata.parent.name
        short = re.sub(r"[^A-Za-z0-9.+-]+", "-", said)
        text += (
            f"\nFiles: {SITE}/{name.replace('-', '_')}*\nCopyright: {author}\nLicense: {short}-{name}\n"
            f" {said}; {name} {about['Version']}.\n Its text, where its authors give it: /{SITE}/{folder}\n"
        )
    return text


def check_environment() -> None:
    """The package as it will run: own interpreter, own modules, nothing of this machine's."""
    python = ROOT / PREFIX / "bin/python3"
    compiled = next(
        ast.literal_eval(node.value)
        for node in ast.parse((SOURCE / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "COMPILED"
    )
    modules = [name.removesuffix(".py").replace("/", ".") for name in compiled] + ["gateway._rendering"]
    test = (
        "import importlib, pkgutil, sys, gateway, gateway.masking\n"
        "assert gateway.masking.COMPILED\n"
        f"for name in {modules}:\n"
        "    assert importlib.import_module(name).__file__.endswith('.so'), name\n"
        "for module in pkgutil.walk_packages(gateway.__path__, 'gateway.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "files = [getattr(module, '__file__', None) or '' for module in sys.modules.values()]\n"
        "print(*(file for file in files if 'site-packages' in file))\n"
    )
    for path in run(python, "-IBc", test).split():
        if not path.startswith(str(ROOT / SITE)):
            sys.exit(f"imports {path}, which is not the package's")
    grep = ["grep", "-rlF", str(HOUSE), str(ROOT)]
    leaks = subprocess.run(grep, stdout=subprocess.PIPE, text=True, check=False).stdout
    if leaks:
        sys.exit(f"these name the build's own path:\n{leaks}")


def test_environment() -> None:
    """The tests, by the packaged interpreter and modules; only pytest and its like come from elsewhere."""
    tools = next((TOOLS / "lib").glob("python3*/site-packages"))
    run(
        ROOT / PREFIX / "bin/python3", "-P", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider",
        *(f"tests/{room}" for room in TESTED),
        environment={"PYTHONPATH": f"{tools}:{HOUSE / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def needed_libraries() -> str:
    """What the compiled modules ask of Debian's own libraries: ``libc6 (>= ...), ...``."""
    (WORK / "shlibs/debian").mkdir(parents=True, exist_ok=True)
    (WORK / "shlibs/debian/control").write_text("Source: ostiary\n\nPackage: ostiary\nArchitecture: any\n")
    own = {f"-l{path.parent}" for path in shared_objects() if path.parent.name.endswith(".libs")}
    objects = [f"-e{path}" for path in shared_objects()]
    said = run("dpkg-shlibdeps", "-O", "--warnings=0", *sorted(own), *objects, cwd=WORK / "shlibs")
    return said.strip().removeprefix("shlibs:Depends=")


def make_control() -> Path:
    """DEBIAN/: control, conffiles, checksums, the maintainer scripts."""
    version, description = project()
    folder = ROOT / "DEBIAN"
    folder.mkdir()
    minor = sys.version_info.minor
    size = sum(path.lstat().st_size for path in ROOT.rglob("*") if path.is_file() and not path.is_symlink())
    architecture = run("dpkg", "--print-architecture").strip()
    values = {
        "version": version,
        "architecture": architecture,
        "maintainer": maintainer_of(),
        "size": str(size // 1024),
        "python": f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})",
        "libraries": needed_libraries(),
        "summary": "Layer 7 access gateway for PostgreSQL",
        "description": description,
    }
    (folder / "control").write_text((PACKAGING / "debian/control").read_text().format_map(values))
    conffiles = [path for path in sorted((ROOT / "etc").rglob("*")) if path.is_file()]
    (folder / "conffiles").write_text("".join(f"/{path.relative_to(ROOT)}\n" for path in conffiles))
    for script in ("postinst", "prerm", "postrm"):
        (folder / script).write_text((PACKAGING / "debian" / script).read_text())
        (folder / script).chmod(0o755)
    files = [path for path in sorted(ROOT.rglob("*")) if path.is_file() and not path.is_symlink()]
    named = [str(path.relative_to(ROOT)) for path in files if folder not in path.parents and path not in conffiles]
    (folder / "md5sums").write_text(run("md5sum", *named, cwd=ROOT))
    return HOUSE / "dist" / f"ostiary_{version}_{architecture}.deb"


def build(package: Path) -> None:
    package.parent.mkdir(exist_ok=True)
    for path in [ROOT, *ROOT.rglob("*")]:
        os.utime(path, (epoch(), epoch()), follow_symlinks=False)
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", ROOT, package)
    print(f"{package.relative_to(HOUSE)}: {package.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
