#!/usr/bin/python
# Copyright: The Ostiary authors
# Apache-2.0, see LICENSE
"""Puts the files of a configuration directory in place, all of them or none."""

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration
short_description: Put a configuration directory in place as a whole, after it was validated
version_added: 0.1.0
description:
  - Makes a copy of O(directory) in memory as it would be afterwards, runs O(validate) on the copy, and only when that
    finds nothing wrong replaces what differs, each file by a rename.
  - The C(validate) of M(ansible.builtin.template) sees one file; here what is wrong may lie between two of them.
  - A configuration that is refused leaves everything as it was.
author:
  - The Ostiary authors (@ostiary)
options:
  directory:
    description: The configuration's directory. It exists, unless in check mode.
    type: path
    required: true
  parts:
    description: What is to be there, in the order in which it is replaced.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: A directory relative to O(directory); C(.) is itself. It belongs to root.
        type: str
        default: .
      files:
        description: File name to content.
        type: dict
        required: true
      group:
        description: The group of the directory and its files.
        type: str
        default: root
      directory_mode:
        description: The directory's mode, octal.
        type: str
        default: "0750"
      file_mode:
        description: The files' mode, octal.
        type: str
        default: "0640"
      exclusive:
        description: Whether other files are removed from the directory.
        type: bool
        default: false
      secret:
        description: Whether contents are kept out of differences, too.
        type: bool
        default: false
  validate:
    description:
      - A command and its arguments; C({staged}) in them is the copy's path. Status 0 says that nothing is wrong.
      - It runs each time, also in check mode and when nothing differs, so it must not change anything.
      - In check mode a command that is not installed yet is left out.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Says what would change, and whether the result would be refused.
  diff_mode:
    support: full
    description: Shows differences of files that are not secret.
"""

EXAMPLES = r"""
- name: Put the gateway's configuration in place
  ostiary.gateway.configuration:
    directory: /etc/ostiary
    parts:
      - path: targets.d
        files: {orders.yaml: "{{ orders | to_nice_yaml }}"}
        group: ostiary
        exclusive: true
      - files: {ostiary.yaml: "{{ config | to_nice_yaml }}"}
        group: ostiary
    validate: [ostiary, check, --config, "{staged}/ostiary.yaml"]
"""

RETURN = r"""
written:
  description: Files that were replaced or made, relative to the directory.
  type: list
  elements: str
  returned: success
removed:
  description: Files that were removed.
  type: list
  elements: str
  returned: success
validated:
  description: What the command said; null when it was left out.
  type: str
  returned: success
"""

import difflib  # noqa: E402  # Ansible wants the documentation first
import grp  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import stat  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

STAGING = "/run"
"""The copy holds secrets: it lies in memory."""

PART: dict[str, dict[str, Any]] = {
    "path": {"type": "str", "default": "."},
    # never in a log; what isn't secret can be seen as a difference
    "files": {"type": "dict", "required": True, "no_log": True},
    "group": {"type": "str", "default": "root"},
    "directory_mode": {"type": "str", "default": "0750"},
    "file_mode": {"type": "str", "default": "0640"},
    "exclusive": {"type": "bool", "default": False},
    "secret": {"type": "bool", "default": False, "no_log": False},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "directory": {"type": "path", "required": True},
    "parts": {"type": "list", "elements": "dict", "required": True, "options": PART},
    "validate": {"type": "list", "elements": "str", "default": []},
}


class Entry:
    """One wanted file or directory, and what is there now."""

    def __init__(self, directory: Path, name: Path, mode: str, gid: int) -> None:
        self.name = name
        self.path = directory / name
        self.mode = int(mode, 8)
        self.gid = gid
        self.status = self.path.lstat() if self.path.exists() or self.path.is_symlink() else None

    @property
    def has_rights(self) -> bool:
        there = self.status
        wanted = (self.mode, 0, self.gid)
        return there is not None and (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid) == wanted

    def give_rights(self, path: Path) -> None:
        os.chown(path, 0, self.gid)
        path.chmod(self.mode)


class File(Entry):
    """A wanted file."""

    def __init__(self, directory: Path, name: Path, mode: str, gid: int, content: str, *, secret: bool) -> None:
        super().__init__(directory, name, mode, gid)
        self.content = content.encode()
        self.secret = secret
        is_file = self.status is not None and stat.S_ISREG(self.status.st_mode)
        self.before = self.path.read_bytes() if is_file else None

    @property
    def differs(self) -> bool:
        return self.before != self.content or not self.has_rights

    def write(self, directory: Path) -> None:
        """Replaces it below ``directory``: whoever reads it meanwhile sees the old or the new one, whole."""
        path = directory / self.name
        fd, name = tempfile.mkstemp(prefix=".", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(self.content)
                self.give_rights(temporary)
                file.flush()
                os.fsync(fd)
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise

    def difference(self) -> str:
        if self.secret:
            return f"{self.path} differs; it is secret\n"
        before = (self.before or b"").decode(errors="replace").splitlines(keepends=True)
        after = self.content.decode().splitlines(keepends=True)
        lines = difflib.unified_diff(before, after, str(self.path), str(self.path))
        return "".join(lines) or f"{self.path}: mode, owner or group\n"


class Configuration:
    """The directory as it is and as it shall be."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.directory = Path(module.params["directory"])
        self.new_directories: list[Entry] = []
        self.new_files: list[File] = []
        self.strays: list[Path] = []
        for part in module.params["parts"]:
            self.compare(part)

    def compare(self, part: dict[str, Any]) -> None:
        gid = self.group(part["group"])
        below = Path(part["path"])
        folder = Entry(self.directory, below, part["directory_mode"], gid)
        if not folder.has_rights:
            self.new_directories.append(folder)
        for name, content in part["files"].items():
            file = File(self.directory, below / name, part["file_mode"], gid, content, secret=part["secret"])
            if file.differs:
                self.new_files.append(file)
        if part["exclusive"] and folder.path.is_dir():
            others = (path for path in folder.path.iterdir() if path.name not in part["files"] and not path.is_dir())
            self.strays += sorted(path.relative_to(self.directory) for path in others)

    def group(self, name: str) -> int:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            if not self.module.check_mode:  # there, the package that makes it isn't installed yet
                self.module.fail_json(msg=f"there is no group {name}")
            return -1

    def validate(self) -> str | None:
        """What the command says of the copy; ends the module when it says no."""
        command = self.module.params["validate"]
        if not command or (self.module.check_mode and not self.directory.is_dir()):
            return None
        place = Path(tempfile.mkdtemp(prefix="configuration-", dir=STAGING))
        staged = place / "staged"
        try:
            self.stage(staged)
            status, out, err = self.module.run_command([part.replace("{staged}", str(staged)) for part in command])
        finally:
            shutil.rmtree(place)
        said: str = (out + err).replace(str(staged), str(self.directory)).strip()
        if status:
            self.module.fail_json(msg=f"refused, and nothing was changed:\n{said}", validated=said)
        return said

    def stage(self, staged: Path) -> None:
        """The directory as it would be; owners included, since what a user may read is part of the question."""
        shutil.copytree(self.directory, staged, symlinks=True)
        for source in [self.directory, *self.directory.rglob("*")]:
            there = source.lstat()
            os.lchown(staged / source.relative_to(self.directory), there.st_uid, there.st_gid)
        self.place(staged)

    def place(self, directory: Path) -> None:
        for each in self.new_directories:
            path = directory / each.name
            path.mkdir(parents=True, exist_ok=True)
            each.give_rights(path)
        for file in self.new_files:
            file.write(directory)
        for name in self.strays:
            (directory / name).unlink()

    def difference(self) -> str:
        parts = [f"{each.path}: directory, mode, owner or group\n" for each in self.new_directories]
        parts += [each.difference() for each in self.new_files]
        parts += [f"{self.directory / name} is removed\n" for name in self.strays]
        return "".join(parts)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    configuration = Configuration(module)
    said = configuration.validate()
    changed = bool(configuration.new_directories or configuration.new_files or configuration.strays)
    if changed and not module.check_mode:
        configuration.place(configuration.directory)
    module.exit_json(
        changed=changed,
        written=[str(each.name) for each in configuration.new_files],
        removed=[str(name) for name in configuration.strays],
        validated=said,
        diff={"prepared": configuration.difference()},
    )


if __name__ == "__main__":
    main()
