from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli.made import Site
from recording.made import ACCESS, KEY, NOON, Node, conversation

from gateway.audit import AuditLog, SessionContext
from gateway.audit.events import SessionClosed, SessionOpened
from gateway.recording.keys import export_public, load_or_create


@pytest.fixture
def node(site: Site) -> Node:
    """Recordings of this site, under its own key."""
    return Node(site.data / "recordings", key=load_or_create(site.data / "keys" / "recording.key"))


def closed(node: Node) -> Path:
    recorder = node.begin()
    recorder.event("error", status="42501", text="permission \x1b[2J denied")
    recorder.close("client left")
    return node.path(recorder)


def test_list(site: Site, node: Node) -> None:
    path = closed(node)
    node.begin()
    result = site.run("recordings", "list")
    assert result.exit_code == 0
    assert path.stem in result.output
    assert [line.split()[1] for line in result.output.splitlines()] == ["state", "closed", "open"]
    found = json.loads(site.run("recordings", "list", "--json").output)
    assert [one["state"] for one in found] == ["closed", "open"]
    assert found[0]["path"] == str(path)


def test_an_empty_list(site: Site) -> None:
    assert site.run("recordings", "list").exit_code == 0
    assert json.loads(site.run("recordings", "list", "--json").output) == []


@pytest.mark.parametrize("by", ["path", "id"])
def test_show_and_export(site: Site, node: Node, by: str) -> None:
    path = closed(node)
    named = str(path) if by == "path" else path.stem
    shown = site.run("recordings", "show", named)
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "permission \\x1b[2J denied" in shown.output
    events = [json.loads(line) for line in site.run("recordings", "export", named).output.splitlines()]
    assert [event["event"] for event in events] == ["opened", "error", "closed"]


def test_show_of_what_is_not_there(site: Site) -> None:
    result = site.run("recordings", "show", "01a20d9c-0ca6-728d-a4fb-38a6861e4da6")
    assert result.exit_code == 1
    assert "there is no such recording" in result.output
    assert site.run("recordings", "show", "not-an-id").exit_code == 2
    assert site.run("recordings", "show", "../../etc/passwd").exit_code == 1


def test_show_up_to_the_damage(site: Site, node: Node) -> None:
    path = closed(node)
    flip(path, -50)
    result = site.run("recordings", "show", str(path))
    assert result.exit_code == 1
    assert "opened" in result.output
    assert "byte" in result.output


def test_key(site: Site, node: Node) -> None:
    own = export_public(load_or_create(site.data / "keys" / "recording.key"))
    assert site.run("recordings", "key").output == own
    assert json.loads(site.run("recordings", "key", "--json").output)["pem"] == own


def test_key_is_never_made_here(site: Site) -> None:
    result = site.run("recordings", "key")
    assert result.exit_code == 1
    assert not site.data.exists()


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def audited(site: Site, *paths: Path, ended: bool = True) -> None:
    """The audit log of those recordings, as the gateway writes it."""
    log = AuditLog(site.data / "audit", node="gw1", clock=lambda: NOON)
    for path in paths:
        context = SessionContext(path.stem, ACCESS)
        log.append(SessionOpened(context, ("all",), path.stem))
        if ended:
            data = path.read_bytes()
            log.append(SessionClosed(context, "client left", 0, 0, len(data), data[-32:].hex()))
    log.close()


def test_verify_all(site: Site, node: Node) -> None:
    paths = [closed(node), closed(node)]
    audited(site, *paths)
    for arguments in ((), ("--all",)):
        result = site.run("recordings", "verify", *arguments)
        assert result.exit_code == 0, result.output
        assert "2 recordings, all verified" in result.output
    found = json.loads(site.run("recordings", "verify", "--json").output)
    assert found["ok"] is True
    assert found["audit_log"] == "read"
    assert [one["state"] for one in found["recordings"]] == ["complete", "complete"]


def test_verify_names_the_first_wrong_byte(site: Site, node: Node) -> None:
    path = closed(node)
    flip(path, -50)
    audited(site)
    result = site.run("recordings", "verify", path.stem)
    assert result.exit_code == 1
    assert "WRONG" in result.output
    assert "byte" in result.output
    assert "event" in result.output
    found = json.loads(site.run("recordings", "verify", "--json", path.stem).output)
    assert found["ok"] is False
    assert found["recordings"][0]["findings"][0]["offset"] > 0


def test_a_missing_recording_is_missed(site: Site, node: Node) -> None:
    paths = [closed(node), closed(node)]
    audited(site, *paths)
    paths[0].unlink()
    result = site.run("recordings", "verify")
    assert result.exit_code == 1
    assert "missing" in result.output
    assert "1 not verified" in result.output


def test_a_cut_is_told_from_a_crash(site: Site, node: Node) -> None:
    whole, crashed = closed(node), node.path(node.begin())
    audited(site, whole)
    audited(site, crashed, ended=False)
    result = site.run("recordings", "verify")
    assert result.exit_code == 0, result.output
    assert "never closed" in result.output
    whole.write_bytes(whole.read_bytes()[:-200])
    result = site.run("recordings", "verify")
    assert result.exit_code == 1
    assert ": cut:" in result.output


def test_without_an_audit_log_no_end_proves_nothing(site: Site, node: Node, tmp_path: Path) -> None:
    crashed = node.path(node.begin())
    public = tmp_path / "node.pub"
    public.write_text(site.run("recordings", "key").output)
    result = site.run("recordings", "verify", "--public-key", str(public), str(crashed))
    assert result.exit_code == 1
    assert "only the audit log can tell" in result.output


def test_a_changed_audit_log_proves_nothing(site: Site, node: Node) -> None:
    path = closed(node)
    audited(site, path)
    [segment] = (site.data / "audit").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"client left", b"client Left"))
    result = site.run("recordings", "verify")
    assert result.exit_code == 1
    assert "audit log: " in result.output


def test_offline_with_a_key_alone(site: Site, node: Node, tmp_path: Path) -> None:
    path = closed(node)
    public = tmp_path / "node.pub"
    public.write_text(site.run("recordings", "key").output)
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    arguments = ("recordings", "verify", "--public-key", str(public), "--config", "/nowhere", str(copy))
    result = site.run(*arguments)
    assert result.exit_code == 0, result.output
    audited(site, path)
    result = site.run(*arguments, "--audit-log", str(site.data / "audit"))
    assert result.exit_code == 0, result.output


def test_another_nodes_key(site: Site, node: Node, tmp_path: Path) -> None:
    path = closed(node)
    public = tmp_path / "other.pub"
    public.write_text(export_public(KEY))
    result = site.run("recordings", "verify", "--public-key", str(public), str(path))
    assert result.exit_code == 1
    assert "was signed with the key" in result.output


def test_one_that_can_not_be_read_is_wrong_and_the_others_are_verified(site: Site, node: Node) -> None:
    path = closed(node)
    audited(site, path)
    directory = path.with_name("01a20d9c-0ca6-728d-a4fb-38a6861e4da6.ostrec")
    directory.mkdir()
    result = site.run("recordings", "verify")
    assert result.exit_code == 1
    assert "is no file" in result.output
    assert "2 recordings, 1 not verified" in result.output


def test_a_longer_recording(site: Site, node: Node) -> None:
    path = conversation(node)
    audited(site, path)
    assert site.run("recordings", "verify", str(path)).exit_code == 0


def test_usage(site: Site) -> None:
    assert site.run("recordings", "verify", "--all", "x.ostrec").exit_code == 2
    assert site.run("recordings", "verify", "nonsense").exit_code in (1, 2)
