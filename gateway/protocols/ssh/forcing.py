"""A forced command: what runs instead of what the caller asked for, as sshd's ForceCommand does (sshd_config(5)).

A certificate forces one (``force-command``), or policy does (``ssh.force_command``). What runs is the operation that is
decided on and recorded; what was asked for is evidence in it (``original``), and the forced command finds it in
`ORIGINAL`, where the target's sshd accepts that variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.model import Denial, SshOperation
from gateway.policy import Forced
from gateway.protocols.ssh import operation as operations

ORIGINAL: Final = b"SSH_ORIGINAL_COMMAND"

_HINT: Final = "Ask an operator: one of the two has to go."


@dataclass(frozen=True, slots=True)
class Run:
    """What is run at the target, for a request of a channel.

    request, argument  ``shell``, ``exec`` and the command, or ``subsystem`` and its name
    environment        the channel's
    refusal            why it may not run whatever policy says, None: policy decides
    """

    request: str
    argument: bytes
    environment: Mapping[bytes, bytes]
    operation: SshOperation
    refusal: Denial | None = None

    @property
    def said(self) -> bytes:
        """All that a grant for it is bound to; the variables say what was asked for."""
        return self.request.encode() + b" " + self.argument


def run(
    request: str,
    argument: bytes,
    environment: Mapping[bytes, bytes],
    channel: int | None,
    certificate: bytes | None,
    policy: Forced | None,
) -> Run:
    """What runs when ``request`` is asked for. ``certificate`` and ``policy``: what each of them forces.

    Where nobody can know which command is meant (they differ, or policy says two), none runs.
    """
    asked = operations.request(request, argument, channel)
    if certificate is None and policy is None:
        return Run(request, argument, environment, asked)
    if policy is not None and policy.command is None:
        why = f"policy forces several commands: {_named(policy)}"
        return Run(request, argument, environment, asked, _refusal(why))
    by_policy = None if policy is None or policy.command is None else policy.command.encode()
    if certificate is not None and by_policy is not None and certificate != by_policy:
        assert policy is not None, "it forces something"
        why = f"your certificate forces another command than policy does: {_named(policy)}"
        return Run(request, argument, environment, asked, _refusal(why))
    command = by_policy if certificate is None else certificate
    assert command is not None, "one of them forces it"
    forced = replace(operations.execute(command, channel), original=_written(request, argument))
    if b"\0" in argument:
        # The variable would end there: the command would act by something else than what is recorded.
        return Run("exec", command, environment, forced, _refusal("what was asked for has a NUL byte", hint=None))
    variables = {name: value for name, value in environment.items() if name != ORIGINAL}
    if request != "shell":
        variables[ORIGINAL] = argument
    return Run("exec", command, variables, forced)


def instead(asked: SshOperation, policy: Forced | None) -> SshOperation:
    """The operation that is decided on where ``asked`` is asked for, as `ostiary explain` and cases do it.

    Raises ValueError where policy forces several commands.
    """
    if policy is None or asked.request not in ("shell", "exec", "scp", "sftp", "subsystem", "file"):
        return asked
    if policy.command is None:
        raise ValueError(f"is refused: policy forces several commands by {_named(policy)}; let it force one")
    argument = asked.subsystem or ("" if asked.request == "shell" else asked.text)
    request = {"scp": "exec", "sftp": "subsystem", "file": "subsystem"}.get(asked.request, asked.request)
    original = _written(request, argument.encode("utf-8", "surrogateescape"))
    return replace(operations.execute(policy.command.encode()), original=original)


def written(text: str, policy: Forced | None) -> SshOperation:
    """`operation.written`, where ``policy`` may force a command. Raises ValueError with the mend."""
    return instead(operations.written(text), policy)


def _written(request: str, argument: bytes) -> str:
    """As `operation.written` takes it."""
    return f"{request} {argument.decode('utf-8', 'surrogateescape')}".strip()


def _named(policy: Forced) -> str:
    return ", ".join(f'"{rule}"' for rule in policy.rules)


def _refusal(why: str, hint: str | None = _HINT) -> Denial:
    return Denial(f"permission denied: {why}", "Nothing was run.", hint)
