from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import load, restart_needed, warnings
from gateway.config.check import RESTART_KEYS
from gateway.config.schema import SocketCaller
from gateway.errors import ConfigError
from gateway.model import Address, Credential, Target, TargetTls
from gateway.secrets import SecretReference

MAIN = """\
node: {name: gw1.example.com, data: /srv/ostiary}
listeners:
  postgres: {address: "[::]:5432"}
  ssh:      {address: "[::]:2222", host_keys: [credential:ssh-host]}
  metrics:  {address: "127.0.0.1:9464"}
  control:  {socket: /run/ostiary/control.sock, address: "[::]:8444"}
tls:
  certificate: file:/etc/ostiary/tls/gateway.crt
  key: credential:gateway-key
  client_ca: [file:/etc/ostiary/tls/clients-ca.crt]
  revocation: {crl: [file:/etc/ostiary/tls/clients.crl]}
identity:
  certificates: {name_from: [uri, email, cn], groups_from: ou}
  passwords: credential:passwords
  socket: {0: nobody, 1000: alice, 1001: {principal: bob, groups: [dba, on-call]}}
roles: {operator: [group:platform], break_glass: ["principal:spiffe://corp/sre"]}
recording: {directory: /srv/recordings, durability: synced, low_water: 5GiB, reserve: 1GiB, retention: 400d}
audit:
  sinks:
    - {name: siem, kind: syslog-tls, address: "siem.example.com:6514", ca: file:/etc/ssl/certs/corp.pem, format: ocsf}
approvals: {notify: [{webhook: "https://chat.example.com/hook", secret: credential:chat-hook}]}
limits: {login: 30s, sessions: 5000, per_principal: 100, statement: 64KiB}
"""

TARGETS = """\
- name: orders
  protocol: postgres
  address: db1.internal:5432
  tags: {env: prod, version: 1.10, norway: no}
  tls: {mode: verify-full, ca: file:/etc/ssl/certs/corp.pem}
  credentials:
    - {groups: [engineers], user: orders_rw, password: credential:orders-rw}
    - {user: orders_ro, password: credential:orders-ro}
"""

LEAST = "tls: {certificate: credential:crt, key: credential:key}\n"


def write(directory: Path, main: str = MAIN, **targets: str) -> Path:
    (directory / "targets.d").mkdir(exist_ok=True)
    for name, text in targets.items():
        (directory / "targets.d" / f"{name}.yaml").write_text(text)
    path = directory / "ostiary.yaml"
    path.write_text(main)
    return path


def said(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [f"{'.'.join(map(str, problem.path))} {problem.problem}" for problem in caught.value.problems]


def target(tmp_path: Path, entry: str) -> Path:
    return write(tmp_path, LEAST, a="- {name: a, protocol: postgres, credentials: [{user: u}], " + entry + "}")


def test_the_whole_example(tmp_path: Path) -> None:
    path = write(tmp_path, orders=TARGETS)
    (tmp_path / "policy.d").mkdir()
    for name in ("b.yaml", "a.yaml", ".hidden.yaml", "README", "b.yaml~"):
        (tmp_path / "policy.d" / name).write_text("")
    config = load(path)
    assert config.node.name == "gw1.example.com"
    assert config.listeners.postgres is not None
    assert config.listeners.postgres.address == Address("::", 5432)
    assert config.listeners.postgres.password == "cleartext"
    assert config.tls.key == SecretReference("credential", "gateway-key")
    assert config.identity.socket == {
        0: "nobody",
        1000: "alice",
        1001: SocketCaller("bob", ("dba", "on-call")),
    }
    assert config.roles == {
        "operator": ("group:platform",),
        "auditor": (),
        "break_glass": ("principal:spiffe://corp/sre",),
    }
    assert config.recording.directory == Path("/srv/recordings")
    assert config.recording.retention == 400 * 86400.0
    assert config.recording.low_water == 5 * 2**30
    assert config.audit.directory == Path("/srv/ostiary/audit")
    assert config.audit.sinks[0].address == Address("siem.example.com", 6514)
    assert config.limits.login == 30.0
    assert config.limits.statement == 65536
    assert config.directory == tmp_path
    assert config.policy_files == (tmp_path / "policy.d/a.yaml", tmp_path / "policy.d/b.yaml")
    assert config.targets == (
        Target(
            "orders",
            "postgres",
            Address("db1.internal", 5432),
            TargetTls("verify-full", "file:/etc/ssl/certs/corp.pem"),
            (
                Credential("orders_rw", SecretReference("credential", "orders-rw"), groups=("engineers",)),
                Credential("orders_ro", SecretReference("credential", "orders-ro")),
            ),
            {"env": "prod", "version": "1.10", "norway": "no"},
        ),
    )
    assert warnings(config) == []


def test_the_least_that_is_needed_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "ostiary.yaml"
    path.write_text(LEAST)
    config = load(path)
    assert config.targets == ()
    assert config.policy_files == ()
    assert config.listeners.postgres is None
    assert config.listeners.metrics is None
    assert config.recording.directory == Path("/var/lib/ostiary/recordings")
    assert config.identity.socket == {}
    assert all(members == () for members in config.roles.values())
    assert warnings(config) == ["audit.sinks: none, so whoever controls this host could rewrite the audit log unseen"]


def test_an_empty_main_file(tmp_path: Path) -> None:
    assert said(write(tmp_path, "")) == ["tls is missing"]


def test_problems_of_all_files_together(tmp_path: Path) -> None:
    path = write(tmp_path, "node: {nmae: x}\n", a="- {name: A}\n", b="[1]\n")
    (tmp_path / "targets.d" / "c.yml").write_text("")
    found = said(path)
    assert found[:2] == ["node.nmae is not a known key", "tls is missing"]
    assert " ends in .yml and would not be read" in found
    assert "0.name is not a plain name" in found
    assert "0.protocol is missing" in found
    assert "0 is a single value, not keys with values" in found


def test_what_is_not_in_this_version(tmp_path: Path) -> None:
    main = LEAST + (
        "listeners: {http: {}}\n"
        "identity: {ldap: [], tokens: [], pam: {}, oidc: {}, saml: {}}\n"
        "audit: {sinks: [{name: a, kind: relp, address: 'a:1', format: cef}]}\n"
    )
    found = said(write(tmp_path, main, a="[{name: a, protocol: http, address: 'a:80', credentials: [{user: u}]}]"))
    assert len(found) == 9
    assert all("not in this version" in each for each in found)


def test_ocsp_is_not_in_this_version(tmp_path: Path) -> None:
    found = said(write(tmp_path, MAIN.replace("clients.crl]}", "clients.crl], ocsp: hard_fail}")))
    assert found == ["tls.revocation.ocsp is not in this version of Ostiary"]


@pytest.mark.parametrize(
    ("main", "problem"),
    [
        (LEAST + "listeners: {postgres: {address: '[::]:5432'}}", "listeners.postgres lets nobody in"),
        (LEAST + "listeners: {ssh: {address: '[::]:22', host_keys: [file:/k]}}", "listeners.ssh lets nobody in"),
        (LEAST + "listeners: {ssh: {address: '[::]:22', host_keys: []}}", "listeners.ssh.host_keys is empty"),
        (LEAST + "identity: {ssh_certificates: {ca: []}}", "identity.ssh_certificates.ca is empty"),
        (LEAST + "listeners: {control: {address: '[::]:8444'}}", "listeners.control.address lets nobody in"),
        (LEAST.replace("}", ", revocation: {crl: [file:/x]}}"), "tls.revocation.crl has no CA"),
        (LEAST + "recording: {reserve: 6GiB}", "recording.reserve is larger than low_water"),
        (LEAST + "recording: {directory: ../x}", "recording.directory is not a plain path"),
        (LEAST + "node: {data: var}", "node.data is not an absolute path"),
        (LEAST + "node: {name: ' '}", "node.name is not a name"),
        (LEAST + "node: {name: \"a\\tb\"}", "node.name is not a name"),
        (LEAST + "roles: {admin: []}", "roles.admin is not one of operator, auditor, break_glass"),
        (LEAST + "roles: {operator: [platform]}", "roles.operator.0 is not a member of a role"),
        (LEAST + "identity: {socket: {-1: x}}", "identity.socket.-1 is out of bounds"),
        (LEAST + "identity: {socket: {1: [x]}}", "identity.socket.1 is a list, not"),
        (LEAST + "identity: {socket: {1: {groups: [x]}}}", "identity.socket.1.principal is missing"),
        (LEAST + "identity: {socket: {1: {principal: x, groups: []}}}", "identity.socket.1.groups is empty"),
        (LEAST + "identity: {socket: {1: {principal: x, group: [y]}}}", "identity.socket.1.group is not a known key"),
        (LEAST + "identity: {certificates: {name_from: []}}", "identity.certificates.name_from is empty"),
        (LEAST + "identity: {lockout: {first: 20m}}", "identity.lockout has a first wait above its longest"),
        (LEAST + "limits: {login: 0s}", "limits.login is out of bounds"),
        (LEAST + "limits: {login: 30}", "limits.login is not a duration"),
        (LEAST + "limits: {statement: 2MiB}", "limits.statement is out of bounds"),
        (LEAST.replace("credential:key", "s3cret"), "tls.key is not a secret reference"),
    ],
)  # fmt: skip
def test_main_files_that_are_refused(tmp_path: Path, main: str, problem: str) -> None:
    (found,) = said(write(tmp_path, main))
    assert found.startswith(problem)


def webhook(said: str) -> str:
    return LEAST + f"approvals: {{notify: [{{webhook: {said}}}]}}"


def test_webhooks(tmp_path: Path) -> None:
    main = (
        LEAST
        + """
approvals:
  url: https://gw.example.com:8444/
  notify:
    - {webhook: "https://Chat.example.com/hook", secret: credential:chat-hook}
    - {name: slack, webhook: credential:slack-url, form: slack}
    - {name: relay, webhook: "http://127.0.0.1:8080/x", secret: credential:relay}
"""
    )
    approvals = load(write(tmp_path, main)).approvals
    assert approvals.url == "https://gw.example.com:8444"
    assert [each.called for each in approvals.notify] == ["chat.example.com", "slack", "relay"]
    assert str(approvals.notify[0].webhook) == "https://chat.example.com"
    assert approvals.notify[1].webhook == SecretReference("credential", "slack-url")


@pytest.mark.parametrize(
    ("main", "problem"),
    [
        (webhook('"https://h/x"'), "approvals.notify.0 has no secret, so anybody could write such messages"),
        (webhook("env:HOOK, form: slack"), "approvals.notify.0 has no name, and its URL is a secret"),
        (webhook('"http://h/x", form: slack'), "approvals.notify.0.webhook is http to another host"),
        (webhook('"http://127.0.0.1/", form: slack, ca: file:/x'), "approvals.notify.0 has a ca, but no TLS"),
        (webhook("chat.example.com, form: slack"), "approvals.notify.0.webhook is neither an https URL"),
        (webhook('"https://h/x", secret: whsec_AAAA'), "approvals.notify.0.secret is not a secret reference"),
        (
            webhook('"https://h/x", form: slack}, {webhook: "https://h/y", form: slack'),
            "approvals.notify.1.name is another webhook's name",
        ),
        (LEAST + "approvals: {url: http://127.0.0.1}", "approvals.url is not a plain https URL"),
    ],
)
def test_webhooks_that_are_wrong(tmp_path: Path, main: str, problem: str) -> None:
    [found] = said(write(tmp_path, main))
    assert found.startswith(problem)


def test_a_webhook_is_never_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, webhook('"https://h/T0-hunter2 x", form: slack')))
    assert "hunter2" not in str(caught.value)


def test_sinks(tmp_path: Path) -> None:
    sink = "{name: a, kind: syslog-tls, address: 'a:1'%s}"
    both = LEAST + f"audit: {{sinks: [{sink % ''}, {sink % ''}]}}"
    assert said(write(tmp_path, both)) == ["audit.sinks.1.name is another sink's name, too"]
    half = LEAST + f"audit: {{sinks: [{sink % ', key: file:/k'}]}}"
    assert said(write(tmp_path, half)) == ["audit.sinks.0 has only one of certificate and key"]
    unix = LEAST + "audit: {sinks: [{name: a, kind: syslog-tls, address: /dev/log}]}"
    assert said(write(tmp_path, unix)) == ["audit.sinks.0 has a path as its address"]


@pytest.mark.parametrize("mode", ["disable", "require"])
def test_unsafe_modes_have_to_be_said(tmp_path: Path, mode: str) -> None:
    switch = {"disable": "insecure_plaintext", "require": "insecure_skip_target_verification"}[mode]
    path = target(tmp_path, f"address: 'db:5432', tls: {{mode: {mode}}}")
    with pytest.raises(ConfigError, match=f"add {switch}: true"):
        load(path)
    config = load(target(tmp_path, f"address: 'db:5432', tls: {{mode: {mode}, {switch}: true}}"))
    assert any(switch in warning for warning in warnings(config))
    for local in ("127.0.0.1:5432", "[::1]:5432", "/run/postgresql/.s.PGSQL.5432"):
        config = load(target(tmp_path, f"address: '{local}', tls: {{mode: {mode}}}"))
        assert len(warnings(config)) == 1  # of the missing sink
    with pytest.raises(ConfigError, match="is unsafe"):
        load(target(tmp_path, f"address: 'localhost:5432', tls: {{mode: {mode}}}"))
    with pytest.raises(ConfigError, match="does nothing without"):
        load(target(tmp_path, f"address: 'db:5432', tls: {{{switch}: true}}"))


def test_more_warnings(tmp_path: Path) -> None:
    main = LEAST.replace("}", ", client_ca: [file:/x]}") + "listeners: {metrics: {address: '0.0.0.0:9464'}}"
    entry = "- {name: a, protocol: postgres, address: 'db:1', credentials: [{user: u}], tls: {mode: verify-ca}}"
    found = warnings(load(write(tmp_path, main, a=entry)))
    assert [warning.split(":")[0] for warning in found] == [
        "listeners.metrics.address",
        "tls.revocation.crl",
        "audit.sinks",
        "target a",
    ]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{name: a, protocol: postgres, address: 'a:1', credentials: []}", "credentials is empty"),
        ("{name: a, protocol: postgres, address: 'a:1', credentials: [{user: u, groups: []}]}", "groups is empty"),
        ("{name: a, protocol: postgres, address: 'a:1', credentials: [{user: u, groups: }]}", "groups has no value"),
        ("{name: a, protocol: postgres, address: 'a:1', credentials: [{user: ''}]}", "user is out of bounds"),
        ("{name: a, protocol: postgres, address: 'a:1', credentials: [{user: u}, {user: v}]}", "fits everybody"),
        ("{name: a/b, protocol: postgres, address: 'a:1', credentials: [{user: u}]}", "is not a plain name"),
        ("{name: a, protocol: postgres, address: 'a', credentials: [{user: u}]}", "has no port"),
        ("{name: a, protocol: postgres, address: 'a:1', credentials: [{user: u, password: s3cret}]}", "reference"),
        ("{name: a, protocol: postgres, address: 'a:1', credentials: [{user: u}], tls: {key: file:/k}}", "only one of"),
        ("{name: a, protocol: postgre, address: 'a:1', credentials: [{user: u}]}", "is not one of postgres"),
    ],
)
def test_targets_that_are_refused(tmp_path: Path, entry: str, problem: str) -> None:
    (found,) = said(write(tmp_path, LEAST, a=f"[{entry}]"))
    assert problem in found
    assert "s3cret" not in found


SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPMmeqDXjGxQUBZ7Qmf1ShmiXQSS2mTgGXTm/tDV9Tk7"


def ssh_target(tmp_path: Path, entry: str) -> Path:
    return write(tmp_path, LEAST, a="- {name: web, protocol: ssh, address: 'web:22', " + entry + "}")


def test_an_ssh_target(tmp_path: Path) -> None:
    lines = f'["{SSH_KEY} comment", "web,192.0.2.1 {SSH_KEY}", "@cert-authority *.x {SSH_KEY}"]'
    entry = "credentials: [{user: deploy, key: credential:k, groups: [ci]}, {user: root, password: env:P}], host_keys: "
    (loaded,) = load(ssh_target(tmp_path, entry + lines)).targets
    assert [key.line for key in loaded.host_keys] == [SSH_KEY, SSH_KEY]
    assert [key.line for key in loaded.host_cas] == [SSH_KEY]
    assert loaded.credentials[0] == Credential("deploy", groups=("ci",), key=SecretReference("credential", "k"))


def test_an_ssh_target_without_host_keys_is_warned_of(tmp_path: Path) -> None:
    config = load(ssh_target(tmp_path, "credentials: [{user: u, key: file:/k}]"))
    assert any("target web: no host_keys" in warning for warning in warnings(config))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("credentials: [{user: u}]", "0.credentials.0 has neither key, signed_by nor password"),
        ("credentials: [{user: u, key: file:/k}], tls: {mode: require}", "0.tls is not for SSH"),
        ("credentials: [{user: u, key: file:/k}], host_keys: [x]", "0.host_keys.0 is no public key"),
        ("credentials: [{user: u, key: file:/k}], host_keys: ['@revoked * " + SSH_KEY + "']", "has a marker"),
        (
            "credentials: [{user: u, key: file:/k}, {user: v, key: file:/k}, {user: u, key: file:/l, groups: [x]}]",
            "0.credentials.2 comes after one of the same user that fits everybody",
        ),
    ],
)
def test_ssh_targets_that_are_refused(tmp_path: Path, entry: str, problem: str) -> None:
    (found,) = said(ssh_target(tmp_path, entry))
    assert problem in found


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("address: 'a:5432', host_keys: ['" + SSH_KEY + "']", "0.host_keys is for SSH only"),
        ("address: 'a:5432', credentials: [{user: u, key: file:/k}]", "0.credentials.0.key is for SSH only"),
    ],
)
def test_what_only_ssh_targets_have(tmp_path: Path, entry: str, problem: str) -> None:
    rest = entry if "credentials" in entry else entry + ", credentials: [{user: u}]"
    (found,) = said(write(tmp_path, LEAST, a="- {name: a, protocol: postgres, " + rest + "}"))
    assert problem in found


def test_a_target_name_is_there_once(tmp_path: Path) -> None:
    (found,) = said(write(tmp_path, LEAST, a=TARGETS, b=TARGETS))
    assert "is the name of a target in" in found
    assert "a.yaml" in found


def test_directories_that_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "policy.d").write_text("")
    assert said(write(tmp_path, LEAST)) == [" can't be listed: Not a directory"]


def test_what_needs_a_restart(tmp_path: Path) -> None:
    old = load(write(tmp_path, orders=TARGETS))
    assert restart_needed(old, old) == ()
    changed = (
        MAIN.replace("gw1", "gw2").replace("5432", "5433").replace("2222", "2223").replace("9464", "9465")
        .replace("control.sock", "c.sock").replace("8444", "8445")
        .replace("/srv/ostiary", "/srv/o")
        .replace("/srv/recordings", "/srv/r, sealer: /run/s.sock, signing_key: file:/k")
        .replace("login: 30s", "login: 10s")
        + "masking: {vault_key: credential:vault}\n"
    )  # fmt: skip
    assert restart_needed(old, load(write(tmp_path, changed))) == RESTART_KEYS
    off = MAIN.replace('  metrics:  {address: "127.0.0.1:9464"}\n', "")
    assert restart_needed(old, load(write(tmp_path, off))) == ("listeners.metrics.address",)
    assert restart_needed(old, load(write(tmp_path, MAIN.replace("login: 30s", "login: 10s")))) == ()


WORDS = (
    *("", "null", "~", "no", "0755", "22:22", "[]", "{}", "[[", "}", "&a x", "*a", "!!x y", "<<: {}", "-", "'", '"'),
    *("|", ">", "? x", "1e999", "9" * 30, "\t", "\x00", "\ufeff", "\u202e", "---", "...", "%TAG", "\\x", "a: a: a"),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), text=st.sampled_from([MAIN, TARGETS]))
def test_mutations_raise_nothing_but_configerror(tmp_path: Path, seed: int, text: str) -> None:
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text))
        end = min(len(text), start + chance.choice([0, 1, 1, 5, 40]))
        text = (
            text[:start]
            + chance.choice([*WORDS, text[start:end] * 2, chr(chance.randrange(0x20, 0xD800))])
            + text[end:]
        )
    _only_config_error(write(tmp_path, text, orders=text))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_bytes_raise_nothing_but_configerror(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path, LEAST)
    path.write_bytes(data)
    _only_config_error(path)


VALUES: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = [
    "node",
    "listeners",
    "tls",
    "identity",
    "roles",
    "recording",
    "audit",
    "limits",
    "approvals",
    "socket",
    "sinks",
    "notify",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(st.sampled_from(SECTIONS), VALUES | st.dictionaries(st.sampled_from(SECTIONS), VALUES)))
def test_trees_raise_nothing_but_configerror(tmp_path: Path, tree: object) -> None:
    _only_config_error(write(tmp_path, json.dumps(tree), a=json.dumps([tree])))


def _only_config_error(path: Path) -> None:
    with contextlib.suppress(ConfigError):
        warnings(load(path))
