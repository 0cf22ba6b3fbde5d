"""Pull logs of hashtags: of each that somebody here follows, the newest public tweets, whoever wrote them.

    every shard --its tweets with a wanted tag--> the tag's log  --merged by each home timeline that follows it-->

A log is a pull author's (`pull_logs.py`), with a tag in the author's place, and shorter: what lies below its floor is
asked of the authors' shards, as below a ring's. Which tags are wanted is `features/tag_readers.py`'s to say.

Rules of this file
- A tweet lies in the log of each wanted tag that it has *now*: `tags_of` remembers under which it lies, so that an
  edit finds them, whatever the arrival said before. It forgets a tweet that leaves the arrivals window.
Costs: 4 bytes a tweet and log, 150 for `tags_of`; a read pays 5 us a log that it merges.
"""

from __future__ import annotations

from actors.core.hashtags import tags_in
from actors.core.timelines.arrivals import Arrivals
from actors.core.timelines.pull_logs import PullLogs


class TagLogs(PullLogs):
    """The logs of the tags that are wanted on one shard, by tag id."""

    def __init__(self, arrivals: Arrivals, keep: int) -> None:
        super().__init__(arrivals, keep)
        self.tags_of: dict[int, set[int]] = {}

    def wanted_of(self, flags: int, body: bytes) -> list[int]:
        """Return the tags of a tweet that are wanted here."""
        return [tag for tag in tags_in(flags, body) if tag in self.logs] if self.logs else []

    def put(self, tag: int, n: int, tweet_id: int) -> None:
        """Put an arrival into the log of a wanted tag, once."""
        self.insert(tag, n, tweet_id)
        self.tags_of.setdefault(tweet_id, set()).add(tag)

    def take(self, n: int, tweet_id: int, flags: int, body: bytes) -> None:
        """Put an arrival into the logs of its tags that are wanted here."""
        for tag in self.wanted_of(flags, body):
            self.put(tag, n, tweet_id)

    def keep_only(self, tweet_id: int, flags: int, body: bytes) -> None:
        """Take a tweet out of the logs of the tags that it hasn't any more."""
        known = self.tags_of.get(tweet_id, set())
        for tag in known.difference(tags_in(flags, body)) if known else ():
            known.discard(tag)
            log = self.logs.get(tag)
            n = self.arrivals.number_of.get(tweet_id)
            if log is not None and n in log.ns:
                log.ns.remove(n)

    def forget(self, tweet_ids: list[int]) -> None:
        """Forget tweets that have left the arrivals window, but those that have come again."""
        for tweet_id in tweet_ids if self.tags_of else ():
            if tweet_id not in self.arrivals.number_of:
                self.tags_of.pop(tweet_id, None)

    def check(self) -> list[str]:
        """Return violations: those of pull logs; a tweet that lies under a tag that it isn't known to have."""
        problems = super().check()
        a = self.arrivals
        for tag, log in self.logs.items():
            for n in log.ns:
                tweet_id = int(a.tweet_id[n & a.mask])
                alive = a.is_alive(n) and a.number_of.get(tweet_id) == n
                if alive and tag not in self.tags_of.get(tweet_id, ()):
                    problems.append(f"tweet {tweet_id} lies in the log of tag {tag}, which it isn't known to have")
        problems += [f"tweet {t} has tags, but has not arrived" for t in self.tags_of if t not in a.number_of]
        return problems
