"""`check --mastodon`: whether Mastodon's API serves what is, to each account, item by item and field by field.

    facts of all shards --> accounts         every account: counts, when it last wrote
                            own timelines    every author's: which statuses, what each says, its counts
                            homes            every account's, followed by its Links to the end --> oracle.py
                            public, hashtags as nobody sees them
                            upwards          some homes by `min_id`; some accounts as others see them

Rules of this file
- Everything is asked over HTTP with the account's own token, and believed as a client believes it: pages by their
  Links alone, each status with the account, the reblog and the counts inside.
- What is expected comes from exported facts (and the files that were loaded), never from what was rendered. Only that a
  status says the same everywhere is compared with what its author was shown, which was held to the facts.
- Accounts inside of statuses may be a minute old (`actors/core/cards.py`): those that differ are looked at again later.

Cost: of a page of 40 about 1 ms of this process, and what it costs to serve it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from commands.checking import Outcome, explain, for_each, spread
from commands.loading import OnCount
from commands.mastodon_reading import Read, read_all
from commands.mastodon_statuses import PRIVATE, UNLISTED, ShownStatuses
from commands.oracle import DIRECT, REPLY, REPOST, NetworkFacts

PAGE_COUNT: Final = 40  # what the API gives at most
ACCOUNTS_AT_ONCE: Final = 40
ALL: Final = 1 << 62  # entries of a timeline, to its end
PUBLIC_CHECKED_MAX: Final = 65_536  # the public timeline has an end (limits.PUBLIC_COUNT_MAX of each shard)
TAGS_CHECKED: Final = 40  # half of them the most used
SAMPLE_COUNT: Final = 300  # accounts that are looked at in more ways
CARD_AGE_S: Final = 62.0  # after which accounts inside of statuses are asked for anew, and an answer has come
HOMES_RENEWED_PER_S: Final = 50  # so that 200 accounts are asked for anew in a second, and no more
INDEX_PATIENCE_S: Final = 5.0  # in which search indexes hear of what was written


class MastodonCheck:
    """One check. facts: of a cluster that nobody writes to meanwhile; pause: waits so many seconds."""

    def __init__(
        self, read: Read, facts: NetworkFacts, outcome: Outcome,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self.read, self.facts, self.outcome, self.pause = read, facts, outcome, pause
        self.shown = ShownStatuses(facts, outcome)

    async def check_all(
        self, given: Counter[tuple[int, str]] | None, extra_ok: bool, has_search: bool,
        start: Callable[[str, int], OnCount], homes: int = 0,
    ) -> None:  # fmt: skip
        """Compare everything. given: who wrote what in the file that was loaded; start: begins to count something.

        homes: of so many accounts alone, 0 for all.
        """
        readers = list(spread(sorted(self.facts.following), homes))
        await self.check_accounts(start("accounts", len(self.facts.following)))
        await self.check_authors(start("authors", sum(map(bool, self.facts.tweets_by.values()))))
        if given is not None:
            self.shown.check_texts(given, extra_ok)
        await self.check_homes(readers, start("mastodon", len(readers)))
        await self.check_upwards()
        await self.check_others()
        await self.check_public()
        if has_search:
            await self.check_tags()

    # ---- accounts -------------------------------------------------------------------------------------------------

    async def check_accounts(self, on_count: OnCount) -> None:
        """Compare every account with the facts."""
        ids = sorted(self.facts.following)
        followers = Counter(v for vs in self.facts.following.values() for v in vs)

        async def one(first: int) -> None:
            asked = ids[first : first + ACCOUNTS_AT_ONCE]
            found, _ = await self.read("/api/v1/accounts?" + "&".join(f"id[]={i}" for i in asked), 0)
            self.shown.expect("accounts", [int(a["id"]) for a in found], asked)
            for account in found:
                self.shown.take_account(account, followers[int(account["id"])])
            on_count(len(asked))

        await for_each(list(range(0, len(ids), ACCOUNTS_AT_ONCE)), one)
        self.outcome.figures["accounts_shown"] = len(self.shown.accounts)

    # ---- statuses, as their authors see them ------------------------------------------------------------------------

    async def check_authors(self, on_count: OnCount) -> None:
        """Compare every author's own timeline with the facts, and each status in it."""

        async def one(author: int) -> None:
            shown = await read_all(self.read, f"/api/v1/accounts/{author}/statuses?limit={PAGE_COUNT}", author)
            expected = sorted((fact.tweet_id for fact in self.facts.tweets_by[author]), reverse=True)
            self.shown.expect(f"statuses of account {author}", [int(status["id"]) for status in shown], expected)
            for status in shown:
                self.shown.take(status)
            on_count(1)

        await for_each(sorted(author for author, facts in self.facts.tweets_by.items() if facts), one)
        self.shown.check_counts()
        await self._check_favourites()
        self.outcome.figures["statuses"] = len(self.shown.said)

    async def _check_favourites(self) -> None:
        """Ask who has favourited what has favourites, and compare how many they are."""
        favourites: set[tuple[int, int]] = set()

        async def one(tweet_id: int) -> None:
            author = self.shown.tweets[tweet_id].author_id
            path = f"/api/v1/statuses/{tweet_id}/favourited_by?limit=80"
            who = {int(account["id"]) for account in await read_all(self.read, path, author)}
            favourites.update((account_id, tweet_id) for account_id in who)
            if not self.facts.hidden.get(author):  # or some may be hidden from the author
                self.shown.expect(f"status {tweet_id}: favourites", self.shown.favourite_counts[tweet_id], len(who))

        await for_each(list(self.shown.favourite_counts), one)
        self.shown.favourites = favourites
        self.outcome.figures |= {"favourites": len(favourites), "reblogs": len(self.shown.reblogs)}

    # ---- homes ------------------------------------------------------------------------------------------------------

    async def check_homes(self, readers: list[int], on_count: OnCount) -> None:
        """Compare accounts' homes with their definition, to the end, and each status in them with what it says."""
        begin, entries = time.monotonic(), 0

        async def one(account_id: int) -> None:
            nonlocal entries
            count = await self._check_home(account_id)
            entries += count
            on_count(1)

        async def look(account_id: int) -> None:
            await self._read_home(account_id)

        await for_each(readers, one)
        old = sorted(self.shown.shown_old)
        if old:
            await self.pause(max(0.0, begin + CARD_AGE_S - time.monotonic()))
            await for_each(old, look)  # what is a minute old is asked for anew once it has been shown
            await self.pause(2.0 + len(old) / HOMES_RENEWED_PER_S)
            self.shown.is_last_look = True
            await for_each(old, look)
        self.outcome.figures |= {
            "mastodon_homes": len(readers), "mastodon_home_entries": entries, "homes_looked_at_again": len(old),
        }  # fmt: skip

    async def _check_home(self, account_id: int) -> int:
        """Compare one home; return how many entries it has."""
        shown = await self._read_home(account_id)
        expected = self.facts.home(account_id, ALL)
        if shown != expected:
            self.outcome.add([f"Mastodon's home: {explain(self.facts, account_id, expected, shown)}"])
        return len(expected)

    async def _read_home(self, account_id: int) -> list[int]:
        """Return the ids of a home; each status in it is compared."""
        shown = await read_all(self.read, f"/api/v1/timelines/home?limit={PAGE_COUNT}", account_id)
        for status in shown:
            fact = self.shown.tweets.get(int(status["id"]))
            if fact is not None:
                self.shown.compare(fact, status, account_id)
        return [int(status["id"]) for status in shown]

    # ---- other ways to look -----------------------------------------------------------------------------------------

    async def check_upwards(self) -> None:
        """Read some homes from their oldest entry on, by the Links to what came before a page."""
        readers = list(spread(sorted(self.facts.following), SAMPLE_COUNT))

        async def one(account_id: int) -> None:
            shown: list[int] = []
            path = f"/api/v1/timelines/home?limit={PAGE_COUNT}&min_id=1"
            while path:
                page, links = await self.read(path, account_id)
                shown += [int(status["id"]) for status in reversed(page)]
                path = links.get("prev", "")
            self.shown.expect(f"home of account {account_id}, upwards", shown, self.facts.home(account_id, ALL)[::-1])

        await for_each(readers, one)
        self.outcome.figures["homes_upwards"] = len(readers)

    async def check_others(self) -> None:
        """Read some accounts' timelines as somebody who follows them, as a stranger, and as nobody."""
        every = sorted(author for author, facts in self.facts.tweets_by.items() if facts)
        authors = list(spread(every, SAMPLE_COUNT))
        followers: dict[int, int] = {}
        for follower, followees in sorted(self.facts.following.items()):
            followers.update(dict.fromkeys(followees, follower))
        stranger = max(self.facts.following)

        async def one(author: int) -> None:
            for viewer in dict.fromkeys((0, stranger, followers.get(author, 0))):
                expected = self._seen_of(author, viewer)
                if viewer != author and expected is not None:
                    path = f"/api/v1/accounts/{author}/statuses?limit={PAGE_COUNT}"
                    shown = await self._listed(path, viewer)
                    self.shown.expect(f"statuses of account {author}, shown to {viewer}", shown, expected)

        await for_each(authors, one)
        self.outcome.figures["authors_as_others_see_them"] = len(authors)

    def _seen_of(self, author: int, viewer: int) -> list[int] | None:
        """Return which tweets of an account another one sees; None where facts don't tell mutes from blocks."""
        hidden, found = self.facts.hidden.get(viewer, set()), []
        if author in hidden:
            return None
        for fact in self.facts.tweets_by[author]:
            if fact.orig_author in hidden:
                return None
            follows = author in self.facts.following.get(viewer, ())
            is_let_in = viewer in fact.mention_ids or (follows and not fact.flags & DIRECT)
            if is_let_in or not fact.flags & PRIVATE:
                found.append(fact.tweet_id)
        return sorted(found, reverse=True)

    async def check_public(self) -> None:
        """Read the public timeline as nobody, and those of some hashtags where there are searches."""
        hidden = REPLY | REPOST | PRIVATE | UNLISTED
        expected = sorted((f.tweet_id for f in self.shown.tweets.values() if not f.flags & hidden), reverse=True)
        shown = await self._listed(f"/api/v1/timelines/public?limit={PAGE_COUNT}", 0)
        most = PUBLIC_CHECKED_MAX
        self.shown.expect("the public timeline", shown[:most], expected[:most])
        self.outcome.figures["public_statuses"] = len(shown)

    async def check_tags(self) -> None:
        """Read the timelines of some hashtags as nobody, those most used among them."""
        tags = self.shown.tags
        most_used = sorted(tags, key=lambda name: (-len(tags[name]), name))
        half, statuses = TAGS_CHECKED // 2, 0
        for name in (*most_used[:half], *spread(most_used[half:], half)):
            path = f"/api/v1/timelines/tag/{quote(name, safe='')}?limit={PAGE_COUNT}"
            expected = sorted(tags[name], reverse=True)
            shown = await self._listed(path, 0)
            if shown != expected:  # what was written last may not be in the index yet
                await self.pause(INDEX_PATIENCE_S)
                shown = await self._listed(path, 0)
            statuses += len(shown)
            self.shown.expect(f"the timeline of #{name}", shown, expected)
        self.outcome.figures |= {"hashtags": min(len(most_used), TAGS_CHECKED), "hashtag_statuses": statuses}

    # ---- asking -----------------------------------------------------------------------------------------------------

    async def _listed(self, path: str, viewer: int) -> list[int]:
        """Return the ids of all statuses from a page on; each is compared with what it says elsewhere."""
        shown = await read_all(self.read, path, viewer)
        for status in shown:
            self.shown.compare_said(int(status["id"]), status, viewer)
        return [int(status["id"]) for status in shown]
