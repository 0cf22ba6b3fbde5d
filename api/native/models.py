"""The wire models: what goes in and out, as the documentation shows it.

Rules of this file
- They document and nothing else. Bodies are checked by `fields.py` (which gives better messages, and takes forms too);
  answers are ready bytes from the shards and are never parsed or serialised again. Tests hold the three together.
- Ids go out as decimal strings; they come in as those or as JSON integers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from actors.core.ids import ID_MAX
from api import limits

IdOut = Annotated[str, Field(pattern=r"^[0-9]{1,19}$", examples=["1786032416854016"])]
IdIn = Annotated[
    Annotated[str, Field(pattern=r"^[0-9]{1,19}$")] | Annotated[int, Field(ge=1, le=ID_MAX)],
    Field(description="A decimal string or an integer, 1 to 2^63-1", examples=["42"]),
]
Username = Annotated[str, Field(pattern=rf"^[A-Za-z0-9_]{{1,{limits.USERNAME_CHARS_MAX}}}$", examples=["ada"])]
Password = Annotated[
    str, Field(min_length=limits.PASSWORD_BYTES_MIN, max_length=limits.PASSWORD_BYTES_MAX, examples=["correct horse"])
]
DisplayName = Annotated[str, Field(max_length=limits.DISPLAY_NAME_CHARS_MAX, examples=["Ada Lovelace"])]
Bio = Annotated[str, Field(max_length=limits.BIO_CHARS_MAX, description="May have several lines", examples=["Poet"])]
Link = Annotated[
    str, Field(max_length=limits.URL_CHARS_MAX, description="http(s), or empty", examples=["https://example.org/ada"])
]

TimeIn = Annotated[
    str,
    Field(
        description="In the form of `created_at`, or RFC 3339 with its zone",
        examples=["Wed Sep 05 00:37:15 +0000 2029", "2029-09-05T00:37:15Z"],
    ),
]


class Open(BaseModel):
    """An answer that may gain members."""

    model_config = ConfigDict(extra="allow")


class ErrorDetail(BaseModel):
    """What was wrong."""

    code: str = Field(description="For programs; stable", examples=["not_found"])
    message: str = Field(description="For people: what, with which value, what would be right")
    field: str | None = Field(description="The input that was wrong, if it was one", examples=["user_id"])


class ErrorReply(BaseModel):
    """Every answer with a status of 400 or more."""

    error: ErrorDetail


class Counts(Open):
    """How often a tweet was answered, reposted, liked."""

    replies: int = Field(ge=0)
    reposts: int = Field(ge=0)
    likes: int = Field(ge=0)


class ViewerFlags(BaseModel):
    """What the reader has done about a tweet."""

    liked: bool
    reposted: bool = Field(description="The tweet, or what it reposts")
    bookmarked: bool
    muted: bool = Field(description="Its author")
    pinned: bool = Field(description="By the reader, whose own it is")


class Tweet(Open):
    """A tweet, or a repost (an empty status and `repost_of`)."""

    created_at: str = Field(examples=["Wed Sep 05 00:37:15 +0000 2012"])
    status: str = Field(examples=["hello world"])
    tweet_id: IdOut
    user_id: IdOut
    username: str = Field(examples=["ada"])
    in_reply_to: IdOut | None
    media: list[Any] = Field(examples=[[]])
    edited_at: str | None = Field(default=None, description="Only of tweets that were edited: when, the last time")
    counts: Counts
    viewer: ViewerFlags | None = Field(None, description="Only with `viewer=true`")


class AccountCard(Open):
    """An account in a list."""

    user_id: IdOut
    username: str = Field(examples=["ada"])
    display_name: str = Field(examples=["Ada Lovelace"])


class TweetVersion(Open):
    """What a tweet said."""

    created_at: str = Field(description="Since when", examples=["Wed Sep 05 00:37:15 +0000 2012"])
    status: str = Field(examples=["hello world"])


class TweetHistory(Open):
    """Every version of a tweet, the first one first, what it says now last."""

    tweet_id: IdOut
    versions: list[TweetVersion]


class ExplainedRule(Open):
    """One rule of a home timeline, and what it saw."""

    rule: Literal["exists", "reach", "visible", "wanted", "reply", "repost", "length"]
    passed: bool
    sentence: str = Field(examples=["@ada follows @bob"])


class HomeExplanation(Open):
    """Why a tweet is, or isn't, in a home timeline."""

    tweet_id: IdOut
    verdict: Literal["shown", "older", "left_out", "under_way"]
    sentence: str = Field(examples=["It is in the home timeline."])
    rules: list[ExplainedRule]
    place: Literal["dormant", "ring", "pull_log", "tag_log", "below_floor", "nowhere"]
    place_sentence: str = Field(examples=["number 3 in the ring"])


class ScheduledTweet(Open):
    """A tweet that is still to be published. It gets a tweet id when it is."""

    scheduled_id: IdOut
    scheduled_at: str = Field(examples=["Wed Sep 05 00:37:15 +0000 2012"])
    status: str = Field(examples=["hello world"])
    user_id: IdOut
    username: str = Field(examples=["ada"])
    in_reply_to: IdOut | None
    media: list[Any] = Field(examples=[[]])
    visibility: Literal["public", "followers", "direct", "unlisted"]


class ScheduledPage(BaseModel):
    """One page of an account's scheduled tweets, the last written first."""

    scheduled: list[ScheduledTweet]
    next_cursor: IdOut | None = Field(description="Give it as `cursor` for the next page; null on the last")


class AccountPage(BaseModel):
    """One page of a list of accounts, newest first."""

    users: list[AccountCard]
    next_cursor: IdOut | None = Field(description="Give it as `cursor` for the next page; null on the last")


class Notification(Open):
    """What happened that concerns you."""

    notification_id: IdOut
    type: Literal[
        "mention", "tweet", "repost", "follow", "follow_request", "like", "poll", "edit", "quote", "reply"
    ] = Field(description="`tweet`: somebody whose tweets you want to know of has written one")
    created_at: str = Field(examples=["Wed Sep 05 00:37:15 +0000 2012"])
    user: AccountCard = Field(description="Who did it; of a poll that has ended, who asked")
    tweet: Tweet | None = Field(description="What it is about: for a reply, a mention or a quote that tweet itself")


class NotificationPage(BaseModel):
    """One page of notifications, the newest first."""

    notifications: list[Notification]
    unread_count: int = Field(description="Newer than what you have read, of all types")
    next_cursor: IdOut | None = Field(description="Give it as `cursor` for the next page; null on the last")


class UnreadCount(Open):
    """How many notifications are unread."""

    unread_count: int


class DismissedCount(Open):
    """How many notifications are gone."""

    dismissed_count: int


class TweetPage(BaseModel):
    """One page of what an account keeps, newest action first."""

    tweets: list[Tweet]
    next_cursor: IdOut | None = Field(description="Give it as `cursor` for the next page; null on the last")


class Thread(BaseModel):
    """A tweet with what it answers, and what answers it."""

    ancestors: list[Tweet] = Field(description="What it answers, oldest first; empty on all pages but the first")
    tweet: Tweet
    replies: list[Tweet] = Field(description="What answers it, newest first")
    next_cursor: IdOut | None = Field(description="Give it as `cursor` for more replies; null on the last page")


class ShardsAnswered(BaseModel):
    """How many shards answered in time."""

    answered: int = Field(ge=1)
    of: int = Field(ge=1)


class TweetsFound(Open):
    """One page of a search."""

    tweets: list[Tweet]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last")
    corrected: str | None = Field(description="What was searched instead, where the query found too little")
    partial: bool = Field(description="Whether shards are missing that didn't answer in time")
    shards: ShardsAnswered
    highlights: dict[str, list[tuple[int, int]]] | None = Field(
        default=None, description="By tweet id: [start, end] in code points; with `highlights=true`"
    )


class AccountsFound(BaseModel):
    """Accounts that match, the best first."""

    users: list[AccountCard]
    partial: bool
    shards: ShardsAnswered


class HashtagSuggestion(BaseModel):
    """A hashtag that begins so."""

    name: str = Field(examples=["hello"])
    tweets: int = Field(ge=0, description="Tweets that have it, roughly")


class Suggestions(BaseModel):
    """What may be meant."""

    accounts: list[AccountCard]
    hashtags: list[HashtagSuggestion]
    partial: bool
    shards: ShardsAnswered


class Trend(Open):
    """Something that is written about more than usual."""

    name: str = Field(examples=["#worldcup"])
    kind: Literal["hashtag", "phrase", "link"]
    score: float = Field(description="How far above its usual level; for comparing within one answer")
    tweets: int = Field(ge=0, description="How often it was written in the window")
    authors: int = Field(ge=0, description="By how many accounts")
    usual: float = Field(ge=0, description="How often it usually is in such a window")
    history: list[int] = Field(description="The window in 24 parts, oldest first: a sparkline")
    query: str = Field(description="A search that finds it")


class Trends(Open):
    """What is rising."""

    window: Literal["10m", "1h", "24h"]
    lang: str | None
    as_of: str | None = Field(description="When it was counted; null before the first time")
    trends: list[Trend]
    partial: bool
    shards: dict[str, int]


class Profile(Open):
    """An account with all that it shows."""

    user_id: IdOut
    username: str = Field(examples=["ada"])
    display_name: str = Field(examples=["Ada Lovelace"])
    bio: str = Field(examples=["Poet"])


class Registered(BaseModel):
    """A new account and its first token, which is shown here once."""

    user_id: IdOut
    username: str
    display_name: str
    bio: str
    auth_token: str = Field(examples=["rk_AAAAAAAAACo..."])


class LoggedIn(BaseModel):
    """A fresh token, which is shown here once."""

    user_id: IdOut
    username: str
    auth_token: str = Field(examples=["rk_AAAAAAAAACo..."])


class LoggedOut(BaseModel):
    """The token no longer works."""

    revoked: Literal[True]


class PasswordChanged(BaseModel):
    """The new password holds. auth_token: a fresh token, the only one now; null if the old ones were kept."""

    user_id: IdOut
    auth_token: str | None = Field(examples=["rk_AAAAAAAAACo..."])
    revoked: int = Field(ge=0, description="How many tokens stopped working")


class LoginsEnded(BaseModel):
    """The tokens no longer work."""

    user_id: IdOut
    revoked: int = Field(ge=0, description="How many tokens stopped working")


class AccountDeleted(BaseModel):
    """Nobody finds the account any more."""

    user_id: IdOut
    deleted: Literal[True]


class TokenEntry(BaseModel):
    """One log-in. Times are null where nobody knows: of tokens that were imported, or made before level 1."""

    id: str = Field(pattern=r"^[0-9a-f]{16}$", description="Not the token: what to call it when it is to end")
    name: str = Field(description="As its client called it; empty for nothing")
    created_at: str | None = Field(examples=["Wed Sep 05 00:37:15 +0000 2012"])
    last_used_at: str | None = Field(description="To the hour or so; null: not since it was made, as far as is known")
    current: bool = Field(description="Whether it is the one that this request carries")


class TokenList(BaseModel):
    """All log-ins of an account, the newest first."""

    tokens: list[TokenEntry] = Field(max_length=32)


class FollowState(BaseModel):
    """What holds now between the two."""

    user_id: IdOut
    target_id: IdOut
    following: bool


class BlockState(BaseModel):
    """What holds now between the two."""

    user_id: IdOut
    target_id: IdOut
    blocking: bool


class MuteState(BaseModel):
    """What holds now between the two."""

    user_id: IdOut
    target_id: IdOut
    muting: bool


def _between(name: str, **member: Any) -> type[BaseModel]:
    """Return the model of what holds now between an account and a tweet. member: its type and default."""
    doc = "What holds now between the account and the tweet."
    return create_model(name, __doc__=doc, user_id=(IdOut, ...), tweet_id=(IdOut, ...), **member)


LikeState = _between("LikeState", liked=(bool, ...))
RepostState = _between("RepostState", reposted=(Literal[False], ...))
BookmarkState = _between("BookmarkState", bookmarked=(bool, ...))
PinState = _between("PinState", pinned=(bool, ...))


class Health(BaseModel):
    """The worker answers."""

    status: Literal["ok"]


class Degraded(BaseModel):
    """Something that doesn't do what it should."""

    part: Literal["replica", "search", "trends"]
    shard: int | None = Field(description="Of which; `null` for trends, which are of the whole cluster")
    replica: int | None
    state: str = Field(description="`away`, `behind`, `starting`, `starting again`, `catching up` or `unknown`")
    left: int = Field(ge=0, description="Tweets and accounts still to be indexed, while an index is catching up")


class Readiness(BaseModel):
    """Whether everything is served."""

    ready: bool
    shards: int = Field(ge=0)
    unserved_shards: list[int] = Field(description="That have no live primary")
    degraded: list[Degraded]


class OnlyToken(BaseModel):
    """The token of who acts, where the path says who that is."""

    auth_token: str | None = Field(default=None, max_length=limits.TOKEN_CHARS_MAX, description="Instead of the header")


class ImportFile(OnlyToken):
    """A CSV file, as text or as the file of a multipart form; of a body of text/csv the rest stands in the query."""

    type: str = Field(description="follows, blocks, mutes, lists, bookmarks or domain_blocks", examples=["follows"])
    mode: str = Field(default="merge", description="merge, or overwrite: what the file doesn't have is taken back")
    data: str = Field(description="The file", examples=["Account address\nbob\n"])


class WithToken(OnlyToken):
    """Who acts; a token in the Authorization header may stand for both."""

    user_id: IdIn | None = None


TokenName = Annotated[str, Field(max_length=limits.TOKEN_NAME_CHARS_MAX, examples=["Ada's phone"])]


class ReadRequest(OnlyToken):
    """Up to where notifications have been read."""

    notification_id: IdIn | None = Field(default=None, description="All up to this one; by default all that there are")


class RegisterRequest(BaseModel):
    """A new account."""

    username: Username
    password: Password
    display_name: DisplayName | None = None
    bio: Bio | None = None
    token_name: TokenName | None = Field(default=None, description="What its first token is called in lists")


class PasswordRequest(OnlyToken):
    """A new password, by who knows the old one."""

    password: str = Field(max_length=limits.PASSWORD_GIVEN_BYTES_MAX, examples=["correct horse"])
    new_password: Password
    keep_tokens: bool | None = Field(default=False, description="Leave everybody logged in")
    token_name: TokenName | None = Field(default=None, description="What the fresh token is called in lists")


class DeleteAccountRequest(OnlyToken):
    """Going for good, by who knows the password."""

    password: str = Field(max_length=limits.PASSWORD_GIVEN_BYTES_MAX, examples=["correct horse"])


class EndLoginsRequest(OnlyToken):
    """Which tokens end."""

    keep_own: bool | None = Field(default=False, description="Leave the token that this request carries")


class LoginRequest(BaseModel):
    """Who wants a token."""

    username: str = Field(examples=["ada"])
    password: str = Field(max_length=limits.PASSWORD_GIVEN_BYTES_MAX, examples=["correct horse"])
    token_name: TokenName | None = Field(default=None, description="What the token is called in lists")


class TweetRequest(WithToken):
    """A new tweet."""

    status: str = Field(
        min_length=1,
        description="Counted in code points after NFC; no control characters but the line feed",
        examples=["hello world"],
    )
    media_ids: Annotated[list[IdIn], Field(max_length=limits.MEDIA_COUNT_MAX)] | str | None = Field(
        default=None, description="Your uploads: a list, or in a text with commas between them"
    )
    in_reply_to: IdIn | None = None
    visibility: Literal["public", "followers", "direct"] | None = "public"
    scheduled_at: TimeIn | None = Field(
        default=None, description="Publish it then, 5 seconds to 366 days ahead; the answer is a scheduled tweet"
    )


class EditRequest(WithToken):
    """What a tweet is to say instead."""

    status: str = Field(min_length=1, description="As of a new tweet", examples=["hello, world"])


class RescheduleRequest(OnlyToken):
    """When a scheduled tweet is to be published instead."""

    scheduled_at: TimeIn


class ProfileField(BaseModel):
    """A free-form line of a profile."""

    name: str = Field(min_length=1, max_length=limits.PROFILE_FIELD_NAME_CHARS_MAX, examples=["Site"])
    value: str = Field(max_length=limits.PROFILE_FIELD_VALUE_CHARS_MAX, examples=["example.org"])


class ProfileRequest(OnlyToken):
    """What to change; what isn't given stays."""

    display_name: DisplayName | None = None
    bio: Bio | None = None
    location: Annotated[str, Field(max_length=limits.LOCATION_CHARS_MAX)] | None = None
    url: Link | None = None
    avatar: Link | None = None
    fields: list[ProfileField] | None = Field(default=None, max_length=limits.PROFILE_FIELD_COUNT_MAX)


REQUEST_MODELS: tuple[type[BaseModel], ...] = (
    OnlyToken, ImportFile, WithToken, RegisterRequest, LoginRequest, PasswordRequest, EndLoginsRequest, TweetRequest,
    EditRequest, RescheduleRequest, ProfileRequest, DeleteAccountRequest, ReadRequest,
)  # fmt: skip


# ---- the paths of DeathStarBench (routes/wrk2.py) ---------------------------------------------------------------


class Wrk2User(BaseModel):
    """A user as a post names it."""

    user_id: str
    username: str


class Wrk2Media(BaseModel):
    """A picture."""

    media_id: str
    media_type: Literal["png"]


class Wrk2Url(BaseModel):
    """A link. It isn't shortened, so both are the same."""

    shortened_url: str
    expanded_url: str


class Wrk2Post(BaseModel):
    """A post as the benchmark shows it. timestamp: Unix ms; post_type: 0 post, 1 repost, 2 reply, 3 direct."""

    post_id: str
    creator: Wrk2User
    text: str
    user_mentions: list[Wrk2User]
    media: list[Wrk2Media]
    urls: list[Wrk2Url]
    timestamp: str
    post_type: int = Field(ge=0, le=3)


class ComposeForm(BaseModel):
    """A post. media_ids and media_types: JSON lists of the same length, as text."""

    username: str = Field(examples=["username_5"])
    user_id: str = Field(pattern=r"^[0-9]{1,19}$", examples=["5"])
    text: str = Field(min_length=1, examples=["hello @username_7"])
    media_ids: str = Field("", examples=['["123456789012345678"]'])
    media_types: str = Field("", examples=['["png"]'])
    post_type: Literal["0"]


class RegisterForm(BaseModel):
    """A user. The password must be given, and is not kept."""

    first_name: str = Field(min_length=1)
    last_name: str = Field(min_length=1)
    username: str = Field(pattern=rf"^[A-Za-z0-9_]{{1,{limits.USERNAME_CHARS_MAX}}}$", examples=["username_5"])
    password: str = Field(min_length=1)
    user_id: str = Field(pattern=r"^[0-9]{1,19}$", examples=["5"])


class EdgeForm(BaseModel):
    """Who follows whom: both ids, or both names."""

    user_id: str | None = Field(default=None, pattern=r"^[0-9]{1,19}$")
    followee_id: str | None = Field(default=None, pattern=r"^[0-9]{1,19}$")
    user_name: str | None = None
    followee_name: str | None = None
