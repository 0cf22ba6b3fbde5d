"""Accounts and statuses as ActivityStreams, in the forms of Mastodon's archive: made of Mastodon's own entities.

Rules of this file
- A status is a Create of a Note, one with a poll a Create of a Question, a reblog an Announce of its URI.
- To whom it was: `to` and `cc` by visibility, with those whom it mentions.
- What is linked by its URI may be gone, or not to be seen: a URI shows nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PUBLIC: Final = "https://www.w3.org/ns/activitystreams#Public"
CONTEXT: Final = [
    "https://www.w3.org/ns/activitystreams",
    {
        "toot": "http://joinmastodon.org/ns#", "schema": "http://schema.org#", "sensitive": "as:sensitive",
        "manuallyApprovesFollowers": "as:manuallyApprovesFollowers", "PropertyValue": "schema:PropertyValue",
        "value": "schema:value", "discoverable": "toot:discoverable", "indexable": "toot:indexable",
        "votersCount": "toot:votersCount", "Hashtag": "as:Hashtag",
    },
]  # fmt: skip


def actor_of(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CredentialAccount, or an Account, as a Person. The rest of the archive lies beside it."""
    uri = account["uri"]
    return {
        "@context": CONTEXT, "id": uri, "type": "Service" if account["bot"] else "Person",
        "following": f"{uri}/following", "followers": f"{uri}/followers",
        "outbox": "outbox.json", "likes": "likes.json", "bookmarks": "bookmarks.json",
        "preferredUsername": account["username"], "name": account["display_name"], "summary": account["note"],
        "url": account["url"], "manuallyApprovesFollowers": account["locked"], "discoverable": account["discoverable"],
        "indexable": account["indexable"], "published": account["created_at"], "tag": [],
        "attachment": [
            {"type": "PropertyValue", "name": each["name"], "value": each["value"]} for each in account["fields"]
        ],
        "icon": {"type": "Image", "url": account["avatar"]}, "image": {"type": "Image", "url": account["header"]},
    }  # fmt: skip


def activity_of(status: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """Return a status of the account's as what it did. names: of accounts that are answered, by id."""
    actor = status["account"]["uri"]
    to, cc = _audience(status, actor)
    shared = {"actor": actor, "published": status["created_at"], "to": to, "cc": cc}
    activity_id = f"{status['uri']}/activity"
    if status["reblog"] is not None:
        return {"id": activity_id, "type": "Announce", **shared, "object": status["reblog"]["uri"]}
    return {"id": activity_id, "type": "Create", **shared, "object": _note(status, actor, to, cc, names)}


def _note(
    status: Mapping[str, Any], actor: str, to: list[str], cc: list[str], names: Mapping[int, str]
) -> dict[str, Any]:  # fmt: skip
    note: dict[str, Any] = {
        "id": status["uri"], "type": "Note", "summary": status["spoiler_text"] or None,
        "inReplyTo": _answered(status, actor, names), "published": status["created_at"], "url": status["url"],
        "attributedTo": actor, "to": to, "cc": cc, "sensitive": status["sensitive"], "content": status["content"],
        "attachment": [], "tag": _tags(status, actor),
    }  # fmt: skip
    if status["language"]:
        note["contentMap"] = {status["language"]: status["content"]}
    if status["edited_at"]:
        note["updated"] = status["edited_at"]
    return note | _question(status["poll"])


def _question(poll: Mapping[str, Any] | None) -> dict[str, Any]:
    if poll is None:
        return {}
    options = [
        {"type": "Note", "name": each["title"],
         "replies": {"type": "Collection", "totalItems": each["votes_count"] or 0}}
        for each in poll["options"]
    ]  # fmt: skip
    ended = {"closed": poll["expires_at"]} if poll["expired"] else {}
    return {
        "type": "Question", "anyOf" if poll["multiple"] else "oneOf": options, "endTime": poll["expires_at"],
        "votersCount": poll["voters_count"] or 0, **ended,
    }  # fmt: skip


def _audience(status: Mapping[str, Any], actor: str) -> tuple[list[str], list[str]]:
    followers, mentioned = f"{actor}/followers", [_uri_of(actor, each["username"]) for each in status["mentions"]]
    return {
        "public": ([PUBLIC], [followers, *mentioned]), "unlisted": ([followers], [PUBLIC, *mentioned]),
        "private": ([followers], mentioned), "direct": (mentioned, []),
    }[status["visibility"]]  # fmt: skip


def _tags(status: Mapping[str, Any], actor: str) -> list[dict[str, str]]:
    mentions = [
        {"type": "Mention", "href": _uri_of(actor, each["username"]), "name": f"@{each['acct']}"}
        for each in status["mentions"]
    ]
    return mentions + [
        {"type": "Hashtag", "href": each["url"], "name": f"#{each['name']}"} for each in status["tags"]
    ]  # fmt: skip


def _answered(status: Mapping[str, Any], actor: str, names: Mapping[int, str]) -> str | None:
    """Return the URI of what a status answers; None for nothing, or where its author is gone."""
    name = names.get(int(status["in_reply_to_account_id"] or 0))
    return f"{_uri_of(actor, name)}/statuses/{status['in_reply_to_id']}" if name else None


def _uri_of(actor: str, username: str) -> str:
    """Return the URI of an account, by that of another one of this server."""
    return f"{actor.rpartition('/')[0]}/{username}"
