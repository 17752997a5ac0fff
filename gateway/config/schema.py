"""The whole configuration as types; every key has a safe default (or none, when only the operator can know it).

A string under a field is its documentation: docs/configuration.md is made from it. ``LATER`` names keys that the
shared documents promise and this version doesn't have, with what to do instead.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from gateway.config.markers import (
    AbsolutePath,
    BaseUrl,
    DataPath,
    Duration,
    HostKey,
    Label,
    Later,
    ListenAddress,
    Name,
    Parsed,
    PeerAddress,
    PositiveDuration,
    PositiveSize,
    Reference,
    Size,
    WebhookUrl,
)
from gateway.config.urls import Url
from gateway.model import Durability, Target, TlsMode

Role = Literal["operator", "auditor", "break_glass"]
NameSource = Literal["uri", "email", "cn"]


def parse_member(text: str) -> str:
    """``group:NAME`` or ``principal:NAME``."""
    kind, colon, name = text.partition(":")
    if kind not in ("group", "principal") or not colon or not name or not name.isprintable() or name != name.strip():
        raise ValueError("is not a member of a role; write group:NAME or principal:NAME")
    return text


Member = Annotated[str, Parsed(parse_member, "group:NAME or principal:NAME")]


def _host_name() -> str:
    return os.uname().nodename


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    LATER: ClassVar[dict[str, str]] = {}


class Node(_Section, frozen=True):
    """This gateway."""

    name: Name = msgspec.field(default_factory=_host_name)
    """The node's name in recordings, audit events and metrics. Default: the host's name."""
    data: AbsolutePath = Path("/var/lib/ostiary")
    """Where everything that must survive a restart lies."""


class PostgresListener(_Section, frozen=True):
    """Where PostgreSQL clients connect."""

    address: ListenAddress
    """IP address and port, such as `"[::]:5432"`."""
    password: Literal["cleartext", "scram"] = "cleartext"
    """Which dialogue a client without a certificate gets. `cleartext` (inside TLS only) checks argon2id hashes; `scram`
    (SCRAM-SHA-256 and -PLUS) never shows the gateway a password and needs `scram` verifiers in the password file."""


class SshListener(_Section, frozen=True):
    """Where SSH clients connect: `ssh LOGIN@TARGET@gateway`."""

    address: ListenAddress
    """IP address and port, such as `"[::]:2222"`."""
    host_keys: Annotated[tuple[Reference, ...], msgspec.Meta(min_length=1)]
    """The gateway's private host keys, one of each type (`ssh-keygen -t ed25519 -N ""`). Callers' known_hosts have the
    public halves."""
    host_ca: Reference | None = None
    """The private key of the gateway's host CA, for `ssh -J gateway TARGET`: it signs certificates with which the
    gateway answers in a target's place. `ostiary ca ssh-host` prints the line for callers' known_hosts. Default: there
    is no ProxyJump."""


class MetricsListener(_Section, frozen=True):
    """Prometheus metrics, `/healthz` and `/readyz`; plain HTTP without login, so keep it on loopback."""

    address: ListenAddress
    """IP address and port, such as `127.0.0.1:9464`."""


class ControlListener(_Section, frozen=True):
    """The control API, which `ostiary status`, `ostiary approvals` and others use (operating.md)."""

    socket: AbsolutePath = Path("/run/ostiary/control.sock")
    """Path of the unix socket. Who may do what is decided by uid, see `identity.socket` and `roles`."""
    address: ListenAddress | None = None
    """IP address and port for mutual TLS, such as `"[::]:8444"`: a client certificate of `tls.client_ca` says who asks,
    and nothing else lets anybody in. Default: the unix socket alone."""


class Listeners(_Section, frozen=True):
    """What the gateway listens on; a listener that is left out is off."""

    LATER = {
        "http": "leave it out; this version speaks PostgreSQL and SSH",
    }

    postgres: PostgresListener | None = None
    """Where PostgreSQL clients connect."""
    ssh: SshListener | None = None
    """Where SSH clients connect."""
    metrics: MetricsListener | None = None
    """Prometheus metrics, `/healthz` and `/readyz`."""
    control: ControlListener = msgspec.field(default_factory=ControlListener)
    """The control API."""


class Revocation(_Section, frozen=True):
    """How revoked client certificates are found."""

    LATER = {"ocsp": "use crl; a certificate that OCSP alone would revoke is accepted by this version"}

    crl: tuple[Reference, ...] = ()
    """Certificate revocation lists (PEM). When one is given, every CA in `client_ca` needs a list that is not out of
    date, else its certificates are refused (hard fail)."""


class Tls(_Section, frozen=True):
    """TLS towards clients. TLS 1.2 and 1.3 only."""

    certificate: Reference
    """The gateway's certificate and its chain (PEM)."""
    key: Reference
    """Its private key (PEM)."""
    client_ca: tuple[Reference, ...] = ()
    """CAs that client certificates may come from (PEM). Empty: client certificates are not asked for."""
    revocation: Revocation = msgspec.field(default_factory=Revocation)
    """How revoked client certificates are found."""


class Certificates(_Section, frozen=True):
    """How a client certificate names its principal."""

    name_from: Annotated[tuple[NameSource, ...], msgspec.Meta(min_length=1)] = ("uri", "email", "cn")
    """Where the principal's name comes from; the first kind that the certificate has is used. `uri` and `email` are
    subject alternative names, `cn` is the subject's common name. Two values of that one kind are refused, not chosen
    from."""
    groups_from: Literal["ou"] | None = None
    """`ou`: every organizationalUnitName of the subject is a group. Set it only when your CA checks what it signs.
    Default: certificates carry no groups."""
    machines: tuple[str, ...] = ("spiffe://*",)
    """Globs (case-sensitive); a principal whose name matches one is a machine, every other a human."""


class SshCertificates(_Section, frozen=True):
    """OpenSSH user certificates."""

    ca: Annotated[tuple[Reference, ...], msgspec.Meta(min_length=1)]
    """Public keys of the CAs whose user certificates log in (each a file of .pub lines). A certificate names exactly
    one principal; one without, or with several, is refused."""
    name_from: Literal["principal", "key_id"] = "principal"
    """Where the principal's name comes from: the certificate's only principal, or its key id."""
    groups_from: Literal["extension"] | None = None
    """`extension`: the certificate's extension `groups@ostiary` holds the groups, separated by commas. Set it only when
    your CA decides what stands there. Default: certificates carry no groups."""
    machines: tuple[str, ...] = ("spiffe://*",)
    """Globs (case-sensitive); a principal whose name matches one is a machine, every other a human."""
    revoked: tuple[Reference, ...] = ()
    """What is revoked, CAs included: OpenSSH key revocation lists (`ssh-keygen -k`), or files of public keys, one on
    each line."""


class Lockout(_Section, frozen=True):
    """How failed logins slow down further ones; each failure doubles the wait, a success ends it."""

    free: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    """Failures from one address against one name that cost nothing."""
    first: PositiveDuration = 1.0
    """The first wait after those."""
    longest: PositiveDuration = 900.0
    """No wait is longer, so nobody can be kept out for good."""

    def __post_init__(self) -> None:
        if self.first > self.longest:
            raise ValueError("has a first wait above its longest; write a shorter first one")


class SocketCaller(_Section, frozen=True):
    """Who a uid on the control socket is, with groups; `1000: alice` is short for one without."""

    principal: Name
    """The principal's name."""
    groups: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] = ()
    """Its groups: what `group:NAME` in `roles` means, and who may approve. Default: none."""


class IdentitySection(_Section, frozen=True):
    """How callers prove who they are."""

    LATER = {
        "ldap": "use certificates or the local password file",
        "pam": "use certificates or the local password file",
        "tokens": "use certificates or the local password file",
        "oidc": "use certificates or the local password file",
        "saml": "use certificates or the local password file",
    }

    certificates: Certificates = msgspec.field(default_factory=Certificates)
    """How a client certificate names its principal. (Certificates are asked for when `tls.client_ca` is set.)"""
    passwords: Reference | None = None
    """The local password file, for break-glass and machines without certificates; `ostiary passwd` writes its entries.
    Default: no passwords."""
    ssh_keys: Reference | None = None
    """The file of registered SSH keys (docs/ssh.md has its form). Default: no key is registered."""
    ssh_certificates: SshCertificates | None = None
    """OpenSSH user certificates that log in. Default: none does."""
    lockout: Lockout = msgspec.field(default_factory=Lockout)
    """How failed logins slow down further ones."""
    socket: dict[Annotated[int, msgspec.Meta(ge=0, lt=2**32)], Name | SocketCaller] = {}
    """Who is who on the control socket: uid to principal, or to a principal with groups. A uid that is not here, or
    that is given as `nobody`, is nobody; so is root, unless it is listed."""


class Recording(_Section, frozen=True):
    """Session recordings."""

    directory: DataPath = Path("recordings")
    """Where recordings lie; a relative path is under `node.data`. It must belong to the gateway's user (with `sealer`:
    to the sealer's) and be closed to everybody else's writing."""
    sealer: AbsolutePath | None = None
    """Socket of `ostiary-sealer.service`, which creates each recording append-only in the file system:
    `/run/ostiary-sealer/sealer.sock`. No session starts while it is away. Default: recordings are plain files that the
    gateway's own user could remove."""
    durability: Durability = "written"
    """`written`: the kernel has an operation before it is forwarded, the disk within 100 ms. `synced`: the disk has it
    first. Policy may ask for more, never for less."""
    low_water: Size = 5 * 2**30
    """Free space below which no new session starts."""
    reserve: Size = 2**30
    """Free space that only `break_glass` principals may use up, once below `low_water`."""
    retention: Duration = 400 * 86400.0
    """How long recordings are kept at least."""
    signing_key: Reference | None = None
    """Ed25519 private key (PEM, PKCS#8) that signs recordings. Default: `keys/recording.key` under `node.data`, made at
    the first start."""
    results: bool = False
    """Keep the (masked) rows that the client saw, too."""


class Sink(_Section, frozen=True):
    """Where audit events are forwarded."""

    name: Label
    """A name for logs and metrics: lower-case letters, digits, `-`, `_` and `.`."""
    kind: Annotated[
        Literal["syslog-tls"],
        Later(dict.fromkeys(("relp", "syslog-tcp", "syslog-udp", "syslog", "local"), "use syslog-tls")),
    ]
    """`syslog-tls`: RFC 5424 messages over TLS (RFC 5425)."""
    address: PeerAddress
    """The receiver, such as `siem.example.com:6514`; its certificate must be for that name."""
    ca: Reference | None = None
    """CA that the receiver's certificate comes from (PEM). Default: the system's."""
    certificate: Reference | None = None
    """The gateway's own certificate for mutual TLS (PEM)."""
    key: Reference | None = None
    """Its private key (PEM)."""
    format: Annotated[Literal["ocsf"], Later(dict.fromkeys(("cef", "leef", "ecs", "rfc3164"), "use ocsf"))] = "ocsf"
    """What a message's body is: OCSF JSON."""
    resend_window: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 10_000
    """How many of the newest events are sent again after a reconnect. RFC 5425 has no acknowledgements; what lies in
    send buffers (measured: 6.5 MB, about 5,000 events) could be lost without it."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("has only one of certificate and key; give both or none")
        if self.address.is_unix:
            raise ValueError("has a path as its address; write host:port")


class Masking(_Section, frozen=True):
    """Keys for the methods `hmac` and `token`."""

    keys: dict[Label, Reference] = {}
    """Keys of the method `hmac`: id -> secret of at least 32 bytes (`openssl rand -base64 48`). The id stands in every
    value that was made with the key. A new key is a new id; a reload takes it up."""
    vault_key: Reference | None = None
    """Secret of at least 32 bytes that the token vault is encrypted with. Default: `keys/vault.key` under `node.data`,
    made when policy first uses the method `token`. A vault can be opened with the key it was made with, only."""


class Audit(_Section, frozen=True):
    """The audit log and who it is forwarded to."""

    directory: DataPath = Path("audit")
    """Where the log lies; a relative path is under `node.data`."""
    sinks: tuple[Sink, ...] = ()
    """Where audit events are forwarded."""


class Webhook(_Section, frozen=True):
    """Who is told of requests for approval, by an HTTP POST as they come and when they are settled."""

    webhook: WebhookUrl
    """Where it is posted to: an `https` URL (plain `http` to a loopback address only), or a secret reference to one
    where the URL itself is the secret, as Slack's are. Redirects are not followed."""
    name: Label | None = None
    """A name for logs, metrics and the audit log. Default: the URL's host; needed where the URL is a secret."""
    form: Literal["json", "slack"] = "json"
    """`json`: all that may be said of the request, signed. `slack`: a text for Slack and what takes the same, such as
    Mattermost."""
    secret: Reference | None = None
    """Signs each message as Standard Webhooks say: `whsec_` and 24 to 64 bytes in base64
    (`echo "whsec_$(openssl rand -base64 32)"`). `form: json` needs one."""
    ca: Reference | None = None
    """CA that the receiver's certificate comes from (PEM). Default: the system's."""

    def __post_init__(self) -> None:
        if self.form == "json" and self.secret is None:
            raise ValueError("has no secret, so anybody could write such messages; add secret:, or form: slack")
        if self.name is None and not isinstance(self.webhook, Url):
            raise ValueError("has no name, and its URL is a secret; add name:")
        if self.ca is not None and isinstance(self.webhook, Url) and not self.webhook.tls:
            raise ValueError("has a ca, but no TLS; write https, or remove it")

    @property
    def called(self) -> str:
        """Its name, or else its host."""
        if self.name is not None:
            return self.name
        assert isinstance(self.webhook, Url)  # __post_init__ sees to it
        return self.webhook.host


class Approvals(_Section, frozen=True):
    """Requests for approval, and who is told of them."""

    notify: tuple[Webhook, ...] = ()
    """Who is told of requests for approval. Never told: the statement's constants, its parameters, rows."""
    url: BaseUrl | None = None
    """Where approvers reach `listeners.control.address`, such as `https://gw.example.com:8444`: messages then have a
    link to the request. Default: they have none."""


class Limits(_Section, frozen=True):
    """Bounds on what callers can take up."""

    login: PositiveDuration = 30.0
    """From the first byte of a connection to the end of its login."""
    pending: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    """Connections that have not logged in yet; the newest beyond it are closed."""
    sessions: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 5000
    """Live sessions on this node."""
    per_principal: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    """Live sessions of one principal."""
    statement: Annotated[PositiveSize, msgspec.Meta(le=2**20)] = 65536
    """Longest statement that is analysed in the gateway itself; a longer one goes to a worker process, for which its
    session waits. The parser is known good to 64 KiB. Above 16 MiB a statement is opaque to policy."""


class MainFile(_Section, frozen=True):
    """ostiary.yaml"""

    tls: Tls
    """TLS towards clients."""
    node: Node = msgspec.field(default_factory=Node)
    """This gateway."""
    listeners: Listeners = msgspec.field(default_factory=Listeners)
    """What the gateway listens on."""
    identity: IdentitySection = msgspec.field(default_factory=IdentitySection)
    """How callers prove who they are."""
    roles: dict[Role, tuple[Member, ...]] = {}
    """Who may do what to the gateway itself: `operator` (sees and ends sessions, revokes grants, locks, reloads),
    `auditor` (sees what operators see, watches sessions, resolves tokens), `break_glass` (gets in when recordings have
    only their reserve left). Members are `group:NAME` or `principal:NAME`; a role that is left out has no members."""
    recording: Recording = msgspec.field(default_factory=Recording)
    """Session recordings."""
    masking: Masking = msgspec.field(default_factory=Masking)
    """Keys for the methods `hmac` and `token`."""
    audit: Audit = msgspec.field(default_factory=Audit)
    """The audit log and who it is forwarded to."""
    approvals: Approvals = msgspec.field(default_factory=Approvals)
    """Requests for approval, and who is told of them."""
    limits: Limits = msgspec.field(default_factory=Limits)
    """Bounds on what callers can take up."""


class Config(MainFile, frozen=True, kw_only=True):
    """Everything `gateway.config.load` read; immutable, a reload makes a new one.

    Paths are absolute, ``roles`` has every role, ``directory`` is the one that ostiary.yaml lies in.
    """

    targets: tuple[Target, ...]
    policy_files: tuple[Path, ...]
    directory: Path


class TargetTlsEntry(_Section, frozen=True):
    """TLS towards one target, in libpq's words."""

    mode: TlsMode = "verify-full"
    """`verify-full` checks the certificate and its name; `verify-ca` leaves out the name, `require` both, `disable` has
    no TLS at all. The last two need their `insecure_...` switch unless the target is on this host."""
    ca: Reference | None = None
    """CA that the target's certificate comes from (PEM). Default: the system's."""
    certificate: Reference | None = None
    """The gateway's client certificate for this target (PEM)."""
    key: Reference | None = None
    """Its private key (PEM)."""
    insecure_skip_target_verification: bool = False
    """Accept `mode: require` for a target that is not on this host: whoever stands in between can be the target."""
    insecure_plaintext: bool = False
    """Accept `mode: disable` for a target that is not on this host: credentials and rows cross the network readable."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("has only one of certificate and key; give both or none")


class CredentialEntry(_Section, frozen=True):
    """One login at a target; the first that fits the principal is used."""

    user: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    """The role or login at the target."""
    password: Reference | None = None
    """Its password. Default: none (a key, a certificate, or the target trusts the gateway)."""
    key: Reference | None = None
    """Its private key, for SSH (without a passphrase)."""
    signed_by: Reference | None = None
    """The private key of a CA whose user certificates the target trusts (sshd's `TrustedUserCAKeys`), for SSH: each
    session gets a key of its own, and a certificate for five minutes that names `user`, the principal and the session.
    """
    principals: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] = ()
    """Globs on the principal's name that it is for."""
    groups: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] = ()
    """Globs on groups that it is for. With neither key it fits everybody."""


class TargetEntry(_Section, frozen=True):
    """One target, in targets.d/*.yaml (each file is a list of them)."""

    name: Label
    """What callers ask for, as their database or behind their login: lower-case letters, digits, `-`, `_` and `.`, at
    most 63."""
    protocol: Annotated[
        Literal["postgres", "ssh"],
        Later(dict.fromkeys(("http", "mysql"), "leave the target out; this version speaks PostgreSQL and SSH")),
    ]
    """`postgres` or `ssh`."""
    address: PeerAddress
    """`host:port`, `[IPv6]:port`, or a unix socket's full path such as `/var/run/postgresql/.s.PGSQL.5432`."""
    credentials: Annotated[tuple[CredentialEntry, ...], msgspec.Meta(min_length=1)]
    """Logins; the first that fits the principal is used, for SSH the first of those whose `user` was asked for."""
    host_keys: tuple[HostKey, ...] = ()
    """An SSH host's public keys, or lines of known_hosts; one with `@cert-authority` is a CA that signs the certificate
    of `address`. `ostiary targets trust NAME` prints them. Without any the host is not connected to."""
    tls: TargetTlsEntry = msgspec.field(default_factory=TargetTlsEntry)
    """TLS towards the target; ignored for a unix socket, not for SSH."""
    tags: dict[Name, Name] = {}
    """Key-value marks that policy can ask for."""
