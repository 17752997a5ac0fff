from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from cli.made import Site
from support.pki import Pki
from support.sshd import make_key, public_line


def wrong(site: Site, *said: str) -> str:
    """The output of a check that finds just one problem, and says all of ``said``."""
    site.write()
    result = site.run("check")
    assert result.exit_code == 1, result.output
    assert "1 problem" in result.output, result.output
    for words in said:
        assert words in result.output, result.output
    assert "Mend: " in result.output
    return result.output


def test_well(site: Site) -> None:
    result = site.run("check")
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith("ostiary.yaml: ok")
    assert "warning: audit.sinks: none" in result.output


def test_nothing_is_made(site: Site) -> None:
    before = sorted(site.directory.rglob("*"))
    site.run("check")
    assert sorted(site.directory.rglob("*")) == before


def test_json(site: Site) -> None:
    site.settings["limits"] = {"login": "soon"}
    site.write()
    found = json.loads(site.run("check", "--json").output)
    assert found["ok"] is False
    [problem] = found["problems"]
    assert problem["file"] == str(site.config)
    assert problem["path"] == ["limits", "login"]
    assert problem["line"] > 0
    assert problem["mend"]


def test_all_problems_at_once(site: Site, pki: Pki) -> None:
    expired = pki.server(file="expired-1", expired=True)
    site.settings["tls"]["certificate"] = f"file:{expired.certificate}"
    site.settings["tls"]["key"] = f"file:{expired.key}"
    site.secret.unlink()
    site.policy = {"allow": [{"name": "x", "targets": ["orders"], "sql": {"verbs": ["selekt"]}}]}
    site.write()
    result = site.run("check")
    assert result.exit_code == 1
    assert "4 problems" in result.output, result.output
    for said in ("expired", "verbs", "credentials", str(site.secret)):
        assert said in result.output


def test_expired_certificate(site: Site, pki: Pki) -> None:
    expired = pki.server(file="expired-2", expired=True)
    site.settings["tls"] |= {"certificate": f"file:{expired.certificate}", "key": f"file:{expired.key}"}
    wrong(site, "expired on", str(expired.certificate), "renew it")


def test_key_of_another_certificate(site: Site, pki: Pki) -> None:
    other = pki.server(file="other")
    site.settings["tls"]["key"] = f"file:{other.key}"
    wrong(site, "is not the key of", str(other.key))


def test_key_that_is_not_there(site: Site) -> None:
    site.settings["tls"]["key"] = "file:/nowhere/gateway.key"
    wrong(site, "file:/nowhere/gateway.key", "No such file")


def test_key_that_is_none(site: Site) -> None:
    site.settings["tls"]["key"] = f"file:{site.secret}"
    wrong(site, str(site.secret), "PEM")


def test_client_ca_that_is_no_ca(site: Site, pki: Pki) -> None:
    client = pki.client("alice", file="cli-alice")
    site.settings["tls"]["client_ca"] = [f"file:{client.certificate}"]
    wrong(site, "is not a CA's certificate")


def test_revocation_list_of_another_ca(site: Site, stranger_pki: Pki) -> None:
    site.settings["tls"]["revocation"] = {"crl": [f"file:{stranger_pki.revoke([], file='stranger.crl')}"]}
    wrong(site, "revocation list")


def test_revocation_list_out_of_date(site: Site, pki: Pki) -> None:
    site.settings["tls"]["revocation"] = {"crl": [f"file:{pki.revoke([], file='old.crl', expired=True)}"]}
    wrong(site, "out of date")


def test_ca_of_a_target(site: Site) -> None:
    site.target["tls"]["ca"] = "file:/nowhere/ca.crt"
    wrong(site, "/nowhere/ca.crt")


def test_password_of_a_target(site: Site) -> None:
    site.target["credentials"][1]["password"] = "env:NO_SUCH_VARIABLE"
    wrong(site, "orders", "credentials", "NO_SUCH_VARIABLE")


def test_certificate_of_a_sink(site: Site) -> None:
    site.settings["audit"] = {
        "sinks": [{"name": "siem", "kind": "syslog-tls", "address": "siem:6514", "ca": "file:/nowhere/siem.crt"}]
    }
    wrong(site, "/nowhere/siem.crt")


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ({"webhook": "https://h/x", "secret": "SECRET"}, "whsec_"),
        ({"webhook": "SECRET", "name": "chat", "form": "slack"}, "is a secret that is not an https URL"),
        ({"webhook": "https://h/x", "form": "slack", "ca": "file:/nowhere/chat.crt"}, "/nowhere/chat.crt"),
    ],
)
def test_secrets_of_a_webhook(site: Site, webhook: dict[str, str], said: str) -> None:
    notify = {key: f"file:{site.secret}" if value == "SECRET" else value for key, value in webhook.items()}
    site.settings["approvals"] = {"notify": [notify]}
    assert "hunter2" not in wrong(site, said)


def test_password_file_open_to_everybody(site: Site) -> None:
    passwords = site.directory / "passwords.yaml"
    passwords.write_text("[]")
    passwords.chmod(0o644)
    site.settings["identity"] = {"passwords": f"file:{passwords}"}
    wrong(site, "open to everybody", f"chmod o-rwx {passwords}")


def test_recording_directory_that_others_may_write(site: Site) -> None:
    recordings = site.data / "recordings"
    recordings.mkdir(parents=True)
    recordings.chmod(0o770)
    wrong(site, "recording", "others can write there", "chmod g-w,o-w")


def test_recording_directory_that_is_a_file(site: Site) -> None:
    site.settings["recording"]["directory"] = str(site.secret)
    wrong(site, "directory")


def test_the_sealers_directory(site: Site) -> None:
    recordings = site.data / "recordings"
    site.settings["recording"]["sealer"] = "/run/ostiary-sealer/sealer.sock"
    wrong(site, "recording", "No such file or directory", "install -d -m 0750 -o ostiary-sealer -g ostiary")
    recordings.mkdir(parents=True)
    recordings.chmod(0o770)
    wrong(site, "recording", "others can write there")


def test_data_directory_below_a_file(site: Site) -> None:
    site.settings["node"]["data"] = f"{site.secret}/data"
    site.write()
    result = site.run("check")
    assert result.exit_code == 1
    assert "is not a directory" in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_as_root_another_owner_is_a_warning(site: Site) -> None:
    recordings = site.data / "recordings"
    recordings.mkdir(parents=True)
    os.chown(recordings, 4711, 4711)
    result = site.run("check")
    assert result.exit_code == 0, result.output
    assert "belongs to user 4711" in result.output


def test_signing_key_that_others_can_use(site: Site) -> None:
    key = site.data / "keys" / "recording.key"
    key.parent.mkdir(parents=True)
    key.write_text("x")
    key.chmod(0o644)
    wrong(site, "signing", "chmod 0600")


def test_signing_key_that_is_none(site: Site) -> None:
    site.settings["recording"]["signing_key"] = f"file:{site.secret}"
    wrong(site, "signing_key", "PEM")


def test_policy_warnings_do_not_fail(site: Site) -> None:
    site.policy = {"allow": [{"name": "everybody", "targets": ["orders"]}]}
    site.write()
    result = site.run("check")
    assert result.exit_code == 0
    assert "allows everybody who can log in" in result.output


def test_an_approval_that_nobody_can_give(site: Site) -> None:
    site.policy = {
        "allow": [{"name": "a", "targets": ["orders"]}],
        "approve": [{"name": "x", "targets": ["orders"], "approvers": {"principals": ["dora"], "needed": 2}}],
    }
    wrong(site, str(site.policy_file), "approvers", "need fewer")


ASKING = {
    "allow": [{"name": "a", "groups": ["engineers"], "targets": ["orders"]}],
    "approve": [{"name": "x", "targets": ["orders"], "approvers": {"groups": ["dba"]}}],
}


def test_approvers_in_a_group_that_nobody_is_in(site: Site) -> None:
    site.policy = ASKING
    site.write()
    assert "`dba` fits no group that anybody is in" in site.run("check").output
    site.settings["identity"] = {"certificates": {"groups_from": "ou"}}
    site.write()
    assert "fits no group" not in site.run("check").output


def test_approvers_in_a_group_of_the_password_file(site: Site, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords.yaml"
    hashed = f"$argon2id$v=19$m=7168,t=5,p=1${'A' * 22}${'A' * 43}"
    passwords.write_text(yaml.safe_dump([{"name": "dora", "groups": ["dba"], "password": hashed}]))
    passwords.chmod(0o600)
    site.policy = ASKING
    site.settings["identity"] = {"passwords": f"file:{passwords}"}
    site.write()
    result = site.run("check")
    assert result.exit_code == 0, result.output
    assert "fits no group" not in result.output


def test_a_password_file_that_cannot_be_read_tells_nothing_about_groups(site: Site, tmp_path: Path) -> None:
    site.policy = ASKING
    site.settings["identity"] = {"passwords": f"file:{tmp_path / 'missing'}"}
    assert "fits no group" not in wrong(site, "missing")


def test_a_policy_that_is_no_yaml(site: Site) -> None:
    site.policy = "allow: [\n  {name: x"
    wrong(site, f"{site.policy_file}:")


def test_an_unreadable_configuration(site: Site, tmp_path: Path) -> None:
    result = site.run("check", "--config", str(tmp_path))
    assert result.exit_code == 2  # click: it is a directory
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    result = site.run("check", "--config", str(fifo))
    assert result.exit_code == 1
    assert "is not a regular file" in result.output


HMAC = {
    "labels": {"pii.ssn": {"columns": {"orders": ["public.customers.ssn"]}}},
    "allow": [{"name": "read", "groups": ["analysts"], "targets": ["orders"]}],
    "masks": [{"labels": ["pii.ssn"], "method": {"hmac": {"key": "mask-key-1"}}}],
}


def test_a_key_that_is_not_there(site: Site) -> None:
    site.policy = HMAC
    wrong(site, str(site.policy_file), "masks", "method", "`mask-key-1` is no key", "masking.keys")


def test_a_key_that_is_too_short(site: Site) -> None:
    site.policy = HMAC
    site.settings["masking"] = {"keys": {"mask-key-1": f"file:{site.secret}"}}
    assert "hunter2" not in wrong(site, str(site.config), "mask-key-1", "less than 32 bytes", "openssl rand")


def test_a_key_that_is_well(site: Site) -> None:
    site.policy = HMAC
    site.secret.write_text("x" * 32)
    site.settings["masking"] = {"keys": {"mask-key-1": f"file:{site.secret}"}, "vault_key": f"file:{site.secret}"}
    site.write()
    result = site.run("check")
    assert result.exit_code == 0, result.output


def test_a_vault_key_that_others_can_read(site: Site) -> None:
    own = site.data / "keys" / "vault.key"
    own.parent.mkdir(parents=True)
    own.write_text("x" * 44)
    own.chmod(0o644)
    wrong(site, "vault_key", "others than its owner can use it", "chmod 0600")


def with_ssh(site: Site, tmp_path: Path) -> None:
    """An SSH listener and an SSH target that check has nothing against."""
    keys = {name: make_key(tmp_path / name) for name in ("host", "alice", "target", "ca")}
    registered = tmp_path / "keys.yaml"
    registered.write_text(yaml.safe_dump([{"principal": "alice", "keys": [public_line(keys["alice"])]}]))
    listener = {"address": "127.0.0.1:2222", "host_keys": [f"file:{keys['host']}"], "host_ca": f"file:{keys['ca']}"}
    site.settings["listeners"]["ssh"] = listener
    site.settings["identity"] = {"ssh_keys": f"file:{registered}"}
    site.target = {
        "name": "orders",
        "protocol": "ssh",
        "address": "web1:22",
        "host_keys": [public_line(keys["host"])],
        "credentials": [{"user": "deploy", "key": f"file:{keys['target']}"}],
    }
    site.policy = {"allow": [{"name": "all", "groups": ["x"], "targets": ["orders"], "ssh": {"logins": ["*"]}}]}


def test_ssh(site: Site, tmp_path: Path) -> None:
    with_ssh(site, tmp_path)
    site.write()
    result = site.run("check")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("host", ("listeners:", "host_keys:", "is no private key that can be read")),
        ("ca", ("listeners:", "host_ca:", "is no private key that can be read")),
        ("target", ("credentials:", "is no private key that can be read")),
        ("keys.yaml", ("keys.yaml", "not a list")),
    ],
)
def test_keys_for_ssh_that_can_not_be_read(site: Site, tmp_path: Path, file: str, said: tuple[str, ...]) -> None:
    with_ssh(site, tmp_path)
    (tmp_path / file).write_text("rubbish\n")
    wrong(site, *said)


def test_a_host_key_with_a_passphrase(site: Site, tmp_path: Path) -> None:
    with_ssh(site, tmp_path)
    change = ["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(tmp_path / "host")]
    subprocess.run(change, check=True, capture_output=True)
    assert "secret" not in wrong(site, "is no private key that can be read")
