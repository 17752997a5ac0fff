"""Store: the gateway's own state, in SQLite below ``node.data`` (docs/decisions/0031-token-vault.md).

database   one SQLite file: rights, durability, schema version
tokens     the token vault: values behind the tokens that masks show instead of them
requests   what approvals are made of, as types
approvals  requests for approval, grants and locks (docs/decisions/0050-approvals.md)
"""

from gateway.store.approvals import ApprovalStore
from gateway.store.tokens import TokenVault, make_key, parse_token

__all__ = ["ApprovalStore", "TokenVault", "make_key", "parse_token"]
