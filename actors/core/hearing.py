"""Who hears of what has happened on a shard: the rules of home timelines, lists and public pages, for one event.

    Happening --addresses--> of each worker's ears: [[topics, accounts or None, flags or None], ...]
              --payload----> the tweet in pieces and as native JSON; a notice; whom an account hides

Rules of this file
- A tweet is heard by whom its home timeline shows it: the same code decides (`HomeTimelines.shows`), as of now.
- Public topics are heard at the author's shard alone, so each tweet once; home and lists at the listener's.
- Of a deletion hears whoever the tweet was in reach of, and whom it mentions. Of an edit whoever it is in reach of, or
  a repost of it.
- Whoever asks again for what he has missed is told by the same rules (`missed`).

Costs: for a tweet 1.5 us for each who hears, 90 us for 48 among 10,000 followers; of a repost or an answer 3 to 10 us
for each; 0.3 ms to render it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.core import arguments, limits
from actors.core.entries import Entry
from actors.core.errors import InvalidError, NotFoundError
from actors.core.facts import Facts, read_facts
from actors.core.features.conversations import newest_of_conversation
from actors.core.features.lists import own_list
from actors.core.features.viewer_flags import flags_of
from actors.core.flags import BLOCK, FLAG_DIRECT, FLAG_REPLY, FLAG_REPOST, MUTE
from actors.core.folding import fold
from actors.core.hashtags import tag_id_of, tags_in
from actors.core.heard import (
    CONVERSATION,
    DELETE,
    DIRECT,
    EDIT,
    EVERYTHING,
    FILTERS,
    MEDIA_TOPICS,
    NOTICE,
    NOTIFICATIONS,
    PUBLIC_TOPICS,
    RELATED,
    RELATIONS,
    TWEET,
    USER,
    Happening,
)
from actors.core.shape_table import MASTODON
from actors.core.shapes import JoinedShape
from actors.core.stores.public_tweets import ELSEWHERE
from actors.core.timelines.home import HomeTimelines
from actors.core.timelines.list_timelines import ListQuery, ListTimelines
from actors.core.visibility import is_for

if TYPE_CHECKING:
    from actors.core.heard import HeardLog
    from actors.core.joining import TweetPieces
    from actors.core.replica import Replica

Ints = npt.NDArray[np.int64]
FEW: Final = 8  # listening rows up to which each is looked at, in place of an author's followers
ACCOUNTS_MAX: Final = 60_000  # that one worker listens to on one shard
LISTS_MAX: Final = limits.LISTS_COUNT_MAX  # of one account
TOPICS_MAX: Final = 10_000  # public ones of one worker
TOPIC_BYTES_MAX: Final = limits.TAG_BYTES_MAX + 16
MISSED_MAX: Final = 400  # events of one listener: more, and the client reads again
LOOKED_MAX: Final = 20_000  # events that are looked at for them: 40 ms
_TAG_PREFIXES: Final = ("hashtag:local:", "hashtag:")


class Wants(NamedTuple):
    """What an account listens to. mask: of USER and so on; lists: ids of its own."""

    account_id: int
    row: int
    mask: int
    lists: tuple[int, ...] = ()


def tag_of_topic(topic: str) -> int:
    """Return the id of the hashtag that a topic is of, 0 if it is none's."""
    for prefix in _TAG_PREFIXES:
        if topic.startswith(prefix):
            return tag_id_of(fold(topic[len(prefix) :]))
    return 0


class Ears:
    """What one worker listens to on one shard. Bounded by ACCOUNTS_MAX and TOPICS_MAX."""

    def __init__(self) -> None:
        self.by_account: dict[int, Wants] = {}
        self.account_of: dict[int, int] = {}  # by row
        self.list_owners: dict[int, Wants] = {}  # by row
        self.topics: set[str] = set()
        self.tags: dict[int, set[str]] = {}
        self.is_home = np.zeros(64, dtype=np.bool_)  # by row: whether it listens to home

    def hear(self, wants: Wants) -> None:
        """Listen to an account, in place of what was listened to of it."""
        self.forget(wants.account_id)
        self.by_account[wants.account_id] = wants
        self.account_of[wants.row] = wants.account_id
        if wants.lists:
            self.list_owners[wants.row] = wants
        if wants.row >= len(self.is_home):
            grown = np.zeros(max(wants.row + 1, 2 * len(self.is_home)), dtype=np.bool_)
            grown[: len(self.is_home)] = self.is_home
            self.is_home = grown
        self.is_home[wants.row] = bool(wants.mask & USER)

    def forget(self, account_id: int) -> None:
        """Listen to an account no more."""
        wants = self.by_account.pop(account_id, None)
        if wants is not None:
            self.account_of.pop(wants.row, None)
            self.list_owners.pop(wants.row, None)
            self.is_home[wants.row] = False

    def hear_topics(self, topics: Iterable[str]) -> None:
        """Listen to public topics."""
        for topic in topics:
            self.topics.add(topic)
            if tag := tag_of_topic(topic):
                self.tags.setdefault(tag, set()).add(topic)

    def forget_topics(self, topics: Iterable[str]) -> None:
        """Listen to public topics no more."""
        for topic in topics:
            self.topics.discard(topic)
            tag = tag_of_topic(topic)
            if tag in self.tags:
                self.tags[tag].discard(topic)
                if not self.tags[tag]:
                    del self.tags[tag]

    def among(self, rows: npt.NDArray[np.int32]) -> list[int]:
        """Return which of some rows listen to their home."""
        known = rows[rows < len(self.is_home)]
        found: list[int] = known[self.is_home[known]].tolist()
        return found

    def home_rows(self) -> Iterator[int]:
        """Iterate over the rows that listen to their home."""
        return (wants.row for wants in self.by_account.values() if wants.mask & USER)


# [topics, accounts as int64 bytes, flags or None], or [topics, None, accounts that don't hear it, or None]
Address = list[Any]


class Hearing:
    """Who hears, on one replica."""

    def __init__(self, replica: Replica) -> None:
        """Raises OverloadedError while older processes are about: Mastodon's shape waits for its level."""
        self.replica, self.state = replica, replica.state
        shaped = replica.shaped(MASTODON)
        assert shaped is not None, "Mastodon's shape is a joined one"
        self._shape: JoinedShape = shaped.shape
        self._home, self._lookups = shaped.home, replica.lookups

    # ---- arguments ----------------------------------------------------------------------------------------------

    def wants(self, row: Any) -> Wants | None:
        """Check what is to be listened to of an account: [account_id, mask, list ids]. None: it isn't this shard's.

        Raises InvalidError; NotFoundError for an account that there isn't.
        """
        if type(row) is not list or len(row) != 3:
            raise InvalidError("what is listened to is [account_id, mask, list ids]", "accounts")
        account_id = arguments.an_id(row[0], "account_id")
        mask = arguments.whole(row[1], 0, EVERYTHING, "mask")
        lists = arguments.id_list(row[2], LISTS_MAX, "lists")
        if self.state.shard_of_account(account_id) != self.state.shard:
            return None
        return Wants(account_id, self._lookups.row(account_id), mask, tuple(lists))

    # ---- who -----------------------------------------------------------------------------------------------------

    def addresses(self, ears: Ears, what: Happening) -> list[Address]:
        """Return to whom of a worker's listeners something is to be told, and on which topics."""
        if what.kind in (TWEET, DELETE, EDIT):
            entry = what.entry if what.kind == DELETE else self._entry(what.item)
            return [] if entry is None else self._of_tweet(ears, what, entry)
        wants = ears.by_account.get(what.who)
        topics = [] if wants is None else _topics_of_account(what.kind, wants.mask)
        return [[topics, _packed([what.who]), None]] if topics else []

    def _entry(self, tweet_id: int) -> Entry | None:
        n = self.state.arrivals.number_of.get(tweet_id)
        return None if n is None else self.state.arrivals.entry(n)

    def _of_tweet(self, ears: Ears, what: Happening, entry: Entry) -> list[Address]:
        found: list[Address] = []
        if ears.by_account:
            rows = self._home_rows(ears, what, entry)
            if rows:
                accounts = [ears.account_of[row] for row in rows]
                found.append([["user"], _packed(accounts), self._flags(what, entry, accounts)])
            found += self._of_lists(ears, what, entry)
        if ears.topics and what.is_own and self.state.people.row_of.get(entry.author_id) is not None:
            topics = public_topics(ears, entry)
            if topics:
                found.append([topics, None, self._blocked_by(entry.author_id)])
        return found

    def _blocked_by(self, author_id: int) -> bytes | None:
        """Return whom an author of this shard blocks, who hear nothing of his on public topics; None for nobody."""
        blocked = self.state.graph.relations[BLOCK].get(self.state.people.row_of[author_id])
        return _packed(sorted(blocked)) if blocked else None

    def _home_rows(self, ears: Ears, what: Happening, entry: Entry) -> list[int]:
        """Return the rows whose home shows a tweet, or showed it, each once."""
        rows = [row for row in self._in_reach(ears, entry) if self._shows(self._home, ears, row, what, entry)]
        if what.kind == EDIT:
            known = set(rows)
            for repost_id, _ in self.state.arrivals.reposts_of(what.item):
                repost = self._entry(repost_id)
                for row in self._in_reach(ears, repost) if repost is not None else ():
                    if row not in known and self._wants(self._home, ears, row, repost):  # type: ignore[arg-type]
                        known.add(row)
                        rows.append(row)
        if what.kind == DELETE and entry.mention_ids and not entry.flags & FLAG_DIRECT:
            rows += [row for row in self._mentioned(ears, entry) if row not in rows]
        return rows

    def _mentioned(self, ears: Ears, entry: Entry) -> list[int]:
        """Return the listening rows of those whom a tweet mentions, unless they don't see its author."""
        wants = [each for account_id in entry.mention_ids if (each := ears.by_account.get(account_id)) is not None]
        return [
            each.row for each in wants
            if each.mask & USER and self._is_here(each.row, each.account_id)
            and is_for(each.account_id, entry.author_id, entry.flags, entry.mention_ids)
            and entry.author_id not in self.state.graph.unshown(each.row)
        ]  # fmt: skip

    def _in_reach(self, ears: Ears, entry: Entry) -> list[int]:
        """Return the listening rows that follow an author, are him, or follow a hashtag of the tweet; each once."""
        graph, author_id = self.state.graph, entry.author_id
        if entry.flags & FLAG_DIRECT:
            wants = (ears.by_account.get(account_id) for account_id in {author_id, *entry.mention_ids})
            rows = [each.row for each in wants if each is not None and each.mask & USER]
            return [row for row in rows if self._home.reaches(row, ears.account_of[row], entry)]
        if len(ears.by_account) <= FEW:
            return [row for row in ears.home_rows() if self._home.reaches(row, ears.account_of[row], entry)]
        author_row = graph.author_row.get(author_id)
        found = [] if author_row is None else ears.among(graph.local_followers.view(author_row))
        own = ears.by_account.get(author_id)
        if own is not None and own.mask & USER:
            found.append(own.row)
        tags = set(tags_in(entry.flags, entry.body)) if graph.tag_readers else set()
        if not tags.isdisjoint(graph.tag_readers):
            known = set(found)
            found += [
                row for row in graph.tags_of
                if row in ears.account_of and row not in known and ears.is_home[row]
                and not tags.isdisjoint(graph.tags_of[row])
            ]  # fmt: skip
        return found

    def _shows(self, home: HomeTimelines, ears: Ears, row: int, what: Happening, entry: Entry) -> bool:
        if what.kind != TWEET:
            return self._wants(home, ears, row, entry)
        if not entry.flags & (FLAG_REPLY | FLAG_REPOST | FLAG_DIRECT) and home is self._home:
            return self._is_plain(ears, row, entry.author_id) or self._wants(home, ears, row, entry)
        account_id = ears.account_of[row]
        n = self.state.arrivals.number_of[entry.tweet_id]
        return self._is_here(row, account_id) and home.shows(row, account_id, n, entry)

    def _is_plain(self, ears: Ears, row: int, author_id: int) -> bool:
        """Whether an account hides nobody and wants all of its home: then it shows whatever is in reach. 0.3 us."""
        graph = self.state.graph
        if row in graph.wishful or any(row in related for related in graph.leaving_out):
            return False
        return self._is_here(row, ears.account_of[row])

    def _wants(self, home: HomeTimelines, ears: Ears, row: int, entry: Entry) -> bool:
        account_id = ears.account_of[row]
        return self._is_here(row, account_id) and home.wants(row, account_id, entry)

    def _is_here(self, row: int, account_id: int) -> bool:
        """Whether a row is still that account's: rows are given to others."""
        return self.state.people.row_of.get(account_id) == row

    def _of_lists(self, ears: Ears, what: Happening, entry: Entry) -> list[Address]:
        found: list[Address] = []
        for row, wants in ears.list_owners.items():
            account_id = wants.account_id
            if not self.state.graph.following.contains(row, entry.author_id) and account_id != entry.author_id:
                continue
            for list_id in wants.lists:
                timeline = self._list(account_id, list_id)
                if timeline is None or not timeline.reaches(row, account_id, entry):
                    continue
                if self._shows(timeline, ears, row, what, entry):
                    topics, accounts = [f"list:{list_id}"], [account_id]
                    found.append([topics, _packed(accounts), self._flags(what, entry, accounts)])
        return found

    def _list(self, account_id: int, list_id: int) -> ListTimelines | None:
        try:
            policy = own_list(self._lookups, account_id, list_id).policy
        except NotFoundError:  # it was deleted while somebody listens to it
            return None
        query = ListQuery(account_id, 0, 0, 0, 1, list_id=list_id, policy=policy)
        return ListTimelines(self._lookups, self._shape, query)

    def _flags(self, what: Happening, entry: Entry, accounts: Sequence[int]) -> bytes | None:
        """Return what each account has done about a tweet and its original, None if nobody anything.

        A byte an account, or two of a repost. (No list: the lane takes none of so many items.)

        Of a plain tweet that is new only its author can have done something.
        """
        if what.kind == DELETE:
            return None
        is_fresh = what.kind == TWEET and not entry.flags & (FLAG_REPLY | FLAG_REPOST)
        tweet_ids, author_ids = [entry.tweet_id], [entry.author_id]
        if entry.is_repost:
            tweet_ids, author_ids = [entry.tweet_id, entry.orig_id], [entry.author_id, entry.orig_author]
        orig_ids, parents = [entry.orig_id] * len(tweet_ids), [0] * len(tweet_ids)
        if entry.flags & FLAG_REPLY:
            parents[0] = read_facts(entry.body).in_reply_to
        index = np.array(tweet_ids, dtype=np.int64)
        nothing = bytes(len(tweet_ids))
        found = b"".join(
            nothing if is_fresh and account_id != entry.author_id
            else flags_of(self._lookups, account_id, index, orig_ids, author_ids, parents) or nothing
            for account_id in accounts
        )  # fmt: skip
        return found if any(found) else None

    # ---- what ----------------------------------------------------------------------------------------------------

    def payload(self, what: Happening) -> list[Any] | None:
        """Return [tweet in pieces or None, native JSON or None, what else or None]; None: it is gone meanwhile."""
        if what.kind in (TWEET, EDIT):
            n = self.state.arrivals.number_of.get(what.item)
            return None if n is None else [self._shape.arrived(n), self.replica.home.shape.arrived(n), None]
        if what.kind == NOTICE:
            notice = self.state.notices.get(what.who, what.item)
            return None if notice is None else [None, None, list(notice)]
        if what.kind == CONVERSATION:
            return [None, None, newest_of_conversation(self.state, what.who, what.item)]
        if what.kind == RELATIONS:
            return [None, None, self.hidden(what.who)]
        return [None, None, None]

    def hidden(self, account_id: int) -> bytes:
        """Return whom an account blocks or mutes, ascending, as int64 bytes. Who blocks it, their shards see to."""
        row = self.state.people.row_of.get(account_id)
        if row is None:
            return b""
        relations = self.state.graph.relations
        return _packed(sorted({*relations[BLOCK].get(row, ()), *relations[MUTE].get(row, ())}))

    def unknown_among(self, tweets: list[TweetPieces]) -> dict[int, list[int]]:
        """Return, by their shards, the authors of tweets of whom nothing is known here."""
        return self._shape.unknown_among(tweets)

    # ---- what was missed -------------------------------------------------------------------------------------------

    def missed(
        self, heard: HeardLog, wants: Wants | None, topics: list[str], since: int, until: int
    ) -> list[Any] | None:
        """Return what a listener has missed after one number up to another, as pushes; None: more than can be told.

        wants: None for nobody's. since must be held.
        """
        ears = Ears()
        if wants is not None:
            ears.hear(wants)
        ears.hear_topics(topics)
        found: list[Any] = []
        whos = None if topics or wants is None else self._concerns(wants)
        happened = heard.since(since, until, whos)
        if len(happened) > LOOKED_MAX:
            return None
        for what in happened:
            addresses = self.addresses(ears, what)
            payload = self.payload(what) if addresses else None
            if payload is not None:
                found.append([what.number, what.kind, what.item, what.who, addresses, *payload])
                if len(found) > MISSED_MAX:
                    return None
        return found

    def _concerns(self, wants: Wants) -> Ints | None:
        """Return whose events may concern an account, ascending; None: anybody's, as it follows hashtags."""
        if wants.row in self.state.graph.tags_of:
            return None
        return np.unique(self.state.graph.read_by(wants.row, wants.account_id))


def public_topics(ears: Ears, entry: Entry) -> list[str]:
    """Return which topics that a worker listens to a tweet belongs to."""
    topics: list[str] = []
    if not entry.flags & ELSEWHERE:
        topics += PUBLIC_TOPICS
        if not ears.topics.isdisjoint(MEDIA_TOPICS) and has_media(read_facts(entry.body)):
            topics += MEDIA_TOPICS
    topics = [topic for topic in topics if topic in ears.topics]
    for tag in tags_in(entry.flags, entry.body) if ears.tags else ():
        topics += sorted(ears.tags.get(tag, ()))
    return topics


def has_media(facts: Facts) -> bool:
    """Whether a tweet shows pictures, video or sound, by whichever API."""
    return bool(facts.attachments or facts.media_ids)


def _topics_of_account(kind: int, mask: int) -> list[str]:
    if kind == NOTICE:
        return [topic for topic, bit in (("user", USER), ("user:notification", NOTIFICATIONS)) if mask & bit]
    needed = {
        CONVERSATION: ((DIRECT, "direct"),), FILTERS: ((USER, "user"), (RELATED, "related")),
        RELATIONS: ((RELATED, "related"),),
    }[kind]  # fmt: skip
    return [topic for bit, topic in needed if mask & bit]


def _packed(accounts: Sequence[int]) -> bytes:
    return np.array(accounts, dtype="<i8").tobytes()


def check_topics(topics: Any) -> list[str]:
    """Refuse what are no public topics. Raises InvalidError."""
    found: list[str] = arguments.listed(topics, TOPICS_MAX, "topics")
    for topic in found:
        arguments.text(topic, TOPIC_BYTES_MAX, "topics")
        if topic not in PUBLIC_TOPICS and topic not in MEDIA_TOPICS and not topic.startswith("hashtag:"):
            raise InvalidError(f"there is no public topic {arguments.shown(topic)}", "topics")
    return found
