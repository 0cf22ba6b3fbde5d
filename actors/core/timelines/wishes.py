"""What an account wants none of in its home timeline, beside whom it hides: few accounts have such wishes.

    members of its exclusive lists whom it follows      what they write and repost
    followees that it wants in some languages           what they write in others; without a language it is shown

Rules of this file
- An account's own tweets are always shown.
- Whoever isn't followed is on no list (`features/lists.py`), so what comes of him by a hashtag is shown.
- What is left out is no candidate, as what a mute hides: the repost rule passes it over.
- Looked up in the graph's sets: whoever has no wishes pays for a look only (`FollowGraph.wishful`).

Costs: 20 us a read, 0.1 us a member of exclusive lists; 2 us a tweet of a followee that is wanted in some languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actors.core.facts import read_facts
from actors.core.features.followee_options import LANGUAGES
from actors.core.features.list_members import MEMBER

if TYPE_CHECKING:
    from actors.core.state import ShardState
    from actors.core.timelines.arrivals import Arrivals

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Wishes:
    """Of whom what isn't wanted. on_lists: whose tweets; languages: by author, in which only."""

    on_lists: Ints
    languages: Mapping[int, tuple[str, ...]]

    def keeps(self, author_id: int, body: bytes) -> bool:
        """Whether a tweet or repost is wanted. body: its facts, b"" of one that is deleted."""
        if author_id in self.languages and body and not self._says_wanted(author_id, body):
            return False
        return not len(self.on_lists) or author_id not in self.on_lists

    def _says_wanted(self, author_id: int, body: bytes) -> bool:
        language = read_facts(body).language
        return not language or language in self.languages[author_id]

    def kept(self, arrivals: Arrivals, ns: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Return those of some arrivals, all alive, that are wanted, in their order."""
        slots = ns & np.uint32(arrivals.mask)
        authors = arrivals.author_id[slots]
        keep = ~np.isin(authors, self.on_lists)
        chosen = np.array(list(self.languages), dtype=np.int64)
        for i in np.flatnonzero(keep & np.isin(authors, chosen)).tolist():
            keep[i] = self.keeps(authors.item(i), arrivals.body[slots.item(i)])
        return ns[keep]


def wishes_of(state: ShardState, row: int, with_lists: bool) -> Wishes | None:
    """Return the wishes of an account of this shard; None if it has none. with_lists: with its exclusive lists."""
    graph = state.graph
    lists = graph.exclusive_lists_of.get(row, ()) if with_lists else ()
    authors = graph.some_languages_of.get(row, ())
    if not lists and not authors:
        return None
    account_id = state.people.accounts[row].account_id
    on_lists = np.zeros(0, dtype=np.int64)
    if lists:
        members = np.concatenate([state.shelves.view(MEMBER, list_id)[0] for list_id in lists])
        following = graph.following.view(row)
        on_lists = following[np.isin(following, members) & (following != account_id)]
    said = {author: state.papers.get(LANGUAGES, account_id, author) for author in authors if author != account_id}
    return Wishes(on_lists, {author: tuple(languages) for author, languages in said.items() if languages})
