"""Every bound on what a client may send, in one place: value, unit, reason.

Operators set what depends on their machine (rates, body size, length of a tweet) in `settings.py`; what follows is
part of the wire contract, so it is not configurable.
"""

from __future__ import annotations

from typing import Final

USERNAME_CHARS_MAX: Final = 30  # enough for any name in use on Twitter (15) or Mastodon (30)
PASSWORD_BYTES_MIN: Final = 8  # NIST SP 800-63B
PASSWORD_BYTES_MAX: Final = 256  # bounds the work of hashing
PASSWORD_GIVEN_BYTES_MAX: Final = 1_024  # of one before NFC: letters and marks apart take up to three times the bytes
DISPLAY_NAME_CHARS_MAX: Final = 50
BIO_CHARS_MAX: Final = 500
LOCATION_CHARS_MAX: Final = 100
URL_CHARS_MAX: Final = 300
AVATAR_CHARS_MAX: Final = 300
PROFILE_FIELD_COUNT_MAX: Final = 8
PROFILE_FIELD_NAME_CHARS_MAX: Final = 100
PROFILE_FIELD_VALUE_CHARS_MAX: Final = 300
MEDIA_COUNT_MAX: Final = 4
IMPORT_BODY_BYTES_MAX: Final = (1024 + 64) * 1024  # a file of 1 MiB, 20,000 rows of 50 bytes, with what a form adds
LINK_CHARS: Final = 23  # what Mastodon's clients count a link as
MENTION_COUNT_MAX: Final = 64  # different accounts in one tweet; the shards' own limit
ANCESTOR_COUNT_MAX: Final = 40  # shown above a tweet: each may be another shard's, and is asked for after the one below
IDEMPOTENCY_KEY_CHARS_MAX: Final = 128
TOKEN_CHARS_MAX: Final = 256  # ours have 57; imported ones may be of another make
TOKEN_NAME_CHARS_MAX: Final = 64  # what a client calls a log-in: "Ada's phone"
REQUEST_ID_CHARS_MAX: Final = 64  # a longer one from a client is replaced, not refused
HEAD_BYTES_MAX: Final = 32 * 1024  # of a request: with cookies some 4 KiB; other servers take 8 to 64
HEADER_COUNT_MAX: Final = 128
HOST_BYTES_MAX: Final = 255  # of a name in the DNS; what links begin with is remembered
CONTENT_TYPE_BYTES_MAX: Final = 512  # a boundary has 70 at most
PATH_BYTES_MAX: Final = 8_192  # as of a query; no path of ours needs more than 1,300, percent-encoded
QUERY_BYTES_MAX: Final = 12_288  # a search of 500 characters, each of which may take 12 bytes, and the longest cursor
FORM_FIELD_COUNT_MAX: Final = 64
NAMES_PER_CALL_MAX: Final = 64  # docs/lane.md
POSITION_COUNT_MAX: Final = 8  # shards in a Rookery-Position; an account's writes touch one or two

SEARCH_QUERY_CHARS_MAX = 500  # of a query: a screen full of operators
TAG_CHARS_MAX = 100  # of a hashtag that is asked for
TAGS_PER_REQUEST_MAX = 16  # hashtags combined in one timeline
TREND_COUNT_MAX = 50  # trends in one answer: what is kept of each window and language
