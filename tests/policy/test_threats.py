"""What threats.md says of SSH, as far as policy answers it; each test names its line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy.made import NOON, WEB, access, snapshot

from gateway.errors import ConfigError
from gateway.model import Address, FileUse, Outcome, SshOperation
from gateway.policy.explain import explain
from gateway.protocols.ssh.operation import (
    agent,
    environment,
    execute,
    file,
    forward_local,
    forward_local_socket,
    forward_remote,
    forward_remote_socket,
    shell,
    subsystem,
    x11,
)

DEPLOY = access(to=WEB, database="", role="deploy")
READ = file("sftp", "read /etc/shadow", [FileUse("read", "/etc/shadow")])
COMMANDS_ONLY = snapshot("allow: [{name: a, targets: [web1], ssh: {logins: [deploy], exec: ['/usr/bin/deploy *']}}]")
SHELLS = snapshot("allow: [{name: a, targets: [web1], ssh: {logins: [deploy], requests: [shell, exec]}}]")
ANYTHING = snapshot("allow: [{name: a, targets: [web1]}]")

FORWARDS = [
    forward_local("db", 5432),
    forward_local("localhost", 22),
    forward_local_socket("/run/docker.sock"),
    forward_remote("", 8080),
    forward_remote_socket("/run/x"),
]


@pytest.mark.parametrize("asked", FORWARDS)
@pytest.mark.parametrize("rules", [COMMANDS_ONLY, SHELLS, ANYTHING])
def test_forwards_follow_rules(rules: object, asked: SshOperation) -> None:
    """direct-tcpip skips rules (Teleport 10.3.11): whoever may do anything else may not forward by that."""
    assert rules.decide(DEPLOY, asked, NOON).outcome is Outcome.DENY  # type: ignore[attr-defined]


@pytest.mark.parametrize("asked", [agent(), x11(), environment("LD_PRELOAD", "/tmp/x"), environment("TERM", "/tmp/x")])
@pytest.mark.parametrize("rules", [COMMANDS_ONLY, SHELLS, ANYTHING])
def test_what_is_lent_or_changes_every_command_has_to_be_named(rules: object, asked: SshOperation) -> None:
    """LD_PRELOAD through env; agent and X11 beside it."""
    assert rules.decide(DEPLOY, asked, NOON).outcome is Outcome.DENY  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "variable", ["LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV", "PYTHONPATH", "PERL5OPT", "IFS", "PATH"]
)
def test_no_glob_lets_the_loaders_variables_pass(variable: str) -> None:
    """LD_PRELOAD through env."""
    rules = snapshot("allow: [{name: a, ssh: {logins: [deploy], env: ['*', 'LD_*', 'P*', 'B*', 'E*', 'I*']}}]")
    assert rules.decide(DEPLOY, environment(variable, "x"), NOON).outcome is Outcome.DENY
    assert rules.decide(DEPLOY, environment("APP", "x"), NOON).outcome is Outcome.ALLOW


@pytest.mark.parametrize(
    "asked",
    [
        subsystem("sftp"),
        subsystem("SFTP"),
        subsystem("internal-sftp"),
        READ,
        replace(READ, verbs=frozenset({"file", "scp", "read"})),
        execute(b"scp -f /etc/shadow"),
        execute(b"scp -t /etc"),
        execute(b"/usr/lib/openssh/sftp-server"),
        execute(b"rsync --server --sender . /etc/shadow"),
    ],
)
def test_files_follow_rules(asked: SshOperation) -> None:
    """SFTP/SCP skips rules (the-bastion CVE-2023-45140): a rule for commands opens no way to files."""
    assert COMMANDS_ONLY.decide(DEPLOY, asked, NOON).outcome is Outcome.DENY


@pytest.mark.parametrize("asked", [READ, subsystem("sftp"), execute(b"scp -f /srv/a")])
def test_a_shell_opens_no_way_around_the_rules_for_files(asked: SshOperation) -> None:
    """SFTP/SCP skips rules: what may be typed in a shell is another matter, which docs/policy.md says."""
    assert SHELLS.decide(DEPLOY, asked, NOON).outcome is Outcome.DENY


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1", "0x7f.1", "::1", "::ffff:7f00:1", "0", "localhost."]
)
def test_no_way_back_to_the_targets_own_sshd(host: str) -> None:
    """Recording avoided by -L to the target's own sshd (Warpgate 950): only who names it gets there."""
    allow = "allow: [{name: a, ssh: {logins: [deploy], destinations: ['db.internal:*', '*.internal:22']}}]"
    assert snapshot(allow).decide(DEPLOY, forward_local(host, 22), NOON).outcome is Outcome.DENY
    deny = """
        allow: [{name: a, ssh: {logins: [deploy], destinations: ['*:*']}}]
        deny: [{name: d, ssh: {destinations: ['localhost:22', '127.*:22', '[::1]:22', '0.0.0.0:22']}}]
        """
    assert snapshot(deny).decide(DEPLOY, forward_local(host, 22), NOON).outcome is Outcome.DENY
    assert snapshot(deny).decide(DEPLOY, forward_local("db.internal", 22), NOON).outcome is Outcome.ALLOW
    glob = "allow: [{name: a, ssh: {logins: [deploy], destinations: ['*:*', 'local*:22', '[::*]:22', '127.0.?.1:22']}}]"
    assert snapshot(glob).decide(DEPLOY, forward_local(host, 22), NOON).outcome is Outcome.DENY
    assert snapshot(glob).decide(DEPLOY, forward_local(host, 80), NOON).outcome is Outcome.ALLOW
    destination = forward_local(host, 22).destination
    exact = f"allow: [{{name: a, ssh: {{logins: [deploy], destinations: ['{destination}']}}}}]"
    assert snapshot(exact).decide(DEPLOY, forward_local(host, 22), NOON).outcome is Outcome.ALLOW


@pytest.mark.parametrize(
    ("address", "back", "elsewhere"),
    [
        (Address("web1.internal", 2222), ["localhost:2222", "web1.internal:22", "web1:2222", "WEB1.internal.:2222"],
         ["web1.internal:80", "web2.internal:22", "localhost:2223"]),
        (Address("192.0.2.7", 22), ["192.0.2.7:22", "::ffff:192.0.2.7:22", "0xc0000207:22", "127.9.9.9:22", "web1:22"],
         ["192.0.2.8:22", "192.0.2.7:443"]),
        (Address("2001:db8::7", 22), ["2001:DB8:0::7:22", "::1:22", ":::22"], ["2001:db8::8:22"]),
    ],
)  # fmt: skip
def test_the_targets_own_address_is_a_way_back_too(address: Address, back: list[str], elsewhere: list[str]) -> None:
    who = replace(DEPLOY, target=replace(DEPLOY.target, name="web1", address=address))
    rules = snapshot("allow: [{name: a, ssh: {logins: [deploy], destinations: ['*:*']}}]")
    for text in (*back, *elsewhere):
        host, _, port = text.rpartition(":")
        outcome = rules.decide(who, forward_local(host, int(port)), NOON).outcome
        assert outcome is (Outcome.DENY if text in back else Outcome.ALLOW), text
        explained = str(explain(rules, who, forward_local(host, int(port)), NOON))
        assert ("the target's own sshd" in explained) is (text in back)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("10.0.0.1", True), ("10.0.0.1.example.org", False), ("0xa000001", True), ("10.0.0.x", False), ("db1", True)],
)
def test_a_name_does_not_pass_for_an_address(host: str, allowed: bool) -> None:
    rules = snapshot("allow: [{name: a, ssh: {logins: [deploy], destinations: ['10.0.0.*:443', 'db?:443']}}]")
    assert (rules.decide(DEPLOY, forward_local(host, 443), NOON).outcome is Outcome.ALLOW) is allowed


@pytest.mark.parametrize(
    "command",
    [
        b"ls;rm -rf /srv", b"ls${IFS};rm", b"rm${IFS}-rf${IFS}/srv", b"r\\m -rf /srv", b"r''m -rf /srv",
        b'"rm" -rf /srv',
        b"echo cm0gLXJm|base64 -d|sh", b"ls\nrm -rf /srv", b"tmux new -d 'rm -rf /srv'", b"vim -c '!rm -rf /srv'",
        b"exec rm -rf /srv", b"sh -c 'rm -rf /srv'", b"env rm -rf /srv", b"ls $(rm -rf /srv)", b"ls `rm -rf /srv`",
    ],
)  # fmt: skip
def test_no_command_filter_is_avoided_where_commands_are_named(command: bytes) -> None:
    """Command filter avoided by exec, tmux, vim, multi-line paste, ls;rm, $IFS, quoting, base64 (CVE-2023-48193)."""
    rules = snapshot("allow: [{name: a, ssh: {logins: [deploy], exec: ['ls **']}}]")
    assert rules.decide(DEPLOY, execute(command), NOON).outcome is Outcome.DENY
    assert rules.decide(DEPLOY, shell(), NOON).outcome is Outcome.DENY


@pytest.mark.parametrize("policy", ["", "allow: []", "allow: [{name: a, ssh: {logins: [root]}}]"])
def test_an_empty_policy_allows_nobody(policy: str) -> None:
    """Empty policy meaning allow (Warpgate 129)."""
    assert snapshot(policy).admits(DEPLOY, NOON).outcome is Outcome.DENY
    assert snapshot(policy).decide(DEPLOY, shell(), NOON).outcome is Outcome.DENY


@pytest.mark.parametrize(
    "section", ["logins: []", "logins:", "logins: [a], exec: []", "logins: [a], files: {read: []}", ""]
)
def test_an_empty_list_is_no_condition_but_an_error(section: str) -> None:
    """Empty policy meaning allow (Warpgate 129); Acra's empty list."""
    with pytest.raises(ConfigError):
        snapshot(f"allow: [{{name: a, ssh: {{{section}}}}}]")


@pytest.mark.parametrize("login", ["deploy,root", "deploy ", "deploy\n", "Deploy", "deploy@web1", "", "root"])
def test_a_login_is_compared_whole(login: str) -> None:
    """Comma in a principal (CVE-2026-35414); user name changed mid-way (GHSA-c94j-vqr5-3mxr)."""
    rules = snapshot("allow: [{name: a, ssh: {logins: [deploy, 'app-?']}}]")
    assert rules.admits(replace(DEPLOY, role=login), NOON).outcome is Outcome.DENY
    assert rules.decide(replace(DEPLOY, role=login), shell(), NOON).outcome is Outcome.DENY


@pytest.mark.parametrize("asked", [shell(), execute(b"id"), READ, forward_local("db", 22)])
def test_nobodys_yes_gets_past_a_deny(asked: SshOperation) -> None:
    """Deny not respected by requests (Teleport 34599)."""
    rules = snapshot(
        """
        allow: [{name: a, ssh: {logins: [deploy], requests: [shell, exec, sftp, forward_local], destinations: ['*:*']}}]
        deny: [{name: d, ssh: {logins: [deploy]}}]
        approve: [{name: b, ssh: {logins: [deploy]}, approvers: {groups: [g]}}]
        """
    )
    assert rules.decide(DEPLOY, asked, NOON).outcome is Outcome.DENY


@pytest.mark.parametrize(("address", "allowed"), [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("192.0.2.1", False),
                                                  ("", False), ("10.1.2.3, 192.0.2.1", False)])  # fmt: skip
def test_an_address_pins_requests_too(address: str, allowed: bool) -> None:
    """IP pin bypass."""
    rules = snapshot("allow: [{name: a, from: [10.0.0.0/8], ssh: {logins: [deploy]}}]")
    assert (rules.decide(replace(DEPLOY, address=address), shell(), NOON).outcome is Outcome.ALLOW) == allowed
