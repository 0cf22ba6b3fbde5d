"""Every bound of the core in one place, each with its unit and its reason.

Bounds that an operator may want to change live in `Tuning` and come from the configuration; the rest are constants.
Tests shrink them so that the edges are met often.
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE_COUNT_MAX = 800  # entries in one answer of a timeline; the HTTP API allows 200, the oracle reads whole timelines
RANKED_COUNT_MAX = 500  # tweets in the pages of a list by rank: a cursor names those that were shown, in 7 bytes each
SHOWN_COUNT_MAX = RANKED_COUNT_MAX + PAGE_COUNT_MAX  # of which a shard is told; also those of the page that it began
PULL_COUNT_MAX = 2_000  # tweets that one shard answers for a page below a ring: about 1 MB
CARDS_COUNT_MAX = 200  # accounts in one `cards` or `accounts` request: one page of a follower list
TWEETS_COUNT_MAX = 200  # tweets in one `tweets` request: one page of likes, bookmarks or replies
LINEAGE_COUNT_MAX = 64  # tweets in one `lineage` request, each 0.5 KB as a rule; the HTTP API shows 40 above one
NAMES_COUNT_MAX = 64  # names in one `names` request: more mentions than 280 characters can hold
REGISTER_COUNT_MAX = 2_000  # accounts in one journal record: about 0.5 MB, a few ms to apply
POST_COUNT_MAX = 1_000  # tweets in one journal record, for the same reason
FOLLOW_COUNT_MAX = 20_000  # follows in one journal record: 320 KB, about 10 ms to apply
TOKENS_PER_ACCOUNT_MAX = 32  # logins at once; the oldest is revoked, so that a login loop can't grow an account
TOKEN_NAME_BYTES_MAX = 256  # what a client calls a login: 64 characters over HTTP
TOKEN_USED_EVERY_MS = 3600 * 1000  # the last use of a token is told no more often: a journal record each
MENTIONS_COUNT_MAX = 64  # per tweet: more than 280 characters can hold
MEDIA_COUNT_MAX = 5  # per tweet: the HTTP API allows 4, the scripts of DeathStarBench send up to 5
ATTACHMENTS_COUNT_MAX = 16  # of one tweet: the HTTP API's setting is 4
RENDITIONS_COUNT_MAX = 4  # of one medium: original, thumbnail, a still
MEDIA_DESCRIPTION_BYTES_MAX = 6_000  # 1,500 characters, as many as Mastodon allows
BLURHASH_BYTES_MAX = 128  # of 9 x 9 components
MEDIA_WAITING_COUNT_MAX = 100  # of one account, that no tweet has: 40 KB, and their objects for a day
MEDIA_PROCESSING_MS = 3600 * 1000  # after which a job has died: jobs are ended sooner than that
MEDIA_WAITING_MS = 24 * 3600 * 1000  # that a medium waits for a tweet
MEDIA_REASON_BYTES_MAX = 2_000  # why a medium couldn't be processed: a sentence
MEDIA_LISTED_COUNT_MAX = 10_000  # tweets that one look at a shard's media reads: 15 ms
PREVIEW_URL_BYTES_MAX = 2_048  # of a link whose page is shown in short
PREVIEW_TITLE_BYTES_MAX = 1_000
PREVIEW_TEXT_BYTES_MAX = 2_000  # what the page says of itself
PREVIEW_NAME_BYTES_MAX = 400  # of a site, of an author
PREVIEW_WISHES_COUNT_MAX = 1_000  # tweets of one shard whose links wait to be looked at: the newest
TEXT_BYTES_MAX = 64 * 1024  # a tweet's text on the lane: the API's limit in characters is far below
PROFILE_BYTES_MAX = 16 * 1024  # one account's free-form profile, packed
PAPER_BYTES_MAX = 64 * 1024  # one document of `papers.py`, packed: what a change of it may have to pack and move
SCHEDULED_COUNT_MAX = 300  # scheduled tweets of one account: 150 KB; as many as Mastodon allows
SCHEDULED_LEAD_MS = 5_000  # that a scheduled tweet is ahead at least: sooner, posting it is meant
SCHEDULED_AHEAD_MS = 366 * 24 * 3600 * 1000  # at most: a year, whichever
EDITS_PER_TWEET_MAX = 50  # versions that are kept of one: 25 KB as a rule; what is edited more often is a page
POLL_OPTIONS_MIN = 2  # fewer aren't a question
POLL_OPTIONS_MAX = 16  # of one poll, as a byte or two of choices hold; the HTTP API takes 4, as Mastodon does
POLL_OPTION_BYTES_MAX = 200  # 50 characters, as many as Mastodon allows
POLL_AHEAD_MS = 32 * 24 * 3600 * 1000  # that a poll is open at most: a month, whichever; scheduled ones from then on
VOTERS_PER_POLL_MAX = 100_000  # that a poll remembers, the newest: 1.8 MB; its tallies are of all
VOTES_PER_ACCOUNT_MAX = 10_000  # that an account remembers, of the newest polls: 0.6 MB
APP_CLIENT_ID_BYTES_MAX = 64  # an app's: API workers make them of 43 characters
APP_NAME_BYTES_MAX = 240  # 60 characters, as many as Mastodon allows
APP_URL_BYTES_MAX = 2_000  # its website, each redirect URI: Mastodon's bound, and that of most browsers
APP_REDIRECT_URIS_MAX = 4  # of one app: one as a rule; with the bound before, an app takes 10 KB at most
CODES_COUNT_MAX = 64  # authorization codes of one account within ten minutes, used or not: 10 KB
CODE_TTL_MS = 10 * 60 * 1000  # that a code may be used, and that its use is remembered: RFC 6749's most
APP_TOKENS_COUNT_MAX = 256  # of one app alone: 25 KB; a client asks for one when it starts, and uses it at once
APP_UNUSED_DAYS = 30  # after which an app that nobody uses goes: clients register anew when theirs is gone
REASON_BYTES_MAX = 2_000  # why somebody wants an account: 500 characters over HTTP
DAYS_MAX = 1 << 31  # since 1970
NOTIFICATION_POLICIES_COUNT_MAX = 1  # of one account
POLICY_GROUPS_MAX = 16  # kinds of notifiers that one policy may tell apart, in whichever version
MARKERS_COUNT_MAX = 2  # of one account: home and notifications
FOLLOWED_TAGS_COUNT_MAX = 1_000  # of one account
WANTED_TAGS_COUNT_MAX = (
    10_000  # hashtags that a shard's accounts follow, each with a log of its own; moves may bring more
)
TAG_LOG_COUNT_MAX = 200  # newest tweets that such a log keeps, and that a shard sends for one: a few pages
FEATURED_TAGS_COUNT_MAX = 10  # of one profile, Mastodon's number
TAG_BYTES_MAX = 400  # a hashtag's name: 100 characters
USED_TAGS_COUNT_MAX = 1_000  # hashtags that are counted in them
TAGS_LOOKED_COUNT_MAX = 1_000  # tweets of an account that are looked at for how often it uses a hashtag: 6 ms at worst
PUBLIC_LOOKED_COUNT_MAX = 2_000  # tweets that one read of a shard's public timeline looks at: 2 ms at worst
LISTS_COUNT_MAX = 100  # of one account
LIST_MEMBERS_COUNT_MAX = 5_000  # of one list: a page of its timeline looks for each entry's author among them
LIST_CHANGES_COUNT_MAX = 1_000  # members that one request adds or takes off
LIST_TITLE_BYTES_MAX = 1_024  # 256 characters, Mastodon's number
FILTERS_COUNT_MAX = 100  # of one account
FILTER_WORDS_COUNT_MAX = 200  # in one filter, within PAPER_BYTES_MAX
FILTER_WORDS_PER_ACCOUNT_MAX = 1_000  # in all filters of one account: a status is compared with each, 0.06 us
FILTER_STATUSES_COUNT_MAX = 200  # that one filter names
FILTER_DROPS_COUNT_MAX = FILTER_WORDS_COUNT_MAX + FILTER_STATUSES_COUNT_MAX
FILTER_TITLE_BYTES_MAX = 1_024  # 256 characters, Mastodon's number
FILTER_WORD_BYTES_MAX = 2_048  # 512 characters, Mastodon's number
FILTER_AHEAD_S_MAX = 100 * 366 * 24 * 3600  # that a filter ends at most: later than that is never
SHOWN_MS_MAX = 253_402_300_800_000  # the year 10,000: times from there on are shown as numbers
OUTBOUND_PER_ACCOUNT_MAX = 400  # items of one channel that wait for one account's receivers: 60 KB
OUTBOUND_PER_SHARD_MAX = 200_000  # of all channels and accounts: 70 MB; a notice more is told in the list alone
OUTBOUND_PAYLOAD_BYTES_MAX = 8_192  # of an item: facts of a notice, or what a mail says that is nowhere else
OUTBOUND_ATTEMPTS_MAX = 16  # of an item: with doubled pauses 48 h are 11
OUTBOUND_KEPT_ATTEMPTS_MAX = 8  # that are counted of what is tried for ever: pauses of 2 h
OUTBOUND_LIVES_MS = 48 * 3600 * 1000  # that an item is tried again; of push PUSH_LIVES_MS
PUSH_LIVES_MS = 3600 * 1000  # after which a push message tells nobody anything
WEBHOOKS_COUNT_MAX = 10  # of one account: each is an item for every notice
WEBHOOK_ROTATION_MS = 24 * 3600 * 1000  # that the secret of before signs too
WEBHOOK_URL_BYTES_MAX = 2_000  # as of an app's URLs
MAIL_ADDRESS_BYTES_MAX = 1_024  # of an e-mail address: 254 characters
MAIL_CODES_PER_HOUR_MAX = 5  # that one account has mailed, whoever asks for them
MAIL_TRIES_MAX = 5  # wrong codes, after which the right one is of no use either
MAIL_ADDRESS_TTL_MS = 24 * 3600 * 1000  # that a code confirms an address: mail is read when there is time
MAIL_RESET_TTL_MS = 10 * 60 * 1000  # that a code gives an account another password
MAIL_NOTICES_PER_HOUR_MAX = (
    20  # that one account has, of those that are mailed at once: more are in the mail of the day
)
MAIL_TOLD_COUNT_MAX = 100  # mails that tell no notices, for which an account has room whatever else waits
MAIL_DIGEST_COUNT_MAX = 20  # notices that a mail of a day shows, the newest; the others it counts
DUE_COUNT_MAX = 64  # things that fall due in one command: 64 tweets are a few ms to apply
DISMISSED_COUNT_MAX = 1_000  # suggested accounts that one account doesn't want to see again: 18 KB
ANNOUNCEMENTS_READ_MAX = 100  # of one account, the newest: as many as an operator may have
REACTION_NAMES_MAX = 8  # different emojis on one announcement, Mastodon's number
REACTION_NAME_BYTES_MAX = 256  # an emoji of many parts; a shortcode has 64 characters
REACTIONS_PER_NAME_MAX = 1_000_000  # accounts that react to one announcement with one emoji: 18 MB
REPORTS_COUNT_MAX = 1_000  # of one account; with a comment each 1 MB at most
REPORT_BYTES_MAX = 4_000  # a comment of 1,000 characters
REPORTED_COUNT_MAX = 100  # tweets, or rules, in one report
LANGUAGE_BYTES_MAX = 16  # a tag of a language, such as zh-Hant-TW
PROFILE_FIELDS_COUNT_MAX = 64  # name and value pairs of a profile; the HTTP API allows fewer
KEY_BYTES_MAX = 64  # of a secret's hash or an idempotency key: as long as the longest hash in use
PASSWORD_HASH_BYTES_MAX = 1024  # several times an Argon2 hash with its parameters
ENTRY_BYTES_MAX = TEXT_BYTES_MAX + PROFILE_BYTES_MAX + 2048  # a packed tweet: text, user name, mentions and numbers
REPOST_WINDOW_COUNT = 40  # candidates just older than a repost that may hide it (Mastodon's REBLOG_FALLOFF)
FOLLOWING_COUNT_MAX = 100_000  # followees of one account: bounds the work of waking it
LIKES_COUNT_MAX = 200_000  # standing likes of one account: 4 MB; without it one client could fill a shard
BOOKMARKS_COUNT_MAX = 100_000  # of one account, for the same reason
MUTED_LINES_COUNT_MAX = 5_000  # tweets of one account's muted conversations: a page looks among all, 0.1 ms
NOTICES_COUNT_MAX = 800  # of one account, the newest: 22 KB; four rings of a page each that nobody has turned yet
ACCEPTED_SENDERS_COUNT_MAX = 5_000  # accounts that one account wants notices of whatever its policy says, the newest
CONVERSATIONS_COUNT_MAX = 5_000  # of one account, those heard of last: some 400 KB; the next one costs 10 us
CONVERSATION_TWEETS_MAX = 20  # the newest of one conversation, of which a deletion shows the one before
CONVERSATION_ACCOUNTS_MAX = 64  # in one conversation beside its owner: as many as a tweet may mention
MUTED_HOPS_MAX = 20  # tweets on the way up from one that is shown, in search of a muted one: 30 us
PINS_COUNT_MAX = 5  # of one account: what a profile begins with, in place of a page of the newest; Mastodon's number
LISTED_PER_TWEET_MAX = 20_000  # likers, reposters or replies that a tweet lists, the newest: the next one costs 10 us
FLAGGED_COUNT_MAX = 1_024  # tweets of one answer, with what they repost: a page has 200, a thread 241
ASKED_COUNT_MAX = 200_000  # accounts that one read asks the reader's shard about: 1.6 MB, with a page of reposts 20
FOLLOW_OPTIONS_COUNT_MAX = 2_000  # followees of one account with an option each: reposts off, notified of, languages
FOLLOW_LANGUAGES_COUNT_MAX = 32  # of one followee
REQUESTS_SENT_COUNT_MAX = 10_000  # follows of locked accounts that one account waits for
FOLLOW_REQUESTS_COUNT_MAX = 100_000  # that a locked account may have open: who comes then is refused
ADMITTED_AT_ONCE_MAX = 1_000  # requests that are said yes to when an account unlocks: messages of one command
ENDORSEMENTS_COUNT_MAX = 200  # of one account: its profile shows them
NOTES_COUNT_MAX = 2_000  # on others, of one account, one each
NOTE_BYTES_MAX = 8_000  # 2,000 characters, as many as Mastodon allows
RELATIONS_COUNT_MAX = 200  # accounts of one `relations` request: a page of followers has 80
MUTE_MS_MAX = 100 * 365 * 24 * 3600 * 1000  # that a mute ends ahead: longer is for ever
RELATED_COUNT_MAX = 100_000  # accounts that one account blocks, or mutes, for the same reason
BATCH_BYTES_MAX = 4 * 1024 * 1024  # one actor call between shards: Ray inlines less, and 4 MB packs in about 5 ms
BATCH_COUNT_MAX = 1_024  # messages in one such call: one apply holds the event loop for about 20 ms at most
ANSWER_BYTES_MAX = 16 * 1024  # of a write with a key, kept for its repetition: the longest tweet takes 6 KB
IDEMPOTENCY_TTL_MS = 24 * 3600 * 1000  # a client that retries later than a day gets a new tweet
HOUR_MS = 3600 * 1000
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Tuning:
    """The configurable bounds of one shard; the same on every replica of a cluster.

    timeline_length: entries H that a home timeline keeps ready (the definition's H).
    pull_threshold: followers above which an author's tweets are merged at read time instead of pushed.
    dormant_after_days: days without a read after which a ring is freed.
    arrivals_max: tweets whose bodies a shard keeps for its rings; a power of two.
    pieces_bytes_max: bytes of what one renderer keeps of tweets that were read, with what each costs beside; of
    accounts half as many.
    cards_max: accounts of other shards of which a shard keeps what they say of themselves, 220 bytes each as a rule.
    deliver_at_once_max: local followers above which a tweet is delivered piece by piece, between requests.
    marks_max: marks on all shelves of a shard, 18 bytes each: likes, likers, replies, bookmarks.
    papers_bytes_max: bytes of all documents of a shard with what they cost beside: scheduled tweets, earlier versions.
    public_url: address by which clients know the API, in what is rendered for them.
    media_url: what addresses of media begin with, such as "https://cdn.example/media"; "" for public_url's /media.
    tidy_from: elements in unused blocks above which an arena is tidied.
    """

    timeline_length: int = 800
    pull_threshold: int = 10_000
    dormant_after_days: int = 30
    arrivals_max: int = 1 << 20
    pieces_bytes_max: int = 64 << 20
    cards_max: int = 500_000
    accounts_max: int = 2_000_000
    tweets_max: int = 20_000_000
    idempotency_keys_max: int = 200_000
    marks_max: int = 200_000_000
    papers_bytes_max: int = 1 << 30
    outbox_messages_max: int = 200_000
    outbox_bytes_max: int = 128 * 1024 * 1024
    deliver_at_once_max: int = 8_192
    tidy_from: int = 1 << 18
    public_url: str = "http://127.0.0.1:8000"
    media_url: str = ""

    @property
    def media_base(self) -> str:
        """What addresses of media begin with, without a slash at its end."""
        return self.media_url.rstrip("/") or f"{self.public_url.rstrip('/')}/media"

    def __post_init__(self) -> None:
        if self.arrivals_max & (self.arrivals_max - 1) or self.arrivals_max < 8:
            raise ValueError(f"arrivals_max must be a power of two of at least 8, not {self.arrivals_max}")
        if self.timeline_length < 1:
            raise ValueError(f"timeline_length must be at least 1, not {self.timeline_length}")
        if self.cards_max < 0:
            raise ValueError(f"cards_max must be at least 0, not {self.cards_max}")
        if self.pieces_bytes_max < 0:
            raise ValueError(f"pieces_bytes_max must be at least 0, not {self.pieces_bytes_max}")
