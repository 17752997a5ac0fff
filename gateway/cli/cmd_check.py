"""`ostiary check`: everything that can be known to be wrong before the gateway starts or reloads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli.options import config_option, json_option
from gateway.errors import ConfigError, GatewayError, Problem

if TYPE_CHECKING:
    from gateway.config import Config

EXPIRES_SOON: Final = 30 * 86400.0
"""Seconds: a certificate that ends earlier is worth a warning. Public CAs renew at a third of 90 days."""


@click.command()
@config_option
@json_option
@click.pass_context
def check(context: click.Context, config_path: Path, as_json: bool) -> None:
    """Name everything that is wrong with configuration, policy, certificates, secrets and directories.

    Nothing is started, made or changed, no target is reached. Run it as the gateway's user: what that user may read is
    part of the question. Exit status 1 with any problem; warnings alone leave it 0.
    """
    from gateway.cli.output import say, say_json

    found = _Findings(time.time())
    found.look(config_path)
    if as_json:
        say_json(
            {
                "ok": not found.problems,
                "problems": [_described(problem) for problem in found.problems],
                "warnings": found.warnings,
            }
        )
    else:
        for problem in found.problems:
            say(str(problem))
        for warning in found.warnings:
            say(f"warning: {warning}")
        count = len(found.problems)
        say(f"{config_path}: " + ("ok" if not count else f"{count} problem{'s' if count > 1 else ''}"))
    context.exit(1 if found.problems else 0)


class _Findings:
    """What is wrong, and what is unwise. Each look goes on where another one failed.

    now  unix seconds, for the dates of certificates and policy
    """

    def __init__(self, now: float) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._now = now

    def look(self, path: Path) -> None:
        from gateway.config import load, warnings
        from gateway.policy import check_policy

        config: Config | None = None

        def loaded() -> None:
            nonlocal config
            config = load(path)

        self._gather(path, (), loaded)
        if config is None:
            return
        self.warnings += warnings(config)
        policy, targets, keys = config.policy_files, config.targets, config.masking.keys
        groups = self._groups(path, config)
        self._gather(
            path, (), lambda: self.warnings.extend(map(_line, check_policy(policy, targets, self._now, keys, groups)))
        )
        self._tls(path, config)
        self._ssh(path, config)
        self._targets(config)
        self._sinks(path, config)
        self._webhooks(path, config)
        self._directories(path, config)
        self._signing_key(path, config)
        self._mask_keys(path, config)

    def _gather(self, file: Path, where: tuple[str | int, ...], look: Callable[[], object]) -> None:
        """Run ``look``; what it raises is a problem, at ``where`` in ``file`` unless it knows better."""
        try:
            look()
        except ConfigError as error:
            self.problems += error.problems
        except GatewayError as error:
            self.problems.append(Problem(str(file), where, error.message, error.hint or "see docs/operating.md"))

    def _groups(self, path: Path, config: Config) -> frozenset[str] | None:
        """Every group that a principal can be in; None: certificates may carry any, or nobody can tell."""
        from gateway.identity.passwords import Entry, load_passwords
        from gateway.identity.ssh_keys import KeyEntry, SshCredentials, load_keys

        entries: tuple[Entry, ...] | None = None
        keys: tuple[KeyEntry, ...] | None = None
        identity = config.identity

        def loaded() -> None:
            nonlocal entries
            entries = load_passwords(identity.passwords)

        def loaded_ssh() -> None:
            nonlocal keys
            SshCredentials(identity)
            keys = load_keys(identity.ssh_keys)

        self._gather(path, ("identity", "passwords"), loaded)
        self._gather(path, ("identity", "ssh_keys"), loaded_ssh)
        certificates = identity.ssh_certificates
        carried = certificates is not None and certificates.groups_from is not None
        if entries is None or keys is None or carried or identity.certificates.groups_from is not None:
            return None
        on_socket = (listed.groups for listed in config.identity.socket.values() if not isinstance(listed, str))
        groups = (*(entry.groups for entry in entries), *(entry.groups for entry in keys), *on_socket)
        return frozenset(group for some in groups for group in some)

    def _tls(self, path: Path, config: Config) -> None:
        from gateway.net import server_context

        def look() -> None:
            tls = config.tls
            crl = tls.revocation.crl
            context = server_context(tls.certificate, tls.key, now=self._now, client_ca=tls.client_ca, crl=crl)
            left = context.not_after - self._now
            if left < EXPIRES_SOON:
                self.warnings.append(f"tls.certificate: {tls.certificate} ends in {int(left // 86400)} days")

        self._gather(path, ("tls",), look)

    def _ssh(self, path: Path, config: Config) -> None:
        listener = config.listeners.ssh
        if listener is not None:
            from gateway.protocols.ssh.server import load_host_ca, load_host_keys

            self._gather(path, ("listeners", "ssh"), lambda: load_host_keys(listener, str(path)))
            self._gather(path, ("listeners", "ssh"), lambda: load_host_ca(listener, str(path)))

    def _targets(self, config: Config) -> None:
        from gateway.net import client_context

        file = config.directory / "targets.d"
        for target in config.targets:
            if target.protocol != "ssh" and not target.address.is_unix:
                tls = target.tls
                self._gather(file, (target.name, "tls"), lambda tls=tls: client_context(tls, now=self._now))  # type: ignore[misc]  # mypy has no types for a lambda's defaults
            for index, credential in enumerate(target.credentials):
                if credential.password is not None:
                    self._gather(file, (target.name, "credentials", index, "password"), credential.password.resolve)
                for name in ("key", "signed_by"):
                    if (key := getattr(credential, name)) is not None:
                        from gateway.protocols.ssh.upstream import private_key

                        self._gather(file, (target.name, "credentials", index, name), lambda key=key: private_key(key))  # type: ignore[misc]  # as above

    def _sinks(self, path: Path, config: Config) -> None:
        from gateway.model import TargetTls
        from gateway.net import client_context

        for index, sink in enumerate(config.audit.sinks):
            tls = TargetTls(
                "verify-full",
                ca=None if sink.ca is None else str(sink.ca),
                certificate=None if sink.certificate is None else str(sink.certificate),
                key=sink.key,
            )
            self._gather(path, ("audit", "sinks", index), lambda tls=tls: client_context(tls, now=self._now))  # type: ignore[misc]  # as above

    def _webhooks(self, path: Path, config: Config) -> None:
        from gateway.control.webhooks import receivers

        self._gather(path, ("approvals",), lambda: receivers(config.approvals, str(path), reactor=None, now=self._now))

    def _directories(self, path: Path, config: Config) -> None:
        from gateway.recording.directory import prepare

        self.problems += _unusable(path, ("node", "data"), config.node.data)
        self.problems += _unusable(path, ("audit", "directory"), config.audit.directory)
        self.problems += _unusable(path, ("listeners", "control", "socket"), config.listeners.control.socket.parent)
        recordings = config.recording.directory
        where = ("recording", "directory")
        sealed = config.recording.sealer is not None
        if not recordings.exists() and not sealed:
            self.problems += _unusable(path, where, recordings)
        elif not sealed and os.geteuid() == 0 and recordings.lstat().st_uid != 0:
            owner = recordings.lstat().st_uid
            self.warnings.append(f"recording.directory: belongs to user {owner}; run the check as that user")
        else:
            self._gather(path, where, lambda: self.warnings.extend(prepare(recordings, sealed=sealed)))
            if recordings.exists():
                self._space(config)

    def _space(self, config: Config) -> None:
        from gateway.recording.directory import free_space

        free = free_space(config.recording.directory)
        if free < config.recording.low_water:
            low = config.recording.low_water
            self.warnings.append(f"recording.low_water: {free} bytes are free, no session starts below {low}")

    def _signing_key(self, path: Path, config: Config) -> None:
        from gateway.recording.keys import load_or_create, parse_private

        reference = config.recording.signing_key
        own = config.node.data / "keys" / "recording.key"
        if reference is not None:
            self._gather(path, ("recording", "signing_key"), lambda: parse_private(reference.resolve()))
        elif own.exists():
            # Only read: it is there.
            self._gather(path, ("recording", "signing_key"), lambda: load_or_create(own))

    def _mask_keys(self, path: Path, config: Config) -> None:
        from gateway.config.keys import mask_keys, vault_key
        from gateway.secrets import kept_secret

        self._gather(path, ("masking", "keys"), lambda: mask_keys(config.masking, str(path)))
        self._gather(path, ("masking", "vault_key"), lambda: vault_key(config.masking, str(path)))
        own = config.node.data / "keys" / "vault.key"
        if config.masking.vault_key is None and own.exists():
            # Only read: it is there.
            self._gather(path, ("masking", "vault_key"), lambda: kept_secret(own, bytes))


def _unusable(path: Path, where: tuple[str, ...], directory: Path) -> Iterator[Problem]:
    """A directory that the gateway can't write to, or can't make."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        yield Problem(str(path), where, f"{there} is not a directory", "name another one, or move that file away")
    elif not os.access(there, os.W_OK | os.X_OK):
        doing = "be written to" if there == directory else f"be made: {there} can't be written to"
        yield Problem(str(path), where, f"{directory} can't {doing}", "make it, and give it to the gateway's user")


def _line(problem: Problem) -> str:
    where = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
    path = ".".join(str(part + 1) if isinstance(part, int) else part for part in problem.path)
    return f"{where}: {path} {problem.problem}; {problem.mend}"


def _described(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "path": problem.path,
        "problem": problem.problem,
        "mend": problem.mend,
    }
