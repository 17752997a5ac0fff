"""The whole configuration: ostiary.yaml, targets.d/*.yaml, and which policy files there are.

All or nothing: `load` gives a complete `Config` or raises with every problem of every file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, get_args

import msgspec

from gateway.config.loading import load_yaml
from gateway.config.schema import Config, MainFile, Role, TargetEntry, TargetTlsEntry
from gateway.config.units import is_local
from gateway.errors import ConfigError, Problem
from gateway.model import Credential, Target, TargetTls
from gateway.secrets import SecretReference

T = TypeVar("T")

MAX_TARGETS = 10_000
"""The catalogue is looked through by name and listed whole; more wants a store, not files."""

RESTART_KEYS: tuple[str, ...] = (
    "node.name",
    "node.data",
    "listeners.postgres.address",
    "listeners.ssh.address",
    "listeners.metrics.address",
    "listeners.control.socket",
    "listeners.control.address",
    "recording.directory",
    "recording.sealer",
    "recording.signing_key",
    "audit.directory",
    "masking.vault_key",
)
"""Sockets, directories and what a chain of records is begun with; everything else a reload changes."""


def load(path: Path) -> Config:
    """The configuration that ``path`` (ostiary.yaml) and the directories beside it are.

    Raises ConfigError with all problems of all files, and nothing else.
    """
    problems: list[Problem] = []
    directory = Path(path).absolute().parent
    main = _collect(problems, path, MainFile)
    targets = _load_targets(directory / "targets.d", problems)
    policy_files = _list_yaml(directory / "policy.d", problems)
    if main is not None:
        problems += _check_main(main, str(path))
    if problems or main is None:
        raise ConfigError(*problems)
    data = main.node.data
    values = {name: getattr(main, name) for name in main.__struct_fields__}
    values["roles"] = {role: main.roles.get(role, ()) for role in get_args(Role)}
    values["recording"] = msgspec.structs.replace(main.recording, directory=data / main.recording.directory)
    values["audit"] = msgspec.structs.replace(main.audit, directory=data / main.audit.directory)
    return Config(**values, targets=targets, policy_files=policy_files, directory=directory)


def warnings(config: Config) -> list[str]:
    """One line for each unsafe switch that is on; shown at start and by ``ostiary check``."""
    found = []
    metrics = config.listeners.metrics
    if metrics is not None and not is_local(metrics.address):
        found.append(f"listeners.metrics.address: {metrics.address} shows metrics to the network without login or TLS")
    if config.tls.client_ca and not config.tls.revocation.crl:
        found.append(
            "tls.revocation.crl: no list is given, so revoked client certificates are accepted until they expire"
        )
    if not config.audit.sinks:
        found.append("audit.sinks: none, so whoever controls this host could rewrite the audit log unseen")
    for target in config.targets:
        if target.protocol == "ssh":
            if not target.host_keys and not target.host_cas:
                found.append(
                    f"target {target.name}: no host_keys, so it is not connected to; see ostiary targets trust"
                )
            continue
        if is_local(target.address):
            continue
        if target.tls.mode == "disable":
            found.append(f"target {target.name}: insecure_plaintext, credentials and rows cross the network readable")
        elif target.tls.mode == "require":
            found.append(f"target {target.name}: insecure_skip_target_verification, whoever is in between can be it")
        elif target.tls.mode == "verify-ca":
            found.append(f"target {target.name}: tls.mode verify-ca, any host with a certificate of that CA can be it")
    return found


def restart_needed(old: Config, new: Config) -> tuple[str, ...]:
    """Keys that differ and that a reload can't change; their old values stay in force until a restart."""
    return tuple(key for key in RESTART_KEYS if _value(old, key) != _value(new, key))


def _value(config: Config, key: str) -> object:
    value: object = config
    for name in key.split("."):
        value = None if value is None else getattr(value, name)
    return value


def _collect(problems: list[Problem], path: Path, into: type[T]) -> T | None:
    try:
        return load_yaml(path, into)
    except ConfigError as error:
        problems += error.problems
        return None


def _list_yaml(directory: Path, problems: list[Problem]) -> tuple[Path, ...]:
    """The directory's *.yaml files in order of name; none when there is no such directory."""
    try:
        names = sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        return ()
    except OSError as error:
        problems.append(Problem(str(directory), (), f"can't be listed: {error.strerror}", "chgrp ostiary, chmod 0750"))
        return ()
    for name in names:
        if name.endswith(".yml"):
            mend = "rename it to .yaml, or away"
            problems.append(Problem(str(directory / name), (), "ends in .yml and would not be read", mend))
    return tuple(directory / name for name in names if name.endswith(".yaml"))


def _check_main(main: MainFile, file: str) -> list[Problem]:
    found = []
    if main.tls.revocation.crl and not main.tls.client_ca:
        mend = "add tls.client_ca, or remove the lists"
        found.append(Problem(file, ("tls", "revocation", "crl"), "has no CA whose certificates it could revoke", mend))
    postgres = main.listeners.postgres
    if postgres is not None and not main.tls.client_ca and main.identity.passwords is None:
        mend = "set tls.client_ca or identity.passwords"
        found.append(Problem(file, ("listeners", "postgres"), "lets nobody in: there is no way to log in", mend))
    ways = (main.identity.passwords, main.identity.ssh_keys, main.identity.ssh_certificates)
    if main.listeners.ssh is not None and not any(way is not None for way in ways):
        mend = "set identity.ssh_keys, ssh_certificates or passwords"
        found.append(Problem(file, ("listeners", "ssh"), "lets nobody in: there is no way to log in", mend))
    if main.listeners.control.address is not None and not main.tls.client_ca:
        mend = "set tls.client_ca, or leave the address out"
        said = "lets nobody in: callers prove themselves by certificates, and no CA of them is given"
        found.append(Problem(file, ("listeners", "control", "address"), said, mend))
    if main.recording.reserve > main.recording.low_water:
        mend = "write a reserve that is not above low_water"
        found.append(Problem(file, ("recording", "reserve"), "is larger than low_water", mend))
    sinks = [sink.name for sink in main.audit.sinks]
    found += _check_names(sinks, file, ("audit", "sinks"), "sink")
    found += _check_names([each.called for each in main.approvals.notify], file, ("approvals", "notify"), "webhook")
    return found


def _check_names(names: list[str], file: str, where: tuple[str, str], kind: str) -> Iterator[Problem]:
    """Each of them names one thing in logs and metrics."""
    for index, name in enumerate(names):
        if name in names[:index]:
            problem, mend = f"is another {kind}'s name, too", f"give each {kind} its own name"
            yield Problem(file, (*where, index, "name"), problem, mend)


def _load_targets(directory: Path, problems: list[Problem]) -> tuple[Target, ...]:
    targets: dict[str, Target] = {}
    origin: dict[str, str] = {}
    for path in _list_yaml(directory, problems):
        entries = _collect(problems, path, list[TargetEntry])
        for index, entry in enumerate(entries or []):
            problems += _check_target(entry, str(path), index)
            if entry.name in targets:
                mend = "give each target its own name"
                said = f"is the name of a target in {origin[entry.name]}, too"
                problems.append(Problem(str(path), (index, "name"), said, mend))
            targets[entry.name] = _target(entry)
            origin[entry.name] = str(path)
    if len(targets) > MAX_TARGETS:
        problems.append(Problem(str(directory), (), f"has more than {MAX_TARGETS} targets", "use more gateways"))
    return tuple(targets.values())


def _check_target(entry: TargetEntry, file: str, index: int) -> list[Problem]:
    return _check_ssh(entry, file, index) if entry.protocol == "ssh" else _check_postgres(entry, file, index)


def _check_ssh(entry: TargetEntry, file: str, index: int) -> list[Problem]:
    found = []
    if entry.tls != TargetTlsEntry():
        found.append(Problem(file, (index, "tls"), "is not for SSH, which has host keys", "remove it"))
    seen: set[str] = set()
    for position, credential in enumerate(entry.credentials):
        where = (index, "credentials", position)
        if credential.key is None and credential.password is None and credential.signed_by is None:
            said = "has neither key, signed_by nor password"
            found.append(Problem(file, where, said, "add key: and a private key"))
        if credential.user in seen:
            said = "comes after one of the same user that fits everybody, so it is never used"
            found.append(Problem(file, where, said, "move it up"))
        if not credential.principals and not credential.groups:
            seen.add(credential.user)
    return found


def _check_postgres(entry: TargetEntry, file: str, index: int) -> list[Problem]:
    found = []
    if entry.host_keys:
        found.append(Problem(file, (index, "host_keys"), "is for SSH only", "remove it, or write protocol: ssh"))
    for position, credential in enumerate(entry.credentials):
        for name in ("key", "signed_by"):
            if getattr(credential, name) is not None:
                where = (index, "credentials", position, name)
                found.append(Problem(file, where, "is for SSH only", "use tls.certificate and tls.key"))
    if not is_local(entry.address):
        for mode, switch in (("disable", "insecure_plaintext"), ("require", "insecure_skip_target_verification")):
            if entry.tls.mode == mode and not getattr(entry.tls, switch):
                said = f"{mode} is unsafe for a target that is not on this host"
                mend = f"use verify-full, or say so: add {switch}: true"
                found.append(Problem(file, (index, "tls", "mode"), said, mend))
    for mode, switch in (("disable", "insecure_plaintext"), ("require", "insecure_skip_target_verification")):
        if getattr(entry.tls, switch) and entry.tls.mode != mode:
            said = f"does nothing without mode: {mode}"
            found.append(Problem(file, (index, "tls", switch), said, "remove it"))
    for position, credential in enumerate(entry.credentials[:-1]):
        if not credential.principals and not credential.groups:
            said = "fits everybody, so those after it are never used"
            found.append(Problem(file, (index, "credentials", position), said, "move it to the end"))
            break
    return found


def _target(entry: TargetEntry) -> Target:
    tls = entry.tls
    return Target(
        name=entry.name,
        protocol=entry.protocol,
        address=entry.address,
        tls=TargetTls(tls.mode, _text(tls.ca), _text(tls.certificate), tls.key),
        credentials=tuple(
            Credential(each.user, each.password, each.principals, each.groups, each.key, each.signed_by)
            for each in entry.credentials
        ),
        tags=dict(entry.tags),
        host_keys=tuple(key for key, is_ca in entry.host_keys if not is_ca),
        host_cas=tuple(key for key, is_ca in entry.host_keys if is_ca),
    )


def _text(reference: SecretReference | None) -> str | None:
    return None if reference is None else str(reference)
