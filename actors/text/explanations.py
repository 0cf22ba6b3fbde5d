"""What `explain` has found, in words: why a tweet is, or isn't, in a home timeline.

Rules of this file
- The words are made of what travels (`actors/core/timelines/explaining.py`), for the command and for the API alike.
- It names accounts as it is told to; of the tweet itself it says nothing but its id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

# What a rule saw -> what that is in words. {0}, {1}: what it is about; {reader}.
_SAID: Final = {
    "exists": "{0} wrote it, and it is there",
    "no_such_tweet": "there is no such tweet: there never was, or it is deleted",
    "own": "{reader} wrote it",
    "follows": "{reader} follows {0}",
    "follows_tag": "{reader} follows a hashtag of it, and it is public",
    "follows_not": "{reader} follows neither {0} nor a hashtag of it",
    "blocks": "{reader} blocks {0}",
    "blocked_by": "{0} blocks {reader}",
    "direct_to_others": "it is direct, and doesn't mention {reader}",
    "direct": "it is direct, and for {reader}",
    "may_see": "{reader} may see it",
    "mutes": "{reader} mutes {0}",
    "no_reposts": "{reader} wants no reposts of {0}",
    "exclusive_list": "{0} is on an exclusive list of {reader}, so it is on that list's page and not at home",
    "language": "{reader} wants {0} in other languages than {1}",
    "unfiltered": "{reader} wants it",
    "no_reply": "it is no reply",
    "thread": "it goes on with its author's own",
    "concerns_reader": "it is {reader}'s reply, or a reply to {reader}",
    "answers_followed": "it is a reply to {0}, whom {reader} follows",
    "answers_stranger": "it is a reply to {0}, whom {reader} doesn't follow",
    "twin": "the same tweet is among the 40 just below, as {0}",
    "no_twin": "nothing of the 40 just below is the same tweet",
    "place": "it is number {0} from the newest",
}
_PLACES: Final = {
    "dormant": "{reader} is dormant: the timeline is made when they come back",
    "ring": "number {0} in the ring",
    "pull_log": "in the log of {0}, which is read along with the ring",
    "tag_log": "in the log of a hashtag, which is read along with the ring",
    "below_floor": "below what the ring has; it is asked of its author's shard when somebody reads so far",
    "nowhere": "not on the reader's shard",
}
_VERDICTS: Final = {
    "shown": "It is in the home timeline.",
    "older": "It isn't among the newest of the home timeline: pages further down have it.",
    "under_way": "It belongs into the home timeline, and isn't there yet: messages are under way.",
}


class ToldRule(NamedTuple):
    """One rule in words."""

    rule: str
    passed: bool
    sentence: str


class ToldExplanation(NamedTuple):
    """An explanation in words. place: where the tweet is for this reader."""

    verdict: str
    sentence: str
    rules: list[ToldRule]
    place: str
    place_sentence: str


def accounts_in(packed: Sequence[Any]) -> set[int]:
    """Return the accounts that an explanation names."""
    _, author_id, rules, (place, number) = packed
    named = {about for _, _, saw, abouts in rules if saw not in ("twin", "place") for about in abouts}
    return (named | {author_id} | ({number} if place == "pull_log" else set())) - {0}


def in_words(packed: Sequence[Any], reader: str, name_of: Callable[[int], str]) -> ToldExplanation:
    """Return an explanation in words. packed: as the lane answers `explain`; name_of: of an account, such as @ada."""
    verdict, _, rules, (place, number) = packed
    told = [ToldRule(rule, passed, _said(saw, abouts, reader, name_of)) for rule, passed, saw, abouts in rules]
    failed = next((rule.sentence for rule in told if not rule.passed), "")
    sentence = _VERDICTS.get(verdict) or f"It isn't in the home timeline: {failed}."
    shown = name_of(number) if place == "pull_log" else number
    return ToldExplanation(verdict, sentence, told, place, _PLACES[place].format(shown, reader=reader))


def _said(saw: str, abouts: Sequence[int], reader: str, name_of: Callable[[int], str]) -> str:
    word, _, more = saw.partition(" ")
    shown = [str(about) if word in ("twin", "place") else name_of(about) for about in abouts]
    return _SAID[word].format(*shown, more, reader=reader)
