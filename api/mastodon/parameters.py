"""What each operation reads besides its path: names and types of parameters, by method and path of its row.

    "q:text limit:whole id[]:id"      types are those of `entities.py`; a name with [] takes several

Rules of this file
- An operation reads what stands here, and nothing else: every test is held to it (tests/api/mastodon/conftest.py).
- What isn't here takes no parameters. `access_token` may stand in any query.
- `{id}` and the like are written as in the row.
"""

from __future__ import annotations

from typing import Final

_PAGE: Final = "max_id:id since_id:id min_id:id limit:whole"
_DOWN: Final = "max_id:id limit:whole"  # of a list that leads downwards only
_LISTED: Final = "limit:whole offset:whole"
_FILTER: Final = "title:text context[]:text filter_action:text expires_in:whole keywords_attributes:any"
_V1_FILTER: Final = "phrase:text context[]:text expires_in:whole irreversible:flag whole_word:flag"
_SAYS: Final = "status:text spoiler_text:text sensitive:flag language:text media_ids[]:id poll:object"
_PICKED: Final = "account_id:id types[]:text exclude_types[]:text grouped_types[]:text limit:whole"
_LIST: Final = "title:text replies_policy:text exclusive:flag"

PARAMETERS: Final = {
    # accounts
    "GET /api/v1/accounts": "id[]:id",
    "GET /api/v1/accounts/familiar_followers": "id[]:id",
    "GET /api/v1/accounts/lookup": "acct:text",
    "GET /api/v1/accounts/relationships": "id[]:id with_suspended:flag",
    "GET /api/v1/accounts/search": f"q:text {_LISTED} following:flag resolve:flag",
    "GET /api/v1/accounts/{id}/endorsements": _PAGE,
    "GET /api/v1/accounts/{id}/followers": _DOWN,
    "GET /api/v1/accounts/{id}/following": _DOWN,
    "GET /api/v1/accounts/{id}/statuses": f"{_PAGE} exclude_reblogs:flag exclude_replies:flag only_media:flag"
    " pinned:flag tagged:text",
    "PATCH /api/v1/accounts/update_credentials": "display_name:text note:text locked:flag bot:flag discoverable:flag"
    " indexable:flag hide_collections:flag fields_attributes:any source:object avatar:text header:text",
    "PATCH /api/v1/profile": "display_name:text note:text locked:flag bot:flag discoverable:flag indexable:flag"
    " hide_collections:flag fields_attributes:any avatar:text header:text avatar_description:text"
    " header_description:text show_media:flag show_media_replies:flag show_featured:flag attribution_domains[]:text",
    "POST /api/v1/accounts": "username:text email:text password:text agreement:flag locale:text reason:text"
    " date_of_birth:text",
    "POST /api/v1/accounts/{id}/follow": "reblogs:flag notify:flag languages[]:text",
    "POST /api/v1/accounts/{id}/mute": "notifications:flag duration:whole",
    "POST /api/v1/accounts/{id}/note": "comment:text",
    # streams, which are opened elsewhere
    "GET /api/v1/streaming": "stream:text tag:text list:id since:text only_media:flag",
    "GET /api/v1/streaming/user": "last_event_id:text",
    "GET /api/v1/streaming/user/notification": "last_event_id:text",
    "GET /api/v1/streaming/direct": "last_event_id:text",
    "GET /api/v1/streaming/public": "only_media:flag last_event_id:text",
    "GET /api/v1/streaming/public/local": "only_media:flag last_event_id:text",
    "GET /api/v1/streaming/public/remote": "only_media:flag last_event_id:text",
    "GET /api/v1/streaming/hashtag": "tag:text last_event_id:text",
    "GET /api/v1/streaming/hashtag/local": "tag:text last_event_id:text",
    "GET /api/v1/streaming/list": "list:id last_event_id:text",
    "POST /api/v1/emails/confirmations": "email:text",
    # push
    "POST /api/v1/media": "file:file thumbnail:file description:text focus:text",
    "POST /api/v2/media": "file:file thumbnail:file description:text focus:text",
    "PUT /api/v1/media/{id}": "thumbnail:file description:text focus:text",
    "POST /api/v1/push/subscription": "subscription:object data:object",
    "PUT /api/v1/push/subscription": "data:object",
    # apps and tokens
    "POST /api/v1/apps": "client_name:text redirect_uris:any scopes:text website:text",
    "POST /oauth/token": "grant_type:text code:text client_id:text client_secret:text redirect_uri:text scope:text"
    " code_verifier:text username:text password:text",
    "POST /oauth/revoke": "client_id:text client_secret:text token:text",
    # statuses
    "GET /api/v1/statuses": "id[]:id",
    "POST /api/v1/statuses": f"{_SAYS} in_reply_to_id:id visibility:text scheduled_at:text quoted_status_id:id"
    " quote_approval_policy:text",
    "PUT /api/v1/statuses/{id}": f"{_SAYS} media_attributes:any quote_approval_policy:text",
    "DELETE /api/v1/statuses/{id}": "delete_media:flag",
    "POST /api/v1/statuses/{id}/reblog": "visibility:text",
    "GET /api/v1/statuses/{id}/favourited_by": _PAGE,
    "GET /api/v1/statuses/{id}/reblogged_by": _PAGE,
    "GET /api/v1/statuses/{id}/quotes": _DOWN,
    "POST /api/v1/polls/{id}/votes": "choices[]:whole",
    "GET /api/v1/scheduled_statuses": _PAGE,
    "PUT /api/v1/scheduled_statuses/{id}": "scheduled_at:text",
    # lists of one's own
    "GET /api/v1/bookmarks": _PAGE,
    "GET /api/v1/favourites": _PAGE,
    "GET /api/v1/blocks": _PAGE,
    "GET /api/v1/mutes": _PAGE,
    "GET /api/v1/endorsements": _PAGE,
    "GET /api/v1/follow_requests": _PAGE,
    "GET /api/v1/followed_tags": _PAGE,
    "GET /api/v1/conversations": _PAGE,
    "GET /api/v1/domain_blocks": _PAGE,
    "POST /api/v1/domain_blocks": "domain:text",
    "DELETE /api/v1/domain_blocks": "domain:text",
    "POST /api/v1/featured_tags": "name:text",
    "POST /api/v1/lists": _LIST,
    "PUT /api/v1/lists/{id}": _LIST,
    "GET /api/v1/lists/{id}/accounts": _DOWN,
    "POST /api/v1/lists/{id}/accounts": "account_ids[]:id",
    "DELETE /api/v1/lists/{id}/accounts": "account_ids[]:id",
    "GET /api/v1/markers": "timeline[]:text",
    "POST /api/v1/markers": "home:object notifications:object",
    # filters
    "POST /api/v1/filters": _V1_FILTER,
    "PUT /api/v1/filters/{id}": _V1_FILTER,
    "POST /api/v2/filters": _FILTER,
    "PUT /api/v2/filters/{id}": _FILTER,
    "POST /api/v2/filters/{filter_id}/keywords": "keyword:text whole_word:flag",
    "PUT /api/v2/filters/keywords/{id}": "keyword:text whole_word:flag",
    "POST /api/v2/filters/{filter_id}/statuses": "status_id:id",
    # timelines
    "GET /api/v1/timelines/home": _PAGE,
    "GET /api/v1/timelines/direct": _PAGE,
    "GET /api/v1/timelines/public": f"{_PAGE} local:flag remote:flag only_media:flag",
    "GET /api/v1/timelines/tag/{hashtag}": f"{_PAGE} any[]:text all[]:text none[]:text local:flag remote:flag"
    " only_media:flag",
    "GET /api/v1/timelines/list/{list_id}": _PAGE,
    # to find something
    "GET /api/v2/search": f"q:text type:text {_LISTED} {_PAGE.replace(' limit:whole', '')} account_id:id"
    " following:flag resolve:flag exclude_unreviewed:flag",
    "GET /api/v1/trends/tags": _LISTED,
    "GET /api/v1/trends/links": _LISTED,
    "GET /api/v1/trends/statuses": _LISTED,
    "GET /api/v1/directory": f"order:text local:flag {_LISTED}",
    "GET /api/v1/suggestions": "limit:whole",
    "GET /api/v2/suggestions": "limit:whole",
    "GET /.well-known/webfinger": "resource:text",
    "GET /api/oembed": "url:text maxwidth:whole maxheight:whole",
    # notifications
    "GET /api/v1/notifications": f"{_PAGE} account_id:id types[]:text exclude_types[]:text include_filtered:flag",
    "GET /api/v2/notifications": f"{_PAGE} account_id:id types[]:text exclude_types[]:text grouped_types[]:text"
    " include_filtered:flag expand_accounts:text",
    "GET /api/v1/notifications/requests": _PAGE,
    "POST /api/v1/notifications/requests/accept": "id[]:id",
    "POST /api/v1/notifications/requests/dismiss": "id[]:id",
    "GET /api/v1/notifications/unread_count": _PICKED.replace(" grouped_types[]:text", ""),
    "GET /api/v2/notifications/unread_count": _PICKED,
    "PATCH /api/v2/notifications/policy": "for_not_following:text for_not_followers:text for_new_accounts:text"
    " for_private_mentions:text for_limited_accounts:text",
    # reports
    "POST /api/v1/reports": "account_id:id category:text comment:text status_ids[]:id rule_ids[]:id forward:flag",
}  # fmt: skip


def parameters_of(method: str, path: str) -> dict[str, tuple[str, bool]]:
    """Return what an operation reads: (type, whether it may be several) by name."""
    found = {}
    for written in PARAMETERS.get(f"{method} {path}", "").split():
        name, _, kind = written.rpartition(":")
        found[name.removesuffix("[]")] = kind, name.endswith("[]")
    return found
