"""Whatever a caller of the lane sends, a shard refuses it or applies it whole, and goes on.

Requests are made of arguments that fit, of which some, or each in turn, are replaced by whatever msgpack can carry.
"""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.core import ids
from actors.core.entries import Entry, pack, unpack
from actors.core.errors import InvalidError, RookeryError, UnauthorizedError
from actors.core.features import READS, WRITES
from actors.core.features.addresses import ADDRESS, thing_of_address
from actors.core.features.apps import APP as APP_KIND
from actors.core.features.reactions import thing_of_announcement
from actors.core.renderers.mastodon import MastodonRenderer
from actors.core.replica import Replica
from actors.core.stores.account_flags import LOCKED
from actors.core.stores.people import token_id
from actors.core.verify import check, digest
from tests.core import hostile_mail, hostile_media, hostile_previews
from tests.core.harness import NOW_MS, SAID_BESIDE, Shards, memory_store, packed_original

BASE = Shards()
HERE = [BASE.account_on(0, i) for i in range(3)]
THERE = [BASE.account_on(1, i) for i in range(2)]
BASE.do("register", f"user{HERE[0]}", HERE[0], "", "", "old hash", [b"x"], "phone")
BASE.register(*HERE[1:], *THERE)
for one in HERE:
    for other in (*HERE, *THERE):
        BASE.do("follow", one, other)
BASE.home(HERE[0])
BASE.home(THERE[0])
TWEETS = [BASE.post(HERE[0]), BASE.post(HERE[1], visibility=1), BASE.post(HERE[1], visibility=2, mentions=[THERE[0]])]
TWEETS += [BASE.post(THERE[0]), BASE.repost(HERE[2], TWEETS[0])]
POLL_MORE = [*SAID_BESIDE, [12, TWEETS[0]]]
TWEETS += [BASE.post(shard[0], facts=POLL_MORE) for shard in (HERE, THERE)]
BASE.do("vote", HERE[1], TWEETS[5], HERE[0], 1, NOW_MS + 600_000)
BASE.do("block", HERE[2], THERE[1])
BASE.do("like", HERE[0], TWEETS[3])
BASE.do("pin", HERE[1], TWEETS[1])
BASE.do("mute_conversation", HERE[0], [TWEETS[3]])
BASE.do("endorse", HERE[0], HERE[1])
BASE.do("set_notification_policy", HERE[1], [1, 0, 0, 0, 0])
BASE.do("unfollow", HERE[1], THERE[0])
BASE.post(THERE[0], mentions=HERE[:2])
NOTICED = BASE.read("notices", HERE[0], 1023, 2, [], 0, 0, 0, 1)[0][0][0]
NOTICE = st.sampled_from([NOTICED, 7])
GONE = BASE.post(HERE[0])
BASE.do("delete", GONE, HERE[0])
DUE_MS = NOW_MS + 1_000_000
SCHEDULED = int(
    BASE.do("schedule", HERE[0], DUE_MS, "x", 0, 0, 0, b"", [], []).split(b'"scheduled_id":"')[1].split(b'"')[0]
)
CLIENTS = [
    next(c for c in map(str, range(99)) if BASE.shard_for("app", [ids.thing_of_name(c)]) == shard) for shard in (0, 1)
]
APP, APP_THERE = map(ids.thing_of_name, CLIENTS)
CODE = 1 << 40
BASE.do("authorize", HERE[0], CODE, APP, b"uri", 8, b"challenge")
BASE.do("create_app", APP, CLIENTS[0], b"secret", "Client", "", ["urn:x"], 8)
BASE.do("make_app_token", APP, b"own", 8)
MAIL_HASH, MAIL_HASH_THERE = (
    next(h for h in (bytes([n]) * 32 for n in range(99)) if BASE.shard_for("app", [thing_of_address(h)]) == shard)
    for shard in (0, 1)
)
MAIL, MAIL_THERE = map(thing_of_address, (MAIL_HASH, MAIL_HASH_THERE))
TOLD_ON = {BASE.shard_for("app", [thing_of_announcement(n)]): n for n in range(1, 99)}
NUMBERS, (TOLD, TOLD_THERE) = (TOLD_ON[0], TOLD_ON[1]), (thing_of_announcement(TOLD_ON[n]) for n in (0, 1))
BASE.do("react", TOLD, NUMBERS[0], "x", HERE[0], True)
BASE.do("await_approval", HERE[1], "hash", b"t", "Client", 8, APP, "why")
OF_THINGS = {APP_KIND.number: "app", ADDRESS.number: "address"}
BASE.do("claim_address", MAIL, MAIL_HASH, HERE[0])
hostile_mail.prepare(BASE, HERE)
LOCKED_ONE, ASKED = BASE.account_on(0, 3), BASE.account_on(1, 2)
BASE.register(LOCKED_ONE, ASKED)
BASE.do("update_profile", LOCKED_ONE, {"flags": [LOCKED, LOCKED]})
BASE.do("request_follow", HERE[1], LOCKED_ONE, False, None, None)
FILTER_ID, *_, FILTER_WORDS, FILTER_MARKS = BASE.do(
    "change_filter", HERE[0], 0, {"title": "x", "contexts": 1, "words": [[0, "x", True]], "statuses": [TWEETS[0]]}
)
HEARD = BASE.post(THERE[0], visibility=2, mentions=[HERE[0]])
LIST_ID = BASE.do("put_list", HERE[0], 0, "x", 0, False)[0]
BASE.do("set_members", HERE[0], LIST_ID, [THERE[0]], True)
BASE.do("follow_tag", HERE[0], "tag", "Tag", True)
BASE.do("feature_tag", HERE[0], "tag", "Tag", True)
WEBHOOK_ID = BASE.do("make_webhook", HERE[0], "https://example.org/hook", 1023, b"s" * 32)[0]
BASE.do("test_webhook", HERE[0], WEBHOOK_ID)
MEDIA, LINKED = hostile_media.prepare(BASE, HERE), hostile_previews.prepare(BASE, HERE[0])
DIGESTS = BASE.digests()

MASTODON = MastodonRenderer("https://rookery.example")
EDGES = [-(1 << 63), -1, 0, 1, 2, 63, 800, 801, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
EXTENSIONS = st.sampled_from([msgpack.Timestamp(1, 2), msgpack.ExtType(5, b"x")])
SCALARS = (
    st.none() | st.booleans() | st.sampled_from(EDGES) | st.sampled_from([float(HERE[0]), 1.5, float("nan"), 1e300])
    | st.text(max_size=4) | st.binary(max_size=9) | EXTENSIONS
)  # fmt: skip
KEYS = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2) | st.sampled_from(["bio", "fields"])
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=6
)

ACCOUNT = st.sampled_from([*HERE, *THERE, 399])
TWEET = st.sampled_from([*TWEETS, GONE, HEARD])
TOLD_OF = st.sampled_from([TOLD, TOLD_THERE, APP])
COUNT, KEY = st.integers(0, 801), st.none() | st.binary(max_size=70)
NAME = st.sampled_from([BASE.name_on(0), BASE.name_on(1), f"user{HERE[0]}", ""])
IDS = st.binary(max_size=17) | st.lists(ACCOUNT, max_size=3).map(lambda a: b"".join(x.to_bytes(8, "little") for x in a))
ENTITIES = st.just(b"") | ANYTHING.map(pack) | st.fixed_dictionaries({"mentions": ANYTHING}).map(pack)
ACCOUNTS, WORDS = st.lists(ACCOUNT, max_size=3), st.text(max_size=5)
PROFILE = st.dictionaries(
    st.sampled_from(["bio", "url", "avatar", "fields", "flags", "privacy", "language", "header", "x"]),
    ANYTHING,
    max_size=3,
)
ENTRY = st.one_of(
    st.sampled_from([packed_original(HERE[0], TWEETS[0]), packed_original(THERE[0], TWEETS[3])]),
    st.just(packed_original(HERE[0], GONE)),
    st.tuples(st.sampled_from(list(range(12))), ANYTHING).map(
        lambda c: pack([c[1] if i == c[0] else v for i, v in enumerate(msgpack.unpackb(ORIGINAL))])
    ),
    ANYTHING.map(pack),
)
ORIGINAL = packed_original(THERE[0], TWEETS[3])
EXAMPLES_CUT = 1 if settings.default.max_examples >= 1_000 else 4  # each replays a shard: `make fuzz` has all of them
REGISTRATION = st.tuples(NAME, ACCOUNT, WORDS, WORDS, st.none() | WORDS, st.lists(st.binary(max_size=3), max_size=2))
PAIRS = st.sampled_from(POLL_MORE) | st.tuples(st.sampled_from([*range(6, 15)]), ANYTHING).map(list)
PAIRS |= st.tuples(st.just(14), st.lists(st.sampled_from(MEDIA), max_size=2)).map(list)
MORE = st.none() | st.lists(PAIRS, max_size=3)
NEW = (ACCOUNT, WORDS, st.integers(-1, 4), TWEET | st.just(0), ACCOUNT | st.just(0), ENTITIES, ACCOUNTS, ACCOUNTS, KEY)
POST = st.tuples(*NEW) | st.tuples(*NEW, MORE)


def assert_short(error: RookeryError) -> None:
    """A refusal crosses the lane, and doesn't send back what it was given."""
    assert len(pack(error.to_wire())) < 1_000


def rows(row):
    return st.lists(row.map(list) | spoilt(row) | ANYTHING, max_size=3).map(lambda found: (found,))


@st.composite
def spoilt(draw, fitting):
    """Arguments that fit, some of them replaced by anything, one perhaps missing or too many."""
    args = list(draw(fitting))
    for place in draw(st.lists(st.integers(0, max(0, len(args) - 1)), max_size=2)):
        if place < len(args):
            args[place] = draw(ANYTHING)
    if draw(st.integers(0, 9)) == 0:
        args = args[:-1] if draw(st.booleans()) else [*args, draw(ANYTHING)]
    return args


SCHEDULED_ID = st.just(SCHEDULED) | TWEET
AT_MS = st.integers(0, 1 << 42) | st.integers(NOW_MS, NOW_MS + 1_000_000)
TOKEN_ID = st.sampled_from([token_id(b"x")])
FACTS = st.none() | st.tuples(IDS, IDS).map(list)
SHORT = st.binary(max_size=3)
FILTER_PART = st.sampled_from([0, 7, FILTER_WORDS[0][0], FILTER_MARKS[0][0]])
FILTER_CHANGES = st.fixed_dictionaries({"title": WORDS, "contexts": COUNT}, optional={
    "action": ANYTHING, "expires_in_s": COUNT, "statuses": st.lists(TWEET, max_size=2),
    "words": st.lists(st.tuples(FILTER_PART, WORDS, st.booleans()).map(list)), "drop": st.lists(FILTER_PART) | ANYTHING,
})  # fmt: skip
OWN_TAG = st.tuples(ACCOUNT, st.sampled_from(["tag", "other"]), WORDS, st.booleans())
OWN_LIST = st.sampled_from([LIST_ID, 7])
LIST_PAGE = st.tuples(ACCOUNT, OWN_LIST, COUNT, COUNT)
LISTED = st.tuples(TWEET, ACCOUNT, COUNT, COUNT, FACTS)
PAGE = (st.integers(0, 1 << 63), st.integers(0, 3), st.integers(0, 3))
FITTING = {
    "register": REGISTRATION, "register_many": rows(REGISTRATION),
    "login_token": st.tuples(ACCOUNT, st.binary(), st.just("old hash"), WORDS, COUNT, COUNT),
    "revoke_tokens": st.tuples(ACCOUNT, st.lists(st.binary(), max_size=3)),
    "change_password": st.tuples(
        ACCOUNT, st.text(max_size=9), st.text(max_size=9), st.none() | st.lists(st.binary(), max_size=3),
        st.none() | st.binary(),
    ),
    "revoke_token": st.tuples(ACCOUNT, st.binary()), "end_token": st.tuples(ACCOUNT, TOKEN_ID | WORDS),
    "tokens": st.tuples(ACCOUNT), "delete_account": st.tuples(ACCOUNT, st.none() | st.text(max_size=9)),
    "update_profile": st.tuples(ACCOUNT, PROFILE), "post": POST,
    "post_many": rows(POST), "delete": st.tuples(TWEET, ACCOUNT, FACTS), "like": st.tuples(ACCOUNT, TWEET),
    "unlike": st.tuples(ACCOUNT, TWEET), "repost": st.tuples(ACCOUNT, ENTRY), "unrepost": st.tuples(ACCOUNT, TWEET),
    "follow_many": st.tuples(IDS, IDS),
    "tweet": st.tuples(TWEET, ACCOUNT, FACTS), "tweet_ref": st.tuples(TWEET, ACCOUNT, FACTS),
    "seen": st.tuples(TWEET, ACCOUNT, FACTS), "lineage": st.tuples(TWEET, ACCOUNT, COUNT, FACTS),
    "tweets": st.tuples(st.lists(TWEET, max_size=3), ACCOUNT | st.just(0), FACTS),
    "user_timeline": st.tuples(ACCOUNT, ACCOUNT, *PAGE, COUNT, COUNT, FACTS),
    "pull": st.tuples(ACCOUNT, IDS, TWEET, COUNT, IDS), "pull_after": st.tuples(ACCOUNT, IDS, TWEET, COUNT, IDS),
    "account": st.tuples(ACCOUNT), "accounts": st.tuples(ACCOUNTS),
    "cards": st.tuples(ACCOUNTS, ACCOUNT | st.just(0)), "blocked_among": st.tuples(ACCOUNT, IDS),
    "names": st.tuples(st.lists(NAME, max_size=3)), "credentials": st.tuples(ACCOUNT),
    "reader": st.tuples(ACCOUNT),
    "likes": st.tuples(ACCOUNT, COUNT, COUNT), "bookmarks": st.tuples(ACCOUNT, COUNT, COUNT),
    "viewer_flags": st.tuples(ACCOUNT, IDS, IDS, IDS, IDS), "answered": st.tuples(ACCOUNT, SHORT, SHORT),
    "keyed": st.tuples(ACCOUNT, SHORT, SHORT, st.sampled_from(sorted(WRITES)), ANYTHING),
    "keep_answer": st.tuples(ACCOUNT, SHORT),
    "if_seen": st.tuples(ACCOUNT, TWEET, st.sampled_from(["like", "bookmark", "repost"]))
    | st.tuples(ACCOUNT, TWEET, st.sampled_from(sorted(WRITES)), ANYTHING),
    "likers": LISTED, "reposters": LISTED, "replies": LISTED, "quotes": LISTED,
    "edit": st.tuples(TWEET, ACCOUNT, WORDS, ENTITIES, ACCOUNTS, FACTS, MORE),
    "history": st.tuples(TWEET, ACCOUNT, FACTS),
    "schedule": st.tuples(
        ACCOUNT, AT_MS, WORDS, st.integers(-1, 4), TWEET | st.just(0), ACCOUNT | st.just(0), ENTITIES, ACCOUNTS,
        ACCOUNTS, MORE,
    ),
    "schedule_status": st.tuples(ACCOUNT, AT_MS, WORDS, COUNT, TWEET, ACCOUNT, ENTITIES, ACCOUNTS, ACCOUNTS, MORE),
    "vote": st.tuples(ACCOUNT, TWEET, ACCOUNT, st.integers(0, 9), AT_MS, st.integers(-1, 2)),
    "indexed": st.tuples(ACCOUNTS),
    "polls": st.tuples(st.lists(TWEET, max_size=3)), "votes": st.tuples(ACCOUNT, st.lists(TWEET, max_size=3)),
    "children": st.tuples(st.lists(TWEET, max_size=3), COUNT), "source": st.tuples(TWEET, ACCOUNT, FACTS),
    "versions": st.tuples(TWEET, ACCOUNT, FACTS), "scheduled_statuses": st.tuples(ACCOUNT, *PAGE, COUNT),
    "scheduled_status": st.tuples(ACCOUNT, SCHEDULED_ID),
    "reschedule": st.tuples(ACCOUNT, SCHEDULED_ID, AT_MS), "unschedule": st.tuples(ACCOUNT, SCHEDULED_ID),
    "scheduled": st.tuples(ACCOUNT, COUNT, COUNT), "scheduled_one": st.tuples(ACCOUNT, SCHEDULED_ID),
    "bookmark": st.tuples(ACCOUNT, TWEET), "unbookmark": st.tuples(ACCOUNT, TWEET),
    "pin": st.tuples(ACCOUNT, TWEET), "unpin": st.tuples(ACCOUNT, TWEET),
    "pins": st.tuples(ACCOUNT, ACCOUNT | st.just(0)), "settings": st.tuples(ACCOUNT), "usage": st.tuples(),
    "own_account": st.tuples(ACCOUNT),
    "directory": st.tuples(st.sampled_from([0, 1, 2]), COUNT), "dismissed": st.tuples(ACCOUNT),
    "dismiss_suggestion": st.tuples(ACCOUNT, ACCOUNT), "read_announcement": st.tuples(ACCOUNT, COUNT),
    "report": st.tuples(
        ACCOUNT, ACCOUNT, st.sampled_from(["spam", "other", "x"]), WORDS, st.lists(TWEET), st.lists(COUNT)
    ),
    "reports": st.tuples(COUNT, COUNT),
    "create_app": st.tuples(
        st.sampled_from([APP, APP_THERE, TWEETS[0]]), st.sampled_from([*CLIENTS, ""]), SHORT, WORDS, WORDS,
        st.lists(WORDS, max_size=2), COUNT,
    ),
    "use_app": st.tuples(st.sampled_from([APP, APP_THERE, TWEETS[0]])),
    "authorize": st.tuples(ACCOUNT, st.sampled_from([CODE, 7]), TWEET, SHORT, COUNT, SHORT),
    "redeem": st.tuples(
        ACCOUNT, st.just(CODE), st.just(APP), st.just(b"uri"), st.just(b"challenge"), st.sampled_from([b"x", b"new"]),
        WORDS,
    ),
    "app": st.tuples(st.sampled_from([APP, APP_THERE, TWEETS[0]])),
    "await_approval": st.tuples(ACCOUNT, WORDS, SHORT, WORDS, COUNT, COUNT, WORDS), "approve": st.tuples(ACCOUNT),
    "waiting": st.tuples(COUNT),
    "claim_address": st.tuples(
        st.sampled_from([MAIL, APP_THERE, TWEETS[0]]), st.sampled_from([MAIL_HASH, b"x"]), ACCOUNT, ACCOUNT | COUNT
    ),
    "react": st.tuples(TOLD_OF, st.sampled_from([*NUMBERS, 0]), st.sampled_from(["", "x"]), ACCOUNT, st.booleans()),
    "reactions": st.tuples(TOLD_OF, ACCOUNT | st.just(0)),
    "activity": st.tuples(COUNT, COUNT, COUNT), "direct_tweets": st.tuples(ACCOUNT, *PAGE, COUNT),
    "address": st.tuples(st.sampled_from([MAIL, APP_THERE, TWEETS[0]])),
    "make_app_token": st.tuples(st.sampled_from([APP, APP_THERE, TWEETS[0]]), SHORT, COUNT),
    "end_app_token": st.tuples(st.sampled_from([APP, APP_THERE, TWEETS[0]]), SHORT),
    "app_token": st.tuples(st.sampled_from([APP, APP_THERE, TWEETS[0]]), SHORT),
    "token_scopes": st.tuples(ACCOUNT, st.sampled_from([b"x", b"y"])),
    "token": st.tuples(ACCOUNT, st.binary()), "token_owner": st.tuples(st.binary()),
    "export": st.tuples(COUNT, COUNT, st.booleans()), "referred": st.tuples(COUNT, COUNT),
    "set_markers": st.tuples(ACCOUNT, TWEET | st.just(0), TWEET | st.just(0)), "markers": st.tuples(ACCOUNT),
    "set_notification_policy": st.tuples(ACCOUNT, st.lists(st.none() | COUNT, max_size=7)),
    "notification_policy": st.tuples(ACCOUNT), "tweet_facts": st.tuples(TWEET, ACCOUNT),
    "filters": st.tuples(ACCOUNT), "flags_and_filters": st.tuples(ACCOUNT, IDS, IDS, IDS),
    "change_filter": st.tuples(ACCOUNT, st.sampled_from([0, FILTER_ID, 7]), FILTER_CHANGES),
    "drop_filter": st.tuples(ACCOUNT, st.sampled_from([FILTER_ID, 7])),
    "follow_tag": OWN_TAG, "feature_tag": OWN_TAG, "used_tags": st.tuples(ACCOUNT, ACCOUNT),
    "tags_of": st.tuples(ACCOUNT, st.lists(TWEET, max_size=2)), "featured_tags": st.tuples(ACCOUNT, ACCOUNT),
    "public_tweets": st.tuples(ACCOUNT | st.just(0), *PAGE, COUNT),
    "put_list": st.tuples(ACCOUNT, OWN_LIST | st.just(0), WORDS, st.integers(0, 3), st.just(False)),
    "drop_list": st.tuples(ACCOUNT, OWN_LIST), "lists": st.tuples(ACCOUNT), "lists_with": st.tuples(ACCOUNT, ACCOUNT),
    "set_members": st.tuples(ACCOUNT, OWN_LIST, ACCOUNTS, st.booleans()), "members": LIST_PAGE,
}  # fmt: skip
STAMPS = (st.integers(0, 1 << 63), st.integers(0, 3), st.integers(0, 3), COUNT)
SWITCH, LANGUAGES = st.none() | st.booleans(), st.none() | st.lists(st.sampled_from(["en", "de", ""]), max_size=3)
EDGE, TWEETS_OF = st.tuples(ACCOUNT, ACCOUNT), st.tuples(ACCOUNT, st.lists(TWEET, max_size=3))
OF_TWEET, READ_OF = st.tuples(ACCOUNT, TWEET), st.tuples(TWEET, ACCOUNT, FACTS)
FOLLOW_AS = st.tuples(ACCOUNT, ACCOUNT, SWITCH, SWITCH, LANGUAGES)
OF_NOTICE, SENDERS_OF = st.tuples(ACCOUNT, NOTICE), st.tuples(ACCOUNT, ACCOUNTS, st.booleans())
NOTICES_OF = st.tuples(ACCOUNT, st.lists(NOTICE, max_size=2))
FITTING |= {
    "shelf": st.tuples(ACCOUNT, st.integers(0, 33), *STAMPS), "boost": st.tuples(ACCOUNT, ENTRY, st.integers(-1, 4)),
    "shelf_of_tweet": st.tuples(TWEET, ACCOUNT | st.just(0), st.integers(0, 33), *STAMPS, FACTS),
    "mute_conversation": TWEETS_OF, "unmute_conversation": TWEETS_OF, "request_follow": FOLLOW_AS,
    "follow_as": FOLLOW_AS, "withdraw_request": EDGE, "remove_follower": EDGE, "endorse": EDGE, "unendorse": EDGE,
    "answer_request": st.tuples(ACCOUNT, ACCOUNT, st.booleans()), "note": st.tuples(ACCOUNT, ACCOUNT, WORDS),
    "mute_as": st.tuples(ACCOUNT, ACCOUNT, st.booleans(), COUNT), "relations": st.tuples(ACCOUNT, ACCOUNTS),
    "followers_among": st.tuples(ACCOUNT, ACCOUNT | st.just(0), IDS, COUNT), "conversation_of": READ_OF,
    "conversations": st.tuples(ACCOUNT, *STAMPS), "read_conversation": OF_TWEET, "drop_conversation": OF_TWEET,
    "notices": st.tuples(ACCOUNT, COUNT, COUNT, ACCOUNTS, *STAMPS), "notice": OF_NOTICE, "drop_notices": NOTICES_OF,
    "notice_groups": st.tuples(ACCOUNT, COUNT, COUNT, COUNT, ACCOUNTS, *STAMPS), "answer_senders": SENDERS_OF,
    "notice_group": st.tuples(ACCOUNT, st.integers(0, 10), TWEET, COUNT),
    "unread_notices": st.tuples(ACCOUNT, COUNT, ACCOUNTS, COUNT),
    "notice_requests": st.tuples(ACCOUNT, ACCOUNTS, *STAMPS),
}  # fmt: skip
FITTING |= hostile_mail.fitting(ACCOUNT, WORDS, COUNT, st.sampled_from([MAIL, APP_THERE, TWEETS[0]]))
FITTING |= hostile_media.fitting(ACCOUNT, WORDS, MEDIA) | hostile_previews.fitting(TWEET, LINKED)
OWN_WEBHOOK = st.tuples(ACCOUNT, st.sampled_from([WEBHOOK_ID, 7]))
FITTING |= {
    "make_webhook": st.tuples(ACCOUNT, st.sampled_from(["https://example.org/", "x", ""]), COUNT, SHORT, SHORT, SHORT),
    "rotate_webhook": st.tuples(ACCOUNT, st.just(WEBHOOK_ID), SHORT, SHORT), "webhooks": st.tuples(ACCOUNT),
    "drop_webhook": OWN_WEBHOOK, "test_webhook": OWN_WEBHOOK, "webhook": OWN_WEBHOOK,
}  # fmt: skip
for name in ("follow", "unfollow", "block", "unblock", "mute", "unmute", "profile"):
    FITTING[name] = st.tuples(ACCOUNT, ACCOUNT)
for name in ("followers", "following"):
    FITTING[name] = st.tuples(ACCOUNT, ACCOUNT, COUNT, COUNT)


TYPICAL = {
    "register": [BASE.name_on(0), 500, "Ada", "bio", "hash", [b"x"], "tablet"],
    "login_token": [HERE[0], b"y", "old hash", "phone", 8, 500],
    "register_many": [[[BASE.name_on(0), 500, "Ada", "bio", "hash", [b"x"]]]], "revoke_token": [HERE[0], b"x"],
    "end_token": [HERE[0], token_id(b"x")], "delete_account": [HERE[0], "old hash"],
    "revoke_tokens": [HERE[0], [b"kept"]],
    "change_password": [HERE[0], "old hash", "new hash", [b"kept"], b"fresh", "x"],
    "update_profile": [HERE[0], {"bio": "x", "fields": [["a", "b"]], "flags": [3, 1]}],
    "delete": [TWEETS[0], HERE[0], [b"", b""], True],
    "post": [HERE[0], "x", 3, TWEETS[0], HERE[0], b"", [1], [THERE[0]], b"key", POLL_MORE],
    "like": [HERE[0], TWEETS[1]],
    "post_many": [[[HERE[0], "x", 0, TWEETS[0], HERE[0], b"", [1], [THERE[0]], b"key"]]],
    "unlike": [HERE[0], TWEETS[3]], "repost": [HERE[0], ORIGINAL], "unrepost": [HERE[2], TWEETS[0]],
    "follow": [HERE[0], 399], "unfollow": [HERE[0], THERE[0]],
    "follow_many": [HERE[0].to_bytes(8, "little"), HERE[1].to_bytes(8, "little")],
    "block": [HERE[0], THERE[0]], "unblock": [HERE[2], THERE[1]], "mute": [HERE[0], THERE[0]],
    "edit": [TWEETS[0], HERE[0], "y", b"", [THERE[0]], [b"", b""], [*POLL_MORE[:3], POLL_MORE[4]]],
    "schedule": [HERE[0], DUE_MS, "x", 3, TWEETS[0], HERE[0], b"", [1], [THERE[0]], POLL_MORE],
    "schedule_status": [HERE[0], DUE_MS, "x", 3, TWEETS[0], HERE[0], b"", [1], [THERE[0]], POLL_MORE],
    "vote": [HERE[0], TWEETS[6], THERE[0], 2, NOW_MS + 600_000, 1],
    "reschedule": [HERE[0], SCHEDULED, DUE_MS], "unschedule": [HERE[0], SCHEDULED],
    "unmute": [HERE[0], THERE[0]], "bookmark": [HERE[0], TWEETS[1]],
    "if_seen": [HERE[0], TWEETS[0], "repost", [HERE[0], ORIGINAL]],
    "create_app": [APP, CLIENTS[0], b"secret", "Client", "", ["urn:x"], 8], "use_app": [APP],
    "make_app_token": [APP, b"other", 8], "end_app_token": [APP, b"own"],
    "claim_address": [MAIL, MAIL_HASH, HERE[1], HERE[0]], "react": [TOLD, NUMBERS[0], "y", HERE[0], True],
    "await_approval": [HERE[2], "hash", b"t", "Client", 8, APP, "why"], "approve": [HERE[1]],
    "authorize": [HERE[0], 7, APP, b"uri", 8, b"challenge"],
    "redeem": [HERE[0], CODE, APP, b"uri", b"challenge", b"new", "Client"],
    "keep_answer": [HERE[0], b"{}"],
    "keyed": [HERE[0], b"key", b"print", "like", [HERE[0], TWEETS[1]]], "unbookmark": [HERE[0], TWEETS[3]],
    "pin": [HERE[0], TWEETS[0]], "unpin": [HERE[1], TWEETS[1]],
    "dismiss_suggestion": [HERE[0], THERE[0]], "read_announcement": [HERE[0], 3],
    "report": [HERE[0], THERE[0], "spam", "look", [TWEETS[0]], [1]],
    "set_notification_policy": [HERE[0], [1, None, 2, None, 0]],
    "set_markers": [HERE[0], TWEETS[0], 7], "drop_list": [HERE[0], LIST_ID],
    "follow_tag": [HERE[0], "tag", "Tag", False], "feature_tag": [HERE[0], "other", "Other", True],
    "put_list": [HERE[0], LIST_ID, "y", 1, False], "set_members": [HERE[0], LIST_ID, [HERE[0], HERE[1]], True],
    "change_filter": [HERE[0], FILTER_ID, {"title": "y"}], "drop_filter": [HERE[0], FILTER_ID],
}  # fmt: skip
TYPICAL |= {
    "boost": [HERE[0], ORIGINAL, 1], "mute_conversation": [HERE[0], TWEETS[:2]],
    "unmute_conversation": [HERE[0], [TWEETS[3]]], "remove_follower": [HERE[0], THERE[0]],
    "request_follow": [HERE[0], ASKED, False, True, ["en"]], "withdraw_request": [HERE[1], LOCKED_ONE],
    "answer_request": [LOCKED_ONE, HERE[1], True], "endorse": [HERE[0], THERE[0]], "unendorse": [HERE[0], HERE[1]],
    "note": [HERE[0], THERE[0], "met at a fair"], "follow_as": [HERE[0], THERE[1], False, True, ["en", "de"]],
    "mute_as": [HERE[0], THERE[0], False, 60_000], "read_conversation": [HERE[0], HEARD],
    "drop_conversation": [HERE[0], HEARD], "drop_notices": [HERE[0], [NOTICED]],
    "answer_senders": [HERE[1], [THERE[0]], True],
}  # fmt: skip
TYPICAL |= {
    "make_webhook": [HERE[1], "https://example.org/hook", 1023, b"s" * 32, b"n", b""],
    "drop_webhook": [HERE[0], WEBHOOK_ID], "rotate_webhook": [HERE[0], WEBHOOK_ID, b"t" * 32, b"n"],
    "test_webhook": [HERE[0], WEBHOOK_ID],
}  # fmt: skip
TYPICAL |= hostile_mail.typical(HERE, MAIL) | hostile_media.typical(HERE, MEDIA) | hostile_previews.typical(LINKED)
TYPICAL["schedule_status"][-1] = [*POLL_MORE, [14, [[MEDIA[1], "a cat", [1, 2]]]]]
NASTY = [
    None, True, False, *EDGES, float(HERE[0]), 1.5, float("nan"), float("inf"), 1e300, "", "x", str(HERE[0]), b"",
    b"x" * 65, b"x" * 8, [], [[]], [[None] * 9], [1, 2], [None], ["x"], [1.5], [True], [1 << 63], [-1], [b"x"], {},
    {"bio": 1}, {"fields": [["a"]]}, {"fields": 1}, {1: 2}, msgpack.Timestamp(1, 2), msgpack.ExtType(1, b""),
]  # fmt: skip


def spoilt_everywhere(args: list) -> list[list]:
    """Return the arguments with each place in turn, also one list deep or two, taken by each nasty value."""
    found = []
    for i, value in enumerate(args):
        found += [[*args[:i], nasty, *args[i + 1 :]] for nasty in NASTY]
        if isinstance(value, list):
            found += [[*args[:i], inner, *args[i + 1 :]] for inner in spoilt_everywhere(value)]
    return found


@pytest.mark.parametrize("op", WRITES)
def test_each_argument_of_a_write_in_turn_may_be_anything(op):
    BASE.replicas[0].prepare(op, TYPICAL[op], NOW_MS)
    requests = spoilt_everywhere(TYPICAL[op])
    if op == "repost":
        fields = msgpack.unpackb(ORIGINAL)
        requests += [[HERE[0], pack(spoilt)] for spoilt in spoilt_everywhere(fields)]
    if op == "post":
        requests += [[*TYPICAL[op][:5], pack(nasty), *TYPICAL[op][6:]] for nasty in NASTY]
        requests += [[*TYPICAL[op][:5], pack({"mentions": nasty}), *TYPICAL[op][6:]] for nasty in NASTY]
    refused, accepted = 0, []
    fresh = rebuilt(0)
    for args in requests:
        try:
            fresh.prepare(op, args, NOW_MS + 1_000)
            accepted.append(args)
        except RookeryError as error:
            assert_short(error)
            refused += 1
    assert refused
    assert digest(fresh.state) == DIGESTS[0]
    known: dict[bytes | None, str] = {}
    for args in accepted:
        outcome_is_sound(op, [args], known)


def rebuilt(shard: int) -> Replica:
    return BASE.replayed(shard)


UNTOUCHED: list[Replica] = []  # who has refused everything so far holds what BASE holds, and serves again


def untouched() -> Replica:
    return UNTOUCHED.pop() if UNTOUCHED else rebuilt(0)


def read_everything(replica: Replica) -> None:
    """Render all that a client could see, so that nothing unreadable was stored."""
    for account_id in set(HERE) & replica.state.people.row_of.keys():  # one may have been deleted
        query = replica.query([account_id, 0, 0, 0, 100])
        if (
            account_id not in replica.state.waking
            and replica.state.rings.awake[replica.state.people.row_of[account_id]]
        ):
            replica.home.page(replica.state.people.row_of[account_id], query)
            replica.try_home(query)
        replica.read("user_timeline", [account_id, account_id, 0, 0, 0, 100])
        for op, *args in (
            ("profile", 0), ("pins", 0), ("scheduled", 0, 100), ("scheduled_statuses", 0, 0, 0, 100), ("votes", TWEETS),
            ("notices", 1023, 2, [], 0, 0, 0, 9), ("notice_groups", 1023, 1023, 2, [], 0, 0, 0, 9),
            ("notice_requests", [], 0, 0, 0, 9), ("webhooks",), ("mailbox",), ("media_many", list(MEDIA)),
            ("featured_tags", 0), ("used_tags", 0), ("markers",), ("filters",), ("conversations", 0, 0, 0, 9),
            ("direct_tweets", 0, 0, 0, 9),
            *(("members", list_id, 0, 100) for list_id, *_ in replica.read("lists", [account_id])),
        ):  # fmt: skip
            replica.read(op, [account_id, *args])
    for tweet_id, author in ((TWEETS[0], HERE[0]), (TWEETS[1], HERE[1])):
        if tweet_id in replica.state.tweets and author not in replica.state.people.leaving:
            replica.read("history", [tweet_id, author])
            replica.read("versions", [tweet_id, author])
    for tweet_id in replica.state.tweets.slot_of:
        entry = replica.state.tweets.get(tweet_id)
        MASTODON.piece(entry if entry.orig is None else Entry(*unpack(entry.orig)))
    replica.read("polls", [[tweet_id for tweet_id in TWEETS if replica.state.shard_of_tweet(tweet_id) == 0]])
    replica.read("cards", [HERE])
    replica.read("media_held", [0, 0, 100])
    for op, args in (("reactions", [TOLD, HERE[0]]), ("activity", [0, 0, 12])):
        replica.read(op, args)
    for thing_id, kind in replica.state.things.kind_of.items():
        if kind in OF_THINGS:
            replica.read(OF_THINGS[kind], [thing_id])
    for account_id in HERE[: HERE[0] in replica.state.people.row_of]:
        replica.read("tokens", [account_id])


@pytest.mark.parametrize("op", WRITES)
def test_a_write_with_any_arguments_is_refused_and_changes_nothing_or_is_applied_and_can_be_replayed(op):
    known: dict[bytes | None, str] = {}

    @given(requests=st.lists(spoilt(FITTING[op]), min_size=1, max_size=3))
    @settings(max_examples=max(25, settings.default.max_examples // EXAMPLES_CUT))
    def attempt(requests):
        outcome_is_sound(op, requests, known)

    attempt()


def outcome_is_sound(op: str, requests: list, known: dict[bytes | None, str]) -> None:
    """Make requests until one is accepted; then replay, exchange, read, seal and restore.

    known: digests after the records for which all that was done before. A state follows from its records, so that one
    that comes again only has to lead to the same.
    """
    here = untouched()
    for args in requests:
        try:
            record, body = here.write(op, args, NOW_MS + 1_000)
        except RookeryError as error:
            assert_short(error)
            assert digest(here.state) == DIGESTS[0]
            continue
        pack(body.to_wire() if isinstance(body, RookeryError) else body)
        break
    else:
        read_everything(here)
        UNTOUCHED.append(here)
        return
    after = digest(here.state)
    if record in known:
        assert after == known[record]
        return
    copy = rebuilt(0)
    if record is not None:
        copy.replay(copy.state.position + 1, record)
    assert digest(copy.state) == after
    goes_on(here, rebuilt(1))
    known[record] = after


def goes_on(here: Replica, there: Replica) -> None:
    """Exchange, read, publish, seal and restore."""
    cross(here, there)
    read_everything(here)
    while (command := here.due_command(1 << 46)) is not None:
        here.command(command)  # what was scheduled can be published
    cross(here, there)
    read_everything(here)
    assert check(here.state) == check(there.state) == []
    restored, store = Replica(0, BASE.owner, BASE.tuning), memory_store()
    store.write(here.state.position, 1, here.seal())
    restored.load(store.load())
    assert digest(restored.state) == digest(here.state)


def cross(here: Replica, there: Replica) -> None:
    """Let all messages arrive on both sides."""
    for _ in range(20):
        quiet = True
        for source, target in ((here, there), (there, here)):
            first, messages = source.state.outboxes[target.state.shard].batch(1 << 62)
            if messages:
                quiet = False
                _, seq = target.command(["receive", source.state.shard, first, b"".join(messages)])
                source.command(["acked", target.state.shard, seq])
        if quiet:
            return
    raise AssertionError("shards never stop sending")


@pytest.mark.parametrize("op", READS)
def test_a_read_with_any_arguments_is_answered_or_refused_and_changes_nothing(op):
    @given(args=spoilt(FITTING[op]))
    def attempt(args):
        try:
            pack(BASE.replicas[0].read(op, args))
        except RookeryError as error:
            assert_short(error)
        assert digest(BASE.replicas[0].state) == DIGESTS[0]

    attempt()


HOME = st.tuples(ACCOUNT, TWEET | st.just(0), TWEET | st.just(0), TWEET | st.just(0), COUNT)
WITH_SCOPES = st.tuples(ACCOUNT, st.just(0), st.just(0), st.just(0), COUNT, COUNT, st.just(b"x"), COUNT)
HOME |= st.tuples(ACCOUNT, TWEET | st.just(0), TWEET | st.just(0), TWEET | st.just(0), COUNT, COUNT)


@given(args=spoilt(HOME) | spoilt(st.tuples(ACCOUNT, TWEET, TWEET, TWEET, COUNT, st.binary())) | spoilt(WITH_SCOPES))
@example(args=5)
@example(args={1: 2})
@example(args=[HERE[0], 0, 0, 0, 20, [[]]])
@example(args=[HERE[0], 0, 0, 0, 20, 0, b"x", "read"])
def test_a_home_timeline_with_any_arguments_is_answered_or_refused(args):
    replica = BASE.replicas[0]
    try:
        query = replica.query(args)
    except RookeryError as error:
        assert_short(error)
    else:
        replica.try_home(query)
    assert digest(replica.state) == DIGESTS[0]


def test_a_home_read_with_a_token_is_refused_before_anything_is_looked_at():
    world = Shards()
    world.register(*HERE)
    replica, account_id = world.replicas[0], HERE[0]
    replica.write("login_token", [account_id, b"right"], NOW_MS)
    replica.touched.clear()
    replica.state.day += 1  # a read would be noted
    for args in ([account_id, 0, 0, 0, 20, 0, b"wrong"], [account_id, "x", 0, 0, 0, 0, b"wrong"]):
        with pytest.raises(UnauthorizedError):
            replica.query(args)
    assert not replica.touched
    with pytest.raises(InvalidError):
        replica.query([account_id, "x", 0, 0, 20, 0, b"right"])
    assert replica.query([account_id, 0, 0, 0, 20, 0, b"right"]).count == 20
    assert replica.touched == {account_id}


@given(op=ANYTHING, args=ANYTHING)
def test_an_operation_of_any_name_is_refused(op, args):
    for call in (lambda: BASE.replicas[0].read(op, args), lambda: BASE.replicas[0].write(op, args, NOW_MS)):
        with pytest.raises(RookeryError):
            call()


@pytest.mark.parametrize("size", [10_000, 5_000_000])
def test_a_refusal_does_not_repeat_a_huge_argument(size):
    nested: list = []
    for _ in range(1_000):
        nested = [nested]
    for args in (["x" * size], [b"x" * size], [nested], [[1] * size], [{i: i for i in range(size // 100)}]):
        for op in (*WRITES, *READS):
            call = BASE.replicas[0].read if op in READS else lambda o, a: BASE.replicas[0].write(o, a, NOW_MS)
            with pytest.raises(RookeryError) as caught:
                call(op, args)
            assert len(caught.value.message) < 1_000
        with pytest.raises(RookeryError) as caught:
            BASE.replicas[0].query(args * 5)
        assert len(caught.value.message) < 1_000
