"""What answers are made of: the entities of Mastodon's API in the form in which Rookery has them, as JSON schemas.

    "id:id title:text? tags:Tag[] last~:Status?"    members by name, each with its type

    text flag whole number any object     JSON's types            id      digits in a text
    time  2026-11-30T10:00:00.000Z        day  2026-11-30         a|b|c   one of these texts
    Name  an entity, or a form of FORMS   T[]  a list of T        T{}     an object of them by any name
    T?    or null                         S|T  one of them        name~:T  may be absent

Rules of this file
- Exact: what isn't written here is in no answer, and what isn't `~` is in each. So a client's author can rely on it,
  and every answer of every test is held to it (tests/api/mastodon/conftest.py).
- Names, types and what may be null are those of docs.joinmastodon.org; a test holds them to its description.
- What Rookery never has (a remote account's `moved`, say) isn't here.
"""

from __future__ import annotations

import re
from typing import Any, Final

_ACCOUNT: Final = (
    "id:id username:text acct:text display_name:text locked:flag bot:flag discoverable:flag? indexable:flag group:flag"
    " hide_collections:flag? created_at:time note:text url:text uri:text avatar:text avatar_static:text header:text"
    " header_static:text followers_count:whole following_count:whole statuses_count:whole last_status_at:day?"
    " noindex:flag? emojis:CustomEmoji[] roles:any[] fields:Field[] moved~:any"
)
_LINK: Final = (
    "url:text title:text description:text type:link|photo|video|rich author_name:text author_url:text authors:any[]"
    " provider_name:text provider_url:text html:text width:whole height:whole image:text? embed_url:text"
    " blurhash:text? published_at:time?"
)
_APPLICATION: Final = (
    "id:id name:text website:text? scopes:text[] redirect_uri:text redirect_uris:text[] vapid_key:text"
)
_CREDENTIAL: Final = "client_id:text client_secret:text client_secret_expires_at:whole"

ENTITIES: Final = {
    "Account": _ACCOUNT,
    "Announcement": "id:id content:text starts_at:time? ends_at:time? all_day:flag published_at:time updated_at:time"
    " read:flag mentions:any[] statuses:any[] tags:StatusTag[] emojis:CustomEmoji[] reactions:Reaction[]",
    "Application": _APPLICATION,
    "Context": "ancestors:Status[] descendants:Status[]",
    "Conversation": "id:id unread:flag accounts:Account[] last_status:Status?",
    "CountResponse": "count:whole",
    "CredentialAccount": f"{_ACCOUNT} source:Source role:Role",
    "CredentialApplication": f"{_APPLICATION} {_CREDENTIAL}",
    "CustomEmoji": "shortcode:text url:text static_url:text visible_in_picker:flag category:text?",
    "DomainBlock": "domain:text digest:text severity:silence|suspend comment:text?",
    "ExtendedDescription": "updated_at:time content:text",
    "FamiliarFollowers": "id:id accounts:Account[]",
    "FeaturedTag": "id:id name:text url:text statuses_count:text|whole last_status_at:day?",
    "Filter": "id:id title:text context:FilterContext[] expires_at:time? filter_action:warn|hide|blur"
    " keywords~:FilterKeyword[] statuses~:FilterStatus[]",
    "FilterKeyword": "id:id keyword:text whole_word:flag",
    "FilterResult": "filter:Filter keyword_matches:text[]? status_matches:text[]?",
    "FilterStatus": "id:id status_id:id",
    "GroupedNotificationsResults": "accounts:Account[] statuses:Status[] notification_groups:NotificationGroup[]",
    "IdentityProof": "provider:text provider_username:text updated_at:time proof_url:text profile_url:text",
    "Instance": "domain:text title:text version:text source_url:text description:text usage:InstanceUsage"
    " thumbnail:InstanceThumbnail icon:any[] languages:text[] configuration:InstanceConfiguration"
    " registrations:InstanceRegistrations api_versions:InstanceApiVersions contact:InstanceContact rules:Rule[]",
    "List": "id:id title:text replies_policy:followed|list|none exclusive:flag",
    "Marker": "last_read_id:id version:whole updated_at:time",
    "MutedAccount": f"{_ACCOUNT} mute_expires_at:time?",
    "MergedResponse": "merged:flag",
    "Nodeinfo": "version:text software:object protocols:text[] services:object openRegistrations:flag usage:object"
    " metadata:object",
    "NodeinfoLinks": "links:any[]",
    "Notification": "id:id type:text created_at:time group_key:text account:Account status~:Status?",
    "NotificationGroup": "group_key:text notifications_count:whole type:text most_recent_notification_id:whole"
    " page_min_id:id page_max_id:id latest_page_notification_at:time sample_account_ids:id[] status_id~:id",
    "NotificationPolicy": "for_not_following:text for_not_followers:text for_new_accounts:text"
    " for_private_mentions:text for_limited_accounts:text summary:NotificationSummary",
    "NotificationRequest": "id:id created_at:time updated_at:time notifications_count:text account:Account"
    " last_status:Status?",
    "OAuthServer": "issuer:text authorization_endpoint:text token_endpoint:text revocation_endpoint:text"
    " userinfo_endpoint:text app_registration_endpoint:text scopes_supported:text[] response_types_supported:text[]"
    " response_modes_supported:text[] grant_types_supported:text[] code_challenge_methods_supported:text[]"
    " token_endpoint_auth_methods_supported:text[] service_documentation:text",
    "OEmbedResponse": "type:text version:text title:text author_name:text author_url:text provider_name:text"
    " provider_url:text cache_age:whole html:text width:whole height:whole?",
    "Poll": "id:id expires_at:time? expired:flag multiple:flag votes_count:whole voters_count:whole?"
    " options:PollOption[] emojis:CustomEmoji[] voted~:flag own_votes~:whole[]",
    "Preferences": "posting:default:visibility:Visibility posting:default:sensitive:flag"
    " posting:default:language:text? reading:expand:media:default|show_all|hide_all reading:expand:spoilers:flag",
    "PrivacyPolicy": "updated_at:time content:text",
    "Profile": "id:id display_name:text note:text fields:Field[] avatar:text? avatar_static:text?"
    " avatar_description:text header:text? header_static:text? header_description:text locked:flag bot:flag"
    " hide_collections:flag? discoverable:flag? indexable:flag show_media:flag show_media_replies:flag"
    " show_featured:flag attribution_domains:text[] featured_tags:FeaturedTag[]",
    "Relationship": "id:id following:flag showing_reblogs:flag notifying:flag languages:text[]? followed_by:flag"
    " blocking:flag blocked_by:flag muting:flag muting_notifications:flag muting_expires_at:time? requested:flag"
    " requested_by:flag domain_blocking:flag endorsed:flag note:text",
    "Report": "id:id action_taken:flag action_taken_at:time? category:spam|legal|violation|other comment:text"
    " forwarded:flag created_at:time status_ids:id[]? rule_ids:id[]? collection_ids:id[]? target_account:Account",
    "Rule": "id:id text:text hint:text",
    "ScheduledStatus": "id:id scheduled_at:time params:ScheduledParams media_attachments:MediaAttachment[]",
    "Search": "accounts:Account[] statuses:Status[] hashtags:Tag[]",
    "Status": "id:id created_at:time in_reply_to_id:id? in_reply_to_account_id:id? sensitive:flag spoiler_text:text"
    " visibility:Visibility language:text? uri:text url:text edited_at:time? replies_count:whole reblogs_count:whole"
    " favourites_count:whole quotes_count~:whole favourited:flag reblogged:flag muted:flag bookmarked:flag"
    " pinned~:flag content:text reblog:Status? application:StatusApplication? account:Account"
    " media_attachments:MediaAttachment[] mentions:StatusMention[] tags:StatusTag[] emojis:CustomEmoji[] card:Card?"
    " poll:Poll? quote:any filtered:FilterResult[] text~:text?",
    "StatusEdit": "content:text spoiler_text:text sensitive:flag created_at:time account:Account poll~:any"
    " media_attachments:MediaAttachment[] emojis:CustomEmoji[] quote~:any",
    "StatusSource": "id:id text:text spoiler_text:text",
    "Suggestion": "source:text sources:text[] account:Account",
    "Tag": "id:text name:text url:text history:TagHistory[] following~:flag featuring~:flag",
    "TermsOfService": "effective_date:day effective:flag content:text succeeded_by:day?",
    "Token": "access_token:text token_type:text scope:text created_at:whole",
    "TrendsLink": f"{_LINK} history:TagHistory[]",
    "UserInfo": "iss:text sub:text name:text preferred_username:text profile:text picture:text",
    "V1Filter": "id:id phrase:text context:FilterContext[] expires_at:time? irreversible:flag whole_word:flag",
    "V1Instance": "uri:text title:text short_description:text description:text email:text version:text"
    " urls:InstanceStreaming stats:InstanceStats thumbnail:text? languages:text[] registrations:flag"
    " approval_required:flag invites_enabled:flag configuration:V1InstanceConfiguration contact_account:Account?"
    " rules:Rule[]",
    "WeeklyActivity": "week:text statuses:text logins:text registrations:text",
    "WebPushSubscription": "id:id endpoint:text standard:flag alerts:PushAlerts policy:text server_key:text",
    "Webfinger": "subject:text aliases:text[] links:any[]",
}  # fmt: skip

# What entities are made of, and are no entities themselves.
FORMS: Final = {
    "Card": _LINK,
    "Field": "name:text value:text verified_at:time?",
    "InstanceApiVersions": "mastodon:whole",
    "InstanceConfiguration": "accounts:InstanceAccounts statuses:InstanceStatuses media_attachments:InstanceMedia"
    " polls:InstancePolls urls:InstanceUrls translation:InstanceTranslation limited_federation:flag?"
    " vapid~:InstanceVapid",
    "InstanceAccounts": "max_featured_tags:whole max_pinned_statuses:whole max_profile_fields:whole?"
    " max_note_length:whole? max_display_name_length:whole? profile_field_name_limit:whole?"
    " profile_field_value_limit:whole?",
    "InstanceContact": "email:text account:Account?",
    "InstanceMedia": "supported_mime_types:text[] description_limit:whole image_size_limit:whole"
    " image_matrix_limit:whole video_size_limit:whole video_frame_rate_limit:whole video_matrix_limit:whole",
    "InstancePolls": "max_options:whole max_characters_per_option:whole min_expiration:whole max_expiration:whole",
    "InstanceRegistrations": "enabled:flag approval_required:flag reason_required:flag? message:text? url:text?"
    " min_age:whole?",
    "InstanceStats": "user_count:whole status_count:whole domain_count:whole",
    "InstanceStatuses": "max_characters:whole max_media_attachments:whole characters_reserved_per_url:whole",
    "InstanceStreaming": "streaming_api:text",
    "InstanceThumbnail": "url:text",
    "InstanceTranslation": "enabled:flag",
    "InstanceUrls": "streaming:text? about:text? privacy_policy:text? terms_of_service:text? status:text?",
    "InstanceUsage": "users:InstanceUsers",
    "InstanceUsers": "active_month:whole",
    "InstanceVapid": "public_key:text",
    "MediaAttachment": "id:id type:unknown|image|gifv|video|audio url:text? preview_url:text? remote_url:text?"
    " preview_remote_url~:text? text_url~:text? media_id~:id"
    " meta:any description:text? blurhash:text?",
    "NotificationSummary": "pending_requests_count:whole pending_notifications_count:whole",
    "PollOption": "title:text votes_count:whole?",
    "PushAlerts": "mention:flag quote:flag status:flag reblog:flag follow:flag follow_request:flag favourite:flag"
    " poll:flag update:flag quoted_update:flag admin.sign_up:flag admin.report:flag",
    "Reaction": "name:text count:whole me:flag url~:text static_url~:text",
    "Role": "id:text name:text permissions:text color:text highlighted:flag",
    "ScheduledParams": "text:text visibility:text? scheduled_at:any in_reply_to_id:any sensitive:flag?"
    " spoiler_text:text? language:text? media_ids:id[]? poll:any application_id:any idempotency:text?"
    " with_rate_limit:flag quoted_status_id~:any quote_approval_policy~:any",
    "Source": "privacy:Visibility sensitive:flag language:text? note:text fields:Field[] follow_requests_count:whole"
    " hide_collections:flag? discoverable:flag? indexable:flag attribution_domains:text[]? quote_policy:text",
    "StatusApplication": "name:text website:text?",
    "StatusMention": "id:id username:text acct:text url:text",
    "StatusTag": "name:text url:text",
    "TagHistory": "day:text uses:text accounts:text",
    "V1InstanceConfiguration": "accounts:InstanceAccounts statuses:InstanceStatuses media_attachments:InstanceMedia"
    " polls:InstancePolls",
}  # fmt: skip
CHOICES: Final = {
    "Visibility": "public|unlisted|private|direct",
    "FilterContext": "home|notifications|public|thread|account",
}
ERROR: Final = "Error"
_ERROR: Final = "error:text error_description~:text details~:object"

_SIMPLE: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "string"}, "file": {"type": "string", "format": "binary"},
    "flag": {"type": "boolean"}, "whole": {"type": "integer"},
    "number": {"type": "number"}, "object": {"type": "object"}, "any": {},
    "id": {"type": "string", "pattern": "^[0-9]+$"},
    "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
    "day": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
}  # fmt: skip
PLACE: Final = "#/components/schemas/"
_NAMED: Final = frozenset((*ENTITIES, *FORMS, *CHOICES, ERROR))
_OTHER: Final = frozenset(("Picture", "Text"))  # answers that are no JSON
_CHOICE: Final = re.compile(r"[a-z_|]+")


def type_of(written: str) -> dict[str, Any]:
    """Return the schema of a type. Raises ValueError for one that there isn't."""
    if written.endswith("?"):
        inner = type_of(written[:-1])
        return inner if not inner else {"anyOf": [inner, {"type": "null"}]}
    if written.endswith("[]"):
        return {"type": "array", "items": type_of(written[:-2])}
    if written.endswith("{}"):
        return {"type": "object", "additionalProperties": type_of(written[:-2])}
    if written in _NAMED:
        return {"$ref": PLACE + written}
    if written in _SIMPLE:
        return dict(_SIMPLE[written])
    parts = written.split("|")
    if len(parts) > 1 and all(part in _SIMPLE or part in _NAMED for part in parts):
        return {"anyOf": [type_of(part) for part in parts]}
    if len(parts) > 1 and _CHOICE.fullmatch(written):
        return {"enum": parts}
    raise ValueError(f"there is no entity and no type {written!r}")


def object_of(members: str) -> dict[str, Any]:
    """Return the schema of an object with exactly these members."""
    properties, required = {}, []
    for member in members.split():
        name, _, written = member.rpartition(":")
        if name.endswith("~"):
            name = name[:-1]
        else:
            required.append(name)
        properties[name] = type_of(written)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def schemas() -> dict[str, Any]:
    """Return all schemas by name, as OpenAPI's components have them."""
    objects = {**ENTITIES, **FORMS, ERROR: _ERROR}
    return {name: object_of(members) for name, members in sorted(objects.items())} | {
        name: type_of(written) for name, written in CHOICES.items()
    }


def answer_schema(answer: str) -> dict[str, Any] | None:
    """Return the schema of what a row of the table answers; None for what is no JSON. Raises ValueError."""
    if answer in _OTHER:
        return None
    if not answer:
        return {"type": "object", "additionalProperties": False}
    return type_of(answer.replace("String", "text"))
