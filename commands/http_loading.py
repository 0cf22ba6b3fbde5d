"""Loads through the HTTP API: for clusters that can only be reached that way. Slower; every write is one request.

Rules of this file
- Accounts with a token in the accounts file are taken to exist under their ids. All others are registered as `user<id>`
  and get the ids that the server gives; loading again logs in, with a password made of the seed and the number. It is
  no secret to whoever knows the seed, so such accounts are for experiments.
- Safe to repeat: follows are sets, posts carry an Idempotency-Key made as for the lane.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from actors.core.errors import ConflictError
from commands.http_api import HttpApi
from commands.input_files import Edges, ImportedAccount
from commands.loading import Loaded, OnCount

T = TypeVar("T")
Start = Callable[[str, int], OnCount]


@dataclass(frozen=True, slots=True)
class HttpInput:
    """What to load. posts: (author of the file, text, idempotency key)."""

    edges: Edges
    account_ids: list[int]
    imported: list[ImportedAccount]
    posts: list[tuple[int, str, str]]
    seed: int


class HttpLoader:
    """One load. who: account of the file -> (id on the server, token)."""

    def __init__(self, api: HttpApi, seed: int) -> None:
        self.api, self.seed = api, seed
        self.who: dict[int, tuple[str, str]] = {}
        self._new = 0
        self._lock = threading.Lock()

    def load(self, given: HttpInput, start: Start) -> dict[str, Loaded]:
        """Register, follow, post; returns what each phase did."""
        imported = {account.account_id: account for account in given.imported}
        self.who = {i: (str(i), account.token) for i, account in imported.items() if account.token}
        missing = [i for i in given.account_ids if i not in self.who]
        edges = list(zip(given.edges.followers.tolist(), given.edges.followees.tolist(), strict=True))
        on_count = start("accounts", len(missing))
        done = {"accounts": self._phase(missing, lambda i: self._account(i, imported.get(i)), on_count)}
        if edges:
            done["follows"] = self._phase(edges, self._follow, start("follows", len(edges)))
        if given.posts:
            done["tweets"] = self._phase(given.posts, self._post, start("tweets", len(given.posts)))
        return done

    def _phase(self, items: list[T], work: Callable[[T], bool], on_count: OnCount) -> Loaded:
        self._new, begin = 0, time.perf_counter()

        def one(item: T) -> None:
            is_new = work(item)
            with self._lock:
                self._new += is_new
                on_count(1)

        self.api.for_each(items, one)
        return Loaded(len(items), self._new, time.perf_counter() - begin)

    def _account(self, number: int, account: ImportedAccount | None) -> bool:
        made = hashlib.sha256(f"rookery {self.seed} {number}".encode()).hexdigest()
        password = account.password if account and account.password else made
        body = {"username": account.username if account else f"user{number}", "password": password}
        try:
            answer, is_new = self.api.request("POST", "/api/v1/users", body=body), True
        except ConflictError:
            answer, is_new = self.api.request("POST", "/api/v1/login", body=body), False
        with self._lock:
            self.who[number] = (answer["user_id"], answer["auth_token"])
        return is_new

    def _follow(self, edge: tuple[int, int]) -> bool:
        (me, token), (other, _) = self.who[edge[0]], self.who[edge[1]]
        if me != other:  # the API refuses to follow oneself
            self.api.request("POST", f"/{me}/follow/{other}", token)
        return me != other

    def _post(self, post: tuple[int, str, str]) -> bool:
        me, token = self.who[post[0]]
        self.api.request("POST", "/api/v1/tweet", token, {"user_id": me, "status": post[1]}, post[2])
        return True


def tokens_of(accounts: Iterable[ImportedAccount]) -> dict[int, str]:
    """Return account id -> token."""
    return {account.account_id: account.token for account in accounts if account.token}
