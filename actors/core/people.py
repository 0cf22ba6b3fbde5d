"""Accounts, their names and their tokens: the cold data of a shard.

Rows number the shard's own accounts 0, 1, 2, ... in the order of creation and never change; every column elsewhere
(rings, follow edges, logs) is indexed by row. A name lives on the shard of its bucket, which may be another than
the account's; it is *held* from the reservation on and *confirmed* when the account exists.
Costs: about 600 bytes an account, most of it the Python strings of its profile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.core import limits


@dataclass(slots=True)
class Account:
    """One account's cold data. tokens: SHA-256 of each secret, oldest first."""

    account_id: int
    username: str
    created_ms: int
    display_name: str = ""
    bio: str = ""
    location: str = ""
    url: str = ""
    avatar: str = ""
    fields: list[list[str]] = field(default_factory=list)
    password_hash: str | None = None
    tokens: list[bytes] = field(default_factory=list)

    def to_row(self) -> list[Any]:
        """Return the fields in order, for packing."""
        return [getattr(self, name) for name in self.__slots__]


PROFILE_FIELDS = ("display_name", "bio", "location", "url", "avatar", "fields")


class People:
    """The accounts and name reservations of one shard."""

    def __init__(self) -> None:
        self.row_of: dict[int, int] = {}
        self.accounts: list[Account] = []
        self.token_owner: dict[bytes, int] = {}  # for imported tokens, which don't say whose they are
        self.names: dict[str, tuple[int, bool]] = {}
        self.last_read_day = np.zeros(64, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.accounts)

    def add(self, account: Account) -> int:
        """Give a new account its row. The id must be free."""
        row = len(self.accounts)
        self.row_of[account.account_id] = row
        self.token_owner.update(dict.fromkeys(account.tokens, account.account_id))
        self.accounts.append(account)
        if row >= len(self.last_read_day):
            grown = np.zeros(row + row // 2 + 1, dtype=np.int32)
            grown[:row] = self.last_read_day[:row]
            self.last_read_day = grown
        return row

    def get(self, account_id: int) -> Account | None:
        """Return the account, or None if this shard has none of that id."""
        row = self.row_of.get(account_id)
        return None if row is None else self.accounts[row]

    def add_token(self, account: Account, secret_hash: bytes) -> list[bytes]:
        """Add a token; return those dropped to stay within TOKENS_PER_ACCOUNT_MAX."""
        if secret_hash in account.tokens:
            return []
        account.tokens.append(secret_hash)
        self.token_owner[secret_hash] = account.account_id
        dropped = account.tokens[: -limits.TOKENS_PER_ACCOUNT_MAX]
        for old in dropped:
            self.remove_token(account, old)
        return dropped

    def remove_token(self, account: Account, secret_hash: bytes) -> bool:
        """Take a token from an account; return whether it had it."""
        if secret_hash not in account.tokens:
            return False
        account.tokens.remove(secret_hash)
        if self.token_owner.get(secret_hash) == account.account_id:
            del self.token_owner[secret_hash]
        return True

    def check(self) -> list[str]:
        """Return violations: rows and ids agree both ways; no account has too many tokens."""
        problems = []
        for account_id, row in self.row_of.items():
            if self.accounts[row].account_id != account_id:
                problems.append(f"row {row} belongs to account {self.accounts[row].account_id}, not {account_id}")
        for account in self.accounts:
            if len(account.tokens) > limits.TOKENS_PER_ACCOUNT_MAX:
                problems.append(f"account {account.account_id} has {len(account.tokens)} tokens")
        return problems
