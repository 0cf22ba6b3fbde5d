"""Why is this tweet (not) in that home timeline? The definition of docs/architecture.md, answered for one pair.

    explain [account, tweet] --> tweet_facts of the tweet's shard --> the rules, one after the other, each with what
                                 it saw --> the repost rule and the length, from the authors' own logs
                             --> where the tweet is now: ring, log, below the floor, dormant, under way

Rules of this file
- The verdict follows from the definition alone, by facts of this moment: who reads is not woken, and no ring is
  believed. Where the tweet is, is looked up apart, and says why a timeline lags.
- It goes on to the last rule that can be judged: what the first failing one says is the reason.
- It tells what neither the reader nor everybody may know (a direct tweet exists): who asks for an account looks first
  whether that may see the tweet.
- A generator, as `HomeTimelines.steps`: it yields what must be asked.

Cost: one question to the tweet's shard; for a tweet that passes, what a page of so many entries below a ring's floor
costs, milliseconds for 800. It isn't meant for hot paths.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.entries import Entry, unpack
from actors.core.facts import read_facts
from actors.core.flags import BLOCK, BLOCKED_BY, FLAG_DIRECT, FLAG_REPLY, MUTE, NO_REPOSTS
from actors.core.hashtags import tags_in
from actors.core.timelines.home import PULL_ROUNDS_MAX, Ask, HomeQuery, HomeTimelines

if TYPE_CHECKING:
    from actors.core.lookups import Lookups

SHOWN, LEFT_OUT, OLDER, UNDER_WAY = "shown", "left_out", "older", "under_way"  # verdicts
EXISTS, REACH, VISIBLE, WANTED, ANSWER, REPOSTED, LENGTH = RULES = (
    "exists", "reach", "visible", "wanted", "reply", "repost", "length",
)  # fmt: skip
DORMANT, RING, PULL_LOG, TAG_LOG, BELOW, NOWHERE = "dormant", "ring", "pull_log", "tag_log", "below_floor", "nowhere"

Asks = Generator[Ask, Any, Any]


class HomeRule(NamedTuple):
    """What a rule says. saw: the fact, a word; about: ids that the fact is about, of accounts or tweets."""

    name: str
    passed: bool
    saw: str
    about: tuple[int, ...] = ()


class Explanation(NamedTuple):
    """place: where the tweet is for this reader, with a number (its place from the newest, or an author's id)."""

    verdict: str
    author_id: int  # 0 if there is no such tweet
    rules: list[HomeRule]
    place: tuple[str, int]

    def packed(self) -> list[Any]:
        """Return it as it travels: [verdict, author id, [[rule, passed, saw, [ids]], ...], [place, number]]."""
        return [self.verdict, self.author_id, [[*r[:3], list(r.about)] for r in self.rules], list(self.place)]


class Explaining(HomeTimelines):
    """Explains the home timelines of one replica. See the head of the file."""

    def explain(self, lookups: Lookups, account_id: int, tweet_id: int) -> Asks:
        """Produce an `Explanation`. Raises NotFoundError for an account that isn't here, InvalidError."""
        row = lookups.row(account_id)
        arguments.an_id(tweet_id, "tweet_id")
        shard = self.state.shard_of_tweet(tweet_id)
        answers = yield Ask({shard: ("tweet_facts", [tweet_id, account_id])})
        if answers[shard] is None:
            return Explanation(LEFT_OUT, 0, [HomeRule(EXISTS, False, "no_such_tweet")], (NOWHERE, 0))
        packed, is_follower = answers[shard]
        entry, place = Entry(*unpack(packed)), self._place(row, tweet_id)
        rules = [HomeRule(EXISTS, True, "exists", (entry.author_id,))]
        for judge in (self._judge_reach, self._judge_visible, self._judge_wanted, self._judge_answer):
            rules.append(judge(row, account_id, entry))
        verdict = SHOWN if all(rule.passed for rule in rules) else LEFT_OUT
        if verdict == SHOWN and entry.is_repost:
            rules.append((yield from self._judge_repost(row, account_id, entry)))
            verdict = SHOWN if rules[-1].passed else LEFT_OUT
        if verdict == SHOWN:
            rules.append((yield from self._judge_length(row, account_id, tweet_id)))
            verdict = SHOWN if rules[-1].passed else OLDER
        return Explanation(self._as_served(verdict, rules, place, is_follower), entry.author_id, rules, place)

    def _as_served(self, verdict: str, rules: list[HomeRule], place: tuple[str, int], is_follower: bool) -> str:
        """Return the verdict, or that what it says is still under way."""
        follows_here = rules[1].saw == "follows"
        is_late = place[0] == NOWHERE or (follows_here and not is_follower)
        return UNDER_WAY if verdict == SHOWN and is_late else verdict

    # ---- the rules, in the order of the definition --------------------------------------------------------------

    def _judge_reach(self, row: int, me: int, entry: Entry) -> HomeRule:
        author = entry.author_id
        if author == me:
            return HomeRule(REACH, True, "own")
        if self.state.graph.following.contains(row, author):
            return HomeRule(REACH, True, "follows", (author,))
        tags = set(self._tags(row)) & set(tags_in(entry.flags, entry.body))
        return HomeRule(REACH, True, "follows_tag") if tags else HomeRule(REACH, False, "follows_not", (author,))

    def _judge_visible(self, row: int, me: int, entry: Entry) -> HomeRule:
        """Blocks, and whom a direct tweet is for. Of a repost the original's author counts as well."""
        graph, author = self.state.graph, entry.author_id
        for other in dict.fromkeys((author, entry.orig_author)):
            if other != me and graph.related(row, BLOCK, other):
                return HomeRule(VISIBLE, False, "blocks", (other,))
            if other != me and graph.related(row, BLOCKED_BY, other):
                return HomeRule(VISIBLE, False, "blocked_by", (other,))
        if author != me and entry.flags & FLAG_DIRECT and me not in entry.mention_ids:
            return HomeRule(VISIBLE, False, "direct_to_others")
        return HomeRule(VISIBLE, True, "direct" if entry.flags & FLAG_DIRECT else "may_see")

    def _judge_wanted(self, row: int, me: int, entry: Entry) -> HomeRule:
        """Mutes, reposts that aren't wanted, exclusive lists, languages."""
        graph, author, wishes = self.state.graph, entry.author_id, self._wishes(row)
        for other in dict.fromkeys((author, entry.orig_author)):
            if other != me and graph.related(row, MUTE, other):
                return HomeRule(WANTED, False, "mutes", (other,))
        if author == me:
            return HomeRule(WANTED, True, "own")
        if entry.is_repost and graph.related(row, NO_REPOSTS, author):
            return HomeRule(WANTED, False, "no_reposts", (author,))
        if wishes is not None and author in wishes.on_lists:
            return HomeRule(WANTED, False, "exclusive_list", (author,))
        if wishes is not None and not wishes.keeps(author, entry.body):
            return HomeRule(WANTED, False, f"language {read_facts(entry.body).language}", (author,))
        return HomeRule(WANTED, True, "unfiltered")

    def _judge_answer(self, row: int, me: int, entry: Entry) -> HomeRule:
        answered = entry.reply_author
        if not entry.flags & FLAG_REPLY:
            return HomeRule(ANSWER, True, "no_reply")
        if entry.author_id == me or answered in (me, entry.author_id):
            return HomeRule(ANSWER, True, "thread" if answered == entry.author_id else "concerns_reader", (answered,))
        follows = answered in self._answered(row)
        return HomeRule(ANSWER, follows, "answers_followed" if follows else "answers_stranger", (answered,))

    def _judge_repost(self, row: int, me: int, entry: Entry) -> Asks:
        """Look for the same original, or another repost of it, among the candidates just older."""
        older = yield from self._candidates(row, me, entry.tweet_id, limits.REPOST_WINDOW_COUNT)
        twin = next((other.tweet_id for other in older if other.orig_id == entry.orig_id), 0)
        return HomeRule(REPOSTED, False, "twin", (twin,)) if twin else HomeRule(REPOSTED, True, "no_twin")

    def _candidates(self, row: int, me: int, below: int, count: int) -> Asks:
        """Produce the newest candidates older than an id, at most so many, newest first."""
        found: list[Entry] = []
        wishes = self._wishes(row)
        for _ in range(PULL_ROUNDS_MAX):
            answers = yield self._asked("pull", row, me, below, min(2 * count, limits.PULL_COUNT_MAX))
            bound = max((above for _, above in answers.values()), default=0) + 1
            entries = [Entry(*f) for packed, _ in answers.values() for f in unpack(packed) if f[0] >= bound]
            entries.sort(key=lambda e: e.tweet_id, reverse=True)
            found += [e for e in entries if self._is_candidate(row, me, wishes, e)]
            below = bound
            if len(found) >= count or bound == 1:
                break
        return found[:count]

    def _judge_length(self, row: int, me: int, tweet_id: int) -> Asks:
        """Count what is newer, by the same rules."""
        length = self.state.tuning.timeline_length
        newer = yield from self.entries_below(row, HomeQuery(me, ids.ID_MAX, tweet_id, 0, length))
        return HomeRule(LENGTH, len(newer) < length, "place", (len(newer) + 1,))

    # ---- where it is --------------------------------------------------------------------------------------------

    def _place(self, row: int, tweet_id: int) -> tuple[str, int]:
        """Return where a tweet is for the reader of a row: in what, and as which from the newest (1 is the newest)."""
        state = self.state
        if not state.rings.awake[row]:
            return DORMANT, 0
        ring = self._ids_of(state.rings.view(row))
        if tweet_id in ring:
            return RING, int(np.count_nonzero(ring > tweet_id)) + 1
        for author, log in state.pull_logs.logs.items():
            if state.graph.following.contains(row, author) and tweet_id in self._ids_of(np.array(log.ns, np.uint32)):
                return PULL_LOG, author
        for tag in self._tags(row):
            tag_log = state.tag_logs.logs.get(tag)
            if tag_log is not None and tweet_id in self._ids_of(np.array(tag_log.ns, np.uint32)):
                return TAG_LOG, 0
        ns, floor, _ = self._entries(row)
        _, floor = state.arrivals.above_lost(ns, floor)
        return (BELOW, 0) if tweet_id <= floor else (NOWHERE, 0)

    def _ids_of(self, ns: Any) -> Any:
        """Return the tweets of arrival numbers, those that are still held."""
        a = self.state.arrivals
        held, _ = a.above_lost(ns, 0)
        return a.tweet_id[held & np.uint32(a.mask)]
