"""Who may do what: one row for each route, written by hand. `test_authorisation_matrix.py` asks the real thing.

A pattern says what is answered, by whose the object is (a line) and by whose token it is (a column):

    nobody: no token; stranger: a good token of another account; owner: the token of the account that `own` is about;
    revoked: one that was the owner's, and was known to the worker; garbage: none that was ever given

`ok` stands for the status with which the route succeeds. `own` is the owner's account or tweet, `another` belongs to
somebody who is neither owner nor stranger, `missing` does not exist. Where there is no object, the line is `any`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CALLERS = ("nobody", "stranger", "owner", "revoked", "garbage")
Pattern = dict[str, tuple[Any, ...]]

# Everybody may read what is public; a token that is sent along must be good.
PUBLIC: Pattern = {
    "own": ("ok", "ok", "ok", 401, 401),
    "another": ("ok", "ok", "ok", 401, 401),
    "missing": (404, 404, 404, 401, 401),
}
PUBLIC_LIST: Pattern = {"any": PUBLIC["own"]}
# Done in the name of an account, which must be the token's. Whether another account exists is not said.
AS_ACCOUNT: Pattern = {
    "own": (401, 403, "ok", 401, 401),
    "another": (401, 403, 403, 401, 401),
    "missing": (401, 403, 403, 401, 401),
}
# Done by any account to anybody's tweet.
BY_ANY_ACCOUNT: Pattern = {
    "own": (401, "ok", "ok", 401, 401),
    "another": (401, "ok", "ok", 401, 401),
    "missing": (401, 404, 404, 401, 401),
}
# Taken back by any account; what isn't there needn't be.
TAKEN_BACK: Pattern = {**BY_ANY_ACCOUNT, "missing": BY_ANY_ACCOUNT["own"]}
# Done to a tweet by its author.
BY_ITS_AUTHOR: Pattern = {
    "own": (401, 403, "ok", 401, 401),
    "another": (401, 403, 403, 401, 401),
    "missing": (401, 404, 404, 401, 401),
}
# Done to the token itself.
BY_TOKEN: Pattern = {"any": (401, "ok", "ok", 401, 401)}
# No token is looked at.
OPEN: Pattern = {"any": ("ok", "ok", "ok", "ok", "ok")}


@dataclass(frozen=True)
class Row:
    """pattern: see above; ok: with which status it succeeds; query, body: what is sent besides, with {placeholders} as
    in a path; uses_up: success takes the tokens or the object away."""

    pattern: Pattern
    ok: int = 200
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    uses_up: bool = False

    @property
    def security(self) -> str | None:
        """What the documentation has to say of the token: required, optional, or None for not looked at."""
        if self.pattern is OPEN:
            return None
        return "optional" if self.pattern in (PUBLIC, PUBLIC_LIST) else "required"


PASSWORD = "correct horse battery"
_NEW_TWEET = Row(AS_ACCOUNT, 201, body={"user_id": "{user_id}", "status": "hello"})
_QUERY = {"query": "hello"}
_USER = {"user_id": "{user_id}"}

ROWS: dict[tuple[str, str], Row] = {
    ("POST", "/tweet"): _NEW_TWEET,
    ("POST", "/api/v1/tweet"): _NEW_TWEET,
    ("GET", "/api/v1/tweet/{tweet_id}"): Row(PUBLIC),
    ("PATCH", "/api/v1/tweet/{tweet_id}"): Row(BY_ITS_AUTHOR, body={"status": "hello again"}),
    ("GET", "/api/v1/tweet/{tweet_id}/history"): Row(PUBLIC),
    ("DELETE", "/api/v1/tweet/{tweet_id}"): Row(BY_ITS_AUTHOR, uses_up=True),
    ("POST", "/api/v1/tweet/{tweet_id}/like"): Row(BY_ANY_ACCOUNT),
    ("DELETE", "/api/v1/tweet/{tweet_id}/like"): Row(TAKEN_BACK),
    ("POST", "/api/v1/tweet/{tweet_id}/repost"): Row(BY_ANY_ACCOUNT),
    ("DELETE", "/api/v1/tweet/{tweet_id}/repost"): Row(TAKEN_BACK),
    ("GET", "/api/v1/tweet/{tweet_id}/likes"): Row(PUBLIC),
    ("GET", "/api/v1/tweet/{tweet_id}/reposts"): Row(PUBLIC),
    ("GET", "/api/v1/tweet/{tweet_id}/thread"): Row(PUBLIC),
    ("POST", "/api/v1/tweet/{tweet_id}/bookmark"): Row(BY_ANY_ACCOUNT),
    ("DELETE", "/api/v1/tweet/{tweet_id}/bookmark"): Row(TAKEN_BACK),
    ("POST", "/api/v1/tweet/{tweet_id}/pin"): Row(BY_ITS_AUTHOR),
    ("DELETE", "/api/v1/tweet/{tweet_id}/pin"): Row(TAKEN_BACK),
    ("GET", "/{user_id}/pins"): Row(PUBLIC),
    ("GET", "/{user_id}/likes"): Row(AS_ACCOUNT),
    ("GET", "/{user_id}/bookmarks"): Row(AS_ACCOUNT),
    ("GET", "/{user_id}/notifications"): Row(AS_ACCOUNT),
    ("GET", "/{user_id}/stream"): Row(AS_ACCOUNT),
    ("POST", "/{user_id}/notifications/read"): Row(AS_ACCOUNT),
    ("DELETE", "/{user_id}/notifications"): Row(AS_ACCOUNT),
    ("DELETE", "/{user_id}/notifications/{notification_id}"): Row(AS_ACCOUNT),
    ("GET", "/{user_id}/webhooks"): Row(AS_ACCOUNT),
    ("POST", "/{user_id}/webhooks"): Row(
        AS_ACCOUNT, 201, body={"url": "https://example.org/{free_name}"}, uses_up=True
    ),
    ("DELETE", "/{user_id}/webhooks/{webhook_id}"): Row(AS_ACCOUNT, uses_up=True),
    ("POST", "/{user_id}/webhooks/{webhook_id}/secret"): Row(AS_ACCOUNT),
    ("POST", "/{user_id}/webhooks/{webhook_id}/test"): Row(AS_ACCOUNT, 202),
    ("GET", "/{user_id}/scheduled"): Row(AS_ACCOUNT),
    ("GET", "/{user_id}/scheduled/{scheduled_id}"): Row(AS_ACCOUNT),
    ("PATCH", "/{user_id}/scheduled/{scheduled_id}"): Row(AS_ACCOUNT, body={"scheduled_at": "2024-06-01T00:00:00Z"}),
    ("DELETE", "/{user_id}/scheduled/{scheduled_id}"): Row(AS_ACCOUNT, uses_up=True),
    ("GET", "/feed"): Row(AS_ACCOUNT, query=_USER),
    ("GET", "/api/v1/home_timeline"): Row(AS_ACCOUNT, query=_USER),
    ("GET", "/api/v1/home_timeline/explain"): Row(AS_ACCOUNT, query={**_USER, "tweet_id": "{tweet_id}"}),
    ("GET", "/api/v1/user_timeline"): Row(PUBLIC, query=_USER),
    ("GET", "/api/v1/search"): Row(PUBLIC_LIST, query=_QUERY),
    ("GET", "/api/v1/suggest"): Row(PUBLIC_LIST, query=_QUERY),
    ("GET", "/api/v1/search/accounts"): Row(PUBLIC_LIST, query=_QUERY),
    ("GET", "/search/tags/{hashtag}"): Row(PUBLIC_LIST),
    ("GET", "/api/v1/trends"): Row(OPEN),
    ("GET", "/{user_id}/export/{what}"): Row(AS_ACCOUNT),
    ("POST", "/{user_id}/import"): Row(AS_ACCOUNT, body={"type": "mutes", "data": "nobody"}),
    ("POST", "/{user_id}/follow/{id}"): Row(AS_ACCOUNT),
    ("DELETE", "/{user_id}/follow/{id}"): Row(AS_ACCOUNT),
    ("POST", "/{user_id}/block/{id}"): Row(AS_ACCOUNT),
    ("DELETE", "/{user_id}/block/{id}"): Row(AS_ACCOUNT),
    ("POST", "/{user_id}/mute/{id}"): Row(AS_ACCOUNT),
    ("DELETE", "/{user_id}/mute/{id}"): Row(AS_ACCOUNT),
    ("GET", "/{user_id}/followers"): Row(PUBLIC),
    ("GET", "/{user_id}/following"): Row(PUBLIC),
    ("GET", "/{user_id}/profile"): Row(PUBLIC),
    ("PATCH", "/{user_id}/profile"): Row(AS_ACCOUNT, body={"bio": "Poet"}),
    ("POST", "/api/v1/users"): Row(OPEN, 201, body={"username": "{free_name}", "password": PASSWORD}),
    ("POST", "/api/v1/login"): Row(OPEN, body={"username": "{username}", "password": PASSWORD}),
    ("POST", "/api/v1/logout"): Row(BY_TOKEN, uses_up=True),
    ("POST", "/{user_id}/password"): Row(
        AS_ACCOUNT, body={"password": PASSWORD, "new_password": PASSWORD}, uses_up=True
    ),
    ("GET", "/{user_id}/mail"): Row(AS_ACCOUNT),
    ("PUT", "/{user_id}/mail"): Row(AS_ACCOUNT, body={"digest": "false"}),
    ("POST", "/{user_id}/mail/address"): Row(
        AS_ACCOUNT, 202, body={"email": "{username}@mail.example", "password": PASSWORD}
    ),
    ("POST", "/{user_id}/mail/confirmation"): Row(AS_ACCOUNT, body={"code": "{code}"}),
    ("POST", "/api/v1/password/forgotten"): Row(OPEN, 202, body={"email": "nobody@mail.example"}),
    ("POST", "/api/v1/password/reset"): Row(  # with a code that nobody has: the right one is good once
        OPEN, 422, body={"email": "nobody@mail.example", "code": "0", "new_password": PASSWORD}
    ),
    ("DELETE", "/{user_id}/tokens"): Row(AS_ACCOUNT, uses_up=True),
    ("GET", "/{user_id}/tokens"): Row(AS_ACCOUNT),
    ("DELETE", "/api/v1/users/{user_id}"): Row(AS_ACCOUNT, body={"password": PASSWORD}, uses_up=True),
    ("DELETE", "/{user_id}/tokens/{token_id}"): Row(AS_ACCOUNT, uses_up=True),
    ("GET", "/healthz"): Row(OPEN),
    ("GET", "/readyz"): Row(OPEN),
    ("GET", "/metrics"): Row(OPEN),
}
# Served, but no operation of the API: pages and files for people, the same for everybody.
DOCUMENTATION = {"/docs", "/docs-assets", "/openapi.json", "/docs/oauth2-redirect"}
