"""Operations that show nothing of one account to another, with the reason: no surfaces of the visibility matrix."""

from __future__ import annotations

MAIL = (("get", ""), ("put", ""), ("post", "/address"), ("post", "/confirmation"))
HOOK = "/{webhook_id}"
WEBHOOK_ROUTES = ("get", ""), ("post", ""), ("delete", HOOK), ("post", f"{HOOK}/secret"), ("post", f"{HOOK}/test")
EXEMPT = {
    ("post", "/api/v1/users"): "one's own account, new",
    ("post", "/api/v1/login"): "one's own account",
    ("post", "/api/v1/logout"): "no account",
    ("patch", "/{user_id}/profile"): "one's own profile",
    ("post", "/{user_id}/password"): "one's own account",
    **{(method, f"/{{user_id}}/mail{more}"): "one's own address and choices" for method, more in MAIL},
    **{("post", f"/api/v1/password/{what}"): "the same for everybody" for what in ("forgotten", "reset")},
    ("get", "/{user_id}/scheduled"): "one's own tweets, of which nobody else is told",
    **{(method, "/{user_id}/scheduled/{scheduled_id}"): "one's own tweet" for method in ("get", "patch", "delete")},
    ("get", "/{user_id}/export/{what}"): "names that one has followed, blocked, muted or listed oneself",
    ("post", "/{user_id}/import"): "rows of one's own file",
    ("get", "/{user_id}/stream"): "what happens on one's own timeline: tests/api/mastodon/test_streams.py",
    **{(method, f"/{{user_id}}/notifications{which}"): "a number of one's own"
       for method, which in (("post", "/read"), ("delete", ""), ("delete", "/{notification_id}"))},
    **{(method, f"/{{user_id}}/webhooks{path}"): "addresses of one's own" for method, path in WEBHOOK_ROUTES},
    ("get", "/{user_id}/tokens"): "one's own log-ins",
    **{("delete", path): "one's own account"
       for path in ("/{user_id}/tokens", "/{user_id}/tokens/{token_id}", "/api/v1/users/{user_id}")},
    ("get", "/api/v1/trends"): "words of public tweets, counted by all shards; no tweet and no account",
    **{("get", path): "for operators" for path in ("/healthz", "/readyz", "/metrics")},
    **{(method, f"/{{user_id}}/{kind}/{{id}}"): "the two ids that were given, and a state"
       for kind in ("follow", "block", "mute") for method in ("post", "delete")},
    **{("post", f"/wrk2-api/{what}"): "a line of text"
       for what in ("post/compose", "user/register", "user/follow", "user/unfollow")},
}  # fmt: skip
