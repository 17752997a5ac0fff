"""OpenSSH user certificates (OpenSSH's PROTOCOL.certkeys), read strictly: what could be read in two ways is refused."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from gateway.config.nodes import printable
from gateway.config.schema import SshCertificates
from gateway.errors import LoginFailed
from gateway.identity.certificates import MAX_GROUPS, Refused, check_characters
from gateway.model import Principal, PrincipalKind
from gateway.public_keys import PublicKey, of_blob

USER: Final = 1
FOREVER: Final = 2**64 - 1

GROUPS_EXTENSION: Final = b"groups@ostiary"

FIELDS: Final = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
"""How many strings the public key consists of, between nonce and serial."""

CA_SIGNATURES: Final = frozenset(
    {
        b"ssh-ed25519",
        b"sk-ssh-ed25519@openssh.com",
        b"ecdsa-sha2-nistp256",
        b"ecdsa-sha2-nistp384",
        b"ecdsa-sha2-nistp521",
        b"sk-ecdsa-sha2-nistp256@openssh.com",
        b"rsa-sha2-256",
        b"rsa-sha2-512",
    }
)
"""OpenSSH's CASignatureAlgorithms: no SHA-1."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a certificate lets its holder do at most; policy says what of that.

    command   runs whatever was asked for (force-command), None: what was asked for runs
    terminal  a pty may be had
    forwards  connections may be forwarded, either way
    agent, x11  those may be lent
    """

    command: bytes | None = None
    terminal: bool = True
    forwards: bool = True
    agent: bool = True
    x11: bool = True


UNRESTRICTED: Final = Restrictions()


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says; ``signed`` and ``signature`` are the CA's word for it."""

    key: PublicKey
    ca: PublicKey
    serial: int
    kind: int
    key_id: bytes
    principals: tuple[bytes, ...]
    valid_after: int
    valid_before: int
    critical: dict[bytes, bytes]
    extensions: dict[bytes, bytes]
    signed: bytes
    signature: bytes

    @property
    def shown(self) -> str:
        return f"{printable(self.key_id.decode('utf-8', 'replace'))} (serial {self.serial}, CA {self.ca.fingerprint})"


class _Fields:
    """RFC 4251 section 5, from front to back. Raises Refused for what is cut."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def left(self) -> bool:
        return self.position < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self.position : self.position + size]
        if len(taken) != size:
            raise Refused("it is cut")
        self.position += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def string(self) -> bytes:
        return self.take(self.number(4))


def read_certificate(key: PublicKey) -> Certificate:
    """What the certificate says, whose CA's signature was checked. Raises LoginFailed."""
    try:
        certificate = _parse(key)
        if certificate.signature[4 : 4 + int.from_bytes(certificate.signature[:4])] not in CA_SIGNATURES:
            raise Refused("its signature is of a kind that is not taken (SHA-1?)")
        if not _verify(certificate):
            raise Refused("its CA's signature is wrong")
        return certificate
    except Refused as refused:
        raise _failed(str(refused)) from None
    except Exception as error:  # whatever the parser trips over is no identity
        raise _failed("it can't be read") from error


def _failed(reason: str) -> LoginFailed:
    return LoginFailed(f"certificate refused: {reason}", reason=f"certificate: {reason}")


def _parse(key: PublicKey) -> Certificate:
    plain = key.kind.replace("-cert-v01@openssh.com", "")
    if plain.startswith("sk-"):
        plain += "@openssh.com"
    count = FIELDS.get(plain)
    if count is None:
        raise Refused(f"its type ({printable(key.kind)}) does not log in")
    fields = _Fields(key.blob)
    fields.string()
    fields.string()  # the nonce
    start = fields.position
    for _ in range(count):
        fields.string()
    public = struct.pack(">I", len(plain)) + plain.encode() + key.blob[start : fields.position]
    serial = fields.number(8)
    kind = fields.number(4)
    key_id = fields.string()
    principals = _Fields(fields.string())
    names = []
    while principals.left:
        names.append(principals.string())
    after, before = fields.number(8), fields.number(8)
    critical, extensions = _options(fields.string()), _options(fields.string())
    fields.string()  # reserved
    ca = fields.string()
    signed = key.blob[: fields.position]
    signature = fields.string()
    if fields.left:
        raise Refused("something stands behind its signature")
    return Certificate(
        PublicKey(plain, public),
        of_blob(ca),
        serial,
        kind,
        key_id,
        tuple(names),
        after,
        before,
        critical,
        extensions,
        signed,
        signature,
    )


def _options(data: bytes) -> dict[bytes, bytes]:
    """Names in order, each once: PROTOCOL.certkeys, "Critical options"."""
    fields = _Fields(data)
    found: dict[bytes, bytes] = {}
    last = b""
    while fields.left:
        name = fields.string()
        if name <= last:
            raise Refused("its options are not in order, or there twice")
        found[name] = fields.string()
        last = name
    return found


def _verify(certificate: Certificate) -> bool:
    from asyncssh.public_key import decode_ssh_public_key

    return decode_ssh_public_key(certificate.ca.blob).verify(certificate.signed, certificate.signature)


def principal_of(
    certificate: Certificate, section: SshCertificates, address: str, now: float
) -> tuple[Principal, Restrictions]:
    """The principal that a certificate names at ``now`` (unix seconds), and what it is let do from ``address``.

    Raises LoginFailed. The CA's signature, revocation and the caller's own signature are for others to check.
    """
    try:
        _check_time(certificate, now)
        restrictions = _restrictions(certificate, address)
        name = _name(certificate, section)
        groups = _groups(certificate) if section.groups_from == "extension" else frozenset()
    except Refused as refused:
        raise _failed(str(refused)) from None
    except Exception as error:  # whatever the reading trips over is no identity
        raise _failed("it can't be read") from error
    machine = any(fnmatchcase(name, glob) for glob in section.machines)
    kind: PrincipalKind = "machine" if machine else "human"
    end = None if certificate.valid_before == FOREVER else float(certificate.valid_before)
    proof = certificate.signed + struct.pack(">I", len(certificate.signature)) + certificate.signature
    return Principal(name, kind, groups, frozenset({"ssh_certificate"}), now, end, proof), restrictions


def _check_time(certificate: Certificate, now: float) -> None:
    if certificate.kind != USER:
        raise Refused("it is a host's")
    if now >= certificate.valid_before:
        raise Refused("it has expired")
    if now < certificate.valid_after:
        raise Refused("it is not valid yet")


def _restrictions(certificate: Certificate, address: str) -> Restrictions:
    command = None
    for name, value in certificate.critical.items():
        fields = _Fields(value)
        text = fields.string() if fields.left else b""
        if fields.left:
            raise Refused("an option has more than one value")
        if name == b"force-command":
            if not text:
                # sshd would run a shell.
                raise Refused("its force-command is empty")
            command = text
        elif name == b"source-address":
            _check_source(text, address)
        else:
            # What must be understood, and is not, is a no (CVE-2023-38325).
            raise Refused(f"its critical option {printable(name.decode('utf-8', 'replace'))} is not known")
    permitted = certificate.extensions
    return Restrictions(
        command,
        terminal=b"permit-pty" in permitted,
        forwards=b"permit-port-forwarding" in permitted,
        agent=b"permit-agent-forwarding" in permitted,
        x11=b"permit-X11-forwarding" in permitted,
    )


def _check_source(networks: bytes, address: str) -> None:
    try:
        here = ipaddress.ip_address(address)
        allowed = [ipaddress.ip_network(part) for part in networks.decode("ascii").split(",")]
    except ValueError:
        raise Refused("its source-address can't be read") from None
    if not any(here in network for network in allowed if network.version == here.version):
        raise Refused("it is not for this address")


def _name(certificate: Certificate, section: SshCertificates) -> str:
    """A certificate without principals would be good for any name: refused, also where the name is the key id."""
    if not certificate.principals:
        raise Refused("it names no principal")
    if section.name_from == "principal" and len(certificate.principals) > 1:
        raise Refused(f"it names {len(certificate.principals)} principals; one is needed")
    raw = certificate.key_id if section.name_from == "key_id" else certificate.principals[0]
    name = raw.decode("utf-8")
    check_characters("its key id" if section.name_from == "key_id" else "its principal", name)
    return name


def _groups(certificate: Certificate) -> frozenset[str]:
    value = certificate.extensions.get(GROUPS_EXTENSION)
    if not value:
        return frozenset()
    fields = _Fields(value)
    names = fields.string().decode("utf-8").split(",")
    if fields.left or len(names) > MAX_GROUPS:
        raise Refused(f"its groups are more than {MAX_GROUPS}, or can't be read")
    for name in names:
        check_characters("a group", name)
    return frozenset(names)
