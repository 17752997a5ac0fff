"""Identity: a credential that was proven on this connection becomes a `Principal`; claims never do.

login.py         `Identity`: by_certificate, by_password, scram, offered_ssh_key
certificates.py  what a client certificate says, read strictly
passwords.py     the local password file; hash_password and make_scram_verifier write its entries
attempts.py      what password logins share: the wait, the verifier, the verdict
scram.py         server side of SCRAM-SHA-256(-PLUS), without I/O
ssh_keys.py      registered SSH keys, and what a key or certificate stands for
ssh_certificates.py  OpenSSH certificates, read strictly
revocation.py    OpenSSH's key revocation lists
lockout.py       failed logins slow down further ones

Every refusal is a `gateway.errors.LoginFailed`: ``message`` is for the caller and the same for an unknown name and a
wrong password, ``reason`` for the audit log.
"""

from gateway.identity.login import Identity, PasswordThreads
from gateway.identity.passwords import hash_password, make_scram_verifier
from gateway.identity.scram import ScramExchange
from gateway.identity.ssh_certificates import UNRESTRICTED, Restrictions
from gateway.identity.ssh_keys import SshIdentity

__all__ = [
    "UNRESTRICTED",
    "Identity",
    "PasswordThreads",
    "Restrictions",
    "ScramExchange",
    "SshIdentity",
    "hash_password",
    "make_scram_verifier",
]
