"""Against lists that ssh-keygen makes, and its own answers about them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sshd import make_key, public_line

from gateway.identity.revocation import MAGIC, read_revocations
from gateway.identity.ssh_certificates import read_certificate
from gateway.public_keys import PublicKey, parse_public_key

SERIALS = (1, 2, 5, 9, 63, 64, 65, 1000, 2**40, 2**64 - 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CAs and certificates with `SERIALS` of each, named SERIAL-ca1-cert.pub."""
    directory = tmp_path_factory.mktemp("krl")
    for ca in ("ca1", "ca2"):
        make_key(directory / ca)
        for serial in SERIALS:
            name = make_key(directory / f"{serial}-{ca}")
            command = ["ssh-keygen", "-q", "-s", str(directory / ca), "-I", f"id-{serial}", "-n", "alice"]
            subprocess.run([*command, "-z", str(serial), f"{name}.pub"], check=True, capture_output=True)
    return directory


def krl(directory: Path, spec: str, *, ca: str | None = "ca1") -> Path:
    (directory / "spec").write_text(spec)
    command = ["ssh-keygen", "-q", "-k", "-f", str(directory / "krl"), "-z", "3"]
    if ca is not None:
        command += ["-s", str(directory / f"{ca}.pub")]
    subprocess.run([*command, str(directory / "spec")], check=True, capture_output=True)
    return directory / "krl"


def openssh_says(directory: Path, path: Path, name: str) -> bool:
    asked = ["ssh-keygen", "-Q", "-f", str(path), str(directory / name)]
    return subprocess.run(asked, capture_output=True, check=False).returncode != 0


def we_say(directory: Path, path: Path, name: str) -> bool:
    revoked = read_revocations(path.read_bytes())
    key = parse_public_key((directory / name).read_text())
    return revoked.has_certificate(read_certificate(key)) if key.is_certificate else revoked.has_key(key)


@pytest.mark.parametrize(
    "spec",
    [
        "serial: 5\n",
        "serial: 1\nserial: 2\nserial: 5\nserial: 9\n",
        "serial: 60-70\n",
        "serial: 1-18446744073709551615\n",
        "serial: 1\nserial: 3\nserial: 5\nserial: 7\nserial: 9\nserial: 11\nserial: 63\nserial: 65\n",
        "id: id-9\n",
        "serial: 1099511627776\nid: id-1\n",
    ],
)
def test_lists_of_certificates(made: Path, spec: str) -> None:
    path = krl(made, spec)
    for of in ("ca1", "ca2"):
        for serial in SERIALS:
            name = f"{serial}-{of}-cert.pub"
            assert we_say(made, path, name) == openssh_says(made, path, name), name


@pytest.mark.parametrize("how", ["key", "sha1", "sha256"])
def test_lists_of_keys(made: Path, how: str) -> None:
    line = public_line(made / "5-ca1")
    path = krl(made, f"{how}: {line}\n", ca=None)
    for name in ("5-ca1.pub", "5-ca1-cert.pub", "9-ca1.pub", "9-ca1-cert.pub"):
        assert we_say(made, path, name) == openssh_says(made, path, name) == name.startswith("5-"), name


def test_a_revoked_ca(made: Path) -> None:
    path = krl(made, f"key: {public_line(made / 'ca1')}\n", ca=None)
    assert we_say(made, path, "5-ca1-cert.pub")
    assert openssh_says(made, path, "5-ca1-cert.pub")
    assert not we_say(made, path, "5-ca2-cert.pub")


def test_a_plain_file_of_keys(made: Path) -> None:
    path = made / "plain"
    path.write_text(f"# gone\n\n{public_line(made / '5-ca1')}\n")
    assert we_say(made, path, "5-ca1.pub")
    assert we_say(made, path, "5-ca1-cert.pub")
    assert not we_say(made, path, "9-ca1.pub")


def test_files_that_are_no_list(made: Path) -> None:
    certificate = (made / "5-ca1-cert.pub").read_text()
    whole = krl(made, "serial: 5\n").read_bytes()
    broken = [b"rubbish", certificate.encode(), MAGIC, whole[:-1], whole + b"\1", whole + b"\x63\0\0\0\0"]
    for data in broken:
        with pytest.raises(ValueError, match=r"; "):
            read_revocations(data)


@given(st.binary(max_size=200))
def test_nothing_but_valueerror(data: bytes) -> None:
    try:
        revoked = read_revocations(MAGIC + data)
    except ValueError:
        return
    revoked.has_key(PublicKey("ssh-ed25519", b"x"))
