"""Mastodon.py, unchanged, in rounds: a write, and at once a read of all that it must have changed.

    rounds = Rounds([new_person(base, "ada"), new_person(base, "bob")], seed=17)
    rounds.one(0)     # and so on: each number is a kind of write, after the first few

Rules of this file
- A read comes after the answer to its write and before any pause: what it doesn't find is a miss, and fails.
- Each client has connections of its own, so which API worker answers is chance.
- An answer of 503 is no miss: the same request is repeated, a write with the same Idempotency-Key, as clients do.
"""

from __future__ import annotations

import itertools
import random
import time
import uuid
from typing import Any

import httpx
import pytest
import requests
from mastodon import Mastodon
from mastodon.errors import MastodonNotFoundError

from tests.serving import wait_for

PASSWORD = "a long enough password"
PATIENCE_S = 60.0  # of one request
RETRY_AFTER_S = 1.0  # where an answer doesn't say
REQUEST_TIMEOUT_S = 60.0


class PatientSession(requests.Session):
    """Mastodon.py's way to the server, with a key for every write. repeated: how often it was told to come back."""

    def __init__(self) -> None:
        super().__init__()
        self.repeated = 0

    def request(self, method: str, url: str, **more: Any) -> requests.Response:  # type: ignore[override]
        headers = dict(more.pop("headers", None) or {})
        if method != "GET":
            headers.setdefault("Idempotency-Key", uuid.uuid4().hex)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            reply = super().request(method, url, headers=headers, **more)
            if reply.status_code != 503 or time.monotonic() > deadline:
                return reply
            self.repeated += 1
            time.sleep(float(reply.headers.get("Retry-After", RETRY_AFTER_S)))


def new_person(base: str, name: str) -> Mastodon:
    """Register an account over the native API, whose token is good for everything; returns its client."""
    made = httpx.post(f"{base}/api/v1/users", json={"username": name, "password": PASSWORD}, timeout=60)
    assert made.status_code == 201, made.text
    token = made.json()["auth_token"]
    return Mastodon(
        access_token=token, api_base_url=base, ratelimit_method="throw", session=PatientSession(),
        request_timeout=REQUEST_TIMEOUT_S,
    )  # fmt: skip


class Rounds:
    """Writes of some people, each followed by a read of what it must have changed. Nobody else writes for them."""

    FIRST_POSTS = 3

    def __init__(self, people: list[Mastodon], seed: int = 17) -> None:
        self.people = {client.me().id: client for client in people}
        self.dice = random.Random(seed)
        self.statuses: list[tuple[Any, Any]] = []  # (author, id)
        self.posted = itertools.count()
        self.kinds = [
            self.post, self.favourite, self.reblog, self.follow, self.answer, self.edit, self.poll, self.list_,
            self.bookmark, self.block,
        ]  # fmt: skip

    def one(self, number: int) -> None:
        """Make one round. number: how many were made before; it says which kind this is."""
        if number < self.FIRST_POSTS:
            self.post()
        else:
            self.kinds[number % len(self.kinds)]()

    def two(self) -> tuple[Any, Any]:
        return tuple(self.dice.sample(sorted(self.people), 2))  # type: ignore[return-value]

    def status(self) -> tuple[Any, Any]:
        return self.dice.choice(self.statuses)

    def post(self) -> None:
        me, _ = self.two()
        text = f"says {next(self.posted)} #round"
        made = self.people[me].status_post(text, spoiler_text="cw" if self.dice.random() < 0.3 else None)
        self.statuses.append((me, made.id))
        assert text.split(" #")[0] in self.people[me].status(made.id).content
        assert made.id in [status.id for status in self.people[me].timeline_home(limit=5)]
        assert made.id in [status.id for status in self.people[me].account_statuses(me, limit=5)]

    def favourite(self) -> None:
        (_, status), (me, _) = self.status(), self.two()
        client = self.people[me]
        assert client.status_favourite(status).favourited
        assert client.status(status).favourited
        assert me in [account.id for account in client.status_favourited_by(status)]
        assert status in [each.id for each in client.favourites()]
        count = client.status(status).favourites_count
        assert not client.status_unfavourite(status).favourited
        assert client.status(status).favourites_count == count - 1

    def reblog(self) -> None:
        (_, status), (me, other) = self.status(), self.two()
        boost = self.people[me].status_reblog(status)
        assert boost.reblog.id == status
        assert me in [account.id for account in self.people[other].status_reblogged_by(status)]
        assert self.people[me].status(status).reblogged
        self.people[me].status_unreblog(status)
        assert me not in [account.id for account in self.people[other].status_reblogged_by(status)]

    def follow(self) -> None:
        me, other = self.two()
        client = self.people[me]
        assert client.account_follow(other).following
        assert client.account_relationships([other])[0].following
        # Held for 0.4 s until the other shard has it; on a machine that stands still it may be told a little later.
        wait_for(lambda: self.people[other].account_relationships([me])[0].followed_by)
        assert me in [account.id for account in self.people[other].account_followers(other)]
        assert not client.account_unfollow(other).following
        assert me not in [account.id for account in self.people[other].account_followers(other)]

    def answer(self) -> None:
        (_, status), (me, other) = self.status(), self.two()
        made = self.people[me].status_post("answers", in_reply_to_id=status)
        context = self.people[other].status_context(status)
        assert made.id in [each.id for each in context.descendants]
        self.people[me].status_delete(made.id)
        assert made.id not in [each.id for each in self.people[other].status_context(status).descendants]
        with pytest.raises(MastodonNotFoundError):
            self.people[other].status(made.id)

    def edit(self) -> None:
        author, status = self.status()
        _, other = self.two()
        text = f"edited {next(self.posted)}"
        self.people[author].status_update(status, text)
        assert text in self.people[other].status(status).content
        assert text in self.people[other].status_history(status)[-1].content

    def poll(self) -> None:
        me, other = self.two()
        client = self.people[me]
        made = client.status_post("which?", poll=client.make_poll(["this", "that"], 3600))
        voted = self.people[other].poll_vote(made.poll, [1])
        assert [option.votes_count for option in voted.options] == [0, 1]
        assert [option.votes_count for option in client.poll(made.poll).options] == [0, 1]
        assert self.people[other].status(made.id).poll.own_votes == [1]

    def list_(self) -> None:
        me, other = self.two()
        client = self.people[me]
        client.account_follow(other)
        made = client.list_create("friends")
        client.list_accounts_add(made.id, [other])
        assert [account.id for account in client.list_accounts(made.id)] == [other]
        client.list_delete(made.id)
        assert made.id not in [each.id for each in client.lists()]
        client.account_unfollow(other)

    def bookmark(self) -> None:
        (_, status), (me, _) = self.status(), self.two()
        self.people[me].status_bookmark(status)
        assert self.people[me].bookmarks(limit=1)[0].id == status
        self.people[me].status_unbookmark(status)
        assert status not in [each.id for each in self.people[me].bookmarks()]

    def block(self) -> None:
        me, other = self.two()
        self.people[me].account_block(other)
        assert other in [account.id for account in self.people[me].blocks()]
        assert self.people[other].account_relationships([me])[0].blocked_by
        self.people[me].account_unblock(other)
        assert not self.people[me].account_relationships([other])[0].blocking
