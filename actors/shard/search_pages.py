"""The tweets of one page, of one shard: asked of posting lists or the engine until as many may be shown as are wanted.

Rules of this file
- What finds may be behind, and knows nobody's rights: only what memory shows is taken of it, and if that is too little
  it is asked for more. A page of which hardly anything may be shown ends after some rounds, and says so.
- A page of a hashtag has what the index lacks as well: whoever posts finds it there at once.
- A class each, as functions that call themselves would be garbage that only a collection finds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.core.hashtags import tag_id_of
from actors.core.ids import ID_MAX
from actors.core.postings.found import Found, Viewer
from actors.shard.search_postings import Matches
from actors.text.query import has_follows

if TYPE_CHECKING:
    from actors.shard.search_requests import SearchRequests

SPARE_COUNT = 10  # more ids than asked for: some may not be shown
LISTED_SPARE_COUNT = 2  # of those that posting lists know: it costs little to ask them again
ROUNDS_MAX = 8  # questions for one page of which hardly anything may be shown
BEST_COUNT_MAX = 5_000  # tweets by rank that are looked at for a page
ROUND_COUNT_MAX = 2_000  # ids in one of them: so a page looks at some 7,000
CANDIDATES_MAX = 2_000  # that an engine gives of the best, and of the newest as many


class PageSearch:
    """A page of ids that the engine knows to sort, of which not all may be shown: asked for until it is full."""

    __slots__ = ("_rounds", "count", "highlight", "request", "requests", "rows", "tags", "tree", "until_s", "viewer")

    def __init__(
        self, requests: SearchRequests, request: Any, tree: Any, viewer: Viewer, count: int, highlight: bool
    ) -> None:
        self.requests, self.request, self.tree, self.viewer = requests, request, tree, viewer
        self.count, self.highlight = count, highlight
        self.tags: list[Any] | None = None  # instead of a tree: any, all, none
        self.rows: list[Found] = []
        self._rounds = 0
        self.until_s = request.until_s

    def ask_before(self, max_id: int) -> None:
        """Ask for what is older than max_id (0: the newest)."""

        def take(matches: Matches, wanted: int) -> None:
            ids = matches.ids
            missing = self.count + 1 - len(self.rows)
            self.rows += self._shown(matches, missing)
            self._rounds += 1
            more = len(ids) == wanted
            if len(self.rows) > self.count:
                del self.rows[self.count :]
                self._reply(self.rows[-1][1])
            elif more and self._rounds < ROUNDS_MAX:
                self.ask_before(ids[-1])
            else:
                self._reply(ids[-1] if more else 0)

        self._ask(max_id, 0, take)

    def ask_after(self, max_id: int, min_id: int) -> None:
        """Ask for what is right after min_id."""

        def take(matches: Matches, wanted: int) -> None:
            ids = matches.ids
            self.rows = self._shown(matches, wanted) + self.rows
            self._rounds += 1
            more = len(ids) == wanted
            if len(self.rows) > self.count:
                del self.rows[: -self.count]
                self._reply(self.rows[0][1])
            elif more and self._rounds < ROUNDS_MAX:
                self.ask_after(max_id, ids[0])
            else:
                self._reply(ids[0] if more else 0)

        self._ask(max_id, min_id, take)

    def _shown(self, matches: Matches, count: int) -> list[Found]:
        """Return the first of some matches that may be seen."""
        is_page = self.tags is not None
        return self.requests.found.rows(matches.ids, self.viewer, count, None, matches.arrivals, is_page)

    def _ask(self, max_id: int, min_id: int, take: Callable[[Matches, int], None]) -> None:
        """Ask posting lists, or else the engine; take(matches, how many were asked for)."""
        if self.tags is not None:
            wanted = self._wanted(SPARE_COUNT)
            args = [*self.tags, max_id, min_id, wanted]

            def take_all(ids: list[int]) -> None:
                whole = with_recent(ids, self._recent(), max_id, min_id, len(ids) == wanted)
                take(Matches(whole, None), wanted + len(whole) - len(ids))

            self.requests.ask(self.request, "tag", args, take_all)
            return
        listed_count = self._wanted(LISTED_SPARE_COUNT)

        def listed(found: Matches | None) -> None:
            if found is not None:
                take(found, listed_count)
                return
            wanted = self._wanted(SPARE_COUNT)
            follows = follows_in(self.tree, self.viewer)
            self._ask_engine("latest", [self.tree, max_id, wanted, min_id, follows], wanted, take)

        self.requests.newest(self, max_id, min_id, listed_count, listed)

    def _ask_engine(self, op: str, args: list[Any], wanted: int, take: Callable[[Matches, int], None]) -> None:
        self.requests.ask(self.request, op, args, lambda ids: take(Matches(ids, None), wanted))

    def _recent(self) -> list[int]:
        """Return the tweets with the page's hashtags that the index may not have yet."""
        assert self.tags is not None
        any_of, all_of, none_of = (set(map(tag_id_of, tags)) for tags in self.tags)
        return [
            tweet_id
            for tweet_id, tags in self.requests.found.recently_tagged()
            if not any_of.isdisjoint(tags) and all_of <= tags and none_of.isdisjoint(tags)
        ]

    def _wanted(self, spare_count: int) -> int:
        """Return how many ids to ask for: twice as many each round, as it seems that few may be shown."""
        return min((self.count + 1 - len(self.rows) + spare_count) << self._rounds, ROUND_COUNT_MAX)

    def _reply(self, edge: int) -> None:
        """edge: how far was looked, 0 if to the end."""
        self.requests.reply_page(self.request, self.tree, self.rows, edge, self.highlight)


def with_recent(ids: list[int], recent: list[int], max_id: int, min_id: int, is_full: bool) -> list[int]:
    """Return a page of an index with the recent tweets that it lacks, newest first.

    ids: older than max_id (0: the newest), or, with a min_id, the oldest of those newer than that; is_full: there may
    be more, of which the recent ones are for the next page.
    """
    newest, oldest = max_id or ID_MAX, min_id
    if is_full and min_id:
        newest = min(newest, ids[0])
    elif is_full:
        oldest = max(oldest, ids[-1])
    missing = {tweet_id for tweet_id in recent if oldest < tweet_id < newest}.difference(ids)
    return sorted([*ids, *missing], reverse=True) if missing else ids


class TopPage:
    """A page of the best that weren't shown.

    Ranks move between two pages, so a page begins at no rank: the best are asked for, with as many more as were shown,
    and these are left out. So no tweet is on two pages, and none can get above where the next page begins.
    """

    __slots__ = (
        "at_ms", "count", "highlight", "request", "requests", "shown", "shown_here", "tree", "until_s", "viewer",
    )  # fmt: skip

    def __init__(
        self, requests: SearchRequests, request: Any, tree: Any, viewer: Viewer, count: int, highlight: bool,
        at_ms: int, shown: frozenset[int],
    ) -> None:  # fmt: skip
        """shown: tweets of the pages before, of all shards; so many of them may be here."""
        self.requests, self.request, self.tree, self.viewer = requests, request, tree, viewer
        self.count, self.highlight, self.at_ms, self.shown = count, highlight, at_ms, shown
        self.shown_here = requests.found.count_here(shown)
        self.until_s = request.until_s

    def ask(self) -> None:
        """Ask posting lists, or else the engine."""
        self._ask_lists(self.count + 1 + LISTED_SPARE_COUNT + self.shown_here)

    def _ask_lists(self, wanted: int) -> None:
        """Ask for as many as likely make a page; for more if few of them may be shown."""
        requests = self.requests
        assert requests.engine is not None
        postings = requests.engine.postings
        best = postings.best(self.tree, self.at_ms, wanted, self.viewer, requests.weights)
        requests.in_turns(self, "top", best, partial(self._take, wanted))

    def _take(self, wanted: int, best: Matches | None) -> None:
        requests = self.requests
        if best is None:
            self._ask_engine(min(requests.candidates + self.shown_here, CANDIDATES_MAX))
        elif self._show(best, len(best.ids) == wanted <= BEST_COUNT_MAX):
            requests.answered += 1
        else:
            self._ask_lists(8 * wanted)

    def _ask_engine(self, candidates: int) -> None:
        """Ask for candidates, and for as many as there can be if few of them may be shown."""
        args = [self.tree, candidates, follows_in(self.tree, self.viewer)]
        self.requests.ask(self.request, "top", args, partial(self._rank, candidates))

    def _rank(self, candidates: int, body: Any) -> None:
        requests = self.requests
        ranked = requests.found.ranked(body[0], body[1], self.at_ms, self.viewer, requests.weights)
        matches = Matches([tweet_id for _, tweet_id in ranked], None, [score for score, _ in ranked])
        if not self._show(matches, len(body[0]) >= candidates < CANDIDATES_MAX):
            self._ask_engine(CANDIDATES_MAX)

    def _show(self, matches: Matches, whole_page: bool) -> bool:
        """Answer with the first that may be seen, unless a whole page is wanted and there are fewer."""
        count = self.count
        if self.shown:
            matches = _without(matches, self.shown)
        rows = self.requests.found.rows(matches.ids, self.viewer, count + 1, matches.scores, matches.arrivals)
        if whole_page and len(rows) <= count:
            return False
        self.requests.reply_page(self.request, self.tree, rows[:count], int(len(rows) > count), self.highlight)
        return True


def _without(matches: Matches, shown: frozenset[int]) -> Matches:
    """Return the others of some matches."""
    left = [i for i, tweet_id in enumerate(matches.ids) if tweet_id not in shown]
    arrivals, scores = matches.arrivals, matches.scores
    return Matches(
        [matches.ids[i] for i in left], None if arrivals is None else [arrivals[i] for i in left],
        None if scores is None else [scores[i] for i in left],
    )  # fmt: skip


def follows_in(tree: Any, viewer: Viewer) -> bytes:
    """Return what the engine has to know of whom the reader follows: nothing, if the query doesn't ask."""
    return viewer.following.astype("<i8").tobytes() if has_follows(tree) else b""
