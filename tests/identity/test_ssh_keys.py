from __future__ import annotations

import subprocess
from pathlib import Path

import asyncssh
import pytest
from support.sshd import make_key, public_line

from gateway.config.schema import IdentitySection, SshCertificates
from gateway.errors import ConfigError, LoginFailed
from gateway.identity.login import Identity
from gateway.identity.ssh_certificates import UNRESTRICTED, Restrictions
from gateway.identity.ssh_keys import SshCredentials, SshIdentity, load_keys, weakness
from gateway.public_keys import PublicKey, parse_public_key
from gateway.secrets import SecretReference

NOW = 1_800_000_000.0
ADDRESS = "192.0.2.7"


def reference(path: Path) -> SecretReference:
    return SecretReference("file", str(path))


def key_of(path: Path) -> PublicKey:
    return parse_public_key(public_line(path))


class Ca:
    """A user CA, and what it signs with ssh-keygen."""

    def __init__(self, directory: Path, kind: str = "ed25519") -> None:
        self.directory = directory
        self.key = make_key(directory / "ca", kind=kind)
        self.user = make_key(directory / "user")

    def sign(self, *arguments: str, principals: str | None = "alice", key_id: str = "alice-laptop") -> PublicKey:
        command = ["ssh-keygen", "-q", "-s", str(self.key), "-I", key_id, "-V", "20270101:20280101", *arguments]
        if principals is not None:
            command += ["-n", principals]
        subprocess.run([*command, str(self.user) + ".pub"], check=True, capture_output=True)
        return parse_public_key((self.directory / "user-cert.pub").read_text())

    def section(self, **over: object) -> IdentitySection:
        public = self.key.with_name(self.key.name + ".pub")
        return IdentitySection(ssh_certificates=SshCertificates(ca=(reference(public),), **over))  # type: ignore[arg-type]  # the schema's fields


@pytest.fixture
def ca(tmp_path: Path) -> Ca:
    return Ca(tmp_path)


def offered(section: IdentitySection, key: PublicKey, now: float = NOW, address: str = ADDRESS) -> SshIdentity:
    return SshCredentials(section).offered(key.blob, address, now)


def why(section: IdentitySection, key: PublicKey, now: float = NOW, address: str = ADDRESS) -> str:
    with pytest.raises(LoginFailed) as caught:
        offered(section, key, now, address)
    return caught.value.reason


# --- registered keys ---


def registered(tmp_path: Path, text: str) -> IdentitySection:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    return IdentitySection(ssh_keys=reference(path))


def test_a_registered_key(tmp_path: Path) -> None:
    key = key_of(make_key(tmp_path / "alice"))
    entry = f'- {{principal: alice, kind: machine, groups: [a, b], keys: ["{key.line} x"], until: "2027-06-01T00:00Z"}}'
    found = offered(registered(tmp_path, entry), key)
    assert found.restrictions == UNRESTRICTED
    principal = found.principal
    assert (principal.name, principal.kind) == ("alice", "machine")
    assert principal.groups == {"a", "b"}
    assert principal.factors == {"ssh_key"}
    assert principal.expires_at == 1_811_808_000.0
    assert principal.proof == key.blob
    assert why(registered(tmp_path, entry), key, 1_811_808_000.0) == "alice's entry has ended (until)"


def test_keys_that_nobody_registered(tmp_path: Path) -> None:
    key = key_of(make_key(tmp_path / "stranger"))
    assert why(IdentitySection(), key).endswith("is not registered")
    assert why(IdentitySection(), PublicKey("x", b"\0\0\0\1")) == "a key that can't be read"


@pytest.mark.parametrize(
    ("kind", "arguments", "problem"),
    [
        ("ed25519", (), None),
        ("ecdsa", (), None),
        ("rsa", ("-b", "2048"), None),
        ("rsa", ("-b", "1024"), "is RSA with less than 2048 bits"),
    ],
)
def test_weak_keys(tmp_path: Path, kind: str, arguments: tuple[str, ...], problem: str | None) -> None:
    assert weakness(key_of(make_key(tmp_path / "key", kind=kind, arguments=arguments))) == problem


def test_problems_of_a_file(tmp_path: Path) -> None:
    key = key_of(make_key(tmp_path / "alice")).line
    weak = key_of(make_key(tmp_path / "weak", kind="rsa", arguments=("-b", "1024"))).line
    section = registered(
        tmp_path,
        f'- {{principal: alice, keys: ["{key}"]}}\n- {{principal: Alice, keys: ["{key}"]}}\n',
    )
    with pytest.raises(ConfigError) as caught:
        load_keys(section.ssh_keys)
    assert [problem.path for problem in caught.value.problems] == [(1, "principal"), (1, "keys", 0)]
    for entry in (f'- {{principal: bob, keys: ["{weak}"]}}', "- {principal: bob, keys: []}", "- {principal: bob}"):
        with pytest.raises(ConfigError):
            load_keys(registered(tmp_path, entry).ssh_keys)


def test_problems_of_all_files_together(tmp_path: Path) -> None:
    section = IdentitySection(
        ssh_keys=reference(tmp_path / "none.yaml"),
        ssh_certificates=SshCertificates(ca=(reference(tmp_path / "none.pub"),), revoked=(reference(tmp_path / "n"),)),
    )
    with pytest.raises(ConfigError) as caught:
        SshCredentials(section)
    assert len(caught.value.problems) == 3


def test_a_reload_knows_who_is_gone(tmp_path: Path) -> None:
    key, other = key_of(make_key(tmp_path / "alice")), key_of(make_key(tmp_path / "other"))
    both = f'- {{principal: alice, groups: [old], keys: ["{key.line}", "{other.line}"]}}'
    identity = Identity(registered(tmp_path, both), run=lambda check: pytest.fail("no thread is needed"))
    principal = identity.offered_ssh_key(key.blob, ADDRESS, NOW).principal
    assert identity.known(principal) == principal
    changed = f'- {{principal: alice, groups: [new], keys: ["{key.line}"]}}'
    later = identity.reloaded(registered(tmp_path, changed)).known(principal)
    assert later is not None
    assert later.groups == {"new"}
    gone = f'- {{principal: alice, groups: [new], keys: ["{other.line}"]}}'
    assert identity.reloaded(registered(tmp_path, gone)).known(principal) is None


def test_wrong_signatures_have_to_wait_like_wrong_passwords(tmp_path: Path) -> None:
    key = key_of(make_key(tmp_path / "alice"))
    section = registered(tmp_path, f'- {{principal: alice, keys: ["{key.line}"]}}')
    identity = Identity(section, run=lambda check: pytest.fail("no thread is needed"))
    offer = identity.offered_ssh_key(key.blob, ADDRESS, NOW)
    for _ in range(section.lockout.free):
        with pytest.raises(LoginFailed, match="authentication failed"):
            identity.by_ssh_key(offer, ADDRESS, NOW, proven=False)
    with pytest.raises(LoginFailed, match="too many failed logins"):
        identity.by_ssh_key(offer, ADDRESS, NOW, proven=True)
    assert identity.by_ssh_key(offer, ADDRESS, NOW + 60, proven=True).name == "alice"


# --- certificates ---


def test_a_certificate(ca: Ca) -> None:
    key = ca.sign("-z", "17")
    found = offered(ca.section(), key)
    assert (found.principal.name, found.principal.kind) == ("alice", "human")
    assert found.principal.factors == {"ssh_certificate"}
    assert found.principal.groups == frozenset()
    assert found.principal.expires_at is not None
    assert found.principal.expires_at > NOW
    assert found.principal.proof == key.blob
    assert found.restrictions == UNRESTRICTED


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_certificates_of_other_cas(tmp_path: Path, kind: str) -> None:
    ca = Ca(tmp_path, kind)
    assert offered(ca.section(), ca.sign()).principal.name == "alice"


def test_names(ca: Ca) -> None:
    assert (
        offered(ca.section(name_from="key_id"), ca.sign(key_id="bob@example.com")).principal.name == "bob@example.com"
    )
    machine = ca.sign(principals="spiffe://corp/ci/build")
    assert offered(ca.section(), machine).principal.kind == "machine"


@pytest.mark.parametrize(
    ("arguments", "principals", "reason"),
    [
        ((), None, "certificate: it names no principal"),
        ((), "alice,bob", "certificate: it names 2 principals; one is needed"),
        (("-O", "force-command=ls", "-O", "critical:verify-required=x"), "alice", "its critical option"),
        (("-O", "critical:force-command="), "alice", "certificate: its force-command is empty"),
        (("-O", "source-address=198.51.100.0/24"), "alice", "certificate: it is not for this address"),
        (("-V", "20270101:20270110"), "alice", "certificate: it has expired"),
        (("-V", "20270201:20280101"), "alice", "certificate: it is not valid yet"),
        (("-h",), "alice", "certificate: it is a host's"),
        ((), "al ice\x07", "control characters"),
    ],
)
def test_certificates_that_are_refused(ca: Ca, arguments: tuple[str, ...], principals: str | None, reason: str) -> None:
    key = ca.sign(*arguments, principals=principals)
    assert reason in why(ca.section(), key)
    if principals is None:
        # Good for any name, so for none; not saved by a key id either.
        assert "no principal" in why(ca.section(name_from="key_id"), key)


def test_a_comma_makes_no_two_names_of_one(ca: Ca) -> None:
    """CVE-2026-35414."""
    assert "a comma" in why(ca.section(name_from="key_id"), ca.sign(key_id="alice,root"))
    signer = asyncssh.read_private_key(str(ca.key))
    made = signer.generate_user_certificate(
        asyncssh.generate_private_key("ssh-ed25519"), "one", principals=["alice,root"], valid_before=2_000_000_000
    )
    assert "a comma" in why(ca.section(), parse_public_key(made.export_certificate().decode()))


def test_restrictions(ca: Ca) -> None:
    key = ca.sign(
        "-O", "clear", "-O", "force-command=/usr/bin/uptime", "-O", "source-address=192.0.2.0/24,2001:db8::/32"
    )
    nothing = Restrictions(b"/usr/bin/uptime", terminal=False, forwards=False, agent=False, x11=False)
    assert offered(ca.section(), key).restrictions == nothing


def test_groups_only_where_the_ca_is_trusted_with_them(ca: Ca) -> None:
    # ssh-keygen writes an extension's value as a string.
    key = ca.sign("-O", "extension:groups@ostiary=engineers,on-call")
    assert offered(ca.section(), key).principal.groups == frozenset()
    assert offered(ca.section(groups_from="extension"), key).principal.groups == {"engineers", "on-call"}


def test_a_ca_that_is_not_configured(ca: Ca, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Ca(tmp_path / "other")
    assert "CA that is not configured" in why(other.section(), ca.sign())
    assert why(IdentitySection(), ca.sign()) == "a certificate, and no CA is configured"


def test_a_changed_certificate(ca: Ca) -> None:
    key = ca.sign()
    for position in range(0, len(key.blob), 7):
        changed = bytearray(key.blob)
        changed[position] ^= 1
        with pytest.raises(LoginFailed):
            offered(ca.section(), PublicKey(key.kind, bytes(changed)))
    for end in range(len(key.blob)):
        with pytest.raises(LoginFailed):
            offered(ca.section(), PublicKey(key.kind, key.blob[:end]))
    with pytest.raises(LoginFailed):
        offered(ca.section(), PublicKey(key.kind, key.blob + b"\0"))


def test_a_certificate_is_no_key_that_may_be_registered(ca: Ca, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_keys(registered(tmp_path, f'- {{principal: alice, keys: ["{ca.sign().line}"]}}').ssh_keys)


def test_a_certificate_after_a_reload(ca: Ca, tmp_path: Path) -> None:
    key = ca.sign("-z", "17")
    identity = Identity(ca.section(), run=lambda check: pytest.fail("no thread is needed"))
    principal = identity.offered_ssh_key(key.blob, ADDRESS, NOW).principal
    assert identity.known(principal) == principal
    revoked = tmp_path / "revoked"
    revoked.write_text(public_line(ca.user))
    assert identity.reloaded(ca.section(revoked=(reference(revoked),))).known(principal) is None
    assert identity.reloaded(IdentitySection()).known(principal) is None
