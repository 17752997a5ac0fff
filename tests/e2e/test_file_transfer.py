"""SFTP and scp with OpenSSH's clients and servers, and the relays between them; without SSH, which is not theirs."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from support.piped import Piped

pytestmark = pytest.mark.e2e

BIG = 50_000_000


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Piped:
    return Piped(tmp_path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def big(path: Path) -> str:
    with path.open("wb") as file:
        for _ in range(BIG // 1_000_000):
            file.write(os.urandom(1_000_000))
    return digest(path)


def worked(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_sftp_carries_content_whole_and_its_digest_is_known(there: Piped, here: Path) -> None:
    expected = big(here / "big")
    worked(there.sftp("put big there\nget there back\n", here))
    assert digest(here / "back") == expected
    assert digest(there.home / "there") == expected
    flows = {line["done"]: line for line in there.report("done") if line["read"] or line["written"]}
    put, got = flows.values()
    assert put["written"] == {"size": BIG, "start": 0, "digest": expected, "to_end": False}
    assert got["read"] == {"size": BIG, "start": 0, "digest": expected, "to_end": True}


def test_sftp_goes_on_where_it_stopped(there: Piped, here: Path) -> None:
    expected = big(here / "big")
    half = BIG // 2 + 12_345
    content = (here / "big").read_bytes()
    (there.home / "there").write_bytes(content[:half])
    (here / "back").write_bytes(content[:half])
    worked(there.sftp("put -a big there\nget -a there back\n", here))
    assert digest(there.home / "there") == expected
    assert digest(here / "back") == expected
    rest = hashlib.sha256(content[half:]).hexdigest()
    put = next(line["written"] for line in there.report("done") if line["written"])
    got = next(line["read"] for line in there.report("done") if line["read"])
    assert (put["start"], put["digest"]) == (half, rest)
    assert (got["start"], got["digest"], got["to_end"]) == (half, rest, True)


def test_sftp_does_what_a_session_does(there: Piped, here: Path) -> None:
    (here / "file").write_text("content")
    (here / "tree" / "deep").mkdir(parents=True)
    (here / "tree" / "deep" / "leaf").write_text("leaf")
    shown = worked(
        there.sftp(
            """
            pwd
            put -p file
            mkdir d
            rename file d/moved
            ln d/moved same
            ln -s d/moved link
            chmod 600 same
            put -R tree
            get -R tree copy
            ls -l
            ls -la d
            df
            cp d/moved copied
            rm same
            cd d
            pwd
            rm moved
            cd ..
            rmdir d
            """,
            here,
        )
    )
    assert f"Remote working directory: {there.home}\n" in shown
    assert f"Remote working directory: {there.home}/d\n" in shown
    assert sorted(path.name for path in there.home.iterdir()) == ["copied", "link", "tree"]
    assert (there.home / "copied").read_text() == "content"
    assert (here / "copy" / "deep" / "leaf").read_text() == "leaf"
    asked = {line["ask"].split()[0] for line in there.report("ask")}
    assert {
        "open",
        "opendir",
        "mkdir",
        "posix-rename",
        "hardlink",
        "symlink",
        "setstat",
        "copy-data",
        "statvfs",
    } <= asked
    assert {"remove", "rmdir", "stat", "lstat"} <= asked


@pytest.mark.parametrize("resolve", [True, False])
def test_what_is_refused_is_said_and_the_session_goes_on(tmp_path: Path, here: Path, resolve: bool) -> None:
    secret = tmp_path / "home" / "secret"
    there = Piped(tmp_path, deny={"read": [str(secret)], "write": [str(secret)]}, resolve=resolve)
    secret.mkdir()
    (secret / "key").write_text("secret")
    (here / "file").write_text("content")
    ended = there.sftp(
        """
        -get secret/key
        -put file secret/key
        -rm secret/key
        -rename secret open
        -symlink secret/key open
        -chmod 777 secret/key
        put file allowed
        """,
        here,
    )
    assert ended.returncode == 0
    assert ended.stderr.count("Permission denied") + ended.stderr.count("permission denied") == 6, ended.stderr
    assert (there.home / "allowed").read_text() == "content"
    assert sorted(path.name for path in there.home.iterdir()) == ["allowed", "secret"]
    assert (secret / "key").read_text() == "secret"
    assert not (here / "key").exists()


def test_scp_carries_content_whole_and_its_digest_is_known(there: Piped, here: Path) -> None:
    expected = big(here / "big")
    worked(there.scp("big", "h:there", cwd=here))
    worked(there.scp("h:there", "back", cwd=here))
    assert digest(there.home / "there") == expected
    assert digest(here / "back") == expected
    put, got = there.report("done")
    assert put["written"]["digest"] == got["read"]["digest"] == expected
    assert put["written"]["size"] == got["read"]["size"] == BIG


def test_scp_carries_trees_with_modes_and_times(there: Piped, here: Path) -> None:
    tree = here / "tree"
    (tree / "a b" / "deep").mkdir(parents=True)
    (tree / "empty").touch()
    (tree / "a b" / "run").write_text("#!/bin/sh\n")
    (tree / "a b" / "run").chmod(0o750)
    (tree / "a b" / "deep" / "café").write_text("leaf")
    os.utime(tree / "a b" / "run", (1_000_000_000, 1_100_000_000))
    worked(there.scp("-rp", "tree", "h:new", cwd=here))
    worked(there.scp("-rp", "tree", "h:new", cwd=here))  # now it is a directory: the same tree comes into it
    worked(there.scp("-rp", "h:new", "back", cwd=here))
    for copy in (there.home / "new", there.home / "new" / "tree", here / "back"):
        assert (copy / "a b" / "deep" / "café").read_text() == "leaf"
        assert (copy / "empty").stat().st_size == 0
        info = (copy / "a b" / "run").stat()
        assert (info.st_mode & 0o777, info.st_mtime) == (0o750, 1_100_000_000)


def test_scp_says_what_is_refused_and_goes_on(tmp_path: Path, here: Path) -> None:
    secret = tmp_path / "home" / "secret"
    there = Piped(tmp_path, deny={"read": [str(secret)], "write": [str(secret)]})
    secret.mkdir()
    (secret / "key").write_text("secret")
    for name in ("one", "two"):
        (here / name).write_text(name)
    ended = there.scp("one", "two", "h:secret", cwd=here)
    assert (ended.returncode, ended.stderr.count("not with these rules")) == (1, 2)
    ended = there.scp("h:secret/key", "h:missing", ".", cwd=here)
    assert ended.returncode == 1
    assert "not with these rules" in ended.stderr
    assert "No such file" in ended.stderr
    (there.home / "free").write_text("free")
    assert there.scp("-r", "h:", "all", cwd=here).returncode == 1
    assert not list(here.rglob("key"))
    assert (here / "all" / "free").read_text() == "free"
    assert (secret / "key").read_text() == "secret"
    assert sorted(path.name for path in secret.iterdir()) == ["key"]


@pytest.mark.parametrize("resolve", [True, False])
def test_scp_and_symbolic_links(tmp_path: Path, here: Path, resolve: bool) -> None:
    """Only where the target is asked on another channel are they seen."""
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "key").write_text("secret")
    there = Piped(tmp_path, deny={"read": [str(vault)], "write": [str(vault)]}, resolve=resolve)
    for name, where in {"out": "../vault", "file": "../vault/key", "new": "../vault/new"}.items():
        (there.home / name).symlink_to(where)
    (here / "evil").write_text("evil")
    (here / "tree").mkdir()
    got = there.scp("h:out/key", "h:file", ".", cwd=here)
    put = [there.scp("evil", f"h:{where}", cwd=here) for where in ("out", "file", "new", "out/key")]
    put.append(there.scp("-r", "tree", "h:out/", cwd=here))
    codes = {ended.returncode for ended in [got, *put]}
    assert codes == ({1} if resolve else {0})
    assert (sorted(path.name for path in vault.iterdir()) == ["key"]) is resolve
    assert ((vault / "key").read_text() == "secret") is resolve
    assert (here / "key").exists() is not resolve
    worked(there.scp("evil", "h:", cwd=here))
    worked(there.scp("evil", "h:fresh", cwd=here))
    assert (there.home / "fresh").read_text() == "evil"
